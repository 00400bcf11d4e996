"""Italy's fixed-date periods and the ISTAT town-day file.

Period 0 is 1-11 January (11 days); then periods of 7 dates, the same each year;
29 February belongs to period 7, which has 6 days in common years.
"""

import numpy as np
import pandas as pd

from ._sources import region_name

_STARTS = np.cumsum([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30])


def period_of(month, day):
    """Period of a calendar date (arrays of month 1-12 and day of month)."""
    index = _STARTS[np.asarray(month) - 1] + np.asarray(day) - 1
    return np.where(index < 11, 0, (index - 11) // 7 + 1)


def days_of(period, year):
    """Days of a period in a year: 11, then 7; period 7 has 6 in common years.

    Examples
    --------
    >>> int(days_of(np.arange(25), 2019).sum()), int(days_of(np.arange(25), 2020).sum())
    (178, 179)
    """
    period, year = np.broadcast_arrays(period, year)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    days = np.where(period == 0, 11, np.where(period == 51, 5, 7))
    return np.where((period == 7) & ~leap, 6, days)


def period_start(period, year):
    """First date of a period."""
    period = np.asarray(period)
    index = np.where(period == 0, 0, 11 + 7 * (period - 1))
    month = np.searchsorted(_STARTS, index, side="right")
    day = index - _STARTS[month - 1] + 1
    return pd.to_datetime(
        {
            "year": np.broadcast_to(year, np.shape(index)).ravel(),
            "month": month.ravel(),
            "day": day.ravel(),
        }
    )


def is_town_day(columns):
    """Whether the header is that of ISTAT's deaths by town, day, age and sex."""
    upper = {c.upper() for c in columns}
    return {"NOME_REGIONE", "CL_ETA", "GE"} <= upper


def town_day(table):
    """ISTAT town-day table -> region, age class, sex, year, period.

    Towns without data in some year ("n.d." or 9999) are left out of all years, so that
    years stay comparable; the number left out is noted in ``attrs["notes"]``.
    """
    table = table.rename(columns=str.upper)
    parts = {}
    for column in table.columns:
        for prefixes, sex in (
            (("M_", "MASCHI_"), "male"),
            (("F_", "FEMMINE_"), "female"),
        ):
            for prefix in prefixes:
                tail = column[len(prefix) :]
                if column.startswith(prefix) and len(tail) == 2 and tail.isdigit():
                    parts[column] = (sex, 2000 + int(tail))
    if not parts:
        raise ValueError(
            "the town-day file has no columns M_15, F_15, ... (or MASCHI_15, "
            "...); it has " + ", ".join(table.columns)
        )
    counts = table[list(parts)].replace("n.d.", np.nan).apply(pd.to_numeric)
    counts = counts.mask(counts == 9999)
    town = "COD_PROVCOM" if "COD_PROVCOM" in table else "NOME_COMUNE"
    lacking = table.loc[counts.isna().any(axis=1), town].unique()
    keep = ~table[town].isin(lacking)
    table, counts = table[keep], counts[keep]
    if len(table) == 0:
        raise ValueError("no town has data in every year of the town-day file")
    date = pd.to_numeric(table["GE"]).to_numpy(dtype=int)
    month, day = date // 100, date % 100
    keys = pd.DataFrame(
        {
            "unit": table["NOME_REGIONE"].map(region_name).to_numpy(),
            "age": pd.to_numeric(table["CL_ETA"]).to_numpy(dtype=int),
            "week": period_of(month, day),
        }
    )
    frames = []
    for column, (sex, year) in parts.items():
        frame = keys.assign(
            sex=sex, year=year, deaths=counts[column].to_numpy(dtype=int)
        )
        frames.append(
            frame.groupby(["unit", "age", "sex", "year", "week"], as_index=False)[
                "deaths"
            ].sum()
        )
    out = _complete(pd.concat(frames, ignore_index=True))
    if len(lacking):
        out.attrs["notes"] = [
            f"{len(lacking)} town(s) without data in some year are left out of "
            "all years"
        ]
    return out


def _complete(table):
    """Add the zero rows that the file leaves out, and the days."""
    last = int(table.loc[table.year == table.year.max(), "week"].max())
    axes = [np.sort(table[c].unique()) for c in ("unit", "age", "sex", "year")]
    full = pd.MultiIndex.from_product(
        [*axes, np.arange(last + 1)], names=["unit", "age", "sex", "year", "week"]
    )
    series = table.set_index(["unit", "age", "sex", "year", "week"])["deaths"]
    out = series.reindex(full, fill_value=0).reset_index()
    out["days"] = days_of(out["week"].to_numpy(), out["year"].to_numpy())
    return out[["unit", "age", "sex", "year", "week", "days", "deaths"]]
