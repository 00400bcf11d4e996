"""Element-wise functions composed of operators: rounding, angles, choices, parts."""

import numpy as np

from . import ufuncs as u
from ._core import (
    BOOL,
    FLOAT64,
    aligned,
    as_var,
    broadcast,
    cast,
    common_shape,
    constant,
    emit,
    evaluate,
    first_var,
    fit,
    implements,
    inexact,
    is_traced,
    result_dtype,
    shape_of,
)

__all__ = [
    "angle", "around", "bitwise_and", "bitwise_invert", "bitwise_not", "bitwise_or",
    "bitwise_xor", "cbrt", "clip", "copysign", "deg2rad", "degrees", "divmod",
    "fabs", "fix", "fmod", "heaviside", "imag", "invert", "iscomplex", "isneginf",
    "isposinf", "isreal", "modf", "nan_to_num", "piecewise", "polyval", "positive",
    "rad2deg", "radians", "real", "real_if_close", "round", "select", "signbit",
    "sinc", "unwrap", "where",
]  # fmt: skip


def _real_float(x, name):
    """A traced operand in a real float dtype."""
    x = as_var(x)
    if x.dtype.kind == "c":
        raise TypeError(f"{name}: not offered for complex values")
    return cast(x, inexact(x.dtype))


def _scaled(x, factor, name):
    x = _real_float(x, name)
    return emit("mul", (x, constant(factor, x.dtype, x, x.shape)))


@implements("deg2rad", "radians")
def deg2rad(x, /, **kwargs):
    """Angle in radians of an angle in degrees."""
    u.refuse("deg2rad", kwargs)
    return _scaled(x, np.pi / 180, "deg2rad")


@implements("rad2deg", "degrees")
def rad2deg(x, /, **kwargs):
    """Angle in degrees of an angle in radians."""
    u.refuse("rad2deg", kwargs)
    return _scaled(x, 180 / np.pi, "rad2deg")


radians, degrees = deg2rad, rad2deg


@implements("fabs")
def fabs(x, /, **kwargs):
    """Absolute value as a float."""
    u.refuse("fabs", kwargs)
    return emit("abs", (_real_float(x, "fabs"),))


@implements("positive")
def positive(x, /, **kwargs):
    """The operand itself."""
    u.refuse("positive", kwargs)
    return as_var(x)


@implements("signbit")
def signbit(x, /, **kwargs):
    """True where the sign is minus, for -0.0 as well."""
    u.refuse("signbit", kwargs)
    x = _real_float(x, "signbit")
    zero = constant(0, x.dtype, x, x.shape)
    seen = emit("where", (emit("eq", (x, zero)), emit("reciprocal", (x,)), x))
    return emit("lt", (seen, zero))


@implements("copysign")
def copysign(x1, x2, /, **kwargs):
    """|x1| with the sign of x2."""
    u.refuse("copysign", kwargs)
    x1, x2 = u.operands("copysign", (x1, x2), "f")
    size = emit("abs", (x1,))
    return emit("where", (signbit(x2), emit("neg", (size,)), size))


@implements("cbrt")
def cbrt(x, /, **kwargs):
    """Real cube root."""
    u.refuse("cbrt", kwargs)
    x = _real_float(x, "cbrt")
    third = constant(1 / 3, x.dtype, x, x.shape)
    root = emit("pow", (emit("abs", (x,)), third))
    return emit("mul", (emit("sign", (x,)), root))


@implements("heaviside")
def heaviside(x1, x2, /, **kwargs):
    """0 below zero, x2 at zero, 1 above."""
    u.refuse("heaviside", kwargs)
    x1, x2 = u.operands("heaviside", (x1, x2), "f")
    zero = constant(0, x1.dtype, x1, x1.shape)
    step = cast(emit("gt", (x1, zero)), x1.dtype)
    step = emit("where", (emit("isnan", (x1,)), x1, step))
    return emit("where", (emit("eq", (x1, zero)), x2, step))


@implements("fmod")
def fmod(x1, x2, /, **kwargs):
    """Remainder with the sign of the dividend."""
    u.refuse("fmod", kwargs)
    x1, x2 = u.operands("fmod", (x1, x2), "if")
    part = emit("mod", (emit("abs", (x1,)), emit("abs", (x2,))))
    below = emit("lt", (x1, constant(0, x1.dtype, x1, x1.shape)))
    return emit("where", (below, emit("neg", (part,)), part))


@implements("divmod")
def divmod(x1, x2, /, **kwargs):
    """(x1 // x2, x1 % x2)."""
    u.refuse("divmod", kwargs)
    return u.floor_divide(x1, x2), u.remainder(x1, x2)


