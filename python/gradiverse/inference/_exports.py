"""Draws as objects of other packages, which are imported only here."""

import numpy as np

__all__ = ["to_arviz", "to_getdist"]


def _package(name):
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f"to_{name} needs the package {name}: pip install {name}"
        ) from error


def to_getdist(posterior, n, rng):
    """``getdist.MCSamples`` with the prior's box as hard limits."""
    getdist = _package("getdist")
    low, high = posterior.bounds.T
    ranges = {
        name: (a if np.isfinite(a) else None, b if np.isfinite(b) else None)
        for name, a, b in zip(posterior.names, low, high, strict=True)
    }
    return getdist.MCSamples(
        samples=posterior.sample(n, rng),
        names=list(posterior.names),
        labels=list(posterior.names),
        ranges=ranges,
    )


def to_arviz(posterior, n, rng):
    """arviz inference data (a DataTree from arviz 1.0 on), one chain."""
    arviz = _package("arviz")
    draws = posterior.sample(n, rng)
    group = {name: draws[None, :, i] for i, name in enumerate(posterior.names)}
    if int(str(arviz.__version__).split(".")[0]) >= 1:
        return arviz.from_dict({"posterior": group})
    return arviz.from_dict(posterior=group)
