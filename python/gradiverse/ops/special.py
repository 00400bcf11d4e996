"""Special functions and log-densities outside NumPy.

On plain arrays they run through the engine at once; scipy.special's ufuncs of the
same names work on traced values too.
"""

import math

import numpy as np

from . import ufuncs as u
from ._core import (
    UFUNCS,
    Var,
    as_var,
    axis_index,
    axis_tuple,
    cast,
    emit,
    first_var,
    fit,
    inexact,
    is_traced,
    move_last,
    permute,
    reshaped,
    shape_of,
)
from .reductions import amax, sum

__all__ = [
    "digamma", "erf", "erfc", "expit", "gammaln", "log_ndtr", "log_softmax",
    "logsumexp", "ndtri", "polygamma", "relu", "sigmoid", "softmax", "softplus",
    "stop_gradient", "student_t_logpdf", "xlogy",
]  # fmt: skip


def _function(name, op, doc, *scipy_names):
    def function(x, /, **kwargs):
        u.refuse(name, kwargs)
        if isinstance(x, Var) or is_traced(x):
            x = as_var(x)
            x = cast(x, inexact(x.dtype))
        else:
            x = np.asarray(x)
            x = x.astype(inexact(x.dtype), copy=False)
        return emit(op, (x,))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""{doc}

    Parameters
    ----------
    x : array, real

    Returns
    -------
    array of the shape of x; float32 stays float32
    """
    for scipy_name in scipy_names:
        UFUNCS[scipy_name] = function
    return function


erf = _function("erf", "erf", "Error function.", "erf")
erfc = _function("erfc", "erfc", "Complementary error function.", "erfc")
log_ndtr = _function(
    "log_ndtr", "log_ndtr", "Logarithm of the standard normal distribution function.",
    "log_ndtr",
)  # fmt: skip
ndtri = _function("ndtri", "ndtri", "Quantile of the standard normal.", "ndtri")
gammaln = _function(
    "gammaln", "gammaln", "Logarithm of the absolute gamma function.", "gammaln"
)
digamma = _function("digamma", "digamma", "Derivative of log gamma.", "digamma", "psi")
relu = _function("relu", "relu", "x where positive, else 0; its derivative at 0 is 0.")
sigmoid = expit = _function("sigmoid", "sigmoid", "1 / (1 + exp(-x)).", "expit")
softplus = _function("softplus", "softplus", "log(1 + exp(x)).", "log1pexp")


def polygamma(n, x):
    """n-th derivative of digamma.

    Parameters
    ----------
    n : int
        Order, at least 0.
    x : array, real
    """
    n = int(n)
    if n < 0:
        raise ValueError(f"polygamma: the order must not be negative, got {n}")
    if n == 0:
        return digamma(x)
    x = as_var(x) if is_traced(x) else np.asarray(x)
    dtype = inexact(x.dtype)
    x = cast(x, dtype) if isinstance(x, Var) else x.astype(dtype, copy=False)
    return emit("polygamma", (x,), n=n)


def stop_gradient(x):
    """x, taken as a constant by derivatives."""
    return emit("stop_gradient", (as_var(x),)) if is_traced(x) else x


def xlogy(x, y):
    """x log(y), zero where x is zero.

    Parameters
    ----------
    x, y : array, real
    """
    from .elementwise import where

    zero = u.equal(x, 0)
    return where(zero, 0.0, u.multiply(x, u.log(where(zero, 1.0, y))))


UFUNCS["xlogy"] = xlogy


# --- along axes -----------------------------------------------------------------


def _eager(function):
    """Let a function of traced values take plain arrays as well."""

    def both(x, *args, **kwargs):
        if is_traced(x, *args, *kwargs.values()):
            return function(as_var(x, first_var(x, *args, *kwargs.values())), *args,
                            **kwargs)  # fmt: skip
        from ..graph import run

        x = np.asarray(x)
        return run(lambda v: function(v, *args, **kwargs), x)

    both.__name__ = both.__qualname__ = function.__name__
    both.__doc__ = function.__doc__
    both.__wrapped__ = function
    return both


@_eager
def logsumexp(x, axis=None, keepdims=False, b=None):
    """log(sum(b exp(x))) without overflow.

    Parameters
    ----------
    x : array, real
    axis : int, tuple of int or None
        Axes summed over; None: all.
    keepdims : bool
        Keep the summed axes with length 1.
    b : array, optional
        Factors, not negative in sum.

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse import ops
    >>> round(float(ops.logsumexp(np.array([1000.0, 1000.0]))), 4)
    1000.6931
    """
    x = cast(x, inexact(x.dtype))
    axes = tuple(range(x.ndim)) if axis is None else axis_tuple(axis, x.ndim)
    if b is not None:
        return _weighted_logsumexp(x, axes, keepdims, b)
    rest = [i for i in range(x.ndim) if i not in axes]
    shape = [x.shape[i] for i in rest]
    n = math.prod(x.shape[i] for i in axes)
    flat = reshaped(permute(x, [*rest, *axes]), (*shape, n))
    y = emit("logsumexp", (flat,))
    if keepdims:
        y = reshaped(y, [1 if i in axes else m for i, m in enumerate(x.shape)])
    return y


def _weighted_logsumexp(x, axes, keepdims, b):
    shape = np.broadcast_shapes(x.shape, shape_of(b))
    x, b = fit(x, x.dtype, shape, x), fit(b, x.dtype, shape, x)
    top = emit("stop_gradient", (amax(x, axes, keepdims=True),))
    total = sum(u.multiply(b, u.exp(u.subtract(x, top))), axes, keepdims=True)
    y = u.add(u.log(total), top)
    if keepdims:
        return y
    return reshaped(y, [m for i, m in enumerate(shape) if i not in axes])


def _over_last(x, axis, op, **attrs):
    """An operator of the last axis, over another axis, a tuple of axes or all."""
    if axis is None or isinstance(axis, tuple):
        axes = tuple(range(x.ndim)) if axis is None else axis_tuple(axis, x.ndim)
        rest = [i for i in range(x.ndim) if i not in axes]
        order = [*rest, *axes]
        moved = permute(x, order)
        lead = [x.shape[i] for i in rest]
        flat = reshaped(moved, (*lead, math.prod(x.shape[i] for i in axes)))
        y = reshaped(emit(op, (flat,), **attrs), moved.shape)
        return permute(y, np.argsort(order).tolist())
    moved, back = move_last(x, axis_index(axis, x.ndim))
    y = emit(op, (moved,), **attrs)
    return y if back is None else permute(y, back)


@_eager
def softmax(x, axis=-1):
    """exp(x) / sum(exp(x)) along an axis.

    Parameters
    ----------
    x : array, real
    axis : int, tuple of int or None
        Axes that sum to one; None: all.
    """
    return _over_last(cast(x, inexact(x.dtype)), axis, "softmax", zero_empty=0)


@_eager
def log_softmax(x, axis=-1):
    """Logarithm of `softmax`.

    Parameters
    ----------
    x : array, real
    axis : int, tuple of int or None
    """
    return _over_last(cast(x, inexact(x.dtype)), axis, "log_softmax")


@_eager
def student_t_logpdf(x, df, loc=0.0, scale=1.0):
    """Logarithm of the density of Student's t distribution.

    Parameters
    ----------
    x : array
        In the units of loc and scale.
    df : array
        Degrees of freedom, positive.
    loc, scale : array
        Position and (positive) width.

    Returns
    -------
    array, all arguments broadcast

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse import ops
    >>> round(float(ops.student_t_logpdf(0.5, 3.0)), 6)
    -1.160974
    """
    z = (x - loc) / scale
    half = 0.5 * (df + 1.0)
    norm = _weakly(gammaln, half) - _weakly(gammaln, 0.5 * df)
    norm = norm - 0.5 * _weakly(u.log, df * np.pi)
    bulk = half * u.log1p(u.square(z) / df)
    return norm - _weakly(u.log, scale) - bulk


def _weakly(function, x):
    """A function's value, as a Python number of a Python number."""
    y = function(x)
    return float(y) if type(x) in (int, float) else y
