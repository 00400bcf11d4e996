"""gv.compile: signatures, static values, constants, plans."""

import gc
import threading
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest

import gradiverse as gv


class Counter:
    """Counts how often a function is traced."""

    def __init__(self, f):
        self.f = f
        self.n = 0
        self.__name__ = "counted"

    def __call__(self, *args, **kwargs):
        self.n += 1
        return self.f(*args, **kwargs)


@pytest.mark.smoke
def test_traces_once_per_signature():
    f = Counter(lambda x, y: np.sin(x) * y)
    g = gv.compile(f)
    x = np.arange(3.0)
    for _ in range(3):
        np.testing.assert_allclose(g(x, 2.0), np.sin(x) * 2)
        np.testing.assert_allclose(g(x + 1, 3.0), np.sin(x + 1) * 3)
    assert f.n == 1
    g(np.arange(4.0), 2.0)
    g(x.astype(np.float32), 2.0)
    g(x, np.float64(2.0))
    g(x, x)
    assert f.n == 5
    assert g(x.astype(np.float32), 2.0).dtype == np.float32
    assert g(x.astype(np.float32), np.float64(2.0)).dtype == np.float64


def test_static_values_and_types_are_told_apart():
    f = Counter(lambda x, n: x * n)
    g = gv.compile(f)
    x = np.ones(2)
    assert g(x, 2).tolist() == [2, 2]
    assert g(x, 3).tolist() == [3, 3]
    assert g(x, True).tolist() == [1, 1]
    assert g(x, 1).tolist() == [1, 1]
    assert g(x, 2).tolist() == [2, 2]
    assert f.n == 4
    h = Counter(lambda x, how, option=None: x if how == "id" and option is None else -x)
    c = gv.compile(h)
    assert c(x, "id").tolist() == [1, 1]
    assert c(x, "neg").tolist() == [-1, -1]
    assert c(x, "id", option=1).tolist() == [-1, -1]
    assert c(x, "id", None).tolist() == [1, 1]
    assert c(x, "id").tolist() == [1, 1]


def test_static_argnums():
    f = Counter(lambda x, power: x**power if power > 1 else x)
    g = gv.compile(f, static_argnums=1)
    assert g(np.array([3.0]), 2.0).tolist() == [9.0]
    assert g(np.array([3.0]), 3.0).tolist() == [27.0]
    assert g(np.array([3.0]), 2.0).tolist() == [9.0]
    assert g(np.array([3.0]), -0.0).tolist() == [3.0]
    assert f.n == 3
    assert gv.compile(lambda x, t: x * sum(t), static_argnums=(-1,))(2.0, [1, 2]) == 6.0
    with pytest.raises(ValueError, match="static_argnums 3"):
        gv.compile(lambda x: x, static_argnums=3)(1.0)


def test_unhashable_static_argument_is_an_error():
    class Odd:
        __hash__ = None

    with pytest.raises(TypeError, match=r"argument\[1\] is a Odd.*register_dataclass"):
        gv.compile(lambda x, o: x)(1.0, Odd())


def test_functions_are_static():
    g = gv.compile(lambda x, h: h(x))
    np.testing.assert_allclose(g(np.ones(2), np.exp), np.exp(np.ones(2)))
    np.testing.assert_allclose(g(np.ones(2), np.sin), np.sin(np.ones(2)))


Pair = namedtuple("Pair", "a b")


def test_nests_in_and_out():
    f = Counter(lambda p, q: {"s": p["x"] + q.a, "t": [q.b, "text", None, 3]})
    g = gv.compile(f)
    for k in range(2):
        out = g({"x": np.full(2, k), "y": None}, Pair(1.5, np.ones(2)))
        np.testing.assert_array_equal(out["s"], np.full(2, k + 1.5))
        assert out["t"][1:] == ["text", None, 3]
        np.testing.assert_array_equal(out["t"][0], np.ones(2))
    assert f.n == 1
    g({"y": None, "x": np.full(2, 0)}, Pair(1.5, np.ones(2)))  # order does not matter
    assert f.n == 1
    g({"x": np.zeros(2), "y": None}, Pair(1, 2.0))  # a static a, a scalar b
    assert f.n == 2


