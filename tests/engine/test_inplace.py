"""Loops update their carries in place: the same bits as a loop that does not.

The reference runs the body step by step from Python, each time into fresh memory; a run
in debug mode, which shares no memory, is the second. Working memory is full of NaN.
"""

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
