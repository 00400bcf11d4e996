"""Leave-one-year-out check of a learned covariance: its size, its sharing by cells.

Everything but one year being known, error and covariance of that year's weeks f follow
from the precision P of the block (block deletion):  C = (P_ff)^-1,  e = C (P u)_f.
Conditioned on the given weeks as a prediction would be, sums over windows of about a
quarter of a year give

    kappa_w   factor on the structural variance around week w: an average over years,
              the model's own value (1) counting as PRIOR_YEARS more years (the mean of
              a scaled inverse chi-square posterior, whose degrees of freedom make the
              prediction's Student-t law);
    shares    correlation of structural errors between cells: in common, of one unit, of
              one age.  Years are the unit of independence.
"""

import numpy as np

from ._pooled_shared import shared_update, symmetric_root

WINDOW = 0.25
PRIOR_YEARS = 3.0
PRIOR_SHARE = 0.3
PRIOR_SHARE_YEARS = 1.0
MOST_SHARED = 0.95
MOST_CELLS = 400


def windows(offset, first):
    """(k, 2) index ranges over weeks from `first` on, about a quarter each, half
    overlapping."""
    n = len(offset) - first
    step = np.median(np.diff(offset)) if len(offset) > 1 else WINDOW
    size = int(np.clip(round(WINDOW / step), 1, n))
    count = max(1, int(np.ceil(2 * n / size)) - 1)
    start = np.unique(np.round(np.linspace(first, first + n - size, count)).astype(int))
    return np.stack([start, start + size], axis=1)


class HeldOutYear:
    """Errors of one year given all others, for the cells of some blocks.

    Attributes
    ----------
    cells : (C,) ints;  error, noise, shape : (C, W);  root : (C, W, W)
        Relative deviations; error NaN (and root 0) at weeks that are absent.
    """

    def __init__(self, n_weeks):
        self.n_weeks, self.parts = n_weeks, []

    def add(self, block, drift, year):
        """Weeks of `year` from one block (at its last spectrum)."""
        f = np.flatnonzero(block.year == year)
        if len(f) < 0.8 * self.n_weeks:
            return
        C, W = min(len(block.cells), MOST_CELLS), self.n_weeks
        U, H = block.U[f], block.H[:C]
        residual = (block.Y[:C] - drift[:C, None] * block.X) / H
        cov = np.linalg.inv((U[None] / H[:, None, :]) @ U.T)
        e = (cov @ (residual @ U.T)[..., None])[..., 0] * block.root[f]
        diagonal = np.arange(len(f))
        cov[:, diagonal, diagonal] -= block.noise[:C, None]
        cov *= np.outer(block.root[f], block.root[f])
        week = block.week[f]
        error, root = np.full((C, W), np.nan), np.zeros((C, W, W))
        noise, shape = np.ones((C, W)), np.zeros((C, W))
        error[:, week] = e
        root[:, week[:, None], week] = symmetric_root(cov)
        noise[:, week] = block.noise[:C, None] * block.root[f] ** 2
        shape[:, week] = block.shape[f]
        self.parts.append((block.cells[:C], error, noise, shape, root))

    def finish(self):
        """Stack the blocks; False when there is nothing."""
        if not self.parts:
            return False
        self.cells, self.error, self.noise, self.shape, self.root = (
            np.concatenate(x) for x in zip(*self.parts, strict=True)
        )
        self.parts = []
        return True

    def sums(self, ranges, first=0, group=None, share=0.0):
        """Errors of window sums, their structural and noise variance, (C, k) each.

        With first > 0 after conditioning on the weeks before it.
        """
        week = np.arange(first, self.n_weeks)
        inside = (week >= ranges[:, :1]) & (week < ranges[:, 1:])
        w = inside[None] * self.shape[:, None, first:]
        error, noise = self.error[:, first:], self.noise[:, first:]
        if first == 0:
            factors = [self.root]
        else:
            group = np.zeros(len(self.cells), int) if group is None else group
            shift, *factors = shared_update(
                self.root, self.noise, self.error, first, group, share
            )
            error = error - shift
        e = np.einsum("ckf,cf->ck", w, np.nan_to_num(error))
        s = sum(((w @ F) ** 2).sum(axis=2) for F in factors)
        n = np.einsum("ckf,cf->ck", w**2, noise)
        return e, np.maximum(s, 1e-12), np.maximum(n, 1e-12)


def held_out(blocks, drifts, n_weeks):
    """{year: HeldOutYear} of blocks that span at least three years."""
    years = {}
    for block, drift in zip(blocks, drifts, strict=True):
        own = np.unique(block.year)
        for year in own if len(own) >= 3 else ():
            years.setdefault(int(year), HeldOutYear(n_weeks)).add(block, drift, year)
    return {k: v for k, v in sorted(years.items()) if v.finish()}


def variance_factors(sets, offset, first):
    """(W - first,) factors on the structural variance, and degrees of freedom.

    sets : list of (held-out years, group of each cell, share).
    """
    ranges = windows(offset, first)
    total = {}
    for years, group, share in sets:
        for year, held in years.items():
            e, s, n = held.sums(ranges, first, group[held.cells], share)
            v = s + n
            sums = total.setdefault(year, np.zeros((2, len(ranges))))
            sums[0] += ((e**2 - n) * s / v**2).sum(0)
            sums[1] += (s**2 / v**2).sum(0)
    q = [np.maximum(a / np.maximum(b, 1e-12), 0.05) for a, b in total.values()]
    q = np.array(q).reshape(-1, len(ranges))
    kappa = (PRIOR_YEARS + q.sum(0)) / (PRIOR_YEARS + len(q))
    centre = ranges.mean(axis=1) - 0.5
    by_week = np.interp(np.arange(first, len(offset)), centre, kappa)
    return by_week, PRIOR_YEARS + 2.0 + len(q)


def correlation_shares(years, codes, offset, first=0):
    """Shares of the correlation between cells, one per code and the cell's own.

    Parameters
    ----------
    years : dict of HeldOutYear
    codes : list of (C,) int arrays; the first one is the widest group
        Cells of one code share errors; a share adds to those of wider groups.
    first : int
        Errors after conditioning each cell on its own weeks before `first`.
    """
    ranges = windows(offset, first)
    num, den = np.zeros(len(codes)), np.zeros(len(codes))
    for held in years.values():
        e, s, n = held.sums(ranges, first)
        v = s + n
        x, weight = e * np.sqrt(s) / v, s / v
        num += _pair_sums(x, codes, held.cells)
        den += _pair_sums(weight, codes, held.cells)
    prior = PRIOR_SHARE_YEARS * den / max(len(years), 1)
    shares = np.zeros(len(codes))
    for k in range(len(codes)):
        if den[k] > 0.0:
            r = (num[k] + PRIOR_SHARE * prior[k]) / (den[k] + prior[k])
            shares[k] = np.clip(r - (shares[0] if k else 0.0), 0.0, MOST_SHARED)
        elif k == 0 and not years:
            shares[k] = PRIOR_SHARE
    shares *= min(1.0, MOST_SHARED / max(shares.sum(), 1e-12))
    return np.r_[shares, 1.0 - shares.sum()]


def _pair_sums(v, codes, cells):
    """Sums of v_i v_j over pairs that share a code; the first less all the others."""
    own = (v**2).sum()

    def grouped(code):
        total = np.zeros((code.max() + 1, v.shape[1]))
        np.add.at(total, code[cells], v)
        return (total**2).sum() - own

    out = np.array([grouped(code) for code in codes])
    out[0] -= out[1:].sum()
    return out
