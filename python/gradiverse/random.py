"""Random numbers as pure functions of a key.

A key is an int64 array of shape (2,). The same key gives the same numbers, inside
traced code and outside, on any number of threads; new numbers come from new keys
(`split`, `fold_in`). The generator is Philox4x32-10 in counter mode: entry i of a draw
is a function of the key and of i alone.
"""

import numpy as np

from .graph import CODES, Var, emit

__all__ = ["fold_in", "key", "normal", "split", "uniform"]


def _key(k, who):
    if type(k) is not Var:
        k = np.asarray(k)
    if k.dtype != "int64" or k.shape[-1:] != (2,):
        raise TypeError(
            f"gv.random.{who}: a key is an int64 array with last axis 2 (made by"
            f" gv.random.key), not {k.dtype}{list(k.shape)}"
        )
    return k


def _index(i, who):
    if type(i) is Var:
        if i.dtype not in ("int32", "int64"):
            raise TypeError(f"gv.random.{who}: an int is needed, not {i.dtype}")
        return i if i.dtype == "int64" else i.astype("int64")
    array = np.asarray(i)
    if array.dtype.kind not in "iu":
        raise TypeError(f"gv.random.{who}: an int is needed, not {array.dtype}")
    return array.astype(np.int64)


def _shape(shape, who):
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    if any(int(n) < 0 for n in shape):
        raise ValueError(f"gv.random.{who}: negative length in shape {shape}")
    return tuple(int(n) for n in shape)


def key(seed):
    """A key from a seed.

    Parameters
    ----------
    seed : int
        Any 64-bit integer; may be traced.

    Returns
    -------
    (2,) int64 array

    Examples
    --------
    >>> import gradiverse as gv
    >>> gv.random.key(0).shape
    (2,)
    """
    if isinstance(seed, (int, np.integer)) and not isinstance(seed, bool):
        if not -(2**63) <= seed < 2**64:
            raise ValueError(f"gv.random.key: seed {seed} does not fit 64 bits")
        seed = np.uint64(int(seed) % 2**64).astype(np.int64)
    root = np.zeros(2, np.int64)
    return emit("random_fold_in", (root, _index(seed, "key")), tag=0)


def fold_in(key, i):
    """A new key from a key and a number.

    Parameters
    ----------
    key : (..., 2) int64 array
    i : int
        May be traced, for instance the step of a loop.

    Returns
    -------
    (..., 2) int64 array
    """
    key, i = _key(key, "fold_in"), _index(i, "fold_in")
    lead = np.broadcast_shapes(key.shape[:-1], i.shape)
    return emit("random_fold_in", (_lead(key, (*lead, 2)), _lead(i, lead)), tag=1)


def _lead(x, shape):
    if x.shape == shape:
        return x
    if type(x) is Var:
        return emit("broadcast", (x,), core=x.ndim, shape=shape)
    return np.broadcast_to(x, shape)


def split(key, n=2):
    """n new keys from a key.

    Parameters
    ----------
    key : (2,) int64 array
    n : int

    Returns
    -------
    (n, 2) int64 array

    Examples
    --------
    >>> import gradiverse as gv
    >>> a, b = gv.random.split(gv.random.key(0))
    """
    key = _key(key, "split")
    n = int(n)
    if n < 0:
        raise ValueError(f"gv.random.split: n is {n}")
    if len(key.shape) != 1:
        raise ValueError(f"gv.random.split: one key is needed, not {key.shape[:-1]}")
    return emit("random_fold_in", (_lead(key, (n, 2)), np.arange(n)), tag=2)


def _draw(op, key, shape, dtype, who):
    dtype = np.dtype(dtype)
    if dtype.name not in ("float32", "float64"):
        raise TypeError(f"gv.random.{who}: dtype {dtype} is not float32 or float64")
    key = _key(key, who)
    return emit(op, (key,), dtype=CODES[dtype.name], shape=_shape(shape, who))


def normal(key, shape=(), dtype=np.float64):
    """Standard normal numbers.

    Parameters
    ----------
    key : (..., 2) int64 array
        Leading axes of keys become leading axes of the result.
    shape : int or tuple of int
    dtype : float32 or float64

    Returns
    -------
    array of the shape

    Examples
    --------
    >>> import gradiverse as gv
    >>> x = gv.random.normal(gv.random.key(1), (10_000,))
    >>> bool(abs(x.mean()) < 0.03)
    True
    """
    return _draw("random_normal", key, shape, dtype, "normal")


def uniform(key, shape=(), dtype=np.float64):
    """Uniform numbers in [0, 1).

    Parameters
    ----------
    key : (..., 2) int64 array
        Leading axes of keys become leading axes of the result.
    shape : int or tuple of int
    dtype : float32 or float64

    Returns
    -------
    array of the shape
    """
    return _draw("random_uniform", key, shape, dtype, "uniform")
