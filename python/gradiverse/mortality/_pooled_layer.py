"""One set of cells under one learned covariance: forecast, update, law of errors."""

import numpy as np

from ..gp import condition
from ._pooled_calibrate import correlation_shares, held_out, variance_factors
from ._pooled_joint import CellLaw
from ._pooled_kernel import KernelForm, dispersion, white_variance
from ._pooled_learn import learn
from ._pooled_severity import severity
from ._pooled_shared import shared_update, symmetric_root

LEAST_MEAN = 1e-3
CHUNK = 4_000_000


def _condition(K, mean, observed, values):
    """Mean and covariance of the rest of normal vectors, given some entries.

    Parameters
    ----------
    K : (B, T, T);  mean : (B, T);  observed : (n,) ints;  values : (B, n)

    Returns
    -------
    (B, T - n), (B, T - n, T - n); the rest keeps its order.
    """
    if len(observed) == 0:
        return mean, K
    return condition(K, mean, observed, values)


def _patterns(ok):
    """(rows, mask) for every distinct row of a boolean array."""
    masks, inverse = np.unique(ok, axis=0, return_inverse=True)
    inverse = inverse.ravel()
    return [(np.flatnonzero(inverse == k), m) for k, m in enumerate(masks)]


def codes(labels):
    """Integer codes of hashable labels, by first appearance, and the labels."""
    place = {}
    code = np.array([place.setdefault(x, len(place)) for x in labels], int)
    return code, list(place)


