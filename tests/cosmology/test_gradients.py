"""Derivatives of every public method in every parameter."""

from dataclasses import fields

import numpy as np
import pytest

import gradiverse as gv
from gradiverse.cosmology import Cosmology

A = np.array([0.02, 0.1, 0.5, 1.0])
Z = np.array([0.1, 1.0, 8.0])
K = np.array([0.003, 0.05, 0.17, 1.3, 40.0])
METHODS = {
    "E": lambda c: c.E(A),
    "dlnE": lambda c: c.dlnE(A),
    "Omega_m_a": lambda c: c.Omega_m_a(A),
    "Omega_de_a": lambda c: c.Omega_de_a(A),
    "Omega_de": lambda c: c.Omega_de * np.ones(1),
    "comoving_distance": lambda c: c.comoving_distance(Z),
    "transverse_distance": lambda c: c.transverse_distance(Z),
    "scale_factor": lambda c: c.scale_factor([20.0, 900.0, 5000.0]),
    "growth": lambda c: c.growth(A),
    "growth_matter": lambda c: c.growth(A, "matter"),
    "growth_2": lambda c: c.growth(A, order=2),
    "growth_rate": lambda c: c.growth_rate(A),
    "growth_rate_2": lambda c: c.growth_rate(A, order=2),
    "growth_derivatives": lambda c: np.concatenate(c.growth_derivatives(A)),
    "linear_power": lambda c: c.linear_power(K, 0.7),
    "halofit_power": lambda c: c.halofit_power(K, np.array([0.0, 0.7])[:, None]),
    "sigma_r": lambda c: c.sigma_r([0.5, 8.0, 30.0], 0.3),
    "primordial_amplitude": lambda c: c.primordial_amplitude() * np.ones(1),
    "primordial_power": lambda c: c.primordial_power(K),
    "transfer_function": lambda c: c.transfer_function(K),
}
CASES = {
    "sigma8": Cosmology(wa=0.1, w0=-0.9, Omega_k=0.03),
    "A_s": Cosmology(A_s=2.1e-9, Omega_k=-0.02, Omega_r=1.1e-4),
    "no_wiggle": Cosmology(transfer="eh98_nowiggle", Omega_r=1.2e-4),
    "bbks": Cosmology(transfer="bbks"),
}
# steps of the differences; curvature of f in h^4 against rounding in 1/h
STEP = {"Omega_r": 1e-7, "A_s": 1e-12, "Omega_b": 5e-5, "Omega_m": 2e-4}


def parameters(c):
    """Names of the numbers of c that can be moved both ways."""
    names = [f.name for f in fields(c) if f.name != "transfer"]
    names = [n for n in names if getattr(c, n) is not None]
    return [n for n in names if n != "Omega_r" or c.Omega_r > 0]


def weighted(method, c):
    """A scalar of the method's result: random weights over its size."""
    value = np.asarray(method(c))
    rng = np.random.default_rng(1)
    weights = rng.uniform(0.5, 1.5, value.shape) / np.maximum(np.abs(value), 1e-300)
    return lambda c: np.sum(method(c) * weights)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", METHODS)
def test_t8_against_four_point_differences(name, case):
    """Trap T8: derivatives are exact, in all parameters, forward and reverse."""
    c = CASES[case]
    f = weighted(METHODS[name], c)
    slope = gv.grad(f)(c)
    compiled = gv.compile(gv.grad(f))(c)
    size = abs(float(f(c)))
    for p in parameters(c):
        x = getattr(c, p)
        h = STEP.get(p, 1e-3)

        def move(t, p=p, x=x):
            return float(f(c.replace(**{p: x + t})))

        wanted = (8 * (move(h) - move(-h)) - (move(2 * h) - move(-2 * h))) / (12 * h)
        got = float(getattr(slope, p))
        # 1e-15 of the value, times at most a hundred, over h: rounding of f
        tolerance = 1e-8 * abs(wanted) + 1e-13 * size / h
        assert abs(got - wanted) <= tolerance, (
            f"{p}: {got:.12g}, differences {wanted:.12g}"
        )
        np.testing.assert_allclose(float(getattr(compiled, p)), got, rtol=1e-11)

        def one(v, p=p):
            return f(c.replace(**{p: v}))

        _, forward = gv.jvp(one, (x,), (1.0,))
        np.testing.assert_allclose(forward, got, rtol=1e-9, atol=1e-11 * size)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: CASES["sigma8"].growth_derivatives(x),
        lambda x: CASES["sigma8"].E(x),
        lambda x: CASES["sigma8"].comoving_distance(x),
        lambda x: CASES["sigma8"].transverse_distance(x),
        lambda x: CASES["sigma8"].scale_factor(1000 * x),
        lambda x: CASES["sigma8"].linear_power(np.array([0.01, 0.3]), x),
        lambda x: CASES["sigma8"].halofit_power(np.array([0.01, 0.3]), x),
        lambda x: CASES["sigma8"].linear_power(x),
        lambda x: CASES["sigma8"].halofit_power(x),
        lambda x: CASES["sigma8"].sigma_r(10 * x),
    ],
)
def test_in_the_arguments(f):
    gv.testing.check_grads(f, (np.array([0.4, 0.9]),), order=2)


def test_second_order_in_the_parameters():
    def f(x):
        c = Cosmology(Omega_m=x[0], w0=-x[1], wa=x[2] - 0.8, sigma8=x[2])
        power = c.halofit_power(np.array([0.2, 2.0]), 0.5)
        return np.log(power), c.scale_factor(2000.0), c.growth(0.3, order=2)

    gv.testing.check_grads(f, (np.array([0.31, 0.95, 0.82]),), order=2)


def test_in_a_table():
    c = Cosmology()
    k = np.geomspace(1e-3, 50.0, 40)

    def f(log_power):
        t = Cosmology(transfer=(k, np.exp(log_power)), sigma8=0.8)
        return np.log(t.halofit_power(np.array([0.02, 0.3, 3.0]), 0.5))

    gv.testing.check_grads(f, (np.log(c.linear_power(k)),), order=1)
    table = Cosmology(transfer=(k, c.linear_power(k)))
    slope = gv.grad(lambda t: t.linear_power(k[3:7]).sum())(table)
    np.testing.assert_allclose(slope.transfer[1][3:7], 1.0, rtol=1e-12)
    assert np.abs(slope.transfer[1][10:]).max() == 0


def test_one_solve_in_one_trace():
    # the graph is shared: three uses of growth hold two linear solves, as one does
    def ops(f):
        return gv.compile(f).plan(Cosmology()).ops.count("solve")

    once = ops(lambda c: c.growth(A))
    both = ops(
        lambda c: (c.growth(A, order=2), c.growth_rate(A), c.linear_power(K, 1.0))
    )
    assert once == 1 and both == 2


@pytest.mark.smoke
def test_batched_and_compiled():
    m = np.array([0.25, 0.3, 0.35])

    def f(m, z):
        c = Cosmology(Omega_m=m)
        return c.halofit_power(K, z), c.growth(0.5), c.scale_factor(1500.0)

    rows = [f(x, z) for x, z in zip(m, Z, strict=True)]
    for g in (gv.vmap(f), gv.compile(gv.vmap(f))):
        for got, *wanted in zip(g(m, Z), *rows, strict=True):
            np.testing.assert_allclose(got, np.stack(wanted), rtol=1e-11)
