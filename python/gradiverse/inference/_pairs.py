"""Pairs of true parameters and data, one at a time, for the checks of calibration.

An estimator is anything with ``posterior(x)`` that gives ``sample(n, rng)`` and, for
densities, ``log_prob(theta)`` or ``log_ratio(theta)``. Draws of one observation are
forgotten before the next: memory does not grow with the number of observations.
"""

import warnings

import numpy as np

from ._rows import UnfamiliarData, rows


class Pairs:
    """Truths theta (n, d) and data x, checked; iterates over (truth, x of one row).

    Parameters
    ----------
    theta : (n, d) array
    x : (n, ...) array, or dict of such
    who : str
        Name for messages.
    """

    def __init__(self, theta, x, who):
        self.theta = rows(theta, who, "theta")
        self.x = {k: np.asarray(v) for k, v in x.items()} if _dict(x) else np.asarray(x)
        for name, part in self.x.items() if _dict(x) else [("x", self.x)]:
            if part.ndim == 0 or len(part) != len(self.theta):
                raise ValueError(
                    f"{who}: {name} has shape {part.shape} for {len(self.theta)} rows "
                    "of theta; one set of data for each is needed"
                )
            if part.dtype.kind == "f":
                bad = ~np.isfinite(part.reshape(len(part), -1)).all(axis=1)
                if bad.any():
                    raise ValueError(
                        f"{who}: {bad.sum()} of {len(bad)} rows of {name} are not "
                        "finite (failed simulations): leave those pairs out"
                    )

    def __len__(self):
        return len(self.theta)

    def __iter__(self):
        for i, truth in enumerate(self.theta):
            one = {k: v[i] for k, v in self.x.items()} if _dict(self.x) else self.x[i]
            yield truth, one


def _dict(x):
    return hasattr(x, "items")


def names_of(est, d):
    """Names of d parameters: those of the estimator's prior where it has one."""
    for owner in (est, getattr(est, "prior", None)):
        names = getattr(owner, "names", None)
        if names is not None and not callable(names) and len(names) == d:
            return [str(n) for n in names]
    return [f"theta_{k}" for k in range(d)]


def posterior_of(est, data):
    """The posterior at simulated data, without warnings about those far out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfamiliarData)
        return est.posterior(data)


def draw(posterior, n, d, rng, who):
    """n draws (n, d) of a posterior, checked."""
    draws = np.asarray(posterior.sample(n, rng), np.float64)
    if d == 1 and draws.shape == (n,):
        draws = draws[:, None]
    if draws.shape != (n, d):
        raise ValueError(
            f"{who}: posterior.sample({n}, rng) gave shape {draws.shape}; ({n}, {d}) "
            "is needed"
        )
    if not np.isfinite(draws).all():
        raise ValueError(f"{who}: posterior.sample gave values that are not finite")
    return draws


def whole(n, least, who, name):
    """n as an int of at least `least`."""
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < least:
        raise ValueError(f"{who}: {name}={n!r}; an integer >= {least} is needed")
    return int(n)
