"""Activations: element-wise functions by name, on arrays and on traced values."""

import math

import numpy as np

from ..ops import special
from ..ops import where as _where
from ._base import Layer

__all__ = [
    "Activation", "activation", "elu", "gelu", "identity", "leaky_relu", "relu", "selu",
    "sigmoid", "silu", "softplus", "tanh",
]  # fmt: skip

_SELU_ALPHA = 1.6732632423543772848
_SELU_SCALE = 1.0507009873554804934


def identity(x):
    """x itself."""
    return x


relu = special.relu
sigmoid = special.sigmoid
softplus = special.softplus


def tanh(x):
    """Hyperbolic tangent.

    Parameters
    ----------
    x : array
    """
    return np.tanh(x)


def silu(x):
    """x sigmoid(x), also named swish.

    Parameters
    ----------
    x : array
    """
    return x * special.sigmoid(x)


def gelu(x, approximate=False):
    """x Phi(x) with the normal distribution function Phi (Hendrycks & Gimpel 2016).

    Parameters
    ----------
    x : array
    approximate : bool
        With 0.5 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) in place of Phi.

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse.nn.activations import gelu
    >>> np.round(gelu(np.array([-1.0, 0.0, 1.0])), 6).tolist()
    [-0.158655, 0.0, 0.841345]
    """
    if approximate:
        twice = math.sqrt(8 / math.pi) * (x + 0.044715 * (x * x * x))
        return x * special.sigmoid(twice)  # (1 + tanh u) / 2 without cancellation
    return 0.5 * x * special.erfc(x * -math.sqrt(0.5))


def gelu_tanh(x):
    """`gelu` with the tanh approximation.

    Parameters
    ----------
    x : array
    """
    return gelu(x, approximate=True)


def leaky_relu(x, slope=0.01):
    """x where positive, slope x elsewhere.

    Parameters
    ----------
    x : array
    slope : float
    """
    return _where(x > 0, x, slope * x)


def elu(x, alpha=1.0):
    """x where positive, alpha (e^x - 1) elsewhere (Clevert et al. 2015).

    Parameters
    ----------
    x : array
    alpha : float
    """
    negative = x <= 0  # the other branch must stay finite: 0 inf in a derivative is NaN
    return _where(negative, alpha * np.expm1(_where(negative, x, 0.0)), x)


def selu(x):
    """Scaled `elu` with the fixed point mean 0, variance 1 (Klambauer et al. 2017).

    Parameters
    ----------
    x : array
    """
    return _SELU_SCALE * elu(x, _SELU_ALPHA)


_NAMED = {
    "elu": elu,
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "identity": identity,
    "leaky_relu": leaky_relu,
    "relu": relu,
    "selu": selu,
    "sigmoid": sigmoid,
    "silu": silu,
    "softplus": softplus,
    "tanh": tanh,
}


def activation(name):
    """The function of this name; a callable is given back.

    Parameters
    ----------
    name : str or callable
        "elu", "gelu" (exact), "gelu_tanh", "identity", "leaky_relu", "relu", "selu",
        "sigmoid", "silu", "softplus", "tanh", or a function of an array.

    Returns
    -------
    callable

    Raises
    ------
    ValueError
        An unknown name.

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> gv.nn.activation("relu")(np.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    if callable(name):
        return name
    if name not in _NAMED:
        raise ValueError(
            f"activation {name!r} is unknown; one of {sorted(_NAMED)}, or a function of"
            " an array, is needed"
        )
    return _NAMED[name]


class Activation(Layer):
    """An element-wise function as a layer.

    Parameters
    ----------
    name : str or callable
        As for `activation`.

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> gv.nn.Activation("relu").apply({}, np.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def __init__(self, name):
        self.name = name
        self._function = activation(name)

    def _forward(self, params, x, context):
        return self._function(x)
