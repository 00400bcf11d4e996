"""The light-cone operators: values against brute force over all replicas, what is
painted, precision.

Oracle: ``tests/ops/reference_cone.py``, written from the definitions.
"""

import itertools

import numpy as np
import pytest

from gradiverse.lensing.replicas import replicas

from ..ops.reference_cone import (
    cone_count,
    cone_images,
    replica,
)
from .cone_case import (
    BRICK,
    CUBE,
    UNEQUAL,
    Cone,
    close,
)

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
