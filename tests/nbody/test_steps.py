"""Factors of the time steps against the equations as they stand."""

import numpy as np
import pytest

import gradiverse as gv
from gradiverse.nbody import steps
from gradiverse.nbody.settings import check_mesh, check_policy, check_steps

from .oracles import EdS

COSMOLOGIES = [
    EdS(),
    gv.cosmology.Cosmology(Omega_m=0.31),
    gv.cosmology.Cosmology(Omega_m=0.3, w0=-0.9, wa=0.2, Omega_k=0.05),
]
TIMES = [np.linspace(0.1, 1, 11), np.geomspace(0.02, 1, 6), np.array([0.5, 0.8])]


@pytest.mark.parametrize("integrator", ["fastpm", "bullfrog"])
@pytest.mark.parametrize("c", COSMOLOGIES)
@pytest.mark.parametrize("a", TIMES)
def test_linear_force_gives_the_zeldovich_solution(integrator, c, a):
    """x = D1 s1, p = G s1 for any steps, in exact arithmetic: 1e-13 by rounding."""
    f = steps.factors(c, a, integrator)
    g = steps.growth_at(c, a)
    x, p = g.D1[0], g.G[0] + f.first * f.force0
    for n in range(len(a) - 1):
        x = x + f.drift1[n] * p
        assert x == pytest.approx(f.centre[n], rel=1e-13)
        assert f.rate1[n] * p == pytest.approx(1.0, rel=1e-12)
        if integrator == "bullfrog":
            p = p + f.kick[n] * f.force[n]
            assert f.rate2[n] * p == pytest.approx(1.0, rel=1e-12)
        x = x + f.drift2[n] * p
        if integrator == "fastpm":
            p = p + f.kick[n] * f.force[n]
    assert x == pytest.approx(g.D1[-1], rel=1e-13)
    assert f.last * p == pytest.approx(g.G[-1], rel=1e-12)


@pytest.mark.parametrize("c", COSMOLOGIES)
def test_bullfrog_is_second_order_in_lpt_after_one_step(c):
    """Of x = D1 s1 + D2 s2 with A = D1 s1 + (D2 + D1^2) s2 the slope at the end is
    dx/dD = s1 + r s2 exactly: what alpha is made for."""
    a = np.array([0.3, 0.5])
    f, g = steps.factors(c, a, "bullfrog"), steps.growth_at(c, a)
    v = g.D2_prime / g.D1_prime  # coefficient of s2 in dx/dD
    x = g.D2[0] + v[0] * (f.centre[0] - g.D1[0])
    w = v[0] / f.rate1[0] + f.kick[0] * (x + f.centre[0] ** 2)
    assert f.rate2[0] * w == pytest.approx(v[1], rel=1e-12)


def test_eds_alpha_of_the_text():
    """EdS: r = 6/7 D; for D0 = 1, dD = 1 the formula gives alpha = 5/17."""
    f = steps.factors(EdS(), np.array([0.4, 0.8]), "bullfrog")
    D0, half, middle = 0.4, 0.2, 0.6
    r0, r1 = 6 / 7 * 0.4, 6 / 7 * 0.8
    b = (3 / 7 * D0**2 + r0 * half) / middle + middle
    alpha = (r1 - b) / (r0 - b)
    assert f.rate2[0] / f.rate1[0] == pytest.approx(alpha, rel=1e-14)
    assert alpha == pytest.approx(5 / 17, rel=1e-12)


def test_centre_of_bullfrog_in_scale_factor():
    c = COSMOLOGIES[2]
    f = steps.factors(c, np.geomspace(0.05, 1, 4), "bullfrog")
    np.testing.assert_allclose(c.growth(f.a_centre), f.centre, rtol=1e-14)


