"""Multi-head attention."""

import math

import numpy as np

from ..graph import emit
from ..ops import where
from ._base import Layer, float_input, parameter, shape_of
from .dense import linear, whole
from .initialisers import initialiser

__all__ = ["Attention"]


class Attention(Layer):
    """Self-attention with several heads (Vaswani et al. 2017).

    Every token is mapped to a query, a key and a value; per head, it receives the
    values of all tokens weighted by softmax(query . key / sqrt(dim / heads)); the
    heads' results side by side are mapped once more.

    Parameters
    ----------
    dim : int
        Length of a token.
    heads : int
        A divisor of dim.
    bias : bool

    Notes
    -----
    Parameters: in_proj_weight (3 dim, dim) with the rows of queries, keys and values
    below each other, in_proj_bias (3 dim,), out_proj with weight (dim, dim) and bias
    (dim,), as torch's MultiheadAttention has them. Input (batch, tokens, dim), or a
    tuple (x, mask) with mask (batch, tokens) of bool: tokens that are False are not
    looked at. Output (batch, tokens, dim). Scores exist for a block of tokens at a
    time: memory grows with the number of tokens, not with its square.

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> layer = gv.nn.Attention(8, heads=2)
    >>> x = np.random.default_rng(0).normal(size=(3, 5, 8)).astype(np.float32)
    >>> layer.apply(layer.init(0), x).shape
    (3, 5, 8)
    """

    def __init__(self, dim, heads, bias=True):
        self.dim = whole(dim, "dim", "Attention")
        self.heads = whole(heads, "heads", "Attention")
        if self.dim % self.heads:
            raise ValueError(
                f"Attention: heads must divide dim; {self.heads} does not divide"
                f" {self.dim}"
            )
        self.bias = bool(bias)

    def _parameters(self, rng, dtype):
        d = self.dim
        made = {
            "in_proj_weight": initialiser("xavier_uniform")(
                rng, (3 * d, d), d, 3 * d, dtype
            ),
            "out_proj": {"weight": initialiser("torch")(rng, (d, d), d, d, dtype)},
        }
        if self.bias:
            made["in_proj_bias"] = np.zeros(3 * d, dtype)
            made["out_proj"]["bias"] = np.zeros(d, dtype)
        return made

    def _forward(self, params, x, context):
        who, d = repr(self), self.dim
        x, mask = x if isinstance(x, tuple) else (x, None)
        x = float_input(x, who)
        shape = shape_of(x)
        if len(shape) != 3 or shape[2] != d:
            raise ValueError(
                f"{who}: x has shape {shape}; (batch, tokens, {d}) is needed"
            )
        weight = parameter(params, "in_proj_weight", (3 * d, d), who)
        bias = parameter(params, "in_proj_bias", (3 * d,), who) if self.bias else None
        added = self._added(mask, shape, x.dtype)
        y = emit("attention", (linear(x, weight, bias), added), heads=self.heads)
        out = params.get("out_proj", {})
        weight = parameter(out, "weight", (d, d), f"{who}: out_proj")
        bias = parameter(out, "bias", (d,), f"{who}: out_proj") if self.bias else None
        return linear(y, weight, bias)

    def _added(self, mask, shape, dtype):
        """What is added to the scores of every key."""
        if mask is None:
            return np.zeros(shape[:2], dtype)
        if shape_of(mask) != shape[:2] or np.dtype(mask.dtype) != bool:
            raise ValueError(
                f"{self!r}: the mask must be bool of shape {shape[:2]}, not"
                f" {mask.dtype} of shape {shape_of(mask)}"
            )
        return where(mask, 0.0, -math.inf).astype(dtype)
