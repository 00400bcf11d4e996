"""Sequential ratio estimation: budgets, proposals, safety rules, posteriors.

θ ~ N(0, 1), x = θ + N(0, s²): posterior N(x/(1+s²), s²/(1+s²)). Networks are small and
see about two thousand rows; their error is bounded at what is seen, doubled. The rules
that keep proposals where the networks know something are tested on ratios made by hand.
"""

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.stats

import gradiverse as gv
from gradiverse.inference import NRE, SNRE, TMNRE, Bank, Posterior, Prior, snre
from gradiverse.inference._around import Around
from gradiverse.inference._coordinates import Coordinates
from gradiverse.inference._heads import ProductHead

S = 0.05
X = np.array([0.2, -0.3])


def head(groups, n_theta, n_features):
    return ProductHead(groups, n_theta, n_features, rank=8, width=32)


SMALL = {"head": head, "refine": False, "atoms": 64, "epochs": 50}
TINY = {**SMALL, "epochs": 1, "explore": {"epochs": 1}}


class Counted:
    """Counts its calls, of which some fail; may be interrupted once."""

    def __init__(self, s=S, fails=0.0, mean=lambda theta: theta, after=None):
        self.n, self.s, self.fails, self.mean = 0, s, fails, mean
        self.after = after

    def __call__(self, theta, rng):
        if self.after is not None and self.n >= self.after:
            self.after = None
            raise KeyboardInterrupt
        self.n += len(theta)
        x = self.mean(theta) + self.s * rng.normal(size=theta.shape)
        x[rng.random(len(x)) < self.fails] = np.nan
        return x


def normals(d):
    return Prior(**{f"p{i}": scipy.stats.norm(0, 1) for i in range(d)})


@pytest.fixture(scope="module")
def done():
    simulator = Counted()
    run = SNRE(simulator, normals(2), X, budget=2003, rounds=3, **SMALL)
    assert run.n_simulations == 0 and repr(run).startswith("<SNRE: 0 of 3 rounds, 0 of")
    assert run.run() is run
    return run, simulator


# --- posteriors ---------------------------------------------------------------------
def test_posterior_of_the_conjugate_pair(done):
    run, _ = done
    draws = run.posterior.sample(4000, 0)
    sd = S / np.sqrt(1 + S**2)
    mean = X / (1 + S**2)
    # seen: 0.28 sd, 1.20 times the sd, -0.41 in the log density at two sd
    assert draws.mean(0) == pytest.approx(mean, abs=0.6 * sd)
    assert draws.std(0) == pytest.approx([sd, sd], rel=0.4)
    assert abs(np.corrcoef(draws.T)[0, 1]) < 0.3
    at = mean + sd * np.array([[0.0, 0.0], [1.0, -1.0]])
    exact = scipy.stats.norm(mean, sd).logpdf(at).sum(1)
    assert run.posterior.log_prob(at) == pytest.approx(exact, abs=0.8)


def test_budget_is_spent_and_not_exceeded(done):
    run, simulator = done
    assert simulator.n == run.n_simulations == len(run.theta) == len(run.x) == 2003
    # a fifth from the prior, the rest in equal shares
    assert [r.n_simulations for r in run.rounds] == [401, 1202, 2003]
    before = run.posterior
    assert run.run().posterior is before and simulator.n == 2003


def test_proposals_are_first_the_prior_then_the_posterior(done):
    run, _ = done
    first, last = run.theta[:401], run.theta[1202:]
    assert scipy.stats.kstest(first.ravel(), "norm").pvalue > 1e-3
    # seen: 1.7 sd wide, half of them within 1.7 sd in both parameters
    assert (last.std(0) < 3.4 * S).all() and (last.std(0) > 0.7 * S).all()
    assert np.median(abs(last - X).max(1)) < 3.4 * S
    assert abs(last.mean(0) - X).max() < S


