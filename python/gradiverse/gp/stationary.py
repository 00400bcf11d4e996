"""Kernels of the distance between points, and the other elementary ones.

With v the variance, l the scale and r the Euclidean distance (coordinates divided by
their own scales where ``scale`` is an array):

SquaredExponential  v exp(-r²/2l²)
Matern12            v exp(-r/l)
Matern32            v (1 + √3 r/l) exp(-√3 r/l)
Matern52            v (1 + √5 r/l + 5r²/3l²) exp(-√5 r/l)
RationalQuadratic   v (1 + r²/2αl²)^-α
Periodic            v exp(-2 sin²(π r/p)/l²)
Linear              v (x - c)·(x' - c)
White               v on the diagonal of k(X), nothing in k(X, X2)

Reference: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006),
chapter 4.
"""

import numpy as np

from ..graph import lift
from ..var import Var
from ._check import floating
from .base import Kernel

__all__ = [
    "Linear",
    "Matern12",
    "Matern32",
    "Matern52",
    "Periodic",
    "RationalQuadratic",
    "SquaredExponential",
    "White",
]


def _squares(a, b):
    """Squared coordinate differences, one (n, m) array per coordinate."""
    return [np.square(a[:, None, k] - b[None, :, k]) for k in range(a.shape[1])]


def _root(x):
    """Square root whose derivative at zero is zero instead of infinite."""
    if type(x) is not Var:
        return np.sqrt(x)
    inside = np.where(x > 0, x, 1.0)
    return np.where(x > 0, np.sqrt(inside), 0.0)


class _Radial(Kernel):
    """A kernel of the distance in units of the scale."""

    names = ("variance", "scale")

    def __init__(self, variance=1.0, scale=1.0, fixed=(), bounds=None):
        super().__init__({"variance": variance, "scale": scale}, fixed, bounds)
        if np.ndim(self.values["variance"]) or np.ndim(self.values["scale"]) > 1:
            raise ValueError(
                "variance must be one number, scale one number or one per coordinate"
            )

    def _square_distance(self, a, b):
        """(n, m) squared distance in units of the scale."""
        scale = self.values["scale"]
        parts = _squares(a, b)
        if np.ndim(scale) == 0:
            return sum(parts[1:], parts[0]) * (1.0 / (scale * scale))
        if scale.shape[0] != len(parts):
            raise ValueError(
                f"{type(self).__name__} has {scale.shape[0]} scales, the points have "
                f"{len(parts)} coordinates"
            )
        terms = [p * (1.0 / (scale[k] * scale[k])) for k, p in enumerate(parts)]
        return sum(terms[1:], terms[0])

    def _distance(self, a, b):
        """(n, m) distance in units of the scale."""
        scale = self.values["scale"]
        if np.ndim(scale) == 0:
            parts = _squares(a, b)
            return _root(sum(parts[1:], parts[0])) * (1.0 / scale)
        return _root(self._square_distance(a, b))

    def diagonal(self, a, white):
        return self.values["variance"] * np.ones(a.shape[0])


class SquaredExponential(_Radial):
    """v exp(-r²/2l²): infinitely smooth functions.

    Parameters
    ----------
    variance : float
    scale : float or (d,) array
        In units of X; an array gives each coordinate its own.
    fixed, bounds
        See `Kernel`.

    Examples
    --------
    >>> import gradiverse as gv
    >>> k = gv.gp.SquaredExponential(variance=2.0, scale=1.5)
    >>> k([0.0, 1.5]).round(4)
    array([[2.    , 1.2131],
           [1.2131, 2.    ]])
    """

    def matrix(self, a, b, same):
        r2 = self._square_distance(a, b)
        return self.values["variance"] * np.exp(-0.5 * r2)


class Matern12(_Radial):
    """v exp(-r/l): continuous, rough functions (Ornstein-Uhlenbeck in one dimension).

    Parameters
    ----------
    variance, scale, fixed, bounds
        As for `SquaredExponential`.
    """

    def matrix(self, a, b, same):
        return self.values["variance"] * np.exp(-self._distance(a, b))


