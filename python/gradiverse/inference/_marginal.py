"""Posteriors of some parameters, and what is made of draws of any posterior."""

import numpy as np

from ._coordinates import subsets
from ._rows import count, generator

__all__ = ["Drawn", "Marginal", "count", "rows_of"]


class Drawn:
    """Summaries of draws, for whatever has sample, names, bounds and d."""

    def _moments(self):
        if not hasattr(self, "_mean"):
            draws = self.sample(20_000, 11)
            self._mean, self._std = draws.mean(0), draws.std(0)
        return self._mean, self._std

    @property
    def mean(self):
        """Posterior mean (d,), from 20 000 draws with a fixed seed."""
        return self._moments()[0]

    @property
    def std(self):
        """Posterior standard deviation (d,), from 20 000 draws with a fixed seed."""
        return self._moments()[1]

    def corner(self, n=20_000, rng=0, truth=None, fig=None, which=None):
        """One- and two-dimensional histograms of draws.

        Two-dimensional panels of an estimator without joint head show its own 2-D
        marginals, and are left empty where it has none.

        Parameters
        ----------
        n : int
        rng : seed
        truth : (d,) array, optional
            Marked in every panel.
        fig : matplotlib Figure, optional
        which : list of indices or names, optional
            Parameters shown, at most 15; all of them by default.

        Returns
        -------
        matplotlib Figure
        """
        from ._corner import corner

        if count(n) < 2:
            raise ValueError(f"corner: n={n}; give at least 2 draws")
        if which is not None:
            (which,) = subsets([which], self.d, self.names)
        return corner(self, n, generator(rng), truth, fig, which)

    def to_getdist(self, n=10_000, rng=0):
        """Draws as ``getdist.MCSamples`` (needs the package getdist)."""
        from ._exports import to_getdist

        return to_getdist(self, n, generator(rng))

    def to_arviz(self, n=10_000, rng=0):
        """Draws as arviz inference data, one chain (needs the package arviz)."""
        from ._exports import to_arviz

        return to_arviz(self, n, generator(rng))


class Marginal(Drawn):
    """Posterior of a subset of the parameters; made by `Posterior.marginal`.

    Parameters
    ----------
    posterior : Posterior
    g : int
        Of its marginals.
    indices : tuple of int, optional
        The same parameters in another order.
    """

    joint = True  # draws are of all its parameters at once

    def __init__(self, posterior, g, indices=None):
        self._posterior, self._g = posterior, g
        self.indices = posterior.marginals[g] if indices is None else indices
        self.names = [posterior.names[i] for i in self.indices]
        self.bounds = posterior.bounds[list(self.indices)]
        self.d = len(self.indices)

    def __repr__(self):
        return f"<marginal posterior of {', '.join(self.names)}>"

    def sample(self, n, rng):
        """Draws (n, k)."""
        order = [self._posterior.marginals[self._g].index(i) for i in self.indices]
        return self._posterior.sample_marginal(self._g, n, rng)[:, order]

    def log_prob(self, values):
        """Normalised log density (n,) at values (n, k)."""
        return self._of(self._posterior.log_prob, values)

    def log_ratio(self, values):
        """ln p(x|values)/p(x) (n,), as estimated, at values (n, k)."""
        return self._of(self._posterior.log_ratio, values)

    def _of(self, f, values):
        """A function of all parameters; those of no part in it are anywhere."""
        values = rows_of(values, self.names, "values")
        post = self._posterior
        theta = post._coordinates.theta(np.zeros((1, post.d)))
        theta = np.repeat(theta, len(values), axis=0)
        theta[:, list(self.indices)] = values
        found = f(theta)
        return found if post.joint else found[:, self._g]


def rows_of(values, names, what):
    """values as (n, k), of which one row may be given as a vector."""
    values = np.asarray(values, dtype=np.float64)
    if values.shape == (len(names),):
        values = values[None]
    if values.ndim != 2 or values.shape[1] != len(names):
        raise ValueError(
            f"{what} has shape {values.shape}; expected (n, {len(names)}), one column"
            f" for each of {', '.join(names)}"
        )
    return values