def test_rounds_are_recorded(done):
    run, _ = done
    assert [r.index for r in run.rounds] == [1, 2, 3]
    for r in run.rounds:
        assert r.n_failed == 0 and 0 < r.validation_loss < 2
        assert 0 < r.exponent <= 1 and 1 <= r.effective <= r.n_simulations
    assert [np.isnan(r.accepted) for r in run.rounds] == [False, False, True]
    assert all(0.1 < r.accepted < 1 for r in run.rounds[:2])
    assert "round 2: 1202 simulations, 0 failed" in str(run.rounds[1])
    assert repr(run) == "<SNRE: 3 of 3 rounds, 2003 of 2003 simulations>"


def test_evidence_is_refused(done):
    with pytest.raises(ValueError, match="no draws of the prior"):
        done[0].posterior.log_evidence  # noqa: B018


def test_modes_keep_their_shares():
    """x = |θ| + N(0, .05²): two equal modes at ±x."""
    prior = Prior(a=(-1.0, 1.0))
    run = SNRE(
        Counted(mean=np.abs), prior, np.array([0.6]), budget=1500, rounds=3, **SMALL
    ).run()
    draws = run.posterior.sample(4000, 0)[:, 0]
    # seen: 0.48, 0.13 sd, 1.38 times the sd
    assert (draws > 0).mean() == pytest.approx(0.5, abs=0.05)
    assert abs(draws).mean() == pytest.approx(0.6, abs=0.3 * S)
    assert 0.7 * S < abs(draws).std() < 1.8 * S


def test_narrow_posterior_is_found():
    """One of 500 in the prior's width: rounds close in on it and leave no gap."""
    s, x = 0.002, np.array([0.7])
    run = SNRE(Counted(s), normals(1), x, budget=3000, rounds=5, **SMALL).run()
    parts = run.theta[:, 0].reshape(5, 600)
    # seen: median deviations of about 350, 65, 13, 4 and 1.5 times s
    spread = scipy.stats.median_abs_deviation(parts, axis=1) / s
    assert (spread[1:4] < 0.5 * spread[:3]).all() and spread[4] < 4
    # every round has the posterior inside its range
    assert (parts.min(1) < x - 3 * s).all() and (parts.max(1) > x + 3 * s).all()
    draws = run.posterior.sample(4000, 0)
    # seen: 0.37 and 1.76 times s
    assert draws.mean() == pytest.approx(x[0], abs=0.75 * s)
    assert 0.7 * s < draws.std() < 2.5 * s


# --- the two rules, on ratios made by hand ------------------------------------------
class ByHand:
    """Networks with given log ratios of the first score, round by round."""

    def __init__(self, *ratios):
        self.ratios, self.index = ratios, -1

    def __call__(self, prior, **options):
        self.coordinates = Coordinates(prior, ((0,),))
        return self

    def fit(self, theta, x, near):
        self.index += 1
        self.members, self.history = 1, [{"validation_loss": np.ones(1)}]
        return self

    def posterior(self, x):
        self._ratio = self.ratios[self.index]
        return self


def peak(at, width):
    return lambda z: -0.5 * ((z - at) / width) ** 2


def run_by_hand(monkeypatch, *ratios, **options):
    monkeypatch.setattr(snre, "NRE", ByHand(*ratios))
    rounds = len(ratios)
    return SNRE(
        Counted(), normals(1), X[:1], budget=1000 * rounds, rounds=rounds,
        first=1 / rounds, **options,
    ).run()  # fmt: skip


def test_a_network_that_is_too_sure_does_not_hide_the_rest(monkeypatch):
    """`least`: a peak of width .005 beside the truth is not yet believed."""
    ratios = peak(0.5, 0.005), peak(0.2, 0.1)
    run = run_by_hand(monkeypatch, *ratios)
    r, part = run.rounds[0], run.theta[1000:, 0]
    assert r.exponent < 0.1
    assert r.effective == pytest.approx(0.05 * 1000, rel=0.01)
    # the target is N(0, 1) with a precision of exponent / width² more
    sd = 1 / np.sqrt(1 + r.exponent / 0.005**2)
    assert part.std() == pytest.approx(sd, rel=0.15)
    assert (part < 0.46).any() and (part > 0.54).any()
    run = run_by_hand(monkeypatch, *ratios, least=1e-9)
    assert run.rounds[0].exponent == 1.0
    assert abs(run.theta[1000:, 0] - 0.5).max() < 0.03


