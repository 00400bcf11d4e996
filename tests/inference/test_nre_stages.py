"""Scaling to some rows (`near`) and networks in two stages (`refine`).

Exact: moments of the rows themselves, the heads' formulas in float64, central
differences, the conjugate pair θ ~ N(0, 1), x = θ + N(0, s²), and the ring x = |θ| +
N(0, .02²), whose posterior is summed over a grid.
"""

import warnings

import numpy as np
import pytest
import scipy.stats

import gradiverse as gv
from gradiverse.inference import NRE, Bank, Prior
from gradiverse.inference._contrasts import table
from gradiverse.inference._coordinates import Coordinates
from gradiverse.inference._heads import ProductHead, RefinedHead
from gradiverse.inference._pool import _within, open_pool
from gradiverse.inference._standardise import Scores, Standardiser, bent

SHORT = {"epochs": 1, "refine": {"epochs": 1, "width": 8}}


def small_head(groups, n_theta, n_features):
    return ProductHead(groups, n_theta, n_features, rank=8, width=32)


def square():
    return Prior(a=(-1.0, 1.0), b=(-1.0, 1.0))


def simulate(n, seed=0, s=0.3):
    rng = np.random.default_rng(seed)
    theta = square().sample(n, rng)
    return theta, theta + s * rng.normal(size=theta.shape)


def trained(n, held):
    """Rows that are trained on, and those held out for validation."""
    order = np.random.default_rng(20_210).permutation(n)
    return np.sort(order[: n - held]), order[n - held :]


# --- near: coordinates --------------------------------------------------------------
@pytest.mark.parametrize("marginals", [None, "1d"])
def test_coordinates_of_the_near_rows_have_unit_moments(marginals):
    theta, x = simulate(2000)
    near = abs(theta[:, 0] - theta[:, 1] - 0.3) < 0.2
    est = NRE(square(), marginals=marginals, head=small_head, epochs=1, validation=200)
    est.fit(theta, x, near=near)
    rows, _ = trained(2000, 200)
    rows = rows[near[rows]]
    columns = est.coordinates(theta[rows]).astype(float)
    assert columns.shape == (len(rows), 2, 2)
    plain = Coordinates(square(), est.marginals)(theta[rows]).astype(float)
    for k in range(2):  # normal scores, and the cdf
        part = columns[:, :, k]
        inside = abs(part) < 3  # beyond they are bent
        part = np.where(inside, part, np.sign(part) * 3 * np.exp(abs(part) / 3 - 1))
        # float32 of numbers of the size of one
        assert part.mean(0) == pytest.approx(np.zeros(2), abs=1e-5)
        covariance = np.cov(part.T)
        assert np.diag(covariance) == pytest.approx(np.ones(2), rel=1e-4)
        r = np.corrcoef(plain[:, :, k].T)[0, 1] if marginals else 0.0
        assert covariance[0, 1] == pytest.approx(r, abs=1e-4)
        assert marginals is None or r > 0.8


def test_bend_is_linear_within_three_and_a_logarithm_beyond():
    w = np.linspace(-60, 60, 20_001)
    curve = bent(w)
    beyond = np.sign(w) * 3 * (1 + np.log(np.maximum(abs(w), 3) / 3))
    assert curve == pytest.approx(np.where(abs(w) <= 3, w, beyond), abs=1e-12)
    # continuous with its slope, in order
    slope = np.diff(curve) / np.diff(w)
    assert slope.min() > 0 and abs(np.diff(slope)).max() < 0.01
    # so are the coordinates of a parameter about a narrow part of its prior
    prior = Prior(a=(0.0, 1.0))
    plain = Coordinates(prior, ((0,),))
    about = plain.centred(plain.scores(np.linspace(0.7, 0.702, 50)[:, None]))
    columns = about(np.linspace(1e-6, 1 - 1e-6, 4001)[:, None])[:, 0]
    assert (np.diff(columns, axis=0) > 0).all() and abs(columns).max() < 40
    assert plain.frames is None


def test_data_are_scaled_to_the_near_rows():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(500, 3)) * [1.0, 5.0, 2.0]
    near = np.arange(100, 200)
    x[near] = x[near] * 0.01 + 4.0
    x[near, 2] = 0.5
    s = Standardiser.of(x, None, near)
    assert s.n == 100 and s.mean == pytest.approx(x[near].mean(0))
    assert s.std[:2] == pytest.approx(x[near, :2].std(0))
    # a number that is constant near keeps the scale of all rows
    assert s.std[2] == pytest.approx(x[:, 2].std())
    again = Standardiser.restore(s.arrays())
    assert again(x).tobytes() == s(x).tobytes()
    both = Scores.of(x, None, near)
    every = Scores.of(x)
    assert (both.knots == every.knots).all() and (both.values == every.values).all()
    assert (both.moments.mean == s.mean).all() and (both.moments.std == s.std).all()


