"""Deaths that would have been expected, and the excess over them.

``Counterfactual`` is one class in front of all methods, in the manner of
scikit-learn: construct with options, ``fit`` on earlier years, ``predict`` a year from
its own weeks before an onset.
"""

import inspect
import numbers
import warnings

import numpy as np

from . import _panel
from ._serial import serial
from .baselines import MeanModel, SyntheticModel, TrendModel
from .cgp import CGPModel
from .result import Excess

METHODS = ("pooled", "cgp", "mean", "trend", "synthetic")


def model_class(method):
    """The class behind a method name."""
    if method == "pooled":
        from .pooled import PooledModel

        return PooledModel
    classes = {
        "cgp": CGPModel,
        "mean": MeanModel,
        "trend": TrendModel,
        "synthetic": SyntheticModel,
    }
    if method not in classes:
        raise ValueError(f"method must be one of {METHODS}, got {method!r}")
    return classes[method]


def make_model(method, options):
    """Construct a model; unknown options raise TypeError naming the method."""
    cls = model_class(method)
    known = list(inspect.signature(cls).parameters)
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise TypeError(
            f"method {method!r} has no option {', '.join(unknown)}; its options are "
            f"{', '.join(known)} (and by_age)"
        )
    return cls(**options)


class Counterfactual:
    """Expected deaths of a year, given earlier years and its own first weeks.

    Parameters
    ----------
    method : {"pooled", "cgp", "mean", "trend", "synthetic"}
        ``"pooled"``: kernel shared by all units, trend and level learned from data.
        ``"cgp"``: the published conditional Gaussian process, options ``covariance``
        ("ml", "sample", "ppca", "sklearn") and ``errors`` ("full", "diagonal").
        Others: baselines, option ``variance`` ("weeks", "years").
    by_age : bool
        Model every age on its own; otherwise ages (and always sexes) are summed.
    **options
        For the method.

    Notes
    -----
    All spreads are predictive: count noise is included.  For ``cgp`` and the baselines
    units (and ages) are independent, as those methods have it, so that joint sums add
    variances; ``pooled`` has a joint covariance over units.

    Examples
    --------
    >>> from gradiverse import mortality
    >>> data, truth = mortality.synthetic(units=4, years=range(2011, 2021), rng=0)
    >>> m = mortality.Counterfactual(method="trend").fit(data[data.year < 2020])
    >>> e = m.predict(data[data.year == 2020], onset=9)
    >>> list(e.total(9, 26).columns)[:4]
    ['unit', 'observed', 'expected', 'excess']
    """

    def __init__(self, method="pooled", by_age=False, **options):
        self.method, self.by_age, self.options = method, bool(by_age), dict(options)
        make_model(method, self.options)

    def __repr__(self):
        extra = "".join(f", {k}={v!r}" for k, v in self.options.items())
        by_age = ", by_age=True" if self.by_age else ""
        return f"Counterfactual(method={self.method!r}{by_age}{extra})"

    def get_params(self, deep=True):
        """Constructor arguments as a dict (scikit-learn's convention)."""
        return {"method": self.method, "by_age": self.by_age, **self.options}

    def set_params(self, **params):
        """Change constructor arguments; returns self."""
        merged = {**self.get_params(), **params}
        self.__init__(**merged)
        return self

    # -- fit --------------------------------------------------------------------------
    def fit(self, history, pool=None):
        """Learn from earlier years.

        Parameters
        ----------
        history : DataFrame
            Columns unit, year, week, deaths [, age, sex, population, days]; `week` is
            any integer period of the year, `days` its length (7 without the column).
        pool : DataFrame, optional
            More units on the same week axis that inform the kernel only; its years
            after the last one of the history are not used.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            A table that cannot be used: the message names row and remedy.
        """
        panel = _panel.build(history, self.by_age, "history")
        pooled = None if pool is None else self._build_pool(pool, panel)
        return self._fit_panel(panel, pooled)

    def _build_pool(self, pool, panel):
        """The pool on the history's weeks, without years after the history."""
        ages = self.by_age and "age" in getattr(pool, "columns", ())
        built = _panel.build(pool, ages, "pool", weeks=panel.weeks)
        last = int(panel.years[-1])
        if built.years[0] > last:
            raise ValueError(
                f"the pool begins in {built.years[0]}, after the history ends "
                f"({last}); give earlier years of it"
            )
        if built.years[-1] > last:
            built = built.select(years=built.years[built.years <= last])
            built.notes.append(
                f"pool: years after {last}, the last of the history, are not used."
            )
        return built

    @serial
    def _fit_panel(self, panel, pool):
        """Fit on arrays; used by ``fit`` and by the calibration."""
        panel = _panel.fill_week53(panel)
        self.panel_, self.pool_ = panel, pool
        self.notes_ = list(panel.notes)
        holes = _panel.gaps(panel)
        if holes:
            (unit, _), year, lost = holes[0]
            self.notes_.append(
                f"history: {len(holes)} unit-year(s) have gaps, first {unit} {year} "
                f"week(s) {_panel._span(lost)}; the absent weeks are not used."
            )
        arrays = None
        if pool is not None:
            pool = _panel.fill_week53(pool)
            self.notes_ += pool.notes
            arrays = {
                "counts": pool.counts,
                "days": pool.days,
                "years": pool.years,
                "cells": pool.cells,
            }
        model = make_model(self.method, self.options)
        self.model_ = model.fit(
            panel.counts, panel.days, panel.years, panel.weeks, panel.cells, pool=arrays
        )
        self.notes_ += getattr(model, "notes", [])
        for text in getattr(model, "warnings", []):
            self.notes_.append(text)
            warnings.warn(text, stacklevel=4)
        return self

    # -- predict ----------------------------------------------------------------------
    def predict(self, current, onset):
        """Expected and excess deaths of one year.

        Parameters
        ----------
        current : DataFrame
            As for ``fit``: one year, any subset of the fitted units.
        onset : int
            Weeks before it condition the prediction, the rest are predicted.

        Returns
        -------
        Excess
        """
        self._check_fitted()
        panel = _panel.build(current, self.by_age, "current", weeks=self.panel_.weeks)
        return self._predict_panel(panel, onset)

    def _check_fitted(self):
        if not hasattr(self, "model_"):
            raise ValueError("not fitted yet: call fit(history) first")

    @serial
    def _predict_panel(self, panel, onset):
        onset = self._check_current(panel, onset)
        index = self._cell_index(panel)
        notes = self.notes_ + panel.notes
        seen = np.isfinite(panel.counts[:, 0]).any(axis=0)
        given = (panel.weeks < onset) & seen
        if not given.any():
            notes.append(
                f"no week before the onset {onset} has counts: nothing to condition on."
            )
        lacks = np.isnan(panel.counts[:, 0][:, given]).any(axis=1)
        if lacks.any():
            unit = panel.cells[int(np.flatnonzero(lacks)[0])][0]
            notes.append(
                f"current: {int(lacks.sum())} cell(s) lack counts before the onset "
                f"(first {unit}); they are conditioned on the weeks they have."
            )
        prediction = self.model_.predict(
            panel.counts[:, 0], panel.days[:, 0], int(panel.years[0]), given, index
        )
        return Excess(prediction, panel, onset, self.by_age, notes, self.method, self)

    def _check_current(self, panel, onset):
        if len(panel.years) != 1:
            raise ValueError(
                f"current holds the years {', '.join(map(str, panel.years))}; "
                "predict one "
                "year at a time"
            )
        year = int(panel.years[0])
        if year in self.panel_.years:
            raise ValueError(
                f"the year {year} is part of the history; fit on other years only "
                f"(history[history.year < {year}])"
            )
        if panel.has_days != self.panel_.has_days:
            with_days = "history" if self.panel_.has_days else "current"
            raise ValueError(
                f"only {with_days} has a column days; give it in both tables or "
                "in neither"
            )
        if not isinstance(onset, numbers.Real) or onset % 1 != 0:
            raise ValueError(f"onset must be a whole week number, got {onset!r}")
        seen = panel.weeks[np.isfinite(panel.counts[:, 0]).any(axis=0)]
        if len(seen) == 0:
            raise ValueError("current has no counts at all on the weeks of the history")
        if not self.panel_.weeks[0] <= onset <= seen[-1]:
            raise ValueError(
                f"onset={onset} lies outside the data: the history has weeks "
                f"{self.panel_.weeks[0]}-{self.panel_.weeks[-1]}, current ends "
                "with week "
                f"{seen[-1]}; take an onset between {self.panel_.weeks[0]} and "
                f"{seen[-1]}"
            )
        return int(onset)

    def _cell_index(self, panel):
        place = {cell: i for i, cell in enumerate(self.panel_.cells)}
        unknown = [cell for cell in panel.cells if cell not in place]
        if unknown:
            unit, age = unknown[0]
            what = f"unit {unit!r}" if age is None else f"unit {unit!r}, age {age!r}"
            raise ValueError(
                f"current has {len(unknown)} cell(s) that the history lacks, "
                f"first: {what};"
                " add their earlier years to the history or leave them out"
            )
        return np.array([place[cell] for cell in panel.cells])

    # -- calibration ------------------------------------------------------------------
    def calibrate(self, onset, end, cells=None):
        """Leave-one-year-out over the (last five) history years; see ``Excess``."""
        from .calibration import calibrate_panel

        self._check_fitted()
        return calibrate_panel(self, onset, end, cells)
