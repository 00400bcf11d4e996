"""The calls of the interface on awkward but legal tables, and its refusals."""

import numpy as np
import pandas as pd
import pytest

from gradiverse import mortality
from gradiverse.cli import main


@pytest.fixture(scope="module")
def table():
    data, _ = mortality.synthetic(
        units=4, years=range(2012, 2021), weeks=range(1, 31), rng=4
    )
    return data


def split(table, column, names):
    parts = np.random.default_rng(1).multinomial(
        table.deaths.to_numpy(), np.full(len(names), 1 / len(names))
    )
    return pd.concat(
        [
            table.assign(**{column: name, "deaths": parts[:, i]})
            for i, name in enumerate(names)
        ],
        ignore_index=True,
    )


def excess(table, method="mean", **options):
    m = mortality.Counterfactual(method, **options).fit(table[table.year < 2020])
    return m.predict(table[table.year == 2020], onset=9)


@pytest.mark.parametrize(
    "label", [lambda k: k if k % 2 else f"u{k}", lambda k: (k, "x"), lambda k: k]
)
def test_unit_labels_keep_their_type(table, label):
    names = {u: label(k) for k, u in enumerate(table.unit.unique())}
    e = excess(table.assign(unit=[names[u] for u in table.unit]))
    assert set(e.weekly.unit) == set(names.values()) == set(e.total().unit)


def test_row_without_age_is_refused(table):
    ages = split(table, "age", ["a", "b"])
    ages.loc[3, "age"] = None
    with pytest.raises(ValueError, match="no age"):
        excess(ages, by_age=True)
    whole = excess(ages).total(by=())
    assert whole.observed[0] == excess(table).total(by=()).observed[0]


def test_unknown_option_lists_the_choices(table):
    with pytest.raises(TypeError, match=r"no option foo.*training_years"):
        mortality.Counterfactual(foo=1)
    with pytest.raises(TypeError, match=r"cgp.*no option variance.*covariance"):
        mortality.rolling_origin(table, method="cgp", variance="weeks")


@pytest.mark.parametrize("onset", [None, "9", float("nan"), 9.5, 0, 31])
def test_unusable_onset_is_named(table, onset):
    m = mortality.Counterfactual("mean").fit(table[table.year < 2020])
    with pytest.raises(ValueError, match="onset"):
        m.predict(table[table.year == 2020], onset)


@pytest.mark.parametrize(
    "years", [2019, np.int64(2019), np.array(2019), [2019, 2019], pd.Series([2019])]
)
def test_years_may_be_one_number_or_many(table, years):
    c = mortality.rolling_origin(table, years, 5, method="mean")
    assert c.table.year.tolist() == [2019] * 4
    c = mortality.leave_one_year_out(table, years, 9, 20, method="mean")
    assert c.table.year.tolist() == [2019] * 4


def test_years_from_a_generator_and_wrong_years(table):
    c = mortality.rolling_origin(table, (y for y in (2018, 2019)), 5, method="mean")
    assert sorted(set(c.table.year)) == [2018, 2019]
    for years in ("2019", [2018.5], []):
        with pytest.raises(ValueError, match="years"):
            mortality.rolling_origin(table, years, 5, method="mean")


@pytest.mark.parametrize("date", [None, "never", float("nan")])
def test_nowcast_names_an_unusable_date(date):
    row = {"snapshot": 20200902, "unit": "a", "year": 2020, "week": 30, "deaths": 9}
    with pytest.raises(ValueError, match="date"):
        mortality.nowcast(pd.DataFrame([row]), date)


@pytest.mark.parametrize("method", ["pooled", "mean"])
def test_rolling_origin_to_week_53(method):
    data, _ = mortality.synthetic(
        units=3, years=range(2008, 2021), weeks=range(1, 54), rng=2
    )
    data = data[(data.week < 53) | data.year.isin([2009, 2015, 2020])]
    c = mortality.rolling_origin(data, [2015, 2016], 5, 8, 53, method=method)
    assert len(c.table) == 6
    sums = data[(data.year == 2016) & (data.week > 8)].groupby("unit").deaths.sum()
    assert (c.table[c.table.year == 2016].observed.to_numpy() == sums).all()


def test_report_of_a_single_earlier_year(table, tmp_path):
    m = mortality.Counterfactual().fit(table[table.year == 2019])
    path = m.predict(table[table.year == 2020], 9).report(tmp_path / "r.html")
    assert "No year could be held out" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "argv",
    [
        ["mortality", "--bogus"],
        ["mortality", "--data", "absent"],
        ["mortality", "--output", "{file}"],
        ["mortality", "--output", "{file}/below"],
        ["mortality", "--config", "{binary}"],
        ["mortality", "--config", "{scalar}"],
        ["mortality", "--config", "{word}"],
    ],
)
def test_errors_of_use_are_one_line(argv, tmp_path, capfd):
    files = {
        "file": b"",
        "binary": b"\xff\xfe",
        "scalar": b"mortality = 3\n",
        "word": b'[mortality]\nonset = "x"\n',
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    names = {name: str(tmp_path / name) for name in files}
    argv = [a.format(**names) for a in argv]
    if "--output" not in argv and "--bogus" not in argv:
        argv += ["--output", str(tmp_path / "out")]
    try:
        status = main(argv)
    except SystemExit as stop:
        status = stop.code
    out, err = capfd.readouterr()
    assert status == 2
    assert err.count("\n") == 1 and "Traceback" not in err, err
    assert not (tmp_path / "out").exists() and out.count("held-out") == 0


def test_config_takes_the_argument_names_of_the_interface(table, tmp_path):
    from gradiverse.mortality import study

    path = tmp_path / "deaths.csv"
    split(table, "age", ["0-64", "65+"]).to_csv(path, index=False)
    config = {
        "method": "mean",
        "variance": "years",
        "given": 10,
        "end": 25,
        "training_years": 4,
        "years": [2018, 2019],
        "ends": [20, 25],
        "by_age": False,
        "units": table.unit[0],
    }
    result = study.run(path, tmp_path / "out", config, quick=True)
    assert result["plan"]["onset"] == 11
    assert result["plan"]["years"] == [2016, 2017, 2018, 2019]
    held = result["tables"]["held_out_mean"]
    assert set(zip(held.year, held.end, strict=True)) == {
        (y, e) for y in (2018, 2019) for e in (20, 25)
    }
    assert "ages" not in result["tables"]
    with pytest.raises(ValueError, match="given"):
        study.check_settings({"given": 8, "onset": 5})


def test_small_factorisations_run_on_one_blas_thread(table, monkeypatch):
    """And the number of threads is given back, after errors too."""
    from gradiverse.mortality import _serial
    from gradiverse.mortality.baselines import MeanModel

    state = {"n": 7, "seen": []}
    put = lambda n: state.update(n=n)  # noqa: E731
    monkeypatch.setattr(_serial, "_controls", lambda: [(lambda: state["n"], put)])
    fit = MeanModel.fit

    def spy(self, *args, **keywords):
        state["seen"].append(state["n"])
        return fit(self, *args, **keywords)

    monkeypatch.setattr(MeanModel, "fit", spy)
    excess(table)
    assert state["seen"] == [1] and state["n"] == 7
    with pytest.raises(ValueError):
        mortality.Counterfactual("cgp").fit(table[table.year == 2019])
    assert state["n"] == 7
