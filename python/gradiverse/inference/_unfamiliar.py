"""Is the observation like the simulations? Kernel test of one set of data, or of some.

One observation among m simulations: for every member of the joint set the mean kernel
to the others is taken; small means far from the rest (it orders the members by their
MMD to the rest). If the observation is one more simulation its rank is uniform, so

    p = (1 + number of simulations at least as far out)/(1 + m)

holds its size exactly. Columns are scaled by the simulations, the bandwidth is the
median distance among them. Several observations are compared by `mmd_test`. More than
1024 columns are added up with random signs into 1024 sums, which keeps distances.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from ._mmd import kernel, median_distance, mmd_test
from ._pairs import whole
from ._rows import UnfamiliarData, flat_rows
from ._streams import stream

_WIDE = 1024  # columns compared as they are


@dataclass(frozen=True)
class Misspecification:
    """Result of `misspecification_test`.

    Attributes
    ----------
    p_values : dict
        "data", and "embedding" where one was given.
    p_value : float
        The smallest times their number, at most 1.
    n_simulations : int
    """

    p_values: dict
    p_value: float
    n_simulations: int


class Familiar:
    """Simulations kept as a reference for observations to come.

    Parameters
    ----------
    x : (m, ...) array or dict of arrays
        Simulated data; rows that are not finite are left out.
    embed : callable, optional
        x (n, ...) -> features (n, k), tested besides.
    most : int
        Rows kept, drawn at random.
    rng : seed, SeedSequence or Generator
    rows : array of int, optional
        Only these rows.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(500, 3))
    >>> familiar = Familiar(x)
    >>> familiar.test([0.1, 0.0, -0.2]).p_value > 0.1
    True
    >>> familiar.test([9.0, 0.0, 0.0]).p_value < 0.01
    True
    """

    def __init__(self, x, embed=None, most=1000, rng=0, rows=None):
        who = "misspecification"
        rng, most = stream(rng, "familiar"), whole(most, 20, who, "most")
        shape, some = _shape(x), []
        # as many as are wanted in random order, read a block at a time
        order = rng.permutation(_length(x, who) if rows is None else rows)
        while len(order) and sum(map(_length, some)) < most:
            missing = most - sum(map(_length, some))
            block = _rows(x, np.sort(order[:missing]))
            order = order[missing:]
            good = np.isfinite(_flat(block, who)).all(axis=1)
            some.append(_rows(block, np.flatnonzero(good)))
        if sum(map(_length, some)) < 20:
            raise ValueError(
                f"{who}: {sum(map(_length, some))} finite simulations; 20 are needed"
            )
        kept = _joined(some)
        self.shape, self.embed = shape, embed
        self.spaces = {"data": _Space(_flat(kept, who), rng)}
        if embed is not None:
            features = flat_rows(embed(kept), who, "embed(x)")
            self.spaces["embedding"] = _Space(features, rng)

    def arrays(self):
        """All that is kept, as arrays by space and name, for a file."""
        return {
            name: {k: np.asarray(v) for k, v in vars(space).items() if v is not None}
            for name, space in self.spaces.items()
        }

    @classmethod
    def restore(cls, arrays, shape, embed=None):
        """The same again from `arrays()` and `shape`."""
        self = object.__new__(cls)
        self.shape, self.embed, self.spaces = shape, embed, {}
        for name, part in arrays.items():
            space = self.spaces[name] = object.__new__(_Space)
            space.sums_of = None
            for key, value in part.items():
                value = np.asarray(value)
                setattr(space, key, value if value.ndim else float(value))
        return self

    def test(self, x_obs, rng=0):
        """Test of one observation, or of several (one more axis in front).

        Returns
        -------
        Misspecification
        """
        who = "misspecification"
        x = _map(x_obs, np.asarray)
        if _shape(x, 0) == self.shape:
            x = _map(x, lambda a: a[None])
        if _shape(x) != self.shape:
            raise ValueError(
                f"{who}: x_obs has shape {_shape(x_obs, 0)}; {self.shape} is needed, "
                "or one more axis in front for several"
            )
        views = {"data": x}
        if self.embed is not None:
            views["embedding"] = self.embed(x)
        p = {
            name: self.spaces[name].p_value(_flat(view, who, finite=True), rng)
            for name, view in views.items()
        }
        size = len(self.spaces["data"].rows)
        return Misspecification(p, min(1.0, len(p) * min(p.values())), size)

    def warn(self, x_obs, level=0.005, stacklevel=3):
        """Warn (UnfamiliarData) if the p-value of one observation is below `level`."""
        result = self.test(x_obs)
        if result.p_value < level:
            worst = min(result.p_values, key=result.p_values.get)
            warnings.warn(
                "this observation is unlike the simulations of the training: p = "
                f"{result.p_value:.2g} among {result.n_simulations}, furthest in "
                f"{worst} space; the posterior is an extrapolation. See "
                "gv.inference.misspecification_test",
                UnfamiliarData,
                stacklevel=stacklevel,
            )
        return result


def _map(x, f):
    return {k: f(v) for k, v in x.items()} if hasattr(x, "items") else f(x)


def _leaves(x):
    return list(x.values()) if hasattr(x, "items") else [x]


def _shape(x, skip=1):
    """Shape of one set of data; of a dict, of each part."""
    return _map(x, lambda a: np.shape(a)[skip:])


def _length(x, who="misspecification"):
    lengths = {len(a) for a in _leaves(x)}
    if len(lengths) != 1:
        raise ValueError(f"{who}: parts of x have {sorted(lengths)} rows")
    return lengths.pop()


def _rows(x, index):
    return _map(x, lambda a: np.asarray(a[index]))


def _joined(parts):
    if hasattr(parts[0], "items"):
        return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
    return np.concatenate(parts)


def _flat(x, who, finite=False):
    """All columns of all parts (n, D)."""
    parts = [np.reshape(a, (len(a), -1)).astype(np.float64) for a in _leaves(x)]
    flat = np.concatenate(parts, axis=1)
    return flat_rows(flat, who, "x_obs") if finite else flat


class _Space:
    """Scaled rows, bandwidth, and the sum of kernels of each to all others."""

    def __init__(self, rows, rng):
        self.mean = rows.mean(axis=0)
        sd = rows.std(axis=0)
        self.sd = np.where(sd > 0, sd, 1.0)
        self.sums_of = None
        if rows.shape[1] > _WIDE:
            self.sums_of = rng.integers(0, _WIDE, rows.shape[1])
            self.signs = rng.choice([-1.0, 1.0], rows.shape[1])
        self.rows = self._scaled(rows)
        self.bandwidth = median_distance(self.rows, self.rows, rng) or 1.0
        self.sums = kernel(self.rows, self.rows, self.bandwidth).sum(axis=1) - 1.0

    def _scaled(self, x):
        if self.sums_of is None:
            return (x - self.mean) / self.sd
        weights = self.signs / self.sd
        return np.stack(
            [np.bincount(self.sums_of, (r - self.mean) * weights, _WIDE) for r in x]
        )

    def p_value(self, x, rng):
        x = self._scaled(x)
        if len(x) > 1:
            return mmd_test(x, self.rows, rng, bandwidth=self.bandwidth).p_value
        to_all = kernel(x, self.rows, self.bandwidth)[0]
        further = self.sums + to_all <= to_all.sum() * (1 + 1e-12)
        return float((1 + further.sum()) / (1 + len(self.rows)))


def misspecification_test(x_obs, x_simulated, rng=0, *, embed=None, most=1000):
    """Could the observation be one of the simulations?

    Parameters
    ----------
    x_obs : (...) or (n, ...) array, or dict of such
        One observation, or several from one unknown parameter-free law.
    x_simulated : (m, ...) array or dict of arrays
        Simulations from the prior (predictive) the estimator was trained on.
    rng : seed, SeedSequence or Generator
    embed : callable, optional
        Features of data, tested besides: a departure that the network sees matters, one
        that it does not see may not.
    most : int
        Simulations used.

    Returns
    -------
    Misspecification

    Raises
    ------
    ValueError
        Shapes do not fit, or fewer than 20 finite simulations.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> x = np.random.default_rng(0).normal(size=(500, 3))
    >>> gv.inference.misspecification_test(x[0] + 8.0, x[1:]).p_value < 0.01
    True
    """
    rng = stream(rng, "misspecification")
    return Familiar(x_simulated, embed, most, rng).test(x_obs, rng)
