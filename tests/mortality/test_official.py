"""Ratios, lags, coverage and rates against closed forms and simulation."""

import itertools

import numpy as np
import pandas as pd
import pytest

from gradiverse.mortality import official


def test_fieller_covers():
    """2 000 simulated ratios: the 95 % interval covers .95 (binomial sd .005)."""
    rng = np.random.default_rng(0)
    a, b = 30.0 + 4 * rng.standard_normal(2000), 12.0 + 1.5 * rng.standard_normal(2000)
    hits = 0
    for x, y in zip(a, b, strict=True):
        _, low, high = official.fieller(x, y, 4.0, 1.5)
        hits += low <= 30 / 12 <= high
    assert hits / 2000 == pytest.approx(0.95, abs=0.015)


def test_fieller_limits():
    ratio, low, high = official.fieller(10.0, 0.5, 1.0, 1.0)
    assert ratio == 20.0 and low == -np.inf and high == np.inf
    r = official.fieller(100.0, 50.0, 5.0, 5.0, cov=25.0)
    s = official.fieller(100.0, 50.0, 5.0, 5.0, cov=0.0)
    assert r[2] - r[1] < s[2] - s[1]


def test_poisson_interval():
    assert official.poisson_interval(0)[0] == 0.0
    assert official.poisson_interval(0)[1] == pytest.approx(3.688879, abs=1e-6)


@pytest.mark.parametrize("true_lag", [2.0, 5.5])
def test_lag_is_found(true_lag):
    rng = np.random.default_rng(1)
    days = pd.date_range("2020-02-20", periods=90)
    t = np.arange(90.0)
    deaths = 500 * np.exp(-0.5 * ((t - 35) / 9) ** 2)
    announced = 0.6 * np.interp(t - true_lag, t, deaths) + 6 * rng.standard_normal(90)
    lag = official.lag_fit(pd.Series(announced, days), pd.Series(deaths, days))
    assert abs(lag.lag - true_lag) < 4 * lag.lag_sd + 0.05
    assert lag.scale == pytest.approx(0.6, abs=0.02) and lag.lag_sd < 0.3
    with pytest.raises(ValueError, match="overlap"):
        official.lag_fit(pd.Series(announced[:8], days[:8]), pd.Series(deaths, days))


def test_daily_keeps_weekly_sums():
    days = np.array([7, 6, 7, 7])
    deaths = np.array([70.0, 90.0, 140.0, 30.0])
    daily = official.daily_from_weekly(
        pd.to_datetime(["2020-01-01", "2020-01-08", "2020-01-14", "2020-01-21"]),
        days,
        deaths,
    )
    edges = np.concatenate([[0], np.cumsum(days)])
    sums = [daily.iloc[a:b].sum() for a, b in itertools.pairwise(edges)]
    np.testing.assert_allclose(sums, deaths, rtol=1e-12)
    assert (daily > 0).all()


def total():
    return pd.DataFrame(
        {
            "unit": ["a", "b"],
            "observed": [900.0, 300.0],
            "expected": [600.0, 310.0],
            "excess": [300.0, -10.0],
            "sd": [30.0, 20.0],
            "lower95": [240.0, -50.0],
            "upper95": [360.0, 30.0],
        }
    )


def test_scale_up_adds_its_error():
    out = official.scale_up(total(), {"a": 0.8, "b": 1.0}, tau=0.1)
    assert out.excess.tolist() == [375.0, -10.0]
    assert out.sd_model.tolist() == [37.5, 20.0]
    assert out.sd_coverage.tolist() == [pytest.approx(375 * 0.2 * 0.1), 0.0]
    assert out.sd[0] == pytest.approx(np.hypot(37.5, 7.5))
    for bad in ({"a": 1.2, "b": 1.0}, {"a": 0.5}):
        with pytest.raises(ValueError, match="covered shares"):
            official.scale_up(total(), bad, 0.1)


def test_spread_of_towns_is_learned():
    """Towns that differ by τ = 0.2 from the covered ones: τ is recovered."""
    rng = np.random.default_rng(4)
    rows, truth = [], {}
    for k in range(400):
        c = rng.uniform(0.3, 0.9)
        inside, outside = 1e6 * c, 1e6 * (1 - c) * np.exp(0.2 * rng.standard_normal())
        truth[f"u{k}"] = inside + outside
        rows.append(("one", f"u{k}", c, inside))
    table = pd.DataFrame(rows, columns=["release", "unit", "covered", "deaths"])
    out = official.learn_tau(table, truth).iloc[0]
    assert out.tau == pytest.approx(0.2, rel=0.15) and abs(out.bias) < 0.02


def test_fatality_and_bounds():
    out = official.fatality(total(), {"a": 1e5, "b": 1e5}, {"a": 0.4, "b": 0.1})
    assert out.pfr.tolist() == [0.003, -0.0001]
    assert out.ifr_low[0] == pytest.approx(0.0075)
    assert out.pfr_low[0] == 0.0024 and out.pfr_high[0] == 0.0036


def test_splice_by_hand():
    """Wide release to period 11, late one rescaled, half a week, official counts."""
    wide = pd.DataFrame(
        {"unit": "a", "week": range(6, 12), "excess": [5, 10, 20, 30, 40, 50]}
    )
    late = pd.DataFrame(
        {"unit": "a", "week": range(6, 14), "excess": [2, 5, 10, 15, 20, 25, 30, 20]}
    )
    days = pd.to_datetime(["2020-04-11", "2020-04-18", "2020-05-09"])
    counts = pd.DataFrame({"unit": "a", "date": days, "deaths": [100, 140, 200]})
    out = official.splice(wide, late, counts)
    assert out["a"] == pytest.approx(150 + 2 * 50 + 0.5 * (40 + 40) + 60)
