"""Rows: the data as nests of arrays, the split, the order of each epoch.

All randomness is a function of the seed and the number of the epoch (Philox in counter
mode), so that a training that is taken up again goes on exactly as it would have.
"""

import hashlib
import mmap

import numpy as np

from .._repeat import as_arrays
from ..graph import emit, native_dtype
from ..tree import flatten, leaf_paths

__all__ = ["Data", "Order", "seed_of", "split"]

WINDOW = 1 << 29  # bytes of a window of the order for data on disk
BLOCK = 1 << 20  # bytes read in a row
NEAR = 1 << 16  # bytes between rows that are read along
SAMPLE = 64  # rows by which data are told from others
_SPLIT, _ORDER, _WINDOW = 1, 2, 3


def generator(seed, use, k=0):
    """A NumPy generator that is a function of the seed, the use and a number."""
    return np.random.Generator(
        np.random.Philox(key=np.array([seed % 2**64, use * 2**48 + k], np.uint64))
    )


def seed_of(rng, who):
    """A seed, SeedSequence or Generator as an int."""
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool):
        if not 0 <= rng < 2**63:
            raise ValueError(f"{who}: rng {rng} must lie in 0..2**63-1")
        return int(rng)
    if isinstance(rng, np.random.SeedSequence):
        return int(rng.generate_state(1, np.uint64)[0] >> np.uint64(1))
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(2**63 - 1))
    raise TypeError(f"{who}: rng is {rng!r}; give an int, SeedSequence or Generator")


def _map_of(x):
    """The memory map that an array lies on, and where there it begins; or None."""
    at = x.__array_interface__["data"][0]
    while isinstance(x, (np.ndarray, memoryview)):
        x = x.base if isinstance(x, np.ndarray) else x.obj
    if not isinstance(x, mmap.mmap):
        return None
    return x, at - np.frombuffer(x, np.uint8).__array_interface__["data"][0]


def _mapped(x, path, who):
    """A dataset of h5py as a memory map of its file; other leaves as they are."""
    if type(x).__module__.partition(".")[0] != "h5py" or not hasattr(x, "id"):
        return x
    offset = x.id.get_offset()
    if offset is None or x.file.userblock_size:
        raise TypeError(
            f"{who}: data{path} is an HDF5 dataset in chunks or without contents, which"
            " cannot be read row by row in place; store it contiguous, or read it"
            " with [:]"
        )
    x.file.flush()
    return np.memmap(x.file.filename, x.dtype, "r", offset, x.shape)


def digest(arrays):
    """A short text that differs where arrays do."""
    found = hashlib.blake2b(digest_size=8)
    for x in arrays:
        found.update(f"{x.dtype.str}{x.shape}".encode())
        found.update(np.ascontiguousarray(x).tobytes())
    return found.hexdigest()


