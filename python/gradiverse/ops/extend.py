"""Repeat, tile and pad."""

import numpy as np

from ._core import (
    as_var,
    axis_index,
    broadcast,
    concat,
    emit,
    first_var,
    implements,
    reshaped,
    sliced,
    span,
)

__all__ = [
    "pad", "repeat", "resize", "tile",
]  # fmt: skip


# --- repeat and pad -------------------------------------------------------------


def take_static(x, index, axis):
    """x at constant positions along one axis."""
    from .indexing import take

    return take(x, np.asarray(index, dtype=np.int64), axis=axis)


@implements("repeat")
def repeat(a, repeats, axis=None):
    """Repeat every element, one after the other."""
    a = as_var(a)
    if axis is None:
        a, axis = reshaped(a, (a.size,)), 0
    axis = axis_index(axis, a.ndim)
    repeats = np.asarray(repeats)
    if repeats.size == 1:
        r = int(repeats.reshape(()))
        s = a.shape
        x = broadcast(
            reshaped(a, (*s[: axis + 1], 1, *s[axis + 1 :])),
            (*s[: axis + 1], r, *s[axis + 1 :]),
        )
        return reshaped(x, (*s[:axis], s[axis] * r, *s[axis + 1 :]))
    return take_static(a, np.repeat(np.arange(a.shape[axis]), repeats), axis)


@implements("tile")
def tile(A, reps):
    """Repeat the whole array along its axes."""
    a = as_var(A)
    reps = tuple(int(r) for r in (reps if np.ndim(reps) else (reps,)))
    n = max(a.ndim, len(reps))
    shape = (1,) * (n - a.ndim) + a.shape
    reps = (1,) * (n - len(reps)) + reps
    pairs = [m for pair in zip(reps, shape, strict=True) for m in pair]
    inner = [m for s in shape for m in (1, s)]
    x = broadcast(reshaped(a, inner), pairs)
    return reshaped(x, [r * s for r, s in zip(reps, shape, strict=True)])


@implements("resize")
def resize(a, new_shape):
    """The elements repeated until a shape is full."""
    a = as_var(a)
    new_shape = tuple(new_shape) if np.ndim(new_shape) else (int(new_shape),)
    size = int(np.prod(new_shape))
    if a.size == 0 or size == 0:
        return np.zeros(new_shape, a.dtype)
    x = tile(reshaped(a, (a.size,)), -(-size // a.size))
    return reshaped(span(x, 0, 0, size), new_shape)


def _widths(pad_width, ndim):
    if isinstance(pad_width, dict):
        full = [(0, 0)] * ndim
        for axis, width in pad_width.items():
            full[axis] = (width, width) if np.ndim(width) == 0 else tuple(width)
        pad_width = full
    widths = np.broadcast_to(np.asarray(pad_width, dtype=np.int64), (ndim, 2))
    if (widths < 0).any():
        raise ValueError(f"pad: widths must not be negative, got {pad_width}")
    return [(int(a), int(b)) for a, b in widths]


@implements("pad")
def pad(array, pad_width, mode="constant", *, constant_values=0, reflect_type="even"):
    """Pad with a constant, the edge, or a reflected, symmetric or wrapped copy."""
    x = as_var(array, first_var(constant_values))
    widths = _widths(pad_width, x.ndim)
    if mode in ("constant", "empty"):
        return _pad_constant(x, widths, constant_values)
    if mode not in ("edge", "reflect", "symmetric", "wrap") or reflect_type != "even":
        raise ValueError(
            f"pad: mode {mode!r} (reflect_type {reflect_type!r}) is not offered for "
            "traced values; use constant, edge, reflect, symmetric or wrap"
        )
    for axis, width in enumerate(widths):
        if width != (0, 0):
            index = np.pad(np.arange(x.shape[axis]), width, mode=mode)
            x = take_static(x, index, axis)
    return x


def _pad_constant(x, widths, values):
    zero = first_var(values) is None and not np.any(values)
    if zero or not any(map(any, widths)):
        low, high = zip(*widths, strict=True) if widths else ((), ())
        return emit("pad", (x,), low=low, high=high) if widths else x
    like = x
    values = broadcast(as_var(values, like, x.dtype), (x.ndim, 2))
    for axis, (low, high) in enumerate(widths):
        parts = [x]
        for side, width in ((0, low), (1, high)):
            if width:
                v = sliced(values, (axis, side), (1, 1), (1, 1))
                v = reshaped(v, (1,) * x.ndim)
                shape = (*x.shape[:axis], width, *x.shape[axis + 1 :])
                parts.insert(side * len(parts), broadcast(v, shape))
        x = concat(parts, axis)
    return x
