"""Products of arrays: matmul, dot, tensordot, einsum and their relatives.

All end in one batched matrix product, or in broadcasting multiplication where
nothing is summed.
"""

import math
import string

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
    check_dtype,
    common_shape,
    emit,
    first_var,
    fit,
    implements,
    is_traced,
    ndim_of,
    permute,
    reshaped,
    shape_of,
)
from .create import last_diagonal
from .reductions import reduce

__all__ = [
    "convolve", "correlate", "cross", "dot", "einsum", "einsum_path", "inner", "kron",
    "matmul", "matvec", "outer", "tensordot", "vdot", "vecdot", "vecmat",
]  # fmt: skip
einsum_path = np.einsum_path


def product(a, b, ta=False, tb=False):
    """Batched matrix product of values of one dtype with equal batch axes."""
    if a.dtype.kind in "fc":
        return emit("matmul", (a, b), ta=int(ta), tb=int(tb))
    # Integers and bools: a sum of products.
    flag = a.dtype.kind == "b"
    if flag:
        a, b = cast(a, np.int64), cast(b, np.int64)
    a = permute(a, [*range(a.ndim - 2), a.ndim - 1, a.ndim - 2]) if ta else a
    b = b if tb else permute(b, [*range(b.ndim - 2), b.ndim - 1, b.ndim - 2])
    *lead, m, k = a.shape
    n = b.shape[-2]
    a = broadcast(reshaped(a, (*lead, m, 1, k)), (*lead, m, n, k))
    b = broadcast(reshaped(b, (*lead, 1, n, k)), (*lead, m, n, k))
    y = reduce("reduce_sum", emit("mul", (a, b)), axis=-1)
    return cast(y, np.bool_) if flag else y


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


# --- dot and tensordot ----------------------------------------------------------


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


# --- einsum ---------------------------------------------------------------------


def _parse(operands):
    """Labels of each operand, labels of the result, and the operands."""
    if isinstance(operands[0], str):
        text = operands[0].replace(" ", "")
        arrays = list(operands[1:])
    else:
        arrays, terms, rest = [], [], list(operands)
        while len(rest) > 1:
            arrays.append(rest.pop(0))
            terms.append(_letters(rest.pop(0)))
        text = ",".join(terms)
        if rest:
            text += "->" + _letters(rest[0])
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(arrays):
        raise ValueError(
            f"einsum: {len(terms)} terms in {text!r} for {len(arrays)} operands"
        )
    if not set(text) <= set(string.ascii_letters + ",->."):
        raise ValueError(f"einsum: {text!r} has more than letters, ',', '->', '...'")
    return terms, right if arrow else None, arrays, text


def _letters(labels):
    return "".join("..." if i is Ellipsis else string.ascii_letters[i] for i in labels)


def _labels(terms, right, shapes, text):
    """Lists of labels with the ellipsis spelled out; negative ones are its axes."""
    lists = []
    for term, shape in zip(terms, shapes, strict=True):
        head, dots, tail = term.partition("...")
        if "." in head + tail:
            raise ValueError(f"einsum: a lone '.' in {text!r}")
        hidden = len(shape) - len(head) - len(tail)
        if hidden < 0 or (hidden and not dots):
            raise ValueError(
                f"einsum: term {term!r} of {text!r} for an operand of shape {shape}"
            )
        lists.append([*head, *range(-hidden, 0), *tail])
    widest = max((-min((i for i in n if isinstance(i, int)), default=0) for n in lists),
                 default=0)  # fmt: skip
    if right is None:
        joined = [c for n in lists for c in n if isinstance(c, str)]
        once = sorted(c for c in set(joined) if joined.count(c) == 1)
        out = [*range(-widest, 0), *once]
    else:
        head, dots, tail = right.partition("...")
        out = [*head, *(range(-widest, 0) if dots else ()), *tail]
        if len(set(out)) != len(out) or not set(head + tail) <= set("".join(terms)):
            raise ValueError(
                f"einsum: result {right!r} of {text!r} repeats a label or has a new one"
            )
    return lists, out


def _take_diagonals(x, names):
    """Replace labels that occur twice in one operand by the diagonal."""
    for label in dict.fromkeys(names):
        while names.count(label) > 1:
            i = names.index(label)
            j = names.index(label, i + 1)
            if x.shape[i] != x.shape[j]:
                raise ValueError(f"einsum: label {label!r} has two lengths, {x.shape}")
            rest = [k for k in range(x.ndim) if k not in (i, j)]
            x = last_diagonal(permute(x, [*rest, i, j]))
            names = [names[k] for k in rest] + [label]
    return x, names


def _sum_out(x, names, keep):
    """Sum over labels that nobody else needs."""
    gone = [k for k, n in enumerate(names) if n not in keep]
    if gone:
        x = reduce("reduce_sum", x, tuple(gone))
        names = [n for n in names if n in keep]
    return x, names


