"""SBC: size, power, discrete ranks, band of the empirical distribution."""

import tracemalloc

import numpy as np
import pytest
from scipy import stats

from gradiverse.inference._sbc import _bins, ecdf_band, sbc, uniform_p

from .known import Gaussian, Prior, pairs


def test_exact_posterior_passes_and_a_shift_of_a_fifth_is_found():
    # L = 99, N = 2000; the shifted law's chi-square has non-centrality above 60
    theta, x = pairs(2000, seed=1)
    good = sbc(Gaussian(), theta, x, 99, rng=2)
    assert good.p_value > 0.01 and good.bins == 20
    assert good.ranks.min() >= 0 and good.ranks.max() <= 99
    assert sbc(Gaussian(shift=0.2), theta, x, 99, rng=2).p_value < 1e-6


def test_size_and_power_over_repeats():
    # trap 24: 200 tests at 5 %, binomial limits at 1e-4; width .7 is found mostly
    rejected = {1.0: 0, 0.7: 0}
    for seed in range(200):
        for width in rejected:
            theta, x = pairs(200, seed=seed)
            rejected[width] += (
                sbc(Gaussian(width), theta, x, 19, rng=seed).p_value < 0.05
            )
    assert rejected[1.0] <= stats.binom.isf(1e-4, 200, 0.05)
    assert rejected[1.0] >= stats.binom.ppf(1e-3, 200, 0.03)  # the test is not dead
    assert rejected[0.7] > 120


def test_ten_values_of_a_rank_against_their_own_law():
    # trap 15: L = 9; a continuous KS test rejects such exact ranks at n = 2000
    theta, x = pairs(2000, seed=3)
    result = sbc(Gaussian(), theta, x, 9, rng=1)
    assert result.p_value > 0.01
    assert stats.kstest(result.ranks[:, 0] / 9, "uniform").pvalue < 1e-4
    assert set(np.unique(result.ranks)) == set(range(10))


def test_rank_counts_draws_below_the_truth():
    class Fixed:
        def posterior(self, x):
            return self

        def sample(self, n, rng):
            return np.arange(float(n))[:, None]

    theta = np.repeat([[-1.0], [0.5], [2.5], [98.5]], 3, axis=0)
    result = sbc(Fixed(), theta, theta, 99)
    assert result.ranks[:, 0].tolist() == [0] * 3 + [1] * 3 + [3] * 3 + [99] * 3
    # ties take either side: a truth equal to one draw
    ranks = sbc(Fixed(), np.full((200, 1), 5.0), np.zeros((200, 1)), 99).ranks
    assert set(ranks[:, 0]) == {5, 6}


def test_bins_divide_the_number_of_values_or_have_their_own_expectation():
    assert _bins(2000, 100) == 20 and _bins(2000, 10) == 10 and _bins(40, 100) == 5
    assert _bins(1000, 101) == 20  # prime: nearly equal bins
    # 101 values in 20 bins: exactly uniform ranks have a chi-square of nought
    assert uniform_p(np.tile(np.arange(101), 1000), 101, 20) == pytest.approx(1.0)
    ranks = np.random.default_rng(0).integers(0, 101, (300, 500))
    p = [uniform_p(r, 101, 20) for r in ranks]
    assert stats.kstest(p, "uniform").pvalue > 1e-3


def test_band_holds_the_whole_curve_at_its_level():
    n, z = 500, np.arange(1, 21) / 20
    low, high = ecdf_band(n, z, 0.9)
    u = np.random.default_rng(1).integers(0, 20, (2000, n))
    curves = np.stack([(u < k).mean(axis=1) for k in range(1, 21)], axis=1)
    inside = ((curves >= low) & (curves <= high)).all(axis=1).mean()
    # discrete limits err to the wide side; 4 binomial errors of both simulations
    assert 0.9 - 4 * np.sqrt(0.09 * (1 / 2000 + 1 / 4000)) < inside < 0.97


def test_curve_and_band_of_a_result():
    theta, x = pairs(1000, d=2, seed=4)
    z, curves, low, high = sbc(Gaussian(), theta, x, 19, rng=5).ecdf(0.999)
    assert curves.shape == (20, 2) and z[-1] == 1 and (curves[-1] == 1).all()
    assert ((curves >= low[:, None]) & (curves <= high[:, None])).all()
    z, curves, low, high = sbc(Gaussian(0.6), theta, x, 19, rng=5).ecdf(0.999)
    assert ((curves < low[:, None]) | (curves > high[:, None])).any(axis=0).all()


def test_several_parameters_share_the_level():
    theta, x = pairs(300, d=3, seed=6)
    result = sbc(Gaussian(), theta, x, 19)
    assert result.p_values.shape == (3,) and result.names[2] == "theta_2"
    assert result.p_value == pytest.approx(min(1, 3 * result.p_values.min()))


def test_the_prior_passes():
    # what the contraction of tarp is printed for
    theta, x = pairs(2000, seed=7)
    assert sbc(Prior(), theta, x, 19).p_value > 1e-3


def test_memory_does_not_grow_with_the_number_of_observations():
    peaks = []
    for n in (20, 400):
        theta, x = pairs(n, seed=9)
        tracemalloc.start()
        sbc(Gaussian(), theta, x, 20_000)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 1e6


def test_bad_input_says_what_is_wrong():
    theta, x = pairs(20)
    with pytest.raises(ValueError, match="at least 10"):
        sbc(Gaussian(), theta[:5], x[:5])
    with pytest.raises(ValueError, match=r"n_draws=2\.5"):
        sbc(Gaussian(), theta, x, 2.5)
    with pytest.raises(ValueError, match="bins=1"):
        sbc(Gaussian(), theta, x, bins=1)