def test_nests_with_other_orders_and_shared_arrays():
    f = Counter(lambda p, n, **k: p["a"] * 10 + p["b"][0] - k["z"] + n)
    g = gv.compile(f)
    x, y = np.array(1.0), np.array(2.0)
    for _ in range(3):
        assert g({"a": x, "b": [y]}, 1, z=3.0) == 10.0
        assert g({"b": [y], "a": x}, 1, z=4.0) == 9.0
        assert g({"b": [x], "a": x}, 1, z=4.0) == 8.0
        assert g({"b": (x,), "a": x}, 1, z=4.0) == 8.0
        assert g({"b": (x,), "a": x}, 2, z=4.0) == 9.0
        assert g({"b": (x,), "a": x}, True, z=4.0) == 8.0
        assert g({"b": (x.astype(">f8"),), "a": y}, True, z=4.0) == 18.0
        assert g({"b": (x,), "a": np.ones((2, 2))[:, :1]}, 0, z=4.0).shape == (2, 1)
    assert f.n == 6
    with gv.debug(), pytest.raises(FloatingPointError):
        h = gv.compile(lambda p: np.log(p["a"]))
        h({"a": -1.0})


def test_results_of_all_forms():
    x = np.arange(3.0)
    assert gv.compile(lambda x: None)(x) is None
    assert gv.compile(lambda x: ())(x) == ()
    one = gv.compile(lambda x: x.sum())(x)
    assert type(one) is np.float64
    a, b = gv.compile(lambda x: (x, x.sum()))(x)
    assert type(a) is np.ndarray and type(b) is np.float64
    assert type(gv.compile(lambda x: [x])(x)) is list
    np.testing.assert_array_equal(gv.compile(lambda x: np.ones(2))(x), np.ones(2))


def test_results_never_alias():
    x = np.arange(5000.0)
    g = gv.compile(lambda x: (x, x, x * 1, x.reshape(50, 100)))
    out = g(x)
    again = g(x)
    arrays = [x, *out, *again]
    for i, a in enumerate(arrays):
        for b in arrays[i + 1 :]:
            assert not np.shares_memory(a, b)
    out[0][:] = -1
    np.testing.assert_array_equal(out[1], x)
    constant = np.ones(5000)
    h = gv.compile(lambda x: constant)
    h(x)[:] = 7
    np.testing.assert_array_equal(h(x), np.ones(5000))
    np.testing.assert_array_equal(constant, np.ones(5000))


@pytest.mark.parametrize("n", [3, 5000])
def test_captured_arrays_are_constants(n):
    scale = np.full(n, 2.0)
    g = gv.compile(lambda x: x * scale)
    np.testing.assert_array_equal(g(np.ones(n)), np.full(n, 2.0))
    scale[:] = 5.0
    np.testing.assert_array_equal(g(np.ones(n)), np.full(n, 2.0))
    np.testing.assert_array_equal(gv.compile(lambda x: x * scale)(np.ones(n)), scale)


def test_python_floats_stay_weak():
    g = gv.compile(lambda x, s: x * s + 1)
    assert g(np.ones(2, np.float32), 2.0).dtype == np.float32
    assert type(gv.compile(lambda s: s * 2)(1.5)) is np.float64
    assert gv.compile(lambda z: z * 2)(1 + 2j) == 2 + 4j


def test_keywords():
    f = Counter(lambda x, *, y=1.0: x - y)
    g = gv.compile(f)
    assert g(3.0) == 2.0 and g(3.0, y=2.0) == 1.0 and g(4.0, y=0.5) == 3.5
    assert f.n == 2
    assert gv.compile(lambda **k: k["a"] * k["b"])(a=2.0, b=4.0) == 8.0


def test_plan_can_be_looked_at():
    def model(x):
        return np.exp(x).sum()

    plan = gv.compile(model).plan(np.ones(1000))
    assert isinstance(plan.peak_bytes, int) and plan.peak_bytes >= 0
    assert "exp" in plan.ops
    text = str(plan)
    assert "model" in text and len(text.splitlines()) > 1
    assert "<table>" in plan._repr_html_() and "exp" in plan._repr_html_()
    bigger = gv.compile(gv.grad(lambda x: np.tanh(x @ x.T).sum())).plan(
        np.ones((64, 64))
    )
    assert bigger.peak_bytes > plan.peak_bytes


