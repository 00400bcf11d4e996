"""One batch of simulations as a function of its seed, and batches over any executor."""

import copy
import os
import queue

import numpy as np

LONGEST_MESSAGE = 200  # bytes


class Result:
    """What one batch gave: theta, arrays by path, failed rows and their messages."""

    def __init__(self, theta, arrays, messages, raised):
        self.theta, self.arrays = theta, arrays
        self.messages = messages  # row -> text, of failed rows
        self.raised = raised  # rows whose simulation raised an exception


def seeded(rng, who):
    """rng itself; TypeError if it is nothing that fixes the draws."""
    if rng is None or isinstance(rng, (bool, float, str)):
        raise TypeError(
            f"{who}: rng must be a seed, a SeedSequence or a Generator, got {rng!r}"
        )
    return rng


def entropy(rng):
    """Seed material (entropy, spawn key) of a seed, SeedSequence or Generator."""
    if isinstance(rng, np.random.Generator):
        return [int(v) for v in rng.integers(0, 2**32, 8)], ()
    rng = seeded(rng, "Bank.simulate")
    if not isinstance(rng, np.random.SeedSequence):
        rng = np.random.SeedSequence(rng)
    value = rng.entropy
    value = int(value) if np.ndim(value) == 0 else [int(v) for v in value]
    return value, tuple(int(k) for k in rng.spawn_key)


def generator(seed, *key):
    """The generator of (seed, key...): the same wherever the batch is computed."""
    value, spawned = seed
    sequence = np.random.SeedSequence(value, spawn_key=(*spawned, *key))
    return np.random.default_rng(sequence)


class Given:
    """Parameters of rows from `first` on, in the place of a prior."""

    def __init__(self, theta, first, prior):
        self.theta, self.first = theta, first
        self.bounds, self.truncated = prior.bounds, prior.truncated

    def part(self, start, stop):
        """Those of rows start..stop only, for another process."""
        other = copy.copy(self)
        other.theta, other.first = self.rows(start, stop - start), start
        return other

    def rows(self, first, n):
        """Parameters (n, d) of rows first..first+n."""
        i = first - self.first
        if i < 0 or i + n > len(self.theta):
            raise ValueError(
                f"rows {first} to {first + n} are to be simulated, but theta is given"
                f" for {self.first} to {self.first + len(self.theta)} only: another"
                " writer is at work on this bank"
            )
        return self.theta[i : i + n]


def run_batch(prior, simulator, seed, first, n):
    """Simulate rows first..first+n; the result depends on (seed, first, n) only.

    If the simulator raises an exception its rows are simulated one by one, each with a
    generator of its own, so that one bad row costs no other.
    """
    if isinstance(prior, Given):
        theta = prior.rows(first, n)
    else:
        theta = prior.sample(n, generator(seed, first, 0))
    try:
        out, messages = _simulate(simulator, theta, generator(seed, first, 1))
    except Exception as error:
        if n == 1:
            return Result(theta, None, {0: _text(error)}, 1)
        arrays, messages, raised = _one_by_one(simulator, theta, seed, first)
    else:
        arrays, raised = arrays_of(out, n), 0
    if arrays is not None:
        for row in np.flatnonzero(~finite(arrays, n)):
            messages.setdefault(int(row), "not finite")
    return Result(theta, arrays, messages, raised)


def _one_by_one(simulator, theta, seed, first):
    rows, messages, raised = {}, {}, 0
    for i in range(len(theta)):
        try:
            out, failed = _simulate(
                simulator, theta[i : i + 1], generator(seed, first, 2, i)
            )
        except Exception as error:
            messages[i], raised = _text(error), raised + 1
            continue
        rows[i] = arrays_of(out, 1)
        if failed:
            messages[i] = failed[0]
    if not rows:
        return None, messages, raised
    kinds = next(iter(rows.values()))
    arrays = {}
    for name, example in kinds.items():
        arrays[name] = missing((len(theta), *example.shape[1:]), example.dtype)
        for i, one in rows.items():
            if one.keys() != kinds.keys() or one[name].shape != example.shape:
                raise ValueError(
                    "the simulator returned other names or shapes for one row than for "
                    "another; every row needs the same"
                )
            arrays[name][i] = one[name][0]
    return arrays, messages, raised


