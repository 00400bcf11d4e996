"""Convergence maps: spectra, shape noise, masks, and files.

A file of maps (HDF5) holds the maps of one realisation, their power spectra and shot
noise, and, as attributes, every setting, the cosmology, the seed and the version.
"""

import json
import math
import os
from pathlib import Path

import numpy as np

from ..graph import is_traced
from ..nbody import spectra
from .rays import pixel_size
from .shear import _map

__all__ = ["map_spectrum", "random_mask", "read_maps", "shape_noise", "write_maps"]

_ARCMIN2 = math.radians(1 / 60) ** 2


def map_spectrum(kappa, field_of_view):
    """Angular power spectrum of flat-sky maps.

    ``C_l = <|A_pix DFT[kappa]|^2>/Omega_map`` over bins of width 2 pi/(longest side);
    the map is taken as periodic; neither pixel window nor shot noise is removed.

    Parameters
    ----------
    kappa : (..., ny, nx) float array
        Traced maps give differentiable spectra.
    field_of_view : float or (float, float)
        Degrees along x (the last axis), or along (y, x); pixels are square.

    Returns
    -------
    ell : (B,) array
        Mean multipole of the modes of each bin.
    C : (..., B) array
    n : (B,) array
        Number of modes, l and -l both counted.

    Raises
    ------
    ValueError
        If kappa is not a map or its pixels are not square.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> white = np.random.default_rng(0).normal(size=(64, 64))
    >>> ell, C, n = gv.lensing.map_spectrum(white, 2.0)
    >>> pixel = np.radians(2.0) / 64
    >>> bool(abs((n * C).sum() / n.sum() / pixel**2 - 1) < 0.05)
    True
    """
    kappa = _map(kappa, "kappa")
    ny, nx = kappa.shape[-2:]
    pixel = pixel_size(field_of_view, (ny, nx))
    sides = (ny * pixel, nx * pixel)
    if len(kappa.shape) == 2:
        return spectra.map_spectrum(kappa, sides)
    lead = tuple(kappa.shape[:-2])
    flat = np.reshape(kappa, (-1, ny, nx))
    ell = n = None
    rows = []
    for i in range(flat.shape[0]):
        ell, row, n = spectra.map_spectrum(flat[i], sides)
        rows.append(row)
    return ell, np.reshape(np.stack(rows), (*lead, len(ell))), n


def shape_noise(shape, field_of_view, sigma_e=0.26, density=30.0, rng=None):
    """White noise of galaxy shapes for a convergence map.

    Parameters
    ----------
    shape : tuple of int
        (..., ny, nx)
    field_of_view : float or (float, float)
        Degrees.
    sigma_e : float
        Scatter of one component of ellipticity, of shear per galaxy.
    density : float
        Galaxies per square arc minute.
    rng : seed or Generator

    Returns
    -------
    array of that shape
        Independent pixels with standard deviation
        sigma_e/sqrt(density * pixel area).

    Examples
    --------
    >>> import gradiverse as gv
    >>> noise = gv.lensing.shape_noise((64, 64), 64 / 60, 0.3, 9.0, rng=0)
    >>> round(float(noise.std()), 1)
    0.1
    """
    if not sigma_e >= 0 or not density > 0:
        raise ValueError(
            f"shape_noise: sigma_e {sigma_e} must not be negative, density {density}"
            " must be positive"
        )
    area = pixel_size(field_of_view, shape[-2:]) ** 2 / _ARCMIN2
    sd = sigma_e / math.sqrt(density * area)
    return sd * np.random.default_rng(rng).standard_normal(tuple(shape))


