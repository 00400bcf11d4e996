"""numpy.fft for traced values.

The operators transform trailing axes without normalisation; cropping, padding, the
order of axes and `norm` are resolved here.
"""

import math

import numpy as np

from . import ufuncs as u
from ._core import (
    as_var,
    axis_index,
    axis_tuple,
    cast,
    constant,
    emit,
    implements,
    inexact,
    is_traced,
    move_last,
    permute,
    span,
)
from .rearrange import roll

fftfreq, rfftfreq = np.fft.fftfreq, np.fft.rfftfreq
__all__ = [
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "ifft", "ifft2", "ifftn",
    "ifftshift", "ihfft", "irfft", "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq",
    "rfftn",
]  # fmt: skip


def _resized(x, axis, n):
    """Crop or pad with zeros to length n on an axis."""
    m = x.shape[axis]
    if n == m:
        return x
    if n < m:
        return span(x, axis, 0, n)
    high = [n - m if i == axis else 0 for i in range(x.ndim)]
    return emit("pad", (x,), low=[0] * x.ndim, high=high)


def _scaled(x, norm, size, inverse):
    """Apply the factor that `norm` asks of a transform of so many points."""
    if norm not in (None, "backward", "ortho", "forward"):
        raise ValueError(f"fft: norm is 'backward', 'ortho' or 'forward', got {norm!r}")
    if norm == "ortho":
        factor = 1 / math.sqrt(size)
    elif (norm == "forward") != inverse:
        factor = 1 / size
    else:
        return x
    return emit("mul", (x, constant(factor, x.dtype, x, x.shape)))


def _layout(x, s, axes, name):
    """(lengths, axes from the front) for NumPy's arguments s and axes."""
    if axes is None:
        axes = range(x.ndim) if s is None else range(x.ndim - len(s), x.ndim)
    axes = axis_tuple(tuple(axes), x.ndim)
    if s is None:
        s = [x.shape[a] for a in axes]
    if len(s) != len(axes):
        raise ValueError(f"{name}: {len(s)} lengths for {len(axes)} axes")
    pairs = zip(axes, s, strict=True)
    s = [x.shape[a] if n in (-1, None) else int(n) for a, n in pairs]
    if any(n < 1 for n in s):
        raise ValueError(f"{name}: lengths must be positive, got {s}")
    return s, axes


def _ordered(x, axes):
    """(x with the axes last, the permutation that undoes it)."""
    rest = [i for i in range(x.ndim) if i not in axes]
    order = [*rest, *axes]
    return permute(x, order), np.argsort(order).tolist()


def _complex(x):
    return cast(x, np.result_type(inexact(x.dtype), np.complex64))


def _transform(name, a, s, axes, norm, inverse):
    x = as_var(a)
    s, axes = _layout(x, s, axes, name)
    x = _complex(x)
    if not axes:
        return x
    for axis, n in zip(axes, s, strict=True):
        x = _resized(x, axis, n)
    x, back = _ordered(x, axes)
    y = emit("fft", (x,), naxes=len(axes), inverse=int(inverse))
    return permute(_scaled(y, norm, math.prod(s), inverse), back)


def _to_half(name, a, s, axes, norm):
    x = as_var(a)
    s, axes = _layout(x, s, axes, name)
    if x.dtype.kind == "c":
        raise TypeError(f"{name}: needs real values, got {x.dtype}; use fft")
    if not axes:
        raise ValueError(f"{name}: at least one axis is needed")
    x = cast(x, inexact(x.dtype))
    for axis, n in zip(axes, s, strict=True):
        x = _resized(x, axis, n)
    x, back = _ordered(x, axes)
    y = emit("rfft", (x,), naxes=len(axes))
    return permute(_scaled(y, norm, math.prod(s), False), back)


