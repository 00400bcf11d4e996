"""Posteriors: prior times estimated ratio, for all parameters or for marginals."""

import numpy as np
from scipy.special import logsumexp, ndtri

from . import _distributions as family
from ._coordinates import column_log_prob, subsets
from ._marginal import Drawn, Marginal, rows_of
from ._recalibrate import Levels, log_weight
from ._rows import count, generator
from ._sampling import anneal

__all__ = ["Posterior"]

_CELLS = 2048
_FAR = 38.0  # normal scores beyond are not finite in double precision
_DEEP = 30.0  # log ratios this far below the largest one are left out when zooming


class Posterior(Drawn):
    """Posterior of one observation; made by ``estimator.posterior(x)``.

    Parameters
    ----------
    coordinates : Coordinates
        Prior, subsets of parameters, and their normal scores.
    ratio : callable
        Normal scores (n, d) -> log ratios (n, marginals).
    normalised : bool
        Whether E_prior exp(h) estimates the evidence ratio: not so for NRE-B.
    x : array, optional
        The observation, kept for checks.
    pool, steps : int
        Of the sampler of more than one parameter: draws of the prior at the start, and
        moves of each draw at the end.
    tilts : (marginals, 4) array, optional
        Of recalibrated one-dimensional marginals.

    Attributes
    ----------
    prior : Prior
        The prior of training (in its box).
    bounds : (d, 2) array
        Its support or box.
    marginals : tuple of tuples of int
    names : list of str

    Notes
    -----
    p(θ|x) = p(θ) e^h / Z. One-dimensional marginals are tabulated on cells of equal
    prior mass, refined around the peak; others are sampled by weighted prior draws and
    an ensemble of chains.

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse.inference import NRE, Prior
    >>> prior = Prior(a=(-1.0, 1.0))
    >>> rng = np.random.default_rng(0)
    >>> theta = prior.sample(2000, rng)
    >>> x = theta + 0.2 * rng.normal(size=theta.shape)
    >>> post = NRE(prior, epochs=5).fit(theta, x).posterior([0.3])
    >>> post.sample(4, rng=0).shape, post.log_prob([[0.3], [2.0]]).shape
    ((4, 1), (2,))
    """

    def __init__(
        self, coordinates, ratio, *, normalised=True, x=None, pool=50_000, steps=40,
        tilts=None,
    ):  # fmt: skip
        self._coordinates = coordinates
        self._ratio = ratio
        self._normalised = normalised
        self.x = x
        self.pool, self.steps = int(pool), int(steps)
        self.prior = coordinates.prior if coordinates.joint else coordinates.own
        self.marginals = coordinates.marginals
        self.names = list(self.prior.names)
        self.d, self.bounds = self.prior.d, self.prior.bounds
        self.joint = coordinates.joint
        self._one = [g for g, m in enumerate(self.marginals) if len(m) == 1]
        self._table, self._tilts, self._levels = None, tilts, None
        self._evidence = {}
        self._correlation = _correlation(self.prior)

    def __repr__(self):
        if self.joint:
            what = f"all of {', '.join(self.names)}"
        else:
            what = f"{len(self.marginals)} marginals of {', '.join(self.names)}"
        return f"<posterior of {what}>"

    # --- densities ------------------------------------------------------------------
    def log_ratio(self, theta):
        """ln p(x|θ)/p(x), as estimated.

        Parameters
        ----------
        theta : (n, d) array

        Returns
        -------
        (n,) array for a joint posterior, else (n, marginals)
        """
        theta = self._theta(theta)
        h = self._recalibrated(self._ratio(self._coordinates.scores(theta)), theta)
        return h[:, 0] if self.joint else h

    def log_prob(self, theta):
        """Normalised log densities; -inf outside the prior's support or box.

        Parameters
        ----------
        theta : (n, d) array

        Returns
        -------
        (n,) array for a joint posterior, else (n, marginals): of each subset
        """
        theta = self._theta(theta)
        z = self._coordinates.scores(theta)
        z = np.clip(np.nan_to_num(z, nan=0.0), -_FAR, _FAR)  # finite on edges too
        h = self._recalibrated(self._ratio(z), theta)
        log_z = np.array([self._log_z(g) for g in range(len(self.marginals))])
        if self.joint:
            return self.prior.log_prob(theta) + h[:, 0] - log_z[0]
        columns = column_log_prob(self.prior, theta)
        prior = [
            columns[:, list(m)].sum(1) + self._correlated(z[:, list(m)], m)
            for m in self.marginals
        ]
        return np.stack(prior, 1) + h - log_z

    @property
    def log_evidence(self):
        """ln Z = ln E_prior e^h: a float, or one per marginal; 0 for an exact ratio.

        The evidence relative to that of the training data, p(x_o) / p(x_o) under the
        model of training: far from 0, the network does not know such data.

        Raises
        ------
        ValueError
            For NRE-B and SNRE, whose log ratios have an arbitrary offset.
        """
        if not self._normalised:
            raise ValueError(
                "log_evidence: the log ratio has a free offset (NRE-B, or simulations"
                " that are no draws of the prior); train with loss='nre-c' or 'nre-a'"
                " on draws of the prior"
            )
        values = np.array([self._log_z(g) for g in range(len(self.marginals))])
        return float(values[0]) if self.joint else values

    def _log_z(self, g):
        """ln Z of one marginal."""
        if g not in self._evidence:
            if len(self.marginals[g]) == 1:
                low, high, h, _ = self._curve(g)
                value = logsumexp(h) + np.log((high - low) / _CELLS)
            else:
                draws = self._subset_draws(g, 10_000, np.random.default_rng(7))
                value = draws.log_evidence
            self._evidence[g] = value
        return self._evidence[g]

    # --- draws ----------------------------------------------------------------------
    def sample(self, n, rng):
        """Draws of the posterior.

        Parameters
        ----------
        n : int
        rng : int, SeedSequence or numpy Generator

        Returns
        -------
        (n, d) array
            Marginals that share no parameter are drawn independently of one another:
            the smallest subsets first, until all parameters are covered.

        Raises
        ------
        ValueError
            If some parameter is in no marginal, or n is negative.
        """
        rng, n = generator(rng), count(n)
        out = np.full((n, self.d), np.nan)
        for g in self._cover():
            m = list(self.marginals[g])
            draws = self._subset_sample(g, n, rng)
            free = np.isnan(out[0, m]) if n else np.ones(len(m), bool)
            out[:, np.array(m)[free]] = draws[:, free]
        return out

    def sample_marginal(self, g, n, rng):
        """Draws (n, k) of the g-th subset of parameters."""
        if g not in range(len(self.marginals)):
            raise ValueError(f"sample_marginal: {g!r} of {len(self.marginals)} subsets")
        return self._subset_sample(g, count(n), generator(rng))

    def marginal(self, i):
        """The posterior of one marginal.

        Parameters
        ----------
        i : int, str or tuple
            A parameter, or a tuple of parameters in any order, that the estimator has
            a head for.

        Returns
        -------
        Marginal
            With `sample`, `log_prob`, `log_ratio`, `corner` and exports, all of these
            parameters' columns in this order.

        Raises
        ------
        ValueError, TypeError
            If there is no such parameter, or the estimator has no such head; of a joint
            posterior take columns of ``sample``.
        """
        (want,) = subsets([i], self.d, self.names)
        for g, m in enumerate(self.marginals):
            if set(m) == set(want):
                return Marginal(self, g, want)
        raise ValueError(
            f"no head for the marginal {want}; there are {list(self.marginals)[:20]}."
            " Of a joint posterior take columns of .sample"
        )

    def _cover(self):
        chosen, done = [], set()
        sizes = sorted(range(len(self.marginals)), key=lambda g: len(self.marginals[g]))
        for strict in (True, False):
            for g in sizes:
                m = set(self.marginals[g])
                if (not m & done) if strict else (m - done):
                    chosen.append(g)
                    done |= m
        if len(done) < self.d:
            missing = [self.names[i] for i in range(self.d) if i not in done]
            raise ValueError(
                f"sample: {', '.join(missing)} are in no marginal of this estimator;"
                " use .marginal(...) for those that are"
            )
        return chosen

    def _subset_sample(self, g, n, rng):
        m = list(self.marginals[g])
        if len(m) == 1:
            low, high, _, cumulative = self._curve(g)
            cell = np.searchsorted(cumulative, rng.random(n) * cumulative[-1])
            u = low + (np.minimum(cell, _CELLS - 1) + rng.random(n)) * (
                (high - low) / _CELLS
            )
            full = np.full((n, self.d), 0.5)
            full[:, m[0]] = u
            return self._coordinates.prior.ppf(full)[:, m]
        full = self._subset_draws(g, n, rng).z
        if not self.joint:  # whose draws are of all parameters, in the prior's order
            full, part = np.zeros((n, self.d)), full
            full[:, m] = part
        return self._coordinates.theta(full)[:, m]

    def _subset_draws(self, g, n, rng):
        k, ratio = len(self.marginals[g]), self._subset_ratio(g)
        return anneal(ratio, k, n, rng, pool=self.pool, last=self.steps)

    def _subset_ratio(self, g):
        m = list(self.marginals[g])
        if self.joint:
            return lambda z: self._ratio(z)[:, 0]

        def ratio(z):
            full = np.zeros((len(z), self.d))
            full[:, m] = z
            return self._ratio(full)[:, g] + self._correlated(z, m)

        return ratio

    def _correlated(self, z, m):
        """Log density of correlated priors relative to independent ones."""
        if self._correlation is None or len(m) == 1:
            return 0.0
        r = self._correlation[np.ix_(m, m)]
        quadratic = (z * (z - np.linalg.solve(r, z.T).T)).sum(1)
        return 0.5 * quadratic - 0.5 * np.linalg.slogdet(r)[1]

    # --- one-dimensional tables -----------------------------------------------------
    def _curve(self, g):
        """low, high (in u), h and cumulative weights on cells, of a 1-D marginal."""
        if self._table is None:
            self._table = self._tabulate()
        return self._table[g]

    def _tabulate(self):
        one = np.array(self._one)
        cols = np.array([self.marginals[g][0] for g in one])
        low, high = np.zeros(self.d), np.ones(self.d)
        middle = _middles()
        for _ in range(12):
            u = low + middle[:, None] * (high - low)
            h = np.asarray(self._ratio(ndtri(u))[:, one], dtype=np.float64)
            if not np.isfinite(h).all():
                raise ValueError(
                    "the log ratio is not finite inside the prior; the network has"
                    " diverged: train again with a smaller learning rate"
                )
            keep = h > h.max(0) - _DEEP
            first, last = keep.argmax(0), _CELLS - keep[::-1].argmax(0)
            width = (high - low) / _CELLS
            new_low, new_high = low.copy(), high.copy()
            new_low[cols] = np.maximum(low[cols] + (first - 1) * width[cols], low[cols])
            new_high[cols] = np.minimum(
                low[cols] + (last + 1) * width[cols], high[cols]
            )
            if ((new_high - new_low) > 0.5 * (high - low)).all():
                break
            low, high = new_low, new_high
        if self._tilts is not None:
            h = self._tilted_cells(low, high, h, one, cols)
        weights = np.cumsum(np.exp(h - h.max(0)), axis=0)
        return {
            g: (low[c], high[c], h[:, k], weights[:, k])
            for k, (g, c) in enumerate(zip(one, cols, strict=True))
        }

    def credibility(self, theta, region="density"):
        """Mass of each one-dimensional marginal where it is higher than at theta.

        Read from the tables that draws are made with: no draws are needed.

        Parameters
        ----------
        theta : (d,) array
        region : "density" or "ratio"
            What "higher" refers to: the posterior density, or its ratio to the prior.

        Returns
        -------
        (marginals,) array
            Near 0 at the mode and near 1 in the tails; uniform over draws of a
            calibrated posterior.

        Raises
        ------
        ValueError
            If a marginal has more than one parameter.
        """
        if region not in ("density", "ratio"):
            raise ValueError(
                f"credibility: region={region!r}; choose 'density' or 'ratio'"
            )
        if len(self._one) < len(self.marginals):
            raise ValueError(
                "credibility: only for posteriors of one-dimensional marginals; others"
                " need draws, as gv.inference.coverage takes them"
            )
        theta = self._theta(theta)
        if len(theta) != 1:
            raise ValueError(
                f"credibility: theta has shape {theta.shape}; expected ({self.d},), the"
                " parameters of one observation"
            )
        columns = [self.marginals[g][0] for g in self._one]
        low, high, h, below = (
            np.stack(parts, axis=-1)
            for parts in zip(*map(self._curve, self._one), strict=True)
        )
        here = self.log_ratio(theta)
        here = (here[:, None] if self.joint else here)[0]
        if region == "density":
            h = h + self._prior_cells(low, high, columns)
            here = here + column_log_prob(self.prior, theta)[0, columns]
        mass = np.diff(below, axis=0, prepend=0.0)
        higher = 0.5 * ((h > here) + (h >= here) * 1.0)  # ties count half
        return (mass * higher).sum(0) / below[-1]

    def _prior_cells(self, low, high, columns):
        """ln prior density of these columns in the cells between low and high."""
        u = np.full((_CELLS, self.d), 0.5)
        u[:, columns] = low + _middles()[:, None] * (high - low)
        cells = column_log_prob(self.prior, self._coordinates.prior.ppf(u))
        return cells[:, columns]

    # --- recalibration --------------------------------------------------------------
    def _tilted_cells(self, low, high, h, one, cols):
        density = h + self._prior_cells(low[cols], high[cols], cols)
        mass = np.exp(h - h.max(0))
        mass /= mass.sum(0)
        self._levels = {g: Levels(density[:, k], mass[:, k]) for k, g in enumerate(one)}
        tilts = [
            log_weight(self._tilts[g], self._levels[g](density[:, k]))
            for k, g in enumerate(one)
        ]
        return h + np.stack(tilts, axis=1)

    def _recalibrated(self, h, theta):
        """Log ratios h (n, marginals) at theta with the tilts."""
        if self._tilts is None:
            return h
        if self._table is None:
            self._table = self._tabulate()
        columns = [m[0] for m in self.marginals]
        density = h + column_log_prob(self.prior, theta)[:, columns]
        tilts = [
            log_weight(t, self._levels[g](density[:, g]))
            for g, t in enumerate(self._tilts)
        ]
        return h + np.stack(tilts, axis=1)

    def _theta(self, theta):
        return rows_of(theta, self.names, "theta")


def _middles():
    """Centres of the cells of a table, in its range."""
    return (np.arange(_CELLS) + 0.5) / _CELLS


def _correlation(prior):
    """Correlation matrix of the prior; None if its parameters are independent."""
    out = None
    for cols, part in prior._parts:
        if isinstance(part, family.Correlated):
            out = np.eye(prior.d) if out is None else out
            sd = np.sqrt(np.diag(part.covariance))
            out[cols, cols] = part.covariance / np.outer(sd, sd)
    return out
