"""Gaussian tasks: linear with Gaussian or uniform prior, and a mixture."""

import numpy as np
import scipy.stats
from scipy.special import ndtr, ndtri

from ..inference.prior import Prior
from ._task import Task

_LN2PI = np.log(2 * np.pi)


class GaussianLinear(Task):
    """theta ~ N(0, .1 I), x ~ N(theta, .1 I) in ten dimensions; .1 is a variance."""

    name, x_dim, closed_form = "gaussian_linear", 10, True
    variance = 0.1

    def __init__(self):
        self.prior = Prior(theta=scipy.stats.norm(np.zeros(10), np.sqrt(0.1)))

    def _simulate(self, theta, rng):
        return theta + np.sqrt(self.variance) * rng.normal(size=theta.shape)

    def _log_likelihood(self, theta, x):
        chi2 = ((x - theta) ** 2).sum(axis=1) / self.variance
        return -0.5 * (chi2 + self.d * (_LN2PI + np.log(self.variance)))

    def _posterior(self, x, n, rng):
        return 0.5 * x + np.sqrt(0.05) * rng.normal(size=(n, self.d))


class GaussianLinearUniform(GaussianLinear):
    """theta ~ U(-1, 1), x ~ N(theta, .1 I) in ten dimensions."""

    name = "gaussian_linear_uniform"

    def __init__(self):
        self.prior = Prior(theta=(-np.ones(10), np.ones(10)))

    def _posterior(self, x, n, rng):
        # N(x, .1) cut to [-1, 1], mirrored so that the lower tail is the one used
        sd, sign = np.sqrt(self.variance), np.where(x > 0, 1.0, -1.0)
        low, high = ndtr((-1 - sign * x) / sd), ndtr((1 - sign * x) / sd)
        u = low + (high - low) * rng.random((n, self.d))
        return np.clip(sign * (sign * x + sd * ndtri(u)), -1.0, 1.0)


class GaussianMixture(Task):
    """theta ~ U(-10, 10) in the plane, x ~ N(theta, I)/2 + N(theta, .01 I)/2."""

    name, x_dim, closed_form = "gaussian_mixture", 2, True
    scales = np.array([1.0, 0.1])

    def __init__(self):
        self.prior = Prior(theta=(np.full(2, -10.0), np.full(2, 10.0)))

    def _simulate(self, theta, rng):
        scale = self.scales[rng.integers(0, 2, len(theta))]
        return theta + scale[:, None] * rng.normal(size=theta.shape)

    def _log_likelihood(self, theta, x):
        r2 = ((x - theta) ** 2).sum(axis=1)
        one, two = (-0.5 * r2 / s**2 - 2 * np.log(s) for s in self.scales)
        return np.logaddexp(one, two) - _LN2PI - np.log(2)

    def _posterior(self, x, n, rng):
        def propose(m, rng):
            theta = self._simulate(np.broadcast_to(x, (m, 2)), rng)
            return theta[(np.abs(theta) <= 10).all(axis=1)]

        return self._accept(n, rng, propose)
