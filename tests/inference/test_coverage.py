"""Coverage: published values, size, power, regions, memory."""

import tracemalloc

import numpy as np
import pytest
from scipy import stats
from scipy.stats import multivariate_normal

from gradiverse.inference import NRE, Posterior, Prior
from gradiverse.inference._coordinates import Coordinates
from gradiverse.inference._coverage import (
    _density,
    coverage,
    credibility,
    jeffreys,
)
from gradiverse.inference._sbc import sbc

from .known import Gaussian, pairs


@pytest.mark.parametrize(
    ("k", "n", "one", "two"),
    [
        (0, 100, (0, 0.009861), (0, 0.024745)),
        (68, 100, (0.631772, 0.724649), (0.584453, 0.765297)),
        (100, 100, (0.990139, 1), (1 - 0.024745, 1)),
        (683, 1000, (0.668109, 0.697525), None),
    ],
)
def test_jeffreys_intervals(k, n, one, two):
    # closed form: quantiles of Beta(k + 1/2, n - k + 1/2), from tables
    one_sigma = 2 * stats.norm.cdf(1) - 1
    assert np.allclose(jeffreys(k, n, one_sigma), one, atol=1e-6)
    if two is not None:
        assert np.allclose(jeffreys(k, n), two, atol=1e-6)


@pytest.mark.parametrize(
    ("width", "want"),
    [(1.0, 0.6827), (0.5, 0.38292), (0.8, 0.57629), (1.25, 0.78870), (2.0, 0.95450)],
)
def test_wrong_widths_are_found_out(width, want):
    # trap 24: size at width 1, power at the others; P(|z| < width)
    theta, x = pairs(1500, seed=1)
    t = coverage(Gaussian(width), theta, x, [0.6827], n_draws=200)
    error = np.sqrt(want * (1 - want) / 1500)
    assert abs(t.coverage[0] - want) < 4 * error
    assert (t.low[0] < 0.6827 < t.high[0]) == (width == 1.0)


def test_credibilities_of_an_exact_posterior_are_uniform_for_any_number_of_draws():
    # exchangeable truth and draws: uniform in law even for 3 draws (trap 15)
    theta, x = pairs(2000, seed=2)
    for n_draws in (3, 20):
        c, _ = credibility(Gaussian(), theta, x, n_draws, rng=1)
        assert stats.kstest(c.iloc[:, 0], "uniform").pvalue > 1e-3


def test_ties_of_discrete_values_change_nothing():
    # trap 9: densities rounded to whole numbers, half of the draws tie
    class Rounded(Gaussian):
        def posterior(self, x):
            law = super().posterior(x)
            exact = law.log_prob
            law.log_prob = lambda theta: np.rint(2 * exact(theta))
            return law

    theta, x = pairs(2000, seed=3)
    c, _ = credibility(Rounded(), theta, x, 50)
    assert stats.kstest(c.iloc[:, 0], "uniform").pvalue > 1e-3


def test_highest_density_is_not_highest_ratio():
    # trap 5: HPD mass of each truth is erf(|z|/sqrt 2), z its posterior score; regions
    # of highest ratio are centred on x instead. 20000 draws: binomial error below .004
    theta, x = pairs(40, seed=4)
    c, kinds = credibility(Gaussian(), theta, x, 20_000)
    sd = np.sqrt(0.5)
    half = np.abs(theta - x / 2) / sd
    assert np.allclose(c, 2 * stats.norm.cdf(half) - 1, atol=0.016)
    r, other = credibility(Gaussian(), theta, x, 20_000, region="ratio")
    half = np.abs(theta - x)
    mass = stats.norm(x / 2, sd)
    assert np.allclose(r, mass.cdf(x + half) - mass.cdf(x - half), atol=0.016)
    assert np.abs(c - r).to_numpy().max() > 0.3
    assert set(kinds.values()) == {"density"} and set(other.values()) == {"ratio"}


