"""Piecewise Chebyshev collocation in x = ln a.

The range of scale factors is cut into panels; in each one functions are known at the
17 Chebyshev points. Linear differential equations of second order are solved panel by
panel in integral form (the unknown is the second derivative, so that the systems are
well conditioned), for unit starting values at once, and the panels are chained.
"""

import numpy as np
from numpy.polynomial import chebyshev

from ._values import take

A_MIN, A_MAX = 1e-7, 1.25
"""Range of the growth solution; below A_MIN its starting formula holds."""

N = 17
_SPLIT, _EARLY, _LATE = -4.0, 6, 6
EDGES = np.concatenate(
    [
        np.linspace(np.log(A_MIN), _SPLIT, _EARLY + 1)[:-1],
        np.linspace(_SPLIT, np.log(A_MAX), _LATE + 1),
    ]
)
PANELS = len(EDGES) - 1
HALF = np.diff(EDGES)[:, None] / 2
MIDDLE = (EDGES[1:] + EDGES[:-1])[:, None] / 2


def _tables():
    """Points on [-1, 1], values -> coefficients, integration from -1."""
    t = -np.cos(np.pi * np.arange(N) / (N - 1))
    to_coefficients = np.linalg.inv(chebyshev.chebvander(t, N - 1))
    integral = chebyshev.chebint(np.eye(N), lbnd=-1, axis=0)
    integrate = chebyshev.chebvander(t, N) @ integral @ to_coefficients
    integrate[0] = 0.0
    return t, to_coefficients, integrate


POINTS, TO_COEFFICIENTS, INTEGRATE = _tables()
X = MIDDLE + HALF * POINTS  # (PANELS, N)
_H = HALF[:, :, None]
_ONCE = _H * INTEGRATE
_TWICE = _H**2 * (INTEGRATE @ INTEGRATE)
_RAMP = HALF * (POINTS + 1)
_EYE = np.eye(N)


def solve(first, zeroth, source, start):
    """y'' + first y' + zeroth y = source from start at the left end.

    Parameters
    ----------
    first, zeroth : (PANELS, N)
        Coefficients at the points X.
    source : (PANELS, N) or None
    start : (2, S)
        y and y' at ln A_MIN, of S solutions.

    Returns
    -------
    y, y' : (PANELS, N, S)
    """
    matrix = _EYE + first[:, :, None] * _ONCE + zeroth[:, :, None] * _TWICE
    columns = [-zeroth, -(first + zeroth * _RAMP)]
    if source is not None:
        columns.append(source)
    second = np.linalg.solve(matrix, np.stack(columns, axis=-1))
    given = np.zeros((PANELS, N, len(columns), 2))
    given[:, :, 0, 0] = given[:, :, 1, 1] = 1.0
    given[:, :, 1, 0] = _RAMP
    value = given[..., 0] + _TWICE @ second
    slope = given[..., 1] + _ONCE @ second
    ends = np.stack([value[:, -1], slope[:, -1]], axis=1)  # (PANELS, 2, 2 or 3)
    one = [] if source is None else [np.ones((1, start.shape[1]))]
    states = [np.concatenate([start, *one])]
    for panel in range(PANELS - 1):
        states.append(np.concatenate([ends[panel] @ states[-1], *one]))
    states = np.stack(states)
    return value @ states, slope @ states


def evaluate(values, x):
    """Functions known at X, at other points.

    Parameters
    ----------
    values : (PANELS, N, F)
    x : (M,)
        Within EDGES[0] and EDGES[-1].

    Returns
    -------
    (M, F)
    """
    early = (x - EDGES[0]) / (2 * HALF[0, 0])
    late = _EARLY + (x - _SPLIT) / (2 * HALF[-1, 0])
    panel = np.floor(np.where(x < _SPLIT, early, late))
    panel = np.clip(panel, 0, PANELS - 1).astype(np.int64)
    t = (x - take(MIDDLE[:, 0], panel)) / take(HALF[:, 0], panel)
    coefficients = take(TO_COEFFICIENTS @ values, panel)
    return (_polynomials(t)[:, None, :] @ coefficients)[:, 0, :]


def _polynomials(t):
    """T_0 ... T_16 at t (M,) -> (M, 17), doubling the degree in each turn."""
    t = t[:, None]
    table = np.concatenate([np.ones(t.shape), t], axis=1)
    degree = 1
    while degree < N - 1:
        top = table[:, degree:]
        table = np.concatenate(
            [table, 2 * top * table[:, 1:] - table[:, degree - 1 :: -1]], axis=1
        )
        degree *= 2
    return table
