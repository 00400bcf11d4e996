"""The time loop: fixed-point state, one scan, exactly undone in the backward pass.

State: x, the displacements from the lattice in quanta of a mesh cell, and the carried
momentum p in a quantum of its own, both (3, N) integers. Increments are computed in
floating point from the other variable, rounded and added as integers, so every drift
and kick is a bijection, and the inverse step is the same operators with sign -1. The
gradient of rounding is the identity.

A step: drift, light cone, kick, light cone, drift (BullFrog), or drift, light cone,
drift, kick (FastPM); `steps` has the factors. The kick takes phi with
laplacian(phi) = delta from paint and one fused spectral pass (2 FFTs), then -grad phi
by a 4-point stencil at the particles.
"""

from typing import NamedTuple

import numpy as np

from ..control import scan
from ..custom import checkpoint
from ..grad import stop_gradient
from ..graph import emit
from ..ops.indexing import take
from .lpt import amplitude, cast, displacements, moved
from .settings import grid
from .steps import growth_at

__all__ = [
    "Cone",
    "State",
    "begin",
    "begin_at",
    "density",
    "integrate",
    "potential",
    "undo",
    "unpacked",
    "wrapped_positions",
]

# (axis, cross) of pm_convolve by mesh factor: measured, see decision 008
RESTORED = {1: (1.0, 0.5), 2: (0.0, 2.1)}
_POWERS = 2.0 ** -np.arange(64)


class State(NamedTuple):
    """Particles inside the loop.

    Attributes
    ----------
    x, p : fixed point (3, N)
        Displacements [cells/2^k] and carried momenta.
    unit : float64 (2,)
        2^-k, in mesh cells, and the momentum quantum [Mpc/h].
    s1 : array (3, N) or None
        The Zel'dovich field, with force="linear".
    """

    x: object
    p: object
    unit: object
    s1: object = None


class Cone(NamedTuple):
    """What a light cone adds to the loop.

    Attributes
    ----------
    kappa : array
        What is accumulated: the first value.
    xs : nest of arrays
        Scanned over beside the factors, leading axis n_steps.
    hook : callable
        ``hook(kappa, x, p, extra, unit, step, xs, half) -> kappa``. `step` has the
        factors of this step by name; half is 0 with the state (x*, p) before the kick
        and 1 with (x*, p) after it. FastPM calls once, with half 0.
    extra : callable or None
        ``extra(rho, x, unit, step) -> (3, N)`` displacements for projection at the
        centre, from the density there; None: an empty (3, 0).
    """

    kappa: object
    xs: object
    hook: object
    extra: object = None


# --- pieces ---------------------------------------------------------------------------
def density(x, unit, setup):
    """Painted density on the force mesh, mean 1."""
    return emit("pm_paint", (x, unit), **grid(setup))


def convolved(rho, setup, table=None, nodes=None):
    """phi with laplacian(phi) = delta, times table(|k|).

    Without a table long waves get back what clouds take from them (decision 008).
    """
    lx, ly, lz = setup.box
    along = {"lnk0": 0.0, "dlnk": 1.0} if nodes is None else nodes.attrs()
    ins = (rho,) if table is None else (rho, table)
    axis, cross = (0.0, 0.0)
    ratio = setup.mesh[0] / setup.lattice[0]
    if table is None:
        axis, cross = RESTORED.get(ratio, (0.0, 0.0))
    return emit(
        "pm_convolve", ins, lx=lx, ly=ly, lz=lz, inv=1, laplace=0, **along, axis=axis,
        cross=cross, ratio=ratio,
    )  # fmt: skip


def potential(x, unit, setup):
    """phi at the particles' density: laplacian(phi) = delta."""
    return convolved(density(x, unit, setup), setup)


def acceleration(x, unit, setup):
    """A = -grad phi at the particles, (3, N)."""
    return emit("pm_force", (potential(x, unit, setup), x, unit), **grid(setup))


def unpacked(state, setup):
    """(displacements [Mpc/h], carried momenta [Mpc/h]), floats (3, N)."""
    return (
        emit("fixed_unpack", (state.x, state.unit[0] * setup.cell)),
        emit("fixed_unpack", (state.p, _same(state.unit[1]))),
    )


def _same(unit):
    return unit * np.ones(3)


def lattice_points(setup, d):
    """Coordinate d of the lattice [Mpc/h], broadcastable to the lattice's shape."""
    n = setup.lattice[d]
    q = np.arange(n) * (setup.box[d] / n) + 0.5 * setup.cell[d]
    return q.reshape([n if e == d else 1 for e in range(3)])


def wrapped(at, side):
    """Coordinates in [0, side); of values just below 0 the modulus rounds to side."""
    at = np.mod(at, side)
    return np.where(at >= side, at - side, at)


