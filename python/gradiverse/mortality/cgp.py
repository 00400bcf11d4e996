"""The published conditional-mean Gaussian process, kernel by kernel.

N control years of T daily rates y_i, mean m, sample covariance S (divisor N - 1) with
eigenpairs (λ_j, v_j).  Kernels, with k = 2 components:

ml       Σ_{j≤k} λ_j v_j v_jᵀ + a² exp(-(t-t')²/2ℓ²) + σ² I, (a, ℓ, σ) by maximum
         likelihood over the N years (the text of the third preprint version)
ppca     Σ_{j≤k} (λ_j - s2) v_j v_jᵀ + s2 I, s2 = Σ_{j>k} λ_j / (T - k)
sklearn  as ppca with s2 = Σ_{j>k} λ_j / (min(N, T) - k), scikit-learn's convention
sample   S + diag(m/d): the full sample covariance, made invertible by count noise

The year's own weeks before the onset enter by conditioning.  Cells are independent, as
published: a sum over cells adds their variances.  ``errors="diagonal"`` also drops
the covariance between weeks, which is what was published; ``"full"`` keeps it.
"""

from functools import cache

import numpy as np
from scipy.optimize import minimize

from ..compile import compile as compile_program
from ..gp import log_likelihood
from ..grad import value_and_grad
from ._common import CellwiseModel, condition, merge_given

COVARIANCES = ("ml", "sample", "ppca", "sklearn")


def components(rates, k):
    """Mean, S, eigenvalues (descending) and eigenvectors of (N, T) daily rates."""
    mean = rates.mean(axis=0)
    residual = rates - mean
    S = residual.T @ residual / (len(rates) - 1)
    value, vector = np.linalg.eigh(S)
    return mean, S, np.clip(value[::-1], 0.0, None), vector[:, ::-1]


def pca_kernel(value, vector, k):
    """Σ_{j≤k} λ_j v_j v_jᵀ (singular)."""
    return (vector[:, :k] * value[:k]) @ vector[:, :k].T


def discarded_noise(value, n_years, k, convention):
    """The isotropic variance s2 of the discarded components.

    ``"ppca"`` divides by T - k, ``"sklearn"`` by min(N, T) - k.
    """
    T = len(value)
    divisor = T - k if convention == "ppca" else min(n_years, T) - k
    return value[k:].sum() / divisor


def negative_log_likelihood(theta, base, residual, square):
    """-Σ_i log N(r_i; 0, base + a² exp(-(t-t')²/2ℓ²) + σ² I), traced or not.

    Parameters
    ----------
    theta : (3,) array, log (a, ℓ, σ)
    base : (T, T) array, PCA part of the kernel
    residual : (N, T) array, years minus their mean
    square : (T, T) array, (t - t')²
    """
    factor = np.exp(2.0 * theta)
    smooth = factor[0] * np.exp(-0.5 * square / factor[1])
    K = base + smooth + factor[2] * np.eye(base.shape[0])
    return -np.sum(log_likelihood(K, residual))


@cache
def _objective():
    """Value and gradient in theta as one compiled program of the engine."""
    return compile_program(value_and_grad(negative_log_likelihood))


def ml_objective(theta, base, residual, square):
    """Negative log likelihood and its gradient; huge where K cannot be factored."""
    try:
        value, gradient = _objective()(theta, base, residual, square)
    except np.linalg.LinAlgError:
        return 1e25, np.zeros(3)
    return float(value), np.asarray(gradient)


# Starts of the optimiser: a and σ in units of the left-over standard deviation, ℓ in
# periods.  The likelihood is flat and often has several maxima; the first start alone
# gives the published rows, the others can find higher ones.
STARTS = ((0.7, 3.0, 0.6), (0.7, 0.7, 0.5), (0.7, 1.5, 0.7), (0.7, 6.0, 0.7))


def fit_ml(base, residual, t, restarts=0):
    """(a, ℓ, σ) that maximise the likelihood, by gradient from 1 + restarts starts.

    Parameters
    ----------
    base : (T, T) PCA part of the kernel
    residual : (N, T) years minus their mean
    t : (T,) period numbers
    restarts : int, 0-3

    Returns
    -------
    a, ℓ, σ : floats;  value : float, the objective
    """
    square = (t[:, None] - t[None, :]) ** 2.0
    # One divisor for both terms: the difference is a sum of discarded eigenvalues and
    # cannot turn negative.
    n_years, T = residual.shape
    square_sum = np.sum(residual**2)
    left = (square_sum / max(n_years - 1, 1) - np.trace(base)) / T
    scale = np.sqrt(max(left, 0.05 * square_sum / (n_years * T), 1e-300))
    floor = np.log(scale) - 9.0
    bounds = [
        (floor, floor + 14.0),
        (np.log(0.05), np.log(4.0 * len(t))),
        (floor, floor + 14.0),
    ]
    best = None
    for a, ell, sigma in STARTS[: 1 + restarts]:
        start = np.log([a * scale, ell, sigma * scale])
        found = minimize(
            ml_objective,
            start,
            args=(base, residual, square),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": 200},
        )
        if best is None or found.fun < best.fun:
            best = found
    return (*np.exp(best.x), best.fun)


