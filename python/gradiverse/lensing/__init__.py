"""Weak lensing: theory spectra, convergence maps from light cones, shear, ray tracing.

``limber_cl`` is theory; ``Lightcone`` turns white noise and a cosmology into maps, with
gradients; ``map_spectrum`` measures them; ``gradiverse lensing`` on the command line
runs a whole study. Maps are (..., ny, nx): rows along y, columns along x, square
pixels; fields of view are in degrees.
"""

from importlib import import_module as _import_module

_LAZY = {
    "Distribution": "_sources",
    "limber_cl": "limber",
    "shot_noise_cl": "limber",
    "Lightcone": "cone",
    "map_spectrum": "maps",
    "shape_noise": "maps",
    "random_mask": "maps",
    "write_maps": "maps",
    "read_maps": "maps",
    "shear_from_convergence": "shear",
    "convergence_from_shear": "shear",
    "nyquist_free": "shear",
    "reduced_shear": "shear",
    "Rays": "rays",
    "born": "rays",
    "raytrace": "rays",
    "nla_amplitude": "alignment",
    "reconstruct": "_reconstruct",
    "Reconstruction": "_reconstruct",
}
_MODULES = ("healpix", "study", "report", "figures")

__all__ = [*_LAZY, *_MODULES]


def __getattr__(name):
    """Import what is asked for (PEP 562)."""
    if name in _LAZY:
        value = getattr(_import_module(f"{__name__}.{_LAZY[name]}"), name)
    elif name in _MODULES:
        value = _import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted(set(globals()) | set(__all__))
