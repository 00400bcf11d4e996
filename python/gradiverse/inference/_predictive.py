"""Posterior predictive checks: observed summaries among those of new simulations.

A row is as far out as its most extreme number, s = max -ln(tail share): the shares are
those of ranks, and beyond all other rows they halve with every median excess of the
outermost rows. The share of simulations with s at least that of the observation is a
p-value of exact size for any number of numbers and any law of them.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from ._pairs import whole
from ._parts import columns, flat, joined, mapped, shape_of, take
from ._rows import flat_rows
from ._streams import stream


@dataclass(frozen=True)
class Predictive:
    """Result of `posterior_predictive`.

    Attributes
    ----------
    names : list of str
        Of the summaries.
    observed : (k,) array
    simulated : (n, k) array
        Rows of failed simulations are left out.
    p_values : (k,) array
        Of each summary, two-sided: twice the smaller tail share, the observation
        counted, at most 1.
    p_value : float
        Of all summaries together: (1 + simulations at least as far out)/(1 + n), by
        the most extreme summary of each. At least 1/(1 + n).
    """

    names: list
    observed: np.ndarray
    simulated: np.ndarray = field(repr=False)
    p_values: np.ndarray
    p_value: float

    def plot(self):
        """Histograms of the predictions with the observation; a matplotlib Figure."""
        from ._figures import predictive_plot

        return predictive_plot(self)


def posterior_predictive(posterior, simulator, x_obs, summaries=None, n=1000, rng=0):
    """Does the model, at its posterior, produce data like those observed?

    The data are used twice, so that p-values are too large rather than too small: a
    small one is evidence against the model, a large one none for it.

    Parameters
    ----------
    posterior : object with ``sample(n, rng)``, or (m, d) array of draws
    simulator : callable
        ``simulator(theta (n, d), rng) -> (n, ...)``, or a dict of such.
    x_obs : (...) array or dict of arrays
    summaries : dict of name -> callable, optional
        Each takes data (n, ...), or a dict of such, and gives (n,). Default: every
        number of the data.
    n : int
        Simulations; a test at level a needs more than 1/a.
    rng : seed, SeedSequence or Generator

    Returns
    -------
    Predictive

    Raises
    ------
    ValueError
        Shapes do not fit, or fewer than half of the simulations are finite.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> draws = np.random.default_rng(0).normal(size=(500, 1))
    >>> noise = lambda theta, rng: theta + rng.normal(size=(len(theta), 5))
    >>> summaries = {"spread": lambda x: x.std(axis=1)}
    >>> x = np.array([-30.0, 30.0, 0.0, -30.0, 30.0])
    >>> gv.inference.posterior_predictive(draws, noise, x, summaries).p_value < 0.01
    True
    """
    who = "gv.inference.posterior_predictive"
    n, rng = whole(n, 10, who, "n"), stream(rng, "predictive")
    if hasattr(posterior, "sample"):
        theta = np.asarray(posterior.sample(n, rng))
    else:
        draws = flat_rows(posterior, who, "posterior")
        theta = draws[rng.integers(0, len(draws), n)]
    x = mapped(simulator(theta, rng), _real)
    x_obs = mapped(x_obs, _real)
    if shape_of(x, 0) != mapped(x_obs, lambda a: (n, *a.shape)):
        raise ValueError(
            f"{who}: the simulator gave shape {shape_of(x, 0)} for {n} parameters; "
            f"{mapped(x_obs, lambda a: (n, *a.shape))} is needed to be like x_obs"
        )
    good = np.isfinite(flat(x)).all(axis=1)
    if good.mean() < 0.5:
        raise ValueError(
            f"{who}: {n - good.sum()} of {n} simulations at the posterior failed"
        )
    both = joined([mapped(x_obs, lambda a: a[None]), take(x, good)])
    names, values = _values(both, summaries, who)
    observed, simulated = values[0], values[1:]
    tails = [(1 + (simulated >= observed).sum(axis=0)) / len(values)]
    tails.append((1 + (simulated <= observed).sum(axis=0)) / len(values))
    p = np.minimum(1.0, 2 * np.minimum(*tails))
    far = outermost(values)
    combined = float((far >= far[0]).mean())
    return Predictive(names, observed, simulated, p, combined)


def _real(a):
    return np.asarray(a, np.float64)


def _values(data, summaries, who):
    """Names and values (rows, k) of the summaries."""
    if summaries is None:
        names, values = columns(shape_of(data)), flat(data)
        if not np.isfinite(values[0]).all():
            raise ValueError(f"{who}: x_obs is not finite")
        return names, values
    rows, found = len(flat(data)), []
    for name, summary in summaries.items():
        value = np.asarray(summary(data), np.float64)
        if value.shape != (rows,) or not np.isfinite(value).all():
            raise ValueError(
                f"{who}: summary {name!r} of {rows} sets of data has shape "
                f"{value.shape}; one finite number for each is needed"
            )
        found.append(value)
    return list(summaries), np.stack(found, axis=1)


def outermost(values):
    """How far out each row (n, k) is among all: the largest -ln tail share (n,)."""
    n = len(values)
    below = stats.rankdata(values, "max", axis=0)  # rows at most as high
    above = n + 1 - stats.rankdata(values, "min", axis=0)
    score = np.log(n) - np.log(np.minimum(below, above))
    order = np.sort(values, axis=0)
    for ends, side in ((order[::-1], above), (-order, below)):
        gap = ends[0] - ends[1]
        row = np.argmin(side, axis=0)  # the outermost, alone where there is a gap
        score[row, np.arange(values.shape[1])] += np.where(
            gap > 0, np.log(2) * gap / _excess(ends), 0.0
        )
    return score.max(axis=1)


def _excess(ends):
    """Median excess of the outermost rows over the next one, of values that descend.

    Half of the outermost rows must differ for it; else the standard deviation.
    """
    most = max(4, len(ends) // 20)
    excess = np.median(ends[:most] - ends[most], axis=0)
    sd = ends.std(axis=0)
    return np.where(excess > 0, excess, np.where(sd > 0, sd, 1.0))
