"""Reshape, transpose, broadcast, flip and roll."""

import numpy as np

from ._core import (
    as_var,
    axis_index,
    axis_tuple,
    broadcast,
    concat,
    first_var,
    implements,
    permute,
    reshaped,
    sliced,
    span,
)

__all__ = [
    "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_arrays", "broadcast_to",
    "expand_dims", "flip", "fliplr", "flipud", "matrix_transpose", "moveaxis",
    "permute_dims", "ravel", "reshape", "roll", "rollaxis", "rot90", "squeeze",
    "swapaxes", "transpose",
]  # fmt: skip


# --- reshape and transpose ------------------------------------------------------


@implements("reshape")
def reshape(a, /, shape=None, order="C", *, newshape=None, copy=None):
    """The same elements in another shape; one length may be -1."""
    a = as_var(a)
    shape = newshape if shape is None else shape
    if order not in ("C", "F", "A"):
        raise ValueError(f"reshape: order is 'C', 'F' or 'A', got {order!r}")
    shape = _fill(a.size, shape)
    if order == "F":
        return transpose(reshaped(transpose(a), shape[::-1]))
    return reshaped(a, shape)


def _fill(size, shape):
    """Replace -1 in a shape and check its size."""
    shape = [int(n) for n in shape] if np.ndim(shape) else [int(shape)]
    given = 1
    for n in shape:
        given *= n if n != -1 else 1
    if shape.count(-1) == 1 and given > 0 and size % given == 0:
        shape[shape.index(-1)] = size // given
    elif -1 in shape or given != size:
        raise ValueError(
            f"reshape: cannot give {size} elements the shape {tuple(shape)}"
        )
    return shape


@implements("ravel")
def ravel(a, order="C"):
    """All elements as one axis."""
    return reshape(a, -1, order="C" if order == "K" else order)


@implements("transpose", "permute_dims")
def transpose(a, axes=None):
    """Permute the axes (reverse them by default)."""
    a = as_var(a)
    if axes is None:
        return permute(a, range(a.ndim)[::-1])
    axes = axis_tuple(axes, a.ndim)
    if len(axes) != a.ndim:
        raise ValueError(f"transpose: {len(axes)} axes for an array with {a.ndim}")
    return permute(a, axes)


permute_dims = transpose


@implements("swapaxes")
def swapaxes(a, axis1, axis2):
    """Exchange two axes."""
    a = as_var(a)
    axes = list(range(a.ndim))
    i, j = axis_index(axis1, a.ndim), axis_index(axis2, a.ndim)
    axes[i], axes[j] = j, i
    return permute(a, axes)


@implements("matrix_transpose", "linalg.matrix_transpose")
def matrix_transpose(x, /):
    """Exchange the last two axes."""
    return swapaxes(x, -1, -2)


@implements("moveaxis")
def moveaxis(a, source, destination):
    """Move axes to new positions."""
    a = as_var(a)
    source = axis_tuple(source, a.ndim, "source")
    destination = axis_tuple(destination, a.ndim, "destination")
    if len(source) != len(destination):
        raise ValueError("moveaxis: as many destinations as sources are needed")
    order = [i for i in range(a.ndim) if i not in source]
    for to, axis in sorted(zip(destination, source, strict=True)):
        order.insert(to, axis)
    return permute(a, order)


@implements("rollaxis")
def rollaxis(a, axis, start=0):
    """Move an axis before another."""
    a = as_var(a)
    axis = axis_index(axis, a.ndim)
    start = start + a.ndim if start < 0 else start
    return moveaxis(a, axis, start - 1 if start > axis else start)


@implements("expand_dims")
def expand_dims(a, axis):
    """Insert axes of length 1."""
    a = as_var(a)
    axis = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = axis_tuple(axis, a.ndim + len(axis))
    rest = iter(a.shape)
    n = a.ndim + len(axes)
    return reshaped(a, [1 if i in axes else next(rest) for i in range(n)])


@implements("squeeze")
def squeeze(a, axis=None):
    """Drop axes of length 1."""
    a = as_var(a)
    if axis is None:
        return reshaped(a, [n for n in a.shape if n != 1])
    axes = axis_tuple(axis, a.ndim)
    if any(a.shape[i] != 1 for i in axes):
        raise ValueError(f"squeeze: axis {axis} of shape {a.shape} is not of length 1")
    return reshaped(a, [n for i, n in enumerate(a.shape) if i not in axes])


@implements("broadcast_to")
def broadcast_to(array, shape, subok=False):
    """Repeat axes of length 1 to reach a shape."""
    array = as_var(array)
    shape = tuple(int(n) for n in (shape if np.ndim(shape) else (shape,)))
    if np.broadcast_shapes(array.shape, shape) != shape:
        raise ValueError(f"broadcast_to: {array.shape} does not broadcast to {shape}")
    return broadcast(array, shape)


@implements("broadcast_arrays")
def broadcast_arrays(*args, subok=False):
    """The arguments broadcast against each other."""
    like = first_var(*args)
    args = [as_var(a, like) for a in args]
    shape = np.broadcast_shapes(*(a.shape for a in args))
    return tuple(broadcast(a, shape) for a in args)


def _atleast(name, widen):
    def function(*arys):
        like = first_var(*arys)
        arys = (as_var(a, like) for a in arys)
        out = tuple(reshaped(a, widen(a.shape)) for a in arys)
        return out[0] if len(out) == 1 else out

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The arguments with at least {name[-2]} axes."
    return implements(name)(function)


atleast_1d = _atleast("atleast_1d", lambda s: s or (1,))
atleast_2d = _atleast("atleast_2d", lambda s: (1,) * (2 - len(s)) + s)
atleast_3d = _atleast(
    "atleast_3d",
    lambda s: s if len(s) > 2 else {0: (1, 1, 1), 1: (1, *s, 1), 2: (*s, 1)}[len(s)],
)


# --- flip and roll --------------------------------------------------------------


@implements("flip")
def flip(m, axis=None):
    """Reverse the order along axes (all by default)."""
    m = as_var(m)
    axes = range(m.ndim) if axis is None else axis_tuple(axis, m.ndim)
    start = [m.shape[i] - 1 if i in axes and m.shape[i] else 0 for i in range(m.ndim)]
    step = [-1 if i in axes else 1 for i in range(m.ndim)]
    return sliced(m, start, step, m.shape)


@implements("flipud")
def flipud(m):
    """Reverse the first axis."""
    return flip(m, 0)


@implements("fliplr")
def fliplr(m):
    """Reverse the second axis."""
    return flip(m, 1)


@implements("roll")
def roll(a, shift, axis=None):
    """Shift along axes; what leaves at one end enters at the other."""
    a = as_var(a)
    if axis is None:
        return reshaped(roll(reshaped(a, (a.size,)), int(np.sum(shift)), 0), a.shape)
    axes = axis_tuple(axis, a.ndim, allow_duplicate=True)
    for s, i in np.broadcast(np.atleast_1d(shift), axes):
        n = a.shape[i]
        s = int(s) % n if n else 0
        if s:
            a = concat([span(a, i, n - s, n), span(a, i, 0, n - s)], i)
    return a


@implements("rot90")
def rot90(m, k=1, axes=(0, 1)):
    """Rotate by multiples of 90 degrees in the plane of two axes."""
    m = as_var(m)
    i, j = axis_tuple(axes, m.ndim)
    k %= 4
    if k == 0:
        return m
    if k == 2:
        return flip(m, (i, j))
    return swapaxes(flip(m, j), i, j) if k == 1 else flip(swapaxes(m, i, j), j)
