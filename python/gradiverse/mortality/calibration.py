"""Held-out years: how well a method predicts what did happen.

``rolling_origin`` predicts each target year from earlier years only;
``leave_one_year_out`` predicts each year from all the others.  Both give a table of
sums per unit and year, the joint sum over units, and scores.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

from . import _panel
from .counterfactual import Counterfactual
from .scores import summarise, verdict


@dataclass
class Calibration:
    """Outcome of a held-out-year study.

    Attributes
    ----------
    table : DataFrame
        unit, year [, end] and the columns of ``Excess.total``.
    summary : DataFrame
        bias, rms, crps, c68, c95, z_rms of (observed - expected)/expected, with the
        year-block bootstrap of the cover; one row [per end].
    joint, joint_summary : DataFrame
        The same for the sum over all units of a year, with its joint error.
    skipped : DataFrame
        unit, year, reason of what could not be judged.
    """

    table: pd.DataFrame
    summary: pd.DataFrame
    joint: pd.DataFrame
    joint_summary: pd.DataFrame
    skipped: pd.DataFrame
    method: str = ""

    def __str__(self):
        lines = [
            f"held-out years, method {self.method}: {len(self.table)} sums, "
            f"{len(self.skipped)} skipped"
        ]
        lines.append(self.summary.round(4).to_string(index=False))
        for _, row in self.summary.iterrows():
            end = f"to week {int(row['end'])}: " if "end" in row else ""
            lines.append(f"{end}{verdict(row)}")
        lines.append("joint sum over units:")
        lines.append(self.joint_summary.round(4).to_string(index=False))
        return "\n".join(lines)


def _frames(data, pool, by_age, weeks_to, last_year):
    """Panels of data and pool, weeks up to `weeks_to`, years up to `last_year`."""
    panel = _panel.build(data, by_age, "data")
    axis = panel.weeks[panel.weeks <= weeks_to]
    if len(axis) < 2:
        raise ValueError(f"data have no weeks up to {weeks_to}")
    panel = panel.select(years=panel.years[panel.years <= last_year], weeks=axis)
    if pool is None:
        return panel, None
    ages = by_age and "age" in pool.columns
    pooled = _panel.build(pool, ages, "pool", weeks=axis)
    return panel, pooled.select(years=pooled.years[pooled.years <= last_year])


def _years(years):
    """Increasing whole years from one number or any iterable of them."""
    values = years
    if not isinstance(years, (np.ndarray, str)) and hasattr(years, "__iter__"):
        values = list(years)
    values = np.atleast_1d(values)
    if values.size and (
        values.dtype.kind not in "iuf" or not (values == np.round(values)).all()
    ):
        raise ValueError(f"years must be whole numbers, got {years!r}")
    return sorted({int(y) for y in values})


def _without(panel, drop):
    """The panel's years for which drop(year) is false; None when none are left."""
    years = [y for y in panel.years if not drop(y)]
    return panel.select(years=years) if years else None


def _limit_years(panel, n):
    """Keep the last n complete years of every cell, blank the others."""
    complete = panel.complete()
    later = np.cumsum(complete[:, ::-1], axis=1)[:, ::-1]
    counts = np.where((complete & (later <= n))[:, :, None], panel.counts, np.nan)
    return _panel.Panel(
        panel.cells,
        panel.years,
        panel.weeks,
        counts,
        panel.days,
        panel.has_days,
        panel.notes,
    )


def _blank(panel, weeks):
    """The panel without counts on some weeks (bool mask over the axis)."""
    counts = np.where(weeks, np.nan, panel.counts)
    return _panel.Panel(
        panel.cells,
        panel.years,
        panel.weeks,
        counts,
        panel.days,
        panel.has_days,
        panel.notes,
    )


def _units(panel):
    """Unit names in order and the unit index of every cell."""
    names = list(dict.fromkeys(u for u, _ in panel.cells))
    place = {u: i for i, u in enumerate(names)}
    return names, np.array([place[u] for u, _ in panel.cells])


