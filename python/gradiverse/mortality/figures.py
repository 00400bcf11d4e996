"""Figures of a mortality study: every function draws on `ax` and returns it.

Units stand on every axis, bands are named in the legend, nothing is shown or saved.
"""

import numpy as np
import pandas as pd
from scipy.stats import norm

DARK, BLUE, ORANGE, GREY, RED = "#222222", "#2b6cb0", "#c05621", "#9aa5b1", "#b83232"
AGE_COLOURS = ("#c6dbef", "#9ecae1", "#6baed6", "#3182bd", "#08519c", "#08306b")


def _axes(ax, width=7.2, height=4.2):
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure.add_subplot()


def _tidy_axes(ax):
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="#e6e9ed", linewidth=0.8)
    ax.set_axisbelow(True)
    return ax


def _counts(ax, weeks=True):
    """Thousands separators on the count axis, whole numbers on the week axis."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    if weeks:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return _tidy_axes(ax)


def _title(ax, text):
    ax.set_title(text, loc="left", fontsize=11, fontweight="bold")


def _daily(excess):
    """(weeks, days of the usual cell, whether rates are shown)."""
    panel = excess._panel
    days = panel.days[0, 0]
    return panel.weeks, days, bool(panel.has_days and np.ptp(days) > 0)


def fan_chart(excess, unit=None, ax=None):
    """Observed and expected deaths by week, with predictive 68 % and 95 % bands.

    Parameters
    ----------
    excess : Excess
    unit : str, optional
        One unit; by default the joint sum over all units, with its joint error.
    """
    ax = _axes(ax)
    panel, source = excess._panel, excess._source
    units = np.array([u for u, _ in panel.cells], object)
    use = np.ones(len(units), bool) if unit is None else units == unit
    if not use.any():
        raise ValueError(
            f"no unit {unit!r}; there are {', '.join(map(str, units[:5]))}..."
        )
    weeks, days, rates = _daily(excess)
    per = days if rates else np.ones(len(weeks))
    index = {c: i for i, c in enumerate(source.panel_.cells)}
    rows = [index[panel.cells[i]] for i in np.flatnonzero(use)]
    history = source.panel_
    past_days = history.days[rows[0]] if rates else np.ones(history.counts.shape[1:])
    for y in range(len(history.years)):
        line = history.counts[rows, y].sum(axis=0) / past_days[y]
        label = "earlier years" if y == 0 else None
        ax.plot(history.weeks, line, color=GREY, lw=0.8, alpha=0.7, label=label)
    by = ("week",) if unit is None else ("unit", "week")
    total = excess.total(by=by)
    if unit is not None:
        total = total[total["unit"] == unit]
    total = total.sort_values("week")
    at = np.searchsorted(weeks, total["week"].to_numpy(int))
    d = per[at]
    middle = total["expected"].to_numpy() / d
    for level, alpha in (("95", 0.18), ("68", 0.32)):
        low = (total["observed"] - total[f"upper{level}"]).to_numpy() / d
        high = (total["observed"] - total[f"lower{level}"]).to_numpy() / d
        ax.fill_between(
            weeks[at],
            low,
            high,
            color=BLUE,
            alpha=alpha,
            lw=0,
            label=f"{level} % of expected",
        )
    ax.plot(weeks[at], middle, color=BLUE, lw=1.8, label="expected")
    before = np.flatnonzero(weeks < excess.onset)
    prior = excess.prediction.prior_mean[use][:, before].sum(axis=0) / per[before]
    ax.plot(
        weeks[before],
        prior,
        color=BLUE,
        lw=1.4,
        ls=":",
        label="expected before conditioning",
    )
    seen = panel.counts[use, 0].sum(axis=0) / per
    ax.plot(
        weeks,
        seen,
        color=DARK,
        lw=1.8,
        marker="o",
        ms=3.2,
        label=f"observed {excess.year}",
    )
    ax.axvline(excess.onset - 0.5, color=RED, lw=1.0, ls="--")
    ax.annotate(
        "onset",
        (excess.onset - 0.5, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(3, -10),
        textcoords="offset points",
        color=RED,
        fontsize=8,
    )
    ax.set_xlabel("period of the year" if rates else "week of the year")
    ax.set_ylabel("deaths a day" if rates else "deaths a week")
    ax.set_ylim(bottom=0)
    last = weeks[np.isfinite(seen)].max()
    ax.set_xlim(weeks[0], last)
    _title(ax, f"{unit or 'All units'}: observed and expected deaths")
    ax.legend(frameon=False, fontsize=8, ncol=2)
    return _counts(ax)


def cumulative(excess, official=None, start=None, by="age", ax=None, dates=None):
    """Cumulative excess since the onset, stacked by age, with the 95 % band of the sum.

    Parameters
    ----------
    excess : Excess
        With ages apart (``by_age=True``) for ``by="age"``.
    official : (n,) array, optional
        Cumulative official deaths at the end of every predicted week.
    dates : (n,) dates, optional
        End of every predicted week, for the axis.
    """
    ax = _axes(ax)
    weeks = excess.weeks[excess.weeks >= (start or excess.onset)]
    x = weeks if dates is None else pd.DatetimeIndex(dates)[-len(weeks) :]
    if by == "age":
        parts = excess.total(weeks[0], by=("age", "week"))
        table = parts.pivot(index="age", columns="week", values="excess")
        ages = [a for a in dict.fromkeys(parts["age"])]
        sums = table.loc[ages].to_numpy(float).cumsum(axis=1)
        base = np.zeros(len(weeks))
        for k, age in enumerate(ages):
            colour = AGE_COLOURS[min(k * len(AGE_COLOURS) // len(ages), 5)]
            ax.fill_between(x, base, base + sums[k], color=colour, lw=0, label=str(age))
            base = base + sums[k]
    total = pd.concat(
        [excess.total(weeks[0], w, by=()) for w in weeks], ignore_index=True
    )
    ax.plot(x, total["excess"], color=DARK, lw=1.8, label="excess, all ages")
    ax.plot(x, total["lower95"], color=DARK, lw=0.9, ls="--", label="95 % of the sum")
    ax.plot(x, total["upper95"], color=DARK, lw=0.9, ls="--")
    if official is not None:
        ax.plot(
            x,
            np.asarray(official)[-len(weeks) :],
            color=ORANGE,
            lw=2.0,
            label="official COVID-19 deaths",
        )
    ax.axhline(0, color=DARK, lw=0.8)
    ax.set_ylabel("cumulative deaths")
    if dates is None:
        ax.set_xlabel("week of the year")
    else:
        ax.set_xlabel(f"date ({excess.year})")
        import matplotlib.dates as mdates

        ax.xaxis.set_major_formatter(mdates.DateFormatter("%d %b"))
    _title(ax, "Cumulative excess deaths" + (" by age" if by == "age" else ""))
    ax.legend(frameon=False, fontsize=8, loc="upper left")
    return _counts(ax, weeks=dates is None)


def against_official(table, ax=None):
    """Excess with 95 % interval and official count of every unit.

    Parameters
    ----------
    table : DataFrame of ``official.compare``
    """
    ax = _axes(ax, height=0.8 + 0.26 * len(table))
    table = table.sort_values("excess")
    y = np.arange(len(table))
    ax.barh(y, table["excess"], color=BLUE, alpha=0.55, height=0.62, label="excess")
    ax.hlines(
        y, table["lower95"], table["upper95"], color=DARK, lw=1.2, label="95 % interval"
    )
    ax.plot(table["official"], y, "D", color=ORANGE, ms=5, label="official COVID-19")
    ax.axvline(0, color=DARK, lw=0.8)
    ax.set_yticks(y, table["unit"], fontsize=8)
    ax.set_xlabel("deaths (symmetric logarithmic axis)")
    ax.set_xscale("symlog", linthresh=200)
    _title(ax, "Excess deaths and official counts")
    ax.legend(frameon=False, fontsize=8, loc="upper left")
    _tidy_axes(ax).grid(axis="x", color="#e6e9ed")
    return ax


def ranking(table, ax=None):
    """Units ordered by excess relative to expected deaths, with 68 % and 95 % bars."""
    ax = _axes(ax, height=0.8 + 0.26 * len(table))
    table = table[table["expected"] > 0]
    order = (table["excess"] / table["expected"]).sort_values().index
    table = table.loc[order]
    y = np.arange(len(table))
    share = 100.0 / table["expected"]
    ax.hlines(
        y,
        table["lower95"] * share,
        table["upper95"] * share,
        color=BLUE,
        lw=1.4,
        alpha=0.6,
        label="95 %",
    )
    ax.hlines(
        y,
        table["lower68"] * share,
        table["upper68"] * share,
        color=BLUE,
        lw=3.6,
        label="68 %",
    )
    ax.plot(table["excess"] * share, y, "o", color=DARK, ms=4.5, label="excess")
    ax.axvline(0, color=RED, lw=1.0)
    ax.set_yticks(y, table["unit"], fontsize=8)
    ax.set_xlabel("excess, % of expected deaths")
    _title(ax, "Units by relative excess")
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    _tidy_axes(ax).grid(axis="x", color="#e6e9ed")
    return ax


def calibration_plot(calibrations, ax=None, seed=0):
    """Share of held-out sums inside central intervals, against the nominal level.

    Parameters
    ----------
    calibrations : mapping name -> Calibration
        The first is drawn with a 95 % band from drawing whole years again.
    """
    ax = _axes(ax, 5.0, 4.6)
    levels = np.linspace(0.02, 0.98, 49)
    ax.plot([0, 1], [0, 1], color=DARK, lw=1.0, ls="--", label="ideal")
    colours = (BLUE, ORANGE, GREY, RED, "#5a8f3c", "#6b46c1")
    for k, (name, calibration) in enumerate(calibrations.items()):
        table = calibration.table
        table = table[(table["sd"] > 0) & np.isfinite(table["excess"])]
        z = np.abs(table["excess"] / table["sd"]).to_numpy()
        inside = z[:, None] <= norm.ppf(0.5 + 0.5 * levels)
        cover = inside.mean(axis=0)
        ax.plot(
            levels,
            cover,
            color=colours[k % len(colours)],
            lw=2 if k == 0 else 1.3,
            label=name,
        )
        if k == 0:
            years, block = np.unique(table["year"], return_inverse=True)
            hits = np.array([inside[block == b].sum(axis=0) for b in range(len(years))])
            size = np.bincount(block)
            pick = np.random.default_rng(seed).integers(
                0, len(years), (1000, len(years))
            )
            again = hits[pick].sum(axis=1) / size[pick].sum(axis=1)[:, None]
            low, high = np.quantile(again, [0.025, 0.975], axis=0)
            ax.fill_between(
                levels,
                low,
                high,
                color=BLUE,
                alpha=0.15,
                lw=0,
                label="95 %, years drawn again",
            )
            s = calibration.summary.iloc[0]
            ax.plot(
                [0.68, 0.95],
                [s["c68"], s["c95"]],
                "o",
                color=BLUE,
                ms=5,
                label="printed 68 and 95 %",
            )
    ax.set_xlabel("nominal level of the interval")
    ax.set_ylabel("share of held-out sums inside")
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_aspect("equal")
    _title(ax, "Calibration on held-out years")
    ax.legend(frameon=False, fontsize=8, loc="upper left")
    return _tidy_axes(ax)


def nowcast_chart(table, truth=None, ax=None):
    """Reported counts, nowcast with 95 % interval and, where known, final counts.

    Parameters
    ----------
    table : DataFrame
        Rows of ``nowcast`` of one unit.
    truth : Series by week, optional
    """
    ax = _axes(ax)
    table = table.sort_values("week")
    ax.fill_between(
        table["week"],
        table["lower"],
        table["upper"],
        color=BLUE,
        alpha=0.2,
        lw=0,
        label="95 %",
    )
    ax.plot(table["week"], table["estimate"], color=BLUE, lw=1.8, label="nowcast")
    ax.plot(
        table["week"],
        table["reported"],
        "o-",
        color=ORANGE,
        ms=4,
        lw=1.2,
        label="as reported",
    )
    if truth is not None:
        ax.plot(
            table["week"],
            truth.reindex(table["week"]),
            color=DARK,
            lw=1.4,
            ls="--",
            label="final count",
        )
    ax.set_xlabel("week of the year")
    ax.set_ylabel("deaths a week")
    ax.set_ylim(bottom=0)
    _title(ax, f"{table['unit'].iloc[0]}: newest weeks, corrected for delay")
    ax.legend(frameon=False, fontsize=8, loc="lower left")
    return _counts(ax)


def save(ax, path, dpi=150):
    """Write the figure of `ax` as PNG; returns the path."""
    from pathlib import Path

    path = Path(path)
    ax.figure.savefig(path, dpi=dpi)
    return path
