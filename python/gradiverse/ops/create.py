"""Making arrays: from nested lists, like another array, diagonals, ranges."""

import numpy as np

from . import ufuncs as u
from ._core import (
    Var,
    as_var,
    axis_index,
    broadcast,
    cast,
    check_dtype,
    concat,
    constant,
    dtype_of,
    emit,
    first_var,
    implements,
    inexact,
    is_traced,
    lift,
    permute,
    reshaped,
    result_dtype,
    shape_of,
    sliced,
    strong,
)

__all__ = [
    "arange", "array", "asanyarray", "asarray", "ascontiguousarray", "astype",
    "copy", "diag", "diag_indices", "diagflat", "diagonal", "empty", "empty_like",
    "eye", "full", "full_like", "geomspace", "identity", "indices", "iscomplexobj",
    "isrealobj", "isscalar", "ix_", "linspace", "logspace", "meshgrid", "ndim",
    "ones", "ones_like", "result_type", "shape", "size", "trace", "tri", "tril",
    "tril_indices", "triu", "triu_indices", "vander", "zeros", "zeros_like",
]  # fmt: skip

# Plain constructors: nothing in their arguments can be traced.
arange, empty, eye, identity, indices = (
    np.arange, np.empty, np.eye, np.identity, np.indices
)  # fmt: skip
ones, zeros, tri, ix_ = np.ones, np.zeros, np.tri, np.ix_
tril_indices, triu_indices, diag_indices = (
    np.tril_indices, np.triu_indices, np.diag_indices
)  # fmt: skip


def _leaves(a):
    """Shape of a nested list and its leaves as traced values or arrays."""
    if not isinstance(a, (list, tuple)):
        return (a.shape if isinstance(a, Var) else np.shape(a)), [a]
    if not is_traced(a):
        a = np.asarray(a)
        return a.shape, [a]
    shapes, leaves = zip(*map(_leaves, a), strict=True)
    if len(set(shapes)) != 1:
        raise ValueError(
            f"array: the parts have different shapes {sorted(set(shapes))}; every "
            "row must be as long as the others"
        )
    return (len(a), *shapes[0]), [leaf for part in leaves for leaf in part]


def array(object, dtype=None, *, copy=True, ndmin=0, **kwargs):
    """Array of a number, an array or nested lists of them, traced values included."""
    if not is_traced(object):
        return np.array(object, dtype=dtype, copy=copy, ndmin=ndmin, **kwargs)
    if isinstance(object, Var):
        x = strong(object) if dtype is None else cast(object, dtype)
    else:
        shape, leaves = _leaves(object)
        like = first_var(object)
        if dtype is None:
            # In a list, NumPy takes Python numbers as float64 or int64.
            kinds = [
                x.dtype if isinstance(x, Var) else np.asarray(x).dtype for x in leaves
            ]
            dtype = check_dtype(np.result_type(*kinds), "array")
        leaves = [
            as_var(x, like)
            if isinstance(x, Var)
            else lift(np.asarray(x, dtype=dtype), like=like)
            for x in leaves
        ]
        flat = [reshaped(cast(x, dtype), (x.size,)) for x in leaves if x.size]
        flat = concat(flat, 0) if flat else cast(reshaped(leaves[0], (0,)), dtype)
        x = reshaped(flat, shape)
    if x.ndim < ndmin:
        x = reshaped(x, (1,) * (ndmin - x.ndim) + x.shape)
    return x


def asarray(a, dtype=None, **kwargs):
    """The argument as an array; a traced value of the right dtype is kept."""
    if isinstance(a, Var):
        return a if dtype is None else cast(a, dtype)
    return array(a, dtype) if is_traced(a) else np.asarray(a, dtype, **kwargs)


asanyarray = ascontiguousarray = asarray


@implements("astype")
def astype(x, dtype, /, *, copy=True, device=None):
    """Convert to another dtype; complex to real keeps the real part."""
    return cast(as_var(x), check_dtype(dtype, "astype"))


@implements("copy")
def copy(a, order="K", subok=False):
    """A value equal to the argument."""
    return as_var(a)


# --- facts known while tracing --------------------------------------------------


@implements("ndim")
def ndim(a):
    """Number of axes."""
    return as_var(a).ndim


@implements("shape")
def shape(a):
    """Lengths of the axes."""
    return as_var(a).shape


@implements("size")
def size(a, axis=None):
    """Number of elements, or length of an axis."""
    a = as_var(a)
    return a.size if axis is None else a.shape[axis]


