"""Sums, products, extremes, moments, order statistics and running sums."""

import numpy as np

from . import ufuncs as u
from ._core import (
    BOOL,
    INT64,
    as_var,
    axis_index,
    axis_tuple,
    broadcast,
    cast,
    check_dtype,
    concat,
    constant,
    emit,
    emit_strong,
    first_var,
    fit,
    implements,
    inexact,
    ndim_of,
    negative_axes,
    permute,
    reshaped,
    shape_of,
    span,
)
from .elementwise import where as choose

__all__ = [
    "all", "allclose", "amax", "amin", "any", "argmax", "argmin", "array_equal",
    "array_equiv",
    "average", "count_nonzero", "cumprod", "cumsum", "cumulative_prod",
    "cumulative_sum", "isclose", "max", "mean", "min", "nanmax", "nanmean", "nanmin",
    "nanprod", "nanstd", "nansum", "nanvar", "prod", "ptp", "std", "sum", "trapezoid",
    "var",
]  # fmt: skip
_none = np._NoValue


def _axes(axis, ndim):
    return tuple(range(ndim)) if axis is None else axis_tuple(axis, ndim)


def _kept(shape, axes):
    return [1 if i in axes else n for i, n in enumerate(shape)]


def reduce(op, x, axis=None, keepdims=False):
    """Apply a reduction operator over NumPy's axis argument."""
    axes = _axes(axis, x.ndim)
    if not axes:
        return x
    y = emit_strong(op, (x,), axes=negative_axes(sorted(axes), x.ndim))
    if not keepdims or keepdims is _none:
        return y
    return reshaped(y, _kept(x.shape, axes))


def sorted(axes):
    """Axes in ascending order, as a tuple."""
    axes = list(axes)
    axes.sort()
    return tuple(axes)


def _masked(x, where, neutral):
    """x with a neutral element where the mask is False."""
    if where is True or where is _none:
        return x
    return choose(where, x, constant(neutral, x.dtype, x))


def _number(a, dtype, name):
    """Operand of a sum: small integers and bools count in int64."""
    a = as_var(a)
    if dtype is not None:
        return cast(a, check_dtype(dtype, name))
    return cast(a, INT64) if a.dtype.kind in "bi" else a


@implements("sum")
def sum(a, axis=None, dtype=None, out=None, keepdims=False, initial=_none, where=True):
    """Sum over axes."""
    u.refuse("sum", {"out": out})
    x = _masked(_number(a, dtype, "sum"), where, 0)
    y = reduce("reduce_sum", x, axis, keepdims)
    return y if initial is _none or initial is None else u.add(y, initial)


@implements("prod")
def prod(a, axis=None, dtype=None, out=None, keepdims=False, initial=_none, where=True):
    """Product over axes."""
    u.refuse("prod", {"out": out})
    x = _masked(_number(a, dtype, "prod"), where, 1)
    y = reduce("reduce_prod", x, axis, keepdims)
    return y if initial is _none or initial is None else u.multiply(y, initial)


def _extreme(name, op, pick):
    def function(a, axis=None, out=None, keepdims=False, initial=_none, where=True):
        u.refuse(name, {"out": out})
        x = as_var(a)
        given = initial is not _none and initial is not None
        if where is not True and where is not _none:
            if not given:
                raise ValueError(f"{name}: where= needs an initial value")
            x = choose(where, x, initial)
        axes = _axes(axis, x.ndim)
        if 0 in [x.shape[i] for i in axes]:
            if not given:
                raise ValueError(
                    f"{name}: no elements along axis {axis} of shape {x.shape}; give "
                    "an initial value"
                )
            shape = (
                _kept(x.shape, axes)
                if keepdims
                else [n for i, n in enumerate(x.shape) if i not in axes]
            )
            return broadcast(as_var(initial, x, x.dtype), shape)
        flag = x.dtype == BOOL
        y = reduce(op, cast(x, INT64) if flag else x, axis, keepdims)
        y = cast(y, BOOL) if flag else y
        return pick(y, initial) if given else y

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The {name}imum over axes; ties share the gradient."
    return implements(name, "a" + name)(function)


