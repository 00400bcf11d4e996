"""Tables and slices of a light cone, in float64, differentiable in the cosmology.

A slice belongs to one step of the time integration (BullFrog: to half of one, divided
at the scale factor of its centre) and covers the distances chi at which its light left.
Tables have nodes at chi = j h: `time` is the growth D1(a(chi)), and a row of `lens` is
what a particle at chi adds to a map, times chi.
"""

from typing import NamedTuple

import numpy as np

from ..grad import stop_gradient
from ._sources import HUBBLE_DISTANCE, prefactor

NODES = 1024  # of a table: its interpolation error is far below 1e-10
CORNER = (
    5 / 48
)  # 1/8 at the corner of the parabola's chords, less 1/48 their mean error
_U, _W = np.polynomial.legendre.leggauss(128)
_HALF, _HALF_W = (0.5 * x for x in np.polynomial.legendre.leggauss(8))
_HALF = _HALF + 0.5


class Tables(NamedTuple):
    """What the operator cone_paint reads.

    Attributes
    ----------
    h : float64
        Spacing of the nodes [Mpc/h].
    time : (T,) float64
        D1(a(chi)), 1 today.
    lens : (S, T) float64
        Weight of a particle times its distance [Mpc/h].
    reach : (S,) float64
        Where each map ends [Mpc/h].
    """

    h: object
    time: object
    lens: object
    reach: object


def reaches(c, sources):
    """Comoving distance of the farthest source of each map, (S,) [Mpc/h]."""
    return np.stack([c.comoving_distance(s.z_max) for s in sources])


def nodes(c, top):
    """(h, chi, z) of tables that reach a little beyond the distance top.

    Spacings are powers of 2^(1/8), so that nodes stay where they are while a cosmology
    varies a little: the interpolation error then does not vary either.
    """
    h = 2.0 ** (np.ceil(8 * np.log2(stop_gradient(top) / (NODES - 3))) / 8)
    chi = h * np.arange(NODES)
    return h, chi, 1.0 / c.scale_factor(chi) - 1.0


def tables(c, rows, reach):
    """`Tables` for weights rows(chi, z) -> (S, T), up to the distances reach (S,)."""
    h, chi, z = nodes(c, np.max(reach))
    return Tables(h, c.growth(1.0 / (1.0 + z)), rows(chi, z), stop_gradient(reach))


def convergence_rows(c, sources, density):
    """Rows of `lens` for convergence: 1.5 Om (H0/c)^2 q (1+z)/density.

    density is that of particles in volume times the solid angle of a pixel.
    """

    def rows(chi, z):
        q = np.stack([s.efficiency(c, chi) for s in sources])
        return prefactor(c) * q * (1.0 + z) / density

    return rows


def uniform(c, source, a_first, a_last):
    """Convergence of a universe without structure, over the painted distances."""
    z, chi, step = _path(c, source.z_max, a_first, a_last)
    q = source.efficiency(c, chi)
    return prefactor(c) * np.sum(step * q * chi * (1.0 + z))


def noise(c, source, density, a_first, a_last):
    """C_l of Poisson noise: (1.5 Om (H0/c)^2)^2 int q^2 (1+z)^2 dchi/density."""
    z, chi, step = _path(c, source.z_max, a_first, a_last)
    q = source.efficiency(c, chi)
    return np.sum(step * (prefactor(c) * q * (1.0 + z)) ** 2) / density


def _path(c, z_max, a_first, a_last):
    """(z, chi, dchi) at the nodes of an integral from a_last to the source."""
    low = max(1.0 / a_last - 1.0, 0.0)
    high = min(z_max, 1.0 / a_first - 1.0)
    z = low + (high - low) * 0.5 * (_U + 1)
    step = (high - low) * 0.5 * _W * HUBBLE_DISTANCE / c.E(1.0 / (1.0 + z))
    return z, c.comoving_distance(z), step


def alignment_level(c, source, f, a_first, a_last):
    """int n(chi) F dchi over the painted distances: NLA of delta = 1."""
    z, _, _ = _path(c, source.z_max, a_first, a_last)
    low = max(1.0 / a_last - 1.0, 0.0)
    width = (min(source.z_max, 1.0 / a_first - 1.0) - low) * 0.5 * _W
    return np.sum(width * source.density(z) * f(z))


