"""Runs: from white noise to particles, and further from particles."""

import functools

import numpy as np

from .. import _memory
from ..compile import compile
from ..graph import barrier, current, evaluate, lift
from ..tree import flatten, map_leaves
from ..var import Var
from . import engine
from .lpt import cast, start
from .particles import (
    Particles,
    frame,
    join_fixed,
    remember,
    split_fixed,
    traced,
)
from .pgd import check_pgd, shift
from .settings import Setup, check_mesh, check_modes, make_setup
from .steps import check_weights, weights
from .steps import factors as factors_of

__all__ = ["advance", "evolve"]

LARGE = 1 << 27  # bytes of work from which on free memory is looked at


def check_cosmology(cosmology):
    """cosmology itself; TypeError unless it has what a run asks of it."""
    needed = ("E", "growth_derivatives", "linear_power")
    missing = [n for n in needed if not callable(getattr(cosmology, n, None))]
    if missing:
        raise TypeError(
            f"cosmology must be a gv.cosmology.Cosmology, got"
            f" {type(cosmology).__name__}, which has no {missing[0]}"
        )
    return cosmology


def check_stepping(cosmology, setup):
    """BullFrog's weights, where the cosmology has values."""
    if setup.integrator != "bullfrog":
        return
    leaves, tree = flatten(cosmology)
    for k, x in enumerate(leaves):
        if isinstance(x, Var):
            if x.owner.missing([x.id]) is not None:
                return
            leaves[k] = evaluate(x)
    with barrier():
        known = _program(weights, setup.steps)(tree.unflatten(leaves))
    check_weights(known, setup.steps, setup.precision)


# --- programs: traced functions of arrays, compiled once for each setting -------------
def _arrays(state, setup, gain, a, pgd=None):
    """(positions, momenta, displacements), (N, 3), of a state."""
    moved, carried = engine.unpacked(state, setup)
    if pgd is not None:
        rho = engine.density(state.x, state.unit, setup)
        moved = moved + shift(pgd, a, rho, state.x, state.unit, setup)
    where = engine.wrapped_positions(moved, setup)
    return where, (cast(gain, setup.real) * carried).T, moved.T


def _ahead(state, factors, pgd, setup, keep_start):
    """A run from its state -> (arrays at the end, arrays at the start, end state)."""
    first = _arrays(state, setup, 1.0, setup.steps[0]) if keep_start else None
    end, _ = engine.integrate(state, factors, setup)
    last = _arrays(end, setup, factors.last, setup.steps[-1], pgd)
    return last, first, end, factors


def _from_modes(modes, cosmology, pgd, setup, keep_start):
    factors = factors_of(cosmology, setup.steps, setup.integrator)
    state = engine.begin(modes, cosmology, factors, setup)
    return _ahead(state, factors, pgd, setup, keep_start)


def _from_particles(displacements, momenta, cosmology, pgd, setup, keep_start):
    factors = factors_of(cosmology, setup.steps, setup.integrator)
    state = engine.begin_at(displacements, momenta, cosmology, factors, setup)
    return _ahead(state, factors, pgd, setup, keep_start)


def _undone(x, p, unit, s1, factors, setup):
    state = engine.State(join_fixed(*x), join_fixed(*p), unit, s1)
    return _arrays(engine.undo(state, factors, setup), setup, 1.0, setup.steps[0])


def _lpt(modes, cosmology, a, box, order, dealias, mesh, precision):
    setup = Setup(modes.shape, mesh, box, (a,), precision=precision)
    modes = modes.astype(setup.real)
    moved, momenta = start(modes, cosmology, a, box, order, dealias)
    return engine.wrapped_positions(moved, setup), momenta.T, moved.T


def _sharpened(positions, displacements, pgd, setup):
    unit = np.ones(2)  # not used with float positions
    rho = engine.density(positions, unit, setup)
    S = shift(pgd, setup.steps[0], rho, positions, unit, setup)
    sides = np.array(setup.box, setup.real)
    return engine.wrapped(positions + S, sides), displacements + S


@functools.lru_cache(maxsize=128)
def _program(function, *static):
    """function(*arrays, *static), compiled; one for each setting."""

    def run(*arrays):
        return function(*arrays, *static)

    run.__name__ = function.__name__.lstrip("_")
    return compile(run)


