"""Distance moduli of universes with matter, curvature and dark energy.

    mu = 5 log10[(1 + z_helio) (c/H0) D(z) / Mpc] + 25
    D = sinn(I),    I = Int_0^z dz'/E
    E^2 = Om (1+z)^3 + Ok (1+z)^2 + OL (1+z)^(3 (1+w)),    Ok = 1 - Om - OL

The part that depends on the cosmology, t(z) = 5 log10(D/z), is smooth down to z = 0. It
is tabulated with its exact slope and read by cubic Hermite interpolation: for cells of
width h the error is h^4/384 max|t''''|, below 1e-7 mag for the tables used here. With
y = Ok I^2, sinn(I)/I is a function of y that is regular at 0, a series there.
"""

import numpy as np

from ..graph import emit, is_traced
from . import _check

SPEED_OF_LIGHT = 299792.458  # km/s
SCALE = 5.0 / np.log(10.0)
STEP = 0.004  # in z
SERIES = 0.05  # |y| below which sinn and its derivative are series
_GAUSS = np.polynomial.legendre.leggauss(4)


def table_grid(z_max):
    """(number of nodes, step) of the table that reaches z_max."""
    cells = int(np.clip(np.ceil(z_max / STEP), 64, 8192))
    return cells + 1, z_max / cells


def _regular(y, even):
    """sinn(I)/I as a function of y = Ok I^2; even: the derivative of sinn.

    Both are entire functions of y; each branch sees arguments that it can take.
    """
    small = np.abs(y) < SERIES
    low = np.where(small, y, 0.0)
    series, factor = 1.0, 1.0
    terms = []
    for k in range(1, 8):
        factor = (
            factor / ((2 * k - 1) * 2 * k) if even else factor / (2 * k * (2 * k + 1))
        )
        terms.append(factor)
    series = terms[-1]
    for factor in terms[-2::-1]:
        series = factor + low * series
    series = 1.0 + low * series
    root_up = np.sqrt(np.where(y >= SERIES, y, 1.0))
    root_down = np.sqrt(np.where(y <= -SERIES, -y, 1.0))
    if even:
        up, down = np.cosh(root_up), np.cos(root_down)
    else:
        up, down = np.sinh(root_up) / root_up, np.sin(root_down) / root_down
    return np.where(small, series, np.where(y > 0, up, down))


def tables(Om, OL, w, z_max):
    """Values and slopes of t(z) = 5 log10(D/z) at the nodes, and validity.

    Returns
    -------
    values, slopes : (m,) arrays
    first_bad : (m,) bool
        True from the first node on before which E^2 <= 0 or D <= 0; there the values
        are finite but mean nothing.
    """
    m, h = table_grid(z_max)
    nodes = h * np.arange(m)
    inside = nodes[:-1, None] + 0.5 * h * (1.0 + _GAUSS[0])
    z = np.concatenate([nodes, inside.ravel()])
    a = 1.0 + z
    Ok = 1.0 - Om - OL
    squared = Om * a**3 + Ok * a**2 + OL * np.exp(3.0 * (1.0 + w) * np.log(a))
    E_inverse = 1.0 / np.sqrt(np.where(squared > 0.0, squared, 1.0))
    quad = (E_inverse[m:].reshape(m - 1, 4) * (0.5 * h * _GAUSS[1])).sum(-1)
    integral = np.cumsum(quad)
    y = Ok * integral * integral
    ratio, turn = _regular(y, even=False), _regular(y, even=True)
    good = np.logical_and(ratio > 0.0, y > -(np.pi**2))
    ratio = np.where(good, ratio, 1.0)
    late = SCALE * np.log(integral / nodes[1:] * ratio)
    rate = SCALE * (turn * E_inverse[1:m] / (integral * ratio) - 1.0 / nodes[1:])
    zero = -0.25 * SCALE * (3.0 * Om + 2.0 * Ok + 3.0 * (1.0 + w) * OL)
    positive = squared > 0.0
    cells = np.logical_and(positive[1:m], good)
    for k in range(4):
        cells = np.logical_and(cells, positive[m + k :: 4])
    bad = np.cumsum(np.where(cells, 0.0, 1.0)) > 0.0
    values = np.concatenate([np.zeros(1), late])
    slopes = np.concatenate([np.reshape(zero, (1,)), rate])
    return values, slopes, np.concatenate([np.zeros(1, bool), bad])


def constant_part(z, z_helio, H0):
    """mu minus t(z): what does not depend on the cosmology."""
    return SCALE * np.log((1.0 + z_helio) * z * (SPEED_OF_LIGHT / H0)) + 25.0


def modulus(Om, OL, w, z, constant, z_max):
    """mu (N,) and whether the cosmology is valid up to z_max, by tables."""
    values, slopes, bad = tables(Om, OL, w, z_max)
    _, h = table_grid(z_max)
    t = emit("hermite", (_array(values), _array(slopes), z), x0=0.0, h=h, order=0)
    return constant + t, np.logical_not(bad[-1])


def _array(x):
    return x if is_traced(x) else np.asarray(x, dtype=float)


def distance_modulus(z, Om, OL, w, z_helio=None, H0=70.0):
    """Distance modulus in magnitudes.

    Parameters
    ----------
    z : (N,) array
        Redshifts in the frame of the microwave background, corrected for peculiar
        velocities; positive.
    Om, OL, w : float
        Matter, dark energy and its equation of state; curvature is 1 - Om - OL. May be
        traced, one at a time or all.
    z_helio : (N,) array, optional
        Heliocentric redshifts, in the factor 1 + z only (default: z).
    H0 : float
        km/s/Mpc.

    Returns
    -------
    (N,) array

    Raises
    ------
    ValueError
        If E^2 <= 0 or the distance is not positive before one of the redshifts: such a
        universe has no supernova there. Where a parameter is traced such entries are
        infinite instead.

    Examples
    --------
    >>> import gradiverse as gv
    >>> gv.supernova.distance_modulus([0.1, 1.0], 0.3, 0.7, -1.0).round(4).tolist()
    [38.3152, 44.1002]
    """
    z = _check.redshifts(z)
    helio = z if z_helio is None else _check.redshifts(z_helio, "z_helio", len(z))
    if not (np.isfinite(H0) and H0 > 0):
        raise ValueError(f"H0 must be positive, got {H0!r}")
    if len(z) == 0:
        return np.zeros(0)
    z_max = float(z.max())
    values, slopes, bad = tables(Om, OL, w, z_max)
    _, h = table_grid(z_max)
    t = emit("hermite", (_array(values), _array(slopes), z), x0=0.0, h=h, order=0)
    mu = constant_part(z, helio, H0) + t
    cell = np.minimum(np.ceil(z / h).astype(np.int64), len(values) - 1)
    beyond = np.take(bad, cell)
    if is_traced(mu):
        return np.where(beyond, np.inf, mu)
    if beyond.any():
        first = h * float(np.argmax(bad))
        raise ValueError(
            f"E^2 <= 0 or no distance from z = {first:.3g} on for Om = {float(Om):g},"
            f" OL = {float(OL):g}, w = {float(w):g}; {int(beyond.sum())} of {len(z)}"
            " redshifts are beyond it"
        )
    return mu
