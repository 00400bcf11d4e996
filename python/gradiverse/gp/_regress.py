"""The traced functions behind `GaussianProcess`: likelihood, factor, posterior.

With a basis H (n, p) of the mean, b = HᵀK⁻¹y and G = HᵀK⁻¹H:

ML    log N(y; 0, K) + ½ bᵀG⁻¹b                      (coefficients profiled out)
REML  ML - ½ log|G| + ½ log|HᵀH| + p/2 log 2π        (integrated out: the density of
                                                      n - p orthonormal contrasts)

Predictions add R G⁻¹ Rᵀ, R = H* - K*ᵀK⁻¹H, for the error of the coefficients.
"""

import numpy as np

from .. import ops
from ..graph import emit
from ._run import apply


def basis_matrix(mean, a):
    """The basis of the mean at the points a: (n, p)."""
    if mean is None:
        return np.empty((len(a), 0))
    if callable(mean):
        H = np.asarray(mean(a), dtype=float)
        if H.ndim != 2 or len(H) != len(a) or not np.isfinite(H).all():
            raise ValueError(
                f"mean(X) must give finite values of the shape ({len(a)}, p), got "
                f"{H.shape}"
            )
        return H
    one = np.ones((len(a), 1))
    return one if mean == "constant" else np.concatenate([one, a], axis=1)


def _data_covariance(kernel, theta, a, diagonal):
    K = kernel.with_theta(theta)(a)
    return K if diagonal is None else K + np.diag(diagonal)


class Functions:
    """Functions of theta and arrays, to be compiled.

    Parameters
    ----------
    kernel : Kernel
    method : "ml" or "reml"
    a : (n, d) array, training points
    rows : (1 + p, n) array: y, then the basis of the mean
    diagonal : (n,) array or None, known noise variances
    """

    def __init__(self, kernel, method, a, rows, diagonal):
        self.kernel, self.method, self.diagonal = kernel, method, diagonal
        self.fixed = a if kernel.at_points_only else None
        self.basis = rows[1:]

    def evidence(self, theta, a, rows):
        """Log likelihood, ML or REML."""
        a = a if self.fixed is None else self.fixed
        K = _data_covariance(self.kernel, theta, a, self.diagonal)
        logp, alpha, _ = apply("gp_logml", (K, rows))
        value, p = logp[0], len(self.basis)
        if p == 0:
            return value
        G = self.basis @ alpha[1:].T
        b = self.basis @ alpha[0]
        value = value + 0.5 * np.sum(b * np.linalg.solve(G, b))
        if self.method == "ml":
            return value
        free = np.linalg.slogdet(self.basis @ self.basis.T)[1] + p * np.log(2.0 * np.pi)
        return value - 0.5 * ops.logdet(G) + 0.5 * free

    def factor(self, theta, a, rows):
        """K⁻¹ of the rows, and the lower factor of K."""
        a = a if self.fixed is None else self.fixed
        K = _data_covariance(self.kernel, theta, a, self.diagonal)
        return tuple(apply("gp_logml", (K, rows))[1:])

    def contraction(self, theta, a, alpha, chol):
        """sum(K G) with G the gradient of log N(y; 0, K) with respect to K.

        G = (alpha alpha' - K⁻¹) / 2 comes from the factor at hand, so that the
        derivative of this sum is that of the likelihood without another one.
        """
        a = a if self.fixed is None else self.fixed
        K = _data_covariance(self.kernel, theta, a, self.diagonal)
        return np.sum(K * apply("gp_logml_bwd", (alpha, chol, np.ones(1)))[0])

    def posterior(self, what, noise, points):
        """Function of (theta, b, a, chol, alpha (1 + p, n)): what is needed at b."""

        def f(theta, b, a, chol, alpha):
            if self.fixed is not None:
                a, b = self.fixed, points
            kernel = self.kernel.with_theta(theta)
            cross = kernel(b, a)
            shift = cross @ alpha.T
            if what == "mean":
                return (shift,)
            half = emit("trisolve", (chol, cross.T), lower=1, trans=0, unit=0)
            if what == "std":
                prior = kernel.diag(b, white=noise)
                return shift, prior - np.sum(np.square(half), axis=0)
            prior = kernel(b) if noise else kernel(b, b)
            return shift, prior - half.T @ half

        return f
