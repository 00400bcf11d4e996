"""Synthetic regions with known truth, for examples, tests and offline demonstrations.

A unit's expected weekly deaths are a level, a slow trend, a winter-peaked season and
correlated winter waves (one national, one of the unit, both fading in summer); counts
are Poisson.  From `onset` of the last year a wave of excess deaths with known size is
added.
"""

import numpy as np
import pandas as pd

NAMES = (
    "Alder",
    "Birch",
    "Cedar",
    "Dogwood",
    "Elm",
    "Fir",
    "Ginkgo",
    "Hazel",
    "Ilex",
    "Juniper",
    "Larch",
    "Maple",
    "Oak",
    "Pine",
    "Quince",
    "Rowan",
    "Spruce",
    "Tilia",
    "Walnut",
    "Yew",
)
AGES = ("0-59", "60-69", "70-79", "80-89", "90+")
AGE_SHARE = (0.08, 0.10, 0.21, 0.37, 0.24)
HIT_SHARE = (0.04, 0.09, 0.25, 0.40, 0.22)


def kernel(weeks, scale=4.0, winter=0.06, year_sd=0.012, floor=0.25):
    """Covariance (W, W) of the relative deviations within a year.

    A squared exponential of length `scale` weeks whose amplitude follows the winter,
    plus a common level of the year.
    """
    weeks = np.asarray(weeks, float)
    amplitude = winter * (
        floor + (1 - floor) * 0.5 * (1 + np.cos(2 * np.pi * weeks / 52))
    )
    gap = weeks[:, None] - weeks[None, :]
    smooth = np.exp(-0.5 * (gap / scale) ** 2) * np.outer(amplitude, amplitude)
    return smooth + year_sd**2


def synthetic(
    units=20,
    years=range(2011, 2021),
    weeks=range(1, 27),
    onset=9,
    wave=None,
    level=(60.0, 1500.0),
    trend=0.006,
    by_age=False,
    rng=0,
):
    """Tidy table of synthetic regions and the truth behind it.

    Parameters
    ----------
    units : int
        Number of regions.
    years, weeks : iterables of int
    onset : int
        First week of the excess wave in the last year.
    wave : array, optional
        Size of the wave of each region relative to its expected deaths of the window;
        drawn between -0.03 and 0.8 by default; zeros give an ordinary last year.
    level : (low, high)
        Range of expected deaths a week, log-uniform.
    trend : float
        Mean relative change per year.
    by_age : bool
        Split deaths into five age groups (column age).
    rng : seed, SeedSequence or Generator

    Returns
    -------
    data : DataFrame
        unit [, age], year, week, deaths, population.
    truth : DataFrame
        unit, expected (before count noise), excess: true sums over weeks >= onset of
        the last year.

    Examples
    --------
    >>> data, truth = synthetic(units=2, years=range(2018, 2021), rng=5)
    >>> sorted(data.columns)
    ['deaths', 'population', 'unit', 'week', 'year']
    >>> len(truth)
    2
    """
    rng = np.random.default_rng(rng)
    years, weeks = np.array(list(years)), np.array(list(weeks))
    Y, W = len(years), len(weeks)
    base = np.exp(rng.uniform(*np.log(level), units))
    slope = trend + 0.004 * rng.standard_normal(units)
    phase = 2 * np.pi * (weeks - 4) / 52
    season = (
        1
        + 0.10 * np.cos(phase)
        + 0.02 * rng.standard_normal((units, 1)) * np.cos(phase)
    )
    factor = np.linalg.cholesky(kernel(weeks) + 1e-10 * np.eye(W))
    nation = rng.standard_normal((Y, W)) @ factor.T
    local = rng.standard_normal((units, Y, W)) @ factor.T
    relative = np.sqrt(0.6) * nation + np.sqrt(0.4) * local
    growth = 1 + slope[:, None] * (years - years.mean())
    expected = base[:, None, None] * growth[:, :, None] * season[:, None, :]
    expected = expected * np.clip(1 + relative, 0.3, None)
    size = rng.uniform(-0.03, 0.8, units) if wave is None else np.asarray(wave, float)
    shape = np.where(
        weeks >= onset, np.exp(-0.5 * ((weeks - onset - 4) / 2.5) ** 2), 0.0
    )
    after = weeks >= onset
    wave_deaths = np.zeros_like(expected)
    if after.any():
        window = expected[:, -1, after].sum(axis=1)
        wave_deaths[:, -1] = (size * window)[:, None] * shape / max(shape.sum(), 1e-12)
    truth = pd.DataFrame(
        {
            "unit": [_name(i) for i in range(units)],
            "expected": expected[:, -1, after].sum(axis=1),
            "excess": wave_deaths[:, -1].sum(axis=1),
        }
    )
    cells = [(expected, wave_deaths, None)]
    if by_age:
        cells = [
            (expected * a, wave_deaths * h, name)
            for a, h, name in zip(AGE_SHARE, HIT_SHARE, AGES, strict=True)
        ]
    population = np.round(base * 52 / 0.0105).astype(int)
    frames = []
    for mean, extra, age in cells:
        deaths = rng.poisson(np.clip(mean + extra, 0, None))
        u, y, w = np.indices(deaths.shape).reshape(3, -1)
        frame = pd.DataFrame(
            {
                "unit": truth.unit.to_numpy()[u],
                "year": years[y],
                "week": weeks[w],
                "deaths": deaths.ravel(),
                "population": population[u],
            }
        )
        if age is not None:
            frame.insert(1, "age", age)
        frames.append(frame)
    data = pd.concat(frames, ignore_index=True)
    data.attrs["source"] = "synthetic regions (generator with known truth)"
    return data, truth


def _name(i):
    """Region names that no atlas knows."""
    return (
        NAMES[i] if i < len(NAMES) else f"{NAMES[i % len(NAMES)]} {i // len(NAMES) + 1}"
    )
