"""The harness: scores in closed form, no leakage of held-out years, known truth."""

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.stats import norm
from scipy.stats import t as student

from gradiverse import mortality
from gradiverse.mortality import cgp, scores
from gradiverse.mortality.simulate import kernel


@pytest.mark.parametrize(("error", "sd"), [(0.0, 1.0), (0.7, 0.3), (-2.0, 1.4)])
def test_crps_is_the_integral(error, sd):
    """CRPS = ∫ (F(x) - 1{x ≥ y})² dx."""

    def integral(cdf):
        left = quad(lambda x: cdf(x) ** 2, -60, error, limit=200)[0]
        return left + quad(lambda x: (1 - cdf(x)) ** 2, error, 60, limit=200)[0]

    expected = integral(lambda x: norm.cdf(x / sd))
    assert scores.crps_normal(error, sd) == pytest.approx(expected, rel=1e-6)
    dof = 5.0
    scale = sd * np.sqrt(3 / 5)
    expected = integral(lambda x: student.cdf(x / scale, dof))
    assert scores.crps_student(error, sd, dof) == pytest.approx(expected, rel=1e-4)


def test_student_crps_tends_to_the_normal():
    assert scores.crps_student(0.4, 1.1, 1e6) == pytest.approx(
        scores.crps_normal(0.4, 1.1), rel=1e-4
    )


def test_summary_by_hand():
    table = pd.DataFrame(
        {
            "year": [1, 1, 2, 2],
            "expected": [100.0] * 4,
            "excess": [1.0, -3.0, 4.0, 0.0],
            "sd": [2.0] * 4,
        }
    )
    for level, z in (("68", 1.0), ("95", 1.96)):
        table["lower" + level] = table.excess - z * 2
        table["upper" + level] = table.excess + z * 2
    s = scores.summarise(table).iloc[0]
    assert s.n == 4 and s.years == 2
    assert s.bias == pytest.approx(0.005) and s.rms == pytest.approx(
        np.sqrt(26 / 4) / 100
    )
    assert s.c68 == 0.5 and s.c95 == 0.75
    assert s.z_rms == pytest.approx(np.sqrt(26 / 4) / 2)
    # years drawn again: cover of a draw is 0.5, 0.75 or 1
    assert s.c95_low == 0.5 and s.c95_high == 1.0


@pytest.mark.parametrize("method", ["mean", "cgp", "pooled"])
def test_rolling_origin_sees_no_later_year(ordinary, method):
    """Wrecking the target year's later weeks and all later years changes nothing."""
    a = mortality.rolling_origin(ordinary, [2015], method=method)
    later = (ordinary.year > 2015) | ((ordinary.year == 2015) & (ordinary.week > 8))
    wrecked = ordinary.assign(
        deaths=np.where(later, 3 * ordinary.deaths, ordinary.deaths)
    )
    b = mortality.rolling_origin(wrecked, [2015], method=method)
    np.testing.assert_allclose(a.table.expected, b.table.expected, rtol=1e-12)
    np.testing.assert_allclose(a.table.sd, b.table.sd, rtol=1e-12)
    np.testing.assert_allclose(3 * a.table.observed, b.table.observed)


def test_leave_one_year_out_drops_the_year_everywhere(ordinary):
    """The held-out year's later weeks, in data and pool, do not matter."""
    pool = ordinary.assign(unit=ordinary.unit + " pool")
    one = {"years": [2016], "onset": 6, "ends": (13,), "method": "pooled"}
    a = mortality.leave_one_year_out(ordinary, pool=pool, **one)
    held = ordinary.year == 2016
    data = ordinary.assign(
        deaths=np.where(
            held & (ordinary.week >= 6), 2 * ordinary.deaths, ordinary.deaths
        )
    )
    other = pool.assign(deaths=np.where(held, 5, pool.deaths))
    b = mortality.leave_one_year_out(data, pool=other, **one)
    np.testing.assert_allclose(a.table.expected, b.table.expected, rtol=1e-10)
    np.testing.assert_allclose(a.table.sd, b.table.sd, rtol=1e-10)


