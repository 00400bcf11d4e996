"""The page of `report`: verdicts, figures and tables in a folder."""

import html

import numpy as np
import pandas as pd

from .._axes import BLUE, ORANGE, axes, tidy, title
from .._html import embed_png, notes_html, page, table_html, version, write_text
from . import _figures as figures

__all__ = ["write"]

_BALLS = 3  # marginals shown, of the smallest p-values


def write(path, est, found, dense, observed, heading, level, notes, n):
    """Write report.html, its figures (PNG) and tables (CSV)."""
    checks, table, ranks, tarps, unlike, predictive, local = found
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True)

    def picture(drawn, name, alt):
        figure = getattr(drawn, "figure", None) or drawn
        figure.savefig(folder / f"{name}.png", dpi=130)
        return embed_png((folder / f"{name}.png").read_bytes(), alt)

    checks.to_csv(folder / "checks.csv", index=False)
    table.to_csv(folder / "coverage.csv", index=False)
    tall = len(table) > 60
    sections = [
        ("", _verdict(checks)),
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
    if local is not None:
        sections.append(("Local test", _local(local)))
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


def _verdict(checks):
    lines = []
    for passed, look, words in ((False, "bad", "Failed"), (None, "bad", "Not decided")):
        these = checks.passed.isna() if passed is None else ~checks.passed.fillna(True)
        names = ", ".join(checks.check[these])
        if names:
            lines.append(
                f'<p class="headline {look}">{words}: {html.escape(names)}.</p>'
            )
    if not lines:
        lines.append('<p class="headline good">All checks passed.</p>')
    shown = checks.assign(
        passed=checks.passed.map({True: "yes", False: "no"}, na_action="ignore")
        .astype(object)
        .fillna("-")
    )
    return "".join(lines) + table_html(shown, {"p_value": 4})


def _balls(tarps, picture):
    parts = []
    for k, found in enumerate(t for t in tarps if t is not None):
        alone = not isinstance(found, dict)
        every = {"": found} if alone else found
        if k == 0:
            contraction = np.concatenate([one.contraction for one in every.values()])
            parts.append(
                "<p>Contraction from prior to posterior: "
                f"{contraction.mean():.3f} (mean), {contraction.min():.3f} (least).</p>"
            )
        if not alone:
            shown = min(len(every), _BALLS)
            parts.append(
                f"<p>Of each marginal by itself; {shown} of {len(every)} are shown, the"
                " least likely.</p>"
            )
        worst = sorted(every, key=lambda name: every[name].p_value)[:_BALLS]
        for i, name in enumerate(worst):
            result = every[name]
            file = f"tarp_{result.references}" + ("" if alone else f"_{i}")
            parts.append(f"<p>{html.escape(name)}</p>" if name else "")
            parts.append(picture(result.plot(), file, f"TARP curve {name}".strip()))
    return "".join(parts)


def _local(result):
    above = (result.null >= result.statistic).sum()
    return (
        f"<p>Mean squared distance from ½ of the classifier at the observation: "
        f"{result.statistic:.4g}; {above} of {len(result.null)} trainings with labels "
        f"exchanged reach it, p = {result.p_value:.3g}.</p>"
    )


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
