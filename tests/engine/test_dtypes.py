"""NumPy 2's promotion, weak scalars, unusual arrays at the border."""

import itertools
import operator

import numpy as np
import pytest

import gradiverse as gv

DTYPES = ["bool", "int32", "int64", "float32", "float64", "complex64", "complex128"]
SCALARS = [True, 2, 2.0, 2j]
OPS = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.pow,
    operator.floordiv,
    operator.mod,
    operator.lt,
    operator.eq,
]


def other_than_numpy(op, a, b):
    """Where the engine differs on purpose: it has no int8 and no order of complexes."""
    kinds = {np.asarray(a).dtype.kind, np.asarray(b).dtype.kind}
    small = op in (operator.pow, operator.floordiv, operator.mod) and "b" in kinds
    return small or (op is operator.lt and "c" in kinds)


def same(f, *args):
    """f under compile has NumPy's dtype and values; both fail together."""
    with np.errstate(all="ignore"):
        try:
            want = f(*args)
        except (TypeError, ValueError) as error:
            with pytest.raises((TypeError, ValueError)):
                gv.compile(f)(*args)
            return type(error)
    got = gv.compile(f)(*args)
    assert np.asarray(got).dtype == np.asarray(want).dtype, (f, args)
    np.testing.assert_allclose(got, want, rtol=1e-6)
    return None


@pytest.mark.smoke
@pytest.mark.parametrize("op", OPS, ids=lambda f: f.__name__)
def test_pairs_of_dtypes(op):
    for a, b in itertools.product(DTYPES, DTYPES):
        x, y = np.array([1, 1, 1]).astype(a), np.array([1, 1, 1]).astype(b)
        if not other_than_numpy(op, x, y):
            same(op, x, y)


@pytest.mark.parametrize("op", OPS, ids=lambda f: f.__name__)
def test_python_scalars_are_weak(op):
    for a, s in itertools.product(DTYPES, SCALARS):
        x = np.array([1, 1, 1]).astype(a)
        if not other_than_numpy(op, x, s):
            same(lambda x, s=s: op(x, s), x)
            same(lambda x, s=s: op(s, x), x)


@pytest.mark.parametrize("small", ["int8", "uint8", "int16", "uint16", "float16"])
@pytest.mark.parametrize("big", ["float32", "float64", "complex64"])
def test_captured_small_types_promote_as_in_numpy(small, big):
    c = np.array([1, 2, 3]).astype(small)
    same(lambda x: x * c, np.array([1.5, 2, 3]).astype(big))


def test_traced_python_floats_are_weak():
    x = np.ones(3, np.float32)
    assert gv.grad(lambda s: (x * s).sum())(2.0).dtype == np.float64
    out, pullback = gv.vjp(lambda x, s: x * (s * 2 + 1), x, 2.0)
    assert out.dtype == np.float32
    gx, gs = pullback(np.ones(3, np.float32))
    assert gx.dtype == np.float32 and gs.dtype == np.float64 and gs == 6.0
    assert gv.vjp(lambda x, s: x * s, x, np.float64(2))[0].dtype == np.float64
    assert gv.compile(lambda n: x * (n + 1.0))(2.0).dtype == np.float32


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_cotangents_have_the_dtype_of_what_they_belong_to(dtype):
    x = np.array([1, 2, 3]).astype(dtype)
    y = np.array([0.5, 1, 2])

    def f(x, y):
        return (np.abs(x * y) ** 2).sum() * np.float64(3)

    value, (gx, gy) = gv.value_and_grad(f, argnums=(0, 1))(x, y)
    assert gx.dtype == x.dtype and gy.dtype == y.dtype and value.dtype == np.float64
    np.testing.assert_allclose(gx, 6 * x * y**2, rtol=1e-6)
    np.testing.assert_allclose(gy, (6 * y * np.abs(x) ** 2).real, rtol=1e-6)
    tangent = gv.jvp(lambda x: x * np.float32(2), (x,), (np.ones(3, dtype),))[1]
    assert tangent.dtype == x.dtype


