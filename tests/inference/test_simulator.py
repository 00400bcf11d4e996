"""Simulators as graphs: laziness, randomness by node, resampling, failed rows."""

import numpy as np
import pytest

import gradiverse as gv
from gradiverse.inference import Bank, Prior, Simulator

THETA = np.random.default_rng(1).uniform(size=(6, 2))


def graph(calls=None, **options):
    calls = [] if calls is None else calls
    sim = Simulator(["a", "b"], **options)

    def count(name, function):
        def counted(*args):
            calls.append(name)
            return function(*args)

        return counted

    def noise(mean, rng):
        return rng.normal(size=(len(mean), 4))

    sim.node("mean", count("mean", lambda a, b: a * b), "a", "b", units="Mpc")
    sim.node("noise", noise, "mean", units="Mpc")
    sim.node("data", count("data", lambda m, e: m[:, None] + e), "mean", "noise")
    sim.node("summary", count("summary", lambda d: d.mean(axis=1)), "data")
    return sim


@pytest.mark.smoke
def test_only_what_is_needed_is_computed():
    calls = []
    sim = graph(calls)
    assert sim.targets == ["summary"] and sim.units["mean"] == "Mpc"
    out = sim.sample(THETA, 0, targets=["mean"])
    assert np.array_equal(out["mean"], THETA[:, 0] * THETA[:, 1]) and calls == ["mean"]
    calls.clear()
    sim.sample(THETA, 0, targets=["summary"], given={"data": np.ones((6, 4))})
    assert calls == ["summary"]
    calls.clear()
    assert sim(THETA, 0).shape == (6,) and calls == ["mean", "data", "summary"]


def test_randomness_of_a_node_is_its_own():
    """What a node draws does not depend on the targets, nor on nodes added later."""
    sim = graph()
    noise = sim.sample(THETA, 3, targets=["noise"])["noise"]
    everything = sim.sample(THETA, 3, targets=["data", "noise", "summary"])
    assert np.array_equal(everything["noise"], noise)
    sim.node("other", lambda m, rng: rng.normal(size=len(m)), "mean")
    again = sim.sample(THETA, 3, targets=["other", "noise"])
    assert np.array_equal(again["noise"], noise)
    assert not np.array_equal(again["other"], noise[:, 0])
    first, second = (sim.sample(THETA, s, targets=["noise"]) for s in (1, 2))
    assert not np.array_equal(first["noise"], second["noise"])
    rng = np.random.default_rng(0)  # a Generator moves on
    first, second = (sim.sample(THETA, rng, targets=["noise"]) for _ in range(2))
    assert not np.array_equal(first["noise"], second["noise"])


@pytest.mark.smoke
def test_resampling_noise_keeps_the_rest():
    sim = graph()
    stored = sim.sample(THETA, 0, targets=["mean", "data", "summary"])
    new = sim.resample(stored, "noise", 5)
    assert np.array_equal(new["mean"], stored["mean"])
    noise = sim.sample(THETA, 5, targets=["noise"])["noise"]
    assert np.array_equal(new["data"], stored["mean"][:, None] + noise)
    assert np.array_equal(new["summary"], new["data"].mean(axis=1))
    with pytest.raises(ValueError, match="needs the value of 'mean'"):
        sim.resample({"data": stored["data"]}, "noise", 5)
    with pytest.raises(ValueError, match="no node 'nose'"):
        sim.resample(stored, "nose", 5)


def test_resampling_in_traced_code():
    """With a key as rng the nodes get keys: the redraw can run inside training."""
    sim = Simulator(["a", "b"])
    sim.node("mean", lambda a, b: a * b, "a", "b")
    sim.node("noise", lambda m, rng: gv.random.normal(rng, np.shape(m)), "mean")
    sim.node("data", lambda m, e: m + e, "mean", "noise")
    stored = sim.sample(THETA, gv.random.key(0), targets=["mean", "data"])

    def redraw(batch, key):
        return sim.resample(batch, ["noise"], key)

    program = gv.compile(redraw)
    one, two = (program(stored, gv.random.key(k)) for k in (1, 2))
    assert np.array_equal(one["mean"], stored["mean"])
    assert not np.array_equal(one["data"], two["data"])
    plain = redraw(stored, gv.random.key(1))
    np.testing.assert_allclose(plain["data"], one["data"], rtol=1e-12)


