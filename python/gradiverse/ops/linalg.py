"""numpy.linalg for traced values: the namespace."""

from .matrices import (
    LinAlgError,
    cholesky,
    det,
    diagonal,
    inv,
    matrix_power,
    multi_dot,
    slogdet,
    solve,
    tensorinv,
    tensorsolve,
    trace,
)
from .norms import cond, matrix_norm, norm, vector_norm
from .products import cross, matmul, outer, tensordot, vecdot
from .rearrange import matrix_transpose
from .spectral import (
    eig,
    eigh,
    eigvals,
    eigvalsh,
    lstsq,
    matrix_rank,
    pinv,
    qr,
    svd,
    svdvals,
)

__all__ = [
    "LinAlgError", "cholesky", "cond", "cross", "det", "diagonal", "eig", "eigh",
    "eigvals", "eigvalsh", "inv", "lstsq", "matmul", "matrix_norm", "matrix_power",
    "matrix_rank", "matrix_transpose", "multi_dot", "norm", "outer", "pinv", "qr",
    "slogdet", "solve", "svd", "svdvals", "tensordot", "tensorinv", "tensorsolve",
    "trace", "vecdot", "vector_norm",
]  # fmt: skip