def test_foreign_float_types_come_back_as_they_were():
    for dtype in ("float16", "longdouble"):
        x = np.array([1, 2], dtype)
        assert gv.grad(lambda x: (x * x).sum())(x).dtype == np.dtype(dtype)


def test_order_byte_order_and_protection_do_not_matter():
    x = np.arange(12.0).reshape(3, 4)
    locked = x.copy()
    locked.flags.writeable = False
    want = 2 * x
    f = gv.grad(lambda x: (x * x).sum())
    for y in (
        x,
        np.asfortranarray(x),
        x.astype(">f8"),
        locked,
        np.repeat(x, 2, 1)[:, ::2],
        x[::-1][::-1],
    ):
        before = y.copy()
        g = f(y)
        np.testing.assert_array_equal(g, want)
        np.testing.assert_array_equal(y, before)
        assert g.flags.c_contiguous and g.flags.writeable and g.dtype.isnative
        np.testing.assert_array_equal(
            gv.grad(lambda z, y=y: (z * y).sum())(np.ones((3, 4))), x
        )


def test_empty_arrays():
    x = np.empty((0, 3))
    g = gv.grad(lambda x: (x * 2).sum())(x)
    assert g.shape == (0, 3)
    assert gv.compile(lambda x: x.sum(axis=0))(x).tolist() == [0, 0, 0]
    assert gv.jacobian(lambda x: x * 2)(x).shape == (0, 3, 0, 3)
    assert gv.vmap(lambda x: x.sum())(x).shape == (0,)
    carry, ys = gv.scan(lambda c, x: (c + x.sum(), x), 1.0, x)
    assert carry == 1.0 and ys.shape == (0, 3)


def test_zero_dimensional_results_are_numpy_scalars():
    x = np.array(2.0)
    assert type(gv.grad(lambda x: x * x)(x)) is np.float64
    assert type(gv.compile(lambda x: x * 2)(x)) is np.float64
    assert type(gv.jvp(lambda x: x * 2, (x,), (x,))[1]) is np.float64
    assert type(gv.vjp(lambda x: x * 2, x)[1](1.0)[0]) is np.float64


def test_arrays_of_other_packages():
    pd = pytest.importorskip("pandas")
    series = pd.Series([1.0, 2.0, 3.0])
    g = gv.grad(lambda x: (x * x).sum())(series)
    assert type(g) is np.ndarray
    np.testing.assert_array_equal(g, [2.0, 4.0, 6.0])
    np.testing.assert_array_equal(gv.compile(lambda x: x * 2)(series), [2.0, 4.0, 6.0])


@pytest.mark.parametrize("bad", [np.array(["a"]), np.array([1], object)])
def test_other_dtypes_are_refused(bad):
    with pytest.raises(TypeError):
        gv.grad(lambda x: (x * bad).sum())(np.ones(1))


def test_masked_arrays_are_refused():
    m = np.ma.masked_array([1.0, 2.0], mask=[False, True])
    with pytest.raises(TypeError, match="masked arrays"):
        gv.grad(lambda x: (x * x).sum())(m)
    with pytest.raises(TypeError, match="masked arrays"):
        gv.compile(lambda x: x * 2)(m)


def test_plain_calls_of_wrapped_functions_share_no_memory():
    x = np.ones(3)
    rule = (lambda x: (x, None), lambda r, g: (g,))
    for f in (
        gv.checkpoint(lambda x: x),
        gv.custom_vjp(lambda x: x[:2], *rule),
        lambda x: gv.cond(True, lambda x: {"a": x, "b": x}, None, x)["b"],
    ):
        assert not np.shares_memory(f(x), x)


def test_results_share_no_memory():
    x = np.random.default_rng(0).normal(size=5000)
    (value, aux), g = gv.value_and_grad(
        lambda x: ((x * x).sum(), (x, x, 2 * x)), has_aux=True
    )(x)
    out, pullback = gv.vjp(lambda x: (x, x * 1.0), x)
    gx = pullback((x, x))
    arrays = [x, *aux, g, *out, *gx]
    for a, b in itertools.combinations(arrays, 2):
        assert not np.shares_memory(a, b)
    assert value == pytest.approx((x * x).sum())
