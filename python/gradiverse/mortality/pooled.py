"""Expected deaths by a Gaussian process in calendar time, pooled over cells.

All cells (units, or units x ages) share one covariance of their relative deviations
(``_pooled_kernel``), learned by marginal likelihood from every cell and year given
(``_pooled_learn``).  A cell's expected deaths follow by conditioning on its own earlier
years and on the given weeks of the current year; slope and level are part of the
covariance, so that their error is part of the result.  How large and how shared errors
are is checked on held-out years (``_pooled_calibrate``); the joint law over cells is in
``_pooled_joint``.  With ages, totals of units and the ages' parts of them are modelled
apart and combined so that ages add up.
"""

import numpy as np

from ._pooled_calibrate import Calibration
from ._pooled_joint import CellLaw, Correlation, Prediction, SplitLaw, SubsetLaw
from ._pooled_kernel import KernelForm, describe, dispersion, white_variance
from ._pooled_learn import learn
from ._pooled_panel import RelativePanel

LEAST_MEAN = 1e-3
LEAST_RATIO = 0.2
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
    rest = np.setdiff1d(np.arange(K.shape[-1]), observed)
    cov, out = K[:, rest[:, None], rest], mean[:, rest]
    if len(observed) == 0:
        return out, cov
    cross = K[:, observed[:, None], rest]
    shift = (values - mean[:, observed])[..., None]
    L = np.linalg.cholesky(K[:, observed[:, None], observed])
    half = np.linalg.solve(L, np.concatenate([cross, shift], axis=2))
    left = np.swapaxes(half[..., :-1], 1, 2)
    cov = cov - left @ half[..., :-1]
    return out + (left @ half[..., -1:])[..., 0], 0.5 * (cov + np.swapaxes(cov, 1, 2))


def _patterns(ok):
    """(rows, mask) for every distinct row of a boolean array."""
    masks, inverse = np.unique(ok, axis=0, return_inverse=True)
    inverse = inverse.ravel()
    return [(np.flatnonzero(inverse == k), m) for k, m in enumerate(masks)]


def _codes(labels):
    """Integer codes of hashable labels, by first appearance, and the labels."""
    place = {}
    code = np.array([place.setdefault(x, len(place)) for x in labels], int)
    return code, list(place)


class _Layer:
    """One set of cells with its learned covariance: all there is without ages."""

    def __init__(self, panel, pool, training_years):
        self.panel, self.training_years = panel, training_years
        self.unit, _ = _codes([u for u, _ in panel.cells])
        self.age, ages = _codes([a for _, a in panel.cells])
        self.blocks = [(b, self.age[b.cells], True) for b in panel.blocks()]
        n_groups = len(ages)
        if pool is not None:
            known = {a: i for i, a in enumerate(ages)} if len(ages) > 1 else {}
            other = np.array([known.get(a, len(ages)) for _, a in pool.cells], int)
            n_groups += 1
            self.blocks += [(b, other[b.cells], False) for b in pool.blocks()]
        learned = learn([b for b, _, _ in self.blocks], [g for _, g, _ in self.blocks],
                        n_groups)
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
            form = KernelForm(time, np.repeat(years, W), np.tile(np.arange(W), len(years)),
                              phase)
            K = form.matrix(self.theta)
            mine = np.flatnonzero(p.phase[cells] == phase)
            for members, mask in _patterns(np.isfinite(past[mine])):
                self._forecast_group(mine[members], mask, K, form, noise, past, cells,
                                     mean, cov)
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
        """Condition each cell on its finite `observed` (C', W); weeks from `first` on."""
        C, W = mean.shape
        rest = np.arange(first, W)
        out, out_cov = np.empty((C, len(rest))), np.empty((C, len(rest), len(rest)))
        for i, mask in _patterns(np.isfinite(observed)):
            seen = np.flatnonzero(mask)
            keep = np.r_[seen, rest]
            out[i], out_cov[i] = _condition(
                cov[np.ix_(i, keep, keep)], mean[np.ix_(i, keep)],
                np.arange(len(seen)), observed[np.ix_(i, seen)],
            )
        return out, out_cov

    def predict(self, cells, days_now, year, observed, first):
        """Everything a law needs: a dict in deaths (see ``_Layer.law``)."""
        mean, cov = self.forecast(cells, days_now, year)
        base = self.panel.profile()[cells] * days_now
        noise = base**2 * (self.count_noise(cells, days_now) + white_variance(self.theta))
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
        unit, _ = _codes(self.unit[cells])
        age, _ = _codes(self.age[cells])
        law = CellLaw(factor, noise, Correlation(unit, age, shares))
        return mean, law, dof, prior_mean, prior_sd


