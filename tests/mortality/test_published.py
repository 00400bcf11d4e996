"""Published rows and check values on the real data (skipped without them)."""

import warnings

import numpy as np
import pandas as pd
import pytest

from gradiverse import mortality
from gradiverse.mortality import _italy, _sources, loaders, official

pytestmark = pytest.mark.data
REGION = "Lombardia"


def predict(data, onset=6, pool=None, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = mortality.Counterfactual(**options).fit(
            data[data.year < 2020], pool=pool
        )
    return model.predict(data[data.year == 2020], onset=onset)


@pytest.fixture(scope="module")
def covered(folder):
    shares = _italy.coverage(folder)
    return shares[shares.release.str.startswith("to_")].set_index("unit").covered


def test_deaths_in_the_file(italy):
    """Section 9, items 1 and 2."""
    totals = italy.groupby("year").deaths.sum()
    assert totals.tolist() == [319931, 296724, 320590, 309869, 316963, 349436]
    lombardy = italy[italy.unit == REGION].groupby("year").deaths.sum()
    assert lombardy.tolist() == [50520, 47112, 51315, 50215, 51201, 75119]
    days = italy.drop_duplicates(["year", "week"]).pivot(
        index="year", columns="week", values="days"
    )
    assert days.sum(axis=1).tolist() == [178, 179, 178, 178, 178, 179]
    assert (days.drop(columns=7).nunique() == 1).all() and set(days[7]) == {6, 7}


def test_scale_and_population(folder, covered):
    """Item 4."""
    assert 1 / covered[REGION] == pytest.approx(9704151 / 9593762, rel=1e-12)
    people = _italy.population(folder)
    assert people.sum() == 60359546 and people[REGION] == 10060574 and len(people) == 20


def test_eigenvalues_and_ppca(italy):
    """Items 5 and 6: spectrum of daily rates; excess, √(wᵀCw) and √(diagonal sum)."""
    data = italy[italy.unit == REGION]
    full = predict(data, method="cgp", covariance="ppca")
    diagonal = predict(data, method="cgp", covariance="ppca", errors="diagonal")
    value = full._source.model_.states[0]["eigenvalues"]
    np.testing.assert_allclose(
        value[:4], [5942.778, 3186.397, 864.326, 578.024], atol=1e-3
    )
    assert value[4] < 1e-9 and value[:2].sum() / value.sum() == pytest.approx(
        0.86356, abs=1e-5
    )
    for end, excess, sd, alone in (
        (13, 21811.2526, 204.3430, 166.0610),
        (17, 26300.0134, 236.2149, 199.9079),
        (24, 26615.7928, 288.3195, 250.2662),
    ):
        t = full.total(6, end).iloc[0]
        assert t.excess == pytest.approx(excess, abs=1e-3)
        assert t.sd == pytest.approx(sd, abs=1e-3)
        assert diagonal.total(6, end).sd[0] == pytest.approx(alone, abs=1e-3)


def test_paper_kernel_of_lombardia(italy, covered):
    """Table C, scaled: excess ± 2, sd by covariance and by diagonal; a, ℓ, σ."""
    data, scale = italy[italy.unit == REGION], {REGION: 1 / covered[REGION]}
    full = predict(data, method="cgp")
    diagonal = predict(data, method="cgp", errors="diagonal")
    fit = full._source.model_.states[0]["fit"]
    assert fit["a"] == pytest.approx(6.10, abs=0.01)
    assert fit["ell"] == pytest.approx(2.22, abs=0.01)
    assert fit["sigma"] == pytest.approx(5.00, abs=0.01)
    for end, excess, sd, alone in (
        (13, 22137, 276, 156),
        (17, 26677, 352, 192),
        (24, 26998, 461, 246),
    ):
        t = full.total(6, end, scale=scale).iloc[0]
        assert t.excess == pytest.approx(excess, abs=2) and t.sd == pytest.approx(
            sd, abs=2
        )
        other = diagonal.total(6, end, scale=scale).sd[0]
        assert other == pytest.approx(alone, abs=2)


def test_italy_is_the_sum_of_scaled_regions(italy, covered):
    """Table C, Italy to 9 May: mean 47 608, PPCA 50 181, paper 50 190 ± 50."""
    for options, excess, tolerance in (
        ({"method": "mean"}, 47608, 1),
        ({"method": "cgp", "covariance": "ppca"}, 50181, 1),
        ({"method": "cgp"}, 50190, 50),
    ):
        t = predict(italy, **options).total(6, 17, by=(), scale=1 / covered)
        assert t.excess[0] == pytest.approx(excess, abs=tolerance)


def test_lombardia_by_age(italy):
    """Paper kernel, unscaled, 16 February-16 May, each age on its own (table C)."""
    data = _italy.broad_ages(italy[italy.unit == REGION], "italy")
    t = predict(data, method="cgp", by_age=True).total(6, 18, by=("age",))
    expected = [707, 1915, 5858, 11149, 6807]
    np.testing.assert_allclose(t.excess, expected, atol=60, rtol=0.01)


def test_five_year_mean(italy, covered):
    """Item 9, exact: 46 680 unscaled, 47 958 scaled, periods 8-16."""
    e = predict(italy, onset=8, method="mean")
    assert round(e.total(8, 16, by=()).excess[0]) == 46680
    assert round(e.total(8, 16, by=(), scale=1 / covered).excess[0]) == 47958


def test_official_counts(folder):
    """Items 10 and 11."""
    national = loaders.load_official(folder, national=True)
    for date, deaths in (
        ("2020-05-09", 30395),
        ("2020-06-27", 34716),
        ("2020-09-09", 35577),
    ):
        assert official.cumulative_on(national, date)["Italy"] == deaths
    share = official.positivity(loaders.load_official(folder), "2020-05-09")
    share = share.set_index("unit")
    for unit, value in (
        (REGION, 0.400),
        ("Liguria", 0.353),
        ("Emilia-Romagna", 0.293),
        ("Toscana", 0.178),
        ("Veneto", 0.091),
    ):
        assert share.loc[unit, "positivity"] == pytest.approx(value, abs=5e-4)
    assert share.loc[REGION, "date"] == pd.Timestamp("2020-03-24")


def test_stmf_italy(folder):
    """Item 12: weeks 9-26 of 2020, observed 268 564, five-year mean 217 050."""
    data = mortality.load_stmf(folder / "stmf_italy_week_age_sex_2011_2021.csv.gz")
    data = data[(data.age == "TOT") & (data.year >= 2015) & (data.week <= 26)]
    data = data.drop(columns="age")
    t = predict(data, onset=9, method="mean").total(9, 26).iloc[0]
    assert t.observed == 268564 and round(t.expected) == 217050


def test_splice_of_the_published_table(folder):
    """Eight rows within 8 %, six within 4.5 %, Lombardia 1.015 and Veneto .976 (±
    .01).
    """
    weekly = []
    for key, release in (
        ("italy_class2", "may04_class2"),
        ("italy_class1", "may04_class1"),
    ):
        data = mortality.load_italy(_sources.find(key, folder))
        shares = _italy.coverage(folder)
        share = shares[shares.release == release].set_index("unit").covered
        e = predict(data, method="cgp", covariance="sklearn")
        weekly.append(e.total(by=("unit", "week"), scale=1 / share))
    rebuilt = official.splice(*weekly, loaders.load_official(folder))
    table = pd.read_csv(folder / "published_reference_values.csv")
    table = table[table.source == "Modi2020_v3_table1"]
    published = table.set_index(table.territory.map(_sources.region_name)).estimate
    ratio = (rebuilt / published).dropna()
    assert len(ratio) == 8
    assert (abs(ratio - 1) < 0.08).all() and (abs(ratio - 1) < 0.045).sum() >= 6
    assert ratio[REGION] == pytest.approx(1.015, abs=0.01)
    assert ratio["Veneto"] == pytest.approx(0.976, abs=0.01)


def test_fatality_rate_of_lombardia(folder, italy, covered):
    """PFR .255-.27 % to 9 May (goal 5), paper mode, scaled."""
    t = predict(italy, method="cgp").total(7, 17, scale=1 / covered)
    rates = official.fatality(t, _italy.population(folder)).set_index("unit")
    assert 0.00255 <= rates.loc[REGION, "pfr"] <= 0.0027


def test_lag_of_official_counts(folder, italy):
    """Official counts follow the excess by days: Lombardia 3-7, Emilia-Romagna 3-7."""
    from gradiverse.mortality._istat import days_of, period_start

    counts = loaders.load_official(folder)
    weekly = predict(italy, method="cgp").total(7, 24, by=("unit", "week"))
    for unit in (REGION, "Emilia-Romagna"):
        part = weekly[weekly.unit == unit]
        week = part.week.to_numpy(int)
        daily = official.daily_from_weekly(
            period_start(week, 2020), days_of(week, 2020), part.excess.to_numpy()
        )
        assert daily.sum() == pytest.approx(part.excess.sum(), rel=1e-9)
        series = counts[counts.unit == unit].set_index("date").deaths.diff()
        lag = official.lag_fit(series.loc["2020-03-01":"2020-05-09"], daily)
        assert 3 < lag.lag < 7 and 0 < lag.lag_sd < 1.5 and 0.4 < lag.scale < 0.8


TABLE_B = [
    ("mean", {}, +0.022, 0.0441, 0.0286, 0.27, 0.50),
    ("mean", {"variance": "years"}, +0.022, 0.0441, 0.0254, 0.49, 0.81),
    ("trend", {}, -0.008, 0.0384, 0.0239, 0.39, 0.69),
    ("trend", {"variance": "years"}, -0.008, 0.0384, 0.0227, 0.62, 0.85),
    ("cgp", {"covariance": "ppca"}, +0.002, 0.0452, 0.0288, 0.25, 0.44),
    ("cgp", {}, +0.004, 0.0429, 0.0261, 0.34, 0.51),
    ("cgp", {"covariance": "sklearn"}, +0.007, 0.0402, 0.0234, 0.48, 0.75),
]


@pytest.mark.parametrize(
    ("method", "options", "bias", "rms", "crps", "c68", "c95"), TABLE_B
)
def test_table_b(stmf, method, options, bias, rms, crps, c68, c95):
    """Rolling origin on 158 country-years: the published harness, cover ± .02."""
    c = mortality.rolling_origin(stmf, method=method, **options)
    s = c.summary.iloc[0]
    assert len(c.table) == 158
    assert s.bias == pytest.approx(bias, abs=0.001)
    assert s.rms == pytest.approx(rms, abs=0.0006)
    assert s.crps == pytest.approx(crps, abs=0.0007)
    assert s.c68 == pytest.approx(c68, abs=0.02) and s.c95 == pytest.approx(
        c95, abs=0.02
    )


TABLE_A = [
    ("mean", {}, (0.055, 0.047, 0.037), (0.63, 0.59, 0.69)),
    ("synthetic", {}, (0.061, 0.051, 0.038), (0.56, 0.56, 0.69)),
    ("cgp", {}, (0.074, 0.059, 0.043), (0.32, 0.36, 0.51)),
    ("cgp", {"errors": "diagonal"}, (0.074, 0.059, 0.043), (0.20, 0.23, 0.28)),
    ("cgp", {"covariance": "sklearn"}, (0.068, 0.054, 0.039), (0.80, 0.83, 0.92)),
    ("cgp", {"covariance": "ppca"}, (0.077, 0.060, 0.042), (0.26, 0.29, 0.40)),
]


@pytest.mark.parametrize(("method", "options", "rms", "c95"), TABLE_A)
def test_table_a(italy, method, options, rms, c95):
    """Italian regions, one year left out: rms and cover at three horizons."""
    s = mortality.leave_one_year_out(italy, method=method, **options).summary
    np.testing.assert_allclose(s.rms, rms, atol=0.0016)
    np.testing.assert_allclose(s.c95, c95, atol=0.0201)


def test_pooled_targets_on_stmf(stmf):
    """Issue target 1, everything learned from earlier years only."""
    s = mortality.rolling_origin(stmf).summary.iloc[0]
    assert s.n == 158 and s.crps <= 0.0180 and s.rms <= 0.0330
    assert 0.90 <= s.c95 <= 0.985 and 0.58 <= s.c68 <= 0.80


def test_pooled_targets_on_regions(folder, italy):
    """Issue target 2: with the STMF populations as pool, and from the regions alone."""
    pool = _italy.stmf_pool(folder, range(2010, 2020))
    s = mortality.leave_one_year_out(italy, pool=pool).summary
    assert (s.c95 >= 0.90).all()
    assert (s.rms.to_numpy() <= [0.054, 0.044, 0.034]).all()
    alone = mortality.leave_one_year_out(italy).summary
    assert (alone.c95 >= 0.85).all()


def test_pooled_beside_independent_estimates(folder, italy):
    """Issue target 3: at least 18 of 20 regions inside the two-stage 95 % intervals."""
    table = pd.read_csv(folder / "published_reference_values.csv")
    table = table[(table.source == "Scortichini2020_ije") & (table.age == "all")]
    table = table[~table.territory.isin(["Italy", "Bergamo"])]
    table = table.set_index(table.territory.map(_sources.region_name))
    t = predict(italy).total(6, 18).set_index("unit").excess.reindex(table.index)
    assert len(t) == 20 and t.between(table.low, table.high).sum() >= 18


def test_pooled_italy_to_9_may(italy, covered):
    """Issue target 3: 23 February-9 May, scaled, beside the published 49-53 thousand.

    The point, 48.7 thousand, falls short of that range by .3 thousand (the mean of
    controls gives 48 490 too); it must lie within one sd of the range, and the range
    inside the 95 % interval.
    """
    t = predict(italy).total(7, 17, by=(), scale=1 / covered).iloc[0]
    assert 49_000 - t.sd <= t.excess <= 53_000 + t.sd
    assert t.lower95 < 49_000 and t.upper95 > 53_000
    assert t.sd < 4_500


@pytest.mark.parametrize("method", ["pooled", "cgp", "mean", "trend", "synthetic"])
def test_all_populations_run(folder, stmf, method):
    """Issue target 5: 38 STMF populations, 51 US states."""
    assert stmf.unit.nunique() == 38
    e = predict(stmf[stmf.week <= 52], onset=9, method=method)
    t = e.total()
    assert len(t) == 37 and np.isfinite(t[["expected", "sd"]]).all(axis=None)
    states = mortality.load_cdc(folder, states_only=True)
    assert states.unit.nunique() == 51
    t = predict(states, onset=9, method=method).total()
    assert len(t) == 51 and np.isfinite(t[["expected", "sd"]]).all(axis=None)


@pytest.mark.parametrize("method", ["pooled", "cgp", "mean", "trend", "synthetic"])
def test_regions_by_all_ages_run(italy, method):
    """Issue target 5: 20 regions × 22 ages, zero cells included."""
    e = predict(italy, method=method, by_age=True)
    t = e.total(by=("unit", "age"))
    assert len(t) == 440 and (t.sd > 0).all() and (t.expected >= 0).all()
    assert e.total(by=()).observed[0] == t.observed.sum() == 263127
