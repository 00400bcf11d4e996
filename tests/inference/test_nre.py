"""Neural ratio estimation against conjugate Gaussian pairs, and the traps of training.

θ ~ N(0, 1), x = θ + N(0, 1): posterior N(x/2, 1/2). A network trained on a few thousand
rows is off by its own error, which is bounded here at what is seen, doubled.
"""

import warnings

import numpy as np
import pytest
import scipy.stats

import gradiverse as gv
from gradiverse.inference import NRE, SNRE, TMNRE, Bank, Prior, Simulator, coverage
from gradiverse.inference._contrasts import LOSSES, Contrast, table
from gradiverse.inference._heads import ProductHead, ResidualHead
from gradiverse.inference._standardise import Scores, Standardiser, restore

SMALL = {"epochs": 20, "batch_size": 100, "learning_rate": 3e-3}


def small_head(groups, n_theta, n_features):
    return ProductHead(groups, n_theta, n_features, rank=8, width=32)


def simulate(n, d=1, seed=0):
    rng = np.random.default_rng(seed)
    theta = rng.normal(size=(n, d))
    return theta, theta + rng.normal(size=(n, d))


def normal_prior(d=1):
    return Prior(**{f"p{i}": scipy.stats.norm(0, 1) for i in range(d)})


# --- contrasts ----------------------------------------------------------------------
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("rows", [2, 3, 8, 64])
def test_contrasts_are_other_rows_without_repetition(loss, rows):
    shifts, joint, independent = Contrast(loss, 5, 1.0, 1.0).plan(rows)
    pairs = table(rows, shifts)
    own = np.arange(rows)
    if joint:
        assert (pairs[:, joint[0]] == own).all()
    for chosen in (joint[1:], independent):
        part = pairs[:, chosen]
        assert (part != own[:, None]).all()
        assert all(len(set(r)) == len(r) for r in part)
        # every θ is used equally often
        assert (np.bincount(part.ravel(), minlength=rows) == len(chosen)).all()
    if loss == "nre-c" and rows >= 10:
        assert not set(joint[1:]) & set(independent)


def test_contrasts_cost_linear_in_the_batch():
    """Trap: a B x B table. The number of pairs a row is the same for every batch."""
    for loss, columns in (("nre-a", 2), ("nre-b", 10), ("nre-c", 20), ("bnre", 2)):
        contrast = Contrast(loss, 10, 1.0, 1.0)
        assert {len(contrast.plan(b)[0]) for b in (50, 1000, 10_000)} == {columns}
    head = small_head(1, 2, 3)
    params = head.init(0)
    peaks = []
    for b in (1000, 10_000):
        contrast = Contrast("nre-b", 4, 1.0, 1.0)
        shifts, joint, independent = contrast.plan(b)
        pairs = table(b, shifts)
        theta, x = np.ones((b, 1, 2), np.float32), np.ones((b, 3), np.float32)

        def loss(p, theta, x, pairs=pairs, contrast=contrast, at=(joint, independent)):
            h = head.apply(p, {"theta": theta, "x": x, "pairs": pairs})
            return contrast(h, *at)

        step = gv.compile(gv.grad(loss))
        assert np.isfinite(step(params, theta, x)["a"]["0"]["bias"]).all()
        peaks.append(step.plan(params, theta, x).peak_bytes)
    assert peaks[1] < 11 * peaks[0]


def test_default_residual_head_is_that_of_the_literature():
    """17 985 weights for a one-dimensional marginal of ten features."""
    head = ResidualHead(3, 1, 10)
    leaves = gv.flatten(head.init(0))[0]
    assert sum(leaf.size for leaf in leaves) == 3 * 17_985


def test_residual_head_equals_one_network_for_each_group():
    """Split first layer and groups against the plain formula, in float64."""
    head = ResidualHead(2, 1, 3, width=5, blocks=1, norm=False, dropout=0.0)
    p = head.init(1, dtype="float64")
    rng = np.random.default_rng(2)
    theta, x = rng.normal(size=(4, 2, 1)), rng.normal(size=(4, 3))
    pairs = table(4, [0, 2])
    h = head.apply(p, {"theta": theta, "x": x, "pairs": pairs})
    relu = lambda a: np.maximum(a, 0)  # noqa: E731
    for g in range(2):
        weight_x = p["x"]["weight"].reshape(2, 5, 3)[g]
        block = {k: v for k, v in p["block0"].items()}
        one, two = block["1"], block["3"]
        for i in range(4):
            for j in range(2):
                z = p["theta"]["weight"][g] @ theta[pairs[i, j], g]
                z = z + p["theta"]["bias"][g] + weight_x @ x[i]
                y = one["weight"][g] @ relu(z) + one["bias"][g]
                y = two["weight"][g] @ relu(y) + two["bias"][g]
                out = p["last"]["weight"][g] @ (z + y) + p["last"]["bias"][g]
                assert h[i, j, g] == pytest.approx(out[0], rel=1e-12, abs=1e-15)


