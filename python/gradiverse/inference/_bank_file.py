"""The file of a bank: columns in stretches of rows, grown by copy on write.

Rows are written in place at their offsets; what describes them (shapes, chunk index,
attributes) is written anew behind the end at every growth and published by one write of
the superblock, so the file is a complete HDF5 file at any moment. Callers that write
hold the mutex of `_claims`.
"""

import contextlib
import copy
import errno
import json
import math
import mmap
import os
import weakref

import h5py
import numpy as np

from . import _hdf5, _mapping

FORMAT, FORMAT_VERSION = "gradiverse bank", 1
ALIGN = max(4096, mmap.PAGESIZE)
_SMALL = ("status", "message", "call", "failures/text")
TABLES = "failures"  # group of datasets that do not have one row per simulation


class Column:
    """One dataset: where its rows are."""

    def __init__(self, dtype, row_shape, attributes=None):
        self.dtype = np.dtype(dtype)
        self.row_shape = tuple(int(s) for s in row_shape)
        self.row_bytes = math.prod(self.row_shape) * self.dtype.itemsize
        if not 0 < self.row_bytes < 2**31:
            raise ValueError(
                f"a row of shape {self.row_shape} and type {self.dtype} has "
                f"{self.row_bytes} bytes; a bank keeps rows of 1 byte to 2 GiB"
            )
        wanted = min(max(8192 * self.row_bytes, 2**17), 2**20)
        self.chunk_rows = 1 << max(0, round(math.log2(wanted / self.row_bytes)))
        self.offsets = np.empty(0, np.int64)  # of chunks, also those still without rows
        self.attributes = dict(attributes or {})

    @property
    def chunk_bytes(self):
        return self.chunk_rows * self.row_bytes

    @property
    def step(self):
        """Chunks that fill whole pages; both factors are powers of two."""
        page_rows = ALIGN // math.gcd(ALIGN, self.row_bytes)
        return max(1, page_rows // self.chunk_rows)

    def pieces(self):
        """Stretches of neighbouring chunks as (offset, nbytes)."""
        if not len(self.offsets):
            return []
        breaks = np.flatnonzero(np.diff(self.offsets) != self.chunk_bytes) + 1
        starts = np.append(0, breaks)
        counts = np.diff(np.append(starts, len(self.offsets)))
        return [
            (int(self.offsets[s]), int(c) * self.chunk_bytes)
            for s, c in zip(starts, counts, strict=True)
        ]

    def spans(self, start, stop):
        """(byte offset, first row, last row + 1) of the stretches of start..stop."""
        while start < stop:
            chunk, row = divmod(start, self.chunk_rows)
            end = min(stop, start - row + self.chunk_rows)
            yield int(self.offsets[chunk]) + row * self.row_bytes, start, end
            start = end


class Layout:
    """What the metadata of a bank says."""

    def __init__(self):
        self.rows = 0
        self.columns, self.tables, self.table_rows = {}, {}, {}
        self.attributes, self.groups, self.foreign = {}, {}, {}
        self.stamp = b""
        self.own = True  # as we have written it, so that it can grow

    def sizes(self):
        """Dataset path -> (column, rows)."""
        sizes = {k: (c, self.rows) for k, c in self.columns.items()}
        for k, c in self.tables.items():
            sizes[k] = (c, self.table_rows[k])
        return sizes

    def space(self):
        """First offset and number of chunks by dataset, kept as an attribute."""
        columns = {k: c.offsets for k, (c, _) in self.sizes().items() if len(c.offsets)}
        return {k: [int(o[0]), len(o)] for k, o in columns.items()}

    def regain(self, space):
        """Chunks that the index does not name since they have no rows yet."""
        self.own = _hdf5.end_of_file(self.stamp) is not None
        for name, (column, _) in self.sizes().items():
            listed = column.offsets
            first, count = space.get(name, (None, 0))
            if not len(listed):
                continue
            more = np.arange(1, 1 + count - len(listed)) * column.chunk_bytes
            column.offsets = np.append(listed, listed[-1] + more)
            even = all(offset % ALIGN == 0 for offset, _ in column.pieces())
            self.own = self.own and first == listed[0] and even


@contextlib.contextmanager
def opened(path):
    """The file as h5py sees it now.

    By a Python file, so that neither locks nor modes of other handles that this process
    has on it matter.
    """
    with open(path, "rb") as raw, h5py.File(raw, "r") as file:
        yield file


def read_layout(path):
    """The layout of the bank at `path`; ValueError if it is none."""
    stack = contextlib.ExitStack()
    try:
        with open(path, "rb") as file:
            stamp = file.read(_hdf5.SUPERBLOCK)
        file = stack.enter_context(opened(path))
    except PermissionError as error:
        raise PermissionError(
            error.errno, f"{path}: no permission to read the bank"
        ) from None
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(
            f"{path}: not an HDF5 file, or a truncated one ({error})"
        ) from None
    with stack:
        if file.attrs.get("format") != FORMAT:
            raise ValueError(
                f"{path} is an HDF5 file but no bank of simulations; give another "
                "path, or read it with h5py and add its arrays with Bank.append"
            )
        if file.attrs["format_version"] > FORMAT_VERSION:
            raise ValueError(
                f"{path} was written by gradiverse {file.attrs.get('version')} in a "
                "newer format; upgrade gradiverse to open it"
            )
        layout = _parse(path, file)
    layout.stamp = stamp
    layout.regain(json.loads(str(layout.attributes.pop("space", "{}"))))
    return layout


def _parse(path, file):
    layout = Layout()
    layout.attributes = _attributes(file)
    known = {"theta", "x", "status", "message", "call", TABLES}
    for name in file:
        if name not in known:
            layout.foreign[name] = h5py.h5o.get_info(file[name].id).addr
            continue
        item = file[name]
        if isinstance(item, h5py.Group):
            layout.groups[name] = _attributes(item)
            members = {f"{name}/{key}": item[key] for key in item}
        else:
            members = {name: item}
        for key, dataset in members.items():
            column = _column(path, key, dataset)
            if name == TABLES:
                layout.tables[key] = column
                layout.table_rows[key] = len(dataset)
            else:
                layout.columns[key] = column
                if len(dataset) != len(file["status"]):
                    raise ValueError(
                        f"{path}: '{key}' has {len(dataset)} rows, 'status' has "
                        f"{len(file['status'])}; another program changed the file"
                    )
    layout.rows = len(file["status"])
    return layout


def _attributes(item):
    return {k: item.attrs[k] for k in item.attrs}


def _column(path, name, dataset):
    """Where the rows of an h5py dataset are."""
    column = Column(dataset.dtype, dataset.shape[1:], _attributes(dataset))
    if dataset.chunks is None:
        offset = dataset.id.get_offset()
        column.chunk_rows = max(1, len(dataset))  # no power of two: only to be read
        column.offsets = np.array([] if offset is None else [offset], np.int64)
        return column
    filters = dataset.id.get_create_plist().get_nfilters()
    if filters or dataset.chunks[1:] != dataset.shape[1:]:
        raise ValueError(
            f"{path}: '{name}' was rewritten by another program (compressed, or in "
            "other chunks); read it with h5py and fill a new bank by Bank.append"
        )
    column.chunk_rows = dataset.chunks[0]
    found = {}
    dataset.id.chunk_iter(
        lambda info: found.__setitem__(info.chunk_offset[0], info.byte_offset)
    )
    count = -(-len(dataset) // column.chunk_rows)
    if len(found) != count:
        raise ValueError(f"{path}: '{name}' lacks chunks; the file is damaged")
    column.offsets = np.array([found[k] for k in sorted(found)], np.int64)
    return column


_alive = weakref.WeakSet()


def _after_fork():
    """Give a child its own handles: shared ones would keep a dead parent's lock."""
    for file in list(_alive):
        if file.fd >= 0:
            with contextlib.suppress(OSError):  # the path may be gone
                fd = os.open(file.path, os.O_RDONLY)
                os.dup2(fd, file.fd, inheritable=False)
                os.close(fd)
        file._writers = 0


os.register_at_fork(after_in_child=_after_fork)


class BankFile:
    """An open bank: layout, arrays over its rows, writing in place, growth."""

    def __init__(self, path):
        self.path = os.fspath(path)
        self.layout = read_layout(self.path)
        self.fd = os.open(self.path, os.O_RDONLY)
        self._writers = 0
        self._arrays = {}
        _alive.add(self)

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    def refresh(self):
        """Read the layout again if another writer has changed it."""
        if self.fd < 0:
            raise ValueError(f"the bank {self.path} is closed: open it again")
        if os.pread(self.fd, _hdf5.SUPERBLOCK, 0) != self.layout.stamp:
            try:
                same = os.path.samestat(os.stat(self.path), os.fstat(self.fd))
            except FileNotFoundError:
                same = False
            if not same:
                raise ValueError(f"{self.path} was replaced or removed: open it again")
            self.layout = read_layout(self.path)
            self._arrays = {}

    def open_for_writing(self):
        """Allow writing; PermissionError or ValueError if that cannot be."""
        import fcntl

        if self._writers:
            self._writers += 1
            return
        if not self.layout.own:
            raise ValueError(
                f"{self.path} was rewritten by another program and can only be read; "
                "Bank.export makes a bank that can grow"
            )
        try:
            fd = os.open(self.path, os.O_RDWR)
        except OSError as error:
            raise OSError(
                error.errno, f"{self.path}: cannot write to the bank ({error.strerror})"
            ) from None
        try:  # keeps programs that use libhdf5 from opening it for writing
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise ValueError(
                f"{self.path} is open for writing in another program (h5py mode r+ or "
                "a); close it there first"
            ) from None
        os.close(self.fd)
        self.fd, self._writers = fd, 1

    def end_writing(self):
        """Let other programs open the file for writing again."""
        import fcntl

        self._writers -= 1
        if self._writers == 0:
            fcntl.flock(self.fd, fcntl.LOCK_UN)

    def array(self, name):
        """Rows of a column, read-only, straight from the file."""
        if name not in self._arrays:
            column, rows = self.layout.sizes()[name]
            shape, pieces = (rows, *column.row_shape), column.pieces()
            if name in _SMALL and not _mapping.fits(pieces):
                self._arrays[name] = self._copied(name)
            else:
                self._arrays[name] = _mapping.joined(
                    self.fd, pieces, shape, column.dtype
                )
        return self._arrays[name]

    def _copied(self, name):
        """A small column of a file that another program has rewritten."""
        with opened(self.path) as file:
            return file[name][:]

    @contextlib.contextmanager
    def datasets(self):
        """All columns as h5py datasets, whoever has written the file."""
        self.refresh()
        with opened(self.path) as file:
            yield {name: file[name] for name in self.layout.columns}

    def write(self, name, start, values):
        """Write rows from `start` on; OSError says what to do when the disk is full."""
        column, rows = self.layout.sizes()[name]
        shape = (len(values), *column.row_shape)
        values = np.ascontiguousarray(values, column.dtype).reshape(shape)
        if start + len(values) > rows:
            raise ValueError(f"rows {start}.. do not fit into {rows} rows of '{name}'")
        for offset, a, b in column.spans(start, start + len(values)):
            self._write_bytes(values[a - start : b - start].reshape(-1), offset)

    def _write_bytes(self, values, offset):
        data = memoryview(values).cast("B")
        try:
            while len(data):
                n = os.pwrite(self.fd, data, offset)
                data, offset = data[n:], offset + n
        except OSError as error:
            raise self._full(error) from error

    def _full(self, error):
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            text = (
                f"{self.path}: no room left on the disk ({error.strerror}); what the "
                "bank holds is safe: make room and call simulate again"
            )
            return OSError(error.errno, text)
        return error

    def grow(self, rows=None, add=None, attributes=None):
        """Room for `rows` rows, new columns and attributes; all of it or nothing."""
        layout = copy.deepcopy(self.layout)
        layout.rows = max(layout.rows, rows or 0)
        layout.columns.update(add or {})
        layout.attributes.update(attributes or {})
        end = _hdf5.end_of_file(layout.stamp)
        os.ftruncate(self.fd, end)  # drops what a killed growth has left
        try:
            self._publish(layout, self._allocate(layout, end))
        except OSError as error:
            if os.pread(self.fd, _hdf5.SUPERBLOCK, 0) == self.layout.stamp:
                os.ftruncate(self.fd, end)
            raise self._full(error) from error
        self.layout, self._arrays = layout, {}

    def _allocate(self, layout, end):
        """Lay out chunks behind `end` for all rows; returns the new end."""
        for column, rows in layout.sizes().values():
            have = len(column.offsets)
            need = -(-rows // column.chunk_rows) - have
            if need > 0:
                need = -(-need // column.step) * column.step
                start = -(-end // ALIGN) * ALIGN
                new = start + np.arange(need, dtype=np.int64) * column.chunk_bytes
                column.offsets = np.append(column.offsets, new)
                used = (rows - have * column.chunk_rows) * column.row_bytes
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(self.fd, start, used)
                end = start + need * column.chunk_bytes
        os.ftruncate(self.fd, end)
        return end

    def _publish(self, layout, end):
        """Write the metadata at `end` and make it the file's."""
        at = -(-end // 8) * 8
        image, root = encode(layout, at)
        self._write_bytes(np.frombuffer(image.data, np.uint8), at)
        os.fsync(self.fd)
        layout.stamp = _hdf5.superblock(at + len(image.data), root)
        self._write_bytes(np.frombuffer(layout.stamp, np.uint8), 0)
        os.fsync(self.fd)


def encode(layout, at):
    """Metadata of a layout as an image at byte `at`, and the address of its root."""
    image = _hdf5.Image(at)
    sizes = layout.sizes()
    own = {k: image.attributes(c.attributes) for k, (c, _) in sizes.items()}
    folders = {k.split("/")[0] for k in sizes if "/" in k}
    inner = {k: image.attributes(layout.groups.get(k, {})) for k in sorted(folders)}
    top = {**layout.attributes, "space": json.dumps(layout.space())}
    top = image.attributes(top)
    image.put_texts()
    links = {"": dict(layout.foreign), **{k: {} for k in inner}}
    for path, (column, rows) in sizes.items():
        folder, _, name = path.rpartition("/")
        links[folder][name] = image.dataset(
            column.dtype,
            (rows, *column.row_shape),
            (column.chunk_rows, *column.row_shape),
            column.offsets[: -(-rows // column.chunk_rows)],
            own[path],
        )
    for folder, attributes in inner.items():
        links[""][folder] = image.group(links[folder], attributes)
    return image, image.group(links[""], top)


def create(path, layout):
    """Make a new bank file in one step: it is there completely or not at all."""
    path = os.fspath(path)
    beside = path + ".new"
    try:
        fd = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
    except OSError as error:
        raise OSError(
            error.errno, f"{path}: cannot make the bank ({error.strerror})"
        ) from None
    file = object.__new__(BankFile)
    file.path, file.fd, file.layout, file._arrays = path, fd, layout, {}
    try:
        file._publish(layout, file._allocate(layout, _hdf5.SUPERBLOCK))
        os.rename(beside, path)
    except OSError as error:
        os.unlink(beside)
        raise file._full(error) from error
    finally:
        file.close()
