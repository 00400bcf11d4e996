"""Linear layers in NumPy: sums written out with einsum, in float64."""

import numpy as np


def _front(x, inner):
    """Groups in front of the rows."""
    return np.swapaxes(x, -2, -3) if inner else x


def linear(x, weight, bias=None, *, act, x_inner, y_inner):
    """x weight^T + bias by groups."""
    dtype = weight.dtype
    x, weight = _front(x, x_inner).astype(float), weight.astype(float)
    z = np.einsum("...mk,...nk->...mn", x, weight)
    if bias is not None:
        z = z + bias[..., None, :]
    return _front(np.maximum(z, 0) if act else z, y_inner).astype(dtype)


def linear_back(g_y, x, weight, y=None, *, act, x_inner, y_inner, want):
    """Cotangents of x, weight and bias, those that are wanted."""
    dtype = weight.dtype
    h, x = _front(g_y, y_inner).astype(float), _front(x, x_inner).astype(float)
    if act:
        h = np.where(_front(y, y_inner) > 0, h, 0)
    g_x = np.einsum("...mn,...nk->...mk", h, weight.astype(float))
    made = [_front(g_x, x_inner), np.einsum("...mn,...mk->...nk", h, x), h.sum(-2)]
    out = [a.astype(dtype) for i, a in enumerate(made) if want >> i & 1]
    return out[0] if len(out) == 1 else tuple(out)


def linear_adam(
    p, m, v, size, root, eps, keep, factor, g_y, x, y=None, *, act, b1, b2, decay
):
    """A step of Adam on the weight, its gradient as linear_back gives it."""
    dtype = p.dtype
    p, m, v = (a.astype(float) for a in (p, m, v))
    h = g_y.astype(float)
    h = np.where(y > 0, h, 0) if act else h
    u = factor * (h.T @ x.astype(float)).reshape(-1) + decay * p
    m = b1 * m + (1 - b1) * u
    v = b2 * v + (1 - b2) * u**2
    p = keep * p - size * m / (root * np.sqrt(v) + eps)
    return tuple(a.astype(dtype) for a in (p, m, v))


def register(reference):
    """Add these functions to the table of references."""
    for f in (linear, linear_back, linear_adam):
        reference[f.__name__] = f
