"""NumPy's ufuncs that are one C operator each, made from tables.

The fast path of each function (operands that already fit) costs one `emit`.
"""

import numpy as np

from ._core import (
    BOOL,
    CODES,
    FLOAT64,
    UFUNCS,
    Var,
    aligned,
    as_var,
    broadcast,
    cast,
    check_dtype,
    common_shape,
    emit,
    emit_strong,
    find_numpy,
    first_var,
    fit,
    inexact,
    is_traced,
    lift,
    quantised,
    result_dtype,
    shape_of,
)

# name: (operator, kinds of dtype it takes as they are, doc). Other dtypes are cast
# to float64 where "f" is offered, to bool where only "b" is.
UNARY = {
    "negative": ("neg", "ifc", "-x"),
    "absolute": ("abs", "ifc", "absolute value; real for complex x"),
    "sign": ("sign", "ifc", "-1, 0 or 1; x/|x| for complex x"),
    "square": ("square", "ifc", "x * x"),
    "sqrt": ("sqrt", "fc", "square root"),
    "reciprocal": ("reciprocal", "fc", "1 / x"),
    "exp": ("exp", "fc", "exponential"),
    "exp2": ("exp2", "f", "2 ** x"),
    "expm1": ("expm1", "f", "exp(x) - 1, accurate near 0"),
    "log": ("log", "fc", "natural logarithm"),
    "log2": ("log2", "f", "logarithm to base 2"),
    "log10": ("log10", "f", "logarithm to base 10"),
    "log1p": ("log1p", "f", "log(1 + x), accurate near 0"),
    "sin": ("sin", "fc", "sine of an angle in radians"),
    "cos": ("cos", "fc", "cosine of an angle in radians"),
    "tan": ("tan", "fc", "tangent of an angle in radians"),
    "arcsin": ("arcsin", "fc", "inverse sine, in radians"),
    "arccos": ("arccos", "fc", "inverse cosine, in radians"),
    "arctan": ("arctan", "fc", "inverse tangent, in radians"),
    "sinh": ("sinh", "fc", "hyperbolic sine"),
    "cosh": ("cosh", "fc", "hyperbolic cosine"),
    "tanh": ("tanh", "fc", "hyperbolic tangent"),
    "arcsinh": ("arcsinh", "fc", "inverse hyperbolic sine"),
    "arccosh": ("arccosh", "fc", "inverse hyperbolic cosine"),
    "arctanh": ("arctanh", "fc", "inverse hyperbolic tangent"),
    "floor": ("floor", "f", "largest integer not above x"),
    "ceil": ("ceil", "f", "smallest integer not below x"),
    "trunc": ("trunc", "f", "integer part, towards zero"),
    "rint": ("rint", "f", "nearest integer, halves to even"),
    "isfinite": ("isfinite", "fc", "is x neither infinite nor NaN"),
    "isnan": ("isnan", "fc", "is x NaN"),
    "isinf": ("isinf", "fc", "is x infinite"),
    "logical_not": ("logical_not", "b", "is x zero or False"),
    "conjugate": ("conj", "ifc", "complex conjugate"),
}
_LN2, _LN10 = 0.6931471805599453, 2.302585092994046


def _parts(z):
    return emit("real", (z,)), emit("imag", (z,))


def _times(z, factor):
    return emit("mul", (z, broadcast(lift(z.dtype.type(factor), like=z), z.shape)))


def _complex_expm1(z):
    """e^x cos y - 1 as expm1(x) cos y - 2 sin(y / 2)^2: accurate near zero."""
    x, y = _parts(z)
    half = emit("square", (emit("sin", (_times(y, 0.5),)),))
    real = emit("mul", (emit("expm1", (x,)), emit("cos", (y,))))
    real = emit("sub", (real, _times(half, 2)))
    imag = emit("mul", (emit("exp", (x,)), emit("sin", (y,))))
    return emit("complex", (real, imag))


def _complex_log1p(z):
    """log|1 + z| as log1p(x (2 + x) + y^2) / 2: accurate near zero."""
    x, y = _parts(z)
    one = fit_one(x)
    above = emit("add", (x, one))
    size = emit("mul", (x, emit("add", (above, one))))
    size = emit("add", (size, emit("square", (y,))))
    real = _times(emit("log1p", (size,)), 0.5)
    return emit("complex", (real, emit("arctan2", (y, above))))


