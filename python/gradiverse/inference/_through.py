"""One-dimensional marginals of a joint posterior, integrated over the rest.

The density of one parameter is the mean of its conditional densities over draws of the
others (Gelfand & Smith 1990, eq. 2.8), each of which is normalised on a grid: smooth
where the network is, without the width of a kernel.
"""

import numpy as np
from scipy.special import logsumexp, ndtr

from ._coordinates import Coordinates, subsets
from .posterior import Posterior

__all__ = ["Through"]

_DRAWS = 10_000  # that place the nodes
_CONDITIONALS = 192
_FAR = 8.0  # scores beyond are seen as this
_NORMAL = 0.5 * np.log(2 * np.pi)
_RESOLVED = 4.0  # nodes that a conditional density must cover
_BINS = 100  # of draws, where it does not
_NODES = 128  # evenly spaced, and as many at quantiles


class Through(Posterior):
    """One-dimensional marginals of a joint posterior; draws are those of the joint.

    Where conditional densities are thinner than the nodes are apart, their mean says
    no more than the draws themselves: the density is then that of bins of draws.

    Parameters
    ----------
    whole : Posterior
        Of all parameters, under a prior of independent ones.
    marginals : "1d" or list
        Of one parameter each.
    """

    def __init__(self, whole, marginals="1d"):
        one = Coordinates(whole.prior, subsets(marginals, whole.d, whole.names))
        super().__init__(one, self._marginal_ratios, normalised=False, x=whole.x)
        self.whole, self._curves = whole, None

    def sample(self, n, rng):
        """Draws (n, d) of all parameters at once."""
        return self.whole.sample(n, rng)

    def sample_marginal(self, g, n, rng):
        """Draws (n, 1) of one parameter."""
        return self.whole.sample(n, rng)[:, list(self.marginals[g])]

    def _marginal_ratios(self, z):
        """Log ratios (n, marginals) at normal scores (n, d)."""
        if self._curves is None:
            self._curves = self._integrate()
        z = np.clip(z, -_FAR, _FAR)[:, self._columns]
        columns = zip(z.T, self._curves, strict=True)
        return np.stack([_extended(zi, *curve) for zi, curve in columns], axis=1)

    def _integrate(self):
        """Nodes and log ratios of each parameter."""
        draws = self.whole.sample(_DRAWS, np.random.default_rng(13))
        z = np.clip(self._coordinates.scores(draws), -_FAR, _FAR)
        return [self._integrated(z, i) for i in self._columns]

    @property
    def _columns(self):
        return [m[0] for m in self.marginals]

    def _integrated(self, z, i):
        nodes = _nodes(z[:, i])
        # one draw of each stratum of the parameter: the others follow it where they can
        strata = (np.arange(_CONDITIONALS) + 0.5) * len(z) / _CONDITIONALS
        chosen = np.argsort(z[:, i])[strata.astype(int)]
        full = np.repeat(z[chosen], len(nodes), axis=0)
        full[:, i] = np.tile(nodes, _CONDITIONALS)
        h = self.whole._ratio(full)[:, 0].reshape(_CONDITIONALS, len(nodes))
        log_prior = np.log(np.gradient(nodes)) - 0.5 * nodes**2 - _NORMAL
        h = h - logsumexp(h + log_prior, axis=1, keepdims=True)
        mass = np.exp(h + log_prior)
        if np.median(1.0 / (mass**2).sum(axis=1)) < _RESOLVED:
            return _binned(z[:, i])
        return nodes, logsumexp(h, axis=0) - np.log(_CONDITIONALS)


def _binned(z):
    """Nodes and log ratios of as many draws z (n,) in every bin."""
    edges = np.quantile(z, np.linspace(0, 1, _BINS + 1))
    edges = edges[np.diff(edges, prepend=edges[0] - 1.0) > 1e-9]
    count = np.histogram(z, edges)[0]
    h = np.log(np.maximum(count, 0.5) / len(z)) - np.log(np.diff(ndtr(edges)))
    return 0.5 * (edges[1:] + edges[:-1]), h


def _nodes(z):
    """Ascending nodes over the draws z (n,) and a little beyond."""
    low, high = z.min(), z.max()
    pad = 0.05 * (high - low)
    even = np.linspace(low - pad, high + pad, _NODES)
    nodes = np.sort(np.concatenate([even, np.quantile(z, np.linspace(0, 1, _NODES))]))
    apart = 1e-6 * (nodes[-1] - nodes[0])
    return nodes[np.diff(nodes, prepend=nodes[0] - 1.0) > apart]


def _extended(z, nodes, h):
    """h at z: linear between nodes, beyond them falling on as steeply as at the end."""
    left = max((h[1] - h[0]) / (nodes[1] - nodes[0]), 0.0)
    right = min((h[-1] - h[-2]) / (nodes[-1] - nodes[-2]), 0.0)
    below, above = np.minimum(z - nodes[0], 0.0), np.maximum(z - nodes[-1], 0.0)
    return np.interp(z, nodes, h) + left * below + right * above
