"""The halo fit against the reference's values and plain quadrature."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq

import gradiverse as gv
from gradiverse.cosmology import Cosmology, halofit

PLANCK = {"Omega_m": 0.3089, "Omega_b": 0.0486, "h": 0.6774, "n_s": 0.9667}


@pytest.mark.smoke
def test_nonlinear_scale_of_the_reference():
    c = Cosmology(**PLANCK, sigma8=0.8159)
    k, n, curve, found, absurd = halofit.nonlinear_scale(c, np.ones(1))
    assert found[0] and not absurd[0]
    np.testing.assert_allclose(k, 0.36250, atol=5e-6)
    np.testing.assert_allclose(n, -1.75179, atol=5e-6)
    np.testing.assert_allclose(curve, 0.33664, atol=5e-6)


@pytest.mark.parametrize("z", [0.0, 1.0, 5.0])
def test_nonlinear_scale_against_quadrature(z):
    c = Cosmology(transfer="bbks")
    growth2 = c.growth(1 / (1 + z)) ** 2

    def moment(lnr, power):
        r2 = np.exp(2 * lnr)

        def f(u):
            x = np.exp(2 * u) * r2
            return x**power * np.exp(-x) * halofit.delta2(c, np.exp(u)) * growth2

        return quad(f, np.log(1e-5), -lnr + 2, epsabs=0, epsrel=1e-12, limit=400)[0]

    lnr = brentq(lambda x: moment(x, 0) - 1, -6, 4, xtol=1e-14, rtol=1e-14)
    first = -2 * moment(lnr, 1)
    second = 4 * moment(lnr, 2) - 4 * moment(lnr, 1) - first**2
    k, n, curve, _, _ = halofit.nonlinear_scale(c, np.array([growth2]))
    np.testing.assert_allclose(k, np.exp(-lnr), rtol=1e-10)
    np.testing.assert_allclose(n, -3 - first, rtol=1e-10)
    np.testing.assert_allclose(curve, -second, rtol=1e-9)


def test_sums_are_converged(monkeypatch):
    c = Cosmology()
    k, z = np.geomspace(1e-3, 100, 50), np.array([0.0, 1.0, 5.0])[:, None]
    coarse = c.halofit_power(k, z)
    t = np.linspace(-2.6, 2.6, 6000)
    fine = 0.5 * np.exp(2 * np.sinh(t))
    monkeypatch.setattr(halofit, "_K", fine)
    monkeypatch.setattr(halofit, "_STEP", 2 * np.cosh(t) * (t[1] - t[0]))
    radius = np.exp(halofit._LNR)[:, None]
    monkeypatch.setattr(halofit, "_SMOOTH", np.exp(-((fine * radius) ** 2)))
    np.testing.assert_allclose(coarse, c.halofit_power(k, z), rtol=3e-8)


def test_limber_of_the_reference():
    # sources at z = 1, k = l/chi: l = 100 and 1000, nonlinear and linear
    c = Cosmology(**PLANCK, sigma8=0.8159, T_cmb=2.7255)
    source = c.comoving_distance(1.0)
    t, w = np.polynomial.legendre.leggauss(200)
    chi = source * (t + 1) / 2
    z = 1 / c.scale_factor(chi) - 1
    for ell, nonlinear, linear in (
        (100, 8.0608e-9, 7.5682e-9),
        (1000, 4.3362e-10, 9.4890e-11),
    ):
        for power, wanted in ((c.halofit_power, nonlinear), (c.linear_power, linear)):
            f = (1 - chi / source) ** 2 * (1 + z) ** 2 * power(ell / chi, z)
            got = (1.5 * c.Omega_m) ** 2 / 2997.92458**4 * source / 2 * (w @ f)
            np.testing.assert_allclose(got, wanted, rtol=2e-4)


def test_large_scales_are_linear():
    c = Cosmology()
    k = np.array([1e-4, 1e-3])
    np.testing.assert_allclose(c.halofit_power(k), c.linear_power(k), rtol=5e-3)
    assert c.halofit_power(0.0) == 0.0


def test_no_nonlinear_scale_is_linear():
    # sigma stays below 1 at z = 30: the linear spectrum, and its derivatives
    c = Cosmology()
    k = np.array([0.0, 0.1, 1.0, 100.0])
    np.testing.assert_allclose(c.halofit_power(k, 30.0), c.linear_power(k, 30.0))
    z = np.array([0.0, 30.0])[:, None]
    both = c.halofit_power(k, z)
    np.testing.assert_allclose(both[1], c.linear_power(k, 30.0), rtol=1e-13)
    np.testing.assert_allclose(both[0], c.halofit_power(k, 0.0), rtol=1e-13)
    slope = gv.grad(lambda c: c.halofit_power(k[1:], 30.0).sum())(c)
    wanted = gv.grad(lambda c: c.linear_power(k[1:], 30.0).sum())(c)
    for a, b in zip(gv.flatten(slope)[0], gv.flatten(wanted)[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11)


def test_absurd_amplitude_is_not_hidden():
    assert np.isnan(Cosmology(sigma8=1e4).halofit_power(0.1))


def test_camb_takahashi():
    camb = pytest.importorskip("camb")
    p = camb.CAMBparams()
    p.set_cosmology(
        H0=67.74, ombh2=0.0223, omch2=0.1188, mnu=0.0, num_massive_neutrinos=0
    )
    p.InitPower.set_params(As=2.14e-9, ns=0.9667)
    p.set_matter_power(redshifts=[0.0], kmax=30)
    p.NonLinear = camb.model.NonLinear_none
    linear = camb.get_results(p)
    c = Cosmology.from_camb(linear)
    z = np.array([0.5, 1.0, 3.0])
    distance = linear.comoving_radial_distance(z) * c.h
    np.testing.assert_allclose(c.comoving_distance(z), distance, rtol=1e-6)
    np.testing.assert_allclose(c.sigma_r(), linear.get_sigma8_0(), rtol=3e-4)
    p.NonLinear = camb.model.NonLinear_both
    p.NonLinearModel.set_params(halofit_version="takahashi")
    power = camb.get_results(p).get_matter_power_interpolator(nonlinear=True)
    k = np.array([0.01, 0.1, 0.3, 1.0, 3.0, 10.0])
    np.testing.assert_allclose(c.halofit_power(k), power.P(0.0, k), rtol=3e-4)
