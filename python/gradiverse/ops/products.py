"""Products of arrays: matmul, dot, tensordot, kron, cross, convolve."""

import math

import numpy as np

from . import ufuncs as u
from ._core import (
    FUNCTIONS,
    UFUNCS,
    Var,
    aligned,
    array_dtype,
    as_var,
    axis_index,
    axis_tuple,
    broadcast,
    cast,
    common_shape,
    emit,
    first_var,
    implements,
    is_traced,
    ndim_of,
    permute,
    reshaped,
    shape_of,
)
from .contraction import contract, product
from .reductions import reduce

__all__ = [
    "convolve", "correlate", "cross", "dot", "inner", "kron", "matmul", "matvec",
    "outer", "tensordot", "vdot", "vecdot", "vecmat",
]  # fmt: skip


def _operands(name, a, b):
    like = first_var(a, b)
    dtype = array_dtype(a, b)
    return (
        x if isinstance(x, Var) and x.dtype is dtype else cast(as_var(x, like), dtype)
        for x in (a, b)
    )


def matmul(x1, x2, /, out=None, **kwargs):
    """Matrix product; 1-D operands are rows and columns, others are batched."""
    if not is_traced(x1, x2):
        return np.matmul(x1, x2, out, **kwargs)
    u.refuse("matmul", {"out": out, **kwargs})
    a, b = _operands("matmul", x1, x2)
    if a.ndim == 2 and b.ndim == 2 and a.shape[1] == b.shape[0]:
        return product(a, b)
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError("matmul: scalars have no matrix product; use *")
    vector_a, vector_b = a.ndim == 1, b.ndim == 1
    if vector_a:
        a = reshaped(a, (1, a.size))
    if vector_b:
        b = reshaped(b, (b.size, 1))
    if a.shape[-1] != b.shape[-2]:
        raise ValueError(
            f"matmul: shapes {shape_of(x1)} and {shape_of(x2)} do not fit: "
            f"{a.shape[-1]} against {b.shape[-2]}"
        )
    (*lead_a, m, k), (*lead_b, _, n) = a.shape, b.shape
    if not lead_b and lead_a and not vector_a:
        y = product(reshaped(a, (math.prod(lead_a) * m, k)), b)
        y = reshaped(y, (*lead_a, m, n))
    else:
        lead = common_shape(tuple(lead_a), tuple(lead_b))
        y = product(broadcast(a, (*lead, m, k)), broadcast(b, (*lead, k, n)))
    if vector_a or vector_b:
        *lead, m, n = y.shape
        y = reshaped(y, (*lead, *([] if vector_a else [m]), *([] if vector_b else [n])))
    return y


UFUNCS["matmul"] = matmul


FUNCTIONS[np.linalg.matmul] = matmul


@implements("vecdot", "linalg.vecdot")
def vecdot(x1, x2, /, *, axis=-1, **kwargs):
    """Sum of conj(x1) x2 along an axis."""
    u.refuse("vecdot", kwargs)
    from .rearrange import moveaxis

    a, b = _operands("vecdot", x1, x2)
    a, b = aligned((moveaxis(a, axis, -1), moveaxis(b, axis, -1)))
    a = emit("conj", (a,)) if a.dtype.kind == "c" else a
    return reduce("reduce_sum", emit("mul", (a, b)), axis=-1)


@implements("matvec")
def matvec(x1, x2, /, **kwargs):
    """Matrices times vectors."""
    u.refuse("matvec", kwargs)
    y = matmul(x1, reshape_last(x2, True))
    return reshaped(y, y.shape[:-1])


@implements("vecmat")
def vecmat(x1, x2, /, **kwargs):
    """Conjugated vectors times matrices."""
    u.refuse("vecmat", kwargs)
    y = matmul(u.conjugate(reshape_last(x1, False)), x2)
    return reshaped(y, (*y.shape[:-2], y.shape[-1]))


def reshape_last(x, column):
    """Vectors in the last axis as columns or rows."""
    shape = shape_of(x)
    new = (*shape, 1) if column else (*shape[:-1], 1, shape[-1])
    return reshaped(as_var(x), new) if is_traced(x) else np.asarray(x).reshape(new)


@implements("dot")
def dot(a, b, out=None):
    """Sum over the last axis of a and the second-to-last (or only) axis of b."""
    u.refuse("dot", {"out": out})
    if ndim_of(a) == 0 or ndim_of(b) == 0:
        return u.multiply(*_operands("dot", a, b))
    if ndim_of(b) <= 2:
        return matmul(a, b)
    return tensordot(a, b, ((-1,), (-2,)))


@implements("inner")
def inner(a, b, /):
    """Sum over the last axes of both."""
    if ndim_of(a) == 0 or ndim_of(b) == 0:
        return u.multiply(*_operands("inner", a, b))
    return tensordot(a, b, ((-1,), (-1,)))


@implements("vdot")
def vdot(a, b, /):
    """Sum of conj(a) b over all elements."""
    from .rearrange import ravel

    return matmul(u.conjugate(ravel(a)), ravel(b))


