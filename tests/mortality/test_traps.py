"""One regression test for each known trap of the published study and its data."""

import warnings

import numpy as np
import pandas as pd
import pytest

from gradiverse import mortality
from gradiverse.mortality import _italy, cgp, loaders, official
from gradiverse.mortality._common import condition

LOMBARDIA = {"onset": 6}


def fit(data, year=2020, onset=9, **options):
    model = mortality.Counterfactual(**options).fit(data[data.year < year])
    return model.predict(data[data.year == year], onset=onset)


def lombardia(italy, **options):
    data = italy[italy.unit == "Lombardia"]
    return fit(data, onset=6, method="cgp", **options)


def test_trap_01_cumulative_error_uses_the_covariance(regions):
    """sd of a sum is √(wᵀCw), not the root of summed variances nor a sum of sds."""
    data, _ = regions
    full = fit(data, method="cgp")
    diagonal = fit(data, method="cgp", errors="diagonal")
    C = full.covariance
    w = np.ones(len(C))
    joint = full.total(by=()).sd[0]
    assert joint == pytest.approx(np.sqrt(w @ C @ w), rel=1e-12)
    quadrature = np.sqrt(np.trace(C))
    assert diagonal.total(by=()).sd[0] == pytest.approx(quadrature, rel=1e-12)
    assert joint > 1.2 * quadrature
    assert joint < np.sqrt(np.diag(C)).sum()


def test_trap_01_lombardia(italy):
    """The published sum's error is too small by 15 % (PPCA) and 45 % (paper kernel)."""
    for covariance, low in (("ppca", 0.15), ("ml", 0.45)):
        sds = [
            lombardia(italy, covariance=covariance, errors=e).total(6, 17).sd[0]
            for e in ("diagonal", "full")
        ]
        assert 1 - sds[0] / sds[1] == pytest.approx(low, abs=0.02)


def test_trap_02_ages_partition_the_total():
    """Every class belongs to exactly one group: 5-9 and 100+ are not lost."""
    rows = [
        ("Lombardia", k, y, w, 7, 10 + k)
        for k in range(22)
        for y in range(2015, 2021)
        for w in range(8)
    ]
    columns = ["unit", "age", "year", "week", "days", "deaths"]
    data = pd.DataFrame(rows, columns=columns)
    broad = _italy.broad_ages(data, "italy")
    assert sorted(broad.age.unique()) == ["0-59", "60-69", "70-79", "80-89", "90+"]
    assert broad.deaths.sum() == data.deaths.sum()
    per_week = broad[(broad.year == 2020) & (broad.week == 3)].set_index("age").deaths
    assert per_week["0-59"] == sum(10 + k for k in range(13))
    assert per_week["90+"] == sum(10 + k for k in (19, 20, 21))
    e = fit(data, onset=4, method="mean", by_age=True)
    assert e.total(by=()).observed[0] == e.total(by=("age",)).observed.sum()
    assert len(e.total(by=("age",))) == 22


def test_trap_02_lombardia_by_age(italy):
    """Deaths of periods 6-18 by age group, 2020 and 2019 (section 9, item 3)."""
    data = _italy.broad_ages(italy[italy.unit == "Lombardia"], "italy")
    window = data[data.week.between(6, 18)].pivot_table(
        index="year", columns="age", values="deaths", aggfunc="sum"
    )
    assert window.loc[2020].tolist() == [2443, 4129, 10924, 20715, 12827]
    assert window.loc[2019].tolist() == [1706, 2088, 5088, 9804, 6524]


@pytest.mark.parametrize("method", ["cgp", "mean", "trend", "synthetic"])
def test_trap_03_fits_share_no_state(regions, method):
    """A unit's result is the same alone, in company, and after any other fit."""
    data, _ = regions
    alone = fit(data[data.unit == "Cedar"], method=method).total()
    for order in (data, data.iloc[::-1]):
        both = fit(order, method=method).total().set_index("unit").loc["Cedar"]
        assert both.expected == pytest.approx(alone.expected[0], rel=1e-12)
        assert both.sd == pytest.approx(alone.sd[0], rel=1e-12)


def test_trap_04_one_series_one_scale(regions):
    """A city added by hand on top of its region is refused, and scales touch both
    sides.
    """
    data, _ = regions
    city = data[data.unit == "Alder"].assign(deaths=5)
    with pytest.raises(ValueError, match="duplicate row"):
        mortality.Counterfactual(method="mean").fit(pd.concat([data, city]))
    e = fit(data, method="mean")
    scale = dict.fromkeys(data.unit.unique(), 1.25)
    a, b = e.total(), e.total(scale=scale)
    np.testing.assert_allclose(b.observed, 1.25 * a.observed)
    np.testing.assert_allclose(b.expected, 1.25 * a.expected)


def _counts():
    days = pd.date_range("2020-04-01", "2020-05-15")
    n = np.arange(len(days))
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "unit": u,
                    "date": days,
                    "deaths": k * n,
                    "cases": 10 * k * n,
                    "swabs": 100 * n,
                }
            )
            for u, k in (("a", 10), ("b", 3))
        ]
    )