def plane_levels(c, edge, steps):
    """1.5 Om (H0/c)^2 int chi (1+z) dchi of planes between edges, where painted."""
    low = c.comoving_distance(a=min(steps[-1], 1.0))
    edge = np.maximum(edge, low)
    width = edge[1:] - edge[:-1]
    chi = edge[:-1, None] + width[:, None] * _HALF
    per_a = chi / c.scale_factor(chi)
    return prefactor(c) * width * (per_a @ _HALF_W)


def stages(c, steps):
    """chi at the stages, never below zero, (n_steps + 1,) [Mpc/h]."""
    a = np.minimum(np.asarray(steps, dtype=np.float64), 1.0)
    return c.comoving_distance(a=a)


class Slice(NamedTuple):
    """One slice of every step; leading axes n_steps.

    Attributes
    ----------
    path : (n_steps, 5) float64 array
        rate, centre, lo, hi, h of cone_paint. Beyond every map's reach slices are
        empty: lo = hi.
    bend : (n_steps, 2) float64 array or None
        Parts of the acceleration A at the centre that are added to the carried
        momentum and, as a displacement, to the position; see `curved`.
    """

    path: object
    bend: object = None


def slices(c, setup, factors, table, bent=False):
    """The slices of all steps: two, before and after the kick, for BullFrog; else one.

    Parameters
    ----------
    bent : bool
        Paths curved by the force, see `curved`; for BullFrog alone.

    Returns
    -------
    tuple of Slice
    """
    top = np.max(table.reach)
    edge = np.minimum(stop_gradient(stages(c, setup.steps)), top)
    h = np.zeros(setup.n_steps) + table.h
    f = factors
    if setup.integrator == "fastpm":
        parts = [(f.rate1, f.centre, edge[1:], edge[:-1])]
        bends = [None]
    else:
        middle = stop_gradient(stages_at(c, f.a_centre))
        middle = np.minimum(middle, top)
        halves, bends = curved(f) if bent else ([f.rate1, f.rate2], [None, None])
        if not bent:
            halves = [(rate, f.centre) for rate in halves]
        parts = [
            (*halves[0], middle, edge[:-1]),
            (*halves[1], edge[1:], middle),
        ]
    return tuple(
        Slice(np.stack([*part, h], axis=1), bend)
        for part, bend in zip(parts, bends, strict=True)
    )


def curved(f):
    """Paths of a BullFrog step with the force in them.

    Drift, kick, drift is a polygon that touches the path from outside: with v and v'
    the velocities dx/dD before and after the kick, dv = v' - v and dD the step, its
    corner x* is off by -dv dD/8, against the force, which puffs up whatever is bound.
    The parabola through both ends, tangent to the polygon there, is replaced in each
    half by the straight line nearest to it in the mean,

        x(D) = x* + 5/48 dv dD + (v + dv/4)(D - D*)     before the centre,
        x(D) = x* + 5/48 dv dD + (v' - dv/4)(D - D*)    after it,

    which meet at the centre, are off by at most dv dD/48 and not on average, and where
    nothing is bent (dv = 0, Zel'dovich) are the path itself. With v = mu w, v' = mu' w'
    and w' = w + kick A they are rate (D - centre) (w + e A) + s A from x*, w or w'
    being the momentum at hand.

    Returns
    -------
    list of (rate, centre), list of (n_steps, 2) arrays of e and s
    """
    width = 2.0 * f.drift1 / f.rate1
    change = f.rate2 - f.rate1
    halves, bends = [], []
    for own, other, sign in ((f.rate1, f.rate2, 1.0), (f.rate2, f.rate1, -1.0)):
        rate = own + 0.25 * sign * change
        centre = f.centre - CORNER * change * width / rate
        force = other * f.kick  # of A in dv
        e = 0.25 * sign * force / rate
        s = force * (CORNER * width + 0.25 * sign * (centre - f.centre))
        halves.append((rate, centre))
        bends.append(np.stack([e, s], axis=1))
    return halves, bends


def stages_at(c, a):
    """chi of scale factors that may be traced; zero from today on."""
    return c.comoving_distance(a=np.minimum(a, 1.0))


def passes(c, reach, steps, side):
    """Boxes that the slices of all steps meet, (S,) int64.

    A step covers lo = chi(a_1) <= chi < hi = min(chi(a_0), reach); an empty slice
    counts nothing.
    """
    edge = stages(c, steps)
    low = edge[1:]
    high = np.minimum(edge[:-1], np.reshape(reach, (-1, 1)))
    # half open: a slice that ends on the face of a box does not meet the next one
    boxes = np.ceil(high / side) - np.floor(low / side)
    return np.sum(np.where(high > low, boxes, 0.0), axis=1).astype(np.int64)
