"""Posteriors from exact ratios of Gaussian models: draws, densities, evidence.

Prior N(0, 1) of each parameter, x = θ + N(0, s2): posterior N(x/(1+s2), s2/(1+s2)).
Tolerances are four or five standard errors of the moments of independent draws; those
of annealed draws are three times wider, for their correlation.
"""

import sys
import time
from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats

from gradiverse.inference import Posterior, Prior, coverage
from gradiverse.inference._coordinates import Coordinates, subsets
from gradiverse.inference._sampling import anneal

N = 40_000


def pair(x, s2):
    """ln r at θ of the conjugate pair."""
    x = np.asarray(x)
    constant = 0.5 * np.log((1 + s2) / s2) + x**2 / (2 * (1 + s2))
    return lambda theta: constant - (x - theta) ** 2 / (2 * s2)


def normals(d):
    return Prior(**{f"p{i}": scipy.stats.norm(0, 1) for i in range(d)})


def posterior(prior, marginals, ratio, **options):
    m = subsets(marginals, prior.d, prior.names)
    return Posterior(Coordinates(prior, m), ratio, **options)


@pytest.mark.parametrize("s2", [1.0, 1e-2, 1e-8])
def test_one_dimensional_marginals(s2):
    x = np.array([0.7, -1.1])
    post = posterior(normals(2), "1d", pair(x, s2))
    mean, sd = x / (1 + s2), np.sqrt(s2 / (1 + s2))
    draws = post.sample(N, 0)
    assert draws.shape == (N, 2)
    assert (abs(draws.mean(0) - mean) < 5 * sd / np.sqrt(N)).all()
    assert (abs(draws.std(0) / sd - 1) < 5 / np.sqrt(2 * N)).all()
    assert abs(np.corrcoef(draws.T)[0, 1]) < 5 / np.sqrt(N)
    # midpoints of at least 50 cells in a standard deviation
    assert post.log_evidence == pytest.approx(np.zeros(2), abs=1e-3)
    theta = mean + sd * np.linspace(-2, 2, 5)[:, None]
    exact = scipy.stats.norm(mean, sd).logpdf(theta)
    assert post.log_prob(theta) == pytest.approx(exact, abs=2e-3)
    assert post.log_ratio(theta) == pytest.approx(pair(x, s2)(theta), abs=1e-5)


@pytest.mark.parametrize(("d", "s2"), [(2, 1e-4), (10, 0.05)])
def test_joint(d, s2):
    x = np.linspace(-1, 1, d)
    ratio = pair(x, s2)
    post = posterior(normals(d), None, lambda z: ratio(z).sum(1, keepdims=True))
    mean, sd = x / (1 + s2), np.sqrt(s2 / (1 + s2))
    n = 10_000
    draws = post.sample(n, 1)
    assert (abs(draws.mean(0) - mean) < 15 * sd / np.sqrt(n)).all()
    assert (abs(draws.std(0) / sd - 1) < 15 / np.sqrt(2 * n)).all()
    assert abs(post.log_evidence) < 0.15
    exact = scipy.stats.norm(mean, sd).logpdf(draws[:5]).sum(1)
    assert post.log_prob(draws[:5]) == pytest.approx(exact, abs=0.15)
    assert post.log_ratio(draws[:5]).shape == (5,)