class CGPModel(CellwiseModel):
    """Conditional-mean Gaussian process of the publication.

    Parameters
    ----------
    covariance : "ml", "sample", "ppca" or "sklearn"
    errors : "full" or "diagonal"
    components : int, default 2
    restarts : int, 0-3
        Further starts of the likelihood fit of "ml".  0, the default, reproduces the
        published rows; 3 looks for the highest maximum.

    Notes
    -----
    Years are not extrapolated: the mean over control years is the expectation before
    conditioning, without a trend and without the error of the mean.
    """

    needs = 3
    label = "cgp"

    def __init__(self, covariance="ml", errors="full", components=2, restarts=0):
        if covariance not in COVARIANCES:
            raise ValueError(
                f"covariance must be one of {COVARIANCES}, got {covariance!r}"
            )
        if errors not in ("full", "diagonal"):
            raise ValueError(f"errors must be 'full' or 'diagonal', got {errors!r}")
        if int(components) != components or components < 1:
            raise ValueError(
                f"components must be a positive integer, got {components!r}"
            )
        if restarts not in range(len(STARTS)):
            raise ValueError(f"restarts must be 0-{len(STARTS) - 1}, got {restarts!r}")
        self.covariance, self.errors = covariance, errors
        self.components, self.restarts = int(components), int(restarts)

    def _fit_cell(self, rates, years, days):
        N, T = rates.shape
        k = min(self.components, N - 2)
        mean, S, value, vector = components(rates, k)
        poisson = np.maximum(mean, 0.5 / days.sum()) / days.mean(axis=0)
        state = {
            "mean": mean,
            "eigenvalues": value,
            "components": k,
            "fit": None,
            "poisson": poisson,
        }
        if value[0] <= 1e-12 * max(mean.max(), 1e-12) ** 2 or k < 1:
            state["kernel"] = S + np.diag(poisson)
            state["fallback"] = True
            return state
        base = pca_kernel(value, vector, k)
        if self.covariance == "sample":
            kernel = S + np.diag(poisson)
        elif self.covariance == "ml":
            a, ell, sigma, _ = fit_ml(
                base, rates - mean, self.weeks.astype(float), self.restarts
            )
            gap = self.weeks[:, None] - self.weeks[None, :]
            kernel = base + a**2 * np.exp(-0.5 * (gap / ell) ** 2)
            kernel = kernel + sigma**2 * np.eye(T)
            state["fit"] = {"a": a, "ell": ell, "sigma": sigma}
        else:
            s2 = discarded_noise(value, N, k, self.covariance)
            s2 = max(s2, 1e-9 * value[0])
            kernel = pca_kernel(np.maximum(value - s2, 0.0), vector, k) + s2 * np.eye(T)
        state["kernel"] = kernel
        return state

    def _after_fit(self):
        low, fallback, fewer = [], 0, 0
        for cell, state in zip(self.cells, self.states, strict=True):
            if state is None:
                continue
            fallback += "fallback" in state
            fewer += state["components"] < self.components
            # Count noise is independent between weeks, so no kernel may predict a week
            # from all the others better than that.
            fitted = 1.0 / np.diag(np.linalg.inv(state["kernel"]))
            if "fallback" not in state and fitted.mean() < state["poisson"].mean():
                low.append(str(cell[0] if cell[1] is None else cell))
        if low:
            names = ", ".join(low[:5]) + (" ..." if len(low) > 5 else "")
            self.warnings.append(
                f"cgp: the fitted variance is below the Poisson variance of the counts "
                f"in {len(low)} cell(s): {names}; their intervals are too narrow."
            )
        if fallback:
            self.notes.append(
                f"cgp: {fallback} cell(s) without variation between years get Poisson "
                "noise in place of a fitted kernel."
            )
        if fewer:
            self.notes.append(
                f"cgp: {fewer} cell(s) have too few years for {self.components} "
                "components and use fewer (at most N - 2)."
            )

    def _predict_cell(self, state, x, given, year, days):
        usable = given & np.isfinite(x)
        mean, cov = condition(
            state["kernel"], state["mean"], np.flatnonzero(usable), x[usable]
        )
        mean, cov = merge_given(mean, cov, given, usable)
        if self.errors == "diagonal":
            cov = np.diag(np.diag(cov))
        mean = np.maximum(mean, 0.0)  # tiny cells: expected deaths are not negative
        return mean, cov, state["mean"], np.sqrt(np.diag(state["kernel"]))
