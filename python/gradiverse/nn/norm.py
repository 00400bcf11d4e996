"""Normalisation layers: batch, layer, group and instance."""

import math

import numpy as np

from ..graph import emit
from ..ops import special
from ._base import Layer, float_input, parameter, shape_of
from .activations import relu
from .dense import whole

__all__ = ["BatchNorm", "GroupNorm", "InstanceNorm", "LayerNorm"]


def number(value, name, who, low, high=math.inf):
    """value as a float in [low, high]; ValueError that names it."""
    value = float(value)
    if not low <= value <= high:
        raise ValueError(f"{who}: {name} must lie in [{low}, {high}], not {value}")
    return value


class _Norm(Layer):
    """weight and bias of the given shape, ones and zeros at first."""

    #: `_forward` takes act="relu" and does the rectifier in the same pass
    fuses_relu = True

    def _who(self):
        return repr(self)

    def _shape(self):
        return (self.c,)

    def _parameters(self, rng, dtype):
        if not self.affine:
            return {}
        shape = self._shape()
        return {"weight": np.ones(shape, dtype), "bias": np.zeros(shape, dtype)}

    def _weights(self, params, dtype):
        """weight and bias, (c,) each."""
        if not self.affine:
            n = math.prod(self._shape())
            return np.ones(n, dtype), np.zeros(n, dtype)
        shape, who = self._shape(), self._who()
        both = (parameter(params, name, shape, who) for name in ("weight", "bias"))
        return tuple(w.reshape(-1) for w in both)

    def _channels(self, x, least):
        """x, checked, and its shape as (entries, channels, places)."""
        x = float_input(x, self._who())
        shape = shape_of(x)
        if len(shape) < least or shape[1] != self.c:
            axes = (
                "(batch, channels, ...)"
                if least == 2
                else "(batch, channels, axis, ...)"
            )
            raise ValueError(
                f"{self._who()}: x has shape {shape}; {axes} with {self.c} channels is"
                " needed"
            )
        return x, (shape[0], self.c, math.prod(shape[2:]))


class BatchNorm(_Norm):
    """Each channel shifted and scaled to zero mean and unit variance over the batch.

    y = weight (x - mean) / sqrt(var + eps) + bias, mean and (biased) variance over the
    entries and all axes behind the channels (Ioffe & Szegedy 2015). While training the
    statistics are those of the batch, and the state moves towards them: running = (1 -
    momentum) running + momentum batch, with the unbiased variance. Otherwise they are
    those of the state.

    Parameters
    ----------
    c : int
        Channels.
    eps : float
        Added to the variance.
    momentum : float
        Weight of the new batch in the running statistics.
    affine : bool
        With weight and bias.

    Notes
    -----
    Parameters: weight (c,), bias (c,). State: running_mean (c,), running_var (c,).
    Input (batch, c), (batch, c, length), (batch, c, height, width) or (batch, c, depth,
    height, width), as the output. Statistics are summed in float64.

    Raises
    ------
    ValueError
        One value per channel while training; `train=False` without a state.

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> layer = gv.nn.BatchNorm(2)
    >>> params, state = layer.init(0), layer.init_state()
    >>> x = np.array([[0.0, 10.0], [2.0, 30.0]], np.float32)
    >>> y, state = layer.apply(params, x, state=state, train=True)
    >>> print(np.round(y, 3))
    [[-1. -1.]
     [ 1.  1.]]
    >>> print(state["running_mean"])
    [0.1 2. ]
    """

    def __init__(self, c, eps=1e-5, momentum=0.1, affine=True):
        self.c = whole(c, "c", "BatchNorm")
        self.eps = number(eps, "eps", "BatchNorm", 0)
        self.momentum = number(momentum, "momentum", "BatchNorm", 0, 1)
        self.affine = bool(affine)

    def _state(self, dtype):
        zeros, ones = np.zeros(self.c, dtype), np.ones(self.c, dtype)
        return {"running_mean": zeros, "running_var": ones}

    def _forward(self, params, x, context, act="none"):
        x, flat = self._channels(x, 2)
        weight, bias = self._weights(params, x.dtype)
        if not context.train:
            return self._use(x, weight, bias, context, act)
        n = flat[0] * flat[2]
        if n < 2:
            raise ValueError(
                f"{self._who()}: training needs more than one value per channel, x has"
                f" shape {shape_of(x)}; use larger batches, and drop_last=True of"
                " gv.train.fit where rows are left over"
            )
        y, mean, var = emit(
            "batch_norm",
            (x.reshape(flat), weight, bias),
            eps=self.eps,
            relu=int(act == "relu"),
        )
        if context.state is not None:
            unbiased = var * (n / (n - 1))
            context.update(
                {
                    "running_mean": self._moved(context, "running_mean", mean),
                    "running_var": self._moved(context, "running_var", unbiased),
                }
            )
        return y.reshape(shape_of(x))

    def _moved(self, context, name, batch):
        old = self._running(context, name)
        batch = special.stop_gradient(batch).astype(old.dtype)
        return (1 - self.momentum) * old + self.momentum * batch

    def _running(self, context, name):
        return parameter(context.state, name, (self.c,), f"{self._who()}: state")

    def _use(self, x, weight, bias, context, act):
        if context.state is None:
            raise ValueError(
                f"{self._who()}: running statistics are needed unless train=True; give"
                " state= (from .init_state() and training)"
            )
        shape = (self.c, *(1,) * (len(shape_of(x)) - 2))
        mean = self._running(context, "running_mean").astype(x.dtype)
        var = self._running(context, "running_var").astype(x.dtype)
        scale = weight / np.sqrt(var + self.eps)
        y = (x - mean.reshape(shape)) * scale.reshape(shape) + bias.reshape(shape)
        return relu(y) if act == "relu" else y


