"""Random small programs: planned, node by node, batched and in NumPy, all the same."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gradiverse as gv
from gradiverse import _core

SHAPES = [(), (1,), (3,), (4, 3), (4, 1), (2, 4, 3), (0, 3), (33,), (5, 33)]
DTYPES = ["float32", "float64", "complex64", "complex128", "int64"]

UNARY = {
    "sin": np.sin,
    "tanh": lambda x: np.tanh(x.real),
    "neg": lambda x: -x if x.dtype != bool else x,
    "abs": lambda x: np.abs(x),
    "exp": lambda x: np.exp(-np.abs(x)),
    "square": lambda x: x * x,
    "conj": np.conj,
    "real": lambda x: x.real,
    "sum": lambda x: x.sum(),
    "sum0": lambda x: x.sum(axis=0) if x.ndim else x,
    "mean_last": lambda x: x.mean(axis=-1, keepdims=True) if 0 not in x.shape else x,
    "max": lambda x: x.real.max(axis=-1) if x.ndim and 0 not in x.shape else x,
    "transpose": lambda x: x.T,
    "ravel": lambda x: x.ravel(),
    "reverse": lambda x: x[..., ::-1] if x.ndim else x,
    "slice": lambda x: x[1:] if x.ndim else x,
    "newaxis": lambda x: x[..., None] if x.ndim < 4 else x,
    "cumsum": lambda x: np.cumsum(x, axis=-1) if x.ndim else x,
    "float32": lambda x: x.real.astype("float32"),
    "float64": lambda x: x.real.astype("float64"),
    "complex128": lambda x: x.astype("complex128"),
    "where": lambda x: np.where(x.real > 0, x, 0.5),
    "concat": lambda x: np.concatenate([x, x * 2]) if x.ndim else x,
    "repeat": lambda x: np.stack([x, x]) if x.ndim < 4 else x,
}
BINARY = {
    "add": lambda x, y: x + y,
    "mul": lambda x, y: x * y,
    "sub": lambda x, y: x * 1 - y * 1,
    "div": lambda x, y: x / (2 + np.abs(y)),
    "maximum": lambda x, y: np.maximum(x.real, y.real),
    "dot": lambda x, y: x @ y if x.ndim and y.ndim else x * y,
}
steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(sorted(UNARY)), st.integers(0, 99)),
        st.tuples(
            st.sampled_from(sorted(BINARY)), st.integers(0, 99), st.integers(0, 99)
        ),
    ),
    min_size=4,
    max_size=16,
)
inputs = st.lists(
    st.tuples(st.sampled_from(SHAPES), st.sampled_from(DTYPES)), min_size=1, max_size=3
)


@pytest.fixture(autouse=True)
def poisoned_memory():
    """Working memory is full of NaN before each run: nothing unwritten is read."""
    _core.set_poison(True)
    yield
    _core.set_poison(False)


def program(recipe, seen=None):
    """The recipe as a function; steps that NumPy refuses are left out."""

    def f(*args):
        values = list(args)
        for k, (name, *which) in enumerate(recipe):
            if seen is not None and k in seen:
                continue
            chosen = [values[i % len(values)] for i in which]
            values.append((UNARY.get(name) or BINARY[name])(*chosen))
        return tuple(values[-3:])

    return f


def feasible(recipe, args):
    """Steps that fail in NumPy (shapes do not fit, too large)."""
    bad = set()
    values = list(args)
    for k, (name, *which) in enumerate(recipe):
        chosen = [values[i % len(values)] for i in which]
        try:
            out = (UNARY.get(name) or BINARY[name])(*chosen)
        except (ValueError, TypeError):
            bad.add(k)
            continue
        if out.size > 20_000:
            bad.add(k)
        else:
            values.append(out)
    return bad


def make(kinds):
    rng = np.random.default_rng(7)
    args = []
    for shape, dtype in kinds:
        x = rng.normal(size=shape)
        if dtype.startswith("complex"):
            x = x + 1j * rng.normal(size=shape)
        args.append(np.asarray(x * 2 if dtype == "int64" else x).astype(dtype))
    return args


def close(got, want, what):
    for a, b in zip(got, want, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert a.dtype == b.dtype and a.shape == b.shape, (what, a.dtype, b.dtype)
        single = b.dtype in ("float32", "complex64") or a.dtype == "complex64"
        scale = np.max(np.abs(b), initial=1.0)
        tolerance = 3e-4 if single else 1e-10
        if np.isfinite(scale):
            np.testing.assert_allclose(
                a, b, rtol=tolerance, atol=tolerance * scale, err_msg=what
            )


@pytest.mark.filterwarnings("ignore")
@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(steps, inputs)
def test_all_ways_of_running_agree(recipe, kinds):
    args = make(kinds)
    with np.errstate(all="ignore"):
        f = program(recipe, feasible(recipe, args))
        want = f(*args)
        # single precision inside makes later double values only single-accurate
        if any(a.dtype in ("float32", "complex64") for a in args) or any(
            name == "float32" for name, *_ in recipe
        ):
            tight = False
        else:
            tight = True
        got = gv.compile(f)(*args)
        if tight:
            close(got, want, "numpy")
        else:
            for a, b in zip(got, want, strict=True):
                assert np.asarray(a).dtype == np.asarray(b).dtype
        rows = gv.vmap(f)(*[np.stack([a, a]) for a in args])
        for r, g in zip(rows, got, strict=True):
            np.testing.assert_allclose(r[1], g, rtol=1e-4, atol=1e-4)
        floats = [k for k, a in enumerate(args) if a.dtype.kind in "fc"]
        if not floats or any(x.dtype.kind not in "fc" for x in want):
            return
        cts = tuple(np.ones(x.shape, x.dtype) for x in want)

        def pull(*args):
            return [g for g in gv.vjp(f, *args)[1](cts) if g is not None]

        planned = gv.compile(pull)(*args)
        assert all(
            g.dtype == args[k].dtype and np.shape(g) == args[k].shape
            for g, k in zip(planned, floats, strict=True)
        )
        with gv.debug():
            try:
                plain = pull(*args)
            except FloatingPointError:
                return
    for a, b in zip(planned, plain, strict=True):
        single = np.asarray(b).dtype in ("float32", "complex64") or not tight
        scale = np.max(np.abs(b), initial=1.0)
        tolerance = (1e-3 if single else 1e-9) * scale
        if np.isfinite(scale):
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)
