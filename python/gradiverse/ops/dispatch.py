"""What NumPy's protocols and the methods of traced values call."""

import numpy as np

from . import (
    create,
    cumulative,
    elementwise,
    extend,
    indexing,
    products,
    rearrange,
    reductions,
    sorting,
    statistics,
)
from . import ufuncs as u
from ._core import (
    FUNCTIONS,
    UFUNCS,
    as_var,
    call,
    first_var,
    is_traced,
    reshaped,
)

# ufunc.reduce and ufunc.accumulate
_REDUCE = {
    "add": reductions.sum,
    "multiply": reductions.prod,
    "maximum": reductions.amax,
    "minimum": reductions.amin,
    "logical_and": reductions.all,
    "logical_or": reductions.any,
}
_ACCUMULATE = {"add": cumulative.cumsum, "multiply": cumulative.cumprod}


def array_ufunc(ufunc, method, inputs, kwargs):
    """Apply a ufunc, or one of its methods, to operands of which one is traced.

    Raises
    ------
    TypeError
        Naming the ufunc, where it has no traced form.
    """
    name = ufunc.__name__
    if method == "__call__":
        function = UFUNCS.get(name)
        if function is None:
            raise _unknown(name)
        out = kwargs.get("out")
        if out is not None and not is_traced(*inputs):
            raise TypeError(
                f"{name}: a traced value cannot be written to (out=); use the result"
            )
        return function(*inputs, **kwargs)
    if method == "reduce" and name in _REDUCE:
        kwargs.setdefault("axis", 0)
        return _REDUCE[name](*inputs, **{k: v for k, v in kwargs.items()
                                         if v is not np._NoValue})  # fmt: skip
    if method == "accumulate" and name in _ACCUMULATE:
        kwargs.setdefault("axis", 0)
        return _ACCUMULATE[name](*inputs, **kwargs)
    if method == "outer" and name in UFUNCS:
        like = first_var(*inputs)
        a, b = (as_var(x, like) for x in inputs)
        return UFUNCS[name](reshaped(a, a.shape + (1,) * b.ndim), b, **kwargs)
    if method == "at":
        raise TypeError(
            f"{name}.at changes an array in place, which traced values cannot; use "
            "gv.ops.scatter_add(x, index, values)"
        )
    raise _unknown(f"{name}.{method}")


def array_function(func, args, kwargs):
    """Apply a NumPy function to arguments of which one is traced.

    Raises
    ------
    TypeError
        Naming the function, where it has no traced form.
    """
    function = FUNCTIONS.get(func)
    if function is None:
        module = getattr(func, "__module__", "numpy") or "numpy"
        name = f"{module}.{getattr(func, '__name__', func)}"
        raise _unknown(name.removeprefix("numpy."))
    return call(function, func.__name__, args, kwargs)


def _unknown(name):
    if name in ("copyto", "put", "place", "putmask", "fill_diagonal", "put_along_axis"):
        return TypeError(
            f"np.{name} writes into an array, which traced values cannot; build the "
            "result with gv.ops.where, gv.ops.index_set or np.concatenate (np.full of "
            "a traced number: gv.ops.full)"
        )
    return TypeError(
        f"np.{name} is not offered for traced values; write it with other functions of "
        "gv.ops, or wrap it with gv.external(f, vjp=...)"
    )


# --- methods --------------------------------------------------------------------


def _reshape(a, *shape, order="C", copy=None):
    """As ``ndarray.reshape``: the shape as one tuple or as several integers."""
    if len(shape) == 1:
        shape = shape[0]
    return rearrange.reshape(a, shape, order)


def _transpose(a, *axes):
    """As ``ndarray.transpose``: the axes as one tuple or as several integers."""
    if len(axes) == 1:
        axes = axes[0]
    return rearrange.transpose(a, axes if axes != () else None)


def _astype(a, dtype, order="K", casting="unsafe", subok=True, copy=True):
    """As ``ndarray.astype``."""
    return create.astype(a, dtype)


def _nonzero(a):
    """As ``ndarray.nonzero``."""
    return sorting.nonzero(a)


#: name of a method of ndarray -> function taking the traced value first
METHODS = {
    "T": rearrange.transpose,
    "mT": rearrange.matrix_transpose,
    "all": reductions.all,
    "any": reductions.any,
    "argmax": reductions.argmax,
    "argmin": reductions.argmin,
    "argpartition": sorting.argpartition,
    "argsort": sorting.argsort,
    "astype": _astype,
    "choose": indexing.choose,
    "clip": elementwise.clip,
    "compress": lambda a, condition, axis=None: indexing.compress(condition, a, axis),
    "conj": u.conjugate,
    "conjugate": u.conjugate,
    "cumprod": cumulative.cumprod,
    "cumsum": cumulative.cumsum,
    "diagonal": create.diagonal,
    "dot": products.dot,
    "flatten": rearrange.ravel,
    "imag": elementwise.imag,
    "max": reductions.amax,
    "mean": statistics.mean,
    "min": reductions.amin,
    "nonzero": _nonzero,
    "prod": reductions.prod,
    "ptp": reductions.ptp,
    "ravel": rearrange.ravel,
    "real": elementwise.real,
    "repeat": extend.repeat,
    "reshape": _reshape,
    "round": elementwise.round,
    "searchsorted": sorting.searchsorted,
    "sort": sorting.sort,
    "squeeze": rearrange.squeeze,
    "std": statistics.std,
    "sum": reductions.sum,
    "swapaxes": rearrange.swapaxes,
    "take": indexing.take,
    "trace": create.trace,
    "transpose": _transpose,
    "var": statistics.var,
}
