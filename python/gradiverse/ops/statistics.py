"""Moments, order statistics, and both without NaN."""

import math

import numpy as np

from . import reductions
from . import ufuncs as u
from ._core import (
    BOOL,
    as_var,
    axis_tuple,
    broadcast,
    cast,
    check_dtype,
    concrete,
    constant,
    emit,
    emit_strong,
    first_var,
    fit,
    implements,
    inexact,
    permute,
    reshaped,
    shape_of,
    span,
)
from .elementwise import where as choose
from .reductions import axes_of, masked, reduce, sum

_none = np._NoValue
__all__ = [
    "average", "corrcoef", "cov", "mean", "median", "nanmax", "nanmean", "nanmin",
    "nanprod", "nanstd", "nansum", "nanvar", "percentile", "quantile", "std", "var",
]  # fmt: skip


def _count(x, axis, where, keepdims):
    """How many elements enter a mean: a number, or a traced or plain array."""
    if where is True or where is _none:
        n = 1
        for i in axes_of(axis, x.ndim):
            n *= x.shape[i]
        return n
    shape = np.broadcast_shapes(shape_of(where), x.shape)
    if first_var(where) is None:
        mask = np.broadcast_to(np.asarray(where, dtype=bool), shape)
        kept = bool(keepdims) and keepdims is not _none
        axes = None if axis is None else axis_tuple(axis, len(shape))
        return np.sum(mask, axis=axes, keepdims=kept).astype(x.real.dtype)
    return cast(sum(fit(where, BOOL, shape, x), axis, keepdims=keepdims), x.dtype)


@implements("mean")
def mean(a, axis=None, dtype=None, out=None, keepdims=False, *, where=True):
    """Arithmetic mean over axes."""
    u.refuse("mean", {"out": out})
    x = as_var(a)
    x = cast(x, inexact(x.dtype) if dtype is None else check_dtype(dtype, "mean"))
    n = _count(x, axis, where, keepdims)
    y = reduce("reduce_sum", masked(x, where, 0), axis, keepdims)
    if isinstance(n, int):
        return emit_strong("mul", (y, constant(_inverse(n), y.dtype, y, y.shape)))
    return u.divide(y, n)


def _inverse(n):
    return 1.0 / n if n else np.nan


@implements("var")
def var(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=True,
        mean=_none, correction=_none):  # fmt: skip
    """Variance over axes: mean of |x - mean|^2 with divisor n - ddof."""
    u.refuse("var", {"out": out})
    x = as_var(a)
    x = cast(x, inexact(x.dtype) if dtype is None else check_dtype(dtype, "var"))
    ddof = ddof if correction is _none else correction
    center = _mean(x, axis, None, None, True, where=where) if mean is _none else mean
    d = u.subtract(x, center)
    if d.dtype.kind == "c":
        d = u.add(
            emit("square", (emit("real", (d,)),)), emit("square", (emit("imag", (d,)),))
        )
    else:
        d = emit("square", (d,))
    n = _count(x, axis, where, keepdims)
    y = reduce("reduce_sum", masked(d, where, 0), axis, keepdims)
    if isinstance(n, int):
        left = n - ddof
        scale = 1.0 / left if left > 0 else np.nan if n == 0 else np.inf
        return emit_strong("mul", (y, constant(scale, y.dtype, y, y.shape)))
    return u.divide(y, u.maximum(u.subtract(n, float(ddof)), 0.0))


_mean = mean


@implements("std")
def std(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=True,
        mean=_none, correction=_none):  # fmt: skip
    """Standard deviation over axes."""
    return u.sqrt(var(a, axis, dtype, out, ddof, keepdims, where=where, mean=mean,
                      correction=correction))  # fmt: skip


@implements("average")
def average(a, axis=None, weights=None, returned=False, *, keepdims=_none):
    """Weighted mean over axes."""
    a = as_var(a, first_var(weights))
    keep = keepdims is not _none and keepdims
    if weights is None:
        y = mean(a, axis, keepdims=keep)
        n = float(_count(a, axis, True, False))
        return (y, constant(n, y.dtype, y, y.shape)) if returned else y
    w = as_var(weights, a)
    if w.shape != a.shape:
        if axis is None:
            raise TypeError("average: weights of another shape than a need an axis")
        axes = axes_of(axis, a.ndim)
        if w.shape != tuple(a.shape[i] for i in axes):
            raise ValueError(
                f"average: weights of shape {w.shape} fit neither a, shape {a.shape}, "
                f"nor its axis {axis}"
            )
        order = np.argsort(axes)
        w = permute(w, order.tolist())
        w = reshaped(w, [n if i in axes else 1 for i, n in enumerate(a.shape)])
    total = sum(broadcast(w, a.shape), axis, keepdims=keep)
    y = u.divide(sum(u.multiply(a, w), axis, keepdims=keep), total)
    return (y, broadcast(cast(total, y.dtype), y.shape)) if returned else y


