"""Marginal-likelihood fits of many series at once."""

import numpy as np

from .. import _core
from ..batch import vmap
from ..compile import compile
from ..grad import value_and_grad
from ._check import finite, floating, points
from ._optimise import minimise, rescaled
from ._run import apply
from .base import Kernel
from .kronecker import Kronecker
from .likelihood import log_likelihood

__all__ = ["fit_batch"]

#: rows per call of the compiled likelihood; the last chunk is filled up to one of these
SIZES = (1, 8, 32, 128, 256)


def objective(kernel, X):
    """Compiled (theta (b, p), Y (b, T)) -> -log likelihood (b,) and gradient (b, p)."""

    def loss(theta, y):
        return -log_likelihood(kernel.with_theta(theta)(X), y)

    return compile(vmap(value_and_grad(loss)))


def evaluate_rows(f, theta, Y):
    """f in chunks of fixed sizes; rows that are not positive definite get inf."""
    n = len(theta)
    value, gradient = np.empty(n), np.empty(theta.shape)
    for start in range(0, n, SIZES[-1]):
        rows = slice(start, min(n, start + SIZES[-1]))
        _chunk(f, theta[rows], Y[rows], value[rows], gradient[rows])
    return value, gradient


def _chunk(f, theta, Y, value, gradient):
    n = len(theta)
    size = next(s for s in SIZES if s >= n)
    if size > n:
        fill = np.zeros(size - n, dtype=int)
        index = np.concatenate([np.arange(n), fill])
        theta, Y = theta[index], Y[index]
    try:
        v, g = f(theta, Y)
    except _core.LinAlgError:
        if n == 1:
            value[:], gradient[:] = np.inf, 0.0
            return
        half = n // 2
        _chunk(f, theta[:half], Y[:half], value[:half], gradient[:half])
        _chunk(f, theta[half:n], Y[half:n], value[half:], gradient[half:])
        return
    value[:], gradient[:] = v[:n], g[:n]


def fit_batch(kernel, X, Y, start=None, maxiter=200, full=False):
    """Maximum-likelihood hyper-parameters of each of many series.

    One optimisation per row, all rows advanced together; gradients are exact.

    Parameters
    ----------
    kernel : Kernel
        Its values are the starting point, after one closed-form step: the variances
        are multiplied by their best common factor for each row. Its bounds hold.
    X : (T,) or (T, d) array
        The points, common to all rows.
    Y : (B, T) array
        One series per row, with zero mean (subtract a mean that is known).
    start : (p,) or (B, p) array, optional
        Another starting theta, taken as it is.
    maxiter : int
        Most evaluations of a row.
    full : bool
        Return also which rows have converged.

    Returns
    -------
    theta : (B, n_hyper) array
        Natural logarithms of the hyper-parameters, in order of appearance.
    value : (B,) array
        Log marginal likelihood there.
    converged : (B,) bool array
        If full.

    Raises
    ------
    ValueError
        If the kernel has no hyper-parameters, shapes do not fit, or the likelihood is
        not finite at a starting point.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> rng = np.random.default_rng(1)
    >>> k = gv.gp.SquaredExponential(1.0, 2.0) + gv.gp.White(0.1)
    >>> t = np.arange(25)
    >>> Y = rng.multivariate_normal(np.zeros(25), k(t), 200)
    >>> theta, value = gv.gp.fit_batch(k, t, Y)
    >>> theta.shape, bool(abs(np.median(np.exp(theta[:, 1])) - 2.0) < 0.2)
    ((200, 3), True)
    """
    if not isinstance(kernel, Kernel) or isinstance(kernel, Kronecker):
        raise TypeError("kernel must be a Kernel over points, e.g. Matern32()")
    a = points(X)
    Y = finite(floating(Y, "Y"), "Y").astype(float)
    if Y.ndim != 2 or Y.shape[1] != len(a):
        raise ValueError(
            f"Y must have the shape (series, {len(a)}), one value for each point of X; "
            f"got {Y.shape}"
        )
    p = kernel.n_hyper
    if p == 0:
        raise ValueError("the kernel has no free hyper-parameters to fit")
    if len(Y) == 0:
        empty = np.empty((0, p)), np.empty(0)
        return (*empty, np.empty(0, dtype=bool)) if full else empty
    if start is None:
        alpha = apply("gp_logml", (kernel(a), Y))[1]
        start = rescaled(kernel, kernel.theta, np.mean(Y * alpha, axis=1))
    start = np.asarray(start, dtype=float)
    if start.shape not in ((p,), (len(Y), p)) or not np.isfinite(start).all():
        raise ValueError(f"start must be finite with the shape ({p},) or (B, {p})")
    f = objective(kernel, a)
    found = minimise(
        lambda theta, rows: evaluate_rows(f, theta, Y[rows]),
        np.broadcast_to(start, (len(Y), p)),
        kernel.bounds,
        maxiter=maxiter,
    )
    out = found.theta, -found.value
    return (*out, found.converged) if full else out
