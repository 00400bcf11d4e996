"""Embedding: a table of vectors looked up by number."""

import math

import numpy as np

from ..graph import Var, emit
from ._base import Layer, parameter
from .dense import whole

__all__ = ["Embedding"]


class Embedding(Layer):
    """Row x of a table, for every integer x.

    Parameters
    ----------
    n : int
        Number of rows.
    d : int
        Length of a row.

    Notes
    -----
    Parameters: weight (n, d), standard normal at first. Input (...) of integers in
    0..n-1, output (..., d).

    Raises
    ------
    ValueError
        A number outside the table.

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> layer = gv.nn.Embedding(10, 3)
    >>> layer.apply(layer.init(0), np.array([[1, 2], [3, 9]])).shape
    (2, 2, 3)
    """

    def __init__(self, n, d):
        self.n, self.d = whole(n, "n", "Embedding"), whole(d, "d", "Embedding")

    def _parameters(self, rng, dtype):
        return {"weight": rng.standard_normal((self.n, self.d)).astype(dtype)}

    def _forward(self, params, x, context):
        weight = parameter(params, "weight", (self.n, self.d), repr(self))
        if not isinstance(x, (Var, np.ndarray)):
            x = np.asarray(x)
        if np.dtype(x.dtype).kind not in "iu":
            raise TypeError(f"{self!r}: x must be integers, not {x.dtype}")
        shape = tuple(x.shape)
        rows = emit("take", (weight, x.reshape(math.prod(shape)).astype(np.int64)))
        return rows.reshape((*shape, self.d))
