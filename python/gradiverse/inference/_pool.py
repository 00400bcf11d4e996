"""Simulations that rounds draw on: a bank on disk, or arrays in memory."""

import numpy as np

from .failures import valid_rows

__all__ = ["open_pool"]


def open_pool(bank, prior, simulator, executor, batch_size):
    """A pool on a Bank, on a path (opened or made), or in memory (None)."""
    if bank is None:
        return _Memory(simulator, batch_size)
    if isinstance(bank, (str, bytes)) or hasattr(bank, "__fspath__"):
        from .bank import Bank

        bank = Bank(bank, prior, simulator)
    return _OnDisk(bank, executor, batch_size)


class _Memory:
    """Arrays that grow; rows that are not finite are failed."""

    path = None

    def __init__(self, simulator, batch_size):
        if not callable(simulator):
            raise TypeError(f"simulator is {simulator!r}, expected a function")
        self.simulator, self.batch_size = simulator, batch_size
        self._theta, self._x, self._ok = [], [], []
        self._n = 0

    def __len__(self):
        return self._n

    def add(self, n, prior, seed):
        """Simulate n more rows; batches are seeded by their first row."""
        done = 0
        while done < n:
            k = min(self.batch_size, n - done)
            rng = np.random.default_rng([seed, self._n])
            theta = prior.sample(k, rng)
            x = self.simulator(theta, rng)
            x = (
                {key: np.asarray(v) for key, v in x.items()}
                if isinstance(x, dict)
                else np.asarray(x)
            )
            for leaf in x.values() if isinstance(x, dict) else [x]:
                if leaf.ndim == 0 or len(leaf) != k:
                    raise ValueError(
                        f"the simulator returned shape {leaf.shape} for {k} parameters;"
                        " expected one row for each"
                    )
            self._theta.append(theta)
            self._x.append(x)
            self._ok.append(valid_rows(x))
            self._n += k
            done += k

    def _joined(self):
        if len(self._theta) > 1:
            self._theta = [np.concatenate(self._theta)]
            self._ok = [np.concatenate(self._ok)]
            first = self._x[0]
            if isinstance(first, dict):
                joined = {k: np.concatenate([x[k] for x in self._x]) for k in first}
            else:
                joined = np.concatenate(self._x)
            self._x = [joined]
        return self._theta[0], self._x[0], self._ok[0]

    def everything(self):
        """(theta, x, valid) of all rows."""
        return self._joined()

    def inside(self, box):
        """Rows inside a box that are not failed."""
        if not self._n:
            return np.zeros(0, np.int64)
        theta, _, ok = self._joined()
        return np.flatnonzero(ok & _within(theta, box))

    def failed(self, first):
        """Failed rows from `first` on."""
        return int((~self._joined()[2][first:]).sum()) if self._n else 0

    def data(self, box):
        """(theta, x) of all rows inside a box, failed ones too, for `NRE.fit`."""
        theta, x, _ = self._joined()
        rows = np.flatnonzero(_within(theta, box))
        if isinstance(x, dict):
            return theta[rows], {k: v[rows] for k, v in x.items()}
        return theta[rows], x[rows]


class _OnDisk:
    """A bank; its rows stay on disk."""

    def __init__(self, bank, executor, batch_size):
        self.bank, self.executor, self.batch_size = bank, executor, batch_size
        self.path = bank.path

    def __len__(self):
        return len(self.bank)

    def add(self, n, prior, seed):
        """Simulate n more rows from the prior."""
        if n > 0:
            self.bank.simulate(
                len(self.bank) + n,
                rng=seed,
                executor=self.executor,
                batch_size=self.batch_size,
                prior=prior,
            )

    def inside(self, box):
        """Valid rows inside a box."""
        return self._inside(box, True)

    def _inside(self, box, valid):
        if not len(self.bank):
            return np.zeros(0, np.int64)
        rows = np.asarray(self.bank.rows(valid), np.int64)
        return rows[_within(np.asarray(self.bank.arrays()["theta"])[rows], box)]

    def failed(self, first):
        """Failed rows from `first` on."""
        done, valid = self.bank.rows(False), self.bank.rows()
        return int((done >= first).sum() - (valid >= first).sum())

    def data(self, box):
        """The bank confined to a box, for `NRE.fit`."""
        return (_Part(self.bank, self._inside(box, True), self._inside(box, False)),)


class _Part:
    """Some rows of a bank."""

    def __init__(self, bank, valid, done):
        self._bank, self._valid, self._done = bank, valid, done

    def arrays(self):
        return self._bank.arrays()

    def rows(self, valid=True):
        return self._valid if valid else self._done


def _within(theta, box):
    return ((theta >= box[:, 0]) & (theta <= box[:, 1])).all(axis=1)
