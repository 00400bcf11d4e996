"""How the light-cone operators run: bits, plans, batches, memory, errors in words."""

import numpy as np
import pytest

from gradiverse import _core

from ..ops.harness import check_failing_allocations
from .cone_case import (
    CASES,
    CUBE,
    NAMES,
    Cone,
    packed,
)

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
    check_failing_allocations(lambda: everything(cone))


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
