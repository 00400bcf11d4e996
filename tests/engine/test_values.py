"""Values while tracing: Python control flow, errors that name the line."""

import copy
import math
import pickle
import sys
import threading

import numpy as np
import pytest

import gradiverse as gv


def newton(a):
    """Square root by a loop that looks at values."""
    x = a
    while abs(x * x - a) > 1e-14 * a:
        x = 0.5 * (x + a / x)
    return x


@pytest.mark.smoke
def test_while_on_values():
    value, g = gv.value_and_grad(newton)(2.0)
    assert value == pytest.approx(2**0.5, rel=1e-14)
    assert g == pytest.approx(0.5 / 2**0.5, rel=1e-12)


@pytest.mark.parametrize("x", [-3.0, 2.0])
def test_if_on_values(x):
    assert gv.grad(lambda x: x * x if x > 0 else -x)(x) == (2 * x if x > 0 else -1)
    assert gv.grad(gv.grad(lambda x: x**3 if x > 0 else -(x**2)))(x) == (
        6 * x if x > 0 else -2
    )


def test_every_way_to_ask_for_a_value():
    seen = {}

    def f(x):
        y = x * 2
        seen["float"] = float(y[0])
        seen["int"] = int(y[1])
        seen["item"] = y[1].item()
        seen["list"] = y.tolist()
        seen["any"] = bool((y > 3).any())
        seen["contains"] = 2.0 in y
        seen["format"] = f"{y[0]:.2f}"
        seen["repr"] = repr(y)
        seen["argmax"] = [10, 20][y.argmax()]
        seen["evaluate"] = gv.evaluate(y)
        seen["complex"] = complex(y[0])
        return (y[y > 1] ** 2).sum()

    g = gv.grad(f)(np.array([1.0, 2.0, 0.25]))
    np.testing.assert_allclose(g, [8.0, 16.0, 0.0])
    assert seen["float"] == 2.0 and seen["int"] == 4 and seen["item"] == 4.0
    assert type(seen["item"]) is float
    assert seen["list"] == [2.0, 4.0, 0.5] and seen["any"] and seen["contains"]
    assert seen["format"] == "2.00" and seen["argmax"] == 20
    assert "[2. , 4. , 0.5]" in seen["repr"] and "float64" in seen["repr"]
    assert type(seen["evaluate"]) is np.ndarray and seen["complex"] == 2 + 0j


def test_iteration_and_unpacking():
    def f(x):
        a, b = x
        return sum(a * y for y in b).sum() + len(x)

    g = gv.grad(f)(np.array([[1.0, 2.0], [3.0, 4.0]]))
    np.testing.assert_array_equal(g, [[7.0, 7.0], [3.0, 3.0]])
    with pytest.raises(TypeError, match="without axes"):
        gv.grad(lambda x: len(x))(1.0)


def test_ambiguous_truth_value():
    with pytest.raises(ValueError, match="ambiguous"):
        gv.grad(lambda x: x.sum() if x > 0 else 0.0)(np.ones(3))


def needs_value(x):
    y = x * 2
    if y > 0:  # the line that the error names
        return y
    return -y


LINE = needs_value.__code__.co_firstlineno + 2


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: gv.compile(needs_value)(1.0), "an argument of gv.compile"),
        (lambda: gv.compile(gv.grad(needs_value))(1.0), "an argument of gv.compile"),
        (lambda: gv.vmap(needs_value)(np.ones(3)), "one example of gv.vmap"),
        (
            lambda: gv.scan(lambda c, x: (needs_value(c), None), 1.0, length=3),
            "the carry of gv.scan",
        ),
        (
            lambda: gv.grad(
                lambda x: gv.scan(lambda c, v: (c + needs_value(v), c), x, np.ones(2))[
                    0
                ]
            )(1.0),
            "one step's x of gv.scan",
        ),
        (
            lambda: gv.while_loop(lambda c: c < 3, needs_value, 1.0),
            "the carry of gv.while_loop",
        ),
    ],
)
def test_missing_value_names_the_line(call, what):
    with pytest.raises(TypeError, match="condition") as error:
        call()
    text = str(error.value)
    assert f"test_values.py:{LINE} in needs_value" in text
    assert what in text and "gv.where" in text.replace("ops.", "")


@pytest.mark.parametrize(
    "use", [float, int, bool, lambda x: x.item(), lambda x: x[x > 0], range]
)
def test_compile_refuses_values(use):
    def f(x):
        use(x if use is not range else x.astype("int64"))
        return x

    with pytest.raises(TypeError):
        gv.compile(f)(np.array(1.0) if use is not None else None)


def test_compile_knows_constants():
    def f(x):
        c = gv.grad(lambda y: y**3)(2.0)
        return x if c > 11 else -x

    assert gv.compile(f)(3.0) == 3.0


def test_values_in_checkpointed_code():
    g = gv.grad(gv.checkpoint(lambda x: x**2 if x > 0 else x**3))
    assert g(2.0) == 4.0 and g(-2.0) == 12.0