@pytest.mark.parametrize("data", ["standard", "scores"])
def test_validation_rows_take_no_part(data):
    theta, x = simulate(300, seed=2)
    near = abs(theta).max(1) < 0.7
    _, held = trained(300, 60)

    def fitted(theta, x, near):
        est = NRE(square(), data=data, head=small_head, epochs=1, validation=60)
        return est.fit(theta, x, near=near)

    first = fitted(theta, x, near)
    theta, x, near = theta.copy(), x.copy(), near.copy()
    theta[held], x[held], near[held] = -theta[held], x[held] + 1000.0, True
    second = fitted(theta, x, near)
    for (m, a), (n, b) in zip(
        first.coordinates.frames, second.coordinates.frames, strict=True
    ):
        assert (m == n).all() and (a == b).all()
    assert (first.standardiser(x[:5]) == second.standardiser(x[:5])).all()
    at = np.zeros((3, 2)), np.zeros(2)
    assert (first.log_ratio(*at) == second.log_ratio(*at)).all()


@pytest.mark.parametrize(("d", "s", "width"), [(1, 0.1, 0.4), (2, 0.3, 1.0)])
def test_posterior_with_prior_rows_scaled_to_some(d, s, width):
    """`near` changes how rows are seen, not what they are draws of."""
    prior = Prior(**{f"p{i}": scipy.stats.norm(0, 1) for i in range(d)})
    rng = np.random.default_rng(0)
    x_obs = np.array([0.5, -1.0])[:d]
    theta = prior.sample(4000 if d > 1 else 2000, rng)
    x = theta + s * rng.normal(size=theta.shape)
    near = abs(x - x_obs).max(1) < width
    est = NRE(prior, head=small_head, atoms=64, epochs=40).fit(theta, x, near=near)
    post = est.posterior(x_obs)
    draws = post.sample(4000, 0)
    sd = s / np.sqrt(1 + s**2)
    # seen for three seeds: means within .08 sd, widths to 1.22 sd, evidence within .09
    assert draws.mean(0) == pytest.approx(x_obs / (1 + s**2), abs=0.16 * sd)
    assert ((draws.std(0) > 0.85 * sd) & (draws.std(0) < 1.44 * sd)).all()
    assert abs(post.log_evidence) < 0.2


def test_wrong_near_is_refused():
    theta, x = simulate(100)
    est = NRE(square(), head=small_head, epochs=1)
    for near in (
        np.arange(5),
        np.ones(99, bool),
        np.ones(100),
        np.ones((100, 1), bool),
    ):
        with pytest.raises(ValueError, match="near must be a mask of 100 rows, not"):
            est.fit(theta, x, near=near)
    few = np.zeros(100, bool)
    few[trained(100, 10)[0][:2]] = True
    with pytest.raises(ValueError, match=r"2 rows near; more than .* \(2\)"):
        est.fit(theta, x, near=few)
    # failed rows do not count
    x[trained(100, 10)[0][:90]] = np.nan
    with (
        pytest.warns(UserWarning, match="90 of 100"),
        pytest.raises(ValueError, match="0 rows near"),
    ):
        est.fit(theta, x, near=np.isnan(x[:, 0]))


