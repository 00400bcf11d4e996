"""The light-cone operators: values against brute force over all replicas, derivatives
against each other and against differences, what is painted, and errors in words.

Oracle: ``tests/ops/reference_cone.py``, written from the definitions.
"""

import gc
import itertools
import struct

import numpy as np
import pytest

from gradiverse import _core
from gradiverse.lensing.replicas import replicas

from ..ops.reference_cone import (
    cone_count,
    cone_images,
    cone_paint,
    interpolate,
    replica,
)

FLOAT = {"q32": "float32", "q64": "float64"}
WHOLE = {"q32": np.int32, "q64": np.int64}
NAMES = ("x", "p", "extra", "unit", "path", "time", "lens", "reach")
MOVING = ("x", "p", "extra", "path", "time", "lens")
CUBE = dict(lattice=(6, 6, 6), mesh=(9, 9, 9), lx=20.0, ly=20.0, lz=20.0)
BRICK = dict(lattice=(5, 6, 6), mesh=(10, 9, 9), lx=16.0, ly=20.0, lz=20.0)
UNEQUAL = dict(lattice=(8, 6, 6), mesh=(8, 9, 6), lx=20.0, ly=20.0, lz=20.0)


def packed(where, rows=None, cols=None):
    """Attributes as the integers that Graph.op takes."""
    real = [where[k] for k in ("lx", "ly", "lz", "fy", "fx")]
    bits = [struct.unpack("<q", struct.pack("<d", v))[0] for v in real]
    shape = () if rows is None else (rows, cols)
    return (3, *where["lattice"], 3, *where["mesh"], *bits, where["seed"], *shape)


class Cone:
    """A slice with random particles and smooth tables.

    `rms`: displacement and momentum in Mpc/h, large enough to cross faces.
    """

    def __init__(self, grid=CUBE, lo=13.0, hi=31.0, seed=3, state="q64", sources=2,
                 shape=(11, 14), extra=True, rms=3.0, field=None, rng=0, h=2.0,
                 nodes=60):  # fmt: skip
        rng = np.random.default_rng(rng)
        box = np.array([grid["lx"], grid["ly"], grid["lz"]])
        n = int(np.prod(grid["lattice"]))
        reach = np.linspace(0.8, 1.0, sources) * (hi + 4.0)
        if field is None:
            end = min(hi, reach.max()) if sources else hi
            field = (0.95 * box[1] / end, 0.9 * box[0] / end)
        self.where = dict(grid, fy=field[0], fx=field[1], seed=seed)
        self.state, self.real = state, np.dtype(FLOAT[state])
        self.shape = (sources, *shape)
        bits = 12 if state == "q32" else 40
        unit = np.array([2.0**-bits, 2.0 ** -(bits + 1)])
        cell = box / grid["mesh"]

        def whole(quantum):
            v = rng.normal(size=(3, n)) * rms
            return np.rint(v / np.broadcast_to(quantum, (3,))[:, None]).astype(
                WHOLE[state]
            )

        chi = h * np.arange(nodes)
        self.arrays = dict(
            x=whole(unit[0] * cell),
            p=whole(unit[1]),
            extra=(rng.normal(size=(3, n if extra else 0)) * 0.5).astype(self.real),
            unit=unit,
            path=np.array([0.7, 0.4, lo, hi, h]),
            time=1.0 / (1.0 + chi / 50.0),
            lens=(1 - chi / reach[:, None]) * (1 + chi / 300) * chi,
            reach=reach,
        )
        self.kappa = rng.normal(size=self.shape).astype(self.real)
        self.rng = rng

    def replace(self, **changes):
        """The same with other arrays or a different place."""
        other = object.__new__(Cone)
        other.__dict__.update(self.__dict__)
        other.arrays = dict(self.arrays)
        other.where = dict(self.where)
        for name, value in changes.items():
            if isinstance(value, dict):
                path = self.arrays["path"].copy()
                for k, v in value.items():
                    path[("rate", "centre", "lo", "hi", "h").index(k)] = v
                value = path
            (other.where if name in self.where else other.arrays)[name] = value
        return other

    # --- the operators ---
    def inputs(self, graph, lead=()):
        """Placeholders of kappa and the eight inputs."""
        arrays = [self.kappa, *(self.arrays[k] for k in NAMES)]
        types = [a.dtype.name for a in arrays]
        types[1] = types[2] = self.state
        pairs = zip(types, arrays, strict=True)
        return [graph.input(t, (*lead, *a.shape)) for t, a in pairs], arrays

    def run(self, op="cone_paint"):
        """The value of cone_paint or cone_count."""
        graph = _core.Graph()
        at, arrays = self.inputs(graph)
        if op == "cone_paint":
            out = graph.op(op, tuple(at), packed(self.where))
        else:
            out = graph.op(op, tuple(at[1:]), packed(self.where, *self.shape[1:]))
        return graph.program(at, [out]).run(arrays)[0]

    def derivatives(self, weight, moves):
        """(d_kappa, cotangents of kappa and MOVING by name) for a cotangent of the maps
        and tangents of kappa and MOVING."""
        graph = _core.Graph()
        at, arrays = self.inputs(graph)
        out = graph.op("cone_paint", tuple(at), packed(self.where))
        wrt = [at[0], *(at[1 + NAMES.index(k)] for k in MOVING)]
        given = [graph.input(m.dtype.name, m.shape) for m in (weight, *moves)]
        (pushed,) = graph.jvp([out], wrt, given[1:])
        pulled = graph.vjp([out], [given[0]], wrt)
        named = dict(zip(("kappa", *MOVING), pulled, strict=True))
        ids = [pushed, *(v for v in pulled if v != -1)]
        values = graph.program([*at, *given], ids).run([*arrays, weight, *moves])
        values = dict(zip(ids, values, strict=True))
        return values[pushed], {k: values.get(v) for k, v in named.items()}

    def moves(self):
        """Random tangents of kappa and MOVING."""
        kinds = [self.kappa.dtype, self.real, self.real, self.real, *["float64"] * 3]
        shapes = [self.kappa.shape, *(self.arrays[k].shape for k in MOVING)]
        pairs = zip(kinds, shapes, strict=True)
        return [np.asarray(self.rng.normal(size=s), k) for k, s in pairs]

    def wanted(self):
        """The oracle's maps."""
        return cone_paint(self.kappa, **self.arrays, **self.where)


