"""Scores of predictions against what happened: cover, CRPS, blocks of years.

All scores are of relative errors r = (observed - expected)/expected of a sum, with
relative predictive sd s = sd/expected.  Years are the unit of independence, so the
cover is accompanied by a bootstrap that draws whole years.
"""

import numpy as np
import pandas as pd
from scipy.stats import norm
from scipy.stats import t as student

COLUMNS = ("bias", "rms", "crps", "c68", "c95", "z_rms")


def crps_normal(error, sd):
    """CRPS of N(0, sd²) at `error`: σ[z(2Φ(z) - 1) + 2φ(z) - 1/√π]."""
    z = error / sd
    return sd * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))


def crps_student(error, sd, dof):
    """CRPS of a Student t with standard deviation `sd` and `dof` > 2 degrees.

    With z = error/scale, scale² = sd² (ν - 2)/ν:
    scale [z(2F(z) - 1) + 2f(z)(ν + z²)/(ν - 1) - 2√ν/(ν - 1) B(½, ν - ½)/B(½, ν/2)²].
    """
    from scipy.special import betaln

    dof = np.asarray(dof, float)
    scale = sd * np.sqrt((dof - 2) / dof)
    z = error / scale
    last = (
        2
        * np.sqrt(dof)
        / (dof - 1)
        * np.exp(betaln(0.5, dof - 0.5) - 2 * betaln(0.5, dof / 2))
    )
    body = z * (2 * student.cdf(z, dof) - 1)
    return scale * (body + 2 * student.pdf(z, dof) * (dof + z**2) / (dof - 1) - last)


def relative(table):
    """Relative error, relative sd and hits of a table of sums.

    Rows without a positive expectation have no relative error and are left out.
    """
    table = table[np.isfinite(table["excess"]) & (table["expected"] > 0)]
    return pd.DataFrame(
        {
            "year": table["year"].to_numpy(),
            "r": (table["excess"] / table["expected"]).to_numpy(),
            "s": (table["sd"] / table["expected"]).to_numpy(),
            "in68": ((table.lower68 <= 0) & (table.upper68 >= 0)).to_numpy(),
            "in95": ((table.lower95 <= 0) & (table.upper95 >= 0)).to_numpy(),
        }
    )


def summarise(table, draws=2000, seed=0):
    """One-row DataFrame: n, bias, rms, crps, c68, c95, z_rms and year-block intervals.

    Parameters
    ----------
    table : DataFrame
        Columns year, expected, excess, sd, lower95, upper95, lower68, upper68.
    draws : int
        Bootstrap draws of whole years for the ranges c68_low .. c95_high (95 %).
    """
    r = relative(table)
    if len(r) == 0:
        return pd.DataFrame([dict.fromkeys(COLUMNS, np.nan) | {"n": 0}])
    years, block = np.unique(r.year, return_inverse=True)
    count = np.bincount(block)
    hits = np.array(
        [np.bincount(block, r.in68, len(years)), np.bincount(block, r.in95, len(years))]
    )
    pick = np.random.default_rng(seed).integers(0, len(years), (draws, len(years)))
    cover = hits[:, pick].sum(axis=2) / count[pick].sum(axis=1)
    (low68, low95), (high68, high95) = np.quantile(cover, [0.025, 0.975], axis=1)
    return pd.DataFrame(
        [
            {
                "n": len(r),
                "bias": r.r.mean(),
                "rms": np.sqrt(np.mean(r.r**2)),
                "crps": crps_normal(r.r, r.s).mean(),
                "c68": r.in68.mean(),
                "c95": r.in95.mean(),
                "z_rms": np.sqrt(np.mean((r.r / r.s) ** 2)),
                "c68_low": low68,
                "c68_high": high68,
                "c95_low": low95,
                "c95_high": high95,
                "years": len(years),
            }
        ]
    )


def verdict(summary, level=0.95):
    """A sentence on one row of a summary: does the printed cover hold?

    The check is the issue of use: c95 between .90 and .985 passes, anything else is
    said to fail, in the direction it fails.
    """
    c95 = float(summary["c95"])
    if not np.isfinite(c95):
        return "no held-out year to judge by"
    if c95 < 0.90:
        return f"FAILS: 95 % intervals cover {c95:.0%} of held-out sums (too narrow)"
    if c95 > 0.985:
        return f"95 % intervals cover {c95:.0%} of held-out sums (wide)"
    return f"95 % intervals cover {c95:.0%} of held-out sums"
