"""Read-only arrays over pieces of a file, joined in virtual memory without a copy.

A column of a bank that has grown lies in several stretches of the file. Each starts on
a page and all but the last end on one, so the pages can be mapped side by side.
"""

import ctypes
import mmap
import os

import numpy as np

_MAP_FIXED = 0x10  # the same on Linux, macOS and the BSDs


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
    length = -(-sum(n for _, n in pieces) // page) * page
    # an anonymous mapping owns the addresses; the file's pages are put in its place
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    memory = mmap.mmap(-1, length, flags=flags, prot=mmap.PROT_READ)
    at = np.frombuffer(memory, np.uint8).__array_interface__["data"][0]
    for offset, n in pieces:
        _map_over(at, n, fd, offset)
        at += n
    flat = np.frombuffer(memory, dtype, nbytes // dtype.itemsize, lead)
    return flat.reshape(shape)


def _map_over(address, length, fd, offset):
    """Map part of a file at an address; OSError if that fails."""
    lib = ctypes.CDLL(None, use_errno=True)
    lib.mmap.restype = ctypes.c_void_p
    lib.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3
    lib.mmap.argtypes += [ctypes.c_int64]
    flags = mmap.MAP_SHARED | _MAP_FIXED
    got = lib.mmap(address, length, mmap.PROT_READ, flags, fd, offset)
    if got != address:
        code = ctypes.get_errno()
        raise OSError(code, f"mapping {length} bytes: {os.strerror(code)}")
