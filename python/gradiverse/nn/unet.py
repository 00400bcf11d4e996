"""U-Net in one to three dimensions."""

import math

from ..ops import concatenate
from ._base import Layer, float_input, shape_of
from .blocks import ConvBlock, convolution_of
from .conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from .dense import whole
from .pool import MaxPool

__all__ = ["UNet"]

_UP = {1: ConvTranspose1d, 2: ConvTranspose2d, 3: ConvTranspose3d}


class UNet(Layer):
    """Blocks of convolutions on coarser and coarser grids and back (Ronneberger 2015).

    On the way down each level doubles the channels and takes the maximum over cells of
    ``factor`` places; on the way up a transposed convolution refines the grid and the
    block sees its result beside that of the same level on the way down.

    Parameters
    ----------
    dim : 1, 2 or 3
        Axes behind the channels.
    c_in, c_out : int
        Channels of the input and of the output.
    width : int
        Channels of the finest level; level i has width 2^i.
    depth : int
        Number of coarser levels.
    factor : int or tuple of int
        From one level to the next, one number or one for each step down.
    kernel : int
    padding : "same" or "periodic"
    norm : "batch", "group", "instance" or None
    activation : str or callable
    residual : bool
        Ways around the blocks, as in `ConvBlock`.

    Notes
    -----
    Parameters: down (depth + 1 blocks "0", "1", ...), up (depth transposed
    convolutions), join (depth blocks), head (a convolution of one place). Input (batch,
    c_in, n, ...) with lengths divisible by the product of the factors, output (batch,
    c_out, n, ...).

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> net = gv.nn.UNet(1, 2, 3, width=4, depth=2)
    >>> params, state = net.init(0), net.init_state()
    >>> x = np.zeros((5, 2, 16), np.float32)
    >>> net.apply(params, x, state=state)[0].shape
    (5, 3, 16)
    """

    def __init__(
        self, dim, c_in, c_out, width=32, depth=3, factor=2, kernel=3, padding="same",
        norm="batch", activation="relu", residual=False,
    ):  # fmt: skip
        conv = convolution_of(dim, "UNet")
        if padding not in ("same", "periodic"):
            raise ValueError(
                f"UNet: padding must be 'same' or 'periodic', not {padding!r}"
            )
        self.dim, self.c_in, self.c_out = dim, c_in, c_out
        self.width = whole(width, "width", "UNet")
        self.depth = whole(depth, "depth", "UNet", 0)
        factors = factor if isinstance(factor, (tuple, list)) else (factor,) * depth
        if len(factors) != depth:
            raise ValueError(
                f"UNet: factor has {len(factors)} entries, depth is {depth}"
            )
        self.factor = tuple(whole(f, "factor", "UNet", 2) for f in factors)
        self.kernel, self.padding, self.norm = kernel, padding, norm
        self.activation, self.residual = activation, bool(residual)

        def block(a, b):
            return ConvBlock(dim, a, b, kernel, 1, padding, norm, activation, residual)

        c = [self.width * 2**i for i in range(depth + 1)]
        self._down = [block(a, b) for a, b in zip([c_in, *c[:-1]], c, strict=True)]
        self._up = [
            _UP[dim](c[i + 1], c[i], f, stride=f, padding="valid")
            for i, f in enumerate(self.factor)
        ]
        self._join = [block(2 * c[i], c[i]) for i in range(depth)]
        self._head = conv(c[0], c_out, 1)

    def _children(self):
        lists = {"down": self._down, "up": self._up, "join": self._join}
        made = {name: _Numbered(layers) for name, layers in lists.items()}
        return {**made, "head": self._head}

    def _forward(self, params, x, context):
        x = float_input(x, repr(self))
        shape, cell = shape_of(x), math.prod(self.factor)
        if len(shape) != 2 + self.dim or shape[1] != self.c_in:
            raise ValueError(
                f"{self!r}: x has shape {shape}; (batch, {self.c_in}, ...) with"
                f" {self.dim} axes behind the channels is needed"
            )
        if any(n % cell for n in shape[2:]):
            raise ValueError(
                f"{self!r}: lengths {shape[2:]} are not divisible by {cell}, the"
                " product of the factors; pad or crop x"
            )
        return self._walk(params, x, context)

    def _walk(self, params, x, context):
        parts = {name: context.child(name) for name in ("down", "up", "join")}

        def run(name, i, x):
            layer = getattr(self, f"_{name}")[i]
            own = params.get(name, {}).get(str(i), {})
            return layer._forward(own, x, parts[name].child(str(i)))

        kept = []
        for i in range(self.depth):
            x = run("down", i, x)
            kept.append(x)
            x = MaxPool(self.factor[i])._forward({}, x, context)
        x = run("down", self.depth, x)
        for i in reversed(range(self.depth)):
            x = run("up", i, x)
            x = run("join", i, concatenate((kept[i], x), 1))
        return self._run("head", self._head, params, x, context)


class _Numbered(Layer):
    """Layers under "0", "1", ...; a place for their parameters."""

    def __init__(self, layers):
        self.layers = layers

    def _children(self):
        return {str(i): layer for i, layer in enumerate(self.layers)}
