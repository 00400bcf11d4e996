"""Arguments of the cosmology: conversion and checks of what is known."""

import numpy as np

from .. import ops
from ..graph import is_traced


def as_float64(x):
    """A number or array as float64; traced values stay traced."""
    if is_traced(x):
        if isinstance(x, (list, tuple)):
            x = np.stack([as_float64(v) for v in x])
        return x.astype(np.float64)
    return np.asarray(x, np.float64)


def plain(x):
    """x, or the number in it where it has no axes, as NumPy's functions return it."""
    return x[()] if isinstance(x, np.ndarray) else x


def take(a, index):
    """Rows of a; NumPy's function does not see that only the index is traced."""
    return (ops.take if is_traced(index) else np.take)(a, index, axis=0)


def require(x, what, low, high, how, open_low=False):
    """x as float64; ValueError where a known value is not finite and in [low, high].

    With open_low the lower end is excluded.
    """
    x = as_float64(x)
    if is_traced(x):
        return x
    good = (x > low if open_low else x >= low) & (x <= high) & np.isfinite(x)
    if not good.all():
        worst = x[~good].flat[0]
        raise ValueError(f"{what}: {worst:g} is not allowed; {how}")
    return x


def number(x, name):
    """A parameter as a float; traced scalars stay traced.

    Raises
    ------
    TypeError
        If x is not a number.
    ValueError
        If it is an array, infinite or not a number.
    """
    if is_traced(x):
        if isinstance(x, (list, tuple)) or x.shape != ():
            raise ValueError(
                f"Cosmology: {name} must be one number; use gv.vmap for several"
            )
        return x if x.dtype == np.float64 else x.astype(np.float64)
    try:
        array = np.asarray(x, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"Cosmology: {name}={x!r} is not a number") from None
    if array.ndim:
        raise ValueError(
            f"Cosmology: {name} has shape {array.shape}, one number is needed; use"
            " gv.vmap for several cosmologies"
        )
    if not np.isfinite(array):
        raise ValueError(f"Cosmology: {name}={x} is not finite")
    return float(array)


def scale(a):
    """Scale factors as float64, positive."""
    return require(a, "a", 0, np.inf, "scale factors are positive", open_low=True)


def redshift(z):
    """Redshifts as float64, above -1."""
    return require(z, "z", -1, np.inf, "redshifts are above -1", open_low=True)


def wavenumber(k):
    """Wavenumbers as float64, not negative."""
    return require(k, "k", 0, np.inf, "wavenumbers are not negative")
