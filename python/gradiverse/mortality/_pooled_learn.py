"""Learning the pooled covariance by marginal likelihood over many cells.

Cells observed on the same time grid form a ``Block``.  Inside it the covariance of cell
c, whitened by the common shape of the count noise, is K + (white + phi n_c) I with n_c
the cell's mean relative count variance; one eigendecomposition K = U diag(l) U' then
gives the likelihood of every cell and, with A = U'u, the gradient

    dL/dK = 1/2 U [sum_c (a_c a_c' - diag 1/h_c)] U',   h_c = l + white + phi n_c.

Cells of one period share epidemics, so their likelihoods are not independent: the sum
is multiplied by the effective share of independent cells before the priors are added.
"""

import numpy as np
from scipy.optimize import minimize

from ._pooled_kernel import (
    CENTRE,
    INDEX,
    N_KERNEL,
    NAMES,
    SPREAD,
    KernelForm,
    dispersion,
    white_variance,
)

DRIFT_SD = 0.01
DRIFT_CORRELATION = 0.4
ROUNDS = 3
MAX_ITERATIONS = 40


class Block:
    """Cells with the same observed time grid.

    Parameters
    ----------
    cells : (C,) ints
        Indices of the cells in their panel.
    u : (C, n) relative deviations
    level : (C,) deaths a day
    time, year, week : (n,)
    unit_noise : (n,) 1/(shape days), the count variance of a cell of level one
    shape : (n,) seasonal profile
    phase : float
    """

    def __init__(self, cells, u, level, time, year, week, unit_noise, shape, phase=0.0):
        self.cells = np.asarray(cells)
        self.form = KernelForm(time, year, week, phase)
        self.year, self.week = np.asarray(year), np.asarray(week)
        self.shape = shape
        mean_noise = unit_noise.mean()
        self.root = np.sqrt(unit_noise / mean_noise)
        self.count = mean_noise / level
        self.u = u / self.root
        self.x = (self.form.time - self.form.time.mean()) / self.root

    def spectrum(self, theta):
        """Eigendecomposition for the parameters `theta`; returns self."""
        K = self.form.matrix(theta) / np.outer(self.root, self.root)
        value, self.U = np.linalg.eigh(K)
        self.value = np.maximum(value, 0.0)
        self.Y, self.X = self.u @ self.U, self.x @ self.U
        self.noise = white_variance(theta) + dispersion(theta) * self.count
        self.H = self.value + self.noise[:, None]
        return self

    def slope_sums(self):
        """Per cell x'K^-1 u and x'K^-1 x, x the centred time."""
        return (self.Y * self.X / self.H).sum(1), (self.X**2 / self.H).sum(1)

    def likelihood(self, theta, drift):
        """Log likelihood and gradient at the last spectrum; drift (C,) a year."""
        R = self.Y - drift[:, None] * self.X
        value = -0.5 * (np.log(self.H) + R**2 / self.H).sum()
        A = R / self.H
        dH = 0.5 * (A**2 - 1.0 / self.H)
        alpha = A @ self.U.T
        G = 0.5 * (alpha.T @ alpha - (self.U * (1.0 / self.H).sum(0)) @ self.U.T)
        gradient = np.zeros(len(NAMES))
        gradient[:N_KERNEL] = self.form.contract(
            theta, G / np.outer(self.root, self.root)
        )
        gradient[INDEX["white"]] = 2.0 * white_variance(theta) * dH.sum()
        gradient[INDEX["dispersion"]] = (dispersion(theta) - 1.0) * (
            dH.sum(1) @ self.count
        )
        return value, gradient


