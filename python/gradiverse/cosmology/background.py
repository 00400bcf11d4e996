"""Expansion and distances.

    E^2 = Om a^-3 + Ok a^-2 + Ode(a) + Or a^-4
    Ode(a) = Ode a^{-3(1+w0+wa)} exp(-3 wa (1-a)),   Ode = 1 - Om - Ok - Or
    chi(a) = (c/H0) int_a^1 da' / (a'^2 E)

Distances are Gauss-Legendre sums in s = sqrt(a + Or/Om), in which the integrand is
smooth from the Big Bang to today: ds/da takes up the square root of matter and
radiation. Lengths are comoving Mpc/h.
"""

from typing import NamedTuple

import numpy as np

from ..grad import stop_gradient

HUBBLE_LENGTH = 2997.92458
"""c/H0 in Mpc/h."""


def _gauss(n):
    """Nodes and weights on [0, 1]."""
    t, w = np.polynomial.legendre.leggauss(n)
    return (t + 1) / 2, w / 2


_FINE, _ROUGH, _CELL = _gauss(32), _gauss(8), _gauss(4)
_CELLS = np.linspace(0.0, 1.0, 129)


class Parts(NamedTuple):
    """Density parameters at a, and E^2."""

    matter: object
    curvature: object
    radiation: object
    dark_energy: object
    w: object
    e2: object


def parts(c, a):
    """The terms of E^2 as fractions of it, with the equation of state w(a)."""
    w = c.w0 + c.wa * (1 - a)
    matter = c.Omega_m * a**-3
    curvature = c.Omega_k * a**-2
    radiation = c.Omega_r * a**-4
    dark = c.Omega_de * np.exp(-3 * ((1 + c.w0 + c.wa) * np.log(a) + c.wa * (1 - a)))
    e2 = matter + curvature + radiation + dark
    return Parts(matter / e2, curvature / e2, radiation / e2, dark / e2, w, e2)


def log_slope(p):
    """d ln E / d ln a of `Parts`."""
    return (
        -(
            3 * p.matter
            + 2 * p.curvature
            + 4 * p.radiation
            + 3 * (1 + p.w) * p.dark_energy
        )
        / 2
    )


def _a4e2(c, a):
    """a^4 E^2, finite at a = 0."""
    dark = c.Omega_de * np.exp((1 - 3 * (c.w0 + c.wa)) * np.log(a) - 3 * c.wa * (1 - a))
    return c.Omega_r + a * (c.Omega_m + a * c.Omega_k) + dark


def _integrand(c, s, early):
    """-d(chi H0/c)/ds = 2 s / (a^2 E)."""
    return 2 * s / np.sqrt(_a4e2(c, s * s - early))


def distance(c, a, passed, rule=_FINE):
    """Radial comoving distance to scale factor a; passed = 1 - a."""
    early = c.Omega_r / c.Omega_m
    s = np.sqrt(a + early)
    length = passed / (np.sqrt(1 + early) + s)  # from s to s(1), no cancellation
    nodes = s[..., None] + length[..., None] * rule[0]
    return HUBBLE_LENGTH * length * (_integrand(c, nodes, early) @ rule[1])


def scale_factor(c, chi, a_min, a_max):
    """Inverse of `distance`: interpolated, then three Newton steps in s.

    The first is rough and brings the error to 1e-7. The others are differentiated: each
    squares the error of the value and of the derivatives, which makes those up to the
    third those of the implicit function.
    """
    early = c.Omega_r / c.Omega_m
    low, high = np.sqrt(a_min + early), np.sqrt(a_max + early)
    today = np.sqrt(1 + early)
    edges = low + (high - low) * _CELLS
    nodes = edges[:-1, None] + (edges[1:] - edges[:-1])[:, None] * _CELL[0]
    cells = (edges[1:] - edges[:-1]) * (_integrand(c, nodes, early) @ _CELL[1])
    beyond = distance(c, as_array(a_max), as_array(1 - a_max))
    total = np.concatenate([np.zeros(1), np.cumsum(cells[::-1])])
    table = beyond + HUBBLE_LENGTH * total
    s = np.interp(stop_gradient(chi), stop_gradient(table), stop_gradient(edges[::-1]))

    def newton(s, rule=_FINE):
        a = s * s - early
        residual = distance(c, a, (today - s) * (today + s), rule) - chi
        return s + residual / (HUBBLE_LENGTH * _integrand(c, s, early))

    s = newton(newton(stop_gradient(newton(s, _ROUGH))))
    known = (chi >= table[0]) & (chi <= table[-1])
    return np.where(known, s * s - early, np.nan)


def as_array(x):
    """A float64 scalar array."""
    return np.asarray(x, np.float64)


def transverse(c, chi):
    """chi S(u), u = Ok (chi H0/c)^2, S = sinh(sqrt u)/sqrt u, entire in u."""
    u = c.Omega_k * (chi / HUBBLE_LENGTH) ** 2
    near = np.abs(u) < 1
    t = np.where(near, u, 0.0)
    series = np.ones_like(t)
    for n in range(8, 0, -1):
        series = 1 + t / (2 * n * (2 * n + 1)) * series
    root = np.sqrt(np.where(near, 1.0, np.abs(u)))
    far = np.where(u > 0, np.sinh(root), np.sin(root)) / root
    return chi * np.where(near, series, far)
