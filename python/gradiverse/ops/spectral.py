"""Eigenvalues, singular values, orthogonal factors and what is made of them."""

from collections import namedtuple

import numpy as np

from . import ufuncs as u
from ._core import (
    as_var,
    cast,
    constant,
    emit,
    first_var,
    implements,
    inexact,
    ndim_of,
    result_dtype,
)
from .elementwise import where
from .matrices import LinAlgError, adjoint, as_matrix, solve
from .norms import squared_modulus
from .products import matmul
from .reductions import amax, sum

__all__ = [
    "eig", "eigh", "eigvals", "eigvalsh", "lstsq", "matrix_rank", "pinv", "qr",
    "svd", "svdvals",
]  # fmt: skip


EighResult = namedtuple("EighResult", ("eigenvalues", "eigenvectors"))


EigResult = namedtuple("EigResult", ("eigenvalues", "eigenvectors"))


SVDResult = namedtuple("SVDResult", ("U", "S", "Vh"))


QRResult = namedtuple("QRResult", ("Q", "R"))


def _hermitian(a, UPLO, name):
    """The matrix that one triangle of a stands for."""
    if UPLO not in ("L", "U", "l", "u"):
        raise ValueError(f"{name}: UPLO is 'L' or 'U', got {UPLO!r}")
    return a if UPLO in "Ll" else adjoint(a)


@implements("linalg.eigh")
def eigh(a, UPLO="L"):
    """Eigenvalues (ascending) and eigenvectors of a symmetric or Hermitian matrix."""
    return EighResult(*emit("eigh", (_hermitian(as_matrix(a, "eigh"), UPLO, "eigh"),)))


@implements("linalg.eigvalsh")
def eigvalsh(a, UPLO="L"):
    """Eigenvalues of a symmetric or Hermitian matrix, ascending."""
    return eigh(a, UPLO)[0]


@implements("linalg.eig")
def eig(a):
    """Complex eigenvalues and right eigenvectors of unit length."""
    a = as_matrix(a, "eig")
    complex_ = np.result_type(a.dtype, np.complex64)
    return EigResult(*emit("eig", (cast(a, complex_),)))


@implements("linalg.eigvals")
def eigvals(a):
    """Complex eigenvalues."""
    return eig(a)[0]


@implements("linalg.svd")
def svd(a, full_matrices=True, compute_uv=True, hermitian=False):
    """Singular value decomposition a = u diag(s) vh."""
    a = as_matrix(a, "svd", square=False)
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
    a = as_matrix(a, "qr", square=False)
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
    a = as_matrix(a, "pinv", square=False)
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
    squares = sum(squared_modulus(r), axis=0, keepdims=r.ndim == 1)
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