@implements("iscomplexobj")
def iscomplexobj(x):
    """Is the dtype complex."""
    return as_var(x).dtype.kind == "c"


@implements("isrealobj")
def isrealobj(x):
    """Is the dtype not complex."""
    return as_var(x).dtype.kind != "c"


def isscalar(element):
    """Is the argument a number (0-d traced values are, as NumPy scalars are)."""
    return element.ndim == 0 if isinstance(element, Var) else np.isscalar(element)


@implements("result_type")
def result_type(*arrays_and_dtypes):
    """dtype that the arguments promote to."""
    dtypes = [
        a if isinstance(a, (np.dtype, type)) else result_dtype(a)
        for a in arrays_and_dtypes
        if not isinstance(a, Var) or not a.weak
    ]
    weak = [
        a.dtype.type(0).item()
        for a in arrays_and_dtypes
        if isinstance(a, Var) and a.weak
    ]
    return np.result_type(*dtypes, *weak)


# --- like another array ---------------------------------------------------------


def _like(np_function, a, dtype, shape):
    """Plain constants: their content does not depend on the traced value."""
    a = as_var(a)
    return np_function(a.shape if shape is None else shape, dtype or a.dtype)


@implements("zeros_like")
def zeros_like(a, dtype=None, order="K", subok=True, shape=None):
    """Zeros of the shape and dtype of a (a plain array)."""
    return _like(np.zeros, a, dtype, shape)


@implements("ones_like")
def ones_like(a, dtype=None, order="K", subok=True, shape=None):
    """Ones of the shape and dtype of a (a plain array)."""
    return _like(np.ones, a, dtype, shape)


@implements("empty_like")
def empty_like(prototype, dtype=None, order="K", subok=True, shape=None):
    """Zeros of the shape and dtype of a (a plain array)."""
    return _like(np.zeros, prototype, dtype, shape)


@implements("full_like")
def full_like(a, fill_value, dtype=None, order="K", subok=True, shape=None):
    """fill_value broadcast to the shape and dtype of a."""
    shape = shape_of(a) if shape is None else shape
    if dtype is None:
        dtype = dtype_of(a)
    return full(shape, fill_value, dtype)


def full(shape, fill_value, dtype=None, **kwargs):
    """fill_value broadcast to a shape."""
    if not is_traced(fill_value):
        return np.full(shape, fill_value, dtype, **kwargs)
    shape = (shape,) if np.ndim(shape) == 0 else tuple(shape)
    return broadcast(strong(as_var(fill_value, dtype=dtype)), shape)


# --- ranges ---------------------------------------------------------------------


@implements("linspace")
def linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0):
    """num evenly spaced values from start to stop."""
    like = first_var(start, stop)
    kind = inexact(result_dtype(start, stop, 0.0))
    n = num - 1 if endpoint else num
    start, stop = as_var(start, like), as_var(stop, like)
    width = u.subtract(cast(stop, kind), cast(start, kind))
    width = strong(width)
    ramp = np.arange(num, dtype=kind) / (n if n > 0 else 1)
    ramp = ramp.astype(kind).reshape((num,) + (1,) * width.ndim)
    x = u.add(u.multiply(ramp, width), cast(start, kind))
    axis = axis_index(axis, x.ndim)
    x = permute(x, [*range(1, axis + 1), 0, *range(axis + 1, x.ndim)])
    if dtype is not None:
        x = cast(u.floor(x) if np.dtype(dtype).kind == "i" else x, dtype)
    return (x, u.divide(width, float(n) if n > 0 else np.nan)) if retstep else x


@implements("logspace")
def logspace(start, stop, num=50, endpoint=True, base=10.0, dtype=None, axis=0):
    """Powers of the base with evenly spaced exponents."""
    x = u.power(base, linspace(start, stop, num, endpoint, axis=axis))
    return x if dtype is None else cast(x, dtype)


@implements("geomspace")
def geomspace(start, stop, num=50, endpoint=True, dtype=None, axis=0):
    """Geometric progression from start to stop, both of one sign."""
    like = first_var(start, stop)
    start, stop = as_var(start, like), as_var(stop, like)
    ratio = u.log(u.divide(stop, start))
    zero = constant(0, ratio.dtype, like, ratio.shape)
    x = u.multiply(start, u.exp(linspace(zero, ratio, num, endpoint)))
    axis = axis_index(axis, x.ndim)
    x = permute(x, [*range(1, axis + 1), 0, *range(axis + 1, x.ndim)])
    return x if dtype is None else cast(x, dtype)


