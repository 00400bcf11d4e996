"""Dropout."""

import numpy as np

from .. import random
from ..ops import where
from ._base import Layer, float_input, shape_of
from .norm import number

__all__ = ["Dropout"]


class Dropout(Layer):
    """Elements set to zero with probability p while training, the others / (1 - p).

    The expectation of every element is kept (Srivastava et al. 2014); in use the layer
    is the identity. The mask is a function of the ``rng`` that `apply` is
    given and of the layer's place in the network.

    Parameters
    ----------
    p : float
        Probability, in [0, 1].

    Raises
    ------
    ValueError
        Training without ``rng``.

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> layer, x = gv.nn.Dropout(0.25), np.ones((100, 100), np.float32)
    >>> y = layer.apply({}, x, train=True, rng=0)
    >>> print(np.unique(y), abs(y.mean() - 1) < 0.03)
    [0.        1.3333334] True
    """

    def __init__(self, p=0.5):
        self.p = number(p, "p", "Dropout", 0, 1)

    def _forward(self, params, x, context):
        x = float_input(x, repr(self))
        if not context.train or self.p == 0:
            return x
        u = random.uniform(context.key(), shape_of(x), np.float32)
        scale = 1 / (1 - self.p) if self.p < 1 else 1.0  # all are dropped
        return where(u >= np.float32(self.p), x * scale, 0.0)
