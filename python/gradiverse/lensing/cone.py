"""Convergence maps from a particle-mesh light cone, painted while it runs.

At every step the particles of a slice of distances, in as many turned and shifted
copies of the box as the slice meets, are drifted to the moment at which their light
left and painted on the sky (operator cone_paint):

    kappa(pix) = 1.5 Om (H0/c)^2 sum_i W_pix q(d_i) (1+z_i) / (n A_pix d_i) - uniform,

n the density of particles, A_pix the solid angle of a pixel, q the lensing efficiency.
Subtracted is the convergence of a universe without structure, not the map's mean. The
flat sky is centred on the line of sight, space is flat.
"""

import math
from dataclasses import replace

import numpy as np

from .. import _memory
from ..compile import compile as _compile
from ..graph import barrier, emit, is_traced, lift
from ..nbody import engine
from ..nbody.evolve import check_cosmology
from ..nbody.pgd import check_pgd, extra_of
from ..nbody.settings import check_modes, grid, make_setup
from ..nbody.steps import factors as factors_of
from ..tree import flatten
from ..var import Var
from . import _geometry as geometry
from . import alignment as nla
from ._setup import (
    cast,
    check_geometry,
    known_values,
    number,
    seed_of,
    whole_shape,
)
from ._sources import Distribution, Plane, many, prefactor
from .rays import pixel_size, raytrace
from .shear import shear_from_convergence

__all__ = ["Lightcone"]

MOST_BENT = 4.001  # largest a_1/a_0 of a step whose path is curved; poles from 5 on


