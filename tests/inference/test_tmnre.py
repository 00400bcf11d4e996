"""Rounds of truncation: boxes, budgets, failures, banks, resuming.

x = θ + N(0, .02²) with θ uniform on (-1, 1): one-dimensional hull x ± 5.26 x .02 at
ε = 1e-6, posterior N(x, .02²). Networks are small, so that boxes are wider than that.
"""

import warnings

import numpy as np
import pytest
import scipy.stats

from gradiverse.inference import SNRE, TMNRE, Bank, Posterior, Prior, tmnre
from gradiverse.inference._coordinates import Coordinates
from gradiverse.inference._heads import ProductHead
from gradiverse.inference._through import Through, _extended

SIGMA = 0.02
X = np.array([0.3, -0.5])


def head(groups, n_theta, n_features):
    return ProductHead(groups, n_theta, n_features, rank=8, width=24)


OPTIONS = {"head": head, "atoms": 8, "epochs": 60, "learning_rate": 1e-2, "share": 0.25}


class Counted:
    """A simulator that counts the calls it answers, and may be interrupted once."""

    def __init__(self, fails=0.0, after=None):
        self.n, self.fails, self.after = 0, fails, after

    def count(self, n):
        if self.after is not None and self.n >= self.after:
            self.after = None
            raise KeyboardInterrupt
        self.n += n

    def __call__(self, theta, rng):
        self.count(len(theta))
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
    # this small head makes them a fifth to a third too wide (four seeds)
    assert draws.std(0) == pytest.approx([1.25 * SIGMA, 1.25 * SIGMA], rel=0.3)
    assert (t.posterior.prior.bounds == t.bounds).all()


@pytest.mark.parametrize("sequential", [None, False])
def test_defaults_give_the_exact_posterior(sequential):
    """N(x, .02²), from the default networks and a fifth of the default budget.

    In the box 7.5 % of the draws count, so that by itself a run goes on sequentially:
    with four seeds means were off by .05 sd at most, sds .963 to 1.006 of the exact
    ones, on average .991 ± .016, and correlations below .031. Networks of marginals,
    with eight seeds: .06 sd; 1.005 to 1.072, on average 1.047 ± .019. 20 000 draws add
    .007 and .005. Bounds: .15 sd, and .1, which is three times the spread above the
    larger average.
    """
    t = TMNRE(Counted(), prior(), X, budget=12_000, sequential=sequential).run()
    assert t.n_simulations == 12_000 and (t.joint is None) == (sequential is False)
    draws = t.posterior.sample(20_000, 0)
    z = (draws - X) / SIGMA
    assert z.mean(0) == pytest.approx([0, 0], abs=0.15)
    assert z.std(0) == pytest.approx([1, 1], abs=0.1)
    # the density is that of the draws: one standard deviation out, as at the mean
    at = X + SIGMA * np.array([[0.0, 0.0], [1.0, -1.0]])
    exact = scipy.stats.norm(X, SIGMA).logpdf(at)
    assert t.posterior.log_prob(at) == pytest.approx(exact, abs=0.2)
    most = 0.1 if t.joint else 4 / np.sqrt(20_000)  # independent, or as learned
    assert abs(np.corrcoef(z.T)[0, 1]) < most


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


def test_interrupted_amid_a_round_with_failures(tmp_path):
    """Calls of a round are counted from its beginning, failed ones too."""
    how = {"budget": 900, "epochs": 2, "max_rounds": 2, "batch_size": 50}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = run(Counted(0.3), bank=tmp_path / "a.h5", **how).run()
        with pytest.raises(KeyboardInterrupt):
            run(Counted(0.3, 150), bank=tmp_path / "b.h5", **how).run()
        again = run(Counted(0.3), bank=tmp_path / "b.h5", **how).run()
    for one, two in zip(whole.rounds, again.rounds, strict=True):
        assert one.plain() == two.plain()
    theta = whole.bounds.mean(1)[None]
    assert (again.posterior.log_prob(theta) == whole.posterior.log_prob(theta)).all()


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
        ("batch_size is 0", {"batch_size": 0}),
        ("executor needs a bank", {"executor": object()}),
        ("draws is 10, must be at least 100000", {"draws": 10}),
        ("two of a", {"marginals": ["a", 0]}),
    ):
        with pytest.raises(ValueError, match=match):
            run(**more)
    for name, value in (("budget", "many"), ("budget", np.nan), ("max_rounds", 2.5)):
        with pytest.raises(TypeError, match=f"{name}=.*; give an int"):
            run(**{name: value})
    with pytest.raises(TypeError, match="no option"):
        run(epoch=3)
    with pytest.raises(TypeError, match="int"):
        run(rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="one row for each"):
        run(lambda theta, rng: np.zeros(3)).run()


