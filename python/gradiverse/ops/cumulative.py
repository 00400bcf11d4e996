"""Running sums and products, and the trapezium rule."""

from . import ufuncs as u
from ._core import (
    as_var,
    axis_index,
    concat,
    constant,
    emit,
    emit_strong,
    first_var,
    implements,
    ndim_of,
    reshaped,
    span,
)
from .elementwise import where
from .reductions import kept_shape, summable
from .reductions import sum as sum_of

__all__ = [
    "cumprod", "cumsum", "cumulative_prod", "cumulative_sum", "nancumprod",
    "nancumsum", "trapezoid",
]  # fmt: skip


@implements("cumsum")
def cumsum(a, axis=None, dtype=None, out=None):
    """Running sum along an axis (flattened without one)."""
    u.refuse("cumsum", {"out": out})
    x = summable(a, dtype, "cumsum")
    if axis is None:
        x, axis = reshaped(x, (x.size,)), 0
    axis = axis_index(axis, x.ndim) - x.ndim
    return emit_strong("cumsum", (x,), axis=axis, reverse=0)


@implements("cumprod")
def cumprod(a, axis=None, dtype=None, out=None):
    """Running product along an axis (flattened without one)."""
    u.refuse("cumprod", {"out": out})
    x = summable(a, dtype, "cumprod")
    if axis is None:
        x, axis = reshaped(x, (x.size,)), 0
    axis = axis_index(axis, x.ndim)
    n, shift = x.shape[axis], 1
    # Doubling: after each pass an element is the product of 2 * shift factors.
    while shift < n:
        head = span(x, axis, 0, shift)
        tail = emit("mul", (span(x, axis, shift, n), span(x, axis, 0, n - shift)))
        x = concat([head, tail], axis)
        shift *= 2
    return x


def _cumulative(name, function, neutral):
    def cumulative(x, /, *, axis=None, dtype=None, out=None, include_initial=False):
        u.refuse(name, {"out": out})
        x = as_var(x)
        if axis is None and x.ndim > 1:
            raise ValueError(f"{name}: give an axis for an array with {x.ndim} axes")
        axis = 0 if axis is None else axis_index(axis, x.ndim)
        y = function(x, axis, dtype)
        if include_initial:
            shape = kept_shape(y.shape, (axis,))
            y = concat([constant(neutral, y.dtype, y, shape), y], axis)
        return y

    cumulative.__name__ = cumulative.__qualname__ = name
    cumulative.__doc__ = f"Running {name[11:]} along an axis."
    return implements(name)(cumulative)


cumulative_sum = _cumulative("cumulative_sum", cumsum, 0)


cumulative_prod = _cumulative("cumulative_prod", cumprod, 1)


def _without_nan(name, function, neutral):
    def nan_function(a, axis=None, dtype=None, out=None):
        u.refuse(name, {"out": out})
        x = as_var(a)
        if x.dtype.kind in "fc":
            x = where(emit("isnan", (x,)), neutral, x)
        return function(x, axis, dtype)

    nan_function.__name__ = nan_function.__qualname__ = name
    nan_function.__doc__ = f"As {name[3:]}; NaN count as {neutral}."
    return implements(name)(nan_function)


nancumsum = _without_nan("nancumsum", cumsum, 0.0)
nancumprod = _without_nan("nancumprod", cumprod, 1.0)


@implements("trapezoid")
def trapezoid(y, x=None, dx=1.0, axis=-1):
    """Integral along an axis by the trapezium rule."""
    from .differences import diff
    from .rearrange import reshape

    y = as_var(y, first_var(x, dx))
    axis = axis_index(axis, y.ndim)
    n = y.shape[axis]
    pairs = u.add(span(y, axis, 1, n), span(y, axis, 0, n - 1 if n else 0))
    if x is None:
        d = dx
    elif ndim_of(x) == 1:
        d = reshape(diff(x), [n - 1 if i == axis else 1 for i in range(y.ndim)])
    else:
        d = diff(x, axis=axis)
    return sum_of(u.multiply(0.5, u.multiply(d, pairs)), axis=axis)
