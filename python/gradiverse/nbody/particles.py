"""Particles: what runs return."""

from dataclasses import dataclass

import numpy as np

from ..graph import emit
from ..tree import flatten, register_dataclass
from ..var import Var
from .settings import Setup

__all__ = ["Particles"]


@dataclass(frozen=True)
class Particles:
    """Positions and momenta of the particles of a lattice.

    Made by `lpt`, `evolve`, `advance` and `load`. May be an argument or result of
    gradiverse's transforms; the arrays are differentiated, the rest is static.

    Attributes
    ----------
    positions : array (N, 3)
        Comoving [Mpc/h], wrapped into [0, L); particles in C order of the lattice,
        which lies half a cell of the force mesh off the mesh points.
    momenta : array (N, 3)
        p = a^2 (dx/dt)/H0 [Mpc/h]; the peculiar velocity is 100 p/a km/s.
    displacements : array (N, 3)
        From the lattice [Mpc/h]: not wrapped, without the offset, and more precise
        than positions in single precision.
    start : Particles or None
        With keep_start=True: the particles at the first stage.
    box : tuple of float
        Sides [Mpc/h].
    lattice, mesh : tuple of int
        Particles per axis, and the force mesh.
    a : float
        Scale factor.
    """

    positions: object
    momenta: object
    displacements: object
    start: object = None
    box: tuple = ()
    lattice: tuple = ()
    mesh: tuple = ()
    a: float = 1.0

    _past = None  # (State, Factors, Setup): how they came about; lost in transforms

    def __repr__(self):
        n = " x ".join(map(str, self.lattice))
        sides = " x ".join(f"{s:g}" for s in self.box)
        return f"<Particles: {n}, a={self.a:g}, box {sides} Mpc/h>"

    def reverse(self):
        """The particles evolved back to the first stage.

        Every step is undone in fixed point, so they equal the start bit for bit
        (compare with ``start``, kept with keep_start=True).

        Returns
        -------
        Particles

        Raises
        ------
        ValueError
            If the particles do not come straight from `evolve` or `advance` (a
            transform, `load` and `lpt` do not keep the fixed-point state).

        Examples
        --------
        >>> import gradiverse as gv
        >>> modes = gv.nbody.white_noise((8, 8, 8), rng=1)
        >>> c = gv.cosmology.Cosmology()
        >>> p = gv.nbody.evolve(modes, c, box=64.0, steps=4, keep_start=True,
        ...     integrator="fastpm")
        >>> bool((p.reverse().displacements == p.start.displacements).all())
        True
        """
        if self._past is None:
            raise ValueError(
                "reverse needs the fixed-point state, which only particles straight"
                " from evolve or advance have; call it on their result"
            )
        from .evolve import reversed_particles

        return reversed_particles(*self._past)

    def sharpened(self, pgd, mesh_factor=None):
        """Particles displaced by particle gradient descent, for projection.

        Parameters
        ----------
        pgd : PGD
        mesh_factor : float, optional
            Mesh cells per particle on an axis; default: the mesh of the run.

        Returns
        -------
        Particles
            With the same momenta.

        Examples
        --------
        >>> import gradiverse as gv
        >>> modes = gv.nbody.white_noise((8, 8, 8), rng=1)
        >>> p = gv.nbody.lpt(modes, gv.cosmology.Cosmology(), a=1.0, box=16.0)
        >>> q = p.sharpened(gv.nbody.PGD(alpha0=0.01, mu=-2.0, kl=0.5, ks=3.0))
        >>> bool(abs(q.displacements - p.displacements).max() > 0)
        True
        """
        from .evolve import sharpened_particles

        return sharpened_particles(self, pgd, mesh_factor)


register_dataclass(Particles, static=("box", "lattice", "mesh", "a"))


def remember(particles, state, factors, setup):
    """Attach how the particles came about."""
    object.__setattr__(particles, "_past", (state, factors, setup))
    return particles


def traced(nest):
    """True when a traced value is among the leaves."""
    return any(type(x) is Var for x in flatten(nest)[0])


def split_fixed(q):
    """Integers as two floats whose sum they are, both exact: (high, low)."""
    half = 4 * q.dtype.itemsize
    real = np.float32 if half == 16 else np.float64
    high = q >> half
    low = q - (high << half)
    return high.astype(real), low.astype(real)


def join_fixed(high, low):
    """Fixed point, traced, from what `split_fixed` made."""
    wide = 2.0 ** (16 if high.dtype == np.float32 else 32)
    one = np.ones(3)
    scale = np.asarray(wide, high.dtype)
    return emit("fixed_pack", (high * scale, one)) + emit("fixed_pack", (low, one))


def frame(particles, mesh=None):
    """A `Setup` with the geometry of particles."""
    double = particles.positions.dtype == np.float64
    return Setup(
        lattice=particles.lattice,
        mesh=particles.mesh if mesh is None else mesh,
        box=particles.box,
        steps=(particles.a,),
        precision="double" if double else "single",
    )
