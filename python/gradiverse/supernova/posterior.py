"""The exact posterior of the globals, by Hamiltonian Monte Carlo on the likelihood."""

import time
from dataclasses import dataclass

import numpy as np

from ..compile import compile
from ..grad import value_and_grad
from . import _check, _nuts
from .priors import constrain, coordinates, to_coordinates, to_globals, unconstrain
from .survey import FIDUCIAL, Survey


@dataclass(frozen=True)
class Posterior:
    """Samples of the globals' coordinates.

    Attributes
    ----------
    model : str
    names : tuple of str
        Coordinates: the free globals, dispersions by their logarithm (ln_sres, ...).
    chains : (chains, draws, p) array
    rhat, ess : (p,) arrays
        Split R-hat and effective number of draws, for the mean.
    gradients : int
        Evaluations of the gradient, warm-up included.
    seconds : float
    """

    model: str
    names: tuple
    chains: np.ndarray
    rhat: np.ndarray
    ess: np.ndarray
    gradients: int
    seconds: float

    @property
    def samples(self):
        """All draws, (n, p)."""
        return self.chains.reshape(-1, self.chains.shape[-1])

    @property
    def mean(self):
        """(p,)"""
        return self.samples.mean(axis=0)

    @property
    def sd(self):
        """(p,)"""
        return self.samples.std(axis=0, ddof=1)

    @property
    def ess_sd(self):
        """(p,) effective numbers of squared deviations from the mean: what sds are
        worth, often half of `ess`. Their relative errors are 1/sqrt(2 ess_sd), errors
        of means sd/sqrt(ess)."""
        squares = np.moveaxis((self.chains - self.mean) ** 2, 2, 0)
        return np.array([_nuts.effective(c) for c in squares])

    def globals(self, n=200):
        """n of the draws, evenly spaced, as dicts of globals."""
        rows = np.linspace(0, len(self.samples) - 1, n).round().astype(int)
        return [to_globals(theta, self.model) for theta in self.samples[rows]]

    def summary(self):
        """Table of mean, sd, 68 % interval, R-hat and effective draws, for the mean
        (ess) and for the sd (ess_sd).

        Returns
        -------
        DataFrame
        """
        import pandas as pd

        low, mid, high = np.quantile(self.samples, [0.16, 0.5, 0.84], axis=0)
        columns = {"mean": self.mean, "sd": self.sd, "16%": low, "50%": mid}
        columns |= {"84%": high, "rhat": self.rhat, "ess": self.ess}
        columns["ess_sd"] = self.ess_sd
        return pd.DataFrame(columns, index=list(self.names))


def target(survey, data, model):
    """f(u) -> (log posterior, gradient) in unconstrained numbers, a planned program.

    Where dispersions are so large that covariances overflow, the density is 0.
    """

    def density(u, d):
        theta, prior = constrain(u, model)
        return survey._value(to_globals(theta, model), d) + prior

    run = compile(value_and_grad(density))

    def f(u):
        try:
            with np.errstate(all="ignore"):
                value, gradient = run(u, data)
        except np.linalg.LinAlgError:
            return -np.inf, np.zeros(len(u))
        return float(value), np.asarray(gradient)

    return f


def first_guess(survey, data, model):
    """Coordinates from moments of the data: where to begin."""
    g = dict(FIDUCIAL)
    weight = np.median(survey.covariance[:, [1, 2], [1, 2]], axis=0)
    spread = np.maximum(data[:, 1:].var(axis=0) - weight, 0.1 * data[:, 1:].var(axis=0))
    g["xb"], g["cb"] = np.clip(data[:, 1:].mean(axis=0), [-20, -2], [20, 2])
    g["Rx"], g["Rc"] = np.sqrt(np.maximum(spread, 1e-6))
    residual = data[:, 0] - survey.moduli(g)[0]
    columns = np.column_stack([np.ones(len(data)), data[:, 1], data[:, 2]])
    M, a, b = np.linalg.lstsq(columns, residual, rcond=None)[0]
    g["M0"], g["alpha"], g["beta"] = M, np.clip(-a, 0.02, 0.9), np.clip(b, 0.1, 3.9)
    g["sres"] = np.clip((residual - columns @ [M, a, b]).std(), 0.02, 1.0)
    return to_coordinates(g, model)


