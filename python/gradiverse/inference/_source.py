"""Simulations as training takes them: valid rows, moments, inputs of the networks."""

import numpy as np

from ._bank_rows import Rows
from ._standardise import standardiser
from .failures import valid_rows

__all__ = ["Source", "View", "broadcast", "leading", "leaves", "reshaped", "row"]


class Source:
    """Simulations as `gradiverse.train.fit` takes them."""

    def __init__(self, est, theta, x):
        self.bank = None
        if x is None:
            bank = theta
            arrays = bank.arrays()
            theta, x = np.asarray(arrays["theta"][:], np.float64), arrays["x"]
            rows = np.asarray(bank.rows(), np.int64)
            self.ok = np.zeros(len(theta), bool)
            self.ok[rows] = True
            done = np.asarray(bank.rows(False), np.int64)
            self.bank = bank
        else:
            given = theta, x
            theta = np.asarray(theta, dtype=np.float64)
            x = {k: np.asarray(v) for k, v in x.items()} if isinstance(x, dict) else (
                np.asarray(x)
            )  # fmt: skip
            self.ok = None
        if theta.ndim != 2 or theta.shape[1] != est.prior.d:
            raise ValueError(
                f"NRE.fit: theta has shape {theta.shape}; expected (n, {est.prior.d})"
            )
        leaves = x.values() if isinstance(x, dict) else [x]
        for leaf in leaves:
            if len(leaf) != len(theta):
                raise ValueError(
                    f"NRE.fit: {len(theta)} rows of theta, {len(leaf)} of x"
                )
        if isinstance(x, dict) and est.embedding is None:
            raise ValueError(
                "NRE.fit: x is a dict of arrays; give an embedding, a layer that makes"
                " one feature vector of it"
            )
        self.shape = (
            {k: v.shape[1:] for k, v in x.items()}
            if isinstance(x, dict)
            else x.shape[1:]
        )
        if self.bank is None:
            self.ok = valid_rows(given[1]) & np.isfinite(theta).all(1)
            done = np.arange(len(theta))
        self.n, self.n_failed = len(done), int((~self.ok[done]).sum())
        rows = np.flatnonzero(self.ok)
        if not est.prior.contains(theta[rows]).all():
            bad = rows[~est.prior.contains(theta[rows])][0]
            raise ValueError(
                f"NRE.fit: row {bad} of theta lies outside the prior; give the prior"
                " that the parameters were drawn from, or leave such rows out"
            )
        if self.bank is not None:
            _check_draws(est, self.bank, rows)
        elif isinstance(given[0], Rows):
            _check_draws(est, given[0].bank, given[0].bank.rows(False)[rows])
        if len(rows) < 4:
            raise ValueError(f"NRE.fit: {len(rows)} valid rows; at least 4 are needed")
        self.theta, self.x, self.rows, self.done = theta, x, rows, done
        # neighbours in the arrays may be neighbours in θ: validation batches are made
        # of rows in ascending order
        self.order = np.random.default_rng(20_210).permutation(rows)
        self.batch = self._batch(est.training["batch_size"])
        self.fine = self._batch(est.refine["batch_size"]) if est.refine else self.batch
        self.held = self._held(est.training["validation"])
        self.est = est
        self._data = None

    def moments(self, near=None):
        """Standardisers of the rows that are trained on, or of those `near`."""
        n = len(self.rows) - self.held
        rows = None if n == len(self.theta) else np.sort(self.order[:n])
        kind = standardiser(self.est.data)
        if isinstance(self.x, dict):
            return {k: kind.of(v, rows, near) for k, v in self.x.items()}
        return kind.of(self.x, rows, near)

    def near(self, chosen):
        """Of the rows that are trained on those that are chosen (a mask of all)."""
        chosen = np.asarray(chosen)
        if chosen.dtype != bool or chosen.shape != (len(self.theta),):
            raise ValueError(
                f"NRE.fit: near must be a mask of {len(self.theta)} rows, not"
                f" {chosen.dtype} of shape {chosen.shape}"
            )
        trained = np.sort(self.order[: len(self.rows) - self.held])
        rows = trained[chosen[trained]]
        if len(rows) <= self.est.prior.d:
            raise ValueError(
                f"NRE.fit: {len(rows)} rows near; more than the number of parameters"
                f" ({self.est.prior.d}) are needed"
            )
        return rows

    def example(self):
        """One raw row."""
        return self.some(self.rows[:1])

    def some(self, rows):
        """Raw data of some rows."""
        if isinstance(self.x, dict):
            return {k: np.asarray(v[rows]) for k, v in self.x.items()}
        return np.asarray(self.x[rows])

    @property
    def standard(self):
        """Whether `data` holds standardised x."""
        return self.bank is None and self.est.augment is None

    def data(self, used=None):
        """What fit trains on; of the parameters `used` only."""
        if self._data is None:
            self._data = self._make()
        if used is None:
            return self._data
        if self.bank is not None:
            arrays = self._data.arrays()
            part = {**arrays, "theta": np.ascontiguousarray(arrays["theta"][:, used])}
            return View(part, self.rows)
        theta = np.ascontiguousarray(self._data["theta"][:, used])
        return {**self._data, "theta": theta}

    def _make(self):
        est = self.est
        if self.bank is not None:
            columns = np.zeros(
                (
                    len(self.theta),
                    *est.coordinates(self.theta[self.rows[:1]]).shape[1:],
                ),
                np.float32,
            )
            columns[self.rows] = est.coordinates(self.theta[self.rows])
            raw = {"raw": self.theta} if est.augment else {}
            return View({"theta": columns, "x": self.x, **raw}, self.rows)
        order = self.order
        columns = est.coordinates(self.theta[order])

        def take(a):
            return np.ascontiguousarray(a[order])

        x = (
            {k: take(v) for k, v in self.x.items()}
            if isinstance(self.x, dict)
            else take(self.x)
        )
        raw = {"raw": take(self.theta)} if est.augment else {}
        x = est._standardise(x) if self.standard else x
        return {"theta": columns, "x": x, **raw}

    def _batch(self, asked):
        """The batch size, at most half of the training rows."""
        if asked is None:
            asked = min(max(len(self.rows) // 40, 32), 256)
        return int(min(asked, max(len(self.rows) // 2, 2)))

    @property
    def validation(self):
        """Validation rows as `gradiverse.train.fit` takes them; 0: none."""
        n = len(self.rows)
        if not self.held:
            return 0
        if self.bank is not None:
            return self.order[n - self.held :]
        return np.arange(n - self.held, n)

    def _held(self, share):
        """Number of validation rows such that no batch has a single row."""
        n, sizes = len(self.rows), {self.batch, self.fine}
        count = int(share) if isinstance(share, (int, np.integer)) else round(share * n)
        if not 0 <= count < n:
            raise ValueError(f"NRE.fit: validation {share!r} of {n} rows leaves none")
        while 0 < count < n and any(
            count % s == 1 or (n - count) % s == 1 for s in sizes
        ):
            count += 1
        if count == n or (not count and any(n % s == 1 for s in sizes)):
            raise ValueError(
                f"NRE.fit: {n} rows leave one of a batch of {self.batch} by itself,"
                " without contrasts; choose another batch_size"
            )
        return int(count)


def redrawing(augment):
    """The hook of `gradiverse.train.fit` for one of `NRE`."""

    def run(batch, key):
        x = redrawn(augment, batch["raw"], batch["x"], key)
        return {"theta": batch["theta"], "x": x}

    return None if augment is None else run


def redrawn(augment, theta, x, key):
    """x as `augment` of `NRE` draws it anew for parameters (n, d)."""
    out = augment({"theta": theta, "x": x}, key)
    if not isinstance(out, dict) or "x" not in out:
        raise TypeError(
            "NRE: augment must return the batch, a dict with theta and the new x, not"
            f" {sorted(out) if isinstance(out, dict) else type(out).__name__}"
        )
    if out.get("theta", theta) is not theta:
        raise ValueError(
            "NRE: augment changed theta, but it may only redraw x at the theta that it"
            ' is given: return {**batch, "x": x}'
        )
    return out["x"]


def _check_draws(est, bank, rows):
    """Marginals are averages over the prior of the other parameters."""
    bank = getattr(bank, "_bank", bank)  # of a part of a bank
    if est.coordinates.joint or not hasattr(bank, "draws"):
        return
    if not est.prior.cut_from(bank.prior):
        raise ValueError(
            f"NRE.fit: the estimator's prior {est.prior} is not the bank's {bank.prior}"
            " nor a box of it, and marginals need draws of it; give NRE bank.prior, or"
            " bank.prior.truncate(bounds)"
        )
    count = int((~bank.draws(est.prior)[rows]).sum())
    if count:
        raise ValueError(
            f"NRE.fit: {count} rows of the bank are no draws of the prior {est.prior}:"
            " their parameters were given, such as proposals of SNRE, or drawn from"
            " narrower boxes (Bank.calls), and marginals need draws. Give theta and x"
            " of the rows of Bank.draws(prior), with this prior or with the box as"
            " the prior of NRE"
        )


class View:
    """Arrays of a bank, with the parameters as the network sees them."""

    def __init__(self, arrays, rows):
        self._arrays, self._rows = arrays, rows

    def arrays(self):
        return self._arrays

    def rows(self):
        return self._rows


def leaves(x, shape):
    """Pairs of the arrays of x and the shapes of one simulation, by name.

    ValueError where one of both is a dict and the other is not, or an array lacks.
    """
    if not isinstance(shape, dict):
        if isinstance(x, dict):
            raise ValueError(
                f"x is a dict of {', '.join(map(str, x))}; a simulation is an array of"
                f" shape {shape}"
            )
        return {"x": (_numbers(x, "x"), tuple(shape))}
    names = ", ".join(map(str, shape))
    if not isinstance(x, dict):
        raise ValueError(
            f"x is a {type(x).__name__}; a simulation is a dict of {names}"
        )
    for k in shape:
        if k not in x:
            raise ValueError(
                f"x lacks {k!r}: it has {', '.join(map(str, x))}, a simulation {names}"
            )
    return {k: (_numbers(x[k], k), tuple(shape[k])) for k in shape}


def _numbers(a, name):
    a = np.asarray(a)
    if a.dtype.kind not in "biuf":
        raise TypeError(f"{name} holds {a.dtype}; real numbers are needed")
    return a


def reshaped(x, shape, lead):
    """x of prod(lead) simulations with just these axes in front.

    Axes of length 1 in front of it or of a simulation do not matter, and one number is
    one number; anything else than the shape of a simulation is refused: its numbers
    would be taken for others.
    """
    out = {}
    for k, (a, s) in leaves(x, shape).items():
        n, size = int(np.prod(lead)), int(np.prod(s))
        inner = _stripped(s)
        known = a.shape[a.ndim - len(inner) :] == inner and len(inner) <= a.ndim
        if a.size != n * size or not (known or a.size == 1):
            raise ValueError(f"{k} has shape {a.shape}; one simulation has shape {s}")
        out[k] = a.reshape(*lead, *s)
    return out if isinstance(shape, dict) else out["x"]


def _stripped(shape):
    """Without the axes of length 1 in front."""
    while shape and shape[0] == 1:
        shape = shape[1:]
    return shape


def row(x, i):
    if isinstance(x, dict):
        return {k: v[i : i + 1] for k, v in x.items()}
    return x[i : i + 1]


def broadcast(x, shape, lead):
    """x with the axes `lead`, as one, in front; of arrays that `leading` has seen."""
    found = {
        k: np.broadcast_to(a, (*lead, *s)).reshape(-1, *s)
        for k, (a, s) in leaves(x, shape).items()
    }
    return found if isinstance(shape, dict) else found["x"]


def leading(x, shape):
    """Axes of x before those of a simulation, of all its arrays together."""
    found = []
    for name, (a, s) in leaves(x, shape).items():
        k = a.ndim - len(s)
        if k < 0 or a.shape[k:] != s:
            raise ValueError(
                f"{name} has shape {a.shape}; one simulation has {s}, and leading axes"
                " may be in front"
            )
        found.append(a.shape[:k])
    try:
        return np.broadcast_shapes(*found)
    except ValueError:
        raise ValueError(
            f"the arrays of x have leading axes {', '.join(map(str, found))}, which do"
            " not fit"
        ) from None
