"""Is the observation like the simulations? Kernel test of one set of data, or of some.

One observation among m simulations: for every member of the joint set the mean kernel
to the others is taken; small means far from the rest (it orders the members by their
MMD to the rest). If the observation is one more simulation its rank is uniform, so

    p = (1 + number of simulations at least as far out)/(1 + m)

holds its size exactly. Columns are scaled by the simulations, the bandwidth is the
median distance among them. Several observations are compared by `mmd_test`.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from ._mmd import kernel, median_distance, mmd_test
from ._pairs import whole
from ._rows import UnfamiliarData, flat_rows, generator


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
    x : (m, ...) array
        Simulated data; rows that are not finite are left out.
    embed : callable, optional
        x (n, ...) -> features (n, k), tested besides.
    most : int
        Rows kept, drawn at random.
    rng : seed, SeedSequence or Generator

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

    def __init__(self, x, embed=None, most=1000, rng=0):
        who = "misspecification"
        x, rng = np.asarray(x), generator(rng)
        good = np.flatnonzero(np.isfinite(x.reshape(len(x), -1)).all(axis=1))
        if len(good) < 20:
            raise ValueError(f"{who}: {len(good)} finite simulations; 20 are needed")
        good = good[np.sort(rng.permutation(len(good))[: whole(most, 20, who, "most")])]
        self.shape, self.embed = x.shape[1:], embed
        self.spaces = {"data": _Space(flat_rows(x[good], who, "x"), rng)}
        if embed is not None:
            features = flat_rows(embed(x[good]), who, "embed(x)")
            self.spaces["embedding"] = _Space(features, rng)

    def test(self, x_obs, rng=0):
        """Test of one observation (*shape), or of several (n, *shape).

        Returns
        -------
        Misspecification
        """
        x = np.asarray(x_obs, np.float64)
        if x.shape == self.shape:
            x = x[None]
        if x.shape[1:] != self.shape:
            raise ValueError(
                f"misspecification: x_obs has shape {np.shape(x_obs)}; {self.shape} or "
                f"(n, {', '.join(map(str, self.shape))}) is needed"
            )
        views = {"data": x}
        if self.embed is not None:
            views["embedding"] = self.embed(x)
        p = {
            name: self.spaces[name].p_value(
                flat_rows(view, "misspecification", "x_obs"), rng
            )
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


class _Space:
    """Scaled rows, bandwidth, and the sum of kernels of each to all others."""

    def __init__(self, rows, rng):
        self.mean = rows.mean(axis=0)
        sd = rows.std(axis=0)
        self.sd = np.where(sd > 0, sd, 1.0)
        self.rows = (rows - self.mean) / self.sd
        self.bandwidth = median_distance(self.rows, self.rows, rng) or 1.0
        self.sums = kernel(self.rows, self.rows, self.bandwidth).sum(axis=1) - 1.0

    def p_value(self, x, rng):
        x = (x - self.mean) / self.sd
        if len(x) > 1:
            return mmd_test(x, self.rows, rng, bandwidth=self.bandwidth).p_value
        to_all = kernel(x, self.rows, self.bandwidth)[0]
        further = self.sums + to_all <= to_all.sum() * (1 + 1e-12)
        return float((1 + further.sum()) / (1 + len(self.rows)))


def misspecification_test(x_obs, x_simulated, rng=0, *, embed=None, most=1000):
    """Could the observation be one of the simulations?

    Parameters
    ----------
    x_obs : (...) or (n, ...) array
        One observation, or several from one unknown parameter-free law.
    x_simulated : (m, ...) array
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
    rng = generator(rng)
    return Familiar(x_simulated, embed, most, rng).test(x_obs, rng)
