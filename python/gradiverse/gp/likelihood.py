"""Log likelihoods of series with a given covariance, by maximum likelihood or REML."""

import numpy as np

from ._check import floating, square
from ._run import apply

__all__ = ["log_likelihood", "restricted_log_likelihood"]


def log_likelihood(K, r):
    """log N(r; 0, K) of each series.

    -½ (rᵀK⁻¹r + log|K| + T log 2π); the gradient with respect to K is
    ½ (ααᵀ - K⁻¹), α = K⁻¹r.

    Parameters
    ----------
    K : (..., T, T) array
        Symmetric positive definite; leading axes: one kernel per group of series.
    r : (..., T) or (..., m, T) array
        Residuals. With one axis more than the leading axes of K and T: m series share
        each kernel, which is factored once.

    Returns
    -------
    (...) or (..., m) array

    Raises
    ------
    numpy.linalg.LinAlgError
        If a kernel is not positive definite; names series, pivot and jitter.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> float(gv.gp.log_likelihood(np.eye(2), np.array([1.0, 1.0])).round(4))
    -2.8379
    """
    K, r = square(K), floating(r, "r")
    lead, T = K.shape[:-2], K.shape[-1]
    shared = r.ndim == len(lead) + 2
    if r.ndim == 0 or r.shape[-1] != T or not (shared or r.ndim == len(lead) + 1):
        raise ValueError(
            f"r must have the shape (..., {T}) or (..., m, {T}) with the leading axes "
            f"of K {tuple(K.shape)}, got {tuple(r.shape)}"
        )
    if r.shape[: len(lead)] != lead:
        raise ValueError(
            f"the leading axes of K {tuple(K.shape)} and r {tuple(r.shape)} differ"
        )
    dtype = np.result_type(K.dtype, r.dtype)
    K, r = (x if x.dtype == dtype else x.astype(dtype) for x in (K, r))
    if not shared:
        r = np.reshape(r, (*lead, 1, T))
    value = apply("gp_logml", (K, r))[0]
    return value if shared else value[..., 0]


def restricted_log_likelihood(K, Y):
    """REML of N series that share a kernel and an unknown mean of each period.

    The density of N - 1 orthonormal contrasts between the series,
    -½ [(N-1) (log|K| + T log 2π) + tr(K⁻¹S_c)], S_c = Σ (y-ȳ)(y-ȳ)ᵀ. Its gradient
    with respect to K is ½ (K⁻¹S_cK⁻¹ - (N-1) K⁻¹): unlike the plain likelihood of
    the residuals it does not give variances that are low by (N-1)/N.

    Parameters
    ----------
    K : (T, T) array
    Y : (N, T) array
        N ≥ 2 series, e.g. years.

    Returns
    -------
    float
    """
    K, Y = square(K), floating(Y, "Y")
    if Y.ndim != 2 or K.ndim != 2 or Y.shape[1] != K.shape[0]:
        raise ValueError(
            f"K (T, T) and Y (N, T) do not fit: {tuple(K.shape)}, {tuple(Y.shape)}"
        )
    N, T = Y.shape
    if N < 2:
        raise ValueError("REML needs at least two series: the mean takes one of them")
    residual = Y - np.mean(Y, axis=0)
    # One more row, of zeros, gives back the log-determinant that is too many.
    rows = np.concatenate([residual, np.zeros((1, T), residual.dtype)])
    value = log_likelihood(K, rows)
    return np.sum(value[:N]) - value[N]
