"""Bad tables are refused naming row and remedy; choices are noted."""

import numpy as np
import pandas as pd
import pytest

from gradiverse import mortality
from gradiverse.mortality import _panel


@pytest.fixture
def table():
    data, _ = mortality.synthetic(
        units=2, years=range(2014, 2020), weeks=range(1, 14), rng=0
    )
    return data


def split(data, year=2019):
    return data[data["year"] < year], data[data["year"] == year]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.drop(columns="deaths"), "lacks the column.*deaths"),
        (lambda d: d.rename(columns={"unit": "place"}), "lacks the column.*unit"),
        (lambda d: d[d.year > 3000], "no rows"),
        (lambda d: d.assign(deaths=-d.deaths), "negative deaths, first: unit=Alder"),
        (lambda d: d.assign(deaths=d.deaths + 0.5), "fractional deaths"),
        (lambda d: d.assign(deaths=d.deaths / 0.0), "infinite deaths"),
        (lambda d: d.assign(deaths="many"), "deaths must be numbers"),
        (lambda d: d.assign(week=d.week + 0.25), "week must hold whole numbers"),
        (lambda d: d.assign(week="UNK"), "week must hold whole numbers"),
        (lambda d: pd.concat([d, d.iloc[:1]]), "1 duplicate row.*Alder"),
        (lambda d: d.assign(unit=None), "unit has empty entries"),
        (lambda d: d.assign(days=0), "days must be positive"),
        (lambda d: d.assign(days=np.nan), "days must be positive"),
    ],
)
@pytest.mark.parametrize("where", ["history", "current"])
def test_bad_tables_raise(table, change, words, where):
    history, current = split(table)
    model = mortality.Counterfactual(method="mean")
    with pytest.raises(ValueError, match=words) as error:
        if where == "history":
            model.fit(change(history))
        else:
            model.fit(history).predict(change(current), onset=9)
    assert where in str(error.value)


def test_not_a_table():
    with pytest.raises(TypeError, match="DataFrame"):
        mortality.Counterfactual(method="mean").fit([[1, 2, 3]])


@pytest.mark.parametrize("method", ["mean", "trend", "synthetic", "cgp"])
def test_single_year_of_history(table, method):
    history = table[table["year"] == 2018]
    with pytest.raises(ValueError, match=r"complete years of history.*pooled"):
        mortality.Counterfactual(method=method).fit(history)


@pytest.mark.parametrize("onset", [0, -3, 14, 60])
def test_onset_outside_the_data(table, onset):
    history, current = split(table)
    model = mortality.Counterfactual(method="mean").fit(history)
    with pytest.raises(ValueError, match="outside the data"):
        model.predict(current, onset=onset)


def test_year_in_history_unknown_unit_two_years(table):
    history, current = split(table)
    model = mortality.Counterfactual(method="mean").fit(history)
    with pytest.raises(ValueError, match="part of the history"):
        model.predict(table[table.year == 2018], onset=9)
    with pytest.raises(ValueError, match="unit 'Nowhere'"):
        model.predict(current.replace({"unit": {"Birch": "Nowhere"}}), onset=9)
    with pytest.raises(ValueError, match="one year at a time"):
        model.predict(table[table.year >= 2018], onset=9)
    with pytest.raises(ValueError, match="not fitted"):
        mortality.Counterfactual(method="mean").predict(current, onset=9)


def test_days_in_one_table_only(table):
    history, current = split(table)
    model = mortality.Counterfactual(method="mean").fit(history.assign(days=7))
    with pytest.raises(ValueError, match="days"):
        model.predict(current, onset=9)


def test_days_that_differ_within_a_period(table):
    ages = pd.concat([table.assign(age=1, days=7), table.assign(age=2, days=6)])
    with pytest.raises(ValueError, match="another number of days"):
        _panel.build(ages)


