"""Kernels over grids, cells × time: Kronecker products and their structured algebra.

Over a grid the covariance is C = K_1 ⊗ K_2 ⊗ ... + D, D diagonal noise. Where D is a
product too, D = D_1 ⊗ D_2 ⊗ ..., whitening by it and one small eigendecomposition per
factor, D_i^-½ K_i D_i^-½ = Q_i Λ_i Q_iᵀ, give

    C⁻¹ = D^-½ Q (Λ_1 ⊗ Λ_2 ⊗ ... + 1)⁻¹ Qᵀ D^-½,   Q = Q_1 ⊗ Q_2 ⊗ ...

and log|C| = Σ log(Λ + 1) + log|D|. Other noise is handled by conjugate gradients with
that as the preconditioner. No matrix over the whole grid is formed.
"""

import numpy as np

from ._condition import observed_index
from .base import Kernel

__all__ = ["Kronecker", "KroneckerConditional", "KroneckerNormal"]


class Kronecker(Kernel):
    """K_1 ⊗ K_2 ⊗ ...: a kernel over a grid, the last factor varying fastest.

    Parameters
    ----------
    *factors : Kernel
        One per axis of the grid, e.g. regions, ages, time.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> k = gv.gp.Kronecker(gv.gp.Matern12(scale=1.0), gv.gp.Matern12(scale=3.0))
    >>> k((np.arange(2), np.arange(3))).shape
    (6, 6)
    >>> normal = k.normal((np.arange(2), np.arange(3)), noise=0.5)
    >>> round(float(normal.variance(np.ones(6))), 6)
    21.857475
    """

    whole = True

    def __init__(self, *factors):
        super().__init__()
        if len(factors) < 1 or not all(isinstance(k, Kernel) for k in factors):
            raise TypeError("Kronecker takes kernels, one per axis of the grid")
        self.factors = factors

    def children(self):
        return self.factors

    def rebuilt(self, children, values):
        return Kronecker(*children)

    def _axes(self, X, name):
        if not isinstance(X, (tuple, list)) or len(X) != len(self.factors):
            raise TypeError(
                f"{name} of a Kronecker kernel is a tuple of the points of each axis, "
                f"here {len(self.factors)}"
            )
        return X

    def __call__(self, X, X2=None):
        """Dense matrix over the grid X, a tuple of the points of each axis."""
        X = self._axes(X, "X")
        if X2 is None:
            parts = [k(x) for k, x in zip(self.factors, X, strict=True)]
        else:
            X2 = self._axes(X2, "X2")
            parts = [k(x, y) for k, x, y in zip(self.factors, X, X2, strict=True)]
        out = parts[0]
        for part in parts[1:]:
            out = np.kron(out, part)
        return out

    def diag(self, X, white=True):
        """The diagonal over the grid, flat."""
        out = np.ones(1)
        for k, x in zip(self.factors, self._axes(X, "X"), strict=True):
            out = np.kron(out, k.diag(x, white))
        return out

    def normal(self, X, noise=0.0):
        """The structured distribution over the grid X; see `KroneckerNormal`."""
        X = self._axes(X, "X")
        return KroneckerNormal(
            [k(x) for k, x in zip(self.factors, X, strict=True)], noise
        )

    def __repr__(self):
        return f"Kronecker({', '.join(map(repr, self.factors))})"


def _apply(matrices, x):
    """(M_1 ⊗ M_2 ⊗ ...) x for x (..., n_1, n_2, ...)."""
    d = len(matrices)
    for i, m in enumerate(matrices):
        axis = x.ndim - d + i
        x = np.moveaxis(np.tensordot(m, x, (1, axis)), 0, axis)
    return x


