"""Maps: spectra, noise, masks, files; alignments; lens planes of the cone."""

import numpy as np
import pytest

import gradiverse as gv
from gradiverse.lensing import rays

from .test_cone import NZ, C, make, noise


# --- spectra and files --------------------------------------------------------------
def test_spectrum_of_a_wave():
    """A wave of amplitude A: its two modes hold A^2/2 times the area."""
    ny, nx, fov = 32, 64, 4.0
    pixel = np.radians(fov) / nx
    x = np.arange(nx) + np.zeros((ny, 1))
    kappa = 0.3 * np.cos(2 * np.pi * 5 * x / nx)
    ell, power, n = gv.lensing.map_spectrum(kappa, fov)
    k = np.argmax(power)
    assert ell[k] == pytest.approx(2 * np.pi * 5 / (nx * pixel), rel=0.1)
    area = nx * ny * pixel**2
    assert power[k] * n[k] / area == pytest.approx(0.3**2 / 2, rel=1e-12)


def test_spectra_of_stacks_and_their_gradient():
    kappa = np.random.default_rng(0).normal(size=(2, 3, 12, 12))
    _, power, _ = gv.lensing.map_spectrum(kappa, 1.0)
    _, one, _ = gv.lensing.map_spectrum(kappa[1, 2], 1.0)
    np.testing.assert_allclose(power[1, 2], one, rtol=1e-13)
    gv.testing.check_grads(
        lambda k: gv.lensing.map_spectrum(k, 1.0)[1] * 1e4, (kappa[0],), order=1
    )


def test_noise_and_mask():
    n = gv.lensing.shape_noise((300, 300), 5.0, 0.26, 30.0, rng=1)
    sd = 0.26 / np.sqrt(30 * (5 * 60 / 300) ** 2)
    assert n.std() == pytest.approx(sd, rel=5 / np.sqrt(2 * n.size))
    assert np.array_equal(n, gv.lensing.shape_noise((300, 300), 5.0, 0.26, 30.0, rng=1))
    mask = gv.lensing.random_mask((200, 200), 5.0, 0.15, 3.0, rng=2)
    assert set(np.unique(mask)) == {0.0, 1.0}
    assert 0.15 <= 1 - mask.mean() < 0.17
    assert gv.lensing.random_mask((9, 9), 1.0, 0.0).all()
    with pytest.raises(ValueError, match="fraction"):
        gv.lensing.random_mask((9, 9), 1.0, 1.0)
    with pytest.raises(ValueError, match="density"):
        gv.lensing.shape_noise((9, 9), 1.0, density=0.0)


def test_files_come_back(tmp_path):
    kappa = np.random.default_rng(0).normal(size=(2, 8, 16))
    path = tmp_path / "sub" / "map.h5"
    gv.lensing.write_maps(
        path, kappa, (1.0, 2.0), {"steps": [0.1, 1.0]}, C, seed=3, extra=np.arange(3)
    )
    found = gv.lensing.read_maps(path)
    assert np.array_equal(found["kappa"], kappa) and found["seed"] == 3
    assert found["settings"] == {"steps": [0.1, 1.0]}
    assert found["field_of_view"] == (1.0, 2.0) and found["cosmology"]["h"] == C.h
    assert list(found["extra"]) == [0, 1, 2]
    assert not list(tmp_path.rglob("*.part"))
    with pytest.raises(ValueError, match="finite"):
        gv.lensing.write_maps(path, kappa * np.nan, 2.0, {}, C)
    assert np.array_equal(gv.lensing.read_maps(path)["kappa"], kappa)
    with pytest.raises(OSError):
        gv.lensing.read_maps(tmp_path / "none.h5")


# --- alignments -----------------------------------------------------------------------
def test_alignments_are_linear_in_their_amplitude():
    """Exactly: bit for bit with powers of two, and zero for zero."""
    cone, modes = make(sources=None, nz=NZ), noise()
    one = cone.alignment(modes, C, A_IA=1.0)
    assert one.std() > 0
    assert np.array_equal(cone.alignment(modes, C, A_IA=-2.0), -2.0 * one)
    assert not cone.alignment(modes, C, A_IA=0.0).any()
    g = gv.grad(lambda a: (cone.alignment(modes, C, A_IA=a) * one).sum())(0.7)
    assert g == pytest.approx((one * one).sum(), rel=1e-12)


