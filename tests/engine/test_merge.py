"""Sibling nodes that read the same data run as one, where neither needs the other.

The reference is debug mode, which runs node by node and merges nothing.
"""

import numpy as np
import pytest

import gradiverse as gv
from gradiverse import _core
from gradiverse.graph import emit

N = (6, 5, 7)
BOX = {"lattice": N, "mesh": (8, 8, 8), "lx": 9.0, "ly": 8.0, "lz": 10.0}
QUANTUM = 2.0**-20
UNIT = np.array([QUANTUM, QUANTUM])
STEP = np.full(3, QUANTUM)
rng = np.random.default_rng(7)
PHI, OTHER = (rng.normal(size=(8, 8, 8)).astype(np.float32) for _ in range(2))
X, P, V, W = (rng.normal(size=(3, 210)).astype(np.float32) for _ in range(4))


def pack(a):
    """Fixed point."""
    return emit("fixed_pack", (a, STEP))


def unpack(q):
    """Floats."""
    return emit("fixed_unpack", (q, STEP))


def kick(p, phi, x, kappa=0.5, sign=-1, **box):
    """p in floats -> p in floats."""
    attrs = {**BOX, **box}
    return unpack(emit("pm_kick", (pack(p), phi, x, UNIT, kappa), **attrs, sign=sign))


def tidal(phi, x, v, scale=0.7, unit=UNIT):
    """(u, dot)"""
    return emit("pm_tidal", (phi, x, unit, v, scale), **BOX)


def both(f, *args):
    """(results, operators) as planned, and the results in debug mode."""
    planned = gv.compile(f)
    found = planned(*args), list(planned.plan(*args).ops)
    before = _core.set_debug(True)
    try:
        node_by_node = gv.compile(f)
        plain = node_by_node(*args)
        assert "pm_kick_tidal" not in node_by_node.plan(*args).ops
    finally:
        _core.set_debug(before)
    return *found, plain


def counts(ops):
    """How many kicks, tidal reads and both at once."""
    return tuple(ops.count(n) for n in ("pm_kick", "pm_tidal", "pm_kick_tidal"))


def same(a, b):
    """Bit for bit."""
    for x, y in zip(gv.flatten(a)[0], gv.flatten(b)[0], strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.smoke
@pytest.mark.parametrize("first", ["kick", "tidal"])
@pytest.mark.parametrize("sign", [1, -1])
def test_merged_has_the_bits_of_both(first, sign):
    def f(p, phi, x, v, kappa, scale):
        x = pack(x)
        if first == "kick":
            p = kick(p, phi, x, kappa, sign)
        u = tidal(phi, x, v, scale)
        return (p if first == "kick" else kick(p, phi, x, kappa, sign)), u

    found, ops, plain = both(f, P, PHI, X, V, 0.3, -1.1)
    assert counts(ops) == (0, 0, 1)
    same(found, plain)


def after_kick(p, phi, x, v):
    """v from the kick."""
    x, p = pack(x), kick(p, phi, pack(x))
    return p, tidal(phi, x, np.sin(p) + v)


def after_tidal(p, phi, x, v):
    """p from u."""
    x = pack(x)
    u, dot = tidal(phi, x, v)
    return kick(p + np.cumsum(u, axis=1), phi, x), dot


def scaled_by_dot(p, phi, x, v):
    """kappa from dot."""
    x = pack(x)
    u, dot = tidal(phi, x, v)
    return kick(p, phi, x, kappa=np.tanh(dot)), u


def far_away(p, phi, x, v):
    """v from the kick, through a loop."""
    x, p = pack(x), kick(p, phi, pack(x))
    last, _ = gv.scan(lambda c, _: (np.sin(c), None), p, length=3)
    return tidal(phi, x, v * last.sum()), p


def other_field(p, phi, x, v):
    """Another potential."""
    x = pack(x)
    return kick(p, phi, x), tidal(phi * phi, x, v)


def other_place(p, phi, x, v):
    """Other positions."""
    return kick(p, phi, pack(x)), tidal(phi, pack(x + 0.25), v)


def other_box(p, phi, x, v):
    """Another grid."""
    x = pack(x)
    return kick(p, phi, x, lx=10.0), tidal(phi, x, v)


@pytest.mark.parametrize(
    "f",
    [after_kick, after_tidal, scaled_by_dot, far_away, other_field, other_place,
     other_box],
)  # fmt: skip
def test_apart_where_one_needs_the_other_or_the_data_differ(f):
    found, ops, plain = both(f, P, PHI, X, V)
    assert counts(ops) == (1, 1, 0)
    same(found, plain)


def test_two_pairs():
    def f(p, phi, x, v, w):
        x = pack(x)
        one, two = kick(p, phi, x, 0.5), kick(w, phi, x, 0.25)
        return one, two, tidal(phi, x, v), tidal(phi, x, w)

    found, ops, plain = both(f, P, PHI, X, V, W)
    assert counts(ops) == (0, 0, 2)
    same(found, plain)


def test_a_second_pair_that_would_close_a_circle_stays_apart():
    def f(p, phi, x, v, w):
        x = pack(x)
        one, two = kick(p, phi, x, 0.5), kick(w, phi, x, 0.25)
        return tidal(phi, x, two + v), tidal(phi, x, one + w)  # each needs the other's

    found, ops, plain = both(f, P, PHI, X, V, W)
    assert counts(ops) == (1, 1, 1)
    same(found, plain)


@pytest.mark.parametrize("integrator", ["bullfrog", "fastpm"])
def test_backward_step_of_the_universe_reads_the_potential_once(integrator):
    cosmology = gv.cosmology.Cosmology()
    modes = gv.nbody.white_noise((8, 8, 8), rng=3)

    def loss(modes):
        end = gv.nbody.evolve(
            modes, cosmology, box=64.0, steps=np.linspace(0.2, 1.0, 4),
            integrator=integrator,
        )  # fmt: skip
        return (end.displacements**2).sum() + (end.momenta**2).sum()

    plan = str(gv.compile(gv.grad(loss)).plan(modes))
    assert plan.count("pm_kick_tidal ") == 1
    found, _, plain = both(gv.grad(loss), modes)
    same(found, plain)


def test_merged_operator_has_no_derivative():
    def f(v):
        ins = (pack(P + v), PHI, pack(X + v), UNIT, 0.5, v, 0.7)
        return emit("pm_kick_tidal", ins, **BOX, sign=1)[1].sum()

    with pytest.raises(TypeError, match="pm_kick_tidal has no reverse-mode derivative"):
        gv.grad(f)(V)
