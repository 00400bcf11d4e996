"""Distributions of the columns of a prior: vectorised, with both tails.

Each class covers k independent columns and works on (n, k) arrays. ``cdf`` and ``ppf``
are accurate in the lower tail, ``sf`` and ``isf`` (survival function and its inverse)
in the upper one, so that a box far out in either tail is sampled without cancellation.
"""

import numpy as np
from scipy import special

_LOG_2PI = float(np.log(2 * np.pi))


class Uniform:
    """k uniform columns between low and high."""

    def __init__(self, low, high):
        self.low, self.high = low, high
        self.width = high - low
        self.support = np.stack([low, high], axis=-1)

    def cdf(self, x):
        return np.clip((x - self.low) / self.width, 0.0, 1.0)

    def sf(self, x):
        return np.clip((self.high - x) / self.width, 0.0, 1.0)

    def ppf(self, u):
        return np.minimum(u * self.width + self.low, self.high)

    def isf(self, q):
        return np.maximum(self.high - q * self.width, self.low)

    def logpdf(self, x):
        inside = (x >= self.low) & (x <= self.high)
        return np.where(inside, -np.log(self.width), -np.inf)


class Normal:
    """k normal columns."""

    def __init__(self, loc, scale):
        self.loc, self.scale = loc, scale
        self.support = np.tile([-np.inf, np.inf], (loc.size, 1))

    def cdf(self, x):
        return special.ndtr((x - self.loc) / self.scale)

    def sf(self, x):
        return special.ndtr((self.loc - x) / self.scale)

    def ppf(self, u):
        return special.ndtri(u) * self.scale + self.loc

    def isf(self, q):
        return self.loc - special.ndtri(q) * self.scale

    def logpdf(self, x):
        z = (x - self.loc) / self.scale
        return -0.5 * z * z - (np.log(self.scale) + 0.5 * _LOG_2PI)


class LogNormal:
    """k columns loc + scale exp(s z), z standard normal."""

    def __init__(self, s, loc, scale):
        self.s, self.loc, self.scale = s, loc, scale
        self.support = np.stack([loc, np.full(loc.size, np.inf)], axis=-1)

    def _z(self, x):
        with np.errstate(divide="ignore"):
            return np.log(np.maximum(x - self.loc, 0.0) / self.scale) / self.s

    def cdf(self, x):
        return special.ndtr(self._z(x))

    def sf(self, x):
        return special.ndtr(-self._z(x))

    def ppf(self, u):
        return np.exp(special.ndtri(u) * self.s) * self.scale + self.loc

    def isf(self, q):
        return np.exp(-special.ndtri(q) * self.s) * self.scale + self.loc

    def logpdf(self, x):
        y = x - self.loc
        positive = y > 0
        log_y = np.log(np.where(positive, y, 1.0))
        z = (log_y - np.log(self.scale)) / self.s
        value = -0.5 * z * z - (np.log(self.s) + 0.5 * _LOG_2PI) - log_y
        return np.where(positive, value, -np.inf)


class LogUniform:
    """k columns whose logarithm is uniform between log(low) and log(high)."""

    def __init__(self, low, high):
        self.low, self.high = low, high
        self.log = Uniform(np.log(low), np.log(high))
        self.support = np.stack([low, high], axis=-1)

    def _log(self, x):
        return np.log(np.clip(x, self.low, self.high))

    def cdf(self, x):
        return self.log.cdf(self._log(x))

    def sf(self, x):
        return self.log.sf(self._log(x))

    def ppf(self, u):
        return np.clip(np.exp(self.log.ppf(u)), self.low, self.high)

    def isf(self, q):
        return np.clip(np.exp(self.log.isf(q)), self.low, self.high)

    def logpdf(self, x):
        inside = (x >= self.low) & (x <= self.high)
        log_x = self._log(x)
        return np.where(inside, -log_x - np.log(self.log.width), -np.inf)


class Correlated:
    """k jointly normal columns; u is the cdf of the whitened coordinates.

    With covariance L L' (L lower triangular) the whitened coordinates are
    z = L^-1 (theta - mean); column i of the log density is that of z_i less log L_ii.
    """

    def __init__(self, mean, covariance):
        self.mean, self.covariance = mean, covariance
        self.lower = np.linalg.cholesky(covariance)
        self.inverse = np.linalg.inv(self.lower)
        self.support = np.tile([-np.inf, np.inf], (mean.size, 1))

    def _z(self, x):
        return (x - self.mean) @ self.inverse.T

    def cdf(self, x):
        return special.ndtr(self._z(x))

    def ppf(self, u):
        return special.ndtri(u) @ self.lower.T + self.mean

    def logpdf(self, x):
        z = self._z(x)
        return -0.5 * z * z - (np.log(np.diag(self.lower)) + 0.5 * _LOG_2PI)


class Wrapped:
    """One column of a scipy.stats distribution, or of anything with its methods."""

    def __init__(self, frozen):
        self.frozen = frozen
        new = not hasattr(frozen, "ppf")  # scipy's distributions since 1.15
        self._names = ("ccdf", "icdf", "iccdf") if new else ("sf", "ppf", "isf")
        self.support = np.array([frozen.support()], dtype=float).reshape(1, 2)

    def cdf(self, x):
        return self.frozen.cdf(x)

    def sf(self, x):
        return getattr(self.frozen, self._names[0])(x)

    def ppf(self, u):
        return getattr(self.frozen, self._names[1])(u)

    def isf(self, q):
        return getattr(self.frozen, self._names[2])(q)

    def logpdf(self, x):
        return self.frozen.logpdf(x)
