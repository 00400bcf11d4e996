"""Delay correction: learning, honest spread, input checks, real publications."""

import numpy as np
import pandas as pd
import pytest

from gradiverse import mortality

DATES = (
    20201015,
    20201022,
    20201029,
    20201103,
    20201110,
    20201119,
    20201126,
    20201203,
    20201210,
)


def vintages(n=12, units=5, seed=0, slow=1.0):
    """Binomial reporting of known final counts; weekly publications."""
    rng = np.random.default_rng(seed)
    share = 1 - np.exp(-(np.arange(60) + 0.9) / (1.6 * slow))
    rows = []
    for u in range(units):
        level = 300 * (u + 1)
        final = rng.poisson(level * (1 + 0.1 * np.sin(np.arange(45) / 6)))
        seen = np.zeros((45, 60), int)
        for w in range(45):
            step = np.diff(np.concatenate([[0], share]))
            seen[w] = np.cumsum(
                rng.multinomial(final[w], np.append(step, 1 - share[-1]))
            )[:60]
        for k in range(n):
            newest = 30 + k
            date = pd.Timestamp("2020-01-04") + pd.Timedelta(days=7 * newest + 4)
            for w in range(newest):
                rows.append(
                    (
                        f"{date:%Y%m%d}",
                        f"u{u}",
                        2020,
                        w + 1,
                        seen[w, newest - 1 - w],
                        final[w],
                    )
                )
    return pd.DataFrame(
        rows, columns=["snapshot", "unit", "year", "week", "deaths", "final"]
    )


@pytest.fixture(scope="module")
def data():
    return vintages()


def test_recovers_final_counts(data):
    date = data.snapshot.max()
    table = data.drop(columns="final")
    out = mortality.nowcast(table, date)
    assert list(out.columns) == [
        "unit",
        "year",
        "week",
        "reported",
        "estimate",
        "sd",
        "lower",
        "upper",
    ]
    assert len(out) == 5 * 8
    final = data.drop_duplicates(["unit", "week"], keep="last").set_index(
        ["unit", "week"]
    )
    truth = final.final.reindex(
        pd.MultiIndex.from_frame(out[["unit", "week"]])
    ).to_numpy()
    error = np.abs(out.estimate - truth).mean()
    raw = np.abs(out.reported - truth).mean()
    assert error < raw / 5
    inside = (truth >= out.lower) & (truth <= out.upper)
    assert inside.mean() > 0.85
    assert (out.lower < out.estimate).all() and (out.estimate < out.upper).all()


def test_learns_from_earlier_publications_only(data):
    """Later publications, and the order of rows, change nothing."""
    dates = sorted(data.snapshot.unique())
    now = dates[8]
    a = mortality.nowcast(data, now)
    later = data.assign(
        deaths=np.where(data.snapshot > now, 7 * data.deaths, data.deaths)
    ).sample(frac=1, random_state=1)
    b = mortality.nowcast(later, now)
    pd.testing.assert_frame_equal(a, b)


def test_week_without_a_report_gets_an_estimate(data):
    date = data.snapshot.max()
    newest = data[data.snapshot == date].week.max()
    hole = (data.snapshot == date) & (data.unit == "u2") & (data.week == newest)
    out = mortality.nowcast(data[~hole], date).set_index(["unit", "week"])
    row, full = out.loc[("u2", newest)], out.loc[("u3", newest)]
    assert np.isnan(row.reported) and 500 < row.estimate < 1300
    assert row.sd / row.estimate > full.sd / full.estimate


def test_dates_in_several_forms(data):
    date = data.snapshot.max()
    a = mortality.nowcast(data, date)
    stamp = pd.Timestamp(date)
    for other in (int(date), stamp, f"{stamp:%Y-%m-%d}"):
        pd.testing.assert_frame_equal(a, mortality.nowcast(data, other))
    numbers = data.assign(snapshot=data.snapshot.astype(int))
    pd.testing.assert_frame_equal(a, mortality.nowcast(numbers, date))


def test_bad_requests(data):
    date = data.snapshot.max()
    with pytest.raises(ValueError, match="no publication of 2019-01-01"):
        mortality.nowcast(data, "2019-01-01")
    with pytest.raises(ValueError, match="earlier publication"):
        mortality.nowcast(data, data.snapshot.min())
    with pytest.raises(ValueError, match="horizon"):
        mortality.nowcast(data, date, horizon=0)
    with pytest.raises(ValueError, match="lacks the column"):
        mortality.nowcast(data.drop(columns="snapshot"), date)
    with pytest.raises(ValueError, match="duplicate"):
        mortality.nowcast(pd.concat([data, data.iloc[:2]]), date)
    with pytest.raises(ValueError, match="negative"):
        mortality.nowcast(data.assign(deaths=-1), date)


@pytest.mark.data
@pytest.mark.parametrize("named", ["as_published", "filled"])
def test_us_publications(folder, named):
    """Issue target 6: error at most a third of the raw count's; c95 .88-.985."""
    path = folder / "us_cdc_state_week_vintages_2020.csv.gz"
    if named == "filled":
        table = mortality.load_cdc(path)
    else:
        table = pd.read_csv(path).rename(
            columns={"jurisdiction": "unit", "number_of_deaths": "deaths"}
        )
        table = table.dropna(subset=["unit"])
    truth = table[table.snapshot == 20210204].set_index(["unit", "week"]).deaths
    error, raw, inside = [], [], []
    for date in DATES:
        out = mortality.nowcast(table, date)
        final = truth.reindex(
            pd.MultiIndex.from_frame(out[["unit", "week"]])
        ).to_numpy()
        ok = np.isfinite(final) & out.reported.notna()
        error.append(np.abs(out.estimate - final)[ok])
        raw.append(np.abs(out.reported - final)[ok])
        inside.append(((final >= out.lower) & (final <= out.upper))[ok])
    ratio = np.concatenate(error).mean() / np.concatenate(raw).mean()
    cover = np.concatenate(inside).mean()
    assert ratio <= 1 / 3
    assert 0.88 <= cover <= 0.985