# --- sequential rounds --------------------------------------------------------------
# x = |θ| + N(0, .02²): the posterior is |θ| on a ring, which no box encloses
RING = np.array([0.7])
TINY = {"epochs": 1, "explore": {"epochs": 1}, "refine": False, "rounds": 2}
SMALL = {"epochs": 40, "refine": False, "rounds": 3}


class Ring(Counted):
    def __call__(self, theta, rng):
        self.count(len(theta))
        r = np.hypot(theta[:, :1], theta[:, 1:])
        return r + SIGMA * rng.normal(size=r.shape)


def ring(simulator=None, **more):
    how = {"budget": 1200, "epochs": 2, "share": 0.25, **more}
    return TMNRE(simulator or Ring(), prior(), RING, **how)


def test_rest_of_the_budget_follows_a_curved_posterior():
    simulator = Ring()
    t = ring(simulator, budget=3000, epochs=30, sequential=SMALL).run()
    assert simulator.n == t.n_simulations == 3000
    assert len(t.rounds) == 1 and (t.bounds == prior().bounds).all()
    assert [r.n_simulations for r in t.joint.rounds] == [750, 1875, 3000]
    draws = t.posterior.sample(4000, 0)
    r = np.hypot(*draws.T)
    # seen: .703 +- .024
    assert r.mean() == pytest.approx(0.7, abs=0.02) and r.std() < 3 * SIGMA
    # and the marginals are those of the ring: of an angle, with peaks at both ends
    assert t.posterior.marginals == ((0,), (1,))
    h = t.posterior.log_ratio([[0.68, 0.0], [0.0, -0.68], [0.95, 0.95]])
    assert h.shape == (3, 2)
    assert h[0, 0] > h[1, 0] + 0.5 and h[1, 1] > h[0, 1] + 0.5
    assert (h[2] < h[:2].max(0) - 4).all()
    # the estimator is that of the box, for any observation
    assert (t.estimator.posterior([0.3]).prior.bounds == t.bounds).all()
    assert t.estimator.n_rows == 750


def thin(**more):
    """A run of which no box is cut, with few draws that count."""
    how = {"budget": 1200, "epochs": 1, "epsilon": 1e-300, "share": 0.25, **more}
    return TMNRE(Counted(), more.pop("prior", prior()), X, **how)


def decided(t):
    while not t._finished():
        t._round()
    return t._decide()


def test_automatic_choice_by_what_counts():
    """A hundredth of the draws counts here; half of them where noise is wide."""
    assert decided(thin(budget=3000, epochs=5))

    def dull(theta, rng):
        return theta + 0.8 * rng.normal(size=theta.shape)

    assert not decided(TMNRE(dull, prior(), X, budget=3000, epochs=5, epsilon=1e-300))


def test_automatic_choice_is_left_to_who_chooses(monkeypatch):
    """As if next to nothing counted: nothing but these options is in the way."""
    monkeypatch.setattr(SNRE, "first_share", lambda self: 1e-3)
    assert decided(thin()) and decided(thin(marginals=[(1,)]))
    assert decided(thin(share=0.6))
    assert decided(thin(sequential=True)) and not decided(thin(sequential=False))
    for more in (
        {"head": head},
        {"marginals": [(0,), (0, 1)]},
        {"marginals": None},
        {"share": 0.8},
        {"budget": 180, "share": 0.5},
        {"recalibrate": True, "budget": 2000, "validation": 0.4},
    ):
        assert not decided(thin(**more)), more
    ten = Prior(p=(-np.ones(10), np.ones(10)))
    t = TMNRE(Counted(), ten, np.zeros(10), budget=3000, epochs=1, epsilon=1e-300)
    assert not decided(t)
    monkeypatch.setattr(SNRE, "first_share", lambda self: 0.2)
    assert not decided(thin())


def test_an_automatic_run_from_end_to_end(monkeypatch):
    monkeypatch.setattr(SNRE, "first_share", lambda self: 1e-3)
    monkeypatch.setattr(tmnre, "_ROUNDS", 2)
    t = thin(failures="outcome").run()
    assert t.joint is not None and t.n_simulations == 1200
    before = t.posterior
    assert t.run().posterior is before


def test_marginals_in_any_order_and_not_all():
    """Columns are those that were asked for, as with networks of marginals."""
    how = {"sequential": TINY, "rng": 1}
    both = ring(**how).run().posterior
    theta = prior().sample(5, 0)
    for wanted, columns in (([(1,), (0,)], [1, 0]), (["b"], [1])):
        post = ring(marginals=wanted, **how).run().posterior
        assert post.marginals == tuple((c,) for c in columns)
        assert (post.log_prob(theta) == both.log_prob(theta)[:, columns]).all()
        assert post.sample(3, 0).shape == (3, 2)
    t = ring(marginals=[(1, 0)], **how).run()
    assert t.posterior.joint and t.posterior.sample(3, 0).shape == (3, 2)


