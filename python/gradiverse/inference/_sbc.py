"""Simulation-based calibration: ranks of truths among posterior draws."""

from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from ._coverage import inside
from ._pairs import Pairs, draw, names_of, posterior_of, whole
from ._streams import stream


@dataclass(frozen=True)
class SBC:
    """Ranks and their tests; made by `sbc`.

    Attributes
    ----------
    ranks : (n, d) int64 array
        Number of draws below the truth, 0 to n_draws; ties at random.
    n_draws : int
    names : list of str
    bins : int
        Bins of the chi-square test; equal where they divide n_draws + 1.
    p_values : (d,) array
        Chi-square test of each parameter against the discrete uniform law.
    p_value : float
        The smallest of them times their number, at most 1 (Bonferroni).
    """

    ranks: np.ndarray
    n_draws: int
    names: list
    bins: int
    p_values: np.ndarray = field(repr=False)
    p_value: float

    def ecdf(self, level=0.95):
        """Empirical distribution of the ranks with a band that holds all of it.

        Parameters
        ----------
        level : float
            Probability that a uniform sample's curve lies inside everywhere.

        Returns
        -------
        (z, curves, low, high)
            Points z (m,) in (0, 1], curves (m, d), limits (m,) of their values. Points
            are the possible ranks, at most 200 of them.
        """
        n, length = len(self.ranks), self.n_draws + 1
        cuts = np.unique(np.linspace(1, length, min(length, 200)).round().astype(int))
        z = cuts / length
        curves = np.stack([(self.ranks < c).mean(axis=0) for c in cuts])
        low, high = ecdf_band(n, z, level)
        return z, curves, low, high

    def plot(self, ax=None, level=0.95):
        """Difference of the curves from the diagonal, with the band.

        Parameters
        ----------
        ax : matplotlib Axes, optional
        level : float

        Returns
        -------
        matplotlib Axes
        """
        from ._figures import rank_plot

        return rank_plot(self, ax, level)


def sbc(est, theta, x, n_draws=99, rng=0, *, bins=None):
    """Ranks of truths among posterior draws, with a chi-square test of uniformity.

    Of a posterior that is exact, every rank 0..n_draws is equally likely (Talts et al.
    2018, arXiv:1804.06788); so it is of the prior itself, which passes: look at the
    contraction beside it (`tarp`).

    Parameters
    ----------
    est : object
        Anything with ``posterior(x)`` giving ``sample(n, rng)``.
    theta : (n, d) array
        Truths from the prior.
    x : (n, ...) array or dict of arrays
        Data simulated from them.
    n_draws : int
        Posterior draws for each, independent ones.
    rng : seed, SeedSequence or Generator
    bins : int, optional
        Default: at most 20, of which each expects 5 truths, dividing n_draws + 1 if
        such a number of at least 5 exists. Others make bins of nearly equal numbers of
        ranks, with their own expectations.

    Returns
    -------
    SBC

    Raises
    ------
    ValueError
        Shapes do not fit, data are not finite, truths lie outside the prior, or there
        are fewer than 10.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> class Exact:                         # theta ~ N(0, 1), x ~ N(theta, 1)
    ...     def posterior(self, x):
    ...         self.mean = x / 2
    ...         return self
    ...     def sample(self, n, rng):
    ...         return self.mean + np.sqrt(0.5) * rng.normal(size=(n, 1))
    >>> rng = np.random.default_rng(0)
    >>> theta = rng.normal(size=(500, 1))
    >>> x = theta + rng.normal(size=theta.shape)
    >>> gv.inference.sbc(Exact(), theta, x).p_value > 0.01
    True
    """
    who = "gv.inference.sbc"
    n_draws = whole(n_draws, 1, who, "n_draws")
    pairs, rng = Pairs(theta, x, who), stream(rng, "sbc")
    n, d = pairs.theta.shape
    if n < 10:
        raise ValueError(f"{who}: {n} truths; a test needs at least 10")
    inside(est, pairs.theta, who)
    ranks = np.empty((n, d), np.int64)
    names = None
    for i, (truth, data) in enumerate(pairs):
        posterior = posterior_of(est, data)
        names = names or names_of(posterior, d)
        draws = draw(posterior, n_draws, d, rng, who)
        ranks[i] = rank(draws, truth, rng)
    if names[0] == "theta_0":
        names = names_of(est, d)
    bins = bins if bins is None else whole(bins, 2, who, "bins")
    return of_ranks(ranks, n_draws, names, bins)


def rank(draws, truth, rng):
    """Draws (L, d) below the truth (d,), ties at random."""
    below = (draws < truth).sum(axis=0)
    return below + rng.integers(0, (draws == truth).sum(axis=0) + 1)


def of_ranks(ranks, n_draws, names, bins=None):
    """SBC of ranks (n, d)."""
    n, d = ranks.shape
    bins = min(_bins(n, n_draws + 1) if bins is None else bins, n_draws + 1)
    p = np.array([uniform_p(ranks[:, k], n_draws + 1, bins) for k in range(d)])
    return SBC(ranks, n_draws, names, bins, p, float(min(1.0, d * p.min())))


def _bins(n, length):
    """Number of bins for n ranks of `length` values."""
    most = int(np.clip(n // 5, 2, min(20, length)))
    divisors = [b for b in range(min(5, most), most + 1) if length % b == 0]
    return divisors[-1] if divisors else most


def uniform_p(ranks, length, bins):
    """Chi-square p-value of ranks against the uniform law on 0..length - 1."""
    edges = (np.arange(bins + 1) * length) // bins
    counts = np.diff(np.searchsorted(np.sort(ranks), edges))
    expected = len(ranks) * np.diff(edges) / length
    return float(stats.chisquare(counts, expected).pvalue)


def ecdf_band(n, z, level=0.95, repeats=4000):
    """Limits that hold the whole empirical distribution of n uniform numbers.

    At every z the limits are quantiles of Binomial(n, z)/n, all at one probability,
    chosen by simulation (fixed seed) so that all of them hold together with probability
    `level` (Säilynoja et al. 2022, arXiv:2103.10522).

    Returns
    -------
    (low, high) : (m,) arrays
    """
    rng = np.random.default_rng(20_220)
    inner = z[z < 1]
    widths = np.diff(np.concatenate([[0.0], inner, [1.0]]))
    counts = rng.multinomial(n, widths / widths.sum(), repeats)[:, :-1].cumsum(axis=1)
    low_tail = stats.binom.cdf(counts, n, inner)
    high_tail = stats.binom.sf(counts - 1, n, inner)
    least = np.minimum(low_tail, high_tail).min(axis=1)
    gamma = np.quantile(least, 1 - level)
    low, high = np.ones(len(z)), np.ones(len(z))
    low[z < 1] = stats.binom.ppf(gamma, n, inner) / n
    high[z < 1] = stats.binom.isf(gamma, n, inner) / n
    return low, high