def test_trap_05_official_counts_carry_their_date():
    """A cumulative count is that of a stated day, the last one not later."""
    counts = _counts()
    assert official.cumulative_on(counts, "2020-04-11")["a"] == 100
    assert official.cumulative_on(counts, "2020-05-09")["a"] == 380
    assert official.cumulative_on(counts, "2020-07-01")["a"] == 440
    with pytest.raises(ValueError, match="no official count"):
        official.cumulative_on(counts, "2020-01-01")


def test_trap_05_lombardia(folder):
    counts = loaders.load_official(folder)
    assert official.cumulative_on(counts, "2020-05-09")["Lombardia"] == 14924
    assert official.cumulative_on(counts, "2020-04-11")["Lombardia"] != 14924


def test_trap_06_trento_and_bolzano_are_one_region(tmp_path):
    """The region's official count and positivity join both provinces."""
    table = pd.DataFrame(
        {
            "date": ["2020-05-09"] * 3,
            "region": ["P.A. Trento", "P.A. Bolzano", "Veneto"],
            "deaths_cum": [438, 290, 1643],
            "cases_cum": [400, 100, 50],
            "swabs_cum": [1000, 1000, 1000],
        }
    )
    path = tmp_path / "official.csv"
    table.to_csv(path, index=False)
    counts = loaders.load_official(path)
    region = "Trentino-Alto Adige/Südtirol"
    assert official.cumulative_on(counts, "2020-05-09")[region] == 728
    share = official.positivity(counts).set_index("unit").positivity
    assert share[region] == 0.25 and set(share.index) == {region, "Veneto"}


def test_trap_06_real_counts(folder):
    counts = loaders.load_official(folder)
    region = "Trentino-Alto Adige/Südtirol"
    assert official.cumulative_on(counts, "2020-05-09")[region] == 728
    share = official.positivity(counts, "2020-05-09").set_index("unit").positivity
    assert share[region] == pytest.approx(0.25, abs=0.005)


def test_trap_07_national_error_is_joint(regions):
    """Units share influenza: the pooled national error is far beyond quadrature."""
    data, _ = regions
    e = fit(data, method="pooled")
    unit, joint = e.total(), e.total(by=()).iloc[0]
    assert joint.sd > 1.3 * np.sqrt((unit.sd**2).sum())
    published = fit(data, method="cgp")
    assert published.total(by=()).sd[0] == pytest.approx(
        np.sqrt((published.total().sd ** 2).sum()), rel=1e-12
    )


def test_trap_08_discarded_variance_conventions():
    """min(N, T) - k instead of T - k: 23/3 times the noise at N = 5, T = 25, k = 2."""
    value = np.zeros(25)
    value[:4] = [9.0, 5.0, 2.0, 1.0]
    ppca = cgp.discarded_noise(value, 5, 2, "ppca")
    sklearn = cgp.discarded_noise(value, 5, 2, "sklearn")
    assert ppca == pytest.approx(3 / 23) and sklearn == pytest.approx(1.0)
    assert sklearn / ppca == pytest.approx(23 / 3)
    rng = np.random.default_rng(0)
    rates = rng.normal(100, 5, (5, 25))
    for name in ("ppca", "sklearn"):
        model = cgp.CGPModel(covariance=name).fit(
            rates[None], np.ones((1, 5, 25)), range(5), range(25), [("a", None)]
        )
        state = model.states[0]
        s2 = cgp.discarded_noise(state["eigenvalues"], 5, 2, name)
        low = np.linalg.eigvalsh(state["kernel"])[0]
        assert low == pytest.approx(s2, rel=1e-9)