def _judgeable(panel, year, enough, window, skipped):
    """Cells of units with enough history and a whole target window."""
    names, unit_of = _units(panel)
    if year not in panel.years:
        skipped += [(u, year, "no data for the year") for u in names]
        return np.array([], int)
    now = panel.counts[:, int(np.searchsorted(panel.years, year))]
    window = window & ((panel.weeks != 53) | np.isfinite(now).any(axis=0))
    keep = []
    for i, name in enumerate(names):
        cells = np.flatnonzero(unit_of == i)
        if not np.isfinite(now[cells]).any():
            skipped.append((name, year, "no data for the year"))
        elif not enough[cells].all():
            skipped.append((name, year, "too few earlier years"))
        elif not np.isfinite(now[cells][:, window]).all():
            skipped.append((name, year, "weeks missing in the target window"))
        else:
            keep.extend(cells)
    return np.array(keep, int)


def _score(model, panel, cells, year, onset, ends, rows, joint, label_end):
    """Predict one held-out year and append its sums."""
    target = panel.select(cells=cells, years=[year])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        excess = model._predict_panel(target, onset)
    for end in ends:
        for by, out in ((("unit",), rows), ((), joint)):
            last = min(end, int(excess.weeks[-1]))  # 52 in a year without week 53
            part = excess.total(onset, last, by=by)
            part.insert(len(by), "year", year)
            if label_end:
                part.insert(len(by) + 1, "end", end)
            out.append(part)


def _finish(rows, joint, skipped, label_end, method):
    if not rows:
        reasons = sorted({r for _, _, r in skipped})
        raise ValueError(
            "nothing to judge: every unit-year was skipped (" + "; ".join(reasons) + ")"
        )
    table, whole = (
        pd.concat(rows, ignore_index=True),
        pd.concat(joint, ignore_index=True),
    )
    summaries = []
    for frame in (table, whole):
        if label_end:
            parts = []
            for end, part in frame.groupby("end"):
                row = summarise(part)
                row.insert(0, "end", end)
                parts.append(row)
            summaries.append(pd.concat(parts, ignore_index=True))
        else:
            summaries.append(summarise(frame))
    lost = pd.DataFrame(skipped, columns=["unit", "year", "reason"])
    summaries[0]["skipped"] = len(lost)
    return Calibration(table, summaries[0], whole, summaries[1], lost, method)


