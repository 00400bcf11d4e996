"""Losses of ratio estimation against closed forms of a conjugate Gaussian pair.

θ ~ N(0, 1), x given θ ~ N(θ, 1): ln r = ½ ln 2 - (x-θ)²/2 + x²/4. Expected losses at
ln r by quadrature elsewhere; tolerances are four standard errors of the mean.
"""

import numpy as np
import pytest

import gradiverse as gv
from gradiverse.inference import losses

N = 400_000


def ratio(theta, x):
    return 0.5 * np.log(2.0) - 0.5 * (x - theta) ** 2 + 0.25 * x**2


@pytest.fixture(scope="module")
def pairs():
    """x and the log ratios of nine atoms a row: 0 joint, the others independent."""
    rng = np.random.default_rng(1)
    theta = rng.normal(size=(N, 1))
    x = theta + rng.normal(size=(N, 1))
    return ratio(np.hstack([theta, rng.normal(size=(N, 8))]), x)


def test_values_at_zero():
    h = np.zeros((7, 5))
    assert losses.nre_a(h[:, 0], h[:, 0]) == pytest.approx(np.log(2), abs=1e-14)
    assert losses.bnre(h[:, 0], h[:, 0]) == pytest.approx(np.log(2), abs=1e-14)
    assert losses.nre_b(h) == pytest.approx(np.log(5), abs=1e-14)
    expected = np.log(2) + 0.5 * np.log(5)
    assert losses.nre_c(h, h) == pytest.approx(expected, abs=1e-14)


def test_expected_losses_of_the_exact_ratio(pairs):
    h = pairs
    error = 4 / np.sqrt(N)
    assert h[:, 0].mean() == pytest.approx(0.346574, abs=error)
    a = losses.nre_a(h[:, 0], h[:, 1])
    assert a == pytest.approx(0.602710, abs=0.25 * error)
    assert 2 * a - 2 * np.log(2) == pytest.approx(-0.180875, abs=0.5 * error)
    assert losses.nre_b(h[:, :2]) == pytest.approx(0.535624, abs=0.43 * error)
    c2 = losses.nre_c(h[:, :2], h[:, 2:4])
    assert c2 == pytest.approx(0.912288, abs=0.29 * error)


def test_balance_of_the_exact_ratio(pairs):
    s = 1 / (1 + np.exp(-pairs[:, :2]))
    assert s.mean(0).sum() == pytest.approx(1.0, abs=4 * np.sqrt(0.5 / N))
    assert np.exp(pairs[:, 1]).mean() == pytest.approx(1.0, abs=0.01)
    gap = losses.bnre(pairs[:, 0], pairs[:, 1]) - losses.nre_a(pairs[:, 0], pairs[:, 1])
    assert 0 <= gap <= 100 * 16 * 0.5 / N


def test_nre_c_one_denominator_for_all_atoms():
    """K = 5: 1.3449 at ln r, where the gradient vanishes; 1.7411 at ln(r + 4)."""
    n, k = 200_000, 5
    rng = np.random.default_rng(2)
    theta = rng.normal(size=(n, 1))
    x = theta + rng.normal(size=(n, 1))
    joint = ratio(np.hstack([theta, rng.normal(size=(n, k - 1))]), x)
    independent = ratio(rng.normal(size=(n, k)), x)
    error = 4 * 0.32 / np.sqrt(n)
    assert losses.nre_c(joint, independent) == pytest.approx(1.34488, abs=error)
    wrong = losses.nre_c(np.log(np.exp(joint) + 4), np.log(np.exp(independent) + 4))
    assert wrong == pytest.approx(1.7411, abs=3 * error)

    def shifted(p):
        return losses.nre_c((1 + p[0]) * joint + p[1], (1 + p[0]) * independent + p[1])

    # d/dp of one row is a difference of probabilities times 1 or h: below 1 and 4
    slope = gv.grad(shifted)(np.zeros(2))
    assert abs(slope[1]) < 4 * 0.5 / np.sqrt(n)
    assert abs(slope[0]) < 4 * 2.0 / np.sqrt(n)
    assert abs(gv.grad(shifted)(np.array([0.2, 0.3]))).min() > 0.01


def test_nre_c_with_one_atom_is_nre_a():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 1000, 3)) * 3
    expected = losses.nre_a(a, b)
    assert losses.nre_c(a[:, None], b[:, None], 1.0) == pytest.approx(expected, 1e-12)
    assert losses.nre_c(a[:, 0], b[:, 0]) == pytest.approx(
        losses.nre_a(a[:, 0], b[:, 0]), 1e-12
    )


def test_nre_c_with_large_odds_is_nre_b():
    rng = np.random.default_rng(4)
    h, other = rng.normal(size=(2, 500, 6))
    # ln(K + γ S) - ln γ - ln S = K/(γ S) to first order
    gap = losses.nre_c(h, other, 1e9) - losses.nre_b(h)
    independent = np.mean(np.log(1e9 / 6 * np.exp(other).sum(1))) / 1e9
    assert gap == pytest.approx(independent, abs=1e-8)


@pytest.mark.parametrize("loss", ["nre_a", "bnre", "nre_b", "nre_c"])
def test_gradients_against_central_differences(loss):
    rng = np.random.default_rng(5)
    shape = (6, 3, 2) if loss in ("nre_b", "nre_c") else (6, 2)
    h = 2 * rng.normal(size=(2, *shape))
    function = getattr(losses, loss)
    f = (lambda h: function(h[0])) if loss == "nre_b" else (lambda h: function(*h))
    exact = gv.grad(f)(h)
    numeric = np.empty(h.shape)
    for i in np.ndindex(h.shape):
        step = np.zeros(h.shape)
        step[i] = 1e-5
        numeric[i] = (f(h + step) - f(h - step)) / 2e-5
    assert abs(exact - numeric).max() <= 1e-6 * abs(exact).max()


def test_sum_over_marginals_and_any_scale():
    rng = np.random.default_rng(6)
    h = rng.normal(size=(2, 50, 4, 3))
    parts = sum(losses.nre_c(h[0, ..., g], h[1, ..., g]) for g in range(3))
    assert losses.nre_c(h[0], h[1]) == pytest.approx(parts, rel=1e-13)
    parts = sum(losses.bnre(h[0, :, 0, g], h[1, :, 0, g]) for g in range(3))
    assert losses.bnre(h[0, :, 0], h[1, :, 0]) == pytest.approx(parts, rel=1e-13)
    big = 1e4 * h
    for value in (
        losses.nre_a(big[0], big[1]),
        losses.nre_b(big[0]),
        losses.nre_c(big[0], big[1], 0.3),
    ):
        assert np.isfinite(value)


def test_bad_input_says_what():
    h = np.zeros((4, 3))
    with pytest.raises(ValueError, match="number of rows only"):
        losses.nre_a(h, h[:, :2])
    with pytest.raises(ValueError, match="at least two atoms"):
        losses.nre_b(h[:, :1])
    with pytest.raises(ValueError, match="gamma"):
        losses.nre_c(h, h, 0.0)
    with pytest.raises(ValueError, match="strength"):
        losses.bnre(h, h, -1.0)
    with pytest.raises(ValueError, match="first axis"):
        losses.nre_a(np.float64(1.0), np.float64(1.0))
