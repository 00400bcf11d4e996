"""Counts of many cells as relative deviations from level times seasonal shape."""

import numpy as np

from ._pooled_learn import Block

YEAR = 365.25
LEAST_SHAPE = 0.2
PRIOR_COUNT = 0.5
PRIOR_COUNT_TYPICAL = 2.0
LONGEST_BLOCK = 6
MOST_PATTERNS = 4
LEAST_SHARE = 0.08
CHUNKS = (1, 2, 4, 8, 16)
MOST_CHUNKS = 6


def period_offsets(days, weeks):
    """(W,) middle of each period as a fraction of the year.

    Labels start at 1 (or at 0 where a 0 occurs); labels that are not on the axis have
    the usual length.
    """
    flat = days.reshape(-1, len(weeks))
    length = np.nanmedian(flat, axis=0)
    ordinal = weeks - min(1, int(weeks.min()))
    absent = np.cumsum(np.diff(np.r_[-1, ordinal]) - 1)
    start = np.cumsum(np.r_[0.0, length[:-1]]) + absent * np.median(length)
    return (start + 0.5 * length) / YEAR


class RelativePanel:
    """Relative deviations u = counts / (days level shape) - 1 on one calendar.

    Parameters
    ----------
    counts : (C, Y, W) float array, deaths, NaN where absent
    days : (C, Y, W) float array, exposure
    years : (Y,) ints;  weeks : (W,) ints;  cells : list of (unit, age)
    offset : (W,) float array, optional
        Middle of each period in years; by default from `days`.
    phase : (C,) float array, optional
        0.5 where winter is in July, else 0; by default found from the counts.
    typical : (C,) float array, optional
        Level expected of each cell before its counts are seen, worth
        PRIOR_COUNT_TYPICAL deaths: cells without deaths lean on it.
    """

    def __init__(
        self,
        counts,
        days,
        years,
        weeks,
        cells,
        offset=None,
        phase=None,
        typical=None,
    ):
        self.counts = np.asarray(counts, float)
        self.years, self.weeks = np.asarray(years, int), np.asarray(weeks, int)
        self.cells = list(cells)
        days = np.asarray(days, float)
        usual = np.nanmedian(days) if np.isfinite(days).any() else 7.0
        self.days = np.where(np.isfinite(days) & (days > 0), days, usual)
        if offset is None:
            offset = period_offsets(self.days, self.weeks)
        self.offset, self.typical = offset, typical
        self.shape = np.ones((len(self.cells), len(self.weeks)))
        self.level = np.ones(len(self.cells))
        self._fit_profile(np.zeros(len(self.cells)))
        self.phase = self._find_phase() if phase is None else np.asarray(phase, float)
        if self.phase.any():
            self._fit_profile(self.phase)
        expected = self.days * self.profile()[:, None]
        self.u = self.counts / expected - 1.0

    def profile(self):
        """(C, W) deaths per unit of exposure."""
        return self.level[:, None] * self.shape

    def _fit_profile(self, phase):
        """Level of each cell and the shape common to the cells of one phase."""
        ok = np.isfinite(self.counts)
        counts = np.where(ok, self.counts, 0.0)
        days = np.where(ok, self.days, 0.0)
        for _ in range(3):
            exposure = (days * self.shape[:, None]).sum(axis=(1, 2))
            total = counts.sum(axis=(1, 2))
            if self.typical is None:
                self.level = (total + PRIOR_COUNT) / np.maximum(exposure, 1.0)
            else:
                prior = PRIOR_COUNT_TYPICAL
                self.level = (total + prior) / (exposure + prior / self.typical)
            weight = 1.0 / (0.05**2 + 1.0 / (7.0 * self.level))
            rate = (weight / self.level)[:, None] * counts.sum(axis=1)
            base = weight[:, None] * days.sum(axis=1)
            for value in np.unique(phase):
                mine = phase == value
                low = base[mine].sum(axis=0)
                high = rate[mine].sum(axis=0)
                shape = np.where(low > 0, high / np.maximum(low, 1e-9), 1.0)
                mean = shape.mean() if shape.any() else 1.0
                shape = np.maximum(shape / mean, LEAST_SHAPE)
                self.shape[mine] = shape

    def _find_phase(self):
        """Half a year for cells whose deaths peak, beyond noise, in July."""
        ok = np.isfinite(self.counts)
        days = np.where(ok, self.days, 0.0).sum(axis=1)
        deaths = np.where(ok, self.counts, 0.0).sum(axis=1)
        x = np.cos(2.0 * np.pi * (self.offset - 0.06))
        x = x - x.mean()
        expected = np.maximum(days * self.level[:, None], 1e-9)
        w = expected / (1.0 + expected * 0.03**2)
        centre = (w * x).sum(1) / w.sum(1)
        z = (w * (x - centre[:, None]) * (deaths / expected - 1.0)).sum(1)
        spread = np.sqrt((w * (x - centre[:, None]) ** 2).sum(1))
        return np.where(z < -4.0 * np.maximum(spread, 1e-9), 0.5, 0.0)

    def blocks(self):
        """Blocks of cells with one time grid, for learning.

        Long histories are cut into runs of at most LONGEST_BLOCK years.  Inside a run
        the common patterns of observed weeks become blocks; a cell joins a pattern
        that it covers and its surplus weeks are left out.  Few cells of a rare pattern
        are not learned from (their block would cost as much as a large one).
        """
        W = len(self.weeks)
        out = []
        runs = np.array_split(
            np.arange(len(self.years)), -(-len(self.years) // LONGEST_BLOCK)
        )
        for rows in runs:
            grid = (
                (self.years[rows][:, None] + self.offset).ravel(),
                np.repeat(self.years[rows], W),
                np.tile(np.arange(W), len(rows)),
            )
            ok = np.isfinite(self.u[:, rows]).reshape(len(self.cells), -1)
            for phase in np.unique(self.phase):
                mine = np.flatnonzero(self.phase == phase)
                for members, mask in _patterns(ok[mine], 1.5 * W):
                    out.append(self._block(mine[members], rows, mask, grid, phase))
        return out

    def _block(self, members, rows, mask, grid, phase):
        u = self.u[members][:, rows].reshape(len(members), -1)[:, mask]
        days = self.days[members][:, rows].reshape(len(members), -1)[:, mask]
        shape = np.tile(self.shape[members[0]], len(rows))[mask]
        noise = 1.0 / (shape * np.median(days, axis=0))
        time, year, week = (g[mask] for g in grid)
        return Block(
            members, u, self.level[members], time, year, week, noise, shape, phase
        )


def _patterns(ok, least):
    """(members, mask) of the common patterns of observed entries; least: entries.

    A pattern needs LEAST_SHARE of all entries.  Cells that fit none are taken by the
    number (of CHUNKS) that keeps most of what they have in common.
    """
    masks, inverse = np.unique(ok, axis=0, return_inverse=True)
    inverse = inverse.ravel()
    size = np.bincount(inverse, minlength=len(masks)) * masks.sum(axis=1)
    usable = ok.sum(axis=1) >= least
    free = usable.copy()
    for p in np.argsort(-size, kind="stable")[:MOST_PATTERNS]:
        mask = masks[p]
        if mask.sum() < least or size[p] < LEAST_SHARE * size.sum():
            continue
        covers = (ok >= mask).all(axis=1) & (ok.sum(axis=1) <= 1.3 * mask.sum())
        members = np.flatnonzero(free & covers)
        if len(members):
            free[members] = False
            yield members, mask
    rest = np.flatnonzero(free)
    if len(rest) < 0.2 * usable.sum():
        return
    rest = rest[np.argsort(-ok[rest].sum(axis=1), kind="stable")]
    size = max(CHUNKS, key=lambda n: n * ok[rest[:n]].all(axis=0).sum())
    for begin in range(0, min(len(rest), size * MOST_CHUNKS), size):
        members = np.sort(rest[begin : begin + size])
        mask = ok[members].all(axis=0)
        if mask.sum() >= least:
            yield members, mask