def test_rates_carry_the_days(table):
    """Twice the days and deaths in the current year: twice the expectation."""
    history, current = split(table.assign(days=7))
    model = mortality.Counterfactual(method="mean").fit(history)
    once = model.predict(current, onset=9).total()
    double = current.assign(days=14, deaths=2 * current.deaths)
    twice = model.predict(double, onset=9).total()
    np.testing.assert_allclose(twice.expected, 2 * once.expected, rtol=1e-12)


def test_gap_in_history_is_noted_and_year_left_out(table):
    history, current = split(table)
    hole = (
        (history.unit == "Alder") & (history.year == 2016) & history.week.isin([5, 6])
    )
    model = mortality.Counterfactual(method="mean").fit(history[~hole])
    assert any("gaps" in n and "week(s) 5-6" in n for n in model.notes_)
    without = history[~((history.unit == "Alder") & (history.year == 2016))]
    other = mortality.Counterfactual(method="mean").fit(without)
    a, b = (m.predict(current, onset=9).total() for m in (model, other))
    np.testing.assert_allclose(a.expected, b.expected)


@pytest.mark.parametrize("method", ["mean", "cgp", "synthetic", "pooled"])
def test_gap_before_the_onset(table, method):
    history, current = split(table)
    model = mortality.Counterfactual(method=method).fit(history)
    hole = (current.unit == "Alder") & current.week.isin([3, 4])
    e = model.predict(current[~hole], onset=9)
    assert np.isfinite(e.total()[["expected", "sd"]]).all(axis=None)
    assert any("lack counts before the onset" in n for n in e.notes)
    assert len(e.weeks) == 5


def test_missing_observations_are_counted(table):
    history, current = split(table)
    model = mortality.Counterfactual(method="mean").fit(history)
    hole = (current.unit == "Alder") & (current.week == 11)
    t = model.predict(current[~hole], onset=9).total().set_index("unit")
    assert t.loc["Alder", "missing"] == 1 and t.loc["Birch", "missing"] == 0
    full = model.predict(current, onset=9).total(by=("unit", "week"))
    part = full[(full.unit == "Alder") & (full.week != 11)]
    assert t.loc["Alder", "expected"] == pytest.approx(part.expected.sum())


def test_week_53_stands_in():
    rows = []
    for year in range(2012, 2021):
        for week in range(1, 54 if year in (2015, 2020) else 53):
            rows.append(("a", year, week, 1000 + week))
    data = pd.DataFrame(rows, columns=["unit", "year", "week", "deaths"])
    model = mortality.Counterfactual(method="mean").fit(data[data.year < 2020])
    e = model.predict(data[data.year == 2020], onset=10)
    last = e.weekly.iloc[-1]
    assert last.week == 53 and any("week 53" in n for n in e.notes)
    # one real 1053, 2019 without a following year, six stand-ins of (1052 + 1001)/2
    assert last.expected == pytest.approx((1053 + 1052 + 6 * 1026.5) / 8, abs=0.6)
    assert (
        53 not in model.predict(data[(data.year == 2020) & (data.week < 53)], 10).weeks
    )


def test_leap_day_inside_a_period():
    """Only the period of 29 February differs; its expectation scales with its days."""
    from gradiverse.mortality._istat import days_of, period_of

    period = np.arange(25)
    assert days_of(period, 2019).sum() == 178 and days_of(period, 2020).sum() == 179
    differ = np.flatnonzero(days_of(period, 2019) != days_of(period, 2020))
    assert differ.tolist() == [7]
    assert int(period_of(2, 29)) == 7 and int(period_of(3, 1)) == 8
    assert int(period_of(1, 11)) == 0 and int(period_of(1, 12)) == 1
    rows = [
        ("a", y, p, int(d), 10 * int(d))
        for y in range(2015, 2021)
        for p, d in enumerate(days_of(period, y))
    ]
    data = pd.DataFrame(rows, columns=["unit", "year", "week", "days", "deaths"])
    model = mortality.Counterfactual(method="mean").fit(data[data.year < 2020])
    e = model.predict(data[data.year == 2020], onset=6)
    np.testing.assert_allclose(e.expected[0], e.observed[0], rtol=1e-12)


