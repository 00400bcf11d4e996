"""Promotion, broadcasting and registration shared by the NumPy surface.

Functions of the surface take NumPy's arguments, resolve NumPy's rank rules while
tracing and emit operators of fixed rank. A function whose arguments are all plain
arrays calls NumPy and returns arrays.
"""

import functools

import numpy as np

from ..graph import Var, emit, evaluate, is_traced, lift, native_dtype

axis_index = np.lib.array_utils.normalize_axis_index
axis_tuple = np.lib.array_utils.normalize_axis_tuple
BOOL = np.dtype("bool")
INT64 = np.dtype("int64")
FLOAT64 = np.dtype("float64")
COMPLEX128 = np.dtype("complex128")
#: dtype -> code of the C enumeration
CODES = {
    np.dtype(name): code
    for code, name in enumerate(
        ("bool", "int32", "int64", "float32", "float64", "complex64", "complex128")
    )
}
_WEAK = {"b": False, "i": 0, "f": 0.0, "c": 0j}

UFUNCS = {}  # name of a NumPy ufunc -> function taking traced values
FUNCTIONS = {}  # NumPy function object -> function taking traced values


def find_numpy(path):
    """NumPy's function by dotted name, or None where this NumPy has none."""
    found = np
    for part in path.split("."):
        found = getattr(found, part, None)
    return found


def implements(*paths):
    """Register a function as the traced form of NumPy functions (dotted names).

    The result calls NumPy's first function named when nothing is traced.
    """

    def register(function):
        originals = [f for f in map(find_numpy, paths) if f is not None]
        for original in originals:
            FUNCTIONS[original] = function
            if isinstance(original, np.ufunc):
                UFUNCS[original.__name__] = function

        @functools.wraps(function)
        def surface(*args, **kwargs):
            if is_traced(*args, *kwargs.values()):
                return call(function, paths[0], args, kwargs)
            if not originals:
                raise TypeError(f"{paths[0]}: not in NumPy {np.__version__}")
            return originals[0](*args, **kwargs)

        return surface

    return register


def call(function, name, args, kwargs):
    """Call, with an error that says so where a quantised value has no such thing."""
    try:
        return function(*args, **kwargs)
    except AttributeError:
        like = first_var(*args, *kwargs.values())
        if like is not None and isinstance(like.dtype, str):
            raise quantised(name) from None
        raise


def first_var(*args):
    """The first traced value among the arguments, lists included."""
    for a in args:
        if isinstance(a, Var):
            return a
        if isinstance(a, (list, tuple)):
            found = first_var(*a)
            if found is not None:
                return found
    return None


def check_dtype(dtype, where):
    """The engine's dtype for a NumPy dtype; TypeError where there is none."""
    try:
        return native_dtype(np.dtype(dtype))
    except TypeError as error:
        raise TypeError(f"{where}: {error}") from None


def _kind_of(a):
    """What NumPy's promotion should see of an operand."""
    if isinstance(a, Var):
        return _WEAK[a.dtype.kind] if a.weak else a.dtype
    kind = type(a)
    if kind is float or kind is int or kind is bool or kind is complex:
        return kind(0)
    return dtype_of(a)


def dtype_of(a):
    """dtype of any operand; Python numbers as NumPy's arrays of them."""
    if isinstance(a, (Var, np.ndarray, np.generic)):
        return a.dtype
    return as_var(a).dtype if is_traced(a) else np.asarray(a).dtype


def result_dtype(*args):
    """NumPy 2's result type, Python scalars and weak traced values weak."""
    return _promoted(*map(_kind_of, args))


@functools.lru_cache(maxsize=4096, typed=True)
def _promoted(*kinds):
    if any(isinstance(k, str) for k in kinds):  # fixed point: with its like alone
        if len(set(kinds)) == 1:
            return kinds[0]
        raise quantised("mixing with other dtypes")
    return native_dtype(np.result_type(*kinds))


#: np.broadcast_shapes of shapes seen before, at once
common_shape = functools.lru_cache(maxsize=4096)(np.broadcast_shapes)


def array_dtype(*args):
    """As `result_dtype` where NumPy makes arrays first: scalars count as float64."""
    return _promoted(*map(dtype_of, args))


def quantised(name):
    """The error for functions that fixed-point values do not have."""
    return TypeError(f"{name}: not offered for quantised values; gv.dequantize first")


def inexact(dtype):
    """The dtype itself when float or complex, else float64."""
    if isinstance(dtype, str):
        raise quantised("arithmetic")
    return dtype if dtype.kind in "fc" else FLOAT64


def constant(value, dtype, like, shape=()):
    """A traced constant, broadcast to a shape."""
    return broadcast(lift(np.asarray(value, dtype=dtype), like=like), tuple(shape))


def strong(x):
    """x without the weak mark of a Python scalar."""
    return emit_strong("reshape", (x,), core=x.ndim, shape=x.shape) if x.weak else x


