"""Priors against scipy.stats, in the middle and far out in the tails."""

import json
import pickle

import numpy as np
import pytest
import scipy.stats as st

from gradiverse.inference import Bank, Prior

BLOCK = st.multivariate_normal([1.0, 2.0], [[2.0, 0.5], [0.5, 1.0]])


def mixed():
    return Prior(
        {"g, h": BLOCK},
        a=st.norm(1, 2),
        b=(-1.0, 3.0),
        c=st.lognorm(0.5, scale=2),
        e=st.loguniform(1e-3, 1),
        f=st.gamma(2.5, scale=3),
    )


def single(name):
    return dict(
        a=st.norm(1, 2),
        b=st.uniform(-1, 4),
        c=st.lognorm(0.5, scale=2),
        e=st.loguniform(1e-3, 1),
        f=st.gamma(2.5, scale=3),
    )[name]


@pytest.mark.smoke
def test_density_and_cdf_are_scipys():
    prior = mixed()
    assert prior.names == ["g", "h", "a", "b", "c", "e", "f"]
    theta = prior.sample(500, 1)
    expected = BLOCK.logpdf(theta[:, :2])
    u = prior.cdf(theta)
    for i, name in enumerate("abcef", start=2):
        expected = expected + single(name).logpdf(theta[:, i])
        np.testing.assert_allclose(u[:, i], single(name).cdf(theta[:, i]), atol=1e-14)
    np.testing.assert_allclose(prior.log_prob(theta), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(prior.ppf(u), theta, rtol=1e-12, atol=1e-12)
    assert prior.log_prob(theta[0]).shape == ()
    outside = theta[:1].copy()
    outside[0, 3] = 3.5
    assert prior.log_prob(outside) == -np.inf and not prior.contains(outside)


@pytest.mark.smoke
def test_draws_follow_the_distributions():
    """Kolmogorov-Smirnov at 1e-4 for each of 6 columns; covariance within 5 errors."""
    prior = mixed()
    theta = prior.sample(20000, 3)
    for i, name in enumerate("abcef", start=2):
        assert st.kstest(theta[:, i], single(name).cdf).pvalue > 1e-4, name
    C = np.array([[2.0, 0.5], [0.5, 1.0]])
    error = np.sqrt((np.outer(np.diag(C), np.diag(C)) + C**2) / 20000)
    assert (np.abs(np.cov(theta[:, :2].T) - C) < 5 * error).all()
    assert np.array_equal(theta, prior.sample(20000, np.random.default_rng(3)))
    seed = np.random.SeedSequence(3)
    assert np.array_equal(theta, prior.sample(20000, seed))


@pytest.mark.parametrize(
    "name, box",
    [
        ("a", (6.0, 9.0)),
        ("a", (1 + 2 * 9.0, 1 + 2 * 9.5)),
        ("a", (1 - 2 * 30.0, 1 - 2 * 29.9)),
        ("c", (30.0, 40.0)),
        ("e", (0.9, 0.901)),
        ("f", (60.0, 70.0)),
        ("b", (2.9999, 5.0)),
    ],
)
def test_truncation_far_out(name, box):
    """Draws stay distinct and follow the density inside a box 9 sigma out and more.

    Oracle: the density integrated over the box by a fine trapezoidal rule.
    """
    dist = single(name)
    prior = Prior({name: dist}).truncate([box])
    x = np.linspace(*prior.bounds[0], 20001)
    logpdf = dist.logpdf(x)
    top = logpdf.max()
    p = np.exp(logpdf - top)
    steps = 0.5 * (p[1:] + p[:-1]) * np.diff(x)
    total = steps.sum()
    assert prior.log_volume == pytest.approx(np.log(total) + top, abs=1e-5)
    draws = prior.sample(4000, 0)[:, 0]
    assert len(np.unique(draws)) > 3990
    assert (draws >= prior.bounds[0, 0]).all() and (draws <= prior.bounds[0, 1]).all()
    cdf = np.append(0.0, np.cumsum(steps) / total)
    assert st.kstest(draws, lambda t: np.interp(t, x, cdf)).pvalue > 1e-3
    mid = np.array([[x[7000]]])
    np.testing.assert_allclose(prior.cdf(mid)[0, 0], cdf[7000], atol=1e-5)
    expected = logpdf[7000] - top - np.log(total)
    np.testing.assert_allclose(prior.log_prob(mid)[0], expected, atol=1e-5)
    np.testing.assert_allclose(prior.ppf(prior.cdf(mid)), mid, rtol=1e-9)


def test_boxes_nest():
    prior = mixed()
    inf = (-np.inf, np.inf)
    outer = prior.truncate([inf, inf, (0, 5), (0, 1), (1, 9), (0.01, 2), inf])
    inner = outer.truncate([inf, inf, (1, 9), (0.5, 8), (2, 3), inf, (5, 6)])
    assert inner.bounds[2:].tolist() == [[1, 5], [0.5, 1], [2, 3], [0.01, 1], [5, 6]]
    low, high = inner.bounds[2:].T
    masses = [
        single(name).cdf(b) - single(name).cdf(a)
        for name, a, b in zip("abcef", low, high, strict=True)
    ]
    assert inner.volume == pytest.approx(np.prod(masses), rel=1e-12)
    theta = inner.sample(1000, 0)
    assert outer.contains(theta).all() and inner.contains(theta).all()
    np.testing.assert_allclose(
        inner.log_prob(theta), prior.log_prob(theta) - inner.log_volume, atol=1e-12
    )
    assert inner.untruncated == prior and not prior.truncated and inner.truncated


def test_description_and_pickle_restore_the_same_draws():
    inf = (-np.inf, np.inf)
    box = [inf, inf, (0, 5), (0, 1), (1, 9), (0.01, 2), inf]
    for prior in (mixed(), mixed().truncate(box)):
        draws = prior.sample(100, 0)
        again = Prior.restore(json.loads(json.dumps(prior.describe())))
        assert again == prior and np.array_equal(again.sample(100, 0), draws)
        assert np.array_equal(pickle.loads(pickle.dumps(prior)).sample(100, 0), draws)
    assert mixed() != mixed().truncate(box)


def test_vectors_and_other_objects():
    prior = Prior(
        x=([0.0, 1.0], [1.0, 3.0]),
        y=st.norm(np.arange(3.0), 0.1),
        z=st.gamma([2.0, 3.0]),
        w=st.Normal(mu=5.0, sigma=2.0),
    )
    assert prior.names == ["x_0", "x_1", "y_0", "y_1", "y_2", "z_0", "z_1", "w"]
    assert prior.bounds[:2].tolist() == [[0, 1], [1, 3]]
    mean = prior.sample(20000, 0).mean(axis=0)
    sd = np.array([12**-0.5, 2 * 12**-0.5, 0.1, 0.1, 0.1, 2**0.5, 3**0.5, 2.0])
    expected = [0.5, 2, 0, 1, 2, 2, 3, 5]
    assert (np.abs(mean - expected) < 4.5 * sd / np.sqrt(20000)).all()
    foreign = prior.describe()["distributions"]["w"]
    assert foreign["kind"] == "object"
    with pytest.raises(ValueError, match="give the prior itself"):
        Prior.restore(prior.describe())
    diagonal = Prior(q=st.multivariate_normal([0.0, 1.0], np.diag([1.0, 4.0])))
    assert diagonal.truncate([(0, 1), (0, 1)]).volume == pytest.approx(
        (st.norm.cdf(1) - 0.5) * (st.norm(1, 2).cdf(1) - st.norm(1, 2).cdf(0))
    )


class Shifted:
    """A distribution of one's own, with rounding errors if asked for."""

    def __init__(self, shift, error=0.0):
        of = st.norm(shift, 1e-3)
        self.cdf, self.sf, self.isf = of.cdf, of.sf, of.isf
        self.logpdf, self.support = of.logpdf, of.support
        self._of, self._error = of, error

    def ppf(self, p):
        return self._of.ppf(p) * (1 + self._error)


def histogram(seed):
    draws = np.random.default_rng(seed).normal(size=200)
    return st.rv_histogram(np.histogram(draws, bins=20)).freeze()


@pytest.mark.parametrize(
    "make, one, other",
    [
        (lambda mu: st.Normal(mu=mu, sigma=1.0), 0.0, 50.0),
        (histogram, 1, 2),
        (Shifted, 1000.0, 1000.0001),
    ],
)
def test_objects_are_told_apart(make, one, other, tmp_path):
    """By quantiles, in units of their spread; a bank is of one of them alone."""
    prior = Prior(a=make(one), b=(0.0, 1.0))
    assert prior == Prior(a=make(one), b=(0.0, 1.0))
    assert prior != Prior(a=make(other), b=(0.0, 1.0))
    assert json.loads(json.dumps(prior.describe())) == prior.describe()
    Bank(tmp_path / "a.h5", prior).close()
    Bank(tmp_path / "a.h5", Prior(a=make(one), b=(0.0, 1.0))).close()
    with pytest.raises(ValueError, match="made with another prior, of a, b"):
        Bank(tmp_path / "a.h5", Prior(a=make(other), b=(0.0, 1.0)))


def test_rounding_does_not_make_another_prior():
    assert Prior(a=Shifted(7.0)) == Prior(a=Shifted(7.0, 4e-16))
    assert Prior(a=Shifted(7.0)) != Prior(a=Shifted(7.0, 1e-9))


def test_cut_from():
    prior = mixed()
    inf = (-np.inf, np.inf)
    box = [inf, inf, (0, 5), (0, 1), (1, 9), (0.01, 2), inf]
    cut = mixed().truncate(box)
    assert cut.cut_from(prior) and prior.cut_from(prior) and not prior.cut_from(cut)
    assert cut.truncate([inf] * 3 + [(0.5, 1)] + [inf] * 3).cut_from(cut)
    assert not Prior(a=st.norm(0, 1)).cut_from(Prior(a=st.norm(0, 2)))
    assert not Prior(a=(0.0, 1.0)).cut_from(Prior(b=(0.0, 1.0)))


@pytest.mark.parametrize("rng", [None, True, 0.5, "seed"])
def test_draws_need_a_seed(rng):
    with pytest.raises(TypeError, match="rng must be a seed"):
        mixed().sample(3, rng)


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: Prior(), "at least one parameter"),
        (lambda: Prior(a=(1.0, 0.0)), "low < high"),
        (lambda: Prior(a=(0.0, np.inf)), "finite"),
        (lambda: Prior(a=(0.0, 1.0, 2.0)), "pair"),
        (lambda: Prior(a=st.poisson(3)), "discrete"),
        (lambda: Prior(a=st.norm), "frozen"),
        (lambda: Prior(a=st.norm(0, -1)), "not defined"),
        (lambda: Prior(a="uniform"), "expected"),
        (lambda: Prior({"a, b, c": BLOCK}), "names 3 parameters"),
        (lambda: Prior({"a, a": BLOCK}), "twice"),
        (
            lambda: Prior(a=st.multivariate_normal([0, 0], np.ones((2, 2)), True)),
            "positive definite",
        ),
        (lambda: mixed().truncate([(0, 1)] * 7), "correlated"),
        (
            lambda: Prior(a=(0.0, 1.0)).truncate([(2.0, 3.0)]),
            r"empty: \(2.0, 3.0\) within \(0.0, 1.0\)",
        ),
        (lambda: Prior(a=(0.0, 1.0)).truncate([(np.nan, 3.0)]), "NaN"),
        (lambda: Prior(a=(0.0, 1.0)).truncate([0.0, 3.0]), "pair for each"),
        (
            lambda: Prior(a=st.norm(0, 1)).truncate([(50.0, 51.0)]),
            r"the box \(50.0, 51.0\) of 'a' holds no prior mass",
        ),
        (lambda: Prior(a=(0.0, 1.0)).log_prob([[0.0, 1.0]]), "one column"),
        (lambda: Prior(a=(0.0, 1.0)).ppf([[1.5]]), "lie in"),
        (lambda: Prior(a=(0.0, 1.0)).sample(1.5, 0), "integer"),
        (lambda: Prior(a=(0.0, 1.0)).sample(-1, 0), "negative"),
    ],
)
def test_bad_input(build, message):
    with pytest.raises((ValueError, TypeError), match=message):
        build()


def test_sampling_is_vectorised():
    """Ten columns cost no more than 12 times the random numbers alone (CPU time)."""
    import time

    def cost(f):
        start = time.process_time()
        f()
        return time.process_time() - start

    rng = np.random.default_rng(0)
    prior = Prior({f"p{i}": st.norm(i, 2) for i in range(10)})
    pairs = [
        (
            cost(lambda: prior.sample(100000, rng)),
            cost(lambda: rng.random((100000, 10))),
        )
        for _ in range(7)
    ]
    assert np.median([a / b for a, b in pairs]) < 12