def close(a, b, epsilons=1e3):
    """Equal to rounding: a map is a sum over particles of numbers whose pixel offsets
    carry pixels/box epsilons of rounding."""
    assert a.dtype == b.dtype
    scale = np.abs(b).max(initial=0.0)
    bound = epsilons * np.finfo(a.dtype).eps
    np.testing.assert_allclose(a, b, rtol=bound, atol=bound * scale)


# --- values -------------------------------------------------------------------------

SLICES = {
    "inside one replica": dict(lo=23.0, hi=36.0),
    "spanning three": dict(lo=13.0, hi=47.5),
    "at the observer": dict(lo=0.0, hi=21.0),
    "whole replica": dict(lo=20.0, hi=40.0),
}


@pytest.mark.smoke
@pytest.mark.parametrize("seed", [-1, 0, 11, 2**40 + 5])
@pytest.mark.parametrize("grid", [CUBE, BRICK, UNEQUAL], ids=["cube", "brick", "uneq"])
@pytest.mark.parametrize("bounds", SLICES.values(), ids=SLICES)
def test_against_brute_force(bounds, grid, seed):
    cone = Cone(grid, seed=seed, **bounds)
    wanted = cone.wanted()
    assert np.abs(wanted - cone.kappa).max() > 0.1
    close(cone.run(), wanted)


@pytest.mark.parametrize("state", ["q32", "q64"])
@pytest.mark.parametrize("extra", [False, True])
@pytest.mark.parametrize("sources", [0, 1, 2, 7])
@pytest.mark.parametrize("shape", [(1, 1), (2, 70), (150, 33)])
def test_states_sources_and_maps(state, extra, sources, shape):
    for seed in range(4):
        cone = Cone(state=state, extra=extra, sources=sources, shape=shape, seed=seed)
        got, wanted = cone.run(), cone.wanted()
        if state == "q32":  # the weights are rounded once, the sums at every particle
            assert np.abs(got - wanted).max(initial=0) <= 2e-6 * np.abs(wanted).max(
                initial=0
            )
        close(got, wanted)


def test_rows_longer_than_a_block():
    """Rows of 300 particles, and lattice planes across each of the axes."""
    for lattice in itertools.permutations((300, 3, 2)):
        grid = dict(CUBE, lattice=lattice, mesh=(12, 12, 12))
        cone = Cone(grid, seed=2)
        close(cone.run(), cone.wanted())