@pytest.mark.parametrize("order", [*permutations(range(2)), *permutations(range(3))])
def test_joint_in_any_order(order):
    """Columns are those of the prior, or those that a marginal names.

    Exact Gaussian ratios under a prior with correlation .9 of a and b, sds 1 and 2.
    """
    d = len(order)
    cov = np.array([[1.0, 1.8, 0.0], [1.8, 4.0, 0.0], [0.0, 0.0, 9.0]])[:d, :d]
    third = {"c": scipy.stats.norm(0, 3)} if d == 3 else {}
    prior = Prior(
        {"a, b": scipy.stats.multivariate_normal([0, 0], cov[:2, :2])}, **third
    )
    x, s2 = np.array([0.5, -1.0, 4.0])[:d], 0.04
    coordinates = Coordinates(prior, (order,))

    def ratio(z):
        theta = coordinates.theta(z)
        return (-0.5 * (theta - x) ** 2 / s2).sum(1, keepdims=True)

    post = Posterior(coordinates, ratio)
    cov_post = np.linalg.inv(np.linalg.inv(cov) + np.eye(d) / s2)
    mean, sd = cov_post @ x / s2, np.sqrt(np.diag(cov_post))
    exact = scipy.stats.multivariate_normal(mean, cov_post)
    n = 10_000

    def right(draws, columns):
        columns = list(columns)
        off = abs(draws.mean(0) - mean[columns]) / sd[columns]
        assert (off < 15 / np.sqrt(n)).all()
        assert (abs(draws.std(0) / sd[columns] - 1) < 15 / np.sqrt(2 * n)).all()

    draws = post.sample(n, 1)
    right(draws, range(d))
    assert post.mean == pytest.approx(mean, abs=0.1 * sd.max())
    at = draws[:5]
    assert post.log_prob(at) == pytest.approx(exact.logpdf(at), abs=0.1)
    assert post.log_ratio(at) == pytest.approx(ratio(coordinates.scores(at))[:, 0])
    for other in (order, tuple(range(d)), tuple(range(d))[::-1]):
        one = post.marginal(other)
        assert one.names == [prior.names[i] for i in other]
        right(one.sample(n, 1), other)
        columns = at[:, list(other)]
        assert (one.log_prob(columns) == post.log_prob(at)).all()
        assert (one.log_ratio(columns) == post.log_ratio(at)).all()
    if order == (1, 0):  # regions know their columns: a swap leaves out every truth
        est = SimpleNamespace(posterior=lambda x: post, prior=prior)
        theta = exact.rvs(20, random_state=2)
        table = coverage(est, theta, np.zeros((20, 1)), [0.9], n_draws=100)
        assert (table["coverage"] > 0.6).all()  # 7e-5 for 20 truths


def test_modes_keep_their_shares():
    """Two peaks of widths .01 and .03 far apart: shares from the closed form."""
    prior = normals(2)

    def ratio(z):
        a = np.log(0.5) - 0.5 * ((z - 1.5) ** 2).sum(1) / 1e-4
        b = -0.5 * ((z + 1.0) ** 2).sum(1) / 9e-4
        return np.logaddexp(a, b)[:, None]

    post = posterior(prior, None, ratio, pool=100_000)
    weights = np.array(
        [
            0.5 * 1e-4 / 1.0001 * np.exp(-2.25 / 1.0001),
            9e-4 / 1.0009 * np.exp(-1.0 / 1.0009),
        ]
    )
    share = weights[0] / weights.sum()
    draws = post.sample(10_000, 2)
    # about 8 and 250 draws of the pool start in the peaks
    assert (draws[:, 0] > 0).mean() == pytest.approx(share, rel=0.5)
    assert post.log_evidence == pytest.approx(np.log(weights.sum()), abs=0.1)


def test_sampling_of_a_tiny_region_ends():
    """Posterior mass in 1e-9 of the prior: the sampler neither hangs nor escapes."""
    prior = Prior(**{f"p{i}": (-1.0, 1.0) for i in range(3)})
    target = np.array([0.5, -0.2, 0.999])

    def ratio(z):
        theta = 2 * scipy.stats.norm.cdf(z) - 1
        return (-0.5 * ((theta - target) / 1e-3) ** 2).sum(1, keepdims=True)

    begin = time.process_time()
    draws = posterior(prior, None, ratio).sample(4000, 3)
    assert time.process_time() - begin < 20
    assert prior.contains(draws).all()
    sd = np.array([1e-3, 1e-3, scipy.stats.truncnorm(-3000, 1).std() * 1e-3])
    assert (abs(draws.std(0) / sd - 1) < 0.15).all()


