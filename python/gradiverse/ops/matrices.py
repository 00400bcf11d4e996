"""Square matrices: factors, solutions, determinants, powers, chains.

Matrices are the last two axes; all others are batch axes. Functions that read one
triangle only differentiate as if the matrix were symmetric.
"""

from collections import namedtuple

import numpy as np

from . import ufuncs as u
from ._core import (
    as_var,
    axis_tuple,
    broadcast,
    cast,
    common_shape,
    constant,
    emit,
    first_var,
    implements,
    inexact,
    is_traced,
    permute,
    reshaped,
    result_dtype,
)
from .create import diagonal as any_diagonal
from .create import trace as any_trace
from .products import matmul
from .rearrange import matrix_transpose

__all__ = [
    "LinAlgError", "cholesky", "det", "diagonal", "inv", "logdet", "matrix_power",
    "multi_dot", "slogdet", "solve", "solve_triangular", "tensorinv", "tensorsolve",
    "trace",
]  # fmt: skip


LinAlgError = np.linalg.LinAlgError


SlogdetResult = namedtuple("SlogdetResult", ("sign", "logabsdet"))


def as_matrix(a, name, square=True):
    a = as_var(a)
    if a.ndim < 2 or (square and a.shape[-1] != a.shape[-2]):
        what = "square matrices" if square else "matrices"
        raise LinAlgError(f"{name}: needs {what} in the last two axes, got {a.shape}")
    return cast(a, inexact(a.dtype))


def adjoint(a):
    """Conjugate transpose of the last two axes."""
    a = matrix_transpose(a)
    return emit("conj", (a,)) if a.dtype.kind == "c" else a


def identity_like(like, n):
    lead = like.shape[:-2]
    return constant(np.eye(n), like.dtype, like, (*lead, n, n))


@implements("linalg.cholesky")
def cholesky(a, /, *, upper=False):
    """Lower factor L of a = L L^H (upper: its adjoint)."""
    a = as_matrix(a, "cholesky")
    factor = emit("cholesky", (adjoint(a) if upper else a,))
    return adjoint(factor) if upper else factor


@implements("linalg.inv")
def inv(a):
    """Inverse."""
    return emit("inv", (as_matrix(a, "inv"),))


@implements("linalg.slogdet")
def slogdet(a):
    """Sign (or phase) and logarithm of the absolute value of the determinant."""
    return SlogdetResult(*emit("slogdet", (as_matrix(a, "slogdet"),)))


@implements("linalg.det")
def det(a):
    """Determinant; products for matrices up to 3 x 3, so also where it is zero."""
    a = as_matrix(a, "det")
    n = a.shape[-1]
    if n > 3:
        sign, logabs = emit("slogdet", (a,))
        return u.multiply(sign, u.exp(logabs))
    if n == 0:
        return constant(1, a.dtype, a, a.shape[:-2])
    rows = [[a[..., i, j] for j in range(n)] for i in range(n)]
    return _minor(rows)


def _minor(rows):
    if len(rows) == 1:
        return rows[0][0]
    total = None
    for j, x in enumerate(rows[0]):
        part = u.multiply(x, _minor([[*r[:j], *r[j + 1 :]] for r in rows[1:]]))
        if total is None:
            total = part
        else:
            total = u.subtract(total, part) if j % 2 else u.add(total, part)
    return total


@implements("linalg.solve")
def solve(a, b):
    """x of a x = b; b is a vector only if it has one axis."""
    like = first_var(a, b)
    a, b = as_var(a, like), as_var(b, like)
    dtype = inexact(result_dtype(a, b))
    a, b = as_matrix(cast(a, dtype), "solve"), cast(b, dtype)
    vector = b.ndim == 1
    if vector:
        b = reshaped(b, (b.size, 1))
    n = a.shape[-1]
    if b.shape[-2] != n:
        raise ValueError(f"solve: a is {n} x {n}, b has {b.shape[-2]} rows")
    lead = common_shape(a.shape[:-2], b.shape[:-2])
    a, b = broadcast(a, (*lead, n, n)), broadcast(b, (*lead, *b.shape[-2:]))
    x = emit("solve", (a, b), trans=0)
    return reshaped(x, x.shape[:-1]) if vector else x


@implements("linalg.diagonal")
def diagonal(x, /, *, offset=0):
    """A diagonal of the last two axes."""
    return any_diagonal(x, offset, -2, -1)


@implements("linalg.trace")
def trace(x, /, *, offset=0, dtype=None):
    """Sum of a diagonal of the last two axes."""
    return any_trace(x, offset, -2, -1, dtype=dtype)


@implements("linalg.matrix_power")
def matrix_power(a, n):
    """Integer power by repeated squaring."""
    a = as_var(a)
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise LinAlgError(f"matrix_power: needs square matrices, got {a.shape}")
    if n < 0:
        a, n = inv(a), -n
    if n == 0:
        return identity_like(a, a.shape[-1])
    result = None
    while n:
        if n & 1:
            result = a if result is None else matmul(result, a)
        n >>= 1
        if n:
            a = matmul(a, a)
    return result


