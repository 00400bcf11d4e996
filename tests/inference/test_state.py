"""Taking up a run again: settings that it must share with the one before, its file.

A setting is known again if two processes describe it alike, and told apart if anything
of it that a network or a round depends on differs.
"""

import functools
import json

import numpy as np
import pytest
import scipy.stats

import gradiverse as gv
from gradiverse.inference import NRE, SNRE, TMNRE, Prior, Simulator
from gradiverse.inference._heads import ProductHead
from gradiverse.inference._state import described, network

PRIOR = Prior(a=(-1.0, 1.0), b=(-1.0, 1.0))
X = np.array([0.3, -0.5])


def make(sigma):
    calls = 0

    def simulator(theta, rng):
        nonlocal calls
        calls += len(theta)
        return theta + sigma * rng.normal(size=theta.shape)

    return simulator


def other(theta, rng):
    return theta + 0.05 * rng.normal(size=theta.shape)


def head(groups, n_theta, n_features):
    return ProductHead(groups, n_theta, n_features, rank=2, width=4)


def wider(groups, n_theta, n_features):
    return ProductHead(groups, n_theta, n_features, rank=2, width=8)


class Plain:
    def __init__(self, n=0):
        self.n = n


class Named(Plain):
    def __repr__(self):
        return f"Named({self.n})"


# --- descriptions -------------------------------------------------------------------
def nodes(scale):
    sim = Simulator(PRIOR)
    sim.node("x", functools.partial(np.multiply, scale), "a")
    return sim


@pytest.mark.parametrize(
    ("build", "one", "two"),
    [
        (make, 0.1, 0.2),
        (lambda s: functools.partial(other, scale=s), 1, 2),
        (lambda n: gv.nn.Sequential(gv.nn.Linear(4, n), gv.nn.Linear(n, 2)), 3, 5),
        (gv.nn.Activation, "relu", "tanh"),
        (lambda rate: gv.optim.clip(gv.optim.adamw(rate), 1.0), 1e-3, 1e-2),
        (gv.optim.cosine, 0.1, 0.2),
        (nodes, 1.0, 2.0),
        (Named, 1, 2),
        (lambda v: np.full(3, v), 1.0, 2.0),
        (lambda v: [{"a": np.float32(v)}, (v, np.nan)], 1.0, 2.0),
    ],
)
def test_settings_are_known_again_and_told_apart(build, one, two):
    assert described(build(one)) == described(build(one))
    assert described(build(one)) != described(build(two))
    assert json.loads(json.dumps(described(build(one)))) == described(build(one))


def test_what_a_simulator_counts_is_no_setting():
    """Its own counters, and attributes of objects that show nothing of themselves."""
    simulator = make(0.1)
    before = described(simulator)
    simulator(np.zeros((3, 2)), np.random.default_rng(0))
    assert described(simulator) == before
    assert described(Plain(1)) == described(Plain(2)) != described(Named(1))
    assert described(make(0.1)) != described(other) != described(np.sin)
    assert described(Plain.__init__) != described(Plain(1).__init__)
    again = {}
    again["itself"] = again
    assert described(again) == {"itself": "itself"}


def test_every_option_of_a_network_is_described_but_how_it_looks():
    how = {"marginals": "1d", "epochs": 3}
    usual = network(NRE(PRIOR, **how))
    for more in (
        {"marginals": None}, {"loss": "nre-a"}, {"embedding": gv.nn.Linear(2, 2)},
        {"failures": "outcome"}, {"head": head}, {"inputs": "score"},
        {"data": "scores"}, {"atoms": 9}, {"gamma": 2.0}, {"strength": 9.0},
        {"refine": True}, {"members": 2}, {"recalibrate": True}, {"augment": other},
        {"epochs": 4}, {"batch_size": 9}, {"learning_rate": 0.1}, {"clip": 1.0},
        {"weight_decay": 0.0}, {"average": 0.9}, {"patience": 3}, {"validation": 0.2},
        {"optimizer": gv.optim.sgd(0.1)}, {"rng": 3},
    ):  # fmt: skip
        assert network(NRE(PRIOR, **{**how, **more})) != usual, more
    assert network(NRE(PRIOR, **how, progress=True, callback=print)) == usual


# --- runs ---------------------------------------------------------------------------
HOW = {"epochs": 1, "batch_size": 50, "members": 1, "head": head}


def tmnre(path, simulator=other, **more):
    given = {"budget": 300, "max_rounds": 1, "bank": path, **HOW, **more}
    return TMNRE(simulator, PRIOR, X, **given)


def snre(path, simulator=other, **more):
    given = {"budget": 200, "rounds": 2, "bank": path, "refine": False, **HOW, **more}
    return SNRE(simulator, PRIOR, X, **given)


COMMON = [
    ("loss", {"loss": "nre-a"}),
    ("epochs", {"epochs": 2}),
    ("members", {"members": 2}),
    ("failures", {"failures": "outcome"}),
    ("head", {"head": wider}),
    ("embedding", {"embedding": gv.nn.Linear(2, 3)}),
    ("optimizer", {"optimizer": gv.optim.sgd(0.1)}),
    ("simulator", {"simulator": make(0.05)}),
    ("draws", {"draws": 200_000}),
]


