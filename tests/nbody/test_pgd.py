"""Sharpening by particle gradient descent."""

import numpy as np
import pytest

import gradiverse as gv
from gradiverse.nbody import PGD

from .oracles import frequencies, lattice
from .test_evolve import ffts

C = gv.cosmology.Cosmology(Omega_m=0.31)
SHARP = {"alpha0": 0.02, "mu": -1.5, "kl": 0.4, "ks": 1.5}


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def shift_in_numpy(x, box, mesh, alpha, kl, ks):
    """S by the formula: CIC paint, alpha e^-(kl/k)^2 e^-(k/ks)^4/k^2, stencil, CIC."""
    mesh, box = np.array(mesh), np.array(box)
    cell = box / mesh
    u = x / cell
    i = np.floor(u).astype(int)
    f = u - i
    rho, corners = np.zeros(mesh), []
    for c in np.ndindex(2, 2, 2):
        at = tuple(((i + c) % mesh).T)
        corners.append((at, np.prod(np.where(c, f, 1 - f), axis=1)))
        np.add.at(rho, *corners[-1])
    rho /= len(x) / np.prod(mesh)
    k = np.sqrt(sum(q * q for q in frequencies(mesh, box)))
    k[0, 0, 0] = 1.0
    green = np.exp(-((kl / k) ** 2) - (k / ks) ** 4) / k**2
    green[0, 0, 0] = 0.0
    psi = -alpha * np.fft.ifftn(np.fft.fftn(rho) * green).real
    S = np.empty_like(x)
    for d in range(3):
        near = np.roll(psi, -1, d) - np.roll(psi, 1, d)
        far = np.roll(psi, -2, d) - np.roll(psi, 2, d)
        slope = (8 * near - far) / (12 * cell[d])
        S[:, d] = -sum(w * slope[at] for at, w in corners)
    return S


@pytest.mark.parametrize("a", [0.5, 1.0])
def test_sharpened_against_the_formula(a):
    """Interpolating the band in ln k at 2048 nodes: h^4 f''''/60, h = .002, and
    f'''' up to 256 (k/ks)^16... at the cut-off: 1e-8 of the largest."""
    shape, box, mesh = (8, 12, 10), (16.0, 18.0, 20.0), (16, 24, 20)
    p = gv.nbody.lpt(noise(shape), C, a=a, box=box)
    q = p.sharpened(PGD(**SHARP))
    S = shift_in_numpy(p.positions, box, mesh, 0.02 * a**-1.5, 0.4, 1.5)
    assert np.abs(q.displacements - p.displacements - S).max() < 1e-7 * np.abs(S).max()
    apart = np.abs(q.positions - np.mod(p.positions + S, box))
    assert np.minimum(apart, np.array(box) - apart).max() < 1e-7
    np.testing.assert_array_equal(q.momenta, p.momenta)


def test_evolve_sharpens_the_end_and_leaves_the_dynamics():
    modes, box = noise((8, 8, 8), 1), 16.0
    arguments = (modes, C, box, np.linspace(0.1, 0.7, 9))
    plain = gv.nbody.evolve(*arguments, precision="double", keep_start=True)
    sharp = gv.nbody.evolve(
        *arguments, precision="double", pgd=PGD(**SHARP), keep_start=True
    )
    S = shift_in_numpy(
        plain.positions, (box,) * 3, (16,) * 3, 0.02 * 0.7**-1.5, 0.4, 1.5
    )
    moved = sharp.displacements - plain.displacements
    assert np.abs(moved - S).max() < 1e-7 * np.abs(S).max()
    np.testing.assert_array_equal(sharp.momenta, plain.momenta)
    np.testing.assert_array_equal(
        sharp.reverse().displacements, plain.start.displacements
    )
    other = plain.sharpened(PGD(**SHARP))
    assert np.abs(other.displacements - sharp.displacements).max() < 1e-12