max = amax = _extreme("max", "reduce_max", u.maximum)
min = amin = _extreme("min", "reduce_min", u.minimum)


def _truth(name, op):
    def function(a, axis=None, out=None, keepdims=False, *, where=True):
        u.refuse(name, {"out": out})
        x = _masked(cast(as_var(a), BOOL), where, name == "all")
        axes = _axes(axis, x.ndim)
        count = cast(x, INT64)
        if 0 in [x.shape[i] for i in axes]:
            op_here = "reduce_prod" if name == "all" else "reduce_sum"
            return cast(reduce(op_here, count, axis, keepdims), BOOL)
        return cast(reduce(op, count, axis, keepdims), BOOL)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"True where {name} of the elements over axes are not zero."
    return implements(name)(function)


all = _truth("all", "reduce_min")
any = _truth("any", "reduce_max")


@implements("count_nonzero")
def count_nonzero(a, axis=None, *, keepdims=False):
    """Number of elements that are not zero."""
    return sum(cast(as_var(a), BOOL), axis, keepdims=keepdims)


@implements("ptp")
def ptp(a, axis=None, out=None, keepdims=False):
    """Maximum minus minimum."""
    return u.subtract(max(a, axis, out, keepdims), min(a, axis, out, keepdims))


def _arg(name):
    def function(a, axis=None, out=None, *, keepdims=False):
        u.refuse(name, {"out": out})
        x = as_var(a)
        x = cast(x, INT64) if x.dtype == BOOL else x
        n = x.ndim
        flat, at = (
            (reshaped(x, (x.size,)), 0) if axis is None else (x, axis_index(axis, n))
        )
        if flat.shape[at] == 0:
            raise ValueError(f"{name}: no elements to compare in shape {x.shape}")
        y = emit(name, (flat,), axis=at - flat.ndim)
        if keepdims and keepdims is not _none:
            axes = range(n) if axis is None else (axis_index(axis, n),)
            y = reshaped(y, _kept(x.shape, axes))
        return y

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Index of the first {name[3:]}imum along an axis."
    return implements(name)(function)


argmax = _arg("argmax")
argmin = _arg("argmin")


# --- moments --------------------------------------------------------------------


def _count(x, axis, where, keepdims):
    """How many elements enter a mean: a number, or a traced or plain array."""
    if where is True or where is _none:
        n = 1
        for i in _axes(axis, x.ndim):
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
    y = reduce("reduce_sum", _masked(x, where, 0), axis, keepdims)
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
    y = reduce("reduce_sum", _masked(d, where, 0), axis, keepdims)
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
        axes = _axes(axis, a.ndim)
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


# --- without NaN ----------------------------------------------------------------


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
nanprod = _without_nan("nanprod", prod, 1.0)


def _nan_extreme(name, function, neutral):
    def nan_function(a, axis=None, out=None, keepdims=False, **kwargs):
        u.refuse(name, {"out": out})
        x = as_var(a)
        if x.dtype.kind != "f":
            return function(x, axis, None, keepdims, **kwargs)
        bad = emit("isnan", (x,))
        y = function(choose(bad, neutral, x), axis, None, keepdims, **kwargs)
        return choose(all(bad, axis, keepdims=keepdims), np.nan, y)

    nan_function.__name__ = nan_function.__qualname__ = name
    nan_function.__doc__ = f"{name[3:].capitalize()}imum over axes, NaN ignored."
    return implements(name)(nan_function)


nanmax = _nan_extreme("nanmax", max, -np.inf)
nanmin = _nan_extreme("nanmin", min, np.inf)


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


# --- comparisons of whole arrays ------------------------------------------------


@implements("isclose")
def isclose(a, b, rtol=1e-05, atol=1e-08, equal_nan=False):
    """|a - b| <= atol + rtol |b|, element by element."""
    a, b = u.operands("isclose", (a, b), "fc")
    bound = u.add(atol, u.multiply(rtol, u.abs(b)))
    near = u.less_equal(u.abs(u.subtract(a, b)), bound)
    finite = u.logical_and(emit("isfinite", (b,)), near)
    same = u.logical_or(finite, u.equal(a, b))
    if equal_nan:
        both = u.logical_and(emit("isnan", (a,)), emit("isnan", (b,)))
        same = u.logical_or(same, both)
    return same