class Lightcone:
    """Maps of weak lensing from white noise and a cosmology.

    Parameters
    ----------
    box : float or three floats
        Sides of the periodic box [Mpc/h].
    shape : (int, int, int)
        Particles, and white noise values, per axis; even.
    steps : int or array
        Scale factors of the stages; n stands for ``np.linspace(0.1, 1, n)``.
    sources : sequence of float, optional
        Source redshifts, one map each. [1.0] where neither this nor nz is given.
    nz : (z, n) or list of such pairs, optional
        Source distributions, tables taken as piecewise linear, one map each after
        those of `sources`.
    field_of_view : float or (float, float)
        Degrees along x (the last axis), or along (y, x); pixels are square.
    map_shape : (int, int)
        Pixels (ny, nx).
    mesh_factor, integrator, adjoint, precision, pgd, order, force, dealias
        As for `gradiverse.nbody.evolve`; pgd displaces particles for projection only.
    rng : seed or Generator
        Which way the copies of the box are turned and shifted: one of the symmetries
        of the box (48 for a cube) and a random origin for each copy along the line of
        sight. None: the box as it is.
    curved : bool
        Let BullFrog's particles follow the force between the stages (mesh force, steps
        of less than fourfold growth); False: straight lines from the centre of a step,
        which cost less and blur haloes where steps are long.

    Raises
    ------
    TypeError, ValueError
        For settings that make no sense. A source beyond the first stage, or a map that
        leaves the box, is reported as soon as the cosmology is known.

    Notes
    -----
    White noise and cosmology may be traced: `gv.grad`, `gv.vjp` and `gv.jvp` work
    through the whole light cone. Particles belong to slices by their undisplaced
    positions; edges of slices carry no gradient. Curved space is not offered:
    ``Omega_k`` must be 0.

    Examples
    --------
    >>> import gradiverse as gv
    >>> c = gv.cosmology.Cosmology(Omega_m=0.3089, sigma8=0.8159)
    >>> cone = gv.lensing.Lightcone(box=64.0, shape=(16, 16, 16), steps=6,
    ...     sources=[0.5, 1.0], field_of_view=1.0, map_shape=(16, 24), rng=0)
    >>> kappa = cone(gv.nbody.white_noise((16, 16, 16), rng=1), c)
    >>> kappa.shape, kappa.dtype
    ((2, 16, 24), dtype('float32'))
    >>> cone.passes(c)
    array([22, 38])
    """

    def __init__(
        self, box=256.0, shape=(128, 128, 128), steps=11, sources=None, nz=None,
        field_of_view=5.0, map_shape=(1024, 1024), mesh_factor=2,
        integrator="bullfrog", adjoint="reversible", precision="single", pgd=None,
        order=2, force="mesh", rng=0, *, dealias=False, curved=True,
    ):  # fmt: skip
        shape = whole_shape(shape, 3, "shape")
        if any(n % 2 for n in shape):
            raise ValueError(f"shape {shape}: every side must be even")
        self.setup = make_setup(
            shape, box, steps, mesh_factor, integrator, adjoint,
            precision, order, dealias, force,
        )  # fmt: skip
        self.map_shape = whole_shape(map_shape, 2, "map_shape")
        self.field_of_view = field_of_view
        self.pixel = pixel_size(field_of_view, self.map_shape)
        if sources is None and nz is None:
            sources = [1.0]
        self.sources = many(sources, nz)
        self.pgd = check_pgd(pgd)
        self.seed = seed_of(rng)
        self.curved = bool(curved)
        self.setup = replace(self.setup, shared=self._bent)
        self._density = self.setup.count / math.prod(self.setup.box)
        self._programs = {}
        if self.setup.steps[-1] > 1 + 1e-12:
            raise ValueError(
                f"steps end at a={self.setup.steps[-1]:g}; a light cone ends today, a=1"
            )
        first = 1.0 / self.setup.steps[0] - 1.0
        for s in self.sources:
            if not is_traced(s.z_max) and s.z_max > first * (1 + 1e-12):
                raise ValueError(
                    f"source at z={s.z_max:g} lies beyond the light cone, which starts"
                    f" at a={self.setup.steps[0]:g}, z={first:g}; start earlier"
                )

    def __repr__(self):
        s = self.setup
        return (
            f"<Lightcone of {'x'.join(map(str, s.lattice))} particles in"
            f" {'x'.join(f'{x:g}' for x in s.box)} Mpc/h, {s.n_steps} steps of"
            f" {s.integrator}; {len(self.sources)} maps of"
            f" {'x'.join(map(str, self.map_shape))} pixels; sources"
            f" {', '.join(map(repr, self.sources))}>"
        )

    # --- maps -------------------------------------------------------------------------
    def __call__(self, modes, cosmology):
        """Convergence maps.

        Parameters
        ----------
        modes : array (nx, ny, nz)
            White noise of unit variance, see `gradiverse.nbody.white_noise`.
        cosmology : Cosmology

        Returns
        -------
        array (n_sources, ny, nx)
            float32 or float64 by precision; the uniform part is subtracted.

        Raises
        ------
        ValueError
            If shapes differ, the map leaves the box, a source lies beyond the first
            stage, space is curved; also while running, where particles move too far.
        MemoryError
            If the run would not fit; says how much it needs.
        """
        return self._run("kappa", modes, cosmology)

    def planes(self, modes, cosmology, n_planes=16):
        """Lens planes for `raytrace`, up to the last source.

        Parameters
        ----------
        modes, cosmology
            As for a call.
        n_planes : int
            Slices of equal comoving thickness; one map's memory each.

        Returns
        -------
        sigma : array (n_planes, ny, nx)
            1.5 Om (H0/c)^2 dchi chi_l delta_l/a_l, near to far.
        chi : array (n_planes,)
            Distances of the planes' middles [Mpc/h].
        chi_source : float
            [Mpc/h]
        """
        if isinstance(n_planes, bool) or int(n_planes) != n_planes or n_planes < 1:
            raise ValueError(f"n_planes {n_planes!r} must be a whole number, 1 or more")
        if not isinstance(self.sources[-1], Plane):
            raise ValueError(
                "ray tracing ends at one source plane; give sources=[z], without nz"
            )
        return self._run("planes", modes, cosmology, int(n_planes))

    def raytrace(self, modes, cosmology, n_planes=16, padding=0.0):
        """Convergence, shear and rotation along deflected rays, for the last source.

        Returns
        -------
        Rays
            See `gradiverse.lensing.raytrace`.
        """
        sigma, chi, far = self.planes(modes, cosmology, n_planes)
        return raytrace(sigma, chi, far, self._field(), padding)

    def shear(self, modes, cosmology, padding=0.0):
        """(gamma1, gamma2), (n_sources, ny, nx) each, by Fourier transform of kappa.

        The map is taken as periodic unless there is padding; near its edges shear
        depends on matter outside.
        """
        return shear_from_convergence(self(modes, cosmology), padding)

    def alignment(
        self, modes, cosmology, A_IA=1.0, eta=0.0, z0=0.62, C1rho_cr=nla.C1_RHO_CR
    ):
        """Intrinsic convergence of the NLA model, one map for each n(z).

        Parameters
        ----------
        modes, cosmology
            As for a call.
        A_IA, eta, z0, C1rho_cr
            See `nla_amplitude`. The map is A_IA times that of A_IA = 1.

        Returns
        -------
        array (n_distributions, ny, nx)
            To be added to kappa; its shear adds to the shear.

        Raises
        ------
        ValueError
            If there is no n(z).
        """
        if not any(isinstance(s, Distribution) for s in self.sources):
            raise ValueError(
                "alignments need sources spread over redshift; give nz=(z, n)"
            )
        options = (eta, z0, C1rho_cr)
        unit = self._run("alignment", modes, cosmology, *map(number, options))
        return cast(A_IA, self.setup.real) * unit

    # --- what the maps are made of ----------------------------------------------------
    def uniform(self, cosmology):
        """Convergence of a universe without structure, which maps do not contain.

        Returns
        -------
        array (n_sources,)
            The integral over the painted distances.
        """
        c = self._checked(cosmology)
        return np.stack([self._uniform(c, s) for s in self.sources])

    def shot_noise(self, cosmology):
        """C_l of the particles' Poisson noise, the same for all l [sr], (n_sources,).

        The pixel window multiplies it in a map, as it does the signal.
        """
        c = self._checked(cosmology)
        ends = self.setup.steps[0], self.setup.steps[-1]
        return np.stack(
            [geometry.noise(c, s, self._density, *ends) for s in self.sources]
        )

    def passes(self, cosmology):
        """Copies of the box that all slices meet, (n_sources,) int64.

        A step needs floor(hi/L) - floor(lo/L) + 1 of them, L the side along the line
        of sight, lo = chi(a_1), hi = min(chi(a_0), chi_s); none if it lies beyond.
        """
        c = self._checked(cosmology)
        reach = geometry.reaches(c, self.sources)
        return geometry.passes(c, reach, self.setup.steps, self.setup.box[2])

    def settings(self):
        """All settings as plain values, for files."""
        s = self.setup
        return {
            "box": list(s.box),
            "shape": list(s.lattice),
            "mesh": list(s.mesh),
            "steps": list(s.steps),
            "sources": [
                {"z": x.table.tolist(), "n": np.asarray(x.n).tolist()}
                if isinstance(x, Distribution)
                else float(x.z)
                for x in self.sources
            ],
            "field_of_view": self._field(),
            "map_shape": list(self.map_shape),
            "integrator": s.integrator,
            "adjoint": str(s.policy),
            "precision": s.precision,
            "pgd": None
            if self.pgd is None
            else {k: float(v) for k, v in vars(self.pgd).items()},
            "order": s.order,
            "dealias": s.dealias,
            "force": s.force if isinstance(s.force, str) else repr(s.force),
            "curved": self.curved,
            "replica_seed": self.seed,
        }

    def plan(self, modes, cosmology):
        """The planned program of a call: ``peak_bytes``, ``ops`` (see `gv.compile`)."""
        modes = self._modes(modes)
        with barrier():
            return self._program("kappa").plan(modes, self._checked(cosmology))

    # --- running ----------------------------------------------------------------------
    def _field(self):
        return math.degrees(self.pixel * self.map_shape[1])

    def _uniform(self, c, source):
        return geometry.uniform(c, source, self.setup.steps[0], self.setup.steps[-1])

    def _modes(self, modes):
        modes = check_modes(modes)
        if tuple(modes.shape) != self.setup.lattice:
            raise ValueError(
                f"modes have the shape {tuple(modes.shape)}, this light cone is made"
                f" for {self.setup.lattice}"
            )
        return modes

    def _program(self, kind):
        if kind not in self._programs:
            made = getattr(self, f"_{kind}")

            def traced(modes, cosmology, *rest):
                return made(lift(modes), cosmology, *rest)

            traced.__name__ = f"lightcone_{kind}"
            self._programs[kind] = _compile(traced)
        return self._programs[kind]

    def _run(self, kind, modes, cosmology, *rest):
        modes, c = self._modes(modes), self._checked(cosmology)
        own = (self.pgd, [s.n for s in self.sources if isinstance(s, Distribution)])
        leaves = flatten((modes, c, rest, own))[0]
        like = next((x for x in leaves if type(x) is Var), None)
        if like is not None:
            return getattr(self, f"_{kind}")(lift(modes, like=like), c, *rest)
        program = self._program(kind)
        with barrier():
            _memory.check(program.plan(modes, c, *rest).peak_bytes, "the light cone")
            return program(modes, c, *rest)

    def _checked(self, c):
        """The cosmology, checked against the geometry where its values are known."""
        known = known_values(check_cosmology(c))
        if known is not None:
            reach = geometry.reaches(known, self.sources)
            check_geometry(known, reach, self.setup.box, self.map_shape, self.pixel)
        return c

    def _paint(self, modes, c, rows, reach):
        """Maps (S, ny, nx) of weights rows(chi, z), uniform part included."""
        setup = self.setup
        factors = factors_of(c, setup.steps, setup.integrator)
        state = engine.begin(modes, c, factors, setup)
        table = geometry.tables(c, rows, reach)
        width = self.pixel * self.map_shape[1]
        attrs = {
            **grid(setup),
            "fy": width * self.map_shape[0] / self.map_shape[1],
            "fx": width,
            "seed": self.seed,
        }

        def hook(kappa, x, p, extra, unit, step, parts, half):
            path, bend = parts[half]
            if bend is not None:
                p, extra = self._curved(x, p, extra, unit, bend)
            ins = (kappa, x, p, extra, unit, path, table.time, table.lens, table.reach)
            return emit("cone_paint", ins, **attrs)

        extra = None if self.pgd is None else extra_of(self.pgd, setup)
        start = np.zeros((table.lens.shape[0], *self.map_shape), setup.real)
        parts = geometry.slices(c, setup, factors, table, self._bent)
        cone = engine.Cone(start, parts, hook, extra)
        return engine.integrate(state, factors, setup, cone)[1]

    @property
    def _bent(self):
        """Whether particles follow the force within a step (`_geometry.curved`)."""
        steps = np.array(self.setup.steps)
        return (
            self.curved
            and self.setup.integrator == "bullfrog"
            and self.setup.force == "mesh"
            and np.max(steps[1:] / steps[:-1]) < MOST_BENT
        )

    def _curved(self, x, p, extra, unit, bend):
        """Momentum and displacement with their parts of the acceleration.

        A is that of the kick: the two are one value of the graph.
        """
        setup = self.setup
        A = engine.acceleration(x, unit, setup)
        e, s = (bend[i].astype(setup.real) for i in (0, 1))
        p = p + emit("fixed_pack", (e * A, unit[1] * np.ones(3)))
        return p, (s * A if self.pgd is None else extra + s * A)

    def _level(self, painted, level):
        """Painted maps without the level of a universe without structure."""
        return painted - cast(np.stack(level), self.setup.real)[:, None, None]

    @property
    def _per_pixel(self):
        """Particles per volume, times the solid angle of a pixel."""
        return self._density * self.pixel**2

    def _kappa(self, modes, c):
        rows = geometry.convergence_rows(c, self.sources, self._per_pixel)
        painted = self._paint(modes, c, rows, geometry.reaches(c, self.sources))
        return self._level(painted, [self._uniform(c, s) for s in self.sources])

    def _planes(self, modes, c, n_planes):
        far = geometry.reaches(c, self.sources[-1:])[0]
        edge = far * np.linspace(0.0, 1.0, n_planes + 1)

        def rows(chi, z):
            row = prefactor(c) * (1.0 + z) / self._per_pixel
            return np.broadcast_to(row, (n_planes, len(chi)))

        # each map reaches from the observer to the far edge of its plane
        painted = self._paint(modes, c, rows, edge[1:])
        near = painted[:-1]
        sigma = np.concatenate([painted[:1], painted[1:] - near])
        level = geometry.plane_levels(c, edge, self.setup.steps)
        middle = 0.5 * (edge[1:] + edge[:-1])
        return self._level(sigma, level), middle, far

    def _alignment(self, modes, c, eta, z0, C1rho_cr):
        spread = [s for s in self.sources if isinstance(s, Distribution)]

        def rows(chi, z):
            made = [nla.kernel(c, s, chi, z, eta, z0, C1rho_cr) for s in spread]
            return np.stack(made) / self._per_pixel

        def f(z):
            return nla.nla_amplitude(c, z, 1.0, eta, z0, C1rho_cr)

        ends = self.setup.steps[0], self.setup.steps[-1]
        painted = self._paint(modes, c, rows, geometry.reaches(c, spread))
        return self._level(
            painted, [geometry.alignment_level(c, s, f, *ends) for s in spread]
        )
