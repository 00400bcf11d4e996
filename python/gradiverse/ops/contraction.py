"""einsum and the pairwise contraction that all products end in.

A contraction is one batched matrix product, or a broadcast multiplication where
nothing is summed.
"""

import math
import string

import numpy as np

from . import ufuncs as u
from ._core import (
    array_dtype,
    broadcast,
    cast,
    check_dtype,
    emit,
    first_var,
    fit,
    implements,
    permute,
    reshaped,
    shape_of,
)
from .create import last_diagonal
from .reductions import reduce

__all__ = [
    "einsum", "einsum_path",
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
