"""Any sum's sd is √(wᵀCw); draws agree; every method keeps the one interface."""

import numpy as np
import pandas as pd
import pytest

from gradiverse import mortality
from gradiverse.mortality.prediction import GaussianPrediction

METHODS = [
    ("mean", {}),
    ("mean", {"variance": "years"}),
    ("trend", {}),
    ("trend", {"variance": "years"}),
    ("synthetic", {}),
    ("synthetic", {"variance": "years"}),
    ("cgp", {}),
    ("cgp", {"covariance": "ppca"}),
    ("cgp", {"covariance": "sklearn"}),
    ("cgp", {"covariance": "sample"}),
    ("cgp", {"errors": "diagonal"}),
    ("pooled", {}),
]
IDS = ["-".join([m, *map(str, o.values())]) for m, o in METHODS]


@pytest.fixture(scope="module", params=METHODS, ids=IDS)
def excess(request, regions):
    data, _ = regions
    method, options = request.param
    model = mortality.Counterfactual(method=method, **options)
    return model.fit(data[data.year < 2020]).predict(data[data.year == 2020], onset=9)


def test_weekly_table(excess):
    w = excess.weekly
    assert {
        "unit",
        "year",
        "week",
        "observed",
        "expected",
        "sd",
        "lower",
        "upper",
    } <= set(w.columns)
    assert len(w) == 6 * 26 and (w.year == 2020).all()
    assert (w.sd > 0).all() and (w.lower >= 0).all()
    assert (w.lower < w.expected).all() and (w.upper > w.expected).all()
    predicted = w[w.week >= 9]
    np.testing.assert_allclose(
        predicted.sd, np.sqrt(np.diag(excess.covariance)), rtol=1e-9
    )
    np.testing.assert_allclose(predicted.expected, excess.expected.ravel())


def test_sd_of_any_sum(excess):
    C = excess.covariance
    n = len(C)
    assert C.shape == (n, n) and n == 6 * 18
    np.testing.assert_allclose(C, C.T, atol=1e-12 * C.max())
    assert np.linalg.eigvalsh(C).min() > -1e-9 * C.max()
    w = np.random.default_rng(0).normal(size=(7, n))
    dense = np.einsum("ki,ij,kj->k", w, C, w)
    np.testing.assert_allclose(excess.variance(w), dense, rtol=1e-12)
    np.testing.assert_allclose(excess.variance(w[0]), dense[0], rtol=1e-12)
    for by in ((), ("unit",), ("unit", "week")):
        table = excess.total(9, 26, by=by)
        units = np.repeat([u for u, _ in excess.cells], 18)
        weeks = np.tile(excess.weeks, 6)
        for _, row in table.iloc[:4].iterrows():
            use = np.ones(n, bool)
            if "unit" in by:
                use &= units == row.unit
            if "week" in by:
                use &= weeks == row.week
            v = use.astype(float)
            assert row.sd == pytest.approx(np.sqrt(v @ C @ v), rel=1e-12)


def test_monte_carlo_agrees(excess):
    n = len(excess.covariance)
    rng = np.random.default_rng(5)
    w = np.vstack([np.ones(n), np.repeat(np.eye(6)[1], 18), rng.normal(size=n)])
    total, square, draws = np.zeros(3), np.zeros(3), 0
    centre = w @ (excess.observed - excess.expected).ravel()
    for seed in range(10):
        x = excess.sample(10_000, seed) @ w.T - centre
        total, square, draws = total + x.sum(0), square + (x**2).sum(0), draws + len(x)
    sd = np.sqrt(square / draws - (total / draws) ** 2)
    np.testing.assert_allclose(sd, np.sqrt(excess.variance(w)), rtol=0.01)
    assert (np.abs(total / draws) < 4.5 * sd / np.sqrt(draws)).all()


def test_sample_is_reproducible(excess):
    np.testing.assert_array_equal(excess.sample(3, 1), excess.sample(3, 1))
    assert excess.sample(3, np.random.default_rng(2)).shape == (3, 6 * 18)


def test_totals_add_up(excess):
    unit, joint = excess.total(9, 26), excess.total(9, 26, by=())
    assert joint.excess[0] == pytest.approx(unit.excess.sum(), rel=1e-12)
    assert joint.observed[0] == unit.observed.sum()
    parts = [excess.total(a, b).excess for a, b in ((9, 15), (16, 26))]
    np.testing.assert_allclose(parts[0] + parts[1], unit.excess, rtol=1e-9)
    assert ((unit.lower95 < unit.lower68) & (unit.upper68 < unit.upper95)).all()
    assert ((unit.lower68 < unit.excess) & (unit.excess < unit.upper68)).all()


def test_subset_of_units(excess, regions):
    data, _ = regions
    current = data[(data.year == 2020) & data.unit.isin(["Cedar", "Alder"])]
    part = excess._source.predict(current, onset=9)
    a = part.total(9, 26).set_index("unit")
    b = excess.total(9, 26).set_index("unit")
    # Independent cells do not care about company; pooled units learn a little from the
    # given weeks of the others, far less than their own uncertainty.
    loose = excess.method == "pooled"
    for unit in ("Alder", "Cedar"):
        shift = abs(a.loc[unit, "expected"] - b.loc[unit, "expected"])
        assert shift <= (0.3 if loose else 1e-6) * b.loc[unit, "sd"]
        ratio = a.loc[unit, "sd"] / b.loc[unit, "sd"]
        assert ratio == pytest.approx(1.0, abs=0.15 if loose else 1e-6)