def wrapped_positions(displacement, setup):
    """Positions in [0, L), (N, 3), from displacements (3, N)."""
    columns = []
    for d in range(3):
        at = displacement[d].reshape(setup.lattice)
        at = at + lattice_points(setup, d).astype(setup.real)
        side = np.asarray(setup.box[d], setup.real)
        columns.append(wrapped(at, side).reshape(-1))
    return np.stack(columns, axis=1)


# --- start ----------------------------------------------------------------------------
def quanta(reach, speed, setup):
    """The quanta for displacements up to `reach` and momenta up to `speed` [Mpc/h].

    Both keep three bits above their largest values in linear theory (runs take up to
    .8 and 2.3 times these); p six where a function gives the force. The quantum of x is
    a power of two in cells, so that cells and offsets are exact.
    """
    bits, wide = setup.bits, 32 if setup.bits > 32 else 0
    cells = reach / setup.cell.min()
    k = np.floor(bits - np.log2(8.0 * np.maximum(cells, 1e-30)))
    k = np.clip(k, 8 + wide, 28 + wide).astype(np.int64)
    quantum = take(_POWERS, k)
    room = 64.0 if callable(setup.force) else 8.0
    step = room * np.maximum(speed, 1e-30) / 2.0**bits
    return stop_gradient(np.stack([quantum, step]))


def _largest(x):
    """max |x| as float64."""
    return stop_gradient(np.max(np.abs(x))).astype(np.float64)


def packed(displacement, momentum, unit, setup):
    """Floats (3, N) as the fixed-point pair."""
    return (
        emit("fixed_pack", (displacement, unit[0] * setup.cell)),
        emit("fixed_pack", (momentum, _same(unit[1]))),
    )


def begin(modes, cosmology, factors, setup):
    """The state at steps[0] by Lagrangian perturbation theory.

    Computed again in the backward pass, so that of it only the state is kept.

    Parameters
    ----------
    modes : traced array (nx, ny, nz)
    cosmology : Cosmology
    factors : Factors
    setup : Setup

    Returns
    -------
    State
    """
    ends = growth_at(cosmology, np.array([setup.steps[0], setup.steps[-1]]))
    now = tuple(x[0] for x in ends)
    table = amplitude(cosmology, setup.lattice, setup.box)
    last, fastest = stop_gradient(ends.D1[1]), stop_gradient(_fastest(ends, factors))
    linear = setup.force == "linear"

    def inner(modes, table, now, last, fastest):
        s1, s2 = displacements(
            modes.astype(setup.real), table, setup.box, setup.order, setup.dealias
        )
        size = _largest(s1)
        reach = last * size
        if callable(setup.force):
            reach = 0.0 * reach + 2.0 * max(setup.box)
        unit = quanta(reach, fastest * size, setup)
        x, p = packed(*moved(s1, s2, type(ends)(*now)), unit, setup)
        return (x, p, unit, s1) if linear else (x, p, unit)

    return State(*checkpoint(inner)(modes, table, now, last, fastest))


def begin_at(displacement, momentum, cosmology, factors, setup):
    """The state for given displacements and momenta (N, 3) [Mpc/h] at steps[0]."""
    ends = growth_at(cosmology, np.array([setup.steps[0], setup.steps[-1]]))
    s, p = (v.T.astype(setup.real) for v in (displacement, momentum))
    size = np.maximum(_largest(s) / ends.D1[0], _largest(p) / ends.G[0])
    size = np.maximum(size, 1e-3 * setup.cell.min() / ends.D1[1])
    reach = ends.D1[1] * size
    if callable(setup.force):
        reach = 0.0 * reach + 2.0 * max(setup.box)
    unit = quanta(reach, _fastest(ends, factors) * size, setup)
    return State(*packed(s, p, unit, setup), unit)


def _fastest(ends, factors):
    """Largest carried momentum by unit s1 in linear theory."""
    return np.maximum(
        np.maximum(ends.G[0], ends.G[1]),
        np.max(1.0 / np.abs(np.concatenate([factors.rate1, factors.rate2]))),
    )


# --- the loop -------------------------------------------------------------------------
def _drift(x, p, unit, by, setup, sign):
    return emit("pm_drift", (x, p, unit, by), **grid(setup), sign=sign)


def _kick(state, p, by, force, setup, sign, rho=None):
    """The carried momentum after a kick; `force` is D1 at its time."""
    x, unit = state.x, state.unit
    if setup.force == "mesh" and not setup.shared:
        phi = potential(x, unit, setup) if rho is None else convolved(rho, setup)
        return emit("pm_kick", (p, phi, x, unit, by), **grid(setup), sign=sign)
    if setup.force == "mesh":
        gain = cast(by, setup.real) * acceleration(x, unit, setup)
    elif setup.force == "linear":
        gain = cast(by * force, setup.real) * state.s1
    else:
        gain = cast(by, setup.real) * _asked(state, setup)
    gain = emit("fixed_pack", (gain, _same(unit[1])))
    return p + gain if sign > 0 else p - gain


