"""Standardisation of data: mean and standard deviation of every number, once.

The moments are accumulated in float64 over chunks of rows, two passes in each chunk and
Chan's update between them, so that data of any size go through memory once. They are
frozen before training and belong to the estimator.
"""

import numpy as np

__all__ = ["Standardiser"]

_CHUNK = 1 << 24  # bytes of rows worked on at once


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
    def of(cls, x, rows=None):
        """Moments of the rows of an array or memory map.

        Parameters
        ----------
        x : (n, ...) array
        rows : int64 array, optional
            Rows to take; all by default.
        """
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
        std = np.sqrt(self._m2 / max(self.n, 1))
        # the spread of a constant that double precision cannot average exactly
        none = std <= 1e-14 * np.abs(self.mean)
        return np.where(none | (std == 0), 1.0, std)

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
