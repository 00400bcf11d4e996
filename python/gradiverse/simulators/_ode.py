"""Tasks on differential equations: an epidemic, predators and prey."""

import numpy as np
import scipy.stats
from scipy.special import gammaln, xlog1py, xlogy

from ..graph import emit
from ..inference.prior import Prior
from ._task import Task

RTOL, MAX_STEPS = 1e-6, 20_000
_BLOCK = 20_000  # rows integrated at once


class _Ode(Task):
    """System `system` from `start`, read at times 0, span, ..., 9 span."""

    points = 10

    def paths(self, theta):
        """States (n, 10, 2) without noise; NaN where the integration failed.

        Dormand-Prince 5(4), every step to 1e-6 of every state, 20 000 steps at most.
        The path is within 1e-4 of the exact one for 999 draws of the prior in 1000.
        """
        theta = self._theta(theta, "paths")
        parts = [
            emit(
                "ode_path",
                (np.tile(self.start, (len(part), 1)), self._parameters(part)),
                system=self.system,
                points=self.points,
                span=self.span,
                rtol=RTOL,
                max_steps=MAX_STEPS,
            )
            for part in np.split(theta, range(_BLOCK, len(theta), _BLOCK))
        ]
        return np.concatenate(parts)


class Sir(_Ode):
    """Epidemic of a million people: theta = (contact rate, recovery rate) a day.

    log-normal priors about .4 (width .5) and .125 (.2); one person is infected on day
    0; x = Binomial(1000, I/N) on days 0, 17, .., 153.
    """

    name, x_dim = "sir", 10
    system, span, people, tested = 0, 17.0, 1e6, 1000
    start = np.array([1e6 - 1, 1.0])

    def __init__(self):
        self.prior = Prior(
            beta=scipy.stats.lognorm(0.5, scale=0.4),
            gamma=scipy.stats.lognorm(0.2, scale=0.125),
        )

    def _parameters(self, theta):
        return np.column_stack([theta, np.full(len(theta), self.people)])

    def _share(self, theta):
        return np.clip(self.paths(theta)[:, :, 1] / self.people, 0.0, 1.0)

    def _simulate(self, theta, rng):
        p = self._share(theta)
        failed = np.isnan(p).any(axis=1)
        x = rng.binomial(self.tested, np.where(failed[:, None], 0.0, p)).astype(float)
        x[failed] = np.nan
        return x

    def _log_likelihood(self, theta, x):
        n = self.tested
        if ((x < 0) | (x > n) | (x != np.rint(x))).any():
            raise ValueError(f"task sir: x must hold whole numbers from 0 to {n}")
        p = self._share(theta)
        choose = gammaln(n + 1) - gammaln(x + 1) - gammaln(n - x + 1)
        value = (choose + xlogy(x, p) + xlog1py(n - x, -p)).sum(axis=1)
        return np.where(np.isnan(value), -np.inf, value)


class LotkaVolterra(_Ode):
    """Prey x' = a x - b x y and predators y' = -c y + d x y from (30, 1), 20 days.

    theta = (a, b, c, d), log-normal about exp(-.125, -3, -.125, -3) with width .5; x =
    both populations on days 0, 2.1, .., 18.9 (prey first), log-normal noise .1 about
    the value clipped to [1e-10, 1e4].
    """

    name, x_dim = "lotka_volterra", 20
    system, span, noise = 1, 2.1, 0.1
    start = np.array([30.0, 1.0])

    def __init__(self):
        location = {"alpha": -0.125, "beta": -3.0, "gamma": -0.125, "delta": -3.0}
        self.prior = Prior(
            {k: scipy.stats.lognorm(0.5, scale=np.exp(m)) for k, m in location.items()}
        )

    def _parameters(self, theta):
        return np.ascontiguousarray(theta)

    def _log_mean(self, theta):
        clipped = np.clip(self.paths(theta), 1e-10, 1e4)
        return np.log(clipped.transpose(0, 2, 1).reshape(len(theta), 20))

    def _simulate(self, theta, rng):
        mean = self._log_mean(theta)
        return np.exp(mean + self.noise * rng.normal(size=mean.shape))

    def _log_likelihood(self, theta, x):
        if (x <= 0).any():
            raise ValueError("task lotka_volterra: x must be positive")
        chi2 = (((np.log(x) - self._log_mean(theta)) / self.noise) ** 2).sum(axis=1)
        constant = 20 * (0.5 * np.log(2 * np.pi) + np.log(self.noise))
        value = -0.5 * chi2 - constant - np.log(x).sum()
        return np.where(np.isnan(value), -np.inf, value)
