"""Convergence on the whole sphere, for HEALPix maps (optional package healpy).

The box is repeated in all directions, unturned, around an observer at its centre, so
that structure is continuous; a direction along an axis sees it again after every side.
In each step the images whose undisplaced distance lies in the slice are drifted to the
moment at which their light left and added to the pixel they fall in:

    kappa(pix) = 1.5 Om (H0/c)^2 sum_i q(d_i) (1+z_i) / (n Omega_pix d_i) - uniform.

Maps are made by NumPy from the particles of the running simulation and carry no
gradient; `Lightcone` has the flat, differentiable ones.
"""

from itertools import product

import numpy as np

from ..compile import compile as _compile
from ..custom import external
from ..graph import emit, lift
from ..nbody import engine
from ..nbody.evolve import check_cosmology
from ..nbody.settings import check_modes, make_setup
from ..nbody.steps import factors as factors_of
from . import _geometry as geometry
from ._sources import many

__all__ = ["kappa_sphere"]

INSTALL = "pip install gradiverse[healpix]"


def _healpy():
    try:
        import healpy
    except ImportError:
        raise ImportError(
            f"HEALPix maps need the package healpy: {INSTALL} (or pip install healpy)"
        ) from None
    return healpy


class _Painter:
    """Adds one slice to maps (S, npix); called by the running program."""

    def __init__(self, healpy, nside, setup):
        self.healpy, self.nside = healpy, nside
        self.box = np.array(setup.box)
        axes = [
            (np.arange(n) / n + 0.5 / m) * side - side / 2
            for n, m, side in zip(setup.lattice, setup.mesh, setup.box, strict=True)
        ]
        grid = np.meshgrid(*axes, indexing="ij")
        self.q = np.stack([x.reshape(-1) for x in grid])

    def copies(self, lo, hi):
        """Whole-box offsets whose copies may meet the shell [lo, hi)."""
        reach = [int(np.ceil(hi / side + 0.5)) for side in self.box]
        for cell in product(*(range(-r, r + 1) for r in reach)):
            at = np.array(cell) * self.box
            near = np.maximum(np.abs(at) - self.box / 2, 0)
            far = np.abs(at) + self.box / 2
            if near @ near < hi * hi and far @ far >= lo * lo:
                yield at

    def __call__(self, kappa, displaced, momenta, path, time, lens, reach):
        kappa = kappa.copy()
        rate, centre, lo, hi, h = path
        if not hi > lo:
            return kappa
        nodes = h * np.arange(len(time))
        for at in self.copies(lo, hi):
            q = self.q + at[:, None]
            d_q = np.sqrt((q * q).sum(axis=0))
            use = np.flatnonzero((d_q >= lo) & (d_q < hi))
            drift = rate * (np.interp(d_q[use], nodes, time) - centre)
            x = q[:, use] + displaced[:, use] + drift * momenta[:, use]
            d = np.sqrt((x * x).sum(axis=0))
            pixel = self.healpy.vec2pix(self.nside, *x)
            for s, far in enumerate(reach):
                w = np.where(d < far, np.interp(d, nodes, lens[s]), 0.0)
                w = w / np.maximum(d, 1e-6 * h)
                kappa[s] += np.bincount(pixel, w, kappa.shape[1])
        return kappa


def kappa_sphere(
    modes, cosmology, nside, box=256.0, sources=None, nz=None, steps=11,
    mesh_factor=2, integrator="bullfrog", precision="single", order=2, force="mesh",
):  # fmt: skip
    """Full-sky convergence maps in HEALPix pixels, ring ordering.

    Parameters
    ----------
    modes : array (nx, ny, nz)
        White noise of unit variance.
    cosmology : Cosmology
        Flat.
    nside : int
        Resolution of HEALPix; 12 nside^2 pixels.
    box : float or three floats
        [Mpc/h]; the time taken grows with the number of copies, (2 chi_s/box)^3.
    sources, nz
        As for `Lightcone`.
    steps, mesh_factor, integrator, precision, order, force
        As for `gradiverse.nbody.evolve`.

    Returns
    -------
    array (n_sources, 12 nside^2)
        float64; the uniform part is subtracted.

    Raises
    ------
    ImportError
        Without healpy.
    ValueError
        For bad settings or a source beyond the first stage.
    """
    healpy = _healpy()
    if not healpy.isnsideok(nside, nest=True):
        raise ValueError(f"nside {nside!r} must be a power of two")
    modes, c = check_modes(modes), check_cosmology(cosmology)
    if float(c.Omega_k) != 0.0:
        raise ValueError(f"Omega_k={float(c.Omega_k):g}: spheres are for flat space")
    setup = make_setup(
        modes.shape, box, steps, mesh_factor, integrator, "store", precision, order,
        force=force,
    )  # fmt: skip
    if sources is None and nz is None:
        sources = [1.0]
    found = many(sources, nz)
    first, last = setup.steps[0], setup.steps[-1]
    for s in found:
        if s.z_max > 1 / first - 1:
            raise ValueError(
                f"source at z={s.z_max:g} lies beyond the light cone, which starts at"
                f" a={first:g}"
            )
    pixels = 12 * nside * nside
    density = setup.count / np.prod(setup.box)
    rows = geometry.convergence_rows(c, found, density * 4 * np.pi / pixels)
    table = geometry.tables(c, rows, geometry.reaches(c, found))
    painter = external(_Painter(healpy, nside, setup))

    def hook(kappa, x, p, extra, unit, step, parts, half):
        displaced = emit("fixed_unpack", (x, unit[0] * setup.cell))
        momenta = emit("fixed_unpack", (p, unit[1] * np.ones(3)))
        return painter(
            kappa,
            displaced,
            momenta,
            parts[half].path,
            table.time,
            table.lens,
            table.reach,
        )

    def run(modes):
        factors = factors_of(c, setup.steps, setup.integrator)
        state = engine.begin(lift(modes), c, factors, setup)
        parts = geometry.slices(c, setup, factors, table)
        cone = engine.Cone(np.zeros((len(found), pixels)), parts, hook)
        return engine.integrate(state, factors, setup, cone)[1]

    painted = _compile(run)(modes)
    level = [float(geometry.uniform(c, s, first, last)) for s in found]
    return painted - np.array(level)[:, None]
