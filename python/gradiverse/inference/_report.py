"""One page of checks for an estimator: calibration, data, posterior, predictions."""

import html
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from .._axes import BLUE, ORANGE, axes, tidy, title
from .._html import embed_png, notes_html, page, table_html, version, write_text
from . import _figures as figures
from ._coverage import coverage_table, of_draws
from ._pairs import Pairs, draw, names_of, posterior_of, whole
from ._predictive import posterior_predictive
from ._sbc import of_ranks, rank
from ._streams import stream
from ._tarp import of_shares, references_of, share_nearer
from ._unfamiliar import misspecification_test

NOMINAL = (0.683, 0.954)


@dataclass(frozen=True)
class Report:
    """Checks of an estimator; made by `report`.

    Attributes
    ----------
    checks : DataFrame
        Columns check, p_value, passed and finding.
    coverage : DataFrame
        At .683 and .954, as from `coverage`.
    sbc, tarp, tarp_data
        Results of `sbc` and of `tarp` with uniform references and with references from
        the data (None where data are no plain array).
    misspecification, predictive
        Results, or None without x_obs and simulator.
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
    path: Path | None = None


def report(
    est,
    theta,
    x,
    x_obs=None,
    *,
    simulator=None,
    summaries=None,
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
    time, so that memory does not grow with the number of pairs.

    Parameters
    ----------
    est : object
        Anything with ``posterior(x)``, as for `coverage`.
    theta : (n, d) array
        Truths from the prior of training, not used in training.
    x : (n, ...) array or dict of arrays
        Data simulated from them.
    x_obs : array, optional
        The observation: its posterior is shown, and compared with x.
    simulator : callable, optional
        ``simulator(theta, rng) -> x``, for predictions at the posterior of x_obs.
    summaries : dict, optional
        As for `posterior_predictive`.
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
    rng = stream(rng, "report")
    pairs = Pairs(theta, x, who)
    if len(pairs) < 20:
        raise ValueError(f"{who}: {len(pairs)} pairs; at least 20 are needed")
    plain = not hasattr(x, "items")
    c, kinds, ranks, tarps = _one_pass(est, pairs, n_draws, region, plain, rng, who)
    dense = coverage_table(c, kinds, _dense())
    table = coverage_table(c, kinds, np.array(NOMINAL))
    checks = [
        _coverage_check(c, kinds, level),
        _check("ranks (SBC)", ranks.p_value, level, "uniform", "not uniform"),
        _check("balls (TARP)", tarps[0].p_value, level, "uniform", "not uniform"),
    ]
    if plain:
        text = ("uniform", "not uniform: some information in the data is missed")
        checks.append(_check("balls about data", tarps[1].p_value, level, *text))
    unlike = predictive = posterior = None
    if x_obs is not None:
        posterior = posterior_of(est, x_obs)
        if plain:
            unlike = misspecification_test(x_obs, x, rng, embed=embed)
            text = ("like the simulations", "unlike the simulations")
            checks.append(_check("observation", unlike.p_value, level, *text))
        if simulator is not None:
            predictive = posterior_predictive(
                posterior, simulator, x_obs, summaries, rng=rng
            )
            text = ("reproduced", "not reproduced at the posterior")
            checks.append(_check("predictions", predictive.p_value, level, *text))
    checks = pd.DataFrame(checks)
    path = None
    if output is not None:
        path = Path(output) / "report.html"
        found = (checks, table, ranks, tarps, unlike, predictive)
        observed = None
        if posterior is not None:
            draws = draw(posterior, 10_000, pairs.theta.shape[1], rng, who)
            observed = (draws, ranks.names, truth, pairs.theta)
        _write(path, est, found, dense, observed, heading, level, notes, len(pairs))
    return Report(checks, table, ranks, *tarps, unlike, predictive, path)


def _dense():
    from scipy.stats import norm

    return 2 * norm.cdf(np.arange(0.05, 3.01, 0.05)) - 1


def _one_pass(est, pairs, n_draws, region, plain, rng, who):
    """Credibilities, ranks and ball shares from one set of draws for each pair."""
    theta = pairs.theta
    n, d = theta.shape
    kinds_of_points = ("uniform", "data") if plain else ("uniform",)
    points = [
        references_of(kind, theta, pairs.x if plain else None, rng, who)
        for kind in kinds_of_points
    ]
    found, kinds, names = [], None, None
    ranks, f = np.empty((n, d), np.int64), np.empty((len(points), n))
    variance = np.zeros(d)
    for i, (truth, data) in enumerate(pairs):
        posterior = posterior_of(est, data)
        names = names or names_of(posterior, d)
        draws = draw(posterior, n_draws, d, rng, who)
        values, kinds = of_draws(est, posterior, draws, truth, rng, region, who)
        found.append(values)
        ranks[i] = rank(draws, truth, rng)
        for k, (point, scale, _) in enumerate(points):
            f[k, i] = share_nearer(draws, truth, point[i], scale, rng)
        variance += draws.var(axis=0, ddof=1) / n
    names = names_of(est, d) if names[0] == "theta_0" else names
    tarps = [
        of_shares(f[k], theta, variance, kind, rng)
        for k, (_, _, kind) in enumerate(points)
    ]
    c = pd.DataFrame(np.array(found), columns=list(kinds))
    return c, kinds, of_ranks(ranks, n_draws, names), [*tarps, None][:2]


def _check(name, p, level, good, bad):
    passed = bool(p >= level)
    return {
        "check": name,
        "p_value": p,
        "passed": passed,
        "finding": good if passed else bad,
    }


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


def _write(path, est, found, dense, observed, heading, level, notes, n):
    checks, table, ranks, tarps, unlike, predictive = found
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True)

    def picture(drawn, name, alt):
        figure = getattr(drawn, "figure", None) or drawn
        figure.savefig(folder / f"{name}.png", dpi=130)
        return embed_png((folder / f"{name}.png").read_bytes(), alt)

    checks.to_csv(folder / "checks.csv", index=False)
    table.to_csv(folder / "coverage.csv", index=False)
    failed = checks.loc[~checks.passed, "check"].tolist()
    verdict = (
        f'<p class="headline bad">Failed: {html.escape(", ".join(failed))}.</p>'
        if failed
        else '<p class="headline good">All checks passed.</p>'
    )
    tall = len(table) > 60
    sections = [
        ("", verdict + table_html(checks, {"p_value": 4})),
        (
            "Coverage",
            picture(figures.plot_coverage(dense), "coverage", "coverage")
            + table_html(
                table
                if not tall
                else table.groupby("level", as_index=False)[
                    ["coverage", "low", "high"]
                ].agg("mean"),
                3,
            )
            + (
                "<p>Means over curves; all of them are in coverage.csv.</p>"
                if tall
                else ""
            ),
        ),
        ("Ranks", picture(ranks.plot(), "sbc", "ranks of the truths")),
        ("Random balls", _balls(tarps, picture)),
    ]
    if observed is not None:
        sections.append(("Posterior of the observation", _observed(*observed, picture)))
    if unlike is not None:
        rows = pd.DataFrame({"space": list(unlike.p_values),
                             "p_value": list(unlike.p_values.values())})  # fmt: skip
        text = f"<p>Among {unlike.n_simulations} simulations:</p>"
        sections.append(("Is the observation like the simulations?",
                         text + table_html(rows, 4)))  # fmt: skip
    if predictive is not None:
        rows = pd.DataFrame(
            {
                "summary": predictive.names,
                "observed": predictive.observed,
                "p_value": predictive.p_values,
            }
        )
        sections.append((
            "Predictions at the posterior",
            picture(predictive.plot(), "predictive", "predicted summaries")
            + table_html(rows.head(40), {"observed": 4, "p_value": 4}),
        ))  # fmt: skip
    training = _training(est)
    if training is not None:
        sections.append(("Training", picture(training, "training", "losses")))
    words = [
        f"{n} pairs of parameters and data, {ranks.n_draws} posterior draws each; "
        f"checks are marked at p < {level}.",
        "Coverage, ranks and balls about uniform points are passed by the prior as "
        "well: read the contraction, and the balls about predictions from the data.",
        *notes,
    ]
    sections.append(("Choices and limits", notes_html(words)))
    sections.append(("", f"<p>gradiverse {html.escape(version())}</p>"))
    write_text(path, page(heading, sections))


def _balls(tarps, picture):
    parts = []
    for k, result in enumerate(t for t in tarps if t is not None):
        parts.append(picture(result.plot(), f"tarp_{result.references}", "TARP curve"))
        if k == 0:
            mean = result.contraction.mean()
            least = result.contraction.min()
            text = f"Contraction from prior to posterior: {mean:.3f} (mean), "
            parts.insert(0, f"<p>{text}{least:.3f} (least).</p>")
    return "".join(parts)


def _observed(draws, names, truth, theta, picture):
    low, middle, high = np.quantile(draws, [0.16, 0.5, 0.84], axis=0)
    rows = pd.DataFrame(
        {"parameter": names, "mean": draws.mean(axis=0), "sd": draws.std(axis=0),
         "16 %": low, "median": middle, "84 %": high,
         "sd / prior sd": draws.std(axis=0) / theta.std(axis=0)}
    )  # fmt: skip
    figure = figures.marginals_plot(draws, names, truth)
    return picture(figure, "posterior", "posterior marginals") + table_html(
        rows.head(100), dict.fromkeys(rows.columns[1:], 4)
    )


def _training(est):
    """Axes with the losses of an estimator that keeps its history; else None."""
    history = getattr(est, "history", None)
    tables = history if isinstance(history, (list, tuple)) else [history]
    tables = [t for t in tables if hasattr(t, "columns") and len(t)]
    if not tables or "train_loss" not in tables[0]:
        return None
    ax = axes(None, 5.5, 3.2)
    for k, t in enumerate(tables[:10]):
        epochs = t["epoch"] if "epoch" in t else np.arange(len(t))
        ax.plot(epochs, t["train_loss"], color=BLUE, lw=1.2,
                label="training" if k == 0 else None)  # fmt: skip
        if "validation_loss" in t and np.isfinite(t["validation_loss"]).any():
            ax.plot(epochs, t["validation_loss"], color=ORANGE, lw=1.2,
                    label="validation" if k == 0 else None)  # fmt: skip
    ax.set_xlabel("epoch")
    ax.set_ylabel("loss")
    title(ax, "Training")
    ax.legend(frameon=False, fontsize=8)
    return tidy(ax)


__all__ = ["Report", "report"]
