"""Figures of the checks: each draws on `ax` and returns it; nothing is shown."""

import numpy as np
from scipy import stats

from .._axes import BLUE, DARK, GREY, LINES, RED, axes, panels, tidy, title

_MANY = 8  # curves of one panel that get a name


def plot_coverage(table, ax=None):
    """Coverage against credibility, both as z = quantile of the normal at (1 + c)/2.

    Parameters
    ----------
    table : DataFrame
        From `coverage`; dense levels make smooth curves.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        Below the diagonal: regions hold the truth too rarely, overconfident.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = {"parameter": "a", "level": [0.5, 0.9], "coverage": [0.4, 0.8]}
    >>> table = pd.DataFrame(rows | {"low": [0.3, 0.7], "high": [0.5, 0.9]})
    >>> plot_coverage(table).get_xlabel()
    'nominal credibility z'
    """
    ax = axes(ax)
    groups = list(table.groupby("parameter", sort=False))
    many = f"{len(groups)} curves, band of one"
    top = max(3.0, _z(table["level"].max()) + 0.1)
    ax.plot([0, top], [0, top], color=DARK, lw=1.0, ls="--", label="exact")
    for k, (name, curve) in enumerate(groups):
        curve = curve.sort_values("level")
        z = _z(curve["level"])
        few = len(groups) <= _MANY
        colour = LINES[k % len(LINES)] if few else BLUE
        if few or k == 0:
            label = "95 % Jeffreys band" if len(groups) == 1 else None
            ax.fill_between(z, _z(curve["low"]), np.minimum(_z(curve["high"]), 9),
                            color=colour, alpha=0.15, lw=0, label=label)  # fmt: skip
        ax.plot(z, np.minimum(_z(curve["coverage"]), 9), color=colour,
                lw=1.6 if few else 0.7, alpha=1.0 if few else 0.6,
                label=name if few else (many if k == 0 else None))  # fmt: skip
    for level in (0.683, 0.954):
        ax.axvline(_z(level), color=GREY, lw=0.8, ls=":")
        ax.annotate(f"{level:.3f}", (_z(level), 0.0), xytext=(2, 3),
                    textcoords="offset points", color=GREY, fontsize=7)  # fmt: skip
    ax.set_xlim(0, top)
    ax.set_ylim(0, top + 0.5)
    ax.set_xlabel("nominal credibility z")
    ax.set_ylabel("empirical coverage z")
    title(ax, "Expected coverage")
    ax.legend(frameon=False, fontsize=8, loc="upper left")
    return tidy(ax)


def _z(level):
    return stats.norm.ppf(0.5 * (1 + np.minimum(np.asarray(level, float), 1 - 1e-16)))


def rank_plot(result, ax=None, level=0.95):
    """Rank distribution minus the diagonal, with its simultaneous band."""
    ax = axes(ax)
    z, curves, low, high = result.ecdf(level)
    z = np.concatenate([[0.0], z])
    pad = lambda a: np.concatenate([[0.0], a]) - z  # noqa: E731
    ax.fill_between(z, pad(low), pad(high), color=GREY, alpha=0.3, lw=0,
                    label=f"{100 * level:.0f} % band of the curve")  # fmt: skip
    few = curves.shape[1] <= _MANY
    for k, curve in enumerate(curves.T):
        out = ((curve < low) | (curve > high)).any()
        label = f"{result.names[k]} (p = {result.p_values[k]:.2g})" if few else None
        ax.plot(z, pad(curve), lw=1.5 if few else 0.7, label=label,
                color=LINES[k % len(LINES)] if few else (RED if out else BLUE),
                )  # fmt: skip
    ax.axhline(0, color=DARK, lw=0.8, ls="--")
    ax.set_xlim(0, 1)
    ax.set_xlabel("rank of the truth / number of draws")
    ax.set_ylabel("share of ranks below, minus exact")
    title(ax, f"Simulation-based calibration, p = {result.p_value:.2g}")
    ax.legend(frameon=False, fontsize=8)
    return tidy(ax)


def tarp_plot(result, ax=None):
    """Expected coverage of random balls, with its bootstrap band."""
    ax = axes(ax)
    ax.plot([0, 1], [0, 1], color=DARK, lw=1.0, ls="--", label="exact")
    ax.fill_between(result.levels, result.low, result.high, color=BLUE, alpha=0.25,
                    lw=0, label="bootstrap band")  # fmt: skip
    ax.plot(result.levels, result.ecp, color=BLUE, lw=1.6,
            label=f"references: {result.references}")  # fmt: skip
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_xlabel("level")
    ax.set_ylabel("expected coverage")
    title(ax, f"TARP, p = {result.p_value:.2g}, "
              f"contraction {result.contraction.mean():.2f}")  # fmt: skip
    ax.legend(frameon=False, fontsize=8)
    return tidy(ax)


def marginals_plot(draws, names, truth=None, limits=None, most=12):
    """Histograms of posterior draws, one panel for each parameter; a figure."""
    figure, every = panels(min(draws.shape[1], most))
    for k, ax in enumerate(every):
        ax.hist(
            draws[:, k],
            bins=40,
            density=True,
            histtype="stepfilled",
            color=BLUE,
            alpha=0.7,
        )
        if truth is not None:
            ax.axvline(truth[k], color=RED, lw=1.5)
        if limits is not None and np.isfinite(limits[k]).all():
            ax.set_xlim(*limits[k])
        ax.set_yticks([])
        ax.set_xlabel(names[k])
        tidy(ax, "x")
    return figure


def predictive_plot(result, most=12):
    """Histograms of predicted summaries with the observed ones; a figure."""
    figure, every = panels(min(len(result.names), most))
    for k, ax in enumerate(every):
        ax.hist(
            result.simulated[:, k],
            bins=40,
            histtype="stepfilled",
            color=GREY,
            alpha=0.7,
        )
        ax.axvline(result.observed[k], color=RED, lw=1.8)
        ax.set_yticks([])
        ax.set_xlabel(result.names[k])
        title(ax, f"p = {result.p_values[k]:.2g}", 8)
        tidy(ax, "x")
    return figure