def test_correlated_gaussian_moments():
    """Prior with correlation .9 in two of three parameters, exact joint ratio."""
    cov = np.array([[1.0, 1.8, 0.0], [1.8, 4.0, 0.0], [0.0, 0.0, 1.0]])
    prior = Prior(
        a=scipy.stats.multivariate_normal([0, 1], cov[:2, :2]),
        b=scipy.stats.norm(0, 1),
    )
    s2, x = 0.25, np.array([0.5, 0.0, -0.5])
    mean = np.array([0.0, 1.0, 0.0])
    cov_post = np.linalg.inv(np.linalg.inv(cov) + np.eye(3) / s2)
    mean_post = cov_post @ (np.linalg.solve(cov, mean) + x / s2)
    made = scipy.stats.multivariate_normal(mean, cov + s2 * np.eye(3)).logpdf(x)

    def log_ratio(theta):
        like = scipy.stats.norm(theta, np.sqrt(s2)).logpdf(x).sum(1)
        return (like - made)[:, None]

    coordinates = Coordinates(prior, ((0, 1, 2),))
    post = Posterior(coordinates, lambda z: log_ratio(coordinates.theta(z)))
    n = 10_000
    draws = post.sample(n, 4)
    sd = np.sqrt(np.diag(cov_post))
    assert (abs(draws.mean(0) - mean_post) < 12 * sd / np.sqrt(n)).all()
    correlation = cov_post / np.outer(sd, sd)
    assert abs(np.corrcoef(draws.T) - correlation).max() < 12 / np.sqrt(n)
    exact = scipy.stats.multivariate_normal(mean_post, cov_post).logpdf(draws[:4])
    assert post.log_prob(draws[:4]) == pytest.approx(exact, abs=0.1)
    # the pair of the first two as a marginal, in marginal scores
    pair_cov = cov[:2, :2] + s2 * np.eye(2)
    pair_made = scipy.stats.multivariate_normal(mean[:2], pair_cov).logpdf(x[:2])
    coordinates = Coordinates(prior, ((0, 1), (2,)))

    def both(z):
        theta = coordinates.theta(z)
        like = scipy.stats.norm(theta, np.sqrt(s2)).logpdf(x)
        first = like[:, :2].sum(1) - pair_made
        last = like[:, 2] - scipy.stats.norm(0, np.sqrt(1 + s2)).logpdf(x[2])
        return np.stack([first, last], axis=1)

    post = Posterior(coordinates, both)
    assert post.log_evidence == pytest.approx([0, 0], abs=0.1)
    draws = post.marginal((0, 1)).sample(n, 5)
    assert abs(np.corrcoef(draws.T)[0, 1] - correlation[0, 1]) < 12 / np.sqrt(n)
    exact = scipy.stats.multivariate_normal(mean_post[:2], cov_post[:2, :2])
    log_prob = post.marginal((0, 1)).log_prob(draws[:4])
    assert log_prob == pytest.approx(exact.logpdf(draws[:4]), abs=0.1)
    assert post.sample(50, 6).shape == (50, 3)


def test_log_prob_outside_the_box_and_nre_b():
    prior = Prior(a=(0.0, 1.0), b=(0.0, 1.0)).truncate([(0.2, 0.6), (0.0, 1.0)])
    post = posterior(prior, "1d", lambda z: np.zeros(z.shape))
    log_prob = post.log_prob([[0.1, 0.5], [0.3, 0.5]])
    assert log_prob[0, 0] == -np.inf
    assert log_prob[1] == pytest.approx([np.log(2.5), 0.0], abs=1e-9)
    offset = posterior(prior, None, lambda z: 7 + np.zeros((len(z), 1)))
    assert offset.log_evidence == pytest.approx(7.0, abs=1e-9)
    free = posterior(prior, None, lambda z: np.zeros((len(z), 1)), normalised=False)
    with pytest.raises(ValueError, match="NRE-B"):
        free.log_evidence  # noqa: B018


@pytest.mark.parametrize("s2", [1.0, 1e-2, 1e-8])
def test_credibility_of_exact_marginals(s2):
    """Mass of higher density erf(|z|/√2), z the score in the posterior; of higher ratio
    that of the interval about x with θ at one end. Tables end 30 below the mode or at
    most twice as far out, at ±15.5 sd: a cell of the 2048 holds at most .006, and both
    edges of a region are off by half a cell at most."""
    x = np.array([0.7, -1.1])
    post = posterior(normals(2), "1d", pair(x, s2))
    mean, sd = x / (1 + s2), np.sqrt(s2 / (1 + s2))
    law = scipy.stats.norm(mean, sd)
    for z in (0.0, 0.3, -1.0, 2.5, 12.0):
        theta = mean + z * sd
        exact = 2 * scipy.stats.norm.cdf(abs(z)) - 1
        assert post.credibility(theta) == pytest.approx([exact] * 2, abs=0.007)
        half = abs(theta - x)
        exact = law.cdf(x + half) - law.cdf(x - half)
        got = post.credibility(theta, region="ratio")
        assert got == pytest.approx(exact, abs=0.007)
    if s2 == 1.0:
        theta = np.array([0.1, -0.2])
        draws = post.sample(N, 3)
        higher = law.pdf(draws) > law.pdf(theta)
        error = 4 * 0.5 / np.sqrt(N)
        got = post.credibility(theta)
        assert got == pytest.approx(higher.mean(0), abs=0.007 + error)