class Weighted:
    """Ratio estimator with its prior; exact, or the ratio to a power."""

    def __init__(self, power=1.0, d=1):
        self.power, self.d = power, d
        self.prior = Prior(t=stats.norm(np.zeros(d), 1.0))

    def log_ratio(self, theta, x):
        return self.power * Gaussian().posterior(x).log_ratio(theta)

    def posterior(self, x):
        raise AssertionError("not needed")


def test_weighted_prior_draws_give_the_same_credibilities():
    # 4000 strata over a posterior of a third of the prior: error of c below .01
    theta, x = pairs(60, seed=5)
    c, _ = credibility(Weighted(), theta, x, 4000, draws="prior")
    half = np.abs(theta - x / 2) / np.sqrt(0.5)
    assert np.allclose(c, 2 * stats.norm.cdf(half) - 1, atol=0.01)
    theta, x = pairs(800, seed=6)
    good, bad = (
        coverage(Weighted(p), theta, x, [0.683], n_draws=200, draws="prior", band=0.999)
        for p in (1.0, 2.0)
    )
    assert good.low[0] < 0.683 < good.high[0]
    assert bad.high[0] < 0.683


def test_joint_density_gives_joint_and_central_curves():
    theta, x = pairs(1500, d=3, seed=7)
    t = coverage(Gaussian(0.7), theta, x, [0.5, 0.9], n_draws=100)
    assert t.parameter.unique().tolist() == ["joint", "theta_0", "theta_1", "theta_2"]
    assert t.region.tolist() == ["density"] * 2 + ["central"] * 6
    for row in t.itertuples():
        if row.parameter == "joint":  # chi^2 of three degrees scaled by width^2
            want = stats.chi2(3).cdf(0.7**2 * stats.chi2(3).ppf(row.level))
        else:
            want = 2 * stats.norm.cdf(0.7 * stats.norm.ppf((1 + row.level) / 2)) - 1
        assert abs(row.coverage - want) < 4.5 * np.sqrt(want * (1 - want) / 1500)


def test_marginal_densities_give_a_curve_each_with_names():
    theta, x = pairs(50, d=2, seed=8)
    est = Gaussian(marginals="1d")
    est.names = ["a", "b"]
    t = coverage(est, theta, x, [0.5], n_draws=50)
    assert t.parameter.tolist() == ["a", "b"] and set(t.region) == {"density"}
    assert (t.n == 50).all() and (t.low <= t.coverage).all()


def test_memory_does_not_grow_with_the_number_of_observations():
    # trap 21: 400 observations of 20000 draws would hold 64 MB
    peaks = []
    for n in (20, 400):
        theta, x = pairs(n, seed=9)
        tracemalloc.start()
        credibility(Gaussian(), theta, x, 20_000)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 1e6


def test_posterior_with_a_ratio_only_is_ordered_by_it_and_says_so():
    theta, x = pairs(40, seed=4)

    class Ratio(Gaussian):
        def posterior(self, x):
            law = super().posterior(x)
            return Without(sample=law.sample, log_ratio=law.log_ratio)

    c, kinds = credibility(Ratio(), theta, x, 500)
    r, _ = credibility(Gaussian(), theta, x, 500, region="ratio")
    assert np.array_equal(c, r) and set(kinds.values()) == {"ratio"}
    # with the prior beside it the density is known again
    est = Ratio()
    est.prior = Prior(t=stats.norm(0.0, 1.0))
    c, kinds = credibility(est, theta, x, 500)
    d, _ = credibility(Gaussian(), theta, x, 500)
    assert np.array_equal(c, d) and set(kinds.values()) == {"density"}