def test_pool_after_the_history_is_not_used(ordinary):
    """A pool that holds the predicted year (or later ones) cannot leak it."""
    history, current = ordinary[ordinary.year < 2016], ordinary[ordinary.year == 2016]
    pool = ordinary.assign(unit=ordinary.unit + " pool")
    late = pool.year > 2015
    wild = pool.assign(deaths=np.where(late, 4 * pool.deaths, pool.deaths))
    tables = []
    for p in (pool[~late], wild):
        model = mortality.Counterfactual().fit(history, pool=p)
        tables.append(model.predict(current, onset=9).total())
    pd.testing.assert_frame_equal(*tables)
    assert any("years after 2015" in n for n in model.notes_)
    with pytest.raises(ValueError, match="after the history ends"):
        mortality.Counterfactual().fit(history, pool=wild[late])


def test_leave_one_year_out_ignores_years_after_the_range(ordinary):
    a = mortality.leave_one_year_out(
        ordinary, range(2012, 2016), 6, (13,), method="mean"
    )
    wild = ordinary.assign(
        deaths=np.where(ordinary.year > 2015, 9 * ordinary.deaths, ordinary.deaths)
    )
    b = mortality.leave_one_year_out(wild, range(2012, 2016), 6, (13,), method="mean")
    pd.testing.assert_frame_equal(a.table, b.table)


def test_shapes_and_skips(ordinary):
    short = ordinary[(ordinary.unit != "Birch") | (ordinary.year > 2011)]
    c = mortality.rolling_origin(short, range(2014, 2017), method="mean")
    assert len(c.table) == 3 * 8 - 3  # Birch has two, three, four earlier years
    assert set(c.skipped.unit) == {"Birch"} and len(c.skipped) == 3
    assert c.summary.skipped.iloc[0] == 3
    assert (c.skipped.reason == "too few earlier years").all()
    assert {"bias", "rms", "crps", "c68", "c95", "z_rms"} <= set(c.summary.columns)
    loo = mortality.leave_one_year_out(
        ordinary, range(2014, 2017), ends=(13, 17, 24), method="mean"
    )
    assert loo.summary.end.tolist() == [13, 17, 24]
    assert len(loo.table) == 3 * 8 * 3 and len(loo.joint) == 9
    assert "held-out years" in str(loo)


def test_bad_requests(ordinary):
    with pytest.raises(ValueError, match="later than given"):
        mortality.rolling_origin(ordinary, given=8, end=8, method="mean")
    with pytest.raises(ValueError, match="nothing to judge"):
        mortality.rolling_origin(ordinary, [2010], method="mean")
    with pytest.raises(ValueError, match="empty"):
        mortality.rolling_origin(ordinary, [], method="mean")
    with pytest.raises(ValueError, match="end with week"):
        mortality.leave_one_year_out(ordinary, [2015], ends=(40,), method="mean")
    with pytest.raises(ValueError, match="before the onset"):
        mortality.leave_one_year_out(
            ordinary, [2015], onset=9, ends=(5,), method="mean"
        )


def test_joint_sum_has_its_own_calibration(ordinary):
    c = mortality.rolling_origin(ordinary, range(2014, 2019), method="pooled")
    assert len(c.joint) == 5
    by_hand = c.table.groupby("year").excess.sum()
    np.testing.assert_allclose(c.joint.set_index("year").excess, by_hand, rtol=1e-9)
    assert (
        c.joint.sd > np.sqrt((c.table.sd**2).groupby(c.table.year).sum()).values
    ).all()


