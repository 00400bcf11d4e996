"""MMD: population values, unbiasedness, size, power."""

import tracemalloc

import numpy as np
import pytest
from scipy import stats

from gradiverse.inference._mmd import mmd, mmd_test


def _normal(seed, n, mean=0.0, d=1):
    return np.random.default_rng(seed).normal(mean, 1.0, (n, d))


def test_population_value():
    # N(0,1) against N(1,1), l = 1: E k of N(m, 2) is sqrt(1/3) exp(-m^2/6)
    want = 2 / np.sqrt(3) * (1 - np.exp(-1 / 6))
    assert want == pytest.approx(0.177268, abs=1e-6)
    got = [mmd(_normal(s, 1000), _normal(s + 50, 1000, 1.0), 1.0) for s in range(20)]
    assert abs(np.mean(got) - want) < 4 * np.std(got) / np.sqrt(19)
    assert np.std(got) < 0.03


def test_no_bias_under_the_null_and_the_diagonal_has_one():
    # trap 14: n = m = 100; kept diagonals add (1 - 1/sqrt 3)(1/n + 1/m) = .0085 here,
    # .0202 where the within means are divided by n - 1 all the same
    u = [mmd(_normal(2 * s, 100), _normal(2 * s + 1, 100), 1.0) for s in range(2000)]
    assert abs(np.mean(u)) < 0.001
    v = [mmd(_normal(2 * s, 100), _normal(2 * s + 1, 100), 1.0, biased=True)
         for s in range(200)]  # fmt: skip
    assert np.mean(v) == pytest.approx((1 - 3**-0.5) * 0.02, rel=0.15)
    assert min(v) > 0 > min(u)


def test_statistic_written_out():
    a, b = _normal(0, 7, d=3), _normal(1, 5, 0.5, d=3)
    result = mmd_test(a, b, np.random.default_rng(2), n_permutations=20)
    k = lambda p, q: np.exp(-((p - q) ** 2).sum() / (2 * result.bandwidth**2))  # noqa: E731
    aa = np.mean([k(p, q) for i, p in enumerate(a) for j, q in enumerate(a) if i != j])
    bb = np.mean([k(p, q) for i, p in enumerate(b) for j, q in enumerate(b) if i != j])
    ab = np.mean([k(p, q) for p in a for q in b])
    assert result.statistic == pytest.approx(aa + bb - 2 * ab, abs=1e-14)
    assert mmd(a, b, result.bandwidth) == pytest.approx(aa + bb - 2 * ab, abs=1e-14)
    cross = [np.sqrt(((p - q) ** 2).sum()) for p in a for q in b]
    assert result.bandwidth == pytest.approx(np.median(cross))
    pool = np.concatenate([a, b])
    again = np.random.default_rng(2)
    for value in result.null[:3]:  # the permutations are those of the generator
        pick = again.permutation(12)
        one, other = pool[pick[:7]], np.delete(pool, pick[:7], axis=0)
        assert value == pytest.approx(mmd(one, other, result.bandwidth), abs=1e-13)


def test_size_and_power_of_the_permutation_test():
    # trap 14: p never 0, 5 % level held; 400 repeats, binomial limits at 1e-4
    p = np.array([mmd_test(_normal([s, 0], 30), _normal([s, 1], 20), s,
                           n_permutations=99).p_value for s in range(400)])  # fmt: skip
    assert p.min() >= 0.01
    assert (p <= 0.05).sum() <= stats.binom.isf(1e-4, 400, 0.05)
    assert (p <= 0.5).sum() >= stats.binom.ppf(1e-4, 400, 0.5)
    moved = [mmd_test(_normal([s, 0], 50), _normal([s, 1], 50, 0.8), s,
                      n_permutations=99).p_value for s in range(50)]  # fmt: skip
    assert np.mean(np.array(moved) <= 0.05) > 0.8
    assert (
        mmd_test(_normal(0, 200), _normal(1, 200, 2.0), n_permutations=99).p_value
        == 0.01
    )


def test_kernel_matrix_is_never_held_whole():
    a, b = _normal(0, 3000), _normal(1, 3000)
    tracemalloc.start()
    mmd_test(a, b, n_permutations=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.75 * 8 * 6000**2


def test_bad_input_says_what_is_wrong():
    with pytest.raises(ValueError, match="at least 2"):
        mmd_test(np.zeros((1, 2)), np.zeros((5, 2)))
    with pytest.raises(ValueError, match="3 columns where 2"):
        mmd_test(np.zeros((5, 2)), np.zeros((5, 3)))
    with pytest.raises(ValueError, match="bandwidth"):
        mmd_test(np.zeros((5, 2)), np.zeros((5, 2)))
    with pytest.raises(ValueError, match="bandwidth"):
        mmd(_normal(0, 5), _normal(1, 5), -1.0)
    with pytest.raises(ValueError, match="n_permutations"):
        mmd_test(_normal(0, 5), _normal(1, 5), n_permutations=0)
