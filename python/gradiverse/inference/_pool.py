"""Simulations that rounds draw on: a bank on disk, or arrays in memory."""

import json

import numpy as np

from ._source import reshaped
from ._state import described
from .failures import valid_rows
from .prior import Prior

__all__ = ["add_checked", "check_prior", "finite_observation", "open_pool"]

_FIRST = 100  # simulations, before the observation is compared with them


def check_prior(bank, prior, who):
    """ValueError if a bank is of another prior; boxes of either do not matter here.

    Of anything that knows no prior of its own nothing is asked.
    """
    bank = getattr(bank, "bank", bank)  # of rows
    found = getattr(bank, "prior", None)
    if isinstance(found, Prior) and found.untruncated != prior.untruncated:
        raise ValueError(
            f"{who}: the bank was drawn from another prior, {_words(found)}, than that"
            f" of the estimator, {_words(prior)}; give bank.prior, or a box of it, or a"
            " bank of this prior"
        )


def _words(prior):
    """A prior, boxes aside, with its distributions."""
    text = prior.untruncated.describe()["distributions"]
    return ", ".join(f"{k}: {_short(v)}" for k, v in text.items())


def _short(kind):
    """A description without what is not for reading."""
    if isinstance(kind, dict):
        kind = {k: v for k, v in kind.items() if k not in ("kind", "quantiles")}
    return json.dumps(kind)[:120]


def open_pool(bank, prior, simulator, executor, batch_size, who):
    """A pool on a Bank, on a path (opened or made), or in memory (None)."""
    if isinstance(bank, (_Memory, _OnDisk)):
        return bank
    if batch_size < 1:
        raise ValueError(f"{who}: batch_size is {batch_size}, must be at least 1")
    if executor is not None and bank is None:
        raise ValueError(f"{who}: an executor needs a bank; give bank=path")
    if bank is None:
        return _Memory(simulator, batch_size)
    from .bank import Bank

    if isinstance(bank, (str, bytes)) or hasattr(bank, "__fspath__"):
        bank = Bank(bank, prior, simulator)
    if not isinstance(bank, Bank):
        raise TypeError(
            f"{who}: bank is a {type(bank).__name__}; give a path, a Bank or None"
        )
    check_prior(bank, prior, who)
    if None not in (simulator, bank.simulator):
        mine, its = described(simulator), described(bank.simulator)
        if mine != its:
            raise ValueError(
                f"{who}: the bank's simulator is {_short(its)}, the one given"
                f" {_short(mine)}; open the bank with the same, or give None"
            )
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

    def add(self, n, prior, seed, theta=None):
        """Simulate n more rows: draws of the prior, or the last of theta (m, d).

        Batches are seeded by their first row.
        """
        done = 0
        theta = theta if theta is None else theta[len(theta) - n :]
        while done < n:
            k = min(self.batch_size, n - done)
            rng = np.random.default_rng([seed, self._n])
            part = prior.sample(k, rng) if theta is None else theta[done : done + k]
            x = self.simulator(part, rng)
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
            self._theta.append(part)
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

    def arrays(self):
        """(theta, x) of all rows."""
        return self._joined()[:2]

    def inside(self, box, stop=None, valid=True):
        """Rows below `stop` inside a box, without failed ones if `valid`."""
        if not self._n:
            return np.zeros(0, np.int64)
        theta, _, ok = self._joined()
        kept = ok[:stop] if valid else True
        return np.flatnonzero(_within(theta[:stop], box) & kept)

    def given(self):
        """Rows whose parameters were proposals of another run: none is known of."""
        return 0

    def failed(self, first, stop=None):
        """Failed rows from `first` on, below `stop`."""
        return int((~self._joined()[2][first:stop]).sum()) if self._n else 0

    def data(self, box, stop=None):
        """(theta, x) of all such rows, failed ones too, for `NRE.fit`."""
        theta, x = self.arrays()
        rows = self.inside(box, stop, valid=False)
        if isinstance(x, dict):
            return theta[rows], {k: v[rows] for k, v in x.items()}
        return theta[rows], x[rows]

    def near(self, box, first, stop=None):
        """Which rows of `data` are from `first` on, for `NRE.fit`."""
        return self.inside(box, stop, valid=False) >= first


