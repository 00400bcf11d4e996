"""Steps that the derivative transforms share."""

import numpy as np

from ._scope import COTANGENT, Wrt


def name_of(f):
    return getattr(f, "__name__", type(f).__name__)


def positions(argnums, n, f):
    """argnums as a tuple of non-negative ints, checked."""
    nums = (argnums,) if isinstance(argnums, (int, np.integer)) else tuple(argnums)
    for k in nums:
        if not isinstance(k, (int, np.integer)) or not -n <= k < n:
            raise ValueError(
                f"argnums {argnums!r}: {name_of(f)} was called with {n} positional"
                f" argument{'s' * (n != 1)}"
            )
    nums = tuple(int(k) % n for k in nums)
    if len(set(nums)) != len(nums) or not nums:
        raise ValueError(f"argnums {argnums!r} must name each argument once")
    return nums


def differentiate(scope, f, args, nums, strict=True):
    """(args with Vars at nums, [Wrt for each of nums])."""
    args = list(args)
    wrts = []
    for k in nums:
        wrt = Wrt(scope, args[k], (f"argument {k}", name_of(f)), strict)
        wrts.append(wrt)
        args[k] = wrt.value
    if not any(w.vars for w in wrts):
        raise TypeError(
            f"nothing to differentiate: arguments {list(nums)} of {name_of(f)} hold no"
            " float or complex array or number"
        )
    return args, wrts


def filled(trace, ids, like):
    """Ids with zeros where a derivative is absent (-1)."""
    return [
        trace.zeros(COTANGENT.get(str(v.dtype), "float64"), v.shape) if i < 0 else i
        for i, v in zip(ids, like, strict=True)
    ]


def with_aux(out, f, transform):
    if not (isinstance(out, tuple) and len(out) == 2):
        raise TypeError(
            f"{transform}: with has_aux=True {name_of(f)} must return (value, aux)"
        )
    return out