def test_several_batches_of_chunks():
    """64^3 particles: one chunk of rows is 8192 particles, a batch 32 chunks."""
    grid = dict(CUBE, lattice=(64, 64, 65), mesh=(32, 32, 32), lz=20.3125)
    for seed in (-1, 4):
        cone = Cone(grid, seed=seed, lo=3.0, hi=44.0, shape=(90, 80))
        close(cone.run(), cone.wanted(), 1e4)


@pytest.mark.parametrize("lo", [0.0, 25.0])
def test_empty_slices_paint_nothing(lo):
    cone = Cone().replace(path=dict(lo=lo, hi=lo))
    np.testing.assert_array_equal(cone.run(), cone.kappa)
    assert list(cone.run("cone_count")) == [0, 0, 0]
    weight, moves = cone.moves()[0], cone.moves()
    pushed, pulled = cone.derivatives(weight, moves)
    np.testing.assert_array_equal(pushed, moves[0])
    np.testing.assert_array_equal(pulled.pop("kappa"), weight)
    for g in pulled.values():
        assert not np.any(g)


def test_no_particles():
    cone = Cone(dict(CUBE, lattice=(0, 3, 3)))
    np.testing.assert_array_equal(cone.run(), cone.kappa)


def test_sources_end_at_their_reach():
    """A particle counts for the sources behind it, displaced particles included."""
    cone = Cone(lo=20.0, hi=40.0, sources=3)
    cone = cone.replace(reach=np.array([18.0, 30.0, 39.0]))
    close(cone.run(), cone.wanted())
    distances = np.concatenate(
        [d for d, *_ in cone_images(**cone.arrays, **cone.where)]
    )
    crossed = [np.count_nonzero(distances < r) for r in (18.0, 30.0, 39.0)]
    assert 0 < crossed[0] < crossed[1] < crossed[2] < len(distances)


def test_adjoining_slices_count_every_image_once():
    """Half-open slices: however [0, 60) is cut, on planes and faces too, the same maps
    and as many images as three boxes hold."""
    whole = Cone(lo=0.0, hi=60.0, seed=5)
    grid = whole.where
    planes = np.array([(i + 0.5 / 1.5) * 20 / 6 for i in range(6)])
    cuts = {
        "faces": [0.0, 20.0, 40.0, 60.0],
        "planes": np.sort([0.0, 60.0, *planes, *(20 + planes), *(40 + planes)]),
        "uneven": [0.0, 0.1, 7.3, 33.3, 59.9, 60.0],
    }
    for seed in (-1, 5):
        whole = whole.replace(seed=seed)
        once = whole.run()
        images = whole.run("cone_count")
        assert images[1] == 3 * 6**3
        for edges in cuts.values():
            kappa, counts = whole.kappa, 0
            for lo, hi in itertools.pairwise(edges):
                part = whole.replace(path=dict(lo=lo, hi=hi))
                part.kappa = kappa
                kappa = part.run()
                counts = counts + part.run("cone_count")[:2]
            close(kappa, once)
            np.testing.assert_array_equal(counts, images[:2])
    assert grid["lz"] == 20.0


# --- what is painted (traps T1, T3, T9) ----------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize("seed", [-1, 0, 8])
def test_only_particles_in_the_slice_and_the_field_are_painted(seed):
    """Trap T3: a mask that is always one, replicas visited out to the source."""
    for bounds in SLICES.values():
        for field in (None, (0.11, 0.07)):
            cone = Cone(seed=seed, field=field, **bounds)
            counts = cone.run("cone_count")
            wanted = cone_count(
                **cone.arrays, **cone.where, rows=cone.shape[1], cols=cone.shape[2]
            )
            np.testing.assert_array_equal(counts, wanted)
            assert counts[0] < counts[1]


def pulled_distance(cone):
    """Distance of the one particle of a cone from its weight: with lens(d) = d^3 the
    map holds d^2."""
    return np.sqrt(cone.run().sum())


