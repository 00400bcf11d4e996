"""Gaussian processes: kernels, marginal likelihood, conditioning, sums.

Kernels are objects that add and multiply (`SquaredExponential` + `White`, ...);
`GaussianProcess` fits and predicts in scikit-learn's manner; `fit_batch` fits many
series at once; `condition` and `log_likelihood` work on plain covariance matrices.
All of them take traced values, so `gradiverse.grad` gives exact derivatives.
"""

from ._condition import condition, covariance, variance
from .base import Constant, Kernel, Product, Sum
from .batch import fit_batch
from .kronecker import Kronecker, KroneckerConditional, KroneckerNormal
from .likelihood import log_likelihood, restricted_log_likelihood
from .regression import GaussianProcess
from .sample import PCA, PPCA, LedoitWolf, SampleCovariance, SklearnPCA, Table
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
from .wishart import InverseWishart, StudentT

__all__ = [
    "PCA",
    "PPCA",
    "Constant",
    "GaussianProcess",
    "InverseWishart",
    "Kernel",
    "Kronecker",
    "KroneckerConditional",
    "KroneckerNormal",
    "LedoitWolf",
    "Linear",
    "Matern12",
    "Matern32",
    "Matern52",
    "Periodic",
    "Product",
    "RationalQuadratic",
    "SampleCovariance",
    "SklearnPCA",
    "SquaredExponential",
    "StudentT",
    "Sum",
    "Table",
    "White",
    "condition",
    "covariance",
    "fit_batch",
    "log_likelihood",
    "restricted_log_likelihood",
    "variance",
]
