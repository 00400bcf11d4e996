"""Batched fits: the same optimum as a general optimiser, row by row."""

import numpy as np
import pytest
from scipy.optimize import minimize

import gradiverse as gv
from gradiverse import _core, gp
from gradiverse.gp import _optimise

RNG = np.random.default_rng(17)
X = np.arange(25.0)
KERNEL = gp.SquaredExponential(1.0, 2.0) + gp.White(0.1)
TRUE = gp.SquaredExponential(1.0, 3.0)(X) + 0.04 * np.eye(25)
Y = RNG.multivariate_normal(np.zeros(25), TRUE, 60)


def lbfgs(kernel, y):
    f = gv.compile(
        gv.value_and_grad(lambda t: -gp.log_likelihood(kernel.with_theta(t)(X), y))
    )
    return minimize(
        f, kernel.theta, jac=True, method="L-BFGS-B", bounds=kernel.bounds,
        options={"ftol": 1e-13, "gtol": 1e-8},
    )  # fmt: skip


def test_same_optimum_as_scipy():
    theta, value, converged = gp.fit_batch(KERNEL, X, Y, full=True)
    assert theta.shape == (60, 3)
    assert converged.all()
    found = [lbfgs(KERNEL, y) for y in Y]
    other = np.array([-f.fun for f in found])
    # few rows have two maxima, and the two start differently: either may be found
    same = np.abs(value - other) < 1e-5
    assert same.mean() >= 0.9
    assert (value > other - 1e-5).mean() >= 0.95
    inside = same & (np.abs(theta).max(1) < 8)
    np.testing.assert_allclose(
        theta[inside], np.array([f.x for f in found])[inside], atol=2e-2
    )


def test_the_gradient_vanishes_at_the_optimum_or_points_out_of_bounds():
    theta, value = gp.fit_batch(KERNEL, X, Y)
    low, high = KERNEL.bounds.T
    for t, v, y in zip(theta, value, Y, strict=True):
        f = gv.value_and_grad(
            lambda t, y=y: gp.log_likelihood(KERNEL.with_theta(t)(X), y)
        )
        again, slope = f(t)
        np.testing.assert_allclose(v, again, rtol=1e-10)
        free = ~((t <= low) & (slope < 0) | (t >= high) & (slope > 0))
        assert np.abs(slope[free]).max(initial=0) < 1e-3


def test_batch_is_the_loop():
    theta, value = gp.fit_batch(KERNEL, X, Y[:9])
    for i in range(9):
        one, v = gp.fit_batch(KERNEL, X, Y[i : i + 1])
        np.testing.assert_allclose(v[0], value[i], atol=1e-6)
        np.testing.assert_allclose(one[0], theta[i], atol=1e-2)


def test_same_bits_with_one_and_two_threads():
    before, out = _core.get_threads(), []
    try:
        for n in (1, 2):
            _core.set_threads(n)
            out.append(gp.fit_batch(KERNEL, X, Y))
    finally:
        _core.set_threads(before)
    np.testing.assert_array_equal(out[0][0], out[1][0])
    np.testing.assert_array_equal(out[0][1], out[1][1])


def test_recovers_the_truth_on_average():
    many = RNG.multivariate_normal(np.zeros(25), TRUE, 400)
    theta, _ = gp.fit_batch(KERNEL, X, many)
    # median over 400 rows; the estimators are biased low by a few per cent at T = 25
    np.testing.assert_allclose(np.exp(np.median(theta[:, 1])), 3.0, rtol=0.06)
    np.testing.assert_allclose(np.exp(np.median(theta[:, 2])), 0.04, rtol=0.12)


def test_bounds_and_fixed_hyper_parameters():
    k = gp.SquaredExponential(1.0, 2.0, bounds={"scale": (0.5, 2.5)})
    k = k + gp.White(0.04, fixed=("variance",))
    theta, _ = gp.fit_batch(k, X, Y)
    assert theta.shape == (60, 2)
    assert (np.exp(theta[:, 1]) <= 2.5 * (1 + 1e-12)).all()
    assert np.isclose(np.exp(theta[:, 1]), 2.5).any()  # truth is 3.0: some end there


