"""Bernoulli generalised linear model: spikes under a smooth filter."""

import numpy as np
import scipy.stats
from scipy.special import expit

from ..inference.prior import Prior
from ._task import Task


class BernoulliGlmRaw(Task):
    """100 binary responses y ~ Bernoulli(sigmoid(X theta)) to a fixed stimulus.

    theta = (offset, nine filter taps). Gaussian prior with precision 1/2 for the offset
    and F'F for the taps, F = D D + diag(sqrt(i/9)), D the identity minus its first
    subdiagonal. Columns of X: ones, then the stimulus delayed by 0..8 steps.
    """

    name, x_dim = "bernoulli_glm_raw", 100

    def __init__(self):
        stimulus = np.random.RandomState(42).randn(100).astype(np.float32)
        self.design = np.ones((100, 10))
        for k in range(9):
            self.design[:, 1 + k] = np.concatenate([np.zeros(k), stimulus[: 100 - k]])
        d = np.eye(9) - np.eye(9, k=-1)
        f = d @ d + np.diag(np.sqrt(np.arange(9) / 9))
        covariance = np.linalg.inv(f.T @ f)
        covariance = 0.5 * (covariance + covariance.T)
        self.prior = Prior(
            offset=scipy.stats.norm(0, np.sqrt(2)),
            tap=scipy.stats.multivariate_normal(np.zeros(9), covariance),
        )

    def _simulate(self, theta, rng):
        p = expit(theta @ self.design.T)
        return (rng.random(p.shape) < p).astype(np.float64)

    def _log_likelihood(self, theta, x):
        if not np.isin(x, (0.0, 1.0)).all():
            raise ValueError(f"task {self.name}: x must hold zeros and ones only")
        return self._of_sums(theta, x @ self.design)

    def _of_sums(self, theta, sums):
        return theta @ sums - np.logaddexp(0, theta @ self.design.T).sum(axis=1)


class BernoulliGlm(BernoulliGlmRaw):
    """As bernoulli_glm_raw, with the sufficient statistics x = X'y."""

    name, x_dim = "bernoulli_glm", 10

    def _simulate(self, theta, rng):
        return super()._simulate(theta, rng) @ self.design

    def _log_likelihood(self, theta, x):
        return self._of_sums(theta, x)