def one_particle(x, p, time, centre, lo, hi, rate=1.0):
    """One particle on the axis in a box of 20, moved along the line of sight only."""
    grid = dict(CUBE, lattice=(1, 1, 1), mesh=(1, 1, 1))
    cone = Cone(grid, seed=-1, sources=1, shape=(9, 9), lo=lo, hi=hi, extra=False,
                field=(0.3, 0.3))  # fmt: skip
    whole = np.zeros((3, 1), np.int64)
    chi = 2.0 * np.arange(60)
    path = np.array([rate, centre, lo, hi, 2.0])
    unit = np.array([2.0**-40, 2.0**-40])
    cone = cone.replace(
        x=whole + np.array([[0], [0], [round(x / 20 * 2**40)]]),
        p=whole + np.array([[0], [0], [round(p * 2**40)]]),
        unit=unit, time=time(chi), lens=chi[None] ** 3, reach=np.array([90.0]),
    )  # fmt: skip
    cone.arrays["path"] = path
    cone.kappa = np.zeros_like(cone.kappa)
    return cone


def test_sub_step_drift_goes_forward_in_time():
    """Trap T1: the displacement is rate (T(d_q) - centre) p, target minus centre. A
    particle receding (p > 0), seen later than the centre of the step, is farther."""
    time = lambda chi: 2.0 - chi / 50.0  # noqa: E731
    for centre, shift in ((1.3, 0.5), (1.8, 0.0), (2.1, -0.3)):
        # d_q = 10: T = 1.8
        cone = one_particle(0.25, 3.0, time, centre, 0.0, 20.0, rate=1.5)
        found = pulled_distance(cone)
        assert abs(found - (10.25 + 1.5 * shift * 3.0)) < 1e-9


def test_the_drift_time_is_that_of_the_lattice_image():
    """T is taken at d_q = 10, not at the displaced distance 14."""
    cone = one_particle(4.0, 1.0, lambda chi: 0.1 * chi, 0.2, 0.0, 20.0)
    assert abs(pulled_distance(cone) - (14.0 + 0.8)) < 1e-9


def test_no_wrap_along_the_line_of_sight():
    """Trap T9: a particle displaced beyond the face of its replica stays where it is
    seen, in the slice of its lattice image, and only there."""
    for x, d in ((13.0, 23.0), (-8.0, 2.0)):
        near = one_particle(x, 0.0, np.zeros_like, 0.0, 0.0, 20.0)
        assert abs(pulled_distance(near) - d) < 1e-9
        after = one_particle(x, 0.0, np.zeros_like, 0.0, 20.0, 40.0)
        assert abs(pulled_distance(after) - (d + 20)) < 1e-9
    behind = one_particle(-11.0, 0.0, np.zeros_like, 0.0, 0.0, 20.0)
    assert not np.any(behind.run())
    assert list(behind.run("cone_count")) == [0, 1, 1]


def test_transverse_positions_wrap():
    """A particle that leaves through a side face is seen on the other side."""
    cone = one_particle(0.0, 0.0, np.zeros_like, 0.0, 40.0, 60.0)
    x = cone.arrays["x"].copy()
    for axis, quanta in ((0, 0.6), (1, -1.3)):
        moved = x.copy()
        moved[axis] = round(quanta * 2**40)
        back = x.copy()
        back[axis] = round((quanta % 1.0 - 1.0 * (axis == 0)) * 2**40)
        one, two = (cone.replace(x=v).run() for v in (moved, back))
        assert one.sum() > 0
        close(one, two)


@pytest.mark.parametrize("grid", [CUBE, BRICK, UNEQUAL], ids=["cube", "brick", "uneq"])
def test_replicas_as_users_see_them(grid):
    box = np.array([grid["lx"], grid["ly"], grid["lz"]])
    for shape in (None, grid["lattice"]):
        got = replicas(box, 17, np.arange(30), shape)
        for j in range(30):
            perm, sign, shift = replica(box, shape or (1, 1, 1), 17, j)
            np.testing.assert_array_equal(got.permutation[j], perm)
            np.testing.assert_array_equal(got.signs[j], sign)
            np.testing.assert_array_equal(got.shift[j], shift)
    one = replicas(box, -1, 3)
    np.testing.assert_array_equal(one.permutation, [0, 1, 2])
    np.testing.assert_array_equal(one.shift, 0.0)


def test_replicas_that_do_not_exist():
    for box, number in ((1.0, -1), (0.0, 1), ((1.0, np.inf, 1.0), 1)):
        with pytest.raises(ValueError, match=r"replicas|sides"):
            replicas(box, 0, number)
    with pytest.raises(TypeError, match="ints"):
        replicas(1.0, 0, 0.5)
    with pytest.raises(ValueError, match="shape"):
        replicas(1.0, 0, 0, (1, 2))


