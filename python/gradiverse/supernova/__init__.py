"""Supernova cosmology: a hierarchical model whose posterior is known exactly.

Each object has a redshift, three measured numbers (mB, x1, c) with a covariance of
their own, and latent numbers (M, x, c) drawn from a population. ``simulate`` draws
data, ``log_likelihood`` and ``sample_posterior`` are exact, ``object_posterior`` gives
each object's latents, ``learn.Learner`` finds the same marginals with networks, and
``study.run`` does all of it, compares and reports. Magnitudes throughout; H0 is fixed,
for M0 moves with it.
"""

from .._lazy import on_demand as _on_demand

_LAZY = {
    "distance_modulus": "distance",
    "simulate": "draw",
    "Survey": "survey",
    "log_likelihood": "survey",
    "fisher": "survey",
    "object_posterior": "objects",
    "mean_object_posterior": "objects",
    "load_pantheon_plus": "loaders",
    "read_covariance": "loaders",
    "prior": "priors",
    "sample_posterior": "posterior",
    "Posterior": "posterior",
    "fiducial": "survey",
}
_MODULES = ("figures", "hubble", "learn", "loaders", "priors", "report", "study")

__all__ = [*_LAZY, *_MODULES]

__getattr__, __dir__ = _on_demand(__name__, _LAZY, _MODULES)
