"""Intrinsic alignments, the non-linear alignment model (NLA).

Galaxies with distribution n(chi) add to the convergence

    kappa_IA = int dchi n(chi) F(z) delta(theta chi, chi),
    F = -A_IA (C1 rho_cr Omega_m / D(z)) ((1+z)/(1+z0))^eta,      D(0) = 1,

which is turned into shear like kappa itself and added to it. The field is exactly
proportional to A_IA, so it is made once for A_IA = 1 (`Lightcone.alignment`).
"""

import numpy as np

from ._sources import HUBBLE_DISTANCE, Distribution

__all__ = ["nla_amplitude"]

C1_RHO_CR = 0.0134


def nla_amplitude(c, z, A_IA=1.0, eta=0.0, z0=0.62, C1rho_cr=C1_RHO_CR):
    """F(z) of the NLA model: intrinsic convergence over density contrast.

    Parameters
    ----------
    c : Cosmology
    z : array_like
        Redshifts.
    A_IA : float
        Amplitude; positive values align galaxies with the tidal field.
    eta : float
        Power of (1+z)/(1+z0).
    z0 : float
        Pivot redshift.
    C1rho_cr : float
        Normalisation C1 times the critical density today. 0.0134 is the value of most
        papers; 5e-14 Mpc^3/(M_sun h^2) times 2.775e11 is 0.0139.

    Returns
    -------
    array of z's shape
        Negative for A_IA > 0, dimensionless.

    Notes
    -----
    Bridle & King (2007); Joachimi et al. (2011) for eta.

    Examples
    --------
    >>> import gradiverse as gv
    >>> c = gv.cosmology.Cosmology(Omega_m=0.3)
    >>> round(float(gv.lensing.nla_amplitude(c, 0.0)), 6)
    -0.00402
    """
    z = np.asarray(z, dtype=np.float64) if not hasattr(z, "owner") else z
    growth = c.growth(1.0 / (1.0 + z))
    power = np.exp(eta * np.log((1.0 + z) / (1.0 + z0)))
    return -A_IA * (C1rho_cr * c.Omega_m / growth) * power


def kernel(c, source, chi, z, eta, z0, C1rho_cr):
    """n(chi) F(z)/chi for A_IA = 1 at the nodes of a table [h^2/Mpc^2]."""
    if not isinstance(source, Distribution):
        raise ValueError(
            f"alignments of sources at {source}: the model needs a distribution of"
            " finite width; give nz=(z, n)"
        )
    density = source.density(z) * c.E(1.0 / (1.0 + z)) / HUBBLE_DISTANCE
    f = nla_amplitude(c, z, 1.0, eta, z0, C1rho_cr)
    return density * f / np.maximum(chi, chi[1])
