"""The exact likelihood of a survey, its Fisher matrix, and models by name.

    M_s ~ N(M0, sres^2)   x_s ~ N(xb, Rx^2)   c_s ~ N(cb, Rc^2)
    m_s = mu_s + M_s - alpha x_s + beta c_s,     d_s ~ N((m_s, x_s, c_s), S_s)

With A = [[1, -alpha, beta], [0, 1, 0], [0, 0, 1]] and D = diag(sres, Rx, Rc)^2 the data
of an object are normal with mean A (M0, xb, cb) + mu_s e_1 and covariance
A D A^T + S_s.
"""

import numpy as np

from ..compile import compile
from ..grad import value_and_grad
from ..graph import emit
from . import _check, _extend
from .distance import constant_part, modulus

#: model -> names of its free cosmological parameters
COSMOLOGY = {"flat": ("Om",), "wcdm": ("Om", "w"), "curved": ("Om", "OL")}
POPULATION = ("M0", "sres", "alpha", "beta", "xb", "Rx", "cb", "Rc")
FIDUCIAL = {
    "Om": 0.3, "OL": 0.7, "w": -1.0, "M0": -19.3, "sres": 0.1, "alpha": 0.13,
    "beta": 2.56, "xb": 0.0, "Rx": 1.0, "cb": 0.0, "Rc": 0.1,
}  # fmt: skip


def model_names(model):
    """Free globals of a model, in order."""
    if model not in COSMOLOGY:
        raise ValueError(f"model {model!r} is not one of {', '.join(COSMOLOGY)}")
    return COSMOLOGY[model] + POPULATION


def as_globals(theta, model):
    """The dict of globals from the vector of a model's free ones."""
    g = {name: theta[i] for i, name in enumerate(model_names(model))}
    if model == "curved":
        return {**g, "w": -1.0}
    return {**g, "OL": 1.0 - g["Om"], "w": g["w"] if model == "wcdm" else -1.0}


def from_globals(values, model):
    """The vector of a model's free globals."""
    return np.array([float(values[k]) for k in model_names(model)])


def fiducial(n=2000):
    """A reference survey: globals, redshifts and covariances, without a seed.

    Redshifts are 0.05 + 1.15 Q((i + 1/2)/n) with Q the quantile of Beta(2.5, 2.5), so
    from 0.05 to 1.2; every object has sds (0.04, 0.3, 0.03) and corr(mB, c) 0.5.

    Parameters
    ----------
    n : int
        Objects.

    Returns
    -------
    globals : dict
    z : (n,) array
    covariance : (n, 3, 3) array

    Examples
    --------
    >>> import gradiverse as gv
    >>> truth, z, S = gv.supernova.fiducial(100)
    >>> S.shape, round(float(z[0]), 3)
    ((100, 3, 3), 0.122)
    """
    from scipy.special import betaincinv

    if not isinstance(n, (int, np.integer)) or n < 1:
        raise ValueError(f"n must be a positive number of objects, got {n!r}")
    z = 0.05 + 1.15 * betaincinv(2.5, 2.5, (np.arange(n) + 0.5) / n)
    sd = np.array([0.04, 0.3, 0.03])
    S = np.diag(sd**2)
    S[0, 2] = S[2, 0] = 0.5 * sd[0] * sd[2]
    return dict(FIDUCIAL), z, np.broadcast_to(S, (n, 3, 3)).copy()


def population(g):
    """Mean (3,) and covariance (3, 3) of (m - mu, x, c), traced or not."""
    a, b = g["alpha"], g["beta"]
    vM, vx, vc = g["sres"] * g["sres"], g["Rx"] * g["Rx"], g["Rc"] * g["Rc"]
    mean = np.stack([g["M0"] - a * g["xb"] + b * g["cb"], 1.0 * g["xb"], 1.0 * g["cb"]])
    mx, mc = -a * vx, b * vc
    zero = 0.0 * vM
    rows = [vM + a * a * vx + b * b * vc, mx, mc, mx, vx, zero, mc, zero, vc]
    return mean, np.stack(rows).reshape(3, 3)


