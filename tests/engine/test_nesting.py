"""Every structure inside every other: derivatives against differences."""

import itertools

import numpy as np
import pytest

import gradiverse as gv

X = np.array([0.3, -1.2, 2.0])
W = 0.7


def plain(f):
    return f


def scanned(f):
    def g(x, w):
        c, ys = gv.scan(lambda c, v: (f(c + v, w), c.sum()), x, np.ones((3, 3)) * 0.1)
        return c + ys.sum()

    return g


def recomputed(f):
    def g(x, w):
        policy = ("recompute", 2)
        return gv.scan(lambda c, _: (f(c, w), None), x, length=5, policy=policy)[0]

    return g


def batched(f):
    def g(x, w):
        rows = x * np.arange(1.0, 3.0)[:, None]
        return gv.vmap(f, in_axes=(0, None))(rows, w).sum(axis=0)

    return g


def branched(f):
    def g(x, w):
        return gv.cond(x[0] * w > 0.05, lambda x: f(x, w), lambda x: f(-x, 2 * w), x)

    return g


def checkpointed(f):
    return gv.checkpoint(f)


def differentiated(f):
    return lambda x, w: gv.grad(lambda x: (f(x, w) ** 2).sum())(x)


def tangent(f):
    return lambda x, w: gv.jvp(lambda x: f(x, w), (x,), (np.cos(x),))[1]


def pulled(f):
    return lambda x, w: gv.vjp(lambda x: f(x, w), x)[1](np.sin(x))[0]


def customised(f):
    def forward(x, w):
        out, pullback = f(x, w), (x, w)
        return out, pullback

    def backward(res, g):
        return gv.vjp(f, *res)[1](g)

    return gv.custom_vjp(f, forward, backward)


def jacobian(f):
    return lambda x, w: gv.jacobian(f)(x, w) @ np.ones(3)


def complexified(f):
    def g(x, w):
        z = x * np.exp(1j * w)
        return f(np.tanh((z * np.conj(z)).real), w) + 0.1 * np.sin((z**2).imag)

    return g


WRAPS = [
    plain,
    scanned,
    recomputed,
    batched,
    branched,
    checkpointed,
    differentiated,
    tangent,
    pulled,
    customised,
    jacobian,
    complexified,
]


def base(x, w):
    return np.sin(x * w) + 0.1 * np.tanh(x * x[::-1])


def directional(f, args, seed=0):
    """Of a random projection u of f along d: (by reverse mode, d, u, by differences,
    what the Richardson step changed)."""
    rng = np.random.default_rng(seed)
    out = f(*args)
    u = rng.normal(size=np.shape(out))
    d = [rng.normal(size=np.shape(a)) for a in args]
    d = [x / np.sqrt(sum((y**2).sum() for y in d)) for x in d]

    def along(t):
        moved = [a + t * x for a, x in zip(args, d, strict=True)]
        return (np.asarray(f(*moved)) * u).sum()

    h = 2e-3
    one = (along(h) - along(-h)) / (2 * h)
    two = (along(h / 2) - along(-h / 2)) / h
    grads = gv.vjp(f, *args)[1](u)
    reverse = sum((g * x).sum() for g, x in zip(grads, d, strict=True))
    return reverse, d, u, (4 * two - one) / 3, abs(two - one)


@pytest.mark.parametrize(
    ("outer", "inner"),
    list(itertools.product(WRAPS, WRAPS)),
    ids=lambda f: f.__name__,
)
def test_pairs(outer, inner):
    f = outer(inner(base))
    args = X, W
    compiled = gv.compile(f)(*args)
    np.testing.assert_allclose(compiled, f(*args), rtol=1e-12, atol=1e-14)
    reverse, d, u, wanted, change = directional(f, args)
    tolerance = 1e-8 * (1 + abs(wanted)) + 0.1 * change
    assert abs(reverse - wanted) < tolerance
    reverse_compiled = gv.compile(lambda x, w: gv.vjp(f, x, w)[1](u))(*args)
    got = sum((g * x).sum() for g, x in zip(reverse_compiled, d, strict=True))
    assert abs(got - wanted) < tolerance
    forward = (gv.jvp(f, args, tuple(d))[1] * u).sum()
    assert abs(forward - wanted) < tolerance


@pytest.mark.parametrize(
    "wraps",
    list(itertools.permutations(WRAPS[1:], 3))[::11],
    ids=lambda c: "-".join(f.__name__ for f in c),
)
def test_triples(wraps):
    f = base
    for wrap in wraps:
        f = wrap(f)
    args = X, W
    reverse, d, u, wanted, change = directional(f, args)
    tolerance = 1e-7 * (1 + abs(wanted)) + 0.2 * change
    assert abs(reverse - wanted) < tolerance
    forward = (gv.compile(lambda *a: gv.jvp(f, a, tuple(d))[1])(*args) * u).sum()
    assert abs(forward - wanted) < tolerance
