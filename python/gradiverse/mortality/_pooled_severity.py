"""How severe this year's epidemics are, seen from the weeks given.

A normal law of known size takes a wave far beyond all earlier ones for a change of
level and carries it on through the year.  Epidemics are heavy-tailed between years:
their covariance E in the year to predict is s^2 E with

    s^2 ~ inverse gamma (DOF/2, DOF/2),

so that a single year's wave is Student t.  The deviations y_c of the given weeks have
log likelihood l_c(s) = log N(y_c; 0, C_c + (s^2 - 1) E + N_c).  Cells of one group
share winters: a cell's own l_c is joined by the median over its group, which a few
unusual cells do not move, times the effective number of the others.  The posterior mean
of log s^2 is used; years calmer than usual (s < 1) keep s = 1, since they may only be
late.
"""

import numpy as np

DOF = 6.0
GRID = np.linspace(np.log(0.25), np.log(1024.0), 49)  # log s^2


def severity(cov, epidemic, noise, seen, group, share):
    """s^2 >= 1 of every cell.

    Parameters
    ----------
    cov : (C, g, g) structural covariance of the given weeks
    epidemic : (C, g, g) its epidemic part
    noise : (C, g) noise variances
    seen : (C, g) deviations, NaN where not given
    group : (C,) ints from 0
    share : float
        Effective number of independent cells over their number.

    Returns
    -------
    (C,) float array
    """
    ok = np.isfinite(seen)
    pair = ok[:, :, None] & ok[:, None, :]
    diagonal = np.arange(seen.shape[1])
    K = np.where(pair, cov, 0.0)
    K[:, diagonal, diagonal] += np.where(ok, noise, 1.0)
    E = np.where(pair, epidemic, 0.0)
    y = np.where(ok, seen, 0.0)
    value, rotated = _diagonalise(K, E, y)
    h = 1.0 + np.expm1(GRID)[:, None, None] * value
    h = np.maximum(h, 1e-6)
    fit = -0.5 * (np.log(h) + rotated**2 / h).sum(axis=2)
    prior = -0.5 * DOF * (GRID + np.exp(-GRID))
    out = np.ones(len(seen))
    for k in range(group.max() + 1):
        mine = np.flatnonzero(group == k)
        usual = np.median(fit[:, mine], axis=1)
        score = fit[:, mine] + (share * (len(mine) - 1) * usual + prior)[:, None]
        weight = np.exp(score - score.max(axis=0))
        out[mine] = np.exp((weight * GRID[:, None]).sum(0) / weight.sum(0))
    return np.maximum(out, 1.0)


def _diagonalise(K, E, y):
    """Eigenvalues of L^-1 E L^-T and U'L^-1 y with K = L L', for every cell."""
    L = np.linalg.cholesky(K)
    half = np.linalg.solve(L, E)
    whitened = np.linalg.solve(L, np.swapaxes(half, 1, 2))
    value, U = np.linalg.eigh(0.5 * (whitened + np.swapaxes(whitened, 1, 2)))
    z = np.linalg.solve(L, y[..., None])
    return value, (np.swapaxes(U, 1, 2) @ z)[..., 0]
