"""Baselines set beside the Gaussian processes: mean, trend, synthetic control.

All work on daily rates of complete control years y_i (N, T) and choose how the
spread of a sum over weeks is estimated:

``variance="weeks"``  the usual assumption: weeks are independent;
``variance="years"``  the sample covariance of whole years, so that the variance of any
                      sum over weeks is that of the yearly sums.

Cells are independent: a sum over cells adds their variances.  Nothing conditions
on this year's own weeks, except the weights of the synthetic control.
"""

import numpy as np
from scipy.optimize import minimize, nnls

from ._common import CellwiseModel


def _check_variance(variance):
    if variance not in ("weeks", "years"):
        raise ValueError(f"variance must be 'weeks' or 'years', got {variance!r}")
    return variance


def _floor(cov, mean, days):
    """Variance of a rate is at least the Poisson one where the estimate is zero."""
    zero = np.diag(cov) <= 0.0
    if zero.any():
        least = np.maximum(mean, 0.5 / days.sum()) / days
        cov = cov + np.diag(np.where(zero, least, 0.0))
    return cov


class MeanModel(CellwiseModel):
    """Mean of the control years, by week; variance × (1 + 1/N)."""

    needs = 2
    label = "mean"

    def __init__(self, variance="weeks"):
        self.variance = _check_variance(variance)

    def _fit_cell(self, rates, years, days):
        mean = rates.mean(axis=0)
        residual = rates - mean
        cov = residual.T @ residual / (len(rates) - 1) * (1.0 + 1.0 / len(rates))
        if self.variance == "weeks":
            cov = np.diag(np.diag(cov))
        return mean, cov

    def _predict_cell(self, state, x, given, year, days):
        mean, cov = state
        cov = _floor(cov, mean, days)
        rest = ~given
        return mean[rest], cov[np.ix_(rest, rest)], mean, np.sqrt(np.diag(cov))


class TrendModel(CellwiseModel):
    """Week effects plus one slope over years, by least squares.

    ``variance="weeks"``: independent residuals plus the error of the fit;
    ``variance="years"``: residuals of every week about its own line, N - 2 degrees of
    freedom, times 1 + 1/N + (y* - ȳ)²/Σ(y_i - ȳ)².
    """

    needs = 3
    label = "trend"

    def __init__(self, variance="weeks"):
        self.variance = _check_variance(variance)

    def _fit_cell(self, rates, years, days):
        N, T = rates.shape
        centred = years - years.mean()
        spread = np.sum(centred**2)
        mean = rates.mean(axis=0)
        slope = centred @ rates.sum(axis=1) / (T * spread)
        residual = rates - mean - slope * centred[:, None]
        state = {
            "mean": mean,
            "slope": slope,
            "year": years.mean(),
            "spread": spread,
            "N": N,
        }
        if self.variance == "weeks":
            state["sigma2"] = np.sum(residual**2) / (N * T - T - 1)
        else:
            own = rates - mean - np.outer(centred, centred @ rates / spread)
            state["cov"] = own.T @ own / (N - 2)
        return state

    def _predict_cell(self, state, x, given, year, days):
        ahead = year - state["year"]
        mean = state["mean"] + state["slope"] * ahead
        T, N = len(mean), state["N"]
        leverage = ahead**2 / state["spread"]
        if self.variance == "weeks":
            cov = state["sigma2"] * ((1.0 + 1.0 / N) * np.eye(T) + leverage / T)
        else:
            cov = state["cov"] * (1.0 + 1.0 / N + leverage)
        mean = np.maximum(mean, 0.0)
        cov = _floor(cov, mean, days)
        rest = ~given
        return mean[rest], cov[np.ix_(rest, rest)], mean, np.sqrt(np.diag(cov))


def simplex_weights(donors, target):
    """Weights w ≥ 0, Σw = 1 that bring donorsᵀw closest to `target`.

    Parameters
    ----------
    donors : (N, n) values of the donors;  target : (n,)
    """
    N = len(donors)
    scale = max(np.abs(donors).max(), 1e-12)
    heavy = 1e4
    A = np.vstack([donors.T / scale, heavy * np.ones((1, N))])
    start, _ = nnls(A, np.append(target / scale, heavy))
    start = start / start.sum() if start.sum() > 0 else np.full(N, 1.0 / N)
    gram, linear = donors @ donors.T / scale**2, donors @ target / scale**2
    found = minimize(
        lambda w: (0.5 * w @ gram @ w - linear @ w, gram @ w - linear),
        start,
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * N,
        constraints={
            "type": "eq",
            "fun": lambda w: w.sum() - 1.0,
            "jac": lambda w: np.ones(N),
        },
        options={"ftol": 1e-14, "maxiter": 200},
    )
    w = np.clip(found.x if found.success else start, 0.0, None)
    return w / w.sum()


class SyntheticModel(CellwiseModel):
    """Synthetic control: past years as donors, weights fitted on the given weeks.

    The spread is the donors' root-mean-square distance from the synthetic year.
    """

    needs = 2
    label = "synthetic"

    def __init__(self, variance="weeks"):
        self.variance = _check_variance(variance)

    def _fit_cell(self, rates, years, days):
        return rates

    def _predict_cell(self, state, x, given, year, days):
        usable = given & np.isfinite(x)
        N = len(state)
        w = (
            simplex_weights(state[:, usable], x[usable])
            if usable.any()
            else np.full(N, 1.0 / N)
        )
        mean = w @ state
        distance = state - mean
        cov = distance.T @ distance / N
        if self.variance == "weeks":
            cov = np.diag(np.diag(cov))
        cov = _floor(cov, mean, days)
        rest = ~given
        flat = state.mean(axis=0)
        return mean[rest], cov[np.ix_(rest, rest)], flat, np.sqrt(np.diag(cov))
