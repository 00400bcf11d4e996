"""Supernova cosmology: a hierarchical model whose posterior is known exactly.

Each object has a redshift, three measured numbers (mB, x1, c) with a covariance of
their own, and latent numbers (M, x, c) drawn from a population. ``simulate`` draws
data, ``log_likelihood`` and ``sample_posterior`` are exact, ``object_posterior`` gives
each object's latents, ``Study`` learns the same marginals with networks and compares.
Magnitudes throughout; H0 is fixed, for M0 moves with it.
"""

from importlib import import_module as _import_module

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
_MODULES = ("figures", "report", "study")

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
