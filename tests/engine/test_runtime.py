"""Threads, debug mode, Ctrl-C, failing allocations, information."""

import _thread
import gc
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import gradiverse as gv
from gradiverse import _core


@pytest.fixture
def threads():
    before = gv.get_threads()
    yield gv.set_threads
    gv.set_threads(before)


def workload(x, a):
    y = np.tanh(x * 1.5) + np.exp(-x * x)
    c, ys = gv.scan(lambda c, v: (np.sin(c + v), c.sum()), y[:1000], np.ones(5))
    z = np.linalg.cholesky(a @ a.T / a.shape[0] + np.eye(a.shape[0]))
    return y.sum() + c.sum() + ys.sum() + z.sum() + np.cumsum(y)[-1] + np.sort(y)[3]


def test_same_bits_on_one_and_two_threads(threads):
    rng = np.random.default_rng(0)
    x, a = rng.normal(size=300_001), rng.normal(size=(70, 70))
    results = []
    for n in (1, 2):
        threads(n)
        assert gv.get_threads() == n
        value, g = gv.value_and_grad(workload, argnums=(0, 1))(x, a)
        results.append((value, *g))
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "2"])
def test_wrong_number_of_threads(n):
    with pytest.raises(ValueError, match="number of threads"):
        gv.set_threads(n)


# --- debug mode ---
def culprit(x):
    y = np.sqrt(x - 1)
    z = np.log(y)  # the line that makes the NaN for x < 1 is the one above
    return z.sum()


LINE = culprit.__code__.co_firstlineno + 1


@pytest.mark.parametrize(
    "wrap", [gv.grad, gv.compile, lambda f: gv.compile(gv.grad(f))]
)
def test_debug_mode_names_the_line_of_the_first_nan(wrap):
    x = np.array([2.0, 0.5])
    with gv.debug(), pytest.raises(FloatingPointError) as error:
        wrap(culprit)(x)
    text = str(error.value)
    assert "sqrt" in text and f"test_runtime.py:{LINE} in culprit" in text
    assert "[2]" in text
    with np.errstate(all="ignore"):
        wrap(culprit)(x)  # outside it is NumPy's NaN again


def test_debug_mode_reaches_functions_compiled_before():
    f = gv.compile(lambda x: np.log(x))
    assert np.isnan(f(-1.0))
    with gv.debug(), pytest.raises(FloatingPointError, match="log"):
        f(-1.0)
    assert np.isnan(f(-1.0))


def test_debug_mode_gives_the_same_results():
    rng = np.random.default_rng(1)
    x, a = rng.normal(size=2000), rng.normal(size=(5, 5))
    plain = gv.grad(workload)(x, a)
    with gv.debug():
        with gv.debug():
            pass
        node_by_node = gv.grad(workload)(x, a)
    np.testing.assert_allclose(node_by_node, plain, rtol=1e-13, atol=1e-15)


def test_nan_in_the_input_is_not_an_error():
    with gv.debug():
        assert np.isnan(gv.compile(lambda x: x * 2)(np.array([np.nan]))).all()


# --- errors of operators name the line ---
def test_shape_errors_name_shapes_and_line():
    def f(x):
        return (x @ np.ones((4, 2))).sum()

    with pytest.raises(ValueError) as error:
        gv.grad(f)(np.ones((2, 3)))
    assert "3" in str(error.value) and "4" in str(error.value)
    assert type(gv.grad(lambda x: x * x)(2.0)) is np.float64


def test_linalg_errors_are_numpys():
    def f(x):
        return np.linalg.cholesky(x).sum()

    a = np.eye(3)
    a[2, 2] = -1
    with pytest.raises(np.linalg.LinAlgError):
        gv.grad(f)(a)
    with pytest.raises(np.linalg.LinAlgError):
        gv.compile(f)(a)


