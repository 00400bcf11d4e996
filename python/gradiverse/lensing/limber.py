"""Angular power spectrum of convergence in the Limber approximation.

    C_l = (1.5 Omega_m)^2 (H0/c)^4 int dchi q^2(chi) (1+z)^2 P(k, z),
    k = (l + shift) / f_K(chi),

with q the lensing efficiency of the sources (f_K(chi_s - chi)/f_K(chi_s) for a plane).
Nodes are fixed in redshift, so that the integral is smooth in the cosmology.
"""

import numpy as np

from ..graph import is_traced
from ._sources import HUBBLE_DISTANCE, as_source, prefactor

_U, _W = np.polynomial.legendre.leggauss(128)  # to about 1e-6 of C_l
_U, _W = 0.5 * (_U + 1), 0.5 * _W


def limber_cl(
    c, ell, z_source=None, nonlinear=True, ell_shift=0.0, *, nz=None, full_sky=False
):
    """Angular power spectrum of convergence, Limber approximation.

    Parameters
    ----------
    c : Cosmology
        Traced or plain; the result is differentiable in every parameter.
    ell : array_like
        Multipoles, positive, any shape.
    z_source : float, optional
        One source redshift; 1 where neither this nor nz is given.
    nonlinear : bool
        Halofit, or the linear power spectrum.
    ell_shift : float
        k = (ell + ell_shift)/f_K(chi); 0.5 is the second-order choice, 0 the flat sky.
    nz : (z, n), optional
        Distribution of the sources: a table taken as piecewise linear, of any scale.
    full_sky : bool
        Multiply by (l+2)(l+1)l(l-1)/(l+1/2)^4, the E mode of shear on the sphere.

    Returns
    -------
    array of ell's shape
        C_l, dimensionless (steradian).

    Raises
    ------
    ValueError
        For multipoles or redshifts that are not positive, or a bad table.

    Notes
    -----
    Kaiser (1992); Kilbinger et al. (2017) for ell_shift and full_sky.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> c = gv.cosmology.Cosmology(Omega_m=0.3089, sigma8=0.8159)
    >>> C = gv.lensing.limber_cl(c, np.array([100.0, 1000.0]), nonlinear=False)
    >>> print(np.round(C / [7.5682e-9, 9.4890e-11], 3))
    [1. 1.]
    """
    if nz is not None and z_source is not None:
        raise ValueError("limber_cl: give z_source or nz, not both")
    source = as_source(1.0 if z_source is None else z_source, nz)
    ell = ell if is_traced(ell) else np.asarray(ell, dtype=np.float64)
    flat = np.reshape(ell, (-1, 1))
    if not is_traced(ell, ell_shift):
        bad = ~(np.isfinite(flat + ell_shift) & (flat + ell_shift > 0))
        if bad.any():
            raise ValueError(
                f"limber_cl: ell {flat[bad][0]} with ell_shift {ell_shift} is not a"
                " positive number"
            )
    z, transverse, kernel = _lens(c, source)
    k = (flat + ell_shift) / transverse
    power = c.halofit_power if nonlinear else c.linear_power
    out = np.sum(kernel * power(k, z), axis=-1)
    if full_sky:
        x = flat[:, 0]
        out = out * (x + 2) * (x + 1) * x * (x - 1) / (x + 0.5) ** 4
    out = np.reshape(out, np.shape(ell))
    return out[()] if isinstance(out, np.ndarray) else out


def shot_noise_cl(c, density, z_source=None, nz=None, z_min=0.0):
    """Convergence spectrum of matter made of Poisson points, the same for every ell.

    Parameters
    ----------
    c : Cosmology
    density : float
        Points per volume [(h/Mpc)^3].
    z_source, nz
        As for `limber_cl`.
    z_min : float
        Where the matter begins.

    Returns
    -------
    float
        The Limber integral with P = 1/density.

    Examples
    --------
    >>> import gradiverse as gv
    >>> c = gv.cosmology.Cosmology(Omega_m=0.3089)
    >>> print(f"{float(gv.lensing.shot_noise_cl(c, 1.0, z_source=1.0)):.3e}")
    3.044e-12
    """
    source = as_source(1.0 if z_source is None and nz is None else z_source, nz)
    _, _, kernel = _lens(c, source, z_min)
    return np.sum(kernel) / density


def _lens(c, source, z_min=0.0):
    """(z, f_K, weight of P in the integral) at the nodes."""
    z = z_min + (source.z_max - z_min) * _U
    chi = c.comoving_distance(z)
    transverse = c.transverse_distance(z)
    q = source.efficiency(c, chi, transverse)
    step = HUBBLE_DISTANCE * (source.z_max - z_min) * _W / c.E(1.0 / (1.0 + z))
    return z, transverse, step * (prefactor(c) * q * (1.0 + z)) ** 2