def test_alignments_are_a_weighted_projection():
    """Sum over thin planes of n F delta dchi, planes of the same cone as oracle.

    sigma_l = 1.5 Om (H0/c)^2 dchi chi_l delta_l/a_l gives delta_l dchi; 60 planes.
    """
    z = np.array([0.5, 0.7, 0.9])
    n = np.array([0.0, 1.0, 0.0])
    modes = noise()
    cone = make(sources=None, nz=(z, n))
    got = cone.alignment(modes, C, A_IA=1.3, eta=0.5, z0=0.6, C1rho_cr=0.0139)[0]
    planes, chi, _ = make(sources=[0.9]).planes(modes, C, n_planes=120)
    a = C.scale_factor(chi)
    zl = 1 / a - 1
    delta = planes * (a / chi * 2997.92458**2 / (1.5 * C.Omega_m))[:, None, None]
    weight = np.interp(zl, z, n, left=0, right=0) / 0.2 * C.E(a) / 2997.92458
    f = gv.lensing.nla_amplitude(C, zl, 1.3, 0.5, 0.6, 0.0139)
    want = (delta * (weight * f)[:, None, None]).sum(axis=0)
    # planes are 13 Mpc/h thick: weights vary by a tenth over the nearest ones
    assert np.corrcoef(got.ravel(), want.ravel())[0, 1] > 0.999
    assert got.std() == pytest.approx(want.std(), rel=0.02)
    assert f[60] == pytest.approx(
        -1.3 * 0.0139 * C.Omega_m / C.growth(a[60]) * ((1 + zl[60]) / 1.6) ** 0.5
    )


# --- ray tracing through the cone -----------------------------------------------------
def test_planes_add_up_to_born():
    """kappa = sum of (1 - chi_l/chi_s) sigma_l, up to half the thickness of planes:
    at most that part of chi_s of the painted map, and less for thinner ones."""
    modes, cone = noise(), make()
    kappa = cone(modes, C)[0]
    painted = (kappa + cone.uniform(C)[0]).max()
    errors = []
    for n in (25, 100):
        sigma, chi, far = cone.planes(modes, C, n_planes=n)
        assert sigma.shape == (n, 24, 32)
        assert far == pytest.approx(float(C.comoving_distance(1.0)), rel=1e-12)
        errors.append(np.abs(gv.lensing.born(sigma, chi, far) - kappa).max())
        assert errors[-1] < 0.5 / n * painted
    assert errors[1] < 0.5 * errors[0]


def test_ray_tracing_of_the_cone():
    """Close to Born, not equal; differentiable in modes."""
    modes, cone = noise(), make()
    kappa = cone(modes, C)[0]
    r = cone.raytrace(modes, C, n_planes=12)
    assert isinstance(r, rays.Rays) and r.kappa.shape == (24, 32)
    assert 0.95 < np.corrcoef(r.kappa.ravel(), kappa.ravel())[0, 1] < 1
    w = np.random.default_rng(0).normal(size=(24, 32))

    def loss(m):
        return (w * cone.raytrace(m, C, n_planes=4).kappa).sum()

    g, d = gv.grad(loss)(modes), np.random.default_rng(1).normal(size=modes.shape)
    h = 1e-7
    want = (8 * (loss(modes + h * d) - loss(modes - h * d))
            - loss(modes + 2 * h * d) + loss(modes - 2 * h * d)) / (12 * h)  # fmt: skip
    assert (g * d).sum() == pytest.approx(want, rel=1e-6)


def test_shear_of_the_cone():
    modes, cone = noise(), make()
    g1, g2 = cone.shear(modes, C)
    e, b = gv.lensing.convergence_from_shear(g1, g2)
    kappa = gv.lensing.nyquist_free(cone(modes, C))
    np.testing.assert_allclose(gv.lensing.nyquist_free(e), kappa, atol=1e-10)
    assert np.abs(gv.lensing.nyquist_free(b)).max() < 1e-10
