"""Subsets of parameters, and the coordinates in which networks and samplers see them.

A parameter enters a network as its normal score z = ndtri(prior cdf) and as
√12 (cdf - ½): the first is linear in a normal (or log-normal) parameter, the second in
a uniform one, and both have mean 0 and variance 1 under the prior.
"""

import copy
from itertools import combinations

import numpy as np
from scipy.special import ndtr, ndtri

from .. import ops
from . import _distributions as family
from ._standardise import bent

__all__ = ["Coordinates", "column_log_prob", "independent", "subsets"]

_EDGE = 4.5  # scores beyond are seen as this: a share of 7e-6 of the prior
_WIDE = 8.0  # the same where coordinates are centred on rows of any place


def subsets(marginals, d, names):
    """Index tuples that `marginals` stands for.

    Parameters
    ----------
    marginals : None, "1d", "2d" or list
        None: all parameters at once. A list holds tuples of indices or names, or
        single ones.
    d : int
    names : list of str
        Names that may stand for indices.

    Returns
    -------
    tuple of tuples of int

    Raises
    ------
    ValueError, TypeError
        If an index does not exist, a subset is empty or repeats one, or two subsets
        are of the same parameters.
    """
    if marginals is None:
        return (tuple(range(d)),)
    if isinstance(marginals, str):
        if marginals == "2d" and d < 2:
            raise ValueError(
                f"marginals='2d': there are no pairs of one parameter ({names[0]});"
                " give '1d'"
            )
        if marginals in ("1d", "2d"):
            return tuple(combinations(range(d), int(marginals[0])))
        raise ValueError(
            f"marginals={marginals!r}; choose None (all at once), '1d', '2d' or a list"
            " of index tuples such as [(0,), (0, 1)]"
        )
    if not isinstance(marginals, (list, tuple)):
        raise TypeError(
            f"marginals={marginals!r}; choose None (all at once), '1d', '2d' or a list"
            " of index tuples such as [(0,), (0, 1)]"
        )
    out = []
    for m in marginals:
        m = m if isinstance(m, (list, tuple)) else (m,)
        indices = []
        for i in m:
            if isinstance(i, str):
                if i not in names:
                    raise ValueError(f"marginals: no parameter {i!r} among {names}")
                i = names.index(i)
            if not isinstance(i, (int, np.integer)) or isinstance(i, bool):
                raise TypeError(f"marginals: {i!r} is no index of a parameter")
            if not -d <= i < d:
                raise ValueError(
                    f"marginals: there is no index {i} of {d} parameters"
                    f" ({', '.join(names)})"
                )
            indices.append(int(i) % d)
        if not indices or len(set(indices)) < len(indices):
            raise ValueError(f"marginals: {m} is empty or names a parameter twice")
        if any(set(indices) == set(other) for other in out):
            raise ValueError(
                f"marginals: there are two of {', '.join(names[i] for i in indices)};"
                " give each subset once"
            )
        out.append(tuple(indices))
    if not out:
        raise ValueError("marginals: the list is empty")
    return tuple(out)


def independent(prior):
    """The prior with correlated normals replaced by their marginals."""
    if not any(isinstance(p, family.Correlated) for _, p in prior._parts):
        return prior
    other = copy.copy(prior)
    other._parts = [
        (cols, family.Normal(p.mean, np.sqrt(np.diag(p.covariance))))
        if isinstance(p, family.Correlated)
        else (cols, p)
        for cols, p in prior._parts
    ]
    return other


def column_log_prob(prior, theta):
    """Log density (n, d) of each parameter's own prior, in its box."""
    prior = independent(prior)
    out = np.empty(theta.shape)
    for cols, part in prior._parts:
        out[:, cols] = np.reshape(part.logpdf(theta[:, cols]), out[:, cols].shape)
    out -= np.log(prior._mass)
    low, high = prior.bounds.T
    return np.where((theta >= low) & (theta <= high), out, -np.inf)