@pytest.mark.parametrize("marginals", [None, [(0,), (1,), (0, 1)]])
def test_order_without_evidence_is_that_of_the_density(marginals):
    # an estimator's own posterior: h + ln p orders as its normalised density does
    prior = Prior(a=stats.norm(0.0, 1.0), b=(-2.0, 2.0))
    theta = prior.sample(300, rng=0)
    x = theta + np.random.default_rng(1).normal(size=theta.shape)
    est = NRE(prior, marginals=marginals, epochs=1).fit(theta, x)
    post = est.posterior(x[0])
    density, kind = _density(est, post, None, "test")
    wanted = post.log_prob(theta[:50]).reshape(50, -1)
    gap = density(theta[:50]) - wanted
    assert kind == "density"
    assert np.allclose(gap, gap[0], atol=1e-5 * np.abs(wanted).max())


class Tabulated:
    """The exact posterior of two normal parameters, with tables or with draws alone."""

    def __init__(self, tables=True):
        self.prior = Prior(a=stats.norm(0.0, 1.0), b=stats.norm(0.0, 1.0))
        self.coordinates, self.tables = Coordinates(self.prior, ((0,), (1,))), tables
        self.names = ["a", "b"]

    def posterior(self, x):
        law = Posterior(self.coordinates, lambda z: -0.5 * (z - x) ** 2)
        if self.tables:
            law.sample = None  # not needed
            return law
        names = "sample", "log_prob", "log_ratio", "marginals"
        return Without(**{name: getattr(law, name) for name in names})


@pytest.mark.parametrize("region", [None, "density", "ratio"])
def test_tables_give_what_draws_give(region):
    # 4000 draws: binomial error of c below .008, cells of a table below .007
    theta, x = pairs(60, d=2, seed=10)
    c, kinds = credibility(Tabulated(), theta, x, 2, region=region)
    d, other = credibility(Tabulated(False), theta, x, 4000, region=region)
    assert list(c) == ["a", "b"] and kinds == other
    assert set(kinds.values()) == {region or "density"}
    assert np.abs(c - d).to_numpy().max() < 4 * 0.008 + 0.007
    # the tables are free of noise: highest density is erf(|z| / sqrt 2)
    if region != "ratio":
        half = np.abs(theta - x / 2) / np.sqrt(0.5)
        assert np.allclose(c, 2 * stats.norm.cdf(half) - 1, atol=0.007)


def test_coverage_by_tables_is_right_and_the_same_each_time():
    theta, x = pairs(1000, d=2, seed=11)
    t = coverage(Tabulated(), theta, x, [0.683, 0.954], rng=0, band=0.999)
    assert t.parameter.tolist() == ["a", "a", "b", "b"] and (t.n == 1000).all()
    assert ((t.low < t.level) & (t.level < t.high)).all()
    again = coverage(Tabulated(), theta, x, [0.683, 0.954], rng=1, band=0.999)
    assert t.equals(again)


class Without:
    """A posterior that lacks something."""

    def __init__(self, **methods):
        self.__dict__.update(methods)

    def posterior(self, x):
        return self


def test_bad_input_says_what_is_wrong():
    theta, x = pairs(5)
    sample = lambda n, rng: np.zeros((n, 1))  # noqa: E731
    flat = lambda theta: np.zeros(len(theta))  # noqa: E731
    with pytest.raises(TypeError, match="neither log_prob nor log_ratio"):
        coverage(Without(sample=sample), theta, x)
    with pytest.raises(TypeError, match="region='ratio'"):
        coverage(Without(sample=sample, log_ratio=flat), theta, x, region="density")
    with pytest.raises(ValueError, match=r"\(1000, 1\) is needed"):
        coverage(
            Without(sample=lambda n, rng: np.zeros((n, 2)), log_prob=flat), theta, x
        )
    with pytest.raises(ValueError, match="between 0 and 1"):
        coverage(Gaussian(), theta, x, [95])
    with pytest.raises(ValueError, match="one set of data for each"):
        coverage(Gaussian(), theta, x[:4])
    with pytest.raises(ValueError, match="failed simulations"):
        coverage(Gaussian(), theta, np.where(x > 9, x, np.nan))
    with pytest.raises(ValueError, match="n_draws=0"):
        coverage(Gaussian(), theta, x, n_draws=0)


