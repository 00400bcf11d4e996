"""Join, split and leave out."""

import itertools

import numpy as np

from . import ufuncs as u
from ._core import (
    array_dtype,
    as_var,
    axis_index,
    cast,
    check_dtype,
    first_var,
    implements,
    reshaped,
    span,
)
from ._core import concat as joined
from .rearrange import atleast_1d, atleast_2d, atleast_3d, ravel

__all__ = [
    "append", "array_split", "block", "column_stack", "concat", "concatenate",
    "delete", "dsplit", "dstack", "hsplit", "hstack", "split", "stack", "unstack",
    "vsplit", "vstack",
]  # fmt: skip


# --- join -----------------------------------------------------------------------


@implements("concatenate", "concat")
def concatenate(arrays, /, axis=0, out=None, *, dtype=None, casting="same_kind"):
    """Join arrays along an axis; with axis=None flattened."""
    u.refuse("concatenate", {"out": out})
    like = first_var(arrays)
    dtype = check_dtype(dtype, "concatenate") if dtype else array_dtype(*arrays)
    parts = [cast(as_var(a, like), dtype) for a in arrays]
    if axis is None:
        parts, axis = [reshaped(p, (p.size,)) for p in parts], 0
    if not parts[0].ndim:
        raise ValueError("concatenate: 0-d arrays have no axis to join; use np.stack")
    axis = axis_index(axis, parts[0].ndim)
    for p in parts:
        other = p.shape[:axis] + p.shape[axis + 1 :]
        if other != parts[0].shape[:axis] + parts[0].shape[axis + 1 :]:
            raise ValueError(
                f"concatenate: shapes {parts[0].shape} and {p.shape} differ outside "
                f"axis {axis}"
            )
    return joined(parts, axis)


concat = concatenate


@implements("stack")
def stack(arrays, axis=0, out=None, *, dtype=None, casting="same_kind"):
    """Join arrays of one shape along a new axis."""
    u.refuse("stack", {"out": out})
    like = first_var(arrays)
    dtype = array_dtype(*arrays) if dtype is None else check_dtype(dtype, "stack")
    parts = [cast(as_var(a, like), dtype) for a in arrays]
    if len({p.shape for p in parts}) != 1:
        raise ValueError(
            f"stack: all arrays must have one shape, got {[p.shape for p in parts]}"
        )
    axis = axis_index(axis, parts[0].ndim + 1)
    shape = parts[0].shape
    parts = [reshaped(p, (*shape[:axis], 1, *shape[axis:])) for p in parts]
    return joined(parts, axis)


def _stacked(name, widen, axis):
    def function(tup, *, dtype=None, casting="same_kind"):
        like = first_var(tup)
        parts = [widen(as_var(a, like)) for a in tup]
        where = axis if axis is not None else int(parts[0].ndim > 1)
        return concatenate(parts, where, dtype=dtype)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Join arrays as NumPy's ``{name}``."
    return implements(name)(function)


vstack = row_stack = _stacked("vstack", atleast_2d, 0)
hstack = _stacked("hstack", atleast_1d, None)
dstack = _stacked("dstack", atleast_3d, 2)


@implements("column_stack")
def column_stack(tup):
    """Join 1-D arrays as columns of a matrix (2-D ones as they are)."""
    like = first_var(tup)
    parts = [as_var(a, like) for a in tup]
    parts = [p if p.ndim > 1 else reshaped(p, (p.size, 1)) for p in parts]
    return concatenate(parts, 1)


@implements("block")
def block(arrays):
    """Array from nested lists of blocks."""
    like = first_var(arrays)

    def depth(x):
        return 1 + depth(x[0]) if isinstance(x, list) else 0

    levels = depth(arrays)

    def ranks(x):
        return max(map(ranks, x)) if isinstance(x, list) else as_var(x, like).ndim

    rank = max(levels, ranks(arrays))

    def build(x, level):
        if not isinstance(x, list):
            x = as_var(x, like)
            return reshaped(x, (1,) * (rank - x.ndim) + x.shape)
        return concatenate([build(part, level - 1) for part in x], axis=-level)

    return build(arrays, levels)


@implements("append")
def append(arr, values, axis=None):
    """Values joined to the end."""
    if axis is None:
        return concatenate((ravel(arr), ravel(values)))
    return concatenate((arr, values), axis)


# --- split ----------------------------------------------------------------------


@implements("array_split")
def array_split(ary, indices_or_sections, axis=0):
    """Split at indices, or in nearly equal parts."""
    ary = as_var(ary)
    axis = axis_index(axis, ary.ndim)
    n = ary.shape[axis]
    if np.ndim(indices_or_sections):
        cuts = [0, *map(int, indices_or_sections), n]
        return [span(ary, axis, a, b) for a, b in itertools.pairwise(cuts)]
    parts = int(indices_or_sections)
    if parts < 1:
        raise ValueError(f"array_split: {parts} parts; at least one is needed")
    each, more = divmod(n, parts)
    sizes = [each + 1] * more + [each] * (parts - more)
    cuts = np.cumsum([0, *sizes])
    return [span(ary, axis, a, b) for a, b in itertools.pairwise(cuts)]


@implements("split")
def split(ary, indices_or_sections, axis=0):
    """Split at indices, or in equal parts."""
    if not np.ndim(indices_or_sections):
        n = as_var(ary).shape[axis]
        if n % indices_or_sections:
            raise ValueError(
                f"split: {n} elements in {indices_or_sections} parts are not equal; "
                "use array_split"
            )
    return array_split(ary, indices_or_sections, axis)


def _split_on(name, axis):
    def function(ary, indices_or_sections):
        a = as_var(ary)
        where = axis if axis != 1 or a.ndim > 1 else 0
        if a.ndim <= where:
            raise ValueError(f"{name}: the array has only {a.ndim} axes")
        return split(a, indices_or_sections, where)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Split along axis {axis}."
    return implements(name)(function)


vsplit, hsplit, dsplit = (_split_on(f"{n}split", axis) for axis, n in enumerate("vhd"))


@implements("unstack")
def unstack(x, /, *, axis=0):
    """The slices along an axis, as a tuple."""
    x = as_var(x)
    axis = axis_index(axis, x.ndim)
    shape = x.shape[:axis] + x.shape[axis + 1 :]
    return tuple(reshaped(span(x, axis, i, i + 1), shape) for i in range(x.shape[axis]))


@implements("delete")
def delete(arr, obj, axis=None):
    """Leave out the elements at constant positions along an axis."""
    arr = as_var(arr)
    if axis is None:
        arr, axis = reshaped(arr, (arr.size,)), 0
    axis = axis_index(axis, arr.ndim)
    from .extend import take_static

    return take_static(arr, np.delete(np.arange(arr.shape[axis]), obj), axis)
