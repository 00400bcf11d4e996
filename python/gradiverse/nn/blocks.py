"""Residual connections and blocks of convolutions."""

from ._base import Layer, shape_of
from .activations import activation as named
from .conv import Conv1d, Conv2d, Conv3d
from .dense import whole
from .norm import BatchNorm, GroupNorm, InstanceNorm

__all__ = ["ConvBlock", "Residual"]

_CONVOLUTIONS = {1: Conv1d, 2: Conv2d, 3: Conv3d}
_NORMS = ("batch", "group", "instance", None)


def convolution_of(dim, who):
    """The convolution layer for so many axes."""
    if dim not in _CONVOLUTIONS:
        raise ValueError(f"{who}: dim must be 1, 2 or 3, not {dim!r}")
    return _CONVOLUTIONS[dim]


class Residual(Layer):
    """y = x + layer(x).

    Parameters
    ----------
    layer : Layer
        With an output of the shape of its input.

    Notes
    -----
    Parameters: those of the layer under "layer".

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> net = gv.nn.Residual(gv.nn.Linear(3, 3))
    >>> net.apply(net.init(0), np.ones((5, 3), np.float32)).shape
    (5, 3)
    """

    def __init__(self, layer):
        if not isinstance(layer, Layer):
            raise TypeError(
                f"Residual: layer must be a layer, not {type(layer).__name__}"
            )
        self.layer = layer

    def _children(self):
        return {"layer": self.layer}

    def _forward(self, params, x, context):
        y = self._run("layer", self.layer, params, x, context)
        if shape_of(y) != shape_of(x):
            raise ValueError(
                f"{self!r}: the layer makes {shape_of(y)} of {shape_of(x)}; a residual"
                " needs equal shapes"
            )
        return x + y


class ConvBlock(Layer):
    """Two convolutions with normalisation and activation, and a way around them.

    h = act(norm1(conv1(x))), h = norm2(conv2(h)), y = act(h + skip(x)) (He et al.
    2016); the way around is x itself, or a convolution of one place and a norm where
    channels or stride change. Without residual y = act(h).

    Parameters
    ----------
    dim : 1, 2 or 3
        Axes behind the channels.
    c_in, c_out : int
        Channels.
    kernel : int
    stride : int
        Of the first convolution, which has kernel // 2 places of padding on both sides
        where padding is "same".
    padding : str
        "same" or "periodic" (and "valid" without residual).
    norm : "batch", "group" (8 channels each, or one group), "instance" or None
    activation : str or callable
    residual : bool

    Notes
    -----
    Parameters: conv1, norm1, conv2, norm2, and skip (a convolution) with skip_norm;
    convolutions have a bias where no norm follows.

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> block = gv.nn.ConvBlock(2, 3, 8, stride=2)
    >>> params, state = block.init(0), block.init_state()
    >>> x = np.zeros((5, 3, 8, 8), np.float32)
    >>> block.apply(params, x, state=state)[0].shape
    (5, 8, 4, 4)
    """

    def __init__(
        self, dim, c_in, c_out, kernel=3, stride=1, padding="same", norm="batch",
        activation="relu", residual=True,
    ):  # fmt: skip
        conv = convolution_of(dim, "ConvBlock")
        if norm not in _NORMS:
            raise ValueError(f"ConvBlock: norm must be one of {_NORMS}, not {norm!r}")
        self.dim, self.c_in, self.c_out = dim, c_in, c_out
        self.kernel = kernel = whole(kernel, "kernel", "ConvBlock")
        self.stride = stride = whole(stride, "stride", "ConvBlock")
        self.padding, self.norm = padding, norm
        self.activation, self.residual = activation, bool(residual)
        bias = {"bias": norm is None}
        half = padding == "same" and kernel % 2 == 1  # the same margin on both sides
        margin = kernel // 2 if half else padding
        made = {
            "conv1": conv(c_in, c_out, kernel, stride, padding=margin, **bias),
            "norm1": self._norm(),
            "conv2": conv(c_out, c_out, kernel, padding=padding, **bias),
            "norm2": self._norm(),
        }
        if self.residual and (c_in != c_out or stride != 1):
            made["skip"] = conv(c_in, c_out, 1, stride, padding=padding, **bias)
            made["skip_norm"] = self._norm()
        self._layers = {name: layer for name, layer in made.items() if layer}

    def _norm(self):
        c = self.c_out
        if self.norm == "group":
            return GroupNorm(c, c // 8 if c % 8 == 0 else 1)
        kinds = {"batch": BatchNorm, "instance": InstanceNorm}
        return kinds[self.norm](c) if self.norm else None

    def _children(self):
        return self._layers

    def _step(self, n, params, x, context, act):
        """Convolution and norm number n, and the activation."""
        for kind in ("conv", "norm"):
            name = f"{kind}{n}" if n else {"conv": "skip", "norm": "skip_norm"}[kind]
            if name not in self._layers:
                continue
            layer, how = self._layers[name], {}
            if act == "relu" and kind == "norm":
                how, act = {"act": "relu"}, "identity"
            x = self._run(name, layer, params, x, context, **how)
        return named(act)(x)

    def _forward(self, params, x, context):
        h = self._step(1, params, x, context, self.activation)
        if not self.residual:
            return self._step(2, params, h, context, self.activation)
        h = self._step(2, params, h, context, "identity")
        around = self._step(0, params, x, context, "identity")
        if shape_of(h) != shape_of(around):
            raise ValueError(
                f"{self!r}: the convolutions make {shape_of(h)}, the way around"
                f" {shape_of(around)}; use padding 'same' or 'periodic'"
            )
        return named(self.activation)(h + around)
