"""Loops update their carries in place: the same bits as a loop that does not.

The reference runs the body step by step from Python, each time into fresh memory; a run
in debug mode, which shares no memory, is the second. Working memory is full of NaN.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gradiverse as gv
from gradiverse import _core

UNARY = {
    "sin": np.sin,
    "halve": lambda a: 0.5 * a,
    "tanh": lambda a: np.tanh(a),
    "sums": lambda a: np.tanh(np.cumsum(a, axis=-1)),
    "turn": lambda a: a[..., ::-1],
    "roll": lambda a: np.roll(a, 1, axis=-1),
    "fold": lambda a: a.reshape(-1).reshape(a.shape),
    "mean": lambda a: a - a.mean(),
    "fft": lambda a: np.fft.irfft(np.fft.rfft(a), n=a.shape[-1]),
    "sort": lambda a: np.sort(a, axis=-1),
    "loop": lambda a: gv.scan(lambda c, _: (np.sin(c) + 0.1, None), a, length=2)[0],
    "pair": lambda a: gv.scan(lambda c, _: ((c[1], np.sin(c[0])), None),
                              (a, a * 0.3), length=3)[0][0],
    "twin": lambda a: gv.scan(lambda c, _: ((np.sin(c[0]), 0.9 * c[1]), None),
                              (a, a), length=2)[0][1],
    "held": lambda a: gv.scan(lambda c, _: (np.tanh(c + a), None), a, length=2)[0],
}  # fmt: skip
BINARY = {
    "add": lambda a, b: 0.5 * (a + b),
    "sub": lambda a, b: np.sin(a - b),
    "mul": lambda a, b: a * b,
    "largest": lambda a, b: np.maximum(a, b),
    "where": lambda a, b: np.where(a > 0, a, b),
    "scalar": lambda a, b: a * b.sum() * 0.01,
}


def recipe_of(seed):
    """A random body: how many carries, its operations, what it returns."""
    rng = np.random.default_rng(seed)
    carries = int(rng.integers(1, 5))
    size = carries + 2
    steps = []
    for _ in range(int(rng.integers(0, 9))):
        table = UNARY if rng.random() < 0.5 else BINARY
        steps.append((str(rng.choice(sorted(table))), *rng.integers(0, size, 2)))
        size += 1
    late = max(0, size - 5)  # the last values, or any
    low = late if rng.random() < 0.7 else 0
    new = [int(i) for i in rng.integers(low, size, carries)]
    if rng.random() < 0.3:
        new[0] = carries - 1  # a carry that takes the place of another
    ys = [int(i) for i in rng.integers(0, size, int(rng.integers(0, 3)))]
    return carries, steps, new, ys


def body_of(recipe, captured):
    """The recipe as body(carry, x)."""
    _, steps, new, ys = recipe

    def body(carry, x):
        pool = [*carry, x, captured]
        for name, i, j in steps:
            pool.append(UNARY[name](pool[i]) if name in UNARY
                        else BINARY[name](pool[i], pool[j]))  # fmt: skip
        return tuple(pool[i] for i in new), tuple(pool[i] for i in ys)

    return body


def inputs_of(recipe, seed, shape, dtype, length):
    """Random first carries, xs and a captured value."""
    rng = np.random.default_rng(seed)

    def draw(*lead):
        return rng.uniform(-1, 1, (*lead, *shape)).astype(dtype)

    return tuple(draw() for _ in range(recipe[0])), draw(length), draw()


def by_steps(recipe, init, xs, captured, reverse):
    """The loop in Python, each step into fresh memory."""
    step = gv.compile(lambda c, x, k: body_of(recipe, k)(c, x))
    carry, ys = init, [None] * len(xs)
    order = range(len(xs))
    for t in reversed(order) if reverse else order:
        carry, ys[t] = step(carry, xs[t], captured)
    stacked = [np.stack([y[k] for y in ys]) if ys else None
               for k in range(len(recipe[3]))]  # fmt: skip
    return carry, stacked


def loop(recipe, reverse):
    """The same as one scan."""

    def f(init, xs, captured):
        return gv.scan(body_of(recipe, captured), init, xs, reverse=reverse)

    return f


def same(a, b, what):
    """Same bits, wherever both are given."""
    for x, y in zip(a, b, strict=True):
        if y is not None:
            np.testing.assert_array_equal(np.asarray(x), np.asarray(y), err_msg=what)


@pytest.fixture(autouse=True)
def poisoned_memory():
    _core.set_poison(True)
    yield
    _core.set_poison(False)


@pytest.mark.parametrize("seed", range(150))
def test_random_loops(seed):
    recipe = recipe_of(seed)
    shape = [(6,), (4, 5), (3, 65)][seed % 3]
    dtype = ["float32", "float64"][seed % 2]
    reverse = seed % 5 == 0
    for length in (0, 1, 2, 5):
        args = inputs_of(recipe, seed, shape, dtype, length)
        kept = [a.copy() for a in (*args[0], *args[1:])]
        carry, ys = gv.compile(loop(recipe, reverse))(*args)
        wanted, rows = by_steps(recipe, *args, reverse)
        same(carry, wanted, f"carry after {length}")
        same(ys, rows, f"ys of {length}")
        same((*args[0], *args[1:]), kept, "inputs")


def test_the_random_loops_cover_what_they_should():
    """Among the random bodies: swaps, unchanged carries, one value returned twice, ys
    that are carries."""
    recipes = [recipe_of(seed) for seed in range(150)]
    kept = sum(any(r[2][i] == i for i in range(r[0])) for r in recipes)
    moved = sum(any(r[2][i] < r[0] and r[2][i] != i for i in range(r[0]))
                for r in recipes)  # fmt: skip
    twice = sum(len(set(r[2])) < r[0] for r in recipes)
    shown = sum(any(y < r[0] for y in r[3]) for r in recipes)
    both = sum(bool(set(r[2]) & set(r[3])) for r in recipes)
    assert min(kept, moved, twice, shown, both) >= 10, (kept, moved, twice, shown, both)


@pytest.mark.parametrize("seed", range(60))
def test_random_loops_batched(seed):
    recipe = recipe_of(seed)
    init, xs, captured = inputs_of(recipe, seed, (5,), "float64", 3)
    f = loop(recipe, False)
    rows = [tuple(np.stack([a, -0.5 * a, a + 0.25]) for a in init)]
    rows += [
        np.stack([xs, -xs, 0.5 * xs]),
        np.stack([captured, 0 * captured, captured]),
    ]
    found = gv.compile(gv.vmap(f))(*rows)
    for lane in range(3):
        wanted = gv.compile(f)(tuple(a[lane] for a in rows[0]), rows[1][lane],
                               rows[2][lane])  # fmt: skip
        for a, b in zip((*found[0], *found[1]), (*wanted[0], *wanted[1]), strict=True):
            np.testing.assert_allclose(a[lane], b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("policy", ["store", ("recompute", 2)])
@pytest.mark.parametrize("seed", range(60))
def test_gradients_of_random_loops(seed, policy):
    recipe = recipe_of(seed)
    args = inputs_of(recipe, seed, (2, 5), "float64", 4)

    def loss(init, xs, captured):
        carry, ys = gv.scan(body_of(recipe, captured), init, xs, policy=policy)
        return sum((np.cos(v) * 0.5).sum() for v in (*carry, *ys))

    planned = gv.compile(gv.grad(loss, (0, 1, 2)))(*args)
    _core.set_poison(False)
    with gv.debug():
        apart = gv.compile(gv.grad(loss, (0, 1, 2)))(*args)
    # element-wise passes and node-by-node runs may round differently
    for a, b in zip((*planned[0], *planned[1:]), (*apart[0], *apart[1:]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


# --- calls ----------------------------------------------------------------------------


def chain_of(seed, wrap):
    """Functions of two values in a random chain, each wrapped."""
    rng = np.random.default_rng(seed)
    links = []
    for _ in range(6):
        names = [str(n) for n in rng.choice(sorted(UNARY), 2)]
        join = str(rng.choice(sorted(BINARY)))
        links.append((names, join, *rng.integers(0, 9, 2)))
    last = rng.integers(0, 6, 2)

    def f(a, b):
        pool = [np.sin(a), b * a]  # temporaries, which may be written over
        for (first, second), join, i, j in links:

            @wrap
            def link(x, y, first=first, second=second, join=join):
                return BINARY[join](UNARY[first](x), UNARY[second](y))

            pool.append(link(pool[i % len(pool)], pool[j % len(pool)]))
        return pool[-1], pool[last[0] + 2], pool[last[1]] * 1.0

    return f


@pytest.mark.parametrize("seed", range(60))
def test_called_functions_write_over_dead_inputs_only(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-1, 1, (2, 4, 6))
    wanted = gv.compile(chain_of(seed, lambda f: f))(a, b)
    found = gv.compile(chain_of(seed, gv.checkpoint))(a, b)
    for x, y in zip(found, wanted, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-13)

    def loss(f):
        return lambda a, b: sum(np.cos(v).sum() for v in f(a, b))

    plain = gv.grad(loss(chain_of(seed, lambda f: f)), (0, 1))
    again = gv.grad(loss(chain_of(seed, gv.checkpoint)), (0, 1))
    for x, y in zip(gv.compile(again)(a, b), gv.compile(plain)(a, b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-11)


# --- reversible loops -----------------------------------------------------------------

SCALE = 2.0**-16


def orbit(policy, length=4):
    """(x, p) with exact inverses, a carry that sums, one that is handed on."""

    def force(x, k):
        return np.tanh(k * np.cumsum(gv.dequantize(x, SCALE), axis=-1))

    def step(c, h):
        x, p, total, k = c
        x = x + gv.quantize(h * gv.dequantize(p, SCALE), SCALE)
        p = p - gv.quantize(h * force(x, k), SCALE)
        total = total + np.sin(gv.dequantize(x, SCALE)) * k
        return (x, p, total, k), gv.dequantize(p, SCALE).sum()

    def back(c, h):
        x, p, total, k = c
        p = p + gv.quantize(h * force(x, k), SCALE)
        x = x - gv.quantize(h * gv.dequantize(p, SCALE), SCALE)
        return x, p, total, k

    def loss(x, k, h):
        c = gv.quantize(x, SCALE), gv.quantize(0.5 * x, SCALE), 0 * x, k
        extra = {"inverse": back} if policy == "reversible" else {}
        (x, _, total, k), ys = gv.scan(step, c, h * np.ones(length), policy=policy,
                                       **extra)  # fmt: skip
        return (total**2).sum() + gv.dequantize(x, SCALE).sum() + (k * ys.sum()).sum()

    return loss


@pytest.mark.parametrize("length", [1, 2, 5])
def test_reversible_loop_with_a_sum_and_a_constant(length):
    x = np.random.default_rng(1).normal(size=(3, 7))
    args = x, 0.3 + 0 * x, np.float64(0.1)
    store = gv.compile(gv.value_and_grad(orbit("store", length), (0, 1, 2)))(*args)
    undone = gv.compile(gv.value_and_grad(orbit("reversible", length), (0, 1, 2)))(
        *args
    )
    assert store[0] == undone[0]
    for a, b in zip(undone[1], store[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
    rows = [np.stack([v, 0.5 * v]) for v in args[:2]]
    batched = gv.vmap(gv.grad(orbit("reversible", length), (0, 1, 2)), (0, 0, None))
    lanes = gv.compile(batched)(*rows, args[2])
    for a, b in zip(lanes, undone[1], strict=True):
        np.testing.assert_allclose(a[0], b, rtol=1e-12, atol=1e-13)


def test_every_failing_allocation_in_a_loop_is_reported():
    x = np.random.default_rng(1).normal(size=(3, 7))
    args = x, 0.3 + 0 * x, np.float64(0.1)

    def work():
        _core.plan_cache_clear()
        return gv.compile(gv.grad(orbit("reversible")))(*args)

    wanted, failures, k = work(), 0, 1
    while True:
        _core.alloc_fail_after(k)
        try:
            got = work()
        except MemoryError:
            failures += 1
        else:
            break
        finally:
            _core.alloc_fail_after(0)
        k += 1 + k // 60
    assert failures > 100
    np.testing.assert_array_equal(got, wanted)


def test_a_loop_in_place_can_be_interrupted():
    """Ctrl-C is noticed between two steps."""
    code = """
