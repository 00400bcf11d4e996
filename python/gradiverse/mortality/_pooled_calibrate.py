"""Leave-one-year-out check of a learned covariance: its size, its sharing by cells.

For a held-out year with its first weeks given, everything else being known, error and
covariance of the other weeks f follow from the precision P of the block (block
deletion): C = (P_ff)^-1, e = C (P u)_f.  Sums over windows of about a quarter give

    kappa_w   factor on the structural variance around week w: an average over years,
              the model's own value (1) counting as PRIOR_YEARS more years (the mean of
              a scaled inverse chi-square posterior, whose degrees of freedom make the
              prediction's Student-t law);
    shares    correlation of structural errors between cells: common, same unit, same
              age.  Years are the unit of independence.
"""

import numpy as np

WINDOW = 0.25
PRIOR_YEARS = 3.0
PRIOR_SHARE = 0.3
PRIOR_SHARE_YEARS = 1.0
MOST_SHARED = 0.98


def windows(offset, first):
    """(k, 2) index ranges over weeks from `first` on, about a quarter each, half
    overlapping."""
    n = len(offset) - first
    step = np.median(np.diff(offset)) if len(offset) > 1 else WINDOW
    size = int(np.clip(round(WINDOW / step), 1, n))
    count = max(1, int(np.ceil(2 * n / size)) - 1)
    start = np.unique(np.round(np.linspace(first, first + n - size, count)).astype(int))
    return np.stack([start, start + size], axis=1)


def _held_out(block, drift, year, first, ranges):
    """Errors of window sums and their structural and noise variances, (C, k) each."""
    f = np.flatnonzero((block.year == year) & (block.week >= first))
    U = block.U[f]
    residual = (block.Y - drift[:, None] * block.X) / block.H
    P = (U[None] / block.H[:, None, :]) @ U.T
    C = np.linalg.inv(P)
    e = (C @ (residual @ U.T)[..., None])[..., 0]
    week = block.week[f]
    inside = (week >= ranges[:, :1]) & (week < ranges[:, 1:])
    w = inside * block.root[f] * block.shape[f]
    noise = (w**2).sum(1) * block.noise[:, None]
    total = np.einsum("ka,cab,kb->ck", w, C, w, optimize=True)
    return e @ w.T, np.maximum(total - noise, 1e-12), noise


class Calibration:
    """Sums of squares by held-out year and window, and of pairs of cells.

    Parameters
    ----------
    offset : (W,) middle of the periods, years
    first : int
        Index of the first week that is not given.
    unit, age : (C,) int codes of the cells of interest
    """

    def __init__(self, offset, first, unit, age):
        self.first, self.n_weeks = first, len(offset)
        self.unit, self.age = unit, age
        self.ranges = windows(offset, first)
        self.squares, self.pairs = {}, {}

    def add(self, block, drift, pairs):
        """Hold out every year of a block; `pairs`: its cells count for the shares."""
        years = np.unique(block.year)
        if len(years) < 3:
            return
        for year in years:
            n = ((block.year == year) & (block.week >= self.first)).sum()
            if n < 0.8 * (self.n_weeks - self.first):
                continue
            e, s, noise = _held_out(block, drift, year, self.first, self.ranges)
            v = s + noise
            sums = self.squares.setdefault(int(year), np.zeros((2, len(self.ranges))))
            sums[0] += ((e**2 - noise) * s / v**2).sum(0)
            sums[1] += (s**2 / v**2).sum(0)
            if pairs:
                z = self.pairs.setdefault(
                    int(year), np.zeros((2, len(self.unit), len(self.ranges)))
                )
                z[0, block.cells] = e * np.sqrt(s) / v
                z[1, block.cells] = s / v

    def factors(self):
        """(W - first,) variance factors by week, and degrees of freedom."""
        q = [
            np.maximum(s[0] / np.maximum(s[1], 1e-12), 0.05)
            for s in self.squares.values()
        ]
        q = np.array(q).reshape(-1, len(self.ranges))
        self.kappa = (PRIOR_YEARS + q.sum(0)) / (PRIOR_YEARS + len(q))
        centre = self.ranges.mean(axis=1) - 0.5
        by_week = np.interp(np.arange(self.first, self.n_weeks), centre, self.kappa)
        return by_week, PRIOR_YEARS + 2.0 + len(q)

    def shares(self):
        """(4,) shares of the correlation between cells: common, unit, age, own."""
        num, den = np.zeros(3), np.zeros(3)
        for z in self.pairs.values():
            x = z[0] / np.sqrt(self.kappa)
            num += self._classes(x)
            den += self._classes(z[1])
        n = max(len(self.pairs), 1)
        prior = PRIOR_SHARE_YEARS * den / n
        common = self._ratio(num[0] + PRIOR_SHARE * prior[0], den[0] + prior[0])
        if den[0] <= 0.0:
            common = PRIOR_SHARE if len(self.unit) == 1 or not self.pairs else 0.0
        same_unit = self._ratio(num[1] + PRIOR_SHARE * prior[1], den[1] + prior[1])
        same_age = self._ratio(num[2] + PRIOR_SHARE * prior[2], den[2] + prior[2])
        shares = np.array(
            [common, max(same_unit - common, 0.0), max(same_age - common, 0.0)]
        )
        shares *= min(1.0, MOST_SHARED / max(shares.sum(), 1e-12))
        return np.r_[shares, 1.0 - shares.sum()]

    @staticmethod
    def _ratio(num, den):
        return float(np.clip(num / den, 0.0, MOST_SHARED)) if den > 0.0 else 0.0

    def _classes(self, v):
        """Sums of v_i v_j over pairs: neither shared, same unit, same age."""
        own = (v**2).sum()

        def grouped(code):
            total = np.zeros((code.max() + 1, v.shape[1]))
            np.add.at(total, code, v)
            return (total**2).sum() - own

        everything = grouped(np.zeros_like(self.unit))
        unit = grouped(self.unit) if self.unit.max() > 0 else 0.0
        age = grouped(self.age) if self.age.max() > 0 else 0.0
        return np.array([everything - unit - age, unit, age])
