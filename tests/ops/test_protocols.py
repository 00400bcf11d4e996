"""NumPy's protocols: promotion, what is refused, and what the errors say."""

import itertools

import numpy as np
import pytest

import gradiverse as gv
from gradiverse import graph, ops

DTYPES = ["bool", "int32", "int64", "float32", "float64", "complex64", "complex128"]
SCALARS = [
    True,
    2,
    1.5,
    1j,
    np.float32(2),
    np.int64(2),
    np.float64(0.5),
    np.complex64(1j),
]


def dtype_of(f, *arrays):
    with graph.Trace() as trace:
        return f(*[trace.var(trace.bind(a)) for a in arrays]).dtype


def numpys(f, *arrays):
    """NumPy's result type, None where it refuses."""
    try:
        with np.errstate(all="ignore"):
            return f(*arrays).dtype
    except TypeError:
        return None


BINARY = [np.add, np.subtract, np.multiply, np.divide, np.power, np.maximum, np.fmin,
          np.floor_divide, np.remainder, np.equal, np.less, np.logical_or, np.arctan2,
          np.hypot]  # fmt: skip
#: small NumPy dtypes of results have stand-ins in the engine; orders of complex
#: numbers are not offered
STAND_IN = {"int8": "int32", "float16": "float64"}
ORDERED = (np.maximum, np.fmin, np.less)


@pytest.mark.parametrize("f", BINARY, ids=lambda f: f.__name__)
@pytest.mark.parametrize(("a", "b"), list(itertools.product(DTYPES, DTYPES)))
def test_promotion_of_two_arrays(f, a, b):
    x, y = np.ones(3, a), np.ones(3, b)
    wanted = numpys(f, x, y)
    if wanted is None or (f in ORDERED and "c" in (x.dtype.kind, y.dtype.kind)):
        with pytest.raises(TypeError):
            dtype_of(f, x, y)
    else:
        assert dtype_of(f, x, y) == STAND_IN.get(wanted.name, wanted)
        assert dtype_of(lambda x: f(x, y), x) == STAND_IN.get(wanted.name, wanted)