class _Grouped(_Norm):
    def _apply(self, x, flat, weight, bias, groups, act):
        y, _, _ = emit(
            "group_norm",
            (x.reshape(flat), weight, bias),
            eps=self.eps,
            relu=int(act == "relu"),
            groups=groups,
        )
        return y.reshape(shape_of(x))


class LayerNorm(_Grouped):
    """Each entry shifted and scaled to zero mean and unit variance over its last axis.

    y = weight (x - mean) / sqrt(var + eps) + bias (Ba et al. 2016), var divided by the
    number of values.

    Parameters
    ----------
    c : int or tuple of int
        Length of the last axis, or the shape of the last axes.
    eps : float
        Added to the variance.
    affine : bool
        With weight and bias.

    Notes
    -----
    Parameters: weight and bias of the shape c. Input (..., c), as the output.

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> layer = gv.nn.LayerNorm(3)
    >>> y = layer.apply(layer.init(0), np.array([[1.0, 2.0, 3.0]], np.float32))
    >>> print(np.round(y, 3))
    [[-1.225  0.     1.225]]
    """

    def __init__(self, c, eps=1e-5, affine=True):
        shape = c if isinstance(c, tuple) else (c,)
        shape = tuple(whole(n, "c", "LayerNorm") for n in shape)
        self.c = shape if isinstance(c, tuple) else shape[0]
        self.eps = number(eps, "eps", "LayerNorm", 0)
        self.affine = bool(affine)

    def _shape(self):
        return self.c if isinstance(self.c, tuple) else (self.c,)

    def _forward(self, params, x, context, act="none"):
        x, last = float_input(x, self._who()), self._shape()
        shape = shape_of(x)
        if shape[len(shape) - len(last) :] != last or len(shape) < len(last):
            raise ValueError(
                f"{self._who()}: x has shape {shape}; it must end in {last}"
            )
        n = math.prod(last)
        flat = (math.prod(shape[: len(shape) - len(last)]), n, 1)
        return self._apply(x, flat, *self._weights(params, x.dtype), 1, act)


class GroupNorm(_Grouped):
    """Groups of channels of each entry shifted and scaled to mean 0 and variance 1.

    As `BatchNorm`, with the statistics of c / groups channels and all axes behind them
    of one entry (Wu & He 2018); there is no state.

    Parameters
    ----------
    c : int
        Channels.
    groups : int
        A divisor of c.
    eps : float
        Added to the variance.
    affine : bool
        With weight and bias.

    Notes
    -----
    Parameters: weight (c,), bias (c,). Input (batch, c, ...), as the output.

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> layer = gv.nn.GroupNorm(4, groups=2)
    >>> x = np.random.default_rng(0).normal(size=(3, 4, 5, 5)).astype(np.float32)
    >>> y = layer.apply(layer.init(0), x)
    >>> bool(abs(y[0, :2].mean()) < 1e-6)
    True
    """

    def __init__(self, c, groups, eps=1e-5, affine=True):
        self.c = whole(c, "c", "GroupNorm")
        self.groups = whole(groups, "groups", "GroupNorm")
        if self.c % self.groups:
            raise ValueError(
                f"GroupNorm: groups must divide the channels; {self.groups} does not"
                f" divide {self.c}"
            )
        self.eps = number(eps, "eps", "GroupNorm", 0)
        self.affine = bool(affine)

    def _forward(self, params, x, context, act="none"):
        x, flat = self._channels(x, 2)
        weights = self._weights(params, x.dtype)
        return self._apply(x, flat, *weights, self.groups, act)


class InstanceNorm(_Grouped):
    """Each channel of each entry shifted and scaled to mean 0 and variance 1.

    As `GroupNorm` with one channel in each group (Ulyanov et al. 2016); without running
    statistics.

    Parameters
    ----------
    c : int
        Channels.
    eps : float
        Added to the variance.
    affine : bool
        With weight and bias.

    Notes
    -----
    Parameters: weight (c,), bias (c,). Input (batch, c, axis, ...), as the output, with
    more than one place.

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> layer = gv.nn.InstanceNorm(2)
    >>> x = np.arange(8.0, dtype=np.float32).reshape(1, 2, 4)
    >>> print(np.round(layer.apply(layer.init(0), x)[0, 1], 3))
    [-1.342 -0.447  0.447  1.342]
    """

    def __init__(self, c, eps=1e-5, affine=True):
        self.c = whole(c, "c", "InstanceNorm")
        self.eps = number(eps, "eps", "InstanceNorm", 0)
        self.affine = bool(affine)

    def _forward(self, params, x, context, act="none"):
        x, flat = self._channels(x, 3)
        if flat[2] < 2:
            raise ValueError(
                f"{self._who()}: x has shape {shape_of(x)}, one value per channel; more"
                " than one is needed"
            )
        return self._apply(x, flat, *self._weights(params, x.dtype), self.c, act)