# Operators without complex kernels as compositions.
_COMPLEX = {
    "exp2": lambda z: emit("exp", (_times(z, _LN2),)),
    "log2": lambda z: _times(emit("log", (z,)), 1 / _LN2),
    "log10": lambda z: _times(emit("log", (z,)), 1 / _LN10),
    "expm1": _complex_expm1,
    "log1p": _complex_log1p,
    "rint": lambda z: emit("complex", tuple(emit("rint", (p,)) for p in _parts(z))),
}
# Integers are their own floor.
_KEEPS_INTEGERS = {"floor", "ceil", "trunc"}
_NOT_OF_BOOL = {
    "subtract": "logical_xor",
    "negative": "logical_not",
    "sign": "astype(int) first",
}
BINARY = {
    "add": ("add", "ifc", "x1 + x2"),
    "subtract": ("sub", "ifc", "x1 - x2"),
    "multiply": ("mul", "ifc", "x1 * x2"),
    "divide": ("div", "fc", "x1 / x2"),
    "remainder": ("mod", "if", "x1 - floor(x1 / x2) * x2, with the sign of x2"),
    "floor_divide": ("floor_divide", "if", "floor(x1 / x2)"),
    "maximum": ("maximum", "bif", "the larger; NaN if either is"),
    "minimum": ("minimum", "bif", "the smaller; NaN if either is"),
    "fmax": ("fmax", "f", "the larger; a NaN is ignored"),
    "fmin": ("fmin", "f", "the smaller; a NaN is ignored"),
    "arctan2": ("arctan2", "f", "angle of the point (x2, x1) in (-pi, pi]"),
    "hypot": ("hypot", "f", "sqrt(x1**2 + x2**2) without overflow"),
    "logaddexp": ("logaddexp", "f", "log(exp(x1) + exp(x2))"),
    "logaddexp2": ("logaddexp2", "f", "log2(2**x1 + 2**x2)"),
    "equal": ("eq", "bifc", "x1 == x2"),
    "not_equal": ("ne", "bifc", "x1 != x2"),
    "less": ("lt", "bif", "x1 < x2"),
    "less_equal": ("le", "bif", "x1 <= x2"),
    "greater": ("gt", "bif", "x1 > x2"),
    "greater_equal": ("ge", "bif", "x1 >= x2"),
    "logical_and": ("logical_and", "b", "x1 and x2"),
    "logical_or": ("logical_or", "b", "x1 or x2"),
    "logical_xor": ("logical_xor", "b", "exactly one of x1, x2"),
}
# bool operands: the NumPy meaning as another operator
_ON_BOOL = {
    "add": "logical_or",
    "multiply": "logical_and",
    "maximum": "logical_or",
    "fmax": "logical_or",
    "minimum": "logical_and",
    "fmin": "logical_and",
}

_ON_INTEGERS = {"fmax": "maximum", "fmin": "minimum"}
_NUMBERS = frozenset((float, int))
_NOTE = """

    Works like ``numpy.{name}``; traced where an operand is traced. Keyword
    arguments beyond ``dtype`` are for plain arrays only.
    """


def operands(name, args, kinds, dtype=None):
    """Aligned operands in a dtype of one of the kinds the operator takes."""
    args = [
        as_var(a) if isinstance(a, (list, tuple)) and is_traced(a) else a for a in args
    ]
    dtype = result_dtype(*args) if dtype is None else check_dtype(dtype, name)
    if isinstance(dtype, str):
        raise quantised(name)
    if dtype.kind not in kinds:
        if kinds == "b":
            dtype = BOOL
            args = [
                cast(a, BOOL) if isinstance(a, Var) else np.asarray(a).astype(bool)
                for a in args
            ]
        elif dtype.kind == "c":
            raise TypeError(f"{name}: not offered for complex values")
        elif dtype.kind == "b" and "i" in kinds:
            if name in _NOT_OF_BOOL:
                other = _NOT_OF_BOOL[name]
                raise TypeError(f"{name}: not offered for bools; use {other}")
            dtype = np.dtype("int32")  # NumPy's int8
        else:
            dtype = inexact(dtype)
    return aligned(args, dtype)


def refuse(name, kwargs):
    """Raise for ufunc keywords that have no meaning on traced values."""
    for key, value in kwargs.items():
        if key == "out" and value is not None and value != (None,):
            raise TypeError(
                f"{name}: cannot write a traced value into an array (out= or an "
                f"in-place operator on a plain array); write a = np.{name}(a, ...)"
            )
        if key == "where" and value is not True:
            raise TypeError(f"{name}: where= is not offered; use np.where afterwards")
        if key not in ("out", "where", "dtype", "casting", "order", "subok"):
            raise TypeError(f"{name}: unexpected keyword argument {key!r}")


def _finish(function, name, doc):
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{doc[0].upper()}{doc[1:]}, element by element." + _NOTE.format(
        name=name
    )
    UFUNCS[name] = function
    return function


def _offered(kinds, op):
    """The dtypes an operator takes as they are."""
    found = {d for d in CODES if d.kind in kinds}
    return found | {"q32", "q64"} if op in ("add", "sub", "neg") else found


def _unary(name, op, kinds, doc):
    original = find_numpy(name)
    offered = _offered(kinds, op)
    keeps = name in _KEEPS_INTEGERS

    def function(x, /, out=None, **kwargs):
        if out is None and not kwargs and isinstance(x, Var) and x.dtype in offered:
            y = emit(op, (x,))
            y.weak = False
            return y
        if not is_traced(x):
            if out is not None:
                kwargs["out"] = out
            return original(x, **kwargs)
        refuse(name, {"out": out, **kwargs})
        x = as_var(x)
        if keeps and x.dtype.kind in "bi":
            return x
        if name in _COMPLEX and x.dtype.kind == "c":
            return _COMPLEX[name](x)
        return emit_strong(op, operands(name, (x,), kinds, kwargs.get("dtype")))

    return _finish(function, name, doc)