def contract(a, names_a, b, names_b, keep):
    """Multiply two values, summing over shared labels outside `keep`.

    Returns the result and its labels. Labels of one operand alone must be in keep.
    """
    shared = [n for n in names_a if n in names_b]
    batch = [n for n in shared if n in keep]
    inner_ = [n for n in shared if n not in keep]
    free_a = [n for n in names_a if n not in shared]
    free_b = [n for n in names_b if n not in shared]
    size = dict(zip(names_a, a.shape, strict=True)) | dict(
        zip(names_b, b.shape, strict=True))  # fmt: skip
    if not inner_:
        out = [*batch, *free_a, *free_b]
        shape = [size[n] for n in out]
        return emit("mul", (_spread(a, names_a, out, shape),
                            _spread(b, names_b, out, shape))), out  # fmt: skip

    def area(names):
        return math.prod(size[n] for n in names)

    left, ta = _arranged(a, names_a, batch, free_a, inner_)
    right, tb = _arranged(b, names_b, batch, inner_, free_b)
    lead = [size[n] for n in batch]
    m, k, n = area(free_a), area(inner_), area(free_b)
    left = reshaped(left, (*lead, k, m) if ta else (*lead, m, k))
    right = reshaped(right, (*lead, n, k) if tb else (*lead, k, n))
    out = [*batch, *free_a, *free_b]
    return reshaped(product(left, right, ta, tb), [size[n] for n in out]), out


def _spread(x, names, out, shape):
    """x with its axes in the order of `out` and 1 for the others, broadcast."""
    order = [n for n in out if n in names]
    x = permute(x, [names.index(n) for n in order])
    at = iter(x.shape)
    x = reshaped(x, [next(at) if n in names else 1 for n in out])
    return broadcast(x, shape)


def _arranged(x, names, batch, rows, columns):
    """(x as batch, rows, columns or with these swapped, are they swapped)."""
    if names == [*batch, *columns, *rows] and rows and columns:
        return x, True
    return permute(x, [names.index(n) for n in (*batch, *rows, *columns)]), False


@implements("einsum")
def einsum(*operands, out=None, dtype=None, optimize=True, **kwargs):
    """Sums of products over labelled axes; pairs with the smallest result first."""
    u.refuse("einsum", {"out": out, **kwargs})
    terms, right, arrays, text = _parse(operands)
    like = first_var(arrays)
    dtype = array_dtype(*arrays) if dtype is None else check_dtype(dtype, "einsum")
    arrays = [fit(a, dtype, shape_of(a), like) for a in arrays]
    lists, out_names = _labels(terms, right, [a.shape for a in arrays], text)
    arrays, lists = map(list, zip(*map(_take_diagonals, arrays, lists), strict=True))
    size = _sizes(arrays, lists, text)
    for k, (a, names) in enumerate(zip(arrays, lists, strict=True)):
        narrow = [n for n, m in zip(names, a.shape, strict=True) if m == 1 != size[n]]
        if narrow:  # an axis of length 1 that is broadcast: the operand has it not
            lists[k] = [n for n in names if n not in narrow]
            arrays[k] = reshaped(a, [m for n, m in zip(names, a.shape, strict=True)
                                     if n not in narrow])  # fmt: skip
    while True:
        for k in range(len(arrays)):
            others = {n for j, names in enumerate(lists) if j != k for n in names}
            arrays[k], lists[k] = _sum_out(arrays[k], lists[k], others | set(out_names))
        if len(arrays) == 1:
            break
        i, j = _cheapest(lists, size, set(out_names))
        rest = [k for k in range(len(arrays)) if k not in (i, j)]
        keep = {n for k in rest for n in lists[k]} | set(out_names)
        y, names = contract(arrays[i], lists[i], arrays[j], lists[j], keep)
        arrays = [arrays[k] for k in rest] + [y]
        lists = [lists[k] for k in rest] + [names]
    (y,), (names,) = arrays, lists
    lost = [n for n in out_names if n not in names]
    y = permute(y, [names.index(n) for n in out_names if n in names])
    if lost:
        at = iter(y.shape)
        y = reshaped(y, [1 if n in lost else next(at) for n in out_names])
    return broadcast(y, [size[n] for n in out_names])


def _sizes(arrays, lists, text):
    """Length of each label (1 gives way to others)."""
    size = {}
    for a, names in zip(arrays, lists, strict=True):
        for n, m in zip(names, a.shape, strict=True):
            if size.setdefault(n, m) != m and m != 1:
                if size[n] != 1:
                    raise ValueError(
                        f"einsum: label {n!r} of {text!r} has lengths {size[n]} and {m}"
                    )
                size[n] = m
    return size


def _cheapest(lists, size, out):
    """The pair of operands whose product grows memory least, then costs least."""
    best = None
    for i in range(len(lists)):
        for j in range(i + 1, len(lists)):
            rest = (lists[k] for k in range(len(lists)) if k not in (i, j))
            others = out.union(*rest)
            both = set(lists[i]) | set(lists[j])
            kept = math.prod(size[n] for n in both if n in others)
            before = sum(math.prod(size[n] for n in lists[k]) for k in (i, j))
            cost = math.prod(size[n] for n in both)
            if best is None or (kept - before, cost) < best[0]:
                best = (kept - before, cost), (i, j)
    return best[1]
