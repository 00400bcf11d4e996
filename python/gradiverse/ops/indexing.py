"""Reading and writing parts: NumPy's basic, advanced and mixed indexing.

An index is resolved in two steps. Slices, integers and new axes become one strided
slice and a reshape. Index arrays that are left are joined to one array of flat
positions over the axes they address, and rows are taken from the array with those
axes in front.
"""

import math
import operator

import numpy as np

from . import ufuncs as u
from ._core import (
    BOOL,
    INT64,
    Var,
    as_var,
    axis_index,
    broadcast,
    cast,
    common_shape,
    constant,
    emit,
    evaluate,
    first_var,
    fit,
    implements,
    is_traced,
    lift,
    move_last,
    permute,
    reshaped,
    result_dtype,
    sliced,
)
from .elementwise import where

__all__ = [
    "choose", "compress", "extract", "getitem", "index_set", "scatter_add", "take",
    "take_along_axis",
]  # fmt: skip


_DOTS = type(Ellipsis)

# --- resolving an index ---------------------------------------------------------


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


def _wrapped(i, n, axis):
    """An integer in 0..n-1."""
    if not -n <= i < n:
        raise IndexError(f"index {i} is out of bounds for axis {axis} of length {n}")
    return i + n if i < 0 else i


class _Plan:
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
                start, step, size = _wrapped(e, n, axis), 1, 1
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


# --- reading --------------------------------------------------------------------


def getitem(x, index):
    """x[index] with NumPy's rules for every kind of index.

    Integer index arrays may be traced; the value of a mask must be known while
    tracing (use `where` with a mask that is not).
    """
    if not isinstance(x, Var):
        if not is_traced(index if isinstance(index, tuple) else (index,)):
            return np.asarray(x)[index]
        x = as_var(x, first_var(index))
    if type(index) is int and x.shape:
        n = x.shape[0]
        i = _wrapped(index, n, 0)
        part = emit("slice", (x,), start=(i,) + (0,) * (x.ndim - 1), step=(1,) * x.ndim,
                    size=(1, *x.shape[1:]))  # fmt: skip
        return reshaped(part, x.shape[1:])
    plan = _Plan(x.shape, index)
    y = sliced(x, plan.start, plan.step, plan.size)
    y = reshaped(y, plan.shape)
    if not plan.arrays:
        return y
    axes, flat, shape = plan.positions(x)
    rest = [a for a in range(y.ndim) if a not in axes]
    lead, tail = [y.shape[a] for a in axes], [y.shape[a] for a in rest]
    y = reshaped(permute(y, [*axes, *rest]), (math.prod(lead), math.prod(tail)))
    flat = flat if isinstance(flat, Var) else lift(flat, like=x)
    y = emit("take", (y, reshaped(flat, (flat.size,))))
    y = reshaped(y, (*shape, *tail))
    k, f = len(shape), plan.front
    return permute(y, [*range(k, k + f), *range(k), *range(k + f, y.ndim)])


@implements("take")
def take(a, indices, axis=None, out=None, mode="raise"):
    """Elements at indices along an axis (of the flattened array without one)."""
    u.refuse("take", {"out": out})
    a = as_var(a, first_var(indices))
    if axis is None:
        a, axis = reshaped(a, (a.size,)), 0
    axis = axis_index(axis, a.ndim)
    if isinstance(indices, (list, tuple)) and is_traced(indices):
        indices = as_var(indices)
    n = a.shape[axis]
    if mode == "wrap":
        indices = u.remainder(indices, n)
    elif mode == "clip":
        indices = u.minimum(u.maximum(indices, 0), n - 1)
    elif mode != "raise":
        raise ValueError(f"take: mode is 'raise', 'wrap' or 'clip', got {mode!r}")
    if not isinstance(indices, Var):
        indices = np.asarray(indices)
        if indices.dtype.kind not in "iub":
            raise TypeError(f"take: indices must be integers, not {indices.dtype}")
        indices = indices.astype(np.int64)
    return getitem(a, (slice(None),) * axis + (indices,))


@implements("take_along_axis")
def take_along_axis(arr, indices, axis=-1):
    """Elements of each line along an axis at the line's own indices."""
    like = first_var(arr, indices)
    arr, indices = as_var(arr, like), cast(as_var(indices, like), INT64)
    if axis is None:
        arr, axis = reshaped(arr, (arr.size,)), 0
    if arr.ndim != indices.ndim:
        raise ValueError(
            f"take_along_axis: arr has {arr.ndim} axes and indices {indices.ndim}; "
            "they must agree"
        )
    axis = axis_index(axis, arr.ndim)
    arr, back = move_last(arr, axis)
    indices, _ = move_last(indices, axis)
    lead = common_shape(arr.shape[:-1], indices.shape[:-1])
    n = arr.shape[-1]
    arr = broadcast(arr, (*lead, n))
    indices = broadcast(indices, (*lead, indices.shape[-1]))
    indices = where(u.less(indices, 0), u.add(indices, n), indices)
    y = emit("take_along", (arr, indices))
    return y if back is None else permute(y, back)


