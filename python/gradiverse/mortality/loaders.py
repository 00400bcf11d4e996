"""Readers of death counts: each returns a tidy table with unit, year, week, deaths.

Every loader takes a file, a folder, or nothing (then GRADIVERSE_DATA), looks at the
header, and understands both the compact copies and the publishers' own files.
Choices are listed in ``table.attrs["notes"]``, the file in ``table.attrs["source"]``.
"""

import numpy as np
import pandas as pd

from . import _istat
from ._sources import locate, read_table, region_name
from ._tidy import ALIASES, _number, _tidy, _whole, load_tidy

__all__ = [
    "load_cdc",
    "load_economist",
    "load_italy",
    "load_official",
    "load_stmf",
    "load_tidy",
]


def load_italy(path=None, level="region"):
    """Deaths by Italian region, age class, sex and fixed-date period.

    Parameters
    ----------
    path : path, optional
        The compact file or one of its earlier releases, ISTAT's own town-day file
        (``comuni_giornaliero...csv``), or a folder; by default GRADIVERSE_DATA.
    level : "region" or "province"
        Which territory is the unit, where the file has both.

    Returns
    -------
    DataFrame
        unit, age (ISTAT class 0-21), sex ("male", "female"), year, week (period, 0 is
        1-11 January), days, deaths.
    """
    file = locate("italy", path)
    table = read_table(file)
    if _istat.is_town_day(table.columns):
        out = _istat.town_day(table)
        return _tidy(out, file, out.attrs.get("notes", ()))
    need = {"year", "period", "region", "age_class", "male", "female"}
    if not need <= set(table.columns):
        raise ValueError(
            f"{file} is neither ISTAT's town-day file nor the compact one: columns "
            f"{', '.join(table.columns)}; needed {', '.join(sorted(need))}"
        )
    if level not in ("region", "province"):
        raise ValueError(f"level must be 'region' or 'province', got {level!r}")
    if level == "province" and "province" not in table:
        raise ValueError(f"{file} has no provinces; use level='region'")
    unit = table[level].map(region_name) if level == "region" else table["province"]
    year, week = _whole(table, "year", file), _whole(table, "period", file)
    days = (
        _whole(table, "days", file)
        if "days" in table
        else pd.Series(_istat.days_of(week.to_numpy(), year.to_numpy()))
    )
    frames = [
        pd.DataFrame(
            {
                "unit": unit,
                "age": _whole(table, "age_class", file),
                "sex": sex,
                "year": year,
                "week": week,
                "days": days,
                "deaths": _whole(table, sex, file),
            }
        )
        for sex in ("male", "female")
    ]
    out = pd.concat(frames, ignore_index=True)
    if "province" in table and level == "region":
        keys = ["unit", "age", "sex", "year", "week", "days"]
        out = out.groupby(keys, as_index=False)["deaths"].sum()
    return _tidy(out, file)


def load_stmf(path=None, by_sex=False, download=False):
    """Short-term mortality fluctuations of the Human Mortality Database.

    Understands the compact copy, the input files by country (PopCode, Area, Year, Week,
    Sex, Age, AgeInterval, Deaths, ...) and the pooled output file (CountryCode, Year,
    Week, Sex, D0_14, ..., DTotal).

    Parameters
    ----------
    path : path, optional
    by_sex : bool
        Keep the sexes apart where the file has them (column sex).
    download : bool
        Fetch the pooled file from the publisher when it is not found.

    Returns
    -------
    DataFrame
        unit (population code), age ("TOT" for all ages), [sex,] year, week, deaths.
    """
    file = locate("stmf", path, download)
    table = read_table(file)
    table.columns = [c.lower() for c in table.columns]
    notes = []
    if "dtotal" in table:
        table = _stmf_pooled(table, file, notes)
    table = table.rename(columns={"popcode": "unit", "countrycode": "unit"})
    missing = {"unit", "year", "week", "age", "deaths"} - set(table.columns)
    if missing:
        raise ValueError(
            f"{file}: not an STMF file, lacks {', '.join(sorted(missing))}"
        )
    unknown = ~table["week"].astype(str).str.strip().str.isdigit()
    if unknown.any():
        notes.append(f"{int(unknown.sum())} rows of unknown week (UNK) are left out")
        table = table[~unknown].reset_index(drop=True)
    table = table.assign(
        year=_whole(table, "year", file),
        week=_whole(table, "week", file),
        deaths=_number(table, "deaths", file),
        age=table["age"].str.strip(),
    )
    table = _sexes(table, by_sex, notes)
    return _tidy(table, file, notes)