@pytest.mark.parametrize("after", [150, 400, 900])
def test_interrupted_in_memory_goes_on(after):
    """In the box, in the first and in the last sequential round."""
    how = {"sequential": TINY, "batch_size": 50}
    whole = ring(**how).run()
    t = ring(Ring(after=after), **how)
    with pytest.raises(KeyboardInterrupt):
        t.run()
    t.run()
    assert t.simulator.n == t.n_simulations == 1200
    theta = prior().sample(20, 0)
    assert (t.posterior.log_ratio(theta) == whole.posterior.log_ratio(theta)).all()
    assert t.estimator.n_rows == 300


def test_sequential_rounds_keep_what_they_need():
    """Boxes are cut with most of the budget: the later rounds have their share."""
    t = TMNRE(
        Counted(), prior(), X, budget=1000, share=0.6, epochs=20, sequential=TINY
    ).run()
    assert t.n_simulations == 1000 and len(t.rounds) > 1
    assert t.joint.rounds[-1].n_simulations == 1000


def test_other_words_for_sequential():
    with pytest.raises(TypeError, match="sequential='no'"):
        ring(sequential="no")
    assert ring(sequential=np.False_)._sequential is False
    assert ring(sequential={})._sequential is True


def test_state_without_its_bank(tmp_path):
    path = tmp_path / "a.h5"
    ring(bank=path, sequential=False).run()
    path.unlink()
    with pytest.raises(ValueError, match=r"holds 300 rows.*remove a.h5.rounds.json"):
        ring(bank=path, sequential=False).run()


def test_all_parameters_at_once():
    t = ring(marginals=None, sequential=TINY).run()
    assert t.posterior.joint and t.posterior.log_ratio(np.zeros((3, 2))).shape == (3,)


def test_options_of_both_kinds_of_networks():
    t = ring(sequential=TINY, failures="outcome", members=2).run()
    assert t.joint.estimator.failures == "outcome" == t.estimator.failures
    assert t.joint.estimator.members == 1 and t.estimator.members == 2


def test_sequential_rounds_are_taken_up_again(tmp_path):
    whole = ring(bank=tmp_path / "a.h5", sequential=TINY, batch_size=50).run()
    with pytest.raises(KeyboardInterrupt):
        ring(
            Ring(after=800), bank=tmp_path / "b.h5", sequential=TINY, batch_size=50
        ).run()
    simulator = Ring()
    how = {"bank": tmp_path / "b.h5", "batch_size": 50}
    again = ring(simulator, sequential=TINY, **how).run()
    assert simulator.n == 400 and again.n_simulations == 1200
    theta = prior().sample(20, 0)
    one, two = (t.posterior.log_ratio(theta) for t in (whole, again))
    assert one.tobytes() == two.tobytes()
    # rows of proposals would pass for draws of the prior
    with pytest.raises(ValueError, match="another sequential"):
        ring(simulator, sequential=False, **how).run()


def test_what_sequential_rounds_cannot_do_is_said():
    for match, more in (
        ("recalibrate is for networks of draws", {"recalibrate": True}),
        ("pairs are columns", {"marginals": [(0,), (0, 1)]}),
        ("too few", {"sequential": {"rounds": 300}}),
    ):
        with pytest.raises(ValueError, match=match):
            ring(**{"sequential": True, **more}).run()
    normal = Prior(p=scipy.stats.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]]))
    with pytest.raises(ValueError, match="independent"):
        TMNRE(Ring(), normal, RING, sequential=True)
    assert TMNRE(Ring(), normal, RING, marginals=None, sequential=True).joint is None


def test_observation_of_another_shape_is_seen_after_one_batch():
    simulator = Counted()
    t = run(simulator, batch_size=50)
    t.x_obs = np.zeros(3)
    with pytest.raises(ValueError, match=r"x has shape \(3,\)"):
        t.run()
    assert simulator.n == 100
    with pytest.raises(ValueError, match="not finite"):
        TMNRE(simulator, prior(), np.array([np.nan, 0.0]), budget=1000)
    with pytest.raises(TypeError, match="holds object in a NoneType"):
        TMNRE(simulator, prior(), None, budget=1000)
    # as many numbers in another order

    def images(theta, rng):
        return theta[:, :1, None] + rng.normal(size=(len(theta), 4, 6))

    with pytest.raises(ValueError, match=r"shape \(6, 4\); one simulation has .*4, 6"):
        TMNRE(images, prior(), np.zeros((6, 4)), budget=1000).run()


# --- marginals of a joint posterior -------------------------------------------------
def joint(log_ratio, d=2):
    box = Prior(**{f"p{i}": (-1.0, 1.0) for i in range(d)})
    coordinates = Coordinates(box, (tuple(range(d)),))

    def ratio(z):
        return log_ratio(coordinates.theta(z))[:, None]

    return Posterior(coordinates, ratio, normalised=False)