@implements("modf")
def modf(x, /, **kwargs):
    """(fractional part, integer part), both with the sign of x."""
    u.refuse("modf", kwargs)
    x = _real_float(x, "modf")
    whole = emit("trunc", (x,))
    return emit("sub", (x, whole)), whole


def _bitwise(name, logical):
    """Bit operations; only bools, for which they are the logical ones."""

    def function(x1, x2, /, **kwargs):
        u.refuse(name, kwargs)
        x1, x2 = aligned((x1, x2))
        if x1.dtype != BOOL:
            raise TypeError(
                f"{name}: traced operands must be bool, got {x1.dtype}; bit operations "
                "on integers are for values known while tracing"
            )
        return emit(logical, (x1, x2))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"NumPy's ``{name}`` on bools."
    return implements(name)(function)


bitwise_and = _bitwise("bitwise_and", "logical_and")
bitwise_or = _bitwise("bitwise_or", "logical_or")
bitwise_xor = _bitwise("bitwise_xor", "logical_xor")


@implements("invert")
def invert(x, /, **kwargs):
    """Logical not of bools; -1 - x of integers."""
    u.refuse("invert", kwargs)
    x = as_var(x)
    if x.dtype == BOOL:
        return emit("logical_not", (x,))
    if x.dtype.kind != "i":
        raise TypeError(f"invert: not offered for {x.dtype}; use logical_not")
    return emit("sub", (constant(-1, x.dtype, x, x.shape), x))


bitwise_not = bitwise_invert = invert


@implements("round", "around")
def round(a, decimals=0, out=None):
    """Round to a number of decimals, halves to even."""
    u.refuse("round", {"out": out})
    a = as_var(a)
    if a.dtype.kind in "bi":
        if decimals >= 0:
            return a
        raise TypeError("round: negative decimals of traced integers; use floats")
    if decimals == 0:
        return u.rint(a)
    if decimals > 0:
        return u.divide(u.rint(u.multiply(a, 10.0**decimals)), 10.0**decimals)
    return u.multiply(u.rint(u.divide(a, 10.0**-decimals)), 10.0**-decimals)


around = round


@implements("fix")
def fix(x, out=None):
    """Nearest integer towards zero."""
    u.refuse("fix", {"out": out})
    return u.trunc(x)


# --- complex parts --------------------------------------------------------------


@implements("real")
def real(val):
    """Real part."""
    val = as_var(val)
    return emit("real", (val,)) if val.dtype.kind == "c" else val


@implements("imag")
def imag(val):
    """Imaginary part (zeros for real values)."""
    val = as_var(val)
    if val.dtype.kind == "c":
        return emit("imag", (val,))
    return constant(0, val.dtype, val, val.shape)


@implements("angle")
def angle(z, deg=False):
    """Argument of a complex number in (-pi, pi], in degrees with ``deg``."""
    z = as_var(z)
    z = cast(z, inexact(z.dtype))
    a = emit("arctan2", (imag(z), real(z)))
    return rad2deg(a) if deg else a


@implements("isreal")
def isreal(x):
    """True where the imaginary part is zero."""
    x = imag(as_var(x))
    return emit("eq", (x, constant(0, x.dtype, x, x.shape)))


@implements("iscomplex")
def iscomplex(x):
    """True where the imaginary part is not zero."""
    return emit("logical_not", (isreal(x),))


@implements("real_if_close")
def real_if_close(a, tol=100):
    """The real part if all imaginary parts are tiny (the value must be known)."""
    a = as_var(a)
    if a.dtype.kind == "c" and np.isrealobj(np.real_if_close(evaluate(a), tol)):
        return emit("real", (a,))
    return a


# --- special numbers ------------------------------------------------------------


def _infinite(name, sign):
    def function(x, out=None):
        u.refuse(name, {"out": out})
        x = _real_float(x, name)
        return emit("eq", (x, constant(sign * np.inf, x.dtype, x, x.shape)))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"True where x is {'+' if sign > 0 else '-'}infinity."
    return implements(name)(function)


isposinf = _infinite("isposinf", 1)
isneginf = _infinite("isneginf", -1)


@implements("nan_to_num")
def nan_to_num(x, copy=True, nan=0.0, posinf=None, neginf=None):
    """Replace NaN and infinities by finite numbers (their gradient is zero)."""
    x = as_var(x)
    if x.dtype.kind == "c":
        parts = (
            nan_to_num(emit(p, (x,)), True, nan, posinf, neginf)
            for p in ("real", "imag")
        )
        return emit("complex", tuple(parts))
    if x.dtype.kind != "f":
        return x
    limits = np.finfo(x.dtype)
    posinf = limits.max if posinf is None else posinf
    neginf = limits.min if neginf is None else neginf
    y = where(emit("isnan", (x,)), nan, x)
    y = where(isposinf(x), posinf, y)
    return where(isneginf(x), neginf, y)


