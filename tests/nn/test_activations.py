"""Activations against SciPy, at kinks, in the tails and in single precision."""

import numpy as np
import pytest
import scipy.special as sp
import scipy.stats as st

import gradiverse as gv

A, S = 1.6732632423543772848, 1.0507009873554804934
X = np.concatenate([np.linspace(-8, 8, 65), [-50.0, 50.0]])
WANT = {
    "elu": np.where(X > 0, X, np.expm1(X)),
    "gelu": X * st.norm.cdf(X),
    "gelu_tanh": X * sp.expit(np.sqrt(8 / np.pi) * (X + 0.044715 * X**3)),
    "identity": X,
    "leaky_relu": np.where(X > 0, X, 0.01 * X),
    "relu": np.maximum(X, 0),
    "selu": S * np.where(X > 0, X, A * np.expm1(X)),
    "sigmoid": sp.expit(X),
    "silu": X * sp.expit(X),
    "softplus": np.logaddexp(0, X),
    "tanh": np.tanh(X),
}


@pytest.mark.parametrize("name", WANT)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_value(name, dtype):
    x = X.astype(dtype)
    y = gv.nn.activation(name)(x)
    assert y.dtype == dtype
    eps = np.finfo(dtype).eps
    # a rounding of x moves gelu by eps x^2 in its tails
    bound = {"rtol": 2000 * eps if "gelu" in name else 32 * eps, "atol": 1e-40}
    np.testing.assert_allclose(y, WANT[name], **bound)
    layer = gv.nn.Activation(name)
    compiled = gv.compile(lambda x: layer.apply({}, x))
    np.testing.assert_allclose(compiled(x), WANT[name], **bound)


@pytest.mark.parametrize("name", WANT)
def test_derivative(name):
    f, step = gv.nn.activation(name), 1e-5
    x = X[np.abs(X) > 1e-3]
    slope = gv.grad(lambda x: f(x).sum())(x)
    np.testing.assert_allclose(
        slope, (f(x + step) - f(x - step)) / (2 * step), atol=1e-8
    )


@pytest.mark.parametrize("name", WANT)
def test_huge_inputs_have_finite_derivatives(name):
    """Where a branch is not taken, its overflow must not reach the derivative."""
    x = np.array([-1e30, -1e4, 1e4, 1e30], "f4")
    if name in ("gelu_tanh",):
        x = np.clip(x, -1e4, 1e4)  # x^3 overflows
    slope = gv.grad(lambda x: gv.nn.activation(name)(x).sum())(x)
    assert np.isfinite(slope).all()


def test_rectifier_at_zero_and_nan():
    x = np.array([0.0, -0.0, np.nan, -np.inf, np.inf])
    np.testing.assert_array_equal(
        gv.nn.activation("relu")(x), [0, 0, np.nan, 0, np.inf]
    )
    slope = gv.grad(lambda x: gv.nn.activation("relu")(x).sum())(x)
    assert slope[:2].tolist() == [0, 0]


def test_names_and_functions():
    def cube(x):
        return x * x * x

    assert gv.nn.activation(cube) is cube
    assert gv.nn.Activation(cube).apply({}, np.array([2.0])).tolist() == [8.0]
    with pytest.raises(ValueError, match=r"'swoosh' is unknown.*'gelu'"):
        gv.nn.Activation("swoosh")
