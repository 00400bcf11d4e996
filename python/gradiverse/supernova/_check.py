"""What the arguments of the supernova functions must be, and their packed forms."""

import numpy as np

from ..graph import is_traced

GLOBALS = ("Om", "OL", "w", "M0", "sres", "alpha", "beta", "xb", "Rx", "cb", "Rc")
SHOWN = 5  # rows named in a message
BLOCK = 16384  # matrices looked at together, so that they stay in the cache


def parameters(values, extra=()):
    """The globals as a dict of scalars (traced ones stay as they are)."""
    if not hasattr(values, "keys"):
        raise TypeError(
            f"globals must be a dict with {', '.join(GLOBALS)}, not"
            f" {type(values).__name__}"
        )
    missing = [k for k in GLOBALS if k not in values]
    unknown = sorted(set(values) - set(GLOBALS) - set(extra))
    if missing or unknown:
        what = f"lack {', '.join(missing)}" if missing else ""
        more = f"have unknown {', '.join(unknown)}" if unknown else ""
        dust = {"R_B", "tau"} & set(unknown)
        hint = "; dust (R_B, tau) is known to log_likelihood alone" if dust else ""
        raise ValueError(
            f"globals {what}{' and ' if what and more else ''}{more}{hint}"
        )
    out = {}
    for name, value in values.items():
        if is_traced(value):
            if value.shape != ():
                raise ValueError(f"{name} must be a number, got shape {value.shape}")
            out[name] = value
            continue
        number = np.asarray(value, dtype=float)
        if number.shape != () or not np.isfinite(number):
            raise ValueError(f"{name} must be a finite number, got {value!r}")
        if name in ("sres", "Rx", "Rc") and number < 0:
            raise ValueError(f"{name} is a dispersion and not negative, got {value!r}")
        if name == "tau" and number <= 0:
            raise ValueError(
                f"tau must be positive, got {value!r}; without dust leave R_B and tau"
                " out"
            )
        out[name] = number[()]
    return out


def rows_text(bad):
    """A few row numbers in words."""
    bad = np.flatnonzero(bad)
    more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    return f"row(s) {', '.join(map(str, bad[:SHOWN]))}{more}"


def redshifts(z, name="z", n=None):
    """Finite positive redshifts as a float64 vector."""
    if is_traced(z):
        raise TypeError(f"{name} must be an array of numbers, not a traced value")
    if np.ndim(z) != 1:
        raise ValueError(f"{name} must have shape (N,), got {np.shape(z)}")
    z = np.ascontiguousarray(z, dtype=float)
    if n is not None and len(z) != n:
        raise ValueError(f"{name} has {len(z)} entries for {n} objects")
    bad = ~(np.isfinite(z) & (z > 0))
    if name == "z_helio":
        bad = ~(np.isfinite(z) & (z > -1))
    if bad.any():
        limit = "above -1" if name == "z_helio" else "positive"
        raise ValueError(
            f"{name} must be finite and {limit}; not so in {rows_text(bad)}"
        )
    return z


def covariances(covariance, n):
    """Symmetric positive semi-definite (n, 3, 3) matrices as (n, 9), float64; traced
    ones as they are."""
    if is_traced(covariance):
        return covariance.reshape(n, 9)
    s = np.asarray(covariance, dtype=float)
    if s.shape != (n, 3, 3):
        raise ValueError(
            f"covariance must have shape ({n}, 3, 3), of (mB, x1, c) of each object,"
            f" got {s.shape}"
        )
    s = np.ascontiguousarray(s).reshape(n, 9)
    if not np.isfinite(s.sum()):
        bad = ~np.isfinite(s).all(1)
        raise ValueError(f"covariance is not finite in {rows_text(bad)}")
    pairs = ((1, 3, 0, 4), (2, 6, 0, 8), (5, 7, 4, 8))
    for a, b, i, k in pairs:
        if np.array_equal(s[:, a], s[:, b]):
            continue
        scale = np.sqrt(np.abs(s[:, i] * s[:, k]))
        bad = np.abs(s[:, a] - s[:, b]) > 1e-8 * scale
        if bad.any():
            raise ValueError(f"covariance is not symmetric in {rows_text(bad)}")
    refuse(not_positive(s))
    return s


