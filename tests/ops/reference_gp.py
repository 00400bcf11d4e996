"""Gaussian-process operators written out with NumPy's dense linear algebra."""

import numpy as np


def _t(x):
    return np.swapaxes(x, -1, -2)


def gp_logml(k, r):
    """log N(r; 0, k), k^-1 r and the lower factor."""
    dtype, k, r = k.dtype, k.astype(float), r.astype(float)
    alpha = _t(np.linalg.solve(k, _t(r)))
    logdet = np.linalg.slogdet(k)[1][..., None]
    logp = -0.5 * ((alpha * r).sum(-1) + logdet + r.shape[-1] * np.log(2 * np.pi))
    return logp.astype(dtype), alpha.astype(dtype), np.linalg.cholesky(k).astype(dtype)


def gp_logml_bwd(alpha, chol, g):
    """(sum_s g alpha alpha' - sum_s g (chol chol')^-1) / 2 and -g alpha."""
    dtype, alpha, chol, g = alpha.dtype, *(x.astype(float) for x in (alpha, chol, g))
    inverse = np.linalg.inv(chol @ _t(chol))
    outer = np.einsum("...s,...si,...sj->...ij", g, alpha, alpha)
    g_k = 0.5 * (outer - g.sum(-1)[..., None, None] * inverse)
    return g_k.astype(dtype), (-g[..., None] * alpha).astype(dtype)


def gp_condition(k, prior, values, observed):
    """The covariance of the rest as the inverse of its block of the precision."""
    dtype, k, prior, values = k.dtype, *(x.astype(float) for x in (k, prior, values))
    o = np.asarray(observed, int)
    z = np.setdiff1d(np.arange(k.shape[-1]), o)
    precision = np.linalg.inv(k)
    cov = np.linalg.inv(precision[..., z[:, None], z])
    gain = -cov @ precision[..., z[:, None], o]
    mean = prior[..., z] + (values - prior[..., o]) @ _t(gain)
    return mean.astype(dtype), cov.astype(dtype)


def register(reference):
    """Add these functions to the table of references."""
    for f in (gp_logml, gp_logml_bwd, gp_condition):
        reference[f.__name__] = f