class Data:
    """Arrays with one leading axis.

    Attributes
    ----------
    leaves : list of ndarray
        Not copied where their dtype is one of the engine's and they are contiguous;
        refused where a copy would take from disk more than `WINDOW`.
    rows : (n,) int64 array
        The rows in use.
    on_disk : bool
        Some leaf is a memory map.
    """

    def __init__(self, data, who):
        arrays = getattr(data, "arrays", None)
        rows = None
        if callable(arrays):
            nest, rows = arrays(), np.asarray(data.rows(), np.int64)
        else:
            nest = data
        given, self.tree = flatten(nest)
        paths = leaf_paths(nest)
        given = [_mapped(x, p, who) for x, p in zip(given, paths, strict=True)]
        nest = self.tree.unflatten(given)
        for x, path in zip(given, paths, strict=True):
            _check_layout(x, path, who)
        self.leaves, _ = as_arrays(nest, f"{who}: data")
        if not self.leaves:
            raise ValueError(f"{who}: data holds no arrays")
        lengths = {}
        for x, path in zip(self.leaves, paths, strict=True):
            if not x.ndim:
                raise ValueError(
                    f"{who}: data{path} is a number; every leaf needs rows"
                )
            lengths.setdefault(len(x), path)
        if len(lengths) > 1:
            (n, a), (m, b) = list(lengths.items())[:2]
            raise ValueError(
                f"{who}: data{a} has {n} rows and data{b} has {m}; they must agree"
            )
        n = len(self.leaves[0])
        self.rows = np.arange(n) if rows is None else rows
        if self.rows.ndim != 1 or not len(self.rows):
            raise ValueError(f"{who}: the data have no rows")
        if self.rows.min() < 0 or self.rows.max() >= n:
            raise ValueError(f"{who}: rows() names rows outside 0..{n - 1}")
        self._maps = [_map_of(x) for x in self.leaves]
        self.on_disk = any(m is not None for m in self._maps)
        self.row_bytes = sum(x.nbytes // max(n, 1) for x in self.leaves)

    @property
    def flat(self):
        """The leaves as matrices, which `gather` reads."""
        return [x.reshape(len(x), -1) for x in self.leaves]

    def digest(self, rows):
        """A text that differs where the data do: shapes, and some of the rows."""
        some = rows[np.linspace(0, len(rows) - 1, min(len(rows), SAMPLE)).astype(int)]
        return digest([np.array(x.shape) for x in self.leaves]) + digest(
            [x[some] for x in self.leaves]
        )

    def gather(self, flat, rows):
        """The batch of these rows, traced: a nest like the data."""
        parts = []
        for matrix, leaf in zip(flat, self.leaves, strict=True):
            part = emit("take", (matrix, rows))
            parts.append(part.reshape(rows.shape[0], *leaf.shape[1:]))
        return self.tree.unflatten(parts)

    def prefetch(self, rows):
        """Ask the system to read the rows from disk meanwhile; returns at once."""
        if not hasattr(mmap, "MADV_WILLNEED") or not len(rows):
            return
        rows = np.sort(rows)
        for leaf, found in zip(self.leaves, self._maps, strict=True):
            width = leaf.nbytes // max(len(leaf), 1)
            if found is None or not width:
                continue
            near = max(NEAR // width, 1)
            cuts = np.flatnonzero(np.diff(rows) > near)
            first = rows[np.append(0, cuts + 1)] * width
            last = (rows[np.append(cuts, len(rows) - 1)] + 1) * width
            memory, start = found
            for a, b in zip(first + start, last + start, strict=True):
                a -= a % mmap.PAGESIZE
                memory.madvise(mmap.MADV_WILLNEED, int(a), int(b - a))


def _check_layout(x, path, who):
    """TypeError for data on disk that would be copied, unless they are few."""
    if not isinstance(x, np.ndarray) or x.nbytes <= WINDOW or _map_of(x) is None:
        return
    if native_dtype(x.dtype) != x.dtype or not x.flags.c_contiguous:
        raise TypeError(
            f"{who}: data{path} is a memory map of dtype {x.dtype}"
            f"{'' if x.flags.c_contiguous else ' that is not contiguous'}, which would"
            " be copied to memory whole; store it as contiguous bool, int32, int64,"
            " float32 or float64"
        )


def split(rows, validation, seed, who):
    """Rows to train on, in ascending order, and rows to validate on.

    Parameters
    ----------
    rows : (n,) int64 array
    validation : float, int or int array
        Share, number, or the validation rows themselves.
    seed : int
    who : str

    Returns
    -------
    training, validation : int64 arrays
        Disjoint; together all rows.
    """
    n = len(rows)
    if isinstance(validation, (np.ndarray, list)):
        chosen = np.asarray(validation)
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
            raise TypeError(f"{who}: validation rows must be a vector of integers")
        chosen = np.unique(chosen.astype(np.int64))
        known = np.isin(chosen, rows)
        if not known.all():
            raise ValueError(
                f"{who}: validation row {chosen[~known][0]} is not a row of the data"
            )
    else:
        chosen = np.sort(
            generator(seed, _SPLIT).permutation(rows)[: _count(validation, n, who)]
        )
    training = np.sort(rows[~np.isin(rows, chosen)])
    if not len(training):
        raise ValueError(f"{who}: no rows are left to train on ({n} rows in all)")
    return training, chosen


def _count(validation, n, who):
    number = isinstance(validation, (int, float, np.number))
    if not number or isinstance(validation, bool) or not validation >= 0:
        raise ValueError(
            f"{who}: validation is {validation!r}; give a share in [0, 1), a number of"
            " rows, or an array of rows"
        )
    if isinstance(validation, (int, np.integer)):
        if validation >= n:
            raise ValueError(f"{who}: validation {validation} of {n} rows leaves none")
        return int(validation)
    if validation >= 1:
        raise ValueError(f"{who}: validation share {validation} must be below 1")
    if validation == 0:
        return 0
    return min(max(round(validation * n), 1), n - 1)


class Order:
    """In which order an epoch goes through the rows.

    Parameters
    ----------
    kind : None, "shuffle", "blocks", "sequential" or callable
        None: "blocks" for data on disk, "shuffle" otherwise.
    rows : (n,) int64 array, ascending
    data : Data
    seed : int
    """

    def __init__(self, kind, rows, data, seed, who):
        if kind is None:
            kind = "blocks" if data.on_disk else "shuffle"
        if not callable(kind) and kind not in ("shuffle", "blocks", "sequential"):
            raise ValueError(
                f"{who}: order {kind!r}; choose 'shuffle', 'blocks', 'sequential', or a"
                " function (epoch, rows) -> rows"
            )
        self.kind, self.rows, self.seed, self.who = kind, rows, seed, who
        self.window = 0  # rows that are read from disk together; 0: no such thing
        self._block = max(BLOCK // max(data.row_bytes, 1), 1)
        self._window = max(WINDOW // (self._block * max(data.row_bytes, 1)), 1)
        if kind == "blocks" and data.on_disk:
            self.window = min(self._block * self._window, len(rows))

    def __call__(self, epoch):
        """Rows of an epoch (from 0), each once."""
        if callable(self.kind):
            return self._own(epoch)
        if self.kind == "sequential":
            return self.rows
        if self.kind == "shuffle":
            return generator(self.seed, _ORDER, epoch).permutation(self.rows)
        return self._blocks(epoch)

    def _own(self, epoch):
        rows = np.asarray(self.kind(epoch, self.rows.copy()))
        if rows.ndim != 1 or rows.dtype.kind not in "iu" or not len(rows):
            raise TypeError(f"{self.who}: order(epoch, rows) must return row numbers")
        if not np.isin(rows, self.rows).all():
            raise ValueError(
                f"{self.who}: order(epoch, rows) returned rows that are not among those"
                " it was given"
            )
        return rows.astype(np.int64)

    def _blocks(self, epoch):
        """Blocks of neighbouring rows in random order; rows shuffled within windows of
        many blocks. Of one window it is a shuffle, and the same one."""
        rng = generator(self.seed, _ORDER, epoch)
        n, b = len(self.rows), self._block
        if n <= b * self._window:
            return rng.permutation(self.rows)
        blocks = rng.permutation(-(-n // b))
        out = np.empty(n, np.int64)
        at = 0
        for k in range(0, len(blocks), self._window):
            parts = [
                self.rows[i * b : (i + 1) * b] for i in blocks[k : k + self._window]
            ]
            window = rng.permutation(np.concatenate(parts))
            out[at : at + len(window)] = window
            at += len(window)
        return out
