"""Priors: named parameters, sampled and truncated through their cumulative functions.

Every parameter has u = cdf(theta) in [0, 1]; a box in theta is a box in u, and draws
inside it are exact inversions, without rejection.
"""

import itertools

import numpy as np

from . import _distributions as family
from ._parallel import seeded
from ._parse import columns, describe, restore, same
from ._rows import count

_BLOCK = 1 << 14  # numbers worked on at once, so that they stay in cache
_TINY = 2.0**-54


class Prior:
    """Prior of named parameters.

    Parameters
    ----------
    mapping : dict, optional
        Distributions by name, for names that are no Python identifiers.
    **distributions
        Distribution by name; the order is kept. One of:

        - a pair ``(low, high)``: uniform; with arrays (k,) a box of k parameters;
        - a frozen continuous ``scipy.stats`` distribution; with arrays (k,) as its
          arguments k independent parameters;
        - a frozen ``scipy.stats.multivariate_normal``: k correlated normals;
        - any object with the methods ``cdf, sf, ppf, isf, logpdf, support``.

        Several parameters under one name are called name_0, name_1, ..., or are named
        one by one by a key such as ``"a, b"``.

    Attributes
    ----------
    names : list of str
        Of the parameters; ``prior.d`` is their number.
    bounds : (d, 2) float64 ndarray
        Support, or the box after `truncate`, in parameter units.
    volume, log_volume : float
        Probability of the box under the prior before truncation (1 and 0 without).

    Raises
    ------
    TypeError, ValueError
        If a distribution is discrete, empty or of an unknown kind.

    Examples
    --------
    >>> import scipy.stats
    >>> prior = Prior(a=scipy.stats.norm(0, 2), b=(0.0, 1.0))
    >>> prior.sample(3, rng=0).shape
    (3, 2)
    >>> box = prior.truncate([(-1.0, 1.0), (0.2, 0.4)])
    >>> round(box.volume, 4)
    0.0766
    >>> box.log_prob([[0.0, 0.3], [0.0, 0.5]]).round(3)
    array([0.957,  -inf])
    """

    def __init__(self, mapping=None, /, **distributions):
        if mapping is not None:
            distributions = {**dict(mapping), **distributions}
        if not distributions:
            raise ValueError("a prior needs at least one parameter, as in a=(0.0, 1.0)")
        self.names, self._parts, self._kinds = [], [], {}
        for key, value in distributions.items():
            names, parts = columns(key, value)
            self._kinds[key] = (value, len(names))
            start = len(self.names)
            self.names += names
            for part in parts:
                k = len(part.support)
                self._parts.append((slice(start, start + k), part))
                start += k
        if len(set(self.names)) < len(self.names):
            twice = sorted({n for n in self.names if self.names.count(n) > 1})
            raise ValueError(f"parameter names are used twice: {', '.join(twice)}")
        self.d = len(self.names)
        self._parts = _merged(self._parts)
        self._support = np.concatenate([p.support for _, p in self._parts])
        self._support.flags.writeable = False
        self._set_box(self._support)

    def _set_box(self, bounds):
        """Fix the box (d, 2) and what depends on it."""
        self.bounds = np.array(bounds, dtype=float)
        self.bounds.flags.writeable = False
        cut = (self.bounds != self._support).any(axis=1)
        self._low, self._mass = np.zeros(self.d), np.ones(self.d)
        self._upper = np.zeros(self.d, dtype=bool)
        for cols, part in self._parts:
            mine = cut[cols]
            if not mine.any():
                continue
            edges = self.bounds[cols].T  # (2, k)
            below, above = part.cdf(edges), part.sf(edges)
            upper = below[0] > 0.5
            mass = np.where(upper, above[0] - above[1], below[1] - below[0])
            self._upper[cols] = upper & mine
            self._low[cols] = np.where(mine, np.where(upper, above[0], below[0]), 0.0)
            self._mass[cols] = np.where(mine, mass, 1.0)
        if not (self._mass > 0).all():
            i = int(np.argmin(self._mass))
            raise ValueError(
                f"the box {_pair(self.bounds[i])} of '{self.names[i]}' holds no prior "
                "mass in double precision: widen it"
            )
        self._truncated = bool(cut.any())

    @property
    def log_volume(self):
        """Logarithm of `volume`, which does not underflow."""
        return float(np.log(self._mass).sum())

    @property
    def volume(self):
        """Probability of the box under the prior before truncation."""
        return float(np.prod(self._mass))

    @property
    def truncated(self):
        """Whether the prior is confined to a box smaller than its support."""
        return self._truncated

    @property
    def untruncated(self):
        """The prior before any truncation."""
        return self._copy(self._support)

    def _copy(self, bounds):
        other = object.__new__(Prior)
        other.__dict__.update(self.__dict__)
        other._set_box(bounds)
        return other

    def sample(self, n, rng):
        """n draws (n, d), float64; rng is a seed, SeedSequence or Generator."""
        rng = np.random.default_rng(seeded(rng, "Prior.sample"))
        out = np.empty((count(n), self.d))
        rows = max(1, _BLOCK // self.d)
        for i in range(0, len(out), rows):
            block = out[i : i + rows]
            rng.random(out=block)
            np.maximum(block, _TINY, out=block)
            self._invert(block, block)
        return out

    def _invert(self, u, out):
        """theta (n, d) at u, both (n, d); may work in place."""
        for cols, part in self._parts:
            t, low, mass = u[:, cols], self._low[cols], self._mass[cols]
            upper = self._upper[cols]
            if self._truncated and upper.any():
                p = np.where(upper, low - t * mass, low + t * mass)
                out[:, cols] = np.where(upper, part.isf(p), part.ppf(p))
            elif self._truncated:
                out[:, cols] = part.ppf(low + t * mass)
            else:
                out[:, cols] = part.ppf(t)
        if self._truncated:
            np.clip(out, self.bounds[:, 0], self.bounds[:, 1], out=out)

    def ppf(self, u):
        """Parameters (..., d) at cumulative probabilities u (..., d) in [0, 1]."""
        u = self._rows(u, "u")
        if not ((u >= 0) & (u <= 1)).all():
            raise ValueError("u must lie in [0, 1]")
        out = np.empty_like(u)
        self._invert(u.reshape(-1, self.d), out.reshape(-1, self.d))
        return out

    def cdf(self, theta):
        """Cumulative probabilities (..., d) of this prior, in its box if truncated.

        Of correlated normals: those of the whitened coordinates.
        """
        theta = self._rows(theta, "theta")
        out = np.empty_like(theta)
        for cols, part in self._parts:
            x, upper = theta[..., cols], self._upper[cols]
            value = (part.cdf(x) - self._low[cols]) / self._mass[cols]
            if upper.any():
                other = (self._low[cols] - part.sf(x)) / self._mass[cols]
                value = np.where(upper, other, value)
            out[..., cols] = value
        return np.clip(out, 0.0, 1.0, out=out)

    def log_prob(self, theta):
        """Log density (...,) at theta (..., d); -inf outside the support or the box."""
        theta = self._rows(theta, "theta")
        total = np.full(theta.shape[:-1], -self.log_volume)
        for cols, part in self._parts:
            total += part.logpdf(theta[..., cols]).sum(axis=-1)
        return np.where(self.contains(theta), total, -np.inf)[()]

    def contains(self, theta):
        """Whether theta (..., d) lies in the support or box, edges included."""
        theta = self._rows(theta, "theta")
        low, high = self.bounds.T
        return ((theta >= low) & (theta <= high)).all(axis=-1)

    def truncate(self, bounds):
        """The prior confined to a box.

        Parameters
        ----------
        bounds : (d, 2) array
            Lower and upper edges in parameter units; what lies beyond the present
            support or box does not matter, infinite edges do not cut.

        Returns
        -------
        Prior

        Raises
        ------
        ValueError
            If the box is empty, or cuts a parameter that is correlated with others.
        """
        box = np.asarray(bounds, dtype=float)
        if box.shape != (self.d, 2) or np.isnan(box).any():
            raise ValueError(
                f"bounds must be ({self.d}, 2) numbers, a (low, high) pair for each of "
                f"{', '.join(self.names)}; got an array of shape {box.shape}"
                + (" with NaN" if np.isnan(box).any() else "")
            )
        new = np.stack(
            [
                np.maximum(box[:, 0], self.bounds[:, 0]),
                np.minimum(box[:, 1], self.bounds[:, 1]),
            ],
            axis=1,
        )
        for i in np.flatnonzero(new[:, 0] >= new[:, 1])[:1]:
            raise ValueError(
                f"the box of '{self.names[i]}' is empty: {_pair(box[i])} within "
                f"{_pair(self.bounds[i])}"
            )
        for cols, part in self._parts:
            if isinstance(part, family.Correlated) and np.isfinite(new[cols]).any():
                raise ValueError(
                    f"{', '.join(self.names[cols])} are correlated and cannot be "
                    "truncated one by one: give infinite bounds for them, or whitened "
                    "parameters to the prior and the rotation to the simulator"
                )
        return self._copy(new)

    def describe(self):
        """A description in plain types (JSON), from which `restore` makes the prior.

        Objects of other kinds are described by their type and quantiles.
        """
        text = {"names": list(self.names), "distributions": self._described()}
        if self._truncated:
            text["bounds"] = self.bounds.tolist()
        return text

    def _described(self):
        return {key: describe(key, *kind) for key, kind in self._kinds.items()}

    def cut_from(self, other):
        """Whether this is another prior, or that prior in a smaller box."""
        if self.names != other.names or not within(self.bounds, other.bounds):
            return False
        if self._kinds is other._kinds:  # one was truncated to the other
            return True
        return same(self._described(), other._described())

    @classmethod
    def restore(cls, description):
        """The prior that `describe` described; ValueError with foreign objects."""
        kinds = description["distributions"]
        prior = cls({key: restore(key, kind) for key, kind in kinds.items()})
        bounds = description.get("bounds")
        return prior if bounds is None else prior._copy(np.asarray(bounds, dtype=float))

    def _rows(self, value, what):
        value = np.array(value, dtype=float, order="C")
        if value.ndim == 0 or value.shape[-1] != self.d:
            raise ValueError(
                f"{what} must have shape (..., {self.d}), one column for each of "
                f"{', '.join(self.names)}; got {value.shape}"
            )
        return value

    def __eq__(self, other):
        if not isinstance(other, Prior):
            return NotImplemented
        return self.cut_from(other) and within(other.bounds, self.bounds)

    __hash__ = None

    def __repr__(self):
        shown = 12 if self.d > 12 else self.d
        rows = [
            f"{name} [{low:g}, {high:g}]"
            for name, (low, high) in zip(
                self.names[:shown], self.bounds[:shown], strict=True
            )
        ]
        rows += [f"... {self.d} in all"] * (self.d > shown)
        return f"Prior({', '.join(rows)})"


def _merged(parts):
    """Neighbouring uniform or normal columns as one part each: fewer, longer passes."""
    out = []
    for kind, run in itertools.groupby(parts, key=lambda p: type(p[1])):
        run = list(run)
        cols = slice(run[0][0].start, run[-1][0].stop)
        names = {family.Uniform: ("low", "high"), family.Normal: ("loc", "scale")}
        if kind in names:
            values = [
                np.concatenate([getattr(part, name) for _, part in run])
                for name in names[kind]
            ]
            out.append((cols, kind(*values)))
        else:
            out += run
    return out


def within(box, other):
    """Whether a box (d, 2) lies inside another, edges included."""
    return bool((box[:, 0] >= other[:, 0]).all() and (box[:, 1] <= other[:, 1]).all())


def _pair(edges):
    """Edges of a box in a message."""
    return tuple(edges.tolist())