@implements("outer", "linalg.outer")
def outer(a, b, out=None):
    """Products of all pairs of elements."""
    u.refuse("outer", {"out": out})
    a, b = _operands("outer", a, b)
    return u.multiply(reshaped(a, (a.size, 1)), reshaped(b, (1, b.size)))


@implements("tensordot", "linalg.tensordot")
def tensordot(a, b, axes=2):
    """Sum over pairs of axes."""
    a, b = _operands("tensordot", a, b)
    if np.ndim(axes) == 0:
        axes = (tuple(range(a.ndim - axes, a.ndim)), tuple(range(axes)))
    axes_a, axes_b = (x if np.ndim(x) else (x,) for x in axes)
    axes_a, axes_b = axis_tuple(axes_a, a.ndim), axis_tuple(axes_b, b.ndim)
    if [a.shape[i] for i in axes_a] != [b.shape[i] for i in axes_b]:
        raise ValueError(
            f"tensordot: axes {axes_a} of {a.shape} and {axes_b} of {b.shape} differ"
        )
    names_a = list(range(a.ndim))
    names_b = list(range(a.ndim, a.ndim + b.ndim))
    for i, j in zip(axes_a, axes_b, strict=True):
        names_b[j] = names_a[i]
    out = [n for i, n in enumerate(names_a) if i not in axes_a]
    out += [n for j, n in enumerate(names_b) if j not in axes_b]
    y, names = contract(a, names_a, b, names_b, set(out))
    return permute(y, [names.index(n) for n in out])


@implements("kron")
def kron(a, b):
    """Kronecker product."""
    a, b = _operands("kron", a, b)
    n = max(a.ndim, b.ndim)
    s, t = (1,) * (n - a.ndim) + a.shape, (1,) * (n - b.ndim) + b.shape
    y = u.multiply(reshaped(a, [m for k in s for m in (k, 1)]),
                   reshaped(b, [m for k in t for m in (1, k)]))  # fmt: skip
    return reshaped(y, [i * j for i, j in zip(s, t, strict=True)])


@implements("cross", "linalg.cross")
def cross(a, b, axisa=-1, axisb=-1, axisc=-1, axis=None):
    """Vector product of vectors with 2 or 3 components."""
    from .join import stack
    from .rearrange import moveaxis

    if axis is not None:
        axisa = axisb = axisc = axis
    like = first_var(a, b)
    a, b = moveaxis(as_var(a, like), axisa, -1), moveaxis(as_var(b, like), axisb, -1)
    if a.shape[-1] not in (2, 3) or b.shape[-1] not in (2, 3):
        raise ValueError(f"cross: vectors have 2 or 3 components: {a.shape}, {b.shape}")
    p, q = ([x[..., i] for i in range(x.shape[-1])] for x in (a, b))
    last = u.subtract(u.multiply(p[0], q[1]), u.multiply(p[1], q[0]))
    if len(p) == 2 and len(q) == 2:
        return last

    def minor(i, j):
        left = u.multiply(p[i], q[j]) if max(i, 0) < len(p) and j < len(q) else None
        right = u.multiply(p[j], q[i]) if j < len(p) and i < len(q) else None
        if left is None:
            return u.negative(right)
        return left if right is None else u.subtract(left, right)

    c = stack([minor(1, 2), minor(2, 0), last], axis=-1)
    return moveaxis(c, -1, axis_index(axisc, c.ndim))


def _correlate_full(a, v):
    """Sums of a[i + k] v[i] for k from 1 - len(v) to len(a) - 1, as one product."""
    n, m = a.size, v.size
    padded = emit("pad", (a,), low=(m - 1,), high=(m - 1,))
    windows = np.arange(n + m - 1)[:, None] + np.arange(m)
    from .indexing import take

    return matmul(take(padded, windows), v)


def _cut(y, n, m, mode):
    low, high = min(n, m), max(n, m)
    if mode == "full":
        return y
    if mode == "same":
        start = (low - 1) // 2
        return y[start : start + high]
    if mode == "valid":
        return y[low - 1 : high]
    raise ValueError(f"mode is 'full', 'same' or 'valid', got {mode!r}")


@implements("convolve")
def convolve(a, v, mode="full"):
    """Linear convolution of two sequences."""
    a, v = (reshaped(x, (x.size,)) for x in _operands("convolve", a, v))
    if a.size == 0 or v.size == 0:
        raise ValueError("convolve: both sequences need at least one element")
    if v.size > a.size:
        a, v = v, a
    return _cut(_correlate_full(a, v[::-1]), a.size, v.size, mode)


@implements("correlate")
def correlate(a, v, mode="valid"):
    """Cross-correlation of two sequences: sums of a[n + k] conj(v[n])."""
    a, v = (reshaped(x, (x.size,)) for x in _operands("correlate", a, v))
    if a.size == 0 or v.size == 0:
        raise ValueError("correlate: both sequences need at least one element")
    v = u.conjugate(v)
    if v.size > a.size:
        y = _correlate_full(v, a)[::-1]
    else:
        y = _correlate_full(a, v)
    n, m = a.size, v.size
    if mode == "same" and m > n:
        start = (n + m - 1 - max(n, m)) - (min(n, m) - 1) // 2
        return y[start : start + max(n, m)]
    return _cut(y, n, m, mode)
