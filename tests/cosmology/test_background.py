"""Expansion and distances against published values, closed forms and quadrature."""

import numpy as np
import pytest
from scipy.integrate import quad

import gradiverse as gv
from gradiverse.cosmology import Cosmology
from gradiverse.cosmology.background import HUBBLE_LENGTH

MODELS = {
    "flat": {},
    "w0wa": {"w0": -0.9, "wa": 0.4},
    "open": {"Omega_k": 0.2, "w0": -0.7},
    "closed": {"Omega_k": -0.3, "wa": -0.6},
    "radiation": {"Omega_r": 9.1e-5, "Omega_k": -0.05},
}
Z = np.array([0.01, 0.5, 1.0, 3.0, 10.0, 1100.0])


def expansion(c, a):
    """E written out once more."""
    de = 1 - c.Omega_m - c.Omega_k - c.Omega_r
    dark = de * a ** (-3 * (1 + c.w0 + c.wa)) * np.exp(-3 * c.wa * (1 - a))
    return np.sqrt(c.Omega_m / a**3 + c.Omega_k / a**2 + c.Omega_r / a**4 + dark)


@pytest.mark.smoke
def test_distances_of_ccl():
    # benchmarks of CCL, published to seven digits
    lcdm = Cosmology(Omega_m=0.3).comoving_distance([1, 2, 5, 1000])
    np.testing.assert_allclose(lcdm, [2312.680, 3625.903, 5442.759, 9562.371], 3e-7)
    w = Cosmology(Omega_m=0.3, w0=-0.9).comoving_distance([1, 2, 5])
    np.testing.assert_allclose(w, [2265.688, 3552.025, 5352.957], 3e-7)


def test_values_of_the_reference():
    # FastPM's log (six digits), a prototype of its own (seven)
    c = Cosmology(Omega_m=0.307494)
    np.testing.assert_allclose(c.E(0.1), 17.5552, rtol=3e-6)
    hubble = 1 / (100 * c.E(1 / 1.5) / 1.5)
    np.testing.assert_allclose(hubble, 1.140331e-2, rtol=1e-6)
    np.testing.assert_allclose(
        Cosmology(Omega_m=0.3089).comoving_distance(1.0), 2300.593, rtol=3e-7
    )


@pytest.mark.parametrize("model", MODELS)
def test_background_against_quadrature(model):
    c = Cosmology(**MODELS[model])
    a = np.array([1e-6, 1e-3, 0.1, 0.7, 1.0, 1.2])
    np.testing.assert_allclose(c.E(a), expansion(c, a), rtol=3e-14)
    h = 1e-4
    slope = (np.log(expansion(c, a * (1 + h))) - np.log(expansion(c, a * (1 - h)))) / (
        np.log1p(h) - np.log1p(-h)
    )
    np.testing.assert_allclose(c.dlnE(a), slope, rtol=1e-7)
    np.testing.assert_allclose(
        c.Omega_m_a(a), c.Omega_m * a**-3 / expansion(c, a) ** 2, rtol=1e-13
    )
    flat = c.Omega_m_a(a) + c.Omega_de_a(a)
    rest = c.Omega_k * a**-2 + c.Omega_r * a**-4
    np.testing.assert_allclose(flat + rest / expansion(c, a) ** 2, 1.0, rtol=1e-13)
    for z in Z:
        # in ln(1 + z), split: a smooth integrand for the adaptive rule
        wanted = quad(
            lambda u: np.exp(u) / expansion(c, np.exp(-u)),
            0,
            np.log1p(z),
            epsabs=0,
            epsrel=1e-13,
            limit=500,
        )[0]
        np.testing.assert_allclose(
            c.comoving_distance(z), HUBBLE_LENGTH * wanted, rtol=1e-12
        )


def test_distance_is_relative_to_its_own_size():
    # chi -> (c/H0) (z - (1+q0) z^2/2): at 1e-8 no cancellation may be left
    c = Cosmology(Omega_m=0.3)
    z = 1e-8
    wanted = HUBBLE_LENGTH * (z - 0.5 * (1.5 * 0.3) * z**2)
    np.testing.assert_allclose(c.comoving_distance(z), wanted, rtol=1e-14)
    assert c.comoving_distance(0.0) == 0.0