def _without_nan(name, function, neutral):
    def nan_function(a, axis=None, dtype=None, out=None, keepdims=False, **kwargs):
        u.refuse(name, {"out": out})
        x = as_var(a)
        if x.dtype.kind in "fc":
            x = choose(emit("isnan", (x,)), neutral, x)
        return function(x, axis, dtype, None, keepdims, **kwargs)

    nan_function.__name__ = nan_function.__qualname__ = name
    nan_function.__doc__ = f"{name[3:].capitalize()} over axes; NaN count as {neutral}."
    return implements(name)(nan_function)


nansum = _without_nan("nansum", sum, 0.0)


nanprod = _without_nan("nanprod", reductions.prod, 1.0)


def _nan_extreme(name, function, neutral):
    def nan_function(a, axis=None, out=None, keepdims=False, **kwargs):
        u.refuse(name, {"out": out})
        x = as_var(a)
        if x.dtype.kind != "f":
            return function(x, axis, None, keepdims, **kwargs)
        bad = emit("isnan", (x,))
        y = function(choose(bad, neutral, x), axis, None, keepdims, **kwargs)
        return choose(reductions.all(bad, axis, keepdims=keepdims), np.nan, y)

    nan_function.__name__ = nan_function.__qualname__ = name
    nan_function.__doc__ = f"{name[3:].capitalize()}imum over axes, NaN ignored."
    return implements(name)(nan_function)


nanmax = _nan_extreme("nanmax", reductions.max, -np.inf)


nanmin = _nan_extreme("nanmin", reductions.min, np.inf)


def _nan_moment(name, function):
    def nan_function(a, axis=None, dtype=None, out=None, *args, **kwargs):
        u.refuse(name, {"out": out})
        x = as_var(a)
        if x.dtype.kind not in "fc":
            return function(x, axis, dtype, None, *args, **kwargs)
        good = emit("logical_not", (emit("isnan", (x,)),))
        x = choose(good, x, 0.0)
        return function(x, axis, dtype, None, *args, where=good, **kwargs)

    nan_function.__name__ = nan_function.__qualname__ = name
    nan_function.__doc__ = f"As {name[3:]}, NaN ignored."
    return implements(name)(nan_function)


nanmean = _nan_moment("nanmean", mean)


nanvar = _nan_moment("nanvar", var)


nanstd = _nan_moment("nanstd", std)


# Hyndman and Fan's continuous estimators: position = n q + alpha + q (1 - alpha - beta)
_PLOTTING = {
    "weibull": (0.0, 0.0),
    "linear": (1.0, 1.0),
    "hazen": (0.5, 0.5),
    "interpolated_inverted_cdf": (0.0, 1.0),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}


def _positions(q, n, method):
    """Lower index, upper index and weight of the upper for one level."""
    if method in _PLOTTING:
        alpha, beta = _PLOTTING[method]
        at = n * q + alpha + q * (1 - alpha - beta) - 1
    elif method in ("lower", "higher", "nearest", "midpoint"):
        at = q * (n - 1)
    else:
        raise ValueError(
            f"quantile: method {method!r} is not offered for traced values; use one of "
            + ", ".join([*_PLOTTING, "lower", "higher", "nearest", "midpoint"])
        )
    at = min(max(at, 0.0), n - 1.0)
    low = int(np.floor(at))
    high = int(np.ceil(at))
    if method == "lower":
        return low, low, 0.0
    if method == "higher":
        return high, high, 0.0
    if method == "nearest":
        return int(np.round(at)), int(np.round(at)), 0.0
    return low, high, 0.5 if method == "midpoint" and high > low else at - low