# --- standardisation ----------------------------------------------------------------
def test_standardisation_two_pass_values():
    """Trap: drifting or dividing by zero. Large offsets, a constant column, chunks."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(5000, 3, 2)) * 1e-3 + 1e4
    x[:, 1, 1] = 0.1
    s = Standardiser(x.shape[1:])
    for i in range(0, 5000, 700):
        s.update(x[i : i + 700])
    assert s.mean == pytest.approx(x.mean(0), rel=1e-14)
    two_pass = np.sqrt(((x - x.mean(0)) ** 2).mean(0))
    free = np.ones((3, 2), bool)
    free[1, 1] = False
    assert s.std[free] == pytest.approx(two_pass[free], rel=1e-9)
    assert s.std[1, 1] == 1.0
    z = s(x)
    assert z.dtype == np.float32 and np.isfinite(z).all()
    assert abs(z[:, 1, 1]).max() < 1e-6
    again = Standardiser.restore(s.arrays())
    assert (again(x) == z).all()


def test_standardisation_frozen_and_new_for_each_training():
    theta, x = simulate(300)
    seen = []
    est = NRE(normal_prior(), head=small_head, epochs=2, batch_size=50, validation=0)
    est.training["callback"] = lambda record: seen.append(est.standardiser.mean.copy())
    est.fit(theta, x)
    assert len(seen) == 2 and all((m == x.mean(0)).all() for m in seen)
    est.fit(theta, 3 * x + 1)
    assert est.standardiser.mean == pytest.approx(3 * x.mean(0) + 1)
    assert est.standardiser.std == pytest.approx(3 * x.std(0))


# --- training -----------------------------------------------------------------------
@pytest.mark.parametrize("loss", LOSSES)
def test_posterior_of_the_conjugate_pair(loss):
    theta, x = simulate(4000)
    est = NRE(
        normal_prior(), loss=loss, head=small_head, atoms=8, strength=10.0, **SMALL
    )
    est.fit(theta, x)
    for x_obs in (-1.0, 0.5):
        post = est.posterior([x_obs])
        draws = post.sample(4000, 0)
        width = 0.25 if loss == "bnre" else 0.15
        assert draws.mean() == pytest.approx(x_obs / 2, abs=0.15)
        assert draws.std() == pytest.approx(np.sqrt(0.5), rel=width)
        if loss in ("nre-a", "nre-c"):
            assert abs(post.log_evidence) < 0.15


def test_marginals_of_all_kinds_at_once():
    theta, x = simulate(3000, d=2, seed=1)
    est = NRE(normal_prior(2), marginals=[(0,), (0, 1)], head=small_head, **SMALL)
    est.fit(theta, x)
    x_obs = np.array([1.0, -0.5])
    h = est.log_ratio(theta[:7], x_obs)
    assert h.shape == (7, 2)
    exact = 0.5 * np.log(2) - 0.5 * (x_obs - theta[:7]) ** 2 + 0.25 * x_obs**2
    near = abs(theta[:7] - x_obs / 2).max(1) < 1.2
    assert near.sum() > 1
    assert h[near, 0] == pytest.approx(exact[near, 0], abs=0.3)
    assert h[near, 1] == pytest.approx(exact[near].sum(1), abs=0.4)
    draws = est.posterior(x_obs).marginal((0, 1)).sample(3000, 0)
    assert draws.mean(0) == pytest.approx(x_obs / 2, abs=0.2)


def test_many_marginals_are_trained_in_blocks():
    d = 130
    theta, x = simulate(60, d=d, seed=2)
    head = lambda g, q, f: ProductHead(g, q, f, rank=2, width=4)  # noqa: E731
    est = NRE(normal_prior(d), marginals="1d", head=head, epochs=1, batch_size=30)
    est.fit(theta, x)
    assert len(est.history) == 2
    assert est.log_ratio(theta[:3], x[:3]).shape == (3, d)
    one = est.log_ratio(theta[:3], x[0])
    # a marginal does not see the other parameters
    other = theta[:3].copy()
    other[:, 0] += 1
    changed = est.log_ratio(other, x[0]) != one
    assert changed[:, 0].all() and not changed[:, 1:].any()


def test_bank_sorted_by_parameter_trains_as_a_shuffled_one():
    """Trap: negatives from the next row of a sorted bank are nearly joint."""
    theta, x = simulate(2000, seed=4)
    order = np.argsort(theta[:, 0])
    loss = []
    for t, y in ((theta, x), (theta[order], x[order])):
        est = NRE(normal_prior(), loss="nre-a", head=small_head, **SMALL).fit(t, y)
        loss.append(est.history[0]["validation_loss"].min())
    # exact .6027; a validation loss over 200 rows has an error of .25/sqrt(200)
    assert loss[0] == pytest.approx(loss[1], abs=4 * 0.25 * np.sqrt(2 / 200))
    assert loss[1] == pytest.approx(0.6027, abs=4 * 0.25 / np.sqrt(200))


def test_fewer_rows_than_a_batch_and_no_batch_of_one_row():
    """Traps: 37 rows with batches of 200; a last batch without contrasts."""
    theta, x = simulate(37)
    est = NRE(normal_prior(), head=small_head, epochs=2, batch_size=200).fit(theta, x)
    assert np.isfinite(est.history[0][["train_loss", "validation_loss"]]).all(axis=None)
    for n in (40, 41, 42, 45):
        est = NRE(normal_prior(), head=small_head, epochs=1, batch_size=10)
        est.fit(*simulate(n))
        assert np.isfinite(est.history[0]["validation_loss"]).all()


def test_same_seed_same_weights():
    theta, x = simulate(200)
    params = []
    for threads in (1, 2):
        before = gv.get_threads()
        gv.set_threads(threads)
        est = NRE(normal_prior(), epochs=2, batch_size=50, rng=5).fit(theta, x)
        gv.set_threads(before)
        params.append(gv.flatten(est._blocks[0][1][0][0])[0])
    assert all((a == b).all() for a, b in zip(*params, strict=True))


def test_members_are_averaged():
    theta, x = simulate(200)
    est = NRE(normal_prior(), head=small_head, members=2, epochs=2).fit(theta, x)
    network, members = est._blocks[0]
    columns = est.coordinates(theta[:5])
    each = [network.rows(*m, columns, x[:5])[:, 0] for m in members]
    assert (each[0] != each[1]).all()
    assert est.log_ratio(theta[:5], x[:5]) == pytest.approx(np.mean(each, 0), abs=1e-12)


def test_batch_of_observations_equals_row_by_row_bitwise():
    """Trap: batched evaluation that mixes rows or rounds differently."""
    theta, x = simulate(300, d=2)
    for marginals in (None, "1d"):
        est = NRE(normal_prior(2), marginals=marginals, epochs=1).fit(theta, x)
        batch = est.log_ratio(theta[:40], x[:40])
        rows = np.stack([est.log_ratio(theta[i], x[i]) for i in range(40)])
        assert (batch == rows).all()
        every = est.log_ratio(theta[None, :9], x[:3, None])
        assert every.shape[:2] == (3, 9)
        assert all((every[i] == est.log_ratio(theta[:9], x[i])).all() for i in range(3))
        post = est.posterior(x[1])
        assert (post.log_ratio(theta[:9]) == every[1]).all()
        assert (post.log_prob(theta[:9])[4] == post.log_prob(theta[4:5])[0]).all()


def test_embedding_of_images_and_of_dicts():
    rng = np.random.default_rng(6)
    prior = normal_prior()
    theta = rng.normal(size=(200, 1))
    images = theta[:, :, None, None] + rng.normal(size=(200, 1, 4, 5))
    net = gv.nn.Sequential(gv.nn.Linear(5, 3), gv.nn.BatchNorm(1), Last())
    est = NRE(prior, embedding=net, epochs=1, head=small_head).fit(theta, images)
    assert est.log_ratio(theta[:3], images[:3]).shape == (3,)
    assert est.posterior(images[0]).sample(5, 0).shape == (5, 1)
    data = {"a": images, "b": theta + 1.0}
    with pytest.raises(ValueError, match="embedding"):
        NRE(prior).fit(theta, data)
    est = NRE(prior, embedding=Pick(), epochs=1, head=small_head).fit(theta, data)
    x_obs = {"a": images[0], "b": np.array([1.0])}
    assert est.posterior(x_obs).sample(5, 0).shape == (5, 1)
    assert est.log_ratio(theta[:4], {k: v[:4] for k, v in data.items()}).shape == (4,)


class Last(gv.nn.Layer):
    """Mean over the last axis."""

    def _forward(self, params, x, context):
        return x.mean(-1)


class Pick(gv.nn.Layer):
    """One entry of a dict."""

    def _forward(self, params, x, context):
        return x["b"]


def test_noise_redrawn_at_every_step():
    """Data without noise, noise added by the hook: the posterior is that with noise."""
    rng = np.random.default_rng(7)
    theta = rng.normal(size=(3000, 1))

    def redraw(batch, key):
        noise = gv.random.normal(key, batch["x"].shape, "float64")
        return {**batch, "x": batch["x"] + noise}

    est = NRE(normal_prior(), augment=redraw, head=small_head, **SMALL)
    draws = est.fit(theta, theta).posterior([0.5]).sample(4000, 0)
    assert draws.std() == pytest.approx(np.sqrt(0.5), rel=0.15)
    assert draws.mean() == pytest.approx(0.25, abs=0.15)
    # what is familiar is what the network saw: x ~ N(0, 2), not the raw N(0, 1)
    assert est.familiar.spaces["data"].sd == pytest.approx(np.sqrt(2), rel=0.1)
    assert est.familiar.test([3.2]).p_value > 0.01 > est.familiar.test([9.0]).p_value


@pytest.mark.parametrize("on_disk", [False, True])
def test_hook_that_needs_the_parameters(on_disk, tmp_path):
    """Noise whose size is a parameter, drawn anew by the graph that simulates.

    Oracle: the posterior of ln s given k numbers N(0, s^2) under a uniform prior, s^-k
    exp(-S / 2 s^2) on a grid.
    """
    prior = Prior(mean=(-1.0, 1.0), ln_s=(-1.0, 1.0))
    sim = Simulator(prior, targets="quiet")
    sim.node("quiet", lambda m: m[:, None] * np.ones(8), "mean")

    def noise(ln_s, rng):
        draws = gv.random.normal(rng, (len(ln_s), 8), "float64")
        return gv.ops.exp(ln_s)[:, None] * draws

    sim.node("noise", noise, "ln_s")
    sim.node("data", lambda a, b: a + b, "quiet", "noise")
    seen = []

    def redraw(batch, key):
        seen.append(batch["theta"].shape[1:])
        known = {"quiet": batch["x"], "data": batch["x"], "theta": batch["theta"]}
        return {**batch, "x": sim.resample(known, "noise", key)["data"]}

    bank = Bank(tmp_path / "a.h5", prior, sim)
    bank.simulate(3000)
    data = (bank,) if on_disk else (bank.theta[:], bank.x[:])
    est = NRE(prior, marginals="1d", augment=redraw, data="scores", epochs=30)
    est.fit(*data)
    assert set(seen) == {(2,)}
    x = 0.2 + np.exp(0.3) * np.array([-1.5, -1.0, -0.5, -0.1, 0.1, 0.5, 1.0, 1.5])
    m, s = np.meshgrid(np.linspace(-1, 1, 201), np.linspace(-1, 1, 201))
    square = ((x - m[..., None]) ** 2).sum(-1)
    w = np.exp(-8 * s - 0.5 * square * np.exp(-2 * s))
    exact = (w * s).sum() / w.sum()
    sd = np.sqrt((w * s * s).sum() / w.sum() - exact**2)
    draws = est.posterior(x).marginal("ln_s").sample(4000, 0)
    assert draws.mean() == pytest.approx(exact, abs=0.35 * sd)
    assert draws.std() == pytest.approx(sd, rel=0.25)


@pytest.mark.parametrize(
    "hook, error",
    [
        (lambda b, key: {**b, "theta": -b["theta"]}, "changed theta"),
        (lambda b, key: b["x"], "must return the batch"),
    ],
)
def test_hooks_that_do_not_fit(hook, error):
    theta, x = simulate(200)
    with pytest.raises((ValueError, TypeError), match=error):
        NRE(normal_prior(), augment=hook, head=small_head, **SMALL).fit(theta, x)


def test_wide_data_are_remembered_by_fewer_rows(monkeypatch):
    """Of 1000 rows of 300 000 numbers checks would take gigabytes."""
    theta, x = simulate(300, 4)
    options = {"head": small_head, **SMALL, "epochs": 1}
    for numbers, rows in ((1 << 25, 300), (800, 200), (100, 100)):
        monkeypatch.setattr("gradiverse.inference._watch._NUMBERS", numbers)
        est = NRE(normal_prior(4), **options).fit(theta, x)
        assert len(est.familiar.spaces["data"].rows) == rows


# --- failures -----------------------------------------------------------------------
@pytest.mark.parametrize(("failures", "third"), [("accident", 2), ("outcome", 3)])
def test_failed_simulations(failures, third):
    """v = exp(-θ²/2): posterior N(x/3, 1/3) for outcomes, N(x/2, 1/2) for accidents."""
    theta, x = simulate(8000, seed=8)
    rng = np.random.default_rng(9)
    x[rng.random(len(x)) > np.exp(-0.5 * theta[:, 0] ** 2)] = np.nan
    est = NRE(normal_prior(), failures=failures, head=small_head, **SMALL)
    share = np.isnan(x).mean()
    with pytest.warns(UserWarning, match=rf"{np.isnan(x).sum()} of 8000.*{failures}"):
        est.fit(theta, x)
    assert share == pytest.approx(1 - np.sqrt(0.5), abs=0.03)
    assert est.n_failed == np.isnan(x).sum() and est.n_rows == 8000
    draws = est.posterior([1.0]).sample(4000, 0)
    assert draws.mean() == pytest.approx(1 / third, abs=0.08)
    assert draws.std() == pytest.approx(np.sqrt(1 / third), rel=0.1)
    # both ways of asking agree
    h = est.log_ratio(theta[:4], np.ones((4, 1)))
    assert (h == est.posterior([1.0]).log_ratio(theta[:4])).all()


def test_no_warning_without_failures():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        NRE(normal_prior(), head=small_head, epochs=1).fit(*simulate(100))


# --- bad input ----------------------------------------------------------------------
def test_bad_input_says_what():
    prior = Prior(a=(0.0, 1.0))
    with pytest.raises(TypeError, match="no option"):
        NRE(prior, epoch=3)
    with pytest.raises(ValueError, match="accident"):
        NRE(prior, failures="ignore")
    with pytest.raises(ValueError, match="nre-a"):
        NRE(prior, loss="nre-d")
    with pytest.raises(TypeError, match="embedding"):
        NRE(prior, embedding=lambda x: x)
    with pytest.raises(ValueError, match="head"):
        NRE(prior, head="wide").fit(np.full((20, 1), 0.5), np.ones((20, 1)))
    with pytest.raises(ValueError, match="not trained"):
        NRE(prior).posterior([0.5])
    theta = np.full((20, 1), 0.5)
    with pytest.raises(ValueError, match="20 rows of theta, 19 of x"):
        NRE(prior).fit(theta, np.ones((19, 1)))
    with pytest.raises(ValueError, match="outside the prior"):
        NRE(prior).fit(theta + 1, np.ones((20, 1)))
    with pytest.raises(ValueError, match="valid rows"):
        NRE(prior).fit(theta, np.full((20, 1), np.nan))
    with pytest.raises(
        TypeError, match=r"prior is a tuple; give a gv\.inference\.Prior"
    ):
        NRE((0, 1))
    with pytest.raises(TypeError, match="a ndarray, without x"):
        NRE(prior).fit(theta)
    with pytest.raises(TypeError, match=r"a str, without x; give .*, or a Bank"):
        NRE(prior).fit("bank.h5")
    for error, match, more in (
        (ValueError, "members='two'; give an int", {"members": "two"}),
        (ValueError, "batch_size=0; give None or an int >= 2", {"batch_size": 0}),
        (ValueError, "refine: width=0; give", {"refine": {"width": 0}}),
        (ValueError, "validation='a'; give a share", {"validation": "a"}),
        (TypeError, "rng=None; give an int", {"rng": None}),
        (TypeError, "augment is a int; give a function", {"augment": 3}),
    ):
        with pytest.raises(error, match=match):
            NRE(prior, **more)
    with pytest.raises(TypeError, match="head gave a str; it must return a layer"):
        NRE(prior, head=lambda *shape: "wide").fit(theta, np.ones((20, 1)))
    for x in (3.0, ["a"] * 20, [None] * 20, {"a": theta, "b": ["a"] * 20}):
        with pytest.raises(TypeError, match="give numbers, one row for each"):
            NRE(prior, embedding=Pick()).fit(theta, x)
    with pytest.raises(ValueError, match="x is an empty dict"):
        NRE(prior, embedding=Pick()).fit(theta, {})
    est = NRE(prior, head=small_head, epochs=1).fit(theta, np.ones((20, 2)))
    with pytest.raises(ValueError, match=r"expected \(\.\.\., 1\)"):
        est.log_ratio(np.ones((4, 2)), np.ones(2))
    with pytest.raises(ValueError, match=r"axes \(4,\) of theta and \(3,\) of x"):
        est.log_ratio(np.ones((4, 1)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="one simulation"):
        est.posterior([1.0])
    for x in (None, "ab", [1j, 0.0]):
        with pytest.raises(TypeError, match=r"x holds .*; real numbers are needed"):
            est.posterior(x)
    with pytest.raises(ValueError, match="not finite"):
        est.posterior([1.0, np.nan])
    with pytest.raises(ValueError, match="theta has shape"):
        est.posterior([1.0, 1.0]).log_prob(np.ones((3, 2)))


def test_observations_of_another_shape_are_refused():
    """Numbers are never moved to other places; axes of length 1 in front are free."""
    rng = np.random.default_rng(5)
    theta = rng.normal(size=(40, 1))
    images = theta[:, :, None] + rng.normal(size=(40, 4, 6))
    est = NRE(normal_prior(), head=small_head, epochs=1).fit(theta, images)
    one = images[0]
    h = est.log_ratio(theta[:3], one)
    for same in (one, one[None], one[None, None], one.tolist()):
        assert (est.posterior(same).log_ratio(theta[:3]) == h).all()
    for other in (one.T, one.ravel(), one.reshape(2, 12), one[..., None], images[:2]):
        with pytest.raises(ValueError, match=r"one simulation has shape \(4, 6\)"):
            est.posterior(other)
        with pytest.raises(ValueError, match="one simulation"):
            est.member_log_ratios(theta[:3], other)
    with pytest.raises(ValueError, match="one simulation"):
        coverage(est, theta[:5], images[:5].transpose(0, 2, 1))
    with pytest.raises(ValueError, match="one simulation has"):
        est.log_ratio(theta[:5], images[:5].transpose(0, 2, 1))
    with pytest.raises(ValueError, match=r"x is a dict of a; a simulation is an array"):
        est.posterior({"a": one})
    # simulations with an axis of length 1 themselves; one number is one number
    rows = NRE(normal_prior(), head=small_head, epochs=1).fit(theta, images[:, :1])
    h = rows.posterior(one[:1]).log_ratio(theta[:3])
    assert (rows.posterior(one[0]).log_ratio(theta[:3]) == h).all()
    with pytest.raises(ValueError, match=r"one simulation has shape \(1, 6\)"):
        rows.posterior(one[:1].T)
    for x in (theta[:, 0], theta, theta[:, None]):
        number = NRE(normal_prior(), head=small_head, epochs=1).fit(theta, x)
        h = [number.posterior(o).log_ratio(theta[:3]) for o in (0.5, [0.5], [[0.5]])]
        assert (h[0] == h[1]).all() and (h[0] == h[2]).all()


def test_dicts_of_observations_that_do_not_fit():
    rng = np.random.default_rng(6)
    theta = rng.normal(size=(40, 1))
    x = {"a": rng.normal(size=(40, 2, 3)), "b": theta + 1.0}
    est = NRE(normal_prior(), embedding=Pick(), epochs=1, head=small_head).fit(theta, x)
    one = {k: v[0] for k, v in x.items()}
    h = est.log_ratio(theta[:8], one)
    for use in (est.posterior, lambda o: est.log_ratio(theta[:3], o)):
        with pytest.raises(ValueError, match=r"x lacks 'a': it has b, a sim.* a, b"):
            use({"b": one["b"]})
        with pytest.raises(ValueError, match="x is a ndarray; a simulation is a dict"):
            use(one["b"])
        with pytest.raises(ValueError, match=r"a has shape \(3, 2\); one simulation"):
            use({**one, "a": one["a"].T})
    # leading axes are those of all arrays together
    assert (est.log_ratio(theta[:8], {**one, "b": x["b"][:1]}) == h).all()
    many = est.log_ratio(theta[None, :8], {"a": one["a"], "b": x["b"][:2, None]})
    assert many.shape == (2, 8) and many[0] == pytest.approx(h, abs=1e-6)
    with pytest.raises(ValueError, match=r"leading axes \(3,\), \(2,\), which do not"):
        est.log_ratio(theta[:1], {"a": x["a"][:3], "b": x["b"][:2]})


def test_banks_of_another_prior_are_refused(tmp_path):
    """Columns by another order, other laws; joint or not, whole or as rows."""
    prior = Prior(a=(0.0, 1.0), b=scipy.stats.norm(0, 1))
    bank = Bank(tmp_path / "bank.h5", prior)
    theta = prior.sample(60, 0)
    bank.append(theta, theta + 0.1)
    how = {"head": small_head, "epochs": 1}
    turned = Prior(b=scipy.stats.norm(0, 1), a=(0.0, 1.0))
    wide = Prior(a=(0.0, 1.0), b=scipy.stats.norm(0, 2))
    for other in (turned, wide, wide.truncate([(0.0, 1.0), (-9.0, 9.0)])):
        for marginals in (None, "1d"):
            with pytest.raises(ValueError, match=r"NRE\.fit: the bank .*another prior"):
                NRE(other, marginals=marginals, **how).fit(bank)
    with pytest.raises(ValueError, match=r'"scale": 1.0.*"scale": 2.0'):
        NRE(wide, **how).fit(bank.theta, bank.x)
    for tool in (TMNRE, SNRE):
        with pytest.raises(ValueError, match=rf"{tool.__name__}: .*another prior"):
            tool(None, wide, np.zeros(2), budget=500, bank=bank)
    equal = Prior(a=(0.0, 1.0), b=scipy.stats.norm(0, 1))
    assert NRE(equal, **how).fit(bank).n_rows == 60
    # a box of it, if all rows are inside
    box = equal.truncate([(0.0, 1.0), (-9.0, 9.0)])
    assert NRE(box, **how).fit(bank).n_rows == 60


def test_banks_of_another_simulator_are_refused(tmp_path):
    prior = normal_prior()

    def one(theta, rng):
        return theta + rng.normal(size=theta.shape)

    def two(theta, rng):
        return theta - rng.normal(size=theta.shape)

    bank = Bank(tmp_path / "bank.h5", prior, one)
    for tool in (TMNRE, SNRE):
        with pytest.raises(ValueError, match=r"simulator is .*one.*given .*two"):
            tool(two, prior, np.zeros(1), budget=500, bank=bank)
        with pytest.raises(TypeError, match="bank is a int; give a path"):
            tool(one, prior, np.zeros(1), budget=500, bank=3)
        assert tool(None, prior, np.zeros(1), budget=500, bank=bank).n_simulations == 0


# --- files --------------------------------------------------------------------------
def test_saved_estimator_gives_the_same_bits(tmp_path):
    theta, x = simulate(300, d=2)
    x[:40] = np.nan
    path = tmp_path / "model.h5"
    for options in (
        {"marginals": "1d", "head": "residual", "members": 2},
        {"failures": "outcome"},
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            est = NRE(normal_prior(2), epochs=1, **options).fit(theta, x)
        est.save(path)
        again = NRE.load(path)
        assert repr(again) == repr(est) and again.n_failed == 40
        assert (again.log_ratio(theta, x[50]) == est.log_ratio(theta, x[50])).all()
    own = NRE(normal_prior(2), head=small_head, embedding=Same(), epochs=1)
    own.fit(theta[40:], {"b": x[40:]})
    own.save(path)
    again = NRE.load(path, embedding=Same(), head=small_head)
    x_obs = {"b": x[50]}
    assert (again.log_ratio(theta, x_obs) == own.log_ratio(theta, x_obs)).all()
    with pytest.raises(ValueError, match="embedding"):
        NRE.load(path, head=small_head)
    with pytest.raises(ValueError, match="head"):
        NRE.load(path, embedding=Same())
    gv.train.save(path, {"a": np.ones(2)}, {"width": 3})
    with pytest.raises(ValueError, match="ratio estimator"):
        NRE.load(path)


def test_saved_estimator_of_distributions_of_ones_own(tmp_path):
    """A file holds their names alone: they are given to load, and checked."""

    class Own:
        def __init__(self, scale):
            law = scipy.stats.norm(0, scale)
            self.cdf, self.sf, self.ppf = law.cdf, law.sf, law.ppf
            self.isf, self.logpdf, self.support = law.isf, law.logpdf, law.support

    theta, x = simulate(100)
    path = tmp_path / "model.h5"
    prior = Prior(p0=Own(1.0))
    est = NRE(prior, epochs=1).fit(theta, x)
    est.save(path)
    with pytest.raises(ValueError, match=r"'p0' is an object .*load\(path, prior="):
        NRE.load(path)
    again = NRE.load(path, prior=Prior(p0=Own(1.0)))
    assert (again.log_ratio(theta, x[5]) == est.log_ratio(theta, x[5])).all()
    for other in (Prior(p0=Own(2.0)), Prior(p1=Own(1.0)), normal_prior()):
        with pytest.raises(ValueError, match="trained with another prior, of p0"):
            NRE.load(path, prior=other)
    with pytest.raises(TypeError, match="prior is a tuple"):
        NRE.load(path, prior=(0, 1))
    # of any other prior too, boxes included
    box = Prior(p0=(-9.0, 9.0)).truncate([(-8.0, 8.0)])
    NRE(box, epochs=1).fit(theta, x).save(path)
    assert NRE.load(path, prior=box).prior == box
    with pytest.raises(ValueError, match="another prior"):
        NRE.load(path, prior=box.untruncated)


class Same(gv.nn.Layer):
    """One entry of a dict."""

    def _forward(self, params, x, context):
        return x["b"]


def test_normal_scores_of_data():
    """Scores against their definition: monotone, N(0, 1) for any law, flat outside."""
    rng = np.random.default_rng(11)
    x = np.exp(6 * rng.normal(size=(20_000, 3)))
    x[:, 1] = rng.integers(0, 3, len(x))
    x[:, 2] = 7.0
    s = Scores.of(x)
    out = s(x)
    assert out.shape == (20_000, 6) and np.isfinite(out).all()
    # beyond ±3 sd a logarithm: order is kept, nothing is far out
    z = (x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1)
    bent = np.sign(z) * 3 * (1 + np.log(np.maximum(abs(z) / 3, 1)))
    want = np.where(abs(z) <= 3, z, bent)
    assert np.allclose(out[:, :3], want, rtol=1e-5, atol=1e-6)
    assert abs(z).max() > 100 and abs(out[:, :3]).max() < 20
    scores = out[:, 3].astype(float)
    order = np.argsort(x[:, 0])
    assert (np.diff(scores[order]) >= 0).all()
    assert scores.mean() == pytest.approx(0, abs=0.02)
    near = abs(scores) < 1.5
    exact = scipy.stats.norm.ppf(scipy.stats.rankdata(x[:, 0]) / (len(x) + 1))
    # an interval of 1/64 of the rows is at most .12 long where |score| < 1.5
    assert abs(scores - exact)[near].max() < 0.12
    assert len(set(out[:, 4])) == 3 and (out[:, 5] == out[0, 5]).all()
    far = s(np.array([[1e300, 2.0, 8.0], [-1.0, -5.0, 6.0]]))
    assert far[0, 3] == pytest.approx(scores.max(), abs=1e-6)
    assert far[1, 3] == pytest.approx(scores.min(), abs=1e-6)
    traced = gv.compile(lambda a: s(a))(x[:50])
    assert (np.asarray(traced) == out[:50]).all()
    again = restore(s.arrays())
    assert (again(x) == out).all()
    est = NRE(normal_prior(), data="scores", head=small_head, epochs=1)
    theta, x = simulate(200)
    assert est.fit(theta, x).log_ratio(theta[:3], x[:3]).shape == (3,)
    with pytest.raises(ValueError, match="vectors"):
        est.fit(theta, x[:, :, None])


@pytest.mark.parametrize("on_disk", [False, True])
def test_validation_rows_do_not_standardise(on_disk, tmp_path):
    """Moments come from the rows trained on alone: spoilt others leave the weights."""
    prior = Prior(a=(-1.0, 1.0))
    rng = np.random.default_rng(3)
    theta = prior.sample(300, rng)
    x = theta + 0.1 * rng.normal(size=theta.shape)

    def fitted(x):
        data = (theta, x)
        if on_disk:
            bank = Bank(tmp_path / f"{x.max():.0f}.h5", prior)
            bank.append(theta, x)
            data = (bank,)
        # one epoch: the weights are those of its end, whatever the validation says
        return NRE(prior, epochs=1, validation=0.2, batch_size=50).fit(*data)

    spoilt = x.copy()
    held = np.random.default_rng(20_210).permutation(300)[-60:]
    spoilt[held] += 1000.0
    first, second = fitted(x), fitted(spoilt)
    assert np.array_equal(first.standardiser.mean, second.standardiser.mean)
    assert first.standardiser.n == 240
    at = theta[:5], x[:5]
    assert np.array_equal(first.log_ratio(*at), second.log_ratio(*at))
