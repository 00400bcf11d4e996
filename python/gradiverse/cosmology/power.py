"""Linear power spectrum today and its amplitude.

P(k) = A k^ns T^2(k), with A from sigma8 or from the primordial amplitude:

    sigma^2(R) = int dln k  k^3 P/(2 pi^2) W^2(kR),   W(x) = 3 (sin x - x cos x)/x^3
    k^3 P/(2 pi^2) = 4/25 As (k/kp)^(ns-1) T^2 (c k/H0)^4 (D1/Om)^2,  kp = 0.05/Mpc

D1 is normalised to a in the matter era. The integral over x = kR is one sum with
constant weights: Gauss-Legendre panels in ln x up to 1, in x up to 100, in ln x up to
1e5. Around x = 60 the oscillating part of W^2 is faded out, slowly for its period; its
mean 9/2 (x^-4 + x^-6) goes on.
"""

import numpy as np
from scipy.special import erfc

from . import growth
from .background import HUBBLE_LENGTH
from .transfer import FITS, table

_PIVOT = 0.05  # 1/Mpc


def _panels(edges, n):
    t, w = np.polynomial.legendre.leggauss(n)
    half = np.diff(edges)[:, None] / 2
    middle = (edges[1:] + edges[:-1])[:, None] / 2
    return (middle + half * t).ravel(), (half * w).ravel()


def _edges(*ranges):
    """Edges of panels: ranges (low, high, number), one after the other."""
    parts = [np.linspace(low, high, n, endpoint=False) for low, high, n in ranges]
    return np.concatenate([*parts, [ranges[-1][1]]])


def _tophat_rule():
    """x and weights: sum w f(x) = int dln x f W^2/(2 pi^2)."""
    low, wl = _panels(_edges((np.log(1e-6), -7, 17), (-7, 0, 47)), 12)
    mid, wm = _panels(_edges((1, 3, 13), (3, 8, 12), (8, 100, 46)), 14)
    high, wh = _panels(_edges((np.log(100.0), np.log(1e5), 8)), 12)
    x = np.concatenate([np.exp(low), mid, np.exp(high)])
    w = np.concatenate([wl, wm / mid, wh])
    y = np.minimum(x, 0.3)
    series = 1 - y**2 / 10 * (1 - y**2 / 28 * (1 - y**2 / 54 * (1 - y**2 / 88)))
    window = np.where(x < 0.3, series, 3 * (np.sin(x) - x * np.cos(x)) / x**3)
    y = np.maximum(x, 1.0)
    mean = 4.5 * (y**-4 + y**-6)
    square = mean + (window**2 - mean) * erfc((x - 60) / 6) / 2
    return x, w * np.where(x < 1, window**2, square) / (2 * np.pi**2)


_X, _WEIGHT = _tophat_rule()


def shape(c, k):
    """The spectrum today without its amplitude."""
    if isinstance(c.transfer, str):
        return k**c.n_s * FITS[c.transfer](c, k) ** 2
    return table(*c.transfer, np.log(k))


def variance(c, radius):
    """sigma^2(R) of `shape` for radii (...)."""
    k = _X / radius[..., None]
    return (shape(c, k) * k**3) @ _WEIGHT


def amplitude(c):
    """What `shape` has to be multiplied with."""
    if c.sigma8 is not None:
        return c.sigma8**2 / variance(c, np.asarray(8.0))
    if c.A_s is None:
        return 1.0
    return c.A_s * _per_primordial(c)


def primordial(c):
    """A_s that belongs to the amplitude."""
    return amplitude(c) / _per_primordial(c)


def tilt(c, k):
    """(k/kp)^(ns - 1)."""
    return (k * c.h / _PIVOT) ** (c.n_s - 1)


def _per_primordial(c):
    today = growth.growth(c, np.ones(()), 1).D1
    pivot = (_PIVOT / c.h) ** (1 - c.n_s)
    return 8 / 25 * np.pi**2 * pivot * HUBBLE_LENGTH**4 * (today / c.Omega_m) ** 2


def linear(c, k):
    """P(k) today; 0 at k = 0."""
    some = np.where(k > 0, k, 1.0)
    return np.where(k > 0, amplitude(c) * shape(c, some), 0.0)
