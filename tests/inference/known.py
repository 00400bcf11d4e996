"""Posteriors that are known: the conjugate pair theta ~ N(0, 1), x ~ N(theta, s2)."""

import numpy as np


def pairs(n, d=1, s2=1.0, seed=0):
    """Truths and data (n, d)."""
    rng = np.random.default_rng(seed)
    theta = rng.normal(size=(n, d))
    return theta, theta + np.sqrt(s2) * rng.normal(size=(n, d))


class Gaussian:
    """Posterior `width` times as wide as the exact one and `shift` of its sd away."""

    names = None

    def __init__(self, width=1.0, shift=0.0, s2=1.0, marginals=None):
        self.width, self.shift, self.s2 = width, shift, s2
        self._marginals = marginals

    def posterior(self, x):
        return _Posterior(np.asarray(x, float), self)


class _Posterior:
    def __init__(self, x, law):
        self.sd = np.sqrt(law.s2 / (1 + law.s2))
        self.mean = x / (1 + law.s2) + law.shift * self.sd
        self.sd = self.sd * law.width
        self.d, self.s2, self.x = len(x), law.s2, x
        self.one = law._marginals == "1d"

    def sample(self, n, rng):
        return self.mean + self.sd * np.random.default_rng(rng).normal(size=(n, self.d))

    def log_prob(self, theta):
        z = (theta - self.mean) / self.sd
        each = -0.5 * (z * z + np.log(2 * np.pi * self.sd**2))
        return each if self.one else each.sum(axis=1)

    def log_ratio(self, theta):
        each = (
            0.5 * np.log((1 + self.s2) / self.s2)
            - (self.x - theta) ** 2 / (2 * self.s2)
            + self.x**2 / (2 * (1 + self.s2))
        )
        return each if self.one else each.sum(axis=1)


class Prior:
    """Posterior that never looks at the data."""

    def posterior(self, x):
        law = _Posterior(np.zeros(len(x)), Gaussian())
        law.mean, law.sd = np.zeros(len(x)), 1.0
        return law