class KroneckerNormal:
    """N(0, K_1 ⊗ K_2 ⊗ ... + D) over a grid, without its big matrix.

    Parameters
    ----------
    factors : list of (n_i, n_i) arrays
        Symmetric, positive semi-definite.
    noise : float, list of (n_i,) arrays, or (n_1, n_2, ...) array
        The diagonal D: one number; its factors a_c b_t, ...; or any values over the
        grid (then `solve` iterates and `logpdf` is not offered).

    Attributes
    ----------
    shape : tuple of int
    """

    def __init__(self, factors, noise=0.0):
        self.factors = [_symmetric(k) for k in factors]
        self.shape = tuple(len(k) for k in self.factors)
        self.size = int(np.prod(self.shape))
        self.noise, parts, self.exact = self._noise(noise)
        self.noise_factors = parts
        root = [np.sqrt(p) for p in parts]
        pairs = [
            np.linalg.eigh(k / np.outer(r, r))
            for k, r in zip(self.factors, root, strict=True)
        ]
        self._inward = [q.T / r for (_, q), r in zip(pairs, root, strict=True)]
        value = np.ones(())
        for w, _ in pairs:
            value = np.multiply.outer(value, np.clip(w, 0.0, None))
        self._spectrum = value + 1.0 if self.noise.any() else value
        self._logdet_noise = sum(np.log(p).sum() * (self.size / len(p)) for p in parts)

    def _noise(self, noise):
        """The noise over the grid, positive factors for whitening, and exactness."""
        ones = [np.ones(n) for n in self.shape]
        if isinstance(noise, (list, tuple)):
            parts = [np.asarray(p, dtype=float) for p in noise]
            if [p.shape for p in parts] != [(n,) for n in self.shape]:
                raise ValueError(
                    f"noise factors must have the lengths {self.shape}, got "
                    f"{[p.shape for p in parts]}"
                )
            grid = np.ones(())
            for p in parts:
                grid = np.multiply.outer(grid, p)
        else:
            grid = np.broadcast_to(np.asarray(noise, dtype=float), self.shape)
            parts = None
        if not np.isfinite(grid).all() or (grid < 0).any():
            raise ValueError("noise must be finite and not negative")
        if not grid.any():
            return grid, ones, True
        if (grid == 0).any():
            raise ValueError("noise must be positive everywhere or zero everywhere")
        if parts is None and np.ptp(grid) == 0:
            parts = [np.full(self.shape[0], grid.flat[0]), *ones[1:]]
        if parts is not None:
            return grid, parts, True
        logs = np.log(grid)  # the nearest product, in the logarithm
        d, mean = grid.ndim, logs.mean()
        parts = []
        for axis in range(d):
            others = tuple(a for a in range(d) if a != axis)
            parts.append(np.exp(logs.mean(axis=others) - mean * (d - 1) / d))
        return grid, parts, False

    def _grid(self, x, name="x"):
        """x over the grid, (..., n_1, n_2, ...), and whether it came flat, (..., N)."""
        x = np.asarray(x, dtype=float)
        d = len(self.shape)
        if x.ndim >= d and x.shape[x.ndim - d :] == self.shape:
            return x, False
        if x.ndim >= 1 and x.shape[-1] == self.size:
            return x.reshape(*x.shape[:-1], *self.shape), True
        raise ValueError(
            f"{name} must have the shape (..., {self.size}) or (..., "
            f"{', '.join(map(str, self.shape))}), got {x.shape}"
        )

    def _like(self, x, flat):
        return x.reshape(*x.shape[: x.ndim - len(self.shape)], self.size) if flat else x

    # --- products and solutions ---------------------------------------------------
    def matvec(self, x):
        """C x, in the shape of x: (..., N) or (..., n_1, n_2, ...)."""
        grid, flat = self._grid(x)
        return self._like(_apply(self.factors, grid) + self.noise * grid, flat)

    def _presolve(self, grid):
        if (self._spectrum <= 0).any():
            raise np.linalg.LinAlgError(
                "the Kronecker covariance is singular: a factor has no positive "
                f"eigenvalue number {int((self._spectrum > 0).sum())}; give noise > 0"
            )
        inner = _apply(self._inward, grid) / self._spectrum
        return _apply([m.T for m in self._inward], inner)

    def solve(self, x, tolerance=1e-12, maxiter=1000):
        """C⁻¹ x, in the shape of x.

        Parameters
        ----------
        x : (..., N) or (..., n_1, n_2, ...) array
        tolerance, maxiter
            Of the conjugate gradients, where the noise is not a product: the residual
            relative to x.

        Raises
        ------
        numpy.linalg.LinAlgError
            If C is singular, or the iteration does not converge.
        """
        grid, flat = self._grid(x)
        y = (
            self._presolve(grid)
            if self.exact
            else self._iterate(grid, tolerance, maxiter)
        )
        return self._like(y, flat)

    def _iterate(self, b, tolerance, maxiter):
        axes = tuple(range(-len(self.shape), 0))

        def dot(u, v):
            return np.sum(u * v, axis=axes, keepdims=True)

        y = self._presolve(b)
        r = b - (_apply(self.factors, y) + self.noise * y)
        z = self._presolve(r)
        p, rz, goal = z, dot(r, z), tolerance * np.sqrt(dot(b, b))
        for _ in range(maxiter):
            if (np.sqrt(dot(r, r)) <= goal).all():
                return y
            q = _apply(self.factors, p) + self.noise * p
            pq = dot(p, q)
            step = np.where(pq > 0, rz / np.where(pq > 0, pq, 1.0), 0.0)
            y = y + step * p
            r = r - step * q
            z = self._presolve(r)
            old, rz = rz, dot(r, z)
            p = z + np.where(old > 0, rz / np.where(old > 0, old, 1.0), 0.0) * p
        raise np.linalg.LinAlgError(
            f"no convergence to {tolerance:g} in {maxiter} iterations; the noise "
            "varies too much over the grid for its product approximation"
        )

    @property
    def logdet(self):
        """log|C|; ValueError where the noise is not a product over the axes."""
        if not self.exact:
            raise ValueError(
                "the log-determinant needs noise that is one number or a list of one "
                "vector per axis; this noise is not a product"
            )
        if (self._spectrum <= 0).any():
            return -np.inf
        return float(np.log(self._spectrum).sum() + self._logdet_noise)

    def logpdf(self, x):
        """log N(x; 0, C) of each leading index of x, (...)."""
        grid, _ = self._grid(x)
        logdet = self.logdet
        axes = tuple(range(-len(self.shape), 0))
        square = np.sum(grid * self._presolve(grid), axis=axes)
        return -0.5 * (square + logdet + self.size * np.log(2.0 * np.pi))

    # --- sums ---------------------------------------------------------------------
    def covariance(self, w, v):
        """wᵀCv of linear functionals, over their joint leading axes."""
        a, _ = self._grid(w, "w")
        b, _ = self._grid(v, "v")
        axes = tuple(range(-len(self.shape), 0))
        return np.sum(a * (_apply(self.factors, b) + self.noise * b), axis=axes)

    def variance(self, w):
        """wᵀCw, over the leading axes of w."""
        return self.covariance(w, w)

    def margin(self, keep, weights=None):
        """Covariance of the sums over all axes but those kept.

        Parameters
        ----------
        keep : tuple of int
            Axes that stay, e.g. (0,): one sum per region; (): the grand total.
        weights : list of (n_i,) arrays, optional
            Weights of the cells in the sums, one vector per axis; ones by default.

        Returns
        -------
        (M, M) array, M the product of the kept lengths (1 for the grand total)
        """
        d = len(self.shape)
        keep = {k % d for k in keep}
        w = [np.ones(n) for n in self.shape] if weights is None else weights
        matrix, w2 = np.ones((1, 1)), self.noise
        for i, k in enumerate(self.factors):
            wi = np.asarray(w[i], dtype=float)
            part = k * np.outer(wi, wi)
            matrix = np.kron(matrix, part if i in keep else part.sum().reshape(1, 1))
            w2 = w2 * (wi**2).reshape([-1 if a == i else 1 for a in range(d)])
        rest = tuple(a for a in range(d) if a not in keep)
        return matrix + np.diag(np.sum(w2, axis=rest).ravel())

    def sample(self, n, rng):
        """(n, n_1, n_2, ...) draws; rng: a seed or Generator."""
        rng = np.random.default_rng(rng)
        z = rng.standard_normal((n, *self.shape))
        roots = []
        for k in self.factors:
            value, vector = np.linalg.eigh(k)
            roots.append(vector * np.sqrt(np.clip(value, 0.0, None)))
        e = rng.standard_normal((n, *self.shape))
        return _apply(roots, z) + np.sqrt(self.noise) * e

    # --- conditioning -------------------------------------------------------------
    def condition(self, observed, values, prior_mean=0.0):
        """Condition on all cells at some points of the last axis.

        Parameters
        ----------
        observed : (n,) ints
            Indices along the last axis (time).
        values : (n_1, ..., n) array
        prior_mean : (n_1, ..., T) array or scalar

        Returns
        -------
        KroneckerConditional
        """
        return KroneckerConditional(self, observed, values, prior_mean)

    def __repr__(self):
        return f"KroneckerNormal({' x '.join(map(str, self.shape))})"


