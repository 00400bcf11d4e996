"""Weak lensing: theory spectra, convergence maps from light cones, shear, ray tracing.

``limber_cl`` is theory; ``Lightcone`` turns white noise and a cosmology into maps, with
gradients; ``map_spectrum`` measures them; ``gradiverse lensing`` on the command line
runs a whole study. Maps are (..., ny, nx): rows along y, columns along x, square
pixels; fields of view are in degrees.
"""

from .._lazy import on_demand as _on_demand

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

__getattr__, __dir__ = _on_demand(__name__, _LAZY, _MODULES)