# --- precision ------------------------------------------------------------------------


def test_single_precision_pixels_far_away():
    """At 2000 Mpc/h on 2048 pixels, q32 places particles far better than 1e-4 pixels:
    an offset of so many pixels changes a weight by as much, and hardly two particles
    share a pixel."""
    grid = dict(lattice=(12,) * 3, mesh=(24,) * 3, lx=256.0, ly=256.0, lz=256.0)
    cone = Cone(grid, lo=2000.0, hi=2040.0, state="q32", shape=(2048, 2048),
                sources=1, h=50.0, extra=False, field=(0.12, 0.12))  # fmt: skip
    cone = cone.replace(reach=np.array([2100.0]))
    cone.kappa[:] = 0
    cone.arrays["lens"][:] = 1.0
    got, wanted = cone.run().astype(float), cone.wanted().astype(float)
    assert np.count_nonzero(wanted) > 100
    assert np.abs(got - wanted).max() <= 1e-6 * wanted.max()


# --- derivatives --------------------------------------------------------------------

CASES = {
    "cube": Cone(lo=13.0, hi=47.5),
    "brick": Cone(BRICK, lo=23.0, hi=36.0, seed=7, sources=3),
    "plain": Cone(UNEQUAL, lo=0.0, hi=21.0, seed=-1, extra=False),
}


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


# --- execution ----------------------------------------------------------------------


def everything(cone):
    """Bytes of the maps and all derivatives."""
    cone.rng = np.random.default_rng(1)
    pushed, pulled = cone.derivatives(cone.moves()[0], cone.moves())
    arrays = [cone.run(), pushed, *pulled.values(), cone.run("cone_count")]
    return [a.tobytes() for a in arrays]


@pytest.mark.parametrize("state", ["q32", "q64"])
def test_same_bits_for_any_number_of_threads(state):
    grid = dict(CUBE, lattice=(40, 40, 40))
    cone = Cone(grid, state=state, seed=1, lo=3.0, hi=44.0, shape=(90, 80))
    before = _core.get_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            _core.set_threads(threads)
            found.append(everything(cone))
    finally:
        _core.set_threads(before)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("setting", ["set_debug", "set_poison"])
def test_planned_run_equals_node_by_node(setting):
    cone = CASES["cube"]
    once = everything(cone)
    before = getattr(_core, setting)(True)
    try:
        again = everything(cone)
    finally:
        getattr(_core, setting)(before)
    assert once == again


def test_inputs_are_not_written_to():
    cone = Cone()
    before = [cone.kappa.tobytes(), *(a.tobytes() for a in cone.arrays.values())]
    everything(cone)
    after = [cone.kappa.tobytes(), *(a.tobytes() for a in cone.arrays.values())]
    assert before == after


def test_batches():
    """A leading axis on everything, or on the particles alone."""
    cones = [Cone(rng=k) for k in range(3)]
    graph = _core.Graph()
    at, _ = cones[0].inputs(graph)
    out = graph.op("cone_paint", tuple(at), packed(cones[0].where))
    count = graph.op("cone_count", tuple(at[1:]), packed(cones[0].where, 11, 14))
    for chosen in (range(9), (1, 2)):
        many = [([c.kappa, *(c.arrays[k] for k in NAMES)]) for c in cones]
        stacks = [np.stack([m[k] for m in many]) for k in chosen]
        types = [cones[0].state if k in (1, 2) else stacks[i].dtype.name
                 for i, k in enumerate(chosen)]  # fmt: skip
        given = [graph.input(t, s.shape) for t, s in zip(types, stacks, strict=True)]
        outs, flags = graph.batch([out, count], [at[k] for k in chosen], given, 3)
        assert all(flags)
        program = graph.program([*at, *given], outs)
        maps, counts = program.run([*many[0], *stacks])
        for lane, cone in enumerate(cones):
            single = cones[0].replace(
                **{NAMES[k - 1]: cone.arrays[NAMES[k - 1]] for k in chosen if k}
            )
            single.kappa = cone.kappa if 0 in chosen else cones[0].kappa
            np.testing.assert_array_equal(maps[lane], single.run())
            np.testing.assert_array_equal(counts[lane], single.run("cone_count"))


