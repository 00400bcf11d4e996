"""Limber spectra against published values, an independent quadrature, and limits."""

import numpy as np
import pytest
from scipy.integrate import quad

import gradiverse as gv
from gradiverse.cosmology import Cosmology
from gradiverse.lensing._sources import HUBBLE_DISTANCE, Distribution, Plane, many

PLANCK = Cosmology(Omega_m=0.3089, Omega_b=0.0486, h=0.6774, n_s=0.9667, sigma8=0.8159)


def gaussian(n=401):
    z = np.linspace(0.0, 2.0, n)
    return z, np.exp(-0.5 * ((z - 1) / 0.15) ** 2)


def test_ccl_values():
    """CCL's benchmark: linear BBKS, Gaussian n(z), k = (l + 1/2)/chi, to 5e-4."""
    c = Cosmology(
        Omega_m=0.3,
        Omega_b=0.0,
        h=0.7,
        n_s=0.96,
        sigma8=0.8,
        T_cmb=2.7,
        transfer="bbks",
    )
    got = gv.lensing.limber_cl(
        c, [100, 1000], nz=gaussian(), nonlinear=False, ell_shift=0.5
    )
    np.testing.assert_allclose(got, [6.297303e-9, 9.320367e-11], rtol=5e-4)


@pytest.mark.smoke
def test_planck_values():
    """An independent halofit + Limber code at z_s = 1, k = l/chi, to 2e-4."""
    ell = np.array([100.0, 1000.0])
    linear = gv.lensing.limber_cl(PLANCK, ell, 1.0, False)
    np.testing.assert_allclose(linear, [7.5682e-9, 9.4890e-11], rtol=2e-4)
    full = gv.lensing.limber_cl(PLANCK, ell, 1.0)
    np.testing.assert_allclose(full, [8.0608e-9, 4.3362e-10], rtol=2e-4)


def test_shot_noise_value():
    """3.044e-12 times the volume per particle at z_s = 1, Omega_m = .3089."""
    got = gv.lensing.shot_noise_cl(Cosmology(Omega_m=0.3089), 1 / 8, 1.0)
    assert got == pytest.approx(8 * 3.044e-12, rel=2e-4)


@pytest.mark.parametrize("Omega_k", [0.0, 0.2, -0.2])
def test_efficiency_of_distributions_is_their_integral(Omega_k):
    """q(chi) against adaptive quadrature of n f_K(chi' - chi)/f_K(chi').

    n(z) is a tent of two straight lines, whose intervals the code cuts into about 256
    pieces of constant density: an error of (1/256)^2/12 of the curvature of the
    integrand, a few 1e-6 of q; of q over the last interval's share near the end.
    """
    c = Cosmology(Omega_m=0.3, Omega_k=Omega_k)
    d = Distribution([0.3, 0.9, 1.5], [0.0, 2.0, 1.0])
    area = 0.5 * 0.6 * 2 + 0.5 * 0.6 * 3

    def f_k(x):
        if Omega_k == 0:
            return x
        r = np.sqrt(abs(Omega_k)) / HUBBLE_DISTANCE
        return (np.sinh if Omega_k > 0 else np.sin)(r * x) / r

    z = np.array([0.0, 0.2, 0.31, 0.8, 1.2, 1.49])
    chi = c.comoving_distance(z)
    got = d.efficiency(c, chi, c.transverse_distance(z))
    if Omega_k == 0:
        np.testing.assert_allclose(got, d.efficiency(c, chi), rtol=1e-13)
    for i in range(len(z)):

        def integrand(zz, here=chi[i]):
            n = np.interp(zz, [0.3, 0.9, 1.5], [0.0, 2.0, 1.0], left=0) / area
            far = float(c.comoving_distance(zz))
            return n * f_k(far - here) / f_k(far)

        want = quad(integrand, z[i], 1.5, points=[0.3, 0.9], epsabs=1e-12, limit=200)[0]
        assert got[i] == pytest.approx(want, rel=2e-5, abs=2e-8)


