"""Derivatives of runs: against differences, each other and their transposes."""

import numpy as np
import pytest

import gradiverse as gv
from gradiverse.nbody import PGD

NAMES = ("Omega_m", "Omega_b", "h", "n_s", "sigma8", "w0", "wa")
VALUES = {
    "Omega_m": 0.31, "Omega_b": 0.05, "h": 0.68, "n_s": 0.96, "sigma8": 0.7,
    "w0": -0.95, "wa": 0.1,
}  # fmt: skip
SHARP = {"alpha0": 0.02, "mu": -1.5, "kl": 0.3, "ks": 1.2}
SHAPE, BOX, STEPS = (8, 8, 8), 48.0, (0.2, 0.35, 0.6, 0.9)


def noise(shape=SHAPE, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def weights(n, seed=100):
    return np.random.default_rng(seed).normal(size=(n, 3))


def loss(
    modes, parameters, sharp=None, adjoint="reversible", precision="double",
    integrator="bullfrog", steps=STEPS, factor=2, force="mesh", box=BOX,
):  # fmt: skip
    """A smooth number that looks at displacements and momenta."""
    c = gv.cosmology.Cosmology(**parameters)
    pgd = None if sharp is None else PGD(**sharp)
    p = gv.nbody.evolve(
        modes, c, box, steps, factor, integrator, adjoint, precision, pgd, force=force
    )
    w = weights(p.displacements.shape[0]).astype(p.displacements.dtype)
    return np.sum(w * p.displacements) + np.sum(np.sin(w * p.momenta))


def four_point(f, h):
    """f'(0) to h^4/30 f^(5)."""
    return (f(-2 * h) - 8 * f(-h) + 8 * f(h) - f(2 * h)) / (12 * h)


# CIC has kinks where a particle crosses a mesh plane: the differences below are small
# enough (1e-5 of a cell) that with these seeds no particle is that near one. Rounding,
# 1e-14 of values of order 10, over 1e-5: 1e-8.
@pytest.mark.parametrize("integrator", ["bullfrog", "fastpm"])
@pytest.mark.parametrize("sharp", [None, SHARP], ids=["plain", "pgd"])
def test_directional_derivatives(integrator, sharp):
    """Modes in a random direction and each parameter, to 1e-6 in double precision."""
    modes, along = noise(), noise(seed=1)
    run = gv.compile(lambda m, p, s: loss(m, p, s, integrator=integrator))
    grad = gv.grad(
        lambda m, p, s: loss(m, p, s, integrator=integrator), argnums=(0, 1, 2)
    )
    g_modes, g_c, g_s = grad(modes, VALUES, sharp)

    def check(found, f):
        assert found == pytest.approx(four_point(f, 1e-5), rel=1e-6)

    check(np.sum(g_modes * along), lambda t: run(modes + t * along, VALUES, sharp))
    for name in NAMES:
        check(
            g_c[name],
            lambda t, n=name: run(modes, {**VALUES, n: VALUES[n] + t}, sharp),
        )
    for name in sharp or ():
        check(
            g_s[name],
            lambda t, n=name: run(modes, VALUES, {**sharp, n: sharp[n] + t}),
        )


@pytest.mark.parametrize("integrator", ["bullfrog", "fastpm"])
@pytest.mark.parametrize(("precision", "tol"), [("double", 1e-10), ("single", 1e-5)])
def test_reversible_store_and_recompute_agree(integrator, precision, tol):
    """Double: 1e-10 of the largest entry. Single: 1e-5 of the gradient's std (the
    states are the same bits; the recomputed forces too)."""
    modes = noise(seed=2)

    def gradient(adjoint):
        return gv.grad(loss, argnums=(0, 1))(
            modes, VALUES, None, adjoint, precision, integrator, np.geomspace(0.1, 1, 9)
        )

    first, c_first = gradient("reversible")
    scale = np.std(first) if precision == "single" else np.abs(first).max()
    for adjoint in ("store", "recompute", ("recompute", 3)):
        other, c_other = gradient(adjoint)
        assert np.abs(first - other).max() < tol * scale
        for name in NAMES:
            assert c_first[name] == pytest.approx(c_other[name], rel=tol)


def test_single_against_double():
    """Rounding of single precision in the gradient: some 1e-4 of its std."""
    modes = noise(seed=3)
    one, two = (
        gv.grad(loss)(modes, VALUES, None, "reversible", precision)
        for precision in ("single", "double")
    )
    assert np.std(one - two) < 1e-3 * np.std(two)


@pytest.mark.parametrize("integrator", ["bullfrog", "fastpm"])
def test_forward_and_reverse_are_transposes(integrator):
    """<u, J v> = <J^T u, v> to 1e-12, with modes and cosmology moving together."""
    modes, dm = noise(seed=4), noise(seed=5)
    rng = np.random.default_rng(6)
    dc = {n: rng.normal() * 0.1 for n in NAMES}
    ds = {n: rng.normal() * 0.1 for n in SHARP}

    def run(m, c, s):
        p = gv.nbody.evolve(
            m, gv.cosmology.Cosmology(**c), BOX, STEPS, 2, integrator,
            precision="double", pgd=PGD(**s),
        )  # fmt: skip
        return p.displacements, p.momenta

    u = [rng.normal(size=(512, 3)) for _ in "xp"]
    _, tangent = gv.jvp(run, (modes, VALUES, SHARP), (dm, dc, ds))
    _, pull = gv.vjp(run, modes, VALUES, SHARP)
    g_m, g_c, g_s = pull(tuple(u))
    left = sum(np.sum(a * b) for a, b in zip(u, tangent, strict=True))
    right = (
        np.sum(g_m * dm)
        + sum(g_c[n] * dc[n] for n in NAMES)
        + sum(g_s[n] * ds[n] for n in SHARP)
    )
    size = sum(np.sum(np.abs(a * b)) for a, b in zip(u, tangent, strict=True))
    assert abs(left - right) < 1e-12 * size


@pytest.mark.smoke
def test_smallest_mesh_by_central_differences():
    """4^3 particles, L = 8, stages .1/.5/1, steps 1e-4, 1e-6: the test that ran for
    each operator of other codes; every mode here."""
    modes = 0.3 * noise((4, 4, 4), 7)

    def f(m):
        return loss(
            m, VALUES, integrator="fastpm", steps=(0.1, 0.5, 1.0), factor=1, box=8.0
        )

    run, g = gv.compile(f), gv.grad(f)(modes)
    for i in range(0, 64, 7):
        step = np.zeros(64)
        step[i] = 1.0
        step = step.reshape(4, 4, 4)
        slope = (run(modes + 1e-4 * step) - run(modes - 1e-4 * step)) / 2e-4
        assert g.flat[i] == pytest.approx(slope, rel=1e-6, abs=1e-6 * np.abs(g).max())


def test_linear_force_has_the_derivatives_of_lpt():
    """The Zel'dovich run is D1 s1: derivatives as of lpt at the last stage."""
    modes, w = noise(seed=8), weights(512)

    def by(run):
        def f(m, p):
            return np.sum(w * run(m, gv.cosmology.Cosmology(**p)).displacements)

        return gv.grad(f, argnums=(0, 1))(modes, VALUES)

    a = by(
        lambda m, c: gv.nbody.evolve(
            m, c, BOX, STEPS, order=1, force="linear", precision="double"
        )
    )
    b = by(lambda m, c: gv.nbody.lpt(m, c, a=STEPS[-1], box=BOX, order=1))
    np.testing.assert_allclose(a[0], b[0], atol=1e-10 * np.abs(b[0]).max())
    for name in NAMES:
        assert a[1][name] == pytest.approx(b[1][name], rel=1e-8, abs=1e-8)


def test_callable_force_is_differentiated_with_what_it_captures():
    modes = noise((4, 4, 4), 9)

    def f(stiff):
        p = gv.nbody.evolve(
            modes, gv.cosmology.Cosmology(), 20.0, (0.3, 0.5, 0.7), precision="double",
            force=lambda x: -stiff * np.sin(2 * np.pi / 20.0 * x),
        )  # fmt: skip
        return np.sum(p.displacements**2)

    g = gv.grad(f)(0.4)
    assert g == pytest.approx(four_point(lambda t: f(0.4 + t), 1e-3), rel=1e-6)


def test_gradients_through_particles():
    """Particles as an argument and result of transforms; momenta to positions."""
    modes, c = noise(seed=10), gv.cosmology.Cosmology()
    p = gv.nbody.lpt(modes, c, a=0.3, box=BOX)

    def f(p):
        q = gv.nbody.advance(p, c, (0.3, 0.4))
        return np.sum(q.displacements**2)

    g = gv.grad(f)(p)
    assert g.positions is None or not np.any(g.positions)
    d = weights(512)

    def moved(t):
        from dataclasses import replace

        return f(replace(p, momenta=p.momenta + t * d))

    assert np.sum(g.momenta * d) == pytest.approx(four_point(moved, 1e-4), rel=1e-6)


def test_trap_13_gradients_have_the_same_bits_on_any_number_of_threads():
    """T13: run twice, on 1 and 2 threads; single precision, 32^3, B=2."""
    modes = noise((32,) * 3, 11)

    def f(m, p):
        c = gv.cosmology.Cosmology(**p)
        return np.sum(gv.nbody.evolve(m, c, 48.0, 6).displacements ** 2)

    g = gv.compile(gv.grad(f, argnums=(0, 1)))
    before, found = gv.get_threads(), []
    try:
        for threads in (1, 2, 2):
            gv.set_threads(threads)
            found.append(g(modes, VALUES))
    finally:
        gv.set_threads(before)
    for other in found[1:]:
        np.testing.assert_array_equal(found[0][0], other[0])
        assert found[0][1] == other[1]


def test_memory_of_the_gradient_does_not_grow_with_the_steps():
    """5 to 40 steps: at most 5 % more; the tape grows five-fold and more."""
    modes = np.zeros((16, 16, 16))

    def peak(n, adjoint):
        def f(m):
            p = gv.nbody.evolve(
                m, gv.cosmology.Cosmology(), 64.0, n + 1, 2, adjoint=adjoint
            )
            return np.sum(p.displacements**2)

        return gv.compile(gv.value_and_grad(f)).plan(modes).peak_bytes

    assert peak(40, "reversible") < 1.05 * peak(5, "reversible")
    assert peak(40, "store") > 2 * peak(5, "store")
