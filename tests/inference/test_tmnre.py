"""Rounds of truncation: boxes, budgets, failures, banks, resuming.

x = θ + N(0, .02²) with θ uniform on (-1, 1): one-dimensional hull x ± 5.26 x .02 at
ε = 1e-6, posterior N(x, .02²). Networks are small, so that boxes are wider than that.
"""

import warnings

import numpy as np
import pytest

from gradiverse.inference import TMNRE, Bank, Prior
from gradiverse.inference._heads import ProductHead

SIGMA = 0.02
X = np.array([0.3, -0.5])


def head(groups, n_theta, n_features):
    return ProductHead(groups, n_theta, n_features, rank=8, width=24)


OPTIONS = {"head": head, "atoms": 8, "epochs": 60, "learning_rate": 1e-2, "share": 0.25}


class Counted:
    """A simulator that counts the calls it answers."""

    def __init__(self, fails=0.0):
        self.n, self.fails = 0, fails

    def __call__(self, theta, rng):
        self.n += len(theta)
        x = theta + SIGMA * rng.normal(size=theta.shape)
        x[rng.random(len(x)) < self.fails] = np.nan
        return x


def prior():
    return Prior(a=(-1.0, 1.0), b=(-1.0, 1.0))


def run(simulator=None, **more):
    simulator = simulator or Counted()
    return TMNRE(simulator, prior(), X, **{"budget": 4000, **OPTIONS, **more})


def test_rounds_shrink_around_the_posterior():
    simulator = Counted()
    t = run(simulator).run()
    assert t.n_simulations == simulator.n == 4000
    assert len(t.rounds) >= 2 and (t.rounds[0].bounds == prior().bounds).all()
    for old, new in zip(t.rounds, t.rounds[1:], strict=False):
        assert (new.bounds == old.next_bounds).all()
        assert (new.bounds[:, 0] >= old.bounds[:, 0]).all()
        assert (new.bounds[:, 1] <= old.bounds[:, 1]).all()
        assert new.log_volume == pytest.approx(old.next_log_volume)
    last = t.rounds[-1]
    assert last.ratio > 0.8 or t.n_simulations == 4000
    assert last.volume < 0.1
    assert t.log_volume == pytest.approx(last.log_volume)
    # the exact hull is inside: no mass was lost
    assert (t.bounds[:, 0] < X - 4 * SIGMA).all()
    assert (t.bounds[:, 1] > X + 4 * SIGMA).all()
    assert sum(r.n_new for r in t.rounds) <= 4000
    assert t.rounds[1].n_reused < 0.25 * 4000
    draws = t.posterior.sample(4000, 0)
    assert draws.mean(0) == pytest.approx(X, abs=0.5 * SIGMA)
    assert draws.std(0) == pytest.approx([SIGMA, SIGMA], rel=0.3)
    assert (t.posterior.prior.bounds == t.bounds).all()


def test_last_network_has_the_wanted_marginals():
    t = run(marginals=[(0,), (0, 1)], max_rounds=1, budget=1000, epochs=4).run()
    assert len(t.rounds) == 1 and (t.bounds == prior().bounds).all()
    assert t.posterior.marginals == ((0,), (0, 1))
    assert t.posterior.marginal((0, 1)).sample(20, 0).shape == (20, 2)


def test_failed_calls_count(capsys):
    simulator = Counted(fails=0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        t = run(simulator, budget=2000, max_rounds=2, progress=True).run()
    assert t.n_simulations == simulator.n == 2000
    failed = sum(r.n_failed for r in t.rounds)
    calls = sum(r.n_new for r in t.rounds)
    assert failed == pytest.approx(0.2 * calls, abs=5 * np.sqrt(0.16 * calls))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(t.rounds) + 1
    assert "failed" in lines[0] and "posterior mass cut" in lines[0]
    assert "inner edges" in lines[1] and "2000 in all" in lines[-1]


def test_nothing_is_printed_unasked(capsys):
    run(budget=400, epochs=1, max_rounds=1).run()
    assert capsys.readouterr().out == ""


def test_interrupted_and_resumed_equals_uninterrupted(tmp_path):
    """The bank and the state file hold all that a run needs to go on."""
    whole = run(bank=tmp_path / "a.h5", budget=1600, epochs=20).run()

    first = run(bank=tmp_path / "b.h5", budget=1600, epochs=20)
    first._round()
    first._save()
    again = run(bank=tmp_path / "b.h5", budget=1600, epochs=20).run()
    assert len(again.rounds) == len(whole.rounds)
    assert (again.bounds == whole.bounds).all()
    assert again.n_simulations == whole.n_simulations == 1600
    theta = whole.bounds.mean(1)[None]
    assert (again.posterior.log_prob(theta) == whole.posterior.log_prob(theta)).all()
    # a finished run trains its last network again, and simulates nothing
    third = run(bank=tmp_path / "b.h5", budget=1600, epochs=20).run()
    assert third.n_simulations == 1600 and (third.bounds == whole.bounds).all()
    with pytest.raises(ValueError, match="epsilon"):
        run(bank=tmp_path / "b.h5", budget=1600, epochs=20, epsilon=1e-4).run()


def test_rows_that_a_bank_held_before_are_counted_and_used(tmp_path):
    simulator = Counted()
    bank = Bank(tmp_path / "c.h5", prior(), simulator)
    bank.simulate(700, rng=3, batch_size=100)
    t = run(simulator, bank=bank, budget=2000, max_rounds=1, epochs=5).run()
    assert t.rounds[0].n_reused == 500 + 200 and t.rounds[0].n_new == 0
    assert t.n_simulations == len(bank) == simulator.n == 2000


def test_bad_input_says_what():
    for match, more in (
        ("epsilon", {"epsilon": 2.0}),
        ("budget", {"budget": 4}),
        ("max_rounds", {"max_rounds": 0}),
        ("share", {"share": 0.0}),
    ):
        with pytest.raises(ValueError, match=match):
            run(**more)
    with pytest.raises(TypeError, match="no option"):
        run(epoch=3)
    with pytest.raises(TypeError, match="int"):
        run(rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="one row for each"):
        run(lambda theta, rng: np.zeros(3)).run()
