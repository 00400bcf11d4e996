"""Painting, reading out and the force on float positions."""

import numpy as np
import pytest

import gradiverse as gv
from gradiverse import _core
from gradiverse.graph import emit
from gradiverse.nbody.mesh import acceleration, paint, readout
from gradiverse.testing import check_grads

from . import reference_mesh

BOX = (40.0, 30.0, 25.0)
SHAPE = (16, 12, 10)


def near_lattice(lattice, box, spread, seed=0, dtype=float):
    """Positions around a lattice, away from the faces of cells for SHAPE."""
    rng = np.random.default_rng(seed)
    at = np.stack(np.unravel_index(np.arange(np.prod(lattice)), lattice), -1)
    return ((at + rng.normal(0, spread, at.shape)) * (np.array(box) / lattice)).astype(
        dtype
    )


def scattered(n, box, shape, seed=0):
    """Random positions of which none lies within a tenth of a cell of a kink."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(-40, 80, (n, 3)) / 2 + rng.uniform(0.1, 0.4, (n, 3))
    return cells * (np.array(box) / shape)


# --- windows ------------------------------------------------------------------------


def painted(positions, shape, kind, value=1.0, orders=(0, 0, 0)):
    """One particle's weights on a mesh with cells of 1 Mpc/h, by mesh_paint."""
    pos = np.array([positions], float)
    lx, ly, lz = map(float, shape)
    return emit(
        "mesh_paint", (pos, np.array([value])), mesh=shape, lx=lx, ly=ly, lz=lz,
        kind=kind, dx=orders[0], dy=orders[1], dz=orders[2],
    )[..., 0]  # fmt: skip


def test_cloud_in_cell_values():
    """Published values of pmesh's windows."""
    np.testing.assert_allclose(painted((-0.5, -0.5, 0), (2, 2, 1), 0), 0.25)
    slope = painted((0.5, 0, 0), (2, 2, 1), 0, orders=(1, 0, 0))
    np.testing.assert_allclose(slope, [[-1, 0], [1, 0]])
    rho = paint(np.array([[-0.5, -0.5, 0.0]]), 2.0, (2, 2, 1))
    np.testing.assert_allclose(rho, np.ones((2, 2, 1)))


@pytest.mark.parametrize(
    ("kind", "at", "shape", "wanted"),
    [
        ("tsc", 1.8, 4, [0, 0.245, 0.71, 0.045]),
        ("tsc", 2.0, 4, [0, 0.125, 0.75, 0.125]),
        ("tsc", 0.0, 5, [0.75, 0.125, 0, 0, 0.125]),
        ("pcs", 2.5, 5, [0, 0.02083333, 0.47916667, 0.47916667, 0.02083333]),
    ],
)
def test_wider_windows_values(kind, at, shape, wanted):
    """Published values of pmesh's windows, painted and read."""
    x = np.array([[at, 0.0, 0.0]])
    box = (float(shape), 1.0, 1.0)
    rho = paint(x, box, (shape, 1, 1), kind=kind).ravel() / shape
    np.testing.assert_allclose(rho, wanted, atol=1e-7)
    for c in range(shape):
        point = np.zeros((shape, 1, 1))
        point[c] = 1
        value = readout(point, x, box, kind=kind)
        np.testing.assert_allclose(value, wanted[c], atol=1e-7)


