"""Expected deaths by a Gaussian process in calendar time, pooled over cells.

All cells (units, or units x ages) share one covariance of their relative deviations
(``_pooled_kernel``), learned by marginal likelihood from every cell and year given
(``_pooled_learn``).  A cell's expected deaths follow by conditioning on its own earlier
years and on the given weeks of the current year; slope and level are part of the
covariance, so that their error is part of the result.  How large and how shared errors
are is checked on held-out years (``_pooled_calibrate``); units are conditioned on each
other's given weeks (``_pooled_shared``); the joint law over cells is in
``_pooled_joint``.  With ages, totals of units and the ages' parts of them are modelled
apart and combined so that ages add up.
"""

import numpy as np

from ._pooled_joint import Prediction, SplitLaw, SubsetLaw
from ._pooled_kernel import describe
from ._pooled_layer import Layer, codes
from ._pooled_panel import RelativePanel

LEAST_RATIO = 0.2
LEAST_COVER = 0.5


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
    summer say much about a unit's level.  Units that are predicted together are
    conditioned on each other's given weeks as far as held-out years show that they
    share their shocks, so that a unit's result depends a little on its company.

    Uncertainty of the covariance's parameters is not integrated over; the held-out
    years that set the size of errors stand in for it.

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
                "training_years must be a positive whole number, got "
                f"{training_years!r}"
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
            raise ValueError(
                "the history has no counts; give at least one earlier year"
            )
        self.notes, self.warnings = [], []
        self.cells, self.weeks = list(cells), weeks
        self.unit, units = codes([u for u, _ in cells])
        totals = _totals(counts, days, cells)
        panel = RelativePanel(*totals[:2], years, weeks, totals[2])
        other = None if pool is None else self._pool_totals(pool, panel.offset)
        self.top = Layer(panel, other, self.training_years, shared=True)
        self.parts = None
        if len(units) < len(self.cells):
            parts = _parts_panel(counts, days, panel, self.cells, self.unit)
            self.parts = Layer(
                parts, self._pool_parts(pool, other), self.training_years, shared=False
            )
        self._describe(panel, pool)
        return self

    def _pool_totals(self, pool, offset):
        counts, days, cells = _totals(
            np.asarray(pool["counts"], float),
            np.asarray(pool["days"], float),
            pool["cells"],
        )
        return RelativePanel(counts, days, pool["years"], self.weeks, cells, offset)

    @staticmethod
    def _pool_parts(pool, other):
        """The pool's ages as parts of its totals; None where it has no ages."""
        if pool is None or len(other.cells) == len(pool["cells"]):
            return None
        unit, _ = codes([u for u, _ in pool["cells"]])
        counts, days = (np.asarray(pool[k], float) for k in ("counts", "days"))
        return _parts_panel(counts, days, other, pool["cells"], unit)

    def _describe(self, panel, pool):
        self.parameters_ = describe(self.top.theta)
        if self.parts is not None:
            self.parameters_["parts"] = describe(self.parts.theta)
        seen = np.isfinite(panel.counts).any(axis=2).sum(axis=1)
        if (seen == 1).any():
            self.notes.append(
                f"{int((seen == 1).sum())} unit(s) have a single year of history: "
                "their slope, season and level lean on other units and weak priors."
            )
        self._unknown = seen == 0
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
        if len(cells) == 0:
            raise ValueError("no cell to predict; name at least one")
        if given.all():
            raise ValueError("every week is given: there is nothing left to predict")
        lacks = self._unknown[self.unit[cells]]
        if lacks.any():
            raise ValueError(
                f"unit {self.cells[cells[np.argmax(lacks)]][0]!r} has no week of "
                "history that all its ages report; give an earlier year or drop it"
            )
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
            [self.cells[c] for c in cells],
            self.weeks[first:],
            mean,
            law,
            dof,
            prior,
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
        days_top = np.stack(
            [np.median(exposure[owner == k], axis=0) for k in range(len(units))]
        )
        usual = exposure * self.parts.panel.profile()[whole]
        total = _scaled_total(counts, usual, owner)
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
        return (
            (part * mean)[place],
            joint,
            dof,
            (before * prior[owner])[place],
            np.sqrt(spread)[place],
        )


def _scaled_total(counts, usual, owner):
    """(U, W) sums of the finite counts of each owner, scaled up by the usual part.

    Where cells are absent that usually have more than half of the deaths: NaN.
    """
    ok = np.isfinite(counts)
    total, seen, whole = np.zeros((3, owner.max() + 1, counts.shape[1]))
    np.add.at(total, owner, np.where(ok, counts, 0.0))
    np.add.at(seen, owner, np.where(ok, usual, 0.0))
    np.add.at(whole, owner, usual)
    enough = seen >= LEAST_COVER * whole
    return np.where(enough, total * whole / np.where(enough, seen, 1.0), np.nan)


def _totals(counts, days, cells):
    """Counts and days summed over the cells of each unit; (U, Y, W), (U, Y, W), cells.

    A unit-week in which one of its cells is absent is absent.
    """
    unit, units = codes([u for u, _ in cells])
    if len(units) == len(cells):
        return counts, days, list(cells)
    total = np.zeros((len(units), *counts.shape[1:]))
    np.add.at(total, unit, counts)
    length = np.stack(
        [np.nanmedian(days[unit == k], axis=0) for k in range(len(units))]
    )
    return total, length, [(u, None) for u in units]


def _parts_panel(counts, days, total, cells, unit):
    """Cells relative to their units' totals: exposure is days x relative total.

    The typical level of a cell is its age's part of all deaths, times its unit's level.
    """
    ratio = np.maximum(1.0 + total.u, LEAST_RATIO)[unit]
    counts = np.where(np.isfinite(ratio), counts, np.nan)
    exposure = days * np.where(np.isfinite(ratio), ratio, 1.0)
    age, ages = codes([a for _, a in cells])
    deaths, expected = np.zeros(len(ages)), np.zeros(len(ages))
    level = total.level[unit]
    ok = np.isfinite(counts)
    np.add.at(deaths, age, np.where(ok, counts, 0.0).sum(axis=(1, 2)))
    np.add.at(expected, age, level * np.where(ok, exposure, 0.0).sum(axis=(1, 2)))
    typical = level * ((deaths + 1.0) / (expected + 100.0))[age]
    return RelativePanel(
        counts,
        exposure,
        total.years,
        total.weeks,
        cells,
        total.offset,
        total.phase[unit],
        typical,
    )


def _normalise(values, owner):
    """Values over the sum of their owner's values."""
    total = np.zeros((owner.max() + 1, values.shape[1]))
    np.add.at(total, owner, values)
    return values / total[owner]
