"""Exact posteriors of the latent numbers of each object."""

import numpy as np

from ..compile import compile
from . import _check, _extend
from .survey import Survey, population


def gaussians(survey, g, d):
    """Means (N, 3) and covariances (N, 3, 3) of (M, x, c) for fixed globals.

    With q = A (M, x, c) the data are q + mu e_1 plus noise of covariance S, the prior
    of q has covariance Q = A D A^T, so cov(q) = S Sig^-1 Q (no difference is taken) and
    the means are nu + D A^T Sig^-1 r. Systematics U e, e ~ N(0, 1), are taken from the
    residuals of mB at the posterior mean of e, and its covariance C^-1, with C = 1 +
    U^T (Sig^-1)_00 U, adds f f^T (U C^-1 U^T)_ss, f = D A^T Sig^-1 e_1.
    """
    shift, _ = survey._shift(g)
    mean, Q = population(g)
    a, b = g["alpha"], g["beta"]
    S = survey.covariance
    P = np.linalg.inv(Q + S)
    r = d - mean
    r = np.concatenate([(r[:, 0] - shift)[:, None], r[:, 1:]], axis=1)
    solved = (P @ r[:, :, None])[:, :, 0]
    U = survey.systematics
    if U is not None:
        C = np.linalg.inv(np.eye(U.shape[1]) + U.T @ (P[:, 0, 0][:, None] * U))
        solved = solved - P[:, :, 0] * (U @ (C @ (U.T @ solved[:, 0])))[:, None]
    vM, vx, vc = g["sres"] ** 2, g["Rx"] ** 2, g["Rc"] ** 2
    M = g["M0"] + vM * solved[:, 0]
    x = g["xb"] + vx * (solved[:, 1] - a * solved[:, 0])
    c = g["cb"] + vc * (solved[:, 2] + b * solved[:, 0])
    cov = S @ P @ Q
    row = cov[:, 0] + a * cov[:, 1] - b * cov[:, 2]  # A^-1 from the left
    top = row[:, 0] + a * row[:, 1] - b * row[:, 2]
    full = [[top, row[:, 1], row[:, 2]]]
    full += [[row[:, 1], cov[:, 1, 1], cov[:, 1, 2]]]
    full += [[row[:, 2], cov[:, 1, 2], cov[:, 2, 2]]]
    full = np.stack([np.stack(line, axis=-1) for line in full], axis=-2)
    if U is not None:
        f = [vM * P[:, 0, 0], vx * (P[:, 1, 0] - a * P[:, 0, 0])]
        f = np.stack([*f, vc * (P[:, 2, 0] + b * P[:, 0, 0])], axis=-1)
        spread = ((U @ C) * U).sum(axis=1)
        full = full + spread[:, None, None] * f[:, :, None] * f[:, None]
    return np.stack([M, x, c], axis=-1), full


def object_posterior(globals, data, z, covariance, z_helio=None, H0=70.0, **survey):
    """Posterior of (M, x, c) of every object, for fixed globals.

    Parameters
    ----------
    globals : dict
        May be traced.
    data : (N, 3) array
    z, covariance, z_helio, H0
        See `Survey`; further keywords (step, systematics) go to it too.

    Returns
    -------
    mean : (N, 3) array
    covariance : (N, 3, 3) array

    Notes
    -----
    Gaussian with precision D^-1 + A^T S^-1 A; systematics widen it, for what objects
    have in common is integrated out. Selection that acts on the data leaves it as it
    is.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> g = gv.supernova.fiducial(1)[0]
    >>> S = [[[0.0016, 0, 0.0006], [0, 0.09, 0], [0.0006, 0, 0.0009]]]
    >>> m, C = gv.supernova.object_posterior(g, [[22.9, 0.4, -0.05]], [0.5], S)
    >>> m.round(4).tolist(), np.sqrt(C[0, 0, 0]).round(4)
    ([[-19.2314, 0.2933, -0.0351]], np.float64(0.0598))
    """
    g = _check.parameters(globals, ("gamma",))
    survey = Survey(z, covariance, z_helio, H0=H0, **survey)
    d = _check.observations(data, len(survey))
    return gaussians(survey, g, d)


def mean_object_posterior(survey, data, samples):
    """Posterior of each M_s averaged over posterior samples of the globals.

    Parameters
    ----------
    survey : Survey
    data : (N, 3) array
    samples : sequence of dict
        Globals; a few hundred are enough, for the spread of the means is small.

    Returns
    -------
    mean, sd : (N,) arrays
        Of the mixture of Gaussians.

    Examples
    --------
    >>> import gradiverse as gv
    >>> truth, z, S = gv.supernova.fiducial(20)
    >>> survey = gv.supernova.Survey(z, S)
    >>> d = gv.supernova.simulate(truth, z, S, 0)
    >>> mean, sd = gv.supernova.mean_object_posterior(survey, d, [truth])
    >>> mean.shape, sd.shape
    ((20,), (20,))
    """
    samples = list(samples)
    if not samples:
        raise ValueError(
            "samples is empty: give globals of at least one posterior draw"
        )
    d = _check.observations(data, len(survey))
    names = _check.GLOBALS if survey.step is None else (*_check.GLOBALS, "gamma")

    def moments(theta):
        g = dict(zip(names, theta, strict=True))
        mean, cov = gaussians(survey, g, d)
        return mean[:, 0], cov[:, 0, 0]

    run = compile(moments)
    total, square, inner = (np.zeros(len(survey)) for _ in range(3))
    first = None
    for sample in samples:
        g = _check.parameters(sample, names)
        g = [_extend.needed(g, k, "the survey") for k in names]
        mean, var = run(np.array(g, dtype=float))
        first = mean.copy() if first is None else first
        total += mean - first
        square += (mean - first) ** 2
        inner += var
    n = len(samples)
    spread = np.maximum(square / n - (total / n) ** 2, 0.0)
    return first + total / n, np.sqrt(inner / n + spread)