@pytest.mark.smoke
@pytest.mark.parametrize("kind", ["cic", "tsc", "pcs"])
def test_readout_is_the_transpose_of_paint(kind):
    x = scattered(200, BOX, SHAPE)
    f = np.random.default_rng(1).normal(size=(6, *SHAPE))
    rho = paint(x, BOX, SHAPE, kind=kind)
    scale = len(x) / np.prod(SHAPE)
    left = np.sum(rho * f[5]) * scale
    values = readout(f, x, BOX, kind=kind)
    assert values.shape == (6, 200)
    np.testing.assert_allclose(values[5].sum(), left, rtol=1e-12)
    for one, many in zip(f, values, strict=True):
        np.testing.assert_array_equal(many, readout(one, x, BOX, kind=kind))
    assert abs(rho.mean() - 1) < 1e-13


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cloud_in_cell_against_numpy(dtype):
    x = near_lattice((12, 10, 8), BOX, 1.5, dtype=dtype)
    f = np.random.default_rng(1).normal(size=(3, *SHAPE)).astype(dtype)
    rho, values = paint(x, BOX, SHAPE), readout(f, x, BOX)
    assert rho.dtype == values.dtype == dtype
    wide = x.astype(float)
    eps = np.finfo(dtype).eps
    wanted = reference_mesh.paint(wide, np.array(BOX), SHAPE)
    np.testing.assert_allclose(rho, wanted, atol=16 * eps * wanted.max())
    wanted = reference_mesh.readout(f.astype(float), wide, np.array(BOX))
    np.testing.assert_allclose(values, wanted, atol=16 * eps * np.abs(f).max())


# --- the force ----------------------------------------------------------------------


@pytest.mark.parametrize("route", ["two_fft", "four_fft"])
@pytest.mark.parametrize(("dtype", "bound"), [(np.float32, 1e-6), (np.float64, 1e-13)])
def test_acceleration_against_numpy(route, dtype, bound):
    """The same formulas in double precision: error over the largest acceleration."""
    x = near_lattice((32, 24, 20), BOX, 0.7, dtype=dtype)
    mesh = (32, 24, 20)
    a = acceleration(x, BOX, mesh, route=route)
    assert a.dtype == dtype
    wanted = reference_mesh.acceleration(x.astype(float), BOX, mesh, route)
    error = np.abs(a - wanted).max() / np.abs(wanted).max()
    assert error <= bound, error


def test_odd_and_thin_meshes():
    x = near_lattice((9, 7, 1), (20.0, 21.0, 3.0), 0.3)
    for route in ("two_fft", "four_fft"):
        a = acceleration(x, (20.0, 21.0, 3.0), (9, 7, 1), route=route)
        wanted = reference_mesh.acceleration(x, (20.0, 21.0, 3.0), (9, 7, 1), route)
        np.testing.assert_allclose(a, wanted, atol=1e-13 * np.abs(wanted).max())


def test_momentum_is_conserved():
    """Paint and read-out are transposes and D is antisymmetric: the sum vanishes."""
    x = near_lattice((16, 12, 10), BOX, 1.0)
    for route in ("two_fft", "four_fft"):
        a = acceleration(x, BOX, SHAPE, route=route)
        assert np.abs(a.sum(0)).max() <= 1e-12 * np.abs(a).sum()
        assert np.abs(a).max() > 0.1


def test_two_transforms():
    x = near_lattice((8, 8, 8), 20.0 * np.ones(3), 0.3, dtype=np.float32)
    for route, count in (("two_fft", 2), ("four_fft", 4)):
        before = _core.fft_count()
        acceleration(x, 20.0, (8, 8, 8), route=route)
        assert _core.fft_count() - before == count


def test_threads_do_not_change_bits():
    x = near_lattice((40, 40, 40), 80.0 * np.ones(3), 0.8, dtype=np.float32)
    before, found = gv.get_threads(), []
    try:
        for n in (1, 2, 3):
            gv.set_threads(n)
            found.append(acceleration(x, 80.0, (40, 40, 40)))
    finally:
        gv.set_threads(before)
    for a in found[1:]:
        np.testing.assert_array_equal(a, found[0])


# --- derivatives --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["cic", "tsc", "pcs"])
def test_gradients_of_paint_and_readout(kind):
    x = scattered(6, BOX, (4, 6, 5))
    rng = np.random.default_rng(2)
    w, f = rng.normal(size=(4, 6, 5)), rng.normal(size=(2, 4, 6, 5))
    v = rng.normal(size=(2, 6))
    check_grads(
        lambda x: np.sum(w * paint(x, BOX, (4, 6, 5), kind) ** 2), (x,), order=1
    )
    check_grads(lambda f, x: np.sum(v * readout(f, x, BOX, kind)), (f, x), order=1)