def test_no_round_goes_where_an_earlier_network_excluded(monkeypatch):
    """`reach`: the second network extrapolates to θ that the first one knows is out."""

    def wrong(z):
        return np.where(z < 0.5, peak(0.2, 0.05)(z), 5 + 0 * z)

    ratios = peak(0.2, 0.05), wrong, peak(0.2, 0.05)
    run = run_by_hand(monkeypatch, *ratios)
    # the first network is 12 below its maximum at 0.2 ± 4.9 sd
    edge = 0.2 + 0.05 * np.sqrt(24)
    part = run.theta[2000:, 0]
    assert edge < 0.5 and (part < edge).mean() > 0.99
    draws = run.posterior.sample(1000, 0)
    assert draws.mean() == pytest.approx(0.2 / 1.0025, abs=5 * 0.05 / np.sqrt(1000))
    run = run_by_hand(monkeypatch, *ratios, reach=1e9)
    assert (run.theta[2000:, 0] > edge).mean() > 0.9


def test_ratio_beyond_the_reach_of_earlier_networks():
    """h - 3 max(top - reach - earlier, 0), with the exponent on h alone."""

    class Own:
        _ratio = staticmethod(lambda z: 2 * z[:, :1])

    z = np.array([[0.0], [1.0], [4.0]])
    earlier = lambda z: -(z[:, 0] ** 2)  # noqa: E731
    ratio = snre._Ratio(Own, [(earlier, 0.5)], 2.0)
    assert ratio.own(z) == pytest.approx([0, 2, 8])
    assert ratio(z) == pytest.approx([0, 2, 8 - 3 * (0.5 - 2 + 16)])
    assert ratio(z, 0.25) == pytest.approx([0, 0.5, 2 - 3 * 14.5])
    twice = snre._Ratio(Own, [(earlier, 0.5)] * 2, 2.0)
    assert twice(z) == pytest.approx([0, 2, 8 - 6 * 14.5])


def test_exponent_and_count():
    h = np.log(np.array([1.0, 1.0, 2.0, 4.0])) + 700  # no overflow
    # (Σw)²/Σw² by hand
    assert snre._count(h, 1.0) == pytest.approx(64 / 22)
    assert snre._count(h, 2.0) == pytest.approx(22**2 / (1 + 1 + 16 + 256))
    assert snre._count(h, 0.0) == pytest.approx(4)
    assert snre._exponent(h, 2.9) == 1.0
    # two weights 1 and e^b: (1+e^b)²/(1+e^2b) = 1 + 1/cosh b
    b = snre._exponent(np.array([0.0, 3.0]), 1 + 1 / np.cosh(1.2))
    assert b == pytest.approx(0.4, abs=1e-9)
    for least in (1.2, 1.5, 1.9):
        b = snre._exponent(np.array([0.0, 9.0]), least)
        assert snre._count(np.array([0.0, 9.0]), b) == pytest.approx(least)
    # as many as there are not: almost the prior
    assert snre._exponent(np.array([0.0, 9.0]), 5.0) == 1e-3


