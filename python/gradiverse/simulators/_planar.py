"""Tasks whose posterior is a curve: two moons and the torus."""

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import truncnorm

from ..inference.prior import Prior
from ._task import Task

_LN2PI = np.log(2 * np.pi)


class TwoMoons(Task):
    """theta ~ U(-1, 1) in the plane; x is a half moon about a fold of theta.

    With rho ~ N(.1, .01^2) and a ~ U(-pi/2, pi/2), x = (rho cos a + .25, rho sin a) +
    (-|t1 + t2|, t2 - t1)/sqrt 2. The likelihood of (u, v) = x - (.25, 0) - fold is
    N(|(u, v)|; .1, .01^2)/(pi |(u, v)|) for u > 0.
    """

    name, x_dim, closed_form = "two_moons", 2, True
    radius, width, shift = 0.1, 0.01, np.array([0.25, 0.0])

    def __init__(self):
        self.prior = Prior(theta=(-np.ones(2), np.ones(2)))

    @staticmethod
    def _fold(theta):
        s, t = theta[:, 0] + theta[:, 1], theta[:, 1] - theta[:, 0]
        return np.stack([-np.abs(s), t], axis=1) / np.sqrt(2)

    def _moon(self, n, rng):
        a = rng.uniform(-np.pi / 2, np.pi / 2, n)
        rho = rng.normal(self.radius, self.width, n)
        return rho[:, None] * np.stack([np.cos(a), np.sin(a)], axis=1) + self.shift

    def _simulate(self, theta, rng):
        return self._moon(len(theta), rng) + self._fold(theta)

    def _log_likelihood(self, theta, x):
        uv = x - self.shift - self._fold(theta)
        rho = np.hypot(uv[:, 0], uv[:, 1])
        with np.errstate(divide="ignore"):
            value = -0.5 * ((rho - self.radius) / self.width) ** 2 - np.log(rho)
        value -= 0.5 * _LN2PI + np.log(self.width * np.pi)
        return np.where(uv[:, 0] > 0, value, -np.inf)

    def _posterior(self, x, n, rng):
        # the fold has two pre-images, equally likely, and a constant Jacobian
        def propose(m, rng):
            q = np.sqrt(2) * (x - self._moon(m, rng))
            q = q[q[:, 0] <= 0]
            s = q[:, 0] * np.where(rng.random(len(q)) < 0.5, -1.0, 1.0)
            theta = np.stack([s - q[:, 1], s + q[:, 1]], axis=1) / 2
            return theta[(np.abs(theta) <= 1).all(axis=1)]

        return self._accept(n, rng, propose)