class Boxed(Gaussian):
    """Exact under a normal prior; says that its prior is a box."""

    prior = Prior(a=(-1.0, 1.0), b=(-5.0, 5.0))


def test_truths_outside_the_prior_are_refused():
    # after truncation they made coverages of .40 and .47 at .5 without a word
    theta, x = pairs(200, d=2, seed=8)
    out = np.abs(theta[:, 0]) > 1
    for check in (coverage, sbc):
        with pytest.raises(
            ValueError, match=rf"{out.sum()} of 200 truths .* a = "
        ) as e:
            check(Boxed(), theta, x)
        assert "est.prior.sample(n, rng)" in str(e.value)
        check(Boxed(), theta[~out], x[~out], n_draws=9)
        with pytest.raises(ValueError, match=r"\(n, 2\) is needed"):
            check(Boxed(), theta[:, :1], x)
    with pytest.raises(ValueError, match="lie outside"):
        coverage(Boxed(), theta, x, draws="prior")

    class Later(Gaussian):  # the posterior has the prior
        def posterior(self, x):
            posterior = super().posterior(x)
            posterior.prior = Boxed.prior
            return posterior

    with pytest.raises(ValueError, match="lie outside"):
        coverage(Later(), theta, x)


def test_two_marginals_of_one_name_are_refused():
    prior = Prior(a=(-1.0, 1.0), b=(-1.0, 1.0))
    ratio = lambda z: np.zeros((len(z), 2))  # noqa: E731
    post = Posterior(Coordinates(prior, ((0,), (0,))), ratio)

    class Twice:
        def posterior(self, x):
            return post

    with pytest.raises(ValueError, match="2 marginals of a"):
        coverage(Twice(), np.zeros((5, 2)), np.zeros((5, 2)))


class Overlapping:
    """Exact marginals of theta ~ N(0, I), x = sum + .3 e; draws of all at once are not.

    The posterior is N(mean, C) with C = I - 1/(d + .09).
    """

    joint = False

    def __init__(self, d, marginals):
        self.d, self.marginals = d, marginals
        self.cov = np.eye(d) - 1 / (d + 0.09)

    def posterior(self, x):
        self.mean = np.full(self.d, x / (self.d + 0.09))
        return self

    def sample(self, n, rng):
        return self.mean + np.sqrt(np.diag(self.cov)) * rng.normal(size=(n, self.d))

    def sample_marginal(self, g, n, rng):
        m = list(self.marginals[g])
        cov = self.cov[np.ix_(m, m)]
        return rng.multivariate_normal(self.mean[m], cov, n)

    def log_prob(self, theta):
        laws = (
            multivariate_normal(self.mean[list(m)], self.cov[np.ix_(m, m)])
            for m in self.marginals
        )
        columns = (theta[:, list(m)] for m in self.marginals)
        each = [law.logpdf(c) for law, c in zip(laws, columns, strict=True)]
        return np.stack([np.reshape(one, len(theta)) for one in each], axis=1)


@pytest.mark.parametrize("marginals", [((0,), (1,), (0, 1)), ((0, 1), (1, 2), (2, 0))])
def test_overlapping_marginals_use_draws_of_their_own(marginals):
    # joint draws of marginals are independent, the parameters are not: at .5 the pairs
    # were covered .94 and .58 of the time
    rng = np.random.default_rng(9)
    d = max(map(max, marginals)) + 1
    theta = rng.normal(size=(600, d))
    x = theta.sum(axis=1) + 0.3 * rng.normal(size=600)
    table = coverage(
        Overlapping(d, marginals), theta, x, [0.5], n_draws=60, band=0.9999
    )
    assert len(table) == len(marginals)
    assert ((table.low < 0.5) & (table.high > 0.5)).all(), table