def effective_share(blocks, theta):
    """Effective number of independent cells over their number, in (0, 1].

    C cells count as C/(1 + (C-1) r2), r2 the mean squared correlation of whitened
    deviations over the leading 30 % of directions (chance correlation removed).
    """
    effective = total = 0.0
    for block in blocks:
        block.spectrum(theta)
        C, n = block.Y.shape
        total += C
        leading = np.argsort(block.value)[::-1][1 : 1 + max(4, int(0.3 * n))]
        Z = (block.Y / np.sqrt(block.H))[:, leading]
        R = Z @ Z.T / Z.shape[1]
        diagonal = np.diag(R)
        pairs = diagonal.sum() ** 2 - (diagonal**2).sum()
        if C < 2 or pairs <= 0.0:
            effective += C
            continue
        squares = (R**2).sum() - (diagonal**2).sum() - pairs / Z.shape[1]
        effective += C / (1.0 + (C - 1) * max(0.0, squares / pairs))
    return effective / total if total else 1.0


def group_drift(blocks, groups, theta, families):
    """Mean yearly slope of each group of cells and its variance.

    families : (n_groups,) ints, 0 for groups of the cells of interest, 1 for the pool's

    A group of C cells that share their years has the precision of
    C/(1 + (C-1) DRIFT_CORRELATION) independent ones.  Groups are pulled to the common
    mean of their family as single cells are to the group's, that mean weakly to zero;
    the pool informs the covariance, not the drift of others.
    """
    top, bottom = np.zeros(len(families)), np.zeros(len(families))
    for block, group in zip(blocks, groups, strict=True):
        num, den = block.spectrum(theta).slope_sums()
        for k in np.unique(group):
            mine = group == k
            share = 1.0 / (1.0 + (mine.sum() - 1) * DRIFT_CORRELATION)
            top[k] += share * num[mine].sum()
            bottom[k] += share * den[mine].sum()
    v = np.exp(2.0 * theta[INDEX["slope"]])
    centre, precision = np.zeros(len(families)), np.zeros(len(families))
    for family in np.unique(families):
        mine = families == family
        seen = mine & (bottom > 0)
        weight = 1.0 / (v + 1.0 / bottom[seen])
        precision[mine] = weight.sum() + DRIFT_SD**-2
        centre[mine] = (weight * top[seen] / bottom[seen]).sum() / precision[mine][0]
    mean = (top + centre / v) / (bottom + 1.0 / v)
    variance = 1.0 / (bottom + 1.0 / v)
    variance += (variance / v) ** 2 / precision
    return mean, variance


class Learned:
    """Result of ``learn``: theta, drift and drift_variance per group, share, calls."""

    def __init__(self, theta, drift, drift_variance, share, calls):
        self.theta, self.drift, self.drift_variance = theta, drift, drift_variance
        self.share, self.calls = share, calls


def learn(blocks, groups, families):
    """Posterior mode of the kernel's parameters, and the drift of each group.

    Parameters
    ----------
    blocks : list of Block
    groups : list of (C,) int arrays, the drift group of every cell of a block
    families : (n_groups,) ints
        0 for the groups of the cells of interest, 1 for those of the pool.

    Notes
    -----
    Rounds alternate between the drifts and L-BFGS on the tempered log posterior.
    Without blocks (a single short year) the prior is returned.
    """
    theta = CENTRE.copy()
    share = effective_share(blocks, theta)
    calls = 0
    for _ in range(ROUNDS if blocks else 0):
        drift, _ = group_drift(blocks, groups, theta, families)

        def objective(x, drift=drift):
            z = (x - CENTRE) / SPREAD
            value, gradient = 0.5 * z @ z, z / SPREAD
            for block, group in zip(blocks, groups, strict=True):
                v, g = block.spectrum(x).likelihood(x, drift[group])
                value, gradient = value - share * v, gradient - share * g
            return value, gradient

        result = minimize(
            objective,
            theta,
            jac=True,
            method="L-BFGS-B",
            bounds=list(zip(CENTRE - 6 * SPREAD, CENTRE + 6 * SPREAD, strict=True)),
            options={"maxiter": MAX_ITERATIONS, "ftol": 1e-6},
        )
        theta, calls = result.x, calls + result.nfev
    drift, variance = group_drift(blocks, groups, theta, families)
    return Learned(theta, drift, variance, share, calls)
