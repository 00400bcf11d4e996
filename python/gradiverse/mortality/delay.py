"""Reporting delay: what incomplete recent weeks will come to.

The share of a week's deaths seen after a delay l is p = exp(-H(l)).  Between two
publications a week grows by log N(l₂) - log N(l₁) = H(l₁) - H(l₂) + noise, which is
linear in the growth per day h over bins of delay.  From publications before the date:

1. growth h of all units together, and its spread between units (moments);
2. every unit's own h by linear Bayes around the common one, with covariance;
3. variance of single growths about it, by delay bin.

At the date the log counts of a unit's weeks, raised by H, observe a random walk of the
true log deaths over weeks; both are normal and are solved together, so that a week of
which almost nothing is known follows its neighbours.  The spread is rescaled by the
errors of the same procedure at earlier publications, where those can be judged.
"""

import numpy as np
import pandas as pd
from scipy.optimize import least_squares

from . import _validate as check
from ._serial import serial

EDGES = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 21, 26, 60.0])  # weeks
DRIFT = 0.002  # change of the weekly slope of log deaths, per week
UNJUDGED = 1.6  # factor on the spread where no earlier publication can be judged
REQUIRED = ("snapshot", "unit", "year", "week", "deaths")


@serial
def nowcast(vintages, date, horizon=8, settle=17, calibrate=True):
    """Estimate the final counts of the newest weeks of a publication.

    Parameters
    ----------
    vintages : DataFrame
        snapshot (date of publication, YYYYMMDD or anything pandas reads as a date),
        unit, year, week (7 days each), deaths as published then.
    date : the publication to correct
        Must be one of the snapshots; reporting is learned from earlier ones only.
    horizon : int
        Number of newest weeks to estimate.
    settle : float
        Age in weeks at which a week counts as final.
    calibrate : bool
        Rescale the spread by errors at earlier publications.

    Returns
    -------
    DataFrame
        unit, year, week, reported (NaN where not yet published), estimate, sd, lower,
        upper (95 %), in deaths; ``attrs["notes"]`` says what was left out.

    Raises
    ------
    ValueError
        Unknown date, fewer than two earlier publications, or unusable rows.

    Examples
    --------
    Weekly publications of which a week shows 63 % at first, 86 % after a week, ...:

    >>> final = np.random.default_rng(0).poisson(900, 30)
    >>> rows = []
    >>> for newest in range(20, 30):
    ...     snapshot = pd.Timestamp("2020-01-08") + pd.Timedelta(weeks=newest)
    ...     for week in range(1, newest + 1):
    ...         seen = final[week - 1] * (1 - np.exp(week - newest - 1.0))
    ...         rows.append((snapshot, "a", 2020, week, round(seen)))
    >>> columns = ["snapshot", "unit", "year", "week", "deaths"]
    >>> table = nowcast(pd.DataFrame(rows, columns=columns), snapshot, horizon=3)
    >>> error = table.estimate.to_numpy() / final[26:29] - 1
    >>> bool(abs(error).max() < 0.06), len(table)
    (True, 3)
    """
    triangle, notes = _triangle(vintages)
    stamp = _stamp(date)
    if stamp not in triangle["dates"]:
        known = ", ".join(f"{d:%Y-%m-%d}" for d in triangle["dates"])
        raise ValueError(f"no publication of {stamp:%Y-%m-%d}; there are {known}")
    if int(horizon) < 1:
        raise ValueError(f"horizon must be at least 1, got {horizon}")
    now = triangle["dates"].index(stamp)
    if now < 2:
        raise ValueError(
            f"{stamp:%Y-%m-%d} has {now} earlier publication(s); at least two are "
            "needed to "
            "learn how counts grow"
        )
    inflate = _calibrate(triangle, now, int(horizon), settle) if calibrate else 1.0
    result = _estimate(triangle, now, int(horizon), settle)
    low, high = (
        np.exp(-1.96 * inflate * result["s"]),
        np.exp(1.96 * inflate * result["s"]),
    )
    estimate = result["estimate"]
    out = pd.DataFrame(
        {
            "unit": result["unit"],
            "year": result["year"],
            "week": result["week"],
            "reported": result["reported"],
            "estimate": estimate,
            "sd": estimate * inflate * result["s"],
            "lower": estimate * low,
            "upper": estimate * high,
        }
    )
    out.attrs["notes"] = notes
    return out