# --- Ctrl-C ---
@pytest.fixture
def ctrl_c():
    """Python's own handler, also where the shell started us with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_interrupt_stops_a_long_loop_soon():
    def f(x):
        return gv.while_loop(lambda c: c[0] > 0, lambda c: (c[0], np.sin(c[1])), (x, x))

    g = gv.compile(f)
    start = []

    def interrupt():
        time.sleep(0.5)
        start.append(time.perf_counter())
        _thread.interrupt_main()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        g(1.0)
    waited = time.perf_counter() - start[0]
    thread.join()
    assert waited < 0.3
    assert gv.compile(lambda x: x + 1)(1.0) == 2.0


def test_the_interpreter_runs_meanwhile():
    g = gv.compile(lambda x: gv.scan(lambda c, _: (np.sin(c), None), x, length=200)[0])
    x = np.ones(100_000)
    g(x)
    ticks, stop = [], threading.Event()

    def tick():
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    time.sleep(0.02)
    begin = time.perf_counter()
    g(x)
    end = time.perf_counter()
    stop.set()
    thread.join()
    during = [t for t in ticks if begin < t < end]
    assert len(during) > 5 or end - begin < 0.02


# --- allocation failures ---
def small_program():
    def loss(p, xs):
        def step(c, x):
            return np.tanh(p["w"] * c + x), c.sum()

        c, ys = gv.scan(step, p["c"], xs, policy=("recompute", 2))
        return (c**2).sum() + ys.sum()

    p = {"w": 0.5, "c": np.arange(3.0)}
    xs = np.ones((5, 3))
    value, g = gv.value_and_grad(loss)(p, xs)
    h = gv.compile(gv.grad(loss))(p, xs)
    j = gv.vmap(gv.grad(lambda x: gv.cond(x > 0, np.sin, np.cos, x)))(np.ones(3))
    return value, g["w"], g["c"], h["c"], j


@pytest.mark.smoke
def test_every_allocation_failing_gives_memory_error_and_leaks_nothing():
    want = small_program()
    failures, k = 0, 1
    while True:
        _core.plan_cache_clear()
        _core.alloc_fail_after(k)
        try:
            got = small_program()
        except MemoryError:
            failures += 1
        else:
            break
        finally:
            _core.alloc_fail_after(0)
        k += 1 + k // 40
    assert failures > 50
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(small_program(), want, strict=True):
        np.testing.assert_array_equal(a, b)


def test_nothing_leaks():
    def settle():
        gc.collect()
        _core.plan_cache_clear()
        return _core.alloc_stats()["live_blocks"]

    small_program()
    before = settle()
    for _ in range(3):
        small_program()
        try:
            gv.grad(lambda x: (x @ np.ones((9, 9))).sum())(np.ones((2, 3)))
        except ValueError:
            pass
    assert settle() <= before + 2


# --- information ---
def test_show_config_prints_and_returns(capsys):
    found = gv.show_config()
    text = capsys.readouterr().out
    for key in ("gradiverse", "numpy", "blas_core", "simd", "threads"):
        assert key in found and key in text
    assert found["threads"] == gv.get_threads()


def test_op_table_is_complete():
    table = gv.op_table()
    assert list(table.columns) == [
        "name",
        "signature",
        "doc",
        "flags",
        "vjp",
        "jvp",
        "batch",
    ]
    assert {"add", "matmul", "scan", "cholesky"} <= set(table["name"])
    assert table["doc"].str.len().min() > 0 and table["name"].is_unique


def test_import_stays_light():
    code = (
        "import numpy, sys, time; t = time.process_time(); import gradiverse;"
        "print(time.process_time() - t, [m for m in"
        " ('pandas', 'scipy', 'matplotlib', 'h5py') if m in sys.modules])"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        for _ in range(3)
    ]
    seconds, loaded = min(r.stdout.strip().split(" ", 1) for r in runs)
    assert loaded == "[]" and float(seconds) < 0.15, (runs[0].stderr, seconds)
