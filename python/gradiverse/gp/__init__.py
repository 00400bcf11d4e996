"""Gaussian processes: kernels, marginal likelihood, conditioning, sums.

Kernels are objects that add and multiply (`SquaredExponential` + `White`, ...);
`GaussianProcess` fits and predicts in scikit-learn's manner; `fit_batch` fits many
series at once; `condition` and `log_likelihood` work on plain covariance matrices.
Everything takes traced values, so `gradiverse.grad` gives exact derivatives.
"""

from ._condition import condition, covariance, variance
from .base import Constant, Kernel, Product, Sum
from .stationary import (
    Linear,
    Matern12,
    Matern32,
    Matern52,
    Periodic,
    RationalQuadratic,
    SquaredExponential,
    White,
)

__all__ = [
    "Constant",
    "Kernel",
    "Linear",
    "Matern12",
    "Matern32",
    "Matern52",
    "Periodic",
    "Product",
    "RationalQuadratic",
    "SquaredExponential",
    "Sum",
    "White",
    "condition",
    "covariance",
    "variance",
]
