"""Gaussian-process regression in scikit-learn's manner."""

import warnings

import numpy as np

from .. import _core
from ..compile import compile
from ..grad import grad, value_and_grad
from ._check import finite, floating, points
from ._optimise import minimise, rescaled
from ._regress import Functions, basis_matrix
from .base import Kernel
from .kronecker import Kronecker
from .stationary import SquaredExponential, White

__all__ = ["GaussianProcess"]


class GaussianProcess:
    """Regression y = f(x) + noise with f a Gaussian process.

    Parameters
    ----------
    kernel : Kernel, optional
        Covariance of y: a `White` part is the noise of each observation.
        SquaredExponential() + White(0.1) by default.
    mean : None, "constant", "linear" or callable
        Zero; or a basis whose coefficients are estimated with the process (generalised
        least squares, their error included in predictions): ones, ones and the
        coordinates, or ``mean(X (n, d)) -> (n, p)``.
    method : "ml" or "reml"
        Likelihood that `fit` maximises. "reml" integrates the coefficients of the mean
        out, which frees the variances from the bias of estimating them; needs a mean.
    noise_variance : float or (n,) array, optional
        Known variance of each observation, added to the diagonal at the training
        points (never at predictions).
    restarts : int
        Further optimisations from random points within 2 of theta.
    maxiter : int
        Most evaluations of the likelihood per optimisation.

    Attributes
    ----------
    kernel_ : Kernel
        With the fitted hyper-parameters.
    log_marginal_likelihood_value_ : float
    coefficients_ : (p,) array
        Of the mean.
    converged_ : bool
        Whether the optimisation ended at a stationary point (True where nothing was
        optimised).

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> rng = np.random.default_rng(0)
    >>> x = np.linspace(0, 10, 40)
    >>> y = np.sin(x) + 0.1 * rng.normal(size=40)
    >>> k = gv.gp.SquaredExponential(1.0, 1.0) + gv.gp.White(0.1)
    >>> gp = gv.gp.GaussianProcess(kernel=k).fit(x, y)
    >>> mean, sd = gp.predict([2.5], return_std=True)
    >>> bool(abs(mean[0] - np.sin(2.5)) < 3 * sd[0]), bool(sd[0] < 0.1)
    (True, True)
    """

    def __init__(
        self,
        kernel=None,
        mean=None,
        method="ml",
        noise_variance=None,
        restarts=0,
        maxiter=100,
    ):
        kernel = SquaredExponential() + White(0.1) if kernel is None else kernel
        if not isinstance(kernel, Kernel):
            raise TypeError(f"kernel must be a Kernel, got {type(kernel).__name__}")
        if isinstance(kernel, Kronecker):
            raise TypeError("for a Kronecker kernel use its method normal(X, noise)")
        if method not in ("ml", "reml"):
            raise ValueError(f"method must be 'ml' or 'reml', got {method!r}")
        if mean not in (None, "constant", "linear") and not callable(mean):
            raise ValueError(
                "mean must be None, 'constant', 'linear' or a function of X, got "
                f"{mean!r}"
            )
        if method == "reml" and mean is None:
            raise ValueError(
                "method='reml' needs a mean whose coefficients are estimated; give "
                "mean='constant', or use method='ml'"
            )
        self.kernel, self.mean, self.method = kernel, mean, method
        self.noise_variance = noise_variance
        self.restarts, self.maxiter = int(restarts), int(maxiter)
        self.kernel_ = kernel
        self._points = None

    # --- fitting ------------------------------------------------------------------
    def fit(self, X, y, optimize=True, rng=None):
        """Fit the hyper-parameters and prepare predictions.

        Parameters
        ----------
        X : (n,) or (n, d) array
        y : (n,) array
        optimize : bool
            False: keep the hyper-parameters of the kernel as given.
        rng : seed or Generator
            Of the random restarts.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If shapes do not fit or values are not finite.
        numpy.linalg.LinAlgError
            If the covariance is not positive definite; names the pivot and a jitter
            (the variance of a `White` part) that would do.
        """
        a = points(X).astype(float)
        y = finite(floating(y, "y"), "y").astype(float)
        if y.shape != (len(a),):
            raise ValueError(
                f"y must have the shape ({len(a)},) of the points X, got {y.shape}"
            )
        if len(a) == 0:
            raise ValueError("X has no points")
        self._points = a
        self._rows = np.concatenate([y[None], basis_matrix(self.mean, a).T])
        diagonal = self._diagonal(len(a))
        self._made = Functions(self.kernel, self.method, a, self._rows, diagonal)
        self._compiled = {
            "value": compile(self._made.evidence),
            "gradient": compile(value_and_grad(self._made.evidence)),
            "slope": compile(grad(self._made.contraction)),
        }
        self.kernel_, self.converged_ = self.kernel, True
        if optimize and self.kernel.n_hyper:
            self._optimise(np.random.default_rng(rng))
        self._prepare()
        return self

    def _diagonal(self, n):
        if self.noise_variance is None:
            return None
        v = np.asarray(self.noise_variance, dtype=float)
        if v.shape not in ((), (n,)) or not np.isfinite(v).all() or (v < 0).any():
            raise ValueError(
                f"noise_variance must be one number or have the shape ({n},), finite "
                "and not negative"
            )
        return np.broadcast_to(v, (n,)).copy()

    def _evidence(self, theta, gradient):
        f = self._compiled["gradient" if gradient else "value"]
        return f(theta, self._points, self._rows)

    def _optimise(self, rng):
        def both(theta, rows):
            try:
                value, slope = self._evidence(theta[0], True)
            except _core.LinAlgError:
                return np.array([np.inf]), np.zeros(theta.shape)
            return -np.array([value]), -slope[None]

        start, bounds = self._start(), self.kernel.bounds
        best = minimise(both, start[None], bounds, self.maxiter)
        for _ in range(self.restarts):
            moved = np.clip(start + rng.uniform(-2.0, 2.0, start.shape), *bounds.T)
            if not np.isfinite(both(moved[None], None)[0]).all():
                continue
            other = minimise(both, moved[None], bounds, self.maxiter)
            if other.value[0] < best.value[0]:
                best = other
        self.converged_ = bool(best.converged[0])
        self.kernel_ = self.kernel.with_theta(best.theta[0])
        for label, value, limits in zip(
            self.kernel.labels, best.theta[0], bounds, strict=True
        ):
            if value in limits:
                warnings.warn(
                    f"{label} ended at its bound {np.exp(value):.3g}: the likelihood "
                    "still grows beyond it; widen `bounds`, or leave this part out",
                    stacklevel=3,
                )

    def _start(self):
        """The kernel's theta, its variances scaled to the data in closed form.

        Not positive definite: the error names the jitter.
        """
        theta = self.kernel.theta
        alpha, _ = compile(self._made.factor)(theta, self._points, self._rows)
        if self.noise_variance is not None:
            return theta
        y, H = self._rows[0], self._rows[1:]
        b = H @ alpha[0]
        square = y @ alpha[0] - b @ np.linalg.solve(H @ alpha[1:].T, b)
        return rescaled(self.kernel, theta, np.array([square / len(y)]))[0]

    def _prepare(self):
        """Factor at the fitted hyper-parameters; coefficients of the mean."""
        f = compile(self._made.factor)
        theta = self.kernel_.theta
        alpha, self._chol = f(theta, self._points, self._rows)
        H = self._rows[1:]
        self._gram = H @ alpha[1:].T
        self.coefficients_ = np.linalg.solve(self._gram, H @ alpha[0])
        alpha[0] -= self.coefficients_ @ alpha[1:]
        self._alpha = alpha
        self.log_marginal_likelihood_value_ = self._value_from_factor(alpha[0])

    def _value_from_factor(self, alpha):
        """The likelihood at the fitted point without another factorisation."""
        y, H = self._rows[0], self._rows[1:]
        n, p = len(y), len(H)
        residual = y - self.coefficients_ @ H
        logdet = 2.0 * np.log(np.diag(self._chol)).sum()
        value = -0.5 * (residual @ alpha + logdet + n * np.log(2.0 * np.pi))
        if self.method == "reml":
            value += 0.5 * np.linalg.slogdet(H @ H.T)[1] + 0.5 * p * np.log(2.0 * np.pi)
            value -= 0.5 * np.linalg.slogdet(self._gram)[1]
        return float(value)

    # --- likelihood ---------------------------------------------------------------
    def log_marginal_likelihood(self, theta=None, gradient=False):
        """Log likelihood of the training data (ML or REML, as ``method`` says).

        Parameters
        ----------
        theta : (n_hyper,) array, optional
            Logarithms of the hyper-parameters; the fitted ones by default.
        gradient : bool

        Returns
        -------
        value : float
        gradient : (n_hyper,) array
            If asked for: with respect to theta.
        """
        self._need_data("log_marginal_likelihood")
        if theta is None and len(self._rows) == 1:
            value = self.log_marginal_likelihood_value_
            if not gradient:
                return value
            f = self._compiled["slope"]
            return value, f(self.kernel_.theta, self._points, self._alpha, self._chol)
        theta = self.kernel_.theta if theta is None else np.asarray(theta, dtype=float)
        self.kernel.with_theta(theta)  # checks the shape
        if gradient:
            value, slope = self._evidence(theta, True)
            return float(value), slope
        return float(self._evidence(theta, False))

    def _need_data(self, what):
        if self._points is None:
            raise RuntimeError(f"{what} needs data: call fit(X, y) first")

    # --- prediction ---------------------------------------------------------------
    def predict(self, X, return_std=False, return_cov=False, noise=False):
        """Mean, and sd or covariance, of f at X (of new observations if ``noise``).

        Before `fit`, the prior.

        Parameters
        ----------
        X : (m,) or (m, d) array
        return_std, return_cov : bool
            One of them at most.
        noise : bool
            Add the `White` part of the kernel to the variances.

        Returns
        -------
        mean : (m,) array
        std : (m,) array, or cov : (m, m) array
            If asked for.
        """
        if return_std and return_cov:
            raise ValueError("ask for return_std or return_cov, not for both")
        b = points(X).astype(float)
        what = "cov" if return_cov else "std" if return_std else "mean"
        mean, rest = self._posterior(b, what, bool(noise))
        if what == "mean":
            return mean
        return mean, np.sqrt(np.maximum(rest, 0.0)) if return_std else rest

    def _posterior(self, b, what, noise):
        """Mean at b, and variances or covariance (None for the mean alone)."""
        if self._points is None:
            return self._prior(b, what, noise)
        if b.shape[1] != self._points.shape[1]:
            raise ValueError(
                f"X has {b.shape[1]} coordinates per point, the training data "
                f"{self._points.shape[1]}"
            )
        key = what, noise
        if key not in self._compiled or self.kernel.at_points_only:
            self._compiled[key] = compile(self._made.posterior(what, noise, b))
        shift, *rest = self._compiled[key](
            self.kernel_.theta, b, self._points, self._chol, self._alpha
        )
        H = basis_matrix(self.mean, b)
        mean = shift[:, 0] + H @ self.coefficients_
        if what == "mean":
            return mean, None
        R = H - shift[:, 1:]
        spread = np.linalg.solve(self._gram, R.T)
        if what == "std":
            return mean, rest[0] + np.sum(R.T * spread, axis=0)
        cov = rest[0] + R @ spread
        return mean, 0.5 * (cov + cov.T)

    def _prior(self, b, what, noise):
        if self.mean is not None:
            raise RuntimeError("the prior with an unknown mean is improper: call fit")
        mean = np.zeros(len(b))
        if what == "cov":
            return mean, self.kernel_(b) if noise else self.kernel_(b, b)
        return mean, self.kernel_.diag(b, white=noise)

    def sample(self, X, n, rng, noise=False):
        """Joint draws at X from the posterior (before `fit`: the prior).

        Parameters
        ----------
        X : (m,) or (m, d) array
        n : int
        rng : seed, SeedSequence or Generator
        noise : bool
            Draw new observations instead of f.

        Returns
        -------
        (n, m) array
        """
        mean, cov = self._posterior(points(X).astype(float), "cov", bool(noise))
        value, vector = np.linalg.eigh(cov)
        root = vector * np.sqrt(np.clip(value, 0.0, None))
        z = np.random.default_rng(rng).standard_normal((n, len(mean)))
        return mean + z @ root.T

    def functional(self, X, W, noise=False):
        """Mean and covariance of linear functionals W·f(X), e.g. sums.

        Parameters
        ----------
        X : (m,) or (m, d) array
        W : (q, m) or (m,) array
            One functional per row.
        noise : bool
            Of new observations instead of f.

        Returns
        -------
        mean : (q,) array, or float
        cov : (q, q) array, or float: the variance wᵀCw
        """
        mean, cov = self._posterior(points(X).astype(float), "cov", bool(noise))
        W = finite(floating(W, "W"), "W").astype(float)
        if W.ndim not in (1, 2) or W.shape[-1] != len(mean):
            raise ValueError(
                f"W must have the shape (q, {len(mean)}) or ({len(mean)},), got "
                f"{W.shape}"
            )
        return W @ mean, W @ cov @ W.T

    def __repr__(self):
        return f"GaussianProcess({self.kernel_!r})"