def _stmf_pooled(table, file, notes):
    """Wide pooled output -> long; fractional splits of ages are rounded."""
    ages = {
        "d0_14": "0-14",
        "d15_64": "15-64",
        "d65_74": "65-74",
        "d75_84": "75-84",
        "d85p": "85+",
        "dtotal": "TOT",
    }
    present = [c for c in ages if c in table]
    long = table.melt(["countrycode", "year", "week", "sex"], present, "age", "deaths")
    long["age"] = long["age"].map(ages)
    value = _number(long, "deaths", file)
    if ((value - value.round()).abs() > 1e-9).any():
        notes.append("age groups split by the publisher are rounded to whole deaths")
    long["deaths"] = value.round()
    return long


def _sexes(table, by_sex, notes):
    """Both sexes together: the publisher's own total where given, else the sum."""
    columns = ["unit", "age", "year", "week", "deaths"]
    if "sex" not in table:
        return table[columns]
    sex = table["sex"].str.strip().str.lower()
    if by_sex:
        parts = table.assign(sex=sex.map({"m": "male", "f": "female", "b": "both"}))
        if sex.isin(["m", "f"]).any():
            parts = parts[sex != "b"]
        return parts[["unit", "age", "sex", "year", "week", "deaths"]]
    keys = ["unit", "age", "year", "week"]
    both = table[sex == "b"]
    parts = table[sex.isin(["m", "f"])]
    if len(parts) == 0:
        return both[columns]
    summed = parts.groupby(keys, as_index=False, sort=False)["deaths"].sum(min_count=2)
    if len(both):
        notes.append("rows of both sexes are used; sexes are summed where they lack")
        summed = pd.concat([both[columns], summed]).drop_duplicates(keys)
    return summed[columns].sort_values(["unit", "year", "week"], kind="stable")


def load_economist(path=None):
    """Weekly deaths by country (or US state) as collected by The Economist.

    Returns
    -------
    DataFrame
        unit, year, week (ISO), deaths, population, covid_deaths; days too where
        periods are not weeks.
    """
    file = locate("economist", path)
    table = read_table(file)
    need = {"region", "year", "total_deaths"}
    if not need <= set(table.columns):
        raise ValueError(
            f"{file}: lacks {', '.join(sorted(need - set(table.columns)))}"
        )
    period = next((c for c in ("week", "month", "quarter") if c in table), None)
    if period is None:
        raise ValueError(f"{file}: no column week, month or quarter")
    unit = table["region"]
    if "country" in table:
        same = table["country"] == table["region"]
        unit = table["country"].where(same, table["country"] + ": " + table["region"])
        if table["country"].nunique() == 1 and table["region"].nunique() > 1:
            unit = table["region"]
    out = pd.DataFrame(
        {
            "unit": unit,
            "year": _whole(table, "year", file),
            "week": _whole(table, period, file),
        }
    )
    if "days" in table:
        days = _whole(table, "days", file)
        if days.nunique() > 1:
            out["days"] = days
    notes = []
    deaths = _number(table, "total_deaths", file)
    fraction = (deaths - deaths.round()).abs() > 1e-9
    if fraction.any():
        names = ", ".join(sorted(set(unit[fraction])))
        notes.append(f"{int(fraction.sum())} fractional counts are rounded ({names})")
    out["deaths"] = deaths.round()
    for column in ("population", "covid_deaths"):
        if column in table:
            out[column] = _number(table, column, file)
    return _tidy(out, file, notes)


