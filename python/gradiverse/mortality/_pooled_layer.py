"""One set of cells under one learned covariance: forecast, update, law of errors."""

import numpy as np

from ..gp import condition
from ._pooled_calibrate import Calibration
from ._pooled_joint import CellLaw, Correlation
from ._pooled_kernel import KernelForm, dispersion, white_variance
from ._pooled_learn import learn

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

    def __init__(self, panel, pool, training_years):
        self.panel, self.training_years = panel, training_years
        self.unit, _ = codes([u for u, _ in panel.cells])
        self.age, ages = codes([a for _, a in panel.cells])
        self.blocks = [(b, self.age[b.cells], True) for b in panel.blocks()]
        n_groups = len(ages)
        if pool is not None:
            known = {a: i for i, a in enumerate(ages)} if len(ages) > 1 else {}
            other = np.array([known.get(a, len(ages)) for _, a in pool.cells], int)
            n_groups += 1
            self.blocks += [(b, other[b.cells], False) for b in pool.blocks()]
        learned = learn(
            [b for b, _, _ in self.blocks], [g for _, g, _ in self.blocks], n_groups
        )
        self.theta, self.learned = learned.theta, learned
        for block, _, _ in self.blocks:
            block.spectrum(self.theta)
        self.drift = learned.drift[self.age]
        self.drift_variance = learned.drift_variance[self.age]
        self._calibrations = {}

    def calibration(self, first):
        """Variance factors by week, degrees of freedom, shares; weeks < first given."""
        if first not in self._calibrations:
            check = Calibration(self.panel.offset, first, self.unit, self.age)
            for block, group, mine in self.blocks:
                check.add(block, self.learned.drift[group], mine)
            self._calibrations[first] = (*check.factors(), check.shares())
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

    def update(self, mean, cov, observed, first):
        """Condition on the finite `observed` (C', W); weeks from `first` on."""
        C, W = mean.shape
        rest = np.arange(first, W)
        out, out_cov = np.empty((C, len(rest))), np.empty((C, len(rest), len(rest)))
        for i, mask in _patterns(np.isfinite(observed)):
            seen = np.flatnonzero(mask)
            keep = np.r_[seen, rest]
            out[i], out_cov[i] = _condition(
                cov[np.ix_(i, keep, keep)],
                mean[np.ix_(i, keep)],
                np.arange(len(seen)),
                observed[np.ix_(i, seen)],
            )
        return out, out_cov

    def predict(self, cells, days_now, year, observed, first):
        """Mean, law and degrees of freedom of the weeks from `first` on, in deaths.

        Also mean and sd (C', W) of all weeks before conditioning on `observed`.
        """
        mean, cov = self.forecast(cells, days_now, year)
        base = self.panel.profile()[cells] * days_now
        noise = base**2 * (
            self.count_noise(cells, days_now) + white_variance(self.theta)
        )
        prior_sd = base * np.sqrt(np.einsum("cii->ci", cov))
        prior_mean = base * np.maximum(1.0 + mean, LEAST_MEAN)
        mean, cov = self.update(mean, cov, observed, first)
        ahead = base[:, first:]
        diagonal = np.arange(ahead.shape[1])
        cov[:, diagonal, diagonal] -= noise[:, first:] / ahead**2
        value, vector = np.linalg.eigh(cov)
        root = (vector * np.sqrt(np.clip(value, 0.0, None))[:, None]) @ np.swapaxes(
            vector, 1, 2
        )
        kappa, dof, shares = self.calibration(first)
        mean = ahead * np.maximum(1.0 + mean, LEAST_MEAN)
        noise = dispersion(self.theta) * mean + white_variance(self.theta) * ahead**2
        factor = (np.sqrt(kappa) * ahead)[..., None] * root
        unit, _ = codes(self.unit[cells])
        age, _ = codes(self.age[cells])
        law = CellLaw(factor, noise, Correlation(unit, age, shares))
        return mean, law, dof, prior_mean, prior_sd