# --- choices --------------------------------------------------------------------


@implements("where")
def where(condition, x=None, y=None, /):
    """x where the condition holds, else y.

    With the condition alone: the indices where it holds (its value must be known).
    """
    if x is None and y is None:
        return np.nonzero(evaluate(as_var(condition)))
    if x is None or y is None:
        raise ValueError("where: give both x and y, or neither")
    like = first_var(condition, x, y)
    if isinstance(condition, (list, tuple)):
        condition = as_var(condition, like)
    if isinstance(x, (list, tuple)):
        x = as_var(x, like)
    if isinstance(y, (list, tuple)):
        y = as_var(y, like)
    dtype = result_dtype(x, y)
    shape = common_shape(*map(shape_of, (condition, x, y)))
    if not is_traced(condition):
        condition = np.asarray(condition).astype(bool)
    chosen = fit(condition, BOOL, shape, like)
    x, y = fit(x, dtype, shape, like), fit(y, dtype, shape, like)
    return emit("where", (chosen, x, y))


@implements("clip")
def clip(a, a_min=None, a_max=None, out=None, *, min=None, max=None, **kwargs):
    """Limit values to [a_min, a_max]; the gradient is zero outside."""
    u.refuse("clip", {"out": out, **kwargs})
    low = a_min if min is None else min
    high = a_max if max is None else max
    if low is not None:
        a = u.maximum(a, low)
    return as_var(a) if high is None else u.minimum(a, high)


@implements("select")
def select(condlist, choicelist, default=0):
    """The choice of the first condition that holds, else the default."""
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ValueError(
            f"select: {len(condlist)} conditions and {len(choicelist)} choices; give "
            "as many of one as of the other, at least one"
        )
    result = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        result = where(condition, choice, result)
    return result


@implements("piecewise")
def piecewise(x, condlist, funclist, *args, **kw):
    """Piecewise function: each condition's function of x, evaluated everywhere.

    Unlike NumPy's, every function sees all of x; the result has the dtype of x.
    """
    x = as_var(x)
    if not isinstance(condlist, (list, tuple)):
        condlist = [condlist]
    n = len(condlist)
    if len(funclist) not in (n, n + 1):
        raise ValueError(f"piecewise: {n} conditions need {n} or {n + 1} functions")
    values = [f(x, *args, **kw) if callable(f) else f for f in funclist]
    result = (
        broadcast(as_var(values[n], x, x.dtype), x.shape)
        if len(values) > n
        else (constant(0, x.dtype, x, x.shape))
    )
    for condition, value in zip(condlist, values, strict=False):
        result = where(condition, value, result)  # the last condition that holds wins
    return cast(result, x.dtype)


@implements("sinc")
def sinc(x):
    """sin(pi x) / (pi x), 1 at zero."""
    x = as_var(x)
    y = u.multiply(cast(x, inexact(x.dtype)), np.pi)
    zero = u.equal(y, 0)
    safe = where(zero, 1.0, y)
    # Near zero the series keeps the derivatives right: 1 - y^2 / 6.
    series = u.subtract(1.0, u.divide(u.square(y), 6.0))
    return where(zero, series, u.divide(u.sin(safe), safe))


@implements("unwrap")
def unwrap(p, discont=None, axis=-1, *, period=2 * np.pi):
    """Remove jumps larger than half a period along an axis."""
    from .cumulative import cumsum
    from .differences import diff
    from .join import concatenate

    p = as_var(p)
    p = cast(p, inexact(p.dtype))
    step = diff(p, axis=axis)
    half = period / 2
    wrapped = u.subtract(u.remainder(u.add(step, half), period), half)
    at_edge = u.logical_and(u.equal(wrapped, -half), u.greater(step, 0))
    wrapped = where(at_edge, half, wrapped)
    jump = u.subtract(wrapped, step)
    jump = where(u.less(u.abs(step), half if discont is None else discont), 0.0, jump)
    shift = cumsum(jump, axis=axis)
    first = np.zeros(
        [1 if i == axis % p.ndim else n for i, n in enumerate(p.shape)],
        dtype=FLOAT64 if p.dtype == FLOAT64 else p.dtype,
    )
    return u.add(p, concatenate((first, shift), axis=axis))


@implements("polyval")
def polyval(p, x):
    """Polynomial with the highest coefficient first, by Horner's rule."""
    like = first_var(p, x)
    p = as_var(p, like)
    x = as_var(x, like)
    y = constant(0, x.dtype, like, x.shape)
    for k in range(p.size):
        y = u.add(u.multiply(y, x), p[k])
    return y
