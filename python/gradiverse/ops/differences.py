"""Differences along an axis."""

import numpy as np

from . import ufuncs as u
from ._core import (
    as_var,
    axis_index,
    axis_tuple,
    broadcast,
    cast,
    emit,
    first_var,
    implements,
    inexact,
    ndim_of,
    span,
)
from .join import concatenate
from .rearrange import ravel, reshape

__all__ = [
    "diff", "ediff1d", "gradient",
]  # fmt: skip


# --- differences ----------------------------------------------------------------


@implements("diff")
def diff(a, n=1, axis=-1, prepend=np._NoValue, append=np._NoValue):
    """n-th difference along an axis."""
    if n < 0:
        raise ValueError(f"diff: n must not be negative, got {n}")
    prepend, append = (None if p is np._NoValue else p for p in (prepend, append))
    a = as_var(a, first_var(prepend, append))
    if a.ndim == 0:
        raise ValueError("diff: the array needs at least one axis")
    axis = axis_index(axis, a.ndim)
    parts = [p for p in (prepend, a, append) if p is not None]
    if len(parts) > 1:
        one = [1 if i == axis else s for i, s in enumerate(a.shape)]
        parts = [p if ndim_of(p) else broadcast(as_var(p, a), one) for p in parts]
        a = concatenate(parts, axis)
    for _ in range(n):
        high, low = span(a, axis, 1, None), span(a, axis, 0, max(a.shape[axis] - 1, 0))
        a = u.not_equal(high, low) if a.dtype.kind == "b" else emit("sub", (high, low))
    return a


@implements("ediff1d")
def ediff1d(ary, to_end=None, to_begin=None):
    """Differences of consecutive elements of the flattened array."""
    parts = [p for p in (to_begin, diff(ravel(ary)), to_end) if p is not None]
    return concatenate([ravel(p) for p in parts]) if len(parts) > 1 else parts[0]


@implements("gradient")
def gradient(f, *varargs, axis=None, edge_order=1):
    """Second-order differences inside, first- or second-order at the ends."""
    f = as_var(f, first_var(*varargs))
    f = cast(f, inexact(f.dtype))
    axes = tuple(range(f.ndim)) if axis is None else axis_tuple(axis, f.ndim)
    spacings = list(varargs) or [1.0]
    spacings = spacings * len(axes) if len(spacings) == 1 else spacings
    if len(spacings) != len(axes):
        raise TypeError(f"gradient: {len(varargs)} spacings for {len(axes)} axes")
    if edge_order not in (1, 2):
        raise ValueError(f"gradient: edge_order is 1 or 2, got {edge_order}")
    out = [_gradient(f, h, i, edge_order) for i, h in zip(axes, spacings, strict=True)]
    return out[0] if len(out) == 1 else tuple(out)


def _gradient(f, h, axis, edge_order):
    n = f.shape[axis]
    if n < edge_order + 1:
        raise ValueError(
            f"gradient: axis {axis} has {n} points, {edge_order + 1} are needed"
        )

    def at(start, stop):
        return span(f, axis, start, stop)

    if ndim_of(h) == 0:  # even spacing: constant steps
        step = h
        left = right = None
    else:
        shape = [1] * f.ndim
        shape[axis] = n - 1
        steps = reshape(diff(h), shape)
        left, right = (_along(steps, axis, *c) for c in ((0, n - 2), (1, n - 1)))
        step = None
    first, last = at(0, n - 1), at(1, n)
    slope = u.divide(u.subtract(last, first), steps if step is None else step)
    if step is None:
        low, high = (span(slope, axis, *c) for c in ((0, n - 2), (1, n - 1)))
        total = u.add(left, right)
        inner = u.divide(u.add(u.multiply(low, right), u.multiply(high, left)), total)
    else:
        inner = u.divide(u.subtract(at(2, n), at(0, n - 2)), step * 2)
    begin, end = span(slope, axis, 0, 1), span(slope, axis, n - 2, n - 1)
    if edge_order == 2:  # extrapolate the slope linearly to the end points
        begin = u.add(begin, _bend(slope, steps if step is None else None, axis, 0))
        end = u.add(end, _bend(slope, steps if step is None else None, axis, n - 2))
    return concatenate((begin, inner, end), axis)


def _along(x, axis, start, stop):
    """A span of a traced or plain array."""
    index = (slice(None),) * axis + (slice(start, stop),)
    return span(x, axis, start, stop) if first_var(x) is not None else x[index]


def _bend(slope, steps, axis, where):
    """Correction of a one-sided slope at an end by the change of slope beside it."""
    other = 1 if where == 0 else where - 1
    change = u.subtract(
        span(slope, axis, where, where + 1), span(slope, axis, other, other + 1)
    )
    if steps is None:
        return u.multiply(0.5, change)
    here = _along(steps, axis, where, where + 1)
    there = _along(steps, axis, other, other + 1)
    return u.multiply(change, u.divide(here, u.add(here, there)))
