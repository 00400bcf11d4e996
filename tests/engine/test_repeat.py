"""Steps that run many times in C, against Python loops."""

import numpy as np
import pytest

import gradiverse as gv
from gradiverse import _core
from gradiverse._repeat import Repeat, as_arrays


def _loop(f, carry, xs, fixed, n, seconds=0.0):
    """Carry and ys after n steps by Repeat, in slices."""
    leaves, tree = as_arrays(carry, "carry", copy=True)
    step = Repeat(f, tree.unflatten(leaves), xs, fixed, "test")
    ys, at = step.room(n), 0
    while at < n:
        at = step.run(leaves, xs, fixed, ys, at, seconds)
    return tree.unflatten(leaves), ys, step


def _check(f, carry, xs, fixed, n):
    """Oracle: the same function step by step on values."""
    for seconds in (0.0, 1e-9):
        found, ys, step = _loop(f, carry, xs, fixed, n, seconds)
        state, outs = carry, []
        for t in range(n):
            x = gv.map_leaves(lambda a, t=t: np.asarray(a[t]), xs)
            run = gv.compile(f)
            state, y = run(gv.map_leaves(np.asarray, state), x, fixed)
            outs.append(y)
        for a, b in zip(gv.flatten(found)[0], gv.flatten(state)[0], strict=True):
            np.testing.assert_array_equal(a, b)
        for k, y in enumerate(ys):
            wanted = np.reshape([o[k] for o in outs], y.shape)
            np.testing.assert_array_equal(y, wanted)
    return step


@pytest.mark.smoke
@pytest.mark.parametrize("n", [0, 1, 2, 5, 6])
def test_carries_of_every_kind(n):
    """Updated in place, exchanged (needs room of its own), unchanged, and scalar."""

    def f(carry, x, fixed):
        a, b, c, k, s = carry
        up = s * 0.5 + x["u"]
        return (a * 0.5 + fixed, c, b + a.sum(), k, up), (a.max(), b[:2] * x["v"])

    rng = np.random.default_rng(0)
    carry = (rng.normal(size=9), np.zeros(4), np.ones(4), rng.normal(size=3), 2.0)
    xs = {"u": rng.normal(size=n), "v": rng.normal(size=(n, 2))}
    _check(f, carry, xs, rng.normal(size=9), n)


def test_outside_arrays_are_constants():
    """Large arrays of the closure come along."""
    table = np.arange(3000.0)

    def f(carry, x, fixed):
        return carry + gv.ops.take(table, x, axis=0) * fixed, (carry,)

    _check(f, np.zeros(()), np.arange(5), np.asarray(2.0), 5)


def test_in_debug_mode():
    """Node by node, nothing in place: the same numbers; NaN names its line."""
    with gv.debug():
        _check(
            lambda c, x, k: ((c[1] * k, c[0] + x), (x,)),
            (np.ones(3), np.zeros(3)),
            np.arange(4.0),
            np.asarray(0.5),
            4,
        )
        with pytest.raises(FloatingPointError, match="NaN made by log"):
            _loop(lambda c, x, k: (np.log(c + x), ()), -1.0, np.zeros(2), (), 2)


def test_large_carries_are_not_copied():
    """A step that updates one array in place needs no room for another."""

    def f(carry, x, fixed):
        return carry * 0.99 + x, ()

    big = np.zeros(1 << 20)
    step = Repeat(f, big, np.zeros(1), (), "test")
    assert step.program.arena_bytes < 4096 and "copy" not in step.program.ops


def test_a_step_that_changes_the_carry_is_refused():
    """Structure, shape, dtype: the leaf is named."""
    x = np.zeros(2)
    for f, text in (
        (lambda c, x, k: ({"b": c["a"]}, ()), "it was given"),
        (lambda c, x, k: ({"a": c["a"][:2]}, ()), r"shape of \['a'\]"),
        (lambda c, x, k: ({"a": c["a"].astype("float32")}, ()), r"dtype of \['a'\]"),
    ):
        with pytest.raises(TypeError, match=text):
            Repeat(f, {"a": np.zeros(3)}, x, (), "test")


def test_bad_lists():
    """The C border checks what it is given."""
    step = Repeat(lambda c, x, k: (c + x, (c,)), np.zeros(3), np.zeros(2), (), "test")
    run = step.program.repeat
    xs, ys, carry = [np.zeros(2)], step.room(2), [np.zeros(3)]
    assert run(carry, xs, [], ys, 2, 0, 0.0) == 2
    frozen = np.zeros(3)
    frozen.flags.writeable = False
    for bad in (
        ([frozen], xs, [], ys, 2, 0, 0.0),
        ([np.zeros(4)], xs, [], ys, 2, 0, 0.0),
        ([np.zeros(3, np.float32)], xs, [], ys, 2, 0, 0.0),
        (carry, [np.zeros(3)], [], ys, 2, 0, 0.0),
        (carry, xs, [], [np.zeros((3, 3))], 2, 0, 0.0),
    ):
        with pytest.raises(TypeError, match=r"repeat"):
            run(*bad)
    for bad in ((carry, xs, [xs[0]], ys, 2, 0, 0.0), (carry, xs, [], ys, 2, -1, 0.0)):
        with pytest.raises(ValueError, match="do not fit"):
            run(*bad)
    plain = gv.compile(lambda x: x + 1).plan(np.zeros(2))._program
    with pytest.raises(ValueError, match="planned with n_carry"):
        plain.repeat([], [], [np.zeros(2)], [np.zeros((1, 2))], 1, 0, 0.0)


def test_every_failing_allocation_is_reported():
    """MemoryError, never a crash, and the next run is right."""

    def work():
        found, ys, _ = _loop(
            lambda c, x, k: ((c[1], c[0] + x), (c[0].sum(),)),
            (np.ones(70000), np.zeros(70000)),
            np.arange(3.0),
            (),
            3,
        )
        return found, ys

    wanted = work()
    k, failed = 1, True
    while failed:
        _core.alloc_fail_after(k)
        try:
            work()
            failed = False
        except MemoryError:
            k += 1
        finally:
            _core.alloc_fail_after(0)
        assert k < 5000
    assert k > 10
    again = work()
    for a, b in zip(gv.flatten(wanted)[0], gv.flatten(again)[0], strict=True):
        np.testing.assert_array_equal(a, b)