def test_credibilities_of_truths_are_uniform():
    """Truths of the prior, data given them: uniform where density is that of θ itself,
    under a prior that is not flat in its own coordinate."""
    prior = Prior(a=scipy.stats.lognorm(0.5), b=(0.0, 3.0))
    rng = np.random.default_rng(5)
    theta = prior.sample(800, rng)
    x = theta + 0.3 * rng.normal(size=theta.shape)
    coordinates = Coordinates(prior, ((0,), (1,)))
    for region in ("density", "ratio"):
        c = [
            Posterior(
                coordinates,
                lambda z, y=y: -0.5 * ((coordinates.theta(z) - y) / 0.3) ** 2,
            ).credibility(t, region)
            for t, y in zip(theta, x, strict=True)
        ]
        for column in np.array(c).T:
            assert scipy.stats.kstest(column, "uniform").pvalue > 1e-3


def test_credibility_of_other_subsets():
    ratio = pair(np.array([0.7]), 0.5)
    joint = posterior(normals(1), None, ratio)
    each = posterior(normals(1), "1d", ratio)
    theta = np.array([0.2])
    assert joint.joint and joint.credibility(theta).shape == (1,)
    assert (joint.credibility(theta) == each.credibility(theta)).all()
    assert (joint.credibility(theta[None]) == each.credibility(theta)).all()
    # marginals in any order, and not of all parameters
    x = np.array([0.7, -1.1, 0.3])
    every = posterior(normals(3), "1d", pair(x, 0.5))
    theta = np.array([0.1, 0.2, 0.3])
    two = posterior(normals(3), [(2,), (0,)], lambda z: pair(x, 0.5)(z)[:, [2, 0]])
    for region in ("density", "ratio"):
        some = two.credibility(theta, region)
        assert (some == every.credibility(theta, region)[[2, 0]]).all()
    # a correlated prior: the marginals are those of its normals
    cov = np.array([[1.0, 1.8], [1.8, 4.0]])
    prior = Prior(a=scipy.stats.multivariate_normal([0, 1], cov))
    post = posterior(prior, "1d", lambda z: pair(x[:2], 1.0)(z))
    theta = np.array([0.0, 1.0]) + np.array([1.0, 2.0]) * (x[:2] / 2 + np.sqrt(0.5))
    exact = 2 * scipy.stats.norm.cdf(1) - 1
    assert post.credibility(theta) == pytest.approx([exact] * 2, abs=0.007)
    # outside the prior's box nothing is higher than everything
    box = posterior(Prior(a=(0.0, 1.0)), "1d", lambda z: np.zeros(z.shape))
    assert box.credibility([1.5]) == pytest.approx([1.0])


def test_density_on_the_edge_of_the_prior():
    """At the edge itself the density is that beside it (normal scores are infinite)."""
    prior = Prior(a=(0.0, 1.0), b=(0.0, 1.0))
    edge = np.array([[0.0, 0.4], [1.0, 0.4], [0.0, 1.0]])
    beside = np.clip(edge, 1e-14, 1 - 1e-14)
    for marginals, ratio in (
        (None, lambda z: -z[:, :1] / 4),
        ("1d", lambda z: -z / 4),
    ):
        post = posterior(prior, marginals, lambda z, f=ratio: f(np.clip(z, -5, 5)))
        # up to the quadrature of the evidence both are the same number
        assert post.log_prob(edge) == pytest.approx(post.log_prob(beside), abs=1e-9)
    outside = [[1.001, 0.5], [-0.001, 0.5], [np.nan, 0.5]]
    assert (post.log_prob(outside)[:, 0] == -np.inf).all()


