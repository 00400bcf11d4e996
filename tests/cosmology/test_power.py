"""Linear power against published values and plain quadrature."""

import numpy as np
import pytest
from scipy.integrate import simpson

import gradiverse as gv
from gradiverse.cosmology import Cosmology

K = np.geomspace(1e-3, 30.0, 200)
CCL = {"Omega_m": 0.3, "Omega_b": 0.05, "h": 0.7, "n_s": 0.96, "T_cmb": 2.725}


def tophat_variance(power, radius):
    """sigma^2(R) by Simpson's rule on four million points."""
    lk = np.linspace(np.log(1e-6), np.log(1e4 / radius), 4_000_001)
    k = np.exp(lk)
    x = k * radius
    y = np.minimum(x, 0.1)
    series = 1 - y**2 / 10 + y**4 / 280 - y**6 / 15120
    window = np.where(x < 0.1, series, 3 * (np.sin(x) - x * np.cos(x)) / x**3)
    return simpson(power(k) * k**3 * window**2, x=lk) / (2 * np.pi**2)


def eisenstein_hu(k, om, ob, h, t_cmb, exponent=-0.0266, misplaced=False):
    """The fit, one wavenumber [h/Mpc] at a time, as a reader would type it.

    misplaced: trap T5, the power on the wrong side of .395.
    """
    from math import e, exp, log, sin, sqrt

    k = k * h
    wm, wb, fb = om * h * h, ob * h * h, ob / om
    theta = t_cmb / 2.7
    z_eq = 25000 * wm / theta**4
    k_eq = 0.0746 * wm / theta**2
    b1 = 0.313 * wm**-0.419 * (1 + 0.607 * wm**0.674)
    b2 = 0.238 * wm**0.223
    z_d = 1291 * wm**0.251 / (1 + 0.659 * wm**0.828) * (1 + b1 * wb**b2)
    r_d = 31.5 * wb / theta**4 * 1000 / (1 + z_d)
    r_eq = 31.5 * wb / theta**4 * 1000 / z_eq
    s = sqrt(6 / r_eq) * 2 / (3 * k_eq)
    s *= log((sqrt(1 + r_d) + sqrt(r_d + r_eq)) / (1 + sqrt(r_eq)))
    silk = 1.6 * wb**0.52 * wm**0.73 * (1 + (10.4 * wm) ** -0.95)
    q = k / (13.41 * k_eq)

    def t0(alpha, beta):
        c = 14.2 / alpha + 386 / (1 + 69.9 * q**1.08)
        return log(e + 1.8 * beta * q) / (log(e + 1.8 * beta * q) + c * q * q)

    a1 = (46.9 * wm) ** 0.670 * (1 + (32.1 * wm) ** -0.532)
    a2 = (12.0 * wm) ** 0.424 * (1 + (45.0 * wm) ** -0.582)
    alpha_c = a1**-fb * a2 ** (-(fb**3))
    power = 0.395 * wm**exponent if misplaced else (0.395 * wm) ** exponent
    beta_c = 1 + 0.944 / (1 + (458 * wm) ** -0.708) * ((1 - fb) ** power - 1)
    f = 1 / (1 + (k * s / 5.4) ** 4)
    cold = f * t0(1, 1 / beta_c) + (1 - f) * t0(alpha_c, 1 / beta_c)
    y = z_eq / (1 + z_d)
    g = (2 + 3 * y) * log((sqrt(1 + y) + 1) / (sqrt(1 + y) - 1)) - 6 * sqrt(1 + y)
    alpha_b = 2.07 * k_eq * s * (1 + r_d) ** -0.75 * y * g
    beta_b = 0.5 + fb + (3 - 2 * fb) * sqrt((17.2 * wm) ** 2 + 1)
    node = 8.41 * wm**0.435
    shifted = k * s / (1 + (node / (k * s)) ** 3) ** (1 / 3)
    baryons = t0(1, 1) / (1 + (k * s / 5.2) ** 2)
    baryons += alpha_b / (1 + (beta_b / (k * s)) ** 3) * exp(-((k / silk) ** 1.4))
    return fb * baryons * sin(shifted) / shifted + (1 - fb) * cold


@pytest.mark.smoke
def test_eisenstein_hu_of_ccl():
    c = Cosmology(**CCL, sigma8=0.8)
    power = c.linear_power([0.001, 0.00251189])
    np.testing.assert_allclose(power, [3895.01, 8888.94], rtol=1.5e-6)


