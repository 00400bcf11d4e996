"""Finished rows of a bank as something that is sliced like an array."""

import numpy as np


class Rows(np.lib.mixins.NDArrayOperatorsMixin):
    """A column of a bank: finished rows in order; slices and results are copies.

    Attributes
    ----------
    shape, dtype, ndim, size
        As of an array; `shape` follows the bank as it grows.
    """

    def __init__(self, bank, name):
        self._bank, self._name = bank, name

    @property
    def _array(self):
        return self._bank._array(self._name)

    @property
    def shape(self):
        return (len(self), *self._array.shape[1:])

    @property
    def dtype(self):
        return np.dtype(self._array.dtype.str)

    @property
    def ndim(self):
        return self._array.ndim

    @property
    def size(self):
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def bank(self):
        """The bank."""
        return self._bank

    @property
    def valid(self):
        """Which rows are valid (rows,)."""
        return self._bank.status[:] == self._bank.VALID

    def __len__(self):
        return len(self._bank)

    def __getitem__(self, key):
        array, rows = self._array, self._bank._finished()
        first, rest = (key[0], key[1:]) if isinstance(key, tuple) and key else (key, ())
        if isinstance(rows, int):
            part = array[:rows][key]
        elif first is Ellipsis or first is None or np.ndim(first) > 1:
            part = array[rows][key]
        else:
            chosen = rows[first]
            part = array[(chosen, *rest)] if np.ndim(chosen) == 0 else array[chosen]
            if rest and np.ndim(chosen):
                inner = np.arange(len(part)) if np.ndim(first) else slice(None)
                part = part[(inner, *rest)]
        return np.array(part, dtype=self.dtype)[()]

    def __array__(self, dtype=None, copy=None):
        if copy is False:
            raise ValueError("rows of a bank are copied; Bank.arrays() has views")
        return np.asarray(self[:], dtype=dtype)

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        if any(isinstance(out, Rows) for out in options.get("out", ())):
            return NotImplemented
        inputs = [i[:] if isinstance(i, Rows) else i for i in inputs]
        return getattr(ufunc, method)(*inputs, **options)

    def __iter__(self):
        for i in range(len(self)):
            yield self[i]

    def __repr__(self):
        return f"<{self._name} of a bank: {self.shape} {self.dtype}>"


def take(arrays, rows):
    """Rows of every array of `Bank.arrays`."""
    return {
        k: take(v, rows) if isinstance(v, dict) else v[rows] for k, v in arrays.items()
    }