def test_wrong_weights_and_windows(excess):
    with pytest.raises(ValueError, match="one entry per predicted cell"):
        excess.variance(np.ones(5))
    with pytest.raises(ValueError, match="before the onset"):
        excess.total(start=8)
    with pytest.raises(ValueError, match="not all predicted"):
        excess.total(end=27)
    with pytest.raises(ValueError, match="by takes names"):
        excess.total(by=("region",))
    with pytest.raises(ValueError, match="by_age=True"):
        excess.total(by=("age",))


def test_scale_multiplies_both_sides(excess):
    scale = {u: 2.0 for u, _ in excess.cells}
    a, b = excess.total(9, 26), excess.total(9, 26, scale=scale)
    for column in ("observed", "expected", "excess", "sd"):
        np.testing.assert_allclose(b[column], 2 * a[column], rtol=1e-9)
    with pytest.raises(ValueError, match="scale lacks"):
        excess.total(scale={"Alder": 1.0})


def test_finds_the_excess(excess, regions):
    """The true excess lies within 5 sd + 4 % of deaths for every method."""
    _, truth = regions
    t = excess.total(9, 26)
    off = np.abs(t.excess.to_numpy() - truth.excess.to_numpy())
    assert (off < 5 * t.sd + 0.04 * t.expected).all()


def test_nothing_is_printed(regions, capsys):
    data, _ = regions
    model = mortality.Counterfactual(method="trend").fit(data[data.year < 2020])
    model.predict(data[data.year == 2020], onset=9).total()
    assert capsys.readouterr().out == ""


def test_options_and_parameters():
    with pytest.raises(ValueError, match="method must be one of"):
        mortality.Counterfactual(method="magic")
    with pytest.raises(TypeError, match="cgp"):
        mortality.Counterfactual(method="cgp", kernel="x")
    for bad in (
        {"covariance": "x"},
        {"errors": "x"},
        {"components": 0},
        {"restarts": 9},
    ):
        with pytest.raises(ValueError):
            mortality.Counterfactual(method="cgp", **bad)
    with pytest.raises(ValueError, match="variance"):
        mortality.Counterfactual(method="mean", variance="days")
    m = mortality.Counterfactual(method="cgp", covariance="ppca")
    assert m.get_params() == {"method": "cgp", "by_age": False, "covariance": "ppca"}
    assert m.set_params(covariance="ml").options == {"covariance": "ml"}


@pytest.mark.parametrize("method", ["cgp", "mean", "pooled"])
def test_by_age_joint_sum(method):
    data, _ = mortality.synthetic(units=3, years=range(2013, 2020), by_age=True, rng=4)
    model = mortality.Counterfactual(method=method, by_age=True)
    e = model.fit(data[data.year < 2019]).predict(data[data.year == 2019], onset=9)
    ages = e.total(9, 26, by=("age",))
    assert list(ages.age) == ["0-59", "60-69", "70-79", "80-89", "90+"]
    cells = e.total(9, 26, by=("unit", "age"))
    assert len(cells) == 15
    joint = e.total(9, 26, by=()).iloc[0]
    assert joint.excess == pytest.approx(ages.excess.sum(), rel=1e-9)
    assert joint.observed == cells.observed.sum()
    C = e.covariance
    assert joint.sd == pytest.approx(np.sqrt(C.sum()), rel=1e-10)


def test_zero_cells_run():
    """A cell that never had a death gets a finite, positive spread and no warning."""
    rows = [
        (u, a, y, w, 0 if a == 0 else 40 + w)
        for u in "xy"
        for a in (0, 1)
        for y in range(2014, 2020)
        for w in range(1, 12)
    ]
    data = pd.DataFrame(rows, columns=["unit", "age", "year", "week", "deaths"])
    for method in ("mean", "trend", "synthetic", "cgp", "pooled"):
        model = mortality.Counterfactual(method=method, by_age=True)
        e = model.fit(data[data.year < 2019]).predict(data[data.year == 2019], onset=5)
        t = e.total(by=("unit", "age"))
        assert np.isfinite(t[["expected", "sd"]]).all(axis=None), method
        assert (t.sd > 0).all() and (t.expected >= 0).all(), method


def test_gaussian_prediction_blocks():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(2, 3, 3))
    blocks = A @ np.swapaxes(A, 1, 2)
    p = GaussianPrediction(
        [("a", None), ("b", None)],
        [1, 2, 3],
        np.ones((2, 3)),
        blocks,
        np.ones((2, 3)),
        np.ones((2, 3)),
    )
    full = np.zeros((6, 6))
    full[:3, :3], full[3:, 3:] = blocks
    np.testing.assert_allclose(p.covariance(), full)
    w = rng.normal(size=6)
    low, high = p.interval(w, 0.95)
    assert high - low == pytest.approx(2 * 1.959964 * np.sqrt(w @ full @ w), rel=1e-6)
    assert 0.5 * (low + high) == pytest.approx(w.sum())