def test_plan_counts_and_dead_code():
    def f(x):
        np.exp(x)  # nobody uses it
        return np.sin(x) * np.sin(x)

    ops = gv.compile(f).plan(np.ones(3)).ops
    assert ops.count("sin") == 1 and "exp" not in ops


def test_compile_in_other_transforms_and_threads():
    g = gv.compile(lambda x: (x**3).sum())
    x = np.array([1.0, 2.0])
    np.testing.assert_allclose(gv.grad(g)(x), 3 * x**2)
    np.testing.assert_allclose(gv.vmap(g)(x[:, None]), x**3)
    np.testing.assert_allclose(gv.compile(lambda x: g(x) * 2)(x), 18.0)
    results = []
    threads = [
        threading.Thread(
            target=lambda: results.extend(g(np.full(50, 1.0 + k)) for k in range(50))
        )
        for _ in range(4)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(results) == sorted([50 * (1.0 + k) ** 3 for k in range(50)] * 4)


def test_methods_and_decorator():
    class Model:
        def __init__(self, w):
            self.w = w

        @gv.compile
        def apply(self, x):
            """What it does."""
            return x * self.w

    a, b = Model(2.0), Model(3.0)
    assert a.apply(1.5) == 3.0 and b.apply(1.5) == 4.5
    assert Model.apply.__doc__ == "What it does."

    @gv.compile(static_argnums=1)
    def power(x, n):
        return x**n

    assert power(2.0, 3) == 8.0
    with pytest.raises(TypeError, match="not a function"):
        gv.compile(3)


def test_an_error_while_tracing_leaves_nothing_behind():
    def f(x, fail):
        if fail:
            raise KeyError("mine")
        return x * 2

    g = gv.compile(f)
    with pytest.raises(KeyError, match="mine"):
        g(1.0, True)
    assert g(1.0, False) == 2.0
    assert type(gv.grad(lambda x: x * x)(2.0)) is np.float64


def test_unusual_arrays_are_taken():
    x = np.arange(12.0).reshape(3, 4)
    g = gv.compile(lambda x: x * 2)
    readonly = x.copy()
    readonly.flags.writeable = False
    for y in (
        np.asfortranarray(x),
        x[::-1, ::2],
        x.astype(">f8"),
        readonly,
        x.T,
        np.broadcast_to(1.0, (2, 2)),
        np.empty((0, 3)),
    ):
        np.testing.assert_array_equal(g(y), y * 2)
    for dtype in ("int8", "uint8", "int16", "uint16", "uint32", "float16"):
        y = np.arange(3).astype(dtype)
        np.testing.assert_array_equal(g(y), y * 2)
    with pytest.raises(TypeError, match="uint64"):
        g(np.array([2**63 + 1], np.uint64))
    with pytest.raises(TypeError):
        g(np.array(["a"], object))


@gv.register_dataclass
@dataclass(frozen=True)
class Line:
    slope: float
    offset: float

    def __call__(self, x):
        return self.slope * x + self.offset


def test_dataclasses_are_traced():
    f = Counter(lambda line, x: line(x))
    g = gv.compile(f)
    assert g(Line(2.0, 1.0), 3.0) == 7.0 and g(Line(3.0, 0.0), 3.0) == 9.0
    assert f.n == 1
    d = gv.grad(lambda line: line(3.0))(Line(2.0, 1.0))
    assert d == Line(3.0, 1.0) and type(d) is Line


def test_many_signatures_are_forgotten_in_time():
    from gradiverse.compile import MOST_ENTRIES, MOST_FAST

    g = gv.compile(lambda x, f: f(x))
    for k in range(MOST_ENTRIES + 20):
        assert g(2.0, lambda x, k=k: x + k) == 2.0 + k
    assert len(g._entries) == MOST_ENTRIES
    h = gv.compile(lambda x, n: x * n)
    for _ in range(2):
        for k in range(MOST_FAST + 20):
            assert h(2.0, k) == 2.0 * k


def test_dispatch_frees_what_it_held():
    g = gv.compile(lambda x: x * 2)
    out = g(np.ones(100_000))
    base = out.base
    del out, base
    gc.collect()
    assert g(np.ones(100_000)).sum() == 200_000
