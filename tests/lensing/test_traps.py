"""Defects that other codes had, settings that make no sense; one named test each."""

import numpy as np
import pytest

import gradiverse as gv
from gradiverse.cosmology import Cosmology

from .oracle import Background, linear_cone
from .test_cone import BACKGROUND, NZ, C, make, noise, zeldovich

STEPS = [0.46, 0.55]  # one step of the 11 stages: where T1 was largest


def one_step(**changes):
    """A cone of a single step that ends 470 Mpc/h before the source."""
    return make(
        steps=STEPS, sources=[1.1], force="linear", order=1, field_of_view=1.2,
        integrator="fastpm", **changes,
    )  # fmt: skip


def centre():
    return BACKGROUND.growth(np.sqrt(STEPS[0] * STEPS[1]))


def swapped(a):
    """Displacements with target and centre exchanged: 2 D(a_c) - D(a)."""
    return 2 * centre() - BACKGROUND.growth(a)


def frozen(a):
    """No drift within the step."""
    return centre() + 0 * a


def wrong_divisor(a):
    """The drift divided by g_f = dG/da instead of G.

    p/G is s1 whatever a; G/g_f = a f H^.. with g_f = 1.5 Om D/(a^2 E): the drift is
    too long or short by that ratio.
    """
    b, ac = BACKGROUND, np.sqrt(STEPS[0] * STEPS[1])
    h = 1e-4
    slope = (b.growth(ac * (1 + h)) - b.growth(ac * (1 - h))) / (2 * h)  # D'
    G = ac**2 * b.E(ac) * slope
    g = 1.5 * b.Omega_m * b.growth(ac) / (ac**2 * b.E(ac))
    return centre() + (b.growth(a) - centre()) * G / g


@pytest.mark.parametrize(
    ("trap", "wrong"),
    [("T1 swapped times", swapped), ("frozen", frozen), ("T2 divisor", wrong_divisor)],
)
def test_t1_t2_drift_within_a_step(trap, wrong):
    """T1, T2: particles move by D(a) - D(a_c) times p/G within a step.

    The right map agrees to 1e-9 and each wrong one is off by over 1e-3 of its scatter.
    """
    modes = noise()
    s1 = zeldovich(modes, 64.0)
    cone = one_step()
    got = cone(modes, C)[0]
    np.testing.assert_allclose(got, linear_cone(s1, cone, BACKGROUND, 1.1), atol=1e-9)
    off = linear_cone(s1, cone, BACKGROUND, 1.1, time=wrong) - got
    assert off.std() > 1e-3 * got.std(), trap


@pytest.mark.smoke
def test_t3_box_passes():
    """T3: the copies of the box that are needed, and no more (reference table)."""
    for stages, want in ((11, [9, 14, 18, 22]), (40, [20, 30, 37, 43])):
        cone = gv.lensing.Lightcone(
            box=256.0, shape=(8,) * 3, steps=stages, sources=[0.5, 1.0, 1.5, 2.0],
            field_of_view=1.0, map_shape=(8, 8),
        )  # fmt: skip
        assert list(cone.passes(C)) == want


def test_t3_slices_do_not_overlap(monkeypatch):
    """T3: every image is painted once: half-open slices that follow one another.

    What the operator counts in all slices is what plain NumPy counts in the cone.
    """
    from gradiverse import evaluate
    from gradiverse.graph import emit
    from gradiverse.lensing import cone as module

    from .oracle import images

    counts = []

    def counting(name, ins, **attrs):
        out = emit(name, ins, **attrs)
        if name == "cone_paint":
            ny, nx = ins[0].shape[1:]
            slices.append((ins[6], attrs, ny, nx))
        return out

    slices = []
    monkeypatch.setattr(module, "emit", counting)
    cone = make(steps=np.linspace(0.35, 1.0, 5), sources=[1.0])
    cone(noise(), C)
    monkeypatch.undo()
    assert len(slices) == 2  # two halves in the body of one loop
    from gradiverse.lensing import _geometry as geometry
    from gradiverse.nbody.steps import factors

    table = geometry.tables(
        C, lambda chi, z: np.ones((1, len(chi))), geometry.reaches(C, cone.sources)
    )
    f = factors(C, cone.setup.steps, "bullfrog")
    first, second = (s.path for s in geometry.slices(C, cone.setup, f, table))
    edges = np.concatenate(
        [[(b[2], b[3]), (a[2], a[3])] for a, b in zip(first, second, strict=True)][::-1]
    )
    assert edges[0, 0] == 0.0
    np.testing.assert_array_equal(edges[1:, 0], edges[:-1, 1])
    assert edges[-1, 1] == pytest.approx(BACKGROUND.chi(0.5), rel=1e-10)
    x = np.zeros((3, 16**3))
    unit = np.array([2.0**-20, 1e-6])
    grid = {"lattice": (16,) * 3, "mesh": (32,) * 3, "lx": 64.0, "ly": 64.0, "lz": 64.0}
    for path in np.concatenate([first, second]):

        def count(v, path=path):
            q = emit("fixed_pack", (v, np.ones(3)))
            return emit(
                "cone_count",
                (q, q, np.zeros((3, 0)), unit, path, *table[1:]),
                **grid, fy=0.01, fx=0.01, seed=5, rows=24, cols=32,
            )  # fmt: skip

        counts.append(np.asarray(evaluate(gv.compile(count)(x))))
    seen = np.sum(counts, axis=0)
    total = sum(
        (y[:, 2] + 64 * j < BACKGROUND.chi(0.5)).sum()
        for j in range(40)
        for y in [images((16,) * 3, (32,) * 3, (64.0,) * 3, 5, j)[0]]
    )
    assert seen[1] <= total  # rows outside the field are not visited
    assert 0 < seen[0] < seen[1]