def test_ragged_histories(table):
    history, current = split(table)
    ragged = history[(history.unit == "Birch") | (history.year > 2016)]
    e = mortality.Counterfactual(method="mean").fit(ragged).predict(current, onset=9)
    long = (
        mortality.Counterfactual(method="mean").fit(history).predict(current, onset=9)
    )
    a, b = e.total().set_index("unit"), long.total().set_index("unit")
    assert a.loc["Birch", "expected"] == b.loc["Birch", "expected"]
    assert a.loc["Alder", "expected"] != b.loc["Alder", "expected"]


def test_totals_are_not_added_to_their_parts(table):
    half = table.deaths // 2
    parts = pd.concat(
        [
            table.assign(age="0-64", deaths=half),
            table.assign(age="65+", deaths=table.deaths - half),
            table.assign(age="TOT"),
        ]
    )
    whole = _panel.build(table)
    summed = _panel.build(parts)
    np.testing.assert_array_equal(summed.counts, whole.counts)
    assert any("totals and parts" in n for n in summed.notes)
    apart = _panel.build(parts, by_age=True)
    assert [a for _, a in apart.cells] == ["0-64", "65+"] * 2
    both = _panel.build(parts[parts.age != "TOT"])
    np.testing.assert_array_equal(both.counts, whole.counts)


def test_sexes_are_summed(table):
    half = table.deaths // 3
    sexes = pd.concat(
        [
            table.assign(sex="male", deaths=half),
            table.assign(sex="female", deaths=table.deaths - half),
        ]
    )
    np.testing.assert_array_equal(
        _panel.build(sexes).counts, _panel.build(table).counts
    )


def test_absent_age_rows_are_zeros():
    rows = [
        ("a", age, y, w, 1)
        for age in (1, 2)
        for y in (2018, 2019)
        for w in (1, 2, 3)
        if not (age == 2 and w == 2)
    ]
    data = pd.DataFrame(rows, columns=["unit", "age", "year", "week", "deaths"])
    panel = _panel.build(data, by_age=True)
    np.testing.assert_array_equal(panel.counts[1], [[1, 0, 1]] * 2)
    assert any("count as zero" in n for n in panel.notes)
    assert _panel.build(data).counts[0, 0].tolist() == [2, 1, 2]


def test_unknown_ages_are_left_out_by_age_only():
    rows = [
        ("a", age, y, w, n)
        for age, n in (("0", 5), ("80", 9), ("UNK", 1))
        for y in (2018, 2019)
        for w in (1, 2)
    ]
    data = pd.DataFrame(rows, columns=["unit", "age", "year", "week", "deaths"])
    apart = _panel.build(data, by_age=True)
    assert [a for _, a in apart.cells] == ["0", "80"]
    assert any("4 deaths of unknown age" in n for n in apart.notes)
    assert (_panel.build(data).counts == 15).all()


def test_empty_counts_are_absent(table):
    history, _ = split(table)
    history = history.astype({"deaths": float})
    history.iloc[0, history.columns.get_loc("deaths")] = np.nan
    panel = _panel.build(history)
    assert np.isnan(panel.counts[0, 0, 0]) and "absent" in panel.notes[0]


def test_weeks_numbered_from_zero_or_anything(table):
    history, current = split(table.assign(week=table.week - 5))
    e = mortality.Counterfactual(method="cgp").fit(history).predict(current, onset=2)
    assert e.weeks.tolist() == list(range(2, 9))


def test_pool_must_share_weeks(table):
    history, _ = split(table)
    with pytest.raises(ValueError, match="shares no week"):
        mortality.Counterfactual(method="mean").fit(
            history, pool=history.assign(week=history.week + 99)
        )
