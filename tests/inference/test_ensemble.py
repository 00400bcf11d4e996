"""Ensembles: mixture density, draws, weights."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gradiverse.inference import NRE, Posterior, Prior
from gradiverse.inference._coordinates import Coordinates
from gradiverse.inference._coverage import _density, coverage
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


PRIOR = Prior(a=(-1.0, 1.0), b=(-1.0, 1.0))


def _trained(loss="nre-c", **options):
    theta = PRIOR.sample(300, rng=0)
    x = theta + 0.2 * np.random.default_rng(1).normal(size=theta.shape)
    return NRE(PRIOR, loss, epochs=1, **options).fit(theta, x)


def test_losses_of_several_networks_are_averaged():
    # four networks had four times the loss: weights .99999 and 1e-5 of equals
    one, four = _trained(rng=3), _trained(rng=4, members=4)
    weights = Ensemble([one, four], "validation").weights
    best = np.mean([h["validation_loss"].min() for h in four.history])
    ratio = np.exp(one.history[0]["validation_loss"].min() - best)
    assert weights[1] / weights[0] == pytest.approx(ratio)
    assert 0.1 < weights[0] < 0.9
    # those of blocks of marginals add up
    one.history = [*one.history, *one.history]
    four.history = [*four.history, *four.history]
    weights = Ensemble([one, four], "validation").weights
    assert weights[1] / weights[0] == pytest.approx(ratio**2)


@pytest.mark.parametrize(
    ("loss", "options", "match"),
    [
        ("nre-a", {}, "loss nre-c.* and loss nre-a"),
        ("nre-c", {"atoms": 4}, "contrasts 32.*contrasts 4"),
        ("nre-c", {"batch_size": 20}, "contrasts 32.*contrasts 20"),
        ("nre-c", {"gamma": 2.0}, "gamma 1.0.*gamma 2.0"),
    ],
)
def test_losses_of_different_kinds_are_refused(loss, options, match):
    members = [_trained(), _trained(loss, **options)]
    with pytest.raises(ValueError, match=match):
        Ensemble(members, "validation")
    assert Ensemble(members).weights.tolist() == [0.5, 0.5]


def test_networks_out_of_files_have_no_losses(tmp_path):
    _trained().save(tmp_path / "est.h5")
    with pytest.raises(TypeError, match="files"):
        Ensemble([NRE.load(tmp_path / "est.h5")], "validation")


def test_members_of_different_boxes_are_refused():
    box = PRIOR.truncate([(-1.0, 1.0), (0.0, 0.5)])
    with pytest.raises(ValueError, match=r"priors or boxes \(b in .*-1.*0.5"):
        Ensemble([NRE(PRIOR), NRE(box)])
    with pytest.raises(ValueError, match="different priors"):
        Ensemble([NRE(PRIOR), NRE(PRIOR), NRE(Prior(c=(0.0, 1.0), d=(0.0, 1.0)))])
    assert len(Ensemble([NRE(box), NRE(PRIOR.truncate(box.bounds))]).members) == 2


def _posterior(centre, marginals, offset):
    """exp of the ratio: a normal of sd .1 in every parameter, times e^offset."""

    def ratio(z):
        theta = 2 * stats.norm.cdf(z) - 1
        each = -0.5 * ((theta - centre) / 0.1) ** 2 + offset
        if len(marginals) == 1:
            return each.sum(axis=1, keepdims=True)
        return each[:, [m[0] for m in marginals]]

    return Posterior(Coordinates(PRIOR, marginals), ratio, pool=4000, steps=10)


class Given:
    def __init__(self, *posterior):
        self.made = posterior
        self.prior = PRIOR

    def posterior(self, x):
        return _posterior(*self.made)


def test_mixtures_have_moments_evidence_marginals_figures():
    one = ((0,), (1,))
    both = Ensemble([Given(-0.5, one, 0.0), Given(0.5, one, np.log(4))], [3, 1])
    post = both.posterior(None)
    # three quarters at -.5 and one at .5; 20 000 draws, four errors
    sd = np.sqrt(0.01 + 0.75 * 0.25)
    assert post.mean == pytest.approx([-0.25, -0.25], abs=4 * sd / np.sqrt(20_000))
    assert post.std == pytest.approx([sd, sd], rel=0.02)
    # E exp(h) under the uniform prior of density 1/2: .1 sqrt(2 pi)/2, times 1 and 4
    z = 0.05 * np.sqrt(2 * np.pi)
    assert np.exp(post.log_evidence) == pytest.approx([1.75 * z] * 2, rel=1e-3)
    # which is that of the mixture's own ratio
    theta = PRIOR.ppf(np.repeat((np.arange(4000) + 0.5)[:, None] / 4000, 2, axis=1))
    mean = np.exp(post.log_ratio(theta)).mean(axis=0)
    assert np.exp(post.log_evidence) == pytest.approx(mean, rel=1e-3)
    a = post.marginal("a")
    t = np.linspace(-0.9, 0.9, 7)
    want = 0.75 * stats.norm(-0.5, 0.1).pdf(t) + 0.25 * stats.norm(0.5, 0.1).pdf(t)
    assert np.exp(a.log_prob(t[:, None])) == pytest.approx(want, rel=0.01, abs=1e-9)
    assert a.sample(7, 0).shape == (7, 1) and a.names == ["a"]
    assert len(post.corner(n=500).axes) == 4 and len(a.corner(n=500).axes) == 1
    assert "2 posteriors" in repr(post)
    with pytest.raises(ValueError, match="no head"):
        post.marginal((0, 1))
    with pytest.raises(ValueError, match="0 or more"):
        post.sample(-1, 0)


def test_joint_mixtures():
    whole = ((0, 1),)
    post = Ensemble([Given(-0.3, whole, 0.0), Given(0.3, whole, 1.0)]).posterior(None)
    assert post.joint and np.ndim(post.log_evidence) == 0
    # two parameters: the offset counts twice
    z = (0.05 * np.sqrt(2 * np.pi)) ** 2 * (1 + np.exp(2)) / 2
    assert np.exp(post.log_evidence) == pytest.approx(z, rel=0.1)
    # regions of highest density, not of the ratio that leans to the larger evidence
    order, kind = _density(None, post, None, "test")
    t = np.full((2, 2), 0.3) * [[-1], [1]]
    values = order(t)[:, 0]
    assert kind == "density" and np.allclose(values, post.log_prob(t))
    assert abs(values[1] - values[0]) < 0.2 < abs(np.diff(post.log_ratio(t))[0])
