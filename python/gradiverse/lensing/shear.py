"""Shear of a convergence map and back, on the flat sky, periodic or padded.

In Fourier space, with l = (l1, l2) along columns (x) and rows (y),

    gamma1 = (l1^2 - l2^2)/l^2 kappa,    gamma2 = 2 l1 l2/l^2 kappa,
    E = [(l1^2 - l2^2) gamma1 + 2 l1 l2 gamma2]/l^2,
    B = [(l1^2 - l2^2) gamma2 - 2 l1 l2 gamma1]/l^2.

Pixels are square, so that their size cancels. The mean of kappa makes no shear. On an
even number of rows or columns l1 l2 has no sign at the Nyquist frequency and is zero
there; at those modes E is not kappa.
"""

import numpy as np

from ..graph import is_traced

__all__ = [
    "convergence_from_shear",
    "nyquist_free",
    "reduced_shear",
    "shear_from_convergence",
]


def _symbols(ny, nx):
    """((l1^2 - l2^2)/l^2, 2 l1 l2/l^2) on the half plane of rfft2."""
    l1, l2 = np.fft.rfftfreq(nx), np.fft.fftfreq(ny)[:, None]
    square = l1**2 + l2**2
    square[0, 0] = 1.0
    cosine, sine = (l1**2 - l2**2) / square, 2 * l1 * l2 / square
    if nx % 2 == 0:
        sine[:, -1] = 0.0
    if ny % 2 == 0:
        sine[ny // 2] = 0.0
    return cosine, sine


def _map(x, name):
    x = x if is_traced(x) else np.asarray(x)
    if len(x.shape) < 2 or 0 in x.shape:
        raise ValueError(
            f"{name} has shape {tuple(x.shape)}; a map is (..., ny, nx), not empty"
        )
    if not is_traced(x) and x.dtype.kind != "f":
        x = x.astype(np.float64)
    return x


def _padded(x, padding):
    """(map with zeros around it, rows and columns added on either side)."""
    ny, nx = x.shape[-2:]
    if padding < 0 or not np.isfinite(padding):
        raise ValueError(f"padding {padding} must be 0 (periodic) or positive")
    py, px = round(padding * ny), round(padding * nx)
    if not (py or px):
        return x, py, px
    return np.pad(x, [(0, 0)] * (len(x.shape) - 2) + [(py, py), (px, px)]), py, px


def _mixed(a, b, padding, first, second):
    """Two maps (or one, b None) mixed in Fourier space; two functions of symbols."""
    ny, nx = a.shape[-2:]
    dtype = a.dtype
    a, py, px = _padded(a, padding)
    shape = a.shape[-2:]
    symbols = [s.astype(dtype) for s in _symbols(*shape)]
    a = np.fft.rfft2(a)
    b = None if b is None else np.fft.rfft2(_padded(b, padding)[0])
    out = []
    for mix in (first, second):
        x = np.fft.irfft2(mix(*symbols, a, b), s=shape)
        out.append(x[..., py : py + ny, px : px + nx])
    return tuple(out)


def shear_from_convergence(kappa, padding=0.0):
    """Shear that a convergence map makes.

    Parameters
    ----------
    kappa : (..., ny, nx) float array
        Square pixels; rows along y, columns along x.
    padding : float
        0 takes the map as periodic. Otherwise zeros are added on every side, this many
        times the map's length: matter outside the map is then taken to be at the mean.

    Returns
    -------
    gamma1, gamma2 : (..., ny, nx) arrays
        Dimensionless.

    Raises
    ------
    ValueError
        If kappa is not a map or padding is negative.

    Notes
    -----
    Kaiser & Squires (1993).

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> x = np.arange(16) * 2 * np.pi / 16
    >>> kappa = np.tile(np.cos(3 * x), (16, 1))        # a wave along x: gamma1 = kappa
    >>> g1, g2 = gv.lensing.shear_from_convergence(kappa)
    >>> bool(np.allclose(g1, kappa) and np.allclose(g2, 0))
    True
    """
    return _mixed(
        _map(kappa, "kappa"),
        None,
        padding,
        lambda cosine, sine, k, _: cosine * k,
        lambda cosine, sine, k, _: sine * k,
    )


def convergence_from_shear(gamma1, gamma2, padding=0.0):
    """E and B mode convergence of a shear field (Kaiser-Squires inversion).

    Parameters
    ----------
    gamma1, gamma2 : (..., ny, nx) float arrays
    padding : float
        As for `shear_from_convergence`.

    Returns
    -------
    e_mode, b_mode : (..., ny, nx) arrays
        Of mean zero when periodic. The E mode of a map's own shear is the map without
        its mean, for modes below the Nyquist frequency; its B mode is zero.

    Raises
    ------
    ValueError
        If the shapes differ or are no maps.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> kappa = np.random.default_rng(1).normal(size=(15, 21))
    >>> e, b = gv.lensing.convergence_from_shear(
    ...     *gv.lensing.shear_from_convergence(kappa))
    >>> bool(np.allclose(e, kappa - kappa.mean()) and np.allclose(b, 0))
    True
    """
    gamma1, gamma2 = _map(gamma1, "gamma1"), _map(gamma2, "gamma2")
    if gamma1.shape != gamma2.shape:
        raise ValueError(
            f"gamma1 has shape {tuple(gamma1.shape)}, gamma2 {tuple(gamma2.shape)}"
        )
    return _mixed(
        gamma1,
        gamma2,
        padding,
        lambda cosine, sine, a, b: cosine * a + sine * b,
        lambda cosine, sine, a, b: cosine * b - sine * a,
    )


def reduced_shear(kappa, gamma1, gamma2):
    """What galaxy shapes measure: g = gamma/(1 - kappa), the same shapes as the inputs.

    Examples
    --------
    >>> import gradiverse as gv
    >>> gv.lensing.reduced_shear(0.5, 0.1, 0.0)
    (0.2, 0.0)
    """
    return gamma1 / (1 - kappa), gamma2 / (1 - kappa)


def nyquist_free(kappa):
    """A map without its mean and without the modes at the Nyquist frequency.

    Parameters
    ----------
    kappa : (..., ny, nx) float array

    Returns
    -------
    (..., ny, nx) array
        For such maps, kappa -> shear -> E mode is the identity.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> x = (-1.0) ** np.arange(8) + np.zeros((4, 1))
    >>> bool(np.allclose(gv.lensing.nyquist_free(x), 0))
    True
    """
    kappa = _map(kappa, "kappa")
    ny, nx = kappa.shape[-2:]
    keep = np.ones((ny, nx // 2 + 1), kappa.dtype)
    keep[0, 0] = 0
    if nx % 2 == 0:
        keep[:, -1] = 0
    if ny % 2 == 0:
        keep[ny // 2] = 0
    return np.fft.irfft2(keep * np.fft.rfft2(kappa), s=(ny, nx))