def test_t5_place_of_the_power():
    """Trap T5: .395 outside the power, wrong parentheses in beta_c."""
    c = Cosmology(**CCL)
    own = np.array([eisenstein_hu(k, 0.3, 0.05, 0.7, 2.725) for k in K])
    np.testing.assert_allclose(c.transfer_function(K), own, rtol=1e-12)
    wrong = np.array(
        [eisenstein_hu(k, 0.3, 0.05, 0.7, 2.725, misplaced=True) for k in K]
    )
    assert np.abs((wrong / own) ** 2 - 1).max() > 5e-3  # what the trap costs


@pytest.mark.parametrize("transfer", ["eh98", "eh98_nowiggle", "bbks"])
def test_amplitude_is_sigma8(transfer):
    c = Cosmology(sigma8=0.8, transfer=transfer)
    got = tophat_variance(c.linear_power, 8.0)
    np.testing.assert_allclose(np.sqrt(got), 0.8, rtol=1e-11)
    np.testing.assert_allclose(c.sigma_r(8.0), 0.8, rtol=1e-14)


@pytest.mark.parametrize("radius", [0.1, 1.0, 3.0, 20.0, 100.0])
def test_sigma_r(radius):
    c = Cosmology()
    wanted = np.sqrt(tophat_variance(c.linear_power, radius))
    np.testing.assert_allclose(c.sigma_r(radius), wanted, rtol=2e-9)
    later = c.sigma_r(np.array([[radius], [radius]]), z=[0.0, 1.0])
    np.testing.assert_allclose(later, wanted * c.growth([1.0, 0.5])[None] * [[1], [1]])


def test_primordial_amplitude():
    # k^3 P/(2 pi^2) = 4/25 As (k/kp)^(ns-1) T^2 (ck/H0)^4 (D1/Om)^2, kp = .05/Mpc
    c = Cosmology(A_s=2.1e-9, w0=-0.9, Omega_k=0.02)
    z = 0.7
    wanted = 4 / 25 * 2.1e-9 * (K * c.h / 0.05) ** (c.n_s - 1)
    wanted = wanted * c.transfer_function(K) ** 2 * (2997.92458 * K) ** 4
    wanted = wanted * (c.growth(1 / (1 + z), "matter") / c.Omega_m) ** 2
    np.testing.assert_allclose(
        c.linear_power(K, z) * K**3 / (2 * np.pi**2), wanted, rtol=1e-13
    )
    np.testing.assert_allclose(c.primordial_amplitude(), 2.1e-9, rtol=1e-14)
    other = c.replace(sigma8=float(c.sigma_r()))
    assert other.A_s is None
    np.testing.assert_allclose(other.linear_power(K), c.linear_power(K), rtol=1e-13)
    np.testing.assert_allclose(other.primordial_amplitude(), 2.1e-9, rtol=1e-13)
    np.testing.assert_allclose(
        other.primordial_power([0.05 / c.h, 0.1 / c.h]),
        [2.1e-9, 2.1e-9 * 2 ** (c.n_s - 1)],
        rtol=1e-13,
    )


def test_fits_agree_where_they_should():
    # the smooth fit is within the ripples of the full one; both tend to 1
    full, smooth = Cosmology(), Cosmology(transfer="eh98_nowiggle")
    ratio = full.transfer_function(K) / smooth.transfer_function(K)
    assert np.abs(ratio - 1).max() < 0.07
    for c in (full, smooth, Cosmology(transfer="bbks")):
        np.testing.assert_allclose(c.transfer_function([0.0, 1e-6]), 1.0, rtol=1e-4)
    # smooth fit without baryons: T0 of Om h alone (equation 29)
    c = Cosmology(Omega_b=0.0, transfer="eh98_nowiggle")
    q = K * (c.T_cmb / 2.7) ** 2 / (c.Omega_m * c.h)
    log = np.log(2 * np.e + 1.8 * q)
    wanted = log / (log + (14.2 + 731 / (1 + 62.5 * q)) * q**2)
    np.testing.assert_allclose(c.transfer_function(K), wanted, rtol=1e-13)


def test_no_baryons():
    # the limit of few baryons, and finite derivatives
    none, few = Cosmology(Omega_b=0.0), Cosmology(Omega_b=1e-7)
    np.testing.assert_allclose(none.linear_power(K), few.linear_power(K), rtol=1e-5)
    slope = gv.grad(lambda c: c.linear_power(K).sum())(none)
    assert all(np.isfinite(v) for v in gv.flatten(slope)[0])


