"""Growth of structure to second order.

    D1'' + (2 + E'/E) D1' = 1.5 Om(a) D1
    D2'' + (2 + E'/E) D2' = 1.5 Om(a) (D2 + D1^2),      ' = d/d ln a

With g = a + (2/3) Or/Om, the growing solution with matter and radiation alone, the
unknowns are G = D1/g and H = D2/g^2, which are nearly constant early; rho = a/g:

    G'' + (2 rho + 2 + E'/E) G' + rho (2 Ok(a) + 1.5 (1-w) Ode(a)) G = 0
    H'' + (4 rho + 2 + E'/E) H' + [2 rho^2 + rho (3 + E'/E) + c] H = 1.5 Om(a) G^2

c being the last coefficient of the first line. Start at a = 1e-7: without radiation
G = 1, H = 3/7 and the first order in Ok(a) and Ode(a); with radiation the logarithmic
growth D1 = ln(a/a_H) of modes that entered the horizon before equality.
"""

from typing import NamedTuple

import numpy as np

from . import _chebyshev as grid
from .background import log_slope, parts

A_HORIZON = 5.2228e-5
"""a_H of the start with radiation; a fit, good to 1e-4 near Planck 2015."""


class Growth(NamedTuple):
    """Growth functions and their first two derivatives with respect to ln a."""

    D1: object
    dD1: object
    ddD1: object
    D2: object
    dD2: object
    ddD2: object


def radiation_amplitude(omega_m, omega_r):
    """The growing part 1 + 1.5 a/a_eq in the start with radiation.

    The other part is Meszaros's decaying mode; nothing but matter and radiation counts
    at A_MIN. Without meaning where radiation is not in excess there.
    """
    y = grid.A_MIN * omega_m / omega_r
    root = np.sqrt(1 + y)
    log = np.log((root + 1) / (root - 1))
    other = (1 + 1.5 * y) * log - 3 * root
    slope = 1.5 * y * log - (1 + 1.5 * y) / root - 1.5 * y / root
    value = np.log(grid.A_MIN / A_HORIZON)
    return (value * slope - other) / ((1 + 1.5 * y) * slope - 1.5 * y * other)


def _matter_start(c, a):
    """G, G', H, H' early without radiation; curvature, dark energy to first order.

    The first two are the growing mode with radiation, too.
    """
    k = a * c.Omega_k / c.Omega_m
    w = c.w0 + c.wa
    p = -3 * w
    de = c.Omega_de / c.Omega_m * np.exp(p * np.log(a) - 3 * c.wa)
    g1 = -1.5 * (1 - w) / (p * (p + 2.5))
    h1 = (1.5 * (2 * g1 - 1) - 3 / 7 * (1.5 - 3 * w)) / (p * (p + 4.5) + 3.5)
    return (
        1 - 4 / 7 * k + g1 * de,
        -4 / 7 * k + p * g1 * de,
        3 / 7 - 10 / 21 * k + h1 * de,
        -10 / 21 * k + p * h1 * de,
    )


def _radiation_start(c, a):
    """G, G', H, H' of D1 = ln(a/a_H)."""
    g, rho = _scaling(c, a)
    log = np.log(a / A_HORIZON)
    om = 1.5 * parts(c, a).matter / (g * g)
    first, second = log / g, om * (log * (log - 4) + 6)
    change = om * (log * (log - 2) + 2)
    return first, 1 / g - rho * first, second, change - 2 * rho * second


def _scaling(c, a):
    """g = a + (2/3) a_eq and rho = a/g."""
    g = a + 2 / 3 * c.Omega_r / c.Omega_m
    return g, a / g


def _start(c, a, unit):
    """G, G', H, H' early, in units of D1 -> a."""
    pairs = zip(_radiation_start(c, a), _matter_start(c, a), strict=True)
    units = (unit, unit, unit * unit, unit * unit)
    return [
        np.where(c.Omega_r > 0, r / u, m)
        for u, (r, m) in zip(units, pairs, strict=True)
    ]


def _solve(c, order):
    """G, G' and, for order 2, H, H' at the points of the panels; and the unit.

    With radiation the solution from the logarithmic start is divided by what it ends
    with in units of the growing mode, which tends to a + (2/3) a_eq.
    """
    a = np.exp(grid.X)
    p = parts(c, a)
    _, rho = _scaling(c, a)
    q = log_slope(p)
    pull = rho * (2 * p.curvature + 1.5 * (1 - p.w) * p.dark_energy)
    early = np.float64(grid.A_MIN)
    both = zip(_matter_start(c, early)[:2], _radiation_start(c, early)[:2], strict=True)
    start = np.stack([np.stack(pair) for pair in both])
    first, slope = grid.solve(2 * rho + 2 + q, pull, None, start)
    unit = np.where(c.Omega_r > 0, first[-1, -1, 1] / first[-1, -1, 0], 1.0)
    first, slope = (
        np.where(c.Omega_r > 0, y[..., 1] / unit, y[..., 0]) for y in (first, slope)
    )
    if order == 1:
        return (first, slope), unit
    second, change = grid.solve(
        4 * rho + 2 + q,
        2 * rho * rho + rho * (3 + q) + pull,
        1.5 * p.matter * first * first,
        np.stack(_start(c, early, unit)[2:])[:, None],
    )
    return (first, slope, second[..., 0], change[..., 0]), unit


def growth(c, a, order=2):
    """`Growth` at scale factors a, D1 -> a in the matter era; NaN above A_MAX.

    For order 1 without the second three.
    """
    flat = a.reshape(-1)
    nodal, unit = _solve(c, order)
    inside = np.clip(flat, grid.A_MIN, grid.A_MAX)
    table = grid.evaluate(np.stack(nodal, axis=-1), np.log(inside))
    early = _start(c, flat, unit)
    values = [
        np.where(flat < grid.A_MIN, early[k], table[:, k]) for k in range(2 * order)
    ]
    g, _ = _scaling(c, np.where(flat <= grid.A_MAX, flat, np.nan))
    p = parts(c, flat)
    friction, om = 2 + log_slope(p), 1.5 * p.matter
    one, done = g * values[0], flat * values[0] + g * values[1]
    found = [one, done, om * one - friction * done]
    if order == 2:
        two = g * g * values[2]
        dtwo = g * g * values[3] + 2 * g * flat * values[2]
        found += [two, dtwo, om * (two + one * one) - friction * dtwo]
    found = [x.reshape(a.shape) for x in found]
    return Growth(*found, *(None,) * (6 - len(found)))


def normalised(c, a, order=2):
    """`growth` with D1 = 1 today, D2 divided by the square of the same number."""
    flat = a.reshape(-1)
    both = growth(c, np.concatenate([np.ones(1), flat]), order)
    unit = both.D1[0]
    scale = (unit,) * 3 + (unit * unit,) * 3
    return Growth(
        *(
            None if x is None else (x[1:] / s).reshape(a.shape)
            for x, s in zip(both, scale, strict=True)
        )
    )