def test_a_narrow_distribution_is_a_plane():
    """Width 2e-3 about z = 1: the difference is of second order in the width."""
    z = np.array([0.998, 1.0, 1.002])
    narrow = gv.lensing.limber_cl(PLANCK, 300.0, nz=(z, [0.0, 1.0, 0.0]))
    plane = gv.lensing.limber_cl(PLANCK, 300.0, 1.0)
    assert narrow == pytest.approx(plane, rel=1e-4)


def test_curvature_is_continuous_through_flat_space():
    flat = gv.lensing.limber_cl(PLANCK, 200.0, 1.0, False)
    for k in (1e-7, -1e-7):
        near = gv.lensing.limber_cl(PLANCK.replace(Omega_k=k), 200.0, 1.0, False)
        assert near == pytest.approx(flat, rel=2e-6)


def test_full_sky_factor():
    plain = gv.lensing.limber_cl(PLANCK, 10.0, 1.0, False, 0.5)
    full = gv.lensing.limber_cl(PLANCK, 10.0, 1.0, False, 0.5, full_sky=True)
    assert full / plain == pytest.approx(12 * 11 * 10 * 9 / 10.5**4, rel=1e-12)


def four_point(f, x, h):
    """Derivative of f at x, error O(h^4)."""
    return (8 * (f(x + h) - f(x - h)) - f(x + 2 * h) + f(x - 2 * h)) / (12 * h)


@pytest.mark.parametrize("nonlinear", [False, True])
@pytest.mark.parametrize(
    "name", ["Omega_m", "Omega_b", "h", "n_s", "sigma8", "w0", "wa", "Omega_k"]
)
def test_gradients(name, nonlinear):
    """Reverse mode against 4-point differences, h = 1e-3: truncation below 1e-6."""

    def total(x):
        c = PLANCK.replace(**{name: x})
        ell = np.array([50.0, 500.0, 2000.0])
        return (gv.lensing.limber_cl(c, ell, nz=gaussian(41), nonlinear=nonlinear)
                * ell**2).sum()  # fmt: skip

    x = float(getattr(PLANCK, name))
    want = four_point(lambda v: float(total(v)), x, 1e-3)
    got = gv.grad(total)(x)
    assert abs(want) > 0
    assert got == pytest.approx(want, rel=2e-6)


def test_gradient_in_the_source_distribution():
    z, n = gaussian(21)

    def f(n):
        return gv.lensing.limber_cl(PLANCK, 300.0, nz=(z, n), nonlinear=False)

    g = gv.grad(f)(n)
    assert abs(g @ n) < 1e-12 * np.abs(g * n).sum()  # the scale of n does not matter
    d = np.random.default_rng(0).normal(size=n.shape) * n
    want = four_point(lambda t: float(f(n + t * d)), 0.0, 1e-3)
    assert g @ d == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"z_source": -1.0}, "source redshift"),
        ({"z_source": [1.0, 2.0]}, "one redshift"),
        ({"z_source": 1.0, "nz": ([0.1, 1], [1, 1])}, "not both"),
        ({"nz": ([0.5, 0.4], [1, 1])}, "rise"),
        ({"nz": ([0.5, 0.6], [1, -1])}, r"n\[1\]"),
        ({"nz": ([0.5, 0.6], [0, 0])}, "zero everywhere"),
        ({"nz": ([0.5, 0.6], [1, 1, 1])}, "shape"),
        ({"nz": 3.0}, "pair"),
    ],
)
def test_bad_sources(kwargs, words):
    with pytest.raises(ValueError, match=words):
        gv.lensing.limber_cl(PLANCK, 100.0, **kwargs)


def test_bad_multipoles():
    with pytest.raises(ValueError, match="ell"):
        gv.lensing.limber_cl(PLANCK, [10.0, 0.0])
    assert gv.lensing.limber_cl(PLANCK, [0.0, 1.0], ell_shift=0.5).shape == (2,)


def test_lists_of_sources():
    z, n = gaussian(5)
    assert [type(s) for s in many([0.5, 1.0], (z, n))] == [Plane, Plane, Distribution]
    assert len(many(None, [(z, n), (z, n)])) == 2
    assert len(many(None, ((z, n),))) == 1
    with pytest.raises(ValueError, match="no sources"):
        many(None, None)
