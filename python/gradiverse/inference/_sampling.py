"""Draws from prior times exp(h): annealed from the prior by an ensemble of chains.

All in normal scores z = ndtri(prior cdf): the prior is N(0, I) and has no edges. The
target N(z; 0, I) exp(b h(z)) goes from b = 0 to 1 in stages (sequential Monte Carlo:
Del Moral, Doucet & Jasra 2006). Each stage raises b as far as half of the draws keep
counting, resamples by the weights, and moves the draws by differential-evolution steps
between two halves of the ensemble, which leave the stage's target unchanged. Modes keep
the share that the weights gave them, and the mean weights multiply up to the evidence.
"""

import numpy as np

__all__ = ["Draws", "anneal"]


class Draws:
    """What `anneal` returns.

    Attributes
    ----------
    z : (n, d) array
        Draws in normal scores.
    h : (n,) array
        Their log ratios.
    log_evidence : float
        ln E_prior e^h.
    accepted : float
        Share of accepted moves in the last stage.
    stages : int
    """

    def __init__(self, z, h, log_evidence, accepted, stages):
        self.z, self.h = z, h
        self.log_evidence, self.accepted, self.stages = log_evidence, accepted, stages


def _finite(h):
    if not np.isfinite(h).all():
        raise ValueError(
            f"the log ratio is not finite at {np.count_nonzero(~np.isfinite(h))} of"
            f" {len(h)} draws inside the prior; the network has diverged: train again"
            " with a smaller learning rate"
        )
    return h


def _effective(h, step):
    w = np.exp(step * (h - h.max()))
    return w.sum() ** 2 / (w * w).sum()


def _next(h, b, least):
    """The largest step of b, at most to 1, that keeps `least` draws counting."""
    if _effective(h, 1 - b) >= least:
        return 1 - b
    low, high = 0.0, 1 - b
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _effective(h, middle) >= least else (low, middle)
    return max(low, 1e-6)


def _resample(h, step, n, rng):
    """Indices of n draws by their weights (systematic), and ln of the mean weight."""
    top = h.max()
    cumulative = np.cumsum(np.exp(step * (h - top)))
    points = (rng.random() + np.arange(n)) * (cumulative[-1] / n)
    i = np.minimum(np.searchsorted(cumulative, points, side="right"), len(h) - 1)
    return rng.permutation(i), step * top + np.log(cumulative[-1] / len(h))


def _scale(step, k, d, rng):
    """Lengths of differential steps: to other modes, all and some coordinates."""
    kind = step % 4
    if kind == 0:
        return np.ones((k, 1))
    if kind == 2 and d > 1:
        some = rng.random((k, d)) < 0.5
        return some * rng.uniform(0.1, 1.2, (k, 1))
    return 2.38 / np.sqrt(2 * d) * rng.uniform(0.2, 1.2, (k, 1))


def _nothing(z):
    return np.zeros(len(z))


def _move(log_ratio, base, z, h, b, rng, steps):
    """Every draw moved `steps` times, in place; the share of accepted moves."""
    n, d = z.shape
    accepted, below = 0.0, base(z)
    for step in range(steps):
        order = rng.permutation(n)
        half = order[: n // 2], order[n // 2 :]
        for mine, other in (half, half[::-1]):
            k, m = len(mine), len(other)
            first = rng.integers(0, m, k)
            second = (first + rng.integers(1, m, k)) % m
            way = z[other[first]] - z[other[second]]
            new = z[mine] + _scale(step, k, d, rng) * way
            new += 1e-4 * rng.standard_normal((k, d))
            h_new, below_new = _finite(log_ratio(new)), base(new)
            gain = b * (h_new - h[mine]) - 0.5 * (new**2 - z[mine] ** 2).sum(1)
            gain += below_new - below[mine]
            yes = np.log(rng.random(k)) < gain
            z[mine[yes]], h[mine[yes]] = new[yes], h_new[yes]
            below[mine[yes]] = below_new[yes]
            accepted += yes.mean() / 2
    return accepted / max(steps, 1)


def anneal(
    log_ratio, d, n, rng, *, pool=50_000, steps=8, last=40, least=2000, start=None,
    base=_nothing,
):  # fmt: skip
    """Draws of N(z; 0, I) exp(base(z) + log_ratio(z)).

    Parameters
    ----------
    log_ratio : callable
        (m, d) array -> (m,) array, finite.
    d, n : int
    rng : numpy Generator
    pool : int
        Draws of the prior at the start.
    steps, last : int
        Moves of each draw in a stage, and in the last one.
    least : int
        Smallest size of the ensemble; n of it are returned.
    start : (m, d) array, optional
        Draws of N(z; 0, I) exp(base(z)) to start from, in the place of the prior's.
    base : callable
        Log density relative to N(0, I) that is there from the start, as log_ratio.

    Returns
    -------
    Draws

    Raises
    ------
    ValueError
        If the log ratio is not finite inside the prior.
    """
    size = max(n, least)
    z = rng.standard_normal((max(pool, size), d)) if start is None else start
    h = _finite(log_ratio(z))
    b, log_evidence, stages = 0.0, 0.0, 0
    while b < 1:
        step = _next(h, b, 0.5 * size)
        chosen, log_mean = _resample(h, step, size, rng)
        z, h = z[chosen], h[chosen]
        log_evidence += log_mean
        b = min(b + step, 1.0)
        stages += 1
        now = last if b >= 1 else steps
        accepted = _move(log_ratio, base, z, h, b, rng, now)
    return Draws(z[:n], h[:n], float(log_evidence), accepted, stages)