def test_bbks():
    c = Cosmology(Omega_m=0.3, Omega_b=0.0, h=0.7, transfer="bbks")
    q = K / 0.21
    wanted = np.log(1 + 2.34 * q) / (2.34 * q)
    wanted *= (
        1 + 3.89 * q + (16.1 * q) ** 2 + (5.46 * q) ** 3 + (6.71 * q) ** 4
    ) ** -0.25
    np.testing.assert_allclose(c.transfer_function(K), wanted, rtol=1e-13)


@pytest.mark.parametrize("n, tolerance", [(512, 1e-4), (1024, 1.2e-5), (2048, 1.5e-6)])
def test_table(n, tolerance):
    c = Cosmology()
    k = np.geomspace(1e-4, 100.0, n)
    t = Cosmology(transfer=(k, c.linear_power(k)))
    assert t.sigma8 is None and t.A_s is None
    np.testing.assert_allclose(t.linear_power(k), c.linear_power(k), rtol=1e-13)
    between = np.geomspace(1.01e-4, 99, 3000)
    got = t.linear_power(between, 1.5)
    np.testing.assert_allclose(got, c.linear_power(between, 1.5), rtol=tolerance)
    np.testing.assert_allclose(t.sigma_r(), 0.8159, rtol=5e-8)
    scaled = t.replace(sigma8=0.7)
    np.testing.assert_allclose(scaled.sigma_r(), 0.7, rtol=1e-14)
    np.testing.assert_allclose(
        scaled.linear_power(k) / t.linear_power(k), (0.7 / t.sigma_r()) ** 2
    )


def test_table_goes_on_as_a_power():
    k = np.geomspace(0.01, 1.0, 50)
    t = Cosmology(transfer=(k, 3.0 * k**-1.5))
    far = np.array([1e-4, 0.0101, 0.3, 50.0])
    np.testing.assert_allclose(t.linear_power(far), 3.0 * far**-1.5, rtol=1e-12)


def test_shapes_and_arguments():
    c = Cosmology()
    assert c.linear_power(0.0) == 0.0
    grid = c.linear_power(K, np.array([0.0, 1.0, 9.0])[:, None])
    assert grid.shape == (3, 200)
    np.testing.assert_allclose(grid[1], c.linear_power(K, 1), rtol=1e-14)
    np.testing.assert_allclose(
        grid[2], c.linear_power(K) * c.growth(0.1) ** 2, rtol=1e-13
    )
    with pytest.raises(ValueError, match="k: -1 is not allowed"):
        c.linear_power([-1.0])
    with pytest.raises(ValueError, match=r"z: -0\.5 is not allowed"):
        c.linear_power(K, -0.5)
    with pytest.raises(ValueError, match="radii are positive"):
        c.sigma_r(0.0)
    table = Cosmology(transfer=(K, K))
    for method in (table.primordial_amplitude, lambda: table.transfer_function(K)):
        with pytest.raises(ValueError, match="tab"):
            method()


def test_t6_all_matter_counts():
    """Trap T6 for the background: Omega_m includes the baryons, once."""
    with_b, without = Cosmology(Omega_b=0.0486), Cosmology(Omega_b=0.0)
    np.testing.assert_array_equal(with_b.E(K / 40), without.E(K / 40))
    np.testing.assert_array_equal(with_b.growth(0.3), without.growth(0.3))


def test_limber_of_ccl():
    """C_l of the benchmark: linear BBKS, n(z) Gaussian 1 +- .15, k = (l + 1/2)/chi."""
    c = Cosmology(
        Omega_m=0.3, Omega_b=0.0, h=0.7, n_s=0.96, sigma8=0.8, transfer="bbks"
    )
    z = np.linspace(1e-4, 2.2, 1201)
    chi = c.comoving_distance(z)
    n = np.exp(-0.5 * ((z - 1) / 0.15) ** 2)
    n /= simpson(n, x=z)
    lens = np.array(
        [
            simpson(np.where(z >= z0, n * (1 - x / chi), 0.0), x=z)
            for z0, x in zip(z, chi, strict=True)
        ]
    )
    for ell, wanted in ((100, 6.297303e-9), (1000, 9.320367e-11)):
        power = c.linear_power((ell + 0.5) / chi, z)
        f = lens**2 * (1 + z) ** 2 * power
        got = (1.5 * 0.3) ** 2 / 2997.92458**4 * simpson(f, x=chi)
        np.testing.assert_allclose(got, wanted, rtol=5e-4)
