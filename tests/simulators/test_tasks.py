"""Benchmark tasks: densities, exact posteriors, published check values."""

import numpy as np
import pytest
from scipy import stats

from gradiverse import simulators
from gradiverse.simulators import _tempering
from gradiverse.simulators._slcp import Slcp

CLOSED = ["gaussian_linear", "gaussian_linear_uniform", "gaussian_mixture",
          "two_moons", "torus"]  # fmt: skip


@pytest.mark.parametrize("name", simulators.names())
def test_shapes_seeds_and_names(name):
    task = simulators.task(name)
    theta = task.prior.sample(7, rng=0)
    x = task.simulate(theta, rng=1)
    assert x.shape == (7, task.x_dim) and x.dtype == np.float64
    assert task.d == theta.shape[1] == len(task.prior.names)
    assert np.array_equal(x, task.simulate(theta, np.random.default_rng(1)))
    assert not np.array_equal(x, task.simulate(theta, rng=2))
    assert np.isfinite(task.log_likelihood(theta, x[0])[0])


@pytest.mark.parametrize("name", CLOSED)
def test_simulator_and_posterior_agree(name):
    # theta ~ prior, x ~ simulator, t ~ posterior(x): the rank of theta among t is
    # uniform in every parameter (Cook et al. 2006); also on its product with x
    task, n, draws = simulators.task(name), 400, 19
    theta = task.prior.sample(n, rng=3)
    x = task.simulate(theta, rng=4)
    t = np.stack([task.posterior(x[i], draws, rng=i) for i in range(n)])
    for quantity in (lambda a: a, lambda a: a[..., :1] * a, np.abs):
        rank = (quantity(t) < quantity(theta)[:, None]).sum(axis=1)
        for column in rank.T:
            counts = np.bincount(column // 4, minlength=5)
            assert stats.chisquare(counts).pvalue > 1e-4


def test_two_moons_and_mixture_densities_integrate_to_what_is_simulated():
    # share of draws in a box against the midpoint sum of the density: binomial error
    for name, theta, box in (
        ("two_moons", [0.3, -0.2], ((0.15, 0.24), (-0.40, -0.25))),
        ("gaussian_mixture", [1.0, 2.0], ((0.9, 1.6), (1.95, 3.0))),
    ):
        task = simulators.task(name)
        x = task.simulate(np.tile(theta, (200_000, 1)), rng=0)
        axes = [lo + (hi - lo) * (np.arange(300) + 0.5) / 300 for lo, hi in box]
        cell = np.prod([a[1] - a[0] for a in axes])
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
        density = [np.exp(task.log_likelihood([theta], g)[0]) for g in grid[::9]]
        expected = np.mean(density) * cell * len(grid)
        inside = np.all([(x[:, k] > b[0]) & (x[:, k] < b[1])
                         for k, b in enumerate(box)], axis=0).mean()  # fmt: skip
        assert 0.05 < inside < 0.95
        assert abs(inside - expected) < 5 * np.sqrt(inside / len(x)) + 2e-3, name


def test_constants_of_the_likelihoods():
    # the published laws, written out with SciPy
    t, x = np.full((1, 10), 0.3), np.linspace(-1, 1, 10)
    want = stats.norm(0.3, np.sqrt(0.1)).logpdf(x).sum()
    for name in ("gaussian_linear", "gaussian_linear_uniform"):
        assert simulators.task(name).log_likelihood(t, x)[0] == pytest.approx(want)
    narrow = stats.norm(0, np.sqrt(0.1))
    assert simulators.task("gaussian_linear").prior.log_prob(t)[0] == pytest.approx(
        narrow.logpdf(0.3) * 10
    )
    task = simulators.task("gaussian_mixture")
    for gap in (0.05, 0.5, 2.0):
        wide, core = (stats.multivariate_normal([0, 0], v).pdf([gap, 0])
                      for v in (1.0, 0.01))  # fmt: skip
        got = task.log_likelihood(np.array([[1.0, 2.0]]), [1.0 + gap, 2.0])
        assert got[0] == pytest.approx(np.log(0.5 * wide + 0.5 * core))
    assert task.prior.bounds.tolist() == [[-10.0, 10.0]] * 2
    t = np.array([[0.3, 0.4]])
    rho, a = 0.12, 0.7
    x = np.array([rho * np.cos(a) + 0.25, rho * np.sin(a)])
    x += np.array([-0.7, 0.1]) / np.sqrt(2)
    want = stats.norm(0.1, 0.01).logpdf(rho) - np.log(np.pi * rho)
    task = simulators.task("two_moons")
    assert task.log_likelihood(t, x)[0] == pytest.approx(want)
    x[0] -= 2 * rho * np.cos(a)  # the other half of the ring
    assert task.log_likelihood(t, x)[0] == -np.inf
    t, x = np.array([[0.62, 0.85, 0.4]]), np.array([0.6, 0.05, 0.7])
    want = stats.norm(0.62, 0.03).logpdf(0.6) + stats.norm(0.4, 0.2).logpdf(0.7)
    want += stats.norm(np.hypot(0.02, 0.05), 0.005).logpdf(0.05)
    assert simulators.task("torus").log_likelihood(t, x)[0] == pytest.approx(want)


def test_torus_posterior_by_quadrature():
    # a small ring: equal area weighs large radii, .17 sd of the mean radius
    task = simulators.task("torus")
    draws = task.posterior(task.observation, 20_000, rng=0)
    axis = np.linspace(-0.07, 0.07, 561)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    theta = np.column_stack([grid + np.array([0.6, 0.8]), np.ones(len(grid))])
    h = task.log_likelihood(theta, task.observation)
    w = np.exp(h - h.max())
    w /= w.sum()
    for f in (lambda t: np.hypot(t[:, 0] - 0.6, t[:, 1] - 0.8), lambda t: t[:, 0]):
        mean = w @ f(theta)
        sd = np.sqrt(w @ (f(theta) - mean) ** 2)
        assert abs(f(draws).mean() - mean) < 4 * sd / np.sqrt(20_000)
        assert abs(f(draws).std() / sd - 1) < 4 / np.sqrt(40_000)
    law = stats.truncnorm(-5, 0, 1.0, 0.2)
    assert stats.kstest(draws[:, 2], law.cdf).pvalue > 1e-3


def test_slcp_likelihood_is_that_of_four_normal_draws():
    task = simulators.task("slcp")
    theta = task.prior.sample(20, rng=0)
    x = task.simulate(theta[:1], rng=1)[0]
    for t, got in zip(theta, task.log_likelihood(theta, x), strict=True):
        s1, s2 = t[2] ** 2, t[3] ** 2
        c = np.tanh(t[4]) * s1 * s2
        s = np.array([[s1**2 + 1e-6, c], [c, s2**2 + 1e-6]])
        want = stats.multivariate_normal(t[:2], s).logpdf(x.reshape(4, 2)).sum()
        # s is inverted there: error of about the condition number times an ulp
        assert got == pytest.approx(want, rel=1e-15 * np.linalg.cond(s) + 1e-10)


def test_slcp_draws_have_the_stated_moments():
    theta = np.tile([0.7, -2.0, 1.1, -0.9, 0.6], (100_000, 1))
    x = simulators.task("slcp").simulate(theta, rng=0).reshape(-1, 2)
    s1, s2 = 1.1**2, 0.9**2
    want = [[s1**2, np.tanh(0.6) * s1 * s2], [0, s2**2]]
    got = np.cov(x.T)
    assert np.allclose(x.mean(0), [0.7, -2.0], atol=5 * s1 / np.sqrt(len(x)))
    assert np.allclose(np.triu(got), want, atol=5 * s1**2 * np.sqrt(2 / len(x)))


def test_slcp_posterior_against_importance_sampling():
    # broad data: 4e5 draws of the prior, weighted, give the posterior's moments
    task = simulators.task("slcp")
    x = np.array([-1.5, 2.0, 1.0, -2.0, 2.5, 0.5, -0.5, 1.5])
    theta = task.prior.sample(400_000, rng=0)
    h = task.log_likelihood(theta, x)
    w = np.exp(h - h.max())
    w /= w.sum()
    draws = task.posterior(x, 4000, rng=1)
    for f in (lambda t: t, np.square, lambda t: t[:, :1] * t[:, 1:2]):
        mean = w @ f(theta)
        error = np.sqrt((w**2) @ (f(theta) - mean) ** 2 + f(draws).var(axis=0) / 1000)
        assert (np.abs(f(draws).mean(axis=0) - mean) < 5 * error).all()


def test_distractors_columns_and_noise():
    task = simulators.task("slcp_distractors")
    assert task.data_columns.tolist() == [22, 33, 23, 67, 42, 21, 16, 90]
    # the mixture under which the noise of the ten stored observations is usual
    assert task.loc[0, 0] == pytest.approx(15 * 0.4967141530112327)
    assert task.loc[19, 91] == pytest.approx(-3.1217528590880956)
    assert task.factor[0, 0, 0] == pytest.approx(3.423324718497607)
    assert task.factor[19, 91, 0] == pytest.approx(0.07580650836815866)
    theta = np.tile([0.7, -2.0, 1.1, -0.9, 0.6], (20_000, 1))
    x = task.simulate(theta, rng=0)
    mine = x[:, task.data_columns]
    assert np.allclose(mine.mean(0), [0.7, -2.0] * 4, atol=5 * 1.21 / np.sqrt(20_000))
    # median of a symmetric mixture's component: noise column 0 sits where perm is 8
    at = int(np.flatnonzero(task.permutation == 8)[0])
    z = stats.t(2)
    grid = np.linspace(-120, 120, 2001)
    cdf = np.mean([z.cdf((grid - m[0]) / abs(f[0, 0]))
                   for m, f in zip(task.loc, task.factor, strict=True)],
                  axis=0)  # fmt: skip
    gap = np.abs(np.searchsorted(np.sort(x[:, at]), grid) / len(x) - cdf).max()
    assert gap < 1.95 / np.sqrt(len(x))  # Kolmogorov at 1e-3
    same = Slcp().log_likelihood(theta[:1], x[0, task.data_columns])
    assert task.log_likelihood(theta[:1], x[0]) == same


def test_glm_design_prior_and_sufficient_statistics():
    raw, task = (simulators.task(f"bernoulli_glm{s}") for s in ("_raw", ""))
    stimulus = raw.design[:, 1]
    assert raw.design[:8, 9].tolist() == [0.0] * 8
    assert np.array_equal(raw.design[8:, 9], stimulus[:92])
    assert stimulus[0] == np.float32(0.49671414)  # first number of RandomState(42)
    theta = raw.prior.sample(5, rng=0)
    y = raw.simulate(theta, rng=3)
    assert set(np.unique(y)) == {0.0, 1.0}
    assert np.array_equal(task.simulate(theta, rng=3), y @ raw.design)
    p = 1 / (1 + np.exp(-theta @ raw.design.T))
    want = np.where(y[0] > 0, np.log(p), np.log1p(-p)).sum(axis=1)
    assert np.allclose(raw.log_likelihood(theta, y[0]), want, rtol=1e-10)
    assert np.allclose(task.log_likelihood(theta, y[0] @ raw.design), want, rtol=1e-10)
    with pytest.raises(ValueError, match="zeros and ones"):
        raw.log_likelihood(theta, y[0] + 0.5)
    d = np.diag(np.ones(9)) - np.diag(np.ones(8), -1)
    f = d @ d + np.diag(np.sqrt(np.arange(9) / 9))
    z = raw.prior.sample(40_000, rng=1)
    white = np.column_stack([z[:, :1] * np.sqrt(0.5), z[:, 1:] @ f.T])
    assert np.abs(np.cov(white.T) - np.eye(10)).max() < 5 * np.sqrt(2 / 40_000)


def test_torus_hull_is_the_published_one():
    hull = simulators.task("torus").hull(1e-3)
    want = [[0.5528, 0.6428], [0.7525, 0.8475], [0.2566, 1.0]]
    assert np.allclose(hull, want, atol=6e-5)
    assert np.ptp(hull, axis=1).prod() == pytest.approx(0.006351, abs=2e-6)


def test_torus_hull_holds_the_posterior_at_its_level():
    task = simulators.task("torus")
    draws = task.posterior(task.observation, 20_000, rng=0)
    low, high = task.hull(1e-6).T
    assert ((draws > low) & (draws < high)).all()
    low, high = task.hull(0.1).T
    assert not ((draws > low) & (draws < high)).all()


@pytest.mark.parametrize("modes", [1, 2])
def test_tempering_reaches_a_known_posterior(modes):
    # likelihood N(theta; x, .2^2) in three dimensions, or half of it at -x
    prior = simulators.task("gaussian_linear").prior
    centre = np.zeros(10)
    centre[:3] = 0.5

    def log_likelihood(theta):
        one = -0.5 * ((theta - centre) ** 2).sum(axis=1) / 0.05
        two = -0.5 * ((theta + centre) ** 2).sum(axis=1) / 0.05
        return one if modes == 1 else np.logaddexp(one, two)

    draws = _tempering.sample(prior, log_likelihood, 3000, np.random.default_rng(0))
    # prior variance .1, noise .05: variance 1/30, mean 2/3 of the centre
    variance, side = 1 / 30, np.ones(len(draws))
    if modes == 2:  # 3.2 sd apart from the plane between the modes: .1 % on either side
        side = np.where(draws[:, :3].sum(axis=1) > 0, 1.0, -1.0)
        assert abs((side > 0).mean() - 0.5) < 0.06
    rest = draws - side[:, None] * centre * 2 / 3
    assert np.abs(rest.mean(0)).max() < 5 * np.sqrt(variance / 1000)
    assert np.abs(rest.var(0) / variance - 1).max() < 5 * np.sqrt(2 / 1000)


def test_impossible_data_end_with_a_message():
    moons = simulators.task("two_moons")
    with pytest.raises(ValueError, match="next to impossible"):
        moons.posterior([50.0, 0.0], 5)
    with pytest.raises(ValueError, match="no draw of the prior"):
        _tempering.sample(moons.prior, lambda t: np.full(len(t), -np.inf), 5,
                          np.random.default_rng(0))  # fmt: skip


def test_rare_acceptance_ends_in_time_with_every_row_inside():
    # trap 20: a millionth of the candidates is good
    task = simulators.task("two_moons")

    def propose(m, rng):
        theta = rng.random((rng.binomial(m, 1e-6), 2))
        return theta

    draws = task._accept(4, np.random.default_rng(0), propose)
    assert draws.shape == (4, 2)
    with pytest.raises(ValueError, match="candidates were accepted"):
        task._accept(4000, np.random.default_rng(0), propose)


@pytest.mark.parametrize("name", simulators.names())
def test_posterior_stays_inside_the_prior(name):
    task = simulators.task(name)
    x = task.simulate(task.prior.sample(1, rng=8), rng=9)[0]
    draws = task.posterior(x, 20, rng=1)
    assert draws.shape == (20, task.d) and task.prior.contains(draws).all()


@pytest.mark.parametrize("name", simulators.names())
def test_rows_do_not_mix(name):
    # trap 19: a batch equals its rows one by one (products round differently)
    task = simulators.task(name)
    theta = task.prior.sample(5, rng=0)
    x = task.simulate(theta, rng=1)[0]
    batch = task.log_likelihood(theta, x)
    one = np.concatenate([task.log_likelihood(t[None], x) for t in theta])
    assert np.allclose(batch, one, rtol=1e-12, atol=0)


def test_bad_input_says_what_and_where():
    task = simulators.task("slcp")
    with pytest.raises(ValueError, match="no task 'twomoons'"):
        simulators.task("twomoons")
    with pytest.raises(ValueError, match=r"\(n, 5\) is needed"):
        task.simulate(np.zeros((3, 4)))
    with pytest.raises(ValueError, match=r"\(8,\) is needed"):
        task.posterior(np.zeros(7), 3)
    with pytest.raises(ValueError, match="at least 1"):
        task.posterior(np.zeros(8), 0)
    with pytest.raises(ValueError, match="not finite"):
        task.log_likelihood(np.zeros((1, 5)), np.full(8, np.nan))
