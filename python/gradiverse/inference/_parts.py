"""Data as one array or as a dict of arrays, rows along the first axis of each."""

import numpy as np


def mapped(x, f):
    """f of the array, or of every part."""
    return {k: f(v) for k, v in x.items()} if hasattr(x, "items") else f(x)


def leaves(x):
    """The arrays."""
    return list(x.values()) if hasattr(x, "items") else [x]


def shape_of(x, skip=1):
    """Shape of one set of data; of a dict, of each part."""
    return mapped(x, lambda a: np.shape(a)[skip:])


def length(x, who):
    """Number of rows, the same in all parts."""
    lengths = {len(a) for a in leaves(x)}
    if len(lengths) != 1:
        raise ValueError(f"{who}: parts of x have {sorted(lengths)} rows")
    return lengths.pop()


def take(x, index):
    """Some rows."""
    return mapped(x, lambda a: np.asarray(a[index]))


def joined(some):
    """One after the other."""
    if hasattr(some[0], "items"):
        return {k: np.concatenate([p[k] for p in some]) for k in some[0]}
    return np.concatenate(some)


def flat(x):
    """All columns of all parts (n, D), float64."""
    columns = [np.reshape(a, (len(a), -1)).astype(np.float64) for a in leaves(x)]
    return np.concatenate(columns, axis=1)


def columns(shape):
    """Names of the columns of `flat` for one set of data of this shape."""
    if not hasattr(shape, "items"):
        return [f"x[{k}]" for k in range(int(np.prod(shape)))]
    return [
        f"{name}[{k}]" if one else name
        for name, one in shape.items()
        for k in range(int(np.prod(one)))
    ]
