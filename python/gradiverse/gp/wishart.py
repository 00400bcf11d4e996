"""Inverse-Wishart shrinkage of few years to a pooled kernel.

Prior Σ ~ IW(ν0 + T - 1 degrees, scale ν0 K0); data: the scatter S_c of N residual
years whose mean was estimated, N - 1 degrees. Then the next year is multivariate
Student-t with ν = ν0 + N - 1 degrees and scale matrix (ν0 K0 + S_c)/ν.
"""

import math

import numpy as np

from ._condition import condition
from .sample import _FromYears

__all__ = ["InverseWishart", "StudentT"]


class StudentT:
    """A multivariate Student-t vector.

    Parameters
    ----------
    mean : (n,) array
    scale : (n, n) array
        Scale matrix; the covariance is scale · df/(df-2).
    df : float
        Degrees of freedom.
    """

    def __init__(self, mean, scale, df):
        self.mean, self.scale, self.df = mean, scale, float(df)

    @property
    def covariance(self):
        """(n, n) covariance; ValueError where df ≤ 2 (it is infinite)."""
        if self.df <= 2:
            raise ValueError(f"the covariance is infinite for {self.df:g} degrees")
        return self.scale * (self.df / (self.df - 2.0))

    def condition(self, observed, values):
        """The rest, given some entries: degrees ν + n, scale × (ν + q)/(ν + n).

        Parameters
        ----------
        observed : (n,) ints
        values : (n,) array

        Returns
        -------
        StudentT
            Of the remaining entries, in order.
        """
        index = np.asarray(observed, dtype=int)
        x = np.asarray(values, dtype=float)
        mean, scale = condition(self.scale, self.mean, observed, x)
        d = x - np.asarray(self.mean)[index]
        block = self.scale[np.ix_(index, index)]
        q = float(d @ np.linalg.solve(block, d)) if len(index) else 0.0
        df = self.df + len(index)
        return StudentT(mean, scale * ((self.df + q) / df), df)

    def sample(self, n, rng):
        """(n, points) draws; rng: a seed or Generator."""
        rng = np.random.default_rng(rng)
        value, vector = np.linalg.eigh(self.scale)
        root = vector * np.sqrt(np.clip(value, 0.0, None))
        normal = rng.standard_normal((n, len(value))) @ root.T
        chi = rng.chisquare(self.df, (n, 1)) / self.df
        return self.mean + normal / np.sqrt(chi)

    def __repr__(self):
        return f"StudentT({len(self.mean)} points, df={self.df:g})"


class InverseWishart(_FromYears):
    """(ν0 K0 + S_c)/(ν0 + N - 1): few years shrunk to a pooled kernel K0.

    As a kernel it stands for the scale matrix of the predictive Student-t vector;
    `predictive` gives that vector with its degrees of freedom.

    Parameters
    ----------
    data : (N, T) array
        Control years as relative residuals (their mean over years is removed).
    pooled : (T, T) array
        K0, of relative residuals too.
    nu0 : float
        Weight of the pooled kernel in years; `learn_nu0` finds it.
    points : (T,) array, optional
        Coordinates of the periods; 0..T-1 by default.

    Attributes
    ----------
    df : float
        ν0 + N - 1.
    """

    def __init__(self, data, pooled, nu0=5.0, points=None):
        self.nu0 = float(nu0)
        if not (self.nu0 > 0 and math.isfinite(self.nu0)):
            raise ValueError(f"nu0 must be positive, got {nu0!r}")
        self.pooled = np.asarray(pooled, dtype=float)
        super().__init__(data, points, least=1)
        self.df = self.nu0 + self.n_years - 1

    def _estimate(self, data):
        if self.pooled.shape != (self.n_periods, self.n_periods):
            raise ValueError(
                f"pooled must have the shape ({self.n_periods}, {self.n_periods}) of "
                f"the data's periods, got {self.pooled.shape}"
            )
        weight = self.nu0 + self.n_years - 1
        return (self.nu0 * self.pooled + self.scatter) / weight

    def predictive(self, mean=None):
        """The next year as a `StudentT` with ν0 + N - 1 degrees.

        Parameters
        ----------
        mean : (T,) array, optional
            Zero by default, as befits residuals. The error of an estimated mean is not
            included.
        """
        mean = np.zeros(self.n_periods) if mean is None else np.asarray(mean, float)
        return StudentT(mean, self.covariance, self.df)

    @property
    def log_evidence(self):
        """Log probability of the scatter of the data given ν0 and K0."""
        return log_evidence(self.nu0, self.pooled, self.scatter, self.n_years - 1)

    @staticmethod
    def learn_nu0(data, pooled, bounds=(0.5, 1e4)):
        """The ν0 of largest evidence, one for all the data sets given.

        Parameters
        ----------
        data : (N, T) array, or list of (N_i, T) arrays
            Relative residuals of one or several units.
        pooled : (T, T) array
            K0, positive definite.
        bounds : (float, float)
            Where to look.

        Returns
        -------
        float

        Examples
        --------
        >>> import numpy as np, gradiverse as gv
        >>> rng = np.random.default_rng(0)
        >>> units = [rng.normal(size=(6, 3)) for _ in range(40)]   # all alike: large
        >>> gv.gp.InverseWishart.learn_nu0(units, np.eye(3)) > 20
        True
        """
        if isinstance(data, np.ndarray) and data.ndim == 2:
            data = [data]
        made = [InverseWishart(d, pooled, 1.0) for d in data]
        low, high = np.log(bounds[0]), np.log(bounds[1])

        def value(s):
            return sum(
                log_evidence(np.exp(s), k.pooled, k.scatter, k.n_years - 1)
                for k in made
            )

        grid = np.linspace(low, high, 33)
        best = grid[int(np.argmax([value(s) for s in grid]))]
        step = grid[1] - grid[0]
        return float(
            np.exp(_golden(value, max(low, best - step), min(high, best + step)))
        )


def log_evidence(nu0, pooled, scatter, n):
    """log ∫ N(n vectors; 0, Σ) IW(Σ; ν0 + T - 1, ν0 K0) dΣ from their scatter."""
    T = len(pooled)
    before, after = nu0 + T - 1.0, nu0 + T - 1.0 + n
    sign0, prior = np.linalg.slogdet(nu0 * pooled)
    sign1, posterior = np.linalg.slogdet(nu0 * pooled + scatter)
    if sign0 <= 0 or sign1 <= 0:
        raise np.linalg.LinAlgError(
            "the pooled kernel is not positive definite; add noise to its diagonal"
        )
    gamma = sum(
        math.lgamma((after - j) / 2) - math.lgamma((before - j) / 2) for j in range(T)
    )
    return (
        gamma + before / 2 * prior - after / 2 * posterior - n * T / 2 * np.log(np.pi)
    )


def _golden(f, a, b, tolerance=1e-6):
    """Maximum of a unimodal function by golden section."""
    ratio = (math.sqrt(5.0) - 1.0) / 2.0
    c, d = b - ratio * (b - a), a + ratio * (b - a)
    fc, fd = f(c), f(d)
    while b - a > tolerance:
        if fc > fd:
            b, d, fd = d, c, fc
            c = b - ratio * (b - a)
            fc = f(c)
        else:
            a, c, fc = c, d, fd
            d = a + ratio * (b - a)
            fd = f(d)
    return 0.5 * (a + b)
