"""Input checks of the Gaussian-process functions."""

import numpy as np

from ..var import Var


def floating(x, name):
    """x as an array of floats (or the traced value itself); TypeError otherwise."""
    if type(x) is Var:
        return x
    x = np.asarray(x)
    if x.dtype.kind in "biu":
        return x.astype(float)
    if x.dtype.kind != "f":
        raise TypeError(f"{name} must be numbers, got an array of {x.dtype}")
    return x if x.dtype in (np.float32, np.float64) else x.astype(float)


def finite(x, name):
    """x itself; ValueError that says where the first entry is not finite."""
    if type(x) is not Var and not np.isfinite(x).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
        raise ValueError(
            f"{name} has {x[where]} at index {list(where)}; drop or fill such entries"
        )
    return x


def points(x, name="X"):
    """Points as an (n, d) array of floats (or traced value) from (n,) or (n, d)."""
    x = floating(x, name)
    if x.ndim == 1:
        x = x[:, None]
    if x.ndim != 2:
        raise ValueError(
            f"{name} must have the shape (n,) or (n, d), got {tuple(x.shape)}"
        )
    return finite(x, name)


def positive(x, name):
    """A positive float, positive array, or traced value; ValueError otherwise."""
    if type(x) is Var:
        return x
    value = np.asarray(x)
    if value.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be a positive number, got {x!r}")
    if not (np.isfinite(value).all() and (value > 0).all()):
        raise ValueError(f"{name} must be positive and finite, got {x!r}")
    return float(value) if value.ndim == 0 else value.astype(float)


def square(K, name="K"):
    """K as floats with equal last two axes."""
    K = floating(K, name)
    if K.ndim < 2 or K.shape[-1] != K.shape[-2]:
        raise ValueError(f"{name} must have the shape (..., T, T), got {K.shape}")
    return K


def control_years(data, least=2):
    """(N, T) finite floats with at least `least` rows."""
    data = np.asarray(data, dtype=float) if not isinstance(data, Var) else data
    if isinstance(data, Var):
        raise TypeError("data of a kernel must be plain numbers, not a traced value")
    if data.ndim != 2 or data.shape[1] < 1:
        raise ValueError(f"data must have the shape (years, periods), got {data.shape}")
    if len(data) < least:
        raise ValueError(
            f"data has {len(data)} year(s); a sample covariance needs at least {least}"
        )
    return finite(data, "data")
