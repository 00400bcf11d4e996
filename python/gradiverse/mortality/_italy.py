"""What the study adds for Italy: pool, broad ages, official counts, coverage, rates."""

import numpy as np
import pandas as pd

from . import _istat, _sources, figures, loaders, official, report

WEEK_SHIFT = 2
SMALL = ("ITA", "ISL", "LUX")
BANDS = ((0, "0-59"), (60, "60-69"), (70, "70-79"), (80, "80-89"), (90, "90+"))


def stmf_pool(folder, years):
    """STMF all-age counts on the Italian periods (period k takes week k + 2), or None.

    Italy itself is left out (its deaths are the ones studied), and so are Iceland and
    Luxembourg, whose weeks hold a few dozen deaths.
    """
    file = (
        _sources.find("stmf", folder) if folder is not None else _sources.find("stmf")
    )
    if file is None:
        return None
    table = loaders.load_stmf(file)
    table = table[(table["age"] == "TOT") & ~table["unit"].isin(SMALL)]
    table = table[table["year"] <= int(np.max(years))]
    table = table.assign(week=table["week"] - WEEK_SHIFT)
    table = table[table["week"].between(0, 24)]
    full = table.groupby(["unit", "year"])["week"].transform("size") == 25
    return table.loc[full, ["unit", "year", "week", "deaths"]].reset_index(drop=True)


def lower_age(age, name):
    """Lowest age of a class: ISTAT class number, or the leading number of a label."""
    if name == "italy":
        k = int(age)
        return 0 if k == 0 else (1 if k == 1 else 5 * (k - 1))
    digits = "".join(c if c.isdigit() else " " for c in str(age)).split()
    return int(digits[0]) if digits else None


def broad_ages(table, name):
    """The table with ages summed to five broad groups that partition all ages.

    None when some age cannot be placed, or when classes straddle a group.
    """
    ages = table["age"].unique()
    lower = {a: lower_age(a, name) for a in ages}
    if any(v is None for v in lower.values()):
        return None
    starts = sorted(lower.values())
    if not {60, 70, 80, 90} <= set(starts):
        return None
    edge = np.array([b for b, _ in BANDS])
    label = np.array([n for _, n in BANDS], object)
    group = {
        a: label[np.searchsorted(edge, v, side="right") - 1] for a, v in lower.items()
    }
    out = table.assign(age=table["age"].map(group))
    keys = [c for c in ("unit", "age", "year", "week", "days") if c in out]
    return out.groupby(keys, as_index=False, observed=True)["deaths"].sum()


def coverage(folder=None):
    """Covered share of the population by release and region, or None."""
    file = _sources.find("italy_coverage", folder)
    if file is None:
        return None
    table = pd.read_csv(file)
    return pd.DataFrame(
        {
            "release": table["vintage"],
            "unit": table["region"].map(_sources.region_name),
            "covered": table["population_2011_with_data"]
            / table["population_2011_total"],
        }
    )


def population(folder=None):
    """2019 population by region (Series), or None.

    Rows are summed by code, because two territories share a name; Trento and Bolzano
    have codes of regions and are joined.
    """
    file = _sources.find("italy_population", folder)
    if file is None:
        return None
    table = pd.read_csv(file)
    sums = table.groupby(["code", "territory"], as_index=False)["population"].sum()
    regions = sums[sums["code"].str.fullmatch(r"IT[A-Z]\d")]
    regions = regions.assign(unit=regions["territory"].map(_sources.region_name))
    joined = dict.fromkeys(("Trento", "Bolzano"), "Trentino-Alto Adige/Südtirol")
    return regions.groupby(regions["unit"].replace(joined))["population"].sum()