def _plainly_positive(s):
    """Which of the (n, 9) matrices have positive leading minors."""
    out = np.empty(len(s), bool)
    for i in range(0, len(s), BLOCK):
        part = s[i : i + BLOCK]
        a, b, c, d, e, f = (part[:, k].copy() for k in (0, 1, 2, 4, 5, 8))
        m, u, w = a * d - b * b, a * f - c * c, a * e - b * c
        out[i : i + BLOCK] = (a > 0) & (m > 0) & (m * u > w * w)  # m u - w^2 = a det
    return out


def _factor(s):
    """Lower factors (n, 3, 3) of (n, 9) matrices, and which of them have none.

    A pivot within rounding of 0 is 0; what is left in its column must be too. Rounding
    grows by what the pivots before have lost.
    """
    full = s.reshape(-1, 3, 3)
    out, bad = np.zeros_like(full), np.zeros(len(full), bool)
    lost = np.ones(len(full))
    for i in range(3):
        own = full[:, i, i]
        left = own - (out[:, i, :i] ** 2).sum(-1)
        small = 1e-12 * lost * np.abs(own)
        bad |= (own < 0) | (left < -small)
        positive = left > small
        lost = np.where(
            positive, np.maximum(lost, own / np.where(positive, left, 1)), lost
        )
        pivot = np.sqrt(np.where(positive, left, 0.0))
        out[:, i, i] = pivot
        for k in range(i + 1, 3):
            rest = full[:, k, i] - (out[:, k, :i] * out[:, i, :i]).sum(-1)
            scale = np.sqrt(np.abs(own * full[:, k, k]))
            bad |= ~positive & (np.abs(rest) > 1e-6 * scale)
            out[:, k, i] = np.where(
                positive, rest / np.where(positive, pivot, 1.0), 0.0
            )
    return out, bad


def not_positive(s):
    """Which of the (n, 9) matrices are not positive semi-definite."""
    out = ~_plainly_positive(s)
    if out.any():
        rows = np.flatnonzero(out)
        out[rows] = _factor(s[rows])[1]
    return out


def refuse(bad):
    """An error that names the objects whose covariance is bad, if there are any."""
    if bad.any():
        raise ValueError(
            f"covariance is not positive semi-definite in {rows_text(bad)} (a negative"
            " variance, or a correlation beyond 1): drop these objects, or see"
            " load_pantheon_plus(bad=...)"
        )


def cholesky(s):
    """Lower factors (n, 9) of covariances (n, 9); zero rows are allowed."""
    out, bad = _factor(s)
    refuse(bad)
    return out.reshape(-1, 9)


def observations(data, n):
    """Data of shape (n, 3)."""
    if is_traced(data):
        if data.shape != (n, 3):
            raise ValueError(f"data must have shape ({n}, 3), got {data.shape}")
        return data
    data = np.ascontiguousarray(data, dtype=float)
    if data.shape != (n, 3):
        raise ValueError(
            f"data must have shape ({n}, 3), (mB, x1, c) by row, got {data.shape}"
        )
    if not np.isfinite(data.sum()):
        bad = ~np.isfinite(data).all(1)
        raise ValueError(f"data are not finite in {rows_text(bad)}")
    return data


def selection_of(selection):
    """h (3,), lim, sd of a selection given as a dict."""
    if not hasattr(selection, "keys") or set(selection) != {"h", "lim", "sd"}:
        raise ValueError(
            "selection must be a dict(h=(3 numbers), lim=, sd=), P(selected) ="
            f" Phi((lim - h.d)/sd); got {selection!r}"
        )
    h = np.asarray(selection["h"], dtype=float)
    if h.shape != (3,) or not np.isfinite(h).all():
        raise ValueError(f"selection: h must be 3 numbers, got {selection['h']!r}")
    lim, sd = float(selection["lim"]), float(selection["sd"])
    if not (np.isfinite(lim) and np.isfinite(sd) and sd > 0):
        raise ValueError(f"selection: lim {lim} and sd {sd}; sd must be positive")
    return h, lim, sd