def missing(shape, dtype):
    """Rows without a result: NaN, or the extreme value of an integer type."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return np.full(shape, np.nan, dtype)
    if dtype.kind == "b":
        return np.zeros(shape, dtype)
    info = np.iinfo(dtype)
    return np.full(shape, info.min if dtype.kind == "i" else info.max, dtype)


def _text(error):
    text = f"{type(error).__name__}: {error}".encode()[:LONGEST_MESSAGE]
    return text.decode(errors="ignore")


def _simulate(simulator, theta, rng):
    """Call the simulator on a copy of theta: its result, and messages by row."""
    run = getattr(simulator, "run", None)
    if callable(run) and hasattr(simulator, "targets"):
        return run(theta.copy(), rng)
    return simulator(theta.copy(), rng), {}


def arrays_of(out, n):
    """Simulator output as arrays by path in the file: "x", or "x/name" from a dict."""
    named = isinstance(out, dict)
    if named and not out:
        raise ValueError("the simulator returned an empty dict")
    arrays = {}
    for key, value in out.items() if named else [("", out)]:
        if named and (not isinstance(key, str) or not key or "/" in key):
            raise ValueError(
                f"the simulator returned a dict with the key {key!r}; keys must be "
                "strings without '/'"
            )
        value = np.asarray(value)
        what = f"'{key}' of the simulator" if named else "the simulator's result"
        if value.dtype.kind not in "fiub" or value.dtype.itemsize > 8:
            raise TypeError(
                f"{what} has type {value.dtype}; a bank keeps real numbers (floats to "
                "64 bits, integers, booleans): split complex ones into two arrays"
            )
        if value.ndim == 0 or len(value) != n:
            raise ValueError(
                f"{what} has shape {value.shape} for {n} rows of theta; its first axis "
                "must be that of theta"
            )
        native = value.dtype.newbyteorder("=")
        arrays[f"x/{key}" if named else "x"] = value.astype(native, copy=False)
    return arrays


def held(value):
    """Which rows of an array hold a result, as far as the numbers alone can tell.

    Not those with NaN or infinity, and not those of signed integers that consist of the
    type's smallest number, by which `missing` marks them.
    """
    rows = value.reshape(len(value), int(np.prod(value.shape[1:])))
    if value.dtype.kind == "i" and rows.shape[1]:
        return (rows != np.iinfo(value.dtype).min).any(axis=1)
    if value.dtype.kind in "fc":
        return np.isfinite(rows).all(axis=1)
    return np.ones(len(rows), bool)


def finite(arrays, n):
    """Which rows hold neither NaN nor infinity."""
    good = np.ones(n, dtype=bool)
    for value in arrays.values():
        if value.dtype.kind == "f":
            good &= np.isfinite(value.reshape(n, -1)).all(axis=1)
    return good


def workers(executor):
    """How many batches an executor works on at once."""
    for name in ("_max_workers", "num_workers"):
        count = getattr(executor, name, None)
        if isinstance(count, int) and count > 0:
            return count
    threads = getattr(executor, "nthreads", None)  # a dask Client
    if callable(threads):
        return max(1, sum(threads().values()))
    return os.cpu_count() or 1


class Flight:
    """Batches under way on an executor, handed back in the order they end."""

    def __init__(self, executor):
        if not callable(getattr(executor, "submit", None)):
            raise TypeError(
                "executor must have a method submit(function, *args) that returns "
                "futures, like concurrent.futures.ProcessPoolExecutor, a dask Client "
                f"or mpi4py.futures.MPIPoolExecutor; got {type(executor).__name__}"
            )
        self.executor = executor
        self.room = 2 * workers(executor)
        self._done = queue.SimpleQueue()
        self._futures = {}
        # dask takes equal calls for the same task unless it is told otherwise
        self._options = {"pure": False} if hasattr(executor, "nthreads") else {}

    def __len__(self):
        return len(self._futures)

    def submit(self, tag, function, *args):
        future = self.executor.submit(function, *args, **self._options)
        for method in ("add_done_callback", "result", "cancel"):
            if not callable(getattr(future, method, None)):
                raise TypeError(
                    f"submit of the executor {type(self.executor).__name__} returned a "
                    f"{type(future).__name__} without {method}(); futures must be like "
                    "those of concurrent.futures"
                )
        self._futures[tag] = future
        future.add_done_callback(lambda _: self._done.put(tag))

    def next(self):
        """Tag and result of the next batch to end."""
        tag = self._done.get()
        return tag, self._futures.pop(tag).result()

    def cancel(self):
        """Give up what is under way."""
        for future in self._futures.values():
            future.cancel()
        self._futures.clear()


class Here:
    """The same as `Flight`, in this thread."""

    room = 1

    def __init__(self):
        self._waiting = []

    def __len__(self):
        return len(self._waiting)

    def submit(self, tag, function, *args):
        self._waiting.append((tag, function, args))

    def next(self):
        tag, function, args = self._waiting.pop(0)
        return tag, function(*args)

    def cancel(self):
        self._waiting.clear()