class PooledModel:
    """Gaussian process pooled over units (and ages) with a learned covariance.

    Parameters
    ----------
    training_years : int, optional
        Only this many years before the predicted one enter a cell's own level, slope
        and season; by default all years given.  The covariance is learned from all.

    Attributes
    ----------
    parameters_ : dict
        Learned standard deviations (relative), length scales (years), over-dispersion;
        with ages the same for the ages' parts under ``"parts"``.
    notes, warnings : lists of str

    Notes
    -----
    Pass whole years where they are known, not only the weeks of interest: autumn and
    summer say much about a unit's level.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> years, weeks = np.arange(2012, 2018), np.arange(1, 27)
    >>> rate = 900 * (1 + 0.1 * np.cos(2 * np.pi * weeks / 52.18))
    >>> deaths = rng.poisson(rate, (8, 6, 26)).astype(float)
    >>> cells = [(f"u{i}", None) for i in range(8)]
    >>> days = np.full(deaths.shape, 7.0)
    >>> m = PooledModel().fit(deaths, days, years, weeks, cells)
    >>> p = m.predict(rng.poisson(rate, (8, 26)), days[:, 0], 2018, weeks <= 8)
    >>> p.mean.shape
    (8, 18)
    """

    label = "pooled"

    def __init__(self, training_years=None):
        if training_years is not None and (
            int(training_years) != training_years or training_years < 1
        ):
            raise ValueError(
                f"training_years must be a positive whole number, got {training_years!r}"
            )
        self.training_years = training_years

    def fit(self, counts, days, years, weeks, cells, pool=None):
        """Learn covariance, profiles and drifts.

        Parameters
        ----------
        counts : (C, Y, W) float array, deaths, NaN where absent
        days : (C, Y, W) float array, days of each period
        years : (Y,) ints;  weeks : (W,) ints
        cells : list of (unit, age)
        pool : dict with counts, days, years, cells, optional
            More cells on the same weeks that inform the covariance only.

        Raises
        ------
        ValueError
            No count at all.
        """
        counts, days = np.asarray(counts, float), np.asarray(days, float)
        weeks = np.asarray(weeks, int)
        if not np.isfinite(counts).any():
            raise ValueError("the history has no counts; give at least one earlier year")
        self.notes, self.warnings = [], []
        self.cells, self.weeks = list(cells), weeks
        self.unit, units = _codes([u for u, _ in cells])
        totals = _totals(counts, days, cells)
        panel = RelativePanel(*totals[:2], years, weeks, totals[2])
        other = None if pool is None else self._pool_totals(pool, panel.offset)
        self.top = _Layer(panel, other, self.training_years)
        self.parts = None
        if len(units) < len(self.cells):
            parts = _parts_panel(counts, days, panel, self.cells, self.unit)
            self.parts = _Layer(parts, self._pool_parts(pool, other), self.training_years)
        self._describe(panel, pool)
        return self

    def _pool_totals(self, pool, offset):
        counts, days, cells = _totals(
            np.asarray(pool["counts"], float), np.asarray(pool["days"], float),
            pool["cells"],
        )
        return RelativePanel(counts, days, pool["years"], self.weeks, cells, offset)

    @staticmethod
    def _pool_parts(pool, other):
        """The pool's ages as parts of its totals; None where it has no ages."""
        if pool is None or len(other.cells) == len(pool["cells"]):
            return None
        unit, _ = _codes([u for u, _ in pool["cells"]])
        counts, days = (np.asarray(pool[k], float) for k in ("counts", "days"))
        return _parts_panel(counts, days, other, pool["cells"], unit)

    def _describe(self, panel, pool):
        self.parameters_ = describe(self.top.theta)
        if self.parts is not None:
            self.parameters_["parts"] = describe(self.parts.theta)
        seen = np.isfinite(panel.counts).any(axis=2).sum(axis=1)
        if seen.min() < 2:
            self.notes.append(
                f"{int((seen < 2).sum())} unit(s) have a single year of history: their "
                "slope, season and level lean on the other units and on weak priors."
            )
        south = int((panel.phase > 0).sum())
        if south:
            self.notes.append(
                f"{south} unit(s) have their winter in the middle of the year; the "
                "epidemic season is shifted by half a year for them."
            )

    def predict(self, counts_now, days_now, year, given, cells=None):
        """Joint prediction of the weeks after the last given one.

        Parameters
        ----------
        counts_now, days_now : (C', W) deaths and days of the predicted year
            Weeks that are not given may hold anything; given weeks that are NaN are not
            conditioned on.
        year : int
        given : (W,) bool
        cells : (C',) ints, optional
            Indices of the fitted cells; all by default.

        Returns
        -------
        Prediction
        """
        C, W = len(self.cells), len(self.weeks)
        cells = np.arange(C) if cells is None else np.asarray(cells, int)
        given = np.asarray(given, bool)
        now = np.asarray(counts_now, float)
        if now.shape != (len(cells), W) or given.shape != (W,):
            raise ValueError(
                f"counts_now has shape {now.shape} and given {given.shape}; expected "
                f"({len(cells)}, {W}) and ({W},)"
            )
        if given.all():
            raise ValueError("every week is given: there is nothing left to predict")
        first = int(np.flatnonzero(given)[-1]) + 1 if given.any() else 0
        days = np.broadcast_to(np.asarray(days_now, float), now.shape)
        days = np.where(np.isfinite(days) & (days > 0), days, self._usual_days(cells))
        now = np.where(given, now, np.nan)
        if self.parts is None:
            seen = now / (days * self.top.panel.profile()[cells]) - 1.0
            mean, law, dof, prior, prior_sd = self.top.predict(
                cells, days, year, seen, first
            )
        else:
            mean, law, dof, prior, prior_sd = self._predict_parts(
                cells, now, days, year, first
            )
        return Prediction(
            [self.cells[c] for c in cells], self.weeks[first:], mean, law, dof, prior,
            prior_sd,
        )

    def _usual_days(self, cells):
        return np.nanmedian(self.top.panel.days[self.unit[cells]], axis=1)

    def _predict_parts(self, cells, now, days, year, first):
        """Totals, parts and their joint law, for all cells of the units asked for."""
        units = np.unique(self.unit[cells])
        whole = np.flatnonzero(np.isin(self.unit, units))
        place = np.searchsorted(whole, cells)
        owner = np.searchsorted(units, self.unit[whole])
        counts = np.full((len(whole), now.shape[1]), np.nan)
        counts[place] = now
        exposure = np.empty_like(counts)
        exposure[:] = self._usual_days(whole)
        exposure[place] = days
        days_top = np.stack([np.median(exposure[owner == k], axis=0)
                             for k in range(len(units))])
        total = np.zeros((len(units), now.shape[1]))
        np.add.at(total, owner, counts)
        base = days_top * self.top.panel.profile()[units]
        mean, law, dof, prior, prior_sd = self.top.predict(
            units, days_top, year, total / base - 1.0, first
        )
        ratio = np.concatenate([prior[:, :first], mean], axis=1) / base
        ratio = np.where(np.isfinite(total), total / base, ratio)
        exposure = exposure * np.maximum(ratio, LEAST_RATIO)[owner]
        seen = counts / (exposure * self.parts.panel.profile()[whole]) - 1.0
        share, contrast, _, first_share, share_sd = self.parts.predict(
            whole, exposure, year, seen, first
        )
        part, mean = _normalise(share, owner), mean[owner]
        before, top_sd = _normalise(first_share, owner), prior_sd[owner]
        contrast = contrast.scaled(part * mean / share)
        spread = (before * top_sd) ** 2
        spread += (share_sd * before * prior[owner] / first_share) ** 2
        joint = SplitLaw(law, contrast, owner, part)
        if len(whole) > len(cells) or (place != np.arange(len(cells))).any():
            joint = SubsetLaw(joint, place)
        return ((part * mean)[place], joint, dof, (before * prior[owner])[place],
                np.sqrt(spread)[place])


def _totals(counts, days, cells):
    """Counts and days summed over the cells of each unit; (U, Y, W), (U, Y, W), cells.

    A unit-week in which one of its cells is absent is absent.
    """
    unit, units = _codes([u for u, _ in cells])
    if len(units) == len(cells):
        return counts, days, list(cells)
    total = np.zeros((len(units),) + counts.shape[1:])
    np.add.at(total, unit, counts)
    length = np.stack([np.nanmedian(days[unit == k], axis=0) for k in range(len(units))])
    return total, length, [(u, None) for u in units]


def _parts_panel(counts, days, total, cells, unit):
    """Cells relative to their units' totals: exposure is days x relative total."""
    ratio = np.maximum(1.0 + total.u, LEAST_RATIO)[unit]
    counts = np.where(np.isfinite(ratio), counts, np.nan)
    exposure = days * np.where(np.isfinite(ratio), ratio, 1.0)
    return RelativePanel(counts, exposure, total.years, total.weeks, cells, total.offset,
                         total.phase[unit])


def _normalise(values, owner):
    """Values over the sum of their owner's values."""
    total = np.zeros((owner.max() + 1, values.shape[1]))
    np.add.at(total, owner, values)
    return values / total[owner]