def test_t7_one_cosmology_for_growth_and_distance():
    """T7: another Omega_m changes maps through growth and distance alike."""
    modes = noise()
    s1 = zeldovich(modes, 64.0)
    c = C.replace(Omega_m=0.4, transfer=_table(), sigma8=None)
    base = C.replace(transfer=_table(), sigma8=None)
    cone = make(force="linear", order=1, field_of_view=1.1)
    for one in (c, base):
        want = linear_cone(s1, cone, Background(one.Omega_m), 1.0)
        np.testing.assert_allclose(cone(modes, one)[0], want, atol=2e-6)


def _table():
    k = np.geomspace(1e-3, 50.0, 4000)
    return k, C.linear_power(k)


def test_t9_mean_and_wrap():
    """T9: the uniform part is analytic, not the map's mean; nothing wraps along the
    line of sight (the NumPy cone does not), so a displaced box stays in place."""
    modes = noise()
    cone = make()
    kappa = cone(modes, C)[0]
    assert abs(kappa.mean()) > 1e-6  # a map has a mean of its own
    coarse = make(map_shape=(12, 16))(modes, C)[0]
    # another pixelisation shows the same level: nothing was normalised by the map
    assert abs(coarse.mean() - kappa.mean()) < 0.1 * kappa.std()


def test_t9_shot_noise_is_reported():
    """T9: a cone of particles without structure in them has the noise it says.

    Random positions instead of a lattice: white noise as modes with a huge amplitude
    scatter particles over the box (kicks of many box lengths), which then are Poisson.
    """
    power = (np.geomspace(1e-3, 100, 50), np.full(50, 3e7))
    c = Cosmology(Omega_m=0.3089, transfer=power)
    cone = make(
        32, steps=[0.4, 0.9], force="linear", order=1, integrator="fastpm",
        map_shape=(96, 128), sources=[1.0],
    )  # fmt: skip
    found = []
    for seed in range(4):
        kappa = cone(noise(32, seed), c)[0]
        ell, power_l, n = gv.lensing.map_spectrum(kappa, 1.2)
        from gradiverse.lensing._window import windows

        window = windows(cone.map_shape, len(ell))[1]
        use = (ell > 2000) & (ell < 12000)
        found.append(((power_l / window)[use] @ n[use]) / n[use].sum())
    # the noise of four maps of some thousand modes; near particles weigh most and
    # are few, hence the width
    assert np.mean(found) / cone.shot_noise(c)[0] == pytest.approx(1.0, abs=0.25)


# --- settings that make no sense ------------------------------------------------------
@pytest.mark.smoke
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shape": (15, 16, 16)}, "even"),
        ({"shape": 16}, "shape"),
        ({"mesh_factor": 1.3}, "mesh_factor"),
        ({"map_shape": (0, 4)}, "map_shape"),
        ({"field_of_view": -1.0}, "field_of_view"),
        ({"field_of_view": (1.0, 1.0)}, "square"),
        ({"sources": [2.5]}, "beyond the light cone"),
        ({"sources": [0.0]}, "positive"),
        ({"sources": []}, "no sources"),
        ({"sources": None, "nz": (NZ[0], -NZ[1])}, "not negative"),
        ({"steps": [0.3, 0.9, 1.2], "integrator": "fastpm"}, "ends today"),
        ({"steps": [0.5, 0.4]}, "increase"),
        ({"box": -1.0}, "box"),
        ({"integrator": "leapfrog"}, "integrator"),
        ({"precision": "half"}, "precision"),
        ({"rng": -3}, "rng"),
    ],
)
def test_bad_settings(changes, words):
    with pytest.raises(ValueError, match=words):
        make(**changes)


def test_bad_calls():
    cone = make()
    with pytest.raises(ValueError, match="made for"):
        cone(noise(8), C)
    with pytest.raises(TypeError, match="Cosmology"):
        cone(noise(), 0.3)
    with pytest.raises(ValueError, match="flat"):
        cone(noise(), C.replace(Omega_k=0.01))
    with pytest.raises(TypeError, match="PGD"):
        make(pgd=3.0)
    with pytest.raises(ValueError, match="nz"):
        cone.alignment(noise(), C)
    with pytest.raises(ValueError, match="one source plane"):
        make(sources=None, nz=NZ).planes(noise(), C)


def test_a_map_outside_the_box():
    """Known cosmology: before the run, with the width that fits; traced: during it."""
    cone = make(field_of_view=2.0)
    with pytest.raises(ValueError, match=r"at most 1\.594 degrees"):
        cone(noise(), C)
    run = gv.compile(lambda m, c: cone(m, c))
    with pytest.raises(ValueError, match="outside the box"):
        run(noise(), C)


def test_too_little_memory_is_said_before_the_start(monkeypatch):
    from gradiverse import _memory

    monkeypatch.setattr(_memory, "available", lambda: 1000)
    with pytest.raises(MemoryError, match="light cone needs"):
        make()(noise(), C)
