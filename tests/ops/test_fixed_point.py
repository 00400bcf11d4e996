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


# --- rows of fixed-point numbers ------------------------------------------------------


def emit(graph, name, inputs, **attrs):
    """An operator by name."""
    return graph.op(name, tuple(inputs), pack(TABLE[name], attrs))


def one(name, types, arrays, **attrs):
    """Run one operator."""
    g = _core.Graph()
    values = [g.input(t, a.shape) for t, a in zip(types, arrays, strict=True)]
    return g.program(values, [emit(g, name, values, **attrs)]).run(list(arrays))[0]


@pytest.mark.parametrize(("dtype", "fixed", "bits"),
                         [("float32", "q32", 30), ("float64", "q64", 62)])  # fmt: skip
def test_packing_refuses_what_does_not_fit(dtype, fixed, bits):
    step = np.array([2.0**-10])
    limit = 2.0 ** (bits - 10)
    v = np.array([[limit, -limit, 0.3]], dtype)
    q = one("fixed_pack", [dtype, "float64"], [v, step])
    np.testing.assert_array_equal(q[0, :2], [1 << bits, -(1 << bits)])
    back = one("fixed_unpack", [fixed, "float64"], [q, step])
    assert back.dtype == dtype
    np.testing.assert_allclose(back, v, rtol=0, atol=2.0**-11)
    for bad in (limit * (1 + 1e-6), -2 * limit, np.inf, np.nan):
        v[0, 2] = bad
        with pytest.raises(ValueError, match=rf"row 0, column 2.*2\^{bits} steps"):
            one("fixed_pack", [dtype, "float64"], [v, step])
    for bad in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="step 0 is"):
            one("fixed_pack", [dtype, "float64"], [v, np.array([bad])])


def test_steps_fit_the_rows():
    g = _core.Graph()
    v, q = g.input("float32", (3, 4)), g.input("q32", (3, 4))
    for name, inputs in (("fixed_pack", (v,)), ("fixed_unpack", (q,)),
                         ("fixed_dot", (v, q))):  # fmt: skip
        with pytest.raises(ValueError, match="2 steps"):
            emit(g, name, (*inputs, g.input("float64", (2,))))
        with pytest.raises(TypeError, match="float64"):
            emit(g, name, (*inputs, g.input("float32", (3,))))
    with pytest.raises(TypeError, match="q64"):
        emit(g, "fixed_dot", (v, g.input("q64", (3, 4)), g.input("float64", (1,))))
    with pytest.raises(ValueError, match="differ in shape"):
        emit(g, "fixed_dot", (v, g.input("q32", (3, 5)), g.input("float64", (1,))))


# --- drift ----------------------------------------------------------------------------

LATTICE = (10, 20, 30)
BOX = {"lattice": LATTICE, "mesh": (20, 20, 20), "lx": 10.0, "ly": 20.0, "lz": 7.0}


def drift(fixed, x, p, unit, d, sign=1, **box):
    """x moved by sign d p."""
    types = [fixed, fixed, "float64", "float64"]
    arrays = [x, p, np.asarray(unit), np.asarray(d)]
    return one("pm_drift", types, arrays, sign=sign, **{**BOX, **box})


@pytest.mark.parametrize(("fixed", "bits"), [("q32", 30), ("q64", 62)])
def test_drift_is_undone_bit_for_bit(fixed, bits):
    rng = np.random.default_rng(5)
    kind = f"int{bits + 2}"
    x, p = rng.integers(-(1 << bits - 1), 1 << bits - 1, (2, 3, np.prod(LATTICE)))
    x, p = x.astype(kind), p.astype(kind)
    unit, d = (2.0**-20, 0.7 * 2.0**-20), 0.31
    there = drift(fixed, x, p, unit, d)
    assert np.mean(there != x) > 0.99
    np.testing.assert_array_equal(drift(fixed, there, p, unit, d, sign=-1), x)
    back = drift(fixed, x, p, unit, d, sign=-1)
    np.testing.assert_array_equal(back - x, x - there)
    cell = np.array([BOX[n] for n in ("lx", "ly", "lz")]) / BOX["mesh"]
    factor = unit[1] * d / (cell * unit[0])
    wanted = x + np.rint(p * factor[:, None]).astype(kind)
    np.testing.assert_array_equal(there, wanted)


@pytest.mark.parametrize(("fixed", "bits"), [("q32", 30), ("q64", 62)])
@pytest.mark.parametrize("at", [0, 4095, 5999])
def test_drift_out_of_range_names_the_particle(fixed, bits, at):
    x, p = np.zeros((2, 3, np.prod(LATTICE)), f"int{bits + 2}")
    box = {"lx": 20.0, "lz": 20.0}  # cells of one: quanta of momentum are those of x
    p[1, at] = 1 << bits
    moved = drift(fixed, x, p, (1.0, 1.0), 1.0, **box)
    assert moved[1, at] == 1 << bits
    assert np.count_nonzero(moved) == 1
    for sign, start in ((1, 1), (-1, -1)):
        x[1, at] = start
        with pytest.raises(ValueError, match=rf"particle {at} leaves .* along axis 1"):
            drift(fixed, x, p, (1.0, 1.0), 1.0, sign=sign, **box)
    p[1, at] = (1 << bits) - 1024  # both numbers are float64 numbers too
    x[1, at] = 1024
    assert drift(fixed, x, p, (1.0, 1.0), 1.0, **box)[1, at] == 1 << bits
    with pytest.raises(ValueError, match=rf"particle {at} leaves"):
        drift(fixed, x, p, (1.0, 1.0), 1e30, **box)


def test_drift_refuses_what_makes_no_sense():
    x = np.zeros((3, np.prod(LATTICE)), np.int32)
    for unit, d in (((0.0, 1.0), 1.0), ((1.0, np.nan), 1.0), ((1.0, 1.0), np.inf)):
        with pytest.raises(ValueError, match="finite"):
            drift("q32", x, x, unit, d)
    with pytest.raises(ValueError, match="sign is 1 or -1"):
        drift("q32", x, x, (1.0, 1.0), 1.0, sign=0)
    with pytest.raises(ValueError, match="6000 particles"):
        drift("q32", x[:, 1:], x[:, 1:], (1.0, 1.0), 1.0)
    with pytest.raises(ValueError, match="positive"):
        drift("q32", x, x, (1.0, 1.0), 1.0, lx=0.0)
    with pytest.raises(TypeError, match="both q32"):
        drift("int32", x, x, (1.0, 1.0), 1.0)