class Survey:
    """Objects with redshifts and measurement covariances.

    Parameters
    ----------
    z : (N,) array
        Redshifts in the frame of the microwave background.
    covariance : (N, 3, 3) array
        Of (mB, x1, c) of each object.
    z_helio : (N,) array, optional
        Heliocentric redshifts (default: z).
    selection : dict, optional
        h (3,), lim, sd: P(selected | d) = Phi((lim - h.d)/sd).
    H0 : float
        km/s/Mpc; moves M0 only.
    step : (N,) array, optional
        Added to m_s times the global gamma, for instance [log10 M_host > 10].
    systematics : (N, k) array, optional
        Columns U [mag]: U U^T is added to the covariance of all mB. Not together with
        selection, whose normalisation is then no product over objects.

    Examples
    --------
    >>> import gradiverse as gv
    >>> truth, z, S = gv.supernova.fiducial(50)
    >>> survey = gv.supernova.Survey(z, S)
    >>> d = gv.supernova.simulate(truth, z, S, rng=0)
    >>> value, gradient = survey.value_and_gradient(truth, d)
    >>> sorted(gradient)[:3]
    ['M0', 'OL', 'Om']
    """

    def __init__(
        self, z, covariance, z_helio=None, selection=None, H0=70.0, step=None,
        systematics=None,
    ):  # fmt: skip
        self.z = _check.redshifts(z)
        n = len(self.z)
        if n == 0:
            raise ValueError("a survey needs at least one object")
        helio = self.z if z_helio is None else _check.redshifts(z_helio, "z_helio", n)
        self.z_helio = helio
        self.S = _check.covariances(covariance, n)
        self.selection = None if selection is None else _check.selection_of(selection)
        if not (np.isfinite(H0) and H0 > 0):
            raise ValueError(f"H0 must be positive, got {H0!r}")
        self.H0 = float(H0)
        self.z_max = float(self.z.max())
        self.constant = constant_part(self.z, helio, self.H0)
        self.step = None if step is None else _extend.vector(step, n, "step")
        self.systematics = _extend.columns(systematics, n)
        if self.selection is not None and self.systematics is not None:
            raise ValueError(
                "selection and systematics together have no likelihood in closed form:"
                " leave one of them out"
            )
        self._factor = None
        self._compiled = {}

    def __len__(self):
        return len(self.z)

    def __repr__(self):
        return f"Survey({len(self)} objects, z {self.z.min():.3g} to {self.z_max:.3g})"

    @property
    def covariance(self):
        """(N, 3, 3)."""
        return self.S.reshape(-1, 3, 3)

    def factor(self):
        """Lower Cholesky factors (N, 9) of the measurement covariances."""
        if self._factor is None:
            self._factor = _check.cholesky(self.S)
        return self._factor

    def moduli(self, globals):
        """Distance moduli (N,) and whether the cosmology is valid for all."""
        g = globals
        return modulus(g["Om"], g["OL"], g["w"], self.z, self.constant, self.z_max)

    def _shift(self, g):
        """Moduli and host step (N,), and whether the cosmology is valid for all."""
        mu, valid = self.moduli(g)
        if self.step is not None:
            return mu + _extend.needed(g, "gamma", "step") * self.step, valid
        if "gamma" in g:
            raise ValueError("gamma is given but the survey has no step")
        return mu, valid

    def log_likelihood(self, globals, data):
        """ln p(data | globals), -inf for a cosmology that is not valid; see
        `log_likelihood`."""
        g = _check.parameters(globals, _extend.NAMES)
        d = _check.observations(data, len(self))
        return self._value(g, d)

    def _value(self, g, d):
        shift, valid = self._shift(g)
        mean, cov = population(g)
        dusty = "tau" in g or "R_B" in g
        if dusty and (self.selection is not None or self.systematics is not None):
            what = "selection" if self.systematics is None else "systematics"
            raise ValueError(
                f"dust (R_B, tau) and {what} together have no likelihood in closed"
                " form: leave one of them out"
            )
        value, _, _, a0 = emit("sn_loglike", (mean, cov, shift, d, self.S))
        if self.systematics is not None:
            value = value + _extend.woodbury(cov, self.S, a0, self.systematics)
        if dusty:
            value = value + _extend.dust(g, mean, cov, shift, d, self.S)
        if self.selection is not None:
            value = value + self._selected(mean, cov, shift, d)
        return np.where(valid, value, -np.inf)

    def _selected(self, mean, cov, shift, d):
        """Sum of ln Phi((lim - h.d)/sd) - ln Phi(t)."""
        from ..ops import log_ndtr

        h, lim, sd = self.selection
        own = np.einsum("nij,i,j->n", self.covariance, h, h)
        V = own + h @ (cov @ h)
        t = (lim - h @ mean - h[0] * shift) / np.sqrt(sd * sd + V)
        return (log_ndtr((lim - d @ h) / sd) - log_ndtr(t)).sum()

    def value_and_gradient(self, globals, data):
        """Log-likelihood and its gradient to all globals, by a planned program.

        Parameters
        ----------
        globals : dict
        data : (N, 3) array

        Returns
        -------
        value : float
        gradient : dict of float
        """
        g = _check.parameters(globals, _extend.NAMES)
        d = _check.observations(data, len(self))
        names = tuple(g)
        if names not in self._compiled:
            f = value_and_grad(
                lambda theta, d: self._value(dict(zip(names, theta, strict=True)), d)
            )
            self._compiled[names] = compile(f)
        value, gradient = self._compiled[names](np.array([g[k] for k in names]), d)
        return float(value), dict(zip(names, map(float, gradient), strict=True))

    def fisher(self, globals, model="flat"):
        """Fisher matrix of a model's free globals; see `fisher`."""
        from ._fisher import matrix

        return matrix(self, _check.parameters(globals, ("gamma",)), model)