def emit_strong(name, inputs, **attrs):
    """`emit` of an operator with one output, whose result is never weak."""
    y = emit(name, inputs, **attrs)
    y.weak = False
    return y


def as_var(a, like=None, dtype=None):
    """Any operand as one traced value (nested lists are stacked)."""
    if isinstance(a, Var):
        return a if dtype is None else cast(a, dtype)
    if isinstance(a, (list, tuple)) and is_traced(a):
        from .create import array

        return array(a, dtype=dtype)
    a = np.asarray(a, dtype=dtype)
    return lift(a, like=like)


def fit(a, dtype, shape, like):
    """An operand as a traced value of this dtype and shape."""
    if not isinstance(a, Var):
        if isinstance(a, (list, tuple)) and is_traced(a):
            a = as_var(a)
        else:
            a = lift(np.asarray(a, dtype=dtype), like=like)
    if a.dtype is not dtype and a.dtype != dtype:
        a = cast(a, dtype)
    return a if a.shape == shape else broadcast(a, shape)


def shape_of(a):
    """Shape of any operand, nested lists of traced values included."""
    if isinstance(a, (Var, np.ndarray)):
        return a.shape
    if isinstance(a, (list, tuple)) and is_traced(a):
        return (len(a), *shape_of(a[0]))
    return np.shape(a)


def ndim_of(a):
    """Number of axes of any operand."""
    return len(shape_of(a))


def aligned(args, dtype=None):
    """Operands broadcast to one shape and cast to one dtype, NumPy's rules."""
    args = [
        as_var(a) if isinstance(a, (list, tuple)) and is_traced(a) else a for a in args
    ]
    if dtype is None:
        dtype = result_dtype(*args)
    like = first_var(*args)
    shape = common_shape(*map(shape_of, args))
    return [fit(a, dtype, shape, like) for a in args]


def concrete(value, what):
    """A value that must be known while tracing (shapes, masks, quantile levels)."""
    if isinstance(value, Var):
        return evaluate(value)
    if isinstance(value, (list, tuple)) and is_traced(value):
        return type(value)(concrete(v, what) for v in value)
    return value


# --- emitters on whole arrays (every axis is a core axis) -----------------------


def reshaped(x, shape):
    """x with another shape of equal size, C order."""
    shape = tuple(shape)
    if x.shape == shape:
        return x
    return emit_strong("reshape", (x,), core=x.ndim, shape=shape)


def broadcast(x, shape):
    """x broadcast to a shape that NumPy's rule allows."""
    shape = tuple(shape)
    if x.shape == shape:
        return x
    return emit_strong("broadcast", (x,), core=x.ndim, shape=shape)


def permute(x, axes):
    """Transpose with axes given from the front."""
    axes = tuple(axes)
    if axes == tuple(range(x.ndim)):
        return x
    return emit_strong("transpose", (x,), perm=axes)


def cast(x, dtype):
    """x in another dtype; complex to real keeps the real part."""
    if x.dtype == dtype:
        return x
    if isinstance(x.dtype, str):
        raise quantised("conversion to another dtype")
    dtype = np.dtype(dtype)
    if dtype not in CODES:
        dtype = check_dtype(dtype, "astype")
    if x.dtype.kind == "c" and dtype.kind not in "cb":
        x = emit("real", (x,))
        if x.dtype == dtype:
            return x
    return emit_strong("cast", (x,), dtype=CODES[dtype])


def sliced(x, start, step, size):
    """x[start : start + step * size : step] on every axis, size elements each."""
    if tuple(size) == x.shape and all(s == 1 for s in step):
        return x
    return emit_strong("slice", (x,), start=start, step=step, size=size)


def span(x, axis, start, stop, step=1):
    """x[..., start:stop:step, ...] on one axis."""
    first, last, step = slice(start, stop, step).indices(x.shape[axis])
    starts, steps, sizes = [0] * x.ndim, [1] * x.ndim, list(x.shape)
    starts[axis], steps[axis] = first, step
    sizes[axis] = len(range(first, last, step))
    return sliced(x, starts, steps, sizes)


def concat(parts, axis):
    """Concatenate traced values of one dtype on an axis given from the front."""
    if len(parts) == 1:
        return parts[0]
    return emit_strong("concat", tuple(parts), axis=axis - parts[0].ndim)


def negative_axes(axes, ndim):
    """Axes from the front as the negative axes of the operators."""
    return tuple(a - ndim for a in axes)


def move_last(x, axis):
    """(x with the axis moved to the end, the permutation that undoes it)."""
    n = x.ndim
    axis = axis_index(axis, n)
    if axis == n - 1:
        return x, None
    front = [i for i in range(n) if i != axis]
    back = [*range(axis), n - 1, *range(axis, n - 1)]
    return permute(x, [*front, axis]), back
