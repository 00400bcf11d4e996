"""What an index means: NumPy's basic, advanced and mixed indexing, resolved.

Slices, integers and new axes become one strided slice and a reshape. Index arrays
that are left are joined to one array of flat positions over the axes they address.
"""

import operator

import numpy as np

from . import ufuncs as u
from ._core import (
    BOOL,
    INT64,
    Var,
    as_var,
    cast,
    common_shape,
    evaluate,
    first_var,
    fit,
    is_traced,
)
from .elementwise import where

__all__ = [
    "IndexPlan",
]  # fmt: skip


_DOTS = type(Ellipsis)


def _is_array(i):
    return isinstance(i, (np.ndarray, list, Var)) or (
        isinstance(i, (np.bool_, bool)) or (isinstance(i, tuple))
    )


def _entries(index):
    """The entries of an index: ints, slices, None, Ellipsis and arrays of integers."""
    out = []
    for i in index if isinstance(index, tuple) else (index,):
        if isinstance(i, Var) and i.ndim == 0 and i.pyint is not None:
            i = int(i)
        if i is None or i is Ellipsis or isinstance(i, slice):
            out.append(i)
        elif _is_array(i):
            out.extend(_index_arrays(i))
        else:
            try:
                out.append(operator.index(i))
            except TypeError:
                raise IndexError(
                    f"an index is an integer, slice, None, ..., or an array of "
                    f"integers or bools, not {type(i).__name__}"
                ) from None
    return out


def _index_arrays(i):
    """An array entry as integer arrays; a mask gives one for each of its axes."""
    if isinstance(i, (list, tuple)):
        i = as_var(i) if is_traced(i) else np.asarray(i, None if len(i) else np.int64)
    if isinstance(i, Var) and i.dtype == BOOL:
        i = evaluate(i, "an index by a mask")
    if not isinstance(i, Var):
        i = np.asarray(i)
        if i.dtype == BOOL and i.ndim == 0:
            return [np.zeros(int(i), dtype=np.int64).view(_OnNewAxis)]
        if i.dtype == BOOL:
            found = np.nonzero(i)
            return [_Mask(f, n) for f, n in zip(found, i.shape, strict=True)]
    if i.dtype.kind not in "iu":
        raise IndexError(f"index arrays must be of integers or bools, not {i.dtype}")
    if i.ndim == 0 and not isinstance(i, Var):
        return [int(i)]
    return [i]


class _OnNewAxis(np.ndarray):
    """Positions on an axis of length 1 that is made for them (a 0-d mask)."""


class _Mask(np.ndarray):
    """Positions from a mask: remember the length it was made for."""

    def __new__(cls, positions, length):
        self = np.asarray(positions).view(cls)
        self.length = length
        return self


def _expanded(entries, ndim):
    """Replace the ellipsis and fill up with full slices."""
    used = sum(
        1 for e in entries if e is not None and not isinstance(e, (_OnNewAxis, _DOTS))
    )
    if used > ndim:
        raise IndexError(f"too many indices: {used} for an array with {ndim} axes")
    dots = [j for j, e in enumerate(entries) if e is Ellipsis]
    if len(dots) > 1:
        raise IndexError("an index can have only one ellipsis (...)")
    fill = [slice(None)] * (ndim - used)
    at = dots[0] if dots else len(entries)
    return entries[:at] + fill + entries[at + len(dots) :]


def wrapped(i, n, axis):
    """An integer in 0..n-1."""
    if not -n <= i < n:
        raise IndexError(f"index {i} is out of bounds for axis {axis} of length {n}")
    return i + n if i < 0 else i


class IndexPlan:
    """What an index means for an array of one shape.

    start, step, size : the strided part of the array
    shape : its shape with integers dropped and new axes
    arrays : {axis of that shape: index array}, front : where their axes go
    """

    def __init__(self, shape, index):
        entries = _expanded(_entries(index), len(shape))
        self.start, self.step, self.size = [], [], []
        self.shape, self.arrays = [], {}
        has_arrays = any(isinstance(e, (np.ndarray, Var)) for e in entries)
        places = []  # positions in the index of what counts as an index array
        axis = 0
        for place, e in enumerate(entries):
            if e is None:
                self.shape.append(1)
                continue
            if isinstance(e, _OnNewAxis):
                self.arrays[len(self.shape)] = e
                self.shape.append(1)
                places.append(place)
                continue
            n = shape[axis]
            if isinstance(e, slice):
                start, stop, step = e.indices(n)
                size = len(range(start, stop, step))
                self.shape.append(size)
            elif isinstance(e, int):
                start, step, size = wrapped(e, n, axis), 1, 1
                if has_arrays:
                    places.append(place)
            else:
                start, step, size = 0, 1, n
                length = getattr(e, "length", None)
                if length is not None and length != n:
                    raise IndexError(
                        f"the mask has length {length} on axis {axis} of length {n}"
                    )
                self.arrays[len(self.shape)] = e
                self.shape.append(n)
                places.append(place)
            self.start.append(start)
            self.step.append(step)
            self.size.append(size)
            axis += 1
        together = bool(places) and places[-1] - places[0] == len(places) - 1
        # Axes of the result in front of the index arrays' axes.
        self.front = 0
        if together:
            ahead = entries[: places[0]]
            self.front = sum(1 for e in ahead if e is None or isinstance(e, slice))

    def positions(self, like):
        """Flat positions over the axes of the arrays: plain if all of them are."""
        axes = sorted(self.arrays)
        lengths = [self.shape[a] for a in axes]
        shape = common_shape(*(self.arrays[a].shape for a in axes))
        traced = first_var(*self.arrays.values()) is not None
        flat = None
        for a, n in zip(axes, lengths, strict=True):
            i = self.arrays[a]
            if isinstance(i, Var):
                i = cast(i, INT64)
                below = u.less(i, 0)
                i = where(below, u.add(i, n), i)
            else:
                i = np.asarray(i, dtype=np.int64)
                _check_bounds(i, n, a)
                i = np.where(i < 0, i + n, i)
            flat = i if flat is None else u.add(u.multiply(flat, n), i)
        if traced:
            return axes, fit(flat, INT64, shape, like), shape
        return axes, np.broadcast_to(flat, shape), shape


def _check_bounds(i, n, axis):
    if i.size and (i.min() < -n or i.max() >= n):
        bad = i[(i < -n) | (i >= n)].flat[0]
        raise IndexError(f"index {bad} is out of bounds for axis {axis} of length {n}")
