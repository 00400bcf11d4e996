"""Excess deaths of one predicted year: tables, sums and their joint errors."""

import numpy as np
import pandas as pd
from scipy.stats import norm

LEVELS = (0.95, 0.68)
CHUNK = 256


def _labels(values, times):
    """Every label repeated, of its own type whatever the others are."""
    column = np.empty(len(values), object)
    column[:] = values
    return pd.Series(np.repeat(column, times)).infer_objects()


class Excess:
    """What ``Counterfactual.predict`` returns.

    Attributes
    ----------
    cells : list of (unit, age);  weeks : (n_weeks,) predicted weeks
    year, onset : int
    notes : list of str
        Choices made on the way that a reader should know of.
    observed : (n_cells, n_weeks) deaths, NaN where absent
    prediction : the model's joint prediction (mean, sd, variance, sample, ...)
    """

    def __init__(self, prediction, panel, onset, by_age, notes, method, source):
        self.prediction = prediction
        self.cells = list(panel.cells)
        self.year, self.onset = int(panel.years[0]), int(onset)
        self.by_age, self.method = by_age, method
        self.notes = list(notes)
        self._panel, self._source = panel, source
        last = panel.weeks[np.isfinite(panel.counts[:, 0]).any(axis=0)].max()
        keep = (prediction.weeks >= onset) & (prediction.weeks <= last)
        self.weeks = np.asarray(prediction.weeks)[keep]
        grid = np.arange(len(self.cells) * len(prediction.weeks))
        self._index = grid.reshape(len(self.cells), -1)[:, keep].ravel()
        self._columns = np.flatnonzero(keep)
        where = np.searchsorted(panel.weeks, self.weeks)
        self.observed = panel.counts[:, 0][:, where]
        self.expected = prediction.mean[:, keep]
        self._weekly = self._calibration = None

    def __repr__(self):
        total = self.total(by=()).iloc[0]
        return (
            f"<Excess {self.method}, {len(self.cells)} cell(s), {self.year} weeks "
            f"{self.weeks[0]}-{self.weeks[-1]}: {total.excess:,.0f} "
            f"± {total.sd:,.0f} deaths>"
        )

    # -- weekly table -----------------------------------------------------------------
    @property
    def weekly(self):
        """Deaths by cell and week, DataFrame.

        Columns unit [, age], year, week, observed, expected, sd, lower, upper: the last
        two bound the expected deaths with 95 % probability, count noise included.
        Before the onset mean and sd are those before conditioning.
        """
        if self._weekly is None:
            self._weekly = self._make_weekly()
        return self._weekly.copy()

    def _make_weekly(self):
        panel, pred = self._panel, self.prediction
        before = np.flatnonzero(panel.weeks < self.onset)
        low, high = pred.cell_interval(0.95)
        half = norm.ppf(0.975) * pred.prior_sd[:, before]
        prior = pred.prior_mean[:, before]
        c, k = len(self.cells), self._columns

        def join(left, right):
            return np.concatenate([left, right], axis=1).ravel()

        weeks = np.concatenate([panel.weeks[before], self.weeks])
        table = {
            "unit": _labels([u for u, _ in self.cells], len(weeks)),
            "age": _labels([a for _, a in self.cells], len(weeks)),
            "year": self.year,
            "week": np.tile(weeks, c),
            "observed": join(panel.counts[:, 0][:, before], self.observed),
            "expected": join(prior, self.expected),
            "sd": join(pred.prior_sd[:, before], pred.sd[:, k]),
            "lower": np.maximum(join(prior - half, low[:, k]), 0.0),
            "upper": join(prior + half, high[:, k]),
        }
        if not self.by_age:
            del table["age"]
        return pd.DataFrame(table)

    # -- joint errors -----------------------------------------------------------------
    def _embed(self, w):
        """Weights over this result's cells -> over the prediction's cells."""
        w = np.asarray(w, float)
        if w.shape[-1:] != (self._index.size,):
            raise ValueError(
                f"weights must have one entry per predicted cell ({self._index.size}: "
                f"{len(self.cells)} cell(s) x {len(self.weeks)} week(s), ordered "
                "as the "
                f"predicted rows of weekly); got shape {w.shape}"
            )
        full = np.zeros((*w.shape[:-1], self.prediction.mean.size))
        full[..., self._index] = w
        return full

    @property
    def covariance(self):
        """(n, n) covariance of the predicted deaths, deaths^2; made when asked."""
        full = self.prediction.covariance()
        return full[np.ix_(self._index, self._index)]

    def variance(self, w):
        """Variance of the sum with weights `w` ((n,) or (k, n)), deaths^2: wᵀCw."""
        return self.prediction.variance(self._embed(w))

    def sample(self, n, rng=None):
        """Draws of the excess deaths, (n, cells), ordered as the predicted rows.

        Excess = observed - what would have happened; cells without an observation
        are NaN.

        Examples
        --------
        >>> from gradiverse import mortality
        >>> data, _ = mortality.synthetic(units=3, years=range(2012, 2020), rng=1)
        >>> m = mortality.Counterfactual(method="mean").fit(data[data.year < 2019])
        >>> e = m.predict(data[data.year == 2019], onset=9)
        >>> e.sample(4, rng=0).shape == (4, len(e.weeks) * 3)
        True
        """
        draws = self.prediction.sample(int(n), np.random.default_rng(rng))
        return (self.observed - self.expected).ravel() - draws[:, self._index]

    # -- sums -------------------------------------------------------------------------
    def total(self, start=None, end=None, by=("unit",), scale=None):
        """Sums over weeks start..end (inclusive) and over what is not in `by`.

        Parameters
        ----------
        start, end : int, optional
            First and last week; by default all predicted weeks.
        by : tuple of "unit", "age", "week", "year"
            One row per combination; ``()`` gives the joint sum.
        scale : mapping unit -> factor, optional
            Multiplies observed and expected deaths (coverage of missing towns).

        Returns
        -------
        DataFrame
            The `by` columns, observed, expected, excess, sd, lower95, upper95, lower68,
            upper68 (of the excess), missing (cell-weeks without a count, left out of
            both sides).
        """
        first, last = self._window(start, end)
        names = self._by(by)
        inside = (self.weeks >= first) & (self.weeks <= last)
        known = np.isfinite(self.observed)
        factor = self._factors(scale)
        labels, codes = self._groups(names, inside)
        rows = []
        for begin in range(0, len(labels), CHUNK):
            group = np.arange(begin, min(begin + CHUNK, len(labels)))
            mask = (codes[None] == group[:, None, None]) & inside[None, None]
            w = np.where(mask & known[None], factor[:, None], 0.0)
            rows.append(self._sums(w, (mask & ~known[None]).sum(axis=(1, 2))))
        table = pd.concat(rows, ignore_index=True)
        left = (
            pd.DataFrame(labels, columns=list(names))
            if names
            else pd.DataFrame(index=range(len(table)))
        )
        return pd.concat([left, table], axis=1)

    def _sums(self, w, missing):
        """Table of weighted sums; w is (k, cells, weeks)."""
        flat = w.reshape(len(w), -1)
        observed = flat @ np.nan_to_num(self.observed).ravel()
        expected = flat @ self.expected.ravel()
        full = self._embed(flat)
        sd = np.sqrt(np.clip(self.prediction.variance(full), 0.0, None))
        empty = ~(flat != 0).any(axis=1)
        out = {
            "observed": observed,
            "expected": expected,
            "excess": observed - expected,
            "sd": sd,
        }
        for level in LEVELS:
            low, high = self.prediction.interval(full, level)
            name = f"{level * 100:.0f}"
            out["lower" + name] = observed - high
            out["upper" + name] = observed - np.maximum(low, 0.0)
        table = pd.DataFrame(out)
        table[empty] = np.nan
        table["missing"] = missing
        return table[
            [
                "observed",
                "expected",
                "excess",
                "sd",
                "lower95",
                "upper95",
                "lower68",
                "upper68",
                "missing",
            ]
        ]

    def _window(self, start, end):
        first = self.onset if start is None else int(start)
        last = int(self.weeks[-1]) if end is None else int(end)
        if first < self.onset:
            raise ValueError(
                f"start={first} lies before the onset {self.onset}: those weeks were "
                "conditioned on and have no excess; start at the onset or later"
            )
        if last < first or first > self.weeks[-1] or last > self.weeks[-1]:
            raise ValueError(
                f"weeks {first}-{last} are not all predicted; the data give weeks "
                f"{self.weeks[0]}-{self.weeks[-1]}"
            )
        return first, last

    def _by(self, by):
        names = (by,) if isinstance(by, str) else tuple(by)
        allowed = ("unit", "age", "year", "week")
        for name in names:
            if name not in allowed:
                raise ValueError(f"by takes names from {allowed}, got {name!r}")
            if name == "age" and not self.by_age:
                raise ValueError(
                    "by='age' needs ages kept apart: Counterfactual(..., by_age=True)"
                )
        return names

    def _factors(self, scale):
        if scale is None:
            return np.ones(len(self.cells))
        scale = dict(scale)
        missing = {u for u, _ in self.cells} - set(scale)
        if missing:
            raise ValueError(
                f"scale lacks the unit(s) {', '.join(sorted(map(str, missing)))}"
            )
        return np.array([float(scale[u]) for u, _ in self.cells])

    def _groups(self, names, inside):
        """Group labels and (n_cells, n_weeks) codes, -1 outside the window."""
        c, t = self.observed.shape
        parts = []
        for name in names:
            if name == "week":
                value = np.tile(self.weeks, (c, 1)).astype(object)
            elif name == "year":
                value = np.full((c, t), self.year, object)
            else:
                which = 0 if name == "unit" else 1
                column = np.empty(c, object)
                column[:] = [cell[which] for cell in self.cells]
                value = np.repeat(column[:, None], t, axis=1)
            parts.append(value.ravel())
        if not parts:
            return [()], np.where(inside, 0, -1) * np.ones((c, 1), int)
        keys = list(zip(*parts, strict=True))
        order, codes = {}, np.full(c * t, -1)
        use = np.tile(inside, c)
        for i in np.flatnonzero(use):
            codes[i] = order.setdefault(keys[i], len(order))
        return list(order), codes.reshape(c, t)

    # -- calibration and report -------------------------------------------------------
    @property
    def calibration(self):
        """Held-out-year calibration of this very fit, by leave-one-year-out.

        Every history year (the last five at most) is left out once, predicted with
        the same onset, and compared with what happened.
        """
        if self._calibration is None:
            self._calibration = self._source.calibrate(
                self.onset, int(self.weeks[-1]), self.cells
            )
        return self._calibration

    def report(self, path, **settings):
        """Write a self-contained HTML report; returns the path."""
        from .report import write_report

        return write_report(self, path, **settings)