def test_every_failing_allocation_is_reported():
    cone = Cone()

    def work():
        _core.plan_cache_clear()
        everything(cone)

    work()
    work()
    _core.plan_cache_clear()
    gc.collect()
    before = _core.alloc_stats()["live_blocks"]
    for k in range(1, 3000):
        _core.alloc_fail_after(k)
        try:
            work()
        except MemoryError:
            failed = True
        else:
            failed = False
        finally:
            _core.alloc_fail_after(0)
        _core.plan_cache_clear()
        assert _core.alloc_stats()["live_blocks"] == before, f"allocation {k} leaks"
        if not failed:
            break
    assert 1 < k < 2999


# --- errors -------------------------------------------------------------------------

WRONG = {
    "nan": (dict(path=dict(rate=np.nan)), r"path\[0\] \(rate\) is nan"),
    "inf": (dict(path=dict(hi=np.inf)), r"path\[3\] \(hi\) is inf"),
    "backwards": (dict(path=dict(lo=31.0, hi=30.0)), r"\[31, 30\).*ends before"),
    "h": (dict(path=dict(h=0.0)), "h = 0 .* not positive"),
    "unit": (dict(unit=np.array([0.0, 1.0])), r"unit\[0\] = 0"),
    "reach": (dict(reach=np.array([np.nan, 1.0])), r"reach\[0\] is not a number"),
    "table": (dict(path=dict(hi=118.5)), "ends at 118.5 Mpc/h .* at 118 "),
    "field": (dict(fy=0.9), r"map outside the box: .* 0.9 rad is 27.9 Mpc/h .* 31 "),
    "boxes": (dict(path=dict(hi=1e9, h=1e8)), "more than 2.20 boxes"),
}


@pytest.mark.parametrize(("changes", "words"), WRONG.values(), ids=WRONG)
def test_wrong_values(changes, words):
    cone = Cone().replace(**changes)
    for op in ("cone_paint", "cone_count"):
        with pytest.raises(ValueError, match=words):
            cone.run(op)
    with pytest.raises(ValueError, match=words):
        cone.derivatives(cone.kappa, cone.moves())


def test_the_field_is_checked_at_the_farthest_particle_painted():
    """hi beyond every source: the field must fit the box at the sources only."""
    cone = Cone(lo=13.0, hi=31.0, field=(1.0, 1.0))
    cone = cone.replace(path=dict(hi=60.0), reach=np.array([15.0, 20.0]))
    cone.run()
    with pytest.raises(ValueError, match=r"map outside the box.* 20\.2 Mpc/h wide"):
        cone.replace(reach=np.array([15.0, 20.2])).run()


def test_a_particle_beyond_the_lens_tables():
    cone = Cone(lo=13.0, hi=31.0, nodes=17, h=2.0).replace(reach=np.array([40.0, 40.0]))
    for action in (cone.run, lambda: cone.derivatives(cone.kappa, cone.moves())):
        with pytest.raises(ValueError, match="lens tables end at 32"):
            action()


def test_wrong_types_and_shapes():
    cone = Cone()
    graph = _core.Graph()
    at, _ = cone.inputs(graph)

    def build(k=None, dtype=None, shape=None, **changes):
        inputs = list(at)
        if k is not None:
            inputs[k] = graph.input(dtype, shape)
        graph.op("cone_paint", tuple(inputs), packed(dict(cone.where, **changes)))

    build()
    for k, dtype, shape in ((1, "float64", (3, 216)), (0, "float32", (2, 11, 14)),
                            (2, "q32", (3, 216)), (5, "float32", (5,))):  # fmt: skip
        with pytest.raises(TypeError, match="cone_paint"):
            build(k, dtype, shape)
    for k, dtype, shape in (
        (1, "q64", (3, 215)), (2, "q64", (2, 216)), (3, "float64", (3, 5)),
        (4, "float64", (3,)), (5, "float64", (4,)), (6, "float64", (3,)),
        (7, "float64", (2, 59)), (8, "float64", (3,)), (0, "float64", (3, 11, 14)),
        (0, "float64", (2, 0, 14)), (1, "q64", (4, 3, 216)),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="cone_paint"):
            build(k, dtype, shape)
    for changes in (dict(fx=0.0), dict(fy=np.inf), dict(lx=-1.0), dict(mesh=(0, 1, 1))):
        with pytest.raises(ValueError, match="cone_paint"):
            build(**changes)