def test_marginals_are_integrals_over_the_rest():
    """A correlated normal in a box: marginals are normal, whatever the correlation."""
    s, rho = np.array([0.1, 0.03]), 0.9
    inverse = np.linalg.inv(np.array([[1, rho], [rho, 1]]) * np.outer(s, s))
    post = Through(joint(lambda t: -0.5 * np.einsum("ni,ij,nj->n", t, inverse, t)))
    for i in range(2):
        exact = scipy.stats.norm(0, s[i])
        at = s[i] * np.linspace(-2.5, 2.5, 11)
        theta = np.zeros((11, 2))
        theta[:, i] = at
        # 192 conditionals of .44 the width, at draws of the other: relative error of
        # their mean at the peak .06, at 2.5 sd .38
        found = post.log_prob(theta)[:, i]
        weight = 1 / (0.06 + 0.06 * (at / s[i]) ** 2)
        assert abs((found - exact.logpdf(at)) * weight).max() < 3
        grid = np.linspace(-1, 1, 4001)
        columns = np.zeros((4001, 2))
        columns[:, i] = grid
        mass = np.exp(post.log_prob(columns)[:, i]).sum() * (grid[1] - grid[0])
        assert mass == pytest.approx(1, abs=0.01)
    draws = post.sample(4000, 0)
    assert np.corrcoef(draws.T)[0, 1] == pytest.approx(rho, abs=0.02)
    assert post.sample_marginal(1, 500, 0).shape == (500, 1)
    assert post.credibility(np.zeros(2)).max() < 0.3
    assert post.credibility(3 * s).min() > 0.95


@pytest.mark.parametrize("width", [0.02, 0.005, 0.001])
def test_marginals_of_thin_curves(width):
    """A ring: exact marginals by quadrature, whatever the width of the curve."""

    def log_ratio(t):
        return -0.5 * ((np.hypot(*t.T) - 0.7) / width) ** 2

    post = Through(joint(log_ratio))
    post.whole.pool = 200_000
    angle = np.linspace(0, 2 * np.pi, 4_000_001)[:-1]
    x = 0.7 * np.cos(angle)
    edges = np.linspace(-0.6, 0.6, 9)  # within, where the density is smooth
    exact = np.histogram(x, edges)[0] / len(x) / np.diff(edges)
    middle = np.linspace(-0.6, 0.6, 161)[:-1] + 0.6 / 160
    found = np.exp(post.log_prob(np.stack([middle, 0 * middle], 1))[:, 0])
    # 20 points of each of eight parts: 192 conditionals, or 10 000 draws in bins
    assert found.reshape(8, 20).mean(1) == pytest.approx(exact, rel=0.2)


def test_corner_of_marginals_shows_pairs():
    post = Through(joint(lambda t: -0.5 * (t[:, 0] ** 2 + t[:, 1] ** 2) / 0.01))
    panels = post.corner(2000).axes
    assert all(ax.has_data() for ax in panels if ax.get_visible())


def test_extended_curves_fall_on():
    z = np.array([-2.0, 0.0, 0.5, 1.0, 3.0])
    h = _extended(z, np.array([0.0, 0.5, 1.0]), np.array([0.0, 1.0, 0.0]))
    assert h == pytest.approx([-4.0, 0.0, 1.0, 0.0, -4.0])
    # and never rise
    h = _extended(z, np.array([0.0, 0.5, 1.0]), np.array([2.0, 1.0, 2.0]))
    assert h == pytest.approx([2.0, 2.0, 1.0, 2.0, 2.0])


def test_marginals_keep_thin_modes_and_gaps():
    """Two lines of width .01 at ±.5, across all of the other parameter."""

    def lines(t):
        return -0.5 * ((abs(t[:, 0]) - 0.5) / 0.01) ** 2

    post = Through(joint(lines))
    x = np.array([-0.5, -0.48, 0.0, 0.5])
    h = post.log_ratio(np.stack([x, np.zeros(4)], 1))
    # conditionals do not depend on the other parameter: nodes alone make an error
    top = np.log(2 / (2 * np.sqrt(2 * np.pi) * 0.01))
    assert h[[0, 3], 0] == pytest.approx([top, top], abs=0.03)
    assert h[1, 0] == pytest.approx(top - 2, abs=0.05)
    assert h[2, 0] < top - 15
    assert h[:, 1] == pytest.approx(np.zeros(4), abs=0.05)  # flat up to the edges
    edge = post.log_prob([[0.5, 0.999], [0.5, -0.999], [0.5, 1.001]])[:, 1]
    assert edge[:2] == pytest.approx(np.log(0.5), abs=0.1) and edge[2] == -np.inf
