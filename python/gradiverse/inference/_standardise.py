"""Standardisation of data: mean and standard deviation of every number, once.

The moments are accumulated in float64 over chunks of rows, two passes in each chunk and
Chan's update between them, so that data of any size go through memory once. They are
frozen before training and belong to the estimator.
"""

import numpy as np
from scipy.special import ndtri

from .. import ops

__all__ = ["Scores", "Standardiser", "bent", "restore", "standardiser"]

_CHUNK = 1 << 24  # bytes of rows worked on at once
_KNOTS = 64  # intervals of the table of normal scores
_ROWS = 100_000  # rows that the quantiles are taken from
_FAR = 3.0  # numbers that are bent grow as a logarithm beyond so many sds


class Standardiser:
    """(x - mean) / std of each element of x.

    Attributes
    ----------
    mean, std : float64 arrays of the shape of one row
        std is 1 where the data are constant.
    n : int
        Rows seen.
    """

    def __init__(self, shape):
        self.shape = tuple(shape)
        self.n = 0
        self.mean = np.zeros(self.shape)
        self._m2 = np.zeros(self.shape)

    @classmethod
    def of(cls, x, rows=None, near=None):
        """Moments of the rows of an array or memory map.

        Parameters
        ----------
        x : (n, ...) array
        rows : int64 array, optional
            Rows to take; all by default.
        near : int64 array, optional
            Take the moments of these alone; what is constant in them is scaled by all
            rows.
        """
        if near is not None:
            every, self = cls.of(x, rows), cls.of(x, near)
            self._m2 = np.where(self.constant, every.std**2 * self.n, self._m2)
            return self
        self = cls(x.shape[1:])
        size = max(_CHUNK // max(8 * int(np.prod(self.shape)), 1), 1)
        n = len(x) if rows is None else len(rows)
        for i in range(0, n, size):
            self.update(x[i : i + size] if rows is None else x[rows[i : i + size]])
        return self

    def update(self, x):
        """Add rows."""
        x = np.asarray(x, dtype=np.float64)
        if not len(x):
            return
        n, mean = len(x), x.mean(axis=0)
        m2 = ((x - mean) ** 2).sum(axis=0)
        total = self.n + n
        delta = mean - self.mean
        self._m2 += m2 + delta**2 * (self.n * n / total)
        self.mean += delta * (n / total)
        self.n = total

    @property
    def std(self):
        """Standard deviations (divisor n), 1 where there is no spread."""
        return np.where(self.constant, 1.0, np.sqrt(self._m2 / max(self.n, 1)))

    @property
    def constant(self):
        """Where there is no spread, or that of a constant averaged in doubles."""
        return np.sqrt(self._m2 / max(self.n, 1)) <= 1e-14 * np.abs(self.mean)

    def __call__(self, x):
        """Standardised x as float32; traced or not."""
        return ((x - self.mean) * (1.0 / self.std)).astype(np.float32)

    def arrays(self):
        """What a file keeps."""
        return {"mean": self.mean, "m2": self._m2, "n": np.array(self.n, np.int64)}

    @classmethod
    def restore(cls, arrays):
        """The standardiser that `arrays` came from."""
        self = cls(np.shape(arrays["mean"]))
        self.mean = np.asarray(arrays["mean"], np.float64)
        self._m2 = np.asarray(arrays["m2"], np.float64)
        self.n = int(arrays["n"])
        return self


class Scores:
    """Standardised data beside their normal scores, for vectors of any scale.

    The score of a number is ndtri of its empirical cdf, interpolated between quantiles:
    data over many orders of magnitude, or with heavy tails, keep their resolution.
    Standardised numbers go on as a logarithm beyond ±3.

    Attributes
    ----------
    moments : Standardiser
    knots, values : (features, 65) arrays
        Quantiles and their scores.
    """

    def __init__(self, moments, knots, values):
        self.moments, self.knots, self.values = moments, knots, values
        self.shape = moments.shape
        gap = np.diff(knots, axis=1)
        slope = np.where(
            gap > 0, np.diff(values, axis=1) / np.where(gap > 0, gap, 1), 0
        )
        flat = np.zeros((len(knots), 1))
        self._slope = np.concatenate([flat, slope, flat], axis=1)
        base = values - knots * np.concatenate([slope, flat], axis=1)
        self._base = np.concatenate(
            [values[:, :1], base[:, :-1], values[:, -1:]], axis=1
        )

    @classmethod
    def of(cls, x, rows=None, near=None):
        """Tables of the rows of an array (n, features); moments of those near."""
        if len(x.shape) != 2:
            raise ValueError(
                f"data='scores' is for vectors; a row of x has shape {x.shape[1:]}. Use"
                " data='standard'"
            )
        moments = Standardiser.of(x, rows, near)
        rows = np.arange(len(x)) if rows is None else np.asarray(rows)
        if len(rows) > _ROWS:
            rows = np.sort(np.random.default_rng(0).permutation(rows)[:_ROWS])
        part = np.asarray(x[rows], np.float64)
        share = np.linspace(0, 1, _KNOTS + 1)
        knots = np.quantile(part, share, axis=0).T
        plain = ndtri((np.arange(_KNOTS + 1) + 0.5) / (_KNOTS + 1))
        values = np.empty_like(knots)
        for j, q in enumerate(knots):
            # a value with many rows takes the mean score of its quantiles
            _, inverse = np.unique(q, return_inverse=True)
            values[j] = (np.bincount(inverse, plain) / np.bincount(inverse))[inverse]
        return cls(moments, np.ascontiguousarray(knots), values)

    def __call__(self, x):
        """(n, 2 features) float32; traced or not."""
        z = bent((x - self.moments.mean) * (1.0 / self.moments.std))
        above = (ops.expand_dims(x, -1) >= self.knots).astype(np.int64).sum(axis=-1)
        m = len(self.knots)
        at = above + np.arange(m) * (_KNOTS + 2)
        flat, shape = at.reshape(-1), at.shape
        base = ops.take(self._base.reshape(-1), flat, axis=0).reshape(shape)
        slope = ops.take(self._slope.reshape(-1), flat, axis=0).reshape(shape)
        return ops.concatenate([z, base + slope * x], axis=-1).astype(np.float32)

    def arrays(self):
        """What a file keeps."""
        return {**self.moments.arrays(), "knots": self.knots, "values": self.values}


def bent(w):
    """w within ±_FAR, and ±_FAR (1 + ln |w / _FAR|) beyond; traced or not."""
    beyond = ops.maximum(ops.abs(w) * (1.0 / _FAR), 1.0)
    return ops.clip(w, -_FAR, _FAR) * (1.0 + ops.log(beyond))


def standardiser(kind):
    """The class for ``data=`` of an estimator."""
    if kind not in ("standard", "scores"):
        raise ValueError(f"data={kind!r}; choose 'standard' or 'scores'")
    return Standardiser if kind == "standard" else Scores


def restore(arrays):
    """The standardiser that `arrays` came from."""
    moments = Standardiser.restore(arrays)
    if "knots" not in arrays:
        return moments
    return Scores(moments, np.asarray(arrays["knots"]), np.asarray(arrays["values"]))
