"""Posteriors given the observation and one more: calibration where it matters."""

from ._pairs import posterior_of
from ._sampling import anneal
from ._streams import stream
from .posterior import Posterior

__all__ = ["Around"]

_MOVES = 8


class Around:
    """Estimator of the posterior given x_obs and further data; by `SNRE.around`.

    Parameters
    ----------
    estimator : NRE
    posterior : Posterior
        Joint, of x_obs.
    n : int
        Draws of it that are kept.
    rng : seed
    """

    def __init__(self, estimator, posterior, n, rng):
        self._estimator, self._given = estimator, posterior
        self.prior, self.names = posterior.prior, posterior.names
        coordinates = estimator.coordinates
        self._z = coordinates.scores(posterior.sample(n, stream(rng, "around")))

    def __repr__(self):
        return f"<posteriors about one observation, {len(self._z)} draws>"

    def sample(self, n, rng):
        """Truths (n, d): draws of the posterior of x_obs, none of them twice.

        Parameters
        ----------
        n : int
            At most as many as are kept.
        rng : seed
        """
        if n > len(self._z):
            raise ValueError(
                f"around: {n} truths of {len(self._z)} draws; give SNRE.around(n=...)"
            )
        rows = stream(rng, "around.sample").choice(len(self._z), n, replace=False)
        return self._estimator.coordinates.theta(self._z[rows])

    def posterior(self, x):
        """The posterior given x_obs and x.

        Parameters
        ----------
        x : array of the shape of one simulation, or dict of arrays

        Returns
        -------
        Posterior
        """
        more = posterior_of(self._estimator, x)
        return _Both(self._estimator.coordinates, self._given, more, self._z)


class _Both(Posterior):
    """Of two observations, sampled from draws of the posterior of the first."""

    def __init__(self, coordinates, first, second, z):
        def ratio(z):
            return first._ratio(z) + second._ratio(z)

        super().__init__(coordinates, ratio, normalised=False, x=second.x)
        self._first, self._second, self._z = first, second, z

    def _log_z(self, g):
        if self.d == 1:
            return super()._log_z(g)
        # draws are weighed relative to the posterior of the first observation
        return super()._log_z(g) + self._first._log_z(g)

    def _subset_draws(self, g, n, rng):
        return anneal(
            lambda z: self._second._ratio(z)[:, 0], self.d, n, rng, steps=_MOVES,
            last=_MOVES, least=1000, start=self._z,
            base=lambda z: self._first._ratio(z)[:, 0],
        )  # fmt: skip