def climb(f, u):
    """The mode of the density from u on (quasi-Newton), as unconstrained numbers."""
    from scipy.optimize import minimize

    def negative(x):
        value, gradient = f(x)
        if not np.isfinite(value):
            return 1e300, np.zeros_like(x)
        return -value, -gradient

    found = minimize(negative, u, jac=True, method="BFGS", options={"gtol": 1e-3})
    return found.x


def curvature(f, u, scale):
    """Minus the Hessian at u from differences of the gradient, made positive."""
    p = len(u)
    H = np.empty((p, p))
    for i in range(p):
        step = np.zeros(p)
        step[i] = 0.3 * scale[i]
        H[i] = (f(u - step)[1] - f(u + step)[1]) / (2 * step[i])
    H = (H + H.T) / 2
    values, vectors = np.linalg.eigh(H * scale[:, None] * scale)
    values = np.maximum(values, 1e-2)
    return (vectors * values) @ vectors.T / scale[:, None] / scale


def _scales(survey, u, model):
    """Rough sds of the unconstrained numbers, from the Fisher matrix at u."""
    theta, _ = constrain(u, model)
    step = 1e-5
    slope = (constrain(u + step, model)[0] - constrain(u - step, model)[0]) / (2 * step)
    g = to_globals(theta, model)
    F = survey.fisher({k: float(v) for k, v in g.items()}, model)
    names = coordinates(model)
    unit = np.array([g[n[3:]] if n.startswith("ln_") else 1.0 for n in names])
    J = slope * unit
    F = F * J[:, None] * J + 1e-2 * np.eye(len(u))
    return 1.0 / np.sqrt(np.diag(F))