def log_likelihood(
    globals, data, z, covariance, selection=None, z_helio=None, **survey
):
    """Exact log-likelihood with the latents of all objects integrated out.

    Parameters
    ----------
    globals : dict
        Om, OL, w, M0, sres, alpha, beta, xb, Rx, cb, Rc; besides, gamma where `step` is
        given, and for dust R_B and tau (mean of the exponential reddening). May be
        traced.
    data : (N, 3) array
        mB, x1, c.
    z, covariance, z_helio, selection
        See `Survey`; further keywords (H0, step, systematics) go to it too.

    Returns
    -------
    float
        Sum over objects of ln p(d_s | globals[, selected]); -inf where the cosmology
        has E^2 <= 0 or no distance before the largest redshift.

    Notes
    -----
    N(d; mbar, Sig) with Sig = A D A^T + S; with selection times
    Phi((lim - h.d)/sd)/Phi(t), t = (lim - h.mbar)/sqrt(sd^2 + h^T Sig h), by log Phi.

    Examples
    --------
    >>> import gradiverse as gv
    >>> g = gv.supernova.fiducial(1)[0]
    >>> S = [[[0.0016, 0, 0.0006], [0, 0.09, 0], [0.0006, 0, 0.0009]]]
    >>> value = gv.supernova.log_likelihood(g, [[22.9, 0.4, -0.05]], [0.5], S)
    >>> round(float(value), 6)
    0.987216
    """
    return Survey(z, covariance, z_helio, selection, **survey).log_likelihood(
        globals, data
    )


def fisher(globals, z, covariance, model="flat", z_helio=None, **survey):
    """Fisher matrix of the globals that a model leaves free.

    Parameters
    ----------
    globals : dict
        Where it is taken; for the flat models OL must be 1 - Om.
    z, covariance, z_helio
        See `Survey`; further keywords (selection, H0, step, systematics) go to it too.
    model : {"flat", "wcdm", "curved"}
        Free: Om; Om and w; Om and OL (w as given); and always M0, sres, alpha, beta,
        xb, Rx, cb, Rc, in this order; with a step gamma, last.

    Returns
    -------
    (p, p) array

    Notes
    -----
    F_ab = Sum_s [mbar_a^T Sig^-1 mbar_b + 1/2 tr(Sig^-1 Sig_a Sig^-1 Sig_b)], with
    systematics the same of the covariance of all objects, by Woodbury's formula; with
    selection the covariance of scores among selected data, from moments of a truncated
    normal. Dust has none here.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> g, z, S = gv.supernova.fiducial(1000)
    >>> F = gv.supernova.fisher(g, z, S)
    >>> round(float(np.sqrt(np.linalg.inv(F)[0, 0])), 4)
    0.0141
    """
    return Survey(z, covariance, z_helio, **survey).fisher(globals, model)
