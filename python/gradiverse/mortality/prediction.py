"""The prediction that every model returns: a joint law of the deaths to come.

``GaussianPrediction`` serves the methods whose cells are independent (the published
conditional GP, mean, trend, synthetic control): one covariance block per cell.
All spreads are predictive, in deaths.
"""

import numpy as np
from scipy.stats import norm


def psd_factor(blocks):
    """F with F Fᵀ = the positive semi-definite blocks (..., n, n); singular is fine."""
    value, vector = np.linalg.eigh(blocks)
    return vector * np.sqrt(np.clip(value, 0.0, None))[..., None, :]


class GaussianPrediction:
    """Normal prediction with independent cells.

    Parameters
    ----------
    cells : list of (unit, age)
    weeks : (n_weeks,) predicted weeks
    mean : (n_cells, n_weeks) expected deaths
    blocks : (n_cells, n_weeks, n_weeks) covariance of each cell, deaths^2
    prior_mean, prior_sd : (n_cells, W) deaths, all weeks, before conditioning

    Notes
    -----
    The vector of predicted cells runs over cells, then weeks; weights `w` have its
    length.
    """

    def __init__(self, cells, weeks, mean, blocks, prior_mean, prior_sd):
        self.cells = list(cells)
        self.weeks = np.asarray(weeks)
        self.mean = np.asarray(mean, float)
        self._blocks = 0.5 * (blocks + np.swapaxes(blocks, 1, 2))
        self.sd = np.sqrt(np.clip(np.einsum("cii->ci", self._blocks), 0.0, None))
        self.prior_mean = prior_mean
        self.prior_sd = prior_sd

    def _weights(self, w):
        w = np.asarray(w, float)
        if w.shape[-1:] != (self.mean.size,):
            raise ValueError(
                f"weights have length {w.shape[-1:]}; expected {self.mean.size} "
                "(cells x predicted weeks)"
            )
        return w.reshape(w.shape[:-1] + self.mean.shape)

    def variance(self, w):
        """wᵀCw, deaths^2; `w` is (n,) or (k, n)."""
        w = self._weights(w)
        return np.einsum("...ci,cij,...cj->...", w, self._blocks, w, optimize=True)

    def covariance(self):
        """The full (n, n) covariance, deaths^2."""
        c, t = self.mean.shape
        full = np.zeros((c, t, c, t))
        full[np.arange(c), :, np.arange(c), :] = self._blocks
        return full.reshape(c * t, c * t)

    def sample(self, n, rng):
        """(n, n_cells * n_weeks) draws of deaths minus mean."""
        rng = np.random.default_rng(rng)
        factor = psd_factor(self._blocks)
        draws = rng.standard_normal((n, len(self.cells), factor.shape[-1]))
        out = np.einsum("cij,ncj->nci", factor, draws, optimize=True)
        return out.reshape(n, -1)

    def half_width(self, w, level):
        """Half the central interval of w'(deaths), by level; deaths."""
        return norm.ppf(0.5 + 0.5 * level) * np.sqrt(self.variance(w))

    def interval(self, w, level):
        """Central interval (lower, upper) of the sum w'(deaths)."""
        centre = self._weights(w).reshape(np.shape(w)) @ self.mean.ravel()
        half = self.half_width(w, level)
        return centre - half, centre + half

    def cell_interval(self, level):
        """Central interval of every single cell-week, (n_cells, n_weeks) each."""
        half = norm.ppf(0.5 + 0.5 * level) * self.sd
        return self.mean - half, self.mean + half
