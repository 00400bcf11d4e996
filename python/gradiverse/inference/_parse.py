"""What a user may give as a distribution, and its description in plain types."""

import numpy as np

from . import _distributions as family

_METHODS = ("cdf", "sf", "ppf", "isf", "logpdf", "support")
_NEW_METHODS = ("cdf", "ccdf", "icdf", "iccdf", "logpdf", "support")
_SHARES = np.array([0.001, *np.arange(1, 20) / 20, 0.999])  # quantiles in descriptions


def columns(key, value):
    """Names and distribution parts of one entry of a prior."""
    if not isinstance(key, str) or not key.strip():
        raise TypeError(f"parameter names must be strings, got {key!r}")
    parts = _parts(key, value)
    k = sum(len(p.support) for p in parts)
    if "," in key:
        names = [name.strip() for name in key.split(",")]
        if len(names) != k or not all(names):
            raise ValueError(
                f"'{key}' names {len(names)} parameters, the distribution has {k}"
            )
    elif _is_vector(value):
        names = [f"{key}_{i}" for i in range(k)]
    else:
        names = [key]
    return names, parts


def _parts(key, value):
    """Parts of the distribution of one entry."""
    if isinstance(value, (tuple, list)):
        return [_box(key, value)]
    if _is_multivariate(value):
        return [_correlated(key, value)]
    if hasattr(value, "dist") and hasattr(value, "args"):
        return _scipy(key, value)
    for methods in (_METHODS, _NEW_METHODS):
        if not hasattr(value, "freeze") and all(
            callable(getattr(value, m, None)) for m in methods
        ):
            return [_wrapped(key, value)]
    raise TypeError(
        f"'{key}': expected (low, high), a frozen continuous scipy.stats distribution, "
        f"a frozen multivariate_normal, or an object with the methods "
        f"{', '.join(_METHODS)}; got {type(value).__name__}"
    )


def _vector(*values):
    """Numbers or (k,) arrays broadcast to the same (k,), float64."""
    if all(isinstance(v, (int, float)) for v in values):
        return [np.array([float(v)]) for v in values]
    arrays = np.broadcast_arrays(*[np.asarray(v, dtype=float) for v in values])
    if arrays[0].ndim > 1:
        raise ValueError("arguments of a distribution must be numbers or 1-D arrays")
    return [np.array(np.atleast_1d(a)) for a in arrays]


def _box(key, value):
    if len(value) != 2:
        raise ValueError(
            f"'{key}': a uniform prior is a pair (low, high), got {len(value)} values"
        )
    low, high = _vector(*value)
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
        raise ValueError(f"'{key}': low < high must be finite, got {value!r}")
    return family.Uniform(low, high)


def _is_multivariate(value):
    return hasattr(value, "mean") and hasattr(value, "cov_object")


def _correlated(key, value):
    mean = np.atleast_1d(np.array(value.mean, dtype=float))
    covariance = np.array(value.cov_object.covariance, dtype=float)
    try:
        part = family.Correlated(mean, covariance)
    except np.linalg.LinAlgError:
        raise ValueError(
            f"'{key}': the covariance is not positive definite; remove parameters that "
            "are linear combinations of others"
        ) from None
    if np.array_equal(covariance, np.diag(np.diag(covariance))):
        return family.Normal(mean, np.sqrt(np.diag(covariance)))
    return part


def _arguments(value):
    """Shape arguments, loc and scale of a frozen scipy distribution, by name."""
    shapes = [s.strip() for s in (value.dist.shapes or "").split(",") if s.strip()]
    names = [*shapes, "loc", "scale"]
    given = dict(zip(names, value.args, strict=False))
    return {"loc": 0.0, "scale": 1.0, **given, **value.kwds}


