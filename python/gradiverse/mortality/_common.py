"""What the published method and the baselines share: complete control years cell."""

import numpy as np

from .. import gp
from .prediction import GaussianPrediction


def condition(K, prior_mean, observed, values):
    """Mean and covariance of the rest of a normal vector, given some entries.

    ``gradiverse.gp.condition`` with a remedy in the message of a singular kernel.

    Parameters
    ----------
    K : (T, T) covariance;  prior_mean : (T,);  observed : (n,) int;  values : (n,)

    Returns
    -------
    mean : (T - n,), cov : (T - n, T - n)
        Order of the remaining entries is kept.
    """
    try:
        return gp.condition(K, prior_mean, np.asarray(observed, int), values)
    except np.linalg.LinAlgError as error:
        raise ValueError(
            "the covariance of the given weeks is not positive definite; use a kernel "
            f"with a noise term (covariance='ml' or 'ppca'): {error}"
        ) from None


class CellwiseModel:
    """Base of the methods that treat every cell on its own (fits share no state).

    Sub-classes set ``needs`` (fewest complete years) and implement
    ``_fit_cell(rates, years, days)`` and ``_predict_cell(state, x, given, year)`` in
    daily rates; the latter returns mean (n,), covariance (n, n) of the weeks that are
    not given, and prior mean and sd (W,) of all weeks.
    """

    needs = 2
    label = ""

    def fit(self, counts, days, years, weeks, cells, pool=None):
        """Fit every cell that has enough complete years; see the class notes.

        Parameters
        ----------
        counts, days : (C, Y, W) float arrays
            Deaths (NaN where absent) and days of each period.
        years : (Y,) ints;  weeks : (W,) ints;  cells : list of (unit, age)
        pool : ignored
            These methods learn from the cell alone; accepted for one interface.
        """
        self.weeks = np.asarray(weeks)
        self.cells = list(cells)
        self.notes, self.warnings = [], []
        if pool is not None:
            self.notes.append(
                f"method {self.label}: the pool is not used by this method."
            )
        years = np.asarray(years)
        self.states = []
        complete = np.isfinite(counts).all(axis=2)
        self.n_years = complete.sum(axis=1)
        partial = np.isfinite(counts).any(axis=2) & ~complete
        if partial.any():
            self.notes.append(
                f"{int(partial.sum())} incomplete unit-year(s) are left out: the "
                "method "
                f"{self.label} needs every week of a control year."
            )
        for c in range(len(self.cells)):
            ok = complete[c]
            if ok.sum() < self.needs:
                self.states.append(None)
                continue
            rates = counts[c, ok] / days[c, ok]
            self.states.append(self._fit_cell(rates, years[ok], days[c, ok]))
        short = [self.cells[c][0] for c in range(len(cells)) if self.states[c] is None]
        if len(short) == len(self.cells):
            raise ValueError(
                f"no unit has the {self.needs} complete years of history that the "
                "method "
                f"{self.label} needs (weeks {self.weeks[0]}-{self.weeks[-1]}); "
                "the longest "
                f"has {int(self.n_years.max())}. Give more years, fewer weeks, or use "
                "method='pooled', which can lean on other units."
            )
        if short:
            self.notes.append(
                f"{len(short)} cell(s) have fewer than {self.needs} complete years and "
                f"cannot be predicted: {', '.join(map(str, short[:5]))}"
                + (" ..." if len(short) > 5 else "")
            )
        self._after_fit()
        return self

    def _after_fit(self):
        """Collect warnings over all cells."""

    def predict(self, counts_now, days_now, year, given, cells=None):
        """Deaths of the weeks that are not given.

        Parameters
        ----------
        counts_now, days_now : (C', W) deaths and days of the predicted year
            Given weeks that are NaN are not conditioned on.
        year : int
        given : (W,) bool
        cells : (C',) int array, optional
            Which fitted cells the rows are.
        """
        cells = np.arange(len(self.cells)) if cells is None else np.asarray(cells, int)
        given = np.asarray(given, bool)
        n, width = int((~given).sum()), len(given)
        mean = np.empty((len(cells), n))
        blocks = np.empty((len(cells), n, n))
        prior = np.empty((2, len(cells), width))
        for row, c in enumerate(cells):
            if self.states[c] is None:
                raise ValueError(
                    f"unit {self.cells[c][0]!r} has {int(self.n_years[c])} complete "
                    f"year(s) of history, the method {self.label} needs {self.needs}; "
                    "leave the unit out or use method='pooled'"
                )
            d = days_now[row]
            x = counts_now[row] / d
            mu, cov, pm, ps = self._predict_cell(self.states[c], x, given, year, d)
            dz = d[~given]
            mean[row], blocks[row] = mu * dz, cov * np.outer(dz, dz)
            prior[0, row], prior[1, row] = pm * d, ps * d
        return GaussianPrediction(
            [self.cells[c] for c in cells], self.weeks[~given], mean, blocks, *prior
        )


def merge_given(mean, cov, given, usable):
    """Drop from (mean, cov) over ~usable the entries that are in `given`.

    Used when some given weeks have no count: they are predicted with the rest and
    then left out, since nobody asked for them.
    """
    rest = ~usable
    keep = ~given[rest]
    return mean[keep], cov[np.ix_(keep, keep)]
