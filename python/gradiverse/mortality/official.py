"""Excess deaths beside official counts: ratio, lag, fatality rates, missing towns.

Official COVID-19 counts go by day of announcement; deaths happened earlier.  Cumulative
series are revised, so that daily differences can be negative and are used as they are.
PFR is excess / population; a lower bound of the infection fatality rate divides it by
the largest share of positive swabs; the ship anchor turns the death rate of a fully
tested group (Diamond Princess) into an infected fraction.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import chi2, norm

SHIP_DEATHS, SHIP_INFECTED = 11, 330
SHIP_WEIGHTS = np.array([1015.0, 216.0]) / 1231.0


def fieller(a, b, sd_a, sd_b, cov=0.0, level=0.95):
    """Ratio a/b of two normal estimates with Fieller's interval.

    Parameters
    ----------
    a, b : float;  sd_a, sd_b : float;  cov : float, their covariance
    level : float

    Returns
    -------
    ratio, low, high : floats
        Infinite ends where b is not clearly different from zero.

    Examples
    --------
    >>> ratio, low, high = fieller(200.0, 100.0, 10.0, 0.0)
    >>> round(ratio, 2), round(low, 3), round(high, 3)
    (2.0, 1.804, 2.196)
    """
    z2 = float(norm.ppf(0.5 + 0.5 * level)) ** 2
    qa, qb, qc = b * b - z2 * sd_b**2, a * b - z2 * cov, a * a - z2 * sd_a**2
    ratio = a / b if b != 0 else np.nan
    root = qb * qb - qa * qc
    if qa <= 0 or root < 0:
        return ratio, -np.inf, np.inf
    root = math.sqrt(root)
    return ratio, (qb - root) / qa, (qb + root) / qa


def poisson_interval(count, level=0.95):
    """Exact (Garwood) interval of a Poisson mean.

    Examples
    --------
    >>> [round(v, 5) for v in poisson_interval(11)]
    [5.49116, 19.68204]
    """
    tail = 0.5 * (1 - level)
    low = 0.5 * chi2.ppf(tail, 2 * count) if count > 0 else 0.0
    return float(low), float(0.5 * chi2.ppf(1 - tail, 2 * count + 2))


def cumulative_on(official, date, column="deaths"):
    """Cumulative official count of every unit on a date (Series by unit).

    The last announcement not later than `date` counts.
    """
    date = pd.Timestamp(date)
    upto = official[official["date"] <= date]
    if len(upto) == 0:
        raise ValueError(f"no official count up to {date:%Y-%m-%d}")
    return upto.sort_values("date").groupby("unit")[column].last()


def compare(total, official, floor_at_official=False, level=0.95):
    """Excess beside the official count, with the ratio and its interval.

    Parameters
    ----------
    total : DataFrame
        ``Excess.total(by=("unit",))``.
    official : Series or mapping, unit -> deaths
        Taken as known numbers.
    floor_at_official : bool
        Replace an excess below the official count by that count, as one published
        table did.  It hides negative excess; off by default, and the column
        ``floored`` says where it was applied.

    Returns
    -------
    DataFrame
        total's columns, official, ratio, ratio_low, ratio_high, floored.
    """
    table = total.copy()
    table["official"] = table["unit"].map(dict(official))
    rows = [
        fieller(e, o, s, 0.0, level=level)
        if np.isfinite(o) and o > 0
        else (np.nan,) * 3
        for e, s, o in zip(table.excess, table.sd, table.official, strict=True)
    ]
    table[["ratio", "ratio_low", "ratio_high"]] = np.array(rows)
    low = table["excess"] < table["official"]
    table["floored"] = low & floor_at_official
    if floor_at_official:
        shift = np.where(low, table["official"] - table["excess"], 0.0)
        for column in ("excess", "lower95", "upper95", "lower68", "upper68"):
            table[column] = table[column] + shift
        table["ratio"] = np.where(low, 1.0, table["ratio"])
    return table


# -- lag
# --------------------------------------------------------------------------------
@dataclass
class Lag:
    """Least-squares delay of one daily series behind another.

    Attributes
    ----------
    lag, lag_sd : days;  scale : announced per death;  table : DataFrame lag, scale, rss
    """

    lag: float
    lag_sd: float
    scale: float
    table: pd.DataFrame


def lag_fit(announced, deaths, lags=None):
    """Delay k and factor s that bring s·deaths(t - k) closest to announced(t).

    Parameters
    ----------
    announced, deaths : Series indexed by date
        Daily numbers.  Weekly deaths can be spread with ``daily_from_weekly``.
    lags : array, optional
        Trial delays in days, default 0 to 15 in half days.

    Returns
    -------
    Lag
        The sd comes from the curvature of the residual sum of squares.
    """
    lags = np.arange(0.0, 15.25, 0.5) if lags is None else np.asarray(lags, float)
    y = pd.Series(announced).dropna().sort_index()
    x = pd.Series(deaths).dropna().sort_index()
    origin = x.index[0]
    tx = (x.index - origin) / pd.Timedelta(days=1)
    ty = (y.index - origin) / pd.Timedelta(days=1)
    inside = (ty - lags.max() >= tx[0]) & (ty - lags.min() <= tx[-1])
    if inside.sum() < 10:
        raise ValueError(
            f"the series overlap on {int(inside.sum())} days at all lags; 10 are needed"
        )
    target = y.to_numpy(float)[inside]
    rows = []
    for lag in lags:
        moved = np.interp(ty[inside] - lag, tx, x.to_numpy(float))
        scale = moved @ target / (moved @ moved)
        rows.append((lag, scale, np.sum((target - scale * moved) ** 2)))
    table = pd.DataFrame(rows, columns=["lag", "scale", "rss"])
    best = int(table["rss"].idxmin())
    lag, sd = float(lags[best]), np.nan
    if 0 < best < len(lags) - 1:
        left, mid, right = table["rss"].iloc[best - 1 : best + 2]
        step = lags[best + 1] - lags[best]
        bend = (left - 2 * mid + right) / step**2
        lag += 0.5 * step * (left - right) / (left - 2 * mid + right)
        sd = np.sqrt(2 * mid / (len(target) - 2) / bend)
    return Lag(lag, float(sd), float(table["scale"].iloc[best]), table)


def daily_from_weekly(starts, days, deaths):
    """Daily series whose cumulative sum is the weekly one, smoothly in between.

    Parameters
    ----------
    starts : dates on which the periods begin;  days : their lengths;  deaths : sums
    """
    from scipy.interpolate import PchipInterpolator

    starts = pd.DatetimeIndex(starts)
    edge = np.concatenate([[0.0], np.cumsum(days)])
    total = np.concatenate([[0.0], np.cumsum(deaths)])
    grid = np.arange(int(edge[-1]) + 1)
    values = np.diff(PchipInterpolator(edge, total)(grid))
    return pd.Series(values, index=pd.date_range(starts[0], periods=len(values)))


# -- rates
# ------------------------------------------------------------------------------
def positivity(official, until=None, least_swabs=100):
    """Largest share of cumulative cases in cumulative swabs, with its day.

    Parameters
    ----------
    official : DataFrame unit, date, cases, swabs (cumulative)
    until : date, optional
    least_swabs : int
        Days with fewer swabs are left out: a first case over no swabs, or 4 over 5,
        says nothing about a population.

    Returns
    -------
    DataFrame
        unit, positivity, date.
    """
    table = (
        official if until is None else official[official.date <= pd.Timestamp(until)]
    )
    table = table[table["swabs"] >= max(int(least_swabs), 1)]
    if len(table) == 0:
        raise ValueError(f"no day has at least {least_swabs} swabs")
    share = table["cases"] / table["swabs"]
    best = share.groupby(table["unit"]).idxmax()
    return pd.DataFrame(
        {
            "unit": table.loc[best, "unit"].to_numpy(),
            "positivity": share.loc[best].to_numpy(),
            "date": table.loc[best, "date"].to_numpy(),
        }
    )


def fatality(total, population, share=None):
    """Population fatality rate, and the lower bound of the infection fatality rate.

    Parameters
    ----------
    total : DataFrame with unit, excess, sd, lower95, upper95
    population : Series or mapping, unit -> people
    share : Series or mapping, unit -> largest infected share assumed, optional

    Returns
    -------
    DataFrame
        unit, pfr, pfr_low, pfr_high [, ifr_low]: fractions; intervals of 95 %.
    """
    people = total["unit"].map(dict(population)).astype(float)
    out = pd.DataFrame(
        {
            "unit": total["unit"],
            "pfr": total["excess"] / people,
            "pfr_low": total["lower95"] / people,
            "pfr_high": total["upper95"] / people,
        }
    )
    if share is not None:
        out["ifr_low"] = out["pfr"] / total["unit"].map(dict(share))
    return out


def ship_anchor(pfr_70, pfr_80, deaths=SHIP_DEATHS, infected=SHIP_INFECTED, level=0.95):
    """Infected fraction of a population from its death rates at 70-79 and 80-89.

    The ship's passengers over 70, all tested, died at rate deaths/infected; weighted
    like the passengers, the population's rates divided by it give the infected
    fraction.  It is inversely proportional to the ship's rate, so the interval is the
    inverse of the exact Poisson one (upper end with the lower rate).

    Returns
    -------
    fraction, low, high : floats

    Examples
    --------
    >>> [round(100 * v, 1) for v in ship_anchor(0.0066, 0.0186)]
    [26.1, 14.6, 52.3]
    """
    rate = float(SHIP_WEIGHTS @ np.array([pfr_70, pfr_80]))
    low, high = poisson_interval(deaths, level)
    return rate * infected / deaths, rate * infected / high, rate * infected / low


def ifr_by_age(pfr, fraction, low, high):
    """IFR by age = PFR / infected fraction, with the bounds of the fraction.

    Parameters
    ----------
    pfr : Series by age;  fraction, low, high : from ``ship_anchor``
    """
    pfr = pd.Series(pfr)
    return pd.DataFrame({"ifr": pfr / fraction, "low": pfr / high, "high": pfr / low})


# -- missing towns
# ----------------------------------------------------------------------
def scale_up(total, covered, tau):
    """Excess of whole units from that of the towns covered, with the added error.

    The factor is s = 1/c; if towns that are not covered differ from the others by a
    relative spread τ, sd(log s) ≈ (1 - c) τ.

    Parameters
    ----------
    total : DataFrame with unit, observed, expected, excess, sd
    covered : Series or mapping, unit -> covered share of the population c in (0, 1]
    tau : float

    Returns
    -------
    DataFrame
        unit, factor, excess, sd, sd_model, sd_coverage, lower95, upper95.
    """
    c = total["unit"].map(dict(covered)).astype(float)
    if not ((c > 0) & (c <= 1)).all():
        raise ValueError("covered shares must lie in (0, 1] and name every unit")
    factor = 1.0 / c
    model = factor * total["sd"]
    coverage = (factor * total["excess"]).abs() * (1.0 - c) * tau
    sd = np.hypot(model, coverage)
    excess = factor * total["excess"]
    return pd.DataFrame(
        {
            "unit": total["unit"],
            "factor": factor,
            "excess": excess,
            "sd": sd,
            "sd_model": model,
            "sd_coverage": coverage,
            "lower95": excess - 1.96 * sd,
            "upper95": excess + 1.96 * sd,
        }
    )


def learn_tau(releases, truth):
    """Spread τ of towns that are not covered, and the bias, from several releases.

    Parameters
    ----------
    releases : DataFrame
        release, unit, covered (share c), deaths: ordinary years' deaths of the towns
        covered.
    truth : Series or mapping, unit -> the same years' deaths of all towns (or of the
    most
        complete release, scaled).

    Returns
    -------
    DataFrame
        One row per release: c (mean), bias (mean log ratio of scaled to true deaths)
        and tau (rms of log ratio / (1 - c) about the bias).
    """
    table = releases.copy()
    full = table["unit"].map(dict(truth)).astype(float)
    table["error"] = np.log(table["deaths"] / table["covered"] / full)
    rows = []
    for name, part in table.groupby("release", sort=False):
        bias = part["error"].mean()
        spread = (part["error"] - bias) / (1.0 - part["covered"])
        rows.append(
            (
                name,
                part["covered"].mean(),
                bias,
                np.sqrt(np.sum(spread**2) / max(len(part) - 1, 1)),
            )
        )
    return pd.DataFrame(rows, columns=["release", "covered", "bias", "tau"])


# -- the published splice
# -----------------------------------------------------------------
def splice(excess_wide, excess_late, official, wide_end=11, start=7, late_end=13):
    """Excess of a published table, pieced together from two releases and official
    counts.

    Parameters
    ----------
    excess_wide : DataFrame unit, week, excess
        Release of more towns that ends with period `wide_end`, scaled.
    excess_late : DataFrame unit, week, excess
        Release of fewer towns that ends with period `late_end`, scaled.
    official : DataFrame unit, date, deaths (cumulative)

    Returns
    -------
    Series by unit
        Periods start..wide_end from the first release; the rest to late_end from the
        second, rescaled to agree over the common periods; 12-18 April the mean of the
        last period's excess and that week's official count; 19 April-9 May official
        counts.
    """

    def window(table, first, last):
        inside = table["week"].between(first, last)
        return table[inside].groupby("unit")["excess"].sum()

    common = window(excess_wide, start, wide_end)
    factor = common / window(excess_late, start, wide_end)
    late = factor * window(excess_late, wide_end + 1, late_end)
    last = factor * window(excess_late, late_end, late_end)
    counts = {
        d: cumulative_on(official, d)
        for d in ("2020-04-11", "2020-04-18", "2020-05-09")
    }
    week = 0.5 * (last + counts["2020-04-18"] - counts["2020-04-11"])
    after = counts["2020-05-09"] - counts["2020-04-18"]
    return (common + late + week + after).dropna()