class Torus(Task):
    """theta ~ U(0, 1) in three dimensions; a ring in the first two.

    x = (t1, |(t1, t2) - (.6, .8)|, t3) plus normal noise of standard deviations (.03,
    .005, .2). `observation` is the one of Miller et al. 2021.
    """

    name, x_dim, closed_form = "torus", 3, True
    centre = np.array([0.6, 0.8])
    noise = np.array([0.03, 0.005, 0.2])
    observation = np.array([0.57, 0.03, 1.0])

    def __init__(self):
        self.prior = Prior(theta=(np.zeros(3), np.ones(3)))

    def _mean(self, theta):
        r = np.hypot(theta[:, 0] - self.centre[0], theta[:, 1] - self.centre[1])
        return np.stack([theta[:, 0], r, theta[:, 2]], axis=1)

    def _simulate(self, theta, rng):
        return self._mean(theta) + self.noise * rng.normal(size=theta.shape)

    def _log_likelihood(self, theta, x):
        chi2 = (((x - self._mean(theta)) / self.noise) ** 2).sum(axis=1)
        return -0.5 * (chi2 + 3 * _LN2PI) - np.log(self.noise).sum()

    def _posterior(self, x, n, rng):
        # polar: r from r N(r; x2, .005^2), the angle uniform, then the first
        # measurement by rejection; the third parameter is a cut normal
        top = max(x[1], 0.0) + 8 * self.noise[1]
        nearest = np.clip(x[0], *np.clip(self.centre[0] + [-top, top], 0.0, 1.0))

        near = truncnorm(-x[1] / self.noise[1], np.inf, x[1], self.noise[1])

        def propose(m, rng):
            r = near.rvs(m, random_state=rng)
            r = r[rng.random(m) * top < r]
            a = rng.uniform(0, 2 * np.pi, len(r))
            t = self.centre + r[:, None] * np.stack([np.cos(a), np.sin(a)], axis=1)
            chi2 = (t[:, 0] - x[0]) ** 2 - (nearest - x[0]) ** 2
            keep = rng.random(len(t)) < np.exp(-0.5 * chi2 / self.noise[0] ** 2)
            return t[keep & (t >= 0).all(axis=1) & (t <= 1).all(axis=1)]

        plane = self._accept(n, rng, propose)
        sign = 1.0 if x[2] > 0.5 else -1.0
        at = 0.5 + sign * (x[2] - 0.5)  # above the middle: the lower tail is used
        low, high = ndtr((np.array([0.0, 1.0]) - at) / self.noise[2])
        third = at + self.noise[2] * ndtri(low + (high - low) * rng.random(n))
        third = np.clip(0.5 + sign * (third - 0.5), 0.0, 1.0)
        return np.column_stack([plane, third])

    def hull(self, epsilon, x=None):
        """Exact box outside which every 1-D marginal ratio is below epsilon.

        The marginal likelihood of each parameter by quadrature over the others; the box
        is where it exceeds epsilon times its maximum, to the accuracy of the bisection
        (1e-9): the limit that truncation at `epsilon` may not fall below.

        Parameters
        ----------
        epsilon : float
            In (0, 1).
        x : (3,) array, optional
            Default: `observation`.

        Returns
        -------
        (3, 2) float64 ndarray

        Examples
        --------
        >>> Torus().hull(1e-3).round(4).tolist()
        [[0.5528, 0.6428], [0.7525, 0.8475], [0.2566, 1.0]]
        """
        x = self.observation if x is None else self._x(x)
        if not 0 < epsilon < 1:
            raise ValueError(f"torus.hull: epsilon={epsilon!r} is not in (0, 1)")
        box = [
            _level_hull(lambda t: self._first(t, x), epsilon),
            _level_hull(lambda t: self._second(t, x), epsilon),
            _level_hull(lambda t: -0.5 * ((t - x[2]) / self.noise[2]) ** 2, epsilon),
        ]
        return np.array(box)

    def _first(self, t, x):
        """ln of the likelihood integrated over t2, at t1 = t."""
        other = self._integral(t - self.centre[0], self.centre[1], x, lambda v: 0.0 * v)
        return -0.5 * ((t - x[0]) / self.noise[0]) ** 2 + other

    def _second(self, t, x):
        """ln of the likelihood integrated over t1, at t2 = t."""
        weigh = lambda v: -0.5 * ((v - x[0]) / self.noise[0]) ** 2  # noqa: E731
        return self._integral(t - self.centre[1], self.centre[0], x, weigh)

    def _integral(self, across, middle, x, weigh):
        v = np.linspace(0, 1, 10_001)
        r = np.hypot(np.atleast_1d(across)[:, None], v - middle)
        chi = -0.5 * ((r - x[1]) / self.noise[1]) ** 2 + weigh(v)
        top = chi.max(axis=1, keepdims=True)
        return np.log(np.exp(chi - top).sum(axis=1)) + top[:, 0]


def _level_hull(log_density, epsilon, points=401):
    """Outermost points of [0, 1] with log_density above its maximum + ln epsilon."""
    grid = np.linspace(0, 1, points)
    value = np.concatenate([log_density(part) for part in np.array_split(grid, 40)])
    k = int(np.argmax(value))
    fine = np.linspace(grid[max(k - 1, 0)], grid[min(k + 1, points - 1)], 401)
    top = max(log_density(part).max() for part in np.array_split(fine, 40))
    above = np.flatnonzero(value > top + np.log(epsilon))
    edges = []
    for inside, outside in ((above[0], above[0] - 1), (above[-1], above[-1] + 1)):
        if outside < 0 or outside >= points:
            edges.append(grid[inside])
            continue
        a, b = grid[inside], grid[outside]
        for _ in range(30):
            middle = 0.5 * (a + b)
            if log_density(np.array([middle]))[0] > top + np.log(epsilon):
                a = middle
            else:
                b = middle
        edges.append(a)
    return edges
