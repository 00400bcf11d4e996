"""Checks of samples and generators shared by the diagnostics."""

import operator

import numpy as np


class UnfamiliarData(UserWarning):
    """The observation is unlike the simulations an estimator was trained on."""


def generator(rng):
    """A numpy Generator from a seed, a SeedSequence or a Generator."""
    return np.random.default_rng(rng)


def rows(a, who, name, columns=None, least=1):
    """Array (n, d) of finite float64 rows; a vector is n rows of one column.

    Raises
    ------
    ValueError
        Wrong rank, too few rows, wrong number of columns, or entries not finite.
    """
    array = np.asarray(a)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{who}: {name} holds {array.dtype}; real numbers are needed")
    array = array.astype(np.float64)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(
            f"{who}: {name} has shape {array.shape}; (rows, columns) is needed"
        )
    if len(array) < least:
        raise ValueError(
            f"{who}: {name} has {len(array)} rows; at least {least} are needed"
        )
    if columns is not None and array.shape[1] != columns:
        raise ValueError(
            f"{who}: {name} has {array.shape[1]} columns where {columns} are expected"
        )
    bad = ~np.isfinite(array).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{who}: {bad.sum()} of {len(bad)} rows of {name} are not finite (first: "
            f"row {int(np.argmax(bad))}); drop them, and say so, before the test"
        )
    return array


def flat_rows(a, who, name, **keywords):
    """As rows(), for data of any shape (n, ...): everything after the first axis."""
    array = np.asarray(a)
    if array.ndim > 2:
        array = array.reshape(len(array), -1)
    return rows(array, who, name, **keywords)


def count(n):
    """A number of draws."""
    try:
        whole = operator.index(n)
    except TypeError:
        raise TypeError(f"sample: n={n!r}; give an integer") from None
    if whole < 0:
        raise ValueError(f"sample: negative n={n}; give 0 or more")
    return whole
