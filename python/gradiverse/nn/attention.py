"""Multi-head attention."""

import math

import numpy as np

from ..graph import emit
from ..ops import where
from ._base import Layer, float_input, parameter, shape_of
from .dense import linear, whole
from .initialisers import initialiser

__all__ = ["Attention", "attention"]


def attention(q, k, v, mask=None):
    """softmax(q k^T / sqrt(e)) v for each entry of the leading axes.

    Parameters
    ----------
    q : (..., m, e) array
    k, v : (..., n, e) array
    mask : bool array, optional
        Broadcast against (..., m, n): which pairs count. A row without any gives zeros.

    Returns
    -------
    (..., m, e) array
    """
    scale = 1 / math.sqrt(shape_of(q)[-1])
    scores = emit("matmul", (q * scale, k), ta=0, tb=1)
    if mask is not None:
        scores = where(mask, scores, -math.inf)
    return emit("matmul", (emit("softmax", (scores,), zero_empty=1), v), ta=0, tb=0)


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
    looked at. Output (batch, tokens, dim).

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
        parts = (*shape[:2], 3, self.heads, d // self.heads)
        qkv = linear(x, weight, bias).reshape(parts).transpose(2, 0, 3, 1, 4)
        y = attention(qkv[0], qkv[1], qkv[2], self._mask(mask, shape))
        out = params.get("out_proj", {})
        weight = parameter(out, "weight", (d, d), f"{who}: out_proj")
        bias = parameter(out, "bias", (d,), f"{who}: out_proj") if self.bias else None
        return linear(y.transpose(0, 2, 1, 3).reshape(shape), weight, bias)

    def _mask(self, mask, shape):
        if mask is None:
            return None
        if shape_of(mask) != shape[:2] or np.dtype(mask.dtype) != bool:
            raise ValueError(
                f"{self!r}: the mask must be bool of shape {shape[:2]}, not"
                f" {mask.dtype} of shape {shape_of(mask)}"
            )
        return mask.reshape((shape[0], 1, 1, shape[1]))
