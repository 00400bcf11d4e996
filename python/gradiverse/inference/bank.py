"""Banks of simulations: one HDF5 file, many writers, safe against kills."""

import json
import os

import numpy as np

from . import _bank_record, _bank_writer, _parallel
from ._bank_export import export
from ._bank_file import BankFile
from ._bank_make import STATUS, Units, agreed, make, release
from ._bank_rows import Rows, take
from ._bank_writer import VALID, Writer
from .prior import Prior
from .simulator import Simulator


class Bank:
    """Simulations on disk.

    Parameters
    ----------
    path : path
        HDF5 file; made if it does not exist.
    prior : Prior, optional
        Needed to make a bank; else that of the file, with which it must agree.
    simulator : callable, optional
        ``simulator(theta (n, d), rng)`` -> array (n, ...) or dict of such arrays, of
        any float, integer or boolean type; or a `Simulator`. Needed to simulate.
    units : dict, optional
        Unit of each array of the simulator ("x" if there is only one), kept with it; a
        `Simulator` says its own. Those of a bank cannot be changed.

    Attributes
    ----------
    theta : (rows, d) float64, sliced like an array
        Parameters of the finished rows, valid or failed, in order.
    x : (rows, ...), or a dict of such
        What the simulator gave; NaN where a failed row has nothing (the smallest number
        of a signed integer type, the largest of an unsigned one, False).
    status : (rows,) int8
        ``Bank.VALID`` (2) or ``Bank.FAILED`` (3). Rows of the file may also be 0 free
        or 1 reserved by a writer at work; `count` tells how many.
    prior : Prior
    path : str

    Notes
    -----
    ``len(bank)`` is the number of finished rows. A row fails if the simulator raises an
    exception for it or gives NaN or infinity; its theta and a message are kept.

    Give estimators the bank itself, or ``bank.theta, bank.x`` unsliced: they then know
    which rows failed. In copies failed rows of floats show by NaN, those of signed
    integers by their smallest number; of unsigned integers and booleans they cannot be
    told, and `rows` must choose.

    Training reads x in place where it is bool, int32, int64, float32 or float64; arrays
    of other types are copied into memory up to 512 MiB, and refused beyond that.

    A killed writer loses only the batches it was at; the file stays a complete HDF5
    file at any moment. Writers need a file system with POSIX locks, and leave an empty
    file ``path + ".lock"`` beside the bank while they work.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> prior = Prior(a=(0.0, 1.0), b=(-1.0, 1.0))
    >>> def simulator(theta, rng):
    ...     return theta + 0.1 * rng.normal(size=theta.shape)
    >>> folder = tempfile.TemporaryDirectory()
    >>> bank = Bank(pathlib.Path(folder.name) / "bank.h5", prior, simulator)
    >>> bank.simulate(2000, rng=0, batch_size=500)
    >>> len(bank), bank.theta[:3].shape, bank.x[-5:].shape
    (2000, (3, 2), (5, 2))
    >>> bank.close(); folder.cleanup()
    """

    FREE, RESERVED, VALID, FAILED = range(4)

    def __init__(self, path, prior=None, simulator=None, units=None):
        self._file = self._complete = None
        self.path = os.fspath(path)
        if prior is not None and not isinstance(prior, Prior):
            raise TypeError(f"prior must be a Prior, got {type(prior).__name__}")
        if simulator is not None and not callable(simulator):
            raise TypeError(
                f"simulator must be a function, got {type(simulator).__name__}"
            )
        if not os.path.exists(self.path):
            if prior is None:
                raise FileNotFoundError(
                    f"there is no bank at {self.path}; give a prior to make one"
                )
            make(self.path, prior)
        self._file = BankFile(self.path)
        self.prior = agreed(self.path, self._file.layout.attributes["prior"], prior)
        self.simulator = simulator
        self._units = dict(units or {})
        if isinstance(simulator, Simulator):
            _check_parameters(simulator, self.prior)
        if self.units:
            self._naming().check(self.path, self.units)

    def __len__(self):
        rows = self._finished()
        return rows if isinstance(rows, int) else len(rows)

    def _array(self, name):
        self._file.refresh()
        return self._file.array(name)

    def _finished(self):
        """Finished rows: their number if they are the first ones, else indices."""
        status = self._array("status")
        layout = self._file.layout
        if self._complete is not layout:  # what is finished stays so
            done = status >= VALID
            n = int(done.sum())
            if n < layout.rows:
                return n if done[:n].all() else np.flatnonzero(done)
            self._complete = layout
        return layout.rows

    @property
    def theta(self):
        return Rows(self, "theta")

    @property
    def status(self):
        return Rows(self, "status")

    @property
    def x(self):
        self._file.refresh()
        names = list(_bank_writer.data_columns(self._file.layout))
        if not names:
            raise ValueError(f"{self.path} holds no simulations yet: call simulate")
        if names == ["x"]:
            return Rows(self, "x")
        return {name.partition("/")[2]: Rows(self, name) for name in names}

    @property
    def units(self):
        """Unit of each array that the bank holds (dict)."""
        self._file.refresh()
        return _bank_writer.units_of(_bank_writer.data_columns(self._file.layout))

    def _naming(self):
        return Units(self._units, self.simulator)

    @property
    def count(self):
        """Number of rows of the file by status (dict)."""
        found = np.bincount(self._array("status"), minlength=4)
        return {name: int(found[code]) for name, code in STATUS.items()}

    def arrays(self):
        """All rows of the file as read-only arrays that live in it, without a copy.

        Returns
        -------
        dict
            theta (rows, d) and x, an array or a dict of arrays. Only `rows` of them are
            meaningful.
        """
        self._file.refresh()
        names = list(_bank_writer.data_columns(self._file.layout))
        if not names:
            raise ValueError(f"{self.path} holds no simulations yet: call simulate")
        x = {name.partition("/")[2]: self._file.array(name) for name in names}
        return {"theta": self._file.array("theta"), "x": x.get("", x)}

    def rows(self, valid=True):
        """Indices (int64) into `arrays` of the valid rows, or of all finished ones."""
        status = self._array("status")
        return np.flatnonzero(status == VALID if valid else status >= VALID)

    def blocks(self, size=4096, rng=None, valid=True):
        """Go through the bank in blocks of neighbouring rows.

        Parameters
        ----------
        size : int
            Rows of a block.
        rng : seed, SeedSequence or Generator, optional
            Random order of the blocks; without, from the first to the last.
        valid : bool
            Only valid rows, or all finished ones.

        Yields
        ------
        rows : int64 indices
        values : dict
            As `arrays`, of these rows: read-only views where a block is complete, else
            copies.
        """
        return self._blocks(_positive(size, "size", 1), rng, valid)

    def _blocks(self, size, rng, valid):
        arrays, status = self.arrays(), self._array("status")
        starts = np.arange(0, len(status), size)
        if rng is not None:
            np.random.default_rng(rng).shuffle(starts)
        for start in starts.tolist():
            part = status[start : start + size]
            good = part == VALID if valid else part >= VALID
            rows = start + np.flatnonzero(good)
            if len(rows):
                whole = slice(start, start + len(part)) if good.all() else rows
                yield rows, take(arrays, whole)

    def failures(self):
        """Table of the failed rows: row, message and the parameters (DataFrame)."""
        return _bank_record.failures(self)

    def calls(self):
        """Table of the calls that filled the bank: seed, batch size, box, version."""
        import pandas as pd

        return pd.DataFrame(self._calls())

    def _calls(self):
        self._file.refresh()
        texts = str(self._file.layout.attributes.get("calls", "")).splitlines()
        return [json.loads(text) for text in texts]

    def given(self):
        """Which rows of `arrays` have parameters that were given to `simulate`.

        They are no draws of the prior, so that marginals cannot be learned from them;
        `draws` tells which rows are.
        """
        return _bank_record.of_calls(self, lambda call: "theta" in call)

    def draws(self, prior=None):
        """Which finished rows of `arrays` are draws of the bank's prior, or of a box.

        Parameters
        ----------
        prior : Prior, optional
            The bank's, or a truncation of it.

        Returns
        -------
        (rows of `arrays`,) bool array
            Rows inside `prior` that were drawn from it, from the bank's whole prior or
            from a box that holds it. Not those with given parameters, and not those of
            narrower boxes, which would be too many there.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> folder = tempfile.TemporaryDirectory()
        >>> bank = Bank(pathlib.Path(folder.name) / "bank.h5", Prior(a=(0.0, 1.0)))
        >>> box = bank.prior.truncate([(0.2, 0.4)])
        >>> bank.append([[0.3], [0.9]], [1.0, 2.0])
        >>> bank.append([[0.25]], [3.0], prior=box)
        >>> bank.draws().tolist(), bank.draws(box).tolist()
        ([True, True, False], [True, False, True])
        >>> bank.close(); folder.cleanup()
        """
        return _bank_record.draws(self, self._box(prior))

    def _box(self, prior):
        """A prior checked to be the bank's or a box of it; the bank's for None."""
        if prior is None:
            return self.prior
        if not isinstance(prior, Prior) or not prior.cut_from(self.prior):
            raise ValueError(
                f"prior must be the bank's, a Prior of {', '.join(self.prior.names)}, "
                f"or a box of it, bank.prior.truncate(bounds): {prior!r} is no box of "
                f"{self.prior}"
            )
        return prior

    def simulate(
        self,
        n,
        rng=0,
        executor=None,
        batch_size=1000,
        progress=False,
        prior=None,
        sync=False,
        theta=None,
    ):
        """Simulate until n rows of the bank are finished, valid or failed.

        Rows that other writers have reserved are waited for. A batch that raises an
        exception is simulated again row by row.

        Parameters
        ----------
        n : int
            Rows that the bank shall hold, those it holds already included.
        rng : seed, SeedSequence or Generator
            A batch depends on it and on the batch's first row only: executor and number
            of workers do not matter.
        executor : optional
            Anything with ``submit``: a concurrent.futures pool, a dask Client,
            mpi4py.futures. With processes the simulator must be picklable.
        batch_size : int
            Rows simulated by one call of the simulator, and lost by a kill.
        progress : bool or callable
            ``progress(done, n)`` after each batch; True writes a line to stderr.
        prior : Prior, optional
            Draw from this box of the bank's prior, ``bank.prior.truncate(bounds)``,
            instead. Marginals of the whole prior cannot be learned from such rows.
        sync : bool
            Force each batch to the disk before it is published; protects against power
            failures too, not only against kills.
        theta : (m, d) array, optional
            Parameters of the last m of the n rows, in place of draws of the prior: for
            sequential proposals. Those of rows that are finished are not used.

        Raises
        ------
        ValueError, TypeError
            If the simulator's result does not fit the bank.
        RuntimeError
            If no simulation of the call works, or the executor loses a batch.
        OSError
            If the disk is full or the bank may not be written to.
        """
        if self.simulator is None:
            raise ValueError("give the bank a simulator: Bank(path, prior, simulator)")
        n, batch_size = _positive(n, "n", 0), _positive(batch_size, "batch_size", 1)
        prior = self._box(prior)
        if theta is not None:
            prior = self._given(theta, n)
        seed = _parallel.entropy(rng)
        flight = _parallel.Here() if executor is None else _parallel.Flight(executor)
        call = {
            "seed": repr(seed[0]) + (repr(seed[1]) if seed[1] else ""),
            "batch_size": batch_size,
            "bounds": _bounds(prior),
            **({} if theta is None else {"theta": "given"}),
            "simulator": _name(self.simulator),
            "version": release(),
        }
        if progress is True:
            progress = _line
        with Writer(self._file) as writer:
            number = writer.prepare(n, call)
            _bank_writer.fill(
                writer,
                writer.limit(n),
                prior,
                self.simulator,
                seed,
                batch_size,
                flight,
                number,
                self._naming(),
                sync,
                progress or None,
            )

    def _given(self, theta, n):
        """Parameters of the last rows of n, checked."""
        theta = self._parameters(theta, self.prior)
        first = n - len(theta)
        if not 0 <= first <= len(self):
            raise ValueError(
                f"theta has {len(theta)} rows, but {n - len(self)} of the bank's are"
                f" missing to {n}"
            )
        return _parallel.Given(theta, first, self.prior)

    def append(self, theta, x, prior=None):
        """Add simulations made elsewhere; failed ones as `valid_rows` tells them.

        Parameters
        ----------
        theta : (n, d) array
            Draws of the bank's prior, in the order of its names.
        x : (n, ...) array or dict of such
            Rows with NaN or infinity, or, of a signed integer type, of nothing but its
            smallest number, count as failed.
        prior : Prior, optional
            The box of the bank's prior that theta was drawn from, if it was one.
        """
        prior = self._box(prior)
        theta = self._parameters(theta, prior)
        arrays = _parallel.arrays_of(x, len(theta))
        if not len(theta):
            return
        good = np.logical_and.reduce([_parallel.held(v) for v in arrays.values()])
        bad = np.flatnonzero(~good)
        messages = {int(i): "not finite" for i in bad}
        call = {
            "seed": "none",
            "bounds": _bounds(prior),
            "simulator": "Bank.append",
            "version": release(),
        }
        with Writer(self._file) as writer:
            number = writer.prepare(0, call)
            writer.define(arrays, self._naming())
            start, stop = writer.extend(len(theta))
            result = _parallel.Result(theta, arrays, messages, 0)
            writer.store(start, stop, result, number, self._naming())

    def _parameters(self, theta, prior):
        """Parameters (n, d) inside the prior."""
        theta = np.array(theta, dtype=float, ndmin=2)
        if theta.ndim != 2 or theta.shape[1] != self.prior.d:
            raise ValueError(
                f"theta must have shape (n, {self.prior.d}), got {theta.shape}"
            )
        outside = np.flatnonzero(~prior.contains(theta))
        if len(outside):
            raise ValueError(
                f"{len(outside)} rows of theta lie outside the prior {prior}, the "
                f"first is row {outside[0]}: {theta[outside[0]]}"
            )
        return theta

    def export(self, path, valid=True):
        """Write the valid (or all finished) rows to a new bank, in one piece.

        Returns the new `Bank`. Of the calls only boxes and whether parameters were
        given are taken over, failure messages are not; failed rows stay failed.
        """
        if os.path.exists(path):
            raise ValueError(f"{path} exists; export writes new files only")
        units = export(self, path, self.rows(valid))
        return Bank(path, self.prior, self.simulator, units)

    def close(self):
        """Close the file; arrays taken from it stay usable."""
        if self._file is not None:
            self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def __del__(self):
        self.close()

    def __reduce__(self):
        return Bank, (self.path, self.prior, self.simulator, self._units)

    def __repr__(self):
        if self._file.fd < 0:
            return f"Bank({self.path!r}: closed)"
        kinds = ", ".join(f"{n} {k}" for k, n in self.count.items() if n) or "empty"
        names = self.prior.names
        names = names if len(names) <= 12 else [*names[:10], f"... {len(names)} in all"]
        return f"Bank({self.path!r}: {kinds}; {', '.join(names)})"


def _check_parameters(simulator, prior):
    if simulator.parameters and simulator.parameters != prior.names:
        raise ValueError(
            f"the simulator's parameters are {', '.join(simulator.parameters)}, those "
            f"of the prior {', '.join(prior.names)}; give both the same in one order"
        )


def _bounds(prior):
    """The box of a prior for the record of a call; None for the whole."""
    return prior.bounds.tolist() if prior.truncated else None


def _positive(value, what, least):
    import operator

    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{what} must be an integer, got {value!r}") from None
    if number < least:
        raise ValueError(f"{what} must be at least {least}, got {number}")
    return number


def _name(function):
    """Name of a simulator, for the record."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


def _line(done, n):
    import sys

    end = "\n" if done == n else ""
    print(f"\r{done} of {n} simulations", end=end, file=sys.stderr, flush=True)