def test_credibility_of_pairs_or_of_many_is_refused():
    zero = lambda m: lambda z: np.zeros((len(z), m))  # noqa: E731
    with pytest.raises(ValueError, match="one-dimensional"):
        posterior(normals(2), [(0,), (0, 1)], zero(2)).credibility(np.zeros(2))
    with pytest.raises(ValueError, match="one-dimensional"):
        posterior(normals(2), None, zero(1)).credibility(np.zeros(2))
    post = posterior(normals(2), "1d", zero(2))
    with pytest.raises(ValueError, match="choose 'density' or 'ratio'"):
        post.credibility(np.zeros(2), "central")
    with pytest.raises(ValueError, match=r"expected \(2,\), the parameters of one"):
        post.credibility(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="theta has shape"):
        post.credibility(np.zeros(3))


def test_subsets():
    names = ["a", "b", "c"]
    assert subsets(None, 3, names) == ((0, 1, 2),)
    assert subsets("1d", 3, names) == ((0,), (1,), (2,))
    assert subsets("2d", 3, names) == ((0, 1), (0, 2), (1, 2))
    assert subsets([0, ("c", "a"), -1], 3, names) == ((0,), (2, 0), (2,))
    for bad in ([3], [()], [(0, 0)], "3d", ["x"], [], [(0,), (0,)], [(0, 1), (1, 0)]):
        with pytest.raises(ValueError):
            subsets(bad, 3, names)
    with pytest.raises(ValueError, match="two of b; give each subset once"):
        subsets(["b", 0, 1], 3, names)
    with pytest.raises(ValueError, match="no pairs of one parameter"):
        subsets("2d", 1, ["a"])
    for bad in ([1.5], 3, {0, 1}, [None]):
        with pytest.raises(TypeError):
            subsets(bad, 3, names)


def test_cover_and_missing_marginals():
    prior = normals(3)
    zero = lambda m: lambda z: np.zeros((len(z), m))  # noqa: E731
    assert posterior(prior, "2d", zero(3)).sample(20, 0).shape == (20, 3)
    some = posterior(prior, [(0,), (1,)], zero(2))
    with pytest.raises(ValueError, match="p2"):
        some.sample(5, 0)
    assert some.marginal("p1").sample(5, 0).shape == (5, 1)
    with pytest.raises(ValueError, match="no head"):
        some.marginal((0, 1))


def test_what_is_asked_for_must_exist():
    zero = lambda m: lambda z: np.zeros((len(z), m))  # noqa: E731
    post = posterior(normals(3), [(0,), (2, 1)], zero(2))
    assert post.marginal((-1, "p1")).names == ["p2", "p1"]
    for match, i in (
        ("no parameter 'zz' among", "zz"),
        ("no index 3 of 3 parameters", 3),
        ("no index -4", (-4, 0)),
        ("names a parameter twice", (0, 0)),
        ("is empty", ()),
        (r"no head for the marginal \(1,\)", 1),
    ):
        with pytest.raises(ValueError, match=match):
            post.marginal(i)
    with pytest.raises(TypeError, match="is no index of a parameter"):
        post.marginal(1.5)
    with pytest.raises(ValueError, match="sample_marginal: 2 of 2 subsets"):
        post.sample_marginal(2, 5, 0)
    with pytest.raises(ValueError, match="n=1; give at least 2 draws"):
        post.corner(n=1)
    for draw in (post.sample, post.marginal(0).sample, post.marginal((1, 2)).sample):
        assert len(draw(0, 0)) == 0
        with pytest.raises(ValueError, match=r"n=-1; give 0 or more"):
            draw(-1, 0)
        with pytest.raises(TypeError, match="give an int"):
            draw(2.5, 0)
    with pytest.raises(
        ValueError, match=r"values has shape \(4, 1\); expected \(n, 2\)"
    ):
        post.marginal((1, 2)).log_ratio(np.zeros((4, 1)))


def test_diverged_ratio_is_refused():
    with pytest.raises(ValueError, match="diverged"):
        anneal(lambda z: np.full(len(z), np.nan), 2, 100, np.random.default_rng(0))
    post = posterior(normals(1), "1d", lambda z: np.full((len(z), 1), np.nan))
    with pytest.raises(ValueError, match="diverged"):
        post.sample(3, 0)


