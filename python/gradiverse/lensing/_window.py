"""What linear (CIC) assignment to pixels does to spectra of maps.

A smooth field is smoothed: its spectrum is multiplied by prod sinc^4(l_i p/2), p the
side of a pixel. Points keep their noise up to aliasing: white noise becomes
prod (1 - 2/3 sin^2(l_i p/2)) (Jing 2005). Averages are over the modes of the bins of
`map_spectrum`.
"""

import numpy as np


def windows(shape, bins):
    """(window of the signal, window of shot noise) in the bins 1..bins, (bins,) each.

    Parameters
    ----------
    shape : (ny, nx)
    bins : int
        Number of bins, of width 2 pi over the longest side.
    """
    ny, nx = shape
    f2, f1 = np.fft.fftfreq(ny)[:, None], np.fft.fftfreq(nx)
    which = np.floor(np.hypot(f1, f2) * max(ny, nx) + 0.5).astype(int)
    signal = np.sinc(f1) ** 4 * np.sinc(f2) ** 4
    noise = (1 - 2 / 3 * np.sin(np.pi * f1) ** 2) * (
        1 - 2 / 3 * np.sin(np.pi * f2) ** 2
    )
    inside = (which >= 1) & (which <= bins)
    at = which[inside] - 1
    count = np.bincount(at, minlength=bins)

    def mean(x):
        return np.bincount(at, x[inside], bins) / np.maximum(count, 1)

    return mean(signal), mean(noise)


def log_bins(ell, per_decade=12):
    """Group linear bins into logarithmic ones.

    Parameters
    ----------
    ell : (B,) array
        Rising multipoles.
    per_decade : int

    Returns
    -------
    list of slices
        Each of at least one bin, all bins once.
    """
    which = np.floor(per_decade * np.log10(ell / ell[0]) + 1e-9).astype(int)
    starts = np.flatnonzero(np.append(True, np.diff(which) > 0))
    ends = np.append(starts[1:], len(ell))
    return [slice(int(i), int(j)) for i, j in zip(starts, ends, strict=True)]
