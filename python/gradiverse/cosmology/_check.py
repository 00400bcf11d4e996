"""Is it a universe? Checks of parameters whose values are known."""

import numpy as np

from ..graph import is_traced
from . import _chebyshev
from ._values import as_float64
from .growth import radiation_amplitude
from .transfer import FITS

_POSITIVE = ("Omega_m", "h", "T_cmb", "sigma8", "A_s")
_GRID = np.exp(np.linspace(np.log(1e-7), np.log(_chebyshev.A_MAX), 800))


def check(own, transfer):
    """ValueError for parameters that make no sense; traced ones pass."""
    if isinstance(transfer, str) and transfer not in FITS:
        raise ValueError(
            f"Cosmology: transfer={transfer!r} is none of {', '.join(FITS)}; a table is"
            " given as (k, P)"
        )
    if own["A_s"] is not None and own["sigma8"] is not None:
        raise ValueError("Cosmology: sigma8 and A_s are both given; give one of them")
    if own["A_s"] is not None and not isinstance(transfer, str):
        raise ValueError(
            "Cosmology: a tabulated spectrum has its own amplitude; A_s cannot be"
            " given with it, sigma8 rescales it"
        )
    known = {k: v for k, v in own.items() if v is not None and not is_traced(v)}
    for name in _POSITIVE:
        if known.get(name, 1.0) <= 0:
            raise ValueError(f"Cosmology: {name}={known[name]:g} must be positive")
    for name in ("Omega_b", "Omega_r"):
        if known.get(name, 0.0) < 0:
            raise ValueError(f"Cosmology: {name}={known[name]:g} must not be negative")
    if known.get("Omega_b", 0.0) > known.get("Omega_m", np.inf):
        raise ValueError(
            f"Cosmology: Omega_b={known['Omega_b']:g} is more than"
            f" Omega_m={known['Omega_m']:g}, which includes it"
        )
    needed = ("Omega_m", "Omega_k", "Omega_r", "w0", "wa")
    if all(name in known for name in needed):
        _expansion(*(known[name] for name in needed))


def _expansion(m, k, r, w0, wa):
    """Is there a Big Bang, with a matter era, and expansion since?"""
    de = 1 - m - k - r
    if de and w0 + wa >= 0:
        raise ValueError(
            f"Cosmology: w0 + wa = {w0 + wa:g} makes dark energy dominate early; it"
            " must be negative"
        )
    dark = de * np.exp(-3 * ((1 + w0 + wa) * np.log(_GRID) + wa * (1 - _GRID)))
    e2 = m * _GRID**-3 + k * _GRID**-2 + r * _GRID**-4 + dark
    if not (e2 > 0).all():
        a = _GRID[~(e2 > 0)][-1]
        raise ValueError(
            f"Cosmology: E^2 is not positive at a={a:.3g} with Omega_m={m:g},"
            f" Omega_k={k:g}, Omega_r={r:g}, w0={w0:g}, wa={wa:g}: no expansion from a"
            " Big Bang to a = 1.25; check Omega_k and w"
        )
    if r > _chebyshev.A_MIN * m and abs(radiation_amplitude(m, r)) < 0.005:
        raise ValueError(
            f"Cosmology: with Omega_r/Omega_m={r / m:.4g} the start of growth with"
            " radiation has no growing mode; use Omega_r=0, or other densities"
        )


def spectrum_table(transfer):
    """(k, P) as float64 arrays.

    Raises
    ------
    TypeError, ValueError
        If it is no pair of equally long, positive arrays with ascending k.
    """
    if not isinstance(transfer, (tuple, list)) or len(transfer) != 2:
        raise TypeError(
            f"Cosmology: transfer is one of {', '.join(FITS)} or a pair (k, P), got"
            f" {type(transfer).__name__}"
        )
    k, p = (as_float64(x) for x in transfer)
    if len(k.shape) != 1 or k.shape != p.shape or k.shape[0] < 4:
        raise ValueError(
            f"Cosmology: the table (k, P) has shapes {tuple(k.shape)} and"
            f" {tuple(p.shape)}; two equal lengths of at least 4 are needed"
        )
    for name, x in (("k", k), ("P", p)):
        if not is_traced(x) and not (np.isfinite(x) & (x > 0)).all():
            raise ValueError(f"Cosmology: the table's {name} must be positive, finite")
    if not is_traced(k) and not (np.diff(k) > 0).all():
        raise ValueError("Cosmology: the table's k must ascend")
    return k, p