def random_mask(shape, field_of_view, fraction=0.1, radius=2.0, rng=None):
    """A mask of round holes, as bright stars leave them.

    Parameters
    ----------
    shape : (ny, nx)
    field_of_view : float or (float, float)
        Degrees.
    fraction : float
        Share of the map to mask, 0 to below 1; holes are added until it is reached.
    radius : float
        Mean radius of a hole [arc minutes]; radii vary from half to one and a half.
    rng : seed or Generator

    Returns
    -------
    (ny, nx) float64 array
        1 to keep, 0 in holes; holes wrap around at the edges.

    Examples
    --------
    >>> import gradiverse as gv
    >>> mask = gv.lensing.random_mask((32, 32), 1.0, fraction=0.2, rng=0)
    >>> bool(0.1 < 1 - mask.mean() < 0.4)
    True
    """
    if not 0 <= fraction < 1 or not radius > 0:
        raise ValueError(
            f"random_mask: fraction {fraction} must be in [0, 1), radius {radius}"
            " positive"
        )
    ny, nx = shape
    pixel = math.degrees(pixel_size(field_of_view, shape)) * 60
    rng = np.random.default_rng(rng)
    mask = np.ones(shape)
    row, column = np.arange(ny)[:, None], np.arange(nx)
    while 1 - mask.mean() < fraction:
        y, x = rng.uniform(0, ny), rng.uniform(0, nx)
        r = radius * rng.uniform(0.5, 1.5) / pixel
        dy = (row - y + ny / 2) % ny - ny / 2
        dx = (column - x + nx / 2) % nx - nx / 2
        mask[dy**2 + dx**2 <= max(r, 0.5) ** 2] = 0.0
        mask[int(y) % ny, int(x) % nx] = 0.0
    return mask


def write_maps(path, kappa, field_of_view, settings, cosmology, seed=None, **arrays):
    """Maps of one realisation into an HDF5 file, by way of a temporary neighbour.

    Parameters
    ----------
    path : path
    kappa : (n_sources, ny, nx) array
    field_of_view : float or (float, float)
        Degrees.
    settings : dict
        Everything the maps were made with; kept as JSON, and one attribute each.
    cosmology : Cosmology
    seed : int, optional
        Of the white noise.
    **arrays
        Further datasets, such as shot_noise (n_sources,), uniform, gamma1.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        If kappa has values that are not finite, or the wrong shape.
    """
    import h5py

    from .._html import version

    kappa = np.asarray(kappa)
    if kappa.ndim != 3:
        raise ValueError(f"kappa has shape {kappa.shape}; expected (n_sources, ny, nx)")
    if not np.isfinite(kappa).all():
        raise ValueError("kappa has values that are not finite; nothing is written")
    ell, C, n = map_spectrum(kappa, field_of_view)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    with h5py.File(temporary, "w") as file:
        file.attrs["version"] = version()
        file.attrs["field_of_view"] = np.asarray(field_of_view, dtype=np.float64)
        if seed is not None:
            file.attrs["seed"] = int(seed)
        file.attrs["settings"] = json.dumps(settings, default=str, sort_keys=True)
        for name, value in described(cosmology).items():
            file.attrs[f"cosmology.{name}"] = value
        file.create_dataset("kappa", data=kappa).attrs["unit"] = "convergence"
        for name, value, unit in (
            ("ell", ell, "multipole"),
            ("C", C, "steradian; no window or noise removed"),
            ("modes", n, "number of modes"),
        ):
            file.create_dataset(name, data=value).attrs["unit"] = unit
        for name, value in arrays.items():
            file.create_dataset(name, data=np.asarray(value))
    os.replace(temporary, path)
    return path


def described(cosmology):
    """The parameters of a cosmology as numbers, strings and arrays."""
    from dataclasses import fields

    out = {}
    for field in fields(cosmology):
        value = getattr(cosmology, field.name)
        if value is None or is_traced(value) or field.name.startswith("_"):
            continue
        if isinstance(value, str):
            out[field.name] = value
        elif np.ndim(value) == 0:
            out[field.name] = float(value)
        else:
            out[field.name] = np.asarray(value, dtype=np.float64)
    return out


def read_maps(path):
    """What `write_maps` has written.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict
        Datasets by name (kappa, ell, C, modes, ...); settings (dict), cosmology
        (dict), seed, field_of_view, version.

    Raises
    ------
    FileNotFoundError, OSError
        If there is no such file, or it is not HDF5.
    ValueError
        If the file holds no maps.
    """
    import h5py

    with h5py.File(path, "r") as file:
        if "kappa" not in file or "settings" not in file.attrs:
            raise ValueError(f"{path} holds no convergence maps")
        out = {name: file[name][()] for name in file}
        out["settings"] = json.loads(file.attrs["settings"])
        out["version"] = str(file.attrs["version"])
        field = file.attrs["field_of_view"]
        out["field_of_view"] = float(field) if np.ndim(field) == 0 else tuple(field)
        out["seed"] = int(file.attrs["seed"]) if "seed" in file.attrs else None
        out["cosmology"] = {
            k.removeprefix("cosmology."): v
            for k, v in file.attrs.items()
            if k.startswith("cosmology.")
        }
    return out