def test_same_seed_same_draws():
    post = posterior(normals(2), None, lambda z: -(z**2).sum(1, keepdims=True))
    assert (post.sample(100, 9) == post.sample(100, 9)).all()
    assert (post.sample(100, 9) != post.sample(100, 10)).any()


def test_corner_figure():
    """Panels below the diagonal, the truth in each; its contours hold what they say."""
    from gradiverse.inference._corner import levels

    zero = lambda m: lambda z: np.zeros((len(z), m))  # noqa: E731
    fig = posterior(normals(3), [(0,), (1,), (2,), (2, 0)], zero(4)).corner(
        n=3000, truth=[0.0, 1.0, 2.0]
    )
    visible = [ax for ax in fig.axes if ax.get_visible()]
    assert len(visible) == 6
    empty = [ax for ax in visible if any(t.get_text() == "no head" for t in ax.texts)]
    assert len(empty) == 2
    rng = np.random.default_rng(0)
    counts = np.histogram2d(*rng.normal(size=(2, 400_000)), bins=60)[0]
    inside = [counts[counts >= level].sum() / counts.sum() for level in levels(counts)]
    assert inside == pytest.approx([0.865, 0.393], abs=0.01)
    many = posterior(normals(16), "1d", zero(16))
    with pytest.raises(ValueError, match=r"panels.*corner\(which="):
        many.corner()
    fig = many.corner(n=300, which=["p15", 0, 2], truth=np.arange(16.0))
    assert [ax.get_xlabel() for ax in fig.axes[-3:]] == ["p15", "p0", "p2"]
    assert fig.axes[-3].lines[-2].get_xdata()[0] == 15.0
    with pytest.raises(ValueError, match=r"truth has shape \(3,\)"):
        many.corner(n=300, which=[0, 1, 2], truth=np.zeros(3))
    with pytest.raises(ValueError, match="no parameter 'q'"):
        many.corner(which=["q"])


def test_marginals_have_what_posteriors_have():
    """A pair in either order: ratio, moments, corner plots and exports of its own."""
    x, s2 = np.array([0.7, -1.1, 0.2]), 0.25

    def ratio(z):
        h = pair(x, s2)(z)
        return np.stack([h[:, 0], h[:, 1] + h[:, 2]], axis=1)

    post = posterior(normals(3), [(0,), (1, 2)], ratio)
    one = post.marginal((2, 1))
    values = np.array([[0.3, -0.9], [0.0, 0.0]])
    exact = pair(x[[2, 1]], s2)(values).sum(1)
    assert one.log_ratio(values) == pytest.approx(exact, abs=1e-9)
    mean, sd = x[[2, 1]] / (1 + s2), np.sqrt(s2 / (1 + s2))
    # 20 000 draws of an ensemble
    assert one.mean == pytest.approx(mean, abs=15 * sd / np.sqrt(20_000))
    assert one.std == pytest.approx([sd, sd], rel=15 / np.sqrt(40_000))
    assert one.d == 2 and (one.bounds == post.bounds[[2, 1]]).all()
    panels = [ax for ax in one.corner(2000, truth=x[[2, 1]]).axes if ax.get_visible()]
    assert len(panels) == 3 and all(ax.has_data() for ax in panels)
    assert [ax.get_xlabel() for ax in panels[1:]] == ["p2", "p1"]
    package = SimpleNamespace(MCSamples=lambda **given: given)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "getdist", package)
        found = one.to_getdist(50, 3)
        assert found["names"] == ["p2", "p1"]
        assert (found["samples"] == one.sample(50, 3)).all()
        package = SimpleNamespace(__version__="1.0", from_dict=lambda given: given)
        patch.setitem(sys.modules, "arviz", package)
        found = one.to_arviz(50, 3)["posterior"]
        assert (found["p1"] == one.sample(50, 3)[None, :, 1]).all()


def test_exports_to_packages_that_are_missing(monkeypatch):
    """The message says how to install them; test_exports.py has the exports."""
    post = posterior(normals(2), "1d", lambda z: np.zeros(z.shape))
    for name in ("getdist", "arviz"):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(ImportError, match=f"pip install {name}"):
            getattr(post, f"to_{name}")(500, 3)