def _binary(name, op, kinds, doc):
    original = find_numpy(name)
    offered = _offered(kinds, op)
    floating = {d for d in offered if d in CODES and d.kind in "fc"}

    def function(x1, x2, /, out=None, **kwargs):
        if out is None and not kwargs:
            if isinstance(x1, Var):
                dtype = x1.dtype
                if isinstance(x2, Var):
                    fits = x2.dtype is dtype and x1.shape == x2.shape
                    if fits and dtype in offered:
                        y = emit(op, (x1, x2))
                        y.weak = False
                        return y
                elif type(x2) in _NUMBERS and dtype in floating and not x1.weak:
                    c = lift(dtype.type(x2), like=x1)
                    return emit(op, (x1, broadcast(c, x1.shape)))
            elif type(x1) in _NUMBERS and isinstance(x2, Var) and not x2.weak:
                if (dtype := x2.dtype) in floating:
                    c = lift(dtype.type(x1), like=x2)
                    return emit(op, (broadcast(c, x2.shape), x2))
        if not is_traced(x1, x2):
            if out is not None:
                kwargs["out"] = out
            return original(x1, x2, **kwargs)
        if out is None and not kwargs:
            dtype = None
        else:
            refuse(name, {"out": out, **kwargs})
            dtype = kwargs.get("dtype")
        if isinstance(x1, (list, tuple)) or isinstance(x2, (list, tuple)):
            like = first_var(x1, x2)
            x1, x2 = as_var(x1, like), as_var(x2, like)
        if dtype is None:
            dtype = result_dtype(x1, x2)
            if dtype in offered:
                like = x1 if isinstance(x1, Var) else x2
                shape = common_shape(shape_of(x1), shape_of(x2))
                x1, x2 = fit(x1, dtype, shape, like), fit(x2, dtype, shape, like)
                return emit_strong(op, (x1, x2))
            if isinstance(dtype, str):
                raise quantised(name)
            if dtype.kind == "b" and name in _ON_BOOL:
                return emit(_ON_BOOL[name], aligned((x1, x2)))
            if dtype.kind in "bi" and name in _ON_INTEGERS:
                return emit(_ON_INTEGERS[name], aligned((x1, x2)))
        return emit_strong(op, operands(name, (x1, x2), kinds, dtype))

    return _finish(function, name, doc)


for _name, _row in UNARY.items():
    globals()[_name] = _unary(_name, *_row)
for _name, _row in BINARY.items():
    globals()[_name] = _binary(_name, *_row)

abs = globals()["absolute"]
conj = globals()["conjugate"]
true_divide = globals()["divide"]
mod = globals()["remainder"]
acos, asin, atan = (globals()[f"arc{n}"] for n in ("cos", "sin", "tan"))
acosh, asinh, atanh = (globals()[f"arc{n}h"] for n in ("cos", "sin", "tan"))
atan2 = globals()["arctan2"]
_square, _sqrt, _reciprocal = (globals()[n] for n in ("square", "sqrt", "reciprocal"))
_multiply, _isnan = globals()["multiply"], globals()["isnan"]


def power(x1, x2, /, out=None, **kwargs):
    """x1 raised to the power x2, element by element.

    Works like ``numpy.power``. Exponents 2, 3, 1, 0.5 and -1 given as Python
    numbers become products, square roots and reciprocals.
    """
    if not is_traced(x1, x2):
        return np.power(x1, x2, out, **kwargs)
    refuse("power", {"out": out, **kwargs})
    if isinstance(x1, Var) and type(x2) in (int, float):
        kind = x1.dtype.kind
        if x2 == 2 and (type(x2) is int or kind in "fc"):
            return _square(x1)
        if kind == "i" and type(x2) is int and x2 < 0:
            raise ValueError(
                "power: integers to a negative integer power; make the base a float"
            )
        if kind in "fc":
            if x2 == 1:
                return emit("mul", (x1, fit_one(x1)))
            if x2 == 3:
                return emit("mul", (emit("square", (x1,)), x1))
            if x2 == 0.5:
                return _sqrt(x1)
            if x2 == -1:
                return _reciprocal(x1)
    return emit_strong("pow", operands("power", (x1, x2), "ifc", kwargs.get("dtype")))


def fit_one(x):
    """Ones of the type of x."""
    return broadcast(lift(x.dtype.type(1), like=x), x.shape)


def float_power(x1, x2, /, out=None, **kwargs):
    """x1 ** x2 in float64 or complex128. Works like ``numpy.float_power``."""
    if not is_traced(x1, x2):
        return np.float_power(x1, x2, out, **kwargs)
    refuse("float_power", {"out": out, **kwargs})
    dtype = result_dtype(x1, x2)
    dtype = np.dtype("complex128") if dtype.kind == "c" else FLOAT64
    return emit("pow", aligned((x1, x2), dtype))


pow = power
UFUNCS["power"] = power
UFUNCS["float_power"] = float_power
__all__ = [*UNARY, *BINARY]
__all__ += ["abs", "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "conj"]
__all__ += ["float_power", "mod", "pow", "power", "true_divide"]
