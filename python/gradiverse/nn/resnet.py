"""Fully connected residual network."""

from ._base import Layer
from .activations import activation as named
from .dense import Linear, whole
from .dropout import Dropout
from .norm import BatchNorm, LayerNorm

__all__ = ["ResNet"]


class _Block(Layer):
    """x + linear2(act(norm2(linear1(act(norm1(x)))))), dropout in front of linear2."""

    def __init__(self, width, activation, norm, dropout, eps, small):
        self.activation = activation
        self.norms = [norm(width, eps=eps) for _ in range(2)] if norm else []
        self.linears = (
            Linear(width, width),
            Linear(width, width, init_weight=small, init_bias=small),
        )
        self.dropout = Dropout(dropout) if dropout else None

    def _children(self):
        out = {f"norm{i + 1}": norm for i, norm in enumerate(self.norms)}
        return out | {f"linear{i + 1}": layer for i, layer in enumerate(self.linears)}

    def _forward(self, params, x, context):
        relu, act, h = self.activation == "relu", named(self.activation), x
        for i, linear in enumerate(self.linears):
            if self.norms:
                name, fused = f"norm{i + 1}", "relu" if relu else "none"
                h = self._run(name, self.norms[i], params, h, context, act=fused)
            if not relu or not (self.norms or i):  # else done in the pass before
                h = act(h)
            if i and self.dropout:
                h = self._run("dropout", self.dropout, params, h, context)
            into = "relu" if relu and not (i or self.norms) else "none"
            h = self._run(f"linear{i + 1}", linear, params, h, context, act=into)
        return x + h


class _Chain(Layer):
    """Blocks one after the other."""

    def __init__(self, blocks):
        self.blocks = tuple(blocks)

    def _children(self):
        return {str(i): block for i, block in enumerate(self.blocks)}

    def _forward(self, params, x, context):
        for name, block in self._children().items():
            x = self._run(name, block, params, x, context)
        return x


class ResNet(Layer):
    """A fully connected residual network with pre-activation blocks (He et al. 2016).

    y = last(blocks(first(x))); a block adds to its input what two linear maps make of
    it, each after normalisation and activation, with dropout in front of the second.

    Parameters
    ----------
    n_in, n_out : int
        Widths of the input and of the output.
    width : int
        Of the blocks.
    depth : int
        Number of blocks.
    activation : str or callable
    norm : "batch", "layer" or None
    dropout : float
        Share of values set to zero while training.
    eps : float
        Added to the variances of the norms.
    small : float
        Weight and bias of the second map of a block start uniform within +-small, so
        that a block starts close to the identity.

    Notes
    -----
    Input (batch, n_in), output (batch, n_out). Parameters: first and last (weight,
    bias), and blocks, whose entries "0", "1", ... hold norm1, linear1, norm2, linear2.
    The defaults are the head that ratio estimators use for a marginal (with dropout
    0.1); width 50 and norm None is another one in use. One network per marginal:
    ``gv.nn.Grouped(gv.nn.ResNet(...), n)``.

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> net = gv.nn.ResNet(11, 1)
    >>> params, state = net.init(0), net.init_state()
    >>> sum(p.size for p in gv.flatten(params)[0])
    17985
    >>> x = np.random.default_rng(0).normal(size=(8, 11))
    >>> y, state = net.apply(params, x, state=state, train=True)
    >>> y.shape
    (8, 1)
    """

    def __init__(
        self,
        n_in,
        n_out,
        width=64,
        depth=2,
        activation="relu",
        norm="batch",
        dropout=0.0,
        eps=1e-3,
        small=1e-3,
    ):
        norms = {"batch": BatchNorm, "layer": LayerNorm, None: None}
        if norm not in norms:
            raise ValueError(
                f"ResNet: norm must be 'batch', 'layer' or None, not {norm!r}"
            )
        self.n_in = whole(n_in, "n_in", "ResNet")
        self.n_out = whole(n_out, "n_out", "ResNet")
        self.width = whole(width, "width", "ResNet")
        self.depth = whole(depth, "depth", "ResNet", least=0)
        self.activation, self.norm, self.eps = activation, norm, eps
        self.dropout, self.small = dropout, small
        named(activation)  # an unknown name is an error here, not at the first use
        self._first = Linear(self.n_in, self.width)
        self._last = Linear(self.width, self.n_out)
        self._blocks = _Chain(
            _Block(self.width, activation, norms[norm], dropout, eps, small)
            for _ in range(self.depth)
        )

    def _children(self):
        return {"first": self._first, "blocks": self._blocks, "last": self._last}

    def _forward(self, params, x, context):
        x = self._run("first", self._first, params, x, context)
        x = self._run("blocks", self._blocks, params, x, context)
        return self._run("last", self._last, params, x, context)
