"""Layers one after the other, and the fully connected network."""

from itertools import pairwise

from ._base import Layer
from .activations import Activation
from .dense import Linear, whole

__all__ = ["MLP", "Sequential"]


class Sequential(Layer):
    """Layers one after the other.

    Parameters
    ----------
    *layers : Layer
        Their parameters lie under "0", "1", ...; layers without any take a number too.

    Examples
    --------
    >>> import gradiverse as gv
    >>> net = gv.nn.Sequential(gv.nn.Linear(3, 8), gv.nn.Activation("relu"))
    >>> {name: sorted(p) for name, p in net.init(0).items()}
    {'0': ['bias', 'weight']}
    """

    def __init__(self, *layers):
        for i, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                raise TypeError(
                    f"Sequential: entry {i} is a {type(layer).__name__}, not a layer;"
                    " wrap an element-wise function as gv.nn.Activation(function)"
                )
        self.layers = layers

    def _children(self):
        return {str(i): layer for i, layer in enumerate(self.layers)}

    def _forward(self, params, x, context):
        i, n = 0, len(self.layers)
        while i < n:
            layer, name = self.layers[i], str(i)
            if _fusible(layer, self.layers[i + 1] if i + 1 < n else None):
                x = self._run(name, layer, params, x, context, act="relu")
                i += 2
            else:
                x = self._run(name, layer, params, x, context)
                i += 1
        return x


def _fusible(layer, after):
    """Does the layer take in the rectifier that follows it?"""
    relu = type(after) is Activation and after.name == "relu"
    return relu and getattr(layer, "fuses_relu", False)


class MLP(Sequential):
    """A fully connected network: linear layers with an activation between them.

    Parameters
    ----------
    sizes : sequence of int
        Widths from the input to the output, at least two.
    activation : str or callable
        Between the linear layers; none after the last.
    last : optional
        Initialiser of the last weight, for instance 1e-3; its bias starts at zero then.

    Notes
    -----
    Parameters as torch numbers a Sequential of the same layers: "0", "2", "4", ... hold
    weight (out, in) and bias (out,).

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> net = gv.nn.MLP((10, 64, 64, 2), activation="relu")
    >>> params = net.init(0)
    >>> params["2"]["weight"].shape, net.apply(params, np.zeros((5, 10))).shape
    ((64, 64), (5, 2))
    """

    def __init__(self, sizes, activation="relu", last=None):
        sizes = tuple(whole(n, "every size", "MLP") for n in sizes)
        if len(sizes) < 2:
            raise ValueError(
                f"MLP: sizes must hold at least input and output width, not {sizes}"
            )
        self.sizes, self.activation, self.last = sizes, activation, last
        layers = []
        for i, (n_in, n_out) in enumerate(pairwise(sizes)):
            if i:
                layers.append(Activation(activation))
            final = last is not None and i == len(sizes) - 2
            how = {"init_weight": last, "init_bias": "zeros"} if final else {}
            layers.append(Linear(n_in, n_out, **how))
        super().__init__(*layers)
