"""Painting particles: errors, the rule in positions of pm_force_t, sums, threads."""

import numpy as np
import pytest

from gradiverse import _core

from .harness import ROWS
from .samples import pack

GRID = {"lattice": (16, 6, 5), "mesh": (32, 6, 7), "lx": 9.0, "ly": 8.0, "lz": 7.0}
BOX = np.array([9.0, 8.0, 7.0])
N = 480


def run(op, arrays, names=None, threads=None, **attrs):
    """One operator on arrays -> its outputs."""
    g = _core.Graph()
    names = names or [a.dtype.name for a in arrays]
    inputs = [g.input(n, a.shape) for n, a in zip(names, arrays, strict=True)]
    out = g.op(op, tuple(inputs), pack(ROWS[op], {**GRID, **attrs}))
    before = _core.get_threads()
    _core.set_threads(threads or before)
    try:
        return g.program(inputs, [out + k for k in range(g.nout(out))]).run(arrays)
    finally:
        _core.set_threads(before)


def fixed(seed=0, reach=3.0):
    """Displacements of up to `reach` cells in quanta of 2^-20, and unit."""
    u = np.random.default_rng(seed).uniform(-reach, reach, (3, N))
    return np.rint(u * 2.0**20).astype(np.int32), np.array([2.0**-20, 1.0])


def test_sums_are_those_of_the_particles():
    x, unit = fixed()
    (rho,) = run("pm_paint", [x, unit], ["q32", "float64"])
    assert abs(rho.mean(dtype=float) - 1) < 1e-6  # rounding of 480 weights of 8
    v = np.random.default_rng(1).normal(size=(3, N)).astype(np.float32)
    (flux,) = run("pm_flux", [x, unit, v], ["q32", "float64", "float32"])
    assert abs(flux.sum(dtype=float)) < 1e-5 * np.abs(flux).sum()


@pytest.mark.parametrize("reach", [1.0, 40.0])
def test_fixed_and_floating_point_agree(reach):
    x, unit = fixed(2, reach)
    cell = BOX / GRID["mesh"]
    index = np.stack(np.unravel_index(np.arange(N), GRID["lattice"]), -1)
    ratio = np.array(GRID["mesh"]) / GRID["lattice"]
    pos = (index * ratio + 0.5 + x.T * unit[0]) * cell
    (a,) = run("pm_paint", [x.astype(np.int64), unit], ["q64", "float64"])
    (b,) = run("pm_paint", [pos, np.zeros(2)])
    # the lattice of 7/5 cells is rounded to quanta: half of one in each of three axes
    assert np.abs(a - b).max() < 8 * unit[0]


@pytest.mark.parametrize("op", ["pm_paint", "pm_flux", "pm_force_t"])
@pytest.mark.parametrize("reach", [0.5, 6.0, 50.0])
def test_same_bits_on_any_number_of_threads(op, reach):
    x, unit = fixed(3, reach)
    v = np.random.default_rng(4).normal(size=(3, N)).astype(np.float32)
    arrays = [x, unit, v, np.array(0.3)]
    arrays = arrays[: ROWS[op]["nin"]]
    names = ["q32", "float64", "float32", "float64"][: len(arrays)]
    one, two, three = (run(op, arrays, names, t)[0] for t in (1, 2, 3))
    assert one.tobytes() == two.tobytes() == three.tobytes()


def force_t_of(pos, v, mesh, per_cell):
    """pm_force_t by np.add.at and np.roll; pos in cells, v (N, 3)."""
    cell = np.floor(pos).astype(int)
    f = pos - cell
    total = np.zeros(mesh)
    for d in range(3):
        field = np.zeros(mesh)
        for bits in np.ndindex(2, 2, 2):
            weight = np.prod(np.where(bits, f, 1 - f), axis=1)
            at = tuple(((cell + bits) % mesh).T)
            np.add.at(field, at, v[:, d] * weight)
        near = np.roll(field, -1, d) - np.roll(field, 1, d)
        far = np.roll(field, -2, d) - np.roll(field, 2, d)
        total += (8 * near - far) * per_cell[d] / 12
    return total


