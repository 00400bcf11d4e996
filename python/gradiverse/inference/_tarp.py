"""TARP: coverage of balls about random points (Lemos et al. 2023, arXiv:2302.03026).

For a reference point r the share f of draws nearer to r than the truth is uniform
where the posterior is exact and r does not depend on the truth beyond x. From L draws
f = (k + u)/(L + 1), k the number of nearer ones and u uniform: exactly uniform for any
L.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from ._pairs import whole
from ._parts import flat
from ._rows import flat_rows, rows
from ._streams import stream


@dataclass(frozen=True)
class TARP:
    """Result of `tarp`.

    Attributes
    ----------
    f : (n,) array
        Share of draws nearer to the reference than the truth.
    levels, ecp, low, high : (m,) arrays
        Expected coverage probability at levels on [0, 1], and its bootstrap band.
    p_value : float
        Kolmogorov-Smirnov test of f against the uniform law.
    contraction : (d,) array
        1 - mean posterior variance / variance of the truths: 0 for a posterior that is
        the prior, which also passes.
    references : str
        "uniform", "data" or "given".
    """

    f: np.ndarray = field(repr=False)
    levels: np.ndarray = field(repr=False)
    ecp: np.ndarray = field(repr=False)
    low: np.ndarray = field(repr=False)
    high: np.ndarray = field(repr=False)
    p_value: float
    contraction: np.ndarray
    references: str

    def plot(self, ax=None):
        """Expected coverage against level, with the band; the contraction in the title.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        matplotlib Axes
        """
        from ._figures import tarp_plot

        return tarp_plot(self, ax)


def tarp(
    samples,
    theta,
    rng=0,
    *,
    references="uniform",
    x=None,
    levels=None,
    bootstrap=200,
    band=0.95,
):
    """Test of accuracy with random points: joint coverage without densities.

    Truths, draws and references are scaled by the range of the truths.

    Parameters
    ----------
    samples : (n, L, d) array
        Posterior draws for each truth.
    theta : (n, d) array
        Truths from the prior.
    rng : seed, SeedSequence or Generator
    references : "uniform", "data", (n, d) array or callable
        "uniform": uniform in the box of the truths. "data": about a linear prediction
        of theta from x, so that a posterior that ignores x fails; the half of the pairs
        that a prediction serves is not the half that it is fitted on. An array or
        ``references(x, rng)`` must not depend on the truths other than through x.
    x : (n, ...) array or dict of arrays, optional
        For references that depend on data.
    levels : (m,) array, optional
        Default: 101 from 0 to 1.
    bootstrap : int
        Repeats of the band, rows drawn again.
    band : float

    Returns
    -------
    TARP

    Raises
    ------
    ValueError
        Shapes do not fit, values are not finite, or x is missing.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> rng = np.random.default_rng(0)
    >>> theta = rng.normal(size=(200, 2))
    >>> x = theta + rng.normal(size=theta.shape)
    >>> draws = x[:, None] / 2 + np.sqrt(0.5) * rng.normal(size=(200, 100, 2))
    >>> result = gv.inference.tarp(draws, theta, rng)
    >>> result.p_value > 0.01, result.contraction.round(1).tolist()
    (True, [0.5, 0.5])
    """
    who = "gv.inference.tarp"
    theta = rows(theta, who, "theta", least=10)
    n, d = theta.shape
    samples = np.asarray(samples)
    if samples.ndim == 2 and d == 1:
        samples = samples[:, :, None]
    if samples.ndim != 3 or samples.shape[::2] != (n, d) or samples.shape[1] < 1:
        raise ValueError(
            f"{who}: samples have shape {samples.shape}; ({n}, draws, {d}) is needed "
            f"for theta {theta.shape}"
        )
    bootstrap = whole(bootstrap, 1, who, "bootstrap")
    if not 0 < band < 1:
        raise ValueError(f"{who}: band={band!r}; a number between 0 and 1 is needed")
    rng = stream(rng, "tarp")
    points, scale, kind = references_of(references, theta, x, rng, who)
    f, variance, every = np.empty(n), np.zeros(d), [tuple(range(d))]
    for i in range(n):
        draws = samples[i].astype(np.float64)
        if not np.isfinite(draws).all():
            raise ValueError(f"{who}: samples[{i}] are not finite")
        f[i] = shares_nearer(draws, theta[i], points[i], scale, every, rng)[0]
        variance += draws.var(axis=0, ddof=1) / n if len(draws) > 1 else np.nan
    return of_shares(f, theta, variance, kind, rng, levels, bootstrap, band)


def shares_nearer(draws, truth, point, scale, subsets, rng):
    """Share of draws (L, d) nearer to the point than the truth, uniform in its step.

    In the columns of each subset of parameters by themselves: (subsets,).
    """
    ours, limit = ((draws - point) / scale) ** 2, ((truth - point) / scale) ** 2
    if max(map(len, subsets)) > 1:
        ours = np.stack([ours[:, list(m)].sum(axis=1) for m in subsets], axis=1)
        limit = np.array([limit[list(m)].sum() for m in subsets])
    else:
        columns = [m[0] for m in subsets]
        ours, limit = ours[:, columns], limit[columns]
    near, equal = (ours < limit).sum(axis=0), (ours == limit).sum(axis=0)
    return (near + rng.random(len(subsets)) * (1 + equal)) / (len(draws) + 1)


def of_shares(f, theta, variance, kind, rng, levels=None, bootstrap=200, band=0.95):
    """TARP of shares f (n,), with the mean posterior variance (d,)."""
    n = len(f)
    levels = np.linspace(0, 1, 101) if levels is None else np.asarray(levels, float)
    curve = _ecp(np.sort(f), levels)
    again = np.stack(
        [_ecp(np.sort(f[rng.integers(0, n, n)]), levels) for _ in range(bootstrap)]
    )
    tails = np.quantile(again, [(1 - band) / 2, (1 + band) / 2], axis=0)
    p = float(stats.kstest(f, "uniform").pvalue)
    contraction = 1 - variance / theta.var(axis=0, ddof=1)
    return TARP(f, levels, curve, *tails, p, contraction, kind)


def _ecp(f, levels):
    """Share of sorted f below each level."""
    return np.searchsorted(f, levels, side="left") / len(f)


def references_of(references, theta, x, rng, who):
    """Reference points (n, d), the scale of distances, and their kind."""
    scale = np.ptp(theta, axis=0)
    if (scale == 0).any():
        raise ValueError(f"{who}: a column of theta is constant; leave it out")
    points, kind = _points(references, theta, x, scale, rng, who)
    return points, scale, kind


def _points(references, theta, x, scale, rng, who):
    n, d = theta.shape
    if isinstance(references, str):
        if references == "uniform":
            return theta.min(axis=0) + scale * rng.random((n, d)), "uniform"
        if references != "data":
            raise ValueError(
                f"{who}: references={references!r}; choose 'uniform', 'data', an array "
                "or a callable"
            )
        if x is None:
            raise ValueError(f"{who}: references='data' needs x=")
        return _predicted(theta, x, scale, rng, who), "data"
    if callable(references):
        if x is None:
            raise ValueError(f"{who}: a callable for references needs x=")
        references = references(x, rng)
    return rows(references, who, "references", columns=d, least=n)[:n], "given"


def _predicted(theta, x, scale, rng, who):
    """Points about a linear prediction of theta from x, fitted on the other half."""
    x = flat_rows(flat(x) if hasattr(x, "items") else x, who, "x")
    if len(x) != len(theta):
        raise ValueError(f"{who}: {len(x)} rows of x for {len(theta)} of theta")
    sd = x.std(axis=0)
    x = (x - x.mean(axis=0)) / np.where(sd > 0, sd, 1.0)
    order = rng.permutation(len(x))
    halves = np.array_split(order, 2)
    out = np.empty_like(theta)
    for here, there in (halves, halves[::-1]):
        mean = theta[there].mean(axis=0)
        # ridge of one row's weight; in the space of rows where columns are many
        a, b = x[there], theta[there] - mean
        if a.shape[1] <= len(a):
            slope = np.linalg.solve(a.T @ a + np.eye(a.shape[1]), a.T @ b)
        else:
            slope = a.T @ np.linalg.solve(a @ a.T + np.eye(len(a)), b)
        out[here] = mean + x[here] @ slope
    return out + 0.1 * scale * rng.normal(size=out.shape)