def test_derivative_of_the_centre():
    """Through the Newton steps: d a*/d Omega_m against a 4-point difference."""

    def centre(om):
        c = gv.cosmology.Cosmology(Omega_m=om)
        return steps.factors(c, [0.2, 0.5], "bullfrog").a_centre[0]

    h = 1e-3
    f = [centre(0.3 + k * h) for k in (-2, -1, 1, 2)]
    slope = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h)
    assert gv.grad(centre)(0.3) == pytest.approx(slope, rel=1e-8)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([0.1, 0.1, 0.2], "must increase"),
        ([0.0, 0.5], "above 0"),
        ([0.5], "at least two"),
        ([0.5, np.nan], "finite"),
        ([0.5, 2.0], "growth is solved"),
        (1, "at least two"),
    ],
)
def test_bad_steps(value, words):
    with pytest.raises(ValueError, match=words):
        check_steps(value)


def test_steps_of_wrong_kind():
    with pytest.raises(TypeError, match="scale factors"):
        check_steps("many")
    with pytest.raises(TypeError, match="not a traced value"):
        gv.grad(lambda a: check_steps(a)[0])(np.array([0.1, 0.2]))


def test_vanishing_weight_of_bullfrog():
    """In EdS at a growth of 3.2 in one step; refused there, with values or traced."""
    from scipy.optimize import brentq

    def alpha(x):
        return float(steps.weights(EdS(), np.array([0.2, 0.2 * x]))[0])

    x = brentq(alpha, 2, 5)
    assert 3.1 < x < 3.3
    steps.check_weights([alpha(2.0), alpha(8.0)], [0.1, 0.2, 1.6])  # beyond is fine
    c = gv.cosmology.Cosmology(Omega_m=1.0)
    modes = np.zeros((4, 4, 4))
    with pytest.raises(ValueError, match=r"steps\[0\]=0.2 .* another number of stages"):
        gv.nbody.evolve(modes, c, box=9.0, steps=[0.2, 0.2 * x], force="linear")
    with pytest.raises(ValueError, match="velocity weight"):
        gv.grad(
            lambda om: gv.nbody.evolve(
                modes, gv.cosmology.Cosmology(Omega_m=om), 9.0, [0.2, 0.2 * x]
            ).momenta.sum()
        )(1.0)


def test_number_of_stages():
    assert check_steps(11) == tuple(np.linspace(0.1, 1, 11))


@pytest.mark.parametrize("factor", [1, 1.5, 2, 3])
def test_mesh_factor(factor):
    assert check_mesh((8, 12, 4), factor) == tuple(int(n * factor) for n in (8, 12, 4))


@pytest.mark.parametrize(("factor", "shape"), [(0.5, 8), (1.3, 8), (1.5, 6), (1, 2)])
def test_bad_mesh_factor(factor, shape):
    with pytest.raises(ValueError, match="mesh_factor"):
        check_mesh((shape,) * 3, factor)


def test_policies():
    assert check_policy("recompute", 40) == ("recompute", 6)
    assert check_policy(("recompute", 3), 40) == ("recompute", 3)
    for bad in ("tape", ("recompute", 0), ("store", 1), None):
        with pytest.raises(ValueError, match="choose 'reversible'"):
            check_policy(bad, 40)


@pytest.mark.parametrize("integrator", ["fastpm", "bullfrog"])
def test_trap_11_drifts_stay_inside_the_growth_solution(integrator):
    """T11: from a = 1e-3 into the future as far as growth goes all factors are finite
    and the Zel'dovich solution holds; beyond, an error instead of an extrapolation."""
    c = COSMOLOGIES[1]
    a = np.concatenate([np.geomspace(1e-3, 1.0, 8), [1.25]])
    f = steps.factors(c, a, integrator)
    assert all(np.isfinite(x).all() for x in f)
    assert (np.diff(f.a_centre) > 0).all()
    assert (f.a_centre > a[:-1]).all() and (f.a_centre < a[1:]).all()
    with pytest.raises(ValueError, match=r"up to a=1\.25"):
        check_steps([0.5, 1.26])
    with pytest.raises(ValueError, match=r"1\.25"):
        steps.factors(c, [0.5, 1.26], integrator)
