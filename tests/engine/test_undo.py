"""Steps that take themselves back: a reversible loop computes each force once.

The backward body holds the inverse step and, for the derivative, the same step forth;
the planner lets the second use what the first has computed. FFTs are counted: the
force makes two (there and back), its derivative two more.
"""

import numpy as np
import pytest

import gradiverse as gv
from gradiverse import _core
from gradiverse.graph import emit

SCALE = 2.0**-16
STEPS = 5


def force(x):
    """Two FFTs, and two more for its derivative, which needs the first two as well."""
    k = np.fft.rfft(np.sin(x))
    filter_ = np.exp(-np.arange(k.shape[-1], dtype=np.float32))
    return np.tanh(np.fft.irfft(k * filter_, n=x.shape[-1]))


def plain_kick(p, x, sign):
    """Sums of quantised values."""
    dp = gv.quantize(0.1 * force(gv.dequantize(x, SCALE)), SCALE)
    return p + dp if sign > 0 else p - dp


def plain_drift(x, p, sign):
    """The same for positions."""
    dx = gv.quantize(0.1 * gv.dequantize(p, SCALE), SCALE)
    return dx + x if sign > 0 else x - dx


BOX = {"lattice": (8, 1, 1), "mesh": (1, 1, 1), "lx": 1.0, "ly": 1.0, "lz": 1.0}
UNIT = np.array([SCALE, SCALE])


def flagged_drift(x, p, sign):
    """An operator with a sign."""
    return emit("pm_drift", [x, p, UNIT, 0.1], **BOX, sign=sign)


def leap(kick, drift):
    """Drift, kick, drift and what undoes them."""

    def step(c, _):
        x, p = c
        x = drift(x, p, 1)
        p = kick(p, x, 1)
        return (drift(x, p, 1), p), None

    def back(c, _):
        x, p = c
        x = drift(x, p, -1)
        p = kick(p, x, -1)
        return drift(x, p, -1), p

    return step, back


def loss_of(drift, policy="reversible", scale=SCALE):
    """A function of start positions, through a loop."""
    step, back = leap(plain_kick, drift)
    how = {"policy": policy, **({"inverse": back} if policy == "reversible" else {})}

    def loss(x):
        c = gv.quantize(x, scale), gv.quantize(0 * x, scale)
        (x, p), _ = gv.scan(step, c, length=STEPS, **how)
        return (gv.dequantize(x, scale) ** 2).sum() + gv.dequantize(p, scale).sum()

    return loss


X = np.random.default_rng(3).normal(size=(3, 8)).astype(np.float32)


def ffts(f):
    """FFTs in one run of a compiled function."""
    f(X)
    before = _core.fft_count()
    f(X)
    return _core.fft_count() - before


@pytest.mark.parametrize("drift", [plain_drift, flagged_drift])
def test_backward_step_shares_the_force_of_the_inverse(drift):
    forward = ffts(gv.compile(loss_of(drift)))
    gradient = gv.compile(gv.grad(loss_of(drift)))
    assert forward == STEPS * 2 * 3  # three lines a transform
    assert ffts(gradient) == STEPS * (2 + 4) * 3


@pytest.mark.parametrize("drift", [plain_drift, flagged_drift])
def test_reversible_gradient_is_the_stored_one_bit_for_bit(drift):
    a, da = gv.value_and_grad(loss_of(drift, "store"))(X)
    b, db = gv.value_and_grad(loss_of(drift))(X)
    assert a == b
    np.testing.assert_array_equal(da, db)


def operators(f, *args):
    """Names of the instructions of a compiled function."""
    return list(gv.compile(f).plan(*args).ops)


def drifts(f):
    """Drifts that the plan of f(x, p) holds, with x and p fixed point."""

    def whole(x, p):
        return gv.dequantize(f(gv.quantize(x, SCALE), gv.quantize(p, SCALE)), SCALE)

    return sum("pm_drift" in op for op in operators(whole, X, X))


def test_only_exact_inverses_collapse():
    def move(x, p, sign=1, d=0.1, **box):
        return emit("pm_drift", [x, p, UNIT, d], **{**BOX, **box}, sign=sign)

    assert drifts(move) == 1
    assert drifts(lambda x, p: move(move(x, p), p, -1)) == 0
    assert drifts(lambda x, p: move(move(x, p, -1), p, 1)) == 0
    assert drifts(lambda x, p: move(move(move(x, p), p, -1), p, -1)) == 1
    assert drifts(lambda x, p: move(move(x, p), p)) == 2
    assert drifts(lambda x, p: move(move(x, p), x, -1)) == 2
    assert drifts(lambda x, p: move(move(x, p), p, -1, d=0.2)) == 2
    assert drifts(lambda x, p: move(move(x, p), p, -1, lx=2.0)) == 2
    assert drifts(lambda x, p: move(p, move(x, p), -1)) == 2


@pytest.mark.parametrize("seed", range(20))
def test_collapsed_chains_keep_their_values(seed):
    """Random chains of sums, differences and drifts, in both directions, in NumPy."""

    def f(a, b):
        rng = np.random.default_rng(seed)
        pool = [gv.quantize(a, SCALE), gv.quantize(b, SCALE)]
        for _ in range(16):
            kind, sign = rng.integers(3), int(rng.choice([-1, 1]))
            i, j = rng.integers(max(0, len(pool) - 4), len(pool), 2)
            x, y = pool[i], pool[j]
            if kind == 0:
                pool.append(flagged_drift(x, y, sign))
            else:
                pool.append(x + y if sign > 0 else x - y)
        return tuple(gv.dequantize(v, SCALE) for v in pool[-3:])

    wanted = by_numpy(np.random.default_rng(seed))
    for a, b in zip(gv.compile(f)(X, 0.1 * X), wanted, strict=True):
        np.testing.assert_array_equal(a, b)


def by_numpy(rng):
    """The random chain in NumPy."""
    pool = [np.rint(v.astype(float) / SCALE).astype(np.int32) for v in (X, X * 0.1)]
    for _ in range(16):
        kind, sign = rng.integers(3), int(rng.choice([-1, 1]))
        i, j = rng.integers(max(0, len(pool) - 4), len(pool), 2)
        x, y = pool[i], pool[j]
        if kind == 0:
            pool.append(x + sign * np.rint(y * 0.1).astype(np.int32))
        else:
            pool.append(x + sign * y)
    return tuple((v * SCALE).astype(np.float32) for v in pool[-3:])
