"""Kernels against their closed forms, scikit-learn where installed, and differences."""

import numpy as np
import pytest

import gradiverse as gv
from gradiverse import gp

RNG = np.random.default_rng(3)
X1 = RNG.uniform(0, 5, 12)
X2 = RNG.normal(size=(9, 2))


def distance(a, b):
    a, b = (x[:, None] if x.ndim == 1 else x for x in (a, b))
    return np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))


def se(r, v, ell):
    return v * np.exp(-(r**2) / (2 * ell**2))


FORMS = {
    "se": (gp.SquaredExponential(1.7, 0.8), lambda r: se(r, 1.7, 0.8)),
    "m12": (gp.Matern12(1.7, 0.8), lambda r: 1.7 * np.exp(-r / 0.8)),
    "m32": (
        gp.Matern32(1.7, 0.8),
        lambda r: 1.7 * (1 + np.sqrt(3) * r / 0.8) * np.exp(-np.sqrt(3) * r / 0.8),
    ),
    "m52": (
        gp.Matern52(1.7, 0.8),
        lambda r: (
            1.7
            * (1 + np.sqrt(5) * r / 0.8 + 5 * r**2 / (3 * 0.8**2))
            * np.exp(-np.sqrt(5) * r / 0.8)
        ),
    ),
    "rq": (
        gp.RationalQuadratic(1.7, 0.8, 0.6),
        lambda r: 1.7 * (1 + r**2 / (2 * 0.6 * 0.8**2)) ** -0.6,
    ),
    "periodic": (
        gp.Periodic(1.7, 0.8, 2.5),
        lambda r: 1.7 * np.exp(-2 * np.sin(np.pi * r / 2.5) ** 2 / 0.8**2),
    ),
    "constant": (gp.Constant(1.7), lambda r: np.full_like(r, 1.7)),
}
COMPOSED = {
    **{name: k for name, (k, _) in FORMS.items()},
    "linear": gp.Linear(0.7, center=1.0),
    "white": gp.SquaredExponential() + gp.White(0.3),
    "sum": gp.Matern32(2.0, 1.5) + gp.Periodic(0.5, 1.0, 3.0) + gp.White(0.1),
    "product": gp.SquaredExponential(1.0, 3.0) * gp.Periodic(1.0, 1.0, 2.0),
    "scaled": 2.0 * gp.Matern52(1.0, 2.0) + 0.5,
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("points", [X1, X2], ids=["1d", "2d"])
def test_closed_form(name, points):
    kernel, form = FORMS[name]
    # exp, sin and powers are good to a few ulp of arguments up to about ten
    np.testing.assert_allclose(
        kernel(points), form(distance(points, points)), rtol=5e-14
    )
    np.testing.assert_allclose(
        kernel(points, points[:4]), form(distance(points, points[:4])), rtol=5e-14
    )


def test_linear_form():
    k = gp.Linear(0.7, center=[1.0, -2.0])
    d = X2 - np.array([1.0, -2.0])
    np.testing.assert_allclose(k(X2), 0.7 * d @ d.T, rtol=1e-13, atol=1e-15)


def test_scikit_learn_agrees():
    sk = pytest.importorskip("sklearn.gaussian_process.kernels")
    pairs = [
        (gp.SquaredExponential(1.0, 0.8), sk.RBF(0.8)),
        (gp.Matern12(1.0, 0.8), sk.Matern(0.8, nu=0.5)),
        (gp.Matern32(1.0, 0.8), sk.Matern(0.8, nu=1.5)),
        (gp.Matern52(1.0, 0.8), sk.Matern(0.8, nu=2.5)),
        (gp.RationalQuadratic(1.0, 0.8, 0.6), sk.RationalQuadratic(0.8, 0.6)),
        (gp.Periodic(1.0, 0.8, 2.5), sk.ExpSineSquared(0.8, 2.5)),
        (gp.Constant(1.5), sk.ConstantKernel(1.5)),
        (gp.White(0.4), sk.WhiteKernel(0.4)),
        (gp.SquaredExponential(1.0, [0.5, 2.0]), sk.RBF([0.5, 2.0])),
    ]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours(X2), theirs(X2), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(
            ours(X2, X2[:3]), theirs(X2, X2[:3]), rtol=1e-12, atol=1e-14
        )


@pytest.mark.parametrize("name", COMPOSED)
def test_symmetric_positive_and_diagonal(name):
    kernel = COMPOSED[name]
    K = kernel(X1)
    np.testing.assert_array_equal(K, K.T)
    assert np.linalg.eigvalsh(K).min() > -1e-12 * np.trace(K)
    np.testing.assert_allclose(kernel.diag(X1), np.diag(K), rtol=1e-14)
    np.testing.assert_allclose(
        kernel.diag(X1, white=False), np.diag(kernel(X1, X1)), rtol=1e-14
    )


def test_white_is_on_the_diagonal_of_one_argument_only():
    k = gp.SquaredExponential() + gp.White(0.3)
    np.testing.assert_allclose(k(X1) - k(X1, X1), 0.3 * np.eye(len(X1)), atol=1e-15)


@pytest.mark.parametrize("name", COMPOSED)
@pytest.mark.parametrize("points", [X1, X2], ids=["1d", "2d"])
def test_gradient_in_theta(name, points):
    kernel = COMPOSED[name]
    if name == "linear" and points.ndim == 2:
        kernel = gp.Linear(0.7, center=[1.0, 0.0])
    W = RNG.normal(size=(len(points), len(points)))

    def f(theta):
        return np.sum(W * kernel.with_theta(theta)(points))

    theta = kernel.theta
    grad = gv.grad(f)(theta)
    step = 1e-6
    for i in range(len(theta)):
        e = np.zeros(len(theta))
        e[i] = step
        slope = (f(theta + e) - f(theta - e)) / (2 * step)
        # truncation step², rounding eps/step, times the sum of |W K|
        assert abs(grad[i] - slope) < 1e-8 * np.abs(W).sum()


def test_gradient_in_separate_scales_and_points():
    k = gp.Matern32(1.2, [0.7, 1.9])

    def in_theta(theta):
        return np.sum(np.sin(k.with_theta(theta)(X2)))

    def in_points(x):
        return np.sum(np.sin(k(x, X2[:5])))

    gv.testing.check_grads(in_theta, (k.theta,), order=1)
    gv.testing.check_grads(in_points, (X2 + 0.1,), order=1)


def test_theta_is_in_order_of_appearance():
    k = gp.Matern52(2.0, 3.0) * gp.Periodic(1.0, 0.5, 7.0) + gp.White(0.1)
    np.testing.assert_allclose(np.exp(k.theta), [2.0, 3.0, 1.0, 0.5, 7.0, 0.1])
    assert k.labels == [
        "Matern52.variance",
        "Matern52.scale",
        "Periodic.variance",
        "Periodic.scale",
        "Periodic.period",
        "White.variance",
    ]
    moved = k.with_theta(k.theta + 1.0)
    np.testing.assert_allclose(moved.theta, k.theta + 1.0, rtol=1e-14)
    np.testing.assert_array_equal(k.theta, k.with_theta(k.theta).theta)


def test_fixed_hyper_parameters_leave_theta():
    k = gp.Periodic(1.0, 0.5, 52.0, fixed=("period",)) + gp.White(0.1)
    assert k.n_hyper == 3
    moved = k.with_theta(np.log([2.0, 3.0, 4.0]))
    assert moved.first.values["period"] == 52.0
    np.testing.assert_allclose(moved.first.values["scale"], 3.0)


def test_separate_scales_enter_theta_one_by_one():
    k = gp.SquaredExponential(1.0, [0.5, 2.0])
    np.testing.assert_allclose(np.exp(k.theta), [1.0, 0.5, 2.0])
    assert k.labels[1:] == [
        "SquaredExponential.scale[0]",
        "SquaredExponential.scale[1]",
    ]
    np.testing.assert_allclose(
        k(X2), se(distance(X2 / [0.5, 2.0], X2 / [0.5, 2.0]), 1, 1)
    )


def test_numbers_are_constants_that_stay():
    k = 2.0 * gp.Matern12(1.0, 1.0)
    assert k.n_hyper == 2
    np.testing.assert_allclose(k(X1), 2.0 * gp.Matern12(1.0, 1.0)(X1))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: gp.SquaredExponential(-1.0), ValueError, "variance must be positive"),
        (lambda: gp.Matern12(scale=0.0), ValueError, "scale must be positive"),
        (lambda: gp.Matern12(scale="a"), TypeError, "scale"),
        (lambda: gp.Matern12(fixed=("period",)), ValueError, "no hyper-parameter"),
        (lambda: gp.White(bounds={"variance": (2, 1)}), ValueError, "low < high"),
        (lambda: gp.White()([0.0, np.nan]), ValueError, "nan at index"),
        (lambda: gp.White()(np.zeros((2, 2, 2))), ValueError, "shape"),
        (lambda: gp.White()(["a"]), TypeError, "numbers"),
        (lambda: gp.White()(X1, X2), ValueError, "coordinates"),
        (lambda: gp.Matern12().with_theta([0.0]), ValueError, r"\(2,\)"),
        (lambda: gp.Matern12().with_theta([0.0, np.inf]), ValueError, "finite"),
        (lambda: gp.Matern12(scale=[1.0, 2.0])(X1), ValueError, "2 scales"),
        (lambda: gp.Matern12() + "a", TypeError, "unsupported operand"),
    ],
)
def test_bad_input(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_single_precision_points_stay_single_in_traces():
    x = X1.astype(np.float32)
    out = gv.compile(lambda a: gp.SquaredExponential(1.0, 2.0)(a))(x)
    assert out.dtype == np.float32
