"""Local two-sample test: size, power, the null that serves again."""

import numpy as np
import pytest
from scipy import stats

from gradiverse.inference._lc2st import LC2ST

from .known import pairs

SD = np.sqrt(0.5)


def _draws(x, seed, width=1.0, shift=0.0):
    rng = np.random.default_rng(seed)
    return x / 2 + SD * (shift + width * rng.normal(size=x.shape))


def test_exact_posterior_passes_and_wrong_ones_are_found():
    theta, x = pairs(1500, seed=1)
    at = np.zeros((1000, 1))
    good = LC2ST(theta, x, _draws(x, 2), 3, n_null=60)
    assert good.test([0.0], _draws(at, 4)).p_value > 0.01
    for wrong in ({"width": 0.5}, {"shift": 0.7}):
        local = LC2ST(theta, x, _draws(x, 2, **wrong), 3, n_null=60)
        result = local.test([0.0], _draws(at, 4, **wrong))
        assert result.p_value == pytest.approx(1 / 61), wrong
        assert result.null.shape == (60,) and result.probability.shape == (1000,)
    # moved to the right: truths are missing on the left
    left = result.probability[_draws(at, 4, **wrong)[:, 0] < 0].mean()
    assert left > 0.55


def test_it_is_local():
    # exact for x < 0, moved by two sd for x > 0
    theta, x = pairs(2000, seed=5)
    draws = _draws(x, 6) + np.where(x > 0, 2 * SD, 0.0)
    local = LC2ST(theta, x, draws, 7, n_null=40)
    right = np.full((1000, 1), 1.5)
    assert local.test([1.5], _draws(right, 8) + 2 * SD).p_value == pytest.approx(1 / 41)
    assert local.test([-1.5], _draws(-right, 8)).p_value > 1 / 41


def test_size():
    # trap 24: 40 repeats at 10 %, 19 null trainings each: binomial limit at 1e-4
    rejected = 0
    for seed in range(40):
        theta, x = pairs(150, seed=seed)
        local = LC2ST(theta, x, _draws(x, [seed, 1]), seed, n_null=19, epochs=10)
        at = np.full((200, 1), x[0, 0])
        rejected += local.test(x[0], _draws(at, [seed, 2])).p_value <= 0.1
    assert rejected <= stats.binom.isf(1e-4, 40, 0.1)


def test_power_over_repeats():
    # trap 24: shifted by half an sd, or half as wide, at 5 %
    for wrong in ({"shift": 0.5}, {"width": 0.5}):
        rejected = 0
        for seed in range(20):
            theta, x = pairs(500, seed=seed)
            draws = _draws(x, [seed, 1], **wrong)
            local = LC2ST(theta, x, draws, seed, n_null=19)
            at = np.full((200, 1), x[0, 0])
            p = local.test(x[0], _draws(at, [seed, 2], **wrong)).p_value
            rejected += p <= 0.05
        # a power of .8 gives fewer with a probability of 1e-3, the level 10 with 1e-8
        assert rejected >= 10, wrong


def test_dicts_are_taken_in_columns():
    theta, x = pairs(60, d=2, seed=3)
    draws = _draws(x, 4)
    plain = LC2ST(theta, x, draws, 5, n_null=2, epochs=2)
    parts = {"a": x[:, :1], "b": x[:, 1]}
    both = LC2ST(theta, parts, draws, 5, n_null=2, epochs=2)
    one = {"a": x[0, :1], "b": x[0, 1]}
    assert both.test(one, draws).statistic == plain.test(x[0], draws).statistic


def test_flow_variant_and_its_null():
    theta, x = pairs(1500, seed=9)
    exact = (theta - x / 2) / SD  # images in the base space
    first = LC2ST(exact, x, rng=1, n_null=40)
    assert first.test([0.5]).p_value > 0.01
    narrow = LC2ST(2 * exact, x, rng=2, null=first)
    assert narrow._null is first._null
    assert narrow.test([0.5]).p_value == pytest.approx(1 / 41)


def test_bad_input_says_what_is_wrong():
    theta, x = pairs(30)
    local = LC2ST(theta, x, theta, n_null=1, epochs=1)
    with pytest.raises(ValueError, match="posterior draws at x_obs"):
        local.test([0.0])
    with pytest.raises(ValueError, match="1 finite numbers"):
        local.test([0.0, 1.0], theta)
    with pytest.raises(ValueError, match="no samples"):
        LC2ST(theta, x, n_null=1, epochs=1).test([0.0], theta)
    with pytest.raises(ValueError, match="serves again only"):
        LC2ST(theta, x, null=local, epochs=1)
    with pytest.raises(ValueError, match="29 rows of x"):
        LC2ST(theta, x[:29], theta)
    with pytest.raises(ValueError, match="29 rows of samples"):
        LC2ST(theta, x, theta[:29])
