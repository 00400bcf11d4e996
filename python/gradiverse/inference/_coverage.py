"""Expected coverage of credible regions, with Jeffreys bands.

For a truth with density t* among draws of its posterior with densities t, the region
of higher density has credibility c = share of draws with t > t*. Where the posterior is
exact, c is uniform over truths from the prior; the share of truths with c below 1 - a
is the coverage at credibility 1 - a. From L draws c = (k + u)/(L + 1), k the number of
higher ones and u uniform (u over one more than the number of ties): uniform for any L
and any discreteness, without noise on the densities themselves.
"""

import numpy as np
import pandas as pd
from scipy import stats

from ._apart import draws_by_marginal, subsets_of
from ._pairs import Pairs, draw, names_of, posterior_of, whole
from ._streams import stream
from .posterior import Posterior

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.683, 0.8, 0.9, 0.954, 0.99)


def jeffreys(k, n, level=0.95):
    """Central interval of Beta(k + 1/2, n - k + 1/2), closed at 0 and 1.

    Parameters
    ----------
    k, n : array of int
        Successes among trials.
    level : float

    Returns
    -------
    (low, high)

    Examples
    --------
    >>> [round(float(v), 6) for v in jeffreys(683, 1000, 0.6827)]
    [0.668109, 0.697525]
    """
    k, n = np.asarray(k, float), np.asarray(n, float)
    if not 0 < level < 1:
        raise ValueError(f"level={level!r}; a number between 0 and 1 is needed")
    tail = 0.5 * (1 - level)
    low = np.where(k > 0, stats.beta.ppf(tail, k + 0.5, n - k + 0.5), 0.0)
    high = np.where(k < n, stats.beta.isf(tail, k + 0.5, n - k + 0.5), 1.0)
    return low, high


def coverage(
    est,
    theta,
    x,
    levels=LEVELS,
    *,
    n_draws=1000,
    rng=0,
    region=None,
    draws="posterior",
    band=0.95,
):
    """How often credible regions hold the truth, beside how often they should.

    Parameters
    ----------
    est : object
        Anything with ``posterior(x)`` giving ``sample(n, rng)`` and ``log_prob(theta)``
        or ``log_ratio(theta)``, which return (n,) for a joint density, else (n,
        marginals).
    theta : (n, d) array
        Truths, drawn from the prior the posterior was made for, ``est.prior``: after
        truncation that is the truncated one.
    x : (n, ...) array or dict of arrays
        Data simulated from the truths.
    levels : sequence of float
        Credibilities in (0, 1).
    n_draws : int
        Posterior draws for each observation; they are forgotten afterwards. A
        `Posterior` of one-dimensional marginals needs none.
    rng : seed, SeedSequence or Generator
    region : None, "density" or "ratio"
        Regions of highest posterior density, or of highest likelihood ratio. None: the
        first, but the second for a posterior that has neither ``log_prob`` nor (itself
        or its estimator) ``prior``; the table says which.
    draws : "posterior" or "prior"
        "prior": stratified draws of ``est.prior``, weighted by the exponential of
        ``est.log_ratio(theta, x)``; cheap where the posterior is not much narrower. Not
        for recalibrated estimators.
    band : float
        Probability of the Jeffreys interval.

    Returns
    -------
    DataFrame
        Columns parameter, level, coverage, low, high, n, region. One curve for each
        marginal density the posterior has. A joint density of several parameters gives
        the curve "joint", and each parameter that of its central intervals.

    Raises
    ------
    ValueError, TypeError
        Shapes do not fit, data are not finite, truths lie outside the prior, or the
        posterior has no density.

    Examples
    --------
    >>> import numpy as np, scipy.stats, gradiverse as gv
    >>> class Exact:                         # theta ~ N(0, 1), x ~ N(theta, 1)
    ...     def posterior(self, x):
    ...         self.law = scipy.stats.norm(x[0] / 2, np.sqrt(0.5))
    ...         return self
    ...     def sample(self, n, rng):
    ...         return self.law.rvs((n, 1), random_state=rng)
    ...     def log_prob(self, theta):
    ...         return self.law.logpdf(theta[:, 0])
    >>> rng = np.random.default_rng(0)
    >>> theta = rng.normal(size=(300, 1))
    >>> x = theta + rng.normal(size=theta.shape)
    >>> table = gv.inference.coverage(Exact(), theta, x, [0.683])
    >>> bool(table.low[0] < 0.683 < table.high[0])
    True
    """
    levels = np.atleast_1d(np.asarray(levels, float))
    if levels.ndim != 1 or not ((levels > 0) & (levels < 1)).all():
        raise ValueError(
            "gv.inference.coverage: levels must be credibilities between 0 and 1"
        )
    c, kinds = credibility(est, theta, x, n_draws, rng, region, draws)
    return coverage_table(c, kinds, levels, band)


