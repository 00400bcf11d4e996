"""Convolutions by their defining sums: one NumPy product for each tap."""

import itertools

import numpy as np


def _taps(kernel):
    return itertools.product(*map(range, kernel))


def _places(n, out, tap, stride, dilation, low, periodic):
    """For one axis and tap: the results that it reaches and the points they read."""
    j = np.arange(out)
    i = j * stride + tap * dilation - low
    if periodic:
        return j, i % n
    inside = (i >= 0) & (i < n)
    return j[inside], i[inside]


def _lengths(size, kernel, stride, dilation, low, high, periodic):
    axes = zip(size, kernel, stride, dilation, low, high, strict=True)
    return [n // s if periodic else (n + a + b - d * (k - 1) - 1) // s + 1
            for n, k, s, d, a, b in axes]  # fmt: skip


def _each(size, out, kernel, setting):
    """(tap, results, points) with open meshes of indices."""
    for tap in _taps(kernel):
        axes = zip(size, out, tap, setting["stride"], setting["dilation"],
                   setting["low"], strict=True)  # fmt: skip
        pairs = [_places(*a, setting["periodic"]) for a in axes]
        yield tap, np.ix_(*(p[0] for p in pairs)), np.ix_(*(p[1] for p in pairs))


def _entries(one, core, *arrays):
    """Apply to each entry of the batch axes in front of the first array's core."""
    lead = arrays[0].shape[: arrays[0].ndim - core]
    n = int(np.prod(lead))
    flat = [a.reshape(n, *a.shape[len(lead) :]) for a in arrays]
    if n == 0:
        raise AssertionError("no sample has empty batch axes")
    done = np.stack([one(*entry) for entry in zip(*flat, strict=True)])
    return done.reshape(*lead, *done.shape[1:])


def conv(x, w, *bias, stride, dilation, low, high, groups, periodic, method, act):
    """Sum over taps of slices of x times the weights of the tap."""
    n = len(stride)
    setting = dict(stride=stride, dilation=dilation, low=low, periodic=periodic)

    def one(x, w, *bias):
        size, kernel = x.shape[2:], w.shape[2:]
        out = _lengths(size, kernel, stride, dilation, low, high, periodic)
        y = np.zeros((x.shape[0], w.shape[0], *out))
        k, o = w.shape[1], w.shape[0] // groups
        for g in range(groups):
            mine = y[:, g * o : (g + 1) * o]
            for tap, to, at in _each(size, out, kernel, setting):
                part = x[:, g * k : (g + 1) * k][(..., *at)]
                weight = w[g * o : (g + 1) * o][(..., *tap)]
                mine[(..., *to)] += np.einsum("nk...,ok->no...", part, weight)
        return y + (bias[0].reshape(-1, *[1] * n) if bias else 0)

    y = _entries(one, n + 2, x.astype(float), w, *bias).astype(x.dtype)
    return np.maximum(y, 0) if act else y


def conv_data_bwd(
    g_y, w, *bias, stride, dilation, low, high, groups, periodic, method, size
):
    """What each result read gets its share."""
    n = len(stride)
    setting = dict(stride=stride, dilation=dilation, low=low, periodic=periodic)

    def one(g_y, w, *bias):
        k, o = w.shape[1], w.shape[0] // groups
        x = np.zeros((g_y.shape[0], k * groups, *size))
        for g in range(groups):
            mine = x[:, g * k : (g + 1) * k]
            for tap, to, at in _each(size, g_y.shape[2:], w.shape[2:], setting):
                part = g_y[:, g * o : (g + 1) * o][(..., *to)]
                weight = w[g * o : (g + 1) * o][(..., *tap)]
                np.add.at(mine, (..., *at), np.einsum("no...,ok->nk...", part, weight))
        return x + (bias[0].reshape(-1, *[1] * n) if bias else 0)

    return _entries(one, n + 2, g_y.astype(float), w, *bias).astype(g_y.dtype)


def conv_weight_bwd(
    x, g_y, *, stride, dilation, low, high, groups, periodic, method, kernel
):
    """For each tap: results times what they read, summed."""
    n = len(stride)
    setting = dict(stride=stride, dilation=dilation, low=low, periodic=periodic)

    def one(x, g_y):
        k, o = x.shape[1] // groups, g_y.shape[1] // groups
        w = np.zeros((o * groups, k, *kernel))
        for g in range(groups):
            for tap, to, at in _each(x.shape[2:], g_y.shape[2:], kernel, setting):
                part = x[:, g * k : (g + 1) * k][(..., *at)]
                share = g_y[:, g * o : (g + 1) * o][(..., *to)]
                every = (0, *range(2, part.ndim))
                dots = np.tensordot(share, part, (every, every))
                w[g * o : (g + 1) * o][(..., *tap)] += dots
        return w

    return _entries(one, n + 2, x.astype(float), g_y).astype(x.dtype)


def register(reference):
    """Add these functions to the table of references."""
    for f in (conv, conv_data_bwd, conv_weight_bwd):
        reference[f.__name__] = f