@pytest.mark.parametrize("covariance", ["ml", "ppca", "sklearn", "sample"])
def test_trap_09_counts_are_not_interpolated(regions, covariance):
    """Every kernel has noise: the given weeks do not pin the fit, and none is
    singular.
    """
    data, _ = regions
    e = fit(data, method="cgp", covariance=covariance)
    for state in e._source.model_.states:
        assert np.linalg.eigvalsh(state["kernel"]).min() > 0
    singular = np.outer([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="noise term"):
        condition(singular, np.zeros(3), [0, 1], np.ones(2))


def test_trap_10_two_components_do_not_carry_90_percent(italy):
    """.72-.93 over regions (median .85) at T = 14, .63-.86 (.79) at T = 25."""
    for weeks, low, high, middle in ((14, 0.72, 0.93, 0.85), (25, 0.63, 0.86, 0.79)):
        data = italy[(italy.year < 2020) & (italy.week < weeks)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = mortality.Counterfactual(method="cgp", covariance="ppca").fit(data)
        share = [
            s["eigenvalues"][:2].sum() / s["eigenvalues"].sum()
            for s in model.model_.states
        ]
        assert min(share) == pytest.approx(low, abs=0.006)
        assert max(share) == pytest.approx(high, abs=0.006)
        assert np.median(share) == pytest.approx(middle, abs=0.006)


def test_trap_11_start_scale_and_collapse():
    """Mixed divisors would make the start negative; the fit stays finite and honest."""
    rng = np.random.default_rng(3)
    rates = 100 + np.outer(rng.normal(size=5), np.linspace(1, 2, 12)) * 8
    rates += np.outer(rng.normal(size=5), np.sin(np.arange(12))) * 4
    mean, _, value, vector = cgp.components(rates, 2)
    mean_square = ((rates - mean) ** 2).mean(axis=0).sum()
    assert mean_square - value[:2].sum() < 0  # the trap is set
    a, ell, sigma, _ = cgp.fit_ml(
        cgp.pca_kernel(value, vector, 2), rates - mean, np.arange(12.0)
    )
    assert np.isfinite([a, ell, sigma]).all() and min(a, ell, sigma) > 0
    model = cgp.CGPModel().fit(
        rates[None], np.ones((1, 5, 12)), range(5), range(12), [("quiet", None)]
    )
    assert any("below the Poisson variance" in text for text in model.warnings)


def test_trap_11_warning_reaches_the_user():
    """Counts steadier than Poisson raise a visible warning at fit and stay in the
    notes.
    """
    rows = [
        ("a", y, w, 1000 + y % 3 + w % 2)
        for y in range(2014, 2020)
        for w in range(1, 15)
    ]
    data = pd.DataFrame(rows, columns=["unit", "year", "week", "deaths"])
    with pytest.warns(UserWarning, match="below the Poisson variance"):
        model = mortality.Counterfactual(method="cgp").fit(data)
    assert any("below the Poisson" in n for n in model.notes_)


def test_trap_12_ship_interval_is_inverted():
    """IR is inversely proportional to the ship's rate: 14.6-52.3 %, not 13-47 %."""
    fraction, low, high = official.ship_anchor(0.0066, 0.0186)
    assert fraction == pytest.approx(0.261, abs=5e-4)
    assert (low, high) == (
        pytest.approx(0.146, abs=5e-4),
        pytest.approx(0.523, abs=5e-4),
    )
    a, b = official.poisson_interval(11)
    assert high == pytest.approx(fraction * 11 / a) and low == pytest.approx(
        fraction * 11 / b
    )
    ages = official.ifr_by_age({"70-79": 0.0066}, fraction, low, high)
    row = ages.iloc[0]
    assert row.low < row.ifr < row.high


def test_trap_13_floor_at_official_is_optional_and_labelled():
    """Negative excess stays negative unless the labelled option is switched on."""
    total = pd.DataFrame(
        {
            "unit": ["a", "b"],
            "excess": [-548.0, 900.0],
            "sd": [50.0, 50.0],
            "lower95": [-650.0, 800.0],
            "upper95": [-450.0, 1000.0],
            "lower68": [-600.0, 850.0],
            "upper68": [-500.0, 950.0],
        }
    )
    known = {"a": 300, "b": 400}
    plain = official.compare(total, known)
    assert plain.excess.tolist() == [-548.0, 900.0] and not plain.floored.any()
    floored = official.compare(total, known, floor_at_official=True)
    assert floored.excess.tolist() == [300.0, 900.0]
    assert floored.floored.tolist() == [True, False]


def test_trap_14_positivity_needs_a_floor_on_swabs():
    """One case over no swabs, or 4 over 5, does not set the largest share."""
    days = pd.date_range("2020-02-24", periods=3)
    counts = pd.DataFrame(
        {
            "unit": "Sicilia",
            "date": days,
            "deaths": 0,
            "cases": [1, 4, 30],
            "swabs": [0, 5, 300],
        }
    )
    best = official.positivity(counts).iloc[0]
    assert best.positivity == pytest.approx(0.1) and best.date == days[2]
    with pytest.raises(ValueError, match="no day has at least"):
        official.positivity(counts, "2020-02-25")


def test_trap_14_real_counts(folder):
    counts = loaders.load_official(folder)
    share = official.positivity(counts, "2020-05-09").set_index("unit").positivity
    assert share["Puglia"] < 0.2 and share["Sicilia"] < 0.2


def test_trap_15_published_ages_do_not_add_up(folder, italy):
    """The reference's age rows miss its total; ours add up exactly."""
    table = pd.read_csv(folder / "published_reference_values.csv")
    rows = table[
        (table.source == "Scortichini2020_ije") & (table.territory == "Lombardia")
    ]
    parts = rows[rows.age != "all"].estimate.sum()
    whole = rows[rows.age == "all"].estimate.iloc[0]
    assert parts - whole == 26012 - 25782
    data = _italy.broad_ages(italy[italy.unit == "Lombardia"], "italy")
    e = fit(data, onset=6, method="cgp", by_age=True)
    ages, joint = e.total(6, 18, by=("age",)), e.total(6, 18, by=())
    assert ages.excess.sum() == pytest.approx(joint.excess[0], rel=1e-12)
    assert ages.observed.sum() == joint.observed[0] == 51038