def test_near_rows_of_a_bank_and_of_blocks(tmp_path):
    theta, x = simulate(200)
    x[::7] = np.nan
    near = theta[:, 0] > 0
    bank = Bank(tmp_path / "bank.h5", square())
    bank.append(theta, x)
    frames, standard = [], []
    for data in ((bank,), (theta, x)):
        est = NRE(square(), head=small_head, epochs=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            est.fit(*data, near=near)
        frames.append(est.coordinates.frames[0])
        standard.append(est.standardiser.mean)
    assert (standard[0] == standard[1]).all()
    assert all((a == b).all() for a, b in zip(*frames, strict=True))
    d = 130
    prior = Prior(p=(np.full(d, -1.0), np.full(d, 1.0)))
    theta = prior.sample(180, 0)
    head = lambda g, q, f: ProductHead(g, q, f, rank=2, width=4)  # noqa: E731
    est = NRE(prior, marginals="1d", head=head, epochs=1)
    est.fit(theta, theta, near=np.arange(180) < 170)
    assert len(est._blocks) == 2
    rows = [est.log_ratio(theta[i], theta[i]) for i in range(3)]
    assert (est.log_ratio(theta[:3], theta[:3]) == rows).all()


# --- refine -------------------------------------------------------------------------
def silu(a):
    return a / (1 + np.exp(-a))


def product_by_hand(p, theta, x, rank, own_skip=False):
    """f(θ) · g(x) / √rank + a(θ) of one group, weights (1, out, in)."""

    def net(q, v, skip=True):
        y = v
        for i in range(3):
            y = q[str(i)]["weight"][0] @ y + q[str(i)]["bias"][0]
            y = silu(y) if i < 2 else y
        return y + q["skip"]["weight"][0] @ v if skip else y

    product = net(p["f"], theta) @ net(p["g"], x) / np.sqrt(rank)
    return product + net(p["a"], theta, skip=own_skip)[0]


def pairs_by_hand(p, theta, x, blocks):
    z = p["theta"]["weight"][0] @ theta + p["theta"]["bias"][0] + p["x"]["weight"] @ x
    for i in range(blocks):
        one, two = p[f"block{i}"]["1"], p[f"block{i}"]["3"]
        y = one["weight"][0] @ silu(z) + one["bias"][0]
        z = z + two["weight"][0] @ silu(y) + two["bias"][0]
    return p["last"]["weight"][0, 0] @ z + p["last"]["bias"][0, 0]


def noisy(params, seed, scale):
    """Parameters with noise, so that none of them is zero."""
    rng = np.random.default_rng(seed)
    leaves, tree = gv.flatten(params)
    return tree.unflatten([v + scale * rng.normal(size=v.shape) for v in leaves])


def test_refined_head_is_product_plus_pairs():
    head = RefinedHead(ProductHead(1, 2, 3, rank=4, width=5), width=6)
    p = noisy(head.init(1, dtype="float64"), 2, 0.3)
    rng = np.random.default_rng(3)
    theta, x = rng.normal(size=(4, 1, 2)), rng.normal(size=(4, 3))
    pairs = table(4, [0, 2])
    h = head.apply(p, {"theta": theta, "x": x, "pairs": pairs})
    assert h.shape == (4, 2, 1)
    for i in range(4):
        for j in range(2):
            t = theta[pairs[i, j], 0]
            want = product_by_hand(p["product"], t, x[i], 4)
            want += pairs_by_hand(p["pairs"], t, x[i], 2)
            assert h[i, j, 0] == pytest.approx(want, rel=1e-12, abs=1e-13)
    # the part of x by itself, and all θ with one x
    part = head.apply(p, {"x": x[1:2]})
    assert set(part) == {"product", "pairs"}
    grid = head.apply(p, {"theta": theta, "part": part})
    assert grid[0, pairs[1], 0] == pytest.approx(h[1, :, 0], rel=1e-12)


def test_quadratic_head():
    """θ enters beside its products, on a linear path of a too."""
    head = ProductHead(1, 2, 3, rank=4, width=5, quadratic=True)
    assert (head.init(0)["a"]["skip"]["weight"] == 0).all()
    p = noisy(head.init(1, dtype="float64"), 2, 0.3)
    rng = np.random.default_rng(3)
    theta, x = rng.normal(size=(4, 1, 2)), rng.normal(size=(1, 3))
    h = head.apply(p, {"theta": theta, "x": x})
    for i in range(4):
        a, b = theta[i, 0]
        t = np.array([a, b, a * a, a * b, b * b])
        want = product_by_hand(p, t, x[0], 4, own_skip=True)
        assert h[0, i, 0] == pytest.approx(want, rel=1e-12, abs=1e-13)


def test_refined_head_gradient():
    """Against central differences in float64, steps of 1e-6: errors below 1e-8."""
    head = RefinedHead(ProductHead(2, 1, 3, rank=2, width=3), width=4, blocks=1)
    p = noisy(head.init(4, dtype="float64"), 5, 0.3)
    rng = np.random.default_rng(6)
    given = {
        "theta": rng.normal(size=(5, 2, 1)),
        "x": rng.normal(size=(5, 3)),
        "pairs": table(5, [0, 1, 3]),
    }

    def loss(p):
        return (head.apply(p, given) ** 2).sum()

    slopes = gv.flatten(gv.grad(loss)(p))[0]
    leaves, tree = gv.flatten(p)
    for k, leaf in enumerate(leaves):
        at = np.unravel_index(rng.integers(leaf.size), leaf.shape)
        values = []
        for step in (1e-6, -1e-6):
            moved = [v.copy() for v in leaves]
            moved[k][at] += step
            values.append(loss(tree.unflatten(moved)))
        slope = (values[0] - values[1]) / 2e-6
        assert slopes[k][at] == pytest.approx(slope, rel=1e-6, abs=1e-7)


def test_second_stage_starts_at_the_trained_product():
    theta, x = simulate(300)
    how = {"epochs": 2, "rng": 3}
    product = NRE(square(), **how).fit(theta, x)
    still = {"epochs": 1, "learning_rate": 1e-12}
    both = NRE(square(), refine=still, **how).fit(theta, x)
    one = product._blocks[0][1][0][0]["head"]
    two = both._blocks[0][1][0][0]["head"]
    for a, b in zip(gv.flatten(one)[0], gv.flatten(two["product"])[0], strict=True):
        assert a == pytest.approx(b, abs=1e-9)
    h, g = product.log_ratio(theta, x[0]), both.log_ratio(theta, x[0])
    # the network of pairs starts with last weights of 1e-3
    assert abs(h).max() > 1 and 0 < abs(h - g).max() < 0.01
    assert len(both.history) == 1 and both.history[0].epoch.tolist() == [0, 1]


def test_pairs_that_gain_nothing_are_left_out():
    """Trap: twenty numbers of noise for a network of pairs to learn by heart."""
    rng = np.random.default_rng(1)
    theta = square().sample(600, rng)
    x = theta[:, :1] + rng.normal(size=(600, 20))
    how = {"epochs": 100, "rng": 3}
    hard = {"epochs": 8, "learning_rate": 2e-2}
    product = NRE(square(), **how).fit(theta, x)
    both = NRE(square(), refine=hard, **how).fit(theta, x)
    losses = both.history[0].validation_loss
    assert losses.idxmin() == 0 and losses[1:].min() > losses[0] + 0.01
    h, g = product.log_ratio(theta, x[0]), both.log_ratio(theta, x[0])
    # the network of pairs is that of the start, with last weights of 1e-3
    assert abs(h - g).max() < 0.01


def test_refinement_of_a_ring():
    """x = |θ| + N(0, .02²): mean log density of the posterior at truths, by a grid."""
    s, prior, rng = 0.02, square(), np.random.default_rng(0)

    def draw(n):
        theta = prior.sample(n, rng)
        r = np.linalg.norm(theta, axis=1, keepdims=True)
        return theta, r + s * rng.normal(size=r.shape)

    theta, x = draw(3000)
    truth, data = draw(30)
    g = (np.arange(100) + 0.5) / 50 - 1
    grid = np.stack(np.meshgrid(g, g), -1).reshape(-1, 2)

    def score(log_ratio):
        out = []
        for t, y in zip(truth, data, strict=True):
            h = log_ratio(grid, y)
            top = h.max()
            out.append(log_ratio(t[None], y)[0] - top - np.log(np.exp(h - top).mean()))
        return np.mean(out)

    exact = score(lambda t, y: -0.5 * ((np.linalg.norm(t, axis=1) - y) / s) ** 2)
    product, refined = (
        score(NRE(prior, epochs=30, refine=refine).fit(theta, x).log_ratio)
        for refine in (False, {"epochs": 30})
    )
    # seen for three seeds: .10 to .12 better, .15 to .30 below the exact one
    assert product + 0.04 < refined < exact


@pytest.mark.parametrize("marginals", [None, "1d"])
def test_saved_estimator_gives_the_same_bits(marginals, tmp_path):
    theta, x = simulate(200)
    est = NRE(square(), marginals=marginals, members=2, data="scores", **SHORT)
    est.fit(theta, x, near=abs(theta).max(1) < 0.5)
    est.save(tmp_path / "model.h5")
    again = NRE.load(tmp_path / "model.h5")
    assert again.refine == est.refine and len(again.coordinates.frames) == 2
    assert (again.log_ratio(theta, x[5]) == est.log_ratio(theta, x[5])).all()
    assert (again.log_ratio(theta, x) == est.log_ratio(theta, x)).all()
    each = est.member_log_ratios(theta, x[5])
    assert (each == again.member_log_ratios(theta, x[5])).all()
    mean = est.log_ratio(theta, x[5]).reshape(200, -1)
    assert each.mean(0) == pytest.approx(mean, abs=1e-12)
    one = est.posterior(x[5]).sample(30, 1)
    assert (one == again.posterior(x[5]).sample(30, 1)).all()
    # trained again without near, nothing of it is left
    fresh = NRE(square(), marginals=marginals, members=2, data="scores", **SHORT)
    at = theta, x[5]
    assert (
        est.fit(theta, x).log_ratio(*at) == fresh.fit(theta, x).log_ratio(*at)
    ).all()


def test_saved_validity_beside_near_rows(tmp_path):
    """The classifier of validity sees all of the prior, and does so in the file too."""
    theta, x = simulate(300)
    x[theta[:, 0] > 0.5] = np.nan
    est = NRE(square(), failures="outcome", head=small_head, epochs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        est.fit(theta, x, near=abs(theta).max(1) < 0.4)
    est.save(tmp_path / "model.h5")
    again = NRE.load(tmp_path / "model.h5", head=small_head)
    at = theta, np.zeros(2)
    assert (again.log_ratio(*at) == est.log_ratio(*at)).all()
    # a second training does not see the rows of the first one
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        est.fit(theta, x)
        fresh = NRE(square(), failures="outcome", head=small_head, epochs=1)
        fresh.fit(theta, x)
    assert (fresh.log_ratio(*at) == est.log_ratio(*at)).all()


def test_refined_network_behind_an_embedding_with_statistics(tmp_path):
    """Running statistics go from the first stage into the second, and to the file."""
    theta, x = simulate(200)
    net = gv.nn.Sequential(gv.nn.Linear(2, 6), gv.nn.BatchNorm(6))
    est = NRE(square(), embedding=net, **SHORT).fit(theta, x)
    est.save(tmp_path / "model.h5")
    again = NRE.load(tmp_path / "model.h5", embedding=net)
    assert (again.log_ratio(theta, x[5]) == est.log_ratio(theta, x[5])).all()
    rows = [est.log_ratio(theta[i], x[i]) for i in range(5)]
    assert (est.log_ratio(theta[:5], x[:5]) == rows).all()


def test_options_of_the_refinement():
    assert NRE(square()).refine is None and NRE(square(), refine=None).refine is None
    every = NRE(square(), refine=True).refine
    assert every["atoms"] == 8 and every["epochs"] == 60
    assert NRE(square(), refine={}).refine == every
    assert NRE(square(), refine={"width": 9}).refine == {**every, "width": 9}
    for head in ("residual", small_head):
        with pytest.raises(ValueError, match="refine is for the default head"):
            NRE(square(), head=head, refine=True)
    with pytest.raises(TypeError, match="refine has no option epoch; there are atoms"):
        NRE(square(), refine={"epoch": 3})
    with pytest.raises(TypeError, match="refine=5; give True"):
        NRE(square(), refine=5)


# --- rows ---------------------------------------------------------------------------
def test_batches_of_two_of_an_odd_number_are_refused():
    """An odd number of rows leaves one by itself however many are held out."""
    theta, x = simulate(101)
    for validation in (0.1, 0):
        est = NRE(square(), head=small_head, batch_size=2, validation=validation)
        with pytest.raises(ValueError, match="101 rows leave one of a batch of 2"):
            est.fit(theta, x)


def test_rows_of_a_bank_outside_the_box_did_not_fail(tmp_path):
    """Validity is .5 in the box; what the bank holds outside of it says nothing."""
    theta, x = simulate(3000)
    x[np.random.default_rng(1).random(3000) < 0.5] = np.nan
    box = np.array([[0.0, 0.5], [-1.0, 1.0]])
    bank = Bank(tmp_path / "bank.h5", square())
    bank.append(theta, x)
    pool = open_pool(bank, square(), None, None, 1000, "test")
    prior = square().truncate(box)
    est = NRE(prior, marginals="1d", failures="outcome", head=small_head, epochs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        est.fit(*pool.data(box))
        inside = _within(theta, box)
        plain = NRE(
            prior, marginals="1d", failures="outcome", head=small_head, epochs=1
        ).fit(theta[inside], x[inside])
    at = prior.sample(200, 0)
    z = est.coordinates.scores(at)
    v = est.validity.log_scores(z)
    assert v == pytest.approx(plain.validity.log_scores(z), abs=1e-6)
    # 750 rows: .5 ± .02, and what the classifier makes of it
    assert np.exp(v).mean(0) == pytest.approx([0.5, 0.5], abs=0.1)


def test_marginal_of_a_joint_posterior_of_all_parameters():
    theta, x = simulate(100)
    post = NRE(square(), head=small_head, epochs=1).fit(theta, x).posterior(x[0])
    at = theta[:4]
    assert (post.marginal((0, 1)).log_prob(at) == post.log_prob(at)).all()
