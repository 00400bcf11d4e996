"""Reading and writing parts of arrays."""

import math

import numpy as np

from . import ufuncs as u
from ._core import (
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
from ._index import IndexPlan, wrapped
from .elementwise import where

__all__ = [
    "choose", "compress", "extract", "getitem", "index_set", "scatter_add", "take",
    "take_along_axis",
]  # fmt: skip


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
        i = wrapped(index, n, 0)
        part = emit("slice", (x,), start=(i,) + (0,) * (x.ndim - 1), step=(1,) * x.ndim,
                    size=(1, *x.shape[1:]))  # fmt: skip
        return reshaped(part, x.shape[1:])
    plan = IndexPlan(x.shape, index)
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
    return emit("add", (x, _placed(x, IndexPlan(x.shape, index), values, like)))


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
    plan = IndexPlan(x.shape, index)
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
