"""White noise: distribution, symmetry, and phases that survive a change of mesh."""

import numpy as np
import pytest

import gradiverse as gv
from gradiverse.nbody.noise import white_noise


def modes(field):
    """omega = DFT/sqrt(N), whole spectrum."""
    return np.fft.fftn(field) / np.sqrt(field.size)


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("one", "two"),
    [((8, 8, 8), (16, 16, 16)), ((8, 12, 6), (9, 10, 16)), ((5, 7, 9), (12, 6, 8))],
)
def test_modes_below_nyquist_do_not_depend_on_the_mesh(one, two):
    a, b = modes(white_noise(one, rng=5)), modes(white_noise(two, rng=5))
    reach = [(min(n, m) - 1) // 2 for n, m in zip(one, two, strict=True)]
    at = np.ix_(*(np.arange(-r, r + 1) for r in reach))
    # two transforms of some thousand points: rounding of order 1e-16 log N
    np.testing.assert_allclose(a[at], b[at], rtol=0, atol=1e-13)
    assert np.abs(a[at]).max() > 1


def test_modes_have_unit_variance_and_fair_phases():
    shape = (32, 24, 20)
    w = modes(white_noise(shape, rng=3))
    assert abs(w[0, 0, 0]) < 1e-13
    n = w.size
    # |w|^2 is exponential with mean 1 (chi^2_1 at the 7 real modes); pairs counted
    # twice, so n/2 independent values of standard deviation 1: 4 sigma
    assert abs((np.abs(w) ** 2).sum() / (n - 1) - 1) < 4 * np.sqrt(2 / n)
    half = w[:, :, 1:10].ravel()
    for part in (half.real, half.imag):
        assert abs(part.mean()) < 4 * np.sqrt(0.5 / half.size)
        assert abs(np.mean(part**2) - 0.5) < 4 * 0.5 * np.sqrt(2 / half.size)
    assert abs(np.mean(half.real * half.imag)) < 4 * 0.5 / np.sqrt(half.size)


def test_cells_are_standard_normal():
    x = white_noise((40, 40, 40), rng=8).ravel()
    n = x.size
    assert abs(x.mean()) < 1e-15
    assert abs(x.var() - 1) < 4 * np.sqrt(2 / n)
    assert abs(np.mean(x**3)) < 4 * np.sqrt(15 / n)
    assert abs(np.mean(x**4) - 3) < 4 * np.sqrt(96 / n)
    assert abs(np.mean(x[1:] * x[:-1])) < 4 / np.sqrt(n)


def test_self_conjugate_modes_are_real_with_unit_variance():
    found = []
    for seed in range(200):
        w = gv.graph.emit("mode_noise", (gv.random.key(seed),), shape=(4, 4, 4))
        found.append([w[2, 0, 0], w[0, 2, 0], w[2, 2, 2], w[0, 0, 2], w[2, 0, 2]])
    found = np.array(found)
    assert not found.imag.any()
    assert abs(np.mean(found.real**2) - 1) < 4 * np.sqrt(2 / found.size)


def test_half_spectrum_is_hermitian():
    """Its planes z = 0 and z = Z/2 hold both modes of their pairs."""
    w = gv.graph.emit("mode_noise", (gv.random.key(1),), shape=(6, 5, 4))
    for plane in (w[..., 0], w[..., 2]):
        mirror = np.roll(np.flip(plane, (0, 1)), (1, 1), (0, 1))
        np.testing.assert_array_equal(plane, mirror.conj())


def test_seeds_generators_and_keys():
    a = white_noise((4, 4, 6), rng=7)
    assert a.dtype == np.float64
    np.testing.assert_array_equal(a, white_noise([4, 4, 6], rng=np.int64(7)))
    np.testing.assert_array_equal(a, white_noise((4, 4, 6), rng=gv.random.key(7)))
    assert not np.array_equal(a, white_noise((4, 4, 6), rng=8))
    g, h = np.random.default_rng(1), np.random.default_rng(1)
    first = white_noise((4, 4, 6), rng=g)
    np.testing.assert_array_equal(first, white_noise((4, 4, 6), rng=h))
    assert not np.array_equal(first, white_noise((4, 4, 6), rng=g))
    assert not np.array_equal(white_noise((4, 4, 4)), white_noise((4, 4, 4)))
    one, two = (white_noise((4, 4, 6), rng=np.random.SeedSequence(n)) for n in (1, 2))
    np.testing.assert_array_equal(one, first)  # default_rng(1) starts from the same
    assert not np.array_equal(one, two)
    traced = gv.compile(lambda k: white_noise((4, 4, 6), rng=k))
    np.testing.assert_array_equal(traced(gv.random.key(7)), a)


def test_same_bits_for_any_number_of_threads():
    before = gv.get_threads()
    try:
        found = []
        for n in (1, 2):
            gv.set_threads(n)
            found.append(white_noise((20, 30, 24), rng=2).tobytes())
    finally:
        gv.set_threads(before)
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("shape", "rng", "error", "words"),
    [
        ((4, 4), 1, TypeError, "three ints"),
        (8, 1, TypeError, "three ints"),
        ((4, 4, 4.0), 1, TypeError, "three ints"),
        ((4, 0, 4), 1, ValueError, "positive"),
        ((4, 4, 2**21), 1, ValueError, "axis 2"),
        ((4, 4, 4), "seed", TypeError, "rng"),
        ((4, 4, 4), 1.5, TypeError, "rng"),
        ((4, 4, 4), True, TypeError, "rng"),
    ],
)
def test_bad_arguments(shape, rng, error, words):
    with pytest.raises(error, match=words):
        white_noise(shape, rng=rng)
