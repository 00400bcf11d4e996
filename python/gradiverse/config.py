"""Settings and information: threads, versions, the table of operators, debug mode."""

import contextlib
import platform
import threading
import warnings

import numpy as np

from . import _core

__all__ = ["debug", "get_threads", "op_table", "set_threads", "show_config"]

_lock = threading.Lock()
_depth = 0  # debug() blocks that are open


def set_threads(n):
    """Use n threads from now on.

    Parameters
    ----------
    n : int
        At least 1. Results do not depend on it.
    """
    if not isinstance(n, (int, np.integer)) or isinstance(n, bool) or n < 1:
        raise ValueError(f"gv.set_threads: {n!r} is not a number of threads >= 1")
    _core.set_threads(int(n))


def get_threads():
    """Number of threads in use.

    Returns
    -------
    int
    """
    return _core.get_threads()


def show_config():
    """Print versions, the BLAS core, the SIMD level and the number of threads.

    Warns when BLAS runs on a generic core, which is several times slower.

    Returns
    -------
    dict
        The same, by name.
    """
    from importlib import metadata

    try:
        version = metadata.version("gradiverse")
    except metadata.PackageNotFoundError:
        version = "not installed"
    found = {
        "gradiverse": version,
        "python": platform.python_version(),
        "numpy": np.__version__,
        **_core.config(),
        "threads": _core.get_threads(),
    }
    for key, value in found.items():
        print(f"{key:20s} {value}")
    if not found["blas_core_is_sane"]:
        warnings.warn(
            f"BLAS runs on its {found['blas_core']} core, which is slow: it does not"
            " know this processor; set OPENBLAS_CORETYPE (for instance to Haswell)"
            " before starting Python",
            RuntimeWarning,
            stacklevel=2,
        )
    return found


def op_table():
    """All operators of the engine.

    Returns
    -------
    pandas.DataFrame
        Columns name, signature, doc, flags, vjp, jvp, batch; sorted by name.
    """
    import pandas as pd

    columns = ["name", "signature", "doc", "flags", "vjp", "jvp", "batch"]
    rows = [{**op, "flags": " ".join(op["flags"]), "batch": True} for op in _core.ops()]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values("name", ignore_index=True)


def debugging():
    """True inside `debug`."""
    return _depth > 0


@contextlib.contextmanager
def debug():
    """Run programs node by node and stop at the first NaN made from other numbers.

    Shapes and dtypes are checked after each operator too. The error is a
    FloatingPointError that names operator, shape and the user's line. Slow: nothing
    is fused and no memory is shared.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> with gv.debug():
    ...     g = gv.grad(lambda x: np.log(x))(2.0)
    """
    global _depth
    with _lock:
        _depth += 1
        _core.set_debug(True)
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            _core.set_debug(_depth > 0)