def test_covers_where_the_truth_is_known():
    """Item 14: 2 000 years from a known kernel, Poisson counts, fitted with the truth.

    The prediction conditions on weeks 1-8 with the true mean and kernel; 95 % intervals
    of the sum of weeks 9-26 then cover .95 ± .01 (binomial sd .005).
    """
    rng = np.random.default_rng(8)
    weeks = np.arange(1, 27)
    level = 900.0 + 100.0 * np.cos(2 * np.pi * weeks / 52)
    K = kernel(weeks) * np.outer(level, level)
    rates = (
        level
        + rng.standard_normal((2000, 26)) @ np.linalg.cholesky(K + 1e-6 * np.eye(26)).T
    )
    counts = rng.poisson(rates)
    full = K + np.diag(level)
    from gradiverse.mortality._common import condition

    given = np.arange(8)
    hits = 0
    for x in counts:
        mean, cov = condition(full, level, given, x[given].astype(float))
        hits += abs(x[8:].sum() - mean.sum()) <= 1.959964 * np.sqrt(cov.sum())
    assert hits / 2000 == pytest.approx(0.95, abs=0.01)


def test_plug_in_components_are_marked_as_failing():
    """With five years, plug-in PCA-2 (PPCA) covers far too little, and the report says
    so.
    """
    data, _ = mortality.synthetic(
        units=12, years=range(2005, 2015), wave=[0] * 12, rng=2
    )
    c = mortality.rolling_origin(
        data, range(2010, 2015), method="cgp", covariance="ppca"
    )
    assert c.summary.c95.iloc[0] < 0.85
    assert "FAILS" in scores.verdict(c.summary.iloc[0]) and "FAILS" in str(c)


def test_verdict_words():
    assert "cover 93%" in scores.verdict({"c95": 0.93})
    assert "FAIL" not in scores.verdict({"c95": 0.93})
    assert "wide" in scores.verdict({"c95": 0.995})
    assert "no held-out" in scores.verdict({"c95": np.nan})


def test_ml_gradient_matches_differences():
    rng = np.random.default_rng(1)
    y = rng.normal(size=(5, 9)).cumsum(axis=1)
    r = y - y.mean(0)
    t = np.arange(9.0)
    square = (t[:, None] - t) ** 2
    _mean, _S, value, vector = cgp.components(y, 2)
    base = cgp.pca_kernel(value, vector, 2)
    theta = np.log([0.8, 2.0, 0.5])
    args = (base, r, square)
    _, g = cgp.ml_objective(theta, *args)
    for k in range(3):
        step = np.eye(3)[k] * 1e-6
        d = (
            cgp.ml_objective(theta + step, *args)[0]
            - cgp.ml_objective(theta - step, *args)[0]
        ) / 2e-6
        assert g[k] == pytest.approx(d, rel=1e-5, abs=1e-7)


def test_ml_objective_is_the_gaussian_likelihood():
    from scipy.stats import multivariate_normal

    rng = np.random.default_rng(2)
    y = rng.normal(size=(6, 5))
    r = y - y.mean(0)
    t = np.arange(5.0)
    square = (t[:, None] - t) ** 2
    a, ell, sigma = 0.7, 1.3, 0.9
    base = np.outer(t, t) * 0.05
    K = base + a**2 * np.exp(-0.5 * square / ell**2) + sigma**2 * np.eye(5)
    value, _ = cgp.ml_objective(np.log([a, ell, sigma]), base, r, square)
    expected = -sum(multivariate_normal(np.zeros(5), K).logpdf(x) for x in r)
    assert value == pytest.approx(expected, rel=1e-10)


def test_calibration_beside_every_fit(regions):
    data, _ = regions
    e = (
        mortality.Counterfactual(method="trend")
        .fit(data[data.year < 2020])
        .predict(data[data.year == 2020], onset=9)
    )
    c = e.calibration
    assert sorted(c.table.year.unique()) == [2015, 2016, 2017, 2018, 2019]
    assert c.summary.end.iloc[0] == 26 and c is e.calibration