def _flattened(a, axis):
    """Reduced axes joined as the last one, and the shape with them kept as 1."""
    axes = tuple(range(a.ndim)) if axis is None else axis_tuple(axis, a.ndim)
    rest = [i for i in range(a.ndim) if i not in axes]
    kept = [1 if i in axes else n for i, n in enumerate(a.shape)]
    x = permute(a, [*rest, *axes])
    lead = [a.shape[i] for i in rest]
    return reshaped(x, (*lead, a.size // max(1, math.prod(lead)))), kept


@implements("quantile")
def quantile(a, q, axis=None, out=None, overwrite_input=False, method="linear",
             keepdims=False, *, weights=None, interpolation=None):  # fmt: skip
    """Quantiles over axes; q must be known while tracing."""
    from .join import stack

    u.refuse("quantile", {"out": out})
    if weights is not None:
        raise TypeError("quantile: weights are not offered for traced values")
    a = as_var(a, first_var(q))
    if a.size == 0:
        raise ValueError(f"quantile: no elements in shape {a.shape}")
    q = concrete(q, "quantile")
    levels = np.asarray(q, dtype=np.float64)
    if levels.size and not (levels.min() >= 0 and levels.max() <= 1):
        raise ValueError("quantile: levels must lie in [0, 1]")
    weak = isinstance(q, (int, float)) and not isinstance(q, np.generic)
    dtype = inexact(a.dtype) if weak else np.result_type(a.dtype, levels.dtype)
    x, kept = _flattened(cast(a, dtype), axis)
    ordered = emit("sort", (x,))[0]
    n, last = x.shape[-1], x.ndim - 1
    bad = reductions.any(emit("isnan", (x,)), axis=-1)

    def pick(i):
        return reshaped(span(ordered, last, i, i + 1), x.shape[:-1])

    found = []
    for level in levels.ravel():
        low, high, weight = _positions(float(level), n, interpolation or method)
        value = pick(low)
        if weight:
            value = u.add(value, u.multiply(u.subtract(pick(high), value), weight))
        value = choose(bad, np.nan, value)
        found.append(reshaped(value, kept) if keepdims else value)
    if levels.ndim == 0:
        return found[0]
    y = stack(found)
    return reshaped(y, (*levels.shape, *y.shape[1:]))


@implements("percentile")
def percentile(a, q, axis=None, out=None, overwrite_input=False, method="linear",
               keepdims=False, *, weights=None, interpolation=None):  # fmt: skip
    """Percentiles over axes; q must be known while tracing."""
    q = concrete(q, "percentile")
    q = q / 100 if np.isscalar(q) else np.asarray(q) / 100
    return quantile(as_var(a), q, axis, out, overwrite_input, method, keepdims,
                    weights=weights, interpolation=interpolation)  # fmt: skip


@implements("median")
def median(a, axis=None, out=None, overwrite_input=False, keepdims=False):
    """Median over axes."""
    return quantile(a, 0.5, axis, out, overwrite_input, "midpoint", keepdims)


# --- covariance -----------------------------------------------------------------


@implements("cov")
def cov(m, y=None, rowvar=True, bias=False, ddof=None, fweights=None, aweights=None,
        *, dtype=None):  # fmt: skip
    """Covariance matrix of variables in rows (columns with ``rowvar=False``)."""
    from .join import concatenate
    from .products import matmul

    if fweights is not None or aweights is not None:
        raise TypeError("cov: weights are not offered for traced values")
    like = first_var(m, y)
    x = _variables(as_var(m, like), rowvar)
    if y is not None:
        x = concatenate((x, _variables(as_var(y, like), rowvar)))
    # NumPy computes in double precision unless told otherwise.
    x = cast(x, np.result_type(x.dtype, np.float64) if dtype is None else dtype)
    n = x.shape[1] - (int(not bias) if ddof is None else ddof)
    x = u.subtract(x, mean(x, axis=1, keepdims=True))
    y = matmul(x, u.conjugate(permute(x, (1, 0))))
    y = u.divide(y, float(n) if n > 0 else np.nan)
    return reshaped(y, ()) if y.size == 1 else y


def _variables(x, rowvar):
    """A matrix with one variable a row."""
    if x.ndim > 2:
        raise ValueError(f"cov: variables have 1 or 2 axes, got shape {x.shape}")
    if x.ndim < 2:
        return reshaped(x, (1, x.size))
    return x if rowvar or x.shape[0] == 1 else permute(x, (1, 0))


@implements("corrcoef")
def corrcoef(x, y=None, rowvar=True, *, dtype=None):
    """Correlation matrix of variables in rows."""
    from .create import last_diagonal

    c = cov(x, y, rowvar, dtype=dtype)
    if c.ndim == 0:
        return u.divide(c, c)
    sd = u.sqrt(u.abs(last_diagonal(c)))
    return u.divide(u.divide(c, reshaped(sd, (sd.size, 1))), sd)
