"""Is the observation like the simulations? Kernel test of one set of data, or of some.

One observation among m simulations: for every member of the joint set the mean kernel
to the others is taken; small means far from the rest (it orders the members by their
MMD to the rest). If the observation is one more simulation its rank is uniform, so

    p = (1 + number of simulations at least as far out)/(1 + m)

holds its size, up to the scaling of columns: mean and standard deviation are those of
the simulations, which matters where m is no larger than the number of columns. A member
that differs in a number which is the same in all
others counts as further out than those that do not. Columns are scaled by the
simulations, the bandwidth is the median distance among them. Several observations are
compared by `mmd_test`. More than 1024 columns are added up with random signs into 1024
sums, which keeps distances.

No rank is below 1/(1 + m). Beyond all simulations the distance r at which one kernel
has the mean kernel's value goes on as a power law through the outermost k of them
(Hill): with u the next one and H the sum of their ln(r/u),

    tail = k/(1 + m) (1 + ln(r_obs/u)/H)^-k,

which is exact for any power law and too large for lighter tails.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from ._mmd import kernel, median_distance, mmd_test, squares
from ._pairs import whole
from ._parts import flat, joined, length, mapped, shape_of, take
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
    tail : float or None
        As `p_value`, with a power law beyond the furthest simulation: for few
        simulations, and only where it was asked for.
    """

    p_values: dict
    p_value: float
    n_simulations: int
    tail: float | None = None

    @property
    def least(self):
        """The smallest p-value that so few simulations can give."""
        return len(self.p_values) / (1 + self.n_simulations)


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
        shape, some = shape_of(x), []
        # as many as are wanted in random order, read a block at a time
        order = rng.permutation(length(x, who) if rows is None else rows)
        count = 0
        while len(order) and count < most:
            block = take(x, np.sort(order[: most - count]))
            order = order[most - count :]
            some.append(take(block, np.flatnonzero(np.isfinite(flat(block)).all(1))))
            count += length(some[-1], who)
        if count < 20:
            raise ValueError(f"{who}: {count} finite simulations; 20 are needed")
        kept = joined(some)
        self.shape, self.embed = shape, embed
        self.spaces = {"data": _Space(flat(kept), rng)}
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
            space.sums_of = space.fixed = None
            for key, value in part.items():
                value = np.asarray(value)
                setattr(space, key, value if value.ndim else float(value))
            if "fixed" not in part and space.sums_of is None:  # a file of old
                space.fix(space.mean + space.sd * space.rows)
        return self

    def test(self, x_obs, rng=0, *, tail=False):
        """Test of one observation, or of several (one more axis in front).

        Parameters
        ----------
        x_obs : array or dict of arrays
        rng : seed
            For several observations.
        tail : bool
            Go on beyond the furthest simulation, for one observation.

        Returns
        -------
        Misspecification
        """
        who = "misspecification"
        x = mapped(x_obs, np.asarray)
        if shape_of(x, 0) == self.shape:
            x = mapped(x, lambda a: a[None])
        if shape_of(x) != self.shape:
            raise ValueError(
                f"{who}: x_obs has shape {shape_of(x_obs, 0)}; {self.shape} is needed, "
                "or one more axis in front for several"
            )
        views = {"data": flat_rows(flat(x), who, "x_obs")}
        if self.embed is not None:
            views["embedding"] = flat_rows(self.embed(x), who, "embed(x_obs)")
        rng = stream(rng, "familiar.test")
        p = {name: self.spaces[name].p_value(view, rng) for name, view in views.items()}
        size = len(self.spaces["data"].rows)
        combined, beyond = min(1.0, len(p) * min(p.values())), None
        if tail and length(x, who) == 1:
            tails = (
                p[name] if p[name] > space.least else space.tail(views[name])
                for name, space in self.spaces.items()
            )
            beyond = min(1.0, len(p) * min(tails))
        return Misspecification(p, combined, size, beyond)

    def warn(self, x_obs, level=0.005, stacklevel=3):
        """Warn (UnfamiliarData) if the p-value of one observation is below `level`.

        Where so few simulations are kept that no rank is below it (200, or 400 with an
        embedding), the p-value is that of the tail.
        """
        few = len(self.spaces) / (1 + len(self.spaces["data"].rows)) >= level
        result = self.test(x_obs, tail=few)
        p = result.tail if few else result.p_value
        if p < level:
            worst = min(result.p_values, key=result.p_values.get)
            warnings.warn(
                "this observation is unlike the simulations of the training: p = "
                f"{p:.2g} among {result.n_simulations}, furthest in "
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
        self.fix(rows)
        self.sums_of = None
        if rows.shape[1] > _WIDE:
            self.sums_of = rng.integers(0, _WIDE, rows.shape[1])
            self.signs = rng.choice([-1.0, 1.0], rows.shape[1])
        self.rows = self._scaled(rows)
        self.bandwidth = median_distance(self.rows, self.rows, rng) or 1.0
        self.sums = kernel(self.rows, self.rows, self.bandwidth).sum(axis=1) - 1.0

    def fix(self, rows):
        """Columns that are the same in all rows but one at most, and that row or -1."""
        order = np.partition(rows, (1, len(rows) - 2), axis=0)
        usual = order[1]
        low, high = rows.argmin(axis=0), rows.argmax(axis=0)
        under, over = _differ(order[0], usual), _differ(order[-1], usual)
        fixed = ~_differ(order[-2], usual) & ~(under & over)
        self.fixed = self.usual = self.odd = None
        if fixed.any():
            odd = np.where(under, low, np.where(over, high, -1))
            self.fixed = np.flatnonzero(fixed)
            self.usual, self.odd = usual[fixed], odd[fixed]

    def _alone(self, x):
        """Who differs in a number that is the same in all others: rows, and x (1, D).

        Of x such numbers become as large as scaled ones of the rows are.
        """
        if self.fixed is None:
            return np.zeros(0, int), False, x
        value = x[0, self.fixed]
        other = _differ(value, self.usual)
        rows = np.unique(self.odd[~other & (self.odd >= 0)])
        new = other & (self.odd < 0)
        if new.any():
            at, x = self.fixed[new], x.copy()
            step = np.sqrt(len(self.rows)) * self.sd[at]
            x[0, at] = self.mean[at] + step * np.sign((value - self.usual)[new])
        return rows, bool(new.any()), x

    def _scaled(self, x):
        if self.sums_of is None:
            return (x - self.mean) / self.sd
        weights = self.signs / self.sd
        return np.stack(
            [np.bincount(self.sums_of, (r - self.mean) * weights, _WIDE) for r in x]
        )

    @property
    def least(self):
        """The smallest p-value of one observation."""
        return 1 / (1 + len(self.rows))

    def p_value(self, x, rng):
        if len(x) > 1:
            x = self._scaled(x)
            return mmd_test(x, self.rows, rng, bandwidth=self.bandwidth).p_value
        rows, alone, x = self._alone(x)
        to_all = kernel(self._scaled(x), self.rows, self.bandwidth)[0]
        further = self.sums + to_all <= to_all.sum() * (1 + 1e-12)
        odd = np.zeros(len(further), bool)
        odd[rows] = True
        further = further & odd if alone else further | odd
        return float((1 + further.sum()) / (1 + len(self.rows)))

    def tail(self, x):
        """p-value of one observation beyond all simulations; 0 where it is alone."""
        if self._alone(x)[1]:
            return 0.0
        m = len(self.rows)
        k = max(4, m // 10)
        r = np.sort(self._reach(self.rows, leave=True))[: -k - 2 : -1]
        far = self._reach(self._scaled(x))[0]
        excess = np.log(r[:k] / r[k]).sum() if r[k] > 0 else 0.0
        if excess == 0 or far <= r[0]:
            return self.least
        share = (1 + np.log(far / r[k]) / excess) ** -float(k)
        return float(min(self.least, k / (1 + m) * share))

    def _reach(self, x, leave=False):
        """Distance at which one kernel has the mean of those to the simulations."""
        exponent = -squares(x, self.rows) / (2 * self.bandwidth**2)
        count = len(self.rows)
        if leave:
            np.fill_diagonal(exponent, -np.inf)
            count -= 1
        mean = logsumexp(exponent, axis=1) - np.log(count)
        return self.bandwidth * np.sqrt(np.maximum(-2 * mean, 0.0))


def _differ(a, b):
    """Whether a is not b, beyond rounding in single precision."""
    return np.abs(a - b) > 1e-6 * np.abs(b)


def misspecification_test(
    x_obs, x_simulated, rng=0, *, embed=None, most=1000, tail=False
):
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
        Simulations used. No p-value is below 1/(1 + their number), twice that with an
        embedding.
    tail : bool
        Go on beyond the furthest simulation, by the attribute `tail` of the result:
        for one observation and few simulations.

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
    return Familiar(x_simulated, embed, most, rng).test(x_obs, rng, tail=tail)
