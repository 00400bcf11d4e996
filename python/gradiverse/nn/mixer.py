"""MLP-mixer."""

import numpy as np

from ._base import Layer, float_input, shape_of
from .dense import whole
from .norm import LayerNorm
from .sequential import MLP

__all__ = ["MLPMixer"]


class _Block(Layer):
    """x + (tokens(norm1(x)^T))^T, then x + channels(norm2(x))."""

    def __init__(self, tokens, dim, token_width, width, activation):
        self._layers = {
            "norm1": LayerNorm(dim),
            "tokens": MLP((tokens, token_width, tokens), activation),
            "norm2": LayerNorm(dim),
            "channels": MLP((dim, width, dim), activation),
        }

    def _children(self):
        return self._layers

    def _forward(self, params, x, context):
        def run(name, x):
            return self._run(name, self._layers[name], params, x, context)

        mixed = run("tokens", np.swapaxes(run("norm1", x), 1, 2))
        x = x + np.swapaxes(mixed, 1, 2)
        return x + run("channels", run("norm2", x))


class MLPMixer(Layer):
    """Fully connected networks in turn along the tokens and along each token.

    depth blocks x + mix(x), one network shared by all channels that sees all tokens,
    then one shared by all tokens that sees all channels, each after layer
    normalisation (Tolstikhin et al. 2021); a last normalisation.

    Parameters
    ----------
    tokens, dim : int
        Number of tokens and their length.
    depth : int
        Blocks.
    token_width, width : int, optional
        Hidden widths along the tokens and along a token; by default 2 tokens, 2 dim.
    activation : str or callable

    Notes
    -----
    Parameters: "0", "1", ... for the blocks, with norm1, tokens, norm2, channels; norm.
    Input and output (batch, tokens, dim).

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> net = gv.nn.MLPMixer(4, 6, depth=2)
    >>> net.apply(net.init(0), np.ones((3, 4, 6), np.float32)).shape
    (3, 4, 6)
    """

    def __init__(
        self, tokens, dim, depth=2, token_width=None, width=None, activation="gelu"
    ):
        self.tokens = whole(tokens, "tokens", "MLPMixer")
        self.dim = whole(dim, "dim", "MLPMixer")
        self.depth = whole(depth, "depth", "MLPMixer")
        self.token_width, self.width = token_width, width
        self.activation = activation
        sizes = (token_width or 2 * tokens, width or 2 * dim)
        blocks = [_Block(tokens, dim, *sizes, activation) for _ in range(depth)]
        self._layers = {str(i): block for i, block in enumerate(blocks)}
        self._layers["norm"] = LayerNorm(dim)

    def _children(self):
        return self._layers

    def _forward(self, params, x, context):
        x = float_input(x, repr(self))
        if shape_of(x)[1:] != (self.tokens, self.dim):
            raise ValueError(
                f"{self!r}: x has shape {shape_of(x)}; (batch, {self.tokens},"
                f" {self.dim}) is needed"
            )
        for name, layer in self._layers.items():
            x = self._run(name, layer, params, x, context)
        return x