@pytest.mark.parametrize("omega_m", [0.3, 0.8, 1.0, 1.4])
def test_transverse_distance_of_mattig(omega_m):
    # closed form without dark energy, open, flat and closed
    c = Cosmology(Omega_m=omega_m, Omega_k=1 - omega_m)
    o = omega_m
    top = o * Z + (o - 2) * (np.sqrt(1 + o * Z) - 1)
    wanted = 2 * HUBBLE_LENGTH * top / (o * o * (1 + Z))
    # the closed form cancels to z^2: its own error is 1e-16/z^2 and less
    np.testing.assert_allclose(c.transverse_distance(Z), wanted, rtol=2e-11)
    np.testing.assert_allclose(c.transverse_distance(Z[1:]), wanted[1:], rtol=1e-13)


def test_transverse_distance_is_smooth_through_flat():
    c = [Cosmology(Omega_k=k) for k in (-1e-9, 0.0, 1e-9)]
    d = np.array([x.transverse_distance(2.0) for x in c])
    assert abs(d[0] - 2 * d[1] + d[2]) < 1e-10
    slope = gv.grad(lambda k: Cosmology(Omega_k=k).transverse_distance(2.0))(0.0)
    np.testing.assert_allclose(slope, (d[2] - d[0]) / 2e-9, rtol=1e-3)


@pytest.mark.parametrize("model", MODELS)
def test_scale_factor_inverts_distance(model):
    c = Cosmology(**MODELS[model])
    a = np.array([1e-3, 0.02, 0.3, 0.999999, 1.0, 1.1]).reshape(2, 3)
    np.testing.assert_allclose(
        c.scale_factor(c.comoving_distance(a=a)), a, rtol=0, atol=3e-15
    )
    chi = np.array([10.0, 900.0, 4000.0])
    found = c.scale_factor(chi)
    slope = gv.grad(lambda chi: c.scale_factor(chi).sum())(chi)
    wanted = -(found**2) * c.E(found) / HUBBLE_LENGTH
    np.testing.assert_allclose(slope, wanted, rtol=1e-12)
    # the second derivative of the implicit function
    curve = gv.hvp(lambda chi: c.scale_factor(chi).sum(), chi, np.ones(3))
    wanted = slope**2 / found * (2 + c.dlnE(found))
    np.testing.assert_allclose(curve, wanted, rtol=1e-11)


def test_scale_factor_beyond_the_horizon():
    c = Cosmology()
    with pytest.raises(ValueError, match=r"20000 Mpc/h is beyond"):
        c.scale_factor([100.0, 2e4])
    traced = gv.compile(c.scale_factor)(np.array([100.0, 2e4]))
    assert np.isfinite(traced[0]) and np.isnan(traced[1])


def test_both_forms_of_the_distance():
    c = Cosmology()
    a = np.array([0.2, 0.9])
    np.testing.assert_allclose(
        c.comoving_distance(1 / a - 1), c.comoving_distance(a=a), rtol=1e-14
    )
    np.testing.assert_array_equal(c.comoving_distance_a(a), c.comoving_distance(a=a))
    with pytest.raises(TypeError, match="give z or a"):
        c.comoving_distance()
    with pytest.raises(ValueError, match="redshifts are above -1"):
        c.comoving_distance([-2.0])
    with pytest.raises(ValueError, match="scale factors are positive"):
        c.E(0.0)
    with pytest.raises(ValueError, match="nan is not allowed"):
        c.E([0.5, np.nan])


def test_t7_one_expansion_for_growth_and_distances():
    """Trap T7: distances and growth from different models."""
    c = Cosmology(w0=-0.8, wa=0.3, Omega_k=0.1)
    a = np.linspace(0.2, 1.0, 9)
    dchi = gv.grad(lambda a: c.comoving_distance(a=a).sum())(a)
    e = -HUBBLE_LENGTH / (a * a * dchi)
    np.testing.assert_allclose(e, c.E(a), rtol=1e-12)
    # the growth equation with that very E, derivatives of D by the engine
    x = np.log(a)
    friction = a * gv.grad(
        lambda a: np.log(
            1 / (a * a * gv.grad(lambda b: -c.comoving_distance(a=b).sum())(a))
        ).sum()
    )(a)
    one = gv.grad(lambda x: c.growth(np.exp(x)).sum())
    two = gv.hvp(lambda x: c.growth(np.exp(x)).sum(), x, np.ones(9))
    residual = (
        two + (2 + friction) * one(x) - 1.5 * c.Omega_m / (a**3 * e * e) * c.growth(a)
    )
    assert np.abs(residual).max() < 1e-10
