"""TARP: size, power, scaling, references, contraction."""

import numpy as np
import pytest
from scipy import stats

from gradiverse.inference._tarp import tarp

from .known import pairs


def _draws(x, length, rng, width=1.0):
    n, d = x.shape
    sd = width * np.sqrt(0.5)
    return 0.5 * x[:, None] + sd * rng.normal(size=(n, length, d))


def _rejected(width, repeats, n=500, length=1000, references="uniform"):
    count = 0
    for seed in range(repeats):
        theta, x = pairs(n, seed=seed)
        rng = np.random.default_rng([seed, 1])
        draws = _draws(x, length, rng, width)
        result = tarp(draws, theta, rng, bootstrap=1, references=references, x=x)
        count += result.p_value < 0.05
    return count / repeats


def test_power_and_size():
    # traps 12, 24: 500 truths, 1000 draws, 5 % level. Required: at least 75 % at .8 of
    # the true width, at most 7.5 % at the width itself
    assert _rejected(0.8, 60) >= 0.75
    assert _rejected(1.0, 60) <= 0.075 + 4 * np.sqrt(0.05 * 0.95 / 60)


def test_size_is_exact_for_few_draws():
    # trap 15: 4 draws leave five values of the rank, the test still holds its size
    size = _rejected(1.0, 400, n=200, length=4)
    assert abs(size - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 400)


def test_curve_is_on_the_unit_interval():
    # trap 13: f within [.3, .7] has no coverage at .2 and all of it at .8
    rng = np.random.default_rng(0)
    n = 100
    theta = rng.random((n, 1))
    # the truth at .3 to .7 of the draws in order of distance from a reference at 0
    share = rng.uniform(0.3, 0.7, n)
    draws = theta[:, :1] * np.linspace(0, 1 / share, 1000).T
    result = tarp(draws[:, :, None], theta, references=np.zeros((n, 1)))
    assert result.f.min() > 0.29 and result.f.max() < 0.71
    assert result.ecp[20] == 0 and result.ecp[80] == 1
    assert result.levels[20] == pytest.approx(0.2)
    assert result.p_value < 1e-6


def test_units_of_a_parameter_change_nothing():
    theta, x = pairs(100, d=3, seed=1)
    draws = _draws(x, 50, np.random.default_rng(2))
    plain = tarp(draws, theta, 5)
    units = np.array([1024.0, 1.0, 2.0**-9])
    assert np.array_equal(tarp(draws * units, theta * units, 5).f, plain.f)


def test_the_prior_passes_unless_references_look_at_the_data():
    theta, x = pairs(500, d=2, seed=3)
    rng = np.random.default_rng(4)
    prior = rng.normal(size=(500, 200, 2))
    blind = tarp(prior, theta, rng)
    assert blind.p_value > 0.01
    assert np.abs(blind.contraction).max() < 0.15
    assert tarp(prior, theta, rng, references="data", x=x).p_value < 1e-6
    given = tarp(prior, theta, rng, references=lambda x, rng: x, x=x)
    assert given.p_value < 1e-6 and given.references == "given"
    exact = _draws(x, 200, rng)
    assert tarp(exact, theta, rng, references="data", x=x).p_value > 0.01
    # 1 - .5/1, sampling error of a variance over 500 truths
    assert np.abs(tarp(exact, theta, rng).contraction - 0.5).max() < 0.5 * 0.25


def test_size_with_references_from_the_data():
    # the prediction is fitted on the other half: on its own half it would follow the
    # truths through the 30 columns that know nothing
    rejected = 0
    for seed in range(200):
        theta, x = pairs(40, seed=seed)
        rng = np.random.default_rng([seed, 1])
        wide = np.concatenate([x, rng.normal(size=(40, 30))], axis=1)
        draws = _draws(x, 20, rng)
        result = tarp(draws, theta, rng, references="data", x=wide, bootstrap=1)
        rejected += result.p_value < 0.05
    assert rejected < stats.binom.isf(1e-4, 200, 0.05)


def test_band_holds_the_diagonal_of_an_exact_posterior():
    theta, x = pairs(1000, d=2, seed=5)
    result = tarp(_draws(x, 100, np.random.default_rng(6)), theta, 7, band=0.9999)
    inside = (result.low <= result.levels) & (result.levels <= result.high)
    assert inside[5:-5].all()
    narrow = tarp(_draws(x, 100, np.random.default_rng(6), 0.5), theta, 7, band=0.9999)
    assert not ((narrow.low <= narrow.levels) & (narrow.levels <= narrow.high)).all()


def test_bad_input_says_what_is_wrong():
    theta, x = pairs(20, d=2)
    draws = _draws(x, 9, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"\(20, draws, 2\) is needed"):
        tarp(draws[:, :, :1], theta)
    with pytest.raises(ValueError, match="at least 10"):
        tarp(draws[:5], theta[:5])
    with pytest.raises(ValueError, match="needs x="):
        tarp(draws, theta, references="data")
    with pytest.raises(ValueError, match="choose 'uniform'"):
        tarp(draws, theta, references="grid")
    with pytest.raises(ValueError, match="constant"):
        tarp(draws, np.ones((20, 2)))
    draws[3, 2] = np.nan
    with pytest.raises(ValueError, match=r"samples\[3\]"):
        tarp(draws, theta)