import _thread, signal, threading, numpy as np, gradiverse as gv
signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored
f = gv.compile(lambda x: gv.scan(lambda c, _: (np.sin(c), None), x, length=10**6)[0])
threading.Timer(0.5, _thread.interrupt_main).start()
try:
    f(np.ones(200_000))
except KeyboardInterrupt:
    print("interrupted")
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                         timeout=60)  # fmt: skip
    assert run.stdout.strip() == "interrupted", run.stderr


# --- memory ---------------------------------------------------------------------------

N = 100_000
ARRAY = np.zeros(N, np.float32)


def arrays(f, *args):
    """Peak of a plan in arrays of N float32."""
    return gv.compile(f).plan(*args).peak_bytes / ARRAY.nbytes


def leapfrog(length=5):
    """A loss of x through a reversible loop with element-wise steps."""

    def step(c, _):
        x, p = c
        x = x + gv.quantize(0.1 * gv.dequantize(p, SCALE), SCALE)
        return (x, p + gv.quantize(0.1 * np.sin(gv.dequantize(x, SCALE)), SCALE)), None

    def back(c, _):
        x, p = c
        p = p - gv.quantize(0.1 * np.sin(gv.dequantize(x, SCALE)), SCALE)
        return x - gv.quantize(0.1 * gv.dequantize(p, SCALE), SCALE), p

    def loss(z):
        c = gv.quantize(z, SCALE), gv.quantize(0 * z, SCALE)
        (x, _), _ = gv.scan(step, c, length=length, policy="reversible", inverse=back)
        return (gv.dequantize(x, SCALE) ** 2).sum()

    return loss


