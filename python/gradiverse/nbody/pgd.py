"""Particle gradient descent (PGD): small displacements that sharpen haloes.

A displacement along a band-passed copy of the acceleration (Dai, Feng & Seljak 2018),
    S(k) = alpha i k exp(-(kl/k)^2) exp(-(k/ks)^4) delta/k^2,   alpha = alpha0 a^mu,
is added to positions for projection only; the dynamics stay as they are, so they can
be undone. delta is painted on the force mesh, S made by one spectral pass and the
4-point stencil and read at the particles like the force itself.
"""

from dataclasses import dataclass

import numpy as np

from ..graph import emit
from ..tree import register_dataclass
from ..var import Var
from .engine import convolved
from .lpt import radial
from .settings import grid, number

__all__ = ["PGD", "PUBLISHED", "extra_of", "shift"]

#: (mesh factor, spacing [Mpc/h], stages) -> alpha0, mu, kl, ks [h/Mpc]
PUBLISHED = {
    (2, 1.0, 40): (0.002696244, -1.659049, 1.747188, 12.49952),
    (1, 1.0, 15): (0.00326087, -2.39052, 0.2488, 12.3168),
    (2, 1.0, 15): (0.00213304505, -2.36156862, 0.22067021, 4.08746202),
    (1, 1.0, 20): (0.002419, -2.46117, 0.2488, 12.3994),
    (2, 2.0, 11): (0.01298855, -2.59606026, 0.62717527, 1.61288947),
    (2, 1.0, 11): (0.00302657, -2.30719, 0.358152, 6.453695),
}


@register_dataclass
@dataclass(frozen=True)
class PGD:
    """Parameters of the sharpening; all four can be differentiated.

    Parameters
    ----------
    alpha0 : float
        Strength at a = 1, dimensionless; 0 does nothing.
    mu : float
        Power of the scale factor: alpha = alpha0 a^mu.
    kl, ks : float
        Low and high cut-off of the band, in h/Mpc (not per mesh cell). 0 <= kl, 0 < ks.

    Raises
    ------
    TypeError, ValueError
        If a parameter is not a finite number in its range.

    Examples
    --------
    >>> import gradiverse as gv
    >>> gv.nbody.PGD(alpha0=0.003, mu=-2.3, kl=0.36, ks=6.5).mu
    -2.3
    """

    alpha0: float
    mu: float
    kl: float
    ks: float

    def __post_init__(self):
        for name in ("alpha0", "mu", "kl", "ks"):
            value = getattr(self, name)
            if isinstance(value, Var):
                continue
            value = number(value, f"PGD {name}")
            if (name == "kl" and value < 0) or (name == "ks" and value <= 0):
                raise ValueError(
                    f"PGD {name}={value:g} must be {'>= 0' if name == 'kl' else '> 0'},"
                    " in h/Mpc"
                )
            object.__setattr__(self, name, value)

    @classmethod
    def published(cls, mesh_factor, spacing, stages):
        """Values printed for MADLens (Boehm et al. 2021).

        They were fitted with particles on the mesh points; here the lattice lies half
        a mesh cell off, so fit anew (`fit_pgd`, ``gradiverse fit-pgd``) for percent
        accuracy.

        Parameters
        ----------
        mesh_factor : int
        spacing : float
            Particle spacing [Mpc/h].
        stages : int

        Raises
        ------
        ValueError
            If none are printed for this combination; lists those that are.

        Examples
        --------
        >>> import gradiverse as gv
        >>> gv.nbody.PGD.published(2, 1.0, 11).ks
        6.453695
        """
        found = PUBLISHED.get((mesh_factor, float(spacing), stages))
        if found is None:
            raise ValueError(
                f"no values are published for mesh_factor={mesh_factor}, spacing="
                f"{spacing} Mpc/h, {stages} stages; there are"
                f" {', '.join(map(str, PUBLISHED))}, and gv.nbody.fit_pgd fits others"
            )
        return cls(*found)

    def band(self, k):
        """exp(-(kl/k)^2) exp(-(k/ks)^4) for wavenumbers k [h/Mpc]."""
        low, high = self.kl / k, np.square(k / self.ks)
        return np.exp(-np.square(low) - np.square(high))

    def strength(self, a):
        """alpha0 a^mu."""
        return self.alpha0 * np.exp(self.mu * np.log(a))


def check_pgd(pgd):
    """pgd itself; TypeError unless it is a `PGD` or None."""
    if pgd is not None and not isinstance(pgd, PGD):
        raise TypeError(
            f"pgd must be a gv.nbody.PGD or None, got {type(pgd).__name__}; for example"
            " gv.nbody.PGD(alpha0=0.003, mu=-2.3, kl=0.36, ks=6.5)"
        )
    return pgd


def shift(pgd, a, rho, x, unit, setup, band=None):
    """The displacements S at the particles, in the layout of x [Mpc/h].

    Parameters
    ----------
    pgd : PGD
    a : scalar
        Scale factor of the positions.
    rho : array (X, Y, Z)
        Density of the same particles on the force mesh.
    x : fixed point (3, N), or positions (N, 3)
    unit : float64 (2,)
    setup : Setup
    band : array, optional
        ``pgd.band`` on the nodes of the mesh, computed before.
    """
    nodes = radial(setup.mesh, setup.box)
    if band is None:
        band = pgd.band(nodes.k)
    psi = convolved(rho, setup, pgd.strength(a) * band, nodes)
    return emit("pm_force", (psi, x, unit), **grid(setup))


def extra_of(pgd, setup):
    """`engine.Cone.extra` for this sharpening."""
    band = pgd.band(radial(setup.mesh, setup.box).k)

    def extra(rho, x, unit, step):
        return shift(pgd, step.a_centre, rho, x, unit, setup, band)

    return extra
