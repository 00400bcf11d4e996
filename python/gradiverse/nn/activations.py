"""Activations: element-wise functions by name."""

import math

import numpy as np

from ..ops import special
from ._base import Layer

__all__ = ["Activation", "activation"]


def _relu(x):
    return np.maximum(x, 0)


def _gelu(x):
    return 0.5 * x * (1 + special.erf(x * math.sqrt(0.5)))


_NAMED = {
    "identity": lambda x: x,
    "relu": _relu,
    "tanh": np.tanh,
    "sigmoid": special.sigmoid,
    "silu": lambda x: x * special.sigmoid(x),
    "gelu": _gelu,
    "softplus": special.softplus,
}


def activation(name):
    """The function of this name; a callable is given back.

    Parameters
    ----------
    name : str or callable
    """
    if callable(name):
        return name
    if name not in _NAMED:
        raise ValueError(f"activation {name!r} is unknown; one of {sorted(_NAMED)}")
    return _NAMED[name]


class Activation(Layer):
    """An element-wise function as a layer.

    Parameters
    ----------
    name : str or callable
        As for `activation`.
    """

    def __init__(self, name):
        self.name = name
        self._function = activation(name)

    def _forward(self, params, x, context):
        return self._function(x)
