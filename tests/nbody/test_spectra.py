"""Spectra against sums over modes one by one, closed forms, and differences."""

import numpy as np
import pytest

import gradiverse as gv
from gradiverse.nbody.spectra import (
    correlation,
    cross_spectrum,
    map_spectrum,
    power_spectrum,
    transfer,
)

SHAPES = [
    ((8, 8, 8), (20.0, 20.0, 20.0)),
    ((6, 9, 4), (12.0, 27.0, 6.0)),
    ((5, 4, 7), (10.0, 4.0, 21.5)),
    ((16, 2, 3), (64.0, 3.0, 5.0)),
]


def by_hand(f, g, box):
    """Mean k, mean power and count of each bin that has modes; full spectrum."""
    volume, cells = np.prod(box), f.size
    product = (np.conj(np.fft.fftn(f)) * np.fft.fftn(g)).real * volume / cells**2
    axes = list(zip(f.shape, box, strict=True))
    wave = [2 * np.pi * np.fft.fftfreq(n, s / n) for n, s in axes]
    base = 2 * np.pi / max(s for n, s in axes if n > 1)
    rows = {}
    for at in np.ndindex(f.shape):
        k = np.sqrt(sum(w[i] ** 2 for w, i in zip(wave, at, strict=True)))
        bin_ = int(np.floor(k / base + 0.5 + 1e-12))  # half-open below, up to rounding
        if bin_ >= 1:
            rows.setdefault(bin_, []).append((k, product[at]))
    k, p = np.transpose([np.mean(rows[i], axis=0) for i in sorted(rows)])
    return k, p, np.array([len(rows[i]) for i in sorted(rows)])


