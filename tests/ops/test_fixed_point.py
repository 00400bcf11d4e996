"""Quantised values: exact inverses, wrap-around arithmetic, float cotangents."""

import numpy as np
import pytest

import gradiverse as gv
from gradiverse import _core

from .samples import pack
from .test_generic import TABLE

ROW = TABLE["quantize"]
FLOATS = {"float32": (np.int32, "q32"), "float64": (np.int64, "q64")}


def quantised(graph, x, scale):
    """(input, its quantised value) in a graph."""
    v = graph.input(x.dtype.name, x.shape)
    return v, graph.op("quantize", (v,), pack(ROW, {"scale": scale}))


@pytest.mark.parametrize("dtype", sorted(FLOATS))
def test_rounds_to_multiples_and_back(dtype):
    x = np.array([0.0, 0.3, -0.37, 2.5, -1e3], dtype)
    g = _core.Graph()
    v, q = quantised(g, x, 0.25)
    back = g.op("dequantize", (q,), pack(ROW, {"scale": 0.25}))
    whole, found = g.program([v], [q, back]).run([x])
    assert whole.dtype == FLOATS[dtype][0]
    assert g.type(q)[0] == FLOATS[dtype][1]
    np.testing.assert_array_equal(whole, np.rint(x / 0.25))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, np.rint(x / 0.25) * 0.25)


@pytest.mark.parametrize("dtype", sorted(FLOATS))
def test_addition_is_undone_bit_for_bit(dtype):
    rng = np.random.default_rng(2)
    a, b = (rng.normal(size=100).astype(dtype) for _ in "ab")
    g = _core.Graph()
    va, qa = quantised(g, a, 1e-6)
    vb, qb = quantised(g, b * 1e3, 1e-6)
    total = g.op("add", (qa, qb))
    back = g.op("sub", (total, qb))
    minus = g.op("neg", (g.op("neg", (qa,)),))
    first, again, twice = g.program([va, vb], [qa, back, minus]).run([a, b])
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, twice)


def test_arithmetic_wraps_around():
    x = np.array([1.5, 1.5], np.float32)  # two thirds of the range at this scale
    scale = 2.0 / 2**31
    g = _core.Graph()
    v, q = quantised(g, x, scale)
    double = g.op("add", (q, q))
    back = g.op("sub", (double, q))
    one, two, again = g.program([v], [q, double, back]).run([x])
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(two, one + one)
    assert np.all(two < 0)
    np.testing.assert_array_equal(again, one)


@pytest.mark.parametrize("dtype", sorted(FLOATS))
def test_cotangents_are_floats_and_pass_through(dtype):
    x = np.linspace(-1, 1, 5).astype(dtype)
    g = _core.Graph()
    v, q = quantised(g, x, 0.125)
    y = g.op("dequantize", (g.op("neg", (q,)),), pack(ROW, {"scale": 0.125}))
    w = g.input(dtype, x.shape)
    (cotangent,) = g.vjp([y], [w], [v])
    (tangent,) = g.jvp([y], [v], [w])
    assert g.type(cotangent) == g.type(v)
    weights = np.arange(5).astype(dtype)
    found = g.program([v, w], [cotangent, tangent]).run([x, weights])
    np.testing.assert_array_equal(found[0], -weights)
    np.testing.assert_array_equal(found[1], -weights)


def test_surface_of_quantised_values():
    x = np.array([0.5, -1.25, 2.0])
    weights = np.array([1.0, 10.0, 100.0])

    def f(x):
        q, r = gv.quantize(x, 0.25), gv.quantize(2 * x, 0.25)
        s = np.where(x > 0, q + r, q - r).reshape(3, 1)[::-1].ravel()
        return np.sum(weights * gv.dequantize(np.concatenate([s, -q])[:3], 0.25))

    assert f(x) == np.sum(weights * np.where(x > 0, 3 * x, -x)[::-1])
    wanted = np.where(x > 0, 3, -1) * weights[::-1]
    np.testing.assert_array_equal(gv.grad(f)(x), wanted)
    refused = (np.sin, np.sum, np.sort, lambda q: q * 2, lambda q: np.stack([q, x]),
               lambda q: np.maximum(q, q), lambda q: q.astype(float))  # fmt: skip
    for g in refused:
        with pytest.raises(TypeError):
            gv.grad(lambda x, g=g: np.sum(g(gv.quantize(x, 0.25))))(x)


def test_dtypes_that_do_not_fit():
    g = _core.Graph()
    whole = g.input("int64", (3,))
    with pytest.raises(TypeError, match="quantize"):
        g.op("quantize", (whole,), pack(ROW, {"scale": 1.0}))
    with pytest.raises(TypeError, match="dequantize"):
        g.op("dequantize", (whole,), pack(ROW, {"scale": 1.0}))