@pytest.mark.parametrize(
    "f", [np.add, np.multiply, np.divide], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("scalar", SCALARS, ids=lambda s: f"{type(s).__name__}")
@pytest.mark.parametrize("dtype", DTYPES)
def test_promotion_of_array_and_number(f, dtype, scalar):
    x = np.ones(3, dtype)
    assert dtype_of(lambda x: f(x, scalar), x) == f(x, scalar).dtype
    assert dtype_of(lambda x: f(scalar, x), x) == f(scalar, x).dtype


UNARY = [np.exp, np.sqrt, np.absolute, np.square, np.floor, np.isnan, np.logical_not,
         np.sign, np.rint, np.conjugate, np.cos]  # fmt: skip


@pytest.mark.parametrize("f", UNARY, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtype_of_one_array(f, dtype):
    x = np.ones(3, dtype)
    wanted = numpys(f, x)
    if wanted is None:
        with pytest.raises(TypeError):
            dtype_of(f, x)
    elif dtype == "bool" and f in (np.absolute, np.floor, np.conjugate):
        assert dtype_of(f, x).kind in "bi"
    else:
        assert dtype_of(f, x) == STAND_IN.get(wanted.name, wanted)


REDUCTIONS = [np.sum, np.prod, np.mean, np.max, np.var, np.cumsum, np.argmin, np.any,
              np.sort, np.median, np.ptp, np.trapezoid, np.linalg.norm]  # fmt: skip


@pytest.mark.parametrize("f", REDUCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", DTYPES[1:])
def test_dtype_of_reductions(f, dtype):
    x = np.arange(3).astype(dtype)
    if x.dtype.kind == "c" and f in (np.max, np.argmin, np.sort, np.median, np.ptp):
        with pytest.raises(TypeError):
            dtype_of(f, x)
        return
    assert dtype_of(f, x) == np.asarray(f(x)).dtype


def test_python_float_that_is_differentiated_is_weak():
    x = np.ones(3, np.float32)

    def loss(a):
        assert (a * x).dtype == np.float32
        assert (2 * a + 1).dtype == np.float64
        assert np.where(x > 0, a, x).dtype == np.float32
        assert (np.sin(a) * x).dtype == np.float64
        assert np.stack([a, a]).dtype == np.float64
        assert (np.stack([a, a])[:1] * x).dtype == np.float64
        return np.sum(a * x)

    assert gv.grad(loss)(2.0) == 3.0


# --- what is refused -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "error", "message"),
    [
        (lambda x: np.histogram(x), TypeError, "histogram is not offered"),
        (lambda x: np.i0(x), TypeError, "i0"),
        (lambda x: np.nextafter(x, x), TypeError, "np.nextafter is not offered"),
        (lambda x: np.polyfit(x, x, 1), TypeError, "polyfit"),
        (lambda x: np.add(np.ones(3), x, out=np.ones(3)), TypeError, "plain array"),
        (lambda x: np.add.at(np.ones(3), [0], x), TypeError, "plain array"),
        (lambda x: np.add.reduceat(x, [0]), TypeError, "add.reduceat"),
        (lambda x: np.full(3, x[0]), TypeError, "np.stack"),
        (lambda x: np.copyto(np.ones(3), x), TypeError, "writes into"),
        (lambda x: np.exp(x, where=x > 0), TypeError, "where="),
        (lambda x: np.sum(x, out=np.ones(())), TypeError, "write a traced value"),
        (lambda x: np.array([x, x]), TypeError, "stack"),
        (lambda x: x << 1, TypeError, "unsupported|not offered"),
        (lambda x: x & 1, TypeError, "bool"),
        (lambda x: ~x, TypeError, "logical_not"),
        (lambda x: np.maximum(x, 1j), TypeError, "complex"),
        (lambda x: np.arctan2(x, 1j), TypeError, "complex"),
        (lambda x: np.fft.rfft(x * 1j), TypeError, "real"),
        (lambda x: x.astype(int) ** -1, ValueError, "negative integer power"),
        (lambda x: np.reshape(x, (2, 2)), ValueError, "3 elements"),
        (lambda x: np.sum(x, axis=1), ValueError, "axis 1 is out of bounds"),
        (lambda x: np.max(x[:0]), ValueError, "no elements"),
        (lambda x: x @ np.ones((2, 2)), ValueError, "3 against 2"),
        (lambda x: np.einsum("ij->i", x), ValueError, "ij"),
        (lambda x: np.einsum("i->ii", x), ValueError, "repeats"),
        (lambda x: np.einsum("i,i", x, np.ones(2)), ValueError, "lengths"),
        (lambda x: np.concatenate([x, np.ones((2, 2))]), ValueError, "differ"),
        (lambda x: np.stack([x, np.ones(2)]), ValueError, "one shape"),
        (lambda x: np.split(x, 2), ValueError, "array_split"),
        (lambda x: np.pad(x, 1, mode="mean"), ValueError, "mode 'mean'"),
        (lambda x: np.pad(x, -1), ValueError, "negative"),
        (lambda x: np.quantile(x, 1.5), ValueError, "lie in"),
        (lambda x: np.fft.fft(x, norm="none"), ValueError, "norm"),
        (lambda x: np.fft.fft(x, 0), ValueError, "positive"),
        (lambda x: np.linalg.norm(x, "fro", axis=0), ValueError, "matrices"),
        (lambda x: np.linalg.solve(np.eye(2), x), ValueError, "rows"),
        (lambda x: np.squeeze(x, 0), ValueError, "not of length 1"),
        (lambda x: np.broadcast_to(x, (3, 2)), ValueError, "broadcast"),
        (lambda x: x + np.ones(2), ValueError, "broadcast"),
        (lambda x: np.median(x[:0]), ValueError, "no elements"),
        (lambda x: np.gradient(x[:1]), ValueError, "2 are needed"),
        (lambda x: x.astype(object), TypeError, "object"),
        (lambda x: np.sort(x * 1j), TypeError, "sort"),
    ],
)
def test_refusals_name_function_and_way_out(f, error, message):
    with graph.Trace() as trace:
        x = trace.var(trace.bind(np.arange(3.0)))
        with pytest.raises(error, match=message):
            f(x)


def test_in_place_operator_on_a_plain_array():
    def f(x):
        total = np.zeros(3)
        total += x
        return total

    with pytest.raises(TypeError, match="plain array"):
        graph.run(f, np.ones(3))


def test_every_public_function_has_a_docstring_and_a_name():
    for name in ops.__all__:
        f = getattr(ops, name)
        if callable(f) and getattr(f, "__module__", "").startswith("gradiverse"):
            assert f.__doc__, name
            assert f.__name__.strip("_") in (name, f.__name__), name


def test_methods_are_numpys():
    x = np.arange(6.0).reshape(2, 3)
    with graph.Trace() as trace:
        v = trace.var(trace.bind(x))
        for name, function in ops.METHODS.items():
            if name in ("T", "mT", "real", "imag"):
                assert function(v).shape == getattr(x, name, np.conj(x)).shape
            else:
                assert callable(function)
                assert hasattr(x, name) or name in ("ptp",), name


def test_nested_transforms_of_the_surface():
    x = np.linspace(0.3, 1.4, 4)

    def f(x):
        return np.sum(np.sort(np.cumprod(x)) * np.fft.irfft(np.fft.rfft(x), 4)[::-1])

    hessian = gv.jacobian(gv.grad(f))(x)
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-12)
    h = 1e-5
    for k, e in enumerate(np.eye(4)):
        column = (gv.grad(f)(x + h * e) - gv.grad(f)(x - h * e)) / (2 * h)
        np.testing.assert_allclose(hessian[k], column, atol=1e-7)
