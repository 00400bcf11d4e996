"""Simple likelihood, complex posterior: four normal draws, with and without noise."""

import numpy as np

from ..inference.prior import Prior
from ._task import Task

_LN2PI = np.log(2 * np.pi)


class Slcp(Task):
    """theta ~ U(-3, 3) in five dimensions; x = four draws of N((t1, t2), S).

    Standard deviations t3^2 and t4^2, correlation tanh t5, 1e-6 added to the variances.
    The signs of t3 and t4 cannot be told: four modes.
    """

    name, x_dim = "slcp", 8
    draws = 4

    def __init__(self):
        self.prior = Prior(theta=(np.full(5, -3.0), np.full(5, 3.0)))

    @staticmethod
    def _factor(theta):
        """Lower Cholesky factor (l11, l21, l22) of S."""
        s1, s2, rho = theta[:, 2] ** 2, theta[:, 3] ** 2, np.tanh(theta[:, 4])
        l11 = np.sqrt(s1**2 + 1e-6)
        l21 = rho * s1 * s2 / l11
        # s2^2 + 1e-6 - l21^2 without cancellation
        rest = s2**2 * (1e-6 + s1**2 * (1 - rho) * (1 + rho)) / l11**2
        return l11, l21, np.sqrt(rest + 1e-6)

    def _simulate(self, theta, rng):
        l11, l21, l22 = (a[:, None] for a in self._factor(theta))
        e = rng.normal(size=(2, len(theta), self.draws))
        x = np.stack(
            [theta[:, :1] + l11 * e[0], theta[:, 1:2] + l21 * e[0] + l22 * e[1]], axis=2
        )
        return x.reshape(len(theta), -1)

    def _log_likelihood(self, theta, x):
        l11, l21, l22 = self._factor(theta)
        one = (x[0::2] - theta[:, :1]) / l11[:, None]
        two = (x[1::2] - theta[:, 1:2] - l21[:, None] * one) / l22[:, None]
        chi2 = (one**2).sum(axis=1) + (two**2).sum(axis=1)
        return -0.5 * chi2 - self.draws * (np.log(l11) + np.log(l22) + _LN2PI)

    def _posterior(self, x, n, rng):
        theta = super()._posterior(x, n, rng)
        # the posterior is even in t3 and in t4: draw their signs afresh
        theta[:, 2:4] *= np.where(rng.random((n, 2)) < 0.5, -1.0, 1.0)
        return theta


class SlcpDistractors(Slcp):
    """slcp with 92 numbers that know nothing of theta, all 100 columns permuted.

    The noise is an equal mixture of 20 multivariate t distributions with two degrees of
    freedom; centres, factors and permutation come from RandomState(42).
    """

    name, x_dim = "slcp_distractors", 100
    components, noise_dim = 20, 92

    def __init__(self):
        super().__init__()
        old = np.random.RandomState(42)
        k, d = self.components, self.noise_dim
        self.loc = np.stack([15 * old.normal(size=d) for _ in range(k)])
        self.factor = np.empty((k, d, d))
        for j in range(k):
            lower = np.tril(old.normal(size=(d, d)))
            self.factor[j] = 3 * (lower + np.diag(np.exp(old.normal(size=d))))
        self.permutation = old.permutation(100)
        #: columns of x that hold the eight numbers of slcp, in order
        self.data_columns = np.argsort(self.permutation)[:8]

    def _simulate(self, theta, rng):
        n = len(theta)
        data = super()._simulate(theta, rng)
        which = rng.integers(0, self.components, n)
        z = rng.normal(size=(n, self.noise_dim))
        z /= np.sqrt(rng.chisquare(2, size=(n, 1)) / 2)
        noise = self.loc[which]
        for j in range(self.components):
            mine = which == j
            noise[mine] += z[mine] @ self.factor[j].T
        return np.concatenate([data, noise], axis=1)[:, self.permutation]

    def _log_likelihood(self, theta, x):
        return super()._log_likelihood(theta, x[self.data_columns])