def test_rows_that_fail(tmp_path):
    """A node that works row by row loses only the rows that raise."""

    def solve(a, rng):
        if a > 0.7:
            raise ArithmeticError("no root")
        return np.array([a, rng.normal()])

    sim = Simulator(Prior(a=(0.0, 1.0), b=(0.0, 1.0)), targets=["root", "double", "id"])
    sim.node("root", solve, "a", rows=True, units="m")
    sim.node("double", lambda r: 2 * r, "root")
    sim.node("id", lambda b: int(10 * b), "b", rows=True)
    out, messages = sim.run(THETA, 0)
    bad = THETA[:, 0] > 0.7
    assert bad.any() and not bad.all()
    assert set(messages) == set(np.flatnonzero(bad))
    assert set(messages.values()) == {"root: ArithmeticError: no root"}
    assert np.isnan(out["double"][bad]).all() and np.isfinite(out["root"][~bad]).all()
    assert out["id"].dtype == np.int64
    one, _ = sim.run(THETA[:1], 0)
    assert np.array_equal(one["root"][0, 1], out["root"][0, 1])
    bank = Bank(tmp_path / "bank.h5", Prior(a=(0.0, 1.0), b=(0.0, 1.0)), sim)
    bank.simulate(300, batch_size=50)
    assert np.array_equal(bank.status[:] == 3, bank.theta[:, 0] > 0.7)
    assert set(bank.failures().message) == {"root: ArithmeticError: no root"}
    assert bank._file.layout.columns["x/root"].attributes["units"] == "m"


def test_units_of_a_single_target(tmp_path):
    """Its array is called x in the bank."""
    sim = graph(targets="data")
    sim.nodes["data"].units = "mag"
    bank = Bank(tmp_path / "a.h5", Prior(a=(0.0, 1.0), b=(0.0, 1.0)), sim)
    bank.simulate(10)
    assert bank.units == {"x": "mag"}
    sim.nodes["data"].units = "K"
    with pytest.raises(ValueError, match="holds 'x' in units of 'mag', not 'K'"):
        Bank(bank.path, bank.prior, sim)
    assert Bank(bank.path, simulator=sim, units={"x": "mag"}).units == {"x": "mag"}


def test_parents_by_theta_and_results():
    sim = Simulator(targets=["x", "y"])
    sim.node("x", lambda t: t @ np.ones((2, 3)), "theta")
    sim.node("y", lambda t, rng: rng.normal(size=len(t)), "theta")
    out = sim(THETA, np.random.default_rng(0))
    assert set(out) == {"x", "y"} and out["x"].shape == (6, 3)
    assert np.array_equal(out["y"], sim(THETA, np.random.default_rng(0))["y"])


@pytest.mark.parametrize(
    "use, message",
    [
        (lambda s: s.node("mean", len), "taken"),
        (lambda s: s.node("a", len), "taken"),
        (lambda s: s.node("a/b", len), "without '/'"),
        (lambda s: s.node("new", len, "nothing"), "unknown parent"),
        (lambda s: s.node("new", 3), "expected a function"),
        (lambda s: s(THETA[:, :1], 0), r"\(n, 2\)"),
        (lambda s: s.sample(THETA, 0, targets=["nothing"]), "no node"),
        (lambda s: Simulator()(THETA, 0), "no nodes"),
        (lambda s: Simulator().node("x", len, "a"), r"unknown parent 'a'.*\(prior\)"),
        (lambda s: s(THETA, None), "rng must be a seed"),
        (lambda s: s.sample(THETA, 1.5), "rng must be a seed"),
    ],
)
def test_bad_use(use, message):
    with pytest.raises((ValueError, TypeError), match=message):
        use(graph())


def test_wrong_shapes_and_names(tmp_path):
    sim = graph()
    sim.node("short", lambda m: m[:-1], "mean")
    with pytest.raises(ValueError, match="'short' gave the shape"):
        sim.sample(THETA, 0, targets=["short"])
    with pytest.raises(ValueError, match="in one order"):
        Bank(tmp_path / "b.h5", Prior(b=(0.0, 1.0), a=(0.0, 1.0)), graph())