@implements("allclose")
def allclose(a, b, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Are all elements close."""
    return all(isclose(a, b, rtol, atol, equal_nan))


@implements("array_equal")
def array_equal(a1, a2, equal_nan=False):
    """Have both the same shape and elements."""
    like = first_var(a1, a2)
    a1, a2 = as_var(a1, like), as_var(a2, like)
    if a1.shape != a2.shape:
        return False
    same = u.equal(a1, a2)
    if equal_nan and a1.dtype.kind in "fc":
        same = u.logical_or(
            same, u.logical_and(u.not_equal(a1, a1), u.not_equal(a2, a2))
        )
    return all(same)


@implements("array_equiv")
def array_equiv(a1, a2):
    """Are both equal after broadcasting."""
    like = first_var(a1, a2)
    a1, a2 = as_var(a1, like), as_var(a2, like)
    try:
        np.broadcast_shapes(a1.shape, a2.shape)
    except ValueError:
        return False
    return all(u.equal(a1, a2))


# --- along an axis --------------------------------------------------------------


@implements("cumsum")
def cumsum(a, axis=None, dtype=None, out=None):
    """Running sum along an axis (flattened without one)."""
    u.refuse("cumsum", {"out": out})
    x = _number(a, dtype, "cumsum")
    if axis is None:
        x, axis = reshaped(x, (x.size,)), 0
    axis = axis_index(axis, x.ndim) - x.ndim
    return emit_strong("cumsum", (x,), axis=axis, reverse=0)


@implements("cumprod")
def cumprod(a, axis=None, dtype=None, out=None):
    """Running product along an axis (flattened without one)."""
    u.refuse("cumprod", {"out": out})
    x = _number(a, dtype, "cumprod")
    if axis is None:
        x, axis = reshaped(x, (x.size,)), 0
    axis = axis_index(axis, x.ndim)
    n, shift = x.shape[axis], 1
    # Doubling: after each pass an element is the product of 2 * shift factors.
    while shift < n:
        head = span(x, axis, 0, shift)
        tail = emit("mul", (span(x, axis, shift, n), span(x, axis, 0, n - shift)))
        x = concat([head, tail], axis)
        shift *= 2
    return x


def _cumulative(name, function, neutral):
    def cumulative(x, /, *, axis=None, dtype=None, out=None, include_initial=False):
        u.refuse(name, {"out": out})
        x = as_var(x)
        if axis is None and x.ndim > 1:
            raise ValueError(f"{name}: give an axis for an array with {x.ndim} axes")
        axis = 0 if axis is None else axis_index(axis, x.ndim)
        y = function(x, axis, dtype)
        if include_initial:
            shape = _kept(y.shape, (axis,))
            y = concat([constant(neutral, y.dtype, y, shape), y], axis)
        return y

    cumulative.__name__ = cumulative.__qualname__ = name
    cumulative.__doc__ = f"Running {name[11:]} along an axis."
    return implements(name)(cumulative)


cumulative_sum = _cumulative("cumulative_sum", cumsum, 0)
cumulative_prod = _cumulative("cumulative_prod", cumprod, 1)


@implements("trapezoid")
def trapezoid(y, x=None, dx=1.0, axis=-1):
    """Integral along an axis by the trapezium rule."""
    from .differences import diff
    from .rearrange import reshape

    y = as_var(y, first_var(x, dx))
    axis = axis_index(axis, y.ndim)
    n = y.shape[axis]
    pairs = u.add(span(y, axis, 1, n), span(y, axis, 0, n - 1 if n else 0))
    if x is None:
        d = dx
    elif ndim_of(x) == 1:
        d = reshape(diff(x), [n - 1 if i == axis else 1 for i in range(y.ndim)])
    else:
        d = diff(x, axis=axis)
    return sum(u.multiply(0.5, u.multiply(d, pairs)), axis=axis)