class Warp:
    """Coordinates x in which the ridge of a posterior is straight.

    u = mode + x + (0, B(x_0)): B is a cubic through the points where the density is
    highest for given x_0. The map has unit Jacobian.

    Parameters
    ----------
    f : callable
        u -> (log density, gradient).
    mode : (p,) array
    H : (p, p) array
        Curvature there.
    """

    REACH, POINTS, DROP = 4.0, 9, 12.5

    def __init__(self, f, mode, H):
        self.mode, p = mode, len(mode)
        self.s = np.sqrt(np.linalg.inv(H)[0, 0])
        self.coefficients = np.zeros((4, p - 1))
        rest = np.linalg.inv(np.linalg.cholesky(H[1:, 1:])).T
        top = f(mode)[0]
        found = [(0.0, np.zeros(p - 1))]
        for side in (-1, 1):
            y = np.zeros(p - 1)
            for t in np.linspace(0, self.REACH, self.POINTS // 2 + 1)[1:] * side:
                y, value = self._highest(f, t, rest, y)
                if not value > top - self.DROP:
                    break
                found.append((t, rest @ y))
        t = np.array([a for a, _ in found])
        if len(t) > 4:
            powers = np.vander(t, 4, increasing=True)
            b = np.array([b for _, b in found])
            self.coefficients = np.linalg.lstsq(powers, b, rcond=None)[0]

    def _highest(self, f, t, rest, y):
        from scipy.optimize import minimize

        def negative(y):
            u = self.mode.copy()
            u[0] += t * self.s
            u[1:] += rest @ y
            value, gradient = f(u)
            if not np.isfinite(value):
                return 1e300, np.zeros_like(y)
            return -value, -rest.T @ gradient[1:]

        options = {"gtol": 0.05, "maxiter": 60}
        done = minimize(negative, y, jac=True, method="BFGS", options=options)
        return done.x, -done.fun

    def __call__(self, x):
        """u at x."""
        u = self.mode + x
        u[1:] += (x[0] / self.s) ** np.arange(4) @ self.coefficients
        return u

    def pulled(self, f):
        """f as a function of x."""

        def g(x):
            value, gradient = f(self(x))
            t = x[0] / self.s
            slope = np.array([0.0, 1.0, 2 * t, 3 * t * t]) @ self.coefficients / self.s
            gradient = gradient.copy()
            gradient[0] += slope @ gradient[1:]
            return value, gradient

        return g


def sample_posterior(
    data, z, covariance, model="flat", chains=4, draws=500, warmup=300, rng=0,
    z_helio=None, selection=None, start=None, progress=None, **survey,
):  # fmt: skip
    """Sample the exact posterior of the globals.

    Parameters
    ----------
    data : (N, 3) array
        mB, x1, c.
    z : (N,) array, or a Survey (then no covariance)
    covariance : (N, 3, 3) array or None
    model : {"flat", "wcdm", "curved"}
    chains, draws, warmup : int
    rng : int or SeedSequence
    z_helio, selection, **survey
        See `Survey`.
    start : dict of globals, optional
        Where the search for the mode begins (default: moments of the data).
    progress : callable, optional
        Called with (chain, transition).

    Returns
    -------
    Posterior

    Notes
    -----
    No-U-turn sampling with the curvature at the mode as mass matrix, in logits of the
    uniformly distributed globals and logarithms of dispersions, along whose ridge in Om
    the coordinates are bent (`Warp`); priors are those of
    `prior`, without a box. Chains begin at draws as wide as the curvature says.

    Examples
    --------
    >>> import gradiverse as gv
    >>> truth, z, S = gv.supernova.fiducial(300)
    >>> d = gv.supernova.simulate(truth, z, S, 0)
    >>> p = gv.supernova.sample_posterior(d, z, S, chains=2, draws=100, warmup=100)
    >>> bool(abs(p.mean[0] - 0.3) < 5 * p.sd[0]), bool(p.rhat.max() < 1.1)
    (True, True)
    """
    begin = time.perf_counter()
    if isinstance(z, Survey):
        given = {"covariance": covariance, "z_helio": z_helio, "selection": selection}
        given = [k for k, v in given.items() if v is not None] + list(survey)
        if given:
            raise TypeError(
                f"sample_posterior: the Survey has its own {', '.join(given)}; leave"
                " them out, or give z and covariance in place of the Survey"
            )
        s = z
    else:
        s = Survey(z, covariance, z_helio, selection, **survey)
    for name, value in (("chains", chains), ("draws", draws), ("warmup", warmup)):
        if not isinstance(value, (int, np.integer)) or value < (name == "warmup" or 2):
            raise ValueError(f"{name} = {value!r} is too small or no int")
    d = _check.observations(data, len(s))
    if s.step is not None:
        raise ValueError("sample_posterior has no prior of gamma: leave `step` out")
    f = target(s, d, model)
    theta = first_guess(s, d, model) if start is None else to_coordinates(start, model)
    mode = climb(f, unconstrain(theta, model))
    scales = _scales(s, mode, model)
    warp = Warp(f, mode, curvature(f, mode, scales))
    straight = warp.pulled(f)
    L = np.linalg.cholesky(curvature(straight, np.zeros(len(mode)), scales))
    W = np.linalg.inv(L).T  # x = W q has unit curvature

    def white(q):
        value, gradient = straight(W @ q)
        if not np.isfinite(value):
            return -np.inf, np.zeros_like(q)
        return value, W.T @ gradient

    seeds = np.random.SeedSequence(rng) if isinstance(rng, (int, np.integer)) else rng
    runs, total = [], 0
    for i, seed in enumerate(seeds.spawn(chains)):
        say = None if progress is None else (lambda k, i=i: progress(i, k))
        r = np.random.default_rng(seed)
        at = _start(white, r, len(mode))
        q, leaps = _nuts.run(white, at, draws, warmup, r, say)
        total += leaps
        runs.append(np.array([constrain(warp(W @ x), model)[0] for x in q]))
    x = np.stack(runs)
    columns = np.moveaxis(x, 2, 0)
    return Posterior(
        model,
        coordinates(model),
        x,
        np.array([_nuts.split_rhat(c) for c in columns]),
        np.array([_nuts.effective(c) for c in columns]),
        total,
        time.perf_counter() - begin,
    )


def _start(white, rng, p):
    """A dispersed point where the density exists."""
    width = 1.0
    for _ in range(100):
        q = width * rng.normal(size=p)
        value, _ = white(q)
        if np.isfinite(value):
            return q
        width *= 0.8
    return np.zeros(p)
