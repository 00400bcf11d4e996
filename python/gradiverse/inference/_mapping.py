"""Read-only arrays over pieces of a file, joined in virtual memory without a copy.

A column of a bank that has grown lies in several stretches of the file. Each starts on
a page and all but the last end on one, so the pages can be mapped side by side.
"""

import ctypes
import mmap
import os
import weakref

import numpy as np

_MAP_FIXED = 0x10  # the same on Linux, macOS and the BSDs


def _libc():
    """mmap and munmap of the C library."""
    lib = ctypes.CDLL(None, use_errno=True)
    lib.mmap.restype = ctypes.c_void_p
    lib.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3
    lib.mmap.argtypes += [ctypes.c_int64]
    lib.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return lib


class _Pages:
    """Owner of a mapping; NumPy arrays made from it keep it alive."""

    def __init__(self, address, length, interface):
        self.__array_interface__ = interface
        self.end = weakref.finalize(self, _libc().munmap, address, length)
        self.end.atexit = False


def fits(pieces):
    """Whether pieces of a file, as of `joined`, can be mapped side by side."""
    page = mmap.PAGESIZE
    even = all(offset % page == 0 for offset, _ in pieces)
    return len(pieces) < 2 or (even and all(n % page == 0 for _, n in pieces[:-1]))


def joined(fd, pieces, shape, dtype):
    """Array (read-only) whose bytes are the pieces of a file in turn.

    Parameters
    ----------
    fd : int
        Open file.
    pieces : list of (offset, nbytes)
        If there are several, offsets are multiples of the page size, and so are all
        nbytes but the last.
    shape, dtype
        Of the result; its size may be less than that of the pieces.

    Raises
    ------
    ValueError
        If a piece does not start or end on a page of this machine.
    OSError
        If the operating system refuses the mapping.
    """
    dtype = np.dtype(dtype)
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if nbytes == 0:
        empty = np.empty(shape, dtype)
        empty.flags.writeable = False
        return empty
    page = mmap.PAGESIZE
    if not fits(pieces):
        raise ValueError(
            f"parts of the file do not fall on this machine's memory pages ({page} "
            "bytes); write it anew with Bank.export"
        )
    lead = pieces[0][0] % page
    pieces = [(pieces[0][0] - lead, pieces[0][1] + lead), *pieces[1:]]
    lib, length = _libc(), -(-sum(n for _, n in pieces) // page) * page
    address = _checked(lib, 0, length, 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    at = address
    try:
        for offset, n in pieces:
            _checked(
                lib, at, n, mmap.PROT_READ, mmap.MAP_SHARED | _MAP_FIXED, fd, offset
            )
            at += n
    except OSError:
        lib.munmap(address, length)
        raise
    interface = {
        "version": 3,
        "data": (address + lead, True),
        "shape": tuple(shape),
        "typestr": dtype.str,
    }
    return np.asarray(_Pages(address, length, interface))


def _checked(lib, address, length, protection, flags, fd, offset):
    """Call mmap; OSError if it fails."""
    got = lib.mmap(address, length, protection, flags, fd, offset)
    if got is None or got == ctypes.c_void_p(-1).value:
        code = ctypes.get_errno()
        raise OSError(code, f"mapping {length} bytes: {os.strerror(code)}")
    return got