@pytest.mark.parametrize("unit", [1e-4, 1e-2, 1e3, 1e5])
def test_data_in_other_units_give_the_same_fit(unit):
    a, va = gp.fit_batch(KERNEL, X, Y)
    b, vb = gp.fit_batch(KERNEL, X, unit * Y)
    np.testing.assert_allclose(vb + 25 * np.log(unit), va, atol=1e-4)
    inside = (np.abs(a) < 6).all(1)
    shift = 2 * np.log(unit) * np.array([1, 0, 1])
    np.testing.assert_allclose(b[inside], a[inside] + shift, atol=2e-2)


def test_a_row_of_zeros_does_not_disturb_the_others():
    theta, value = gp.fit_batch(KERNEL, X, np.concatenate([Y[:3], np.zeros((1, 25))]))
    assert np.isfinite(theta).all()
    np.testing.assert_allclose(value[:3], gp.fit_batch(KERNEL, X, Y[:3])[1], atol=1e-6)


def test_points_where_the_kernel_fails_are_avoided():
    """Without noise the likelihood cannot be evaluated at long scales."""
    k = gp.SquaredExponential(1.0, 0.5)
    theta, value = gp.fit_batch(k, X, np.sin(X / 3.0)[None] + 0 * Y[:5])
    assert np.isfinite(value).all()
    assert (theta[:, 1] > np.log(0.5)).all()


def test_no_rows():
    theta, value = gp.fit_batch(KERNEL, X, np.empty((0, 25)))
    assert theta.shape == (0, 3)
    assert value.shape == (0,)


@pytest.mark.parametrize(
    ("args", "error", "words"),
    [
        ((KERNEL, X, Y[0]), ValueError, r"\(series, 25\)"),
        ((KERNEL, X, Y[:, :3]), ValueError, r"\(series, 25\)"),
        ((KERNEL, X, np.where(Y > 2, np.nan, Y)), ValueError, "Y has nan"),
        ((gp.Constant(1.0, fixed="variance"), X, Y), ValueError, "no free"),
        ((np.eye(25), X, Y), TypeError, "must be a Kernel"),
        ((KERNEL, X, Y, [0.0, 0.0]), ValueError, "start must be"),
        (
            (gp.SquaredExponential(1.0, 1e4), X, Y),
            ValueError,
            "a jitter of",
        ),
    ],
)
def test_bad_input(args, error, words):
    with pytest.raises(error, match=words):
        gp.fit_batch(*args)


# --- the optimiser ------------------------------------------------------------------


def test_rosenbrock_rows():
    """Curved valleys from many starts, each row at its own pace."""

    def f(theta, rows):
        x, y = theta.T
        value = (1 - x) ** 2 + 100 * (y - x * x) ** 2
        slope = np.stack([-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)], 1)
        return value, slope

    start = RNG.uniform(-2, 2, (50, 2))
    bounds = np.array([[-5.0, 5.0]] * 2)
    found = _optimise.minimise(f, start, bounds, gtol=1e-9, ftol=0, maxiter=500)
    np.testing.assert_allclose(found.theta, 1.0, atol=1e-6)


def test_minimum_in_a_corner_of_the_bounds():
    def f(theta, rows):
        target = np.array([3.0, -4.0, 0.5])
        d = theta - target
        return np.sum(d**2, 1) + 0.5 * np.prod(d, 1) * 0, 2 * d

    bounds = np.array([[-1.0, 1.0]] * 3)
    found = _optimise.minimise(f, np.zeros((4, 3)), bounds)
    np.testing.assert_allclose(found.theta, [[1.0, -1.0, 0.5]] * 4, atol=1e-6)
    assert found.converged.all()


def test_wall_of_infinite_values():
    def f(theta, rows):
        x = theta[:, 0]
        with np.errstate(invalid="ignore"):
            value = np.where(x > 1.0, np.inf, (x - 0.9) ** 2)
        return value, 2 * (theta - 0.9)

    found = _optimise.minimise(f, np.full((3, 1), -8.0), np.array([[-10.0, 10.0]]))
    np.testing.assert_allclose(found.theta, 0.9, atol=1e-5)