def load_cdc(path=None, states_only=False):
    """Weekly deaths by US jurisdiction from the CDC's National Center for Health
    Statistics.

    Parameters
    ----------
    path : path, optional
        The compact copy, a table of publication dates (column snapshot), or the
        publisher's "Weekly Counts of Deaths by State and Select Causes".
    states_only : bool
        50 states and the District of Columbia: New York City joins New York; Puerto
        Rico and the nation are left out.

    Returns
    -------
    DataFrame
        [snapshot,] unit, year, week (MMWR), deaths.  The nation ("United States") and
        New York City are rows of their own unless `states_only`.
    """
    file = locate("cdc", path)
    table = read_table(file)
    lower = {c.lower(): c for c in table.columns}
    columns = {}
    for name in ("unit", "year", "week", "deaths"):
        found = next((lower[a] for a in ALIASES[name] if a in lower), None)
        if found is None:
            raise ValueError(f"{file}: no column for {name} among {', '.join(lower)}")
        columns[name] = found
    text = table[columns["deaths"]].str.replace(",", "", regex=False)
    out = pd.DataFrame(
        {
            "unit": table[columns["unit"]],
            "year": _whole(table, columns["year"], file),
            "week": _whole(table, columns["week"], file),
            "deaths": _number(text.to_frame("deaths"), "deaths", file),
        }
    )
    notes = []
    if "snapshot" in lower:
        out.insert(0, "snapshot", _whole(table, lower["snapshot"], file))
        out = _name_jurisdictions(out, notes)
    if states_only:
        out = _states(out, notes)
    notes.append(
        "MMWR weeks; the newest weeks of a publication are incomplete"
        + (
            ""
            if states_only
            else "; New York City and the nation are rows of their own"
        )
    )
    return _tidy(out, file, notes)


def _name_jurisdictions(table, notes):
    """Fill names that a publication left out, where the order of rows gives them.

    Only weeks with as many rows as there are jurisdictions can be named; the rows of
    other weeks are left out.
    """
    lost = table["unit"].isna().to_numpy()
    if not lost.any():
        return table
    names = np.sort(table["unit"].dropna().unique().astype(object))
    unnamed = table[lost]
    size = unnamed.groupby(["snapshot", "year", "week"])["deaths"].transform("size")
    order = unnamed.groupby(["snapshot", "year", "week"]).cumcount()
    full = (size == len(names)).to_numpy()
    named = unnamed[full].assign(unit=names[order[full].to_numpy()])
    notes.append(
        f"{int(lost.sum())} rows lack a jurisdiction: {int(full.sum())} are named "
        "by their "
        f"alphabetical order, {int((~full).sum())} are left out"
    )
    return pd.concat([table[~lost], named], ignore_index=True)


def _states(table, notes):
    out = table[~table["unit"].isin(["United States", "Puerto Rico"])]
    out = out.assign(unit=out["unit"].replace("New York City", "New York"))
    keys = [c for c in ("snapshot", "unit", "year", "week") if c in out]
    notes.append("New York City is added to New York; nation and Puerto Rico left out")
    return out.groupby(keys, as_index=False)["deaths"].sum(min_count=1)


def load_official(path=None, download=False, national=False):
    """Official COVID-19 counts of the Italian Civil Protection, by day of announcement.

    Returns
    -------
    DataFrame
        unit (Trento and Bolzano joined to their region; "Italy" if `national`), date,
        deaths, cases, swabs: cumulative; series are revised and may fall.
    """
    file = locate(
        "italy_official_national" if national else "italy_official", path, download
    )
    table = read_table(file).rename(
        columns={
            "data": "date",
            "denominazione_regione": "region",
            "deceduti": "deaths_cum",
            "totale_casi": "cases_cum",
            "tamponi": "swabs_cum",
        }
    )
    need = {"date", "deaths_cum", "cases_cum", "swabs_cum"} | (
        set() if national else {"region"}
    )
    if not need <= set(table.columns):
        raise ValueError(
            f"{file}: lacks {', '.join(sorted(need - set(table.columns)))}"
        )
    out = pd.DataFrame({"date": pd.to_datetime(table["date"]).dt.normalize()})
    for name in ("deaths", "cases", "swabs"):
        out[name] = _number(table, f"{name}_cum", file)
    if national:
        out.insert(0, "unit", "Italy")
        return _tidy(out, file)
    unit = table["region"].map(region_name)
    joined = unit.replace(
        {
            "Trento": "Trentino-Alto Adige/Südtirol",
            "Bolzano": "Trentino-Alto Adige/Südtirol",
        }
    )
    out.insert(0, "unit", joined)
    out = out.groupby(["unit", "date"], as_index=False)[
        ["deaths", "cases", "swabs"]
    ].sum()
    return _tidy(out, file, ["Trento and Bolzano are joined to Trentino-Alto Adige"])