class _OnDisk:
    """A bank; its rows stay on disk."""

    def __init__(self, bank, executor, batch_size):
        self.bank, self.executor, self.batch_size = bank, executor, batch_size
        self.path, self.simulator = bank.path, bank.simulator

    def __len__(self):
        return len(self.bank)

    def add(self, n, prior, seed, theta=None):
        """Simulate n more rows: draws of the prior, or the last of theta (m, d)."""
        if n > 0:
            self.bank.simulate(
                len(self.bank) + n,
                rng=seed,
                executor=self.executor,
                batch_size=self.batch_size,
                prior=prior,
                theta=theta,
            )

    def arrays(self):
        """(theta, x) of all rows."""
        arrays = self.bank.arrays()
        return arrays["theta"], arrays["x"]

    def inside(self, box, stop=None, valid=True):
        """Rows below `stop` inside a box, without failed ones if `valid`."""
        if not len(self.bank):
            return np.zeros(0, np.int64)
        rows = np.asarray(self.bank.rows(valid), np.int64)
        rows = rows if stop is None else rows[rows < stop]
        return rows[_within(np.asarray(self.arrays()[0])[rows], box)]

    def given(self):
        """Rows whose parameters were proposals of another run."""
        return int(self.bank.given().sum()) if len(self.bank) else 0

    def failed(self, first, stop=None):
        """Failed rows from `first` on, below `stop`."""
        stop = len(self.arrays()[0]) if stop is None else stop
        done, valid = self.bank.rows(False), self.bank.rows()
        return sum(
            sign * int(((rows >= first) & (rows < stop)).sum())
            for sign, rows in ((1, done), (-1, valid))
        )

    def data(self, box, stop=None):
        """The bank confined to such rows, for `NRE.fit`."""
        rows = [self.inside(box, stop, valid) for valid in (True, False)]
        return (_Part(self.bank, *rows),)

    def near(self, box, first, stop=None):
        """Which rows of the bank are from `first` on, for `NRE.fit`."""
        return np.arange(len(self.arrays()[0])) >= first


def finite_observation(x_obs, who):
    """Raises ValueError if an observation has NaN or infinity, or is no numbers."""
    for leaf in x_obs.values() if isinstance(x_obs, dict) else [x_obs]:
        if np.asarray(leaf).dtype.kind not in "biuf":
            raise TypeError(
                f"{who}: the observation holds {np.asarray(leaf).dtype} in a"
                f" {type(leaf).__name__}; give an array of numbers, or a dict of such"
            )
        if not np.isfinite(leaf).all():
            raise ValueError(f"{who}: the observation is not finite")


def add_checked(pool, n, prior, seed, x_obs):
    """n more draws of the prior; x_obs is compared with the first simulations."""
    if not len(pool):
        # whole batches: what a batch draws depends on its length
        size = pool.batch_size
        first = min(n, -(-_FIRST // size) * size)
        pool.add(first, prior, seed)
        n -= first
    if len(pool):
        _check_observation(pool.arrays()[1], x_obs)
    pool.add(n, prior, seed)


def _check_observation(x, x_obs):
    """Raises ValueError if simulations x are of another shape than the observation."""
    if isinstance(x, dict) != isinstance(x_obs, dict) or (
        isinstance(x, dict) and set(x) != set(x_obs)
    ):
        what = sorted(x_obs) if isinstance(x_obs, dict) else "an array"
        raise ValueError(
            f"x_obs is {what}, one simulation"
            f" {sorted(x) if isinstance(x, dict) else 'an array'}"
        )
    shape = {k: v.shape[1:] for k, v in x.items()} if isinstance(x, dict) else (
        x.shape[1:]
    )  # fmt: skip
    reshaped(x_obs, shape, (1,))


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
