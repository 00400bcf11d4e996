"""Random small programs: values as NumPy's, gradients as differences.

Every program is run uncompiled and compiled, with and without its gradient, so that
fusion, in-place reuse and the order of units meet shapes nobody thought of.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gradiverse as gv
from gradiverse import _core

UNARY = [np.sin, np.tanh, np.square, np.negative, np.cos, np.arctan, np.abs,
         lambda x: np.exp(-np.square(x)), lambda x: np.sqrt(1 + x * x),
         lambda x: x[::-1], lambda x: x * 0.5 + 1, lambda x: x.T.reshape(x.shape),
         lambda x: np.cumsum(x, axis=-1) / 3, lambda x: x - x.mean(axis=0),
         lambda x: np.roll(x, 1, axis=-1), lambda x: np.flip(x), np.sort,
         lambda x: x / (1 + np.sum(x * x, axis=-1, keepdims=True)),
         lambda x: np.where(x > 0.1, x, 0.3 * x), lambda x: np.clip(x, -0.8, 0.9),
         lambda x: np.concatenate([x[1:], x[:1]]), lambda x: 1 / (2 + np.cos(x)),
         lambda x: np.tril(x) + np.triu(x, 1) * 2]  # fmt: skip
BINARY = [np.add, np.subtract, np.multiply, np.maximum, np.minimum, np.hypot,
          lambda a, b: a / (1.5 + np.square(b)), lambda a, b: np.where(a > b, a, b * 2),
          lambda a, b: a * b.sum(axis=-1, keepdims=True) / b.shape[-1],
          lambda a, b: a + b[:1], lambda a, b: (a @ b.T @ a) / a.size,
          lambda a, b: np.einsum("ij,ij->i", a, b)[:, None] * b / a.size,
          lambda a, b: a[:, :1] - b]  # fmt: skip
SHAPES = [(1, 1), (2, 3), (3, 3), (5, 1), (1, 7), (4, 17), (9, 33)]


@st.composite
def programs(draw):
    """Steps that append a value made of earlier ones, and a shape."""
    shape = draw(st.sampled_from(SHAPES))
    steps = []
    for k in range(draw(st.integers(1, 12))):
        if draw(st.booleans()):
            f = draw(st.integers(0, len(UNARY) - 1))
            steps.append((UNARY[f], draw(st.integers(0, k + 1)), None))
        else:
            f = draw(st.integers(0, len(BINARY) - 1))
            i, j = draw(st.integers(0, k + 1)), draw(st.integers(0, k + 1))
            steps.append((BINARY[f], i, j))
    return shape, steps, draw(st.integers(0, 2**31))


def program_of(steps):
    """The function of two arrays that the steps describe: all values, and a sum."""

    def program(x, y):
        values = [x, y]
        for f, i, j in steps:
            values.append(f(values[i]) if j is None else f(values[i], values[j]))
        total = sum(np.sum(v * (k + 1)) for k, v in enumerate(values[2:]))
        return total, values[-1]

    return program


@pytest.fixture(autouse=True, scope="module")
def poisoned_memory():
    """Every run starts from memory full of NaN."""
    before = _core.set_poison(True)
    yield
    _core.set_poison(before)


@settings(deadline=None, max_examples=150)
@given(programs())
def test_random_program(case):
    shape, steps, seed = case
    program = program_of(steps)
    rng = np.random.default_rng(seed)
    x, y, d = rng.normal(size=(3, *shape))
    wanted, last = program(x, y)
    scale = 1 + abs(wanted) + np.sum(np.abs(last))

    compiled = gv.compile(program)
    total, value = compiled(x, y)
    np.testing.assert_allclose(value, last, rtol=1e-11, atol=1e-12 * scale)
    np.testing.assert_allclose(total, wanted, rtol=1e-11, atol=1e-12 * scale)

    gradient = gv.value_and_grad(program, argnums=(0, 1), has_aux=True)
    (found, _), (gx, gy) = gradient(x, y)
    np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-12 * scale)
    (again, _), (hx, hy) = gv.compile(gradient)(x, y)
    assert again == found
    np.testing.assert_array_equal(gx, hx)
    np.testing.assert_array_equal(gy, hy)

    (_, _), (t, _) = gv.jvp(program, (x, y), (d, -d))
    pushed = np.sum(gx * d) - np.sum(gy * d)
    size = np.sum(np.abs(gx * d)) + np.sum(np.abs(gy * d))
    assert abs(t - pushed) <= 1e-11 * size + 1e-12


@settings(deadline=None, max_examples=60)
@given(programs())
def test_gradient_of_random_program_against_differences(case):
    shape, steps, seed = case
    program = program_of(steps)
    rng = np.random.default_rng(seed)
    x, y, d = rng.normal(size=(3, *shape))
    gx = gv.grad(lambda x: program(x, y)[0])(x)
    slopes = []
    for h in (1e-6, 5e-7, 2.5e-7):
        slopes.append((program(x + h * d, y)[0] - program(x - h * d, y)[0]) / (2 * h))
    size = np.sum(np.abs(gx * d)) + abs(program(x, y)[0])
    if max(slopes) - min(slopes) > 1e-6 * size:  # a kink lies between the points
        return
    assert abs(np.sum(gx * d) - slopes[1]) <= 1e-5 * size + 1e-8
