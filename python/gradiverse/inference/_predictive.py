"""Posterior predictive checks: observed summaries among those of new simulations."""

from dataclasses import dataclass, field

import numpy as np

from ._pairs import whole
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
        Two-sided: twice the smaller tail share, the observation counted, at most 1.
    p_value : float
        The smallest times their number, at most 1.
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
        ``simulator(theta (n, d), rng) -> (n, ...)``.
    x_obs : (...) array
    summaries : dict of name -> callable, optional
        Each takes data (n, ...) and gives (n,). Default: every entry of the data.
    n : int
        Simulations.
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
    x = np.asarray(simulator(theta, rng), np.float64)
    x_obs = np.asarray(x_obs, np.float64)
    if x.shape != (n, *x_obs.shape):
        raise ValueError(
            f"{who}: the simulator gave shape {x.shape} for {n} parameters; "
            f"{(n, *x_obs.shape)} is needed to be like x_obs"
        )
    good = np.isfinite(x.reshape(n, -1)).all(axis=1)
    if good.mean() < 0.5:
        raise ValueError(
            f"{who}: {n - good.sum()} of {n} simulations at the posterior failed"
        )
    x = x[good]
    if summaries is None:
        size = x_obs.size
        summaries = {
            f"x[{k}]": lambda x, k=k: x.reshape(len(x), -1)[:, k] for k in range(size)
        }
    both = np.concatenate([x_obs[None], x])
    values = []
    for name, summary in summaries.items():
        value = np.asarray(summary(both), np.float64)
        if value.shape != (len(both),) or not np.isfinite(value).all():
            raise ValueError(
                f"{who}: summary {name!r} of {len(both)} sets of data has shape "
                f"{value.shape}; one finite number for each is needed"
            )
        values.append(value)
    values = np.stack(values, axis=1)
    observed, simulated = values[0], values[1:]
    tails = [(1 + (simulated >= observed).sum(axis=0)) / len(values)]
    tails.append((1 + (simulated <= observed).sum(axis=0)) / len(values))
    p = np.minimum(1.0, 2 * np.minimum(*tails))
    combined = float(min(1.0, len(p) * p.min()))
    return Predictive(list(summaries), observed, simulated, p, combined)