@implements("choose")
def choose(a, choices, out=None, mode="raise"):
    """The choice whose number an array holds, element by element."""
    u.refuse("choose", {"out": out})
    n = len(choices)
    if mode != "raise":
        a = u.remainder(a, n) if mode == "wrap" else u.minimum(u.maximum(a, 0), n - 1)
    result = choices[-1]
    for k in range(n - 2, -1, -1):
        result = where(u.equal(a, k), choices[k], result)
    return result


@implements("compress")
def compress(condition, a, axis=None, out=None):
    """The slices along an axis where a condition, known while tracing, holds."""
    u.refuse("compress", {"out": out})
    kept = np.flatnonzero(evaluate(as_var(condition, first_var(a, condition))))
    return take(a, kept, axis)


@implements("extract")
def extract(condition, arr):
    """The elements where a condition, known while tracing, holds."""
    like = first_var(condition, arr)
    kept = np.flatnonzero(evaluate(as_var(condition, like)))
    return take(as_var(arr, like), kept)


# --- writing --------------------------------------------------------------------


def scatter_add(x, index, values):
    """x with values added at an index, repeated positions adding up.

    Parameters
    ----------
    x : array
    index : int, slice, array of integers, mask, or a tuple of them
        As in ``x[index]``; integer arrays may be traced.
    values : array
        Broadcast to the shape of ``x[index]``.

    Returns
    -------
    array
        New array; x is not changed.

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse import ops
    >>> ops.scatter_add(np.zeros(3), np.array([0, 2, 2]), np.array([1.0, 2.0, 3.0]))
    array([1., 0., 5.])
    """
    key = index if isinstance(index, tuple) else (index,)
    if not is_traced(x, values, key):
        x, values = np.asarray(x), np.asarray(values)
        y = x.astype(np.result_type(x, values))
        np.add.at(y, index, values)
        return y
    like = first_var(x, values, *key)
    dtype = result_dtype(x, values)
    x = cast(as_var(x, like), dtype)
    return emit("add", (x, _placed(x, _Plan(x.shape, index), values, like)))


def _placed(x, plan, values, like):
    """Zeros of the type of x with values added at the index."""
    if not plan.arrays:
        v = fit(values, x.dtype, tuple(plan.shape), like)
    else:
        axes, flat, shape = plan.positions(like)
        rest = [a for a in range(len(plan.shape)) if a not in axes]
        lead = [plan.shape[a] for a in axes]
        tail = [plan.shape[a] for a in rest]
        k, f = len(shape), plan.front
        result = (*tail[:f], *shape, *tail[f:])
        v = fit(values, x.dtype, result, like)
        v = permute(v, [*range(f, f + k), *range(f), *range(f + k, v.ndim)])
        rows, width = math.prod(shape), math.prod(tail)
        flat = flat if isinstance(flat, Var) else lift(flat, like=like)
        zeros = constant(0, x.dtype, like, (math.prod(lead), width))
        v = reshaped(v, (rows, width))
        v = emit("scatter_add", (zeros, reshaped(flat, (rows,)), v))
        v = reshaped(v, (*lead, *tail))
        v = permute(v, np.argsort([*axes, *rest]).tolist())
    v = reshaped(v, plan.size)
    if tuple(plan.size) == x.shape and all(s == 1 for s in plan.step):
        return v
    return emit("unslice", (v,), start=plan.start, step=plan.step, shape=x.shape)


def index_set(x, index, values):
    """x with the elements at an index replaced by values.

    The functional form of ``x[index] = values``; parameters as `scatter_add`. Where
    a position occurs twice the last value counts if the index is known while
    tracing; positions of a traced index must not repeat.

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse import ops
    >>> ops.index_set(np.zeros(3), slice(1, None), 7.0)
    array([0., 7., 7.])
    """
    key = index if isinstance(index, tuple) else (index,)
    if not is_traced(x, values, key):
        x = np.array(x)
        x[index] = values
        return x
    like = first_var(x, values, *key)
    x = as_var(x, like)
    plan = _Plan(x.shape, index)
    if any(isinstance(i, Var) for i in plan.arrays.values()):
        count = _placed(constant(0, x.dtype, x, x.shape), plan, 1.0, like)
        return where(u.greater(emit("real", (count,)) if x.dtype.kind == "c" else count,
                               0), _placed(x, plan, values, like), x)  # fmt: skip
    if not plan.arrays:
        mask = np.zeros(x.shape, dtype=bool)
        mask[index] = True
        return where(mask, _placed(x, plan, values, like), x)
    # Positions may repeat: keep the last value of each.
    order = np.arange(x.size).reshape(x.shape)[_plain(index)]
    v = reshaped(fit(values, x.dtype, order.shape, like), (order.size,))
    order = order.ravel()
    places, last = np.unique(order[::-1], return_index=True)
    v = take(v, order.size - 1 - last)
    mask = np.zeros(x.shape, dtype=bool)
    mask.flat[places] = True
    zeros = constant(0, x.dtype, like, (x.size, 1))
    v = emit("scatter_add", (zeros, lift(places, like=like), reshaped(v, (v.size, 1))))
    return where(mask, reshaped(v, x.shape), x)


def _plain(index):
    """An index with known traced parts (masks) replaced by their values."""
    if isinstance(index, tuple):
        return tuple(map(_plain, index))
    return evaluate(index) if isinstance(index, Var) else index