def test_trap_10_wavenumbers_are_in_h_per_mpc():
    """T10: the same box in another unit of length, k in its inverse, is the same; kl
    and ks read per cell would not scale. And the inverse transform is one: no strength,
    no shift."""
    modes = noise((8, 8, 8), 2)
    p = gv.nbody.lpt(modes, C, a=1.0, box=16.0)
    from dataclasses import replace

    double = replace(
        p, positions=2 * p.positions, displacements=2 * p.displacements, box=(32.0,) * 3
    )
    one = p.sharpened(PGD(**SHARP)).displacements - p.displacements
    scaled = PGD(**{**SHARP, "kl": 0.2, "ks": 0.75})
    two = double.sharpened(scaled).displacements - double.displacements
    assert np.abs(two - 2 * one).max() < 1e-9 * np.abs(one).max()
    wrong = double.sharpened(PGD(**SHARP)).displacements - double.displacements
    assert np.abs(wrong - 2 * one).max() > 0.1 * np.abs(one).max()
    none = p.sharpened(PGD(**{**SHARP, "alpha0": 0.0}))
    np.testing.assert_array_equal(none.displacements, p.displacements)


def test_sharpening_sharpens():
    """Power of small scales grows, that of large ones stays."""
    modes = gv.nbody.white_noise((32,) * 3, rng=3)
    p = gv.nbody.evolve(modes, C, 64.0, 11)
    q = p.sharpened(PGD.published(2, 2.0, 11))

    def power(x):
        return gv.nbody.power_spectrum(gv.nbody.paint(x, 64.0, (64,) * 3), 64.0)

    (k, P, _), (_, Q, _) = power(p.positions), power(q.positions)
    assert abs(Q[0] / P[0] - 1) < 0.01
    band = (k > 1.0) & (k < 1.5)
    assert np.mean(Q[band] / P[band]) > 1.05


def test_ffts_with_sharpening():
    """Two more for the band-passed potential at the end, not in the loop."""
    modes = noise((8, 8, 8), 4)
    plain = ffts(lambda m: gv.nbody.evolve(m, C, 20.0, 5), modes)
    sharp = ffts(lambda m: gv.nbody.evolve(m, C, 20.0, 5, pgd=PGD(**SHARP)), modes)
    assert sharp == plain + 2


def test_derivatives_of_sharpened():
    p = gv.nbody.lpt(noise((4, 4, 4), 5), C, a=0.6, box=8.0)
    w = noise((64, 3), 6)

    def f(**values):
        return np.sum(w * p.sharpened(PGD(**values)).displacements)

    found = gv.grad(lambda v: f(**v))(SHARP)
    for name, value in SHARP.items():
        h = 1e-3 * abs(value)
        at = [f(**{**SHARP, name: value + t * h}) for t in (-2, -1, 1, 2)]
        slope = (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * h)
        assert found[name] == pytest.approx(slope, rel=1e-7)


def test_published_values():
    assert PGD.published(2, 1, 11) == PGD(0.00302657, -2.30719, 0.358152, 6.453695)
    with pytest.raises(ValueError, match="fit_pgd"):
        PGD.published(2, 0.5, 11)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"ks": 0.0}, ValueError),
        ({"kl": -1.0}, ValueError),
        ({"alpha0": np.nan}, ValueError),
        ({"mu": "steep"}, TypeError),
        ({"mu": None}, TypeError),
    ],
)
def test_bad_parameters(change, error):
    with pytest.raises(error, match="PGD"):
        PGD(**{**SHARP, **change})


def test_bad_uses():
    p = gv.nbody.lpt(noise((4, 4, 4)), C, a=1.0, box=8.0)
    with pytest.raises(TypeError, match="PGD"):
        p.sharpened(0.1)
    with pytest.raises(TypeError, match="PGD"):
        p.sharpened(None)
    with pytest.raises(ValueError, match="mesh_factor"):
        p.sharpened(PGD(**SHARP), mesh_factor=0.7)
    assert lattice((4,) * 3, (8.0,) * 3, (8,) * 3).shape == p.positions.shape