def test_array_conversion_does_not_cut_the_gradient():
    with pytest.raises(TypeError, match=r"cut the derivative.*np\.stack"):
        gv.grad(lambda x: np.asarray(x).sum())(np.ones(3))
    with pytest.raises(TypeError, match="cut the derivative"):
        gv.grad(lambda x: np.array([x, 2 * x]).sum())(1.0)

    def assigns(x):
        a = np.zeros(3)
        a[0] = x
        return a.sum()

    with pytest.raises((TypeError, ValueError)) as error:
        gv.grad(assigns)(1.0)
    whole = f"{error.value} {error.value.__cause__}"  # NumPy chains its own error
    assert "test_values.py" in whole and "cut the derivative" in whole
    assert (
        gv.grad(lambda x: np.arange(3.0)[np.asarray(x > 0).astype(int)] * x)(2.0) == 1
    )


def test_math_functions_do_not_cut_the_gradient():
    from math import exp

    for f in (lambda x: math.exp(x), lambda x: exp(x) * 2, lambda x: math.log1p(x)):
        if sys.version_info >= (3, 11):
            with pytest.raises(TypeError, match=r"test_values\.py.*cut the derivative"):
                gv.grad(f)(1.0)
    assert gv.grad(lambda x: x * math.exp(float(x)))(1.0) == math.exp(1.0)
    assert gv.grad(lambda x: x * int(x) * float(x))(2.0) == 4.0


def test_plain_arrays_cannot_be_written_into():
    def augmented(x):
        a = np.zeros(3)
        a += x
        return a.sum()

    def out(x):
        return np.add(x, 1.0, out=np.zeros(3)).sum()

    for f in (augmented, out):
        with pytest.raises(TypeError, match=r"test_values\.py.*write a = a \+ x"):
            gv.grad(f)(np.ones(3))


def test_traced_values_cannot_be_assigned_to():
    def f(x):
        x[0] = 0.0
        return x.sum()

    with pytest.raises(TypeError, match=r"assigned.*test_values\.py"):
        gv.grad(f)(np.ones(3))


def test_indexing_a_plain_array_with_a_traced_index():
    table = np.arange(10.0)
    g = gv.grad(lambda x: x * table[(x * 2).astype("int64")])(2.0)
    assert g == 4.0


def test_copies_are_the_value_itself():
    g = gv.grad(lambda x: (copy.copy(x) * copy.deepcopy(x) * x.copy()).sum())
    np.testing.assert_allclose(g(np.array([2.0])), [12.0])
    with pytest.raises(TypeError, match="pickled"):
        gv.grad(lambda x: pickle.dumps(x))(1.0)


# --- leaks ---
def test_leaked_value_is_refused_but_readable():
    kept = []

    def f(x):
        kept.append(x * 2)
        return x

    gv.grad(f)(3.0)
    assert float(kept[0]) == 6.0
    with pytest.raises(TypeError, match="after its transform has ended"):
        kept[0] + 1
    with pytest.raises(TypeError, match="two different traces"):
        gv.grad(lambda x: x * kept[0])(1.0)


def test_traces_of_two_threads_do_not_meet():
    found = []

    def f(x):
        def other():
            try:
                found.append(gv.grad(lambda y: y * x)(1.0))
            except TypeError as error:
                found.append(str(error))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return x

    gv.grad(f)(2.0)
    assert "two different traces" in found[0]


def test_threads_trace_side_by_side():
    results = {}

    def work(k):
        for _ in range(20):
            results[k] = gv.grad(lambda x: (np.sin(k * x) ** 2).sum())(np.ones(5))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for k in range(4):
        np.testing.assert_allclose(
            results[k], np.full(5, k * np.sin(2 * k)), rtol=1e-12
        )


def test_an_error_leaves_no_trace_open():
    with pytest.raises(ZeroDivisionError):
        gv.grad(lambda x: 1 / 0)(1.0)
    assert type(gv.grad(lambda x: x * x)(2.0)) is np.float64


# --- captured arrays ---
def test_captured_array_may_change_while_tracing():
    work = np.zeros(2000)

    def f(x):
        work[:] = 1.0
        y = (x * work).sum()
        work[:] = 10.0
        return y + (x * work).sum()

    np.testing.assert_array_equal(gv.grad(f)(np.ones(2000)), np.full(2000, 11.0))


def test_nothing_is_stale_between_calls():
    scale = np.ones(3)
    g = gv.grad(lambda x: (x * scale).sum())
    np.testing.assert_array_equal(g(np.ones(3)), np.ones(3))
    scale[:] = 5.0
    np.testing.assert_array_equal(g(np.ones(3)), np.full(3, 5.0))


def test_long_loops_on_values_stay_linear():
    """Evaluated values are starting points: each step runs only what is new."""

    def f(x):
        n = 0
        while x < 1e6 and n < 400:
            x = x * 1.01 + 0.1
            n += 1
        graph = x.owner.graph
        begin = graph.frontier([x.id])
        steps.append(len(graph.program(begin, [x.id]).ops))
        return x

    steps = []
    value, g = gv.value_and_grad(f)(1.0)
    x, d = 1.0, 1.0
    for _ in range(400):
        x, d = x * 1.01 + 0.1, d * 1.01
    assert value == pytest.approx(x) and g == pytest.approx(d)
    assert steps[0] <= 2
