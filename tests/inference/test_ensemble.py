"""Ensembles: mixture density, draws, weights."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gradiverse.inference._coverage import coverage
from gradiverse.inference._ensemble import Ensemble

from .known import Gaussian, pairs


class Fixed:
    """Normal posterior at a given mean, whatever the data."""

    def __init__(self, mean, loss=None):
        self.law = stats.norm(mean, 1.0)
        if loss is not None:
            self.history = [pd.DataFrame({"validation_loss": [np.nan, loss + 1, loss]})]

    def posterior(self, x):
        return self

    def sample(self, n, rng):
        return self.law.rvs((n, 1), random_state=rng)

    def log_prob(self, theta):
        return self.law.logpdf(theta[:, 0])


def test_density_and_draws_are_those_of_the_mixture():
    both = Ensemble([Fixed(-2.0), Fixed(3.0)], weights=[3, 1])
    post = both.posterior(None)
    t = np.linspace(-4, 6, 11)[:, None]
    want = 0.75 * stats.norm(-2).pdf(t[:, 0]) + 0.25 * stats.norm(3).pdf(t[:, 0])
    assert np.allclose(np.exp(post.log_prob(t)), want, rtol=1e-12)
    draws = post.sample(20_000, 1)
    assert draws.shape == (20_000, 1)
    cdf = lambda v: 0.75 * stats.norm(-2).cdf(v) + 0.25 * stats.norm(3).cdf(v)  # noqa: E731
    assert stats.kstest(draws[:, 0], cdf).pvalue > 1e-3
    # random order: the first half is a sample too
    assert stats.kstest(draws[:10_000, 0], cdf).pvalue > 1e-3
    assert np.array_equal(post.sample(5, 2), post.sample(5, 2))


def test_ratios_are_averaged_not_their_logarithms():
    members = [Gaussian(), Gaussian()]
    for m, c in zip(members, (0.0, 2.0), strict=True):
        m.log_ratio = lambda theta, x, c=c: c + theta[:, 0]
    got = Ensemble(members).log_ratio(np.array([[1.0]]), None)
    assert got == pytest.approx(1 + np.log((1 + np.exp(2)) / 2))


def test_validation_weights():
    e = Ensemble(
        [Fixed(0, 1.0), Fixed(0, 1.0 + np.log(4)), Fixed(0, 1.0)], "validation"
    )
    assert np.allclose(e.weights, [4 / 9, 1 / 9, 4 / 9])
    assert np.allclose(Ensemble([Fixed(0)] * 4).weights, 0.25)


def test_mean_of_opposite_errors_covers():
    # members shifted by one sd to either side: each too rarely right, both together not
    theta, x = pairs(800, seed=1)
    one, other = Gaussian(shift=1.0), Gaussian(shift=-1.0)
    options = {"levels": [0.683], "n_draws": 100, "band": 0.999}
    assert coverage(one, theta, x, **options).high[0] < 0.683
    assert coverage(Ensemble([one, other]), theta, x, **options).low[0] > 0.683


def test_bad_weights_say_so():
    members = [Fixed(0), Fixed(1)]
    for weights in ([1.0], [-1, 2], [0, 0], [np.nan, 1]):
        with pytest.raises(ValueError, match="one number >= 0"):
            Ensemble(members, weights)
    with pytest.raises(ValueError, match="'validation' or numbers"):
        Ensemble(members, "equal-ish")
    with pytest.raises(TypeError, match="validation_loss"):
        Ensemble(members, "validation")
    with pytest.raises(ValueError, match="no members"):
        Ensemble([])
