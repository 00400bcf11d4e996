"""Derivatives of the light-cone operators: transposes, differences, closed family."""

import numpy as np
import pytest

from gradiverse import _core

from ..ops.reference_cone import (
    interpolate,
)
from .cone_case import (
    CASES,
    FLOAT,
    MOVING,
    Cone,
    packed,
)

# --- derivatives --------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize("cone", CASES.values(), ids=CASES)
def test_adjoint(cone):
    """<u, J v> = <J^T u, v> to rounding."""
    weight, moves = cone.rng.normal(size=cone.shape), cone.moves()
    pushed, pulled = cone.derivatives(weight, moves)
    left = np.sum(weight * pushed)
    names = ("kappa", *MOVING)
    parts = [
        np.sum(pulled[k] * m)
        for k, m in zip(names, moves, strict=True)
        if pulled[k] is not None
    ]
    scale = np.sum(np.abs(weight * pushed)) + sum(map(abs, parts))
    assert min(map(abs, parts[:3])) > 1e-3 * max(map(abs, parts[:3]))
    assert abs(left - sum(parts)) <= 1e-12 * scale


@pytest.mark.parametrize("name", MOVING)
@pytest.mark.parametrize("cone", CASES.values(), ids=CASES)
def test_directional_derivatives(cone, name):
    """Against four-point differences, 1e-7. Steps of x are whole quanta of 2^-40 cells
    and keep clear of the kinks: 1e-7 of a box."""
    if cone.arrays[name].size == 0:
        pytest.skip("no extra displacement")
    moves = [np.zeros_like(m) for m in cone.moves()]
    weight = cone.rng.normal(size=cone.shape)
    at = 1 + MOVING.index(name)
    direction = cone.rng.normal(size=cone.arrays[name].shape)
    step = 2e-7
    if name == "path":
        direction[2:] = 0
    quantum = 1.0
    if name in "xp":
        box = np.array([cone.where[k] for k in ("lx", "ly", "lz")])
        unit = cone.arrays["unit"]
        quantum = unit[1] if name == "p" else unit[0] * box / cone.where["mesh"]
        quantum = np.broadcast_to(quantum, (3,))[:, None]
        whole = np.rint(direction * step / quantum)
        direction = whole * quantum / step
    moves[at] = direction
    pushed, pulled = cone.derivatives(weight, moves)

    def value(t):
        if name in "xp":
            moved = cone.arrays[name] + t * whole.astype(np.int64)
        else:
            moved = cone.arrays[name] + t * step * direction
        other = cone.replace()
        other.arrays[name] = moved
        return other.run()

    slope = (8 * (value(1) - value(-1)) - (value(2) - value(-2))) / (12 * step)
    scale = np.abs(pushed).max()
    assert scale > 0
    # rounding: 1e-15 of the map over the step
    bound = 1e-7 * scale + 2e-15 * np.abs(cone.run()).max() / step
    assert np.abs(pushed - slope).max() <= bound
    total = np.sum(weight * slope)
    mine = np.sum(pulled[name] * direction)
    assert abs(mine - total) <= 1e-7 * np.sum(np.abs(weight * pushed)) + bound * np.sum(
        np.abs(weight)
    )


def test_cotangents_outside_the_slice_are_zero():
    cone = Cone(lo=23.0, hi=26.0, seed=-1)
    weight = np.ones(cone.shape)
    _, pulled = cone.derivatives(weight, cone.moves())
    planes = 20 + (np.arange(6) + 1 / 3) * 20 / 6
    outside = (planes < 23) | (planes >= 26)
    for name in ("x", "p", "extra"):
        g = pulled[name].reshape(3, 6, 6, 6)
        assert not np.any(g[..., outside])
        assert np.any(g[..., ~outside])
    assert not np.any(pulled["path"][2:])


def test_momentum_cotangent_is_factor_times_that_of_position():
    cone = Cone(lo=21.0, hi=39.0, seed=-1)
    _, pulled = cone.derivatives(np.ones(cone.shape), cone.moves())
    rate, centre = cone.arrays["path"][:2]
    planes = 20 + (np.arange(6) + 1 / 3) * 20 / 6
    time = interpolate(cone.arrays["time"], 2.0, planes)
    g_x, g_p = (pulled[k].reshape(3, 6, 6, 6) for k in "xp")
    np.testing.assert_allclose(g_p, rate * (time - centre) * g_x, rtol=1e-12)


@pytest.mark.parametrize("state", ["q32", "q64"])
def test_single_precision_derivatives(state):
    """q32 against q64 with the same particles: float32 sums."""
    cone = Cone(state="q32", rms=2.0)
    weight, moves = np.ones(cone.shape, np.float32), cone.moves()
    one = cone.derivatives(weight, moves)
    wide = cone.replace(
        **{k: cone.arrays[k].astype(np.int64) for k in "xp"},
        extra=cone.arrays["extra"].astype(float),
    )
    wide.state, wide.real = "q64", np.dtype("float64")
    wide.kappa = cone.kappa.astype(float)
    moves = [m.astype(float) for m in moves]
    two = wide.derivatives(weight.astype(float), moves)
    assert one[0].dtype == np.float32
    for a, b in ((one[0], two[0]), *((one[1][k], two[1][k]) for k in MOVING)):
        assert np.abs(a - b).max() <= 3e-6 * np.abs(b).max()
    assert state in FLOAT


def test_transposes_close_the_family():
    """jvp of pull and vjp of push in their linear inputs; no second derivatives."""
    cone = CASES["cube"]
    graph = _core.Graph()
    at, arrays = cone.inputs(graph)
    attrs = packed(cone.where)
    pull = graph.op("cone_pull", tuple(at), attrs)
    outs = [pull + k for k in range(5)]
    moves = cone.moves()
    weights = [moves[1], moves[2], moves[4], moves[5], moves[6]]
    given = [graph.input(w.dtype.name, w.shape) for w in weights]
    tangent = graph.input("float64", cone.shape)
    (back,) = graph.vjp(outs, given, [at[0]])
    forward = graph.jvp(outs, [at[0]], [tangent])
    again = graph.vjp([back], [tangent], given)
    direction = cone.rng.normal(size=cone.shape)
    found = graph.program([*at, *given, tangent], [back, *forward, *again]).run(
        [*arrays, *weights, direction]
    )
    left = np.sum(found[0] * direction)
    for part in (found[1:6], found[6:]):
        right = sum(np.sum(a * w) for a, w in zip(part, weights, strict=True))
        assert abs(left - right) <= 1e-12 * np.sum(np.abs(found[0] * direction))
    for k in (1, 2, 5):
        with pytest.raises(TypeError, match="cone_pull is not differentiable twice"):
            graph.vjp(outs, given, [at[k]])
    with pytest.raises(TypeError, match="cone_push is not differentiable twice"):
        graph.vjp([back], [tangent], [at[1]])