def releases(folder=None):
    """Ordinary years' deaths of earlier, partial releases with their coverage."""
    shares = coverage(folder)
    if shares is None:
        return None
    rows = []
    for key, name in (
        ("italy_class1", "may04_class1"),
        ("italy_class2", "may04_class2"),
    ):
        file = _sources.find(key, folder)
        if file is None:
            return None
        table = loaders.load_italy(file)
        past = table[(table["year"] < 2020) & (table["week"] <= 11)]
        deaths = past.groupby("unit")["deaths"].sum()
        share = shares[shares["release"] == name].set_index("unit")["covered"]
        rows.append(
            pd.DataFrame(
                {
                    "release": name,
                    "unit": deaths.index,
                    "covered": share.reindex(deaths.index).to_numpy(),
                    "deaths": deaths.to_numpy(),
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def spread_of_towns(history, folder=None):
    """τ of missing towns learned from the releases, or None."""
    parts = releases(folder)
    if parts is None:
        return None
    shares = coverage(folder)
    final = shares[shares["release"].str.startswith("to_")].set_index("unit")["covered"]
    past = history[(history["year"] < 2020) & (history["week"] <= 11)]
    whole = past.groupby("unit")["deaths"].sum() / final
    return official.learn_tau(parts, whole)


def enrich(result, say):
    """Add coverage, official counts, fatality rates to the study's result."""
    source, plan, excess = result["source"], result["plan"], result["excess"]
    folder = source.folder
    total = result["tables"]["units"]
    scaled = _scaled(result, folder, total)
    try:
        counts = loaders.load_official(folder)
    except FileNotFoundError:
        return
    last = plan["end"] or int(excess.weeks[-1])
    end = _period_end(last, plan["year"])
    if end > counts["date"].max():
        return
    known = official.cumulative_on(counts, end)
    table = official.compare(scaled if scaled is not None else total, known)
    table.insert(1, "until", f"{end:%Y-%m-%d}")
    result["tables"]["official"] = table
    ax = figures.against_official(table)
    result["figures"]["official"] = ax
    result["sections"].append(
        (
            f"Official counts to {end:%d %B %Y}",
            report.embed(ax, "excess and official counts")
            + report.table_html(
                table[["unit", "excess", "lower95", "upper95", "official"]]
            )
            + report.table_html(
                table[["unit", "ratio", "ratio_low", "ratio_high"]].dropna(), digits=2
            ),
        )
    )
    _cumulative(result, counts)
    _rates(result, table, counts, end, folder)
    say(f"official counts to {end:%Y-%m-%d}: {known.sum():,.0f}")


def _period_end(period, year):
    """Last day of a period."""
    start = _istat.period_start(np.array([period]), year).iloc[0]
    return start + pd.Timedelta(days=int(_istat.days_of(period, year)) - 1)


def _scaled(result, folder, total):
    """Totals scaled to all towns, with the error that this adds."""
    shares = coverage(folder)
    if shares is None or not shares["release"].str.startswith("to_").any():
        return None
    final = shares[shares["release"].str.startswith("to_")].set_index("unit")["covered"]
    if not set(total["unit"]) <= set(final.index):
        return None
    learned = spread_of_towns(result["plan"]["history"], folder)
    tau = float(learned["tau"].mean()) if learned is not None else 0.1
    scaled = official.scale_up(total, final, tau)
    result["tables"]["scaled"] = scaled
    plan, excess = result["plan"], result["excess"]
    joint = excess.total(plan["start"], plan["end"], by=(), scale=1.0 / final)
    result["tables"]["joint_scaled"] = joint
    horizons = _horizons(excess, 1.0 / final)
    result["tables"]["horizons"] = horizons
    excess.notes.append(
        "Towns without data: factors 1/coverage (2011 population), spread of the "
        f"missing towns τ = {tau:.3f}"
        + (" learned from earlier releases." if learned is not None else " assumed.")
    )
    if learned is not None:
        result["tables"]["coverage_spread"] = learned
    result["sections"].append(
        (
            "Scaled to all towns",
            f"<p>Joint sum, scaled: {joint.excess.iloc[0]:,.0f} "
            f"({joint.lower95.iloc[0]:,.0f} to {joint.upper95.iloc[0]:,.0f}).</p>"
            + report.table_html(horizons)
            + report.table_html(scaled, {"factor": 3}),
        )
    )
    return scaled.assign(
        lower68=scaled.excess - scaled.sd, upper68=scaled.excess + scaled.sd
    )


def _horizons(excess, scale):
    """Joint sums from 16 and 23 February to several dates, scaled to all towns."""
    rows = []
    for start in (6, 7):
        for end in (13, 17, 24):
            if excess.onset <= start <= end <= excess.weeks[-1]:
                total = excess.total(start, end, by=(), scale=scale)
                total.insert(0, "to", f"{_period_end(end, excess.year):%d %B}")
                first = _istat.period_start(np.array([start]), excess.year).iloc[0]
                total.insert(0, "from", f"{first:%d %B}")
                rows.append(total)
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()


def _cumulative(result, counts):
    """Cumulative excess by age with the official series on the same dates."""
    excess = result.get("by_age", result["excess"])
    dates = [_period_end(int(w), excess.year) for w in excess.weeks]
    series = [
        official.cumulative_on(counts, d).sum() if d >= counts["date"].min() else 0.0
        for d in dates
    ]
    ax = figures.cumulative(
        excess, series, by="age" if excess.by_age else "unit", dates=dates
    )
    result["figures"]["cumulative"] = ax
    heading = "Cumulative excess by age"
    keep = [s for s in result["sections"] if s[0] != heading]
    body = report.embed(ax, "cumulative excess by age, with official counts")
    if "ages" in result["tables"]:
        body += report.table_html(result["tables"]["ages"])
    result["sections"] = [(heading, body), *keep]


def _rates(result, table, counts, end, folder):
    people = population(folder)
    if people is None:
        return
    share = official.positivity(counts, end).set_index("unit")["positivity"]
    rates = official.fatality(table, people, share)
    rates["positivity"] = rates["unit"].map(share)
    result["tables"]["rates"] = rates
    shown = rates.copy()
    for column in ("pfr", "pfr_low", "pfr_high", "ifr_low", "positivity"):
        shown[column] = 100 * shown[column]
    result["sections"].append(
        (
            "Population fatality rate and lower bound of the infection fatality "
            "rate, %",
            "<p>PFR: excess / 2019 population. The bound divides it by the "
            "largest share of "
            "positive swabs (cumulative, days with at least 100 swabs).</p>"
            + report.table_html(shown, digits=3),
        )
    )