class KroneckerConditional:
    """The unobserved part of a `KroneckerNormal`, given all cells at some times.

    Attributes
    ----------
    mean : (n_1, ..., r) array
    shape : tuple of int
    """

    def __init__(self, normal, observed, values, prior_mean=0.0):
        T = normal.shape[-1]
        o = np.array(observed_index(observed, T), dtype=int)
        z = np.setdiff1d(np.arange(T), o)
        time = normal.factors[-1]
        prior = np.broadcast_to(np.asarray(prior_mean, dtype=float), normal.shape)
        x = np.asarray(values, dtype=float)
        if x.shape != (*normal.shape[:-1], len(o)):
            raise ValueError(
                f"values must have the shape {(*normal.shape[:-1], len(o))}, got "
                f"{x.shape}"
            )
        self.shape = (*normal.shape[:-1], len(z))
        self._cross = [*normal.factors[:-1], time[np.ix_(z, o)]]
        self._rest = _part(normal, z)
        self._given = _part(normal, o) if len(o) else None
        self.mean = prior[..., z]
        if len(o):
            alpha = self._given.solve(x - prior[..., o])
            self.mean = self.mean + _apply(self._cross, alpha)

    def covariance(self, w, v):
        """wᵀCv of linear functionals of the unobserved part."""
        a, _ = self._rest._grid(w, "w")
        b, _ = self._rest._grid(v, "v")
        prior = self._rest.covariance(a, b)
        if self._given is None:
            return prior
        back = [m.T for m in self._cross]
        u, y = _apply(back, a), self._given.solve(_apply(back, b))
        return prior - np.sum(u * y, axis=tuple(range(-len(self.shape), 0)))

    def variance(self, w):
        """wᵀCw, over the leading axes of w (..., n_1, ..., r) or (..., N)."""
        return self.covariance(w, w)

    def __repr__(self):
        return f"KroneckerConditional({' x '.join(map(str, self.shape))})"


def _part(normal, index):
    """The same distribution at some points of the last axis."""
    factors = [*normal.factors[:-1], normal.factors[-1][np.ix_(index, index)]]
    if not normal.noise.any():
        return KroneckerNormal(factors, 0.0)
    if normal.exact:
        return KroneckerNormal(
            factors,
            [
                p[index] if i == len(factors) - 1 else p
                for i, p in enumerate(normal.noise_factors)
            ],
        )
    return KroneckerNormal(factors, normal.noise[..., index])


def _symmetric(k):
    k = np.asarray(k, dtype=float)
    if k.ndim != 2 or k.shape[0] != k.shape[1]:
        raise ValueError(f"a factor must have the shape (n, n), got {k.shape}")
    if not np.isfinite(k).all():
        raise ValueError("a factor has entries that are not finite")
    return 0.5 * (k + k.T)
