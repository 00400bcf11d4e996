"""The no-U-turn sampler with multinomial choice, in coordinates whitened beforehand.

A trajectory doubles forwards or backwards at random until its ends turn towards each
other; the next state is drawn from all its states by weight exp(-H), later halves being
preferred (Hoffman and Gelman 2014; Betancourt 2017). Step sizes are adapted in the
warm-up by dual averaging.
"""

import numpy as np

MAX_DEPTH = 8
DIVERGED = 1000.0  # energy error
WINDOWS = (0.2, 0.45, 0.8)  # of the warm-up, after which coordinates are whitened anew


class _Tree:
    """Ends, proposal and log weight of a piece of a trajectory."""

    __slots__ = ("accept", "left", "momentum", "n", "ok", "proposal", "right", "weight")

    def __init__(self, state, weight, accept, ok):
        self.left = self.right = self.proposal = state
        self.momentum = state[1].copy()
        self.weight, self.accept, self.n, self.ok = weight, accept, 1, ok


def _leap(f, state, step):
    q, p, g, _ = state
    p = p + 0.5 * step * g
    q = q + step * p
    value, g = f(q)
    return q, p + 0.5 * step * g, g, value


def _turns(rho, first, last):
    return rho @ first[1] <= 0 or rho @ last[1] <= 0


def _turned(left, right):
    """Do the ends of the joined pieces, or of one and the near end of the other, run
    towards each other, by the sum of the momenta between?

    The second kind stops trajectories that closed upon themselves between checks.
    """
    return (
        _turns(left.momentum + right.momentum, left.left, right.right)
        or _turns(left.momentum + right.left[1], left.left, right.left)
        or _turns(left.right[1] + right.momentum, left.right, right.right)
    )


def _join(a, b, forward, rng, biased):
    """The tree of both; b was grown from an end of a."""
    out = object.__new__(_Tree)
    out.left = a.left if forward else b.left
    out.right = b.right if forward else a.right
    out.momentum = a.momentum + b.momentum
    out.weight = np.logaddexp(a.weight, b.weight)
    share = b.weight - (a.weight if biased else out.weight)
    take = np.log(rng.random()) < share
    out.proposal = b.proposal if take else a.proposal
    out.accept, out.n = a.accept + b.accept, a.n + b.n
    out.ok = a.ok and b.ok and not _turned(*((a, b) if forward else (b, a)))
    return out


def _grow(f, state, depth, step, energy, rng):
    if depth == 0:
        new = _leap(f, state, step)
        change = energy - (0.5 * new[1] @ new[1] - new[3])
        change = change if np.isfinite(change) else -np.inf
        accept = min(1.0, np.exp(min(change, 0.0)))
        return _Tree(new, change, accept, change > -DIVERGED)
    a = _grow(f, state, depth - 1, step, energy, rng)
    if not a.ok:
        return a
    forward = step > 0
    b = _grow(f, a.right if forward else a.left, depth - 1, step, energy, rng)
    if not b.ok:
        b.accept, b.n = a.accept + b.accept, a.n + b.n
        return b
    return _join(a, b, forward, rng, biased=False)


def draw(f, q, value, gradient, step, rng):
    """One transition; returns (q, value, gradient, acceptance, leaps)."""
    p = rng.normal(size=q.shape)
    energy = 0.5 * p @ p - value
    tree = _Tree((q, p, gradient, value), 0.0, 0.0, True)
    tree.n = 0
    for depth in range(MAX_DEPTH):
        forward = rng.random() < 0.5
        end = tree.right if forward else tree.left
        new = _grow(f, end, depth, step if forward else -step, energy, rng)
        tree.accept, tree.n = tree.accept + new.accept, tree.n + new.n
        if not new.ok:
            break
        total = tree.accept, tree.n
        new.accept, new.n = 0.0, 0
        tree = _join(tree, new, forward, rng, biased=True)
        tree.accept, tree.n = total
        if not tree.ok:
            break
    q, _, gradient, value = tree.proposal
    return q, value, gradient, tree.accept / max(tree.n, 1), tree.n