def _call(function, arrays, static, force=None):
    """Run at once on plain arrays, or trace where a value is traced."""
    free = callable(force) and current() is not None
    if traced(arrays) or free:
        like = next((x for x in flatten(arrays)[0] if type(x) is Var), None)
        first = map_leaves(lambda x: lift(x, like=like), arrays[0])
        _check_gradient(first, static[0])
        return function(first, *arrays[1:], *static)
    make = _program.__wrapped__ if callable(force) else _program
    program = make(function, *static)
    with barrier():
        peak = program.plan(*arrays).peak_bytes
        if peak > LARGE:
            _memory.check(peak)
        return program(*arrays)


def _check_gradient(first, setup):
    """MemoryError where a derivative that runs at once would not fit.

    Reversible: 22 numbers a particle and two meshes. Programs that are compiled first
    have a plan to look at.
    """
    x = flatten(first)[0][0]
    if isinstance(setup, Setup) and x.owner.missing([x.id]) is None:
        numbers = 22 * setup.count + 2 * int(np.prod(setup.mesh))
        need = numbers * setup.real.itemsize
        if need > LARGE:
            _memory.check(need)


# --- public ---------------------------------------------------------------------------
def _particles(arrays, setup, a, start=None):
    positions, momenta, displacements = arrays
    return Particles(
        positions=positions,
        momenta=momenta,
        displacements=displacements,
        start=start,
        box=setup.box,
        lattice=tuple(setup.lattice),
        mesh=tuple(setup.mesh),
        a=float(a),
    )


def _result(found, setup):
    last, first, end, factors = found
    if first is not None:
        first = _particles(first, setup, setup.steps[0])
    particles = _particles(last, setup, setup.steps[-1], first)
    return remember(particles, end, factors, setup)


def evolve(
    modes, cosmology, box=256.0, steps=11, mesh_factor=2, integrator="bullfrog",
    adjoint="reversible", precision="single", pgd=None, order=2, force="mesh",
    keep_start=False, *, dealias=False,
):  # fmt: skip
    """Particles evolved from white noise by a particle-mesh simulation.

    Parameters
    ----------
    modes : array (nx, ny, nz)
        White noise of unit variance per cell, see `white_noise`; even sides. One
        particle a cell.
    cosmology : Cosmology
    box : float or three floats
        Sides [Mpc/h].
    steps : int or array
        Scale factors of the stages (one step fewer); n stands for
        ``np.linspace(0.1, 1, n)``.
    mesh_factor : float
        Cells of the force mesh per particle on an axis.
    integrator : "bullfrog" or "fastpm"
        BullFrog is of second order in Lagrangian perturbation theory in every step;
        its velocity weight vanishes where D1 grows 3.2-fold in a step, which is
        refused. FastPM reproduces the Zel'dovich solution.
    adjoint : "reversible", "store", "recompute" or ("recompute", k)
        How the gradient finds the states of the run: by undoing the steps exactly,
        with memory that does not grow with their number; all kept; every k-th kept.
    precision : "single" or "double"
        32-bit fixed point with float32, or 64-bit with float64.
    pgd : PGD, optional
        Sharpening added to the final positions and displacements.
    order : 1 or 2
        Order of the Lagrangian perturbation theory at steps[0].
    force : "mesh", "linear" or callable
        Particle mesh; the Zel'dovich acceleration D1 s1(q); or a traceable function of
        positions (N, 3) that returns the acceleration (N, 3), -grad phi with
        laplacian(phi) = delta.
    keep_start : bool
        Keep the particles at steps[0] as ``start``.
    dealias : bool
        3/2 zero padding in the second-order start.

    Returns
    -------
    Particles
        At steps[-1], float32 or float64 by precision.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind, shape or range; also while running, where
        particles move too far for the fixed-point range.
    MemoryError
        If the run would not fit; says how much it needs.

    Notes
    -----
    The steps' equations are those of `gradiverse.nbody.steps`; gradients in modes,
    cosmology and pgd are those of the discrete scheme.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> modes = gv.nbody.white_noise((8, 8, 8), rng=1)
    >>> c = gv.cosmology.Cosmology(sigma8=0.8)
    >>> p = gv.nbody.evolve(modes, c, box=64.0, steps=np.linspace(0.1, 1, 11))
    >>> p.positions.shape, p.positions.dtype
    ((512, 3), dtype('float32'))
    """
    modes = check_modes(modes)
    setup = make_setup(
        modes.shape, box, steps, mesh_factor, integrator, adjoint, precision, order,
        dealias, force,
    )  # fmt: skip
    check_stepping(check_cosmology(cosmology), setup)
    found = _call(
        _from_modes,
        (modes, cosmology, check_pgd(pgd)),
        (setup, bool(keep_start)),
        setup.force,
    )
    return _result(found, setup)