@implements("linalg.multi_dot")
def multi_dot(arrays, *, out=None):
    """Product of a chain of matrices in the cheapest order."""
    u.refuse("multi_dot", {"out": out})
    if len(arrays) < 2:
        raise ValueError("multi_dot: at least two arrays are needed")
    like = first_var(arrays)
    chain = [as_var(a, like) for a in arrays]
    row, column = chain[0].ndim == 1, chain[-1].ndim == 1
    if row:
        chain[0] = reshaped(chain[0], (1, chain[0].size))
    if column:
        chain[-1] = reshaped(chain[-1], (chain[-1].size, 1))
    sizes = [*(a.shape[0] for a in chain), chain[-1].shape[1]]
    y = _chain(chain, sizes, 0, len(chain) - 1, {})[1]()
    if row or column:
        y = reshaped(y, y.shape[int(row) : 2 - int(column)])
    return y


def _chain(chain, sizes, i, j, memo):
    """(cost, function that multiplies) of the factors i..j in the best order."""
    if i == j:
        return 0, lambda: chain[i]
    if (i, j) not in memo:
        best = None
        for k in range(i, j):
            left = _chain(chain, sizes, i, k, memo)
            right = _chain(chain, sizes, k + 1, j, memo)
            cost = left[0] + right[0] + sizes[i] * sizes[k + 1] * sizes[j + 1]
            if best is None or cost < best[0]:
                best = cost, lambda p=left[1], q=right[1]: matmul(p(), q())
        memo[i, j] = best
    return memo[i, j]


@implements("linalg.tensorsolve")
def tensorsolve(a, b, axes=None):
    """x of tensordot(a, x, x.ndim) = b."""
    like = first_var(a, b)
    a, b = as_var(a, like), as_var(b, like)
    if axes is not None:
        axes = axis_tuple(axes, a.ndim)
        a = permute(a, [*(i for i in range(a.ndim) if i not in axes), *axes])
    shape = a.shape[b.ndim :]
    n = int(np.prod(shape))
    if n != b.size:
        raise LinAlgError(f"tensorsolve: a {a.shape} does not make a square system")
    return reshaped(solve(reshaped(a, (n, n)), reshaped(b, (n,))), shape)


@implements("linalg.tensorinv")
def tensorinv(a, ind=2):
    """Inverse of a as the matrix from its last axes to its first `ind`."""
    a = as_var(a)
    if ind <= 0:
        raise ValueError(f"tensorinv: ind must be positive, got {ind}")
    n = int(np.prod(a.shape[:ind]))
    return reshaped(inv(reshaped(a, (n, a.size // max(n, 1)))),
                    (*a.shape[ind:], *a.shape[:ind]))  # fmt: skip


def logdet(a):
    """Logarithm of the determinant of symmetric positive definite matrices.

    Parameters
    ----------
    a : (..., n, n) array
        Symmetric (Hermitian) positive definite; the lower triangle is read.

    Returns
    -------
    (...) array

    Raises
    ------
    numpy.linalg.LinAlgError
        Naming the pivot, where a matrix is not positive definite.

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse import ops
    >>> round(float(ops.logdet(np.diag([2.0, 3.0]))), 6)
    1.791759
    """
    return emit("logdet_spd", (_plain_or_traced(a, "logdet"),))


def _plain_or_traced(a, name, square=True):
    if is_traced(a):
        return as_matrix(a, name, square)
    a = np.asarray(a)
    if a.ndim < 2 or (square and a.shape[-1] != a.shape[-2]):
        raise LinAlgError(f"{name}: needs square matrices, got shape {a.shape}")
    return a.astype(inexact(a.dtype), copy=False)


_TRANS = {0: 0, 1: 1, 2: 2, "N": 0, "T": 1, "C": 2}


def solve_triangular(a, b, lower=False, trans=0):
    """x of op(a) x = b for triangular a.

    Parameters
    ----------
    a : (..., n, n) array
        Only one triangle is read.
    b : (n,) or (..., n, m) array
        A vector only if it has one axis.
    lower : bool
        Which triangle.
    trans : {0, 1, 2} or {"N", "T", "C"}
        op(a) is a, its transpose or its conjugate transpose.

    Returns
    -------
    array of the shape of b, batch axes broadcast

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse import ops
    >>> a = np.array([[2.0, 0.0], [1.0, 4.0]])
    >>> ops.solve_triangular(a, np.array([2.0, 5.0]), lower=True)
    array([1., 1.])
    """
    if trans not in _TRANS:
        raise ValueError(f"solve_triangular: trans is 0, 1 or 2, got {trans!r}")
    trans = _TRANS[trans]
    if not is_traced(a, b):
        from ..graph import run

        dtype = inexact(result_dtype(a, b))
        a, b = np.asarray(a, dtype=dtype), np.asarray(b, dtype=dtype)
        return run(lambda a, b: solve_triangular(a, b, lower, trans), a, b)
    like = first_var(a, b)
    dtype = inexact(result_dtype(as_var(a, like), as_var(b, like)))
    a = as_matrix(cast(as_var(a, like), dtype), "solve_triangular")
    b = cast(as_var(b, like), dtype)
    vector = b.ndim == 1
    if vector:
        b = reshaped(b, (b.size, 1))
    n = a.shape[-1]
    if b.shape[-2] != n:
        raise ValueError(f"solve_triangular: a is {n} x {n}, b has {b.shape[-2]} rows")
    lead = common_shape(a.shape[:-2], b.shape[:-2])
    a, b = broadcast(a, (*lead, n, n)), broadcast(b, (*lead, *b.shape[-2:]))
    x = emit("trisolve", (a, b), lower=int(lower), trans=trans, unit=0)
    return reshaped(x, x.shape[:-1]) if vector else x
