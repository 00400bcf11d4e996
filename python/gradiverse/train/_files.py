"""Files of models and checkpoints: HDF5, one file each, no pickle.

Layout, format 1: attributes ``kind`` ("gradiverse model"), ``format``, ``version`` (of
the package that wrote), ``config`` (JSON); ``/params`` and ``/state``, nests of arrays
(`_nests`); in checkpoints also ``/training``, what is needed to go on. Behind the end
of the HDF5 file comes a seal: the number of its bytes and their checksum.
"""

import contextlib
import json
import os
import struct
import zlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ._nests import check_nest, read_nest, write_nest
from ._result import Fit

__all__ = ["check", "load", "read_training", "save", "write"]

KIND, FORMAT = "gradiverse model", 1
SEAL, MAGIC = struct.Struct("<8sQI"), b"gv seal\n"  # magic, bytes before, CRC-32


def _version():
    try:
        return version("gradiverse")
    except PackageNotFoundError:
        return "unknown"


def write(path, params, config=None, state=None, training=None, who="gv.train.save"):
    """Write a model; the file appears under its name when it is complete."""
    import h5py

    path, text = Path(path), _text(config, who)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{who}: there is no folder {path.parent}")
    name = path.with_name(f".{path.name}.part")  # one that a kill left is overwritten
    try:
        with h5py.File(name, "w") as f:
            f.attrs["kind"], f.attrs["format"] = KIND, FORMAT
            f.attrs["version"], f.attrs["config"] = _version(), text
            write_nest(f, "params", params, f"{who}: params")
            write_nest(f, "state", state, f"{who}: state")
            if training is not None:
                write_nest(f, "training", training, f"{who}: training")
        _seal(name)
        _publish(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def _text(config, who):
    """config as JSON."""
    try:
        return json.dumps(config)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{who}: config cannot be written as JSON ({error}); use dicts, lists,"
            " strings and numbers"
        ) from None


def check(nest, config, who):
    """TypeError for what `write` could not write."""
    _text(config, who)
    check_nest(nest, who)


def _crc(f, size):
    """Checksum of the first bytes of a file."""
    found, left = 0, size
    while left:
        part = f.read(min(left, 1 << 24))
        if not part:
            break
        found, left = zlib.crc32(part, found), left - len(part)
    return found


def _seal(path):
    """Append length and checksum; readers of HDF5 do not look beyond its end."""
    with open(path, "r+b") as f:
        size = os.fstat(f.fileno()).st_size
        crc = _crc(f, size)
        f.seek(size)
        f.write(SEAL.pack(MAGIC, size, crc))


def _whole(path):
    """Whether the bytes of a file are those that were written; True without a seal,
    which other programs that write to the file take away."""
    with open(path, "rb") as f:
        size = os.fstat(f.fileno()).st_size - SEAL.size
        if size < 0:
            return True
        f.seek(size)
        magic, length, crc = SEAL.unpack(f.read(SEAL.size))
        if magic != MAGIC:
            return True
        f.seek(0)
        return length == size and crc == _crc(f, size)


def _publish(name, path):
    """Give a finished file its name, on the disk before the old one is gone."""
    with open(name, "rb") as f:
        os.fsync(f.fileno())
    os.replace(name, path)


@contextlib.contextmanager
def _opened(path, who):
    import h5py

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{who}: there is no file {path}")
    if not _whole(path):  # HDF5 may crash where its own structures are damaged
        raise ValueError(
            f"{who}: {path} is damaged (its bytes do not have their checksum); take"
            " another copy"
        )
    try:
        f = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(
            f"{who}: {path} is not an HDF5 file, or it is damaged ({error})"
        ) from None
    with f:
        try:
            kind, made = f.attrs.get("kind"), f.attrs.get("version")
            number = int(f.attrs["format"]) if kind == KIND else 0
        except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
            raise ValueError(f"{who}: {path} is damaged ({error})") from None
        if kind != KIND:
            raise ValueError(f"{who}: {path} was not written by gv.train")
        if number > FORMAT:
            raise ValueError(
                f"{who}: {path} has format {number} of gradiverse {made}; this version"
                f" reads up to {FORMAT}: update gradiverse"
            )
        try:
            yield f
        except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
            raise ValueError(f"{who}: {path} is damaged ({error})") from None


def save(path, params, config=None, state=None):
    """Write parameters to one HDF5 file.

    Parameters
    ----------
    path : path
        Replaced when the new file is complete.
    params : nest of arrays, or Fit
        Dicts, lists and tuples. Of a result of `fit` also its state and all that
        ``fit(resume=path)`` needs: the file then holds architecture (config), weights,
        optimiser and random numbers.
    config : optional
        What is needed to build the network again: anything that JSON can hold.
    state : nest of arrays, optional
        Running statistics.

    Raises
    ------
    TypeError
        If config cannot be written as JSON, or params hold what is not an array.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "model.h5")
    >>> gv.train.save(path, {"weight": np.eye(2)}, {"width": 2})
    >>> params, config = gv.train.load(path)
    >>> params["weight"].shape, config
    ((2, 2), {'width': 2})
    """
    training = None
    if isinstance(params, Fit):
        if state is not None:
            raise ValueError("gv.train.save: the result of fit holds its own state")
        params, state, training = params.params, params.state, params.snapshot
    write(path, params, config, state, training)


def load(path, with_state=False):
    """Read what `save` wrote, or the best weights of a checkpoint.

    Parameters
    ----------
    path : path
    with_state : bool
        Return the running statistics too.

    Returns
    -------
    params : nest of arrays
    config
    state : nest of arrays or None
        Only with ``with_state``.

    Raises
    ------
    FileNotFoundError
    ValueError
        If the file is damaged, foreign, or of a newer format.
    """
    with _opened(path, "gv.train.load") as f:
        params, config = read_nest(f["params"]), json.loads(f.attrs["config"])
        if not with_state:
            return params, config
        return params, config, read_nest(f["state"])


def read_training(path, who):
    """What a checkpoint holds to go on from."""
    with _opened(path, who) as f:
        if "training" in f:
            return read_nest(f["training"])
    raise ValueError(
        f"{who}: {path} is a model without the state of its training; resume from a"
        " file that checkpoint= wrote"
    )