class Matern32(_Radial):
    """v (1 + √3 r/l) exp(-√3 r/l): once differentiable functions.

    Parameters
    ----------
    variance, scale, fixed, bounds
        As for `SquaredExponential`.
    """

    def matrix(self, a, b, same):
        s = np.sqrt(3.0) * self._distance(a, b)
        return self.values["variance"] * ((1.0 + s) * np.exp(-s))


class Matern52(_Radial):
    """v (1 + √5 r/l + 5r²/3l²) exp(-√5 r/l): twice differentiable functions.

    Parameters
    ----------
    variance, scale, fixed, bounds
        As for `SquaredExponential`.
    """

    def matrix(self, a, b, same):
        s = np.sqrt(5.0) * self._distance(a, b)
        return self.values["variance"] * ((1.0 + s + s * s * (1.0 / 3.0)) * np.exp(-s))


class RationalQuadratic(_Radial):
    """v (1 + r²/2αl²)^-α: a mixture of squared exponentials of many scales.

    Parameters
    ----------
    variance, scale, fixed, bounds
        As for `SquaredExponential`.
    alpha : float
        Weight of the mixture; large: a single scale.
    """

    names = ("variance", "scale", "alpha")

    def __init__(self, variance=1.0, scale=1.0, alpha=1.0, fixed=(), bounds=None):
        values = {"variance": variance, "scale": scale, "alpha": alpha}
        Kernel.__init__(self, values, fixed, bounds)

    def matrix(self, a, b, same):
        alpha = self.values["alpha"]
        r2 = self._square_distance(a, b)
        power = np.exp(-alpha * np.log1p(r2 * (0.5 / alpha)))
        return self.values["variance"] * power


class Periodic(Kernel):
    """v exp(-2 sin²(π r/p)/l²): functions of period p.

    Parameters
    ----------
    variance : float
    scale : float
        Dimensionless; small: the function varies fast within a period.
    period : float
        In units of X.
    fixed, bounds
        See `Kernel`.
    """

    names = ("variance", "scale", "period")

    def __init__(self, variance=1.0, scale=1.0, period=1.0, fixed=(), bounds=None):
        values = {"variance": variance, "scale": scale, "period": period}
        super().__init__(values, fixed, bounds)

    def matrix(self, a, b, same):
        parts = _squares(a, b)
        r = _root(sum(parts[1:], parts[0]))
        wave = np.sin(r * (np.pi / self.values["period"]))
        scale = self.values["scale"]
        power = np.square(wave) * (-2.0 / (scale * scale))
        return self.values["variance"] * np.exp(power)

    def diagonal(self, a, white):
        return self.values["variance"] * np.ones(a.shape[0])


class Linear(Kernel):
    """v (x - c)·(x' - c): straight lines through zero at c.

    Parameters
    ----------
    variance : float
        Of the slope.
    center : float or (d,) array
        The point c, in units of X; not optimised.
    fixed, bounds
        See `Kernel`.
    """

    names = ("variance",)

    def __init__(self, variance=1.0, center=0.0, fixed=(), bounds=None):
        super().__init__({"variance": variance}, fixed, bounds)
        self.center = floating(center, "center")

    def matrix(self, a, b, same):
        return self.values["variance"] * ((a - self.center) @ (b - self.center).T)

    def diagonal(self, a, white):
        return self.values["variance"] * np.sum(np.square(a - self.center), axis=1)


def _diagonal_matrix(variance, n):
    """variance times the identity; traced without a big constant."""
    if type(variance) is not Var or n <= 64:
        return variance * np.eye(n)
    index = lift(np.arange(n), like=variance)
    return np.where(index[:, None] == index[None, :], variance, 0.0)


class White(Kernel):
    """Independent noise of each observation: v on the diagonal of k(X) only.

    Parameters
    ----------
    variance : float
    fixed, bounds
        See `Kernel`.
    """

    names = ("variance",)

    def __init__(self, variance=1.0, fixed=(), bounds=None):
        super().__init__({"variance": variance}, fixed, bounds)

    def matrix(self, a, b, same):
        if same:
            return _diagonal_matrix(self.values["variance"], a.shape[0])
        return np.zeros((a.shape[0], b.shape[0]))

    def diagonal(self, a, white):
        if white:
            return self.values["variance"] * np.ones(a.shape[0])
        return np.zeros(a.shape[0])