def advance(
    particles, cosmology, steps, mesh_factor=None, integrator="bullfrog",
    adjoint="reversible", precision=None, pgd=None, force="mesh", keep_start=False,
):  # fmt: skip
    """Particles evolved further, from where they are.

    Parameters
    ----------
    particles : Particles
        Not sharpened ones: their momenta belong to the plain positions.
    cosmology : Cosmology
    steps : array
        Scale factors of the stages; the first is that of the particles.
    mesh_factor : float, optional
        Default: the mesh of the particles.
    precision : optional
        Default: that of the particles.
    integrator, adjoint, pgd, force, keep_start
        As for `evolve`; force "linear" is not offered, which needs the modes.

    Returns
    -------
    Particles

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind or range, or steps begin at another time.

    Examples
    --------
    >>> import gradiverse as gv
    >>> modes = gv.nbody.white_noise((8, 8, 8), rng=1)
    >>> c = gv.cosmology.Cosmology()
    >>> p = gv.nbody.lpt(modes, c, a=0.2, box=64.0)
    >>> gv.nbody.advance(p, c, [0.2, 0.3, 0.4]).a
    0.4
    """
    if not isinstance(particles, Particles):
        raise TypeError(
            f"particles must be a gv.nbody.Particles, got {type(particles).__name__}"
        )
    if force == "linear":
        raise ValueError(
            "force 'linear' is D1 s1(q) and needs the modes: gv.nbody.evolve has them"
        )
    whole = frame(particles)
    ratio = [m / n for m, n in zip(particles.mesh, particles.lattice, strict=True)]
    setup = make_setup(
        particles.lattice,
        particles.box,
        steps,
        ratio[0] if mesh_factor is None else mesh_factor,
        integrator,
        adjoint,
        whole.precision if precision is None else precision,
        force=force,
    )
    if abs(setup.steps[0] - particles.a) > 1e-9 * particles.a:
        raise ValueError(
            f"steps begin at a={setup.steps[0]:g}, the particles are at"
            f" a={particles.a:g}"
        )
    check_stepping(check_cosmology(cosmology), setup)
    found = _call(
        _from_particles,
        (particles.displacements, particles.momenta, cosmology, check_pgd(pgd)),
        (setup, bool(keep_start)),
        setup.force,
    )
    return _result(found, setup)


# --- what the methods of Particles do -------------------------------------------------
def lpt_particles(modes, cosmology, a, box, order, dealias, mesh, precision):
    """`lpt` for checked arguments."""
    check_cosmology(cosmology)
    static = (a, box, order, dealias, mesh, precision)
    found = _call(_lpt, (modes, cosmology), static)
    setup = Setup(tuple(modes.shape), mesh, box, (a,), precision=precision)
    return _particles(found, setup, a)


def reversed_particles(state, factors, setup):
    """`Particles.reverse`."""
    if traced((state, factors)):
        undone = engine.undo(state, factors, setup)
        found = _arrays(undone, setup, 1.0, setup.steps[0])
    else:
        x, p = split_fixed(state.x), split_fixed(state.p)
        found = _call(
            _undone, (x, p, state.unit, state.s1, factors), (setup,), setup.force
        )
    return _particles(found, setup, setup.steps[0])


def sharpened_particles(particles, pgd, mesh_factor):
    """`Particles.sharpened`."""
    if check_pgd(pgd) is None:
        raise TypeError("sharpened needs a gv.nbody.PGD")
    mesh = particles.mesh
    if mesh_factor is not None:
        mesh = check_mesh(particles.lattice, mesh_factor)
    positions, displacements = _call(
        _sharpened,
        (particles.positions, particles.displacements, pgd),
        (frame(particles, mesh),),
    )
    setup = frame(particles)
    return _particles((positions, particles.momenta, displacements), setup, particles.a)
