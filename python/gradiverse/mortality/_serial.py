"""Serial BLAS around many small factorisations.

Matrices here have tens to hundreds of rows; a threaded BLAS spends its time waiting
at barriers, on a busy machine several times what the work costs.  The OpenBLAS builds
that NumPy and SciPy bring along are asked for one thread and given theirs back.
"""

import ctypes
import functools
import glob
import os

import numpy
import scipy


@functools.cache
def _controls():
    """(get, set) of the number of threads of every OpenBLAS found; [] elsewhere."""
    found = []
    for package in (numpy, scipy):
        folder = os.path.dirname(os.path.dirname(package.__file__))
        for path in glob.glob(f"{folder}/{package.__name__}.libs/*openblas*"):
            try:
                library = ctypes.CDLL(path, mode=getattr(os, "RTLD_NOLOAD", 0))
            except OSError:
                continue
            for prefix in ("scipy_openblas", "openblas"):
                for suffix in ("64_", ""):
                    get = getattr(library, f"{prefix}_get_num_threads{suffix}", None)
                    put = getattr(library, f"{prefix}_set_num_threads{suffix}", None)
                    if get is not None and put is not None:
                        found.append((get, put))
    return found


class SerialBLAS:
    """Context in which NumPy's and SciPy's bundled BLAS use one thread."""

    def __enter__(self):
        self._before = [(put, get()) for get, put in _controls()]
        for put, _ in self._before:
            put(1)
        return self

    def __exit__(self, *error):
        for put, number in self._before:
            put(number)


def serial(function):
    """Run a function with serial BLAS."""

    @functools.wraps(function)
    def call(*args, **keywords):
        with SerialBLAS():
            return function(*args, **keywords)

    return call