def _scipy(key, value):
    """Parts of a frozen scipy distribution: our own where we have one."""
    name = getattr(value.dist, "name", "")
    if not hasattr(value, "pdf") or not hasattr(value.dist, "logpdf"):
        raise TypeError(
            f"'{key}': {name} is discrete; priors need continuous distributions"
        )
    given = _arguments(value)
    arrays = dict(zip(given, _vector(*given.values()), strict=True))
    bad = not (arrays["scale"] > 0).all() or not all(
        np.isfinite(a).all() for a in arrays.values()
    )
    support = np.array(np.broadcast_arrays(*value.support()), dtype=float)
    if bad or np.isnan(support).any():
        raise ValueError(f"'{key}': {name} is not defined for the arguments {given}")
    loc, scale = arrays["loc"], arrays["scale"]
    if name == "uniform":
        return [family.Uniform(loc, loc + scale)]
    if name == "norm":
        return [family.Normal(loc, scale)]
    if name == "lognorm":
        return [family.LogNormal(arrays["s"], loc, scale)]
    if name in ("loguniform", "reciprocal") and (loc == 0).all():
        return [family.LogUniform(arrays["a"] * scale, arrays["b"] * scale)]
    return [
        family.Wrapped(value.dist(**{k: float(a[i]) for k, a in arrays.items()}))
        for i in range(loc.size)
    ]


def _wrapped(key, value):
    if np.shape(value.cdf(0.5)) != ():
        raise ValueError(f"'{key}': the distribution must be that of one number")
    return family.Wrapped(value)


def _is_vector(value):
    """Whether an entry stands for several columns even if there is only one."""
    if isinstance(value, (tuple, list)):
        return any(np.ndim(v) for v in value)
    if _is_multivariate(value):
        return True
    if hasattr(value, "dist") and hasattr(value, "args"):
        return any(np.ndim(v) for v in _arguments(value).values())
    return False


def describe(key, value, k):
    """One entry in plain types; k is its number of columns.

    Objects are told from each other by quantiles of every column.
    """

    def plain(v):
        return np.asarray(v, dtype=float).tolist()

    if isinstance(value, (tuple, list)):
        return {"kind": "box", "low": plain(value[0]), "high": plain(value[1])}
    if _is_multivariate(value):
        mean, covariance = plain(value.mean), plain(value.cov_object.covariance)
        return {"kind": "correlated", "mean": mean, "covariance": covariance}
    if hasattr(value, "dist") and hasattr(value, "args"):
        import scipy.stats

        name = value.dist.name
        if type(getattr(scipy.stats, name, None)) is type(value.dist):
            arguments = {key: plain(v) for key, v in _arguments(value).items()}
            return {"kind": "scipy", "name": name, "arguments": arguments}
    cls = type(value)
    return {
        "kind": "object",
        "type": f"{cls.__module__}.{cls.__qualname__}",
        "k": k,
        "quantiles": [plain(p.ppf(_SHARES[:, None])[:, 0]) for p in _parts(key, value)],
    }


def same(one, other):
    """Whether two descriptions, dicts of entries, are of the same distributions.

    Quantiles of objects may differ by the rounding of another machine or release.
    """
    if list(one) != list(other):
        return False
    return all(_same_entry(one[key], other[key]) for key in one)


def _same_entry(a, b):
    a, b = dict(a), dict(b)
    p, q = (np.array(d.pop("quantiles", []), dtype=float) for d in (a, b))
    if a != b or p.shape != q.shape:
        return False
    if not p.size:
        return True
    # in units of each column's spread, which may be small beside its place
    room = 1e-8 * np.ptp(p, axis=1) + 1e-14 * abs(p).max(axis=1)
    return bool((abs(p - q) <= room[:, None]).all())


def restore(key, kind):
    """The entry that `describe` described."""
    if kind["kind"] == "box":
        return kind["low"], kind["high"]
    import scipy.stats

    if kind["kind"] == "correlated":
        return scipy.stats.multivariate_normal(kind["mean"], kind["covariance"])
    if kind["kind"] == "scipy":
        return getattr(scipy.stats, kind["name"])(**kind["arguments"])
    raise ValueError(
        f"'{key}' is an object of {kind['type']}, which a description cannot hold: "
        "give the prior itself"
    )
