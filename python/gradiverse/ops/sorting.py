"""Sorting and searching."""

import numpy as np

from . import ufuncs as u
from ._core import (
    FLOAT64,
    as_var,
    cast,
    concrete,
    emit,
    evaluate,
    first_var,
    implements,
    move_last,
    permute,
    reshaped,
)
from .elementwise import where
from .reductions import sum as sum_of

__all__ = [
    "argpartition", "argsort", "argwhere", "digitize", "flatnonzero", "interp",
    "nonzero", "partition", "searchsorted", "sort",
]  # fmt: skip


def _sorted(op, a, axis):
    """Values or indices in ascending order along an axis."""
    a = as_var(a)
    if axis is None:
        a, axis = reshaped(a, (a.size,)), 0
    x, back = move_last(a, axis)
    y = emit(op, (x,))
    y = y[0] if op == "sort" else y
    return y if back is None else permute(y, back)


@implements("sort")
def sort(a, axis=-1, kind=None, order=None, *, stable=None):
    """Ascending order along an axis; equal elements keep their order."""
    return _sorted("sort", a, axis)


@implements("argsort")
def argsort(a, axis=-1, kind=None, order=None, *, stable=None):
    """Indices of the ascending order along an axis."""
    return _sorted("argsort", a, axis)


@implements("partition")
def partition(a, kth, axis=-1, kind="introselect", order=None):
    """A partition around the kth elements: here the whole order."""
    return _sorted("sort", a, axis)


@implements("argpartition")
def argpartition(a, kth, axis=-1, kind="introselect", order=None):
    """Indices of a partition around the kth elements: here of the whole order."""
    return _sorted("argsort", a, axis)


def _by_value(name):
    """Functions whose result's shape depends on values: these must be known."""

    def function(a):
        return getattr(np, name)(evaluate(as_var(a)))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"NumPy's ``{name}`` of a value known while tracing."
    return implements(name)(function)


nonzero, argwhere, flatnonzero = map(_by_value, ("nonzero", "argwhere", "flatnonzero"))


@implements("searchsorted")
def searchsorted(a, v, side="left", sorter=None):
    """Indices at which v would keep a in order (compares all pairs)."""
    if side not in ("left", "right"):
        raise ValueError(f"searchsorted: side is 'left' or 'right', got {side!r}")
    like = first_var(a, v)
    a, v = as_var(a, like), as_var(v, like)
    if sorter is not None:
        from .indexing import take

        a = take(a, sorter)
    column = reshaped(v, (*v.shape, 1))
    beyond = u.less_equal(column, a) if side == "left" else u.less(column, a)
    return sum_of(emit("logical_not", (beyond,)), axis=-1)


@implements("digitize")
def digitize(x, bins, right=False):
    """Index of the bin of each value; bins increase or decrease."""
    edges = np.asarray(concrete(bins, "digitize"))
    if edges.size > 1 and edges[0] > edges[-1]:
        side = "right" if right else "left"
        return u.subtract(edges.size, searchsorted(edges[::-1], x, side))
    return searchsorted(edges, x, "left" if right else "right")


@implements("interp")
def interp(x, xp, fp, left=None, right=None, period=None):
    """Piecewise linear interpolation through the points (xp, fp), xp increasing."""
    from .indexing import take
    from .join import concatenate

    like = first_var(x, xp, fp)
    x, xp, fp = (as_var(v, like) for v in (x, xp, fp))
    x, xp = cast(x, FLOAT64), cast(xp, FLOAT64)
    fp = cast(fp, np.result_type(fp.dtype, FLOAT64))
    if period is not None:
        x, xp = u.remainder(x, period), u.remainder(xp, period)
        order = argsort(xp)
        xp, fp = take(xp, order), take(fp, order)
        xp = concatenate((u.subtract(xp[-1:], period), xp, u.add(xp[:1], period)))
        fp = concatenate((fp[-1:], fp, fp[:1]))
    n = xp.size
    if n == 1:
        inside = u.add(u.multiply(x, 0.0), fp[0])
    else:
        k = u.subtract(searchsorted(xp, x, "right"), 1)
        k = u.minimum(u.maximum(k, 0), n - 2)
        x0, x1, f0, f1 = (take(p, i) for p in (xp, fp) for i in (k, u.add(k, 1)))
        width = u.subtract(x1, x0)
        t = u.divide(u.subtract(x, x0), where(u.equal(width, 0), 1.0, width))
        inside = u.add(f0, u.multiply(t, u.subtract(f1, f0)))
    if period is not None:
        return inside
    inside = where(u.less(x, xp[0]), fp[0] if left is None else left, inside)
    return where(u.greater(x, xp[n - 1]), fp[n - 1] if right is None else right, inside)
