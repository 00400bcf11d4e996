"""Operators of networks in NumPy: gates, norms, pooling, resampling."""

import numpy as np


def gate(a, b):
    """a where b > 0."""
    return np.where(b > 0, a, 0).astype(a.dtype)


def relu(x):
    """Positive part."""
    return np.maximum(x, 0)


# --- norms ----------------------------------------------------------------------


def _over(x, groups):
    """x as (..., b, groups, channels, s), axes of a set, axes of the weights' sums."""
    c = x.shape[-2]
    if groups == 0:
        return x.astype(float)[..., :, :, None, :], (-4, -1)
    shape = (*x.shape[:-2], groups, c // groups, x.shape[-1])
    return x.astype(float).reshape(shape), (-2, -1)


def _like(w, x, groups):
    """Weights (..., c) against the view of `_over`."""
    c = x.shape[-2]
    shape = (*w.shape[:-1], 1, groups or c, c // (groups or c), 1)
    return w.astype(float).reshape(shape)


def _norm(x, weight, bias, eps, relu, groups):
    v, axes = _over(x, groups)
    mean = v.mean(axes, keepdims=True)
    var = ((v - mean) ** 2).mean(axes, keepdims=True)
    xh = (v - mean) / np.sqrt(var + eps)
    y = _like(weight, x, groups) * xh + _like(bias, x, groups)
    y = np.maximum(y, 0) if relu else y
    lead = x.shape[:-3] if groups == 0 else x.shape[:-2]
    kept = (*lead, -1)
    outs = y.reshape(x.shape), mean.reshape(kept), var.reshape(kept)
    return tuple(o.astype(x.dtype) for o in outs)


def batch_norm(x, weight, bias, eps, relu):
    """Statistics over entries and places."""
    return _norm(x, weight, bias, eps, relu, 0)


def group_norm(x, weight, bias, eps, relu, groups):
    """Statistics of every entry."""
    return _norm(x, weight, bias, eps, relu, groups)


def _norm_bwd(x, mean, var, weight, bias, g, eps, relu, groups):
    v, axes = _over(x, groups)
    kept = v.mean(axes, keepdims=True).shape
    r = 1 / np.sqrt(var.astype(float) + eps).reshape(kept)
    xh = (v - mean.astype(float).reshape(kept)) * r
    w = _like(weight, x, groups)
    f, _ = _over(g, groups)
    if relu:
        f = np.where(w * xh + _like(bias, x, groups) > 0, f, 0)
    u = w * f
    along = (u * xh).mean(axes, keepdims=True)
    g_x = r * (u - u.mean(axes, keepdims=True) - xh * along)
    flat = weight.shape
    outs = (
        g_x.reshape(x.shape),
        (f * xh).sum((-4, -1)).reshape(flat),
        f.sum((-4, -1)).reshape(flat),
    )
    return tuple(o.astype(x.dtype) for o in outs)


def batch_norm_bwd(x, mean, var, weight, bias, g, eps, relu):
    """The reverse sweep written out."""
    return _norm_bwd(x, mean, var, weight, bias, g, eps, relu, 0)


def group_norm_bwd(x, mean, var, weight, bias, g, eps, relu, groups):
    """The reverse sweep written out."""
    return _norm_bwd(x, mean, var, weight, bias, g, eps, relu, groups)


FUNCTIONS = [
    gate, relu, batch_norm, batch_norm_bwd, group_norm, group_norm_bwd,
]  # fmt: skip


def register(reference):
    """Add these to the table of references."""
    for f in FUNCTIONS:
        reference[f.__name__] = f
