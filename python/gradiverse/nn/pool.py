"""Pooling and resampling of (batch, channels, ...) arrays with one to three axes."""

import math

import numpy as np

from ..graph import emit
from ._base import Layer, float_input, shape_of
from .dense import whole

__all__ = ["AvgPool", "GlobalPool", "MaxPool", "Upsample"]


def _numbers(value, name, who, least):
    """An int or a tuple of ints, checked."""
    if isinstance(value, (tuple, list)):
        return tuple(whole(v, name, who, least) for v in value)
    return whole(value, name, who, least)


def _per_axis(value, n, name, who):
    """One number for each of n axes."""
    if isinstance(value, int):
        return (value,) * n
    if len(value) != n:
        raise ValueError(f"{who}: {name} is for {len(value)} axes, x has {n}")
    return value


def _spatial(x, who):
    """x, checked, and the number of its axes behind the channels."""
    x = float_input(x, who)
    shape = shape_of(x)
    if not 3 <= len(shape) <= 5:
        raise ValueError(
            f"{who}: x has shape {shape}; (batch, channels, ...) with one to three axes"
            " behind the channels is needed"
        )
    return x, len(shape) - 2


class _Pool(Layer):
    def __init__(self, kernel, stride=None, padding=0):
        who = type(self).__name__
        self.kernel = _numbers(kernel, "kernel", who, 1)
        self.stride = None if stride is None else _numbers(stride, "stride", who, 1)
        self.padding = _numbers(padding, "padding", who, 0)

    def _window(self, n):
        stride = self.kernel if self.stride is None else self.stride
        pairs = {"kernel": self.kernel, "stride": stride, "padding": self.padding}
        return {k: _per_axis(v, n, k, repr(self)) for k, v in pairs.items()}


class MaxPool(_Pool):
    """Maximum over windows.

    Parameters
    ----------
    kernel : int or tuple of int
        Size of a window.
    stride : int or tuple of int, optional
        From one window to the next; the kernel by default.
    padding : int or tuple of int
        Places added on both sides, which never win; at most half the kernel.

    Notes
    -----
    Input (batch, channels, n, ...) with one to three axes, output (batch, channels,
    (n + 2 padding - kernel) // stride + 1, ...). Of equal maxima the first has the
    cotangent; NaN wins.

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> x = np.array([[[1.0, 4.0, 2.0, 3.0]]])
    >>> gv.nn.MaxPool(2).apply({}, x).tolist()
    [[[4.0, 3.0]]]
    """

    def _forward(self, params, x, context):
        x, n = _spatial(x, repr(self))
        return emit("pool_max", (x,), **self._window(n))


class AvgPool(_Pool):
    """Mean over windows.

    Parameters
    ----------
    kernel, stride, padding
        As for `MaxPool`.
    count_padding : bool
        Padding counts as zeros of the window; otherwise it is left out of the mean.

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> x = np.array([[[1.0, 4.0, 2.0, 3.0]]])
    >>> gv.nn.AvgPool(2).apply({}, x).tolist()
    [[[2.5, 2.5]]]
    """

    def __init__(self, kernel, stride=None, padding=0, count_padding=True):
        super().__init__(kernel, stride, padding)
        self.count_padding = bool(count_padding)

    def _forward(self, params, x, context):
        x, n = _spatial(x, repr(self))
        window = self._window(n)
        y = emit("pool_sum", (x,), **window)
        if self.count_padding or not any(window["padding"]):
            return y * (1 / math.prod(window["kernel"]))
        counts = emit("pool_sum", (np.ones(shape_of(x)[2:], x.dtype),), **window)
        return y / counts


class GlobalPool(Layer):
    """One number per channel: (batch, channels, ...) to (batch, channels).

    Parameters
    ----------
    kind : "mean" or "max"

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> gv.nn.GlobalPool().apply({}, np.ones((2, 3, 4, 4))).shape
    (2, 3)
    """

    def __init__(self, kind="mean"):
        if kind not in ("mean", "max"):
            raise ValueError(f"GlobalPool: kind must be 'mean' or 'max', not {kind!r}")
        self.kind = kind

    def _forward(self, params, x, context):
        x, n = _spatial(x, repr(self))
        if 0 in (shape := shape_of(x))[2:]:
            raise ValueError(
                f"{self!r}: x has shape {shape}, with nothing to take the"
                f" {self.kind} of behind the channels"
            )
        axes = tuple(range(2, 2 + n))
        return x.mean(axes) if self.kind == "mean" else x.max(axes)


class Upsample(Layer):
    """A grid that is finer by a factor along every axis.

    Parameters
    ----------
    factor : int or tuple of int
    mode : "nearest" or "linear"
        Repeated values, or linear interpolation along every axis.
    align_corners : bool
        Linear only: the outermost values keep their places; otherwise values stand in
        the middle of their cells, and are constant beyond the outermost.

    Notes
    -----
    Input (batch, channels, n, ...) with one to three axes, output (batch, channels,
    factor n, ...).

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> x = np.array([[[0.0, 1.0]]])
    >>> gv.nn.Upsample(2).apply({}, x).tolist()
    [[[0.0, 0.0, 1.0, 1.0]]]
    >>> gv.nn.Upsample(2, mode="linear").apply({}, x).tolist()
    [[[0.0, 0.25, 0.75, 1.0]]]
    """

    def __init__(self, factor, mode="nearest", align_corners=False):
        self.factor = _numbers(factor, "factor", "Upsample", 1)
        if mode not in ("nearest", "linear"):
            raise ValueError(
                f"Upsample: mode must be 'nearest' or 'linear', not {mode!r}"
            )
        if align_corners and mode == "nearest":
            raise ValueError(
                "Upsample: align_corners has no meaning for mode 'nearest'"
            )
        self.mode, self.align_corners = mode, bool(align_corners)

    def _forward(self, params, x, context):
        x, n = _spatial(x, repr(self))
        factor = _per_axis(self.factor, n, "factor", repr(self))
        shape = shape_of(x)
        size = tuple(m * f for m, f in zip(shape[2:], factor, strict=True))
        if self.mode == "nearest":
            window = {"kernel": factor, "stride": factor, "padding": (0,) * n}
            return emit("pool_spread", (x,), **window, size=size)
        for k, (old, new) in enumerate(zip(shape[2:], size, strict=True)):
            shape = shape_of(x)
            flat = (math.prod(shape[: 2 + k]), old, math.prod(shape[3 + k :]))
            y = emit(
                "resample",
                (x.reshape(flat),),
                n=old,
                size=new,
                corners=int(self.align_corners),
                adjoint=0,
            )
            x = y.reshape((*shape[: 2 + k], new, *shape[3 + k :]))
        return x
