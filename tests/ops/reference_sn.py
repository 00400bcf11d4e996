"""The supernova operators written out with NumPy and SciPy."""

import numpy as np
from scipy.interpolate import CubicHermiteSpline


def hermite(v, s, x, x0, h, order):
    """Each row of the batch with SciPy's spline, whose ends go on as cubics."""
    m = v.shape[-1]
    nodes = x0 + h * np.arange(m)
    flat = [a.reshape(int(np.prod(a.shape[:-1])), a.shape[-1]) for a in (v, s, x)]
    rows = [
        CubicHermiteSpline(nodes, a, b)(at, nu=order)
        for a, b, at in zip(*flat, strict=True)
    ]
    return np.reshape(rows, x.shape)


def hermite_t(g, x, x0, h, order, m):
    """The matrix of the read, unit vector by unit vector, transposed."""
    eye, zero = np.eye(m), np.zeros(m)
    out = np.zeros((2, *g.shape[:-1], m))
    for j in range(m):
        for k in range(2):
            pair = (eye[j], zero) if k == 0 else (zero, eye[j])
            y = CubicHermiteSpline(x0 + h * np.arange(m), *pair)(x, nu=order)
            out[k, ..., j] = (g * y).sum(-1)
    return tuple(out)


def sn_draw(nu, sd, tripp, mu, chol, e):
    """Objects from normal numbers."""
    latent = nu[..., None, :] + sd[..., None, :] * e[..., :3]
    alpha, beta = tripp[..., 0, None], tripp[..., 1, None]
    data = latent.copy()
    data[..., 0] += mu - alpha * latent[..., 1] + beta * latent[..., 2]
    lower = np.tril(chol.reshape(*chol.shape[:-1], 3, 3))
    return data + (lower @ e[..., 3:, None])[..., 0], latent


def sn_draw_pull(nu, sd, tripp, mu, chol, e, g_data, g_latent):
    """Chain rule, input by input."""
    latent = nu[..., None, :] + sd[..., None, :] * e[..., :3]
    alpha, beta = tripp[..., 0, None, None], tripp[..., 1, None, None]
    first = g_data[..., :1]
    g = g_latent + g_data
    g = g + np.concatenate([0 * first, -alpha * first, beta * first], -1)
    slopes = -first[..., 0] * latent[..., 1], first[..., 0] * latent[..., 2]
    g_tripp = np.stack([slope.sum(-1) for slope in slopes], -1)
    outer = np.tril(g_data[..., :, None] * e[..., None, 3:])
    lower = np.tril(chol.reshape(*chol.shape[:-1], 3, 3))
    noise = (np.swapaxes(lower, -1, -2) @ g_data[..., None])[..., 0]
    g_e = np.concatenate([g * sd[..., None, :], noise], -1)
    sums = g.sum(-2), (g * e[..., :3]).sum(-2), g_tripp
    return (*sums, g_data[..., 0].copy(), outer.reshape(chol.shape), g_e)


def _blocks(mean, cov, shift, d, s):
    full = cov[..., None, :, :] + s.reshape(*s.shape[:-1], 3, 3)
    full = (full + np.swapaxes(full, -1, -2)) / 2
    r = d - mean[..., None, :]
    r[..., 0] -= shift
    inverse = np.linalg.inv(full)
    return full, inverse, r, (inverse @ r[..., None])[..., 0]


def sn_loglike(mean, cov, shift, d, s):
    """Sum of log densities with dense inverses."""
    full, inverse, r, a = _blocks(mean, cov, shift, d, s)
    value = (r * a).sum(-1) + np.linalg.slogdet(full)[1] + 3 * np.log(2 * np.pi)
    outer = 0.5 * (a[..., :, None] * a[..., None, :] - inverse)
    return -0.5 * value.sum(-1), a.sum(-2), outer.sum(-3), a[..., 0].copy()


def sn_loglike_pull(w, u_mean, u_cov, u_shift, u_d, u_s, mean, cov, shift, d, s):
    """Gradient and the tangents of gradients."""
    _, p, _, a = _blocks(mean, cov, shift, d, s)
    change = u_cov[..., None, :, :] + u_s.reshape(*u_s.shape[:-1], 3, 3)
    change = (change + np.swapaxes(change, -1, -2)) / 2
    v = u_mean[..., None, :] - u_d
    v[..., 0] += u_shift
    da = -(p @ (v[..., None] + change @ a[..., None]))[..., 0]
    w = np.asarray(w)[..., None, None]
    g = w * a + da
    outer = w[..., None] * (a[..., :, None] * a[..., None, :] - p)
    mixed = da[..., :, None] * a[..., None, :]
    outer = 0.5 * (outer + mixed + np.swapaxes(mixed, -1, -2) + p @ change @ p)
    return g.sum(-2), outer.sum(-3), g[..., 0].copy(), -g, outer.reshape(s.shape)


def register(reference):
    """Add the operators to the table of references."""
    for f in (hermite, hermite_t, sn_draw, sn_draw_pull, sn_loglike, sn_loglike_pull):
        reference[f.__name__] = f
