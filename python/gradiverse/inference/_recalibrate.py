"""Recalibration of one-dimensional posteriors by held-out simulations.

Where posteriors are calibrated, the credibility c of their truths (the mass where the
density is higher) is uniform on (0, 1). Held-out pairs show its density w(c) where they
are not; p(θ|x) w(c(θ, x)) then covers its truths as it says, and stays normalised for
every x, since c is uniform under p itself. w is the exponential of a polynomial of
degree 4, fitted by maximum likelihood.
"""

import numpy as np
from numpy.polynomial.legendre import leggauss, legvander

__all__ = ["LEAST", "Levels", "fit", "log_weight"]

LEAST = 400  # pairs: the coverage at .68 is then known to .02
_DEGREE = 4
_NODES, _WEIGHTS = leggauss(40)
_NODES, _WEIGHTS = 0.5 * (_NODES + 1), 0.5 * _WEIGHTS


def _features(c):
    """Legendre polynomials of degree 1 to _DEGREE on (0, 1), (..., _DEGREE)."""
    return legvander(2.0 * np.asarray(c) - 1.0, _DEGREE)[..., 1:]


def fit(c, weights=None):
    """Parameters (_DEGREE,) of ln w that are most likely for credibilities c (n,)."""
    mean = np.average(_features(c), axis=0, weights=weights)
    nodes = _features(_NODES)
    t = np.zeros(_DEGREE)
    for _ in range(50):
        p = _WEIGHTS * np.exp(nodes @ t)
        p /= p.sum()
        expected = p @ nodes
        centred = nodes - expected
        step = np.linalg.solve((centred * p[:, None]).T @ centred, mean - expected)
        t += step * min(1.0, 1.0 / np.abs(step).max())
        if np.abs(step).max() < 1e-10:
            break
    return t


def log_weight(t, c):
    """ln w of credibilities c; w has mean 1 over the unit interval."""
    norm = np.log(_WEIGHTS @ np.exp(_features(_NODES) @ t))
    return _features(c) @ t - norm


class Levels:
    """Mass above any density, from cells of one marginal.

    Parameters
    ----------
    density : (cells,) array
        ln density.
    mass : (cells,) array
        Mass of each cell, summing to 1.
    """

    def __init__(self, density, mass):
        order = np.argsort(-density, kind="stable")
        self._falling = -density[order]
        above = np.concatenate([[0.0], np.cumsum(mass[order])])
        # half of a cell's own mass lies above its middle
        self._at = np.append(0.5 * (above[1:] + above[:-1]), 1.0)

    def __call__(self, density):
        """Credibility of points with these ln densities."""
        return self._at[np.searchsorted(self._falling, -np.asarray(density))]
