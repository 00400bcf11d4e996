"""Kernels estimated from control years: principal components and shrinkage.

data Y (N, T): N years of T periods; m the mean over years, S_c = Σ (y-m)(y-m)ᵀ,
S = S_c/(N-1) with eigenpairs λ_1 ≥ λ_2 ≥ ..., rank at most N-1. Two conventions exist
for the variance of the discarded components; each kernel has its own and never
switches:

SampleCovariance  S
PCA               Σ_{j≤k} λ_j v_j v_jᵀ (singular alone)
PPCA              Σ_{j≤k} (λ_j - s2) v_j v_jᵀ + s2 I, s2 = Σ_{j>k} λ_j / (T - k)
SklearnPCA        as PPCA with s2 = the mean of the min(N, T) - k discarded λ_j
LedoitWolf        (1-δ) Ŝ + δ μ I, Ŝ = S_c/N, μ = tr Ŝ/T, δ = min(1, b²/‖Ŝ-μI‖²),
                  b² = N⁻² Σ ‖r_i r_iᵀ - Ŝ‖²
InverseWishart    (ν0 K0 + S_c)/(ν0 + N - 1), predictive Student-t

References: Tipping and Bishop, J. R. Statist. Soc. B 61, 611 (1999); Ledoit and Wolf,
J. Multivar. Anal. 88, 365 (2004).
"""

import numpy as np

from ..var import Var
from ._check import control_years
from .base import Kernel

__all__ = ["PCA", "PPCA", "LedoitWolf", "SampleCovariance", "SklearnPCA", "Table"]


class Table(Kernel):
    """A fixed covariance matrix between the points of a list.

    Parameters
    ----------
    covariance : (T, T) array
        Symmetric.
    points : (T,) array, optional
        The coordinates that its rows stand for; 0, 1, ..., T-1 by default. X given to
        the kernel must consist of these.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> k = gv.gp.Table(np.diag([1.0, 2.0, 3.0]), points=[10, 20, 30])
    >>> k([20, 30])
    array([[2., 0.],
           [0., 3.]])
    """

    def __init__(self, covariance, points=None):
        super().__init__()
        c = np.asarray(covariance, dtype=float)
        if c.ndim != 2 or c.shape[0] != c.shape[1]:
            raise ValueError(f"covariance must have the shape (T, T), got {c.shape}")
        if not np.isfinite(c).all():
            raise ValueError("covariance has entries that are not finite")
        if not np.allclose(c, c.T, rtol=1e-8, atol=1e-12 * np.abs(c).max(initial=0)):
            raise ValueError("covariance is not symmetric")
        self.covariance = 0.5 * (c + c.T)
        self.points = np.arange(len(c), dtype=float)
        if points is not None:
            self.points = np.asarray(points, dtype=float)
            if self.points.shape != (len(c),):
                raise ValueError(
                    f"points must have the shape ({len(c)},), got {self.points.shape}"
                )
            if len(np.unique(self.points)) != len(c):
                raise ValueError("points must differ from each other")

    at_points_only = True

    def positions(self, a):
        """Row of each point of a (n, 1)."""
        if type(a) is Var:
            raise TypeError(
                f"{type(self).__name__} is defined at its points only: X cannot be "
                "differentiated or batched"
            )
        if a.shape[1] != 1:
            raise ValueError(
                f"{type(self).__name__} takes points with one coordinate, got "
                f"{a.shape[1]}"
            )
        order = np.argsort(self.points)
        near = np.searchsorted(self.points, a[:, 0], sorter=order)
        found = order[np.minimum(near, len(order) - 1)]
        if (self.points[found] != a[:, 0]).any():
            bad = a[self.points[found] != a[:, 0], 0][0]
            raise ValueError(
                f"{bad:g} is not a point of the {type(self).__name__} kernel, which "
                f"has {len(self.points)} points from {self.points.min():g} to "
                f"{self.points.max():g}"
            )
        return found

    def matrix(self, a, b, same):
        return self.covariance[np.ix_(self.positions(a), self.positions(b))]

    def diagonal(self, a, white):
        return np.diag(self.covariance)[self.positions(a)]

    def __repr__(self):
        return f"{type(self).__name__}({len(self.points)} points)"


