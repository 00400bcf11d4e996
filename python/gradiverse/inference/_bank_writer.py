"""Writers of a bank: rows are claimed, simulated, written and published.

A row's status byte tells its life: free, reserved (claimed by a living writer, see
`_claims`), then valid or failed once its data are in the file. What a killed writer had
reserved is found by its missing claim and becomes free again.
"""

import contextlib
import json
import os
import time

import numpy as np

from . import _parallel
from ._bank_file import Column
from ._claims import writing

FREE, RESERVED, VALID, FAILED = range(4)
TEXTS = 1000  # different failure messages that a bank keeps
NOT_KEPT = 65535  # code of the others
_SCAN = 1 << 20
_GIVE_UP = 100  # rows that may raise before one has come back


class Writer:
    """Writing side of an open bank; use as a context manager."""

    def __init__(self, file):
        self.file = file
        self._stack = contextlib.ExitStack()
        self._mine, self._texts, self._start = set(), None, 0

    def __enter__(self):
        self.claims = self._stack.enter_context(writing(self.file.path))
        try:
            with self.locked():
                self.file.open_for_writing()
                self._stack.callback(self._end)
                self.recover()
        except BaseException:
            self._stack.close()
            raise
        return self

    def _end(self):
        with self.claims.mutex():
            self.file.end_writing()

    def __exit__(self, *exc):
        with self._stack:
            for start, stop in sorted(self._mine):
                self._stack.callback(self.give_back, start, stop)

    @contextlib.contextmanager
    def locked(self):
        """The mutex, with the layout as other writers have left it."""
        with self.claims.mutex():
            self.file.refresh()
            yield

    def recover(self):
        """Free rows that are reserved by nobody; returns whether there were any."""
        status = self.file.array("status")
        reserved = np.flatnonzero(status == RESERVED)
        if not len(reserved):
            return False
        breaks = np.flatnonzero(np.diff(reserved) > 1) + 1
        found = False
        for run in np.split(reserved, breaks):
            for a, b in self.claims.orphans(int(run[0]), int(run[-1]) + 1):
                self.file.write("status", a, np.full(b - a, FREE, np.int8))
                found, self._start = True, 0
        return found

    def prepare(self, n, call):
        """Room for n rows and an entry for this call; returns the entry's number."""
        with self.locked():
            layout = self.file.layout
            calls = str(layout.attributes.get("calls", "")).splitlines()
            text = json.dumps(call)
            new = {}
            if text not in calls:
                calls.append(text)
                new["calls"] = "\n".join(calls)
                new["seed"] = str(layout.attributes.get("seed", call["seed"]))
            if len(calls) > 65535:
                raise ValueError("a bank cannot hold more than 65535 different calls")
            if new or layout.rows < n:
                self.file.grow(rows=n, attributes=new)
            return calls.index(text)

    def limit(self, n):
        """Rows from the first on that are to be done so that n are finished in all."""
        with self.locked():
            finished = self.file.array("status") >= VALID
        rows = len(finished)
        if rows <= n or not finished[n:].any():
            return n
        ahead = np.arange(rows) + finished[::-1].cumsum()[::-1]  # if done up to there
        return int(np.searchsorted(ahead, n))

    def claim(self, n, size):
        """Reserve the first free rows below n, at most one batch; None if none is."""
        with self.locked():
            status = self.file.array("status")
            start = self._first_free(status, n)
            while start is not None:
                stop = min((start // size + 1) * size, n)
                taken = np.flatnonzero(status[start:stop] != FREE)
                stop = start + int(taken[0]) if len(taken) else stop
                if self._take(start, stop):
                    return start, stop
                self._start = stop  # only if someone reserved without the status
                start = self._first_free(status, n)
        return None

    def _take(self, start, stop):
        if not self.claims.claim(start, stop):
            return False
        self._mine.add((start, stop))
        self.file.write("status", start, np.full(stop - start, RESERVED, np.int8))
        return True

    def _first_free(self, status, n):
        length = 64
        while self._start < n:
            block = status[self._start : min(self._start + length, n)] == FREE
            length = min(4 * length, _SCAN)
            i = int(np.argmax(block))
            if block[i]:
                self._start += i
                return self._start
            self._start += len(block)
        return None

    def extend(self, m):
        """Reserve m new rows behind all others."""
        with self.locked():
            start = self.file.layout.rows
            self.file.grow(rows=start + m)
            if not self._take(start, start + m):
                raise RuntimeError(f"{self.file.path}: new rows are claimed already")
        return start, start + m

    def give_back(self, start, stop):
        """Make reserved rows free again."""
        self._mine.discard((start, stop))
        try:
            with self.locked():
                self.file.write("status", start, np.full(stop - start, FREE, np.int8))
        finally:
            self.claims.release(start, stop)
            self._start = min(self._start, start)

    def done(self, n):
        """How many of the rows below n are valid or failed."""
        with self.locked():
            return int((self.file.array("status")[:n] >= VALID).sum())

    def look_again(self):
        """Search for free rows from the start; True if a dead writer left some."""
        self._start = 0
        with self.locked():
            return self.recover()

    def define(self, arrays, units):
        """Make the columns of the simulator's output, or check them."""
        wanted = {k: (v.dtype, v.shape[1:]) for k, v in arrays.items()}
        with self.locked():
            have = data_columns(self.file.layout)
            if not have:
                found = units.of([array_name(name) for name in wanted])
                columns = {}
                for name, (dtype, shape) in wanted.items():
                    unit = found[array_name(name)]
                    columns[name] = Column(dtype, shape, {"units": unit})
                self.file.grow(add=columns)
                return
        stored = {k: (c.dtype, c.row_shape) for k, c in have.items()}
        if stored != wanted:
            raise ValueError(
                f"{self.file.path} holds {_kinds(stored)} for each simulation, the "
                f"simulator gave {_kinds(wanted)}; use another bank for it"
            )
        units.check(self.file.path, units_of(have))

    def store(self, start, stop, result, call, units, sync=False):
        """Write the rows of a batch and publish them; `call` may be one for each."""
        arrays = result.arrays
        if arrays is not None:
            self.define(arrays, units)
        else:
            arrays = {
                k: _parallel.missing((stop - start, *c.row_shape), c.dtype)
                for k, c in data_columns(self.file.layout).items()
            }
        codes = self._codes(result.messages, stop - start)
        for name, values in arrays.items():
            self.file.write(name, start, values)
        self.file.write("theta", start, result.theta)
        self.file.write("message", start, codes)
        self.file.write("call", start, np.full(stop - start, call, np.uint16))
        if sync:
            os.fsync(self.file.fd)
        status = np.where(codes > 0, FAILED, VALID).astype(np.int8)
        self.file.write("status", start, status)
        self._mine.discard((start, stop))
        self.claims.release(start, stop)

    def _codes(self, messages, n):
        """Codes of the rows' messages (0: none), new messages being recorded."""
        codes = np.zeros(n, np.uint16)
        if messages:
            with self.locked():
                if self._texts is None or not set(messages.values()) <= set(
                    self._texts
                ):
                    self._texts = {t: i + 1 for i, t in enumerate(texts(self.file))}
                for row, text in messages.items():
                    codes[row] = self._code(text)
        return codes

    def _code(self, text):
        text = text.encode()[: _parallel.LONGEST_MESSAGE].decode(errors="ignore")
        if text not in self._texts and len(self._texts) < TEXTS:
            place = len(self._texts)
            column = self.file.layout.tables["failures/text"]
            self.file.write(
                "failures/text", place, np.array([text.encode()], column.dtype)
            )
            self._texts[text] = place + 1
        return self._texts.get(text, NOT_KEPT)


def data_columns(layout):
    """Columns of the simulator's output, by path."""
    return {k: c for k, c in layout.columns.items() if k == "x" or k.startswith("x/")}


def array_name(column):
    """Name of an array of the simulator by the path of its column."""
    return column.partition("/")[2] or "x"


def units_of(columns):
    """Units by array that columns were stored with."""
    found = {k: c.attributes.get("units", "") for k, c in columns.items()}
    return {array_name(k): str(unit) for k, unit in found.items()}


def texts(file):
    """The failure messages that a bank holds, in order of their codes from 1."""
    table = file.array("failures/text")
    used = table[: np.argmin(table != b"")] if (table == b"").any() else table
    return [t.decode() for t in used.tolist()]


def _kinds(columns):
    return ", ".join(f"{k} {d}{s}" for k, (d, s) in sorted(columns.items()))


def fill(writer, n, prior, simulator, seed, size, flight, call, units, sync, progress):
    """Simulate batches until the rows below n are done, by whichever writer.

    Batches of which every row raised an exception wait until another row of this call
    has come back, so that a simulator that cannot work at all leaves nothing behind.
    """
    held, works, pause = [], False, 0.01
    try:
        while True:
            rows = True
            while len(flight) < flight.room and rows:
                rows = writer.claim(n, size)
                if rows:
                    given = isinstance(prior, _parallel.Given)
                    source = prior.part(*rows) if given else prior
                    args = (source, simulator, seed, rows[0], rows[1] - rows[0])
                    with _naming_losses(flight):
                        flight.submit(rows, _parallel.run_batch, *args)
            if len(flight):
                with _naming_losses(flight):
                    (a, b), result = flight.next()
                works = works or result.raised < b - a
                held.append((a, b, result))
                raised = sum(r.raised for _, _, r in held)
                if not works and raised >= _GIVE_UP:
                    raise _useless(held, raised)
                while held and works:
                    a, b, result = held.pop(0)
                    writer.store(a, b, result, call, units, sync)
                pause = 0.01
                if progress is not None:
                    progress(writer.done(n), n)
            elif held:
                raise _useless(held, sum(r.raised for _, _, r in held))
            elif writer.done(n) == n:
                return
            elif not writer.look_again():  # other writers are at work on the rest
                time.sleep(pause)
                pause = min(2 * pause, 0.5)
    except BaseException:
        flight.cancel()
        raise


@contextlib.contextmanager
def _naming_losses(flight):
    """RuntimeError if the executor loses a batch; bad results raise what they raise."""
    try:
        yield
    except Exception as error:
        lost = not isinstance(error, (ValueError, TypeError))
        if isinstance(flight, _parallel.Here) or not (lost or _unpicklable(error)):
            raise
        raise RuntimeError(
            f"a batch was lost: {type(error).__name__}: {error}; with processes the "
            "prior and the simulator must be picklable (functions of a module, no "
            "lambdas), and a worker must survive. Stored rows are safe"
        ) from error


def _unpicklable(error):
    return "pickle" in str(error)


def _useless(held, raised):
    text = next(iter(held[-1][2].messages.values()))
    return RuntimeError(
        f"all of the first {raised} simulations raised an exception, the last one "
        f"{text}; nothing of this call was stored: mend the simulator"
    )
