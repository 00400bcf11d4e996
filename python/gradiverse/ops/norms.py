"""Norms of vectors and matrices, condition numbers."""

import numpy as np

from . import ufuncs as u
from ._core import (
    as_var,
    axis_tuple,
    cast,
    emit,
    implements,
    inexact,
    permute,
    reshaped,
)
from .elementwise import where
from .matrices import as_matrix, inv
from .reductions import amax, amin, sum

__all__ = [
    "cond", "matrix_norm", "norm", "vector_norm",
]  # fmt: skip


def squared_modulus(x):
    """|x|^2 without a square root."""
    if x.dtype.kind == "c":
        return u.add(u.square(emit("real", (x,))), u.square(emit("imag", (x,))))
    return u.square(x)


def safe_sqrt(x):
    """Square root whose gradient at zero is zero."""
    zero = u.equal(x, 0)
    return where(zero, 0.0, u.sqrt(where(zero, 1.0, x)))


def _vector(x, ord, axis, keepdims):
    if ord is None or ord == 2:
        return safe_sqrt(sum(squared_modulus(x), axis, keepdims=keepdims))
    size = u.abs(x)
    if ord == np.inf:
        return amax(size, axis, keepdims=keepdims)
    if ord == -np.inf:
        return amin(size, axis, keepdims=keepdims)
    if ord == 0:
        return sum(cast(u.not_equal(x, 0), size.dtype), axis, keepdims=keepdims)
    if ord == 1:
        return sum(size, axis, keepdims=keepdims)
    if isinstance(ord, str):
        raise ValueError(f"norm: order {ord!r} is for matrices, these are vectors")
    total = sum(u.power(size, ord), axis, keepdims=keepdims)
    return u.power(total, 1.0 / ord)


def _matrix_norm(x, ord, axes, keepdims):
    rest = [i for i in range(x.ndim) if i not in axes]
    a = permute(x, [*rest, *axes])
    if ord in (None, "fro", "f"):
        y = safe_sqrt(sum(squared_modulus(a), (-2, -1)))
    elif ord in (1, -1, np.inf, -np.inf):
        sums = sum(u.abs(a), -2 if abs(ord) == 1 else -1)
        y = amax(sums, -1) if ord > 0 else amin(sums, -1)
    elif ord in (2, -2, "nuc"):
        from .spectral import svdvals

        s = svdvals(a)
        y = sum(s, -1) if ord == "nuc" else s[..., 0 if ord == 2 else -1]
    else:
        raise ValueError(
            f"norm: order {ord!r} of matrices; use 'fro', 'nuc', 1, -1, 2, -2, inf or "
            "-inf"
        )
    if keepdims:
        y = reshaped(y, [1 if i in axes else n for i, n in enumerate(x.shape)])
    return y


@implements("linalg.norm")
def norm(x, ord=None, axis=None, keepdims=False):
    """Vector or matrix norm; the gradient of a 2-norm at zero is zero."""
    x = as_var(x)
    x = cast(x, inexact(x.dtype))
    if axis is None:
        if (
            ord is None
            or (ord in ("f", "fro") and x.ndim == 2)
            or (ord == 2 and x.ndim == 1)
        ):
            return _vector(x, None, None, keepdims)
        if x.ndim > 2:
            raise ValueError(f"norm: order {ord!r} of {x.ndim} axes; give an axis")
        axis = tuple(range(x.ndim))
    axes = axis_tuple(axis, x.ndim)
    if len(axes) == 1:
        return _vector(x, ord, axes, keepdims)
    if len(axes) == 2:
        return _matrix_norm(x, ord, axes, keepdims)
    raise ValueError(f"norm: one or two axes, got {axis}")


@implements("linalg.vector_norm")
def vector_norm(x, /, *, axis=None, keepdims=False, ord=2):
    """Vector norm over any number of axes."""
    x = as_var(x)
    return _vector(cast(x, inexact(x.dtype)), ord, axis, keepdims)


@implements("linalg.matrix_norm")
def matrix_norm(x, /, *, keepdims=False, ord="fro"):
    """Matrix norm of the last two axes."""
    x = as_matrix(x, "matrix_norm", square=False)
    return _matrix_norm(x, ord, (x.ndim - 2, x.ndim - 1), keepdims)


@implements("linalg.cond")
def cond(x, p=None):
    """Condition number in a matrix norm."""
    a = as_matrix(x, "cond", square=p not in (None, 2, -2))
    if p in (None, 2, -2):
        from .spectral import svdvals

        s = svdvals(a)
        first, last = s[..., 0], s[..., -1]
        return u.divide(last, first) if p == -2 else u.divide(first, last)
    return u.multiply(norm(a, p, (-2, -1)), norm(inv(a), p, (-2, -1)))
