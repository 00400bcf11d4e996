"""Cases in which results were once wrong or misleading."""

import gc
import weakref
from dataclasses import dataclass

import numpy as np
import pytest

import gradiverse as gv

X3 = np.array([0.3, -0.7, 1.2])
STEPS = np.random.default_rng(0).normal(size=(4, 3))


def leap(state, x, k):
    """One step whose inverse uses the slice and a value from outside."""
    q, p = state
    return (q + np.sin(p) * k, p + k * x), q * x


def leap_back(state, x, k):
    q, p = state
    p = p - k * x
    return q - np.sin(p) * k, p


def leaps(policy, reverse=False):
    kw = {"inverse": None}

    def loss(q, xs, k):
        if policy == "reversible":
            kw["inverse"] = lambda c, x: leap_back(c, x, k)
        (q, p), ys = gv.scan(
            lambda c, x: leap(c, x, k),
            (q, 2.0 * q),
            xs,
            policy=policy,
            reverse=reverse,
            **kw,
        )
        return (q**2).sum() + (q * p).sum() + (ys**3).sum()

    return loss


@pytest.mark.parametrize("reverse", [False, True])
def test_reversible_scan_differentiates_slices_and_captured_values(reverse):
    """The inverse's own use of them must not cancel their cotangents."""
    args = X3, STEPS, 0.7
    want = gv.grad(leaps("store", reverse), argnums=(0, 1, 2))(*args)
    assert all(np.all(np.abs(w) > 1e-6) for w in want)
    loss = leaps("reversible", reverse)
    for transform in (gv.grad, lambda *a, **k: gv.compile(gv.grad(*a, **k))):
        got = transform(loss, argnums=(0, 1, 2))(*args)
        for g, w in zip(got, want, strict=True):
            np.testing.assert_allclose(g, w, rtol=1e-12, atol=1e-13)
    gv.testing.check_grads(loss, args, order=2)


def test_reversible_scan_in_a_batch_differentiates_slices():
    many = np.stack([STEPS, 2 * STEPS])
    got = gv.vmap(gv.grad(leaps("reversible"), argnums=(1, 2)), (None, 0, None))(
        X3, many, 0.7
    )
    for i, xs in enumerate(many):
        want = gv.grad(leaps("store"), argnums=(1, 2))(X3, xs, 0.7)
        for g, w in zip(got, want, strict=True):
            np.testing.assert_allclose(g[i], w, rtol=1e-12, atol=1e-13)


def test_reversible_quantised_scan_gives_the_stored_gradients():
    unit = 1e-6

    def step(c, x):
        kick = gv.quantize(np.sin(gv.dequantize(c[1], unit)), unit)
        return (c[0] + kick, c[1] + gv.quantize(x, unit), c[2] + 1), None

    def back(c, x):
        p = c[1] - gv.quantize(x, unit)
        kick = gv.quantize(np.sin(gv.dequantize(p, unit)), unit)
        return c[0] - kick, p, c[2] - 1

    def loss(q, xs, policy, inverse=None):
        init = gv.quantize(q, unit), gv.quantize(2 * q, unit), 0
        c, _ = gv.scan(step, init, xs, policy=policy, inverse=inverse)
        return (gv.dequantize(c[0], unit) ** 2).sum() * c[2]

    want = gv.grad(loss, (0, 1))(X3, STEPS, "store")
    got = gv.grad(loss, (0, 1))(X3, STEPS, "reversible", back)
    for g, w in zip(got, want, strict=True):
        np.testing.assert_array_equal(g, w)


def test_external_outside_a_trace_shares_no_memory():
    x = np.arange(3.0)
    same = gv.external(lambda x: x)(x)
    twice = gv.external(lambda x: (x, x), out=lambda s: (s, s))(x)
    arrays = [x, same, *twice]
    for k, a in enumerate(arrays):
        assert not any(np.shares_memory(a, b) for b in arrays[:k])


@pytest.mark.parametrize("wrap", [lambda f: f, gv.compile])
def test_external_may_declare_any_dtype_that_arrays_may_have(wrap):
    def half(spec):
        return gv.custom.Spec(spec.shape, np.float16)

    out = wrap(gv.external(lambda x: x.astype("f2"), out=half))(X3)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, X3.astype("f2"))

    def text(spec):
        return gv.custom.Spec(spec.shape, np.dtype("U3"))

    with pytest.raises(TypeError, match="<U3 cannot be traced"):
        wrap(gv.external(lambda x: x, out=text))(X3)


@gv.register_dataclass
@dataclass
class Pair:
    a: object
    b: object


def test_axes_of_vmap_may_be_given_in_a_dataclass():
    def f(p):
        return Pair(p.a * p.b, p.a)

    p = Pair(np.arange(3.0), 2.0)
    out = gv.vmap(f, in_axes=(Pair(0, None),), out_axes=Pair(0, 0))(p)
    np.testing.assert_array_equal(out.a, 2 * p.a)
    np.testing.assert_array_equal(out.b, p.a)
    with pytest.raises(ValueError, match="a Pair for a tuple"):
        gv.vmap(lambda p: p[0], in_axes=(Pair(0, None),))((p.a, p.b))


def test_arrays_that_cannot_be_arguments_are_named_by_dtype():
    f = gv.compile(lambda x, y: x)
    with pytest.raises(TypeError, match=r"argument\[1\] is an array of dtype object"):
        f(1.0, np.array([1, None], object))
    with pytest.raises(TypeError, match="not hashable; leave it out of static_argnums"):
        gv.compile(lambda x, y: x, static_argnums=1)(1.0, np.zeros(2))


def test_plain_array_indexed_in_a_loop_names_take():
    table = np.arange(4.0)
    with pytest.raises(TypeError, match=r"gv\.ops\.take\(a, i, axis=0\)"):
        gv.scan(lambda c, i: (c + table[i], None), 0.0, np.arange(4))

    def looped(t):
        return gv.scan(
            lambda c, i: (c + gv.ops.take(t, i, axis=0), None), 0.0, np.arange(4)
        )[0]

    assert looped(table) == 6.0
    np.testing.assert_array_equal(gv.grad(looped)(table), np.ones(4))


def doubled(seen):
    """An external function made anew at each call, and a pullback and a program."""

    def double(x):
        return 2 * x

    seen.append(weakref.ref(double))
    node = gv.external(double, vjp=lambda args, out, g: (2 * g,))
    gv.grad(lambda x: node(x).sum())(X3)
    _, pullback = gv.vjp(node, X3)
    return pullback, gv.compile(lambda x: gv.vmap(node)(x) + 1)


def test_external_functions_are_freed_with_what_uses_them():
    seen = []
    for _ in range(5):
        pullback, run = doubled(seen)
        gc.collect()
        np.testing.assert_array_equal(pullback(X3)[0], 2 * X3)
        np.testing.assert_array_equal(run(X3), 2 * X3 + 1)
        np.testing.assert_array_equal(gv.compile(pullback)(X3)[0], 2 * X3)
        assert seen[-1]() is not None
    del pullback, run
    gc.collect()
    assert [ref() for ref in seen] == [None] * 5