def test_other_settings_of_truncation_are_refused_by_name(tmp_path):
    path = tmp_path / "a.h5"
    before = tmnre(path, make(0.05)).run()
    for name, more in [
        *COMMON[:-2], COMMON[-1],
        ("simulator", {"simulator": make(0.06)}),
        ("simulator", {"simulator": other}),
        ("stop", {"stop": 0.5}),
        ("marginals", {"marginals": [(1,)]}),
        ("budget", {"budget": 400}),
        ("sequential", {"sequential": False}),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=rf"belongs to a run with another {name};"):
            tmnre(path, **{"simulator": make(0.05), **more}).run()
    with pytest.raises(ValueError, match="another stop, loss, epochs;"):
        tmnre(path, make(0.05), stop=0.5, loss="nre-a", epochs=2).run()
    # what no network depends on, and defaults that are given
    again = tmnre(path, make(0.05), loss="nre-c", callback=lambda record: None).run()
    at = PRIOR.sample(5, 0)
    assert (again.posterior.log_ratio(at) == before.posterior.log_ratio(at)).all()


def test_other_settings_of_proposals_are_refused_by_name(tmp_path):
    path = tmp_path / "a.h5"
    before = snre(path).run()
    for name, more in COMMON:
        with pytest.raises(ValueError, match=rf"run with another ([^;]*, )?{name}\b"):
            snre(path, **more)
    with pytest.raises(ValueError, match=r"another explore \(members, epochs\);"):
        snre(path, explore={"epochs": 7, "members": 3})
    again = snre(path, progress=False).run()
    at = PRIOR.sample(5, 0)
    assert (again.posterior.log_ratio(at) == before.posterior.log_ratio(at)).all()


def test_more_rounds_where_they_change_nothing_that_is_done(tmp_path):
    """Raised before the rounds are over: as if it had been so from the start."""
    whole = tmnre(tmp_path / "a.h5", max_rounds=2, share=0.3, stop=1.0).run()
    assert len(whole.rounds) == 2

    first = tmnre(tmp_path / "b.h5", max_rounds=1, share=0.3, stop=1.0)
    first._round()
    first._save()
    again = tmnre(tmp_path / "b.h5", max_rounds=2, share=0.3, stop=1.0).run()
    for one, two in zip(whole.rounds, again.rounds, strict=True):
        assert one.plain() == two.plain()
    # the budget is spent in the last of these boxes
    for n in (1, 3):
        with pytest.raises(ValueError, match=rf"max_rounds={n} .*give max_rounds=2"):
            tmnre(tmp_path / "b.h5", max_rounds=n, share=0.3, stop=1.0).run()
    # a round is under way that fewer would not have
    third = tmnre(tmp_path / "c.h5", max_rounds=2, share=0.3, stop=1.0)
    third._round()
    third._under_way = third._plan(third.rounds[-1].next_bounds)
    third._save()
    with pytest.raises(ValueError, match=r"holds 2 rounds, .*max_rounds=1 does not"):
        tmnre(tmp_path / "c.h5", max_rounds=1, share=0.3, stop=1.0).run()


@pytest.mark.parametrize(
    "text", ["", '{"settings"', "[]", "3", "{}", '{"settings": {}}', "\0\0"]
)
def test_damaged_state_is_named(tmp_path, text):
    for start, suffix in ((tmnre, "rounds"), (snre, "proposals")):
        path = tmp_path / f"{suffix}.h5"
        start(path).run()
        state = tmp_path / f"{suffix}.h5.{suffix}.json"
        kept = state.read_text()
        state.write_text(text)
        with pytest.raises(ValueError, match=rf"{state.name} is empty or damaged"):
            start(path).run()
        state.write_text(kept)
        start(path).run()


def test_prior_of_the_state_with_distributions_of_ones_own(tmp_path):
    """They are compared by quantiles, up to rounding."""
    law = scipy.stats.norm(0, 0.3)

    class Own:
        cdf, sf, ppf = law.cdf, law.sf, law.ppf
        isf, logpdf, support = law.isf, law.logpdf, law.support

    def run(prior):
        return SNRE(
            other, prior, X[:1], budget=100, rounds=2, refine=False,
            bank=tmp_path / "a.h5", **HOW,
        ).run()  # fmt: skip

    run(Prior(a=Own()))
    state = tmp_path / "a.h5.proposals.json"
    stored = json.loads(state.read_text())
    kind = stored["settings"]["prior"]["distributions"]["a"]
    kind["quantiles"] = (np.array(kind["quantiles"]) * (1 + 1e-15)).tolist()
    state.write_text(json.dumps(stored))
    run(Prior(a=Own()))
    kind["quantiles"] = (np.array(kind["quantiles"]) * 1.01).tolist()
    state.write_text(json.dumps(stored))
    with pytest.raises(ValueError, match="another prior;"):
        run(Prior(a=Own()))