class StepSize:
    """Dual averaging of ln step towards an acceptance of `target`."""

    def __init__(self, step=0.6, target=0.8):
        self.mu, self.target = np.log(2.0 * step), target
        self.log_step, self.mean, self.error, self.t = (
            np.log(step),
            np.log(step),
            0.0,
            0,
        )

    def update(self, accept):
        """Take in the acceptance of one transition."""
        self.t += 1
        self.error += (self.target - accept - self.error) / (self.t + 10)
        self.log_step = self.mu - np.sqrt(self.t) / 0.05 * self.error
        share = self.t**-0.75
        self.mean = share * self.log_step + (1 - share) * self.mean


def _whitened(f, centre, W):
    def g(q):
        value, gradient = f(centre + W @ q)
        return value, W.T @ gradient

    return g


def run(f, start, n, warmup, rng, say=None):
    """A chain and the number of gradients taken.

    At the ends of WINDOWS of the warm-up the coordinates are whitened again by the
    covariance of the window's states, drawn towards the last by five states' weight.

    Parameters
    ----------
    f : callable
        q -> (log density, gradient), of about unit covariance.
    start : (p,) array
    n, warmup : int

    Returns
    -------
    (n, p) array, int
    """
    p = len(start)
    centre, W, g = np.zeros(p), np.eye(p), f
    q = np.array(start)
    value, gradient = g(q)
    size, out, leaps, seen = StepSize(), np.empty((n, p)), 0, []
    ends = [int(share * warmup) for share in WINDOWS]
    for i in range(warmup + n):
        if i in ends and len(seen) > p:
            x, at = np.array(seen), centre + W @ q
            cov = (len(x) * np.cov(x.T) + 5.0 * W @ W.T) / (len(x) + 5.0)
            centre, W = x.mean(axis=0), np.linalg.cholesky(cov)
            g = _whitened(f, centre, W)
            q = np.linalg.solve(W, at - centre)
            value, gradient = g(q)
            size, seen = StepSize(), []
        step = np.exp(size.log_step if i < warmup else size.mean)
        q, value, gradient, accept, count = draw(g, q, value, gradient, step, rng)
        leaps += count
        if i < warmup:
            size.update(accept)
            if i >= ends[0] // 2:
                seen.append(centre + W @ q)
        else:
            out[i - warmup] = centre + W @ q
        if say is not None:
            say(i)
    return out, leaps


def split_rhat(x):
    """Split R-hat of (chains, draws) values."""
    half = x.shape[1] // 2
    parts = np.concatenate([x[:, :half], x[:, -half:]])
    within = parts.var(axis=1, ddof=1).mean()
    between = parts.mean(axis=1).var(ddof=1)
    return float(np.sqrt(((half - 1) / half * within + between) / within))


def effective(x):
    """Effective number of draws of (chains, draws) values, by Geyer's initial positive
    sequence of the autocorrelations averaged over chains."""
    m, n = x.shape
    y = x - x.mean(axis=1, keepdims=True)
    f = np.fft.rfft(y, 2 * n, axis=1)
    cov = np.fft.irfft(f * np.conj(f), axis=1)[:, :n].mean(axis=0) / n
    within = cov[0] * n / (n - 1)
    total = (n - 1) / n * within
    if m > 1:
        total += x.mean(axis=1).var(ddof=1)
    rho = 1.0 - (within - cov) / total
    rho[0] = 1.0
    pairs = rho[: n // 2 * 2].reshape(-1, 2).sum(axis=1)
    stop = np.argmax(pairs < 0) if (pairs < 0).any() else len(pairs)
    pairs = np.minimum.accumulate(pairs[:stop])
    tau = max(2.0 * pairs.sum() - 1.0, 1.0 / np.log10(m * n))
    return float(m * n / tau)