class Layer:
    """One set of cells with its learned covariance: all there is without ages."""

    def __init__(self, panel, pool, training_years, shared):
        self.panel, self.training_years, self.shared = panel, training_years, shared
        self.unit, _ = codes([u for u, _ in panel.cells])
        self.age, ages = codes([a for _, a in panel.cells])
        self.blocks = [(b, self.age[b.cells], True) for b in panel.blocks()]
        families = np.zeros(len(ages), int)
        if pool is not None:
            other, pool_ages = codes([a for _, a in pool.cells])
            other = len(ages) + other
            families = np.r_[families, np.ones(len(pool_ages), int)]
            self.blocks += [(b, other[b.cells], False) for b in pool.blocks()]
        learned = learn(
            [b for b, _, _ in self.blocks], [g for _, g, _ in self.blocks], families
        )
        self.theta, self.learned = learned.theta, learned
        for block, _, _ in self.blocks:
            block.spectrum(self.theta)
        self.drift = learned.drift[self.age]
        self.drift_variance = learned.drift_variance[self.age]
        self.group = codes(panel.phase)[0]
        self.pool_group = None if pool is None else codes(pool.phase)[0]
        self._calibrations, self._held = {}, None

    def _held_out(self):
        """Held-out years of the cells and of the pool, made once."""
        if self._held is None:
            self._held = []
            for mine in (True, False):
                chosen = [(b, g) for b, g, m in self.blocks if m == mine]
                self._held.append(
                    held_out(
                        [b for b, _ in chosen],
                        [self.learned.drift[g] for _, g in chosen],
                        len(self.panel.weeks),
                    )
                )
        return self._held

    def calibration(self, first):
        """Variance factors by week, degrees of freedom, shares; weeks < first given.

        Units share their common part before conditioning (``_pooled_shared``); parts of
        units are conditioned one by one and share what is left.
        """
        if first not in self._calibrations:
            own, pool = self._held_out()
            offset = self.panel.offset
            if self.shared:
                shares = correlation_shares(own, [self.group], offset)
                sets = [(own, self.group, shares[0])]
                if pool:
                    other = correlation_shares(pool, [self.pool_group], offset)
                    sets.append((pool, self.pool_group, other[0]))
            else:
                codes = [np.zeros_like(self.unit), self.unit, self.age]
                shares = correlation_shares(own, codes, offset, first)
                sets = [(own, self.group, 0.0)]
                if pool:
                    sets.append((pool, self.pool_group, 0.0))
            factors = variance_factors(sets, offset, first)
            self._calibrations[first] = (*factors, shares)
        return self._calibrations[first]

    def count_noise(self, cells, days):
        """Relative count variance (C', n) for exposures `days` over the week axis."""
        profile = self.panel.profile()[cells]
        tiles = days.shape[1] // profile.shape[1]
        return dispersion(self.theta) / (np.tile(profile, (1, tiles)) * days)

    def forecast(self, cells, days_now, year):
        """Mean (C', W) and covariance (C', W, W) of the year's relative deviations.

        Conditional on the earlier (and later) years; noise is on the diagonal.
        """
        p, W = self.panel, len(self.panel.weeks)
        use = p.years != year
        if self.training_years is not None:
            use &= p.years >= year - self.training_years
        rows = np.flatnonzero(use)
        n = len(rows) * W
        years = np.r_[p.years[rows], year]
        time = (years[:, None] + p.offset).ravel()
        past = p.u[cells][:, rows].reshape(len(cells), n)
        days = p.days[cells][:, rows].reshape(len(cells), n)
        noise = self.count_noise(cells, np.concatenate([days, days_now], axis=1))
        noise += white_variance(self.theta)
        mean, cov = np.empty((len(cells), W)), np.empty((len(cells), W, W))
        for phase in np.unique(p.phase[cells]):
            form = KernelForm(
                time, np.repeat(years, W), np.tile(np.arange(W), len(years)), phase
            )
            K = form.matrix(self.theta)
            mine = np.flatnonzero(p.phase[cells] == phase)
            for members, mask in _patterns(np.isfinite(past[mine])):
                self._forecast_group(
                    mine[members], mask, K, form, noise, past, cells, mean, cov
                )
        return mean, cov

    def _forecast_group(self, members, mask, K, form, noise, past, cells, mean, cov):
        """Cells that share their observed entries, a chunk at a time."""
        n, W = mask.size, mean.shape[1]
        seen = np.flatnonzero(mask)
        keep = np.r_[seen, n + np.arange(W)]
        small = K[np.ix_(keep, keep)]
        centre = form.time[seen].mean() if len(seen) else form.time.mean()
        x = form.time[keep] - centre
        diagonal = np.arange(len(keep))
        step = max(1, CHUNK // len(keep) ** 2)
        for a in range(0, len(members), step):
            i = members[a : a + step]
            C = small + self.drift_variance[cells[i], None, None] * np.outer(x, x)
            C[:, diagonal, diagonal] += noise[np.ix_(i, keep)]
            prior = self.drift[cells[i], None] * x
            mean[i], cov[i] = _condition(
                C, prior, np.arange(len(seen)), past[np.ix_(i, seen)]
            )

    def predict(self, cells, days_now, year, observed, first):
        """Mean, law and degrees of freedom of the weeks from `first` on, in deaths.

        Also mean and sd (C', W) of all weeks before conditioning on `observed`.
        """
        mean, cov = self.forecast(cells, days_now, year)
        base = self.panel.profile()[cells] * days_now
        noise = self.count_noise(cells, days_now) + white_variance(self.theta)
        prior_sd = base * np.sqrt(np.einsum("cii->ci", cov))
        prior_mean = base * np.maximum(1.0 + mean, LEAST_MEAN)
        diagonal = np.arange(mean.shape[1])
        cov[:, diagonal, diagonal] -= noise
        if self.shared and first:
            self._severe(cells, cov, noise, observed - mean, year, first)
        kappa, dof, shares = self.calibration(first)
        shift, common, own = shared_update(
            symmetric_root(cov),
            noise,
            observed - mean,
            first,
            codes(self.group[cells])[0],
            shares[0] if self.shared else 0.0,
        )
        ahead = base[:, first:]
        mean = ahead * np.maximum(1.0 + mean[:, first:] + shift, LEAST_MEAN)
        noise = dispersion(self.theta) * mean + white_variance(self.theta) * ahead**2
        size = (np.sqrt(kappa) * ahead)[..., None]
        terms = self._terms(cells, size * common, size * own, shares)
        return mean, CellLaw(terms, noise), dof, prior_mean, prior_sd

    def _severe(self, cells, cov, noise, seen, year, first):
        """Add to the covariances what severe epidemics of the year would make them."""
        W = cov.shape[1]
        epidemic = np.empty((len(cells), W, W))
        for phase in np.unique(self.panel.phase[cells]):
            form = KernelForm(
                year + self.panel.offset, np.full(W, year), np.arange(W), phase
            )
            epidemic[self.panel.phase[cells] == phase] = form.epidemic(self.theta)
        g = slice(first)
        size = severity(
            cov[:, g, g],
            epidemic[:, g, g],
            noise[:, g],
            seen[:, g],
            codes(self.group[cells])[0],
            self.learned.share,
        )
        cov += (size - 1.0)[:, None, None] * epidemic

    def _terms(self, cells, common, own, shares):
        """Factors of the law and the groups of cells that share them."""
        alone = np.arange(len(cells))
        if self.shared:
            return [(common, codes(self.group[cells])[0]), (own, alone)]
        groups = [np.zeros_like(alone), codes(self.unit[cells])[0]]
        groups += [codes(self.age[cells])[0], alone]
        pairs = zip(groups, shares, strict=True)
        return [(np.sqrt(s) * own, code) for code, s in pairs if s > 0.0]
