"""Tidy tables of deaths -> arrays (cells, years, weeks), and back to cells.

The calendar rules live here: which rows are summed, which absent rows are zeros and
which are gaps, week 53, and days per period.  Every choice that a reader should know
of is a sentence in ``Panel.notes``.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from . import _validate as check

DEFAULT_DAYS = 7.0


@dataclass
class Panel:
    """Counts and days on one rectangular grid.

    Attributes
    ----------
    cells : list of (unit, age)
        Age is None unless ages are kept apart.
    years, weeks : (Y,), (W,) int arrays, increasing
    counts : (C, Y, W) float array, deaths; NaN where absent
    days : (C, Y, W) float array, days of each period
    has_days : bool
        Whether the table had a ``days`` column.
    notes : list of str
        Choices made while reading.
    """

    cells: list
    years: np.ndarray
    weeks: np.ndarray
    counts: np.ndarray
    days: np.ndarray
    has_days: bool
    notes: list = field(default_factory=list)

    def select(self, cells=None, years=None, weeks=None):
        """A smaller panel: cell indices, year values, week values."""
        c = np.arange(len(self.cells)) if cells is None else np.asarray(cells, int)
        y = np.isin(self.years, self.years if years is None else list(years))
        w = np.isin(self.weeks, self.weeks if weeks is None else list(weeks))
        grid = np.ix_(c, y, w)
        return Panel(
            [self.cells[i] for i in c],
            self.years[y],
            self.weeks[w],
            self.counts[grid],
            self.days[grid],
            self.has_days,
            list(self.notes),
        )

    def complete(self):
        """(C, Y) bool: every week of the axis has a count."""
        return np.isfinite(self.counts).all(axis=2)


def _drop_totals(frame, column, keep_parts, name, notes):
    """Rows of `frame` with totals and their parts never counted together.

    With `keep_parts` False a total row replaces the parts of its unit-year-week;
    with True total rows go wherever the unit has parts.
    """
    total = check.is_total(frame[column], column)
    if not total.any() or total.all():
        return frame
    keys = ["unit"] if keep_parts else ["unit", "year", "week"]
    others = [c for c in ("age", "sex") if c in frame and c != column]
    keys = keys + others
    group = frame.groupby(keys, sort=False, dropna=False).ngroup().to_numpy()
    size = group.max() + 1
    if keep_parts:
        has_parts = np.zeros(size, bool)
        has_parts[group[~total]] = True
        keep = ~(total & has_parts[group])
        what = "the total rows are left out where the parts are given"
    else:
        has_total = np.zeros(size, bool)
        has_total[group[total]] = True
        keep = total | ~has_total[group]
        what = "the total rows are used and the parts are not added to them"
    if not keep.all():
        notes.append(f"{name}: column {column} holds totals and parts; {what}.")
    return frame[keep]


def _clean(frame, name, by_age, notes):
    """Validated copy with typed columns."""
    check.check_columns(frame, name)
    columns = [
        c
        for c in ("unit", "age", "sex", "year", "week", "deaths", "days")
        if c in frame.columns
    ]
    if by_age and "age" not in columns:
        raise ValueError(
            f"by_age=True needs a column age in {name}; add it or drop the option."
        )
    table = frame[columns].reset_index(drop=True)
    if table["unit"].isna().any():
        raise ValueError(
            f"{name}: the column unit has empty entries; fill or drop them."
        )
    table = table.assign(
        year=check.integer_column(table, "year", name),
        week=check.integer_column(table, "week", name),
        deaths=check.deaths_column(table, name, notes),
    )
    if "days" in columns:
        table = table.assign(days=check.days_column(table, name))
    if by_age and table["age"].isna().any():
        bad = table["age"].isna().to_numpy()
        raise ValueError(
            f"{name}: {int(bad.sum())} row(s) have no age, first: "
            f"{check._row(table, bad)}. Name it (UNK for unknown) or drop the rows."
        )
    keys = [c for c in ("unit", "age", "sex", "year", "week") if c in columns]
    check.check_duplicates(table[keys], name)
    if "sex" in columns:
        table = _drop_totals(table, "sex", False, name, notes)
    if "age" in columns:
        table = _drop_totals(table, "age", by_age, name, notes)
        if by_age:
            table = _drop_unknown(table, name, notes)
    return table


def _drop_unknown(table, name, notes):
    """Rows of unknown age left out, and their deaths counted in a note."""
    word = table["age"].astype(str).str.strip().str.lower()
    unknown = word.isin(("unk", "unknown", "n.d.")).to_numpy()
    if not unknown.any():
        return table
    lost = table.loc[unknown, "deaths"].sum()
    notes.append(
        f"{name}: {lost:,.0f} deaths of unknown age belong to no age and are left out."
    )
    return table[~unknown]


def build(frame, by_age=False, name="history", weeks=None):
    """Panel of a tidy table.

    Parameters
    ----------
    frame : DataFrame
        Columns unit, year, week, deaths [, age, sex, days, population].
    by_age : bool
        Keep ages as cells of their own; otherwise ages (and always sexes) are summed.
    name : str
        What to call the table in messages.
    weeks : (W,) int array, optional
        The week axis to use; rows on other weeks are left out and noted.

    Raises
    ------
    TypeError, ValueError
        Not a table, missing columns, non-integer weeks, negative or fractional
        deaths, duplicates, days that differ within a cell's period.
    """
    notes = []
    table = _clean(frame, name, by_age, notes)
    if weeks is not None:
        inside = np.isin(table["week"].to_numpy(), weeks)
        if not inside.any():
            raise ValueError(
                f"{name} shares no week with the history (weeks "
                f"{weeks[0]}-{weeks[-1]}); "
                "renumber its weeks to the same axis."
            )
        if not inside.all():
            lost = sorted(set(table["week"].to_numpy()[~inside].tolist()))
            notes.append(
                f"{name}: weeks {_span(lost)} are not on the axis and are unused."
            )
        table = table[inside]
    axis = np.unique(table["week"].to_numpy()) if weeks is None else np.asarray(weeks)
    unit_code, units = pd.factorize(table["unit"], sort=True)
    if by_age:
        age_code, ages = pd.factorize(table["age"].astype(object), sort=False)
        order = _age_order(ages)
        rank = np.empty(len(ages), int)
        rank[order] = np.arange(len(ages))
        age_code, ages = rank[age_code], [ages[i] for i in order]
        pair, cell_code = np.unique(
            unit_code * len(ages) + age_code, return_inverse=True
        )
        cells = [(units[p // len(ages)], ages[p % len(ages)]) for p in pair]
    else:
        cell_code, cells = unit_code, [(u, None) for u in units]
    years = np.unique(table["year"].to_numpy())
    y = np.searchsorted(years, table["year"].to_numpy())
    w = np.searchsorted(axis, table["week"].to_numpy())
    counts = _fill_counts(
        table, unit_code, cell_code, cells, y, w, years, axis, name, notes
    )
    days = _fill_days(table, cell_code, len(cells), y, w, years, axis, name)
    return Panel(cells, years, axis, counts, days, "days" in table, notes)


def _age_order(ages):
    """Order of age labels: numeric ones by value, then words."""

    def key(i):
        try:
            return (0, float(ages[i]), "")
        except (TypeError, ValueError):
            digits = "".join(ch if ch.isdigit() else " " for ch in str(ages[i])).split()
            return (0, float(digits[0]), "") if digits else (1, 0.0, str(ages[i]))

    return sorted(range(len(ages)), key=key)


def _fill_counts(table, unit_code, cell_code, cells, y, w, years, axis, name, notes):
    """(C, Y, W) sums; absent parts of a reported week are zeros, absent weeks NaN."""
    shape = (len(cells), len(years), len(axis))
    deaths = table["deaths"].to_numpy()
    flat = np.ravel_multi_index((cell_code, y, w), shape)
    known = np.isfinite(deaths)
    total = np.bincount(flat[known], deaths[known], minlength=np.prod(shape))
    rows = np.bincount(flat, minlength=np.prod(shape)).reshape(shape)
    empty = np.bincount(flat[~known], minlength=np.prod(shape)).reshape(shape)
    counts = total.reshape(shape)
    counts[(rows == 0) | (empty > 0)] = np.nan
    if cells and cells[0][1] is not None:
        unit_of = np.zeros(len(cells), int)
        unit_of[cell_code] = unit_code
        reported = np.zeros((unit_of.max() + 1, *shape[1:]), bool)
        np.logical_or.at(reported, (unit_code, y, w), True)
        zero = (rows == 0) & reported[unit_of] & (rows.sum(2, keepdims=True) > 0)
        counts[zero] = 0.0
        if zero.any():
            notes.append(
                f"{name}: {int(zero.sum())} age rows absent from weeks that "
                "report other "
                "ages count as zero deaths."
            )
    else:
        most = rows.max(axis=2, keepdims=True)
        fewer = int(((rows > 0) & (rows < most)).sum())
        if fewer:
            notes.append(
                f"{name}: {fewer} weeks have fewer age or sex rows than others of "
                "their "
                "year; the absent rows count as zero deaths."
            )
    return counts


def _fill_days(table, cell_code, n_cells, y, w, years, axis, name):
    """(C, Y, W) days; empty entries take the usual length of that period."""
    shape = (n_cells, len(years), len(axis))
    if "days" not in table:
        return np.full(shape, DEFAULT_DAYS)
    value = table["days"].to_numpy()
    days = np.full(shape, np.nan)
    days[cell_code, y, w] = value
    clash = days[cell_code, y, w] != value
    if clash.any():
        raise ValueError(
            f"{name}: {int(clash.sum())} row(s) give another number of days than their "
            f"neighbours of the same period, first: {check._row(table, clash)}. "
            "A period has one length per unit and year."
        )
    usual = np.full(len(axis), DEFAULT_DAYS)
    for j in range(len(axis)):
        column = value[w == j]
        if len(column):
            usual[j] = np.median(column)
    return np.where(np.isnan(days), usual, days)


def _span(values):
    """Compact text of a sorted list of integers: 3-5, 9."""
    parts, start = [], None
    for i, v in enumerate(values):
        if start is None:
            start = v
        if i + 1 == len(values) or values[i + 1] != v + 1:
            parts.append(str(start) if start == v else f"{start}-{v}")
            start = None
    return ", ".join(parts)


def fill_week53(panel):
    """Give 52-week years a stand-in week 53 when other years have a real one.

    The stand-in is the mean of the daily rates of week 52 and of the next year's
    week 1 (of week 52 alone where the next year is absent).  It only completes the
    axis, so that years of 52 and 53 weeks can share one kernel.
    """
    if 53 not in panel.weeks or 52 not in panel.weeks:
        return panel
    i53 = int(np.searchsorted(panel.weeks, 53))
    lacks = np.isnan(panel.counts[:, :, i53]) & np.isfinite(panel.counts[:, :, i53 - 1])
    if not lacks.any():
        return panel
    counts, days = panel.counts.copy(), panel.days.copy()
    rate52 = counts[:, :, i53 - 1] / days[:, :, i53 - 1]
    after = rate52.copy()
    if 1 in panel.weeks:
        i1 = int(np.searchsorted(panel.weeks, 1))
        rate1 = counts[:, :, i1] / days[:, :, i1]
        follows = np.flatnonzero(np.diff(panel.years) == 1)
        following = rate1[:, follows + 1]
        after[:, follows] = np.where(
            np.isfinite(following), following, after[:, follows]
        )
    stand_in = np.round(0.5 * (rate52 + after) * days[:, :, i53])
    counts[:, :, i53] = np.where(lacks, stand_in, counts[:, :, i53])
    note = (
        f"week 53: {int(lacks.sum())} unit-year(s) of 52 weeks stand in with the mean "
        "rate of week 52 and the following week 1."
    )
    return Panel(
        panel.cells,
        panel.years,
        panel.weeks,
        counts,
        days,
        panel.has_days,
        [*panel.notes, note],
    )


def gaps(panel):
    """List of (cell, year, weeks) with weeks missing between reported ones."""
    out = []
    present = np.isfinite(panel.counts)
    for c, y in zip(*np.nonzero(present.any(2) & ~present.all(2)), strict=True):
        where = np.flatnonzero(present[c, y])
        inside = ~present[c, y, where[0] : where[-1] + 1]
        if inside.any():
            lost = panel.weeks[where[0] : where[-1] + 1][inside]
            out.append((panel.cells[c], int(panel.years[y]), lost.tolist()))
    return out
