"""vmap: rank rules of one example, axes, nesting."""

import numpy as np
import pytest

import gradiverse as gv

RNG = np.random.default_rng(0)
A = RNG.normal(size=(5, 3, 3))
X = RNG.normal(size=(5, 3))


def loop(f, *args):
    return np.stack([np.asarray(f(*row)) for row in zip(*args, strict=True)])


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("f", "args"),
    [
        (lambda x: x @ x, (X,)),
        (lambda a, x: a @ x, (A, X)),
        (lambda x, a: x @ a, (X, A)),
        (lambda a: a @ a, (A,)),
        (lambda x: x[None] * x[:, None], (X,)),
        (lambda x: x.sum(), (X,)),
        (lambda a: a.sum(axis=0), (A,)),
        (lambda a: a.T[1], (A,)),
        (lambda a: np.trace(a), (A,)),
        (lambda x: x[[2, 0]], (X,)),
        (lambda x: np.concatenate([x, x[:1], np.zeros(2)]), (X,)),
        (lambda x: x.reshape(3, 1), (X,)),
        (lambda x: np.where(x > 0, x, 0.0), (X,)),
        (lambda x: np.sort(x), (X,)),
        (lambda x: np.cumsum(x), (X,)),
        (lambda a: np.einsum("ij,kj->ik", a, a), (A,)),
        (lambda a, x: np.linalg.solve(a, x), (A, X)),
        (lambda a: np.linalg.cholesky(a @ a.T + np.eye(3)), (A,)),
        (lambda x: np.fft.rfft(x), (X,)),
        (lambda x: x * 0 + 1, (X,)),
    ],
)
def test_agrees_with_a_loop(f, args):
    np.testing.assert_allclose(
        gv.vmap(f)(*args), loop(f, *args), rtol=1e-12, atol=1e-13
    )


def test_axes_in_and_out():
    f = gv.vmap(lambda a, x: a * x, in_axes=(1, None), out_axes=-1)
    a = RNG.normal(size=(2, 5, 4))
    x = RNG.normal(size=4)
    got = f(a, x)
    assert got.shape == (2, 4, 5)
    np.testing.assert_allclose(
        got, np.moveaxis(a, 1, 0).transpose(1, 2, 0) * x[:, None]
    )
    f = gv.vmap(lambda p, x: {"s": p["a"] + p["b"], "x": x}, ({"a": 0, "b": None}, -1))
    out = f({"a": np.arange(3.0), "b": 1.0}, np.ones((2, 3)))
    np.testing.assert_array_equal(out["s"], [1.0, 2.0, 3.0])
    assert out["x"].shape == (3, 2)
    f = gv.vmap(lambda x: (x, 2.0, "text"), out_axes=(0, None, 0))
    a, b, c = f(np.ones(3))
    assert a.shape == (3,) and b == 2.0 and c == "text"
    np.testing.assert_array_equal(
        gv.vmap(lambda x: np.ones(2))(np.ones(3)), np.ones((3, 2))
    )


def test_nested_batches():
    f = gv.vmap(gv.vmap(lambda x, y: x * y, in_axes=(None, 0)), in_axes=(0, None))
    x, y = np.arange(3.0), np.arange(4.0)
    np.testing.assert_array_equal(f(x, y), np.outer(x, y))
    per_example = gv.vmap(gv.grad(lambda x, s: s * (x**3).sum()), in_axes=(0, 0))
    s = np.arange(5.0)
    np.testing.assert_allclose(per_example(X, s), 3 * s[:, None] * X**2)
    through = gv.grad(lambda a: gv.vmap(lambda m, x: m @ x)(a, X).sum())(A)
    np.testing.assert_allclose(through, np.broadcast_to(X[:, None, :], A.shape))


def test_closed_over_values_take_part():
    def f(w):
        return gv.vmap(lambda x: (w * x).sum())(X).sum()

    np.testing.assert_allclose(gv.grad(f)(np.ones(3)), X.sum(0))


def test_control_flow_in_a_batch():
    got = gv.vmap(lambda x: gv.cond(x > 0, lambda x: x * 2, lambda x: -x, x))(X[:, 0])
    np.testing.assert_allclose(got, np.where(X[:, 0] > 0, 2 * X[:, 0], -X[:, 0]))
    steps = np.array([1.0, 5.0, 30.0])
    got = gv.vmap(lambda n: gv.while_loop(lambda c: c < n, lambda c: 2 * c, 1.0))(steps)
    np.testing.assert_array_equal(got, [1.0, 8.0, 32.0])
    carry, ys = gv.vmap(lambda x: gv.scan(lambda c, v: (c + v, c * v), 0.0, x))(X)
    np.testing.assert_allclose(carry, X.sum(1))
    np.testing.assert_allclose(ys[:, 1], X[:, 0] * X[:, 1])


def test_errors_name_the_argument():
    f = gv.vmap(lambda a, b: a * b)
    with pytest.raises(
        ValueError, match=r"argument 1 has 4 examples.*argument 0 has 3"
    ):
        f(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="argument 1 is a scalar"):
        f(np.ones(3), 2.0)
    with pytest.raises(ValueError, match="axis 2"):
        gv.vmap(lambda a: a, in_axes=2)(np.ones((3, 3)))
    with pytest.raises(ValueError, match="3 entries for 1 arguments"):
        gv.vmap(lambda a: a, in_axes=(0, 0, 0))(np.ones(3))
    with pytest.raises(ValueError, match="no argument"):
        gv.vmap(lambda a: a, in_axes=None)(np.ones(3))
    with pytest.raises(ValueError, match="out_axes None"):
        gv.vmap(lambda a: a, out_axes=None)(np.ones(3))
    with pytest.raises(TypeError, match="axis is an int"):
        gv.vmap(lambda a: a, in_axes="x")(np.ones(3))


def test_integer_and_boolean_arrays():
    got = gv.vmap(lambda i, m: np.where(m, i, 0))(np.arange(4), np.arange(4) % 2 == 0)
    assert got.dtype == np.int64 and got.tolist() == [0, 0, 2, 0]