def _asked(state, setup):
    """The acceleration that the user's function gives, (3, N)."""
    position = wrapped_positions(unpacked(state, setup)[0], setup)
    A = setup.force(position)
    shape = getattr(A, "shape", None)
    if shape is None:
        A = np.asarray(A)
        shape = A.shape
    if tuple(shape) != (setup.count, 3):
        raise ValueError(
            f"force returns the shape {tuple(shape)} for positions"
            f" {(setup.count, 3)}; it must return an acceleration for each, -grad phi"
            " in Mpc/h with laplacian(phi) = delta"
        )
    return A.astype(setup.real).T


class Step(NamedTuple):
    """Factors of one step, by the names of `Factors`."""

    drift1: object
    drift2: object
    kick: object
    force: object
    rate1: object
    rate2: object
    centre: object
    a_centre: object


def _forth(x, p, fixed, step, setup, cone=None, kappa=None, slices=None):
    """One step -> (x, p, kappa). `fixed` is the State whose unit and s1 hold."""
    unit = fixed.unit
    x = _drift(x, p, unit, step.drift1, setup, 1)
    rho = extra = None
    if cone is not None:
        if cone.extra is None:
            extra = np.zeros((3, 0), setup.real)
        else:
            rho = density(x, unit, setup)
            extra = cone.extra(rho, x, unit, step)
        kappa = cone.hook(kappa, x, p, extra, unit, step, slices, 0)
    if setup.integrator == "bullfrog":
        here = fixed._replace(x=x)
        p = _kick(here, p, step.kick, step.force, setup, 1, rho)
        if cone is not None:
            kappa = cone.hook(kappa, x, p, extra, unit, step, slices, 1)
        x = _drift(x, p, unit, step.drift2, setup, 1)
    else:
        x = _drift(x, p, unit, step.drift2, setup, 1)
        p = _kick(fixed._replace(x=x), p, step.kick, step.force, setup, 1)
    return x, p, kappa


def _back(x, p, fixed, step, setup):
    """One step undone -> (x, p)."""
    unit = fixed.unit
    if setup.integrator == "bullfrog":
        x = _drift(x, p, unit, step.drift2, setup, -1)
        p = _kick(fixed._replace(x=x), p, step.kick, step.force, setup, -1)
    else:
        p = _kick(fixed._replace(x=x), p, step.kick, step.force, setup, -1)
        x = _drift(x, p, unit, step.drift2, setup, -1)
    return _drift(x, p, unit, step.drift1, setup, -1), p


def _step(loop):
    return Step(*(loop[name] for name in Step._fields))


def integrate(state, factors, setup, cone=None):
    """Evolve a state through all steps.

    Parameters
    ----------
    state : State
        At steps[0].
    factors : Factors
    setup : Setup
    cone : Cone, optional

    Returns
    -------
    state : State
        At steps[-1]; p times ``factors.last`` is the momentum.
    kappa
        What the cone accumulated; None without one.
    """
    p = state.p
    if setup.integrator == "fastpm":
        p = _kick(state, p, factors.first, factors.force0, setup, 1)
    reversible = setup.policy == "reversible"
    loop = factors.loop()

    def body(carry, xs):
        step = _step(xs[0])
        if cone is None:
            x, p, _ = _forth(*carry, state, step, setup)
            return (x, p), None
        x, p, kappa = carry
        return _forth(x, p, state, step, setup, cone, kappa, xs[1]), None

    def inverse(carry, xs):
        x, p = _back(*carry[:2], state, _step(xs[0]), setup)
        return (x, p, *carry[2:])  # kappa is a sum: its derivatives do not need it

    init, xs = (state.x, p), (loop,)
    if cone is not None:
        init, xs = (*init, cone.kappa), (loop, cone.xs)
    final, _ = scan(
        body, init, xs, policy=setup.policy, inverse=inverse if reversible else None
    )
    end = state._replace(x=final[0], p=final[1])
    return end, (final[2] if cone is not None else None)


def undo(state, factors, setup):
    """The state at steps[0] from that at steps[-1], bit for bit."""

    def body(carry, step):
        return _back(*carry, state, _step(step), setup), None

    (x, p), _ = scan(body, (state.x, state.p), factors.loop(), reverse=True)
    here = state._replace(x=x, p=p)
    if setup.integrator == "fastpm":
        p = _kick(here, p, factors.first, factors.force0, setup, -1)
    return here._replace(p=p)
