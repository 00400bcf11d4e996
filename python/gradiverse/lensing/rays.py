"""Multi-plane ray tracing: deflected light rays through planes of projected matter.

Plane l at distance chi_l has convergence sigma_l and potential psi_l with
laplacian(psi_l) = 2 sigma_l (derivatives in angle). With chi_0 = 0, rays at beta_0 =
beta_1 = theta and Jacobians M_0 = M_1 = 1,

    beta_{l+1} = (1-g) beta_{l-1} + g beta_l - r grad psi_l(beta_l),
    M_{l+1}    = (1-g) M_{l-1} + g M_l - r (grad grad psi_l)(beta_l) M_l,
    r = (chi_{l+1} - chi_l)/chi_{l+1},
    g = (chi_l/chi_{l+1}) (chi_{l+1} - chi_{l-1})/(chi_l - chi_{l-1}),

and M = [[1-kappa-gamma1, -gamma2+omega], [-gamma2-omega, 1-kappa+gamma1]] at the
source. Component 1 is x (columns), component 2 is y (rows). Derivatives of psi are
taken by Fourier transforms of the map, periodic or with zeros around it, and read at
the rays by bilinear interpolation, periodic too: differentiable in planes, distances
and source distance.
"""

from dataclasses import dataclass

import numpy as np

from ..graph import is_traced
from ..tree import register_dataclass
from .shear import _map, _padded

__all__ = ["Rays", "born", "raytrace"]


@register_dataclass
@dataclass(frozen=True)
class Rays:
    """What light rays see at the source.

    Attributes
    ----------
    kappa, gamma1, gamma2, omega : (ny, nx) arrays
        Convergence, shear, rotation.
    deflection : (2, ny, nx) array
        Position at the source minus position on the sky, x and y [rad].
    """

    kappa: np.ndarray
    gamma1: np.ndarray
    gamma2: np.ndarray
    omega: np.ndarray
    deflection: np.ndarray


def _checked(planes, chi, chi_source):
    planes = _map(planes, "planes")
    if len(planes.shape) != 3:
        raise ValueError(
            f"planes has shape {tuple(planes.shape)}; expected (n_planes, ny, nx)"
        )
    if np.shape(chi) != (planes.shape[0],):
        raise ValueError(
            f"chi has shape {tuple(np.shape(chi))}; one distance for each of the"
            f" {planes.shape[0]} planes"
        )
    if not is_traced(chi):
        chi = np.asarray(chi, dtype=np.float64)
    if not is_traced(chi, chi_source):
        d = np.append(np.asarray(chi, dtype=np.float64), chi_source)
        if not np.all(np.isfinite(d)) or d[0] <= 0 or np.any(np.diff(d) <= 0):
            raise ValueError(
                "distances of the planes must be positive and rise, and the source"
                f" must lie behind the last one; got {d[:-1]} and {d[-1]}"
            )
    return planes, chi


def born(planes, chi, chi_source):
    """Convergence along undeflected rays: sum of (1 - chi_l/chi_s) sigma_l.

    Parameters
    ----------
    planes : (n_planes, ny, nx) float array
        sigma_l, near to far.
    chi : (n_planes,) array
        Distances [Mpc/h], rising.
    chi_source : float
        [Mpc/h]

    Returns
    -------
    (ny, nx) array

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> gv.lensing.born(np.ones((2, 1, 1)), np.array([1.0, 2.0]), 4.0)
    array([[1.25]])
    """
    planes, chi = _checked(planes, chi, chi_source)
    weight = 1.0 - chi / chi_source
    return np.sum(planes * weight.astype(planes.dtype)[:, None, None], axis=0)