def test_loops_hold_one_copy_of_their_carries():
    def once(x):
        return gv.scan(lambda c, _: (np.sin(c) * c, None), x, length=5)[0]

    def pair(x):
        c, _ = gv.scan(lambda c, _: ((c[0] * c[1], np.sin(c[1])), None),
                       (x, 2 * x), length=5)  # fmt: skip
        return c[0].sum() + c[1].sum()

    assert arrays(once, ARRAY) < 1.1  # the result
    assert arrays(lambda x: once(2 * x).sum(), ARRAY) < 1.1
    assert arrays(pair, ARRAY) < 3.1  # and the copy of an argument
    # x, p and room for the rounded increments and their floats
    assert arrays(leapfrog(), ARRAY) < 4.1
    # x, p, their cotangents and two of these
    assert arrays(gv.grad(leapfrog()), ARRAY) < 6.1


def test_carries_that_cannot_share_are_held_twice():
    def swap(x):
        c, _ = gv.scan(lambda c, _: ((c[1], c[0]), None), (x * 2, x * 3), length=5)
        return c[0].sum() - 2 * c[1].sum()

    assert 2.9 < arrays(swap, ARRAY) < 4.1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="its own memory")
def test_resident_memory_follows_the_plan():
    code = """
import resource, numpy as np, gradiverse as gv
from tests.engine.test_inplace import leapfrog
x = np.zeros(8_000_000, np.float32)
g = gv.compile(gv.grad(leapfrog()))
g(x[:1000])
before = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
g(x)
status = open("/proc/self/status").read()  # ru_maxrss counts the parent before exec
most = 1024 * int(status.split("VmHWM:")[1].split()[0])
print((most - before) / x.nbytes)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                         cwd=Path(__file__).parents[2])  # fmt: skip
    assert 3 < float(run.stdout) < 6.5, run.stderr