@pytest.mark.parametrize("reach", [0.4, 3.0, 70.0])
@pytest.mark.parametrize(
    ("lattice", "mesh"),
    [
        ((3, 2, 4), (1, 2, 3)),
        ((2, 4, 3), (2, 4, 5)),
        ((4, 4, 4), (4, 4, 4)),
        ((5, 3, 7), (5, 9, 7)),
        ((17, 3, 4), (17, 6, 8)),
        ((47, 3, 5), (47, 17, 11)),
        ((24, 3, 9), (48, 16, 9)),
        ((66, 5, 3), (66, 33, 6)),
        ((65, 2, 3), (130, 5, 10)),
    ],
)
def test_force_t_on_meshes_of_all_sizes(lattice, mesh, reach):
    """Smaller than the stencil, odd, and of several slabs; near the lattice and far."""
    rng = np.random.default_rng(8)
    n = int(np.prod(lattice))
    u = rng.uniform(-reach, reach, (3, n))
    x, unit = np.rint(u * 2.0**50).astype(np.int64), np.array([2.0**-50, 1.0])
    v, scale = rng.normal(size=(3, n)), np.array(0.6)
    grid = {"lattice": lattice, "mesh": mesh}
    arrays, names = [x, unit, v, scale], ["q64", *3 * ["float64"]]
    one, two, three = (
        run("pm_force_t", arrays, names, t, **grid)[0] for t in (1, 2, 3)
    )
    assert one.tobytes() == two.tobytes() == three.tobytes()
    index = np.stack(np.unravel_index(np.arange(n), lattice), -1)
    pos = index * (np.array(mesh) / lattice) + 0.5 + x.T * unit[0]
    want = force_t_of(pos, v.T, mesh, 0.6 * np.array(mesh) / BOX)
    # positions of up to 200 cells are rounded to 3e-14 in the oracle; the stencil's
    # weights sum to 18 / 12, and a cell sees the clouds of a few dozen particles
    size = np.abs(v).max() * 0.6 * (np.array(mesh) / BOX).sum()
    assert np.abs(one - want).max() < 3e-14 * 18 / 12 * size * max(
        30, 64 * n / want.size
    )


def test_force_t_is_differentiated_in_positions():
    """Against central differences; kinks are 0.05 cells away."""
    rng = np.random.default_rng(5)
    pos = (rng.integers(0, 6, (9, 3)) + rng.uniform(0.05, 0.95, (9, 3))) * BOX
    pos /= GRID["mesh"]
    v, scale = rng.normal(size=(9, 3)), np.array(0.7)
    unit, w = np.zeros(2), rng.normal(size=GRID["mesh"])
    d = rng.normal(size=pos.shape)
    g = _core.Graph()
    arrays = [pos, unit, v, scale]
    inputs = [g.input("float64", a.shape) for a in arrays]
    out = g.op("pm_force_t", tuple(inputs), pack(ROWS["pm_force_t"], GRID))
    weight = g.input("float64", w.shape)
    (g_x,) = g.vjp([out], [weight], [inputs[0]])
    (mine,) = g.program([*inputs, weight], [g_x]).run([*arrays, w])
    h = 1e-4
    ends = [run("pm_force_t", [pos + s * h * d, *arrays[1:]])[0] for s in (1, -1)]
    slope = np.sum(w * (ends[0] - ends[1])) / (2 * h)  # a cubic: error O(h^2)
    assert abs(np.sum(mine * d) - slope) < 1e-6 * np.abs(mine * d).sum()


def test_errors_say_what_where_and_how():
    x, unit = fixed()
    names = ["q32", "float64"]
    with pytest.raises(ValueError, match="power of two"):
        run("pm_paint", [x, np.array([0.3, 1.0])], names)
    with pytest.raises(ValueError, match="480 particles"):
        run("pm_paint", [x[:, 1:], unit], names)
    with pytest.raises(ValueError, match="three numbers"):
        run("pm_paint", [x, unit], names, mesh=(4, 4))
    with pytest.raises(ValueError, match="sides must be finite"):
        run("pm_paint", [x, unit], names, lx=-1.0)
    with pytest.raises(ValueError, match="coarser"):
        run("pm_paint", [x, unit], names, mesh=(2048, 2048, 1024))
    with pytest.raises(TypeError, match="positions"):
        run("pm_paint", [x, unit])
    pos = np.ones((5, 3))
    pos[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"particle 3 .*nan"):
        run("pm_paint", [pos, unit])
    with pytest.raises(ValueError, match="no particles"):
        run("pm_paint", [pos[:0], unit])
    with pytest.raises(ValueError, match="vector"):
        run("pm_flux", [pos, unit, np.ones((4, 3))])