def _derivatives(sigma, pixel, padding):
    """psi_x, psi_y, psi_xx, psi_xy, psi_yy of planes (n, ny, nx): (n, 5, ny, nx)."""
    ny, nx = sigma.shape[-2:]
    dtype = sigma.dtype
    sigma, py, px = _padded(sigma, padding)
    ty, tx = sigma.shape[-2:]
    l1 = 2 * np.pi * np.fft.rfftfreq(tx, pixel)
    l2 = 2 * np.pi * np.fft.fftfreq(ty, pixel)[:, None]
    square = l1**2 + l2**2
    square[0, 0] = np.inf
    odd1, odd2 = l1.copy(), l2.copy()
    if tx % 2 == 0:
        odd1[-1] = 0.0
    if ty % 2 == 0:
        odd2[ty // 2] = 0.0
    wide = np.complex128 if dtype == np.float64 else np.complex64
    first = [(-2j * odd / square).astype(wide) for odd in (odd1, odd2)]
    second = [
        (2 * s / square).astype(dtype) for s in (l1**2, odd1 * odd2, l2**2 + 0 * l1)
    ]
    modes = np.fft.rfft2(sigma)
    fields = [
        np.fft.irfft2(m * modes, s=(ty, tx))[..., py : py + ny, px : px + nx]
        for m in (*first, *second)
    ]
    return np.stack(fields, axis=1)


def _read(fields, y, x):
    """Bilinear, periodic: fields (F, ny, nx) at pixel coordinates (ny, nx) each."""
    _, ny, nx = fields.shape
    y0, x0 = np.floor(y), np.floor(x)
    fy, fx = y - y0, x - x0
    iy, ix = y0.astype(np.int64) % ny, x0.astype(np.int64) % nx
    jy, jx = (iy + 1) % ny, (ix + 1) % nx
    flat = np.reshape(fields, (fields.shape[0], ny * nx))

    def corner(row, column):
        at = np.reshape(row * nx + column, (-1,))
        return np.reshape(np.take(flat, at, axis=1), (-1, ny, nx))

    return (1 - fy) * ((1 - fx) * corner(iy, ix) + fx * corner(iy, jx)) + fy * (
        (1 - fx) * corner(jy, ix) + fx * corner(jy, jx)
    )


def raytrace(planes, chi, chi_source, field_of_view, padding=0.0):
    """Follow a ray from each pixel's centre through the planes to the source.

    Parameters
    ----------
    planes : (n_planes, ny, nx) float array
        sigma_l = 1.5 Omega_m (H0/c)^2 dchi chi_l delta_l/a_l, near to far, mean zero.
    chi : (n_planes,) array
        Comoving distances of the planes [Mpc/h], rising; space is flat.
    chi_source : float
        Comoving distance of the source [Mpc/h], behind the last plane.
    field_of_view : float or (float, float)
        Degrees: along x (columns), or along (y, x); pixels are square.
    padding : float
        0: the map is periodic. Otherwise zeros on every side, so many times its
        length, for the deflections.

    Returns
    -------
    Rays
        kappa, gamma1, gamma2, omega (ny, nx) and the deflection (2, ny, nx) [rad].

    Raises
    ------
    ValueError
        For shapes that do not agree or distances that do not rise.

    Notes
    -----
    Jain, Seljak & White (2000); Hilbert et al. (2009). As deflections vanish kappa
    tends to `born` and omega to zero.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> planes = 1e-6 * np.random.default_rng(0).normal(size=(3, 16, 16))
    >>> planes -= planes.mean(axis=(1, 2), keepdims=True)
    >>> chi = np.array([300.0, 700.0, 1100.0])
    >>> r = gv.lensing.raytrace(planes, chi, 1500.0, 2.0)
    >>> straight = gv.lensing.born(planes, chi, 1500.0)
    >>> bool(np.abs(r.kappa - straight).max() < 1e-3 * straight.std())
    True
    """
    planes, chi = _checked(planes, chi, chi_source)
    n, ny, nx = planes.shape
    pixel = pixel_size(field_of_view, (ny, nx))
    dtype = planes.dtype
    fields = _derivatives(planes, pixel, padding)
    row, column = np.meshgrid(np.arange(ny), np.arange(nx), indexing="ij")
    zero = np.zeros((ny, nx), dtype)
    one = zero + dtype.type(1)
    # offsets from theta [rad], and the Jacobian (xx, xy, yx, yy), of the last two
    before = after = (zero, zero, one, zero, zero, one)
    distances = [0.0, *[chi[i] for i in range(n)], chi_source]
    for i in range(1, n + 1):
        back, here, ahead = distances[i - 1 : i + 2]
        g = _scalar(here / ahead * ((ahead - back) / (here - back)), dtype)
        r = _scalar((ahead - here) / ahead, dtype)
        ux, uy, mxx, mxy, myx, myy = after
        px, py, pxx, pxy, pyy = _read(
            fields[i - 1], row + uy / pixel, column + ux / pixel
        )
        push = (
            px,
            py,
            pxx * mxx + pxy * myx,
            pxx * mxy + pxy * myy,
            pxy * mxx + pyy * myx,
            pxy * mxy + pyy * myy,
        )
        new = tuple(
            (1 - g) * b + g * a - r * p
            for b, a, p in zip(before, after, push, strict=True)
        )
        before, after = after, new
    ux, uy, mxx, mxy, myx, myy = after
    return Rays(
        kappa=1 - 0.5 * (mxx + myy),
        gamma1=0.5 * (myy - mxx),
        gamma2=-0.5 * (mxy + myx),
        omega=0.5 * (mxy - myx),
        deflection=np.stack([ux, uy]),
    )


def _scalar(x, dtype):
    return x.astype(dtype) if is_traced(x) else dtype.type(x)


def pixel_size(field_of_view, shape):
    """Side of a pixel [rad] of a map (ny, nx), from degrees along x, or along (y, x).

    Raises
    ------
    ValueError
        If the field is not positive, or its pixels are not square to 1e-6.
    """
    ny, nx = shape
    field = np.atleast_1d(np.asarray(field_of_view, dtype=np.float64))
    if (
        field.ndim != 1
        or len(field) > 2
        or not np.all(np.isfinite(field) & (field > 0))
    ):
        raise ValueError(
            f"field_of_view {field_of_view} must be degrees: a positive number (along"
            " the last axis), or a pair (y, x)"
        )
    pixel = np.radians(field[-1]) / nx
    if len(field) == 2 and abs(np.radians(field[0]) / ny / pixel - 1) > 1e-6:
        raise ValueError(
            f"field_of_view {tuple(field)} with map_shape ({ny}, {nx}): pixels are not"
            f" square; {nx} columns of {field[1]:g} degrees go with"
            f" {ny * field[1] / nx:g} degrees of rows"
        )
    return float(pixel)
