"""Operators of networks in NumPy: gates, norms, pooling, resampling."""

import numpy as np
import scipy.special as sp


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


# --- pooling --------------------------------------------------------------------


def _windows(shape, kernel, stride, padding):
    """Output index and list of places of every window, as tuples."""
    counts = [
        (n + 2 * p - k) // s + 1
        for n, k, s, p in zip(shape, kernel, stride, padding, strict=True)
    ]
    for o in np.ndindex(*counts):
        first = [a * s - p for a, s, p in zip(o, stride, padding, strict=True)]
        places = []
        for k in np.ndindex(*kernel):
            at = tuple(a + b for a, b in zip(first, k, strict=True))
            if all(0 <= a < n for a, n in zip(at, shape, strict=True)):
                places.append(at)
        yield o, places, counts


def _pool(kind, a, b, kernel, stride, padding, size=None):
    n = len(kernel)
    shape = tuple(size or a.shape[-n:])
    found = list(_windows(shape, kernel, stride, padding))
    wide = kind in ("back", "spread")
    lead = a.shape[:-n]
    out = np.zeros((*lead, *(shape if wide else found[0][2])))
    for at in np.ndindex(*lead):
        for o, places, _ in found:
            if kind in ("sum", "spread"):
                for p in places:
                    if wide:
                        out[at + p] += a[at + o]
                    else:
                        out[at + o] += a[at + p]
                continue
            best = places[int(np.argmax([a[at + p] for p in places]))]
            if wide:
                out[at + best] += b[at + o]
            else:
                out[at + o] = b[at + best]
    return out.astype(a.dtype)


def pool_max(x, **window):
    """Maximum of every window."""
    return _pool("pick", x, x, **window)


def pool_max_pick(x, h, **window):
    """h at the maximum."""
    return _pool("pick", x, h, **window)


def pool_max_back(x, g, **window):
    """g to the maximum."""
    return _pool("back", x, g, **window)


def pool_sum(x, **window):
    """Sum of every window."""
    return _pool("sum", x, None, **window)


def pool_spread(g, **window):
    """Sum over the windows of a place."""
    return _pool("spread", g, None, **window)


def resample(x, n, size, corners, adjoint):
    """np.interp of the unit vectors, as a matrix."""
    j = np.arange(size)
    at = j * (n - 1) / max(size - 1, 1) if corners else (j + 0.5) * n / size - 0.5
    w = np.stack([np.interp(at, np.arange(n), e) for e in np.eye(n)], 1)
    return ((w.T if adjoint else w) @ x.astype(float)).astype(x.dtype)


# --- attention ------------------------------------------------------------------


def _heads(qkv, mask, heads):
    """q, k, v as (..., heads, t, e) and the softmax of the scores."""
    e = qkv.shape[-1] // (3 * heads)
    apart = qkv.astype(float).reshape(*qkv.shape[:-1], 3, heads, e)
    q, k, v = (np.swapaxes(apart[..., i, :, :], -2, -3) for i in range(3))
    scores = q @ np.swapaxes(k, -1, -2) / np.sqrt(e) + mask[..., None, None, :]
    return q, k, v, sp.softmax(scores, -1)


def _side_by_side(x):
    """(..., heads, t, e) as (..., t, heads e)."""
    x = np.swapaxes(x, -2, -3)
    return x.reshape(*x.shape[:-2], x.shape[-2] * x.shape[-1])


def attention(qkv, mask, heads):
    """Head by head."""
    *_, v, p = _heads(qkv, mask, heads)
    return _side_by_side(p @ v).astype(qkv.dtype)


def attention_bwd(qkv, mask, g, heads):
    """The reverse sweep written out."""
    q, k, v, p = _heads(qkv, mask, heads)
    g = g.astype(float).reshape(*g.shape[:-1], heads, v.shape[-1])
    g = np.swapaxes(g, -2, -3)
    d = g @ np.swapaxes(v, -1, -2)
    s = p * (d - (p * d).sum(-1, keepdims=True)) / np.sqrt(v.shape[-1])
    parts = s @ k, np.swapaxes(s, -1, -2) @ q, np.swapaxes(p, -1, -2) @ g
    return np.concatenate([_side_by_side(x) for x in parts], -1).astype(qkv.dtype)


FUNCTIONS = [
    gate, relu, batch_norm, batch_norm_bwd, group_norm, group_norm_bwd, pool_max,
    pool_max_pick, pool_max_back, pool_sum, pool_spread, resample, attention,
    attention_bwd,
]  # fmt: skip


def register(reference):
    """Add these to the table of references."""
    for f in FUNCTIONS:
        reference[f.__name__] = f