def coverage_table(c, kinds, levels, band=0.95):
    """Coverage of credibilities c (DataFrame, one column a curve) at levels."""
    parts = []
    for name in c:
        k = (c[name].to_numpy()[:, None] < levels).sum(axis=0)
        low, high = jeffreys(k, len(c), band)
        parts.append(
            pd.DataFrame(
                {
                    "parameter": name,
                    "level": levels,
                    "coverage": k / len(c),
                    "low": low,
                    "high": high,
                    "n": len(c),
                    "region": kinds[name],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def credibility(est, theta, x, n_draws=1000, rng=0, region=None, draws="posterior"):
    """Credibility of the region that just leaves out each truth.

    Returns
    -------
    (DataFrame (n, curves), dict)
        Credibilities, and the kind of region of each curve.
    """
    who = "gv.inference.coverage"
    if region not in (None, "density", "ratio"):
        raise ValueError(f"{who}: region={region!r}; choose None, 'density' or 'ratio'")
    if draws not in ("posterior", "prior"):
        raise ValueError(f"{who}: draws={draws!r}; choose 'posterior' or 'prior'")
    n_draws = whole(n_draws, 2, who, "n_draws")
    pairs, rng = Pairs(theta, x, who), stream(rng, "coverage")
    inside(est, pairs.theta, who)
    one = _from_posterior if draws == "posterior" else _from_prior
    found, kinds = [], None
    for truth, data in pairs:
        values, kinds = one(est, truth, data, n_draws, rng, region, who)
        found.append(values)
    return pd.DataFrame(np.array(found), columns=list(kinds)), kinds


def inside(owner, theta, who):
    """Refuse truths (n, d) that the prior of an estimator or posterior never draws."""
    prior = getattr(owner, "prior", None)
    if not hasattr(prior, "contains"):
        return
    if theta.shape[1] != prior.d:
        raise ValueError(
            f"{who}: theta has shape {theta.shape}; (n, {prior.d}) is needed, a column "
            f"for each of {', '.join(prior.names)}"
        )
    out = ~prior.contains(theta)
    if out.any():
        i = int(np.argmax(out))
        low, high = prior.bounds.T
        k = int(np.argmax((theta[i] < low) | (theta[i] > high)))
        raise ValueError(
            f"{who}: {out.sum()} of {len(theta)} truths lie outside the prior of the "
            f"estimator (row {i}: {prior.names[k]} = {theta[i, k]:.6g} is not in "
            f"[{low[k]:.6g}, {high[k]:.6g}]); draw them by est.prior.sample(n, rng), "
            "after truncation too, and simulate the data from those"
        )


def _from_posterior(est, truth, data, n, rng, region, who):
    posterior = posterior_of(est, data)
    if not hasattr(est, "prior"):
        inside(posterior, truth[None], who)
    if _tabulated(posterior):
        region = region or "density"
        labels = _labels(names_of(posterior, len(truth)), posterior.marginals,
                         len(posterior.marginals), who)  # fmt: skip
        return list(posterior.credibility(truth, region)), dict.fromkeys(labels, region)
    draws = draw(posterior, n, len(truth), rng, who)
    sets = draws_by_marginal(posterior, draws, rng)
    return of_draws(est, posterior, draws, sets, truth, rng, region, who)


def _tabulated(posterior):
    """Whether it is one of this package with one-dimensional marginals alone."""
    return isinstance(posterior, Posterior) and all(
        len(m) == 1 for m in posterior.marginals
    )


def of_draws(est, posterior, draws, sets, truth, rng, region, who):
    """Credibilities of one truth among posterior draws, and the kinds of regions.

    `sets` are those of `draws_by_marginal`.
    """
    d = len(truth)
    density, region = _density(est, posterior, region, who)
    names = names_of(posterior, d)
    if names[0] == "theta_0":
        names = names_of(est, d)
    values, subsets = {}, None
    for these, marginals in sets:
        # the truth first: one call, and no row counts less than another
        t = density(np.concatenate([truth[None], these]))
        subsets = subsets_of(posterior, t.shape[1])
        for k in range(t.shape[1]) if marginals is None else marginals:
            values[k] = _share_above(t[1:, k], t[0, k], rng)
    values = [values[k] for k in sorted(values)]
    if len(values) == 1 and d > 1 and not subsets:
        labels = ["joint"]
    else:
        labels = _labels(names, subsets, len(values), who)
    kinds = dict.fromkeys(labels, region)
    if labels == ["joint"]:
        for k, name in enumerate(names):
            below = 1 - _share_above(draws[:, k], truth[k], rng)
            values.append(abs(2 * below - 1))
            kinds[name] = "central"
    return values, kinds


def _density(est, posterior, region, who):
    """Function theta -> (n, curves) whose order makes the regions, and their kind."""
    ratio, log_prob = (getattr(posterior, k, None) for k in ("log_ratio", "log_prob"))
    prior = getattr(posterior, "prior", None) or getattr(est, "prior", None)
    if ratio is None and log_prob is None:
        raise TypeError(f"{who}: the posterior has neither log_prob nor log_ratio")
    if region is None:
        region = "ratio" if log_prob is None and prior is None else "density"
    return _ordering(posterior, ratio, log_prob, prior, region, who), region


def _ordering(posterior, ratio, log_prob, prior, region, who):
    if region == "ratio":
        if ratio is None:
            raise TypeError(f"{who}: region='ratio' needs posterior.log_ratio")
        return lambda theta: _columns(ratio(theta), len(theta), who)

    def both(theta):
        h = _columns(ratio(theta), len(theta), who)
        return h + _log_prior(prior, subsets_of(posterior, h.shape[1]), theta, h, who)

    known = ratio is not None and prior is not None
    known = known and not getattr(posterior, "mixture", False)
    joint = getattr(posterior, "joint", None)
    if known and joint is not None and (joint or _independent(prior)):
        return both  # the order needs no evidence
    if log_prob is not None:
        return lambda theta: _columns(log_prob(theta), len(theta), who)
    if known:
        return both
    raise TypeError(
        f"{who}: this posterior has log_ratio but neither log_prob nor prior, so "
        "regions of highest density are unknown; give region='ratio'"
    )


def _independent(prior):
    from ._distributions import Correlated
    from .prior import Prior

    return isinstance(prior, Prior) and not any(
        isinstance(part, Correlated) for _, part in prior._parts
    )


def _log_prior(prior, subsets, theta, h, who):
    if h.shape[1] == 1 and (subsets is None or len(subsets[0]) == theta.shape[1]):
        return prior.log_prob(theta)[:, None]
    from ._coordinates import column_log_prob

    columns = column_log_prob(prior, theta)
    subsets = subsets or [(k,) for k in range(h.shape[1])]
    return np.stack([columns[:, list(m)].sum(axis=1) for m in subsets], axis=1)


def _columns(t, n, who):
    t = np.asarray(t, np.float64)
    t = t[:, None] if t.ndim == 1 else t
    if t.ndim != 2 or len(t) != n:
        raise ValueError(
            f"{who}: the posterior's density at {n} points has shape {t.shape}; ({n},) "
            f"or ({n}, marginals) is needed"
        )
    if np.isnan(t).any():
        raise ValueError(f"{who}: the posterior's density is not a number somewhere")
    return t


def _labels(names, subsets, count, who):
    if subsets is None:
        if count != len(names):
            raise ValueError(
                f"{who}: {count} densities for {len(names)} parameters; a posterior of "
                "other marginals names them by an attribute `marginals` (index tuples)"
            )
        subsets = [(k,) for k in range(count)]
    labels = [", ".join(names[k] for k in m) for m in subsets]
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise ValueError(
            f"{who}: there are {labels.count(twice)} marginals of {twice}; an estimator"
            " with one of each is needed"
        )
    return labels


def _share_above(t, truth, rng, weights=None):
    """Credibility of the draws above the truth; ties count by a uniform share."""
    above, equal = t > truth, t == truth
    if weights is None:
        return (above.sum() + rng.random() * (1 + equal.sum())) / (len(t) + 1)
    return (weights @ above + rng.random() * (weights @ equal)) / weights.sum()


def _from_prior(est, truth, data, n, rng, region, who):
    for name in ("prior", "log_ratio"):
        if not hasattr(est, name):
            raise TypeError(f"{who}: draws='prior' needs est.{name}")
    if getattr(est, "tilts", None) is not None:
        raise ValueError(
            f"{who}: log_ratio knows nothing of the recalibration; give"
            " draws='posterior'"
        )
    d = len(truth)
    # one draw in each of n strata of every parameter, strata shuffled between columns
    strata = np.stack([rng.permutation(n) for _ in range(d)], axis=1)
    theta = est.prior.ppf((strata + rng.random((n, d))) / n)
    theta = np.concatenate([truth[None], theta])
    h = _columns(est.log_ratio(theta, data), n + 1, who)
    subsets = subsets_of(est, h.shape[1])
    t, region = h, region or "density"
    if region == "density":
        t = h + _log_prior(est.prior, subsets, theta, h, who)
    names = names_of(est, d)
    if h.shape[1] == 1 and d > 1 and subsets is None:
        labels = ["joint"]
    else:
        labels = _labels(names, subsets, h.shape[1], who)
    weights = np.exp(h[1:] - h[1:].max(axis=0))
    values = [
        _share_above(t[1:, k], t[0, k], rng, weights[:, k]) for k in range(h.shape[1])
    ]
    return values, dict.fromkeys(labels, region)
