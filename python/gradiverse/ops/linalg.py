"""numpy.linalg for traced values, and the factorisations beside it.

Matrices are the last two axes; all others are batch axes. Functions that read one
triangle only (`cholesky`, `eigh`) differentiate as if the matrix were symmetric.
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
    ndim_of,
    permute,
    reshaped,
    result_dtype,
)
from .create import diagonal as any_diagonal
from .create import trace as any_trace
from .elementwise import where
from .products import cross, matmul, outer, tensordot, vecdot
from .rearrange import matrix_transpose
from .reductions import amax, amin, sum

LinAlgError = np.linalg.LinAlgError

__all__ = [
    "LinAlgError", "cholesky", "cond", "cross", "det", "diagonal", "eig", "eigh",
    "eigvals", "eigvalsh", "inv", "lstsq", "matmul", "matrix_norm", "matrix_power",
    "matrix_rank", "matrix_transpose", "multi_dot", "norm", "outer", "pinv", "qr",
    "slogdet", "solve", "svd", "svdvals", "tensordot", "tensorinv", "tensorsolve",
    "trace", "vecdot", "vector_norm",
]  # fmt: skip

EighResult = namedtuple("EighResult", ("eigenvalues", "eigenvectors"))
EigResult = namedtuple("EigResult", ("eigenvalues", "eigenvectors"))
SVDResult = namedtuple("SVDResult", ("U", "S", "Vh"))
QRResult = namedtuple("QRResult", ("Q", "R"))
SlogdetResult = namedtuple("SlogdetResult", ("sign", "logabsdet"))


def _matrix(a, name, square=True):
    a = as_var(a)
    if a.ndim < 2 or (square and a.shape[-1] != a.shape[-2]):
        what = "square matrices" if square else "matrices"
        raise LinAlgError(f"{name}: needs {what} in the last two axes, got {a.shape}")
    return cast(a, inexact(a.dtype))


def adjoint(a):
    """Conjugate transpose of the last two axes."""
    a = matrix_transpose(a)
    return emit("conj", (a,)) if a.dtype.kind == "c" else a


def _identity(like, n):
    lead = like.shape[:-2]
    return constant(np.eye(n), like.dtype, like, (*lead, n, n))


def _hermitian(a, UPLO, name):
    """The matrix that one triangle of a stands for."""
    if UPLO not in ("L", "U", "l", "u"):
        raise ValueError(f"{name}: UPLO is 'L' or 'U', got {UPLO!r}")
    return a if UPLO in "Ll" else adjoint(a)


@implements("linalg.cholesky")
def cholesky(a, /, *, upper=False):
    """Lower factor L of a = L L^H (upper: its adjoint)."""
    a = _matrix(a, "cholesky")
    factor = emit("cholesky", (adjoint(a) if upper else a,))
    return adjoint(factor) if upper else factor


@implements("linalg.inv")
def inv(a):
    """Inverse."""
    return emit("inv", (_matrix(a, "inv"),))


@implements("linalg.slogdet")
def slogdet(a):
    """Sign (or phase) and logarithm of the absolute value of the determinant."""
    return SlogdetResult(*emit("slogdet", (_matrix(a, "slogdet"),)))


@implements("linalg.det")
def det(a):
    """Determinant; products for matrices up to 3 x 3, so also where it is zero."""
    a = _matrix(a, "det")
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
    a, b = _matrix(cast(a, dtype), "solve"), cast(b, dtype)
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


# --- eigenvalues and singular values --------------------------------------------


@implements("linalg.eigh")
def eigh(a, UPLO="L"):
    """Eigenvalues (ascending) and eigenvectors of a symmetric or Hermitian matrix."""
    return EighResult(*emit("eigh", (_hermitian(_matrix(a, "eigh"), UPLO, "eigh"),)))


@implements("linalg.eigvalsh")
def eigvalsh(a, UPLO="L"):
    """Eigenvalues of a symmetric or Hermitian matrix, ascending."""
    return eigh(a, UPLO)[0]


@implements("linalg.eig")
def eig(a):
    """Complex eigenvalues and right eigenvectors of unit length."""
    a = _matrix(a, "eig")
    complex_ = np.result_type(a.dtype, np.complex64)
    return EigResult(*emit("eig", (cast(a, complex_),)))


@implements("linalg.eigvals")
def eigvals(a):
    """Complex eigenvalues."""
    return eig(a)[0]


@implements("linalg.svd")
def svd(a, full_matrices=True, compute_uv=True, hermitian=False):
    """Singular value decomposition a = u diag(s) vh."""
    a = _matrix(a, "svd", square=False)
    if not compute_uv:
        return emit("svd", (a,))[1]
    if full_matrices and a.shape[-1] != a.shape[-2]:
        raise ValueError(
            f"svd: the full bases of a matrix of shape {a.shape} have no derivative; "
            "pass full_matrices=False"
        )
    return SVDResult(*emit("svd", (a,)))


@implements("linalg.svdvals")
def svdvals(x, /):
    """Singular values, descending."""
    return svd(x, compute_uv=False)


@implements("linalg.qr")
def qr(a, mode="reduced"):
    """Orthogonal and upper triangular factors."""
    a = _matrix(a, "qr", square=False)
    if mode not in ("reduced", "r", "complete"):
        raise ValueError(f"qr: mode {mode!r} is not offered for traced values")
    if mode == "complete" and a.shape[-2] > a.shape[-1]:
        raise ValueError(
            f"qr: the complete basis of shape {a.shape} has no derivative; pass "
            "mode='reduced'"
        )
    q, r = emit("qr", (a,))
    return r if mode == "r" else QRResult(q, r)


@implements("linalg.pinv")
def pinv(a, rcond=None, hermitian=False, *, rtol=np._NoValue):
    """Pseudo-inverse; its derivatives hold where the rank does not change.

    Singular vectors u, v and values s are held constant. At constant rank
    a = b diag(s) c with b = a v / s and c = (u^H a v / s)^-1 u^H a / s, of which b
    is near u and c near v^H, so pinv(a) = pinv(c) diag(1/s) pinv(b) with full rank
    formulas: exact for derivatives of every order, equal singular values included.
    """
    a = _matrix(a, "pinv", square=False)
    m, n = a.shape[-2:]
    if 0 in a.shape:
        return constant(0, a.dtype, a, (*a.shape[:-2], n, m))
    left, s, right = emit("svd", (emit("stop_gradient", (a,)),))
    if rcond is None:
        rcond = 1e-15 if rtol is np._NoValue else rtol
    if rcond is None:
        rcond = max(m, n) * np.finfo(a.dtype).eps
    kept = u.greater(s, u.multiply(_column(rcond), amax(s, axis=-1, keepdims=True)))
    inverse = where(kept, u.divide(1.0, where(kept, s, 1.0)), 0.0)
    k = s.shape[-1]
    # Ones on the diagonal where a value is dropped keep the small systems regular.
    gone = cast(emit("logical_not", (kept,)), s.dtype)
    dropped = u.multiply(gone[..., None], np.eye(k, dtype=s.dtype))
    row, column = inverse[..., None, :], inverse[..., None]
    b = u.multiply(matmul(a, adjoint(right)), row)
    c = u.multiply(matmul(adjoint(left), a), column)
    core = u.multiply(matmul(c, adjoint(right)), cast(kept, s.dtype)[..., None, :])
    c = solve(u.add(core, dropped), c)
    b_inverse = solve(u.add(matmul(adjoint(b), b), dropped), adjoint(b))
    gram = u.add(matmul(c, adjoint(c)), dropped)
    return matmul(adjoint(c), solve(gram, u.multiply(column, b_inverse)))


def _column(r):
    return r[..., None] if ndim_of(r) else r


@implements("linalg.lstsq")
def lstsq(a, b, rcond=None):
    """Least squares: (x, residuals, rank, singular values), a of any rank."""
    like = first_var(a, b)
    dtype = inexact(result_dtype(as_var(a, like), as_var(b, like)))
    a, b = cast(as_var(a, like), dtype), cast(as_var(b, like), dtype)
    if a.ndim != 2 or b.ndim not in (1, 2):
        raise LinAlgError(f"lstsq: a has 2 axes, b 1 or 2; got {a.shape}, {b.shape}")
    m, n = a.shape
    rcond = max(m, n) * np.finfo(dtype).eps if rcond is None else rcond
    x = matmul(pinv(a, rcond), b)
    s = svdvals(a)
    rank = cast(sum(u.greater(s, u.multiply(rcond, amax(s)))), np.int32)
    r = u.subtract(b, matmul(a, x))
    squares = sum(_squared(r), axis=0, keepdims=r.ndim == 1)
    return x, squares if m > n else np.zeros(0, squares.dtype), rank, s


@implements("linalg.matrix_rank")
def matrix_rank(A, tol=None, hermitian=False, *, rtol=None):
    """Number of singular values above a threshold."""
    a = as_var(A)
    if a.ndim < 2:
        return cast(u.not_equal(amax(u.abs(a)), 0), np.int64)
    s = svdvals(a)
    if tol is None:
        rtol = max(a.shape[-2:]) * np.finfo(s.dtype).eps if rtol is None else rtol
        tol = u.multiply(_column(rtol), amax(s, axis=-1, keepdims=True))
    else:
        tol = _column(tol)
    return sum(u.greater(s, tol), axis=-1)


@implements("linalg.cond")
def cond(x, p=None):
    """Condition number in a matrix norm."""
    a = _matrix(x, "cond", square=p not in (None, 2, -2))
    if p in (None, 2, -2):
        s = svdvals(a)
        first, last = s[..., 0], s[..., -1]
        return u.divide(last, first) if p == -2 else u.divide(first, last)
    return u.multiply(norm(a, p, (-2, -1)), norm(inv(a), p, (-2, -1)))


# --- norms ----------------------------------------------------------------------


def _squared(x):
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
        return safe_sqrt(sum(_squared(x), axis, keepdims=keepdims))
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
        y = safe_sqrt(sum(_squared(a), (-2, -1)))
    elif ord in (1, -1, np.inf, -np.inf):
        sums = sum(u.abs(a), -2 if abs(ord) == 1 else -1)
        y = amax(sums, -1) if ord > 0 else amin(sums, -1)
    elif ord in (2, -2, "nuc"):
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


@implements("linalg.diagonal")
def diagonal(x, /, *, offset=0):
    """A diagonal of the last two axes."""
    return any_diagonal(x, offset, -2, -1)


@implements("linalg.trace")
def trace(x, /, *, offset=0, dtype=None):
    """Sum of a diagonal of the last two axes."""
    return any_trace(x, offset, -2, -1, dtype=dtype)


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
    x = _matrix(x, "matrix_norm", square=False)
    return _matrix_norm(x, ord, (x.ndim - 2, x.ndim - 1), keepdims)


# --- products -------------------------------------------------------------------


@implements("linalg.matrix_power")
def matrix_power(a, n):
    """Integer power by repeated squaring."""
    a = as_var(a)
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise LinAlgError(f"matrix_power: needs square matrices, got {a.shape}")
    if n < 0:
        a, n = inv(a), -n
    if n == 0:
        return _identity(a, a.shape[-1])
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


# --- outside NumPy --------------------------------------------------------------


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
        return _matrix(a, name, square)
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
    a = _matrix(cast(as_var(a, like), dtype), "solve_triangular")
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
