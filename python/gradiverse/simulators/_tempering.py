"""Draws from prior times likelihood: tempered particles, moved by an ensemble sampler.

In z = ndtri(prior cdf) the prior is N(0, I) without edges. Particles start there, the
likelihood is raised to a power that grows so that the effective sample size halves at
most, and every stage resamples and moves. A move is x + g (a - b) + small noise with a
and b from the other half of the particles (ter Braak 2006): it takes the shape of the
posterior and, with g = 1 now and then, jumps between modes. Each half is moved given
the other, so the posterior is left as it is.
"""

import numpy as np
from scipy.special import ndtr

STAGES, SWEEPS = 200, 1000  # at most
MOVES = 20, 8  # accepted for each particle at the end: 20 + 8 d


def sample(prior, log_likelihood, n, rng, least=1000):
    """n draws (n, d); log_likelihood(theta (m, d)) -> (m,).

    Raises
    ------
    ValueError
        No draw of the prior has a finite likelihood.
    """
    size = max(n + n % 2, least)
    z = rng.normal(size=(size, prior.d))

    def evaluate(z):
        value = log_likelihood(prior.ppf(ndtr(z)))
        return np.where(np.isnan(value), -np.inf, value)

    h = evaluate(z)
    if not np.isfinite(h).any():
        raise ValueError("no draw of the prior can have produced this x")
    power = 0.0
    for _ in range(STAGES):
        step = _next(h, 1.0 - power, 0.5 * size)
        weights = np.exp(step * (h - h.max()))
        pick = _systematic(weights, rng)
        z, h = z[pick], h[pick]
        power = min(power + step, 1.0)
        moved, wanted = 0.0, MOVES[0] + MOVES[1] * prior.d if power == 1.0 else 2.0
        for _ in range(SWEEPS):
            z, h, share = _sweep(z, h, power, evaluate, rng)
            moved += share
            if moved >= wanted:
                break
        if power == 1.0:
            break
    else:
        raise ValueError(
            f"{STAGES} stages of tempering did not reach the likelihood of this x; it "
            "is next to impossible under the prior"
        )
    return prior.ppf(ndtr(z[rng.permutation(size)[:n]]))


def _next(h, left, target):
    """Largest step of the power with an effective sample size above target."""

    def size(step):
        w = np.exp(step * (h - h.max()))
        return w.sum() ** 2 / (w * w).sum()

    if size(left) >= target:
        return left
    low, high = 0.0, left
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if size(middle) >= target else (low, middle)
    # impossible draws can keep the size below target at any power: drop them then
    return max(low, 1e-12)


def _systematic(weights, rng):
    """Indices resampled with one uniform number, shuffled."""
    n = len(weights)
    cumulative = np.cumsum(weights)
    points = (np.arange(n) + rng.random()) * (cumulative[-1] / n)
    return rng.permutation(np.minimum(np.searchsorted(cumulative, points), n - 1))


def _sweep(z, h, power, evaluate, rng):
    """One move of every particle, half by half; also the share of those accepted."""
    n, d = z.shape
    cut, moved = n // 2, 0
    z, h = z.copy(), h.copy()
    for mine, other in ((slice(0, cut), slice(cut, n)), (slice(cut, n), slice(0, cut))):
        x, old = z[mine], h[mine]
        pool = z[other]
        m = len(x)
        a, b = rng.integers(0, len(pool), (2, m))
        # steps of all sizes up to the best one for a normal law
        g = 2.38 / np.sqrt(2 * d) * np.exp(rng.uniform(np.log(0.1), 0.1, m))
        g[rng.random(m) < 0.1] = 1.0
        new = x + g[:, None] * (pool[a] - pool[b])
        new += 1e-6 * rng.normal(size=new.shape)
        value = evaluate(new)
        gain = power * (value - old) - 0.5 * ((new**2).sum(1) - (x**2).sum(1))
        with np.errstate(invalid="ignore"):
            accept = np.log(rng.random(m)) < gain
        z[mine] = np.where(accept[:, None], new, x)
        h[mine] = np.where(accept, value, old)
        moved += accept.sum()
    return z, h, moved / n
