"""Fits of Om to standardised magnitudes, offset marginalised."""

from dataclasses import dataclass

import numpy as np

from . import _check
from .distance import distance_modulus


@dataclass(frozen=True)
class OmFit:
    """Posterior of Om in a flat universe with w = -1.

    Attributes
    ----------
    mean, sd : float
    chi2 : float
        At the best Om and offset.
    best : float
    offset : float
        Absolute magnitude at the best Om (H0 = 70).
    prior : (float, float)
        Range of the flat prior: it is part of the answer.
    n : int
    """

    mean: float
    sd: float
    chi2: float
    best: float
    offset: float
    prior: tuple
    n: int

    def __str__(self):
        low, high = self.prior
        return (
            f"Om = {self.mean:.4f} +- {self.sd:.4f} (flat prior {low:g}-{high:g}),"
            f" chi2 = {self.chi2:.1f} for {self.n} objects"
        )


def fit_om(z, magnitude, covariance, z_helio=None, prior=(0.1, 0.6), points=501):
    """Om of standardised magnitudes, a flat LCDM universe.

    Parameters
    ----------
    z, z_helio : (N,) arrays
    magnitude : (N,) array
    covariance : (N, N) array, or (N,) sds
        Sds alone leave out what objects have in common.
    prior : (low, high)
        Of Om.
    points : int
        Of the grid in Om.

    Returns
    -------
    OmFit

    Notes
    -----
    With r = m - mu(Om) and u = (1, ..., 1) the offset integrates to
    chi2 = r^T C^-1 r - (u^T C^-1 r)^2/(u^T C^-1 u).

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> from gradiverse.supernova.hubble import fit_om
    >>> z = np.linspace(0.02, 1.0, 200)
    >>> m = gv.supernova.distance_modulus(z, 0.3, 0.7, -1.0) - 19.3
    >>> fit = fit_om(z, m, np.full(200, 0.1))
    >>> round(fit.best, 3), round(fit.offset, 3)
    (0.3, -19.3)
    """
    z = _check.redshifts(z)
    n = len(z)
    m = np.asarray(magnitude, dtype=float)
    C = np.asarray(covariance, dtype=float)
    if m.shape != (n,) or not np.isfinite(m).all():
        raise ValueError(f"magnitude must be {n} finite numbers, got shape {m.shape}")
    if C.shape not in ((n,), (n, n)):
        raise ValueError(f"covariance must be ({n}, {n}), or {n} sds; got {C.shape}")
    low, high = map(float, prior)
    if not 0 <= low < high:
        raise ValueError(f"prior must be 0 <= low < high, got {prior!r}")
    if C.ndim == 1:
        if not (C > 0).all():
            raise ValueError(f"sds must be positive: {_check.rows_text(C <= 0)}")

        def solve(x):
            return (x.T / C**2).T

    else:
        try:
            L = np.linalg.cholesky(C)
        except np.linalg.LinAlgError:
            raise ValueError(
                "the covariance is not positive definite; is it the inverse?"
                " (read_covariance(errors=...) tells)"
            ) from None

        def solve(x):
            return np.linalg.solve(L.T, np.linalg.solve(L, x))

    Om = np.linspace(low, high, int(points))
    r = np.stack([m - distance_modulus(z, o, 1 - o, -1.0, z_helio) for o in Om], axis=1)
    u = np.ones(n)
    weight, solved = solve(u), solve(r)
    norm = u @ weight
    offset = weight @ r / norm
    chi2 = np.einsum("ij,ij->j", r, solved) - offset**2 * norm
    p = np.exp(-0.5 * (chi2 - chi2.min()))
    p /= p.sum()
    mean = float(p @ Om)
    k = int(np.argmin(chi2))
    return OmFit(
        mean, float(np.sqrt(p @ (Om - mean) ** 2)), float(chi2[k]), float(Om[k]),
        float(offset[k]), (low, high), n,
    )  # fmt: skip