def fields(shape, seed=0):
    """Two correlated fields with mean 1."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, *shape))
    return 1 + 0.3 * a, 1 + 0.2 * a + 0.1 * b


@pytest.mark.smoke
@pytest.mark.parametrize(("shape", "box"), SHAPES)
def test_spectra_mode_by_mode(shape, box):
    f, g = fields(shape)
    for (k, p, n), (wk, wp, wn) in [
        (power_spectrum(f, box), by_hand(f, f, box)),
        (cross_spectrum(f, g, box), by_hand(f, g, box)),
    ]:
        np.testing.assert_array_equal(n, wn)
        np.testing.assert_allclose(k, wk, rtol=1e-13)
        np.testing.assert_allclose(p, wp, rtol=1e-11, atol=1e-13 * np.abs(wp).max())


@pytest.mark.parametrize(("shape", "box"), SHAPES)
def test_transfer_and_correlation(shape, box):
    f, g = fields(shape)
    _, ff, n = by_hand(f, f, box)
    gg, fg = by_hand(g, g, box)[1], by_hand(f, g, box)[1]
    _, t, m = transfer(f, g, box)
    np.testing.assert_array_equal(m, n)
    np.testing.assert_allclose(t, np.sqrt(ff / gg), rtol=1e-11)
    np.testing.assert_allclose(
        correlation(f, g, box)[1], fg / np.sqrt(ff * gg), rtol=1e-11, atol=1e-12
    )


def test_parseval():
    """sum(n P)/V is the variance: every mode but the mean is in one bin."""
    for shape, box in SHAPES:
        f, _ = fields(shape, seed=1)
        _, p, n = power_spectrum(f, box)
        assert n.sum() == f.size - 1
        np.testing.assert_allclose((n * p).sum() / np.prod(box), f.var(), rtol=1e-12)


def test_bins_are_half_open():
    """Sides 3 and 2: the mode 1.5 k_f is the lower edge of bin 2."""
    k, _, n = power_spectrum(np.ones((2, 2, 1)), (3.0, 2.0, 1.0))
    # modes 1, 1.5 and sqrt(1 + 2.25) = 1.80 in units of k_f
    assert n.tolist() == [1, 2]
    np.testing.assert_allclose(k * 3 / (2 * np.pi), [1, (1.5 + 3.25**0.5) / 2])


def test_axes_of_one_cell_do_not_set_the_bins():
    """The bin width comes from the longest side that has modes."""
    f = fields((8, 8, 1))[0]
    k, _, _ = power_spectrum(f, (10.0, 10.0, 500.0))
    assert k[0] > 0.9 * 2 * np.pi / 10


def test_empty_bins_are_left_out():
    k, p, n = power_spectrum(fields((4, 2, 2))[0], (100.0, 2.0, 2.0))
    assert n.min() > 0 and np.isfinite(p).all() and n.sum() == 15
    assert k[2] * 100 / (2 * np.pi) > 49


def test_single_precision_sums_in_double():
    f, g = (x.astype(np.float32) for x in fields((16, 16, 16)))
    wide = power_spectrum(f.astype(float), 10.0)[1]
    single = power_spectrum(f, 10.0)[1]
    assert single.dtype == np.float64
    # |DFT|^2 in float32: relative errors of some 1e-6 around the mean of 1
    np.testing.assert_allclose(single, wide, rtol=1e-5)
    mixed = cross_spectrum(f, g.astype(float), 10.0)[1]
    np.testing.assert_allclose(
        mixed, cross_spectrum(f.astype(float), g.astype(float), 10.0)[1], rtol=1e-12
    )


@pytest.mark.parametrize("function", [cross_spectrum, transfer, correlation])
def test_gradients_of_two_fields(function):
    box, (f, g) = (12.0, 10.0, 5.0), fields((6, 5, 4))
    rng = np.random.default_rng(3)
    weight = rng.normal(size=len(function(f, g, box)[0]))

    def loss(a, b):
        return np.sum(weight * function(a, b, box)[1])

    gv.testing.check_grads(loss, (f, g))


def test_gradient_of_power():
    box, (f, _) = (12.0, 10.0, 5.0), fields((6, 5, 4))
    weight = np.random.default_rng(4).normal(size=len(power_spectrum(f, box)[0]))
    gv.testing.check_grads(lambda a: np.sum(weight * power_spectrum(a, box)[1]), (f,))
    _, p, n = gv.compile(lambda a: power_spectrum(a, box))(f)
    np.testing.assert_allclose(p, power_spectrum(f, box)[1], rtol=1e-13)
    np.testing.assert_array_equal(n, power_spectrum(f, box)[2])
    assert gv.grad(lambda a: power_spectrum(a, box)[1][0])(f.astype("f4")).dtype == "f4"


def test_map_spectrum():
    """C_l = <|A DFT|^2>/Omega, by hand as a box of one cell along the first axis."""
    kappa, sides = fields((12, 10))[0], (0.06, 0.05)
    ell, c, n = map_spectrum(kappa, sides)
    want = by_hand(kappa[None], kappa[None], (1.0, *sides))
    np.testing.assert_array_equal(n, want[2])
    np.testing.assert_allclose(ell, want[0], rtol=1e-13)
    np.testing.assert_allclose(c, want[1], rtol=1e-11)
    np.testing.assert_allclose((n * c).sum() / 0.003, kappa.var(), rtol=1e-12)
    x = np.arange(12) / 12
    wave = np.cos(2 * np.pi * 3 * x)[:, None] + np.zeros((12, 10))
    ell, c, n = map_spectrum(wave, sides)
    at = np.argmax(c)
    assert abs(ell[at] - 3 * 2 * np.pi / 0.06) < 0.5 * 2 * np.pi / 0.06
    np.testing.assert_allclose(c[at] * n[at], 2 * 0.003 / 4, rtol=1e-12)
    gv.testing.check_grads(lambda m: np.sum(map_spectrum(m, sides)[1][1:4]), (kappa,))


def test_bad_arguments():
    f = np.ones((4, 4, 4))
    with pytest.raises(ValueError, match="3 axes"):
        power_spectrum(f[0], 10.0)
    with pytest.raises(TypeError, match="dtype"):
        power_spectrum(f.astype(int), 10.0)
    with pytest.raises(ValueError, match="positive"):
        power_spectrum(f, -1.0)
    with pytest.raises(ValueError, match="sides"):
        power_spectrum(f, (1.0, 2.0))
    with pytest.raises(ValueError, match="g"):
        cross_spectrum(f, f[:2], 10.0)
    with pytest.raises(ValueError, match="no mode"):
        power_spectrum(np.ones((1, 1, 1)), 10.0)
    with pytest.raises(ValueError, match="2 axes"):
        map_spectrum(f, (0.1, 0.1))
    with pytest.raises(ValueError, match="angles"):
        map_spectrum(f[0], (0.1, 0.0))
