"""One page of checks for an estimator: calibration, data, posterior, predictions."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ._apart import draws_by_marginal, joint_of, subsets_of
from ._coverage import coverage_table, inside, of_draws
from ._lc2st import LC2ST
from ._pairs import Pairs, draw, names_of, posterior_of, whole
from ._parts import flat
from ._predictive import posterior_predictive
from ._report_page import write
from ._sbc import of_ranks, rank
from ._streams import stream
from ._tarp import of_shares, references_of, shares_nearer
from ._unfamiliar import misspecification_test

NOMINAL = (0.683, 0.954)
_NOT_JOINT = "not checked: needs a posterior of all parameters at once"
_LOCAL = 200  # pairs, for the classifier of the local test
_MOST_COMPARED, _MOST_PREDICTED = 4000, 20_000


@dataclass(frozen=True)
class Report:
    """Checks of an estimator; made by `report`.

    Attributes
    ----------
    checks : DataFrame
        Columns check, p_value, passed (True, False, or <NA> where it cannot be told)
        and finding.
    coverage : DataFrame
        At .683 and .954, as from `coverage`.
    sbc, tarp, tarp_data
        Results of `sbc` and of `tarp` with uniform references and with references from
        the data; of a posterior of marginals dicts of these by marginal.
    misspecification, predictive, local
        Results, or None where they were not asked for or not possible.
    path : Path or None
        Of the page.
    """

    checks: pd.DataFrame
    coverage: pd.DataFrame
    sbc: object = field(repr=False)
    tarp: object = field(repr=False)
    tarp_data: object = field(repr=False)
    misspecification: object = field(repr=False)
    predictive: object = field(repr=False)
    local: object = field(default=None, repr=False)
    path: Path | None = None


def report(
    est,
    theta,
    x,
    x_obs=None,
    *,
    simulator=None,
    summaries=None,
    local=False,
    truth=None,
    output=None,
    n_draws=999,
    level=0.01,
    region=None,
    embed=None,
    rng=0,
    heading="Checks of a posterior",
    notes=(),
):
    """Check an estimator on pairs it has not seen, and write the page.

    Coverage, ranks and random balls use the same posterior draws, one observation at a
    time, so that memory does not grow with the number of pairs. A posterior of
    marginals alone (`NRE` with marginals, `TMNRE`) is checked marginal by marginal;
    predictions and the local test need one of all parameters at once.

    A check that could not fail at this level, or not be made, is neither passed nor
    failed: the comparison of x_obs with fewer than 1/level pairs (unless x_obs lies far
    beyond all of them), twice as many with `embed`.

    Parameters
    ----------
    est : object
        Anything with ``posterior(x)``, as for `coverage`.
    theta : (n, d) array
        Truths from the prior of training (``est.prior``, after truncation too), not
        used in training; at least 20.
    x : (n, ...) array or dict of arrays
        Data simulated from them.
    x_obs : array or dict of arrays, optional
        The observation: its posterior is shown, and compared with x.
    simulator : callable, optional
        ``simulator(theta, rng) -> x``, for predictions at the posterior of x_obs.
    summaries : dict, optional
        As for `posterior_predictive`.
    local : bool or dict
        Test the posterior at x_obs by `LC2ST`, trained on the pairs (at least 200; some
        1000 to find errors of half a standard deviation) and one draw for each. A dict
        gives its options.
    truth : (d,) array, optional
        Marked in the figures of x_obs.
    output : path, optional
        Folder for report.html, figures (PNG) and tables (CSV).
    n_draws : int
        Posterior draws for each pair.
    level : float
        A check with a p-value below is marked.
    region : None, "density" or "ratio"
        As for `coverage`.
    embed : callable, optional
        Features of data for the comparison of x_obs with x.
    rng : seed, SeedSequence or Generator
    heading : str
    notes : sequence of str
        Printed at the end.

    Returns
    -------
    Report

    Raises
    ------
    ValueError, TypeError
        As the single checks.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> from scipy.stats import norm
    >>> class Exact:                         # theta ~ N(0, 1), x ~ N(theta, 1)
    ...     def posterior(self, x):
    ...         self.law = norm(x[0] / 2, np.sqrt(0.5))
    ...         return self
    ...     def sample(self, n, rng):
    ...         return self.law.rvs((n, 1), random_state=rng)
    ...     def log_prob(self, theta):
    ...         return self.law.logpdf(theta[:, 0])
    >>> rng = np.random.default_rng(0)
    >>> theta = rng.normal(size=(300, 1))
    >>> x = theta + rng.normal(size=theta.shape)
    >>> result = gv.inference.report(Exact(), theta, x, x_obs=x[0], n_draws=99)
    >>> bool(result.checks.passed.all())
    True
    """
    who = "gv.inference.report"
    n_draws = whole(n_draws, 9, who, "n_draws")
    if not 0 < level < 1:
        raise ValueError(f"{who}: level={level!r}; a number between 0 and 1 is needed")
    if local and x_obs is None:
        raise ValueError(f"{who}: the local test needs x_obs")
    rng = stream(rng, "report")
    pairs = Pairs(theta, x, who)
    if len(pairs) < 20:
        raise ValueError(f"{who}: {len(pairs)} pairs; at least 20 are needed")
    inside(est, pairs.theta, who)
    c, kinds, ranks, tarps, joint, one = _one_pass(
        est, pairs, n_draws, region, rng, who
    )
    dense = coverage_table(c, kinds, _dense())
    table = coverage_table(c, kinds, np.array(NOMINAL))
    missed = "not uniform: some information in the data is missed"
    checks = [
        _coverage_check(c, kinds, level),
        _check("ranks (SBC)", ranks.p_value, level, "uniform", "not uniform"),
        _balls_check("balls (TARP)", tarps[0], level, "not uniform"),
        _balls_check("balls about data", tarps[1], level, missed),
    ]
    unlike = predictive = posterior = found = None
    if x_obs is not None:
        posterior = posterior_of(est, x_obs)
        unlike, check = _compare(x_obs, x, embed, level, rng)
        checks.append(check)
        d = pairs.theta.shape[1]
        if simulator is not None:
            predictive, check = _predict(
                posterior, joint, simulator, x_obs, summaries, level, rng
            )
            checks.append(check)
        if local:
            options = {} if local is True else dict(local)
            draws = draw(posterior, 2000, d, rng, who) if joint else None
            found, check = _test_locally(pairs, one, draws, x_obs, options, level, rng)
            checks.append(check)
    checks = pd.DataFrame(checks).astype({"passed": "boolean"})
    path = None
    if output is not None:
        path = Path(output) / "report.html"
        results = (checks, table, ranks, tarps, unlike, predictive, found)
        observed = None
        if posterior is not None:
            draws = draw(posterior, 10_000, d, rng, who)
            observed = (draws, ranks.names, truth, pairs.theta)
        write(path, est, results, dense, observed, heading, level, notes, len(pairs))
    return Report(checks, table, ranks, *tarps, unlike, predictive, found, path)


def _dense():
    from scipy.stats import norm

    return 2 * norm.cdf(np.arange(0.05, 3.01, 0.05)) - 1


def _one_pass(est, pairs, n_draws, region, rng, who):
    """Credibilities, ranks, ball shares and one draw each from one set of draws."""
    theta = pairs.theta
    n, d = theta.shape
    points = [
        references_of(kind, theta, flat(pairs.x), rng, who)
        for kind in ("uniform", "data")
    ]
    found, kinds, names, shares = [], None, None, []
    ranks, one = np.empty((n, d), np.int64), np.empty((n, d))
    variance, joint, subsets = np.zeros(d), True, [tuple(range(d))]
    for i, (truth, data) in enumerate(pairs):
        posterior = posterior_of(est, data)
        names = names or names_of(posterior, d)
        draws = draw(posterior, n_draws, d, rng, who)
        sets = draws_by_marginal(posterior, draws, rng)
        values, kinds = of_draws(est, posterior, draws, sets, truth, rng, region, who)
        found.append(values)
        if i == 0:
            curves = 1 if "joint" in kinds else len(values)
            joint = joint_of(posterior, d, curves)
            if not joint:
                subsets = subsets_of(posterior, curves) or [(k,) for k in range(d)]
        ranks[i] = rank(draws, truth, rng)
        shares.append(
            [_shares(sets, truth, p[i], s, subsets, rng) for p, s, _ in points]
        )
        one[i] = draws[rng.integers(n_draws)]
        variance += draws.var(axis=0, ddof=1) / n
    names = names_of(est, d) if names[0] == "theta_0" else names
    shares = np.array(shares)
    tarps = []
    for k, (_, _, kind) in enumerate(points):
        results = {
            label: of_shares(f, theta[:, list(m)], variance[list(m)], kind, rng)
            for label, m, f in zip(
                _names(names, subsets), subsets, shares[:, k].T, strict=True
            )
        }
        tarps.append(next(iter(results.values())) if joint else results)
    c = pd.DataFrame(np.array(found), columns=list(kinds))
    return c, kinds, of_ranks(ranks, n_draws, names), tarps, joint, one


def _names(names, subsets):
    return [", ".join(names[k] for k in m) for m in subsets]


def _shares(sets, truth, point, scale, subsets, rng):
    """Ball shares of all subsets, each from the draws that serve it."""
    out = np.empty(len(subsets))
    for draws, which in sets:
        which = range(len(subsets)) if which is None else which
        mine = [subsets[g] for g in which]
        out[list(which)] = shares_nearer(draws, truth, point, scale, mine, rng)
    return out


def _check(name, p, level, good, bad):
    passed = bool(p >= level)
    return {
        "check": name,
        "p_value": p,
        "passed": passed,
        "finding": good if passed else bad,
    }


def _undecided(name, p, finding):
    return {"check": name, "p_value": p, "passed": None, "finding": finding}


def _needed(level, tests=1):
    """Number n of simulations with which tests/(1 + n) is below the level."""
    n = max(int(tests / level) - 1, 1)
    while tests / (1 + n) >= level:
        n += 1
    return n


def _balls_check(name, found, level, bad):
    """Of one result, or of those of all marginals (Bonferroni)."""
    if not isinstance(found, dict):
        return _check(name, found.p_value, level, "uniform", bad)
    worst = min(found, key=lambda k: found[k].p_value)
    p = min(1.0, len(found) * found[worst].p_value)
    return _check(name, p, level, "uniform, each marginal by itself", f"{worst}: {bad}")


def _compare(x_obs, x, embed, level, rng):
    """Could x_obs be one of the simulations x? The result and its row."""
    name, needed = "observation", _needed(level, 1 if embed is None else 2)
    most = max(1000, needed) if needed <= _MOST_COMPARED else 1000
    unlike = misspecification_test(x_obs, x, rng, embed=embed, most=most, tail=True)
    if unlike.least < level:
        text = ("like the simulations", "unlike the simulations")
        return unlike, _check(name, unlike.p_value, level, *text)
    if unlike.tail is not None and unlike.tail < level:
        return unlike, _check(
            name, unlike.tail, level, "", "far beyond the simulations"
        )
    if needed > _MOST_COMPARED:
        finding = f"cannot tell: {unlike.n_simulations} are compared, {needed} needed"
    else:
        finding = f"cannot tell (needs at least {needed} pairs)"
    return unlike, _undecided(name, unlike.p_value, finding)


def _predict(posterior, joint, simulator, x_obs, summaries, level, rng):
    """Is x_obs predicted at its posterior? The result and its row."""
    name, needed = "predictions", _needed(level)
    if not joint:
        return None, _undecided(name, np.nan, _NOT_JOINT)
    n = min(max(1000, 2 * needed), _MOST_PREDICTED)  # some simulations may fail
    result = posterior_predictive(posterior, simulator, x_obs, summaries, n, rng)
    good = len(result.simulated)
    if good < needed:
        finding = f"cannot tell: {good} simulations, {needed} needed"
        return result, _undecided(name, result.p_value, finding)
    text = ("reproduced", "not reproduced at the posterior")
    return result, _check(name, result.p_value, level, *text)


def _test_locally(pairs, one, draws, x_obs, options, level, rng):
    """Is the posterior right at x_obs? The result and its row."""
    name, needed = "local (L-C2ST)", _needed(level)
    if draws is None:
        return None, _undecided(name, np.nan, _NOT_JOINT)
    if len(pairs) < _LOCAL:
        finding = f"cannot tell (needs at least {_LOCAL} pairs)"
        return None, _undecided(name, np.nan, finding)
    options = {"n_null": max(100, needed), **options}
    test = LC2ST(pairs.theta, pairs.x, one, rng, **options)
    result = test.test(x_obs, draws)
    if len(result.null) < needed:
        finding = f"cannot tell (needs n_null of at least {needed})"
        return result, _undecided(name, result.p_value, finding)
    text = ("right at the observation", "wrong at the observation")
    return result, _check(name, result.p_value, level, *text)


def _coverage_check(c, kinds, level):
    """Binomial test of every curve at both nominal levels, Bonferroni."""
    from scipy.stats import binomtest

    worst, where = 1.0, None
    for name in c:
        for nominal in NOMINAL:
            k = int((c[name] < nominal).sum())
            p = binomtest(k, len(c), nominal).pvalue
            if p < worst:
                side = "too rarely" if k < nominal * len(c) else "too often"
                worst, where = p, f"{name} at {nominal}: truth inside {side}"
    p = min(1.0, worst * 2 * c.shape[1])
    return _check("coverage", p, level, "as nominal", where)


__all__ = ["Report", "report"]