def _fit(options, method, by_age, panel, pool):
    model = Counterfactual(method=method, by_age=by_age, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model._fit_panel(panel, pool)


def rolling_origin(
    data,
    years=range(2015, 2020),
    training_years=5,
    given=8,
    end=26,
    method="pooled",
    pool=None,
    by_age=False,
    **options,
):
    """Predict each year from earlier years and its own first weeks.

    Parameters
    ----------
    data : DataFrame
        As for ``Counterfactual.fit``.
    years : iterable of int
        Target years; nothing of a target year or later, of any unit, is learned from.
    training_years : int
        Control years of a unit: the latest complete ones for ``cgp`` and the
        baselines, the years that enter the unit's own level, slope and season for
        ``pooled`` (whose covariance is learned from all earlier years of all units).
        A unit-year with fewer is skipped and counted.
    given, end : int
        Weeks up to `given` condition, weeks given+1..end are predicted and summed.
        ``pooled`` also sees later weeks of earlier years, the others weeks up to `end`.
    method, pool, by_age, **options
        As for ``Counterfactual``.

    Returns
    -------
    Calibration

    Examples
    --------
    >>> from gradiverse import mortality
    >>> data, _ = mortality.synthetic(units=5, years=range(2009, 2018), rng=3)
    >>> c = mortality.rolling_origin(data, range(2015, 2018), method="mean")
    >>> len(c.table), c.summary.shape[0]
    (15, 1)
    """
    years = _years(years)
    if not years:
        raise ValueError("years is empty; name at least one target year")
    if training_years < 1:
        raise ValueError(f"training_years must be at least 1, got {training_years}")
    if end <= given:
        raise ValueError(f"end={end} must be later than given={given}")
    reach = max(end, 52) if method == "pooled" else end
    whole, pooled = _frames(data, pool, by_age, reach, years[-1])
    late = whole.weeks > end
    window = (whole.weeks > given) & ~late
    if not window.any():
        raise ValueError(f"data have no weeks {given + 1}-{end}")
    onset, last = int(whole.weeks[window][0]), int(whole.weeks[window][-1])
    if method == "pooled":
        options = {"training_years": training_years, **options}
    rows, joint, skipped = [], [], []
    for year in years:
        past = _without(whole, lambda y, year=year: y >= year)
        past = None if past is None else _panel.fill_week53(past)
        enough = np.zeros(len(whole.cells), bool)
        if past is not None:
            complete = np.isfinite(past.counts[:, :, ~late]).all(axis=2)
            enough = complete.sum(axis=1) >= training_years
        cells = _judgeable(whole, year, enough, window, skipped)
        if len(cells) == 0:
            continue
        if method != "pooled":
            past = _limit_years(past.select(cells=cells), training_years)
        other = (
            None if pooled is None else _without(pooled, lambda y, year=year: y >= year)
        )
        model = _fit(options, method, by_age, past, other)
        target = _blank(whole, late)
        _score(model, target, cells, year, onset, (last,), rows, joint, False)
    return _finish(rows, joint, skipped, False, method)


def leave_one_year_out(
    data,
    years=range(2015, 2020),
    onset=6,
    ends=(13, 17, 24),
    method="pooled",
    pool=None,
    by_age=False,
    **options,
):
    """Predict each year from all other years, the held-out year dropped everywhere.

    Parameters
    ----------
    data, method, pool, by_age, **options
        As for ``rolling_origin``; the held-out year is dropped from the pool too.
    years : iterable of int
        Years held out one by one.  Data and pool are used up to the last of them, so
        that an exceptional later year in the table cannot leak in.
    onset : int
        First predicted week.
    ends : tuple of int
        Last weeks of the sums; the summary has one row per end.

    Returns
    -------
    Calibration
        With a column "end" in table and summary.
    """
    years = _years(years)
    if not years:
        raise ValueError("years is empty; name at least one year to hold out")
    ends = tuple(int(e) for e in np.atleast_1d(ends))
    if min(ends) < onset:
        raise ValueError(f"ends={ends} must not lie before the onset {onset}")
    whole, pooled = _frames(data, pool, by_age, np.inf, years[-1])
    if max(ends) > whole.weeks[-1]:
        raise ValueError(f"ends={ends}: the data end with week {whole.weeks[-1]}")
    return _leave_one(whole, pooled, years, onset, ends, method, by_age, options)


def _leave_one(whole, pooled, years, onset, ends, method, by_age, options, cells=None):
    rows, joint, skipped = [], [], []
    for year in years:
        rest = _without(whole, lambda y, year=year: y == year)
        if rest is None:
            raise ValueError("leaving a year out needs at least two years of data")
        needs = 1 if method == "pooled" else 3
        enough = np.isfinite(rest.counts).any(axis=2).sum(axis=1) >= needs
        window = (whole.weeks >= onset) & (whole.weeks <= max(ends))
        use = _judgeable(whole, year, enough, window, skipped)
        if cells is not None:
            use = np.intersect1d(use, cells)
        if len(use) == 0:
            continue
        other = (
            None if pooled is None else _without(pooled, lambda y, year=year: y == year)
        )
        model = _fit(options, method, by_age, rest, other)
        _score(model, whole, use, year, onset, ends, rows, joint, True)
    return _finish(rows, joint, skipped, True, method)


def calibrate_panel(model, onset, end, cells=None, most=5):
    """Leave-one-year-out of a fitted ``Counterfactual`` on its own history."""
    panel = model.panel_
    years = panel.years[-most:]
    index = None
    if cells is not None:
        place = {cell: i for i, cell in enumerate(panel.cells)}
        index = [place[c] for c in cells]
    return _leave_one(
        panel,
        model.pool_,
        [int(y) for y in years],
        onset,
        (end,),
        model.method,
        model.by_age,
        model.options,
        index,
    )