# --- data ---------------------------------------------------------------------------
def test_failed_simulations_count():
    simulator = Counted(fails=0.2)
    run = SNRE(simulator, normals(2), X, budget=900, rounds=3, **TINY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run.run()
    assert simulator.n == run.n_simulations == 900
    failed = np.isnan(run.x).any(1)
    assert [r.n_failed for r in run.rounds] == [
        failed[: r.n_simulations].sum() for r in run.rounds
    ]
    assert run.rounds[-1].n_failed == pytest.approx(180, abs=5 * np.sqrt(900 * 0.16))
    assert np.isfinite(run.posterior.sample(50, 0)).all()


class Joined(gv.nn.Layer):
    """A dict as one vector."""

    def _forward(self, params, x, context):
        return gv.ops.concatenate([x["a"], x["b"].mean(-1)], axis=-1)


def test_dict_of_data_with_an_embedding():
    def simulator(theta, rng):
        noise = 0.1 * rng.normal(size=(len(theta), 1, 8))
        return {
            "a": theta[:, :1] + 0.05 * noise[:, :, 0],
            "b": theta[:, 1:, None] + noise,
        }

    x_obs = {"a": np.array([0.2]), "b": np.full((1, 8), -0.3)}
    run = SNRE(
        simulator, normals(2), x_obs, budget=600, rounds=2, embedding=Joined(),
        **{**SMALL, "data": "standard"},
    ).run()  # fmt: skip
    assert run.x["b"].shape == (600, 1, 8) and run.estimator.data == "standard"
    draws = run.posterior.sample(500, 0)
    assert abs(draws.mean(0) - X).max() < 0.2 and draws.std(0).max() < 0.4


def test_same_seed_same_bytes():
    def run(rng):
        t = SNRE(Counted(), normals(2), X, budget=400, rounds=2, rng=rng, **TINY).run()
        return (
            t.theta,
            t.x,
            t.posterior.log_ratio(t.theta[:9]),
            t.posterior.sample(9, 0),
        )

    one, two, other = run(3), run(3), run(4)
    for a, b, c in zip(one, two, other, strict=True):
        assert a.tobytes() == b.tobytes() and a.tobytes() != c.tobytes()


def test_only_the_last_network_is_refined_and_what_is_printed(capsys):
    run = SNRE(
        Counted(), normals(1), X[:1], budget=200, rounds=2, progress=True, epochs=1,
        refine={"epochs": 1, "width": 8}, explore={"epochs": 1},
    )  # fmt: skip
    assert run.options["refine"]["width"] == 8 and run.explore["refine"] is False
    assert run.options["data"] == "scores" and run.explore["members"] == 1
    run.run()
    assert run.estimator.refine["epochs"] == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines == [str(r) for r in run.rounds] and len(lines) == 2


def test_nothing_is_printed_unasked_and_one_round_is_enough(capsys):
    run = SNRE(Counted(), normals(1), X[:1], budget=100, rounds=1, **TINY).run()
    assert capsys.readouterr().out == ""
    assert len(run.rounds) == 1 and run.n_simulations == 100


def outcome(run):
    return run.theta, run.x, run.posterior.log_ratio(run.theta[:9])


def same(one, two):
    return all(
        np.asarray(a).tobytes() == np.asarray(b).tobytes()
        for a, b in zip(one, two, strict=True)
    )


def test_interrupted_run_goes_on_in_memory():
    """Calls of a run that broke off belong to its budget and are not made again."""
    how = {"budget": 500, "rounds": 3, "batch_size": 50, **TINY}
    whole = SNRE(Counted(), normals(1), X[:1], **how).run()
    simulator = Counted(after=300)
    run = SNRE(simulator, normals(1), X[:1], **how)
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert run.n_simulations == 300 and run.posterior is None
    run.run()
    assert simulator.n == run.n_simulations == 500
    assert same(outcome(whole), outcome(run))
    assert [r.n_simulations for r in run.rounds] == [100, 300, 500]


def test_interrupted_run_goes_on_from_a_bank(tmp_path):
    """Another process takes up the bank: as if nothing had happened."""
    how = {"budget": 500, "rounds": 3, "batch_size": 64, **TINY}
    whole = SNRE(Counted(), normals(1), X[:1], bank=tmp_path / "a.h5", **how).run()
    with pytest.raises(KeyboardInterrupt):
        SNRE(Counted(after=310), normals(1), X[:1], bank=tmp_path / "b.h5", **how).run()
    simulator = Counted()
    again = SNRE(simulator, normals(1), X[:1], bank=tmp_path / "b.h5", **how)
    held = again.n_simulations
    assert 100 < held < 500
    again.run()
    assert simulator.n == 500 - held and again.n_simulations == 500
    assert same(outcome(whole), outcome(again))
    # finished: no simulation more, the same posterior
    third = SNRE(simulator, normals(1), X[:1], bank=tmp_path / "b.h5", **how).run()
    assert simulator.n == 500 - held and same(outcome(whole), outcome(third))
    with pytest.raises(ValueError, match="another explore"):
        other = {**how, "explore": {"epochs": 2}}
        SNRE(simulator, normals(1), X[:1], bank=tmp_path / "b.h5", **other)
    with pytest.raises(ValueError, match="another rng"):
        SNRE(simulator, normals(1), X[:1], bank=tmp_path / "b.h5", rng=1, **how)
    with pytest.raises(ValueError, match="another observation"):
        SNRE(simulator, normals(1), X[1:], bank=tmp_path / "b.h5", **how)


def test_resuming_does_not_depend_on_whole_batches(tmp_path):
    """Rows that a bank held before, no multiple of a batch; killed in any phase."""
    how = {"budget": 500, "rounds": 3, "batch_size": 64, **TINY}

    def start(name, simulator):
        path = tmp_path / name
        if not path.exists():
            with Bank(path, normals(1), Counted()) as bank:
                bank.simulate(30, rng=4, batch_size=64)
        return SNRE(simulator, normals(1), X[:1], bank=path, **how)

    whole = start("whole.h5", Counted()).run()
    for after in (1, 70, 130, 330):
        with pytest.raises(KeyboardInterrupt):
            start(f"{after}.h5", Counted(after=after)).run()
        again = start(f"{after}.h5", Counted()).run()
        assert same(outcome(whole), outcome(again))


def test_rows_that_a_bank_held_are_the_first_round(tmp_path):
    simulator = Counted()
    bank = Bank(tmp_path / "c.h5", normals(2), simulator)
    bank.simulate(150, rng=9, batch_size=50)
    how = {"budget": 500, "rounds": 3, **TINY}
    run = SNRE(simulator, normals(2), X, bank=bank, **how).run()
    assert simulator.n == len(bank) == 500
    assert [r.n_simulations for r in run.rounds] == [150, 325, 500]


def test_bank_records_whose_parameters_were_given(tmp_path):
    """Rows of proposals are those the file says were given, not drawn."""
    bank = Bank(tmp_path / "d.h5", normals(2), Counted())
    run = SNRE(Counted(), normals(2), X, bank=bank, budget=300, rounds=2, **TINY).run()
    (tmp_path / "d.h5.proposals.json").unlink()
    assert bank.calls()["theta"].tolist()[1:] == ["given"]
    assert bank.calls()["theta"].isna().tolist() == [True, False]
    first = run.rounds[0].n_simulations
    assert bank.given().tolist() == [False] * first + [True] * (300 - first)
    # marginals cannot be learned from them; the joint ratio can
    with pytest.raises(ValueError, match=f"{300 - first} rows of the bank"):
        NRE(normals(2), marginals="1d", epochs=1).fit(bank)
    NRE(normals(2), epochs=1).fit(bank)
    for other in (SNRE, TMNRE):
        with pytest.raises(ValueError, match="proposals of"):
            other(Counted(), normals(2), X, budget=900, bank=bank, rng=5).run()
    copy = bank.export(tmp_path / "e.h5")
    assert copy.given().tolist() == bank.given().tolist()


def test_state_without_its_bank(tmp_path):
    how = {"budget": 300, "rounds": 2, **TINY}
    path = tmp_path / "a.h5"
    bank = Bank(path, normals(1), Counted())
    bank.simulate(50)
    SNRE(Counted(), normals(1), X[:1], bank=bank, **how).run()
    bank.close()
    path.unlink()
    with pytest.raises(ValueError, match=r"50 rows were held before.*remove the state"):
        SNRE(Counted(), normals(1), X[:1], bank=path, **how)


def test_executor_makes_no_difference(tmp_path):
    how = {"budget": 300, "rounds": 2, "batch_size": 40, **TINY}
    one = SNRE(Counted(), normals(1), X[:1], bank=tmp_path / "e.h5", **how).run()
    with ThreadPoolExecutor(3) as executor:
        two = SNRE(
            Counted(), normals(1), X[:1], bank=tmp_path / "f.h5", executor=executor,
            **how,
        ).run()  # fmt: skip
    assert same(outcome(one), outcome(two))
    with pytest.raises(ValueError, match="executor needs a bank"):
        SNRE(Counted(), normals(1), X[:1], executor=executor, **how)


def test_observation_of_another_shape_is_seen_after_one_batch():
    simulator = Counted()
    run = SNRE(
        simulator, normals(2), np.zeros(3), budget=900, rounds=3, batch_size=50, **TINY
    )
    with pytest.raises(ValueError, match=r"x has shape \(3,\)"):
        run.run()
    assert simulator.n == 100
    run = SNRE(
        simulator, normals(2), {"a": X}, budget=900, rounds=3, batch_size=50,
        embedding=Joined(), **{**TINY, "data": "standard"},
    )  # fmt: skip
    with pytest.raises(ValueError, match="one simulation an array"):
        run.run()


# --- calibration about the observation ----------------------------------------------
class ExactNormal:
    """In place of the estimator: ln p(x|θ) of x = θ + N(0, S²), θ ~ N(0, 1)."""

    def __init__(self, wide=1.0):
        self.coordinates, self.wide = Coordinates(normals(1), ((0,),)), wide

    def posterior(self, x):
        def ratio(z):
            return -0.5 * ((z - np.ravel(x)[0]) / (self.wide * S)) ** 2

        return Posterior(self.coordinates, ratio, normalised=False, x=x)


def test_around_is_the_posterior_of_both_observations():
    """Two observations x, y: N((x+y)/(2+S²), S²/(2+S²))."""
    est = ExactNormal()
    near = Around(est, est.posterior(X[:1]), 20_000, 0)
    y = X[:1] + 0.04
    post = near.posterior(y)
    draws = post.sample(8000, 1)[:, 0]
    exact = scipy.stats.norm((X[0] + y[0]) / (2 + S**2), S / np.sqrt(2 + S**2))
    # 8000 of an ensemble from 20 000 draws: se of the mean .016 sd
    assert draws.mean() == pytest.approx(exact.mean(), abs=0.06 * exact.std())
    assert draws.std() == pytest.approx(exact.std(), rel=0.05)
    at = exact.mean() + exact.std() * np.array([[-1.0], [0.0], [2.0]])
    assert np.diff(post.log_ratio(at) + near.prior.log_prob(at)) == pytest.approx(
        np.diff(exact.logpdf(at[:, 0])), abs=1e-9
    )


def test_around_is_normalised():
    """Two parameters: ln Z of both observations, not of the second given the first."""

    class Exact:
        coordinates = Coordinates(normals(2), ((0, 1),))

        def posterior(self, x):
            def ratio(z):
                return -0.5 * (((z - np.ravel(x)) / S) ** 2).sum(1, keepdims=True)

            return Posterior(self.coordinates, ratio, normalised=False, x=x)

    est = Exact()
    y = X + 0.03
    post = Around(est, est.posterior(X), 20_000, 0).posterior(y)
    exact = scipy.stats.norm((X + y) / (2 + S**2), S / np.sqrt(2 + S**2))
    at = exact.mean()[None]
    # evidences of 10 000 weighted draws, twice: a few per cent
    assert post.log_prob(at) == pytest.approx(exact.logpdf(at).sum(), abs=0.15)


@pytest.mark.parametrize(("wide", "fails"), [(1.0, False), (0.5, True), (2.0, True)])
def test_around_finds_what_is_too_narrow_or_too_wide(wide, fails):
    """Ranks of truths are uniform for the exact ratio, and not for a wrong width."""
    est = ExactNormal(wide)
    near = Around(est, est.posterior(X[:1]), 4000, 0)
    theta = near.sample(1000, 1)
    x = theta + S * np.random.default_rng(2).normal(size=theta.shape)
    p = gv.inference.sbc(near, theta, x, n_draws=99, rng=3).p_value
    assert (np.min(p) < 1e-3) == fails


def test_around_of_a_trained_run(done):
    run, _ = done
    near = run.around(3000, rng=1)
    assert near.names == ["p0", "p1"] and near.sample(5, 0).shape == (5, 2)
    theta = near.sample(20, 1)
    assert len(np.unique(theta[:, 0])) == 20
    x = Counted()(theta, np.random.default_rng(0))
    table = gv.inference.coverage(near, theta, x, [0.9], n_draws=100)
    assert set(table["parameter"]) == {"joint", "p0", "p1"}
    assert (table["coverage"] > 0.5).all()
    with pytest.raises(ValueError, match="30 truths of 20 draws"):
        run.around(20).sample(30, 0)
    with pytest.raises(ValueError, match="call run"):
        SNRE(Counted(), normals(1), X[:1], budget=300, rounds=2, **TINY).around()


# --- bad input ----------------------------------------------------------------------
def test_bad_input_says_what():
    def make(**more):
        given = {"budget": 400, "rounds": 2, **SMALL, **more}
        return SNRE(Counted(), normals(2), **{"x_obs": X, **given})

    for match, more in (
        ("larger budget or fewer rounds", {"budget": 60, "rounds": 5}),
        ("larger budget or fewer rounds", {"first": 1.0}),
        ("larger budget", {"budget": 0, "rounds": 1}),
        ("rounds is 0, must be at least 1", {"rounds": 0}),
        ("draws is 0, must be at least 1", {"draws": 0}),
        ("batch_size is 0", {"batch_size": 0}),
        ("held is -3", {"held": -3}),
        ("first 0", {"first": 0.0}),
        ("first 1.5", {"first": 1.5}),
        (r"least 0.0 must lie in \(0, 1\]", {"least": 0.0}),
        ("least 2", {"least": 2}),
        ("reach -1.0 above 0", {"reach": -1.0}),
        ("reach nan", {"reach": np.nan}),
        ("7 rows were held before, but there are 0", {"held": 7}),
        ("observation is not finite", {"x_obs": np.array([0.1, np.nan])}),
        ("refine is for the default head", {"refine": True}),
    ):
        with pytest.raises(ValueError, match=match):
            make(**more)
    for match, more in (
        ("TMNRE", {"marginals": "1d"}),
        ("explore=3; give a dict", {"explore": 3}),
        ("draws of the prior", {"recalibrate": True}),
        ("draws of the prior", {"explore": {"recalibrate": True}}),
        ("must be ints", {"rng": np.random.default_rng(0)}),
        ("must be ints", {"budget": 1e3}),
        ("must be ints", {"rounds": 2.5}),
        ("no option epoch", {"epoch": 3}),
        ("no option epoch", {"explore": {"epoch": 3}}),
    ):
        with pytest.raises(TypeError, match=match):
            make(**more)
    with pytest.raises(TypeError, match="expected a function"):
        SNRE(3, normals(2), X)
    with pytest.raises(ValueError, match="one row for each"):
        SNRE(lambda theta, rng: np.zeros(3), normals(2), X, 400, 2, **SMALL).run()
    assert make(rng=np.int64(3), budget=np.int32(300)).budget == 300