def _from_half(name, a, s, axes, norm):
    x = as_var(a)
    given = s is not None and s[-1] not in (-1, None)
    s, axes = _layout(x, s, axes, name)
    if not axes:
        raise ValueError(f"{name}: at least one axis is needed")
    if not given:
        s[-1] = 2 * (x.shape[axes[-1]] - 1)
        if s[-1] < 1:
            raise ValueError(f"{name}: a spectrum of one point needs n")
    x = _complex(x)
    for axis, n in zip(axes[:-1], s[:-1], strict=True):
        x = _resized(x, axis, n)
    x = _resized(x, axes[-1], s[-1] // 2 + 1)
    x, back = _ordered(x, axes)
    y = emit("irfft", (x,), naxes=len(axes), n=s[-1])
    return permute(_scaled(y, norm, math.prod(s), True), back)


def _one(n):
    return None if n is None else (n,)


@implements("fft.fft")
def fft(a, n=None, axis=-1, norm=None, out=None):
    """Discrete Fourier transform along an axis."""
    u.refuse("fft", {"out": out})
    return _transform("fft", a, _one(n), (axis,), norm, False)


@implements("fft.ifft")
def ifft(a, n=None, axis=-1, norm=None, out=None):
    """Inverse of `fft`."""
    u.refuse("ifft", {"out": out})
    return _transform("ifft", a, _one(n), (axis,), norm, True)


@implements("fft.fftn")
def fftn(a, s=None, axes=None, norm=None, out=None):
    """Discrete Fourier transform over several axes."""
    u.refuse("fftn", {"out": out})
    return _transform("fftn", a, s, axes, norm, False)


@implements("fft.ifftn")
def ifftn(a, s=None, axes=None, norm=None, out=None):
    """Inverse of `fftn`."""
    u.refuse("ifftn", {"out": out})
    return _transform("ifftn", a, s, axes, norm, True)


@implements("fft.fft2")
def fft2(a, s=None, axes=(-2, -1), norm=None, out=None):
    """Discrete Fourier transform over two axes."""
    u.refuse("fft2", {"out": out})
    return _transform("fft2", a, s, axes, norm, False)


@implements("fft.ifft2")
def ifft2(a, s=None, axes=(-2, -1), norm=None, out=None):
    """Inverse of `fft2`."""
    u.refuse("ifft2", {"out": out})
    return _transform("ifft2", a, s, axes, norm, True)


@implements("fft.rfft")
def rfft(a, n=None, axis=-1, norm=None, out=None):
    """Non-negative half of the spectrum of real values."""
    u.refuse("rfft", {"out": out})
    return _to_half("rfft", a, _one(n), (axis,), norm)


@implements("fft.irfft")
def irfft(a, n=None, axis=-1, norm=None, out=None):
    """Real values of a half spectrum."""
    u.refuse("irfft", {"out": out})
    return _from_half("irfft", a, _one(n), (axis,), norm)


@implements("fft.rfftn")
def rfftn(a, s=None, axes=None, norm=None, out=None):
    """Spectrum of real values over several axes, halved in the last."""
    u.refuse("rfftn", {"out": out})
    return _to_half("rfftn", a, s, axes, norm)


@implements("fft.irfftn")
def irfftn(a, s=None, axes=None, norm=None, out=None):
    """Inverse of `rfftn`."""
    u.refuse("irfftn", {"out": out})
    return _from_half("irfftn", a, s, axes, norm)


@implements("fft.rfft2")
def rfft2(a, s=None, axes=(-2, -1), norm=None, out=None):
    """Spectrum of real values over two axes, halved in the last."""
    u.refuse("rfft2", {"out": out})
    return _to_half("rfft2", a, s, axes, norm)


@implements("fft.irfft2")
def irfft2(a, s=None, axes=(-2, -1), norm=None, out=None):
    """Inverse of `rfft2`."""
    u.refuse("irfft2", {"out": out})
    return _from_half("irfft2", a, s, axes, norm)


_SWAPPED = {None: "forward", "backward": "forward", "ortho": "ortho",
            "forward": "backward"}  # fmt: skip


@implements("fft.hfft")
def hfft(a, n=None, axis=-1, norm=None, out=None):
    """Spectrum, which is real, of a signal with Hermitian symmetry."""
    u.refuse("hfft", {"out": out})
    return irfft(u.conjugate(as_var(a)), n, axis, _SWAPPED.get(norm, norm))


@implements("fft.ihfft")
def ihfft(a, n=None, axis=-1, norm=None, out=None):
    """Inverse of `hfft`."""
    u.refuse("ihfft", {"out": out})
    return u.conjugate(rfft(a, n, axis, _SWAPPED.get(norm, norm)))


def _shift(x, axes, sign):
    x = as_var(x)
    axes = tuple(range(x.ndim)) if axes is None else axis_tuple(axes, x.ndim)
    shifts = [x.shape[a] // 2 if sign > 0 else -(x.shape[a] // 2) for a in axes]
    return roll(x, shifts, axes) if axes else x


@implements("fft.fftshift")
def fftshift(x, axes=None):
    """Move frequency zero to the middle."""
    return _shift(x, axes, 1)


@implements("fft.ifftshift")
def ifftshift(x, axes=None):
    """Inverse of `fftshift`."""
    return _shift(x, axes, -1)


def fft_derivative(x, axis=-1, box=1.0):
    """Derivative of a periodic function from its spectrum.

    Parameters
    ----------
    x : real array
        Values at evenly spaced points of one period.
    axis : int
        Axis to differentiate along.
    box : float
        Length of the period along the axis, in units of the coordinate.

    Returns
    -------
    array of the shape of x
        Multiplied by i k, k = 2 pi m / box, in Fourier space; of an even number of
        points the highest mode, whose derivative is not seen at them, is dropped.

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse import ops
    >>> t = np.arange(8) * (2 * np.pi / 8)
    >>> np.allclose(ops.fft_derivative(np.sin(t), box=2 * np.pi), np.cos(t))
    True
    """
    if not is_traced(x):
        x = np.asarray(x)
    n = x.shape[axis_index(axis, x.ndim)]
    k = 2 * np.pi * np.arange(n // 2 + 1)
    if n % 2 == 0:
        k[-1] = 0
    dtype = np.result_type(inexact(x.dtype), np.complex64)
    if not is_traced(x, box):
        spectrum = np.fft.rfft(np.moveaxis(x, axis, -1))
        slope = np.fft.irfft(spectrum * (1j * k / box).astype(dtype), n)
        return np.moveaxis(slope, -1, axis)
    x = as_var(x)
    y, back = move_last(x, axis)
    factor = u.divide((1j * k).astype(dtype), box)
    y = irfft(u.multiply(rfft(y), factor), n)
    return y if back is None else permute(y, back)
