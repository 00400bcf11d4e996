"""Conditioning of normal vectors, and variances of their linear functionals."""

import numpy as np

from ._check import finite, floating, square
from ._run import apply

__all__ = ["condition", "covariance", "variance"]


def observed_index(observed, T):
    """Positions of the observed points as a tuple of ints in 0..T-1, each once."""
    index = np.asarray(observed)
    if index.dtype == bool:
        if index.shape != (T,):
            raise ValueError(
                f"a mask of observed points needs the shape ({T},), got {index.shape}"
            )
        return tuple(np.flatnonzero(index).tolist())
    if index.size == 0:
        return ()
    if index.dtype.kind not in "iu":
        raise TypeError(f"observed must be int indices, got an array of {index.dtype}")
    if index.ndim != 1:
        raise ValueError(f"observed must be one-dimensional, got shape {index.shape}")
    bad = index[(index < 0) | (index >= T)]
    if bad.size:
        raise ValueError(f"observed index {bad[0]} is not one of 0..{T - 1}")
    if len(np.unique(index)) != len(index):
        twice = next(i for i in index.tolist() if (index == i).sum() > 1)
        raise ValueError(f"index {twice} is observed twice; give each point once")
    return tuple(index.tolist())


def condition(K, prior_mean, observed, values):
    """Distribution of the other points of a normal vector, given some of them.

    With o the observed points and z the rest,

        mean = m_z + K_zo K_oo⁻¹ (x_o - m_o),   cov = K_zz - K_zo K_oo⁻¹ K_oz.

    Parameters
    ----------
    K : (..., T, T) array
        Covariance, symmetric and positive definite on the observed points. Leading
        axes: one kernel per series. A shared (T, T) kernel is factored once.
    prior_mean : (..., T) array or scalar
    observed : (n,) ints
        Indices of the observed points, in the order of ``values``.
    values : (..., n) array
        The observed values.

    Returns
    -------
    mean : (..., T - n) array
        The rest in order, over the joint leading axes of K, prior_mean and values.
    cov : (..., T - n, T - n) array
        Exactly symmetric, over the leading axes of K alone.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a kernel is not positive definite on the observed points; names the series
        of the batch, the pivot, and a jitter for the diagonal that would do.
    ValueError
        If the shapes do not fit, or an index is out of range or given twice.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> K = gv.gp.SquaredExponential(scale=2.0)(np.arange(4)) + 0.1 * np.eye(4)
    >>> mean, cov = gv.gp.condition(K, np.zeros(4), [0, 1], [1.0, 0.5])
    >>> mean.round(3), cov.shape
    (array([0.246, 0.028]), (2, 2))
    """
    K = square(K)
    prior, values = floating(prior_mean, "prior_mean"), floating(values, "values")
    T = K.shape[-1]
    index = observed_index(observed, T)
    n = len(index)
    if values.ndim == 0 or values.shape[-1] != n:
        raise ValueError(
            f"values must have the shape (..., {n}), one for each observed index; got "
            f"{tuple(values.shape)}"
        )
    if prior.ndim and prior.shape[-1] not in (T, 1):
        raise ValueError(
            f"prior_mean must have the shape (..., {T}), got {tuple(prior.shape)}"
        )
    finite(values, "values")
    strong = (K, values) if isinstance(prior_mean, (int, float)) else (K, prior, values)
    dtype = np.result_type(*(x.dtype for x in strong))
    if prior.ndim == 0:
        prior = np.reshape(prior, (1,))
    K, prior, values = (_cast(x, dtype) for x in (K, prior, values))
    return _layout(K, prior, values, index, T)


def _cast(x, dtype):
    return x if x.dtype == dtype else x.astype(dtype)


def _layout(K, prior, values, index, T):
    """Arrange the batch for the operator: kernels in front, then series per kernel."""
    n, lead = len(index), K.shape[:-2]
    try:
        batch = np.broadcast_shapes(lead, prior.shape[:-1], values.shape[:-1])
    except ValueError:
        raise ValueError(
            f"the leading axes of K {tuple(K.shape)}, prior_mean {tuple(prior.shape)} "
            f"and values {tuple(values.shape)} do not fit"
        ) from None
    wide = (1,) * (len(batch) - len(lead)) + lead
    shared = [k for k, size in enumerate(batch) if wide[k] == 1 and size != 1]
    own = [k for k in range(len(batch)) if k not in shared]
    order = own + shared
    kernels = [batch[k] for k in own]
    m = int(np.prod([batch[k] for k in shared], dtype=int))

    def series(x, width):
        x = np.broadcast_to(x, (*batch, width))
        if order != list(range(len(batch))):
            x = np.transpose(x, (*order, len(batch)))
        return np.reshape(x, (*kernels, m, width))

    mean, cov = apply(
        "gp_condition",
        (np.reshape(K, (*kernels, T, T)), series(prior, T), series(values, n)),
        index,
    )
    mean = np.reshape(mean, (*(batch[k] for k in order), T - n))
    if order != list(range(len(batch))):
        mean = np.transpose(mean, (*np.argsort(order).tolist(), len(batch)))
    return mean, np.reshape(cov, (*lead, T - n, T - n))


def variance(cov, w):
    """Variance wᵀCw of the linear functional w'x of a vector with covariance C.

    Parameters
    ----------
    cov : (..., T, T) array
    w : (..., T) array
        Weights, e.g. ones for the sum over all points.

    Returns
    -------
    (...) array
    """
    return covariance(cov, w, w)


def covariance(cov, w, v):
    """Covariance wᵀCv of two linear functionals w'x and v'x.

    Parameters
    ----------
    cov : (..., T, T) array
    w, v : (..., T) arrays

    Returns
    -------
    (...) array

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> float(gv.gp.covariance(np.eye(3) + 1.0, [1, 1, 1], [0, 0, 1]))
    4.0
    """
    cov, w, v = square(cov, "cov"), floating(w, "w"), floating(v, "v")
    for x, name in ((w, "w"), (v, "v")):
        if x.ndim == 0 or x.shape[-1] != cov.shape[-1]:
            raise ValueError(
                f"{name} must have the shape (..., {cov.shape[-1]}), got {x.shape}"
            )
    row = w[..., None, :] @ cov
    return np.sum(row[..., 0, :] * v, axis=-1)
