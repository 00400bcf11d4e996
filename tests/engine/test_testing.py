"""check_grads itself: passes what is right, names what is wrong."""

import numpy as np
import pytest

import gradiverse as gv

X = np.array([0.4, 1.3, -0.8])


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (lambda x: np.sin(x) * x, (X,)),
        (lambda x: (x**2).sum(), X),
        (lambda p, s: {"y": p["a"] * s, "n": 3}, ({"a": X, "k": "static"}, 2.0)),
        (lambda z: z * z + np.conj(z), (X + 1j,)),
        (lambda z: np.abs(z) ** 2, (X + 1j * X,)),
        (lambda x: np.exp(x * 1j), (X,)),
        (lambda x, i: x[i], (X, np.array([2, 0]))),
        (lambda x: np.tanh(x), (X.astype(np.float32),)),
        (lambda x: x @ x.T, (np.ones((2, 3), np.float32),)),
        (lambda x: 1e6 * np.sin(x), (X,)),
        (lambda x: 1e-6 * np.sin(x), (X,)),
        (lambda x: np.sin(x), (1e3 + X,)),
        (lambda x: np.zeros(3), (X,)),
        (lambda a: np.linalg.inv(a), (np.eye(3) + np.outer(X, X),)),
    ],
)
def test_right_derivatives_pass(f, args):
    gv.testing.check_grads(f, args, order=2)


def wrong(factor):
    return gv.custom_vjp(
        np.sin, lambda x: (np.sin(x), x), lambda x, g: (factor * g * np.cos(x),)
    )


@pytest.mark.parametrize("factor", [1.0001, -1.0, 0.0, np.nan, np.inf])
def test_wrong_derivatives_are_found_and_named(factor):
    f = wrong(factor)
    with pytest.raises(AssertionError, match=r"argument 1\['b'\].*reverse mode"):
        gv.testing.check_grads(
            lambda x, p: x * f(p["b"]) + p["a"], (X, {"a": X, "b": X}), order=1
        )


def test_wrong_second_derivatives_are_found():
    first = gv.custom_vjp(np.cos, lambda x: (np.cos(x), x), lambda x, g: (-g * x,))
    f = gv.custom_vjp(np.sin, lambda x: (np.sin(x), x), lambda x, g: (g * first(x),))
    gv.testing.check_grads(f, (X,), order=1)
    with pytest.raises(AssertionError, match="order 2, argument 0"):
        gv.testing.check_grads(f, (X,), order=2)


def test_small_errors_in_single_precision_are_found():
    f = wrong(1.01)
    with pytest.raises(AssertionError, match="argument 0"):
        gv.testing.check_grads(f, (X.astype(np.float32),), order=1)


def test_what_cannot_be_checked():
    with pytest.raises(TypeError, match="no argument"):
        gv.testing.check_grads(lambda x: x, (3,))
    with pytest.raises(TypeError, match="returns no float"):
        gv.testing.check_grads(lambda x: "text", (X,))
    with pytest.raises(ValueError, match="order 0"):
        gv.testing.check_grads(lambda x: x, (X,), order=0)
