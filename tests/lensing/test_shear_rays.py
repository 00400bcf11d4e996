"""Shear and ray tracing: exact fields, inversions, limits, derivatives."""

import numpy as np
import pytest

import gradiverse as gv
from gradiverse.lensing import rays


def field(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.smoke
@pytest.mark.parametrize("shape", [(16, 16), (15, 21), (2, 12, 17)])
def test_e_mode_of_the_shear_is_the_map(shape):
    kappa = gv.lensing.nyquist_free(field(shape))
    e, b = gv.lensing.convergence_from_shear(*gv.lensing.shear_from_convergence(kappa))
    np.testing.assert_allclose(e, kappa, atol=1e-12)
    np.testing.assert_allclose(b, 0.0, atol=1e-12)


def test_a_single_precision_map_stays_one():
    kappa = gv.lensing.nyquist_free(field((32, 32)).astype(np.float32))
    g1, g2 = gv.lensing.shear_from_convergence(kappa)
    assert kappa.dtype == g1.dtype == g2.dtype == np.float32


def test_plane_wave():
    """Wave vector at an angle phi: gamma = kappa (cos 2 phi, sin 2 phi)."""
    ny, nx, my, mx = 24, 36, 2, 6
    y, x = np.mgrid[:ny, :nx]
    kappa = np.cos(2 * np.pi * (mx * x / nx + my * y / ny) + 0.3)
    phi = np.arctan2(my / ny, mx / nx)
    g1, g2 = gv.lensing.shear_from_convergence(kappa)
    np.testing.assert_allclose(g1, kappa * np.cos(2 * phi), atol=1e-13)
    np.testing.assert_allclose(g2, kappa * np.sin(2 * phi), atol=1e-13)


def test_a_mass_makes_tangential_shear():
    """Around a round lens, zeros about it, shear is tangential: -g1 on the x axis."""
    n = 65
    y, x = np.mgrid[:n, :n] - n // 2
    kappa = np.exp(-0.5 * (x**2 + y**2) / 3.0**2)
    g1, g2 = gv.lensing.shear_from_convergence(kappa, padding=1.0)
    r = 12
    # mean kappa inside r minus kappa at r, integral of the Gaussian
    want = 2 * 9 / r**2 * (1 - np.exp(-(r**2) / 18)) - np.exp(-(r**2) / 18)
    # periodic images at 3 n and the missing mean: 2 pi 9/(3 n)^2 of the peak
    assert g1[n // 2, n // 2 + r] == pytest.approx(-want, abs=2e-3)
    assert g1[n // 2 + r, n // 2] == pytest.approx(want, abs=2e-3)
    step = round(r / np.sqrt(2))
    assert g2[n // 2 + step, n // 2 + step] < -0.5 * want


def test_shear_gradients_are_the_transpose():
    kappa, u, v = field((12, 10)), field((12, 10), 1), field((12, 10), 2)
    (a, b), pull = gv.vjp(gv.lensing.shear_from_convergence, kappa)
    (back,) = pull((u, v))
    assert np.sum(u * a + v * b) == pytest.approx(np.sum(back * kappa), rel=1e-12)


def test_bad_maps():
    with pytest.raises(ValueError, match="map"):
        gv.lensing.shear_from_convergence(np.ones(3))
    with pytest.raises(ValueError, match="padding"):
        gv.lensing.shear_from_convergence(np.ones((3, 3)), padding=-1)
    with pytest.raises(ValueError, match="gamma2"):
        gv.lensing.convergence_from_shear(np.ones((3, 3)), np.ones((3, 4)))


# --- rays ---
CHI, SOURCE, FIELD = np.array([300.0, 600.0, 1000.0, 1200.0]), 1500.0, 2.0


def planes(scale, shape=(4, 16, 16), seed=3):
    p = field(shape, seed)
    return scale * (p - p.mean(axis=(1, 2), keepdims=True))


def test_rays_tend_to_born():
    """kappa - Born and omega are of second order: a tenth for a tenth."""
    second = []
    for scale in (1e-4, 1e-5, 1e-6):
        p = planes(scale)
        r = gv.lensing.raytrace(p, CHI, SOURCE, FIELD)
        straight = gv.lensing.born(p, CHI, SOURCE)
        size = np.abs(straight).max()
        second.append(
            (np.abs(r.kappa - straight).max() / size, np.abs(r.omega).max() / size)
        )
    second = np.array(second)
    assert np.all(second[0] < 1e-3) and np.all(second[0] > 1e-6)
    np.testing.assert_allclose(second[1:] / second[:-1], 0.1, rtol=0.05)


def test_first_order_shear_of_rays_is_that_of_born():
    p = 1e-9 * gv.lensing.nyquist_free(planes(1.0))
    r = gv.lensing.raytrace(p, CHI, SOURCE, FIELD)
    g1, g2 = gv.lensing.shear_from_convergence(gv.lensing.born(p, CHI, SOURCE))
    np.testing.assert_allclose(r.gamma1, g1, atol=1e-6 * np.abs(g1).max())
    np.testing.assert_allclose(r.gamma2, g2, atol=1e-6 * np.abs(g1).max())


def test_the_jacobian_of_two_planes():
    """M = (1 - r13 U1)(...) multiplied out by hand where deflections are removed.

    With rays held on the grid (a tiny pixel makes deflections vanish against kappa is
    not possible, so the read-out is replaced), M_3 = 1 - a U_1 - b U_2 (1 - c U_1) with
    a = (chi_s - chi_1)/chi_s, b = (chi_s - chi_2)/chi_s, c = (chi_2 - chi_1)/chi_2.
    """
    p = planes(0.05, (2, 8, 8))
    chi, far = np.array([400.0, 900.0]), 1600.0
    pixel = rays.pixel_size(FIELD, (8, 8))
    d = rays._derivatives(p, pixel, 0.0)
    u = np.array([[d[:, 2], d[:, 3]], [d[:, 3], d[:, 4]]])  # (2, 2, plane, y, x)
    one = np.eye(2)[:, :, None, None]
    a, b = (far - chi) / far
    c = (chi[1] - chi[0]) / chi[1]

    def times(x, y):
        return np.einsum("ij...,jk...->ik...", x, y)

    want = one - a * u[:, :, 0] - b * times(u[:, :, 1], one - c * u[:, :, 0])
    plain = rays._read
    try:
        rays._read = lambda fields, y, x: fields
        got = gv.lensing.raytrace(p, chi, far, FIELD)
    finally:
        rays._read = plain
    np.testing.assert_allclose(1 - got.kappa - got.gamma1, want[0, 0], atol=1e-14)
    np.testing.assert_allclose(-got.gamma2 + got.omega, want[0, 1], atol=1e-14)
    np.testing.assert_allclose(-got.gamma2 - got.omega, want[1, 0], atol=1e-14)
    np.testing.assert_allclose(1 - got.kappa + got.gamma1, want[1, 1], atol=1e-14)
    assert np.abs(got.omega).max() > 1e-5


def test_the_jacobian_is_the_derivative_of_the_positions():
    """Differences of smooth deflections over pixels against M, long waves."""
    n = 64
    x = 2 * np.pi * np.arange(n) / n
    p = 2e-3 * np.stack([np.cos(x)[:, None] * np.cos(x + 1), np.sin(x[:, None] + x)])
    chi, far = np.array([500.0, 1000.0]), 2000.0
    r = gv.lensing.raytrace(p, chi, far, FIELD)
    pixel = rays.pixel_size(FIELD, (n, n))
    ux, uy = r.deflection

    def slope(u, axis):
        return (np.roll(u, -1, axis) - np.roll(u, 1, axis)) / (2 * pixel)

    # second-order differences of a wave of n pixels: (2 pi/n)^2/6 = 1.6e-3 of it
    size = np.abs(r.kappa).max()
    for got, want in (
        (-r.kappa - r.gamma1, slope(ux, 1)),
        (-r.kappa + r.gamma1, slope(uy, 0)),
        (-r.gamma2 + r.omega, slope(ux, 0)),
        (-r.gamma2 - r.omega, slope(uy, 1)),
    ):
        np.testing.assert_allclose(got, want, atol=4e-3 * size)


def test_rays_are_differentiable():
    """vjp against 4-point differences in planes, distances and source; jvp = vjp."""
    p, w = planes(1e-3), field((16, 16), 9)
    d = planes(1e-3, seed=5)

    def f(p, chi, far):
        r = gv.lensing.raytrace(p, chi, far, FIELD)
        return np.sum(w * (r.kappa + r.gamma1 + 0.5 * r.gamma2 + 3 * r.omega))

    g = gv.grad(f, argnums=(0, 1, 2))(p, CHI, SOURCE)

    def four(h, at):
        values = [at(t * h) for t in (-2, -1, 1, 2)]
        return (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * h)

    for got, want in (
        (np.sum(g[0] * d), four(1e-6, lambda t: f(p + t * d, CHI, SOURCE))),
        (g[1][1], four(0.1, lambda t: f(p, CHI + t * np.eye(4)[1], SOURCE))),
        (g[2], four(0.1, lambda t: f(p, CHI, SOURCE + t))),
    ):
        assert got == pytest.approx(want, rel=1e-6)
    _, forward = gv.jvp(lambda p: f(p, CHI, SOURCE), (p,), (d,))
    assert forward == pytest.approx(np.sum(g[0] * d), rel=1e-12)


def test_bad_planes():
    p = planes(1e-3)
    with pytest.raises(ValueError, match="one distance"):
        gv.lensing.raytrace(p, CHI[:3], SOURCE, FIELD)
    with pytest.raises(ValueError, match="rise"):
        gv.lensing.raytrace(p, CHI[::-1], SOURCE, FIELD)
    with pytest.raises(ValueError, match="behind"):
        gv.lensing.born(p, CHI, 1000.0)
    with pytest.raises(ValueError, match="n_planes"):
        gv.lensing.raytrace(p[0], CHI, SOURCE, FIELD)
    with pytest.raises(ValueError, match="square"):
        gv.lensing.raytrace(p, CHI, SOURCE, (2.0, 3.0))
