"""Priors of the globals, for networks (`prior`) and as the density that MCMC needs.

    Om, OL ~ U(0, 2)   w ~ U(-2, 0)   alpha ~ U(0, 1)   beta ~ U(0, 4)
    M0 ~ N(-19.3, 2^2)   xb ~ N(0, 10^2)   cb ~ N(0, 1)
    sres^2 ~ InvGamma(0.003, 0.003)   log10 Rx, log10 Rc ~ U(-5, 2)

Dispersions enter by their logarithms, as ln_sres, ln_Rx, ln_Rc.
"""

import numpy as np
from scipy import special

from .survey import as_globals, model_names

UNIFORM = {"Om": (0.0, 2.0), "OL": (0.0, 2.0), "w": (-2.0, 0.0), "alpha": (0.0, 1.0)}
UNIFORM["beta"] = (0.0, 4.0)
LN10 = float(np.log(10.0))
UNIFORM["ln_Rx"] = UNIFORM["ln_Rc"] = (-5.0 * LN10, 2.0 * LN10)
NORMAL = {"M0": (-19.3, 2.0), "xb": (0.0, 10.0), "cb": (0.0, 1.0)}
GAMMA = 0.003  # shape and scale of the inverse gamma of sres^2
#: where ln sres is kept by default; the prior's tails reach beyond all numbers
SRES = (1e-3, 10.0)


class LogDispersion:
    """ln s where s^2 ~ InvGamma(a, b): 1/s^2 is Gamma(a) with rate b."""

    def __init__(self, a=GAMMA, b=GAMMA):
        self.a, self.b = a, b

    def support(self):
        """All real numbers."""
        return -np.inf, np.inf

    def _y(self, u):
        with np.errstate(over="ignore"):
            return self.b * np.exp(-2.0 * np.asarray(u, dtype=float))

    def cdf(self, u):
        """P(ln s <= u)."""
        return special.gammaincc(self.a, self._y(u))

    def sf(self, u):
        """P(ln s > u)."""
        return special.gammainc(self.a, self._y(u))

    def _of(self, y):
        with np.errstate(divide="ignore"):
            return -0.5 * (np.log(y) - np.log(self.b))

    def ppf(self, p):
        """Inverse of `cdf`."""
        return self._of(special.gammainccinv(self.a, p))

    def isf(self, q):
        """Inverse of `sf`."""
        return self._of(special.gammaincinv(self.a, q))

    def logpdf(self, u):
        """Log density of ln s; may be traced."""
        constant = self.a * np.log(self.b) - special.gammaln(self.a) + np.log(2.0)
        return constant - 2.0 * self.a * u - self.b * np.exp(-2.0 * u)


def coordinates(model):
    """Names of the coordinates in which networks and samplers see the globals."""
    logs = ("sres", "Rx", "Rc")
    return tuple(f"ln_{k}" if k in logs else k for k in model_names(model))


def to_coordinates(values, model):
    """Coordinates (p,) of a dict of globals."""
    out = []
    for name in coordinates(model):
        value = float(values[name.removeprefix("ln_")])
        if name.startswith("ln_") and value <= 0:
            raise ValueError(f"{name[3:]} must be positive to have a logarithm")
        out.append(np.log(value) if name.startswith("ln_") else value)
    return np.array(out)


def to_globals(theta, model):
    """The dict of globals at coordinates theta (p,); may be traced."""
    names = coordinates(model)
    values = [
        np.exp(theta[i]) if name.startswith("ln_") else theta[i]
        for i, name in enumerate(names)
    ]
    return as_globals(values, model)


def prior(model="flat", bounds=None):
    """Prior of the coordinates of a model's globals.

    Parameters
    ----------
    model : {"flat", "wcdm", "curved"}
    bounds : dict or (p, 2) array, optional
        A box to keep to, by name or for all coordinates. ln_sres is kept between
        ln 0.001 and ln 10 unless another range is given here.

    Returns
    -------
    gradiverse.inference.Prior
        Of Om[, w or OL], M0, ln_sres, alpha, beta, xb, ln_Rx, cb, ln_Rc.

    Examples
    --------
    >>> import gradiverse as gv
    >>> p = gv.supernova.prior("wcdm", {"Om": (0.1, 0.6)})
    >>> p.names[:4], p.sample(2, rng=0).shape
    (['Om', 'w', 'M0', 'ln_sres'], (2, 10))
    """
    from scipy import stats

    from ..inference import Prior

    kinds = {}
    for name in coordinates(model):
        if name in UNIFORM:
            kinds[name] = UNIFORM[name]
        elif name in NORMAL:
            kinds[name] = stats.norm(*NORMAL[name])
        else:
            kinds[name] = LogDispersion()
    full = Prior(kinds)
    box = np.array(full.bounds)
    box[full.names.index("ln_sres")] = np.log(SRES)
    if bounds is None:
        return full.truncate(box)
    if hasattr(bounds, "keys"):
        for name, (low, high) in bounds.items():
            if name not in full.names:
                raise ValueError(
                    f"bounds: {name!r} is not one of {', '.join(full.names)}"
                )
            box[full.names.index(name)] = low, high
        return full.truncate(box)
    return full.truncate(bounds)


# --- what MCMC walks in ---------------------------------------------------------------
def constrain(u, model):
    """Coordinates at unconstrained numbers u (p,), and the log density of the prior in
    u up to a constant: uniform ones are low + (high - low) sigmoid(u)."""
    from ..ops import sigmoid, softplus

    out, total = [], 0.0
    for i, name in enumerate(coordinates(model)):
        if name in UNIFORM:
            low, high = UNIFORM[name]
            out.append(low + (high - low) * sigmoid(u[i]))
            total = total - softplus(u[i]) - softplus(-u[i])
        elif name in NORMAL:
            mean, sd = NORMAL[name]
            out.append(1.0 * u[i])
            total = total - 0.5 * ((u[i] - mean) / sd) ** 2
        else:
            out.append(1.0 * u[i])
            total = total + LogDispersion().logpdf(u[i])
    return np.stack(out), total


def unconstrain(theta, model):
    """Unconstrained numbers at coordinates theta, the inverse of `constrain`."""
    out = np.array(theta, dtype=float)
    for i, name in enumerate(coordinates(model)):
        if name in UNIFORM:
            low, high = UNIFORM[name]
            if not low < out[i] < high:
                raise ValueError(
                    f"{name} = {out[i]:g} is not inside ({low:g}, {high:g})"
                )
            out[i] = special.logit((out[i] - low) / (high - low))
    return out