@pytest.mark.parametrize("route", ["two_fft", "four_fft"])
def test_gradient_of_the_acceleration(route):
    """Against differences in a random direction, and forward against reverse mode."""
    mesh = (8, 6, 10)
    x = scattered(40, BOX, mesh)
    rng = np.random.default_rng(3)
    w, d = rng.normal(size=(40, 3)), rng.normal(size=(40, 3))

    def force(x):
        return acceleration(x, BOX, mesh, route=route)

    _, pull = gv.vjp(force, x)
    (g,) = pull(w)
    h = 1e-3
    a = [np.sum(w * force(x + s * h * d)) for s in (-2, -1, 1, 2)]
    slope = (8 * (a[2] - a[1]) - (a[3] - a[0])) / (12 * h)
    assert abs(np.sum(g * d) - slope) <= 1e-8 * np.abs(g * d).sum()
    _, tangent = gv.jvp(force, (x,), (d,))
    assert abs(np.sum(w * tangent) - np.sum(g * d)) <= 1e-12 * np.abs(g * d).sum()


def test_not_twice_for_clouds():
    x = scattered(6, BOX, (4, 6, 5))
    with pytest.raises(TypeError, match="twice"):
        gv.hvp(lambda x: np.sum(paint(x, BOX, (4, 6, 5)) ** 2), x, np.ones_like(x))


# --- bad input ----------------------------------------------------------------------


@pytest.mark.parametrize("call", [
    lambda x: paint(x, 10.0, (4, 4, 4)),
    lambda x: paint(x, 10.0, (4, 4, 4), kind="tsc"),
    lambda x: readout(np.ones((4, 4, 4)), x, 10.0),
    lambda x: readout(np.ones((2, 4, 4, 4)), x, 10.0, kind="pcs"),
    lambda x: acceleration(x, 10.0, (4, 4, 4)),
])  # fmt: skip
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_positions_that_are_nowhere(call, bad):
    x = np.ones((7, 3))
    x[5, 1] = bad
    with pytest.raises(ValueError, match="particle 5"):
        call(x)


def test_bad_arguments():
    x = np.ones((7, 3))
    for positions, error in ((x[:, :2], ValueError), (x[0], ValueError),
                             (x[:0], ValueError), (x + 1j, TypeError)):  # fmt: skip
        with pytest.raises(error, match="positions"):
            paint(positions, 10.0, (4, 4, 4))
    for shape, error in (((4, 4), ValueError), ((4, 0, 4), ValueError),
                         ((4, 4.5, 4), TypeError), (4, TypeError)):  # fmt: skip
        with pytest.raises(error, match="shape"):
            acceleration(x, 10.0, shape)
    with pytest.raises(ValueError, match="box"):
        paint(x, (1.0, 2.0), (4, 4, 4))
    with pytest.raises(ValueError, match="kind"):
        paint(x, 10.0, (4, 4, 4), kind="ngp")
    with pytest.raises(ValueError, match="route"):
        acceleration(x, 10.0, (4, 4, 4), route="three")
    with pytest.raises(ValueError, match="field"):
        readout(np.ones((4, 4)), x, 10.0)


def test_whole_numbers_and_single_precision():
    x = np.arange(12).reshape(4, 3)
    np.testing.assert_array_equal(
        paint(x, 16, (4, 4, 4)), paint(x * 1.0, 16.0, (4,) * 3)
    )
    f = np.random.default_rng(0).normal(size=(4, 4, 4)).astype(np.float32)
    assert readout(f, x.astype(np.float32), 16.0).dtype == np.float32
    assert readout(f, x, 16.0).dtype == np.float64


def test_an_axis_of_two_cells_has_no_slope():
    """Its only wave is the Nyquist one, whose derivative has no sign."""
    with pytest.raises(ValueError, match="2 cells"):
        acceleration(np.zeros((3, 3)), 1.0, (2, 4, 4))