class _FromYears(Table):
    """A table made from control years."""

    def __init__(self, data, points=None, least=2):
        data = control_years(data, least)
        self.n_years, self.n_periods = data.shape
        self.mean = data.mean(axis=0)
        self.scatter = (data - self.mean).T @ (data - self.mean)
        super().__init__(self._estimate(data), points)

    def _estimate(self, data):
        raise NotImplementedError

    def _eigen(self):
        """Eigenvalues of S, descending and not negative, and eigenvectors."""
        value, vector = np.linalg.eigh(self.scatter / (self.n_years - 1))
        value = np.clip(value[::-1], 0.0, None)
        value[min(self.n_years - 1, self.n_periods) :] = 0.0  # the rank
        return value, vector[:, ::-1]


class SampleCovariance(_FromYears):
    """S = S_c/(N-1), of rank at most N-1.

    Parameters
    ----------
    data : (N, T) array
        Control years, e.g. daily rates.
    points : (T,) array, optional
        Coordinates of the periods; 0..T-1 by default.
    """

    def _estimate(self, data):
        return self.scatter / (self.n_years - 1)


class PCA(_FromYears):
    """Σ_{j≤k} λ_j v_j v_jᵀ: the first k principal components alone (singular).

    Parameters
    ----------
    data : (N, T) array
        Control years.
    components : int
        k, at most min(N-1, T).
    points : (T,) array, optional
        Coordinates of the periods; 0..T-1 by default.

    Attributes
    ----------
    eigenvalues : (T,) array, descending
    eigenvectors : (T, T) array, columns
    discarded : float
        Σ_{j>k} λ_j, never negative: the variance that the components leave.
    """

    def __init__(self, data, components=2, points=None):
        if int(components) != components or components < 1:
            raise ValueError(
                f"components must be a positive integer, got {components!r}"
            )
        self.components = int(components)
        super().__init__(data, points)

    def _estimate(self, data):
        k, most = self.components, min(self.n_years - 1, self.n_periods)
        if k > most:
            raise ValueError(
                f"{k} components asked for, {self.n_years} years of {self.n_periods} "
                f"periods have {most}"
            )
        self.eigenvalues, self.eigenvectors = self._eigen()
        self.discarded = float(self.eigenvalues[k:].sum())
        return self._spectral(self._noise(k))

    def _noise(self, k):
        return 0.0

    def _spectral(self, s2):
        self.noise = s2
        k, v = self.components, self.eigenvectors[:, : self.components]
        return (v * (self.eigenvalues[:k] - s2)) @ v.T + s2 * np.eye(self.n_periods)


class PPCA(PCA):
    """Probabilistic PCA: Σ_{j≤k} (λ_j - s2) v_j v_jᵀ + s2 I, s2 = Σ_{j>k} λ_j/(T-k).

    Parameters
    ----------
    data, components, points
        As for `PCA`, with components < T.

    Attributes
    ----------
    noise : float
        s2, by the maximum-likelihood convention.
    """

    def _noise(self, k):
        if k >= self.n_periods:
            raise ValueError(f"PPCA needs fewer than T = {self.n_periods} components")
        return self.discarded / (self.n_periods - k)


class SklearnPCA(PCA):
    """`PPCA` with scikit-learn's noise: the mean of the min(N, T) - k discarded λ_j.

    The zero eigenvalue that the mean costs is counted. With N = 5, T = 25 and k = 2
    the noise is 23/3 times that of `PPCA`.

    Parameters
    ----------
    data, components, points
        As for `PCA`, with components < min(N, T).
    """

    def _noise(self, k):
        count = min(self.n_years, self.n_periods) - k
        if count < 1:
            raise ValueError(
                "SklearnPCA needs fewer than min(N, T) = "
                f"{min(self.n_years, self.n_periods)} components"
            )
        return self.discarded / count


class LedoitWolf(_FromYears):
    """Linear shrinkage of S_c/N towards a multiple of the identity.

    Parameters
    ----------
    data : (N, T) array
        Control years.
    points : (T,) array, optional
        Coordinates of the periods; 0..T-1 by default.

    Attributes
    ----------
    shrinkage : float
        δ, between 0 and 1.
    """

    def _estimate(self, data):
        residual, N, T = data - self.mean, self.n_years, self.n_periods
        sample = self.scatter / N
        mu = np.trace(sample) / T
        # Σ ‖r rᵀ - Ŝ‖² = Σ |r|⁴ - N ‖Ŝ‖²
        fourth = np.sum(np.square(np.sum(np.square(residual), axis=1)))
        b2 = (fourth - N * np.sum(np.square(sample))) / N**2
        d2 = np.sum(np.square(sample)) - T * mu**2
        self.shrinkage = float(min(1.0, max(b2, 0.0) / d2)) if d2 > 0 else 1.0
        return (1.0 - self.shrinkage) * sample + self.shrinkage * mu * np.eye(T)
