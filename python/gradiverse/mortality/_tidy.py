"""A reader for any tidy table of deaths: common column names, dates, ISO weeks.

Its helpers (aliases, number columns with errors that name file and row, source and
notes of a table) serve the loaders of known files too.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from . import _istat
from ._sources import read_table

ALIASES = {
    "unit": (
        "unit",
        "region",
        "country",
        "country_name",
        "jurisdiction",
        "state",
        "jurisdiction of occurrence",
        "popcode",
        "countrycode",
        "area",
        "location",
        "territory",
        "iso3c",
        "geo",
        "county",
        "province",
    ),
    "year": ("year", "iso_year", "mmwr_year", "mmwr year", "mmwryear"),
    "week": (
        "week",
        "period",
        "iso_week",
        "mmwr_week",
        "mmwr week",
        "mmwrweek",
        "time",
    ),
    "deaths": (
        "deaths",
        "total_deaths",
        "all_cause",
        "all cause",
        "allcause",
        "count",
        "number_of_deaths",
        "number of deaths",
        "deaths_total",
        "total",
    ),
    "age": ("age", "age_class", "age_group", "age group", "agegroup", "cl_eta"),
    "sex": ("sex", "gender"),
    "population": ("population", "pop"),
    "days": ("days", "n_days"),
    "start": ("start", "start_date", "period_start", "date_start"),
    "end": (
        "end",
        "end_date",
        "period_end",
        "week_ending",
        "week ending date",
        "week_ending_date",
        "date_end",
    ),
}


def _tidy(table, source, notes=()):
    table = table.reset_index(drop=True)
    table.attrs["source"] = str(source)
    table.attrs["notes"] = list(notes)
    return table


def _number(table, column, source):
    """Numeric column; words raise with the file and the word."""
    values = pd.to_numeric(table[column], errors="coerce")
    bad = values.isna() & table[column].notna()
    if bad.any():
        raise ValueError(
            f"{source}: column {column} holds {table[column][bad].iloc[0]!r} (row "
            f"{int(np.flatnonzero(bad)[0]) + 2}); numbers are expected"
        )
    return values


def _whole(table, column, source):
    """Integer column; gaps raise."""
    values = _number(table, column, source)
    if values.isna().any():
        raise ValueError(f"{source}: column {column} has empty cells; drop those rows")
    return values.astype("int64")


def load_tidy(path_or_frame):
    """A user's own table, with common column names understood.

    Parameters
    ----------
    path_or_frame : path or DataFrame
        Columns for unit, deaths and either year and week, a week label such as
        ``2020-W09``, or the start (and end) date of each period.

    Returns
    -------
    DataFrame
        unit [, age, sex], year, week, deaths [, days, population].

    Notes
    -----
    From dates: periods of seven days that begin on Mondays get ISO years and weeks,
    other seven-day periods the week of the year that holds their fourth day; periods of
    other lengths are numbered within the year and keep their days.
    """
    if isinstance(path_or_frame, pd.DataFrame):
        table, source = path_or_frame.copy(), "data frame"
    else:
        source = path_or_frame
        if not str(source) or not Path(source).is_file():
            raise FileNotFoundError(f"{source} is not a file")
        table = read_table(source)
        if _istat.is_town_day(table.columns):
            found = _istat.town_day(table)
            return _tidy(found, source, found.attrs.get("notes", ()))
    lower = {str(c).strip().lower(): c for c in table.columns}
    out = {}
    for name, aliases in ALIASES.items():
        found = next((lower[a] for a in aliases if a in lower), None)
        if found is not None:
            out[name] = table[found]
    out = pd.DataFrame(out)
    notes = []
    for name in ("unit", "deaths"):
        if name not in out:
            raise ValueError(
                f"{source}: no column for {name}; it has "
                f"{', '.join(map(str, table.columns))}"
                f". Known names: {', '.join(ALIASES[name])}"
            )
    out = _calendar(out, source, notes)
    out["deaths"] = _number(out, "deaths", source)
    for name in ("days", "population"):
        if name in out:
            out[name] = _number(out, name, source)
    order = ("unit", "age", "sex", "year", "week", "days", "deaths", "population")
    return _tidy(out[[c for c in order if c in out]], source, notes)


def _calendar(out, source, notes):
    """Year and week columns from whatever dates the table has."""
    if "week" in out and "year" not in out:
        match = (
            out["week"]
            .astype(str)
            .str.extract(r"^(\d{4})-?W(\d{1,2})$", flags=re.IGNORECASE)
        )
        if match.notna().all(axis=None):
            out["year"], out["week"] = match[0], match[1]
    if "year" in out and "week" in out:
        out["year"] = _whole(out, "year", source)
        out["week"] = _whole(out, "week", source)
        return out
    if "start" not in out and "end" not in out:
        raise ValueError(
            f"{source}: no year and week, no ISO week such as 2020-W09, and no "
            "start or "
            "end date of the periods"
        )
    return _from_dates(out, source, notes)


def _from_dates(out, source, notes):
    try:
        dates = {c: pd.to_datetime(out[c]) for c in ("start", "end") if c in out}
    except (ValueError, TypeError) as error:
        raise ValueError(f"{source}: unreadable date: {error}") from None
    one_week = pd.Timedelta(days=6)
    start = dates.get("start", dates["end"] - one_week if "end" in dates else None)
    end = dates.get("end", start + one_week)
    length = (end - start).dt.days + 1
    if (length < 1).any():
        raise ValueError(f"{source}: a period ends before it starts")
    if (length == 7).all():
        middle = start + pd.Timedelta(days=3)
        if (start.dt.day_of_week == 0).all():
            iso = middle.dt.isocalendar()
            out["year"], out["week"] = iso["year"].astype(int), iso["week"].astype(int)
            notes.append("weeks from Monday: ISO years and weeks")
        else:
            out["year"] = middle.dt.year
            out["week"] = (middle.dt.day_of_year - 1) // 7 + 1
            notes.append("weeks are numbered by the year that holds their fourth day")
        return out
    out["year"] = start.dt.year
    label = start.dt.month * 100 + start.dt.day
    rank = {v: i for i, v in enumerate(np.sort(label.unique()))}
    out["week"] = label.map(rank).astype(int)
    out["days"] = length
    notes.append("periods of unequal length: numbered within the year, days kept")
    return out