# -- the reporting triangle
# -------------------------------------------------------------
def _stamp(date):
    """Date of a publication; integers are YYYYMMDD."""
    if isinstance(date, (int, np.integer)):
        return pd.to_datetime(str(int(date)), format="%Y%m%d")
    stamp = pd.Timestamp(date)
    if pd.isna(stamp):
        raise ValueError(f"date must be that of a publication, got {date!r}")
    return stamp.normalize()


def _triangle(vintages):
    """Arrays (snapshots, units, weeks) of counts and delays.

    Delays are whole weeks: publications follow a weekly cycle, and a few days more or
    less between the cycle and the day of publication add no reports.
    """
    notes = []
    check.check_columns(vintages, "vintages", REQUIRED)
    table = vintages[list(REQUIRED)].reset_index(drop=True)
    lost = table["unit"].isna()
    if lost.any():
        notes.append(f"{int(lost.sum())} rows without a unit are left out")
        table = table[~lost].reset_index(drop=True)
    check.check_duplicates(table[["snapshot", "unit", "year", "week"]], "vintages")
    deaths = check.deaths_column(table, "vintages", notes)
    year = check.integer_column(table, "year", "vintages")
    week = check.integer_column(table, "week", "vintages")
    codes, labels = pd.factorize(table["snapshot"])
    stamps = [_stamp(v if not isinstance(v, str) else _text_date(v)) for v in labels]
    dates = sorted(set(stamps))
    s = np.array([dates.index(d) for d in stamps])[codes]
    u, units = pd.factorize(table["unit"], sort=True)
    key = year * 100 + week
    keys = np.unique(key)
    w = np.searchsorted(keys, key)
    counts = np.full((len(dates), len(units), len(keys)), np.nan)
    counts[s, u, w] = deaths
    ends = np.array([_week_end(k // 100, k % 100) for k in keys], "datetime64[D]")
    at = np.array([d.to_datetime64() for d in dates], "datetime64[D]")
    delay = np.floor((at[:, None] - ends[None, :]).astype(float) / 7.0)
    return {
        "dates": dates,
        "units": list(units),
        "keys": keys,
        "counts": counts,
        "delay": delay,
    }, notes


def _text_date(text):
    text = str(text).strip()
    return int(text) if text.isdigit() and len(text) == 8 else text


def _week_end(year, week):
    """Saturday that ends an epidemiological week (the week of 4 January is week 1)."""
    fourth = np.datetime64(f"{year:04d}-01-04")
    weekday = (fourth.astype(int) + 4) % 7  # 0 is Sunday
    return fourth - weekday + 7 * (week - 1) + 6


def _overlap(start, stop):
    """(n, bins) weeks that delays start..stop spend in every bin."""
    start, stop = np.asarray(start)[:, None], np.asarray(stop)[:, None]
    return np.clip(
        np.minimum(stop, EDGES[1:]) - np.maximum(start, EDGES[:-1]), 0.0, None
    )


# -- learning how counts grow
# -----------------------------------------------------------
def _growths(triangle, last):
    """Growth of every week between successive publications before index `last`."""
    counts, delay = triangle["counts"], triangle["delay"]
    rows = []
    for s in range(1, last):
        a, b = counts[s - 1], counts[s]
        ok = (a > 0) & (b > 0)
        u, w = np.nonzero(ok)
        size = np.minimum(a[u, w], b[u, w])
        rows.append(
            np.column_stack(
                [
                    u,
                    w,
                    delay[s - 1, w],
                    delay[s, w],
                    np.log((b[u, w] + 0.5) / (a[u, w] + 0.5)),
                    size,
                ]
            )
        )
    return np.concatenate(rows) if rows else np.empty((0, 6))


def _learn(triangle, last):
    """Common growth, each unit's growth with covariance, and noise by unit and bin."""
    rows = _growths(triangle, last)
    unit = rows[:, 0].astype(int)
    design, y, size = _overlap(rows[:, 2], rows[:, 3]), rows[:, 4], rows[:, 5]
    middle = design.argmax(axis=1)
    n_units, n_bins = len(triangle["units"]), len(EDGES) - 1
    count = 1.0 / np.maximum(size, 1.0)
    common = _common_growth(design, y, size / (size + 50.0))
    residual = y - design @ common
    noise = _noise(residual, middle, unit, n_units)
    own = np.zeros((n_units, n_bins))
    cov = np.zeros((n_units, n_bins, n_bins))
    spread = np.diag(np.maximum(0.6 * common, 0.002) ** 2)
    for _ in range(10):
        scatter, seen, left = np.zeros((n_bins, n_bins)), 0, residual.copy()
        prior = np.linalg.inv(spread + 1e-9 * np.eye(n_bins))
        for k in range(n_units):
            mine = unit == k
            A, r = design[mine], residual[mine]
            v = noise[k, middle[mine]] + count[mine]
            cov[k] = np.linalg.inv(prior + (A / v[:, None]).T @ A)
            own[k] = cov[k] @ (A.T @ (r / v))
            left[mine] = r - A @ own[k]
            scatter += np.outer(own[k], own[k]) + cov[k]
            seen += mine.any()
        spread = scatter / max(seen, 1)
        noise = _noise(left, middle, unit, n_units)
    return {"common": common, "own": own, "cov": cov, "noise": noise}


def _common_growth(design, y, weight, smooth=0.3):
    """Growth per week by bin, positive and smooth in its logarithm, by robust fit.

    Minimises Σ weight ρ(y - A exp θ) + smooth Σ (second differences of θ)² with the
    soft-L1 loss ρ, so that a few units that stall do not set the usual growth.
    """
    middle = 0.5 * (EDGES[:-1] + np.minimum(EDGES[1:], 36.0))
    start = np.log(0.3) - 2.0 * np.log1p(middle / 2.0)
    bend = np.diff(np.eye(len(middle)), 2, axis=0) * np.sqrt(smooth)
    root = np.sqrt(weight)

    def residual(theta):
        return np.concatenate([root * (y - design @ np.exp(theta)), bend @ theta])

    def slope(theta):
        return np.vstack([-(root[:, None] * design) * np.exp(theta), bend])

    found = least_squares(
        residual, start, slope, loss="soft_l1", f_scale=0.2, max_nfev=60
    )
    return np.exp(found.x)


def _noise(residual, middle, unit, n_units, weight=6.0):
    """(units, bins) variance of one growth: own mean square shrunk to the usual one.

    The usual variance of a bin is the median over units of their mean squares; a unit's
    overall unsteadiness, the median ratio to it, scales the value shrunk to.
    """
    n_bins = len(EDGES) - 1
    flat = unit * n_bins + middle
    number = np.bincount(flat, minlength=n_units * n_bins).reshape(n_units, n_bins)
    square = np.bincount(flat, residual**2, n_units * n_bins).reshape(n_units, n_bins)
    mean = np.where(number > 0, square / np.maximum(number, 1), np.nan)
    usual = np.array(
        [np.nanmedian(m) if np.isfinite(m).any() else np.nan for m in mean.T]
    )
    known = np.isfinite(usual)
    usual = np.interp(np.arange(n_bins), np.flatnonzero(known), usual[known]) + 1e-7
    ratio = np.array(
        [np.nanmedian(r) if np.isfinite(r).any() else 1.0 for r in mean / usual]
    )
    ratio = np.clip(ratio, 0.2, 1e4)[:, None]
    return (square + weight * usual * ratio) / (number + weight) + 1e-7


# -- the estimate
# -----------------------------------------------------------------------
def _estimate(triangle, now, horizon, settle, learned_before=None):
    """Estimates for the newest weeks of publication `now`."""
    learned = _learn(triangle, now if learned_before is None else learned_before)
    counts, delay, keys = (
        triangle["counts"][now],
        triangle["delay"][now],
        triangle["keys"],
    )
    shown = np.flatnonzero(np.isfinite(counts).any(axis=0))
    newest = shown[-1]
    first = max(0, newest - 40)
    weeks = np.arange(first, newest + 1)
    take = weeks[-horizon:]
    A = _overlap(delay[weeks], np.full(len(weeks), float(max(settle, 1))))
    out = {k: [] for k in ("unit", "year", "week", "reported", "estimate", "s")}
    for k, name in enumerate(triangle["units"]):
        seen = counts[k, weeks]
        if not (seen > 0).any():
            continue
        rise = A @ np.maximum(learned["common"] + learned["own"][k], 0.0)
        shared = A @ learned["cov"][k] @ A.T
        scatter = A @ learned["noise"][k]
        mean, var = _smooth(seen, rise, shared, scatter, delay[weeks])
        for j in range(len(weeks) - len(take), len(weeks)):
            out["unit"].append(name)
            out["year"].append(int(keys[weeks[j]] // 100))
            out["week"].append(int(keys[weeks[j]] % 100))
            out["reported"].append(seen[j])
            out["estimate"].append(np.exp(mean[j]))
            out["s"].append(np.sqrt(var[j]))
    return {k: np.array(v, object if k == "unit" else None) for k, v in out.items()}


def _smooth(seen, rise, shared, scatter, delay):
    """Normal posterior of log deaths: a random walk seen through reporting."""
    ok = np.flatnonzero(seen > 0)
    level = np.log(seen[ok] + 0.5) + rise[ok]
    settled = ok[delay[ok] > 8]
    if len(settled) >= 6:
        steps = np.diff(np.log(seen[settled] + 0.5))
        count_noise = np.mean(1.0 / (seen[settled] + 0.5))
        step2 = np.clip(np.mean(steps**2) - 2.0 * count_noise, 0.02**2, 0.15**2)
    else:
        count_noise, step2 = np.mean(1.0 / (seen[ok] + 0.5)), 0.05**2
    n = len(seen)
    index = np.arange(n)
    walk = step2 * (np.minimum(index[:, None], index[None, :]) + 1.0)
    slope = np.maximum(index[:, None] - index[None, :], 0.0)
    walk = walk + DRIFT**2 * (slope @ slope.T)
    final_noise = count_noise * np.eye(n)
    prior = walk + final_noise + 1.0
    obs = prior[np.ix_(ok, ok)] + shared[np.ix_(ok, ok)]
    obs[np.diag_indices_from(obs)] += scatter[ok] + 1e-8
    centre = np.median(level[-min(len(level), 20) :])
    gain = np.linalg.solve(obs, prior[ok]).T
    mean = centre + gain @ (level - centre)
    cov = prior - gain @ prior[ok]
    return mean, np.clip(np.diag(cov), 1e-8, None)


def _calibrate(triangle, now, horizon, settle):
    """Factor on the log spread, from earlier publications judged by the latest one.

    The judge is itself unfinished: only weeks at least five weeks older than at the
    judged publication count, and their remaining growth is taken from the model.
    """
    judge = now - 1
    learned = _learn(triangle, now)
    z = []
    for s in range(2, now):
        age = triangle["delay"][judge] - triangle["delay"][s]
        if age[0] < 4:
            continue
        result = _estimate(triangle, s, horizon, settle)
        place = {u: i for i, u in enumerate(triangle["units"])}
        k = np.array([place[u] for u in result["unit"]], int)
        w = np.searchsorted(triangle["keys"], result["year"] * 100 + result["week"])
        final = triangle["counts"][judge][k, w]
        A = _overlap(triangle["delay"][judge][w], np.full(len(w), float(settle)))
        rest = np.sum(
            A * np.maximum(learned["common"] + learned["own"][k], 0.0), axis=1
        )
        ok = (final > 0) & np.isfinite(result["reported"])
        error = np.log(final[ok]) + rest[ok] - np.log(result["estimate"][ok])
        z.append(error / result["s"][ok])
    if not z:
        return UNJUDGED
    z = np.abs(np.concatenate(z))
    if len(z) < 50:
        return UNJUDGED
    return float(np.clip(np.quantile(z, 0.95) / 1.96, 0.7, 2.5))