class Coordinates:
    """Inputs of a network for subsets of the parameters.

    Parameters
    ----------
    prior : Prior
    marginals : tuple of tuples
    inputs : "both", "score" or "uniform"
        Normal scores, √12 (cdf - ½), or both.
    """

    def __init__(self, prior, marginals, inputs="both"):
        if inputs not in ("both", "score", "uniform"):
            raise ValueError(
                f"inputs={inputs!r}; choose 'both', 'score' or 'uniform' coordinates"
            )
        self.joint = len(marginals) == 1 and len(marginals[0]) == prior.d
        self.own, self.used = prior, None
        self.prior = prior if self.joint else independent(prior)
        self.inputs = inputs
        self.frames = None
        self._index_by(marginals)

    def centred(self, z):
        """The same about rows of scores z (n, d): shifted and scaled to those rows.

        A joint subset is rotated too, so that the rows have unit covariance. Far from
        the rows coordinates go on as a logarithm, in order.
        """
        other = copy.copy(self)
        other.frames = []
        for part in self._plain(np.clip(z, -_WIDE, _WIDE)):
            mean, cov = part.mean(0), np.atleast_2d(np.cov(part.T))
            if not self.joint:
                cov = np.diag(np.diag(cov))
            cov = cov + (1e-10 * np.trace(cov) / len(cov) + 1e-300) * np.eye(len(cov))
            other.frames.append((mean, np.linalg.inv(np.linalg.cholesky(cov)).T))
        return other

    def _index_by(self, marginals):
        self.marginals = marginals
        self.most = max(map(len, marginals))
        self.index = np.zeros((len(marginals), self.most), np.int64)
        self.there = np.zeros((len(marginals), self.most), bool)
        for g, m in enumerate(marginals):
            self.index[g, : len(m)] = m
            self.there[g, : len(m)] = True
        self.shape = (len(marginals), self.most * (2 if self.inputs == "both" else 1))

    def part(self, which):
        """Coordinates of some of the marginals, of the columns `used` by them alone."""
        marginals = self.marginals[which]
        used = sorted({i for m in marginals for i in m})
        at = {i: k for k, i in enumerate(used)}
        other = copy.copy(self)
        other.used = np.array(used)
        other._index_by([tuple(at[i] for i in m) for m in marginals])
        return other

    def scores(self, theta):
        """Normal scores (n, d) of parameters (n, d)."""
        with np.errstate(divide="ignore"):
            return ndtri(self.prior.cdf(theta))

    def theta(self, z):
        """Parameters (n, d) at normal scores (n, d)."""
        return self.prior.ppf(ndtr(z))

    def of_scores(self, z):
        """Columns (n, d, 1 or 2), float32, of scores (n, d); see `expand`."""
        edge = _EDGE if self.frames is None else _WIDE
        parts = self._plain(np.clip(z, -edge, edge))
        if self.frames is not None:
            parts = [
                bent((part - mean) @ turn)
                for part, (mean, turn) in zip(parts, self.frames, strict=True)
            ]
        return np.stack(parts, -1).astype(np.float32)

    def _plain(self, z):
        parts = []
        if self.inputs != "uniform":
            parts.append(z)
        if self.inputs != "score":
            parts.append(np.sqrt(12.0) * (ndtr(z) - 0.5))
        return parts

    def __call__(self, theta):
        """Columns (n, d, 1 or 2), float32, of parameters (n, d)."""
        return self.of_scores(self.scores(theta))

    def expand(self, columns):
        """Inputs (n, marginals, inputs) of the heads from columns, traced or not."""
        n, d = columns.shape[:2]
        flat = self.index.reshape(-1)
        if len(flat) != d or (flat != np.arange(d)).any():
            columns = ops.take(columns, flat, axis=1)
        out = columns.reshape(n, *self.index.shape, columns.shape[2])
        if not self.there.all():
            out = out * self.there[:, :, None].astype(np.float32)
        return out.reshape(n, *self.shape)
