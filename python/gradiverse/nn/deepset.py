"""Functions of sets, with masks for sets of different sizes."""

import math

import numpy as np

from ..ops import where
from ._base import Layer, float_input, shape_of

__all__ = ["DeepSet", "pad_sets"]


def pad_sets(sets, dtype=np.float32):
    """Sets of different sizes in one array, with a mask.

    Parameters
    ----------
    sets : sequence of (n_i, d) arrays
    dtype : "float32" or "float64"

    Returns
    -------
    x : (batch, n, d) array
        n is the largest n_i; zeros where a set has no member.
    mask : (batch, n) bool array

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> x, mask = gv.nn.pad_sets([np.ones((1, 2)), np.ones((3, 2))])
    >>> x.shape, mask.sum(1).tolist()
    ((2, 3, 2), [1, 3])
    """
    sets = [np.asarray(s) for s in sets]
    widths = {s.shape[1:] for s in sets}
    if len(widths) != 1 or any(s.ndim != 2 for s in sets):
        raise ValueError(
            "pad_sets: (n, d) arrays with one d are needed, got shapes"
            f" {sorted({s.shape for s in sets})}"
        )
    n = max(len(s) for s in sets)
    x = np.zeros((len(sets), n, *widths.pop()), dtype)
    mask = np.zeros(x.shape[:2], bool)
    for i, s in enumerate(sets):
        x[i, : len(s)] = s
        mask[i, : len(s)] = True
    return x, mask


class DeepSet(Layer):
    """rho(pool over members of phi(member)): any order and number (Zaheer et al. 2017).

    Parameters
    ----------
    phi : Layer
        From (batch, n, d) to (batch, n, features), every member by itself.
    rho : Layer
        From (batch, features) on.
    pooling : "mean", "sum" or "max"

    Notes
    -----
    Parameters: phi, rho. Input (batch, n, d), or a tuple (x, mask) with mask (batch, n)
    of bool: members that are False do not exist, whatever their values (NaN included).
    The features of an empty set are zero. For arrays of sets see `pad_sets`.

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> net = gv.nn.DeepSet(gv.nn.MLP((2, 16, 8)), gv.nn.MLP((8, 16, 1)))
    >>> params = net.init(0)
    >>> x, mask = gv.nn.pad_sets([np.ones((1, 2)), np.ones((3, 2))])
    >>> y = net.apply(params, (x, mask))
    >>> bool(np.allclose(y[0], y[1]))
    True
    """

    def __init__(self, phi, rho, pooling="mean"):
        for name, layer in (("phi", phi), ("rho", rho)):
            if not isinstance(layer, Layer):
                raise TypeError(
                    f"DeepSet: {name} must be a layer, not {type(layer).__name__}"
                )
        if pooling not in ("mean", "sum", "max"):
            raise ValueError(
                f"DeepSet: pooling must be 'mean', 'sum' or 'max', not {pooling!r}"
            )
        self.phi, self.rho, self.pooling = phi, rho, pooling

    def _children(self):
        return {"phi": self.phi, "rho": self.rho}

    def _forward(self, params, x, context):
        x, mask = x if isinstance(x, tuple) else (x, None)
        x = float_input(x, "DeepSet")
        shape = shape_of(x)
        if len(shape) < 3:
            raise ValueError(f"DeepSet: x has shape {shape}; (batch, n, d) is needed")
        if mask is not None:
            if shape_of(mask) != shape[:2] or np.dtype(mask.dtype) != bool:
                raise ValueError(
                    f"DeepSet: the mask must be bool of shape {shape[:2]}, not"
                    f" {mask.dtype} of shape {shape_of(mask)}"
                )
            x = where(mask.reshape((*shape[:2], *(1,) * (len(shape) - 2))), x, 0.0)
        h = self._run("phi", self.phi, params, x, context)
        return self._run("rho", self.rho, params, self._pooled(h, mask), context)

    def _pooled(self, h, mask):
        n = shape_of(h)[1]
        if mask is None:
            mask = np.ones((1, n), bool)
        count = mask.astype(h.dtype).sum(1)
        some = mask.reshape((*shape_of(mask), 1))
        if self.pooling == "max":
            top = where(some, h, -math.inf).max(1) if n else h.sum(1)
            return where(count.reshape((-1, 1)) > 0, top, 0.0)
        total = where(some, h, 0.0).sum(1)
        if self.pooling == "sum":
            return total
        return total / np.maximum(count, 1).reshape((-1, 1))
