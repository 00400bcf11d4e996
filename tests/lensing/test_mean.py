"""The mean spectrum of many maps against Limber linear theory."""

import numpy as np

import gradiverse as gv
from gradiverse.cosmology import Cosmology
from gradiverse.lensing import _window

from .test_cone import BACKGROUND, PLANCK, noise

HUBBLE = 2997.92458


def tapered_expectation(c, cone, lo, taper, fine=4):
    """Mean |DFT[kappa taper]|^2 of an isotropic field with Limber's spectrum, by mode.

    The correlation function times the taper's autocorrelation, on a sky `fine` times as
    wide as the map.
    """
    n, pixel = len(taper), cone.pixel
    wide = n * fine
    x, w = np.polynomial.legendre.leggauss(64)
    far = BACKGROUND.chi(0.5)
    chi = lo + 0.5 * (far - lo) * (x + 1)
    a = BACKGROUND.a_of(chi)
    kernel = (1.5 * c.Omega_m / HUBBLE**2 * (1 - chi / far) / a) ** 2
    nodes = np.geomspace(20, 40000, 300)
    power = c.linear_power(nodes[:, None] / chi, 1 / a - 1)
    # modes that the box does not hold: the cell of k = 0 across the line of sight
    across = nodes[:, None] / chi
    power = np.where(across < 2 * np.sqrt(np.pi) / cone.setup.box[0], 0.0, power)
    cl = power @ (kernel * w * 0.5 * (far - lo))
    ell = 2 * np.pi * np.hypot(*np.meshgrid(*[np.fft.fftfreq(wide, pixel)] * 2))
    spectrum = np.exp(
        np.interp(np.log(np.maximum(ell, 20)), np.log(nodes), np.log(cl + 1e-30))
    )
    spectrum[0, 0] = 0
    big = np.zeros((wide, wide))
    big[:n, :n] = taper
    auto = np.fft.ifft2(np.abs(np.fft.fft2(big)) ** 2).real
    xi = np.fft.ifft2(spectrum).real / pixel**2
    return np.fft.fft2(xi * auto).real[::fine, ::fine]


def test_mean_of_twenty_maps_is_linear_theory():
    """l 100-500 within 3 of the errors that twenty maps give, and 10 % in all.

    Odd parts (kappa(m) - kappa(-m))/2 at low sigma8 with the Zel'dovich force: no noise
    of the lattice. Copies of the box are turned. Beyond 500 Mpc/h, tapered.
    """
    c = Cosmology(**{**PLANCK, "sigma8": 0.01})
    lo = 503.25
    end = float(BACKGROUND.a_of(lo))
    n, pixels, maps = 64, 128, 20
    edge = np.sin(np.pi * (np.arange(pixels) + 0.5) / pixels) ** 2
    taper = edge[:, None] * edge
    rows = []
    for seed in range(maps):
        cone = gv.lensing.Lightcone(
            box=256.0, shape=(n,) * 3, steps=[0.3, end], sources=[1.0],
            field_of_view=6.0, map_shape=(pixels,) * 2, integrator="fastpm",
            precision="double", force="linear", order=1, rng=seed,
        )  # fmt: skip
        modes = noise(n, 100 + seed)
        odd = 0.5 * (cone(modes, c) - cone(-modes, c))[0]
        rows.append(np.abs(np.fft.fft2(odd * taper)) ** 2)
    want = tapered_expectation(c, cone, lo, taper)
    f = np.hypot(*np.meshgrid(*[np.fft.fftfreq(pixels)] * 2)) * pixels
    which = np.floor(f + 0.5)
    signal = _window.windows((pixels,) * 2, pixels // 2)[0]
    step = 2 * np.pi / (pixels * cone.pixel)
    ratios = []
    for b in range(1, pixels // 2):
        if not 100 < b * step < 500:
            continue
        each = [r[which == b].sum() for r in rows]
        ratios.append(np.array(each) / want[which == b].sum() / signal[b - 1])
    ratios = np.array(ratios)
    error = ratios.std(axis=1, ddof=1) / np.sqrt(maps)
    pull = (ratios.mean(axis=1) - 1) / error
    assert len(ratios) >= 4 and np.all(error < 0.2)
    assert np.abs(pull).max() < 3, (ratios.mean(axis=1), error)
    whole = np.mean(ratios, axis=0)
    assert abs(whole.mean() - 1) < 3 * whole.std(ddof=1) / np.sqrt(maps)
    assert abs(whole.mean() - 1) < 0.1
