"""Distance moduli against quadrature, published check values and differences."""

import numpy as np
import pytest

import gradiverse as gv

from .oracle import modulus

Z = np.array([0.01, 0.1, 0.5, 1.0, 2.0])


@pytest.mark.smoke
def test_check_values():
    # five-digit values of the model's reference, to 1e-4
    flat = gv.supernova.distance_modulus(Z, 0.3, 0.7, -1.0)
    np.testing.assert_allclose(
        flat, [33.17532, 38.31520, 42.26119, 44.10024, 45.95720], atol=1e-4
    )
    open_ = gv.supernova.distance_modulus(Z, 0.3, 0.5, -1.0)
    np.testing.assert_allclose(
        open_, [33.17316, 38.29526, 42.19267, 44.01771, 45.90264], atol=1e-4
    )


@pytest.mark.parametrize(
    "universe",
    [(0.3, 0.7, -1.0), (0.3, 0.9, -1.0), (0.1, 0.3, -0.3), (1.5, 1.2, -1.5),
     (0.0, 0.0, -1.0), (0.3, 0.7, -2.0), (0.3, 0.7 + 1e-7, -1.0)],
)  # fmt: skip
def test_against_quadrature(universe):
    # the table's error is h^4/384 of the fourth derivative: 1e-7 mag asked for
    z = np.geomspace(1e-4, 2.3, 60)
    found = gv.supernova.distance_modulus(z, *universe)
    np.testing.assert_allclose(found, modulus(z, *universe), rtol=0, atol=1e-7)


def test_S2_heliocentric_redshift_enters_the_factor_only():
    helio = Z + 0.001
    found = gv.supernova.distance_modulus(Z, 0.3, 0.7, -1.0, z_helio=helio)
    plain = gv.supernova.distance_modulus(Z, 0.3, 0.7, -1.0)
    np.testing.assert_allclose(found - plain, 5 * np.log10((1 + helio) / (1 + Z)))


@pytest.mark.smoke
def test_S7_gradient_through_flatness_and_finite():
    # Ok = 0 is 0/0 in sinn and in its gradient: against differences that straddle it
    def f(p):
        return gv.supernova.distance_modulus(Z, p[0], p[1], p[2]).sum()

    for point in ([0.3, 0.7, -1.0], [0.3, 0.7 + 1e-9, -1.0], [0.3, 0.6, -0.8]):
        p = np.array(point)
        g = gv.grad(f)(p)
        steps = 1e-4 * np.eye(3)
        slopes = [(f(p + e) - f(p - e)) / 2e-4 for e in steps]
        # differences: h^2/6 f''' is 1e-8 of sums of order 10
        np.testing.assert_allclose(g, slopes, rtol=1e-6)


def test_S7_series_and_closed_forms_meet():
    from gradiverse.supernova.distance import SERIES, _regular

    for even in (False, True):
        for y in (SERIES, -SERIES):
            near = _regular(np.array([y * (1 - 1e-12), y * (1 + 1e-12)]), even)
            assert abs(near[0] - near[1]) < 1e-12


def test_S7_invalid_universe_is_said_not_nan():
    # Om - 1 and OL far above it: E^2 passes through 0 (a bounce)
    with pytest.raises(ValueError, match=r"E\^2 <= 0"):
        gv.supernova.distance_modulus(Z, 0.1, 2.0, -1.0)
    near = gv.supernova.distance_modulus(Z[:2], 0.1, 2.0, -1.0)
    assert np.isfinite(near).all()  # before the bounce all is well
    g, z, S = gv.supernova.fiducial(5)
    g.update(Om=0.05, OL=2.0)
    survey = gv.supernova.Survey(z + 1.0, S)
    d = np.zeros((5, 3))
    assert survey.log_likelihood(g, d) == -np.inf
    value, gradient = survey.value_and_gradient(g, d)
    assert value == -np.inf and np.isfinite(list(gradient.values())).all()
    with pytest.raises(ValueError, match=r"E\^2"):
        gv.supernova.simulate(g, z + 1.0, S, 0)


def test_refuses():
    with pytest.raises(ValueError, match="row"):
        gv.supernova.distance_modulus([0.1, -1.0], 0.3, 0.7, -1.0)
    with pytest.raises(ValueError, match="shape"):
        gv.supernova.distance_modulus(0.1, 0.3, 0.7, -1.0)
    with pytest.raises(ValueError, match="H0"):
        gv.supernova.distance_modulus(Z, 0.3, 0.7, -1.0, H0=0.0)
    assert gv.supernova.distance_modulus([], 0.3, 0.7, -1.0).shape == (0,)
