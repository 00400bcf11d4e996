"""Cells that share their shocks: conditioning all of them on each other's given weeks.

Relative deviations of the year to predict, after each cell's own history, are

    e_i = S_i (a_i z_0 + b_i z_i) + noise,      a_i^2 = share, b_i^2 = 1 - share,

S_i the symmetric root of cell i's structural covariance, z_0 a standard normal vector
common to the cells of a group, z_i the cell's own.  Given z_0 the cells are
independent, so that conditioning on the given weeks g of all costs a small solve each:

    B_i  = b^2 S_g S_g' + N_g,          A_i = a S_g
    z_0  ~ N(V c, V),   V^-1 = I + sum_i A_i' B_i^-1 A_i,   c = sum_i A_i' B_i^-1 y_i
    e_F  = T_i z_0 + b^2 S_F S_g' B^-1 y_i + own,   T_i = a S_F - b^2 S_F S_g' B^-1 A_i
    cov(own) = b^2 S_F S_F' - b^4 S_F S_g' B^-1 S_g S_F'.
"""

import numpy as np


def symmetric_root(K):
    """Symmetric square root of positive semi-definite matrices (..., n, n)."""
    value, vector = np.linalg.eigh(K)
    root = vector * np.sqrt(np.clip(value, 0.0, None))[..., None, :]
    return root @ np.swapaxes(vector, -1, -2)


def shared_update(root, noise, seen, first, group, share):
    """Future weeks of all cells given the weeks seen of all cells.

    Parameters
    ----------
    root : (C, W, W) symmetric roots of the structural covariance
    noise : (C, W) noise variances
    seen : (C, W) deviations from the mean before conditioning, NaN where not given
    first : int
        Weeks from `first` on are returned; earlier ones may be seen.
    group : (C,) ints from 0
        Cells of one group share z_0.
    share : float in [0, 1)

    Returns
    -------
    mean : (C, F) shift of the mean
    common : (C, F, W) factor of the error that the cells of a group share
    own : (C, F, F) symmetric factor of the cell's own error
    """
    W = seen.shape[1]
    ok = np.isfinite(seen[:, :first])
    Sg = root[:, :first] * ok[..., None]
    Sf = root[:, first:]
    B = (1.0 - share) * Sg @ np.swapaxes(Sg, 1, 2)
    diagonal = np.arange(first)
    B[:, diagonal, diagonal] += np.where(ok, noise[:, :first], 1.0)
    y = np.where(ok, seen[:, :first], 0.0)[..., None]
    solved = np.linalg.solve(B, np.concatenate([Sg, y], axis=2))
    Q, q = solved[..., :-1], solved[..., -1]
    cross = (1.0 - share) * Sf @ np.swapaxes(Sg, 1, 2)
    mean = np.einsum("cfg,cg->cf", cross, q)
    own = (1.0 - share) * (
        Sf @ np.swapaxes(Sf, 1, 2) - cross @ Q @ np.swapaxes(Sf, 1, 2)
    )
    T = np.sqrt(share) * (Sf - cross @ Q)
    common = np.empty_like(T)
    for k in range(group.max() + 1):
        mine = group == k
        precision = np.eye(W) + share * np.einsum("cgw,cgv->wv", Sg[mine], Q[mine])
        pull = np.sqrt(share) * np.einsum("cgw,cg->w", Sg[mine], q[mine])
        L = np.linalg.cholesky(0.5 * (precision + precision.T))
        half = np.linalg.solve(L, np.eye(W))
        mean[mine] += T[mine] @ (half.T @ (half @ pull))
        common[mine] = T[mine] @ half.T
    return mean, common, symmetric_root(0.5 * (own + np.swapaxes(own, 1, 2)))
