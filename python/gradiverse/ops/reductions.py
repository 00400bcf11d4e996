"""Sums, products, extremes, and comparisons of whole arrays."""

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
    constant,
    emit,
    emit_strong,
    first_var,
    implements,
    negative_axes,
    reshaped,
)
from .elementwise import where as choose

__all__ = [
    "all", "allclose", "amax", "amin", "any", "argmax", "argmin", "array_equal",
    "array_equiv", "count_nonzero", "isclose", "max", "min", "prod", "ptp", "sum",
]  # fmt: skip


_none = np._NoValue


def axes_of(axis, ndim):
    return tuple(range(ndim)) if axis is None else axis_tuple(axis, ndim)


def kept_shape(shape, axes):
    return [1 if i in axes else n for i, n in enumerate(shape)]


def reduce(op, x, axis=None, keepdims=False):
    """Apply a reduction operator over NumPy's axis argument."""
    axes = axes_of(axis, x.ndim)
    if not axes:
        return x
    y = emit_strong(op, (x,), axes=negative_axes(sorted(axes), x.ndim))
    if not keepdims or keepdims is _none:
        return y
    return reshaped(y, kept_shape(x.shape, axes))


def sorted(axes):
    """Axes in ascending order, as a tuple."""
    axes = list(axes)
    axes.sort()
    return tuple(axes)


def masked(x, where, neutral):
    """x with a neutral element where the mask is False."""
    if where is True or where is _none:
        return x
    return choose(where, x, constant(neutral, x.dtype, x))


def summable(a, dtype, name):
    """Operand of a sum: small integers and bools count in int64."""
    a = as_var(a)
    if dtype is not None:
        return cast(a, check_dtype(dtype, name))
    return cast(a, INT64) if a.dtype.kind in "bi" else a


@implements("sum")
def sum(a, axis=None, dtype=None, out=None, keepdims=False, initial=_none, where=True):
    """Sum over axes."""
    u.refuse("sum", {"out": out})
    x = masked(summable(a, dtype, "sum"), where, 0)
    y = reduce("reduce_sum", x, axis, keepdims)
    return y if initial is _none or initial is None else u.add(y, initial)


@implements("prod")
def prod(a, axis=None, dtype=None, out=None, keepdims=False, initial=_none, where=True):
    """Product over axes."""
    u.refuse("prod", {"out": out})
    x = masked(summable(a, dtype, "prod"), where, 1)
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
        axes = axes_of(axis, x.ndim)
        if 0 in [x.shape[i] for i in axes]:
            if not given:
                raise ValueError(
                    f"{name}: no elements along axis {axis} of shape {x.shape}; give "
                    "an initial value"
                )
            shape = (
                kept_shape(x.shape, axes)
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
        x = masked(cast(as_var(a), BOOL), where, name == "all")
        axes = axes_of(axis, x.ndim)
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
            y = reshaped(y, kept_shape(x.shape, axes))
        return y

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Index of the first {name[3:]}imum along an axis."
    return implements(name)(function)


argmax = _arg("argmax")


argmin = _arg("argmin")


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
