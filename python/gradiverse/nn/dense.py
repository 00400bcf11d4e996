"""Linear layers."""

import math

import numpy as np

from ..graph import emit
from ..ops import reshape
from ._base import Layer, float_input, parameter, shape_of
from .initialisers import initialiser

__all__ = ["Linear", "linear", "whole"]

_ACTS = {"none": 0, "relu": 1}


def whole(n, name, who, least=1):
    """n as an int of at least `least`; ValueError or TypeError that names it."""
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"{who}: {name} must be an int, not {type(n).__name__}")
    if n < least:
        raise ValueError(f"{who}: {name} must be at least {least}, not {n}")
    return int(n)


def linear(x, weight, bias=None, act="none"):
    """act(x weight^T + bias), in one operator.

    Parameters
    ----------
    x : (..., k) array of float32 or float64
    weight : (n, k) array of the same dtype
    bias : (n,) array of the same dtype, optional
    act : "none" or "relu"

    Returns
    -------
    (..., n) array

    Raises
    ------
    TypeError
        Other dtypes, or different ones.
    ValueError
        Shapes that do not fit.

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> weight, bias = np.full((2, 3), -1.0), np.array([2.0, 4.0])
    >>> gv.nn.linear(np.ones((4, 3)), weight, bias, "relu")[0]
    array([0., 1.])
    """
    if act not in _ACTS:
        raise ValueError(f"linear: act must be one of {sorted(_ACTS)}, not {act!r}")
    x, weight = float_input(x, "linear"), float_input(weight, "linear")
    if x.ndim < 1 or weight.ndim != 2 or x.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"linear: x {x.shape} and weight {weight.shape} do not fit: x (..., k) and"
            " weight (n, k) are needed"
        )
    rows = (math.prod(x.shape[:-1]), x.shape[-1])
    inputs = (x if x.ndim == 2 else reshape(x, rows), weight)
    if bias is not None:
        inputs = (*inputs, float_input(bias, "linear"))
    y = emit("linear", inputs, act=_ACTS[act], x_inner=0, y_inner=0)
    return y if x.ndim == 2 else reshape(y, (*x.shape[:-1], weight.shape[0]))


class Linear(Layer):
    """y = x weight^T + bias.

    Parameters
    ----------
    n_in, n_out : int
    bias : bool
    init_weight, init_bias : str, float or callable
        As for `gradiverse.nn.initialisers.initialiser`; by default torch's.

    Notes
    -----
    Parameters: weight (n_out, n_in), bias (n_out,). Input (..., n_in), output
    (..., n_out).

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> layer = gv.nn.Linear(3, 2)
    >>> layer.apply(layer.init(0), np.ones((5, 3))).shape
    (5, 2)
    """

    #: `_forward` takes act="relu" and does the rectifier in the same pass
    fuses_relu = True

    def __init__(self, n_in, n_out, bias=True, init_weight="torch", init_bias="torch"):
        self.n_in = whole(n_in, "n_in", "Linear")
        self.n_out = whole(n_out, "n_out", "Linear")
        self.bias = bool(bias)
        self.init_weight, self.init_bias = init_weight, init_bias

    def _parameters(self, rng, dtype):
        fans = (self.n_in, self.n_out, dtype)
        draw = initialiser(self.init_weight)
        out = {"weight": draw(rng, (self.n_out, self.n_in), *fans)}
        if self.bias:
            out["bias"] = initialiser(self.init_bias)(rng, (self.n_out,), *fans)
        return out

    def _forward(self, params, x, context, act="none"):
        who = f"Linear({self.n_in}, {self.n_out})"
        x = float_input(x, who)
        if shape_of(x)[-1:] != (self.n_in,):
            raise ValueError(
                f"{who}: x has shape {shape_of(x)}; its last axis must be {self.n_in}"
            )
        weight = parameter(params, "weight", (self.n_out, self.n_in), who)
        bias = parameter(params, "bias", (self.n_out,), who) if self.bias else None
        return linear(x, weight, bias, act)