@implements("meshgrid")
def meshgrid(*xi, copy=True, sparse=False, indexing="xy"):
    """Coordinate arrays of a grid from its axes."""
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid: indexing is 'xy' or 'ij', got {indexing!r}")
    n = len(xi)
    like = first_var(*xi)
    axes = list(range(n))
    if indexing == "xy" and n > 1:
        axes[:2] = 1, 0
    out = []
    for axis, x in zip(axes, xi, strict=True):
        x = as_var(x, like)
        out.append(reshaped(x, [x.size if i == axis else 1 for i in range(n)]))
    if sparse:
        return tuple(out)
    shape = np.broadcast_shapes(*(x.shape for x in out))
    return tuple(broadcast(x, shape) for x in out)


@implements("vander")
def vander(x, N=None, increasing=False):
    """Powers of x as columns."""
    x = as_var(x)
    x = cast(x, np.promote_types(x.dtype, np.int64))
    N = x.size if N is None else N
    powers = np.arange(N) if increasing else np.arange(N)[::-1]
    columns = [u.power(x, int(p)) if p else np.ones(x.shape, x.dtype) for p in powers]
    columns = [reshaped(as_var(c, x, x.dtype), (x.size, 1)) for c in columns]
    return concat(columns, 1) if columns else np.zeros((x.size, 0), x.dtype)


# --- triangles and diagonals ----------------------------------------------------


def _triangle(op):
    def function(m, k=0):
        m = as_var(m)
        if m.ndim == 1:
            m = broadcast(m, (m.shape[0], m.shape[0]))
        return emit(op, (m,), k=int(k))

    function.__name__ = function.__qualname__ = op
    side = "lower" if op == "tril" else "upper"
    function.__doc__ = f"The {side} triangle up to the k-th diagonal, zeros elsewhere."
    return implements(op)(function)


tril = _triangle("tril")
triu = _triangle("triu")


def embed_diagonal(v, k=0):
    """Matrices with v (..., n) on their k-th diagonal."""
    *lead, n = v.shape
    size = n + abs(k)
    start, step = (k if k >= 0 else -k * size), size + 1
    zeros, ones = [0] * len(lead), [1] * len(lead)
    flat = emit("unslice", (v,), start=[*zeros, start], step=[*ones, step],
                shape=[*lead, size * size])  # fmt: skip
    return reshaped(flat, (*lead, size, size))


def last_diagonal(x, k=0):
    """The k-th diagonal of the matrices in the last two axes."""
    *lead, n, m = x.shape
    length = max(0, min(n + min(k, 0), m - max(k, 0)))
    start = k if k >= 0 else -k * m
    if length == 0:
        start = 0
    flat = reshaped(x, (*lead, n * m))
    starts, steps = [0] * flat.ndim, [1] * flat.ndim
    starts[-1], steps[-1] = start, m + 1
    return sliced(flat, starts, steps, (*lead, length))


@implements("diagonal")
def diagonal(a, offset=0, axis1=0, axis2=1):
    """Diagonals over two axes, as a new last axis."""
    a = as_var(a)
    axis1, axis2 = axis_index(axis1, a.ndim), axis_index(axis2, a.ndim)
    if axis1 == axis2:
        raise ValueError("diagonal: axis1 and axis2 must differ")
    rest = [i for i in range(a.ndim) if i not in (axis1, axis2)]
    return last_diagonal(permute(a, [*rest, axis1, axis2]), int(offset))


@implements("diag")
def diag(v, k=0):
    """Matrix with v on a diagonal, or the diagonal of a matrix."""
    v = as_var(v)
    if v.ndim == 1:
        return embed_diagonal(v, int(k))
    if v.ndim == 2:
        return last_diagonal(v, int(k))
    raise ValueError(f"diag: v must have 1 or 2 axes, got {v.ndim}; use np.diagonal")


@implements("diagflat")
def diagflat(v, k=0):
    """Matrix with the flattened v on a diagonal."""
    v = as_var(v)
    return embed_diagonal(reshaped(v, (v.size,)), int(k))


@implements("trace")
def trace(a, offset=0, axis1=0, axis2=1, dtype=None, out=None):
    """Sum of a diagonal."""
    from .reductions import sum

    u.refuse("trace", {"out": out})
    return sum(diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype)
