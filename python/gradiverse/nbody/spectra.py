"""Power spectra of periodic fields and maps, and what compares two of them.

Bins of |k| are centred on multiples i >= 1 of k_f = 2 pi/(longest side) and reach from
(i - 1/2) k_f to just below (i + 1/2) k_f. Every mode but k = 0 is in a bin, those in
the corners beyond the Nyquist frequency too, so that sum(n P)/V is the variance per
cell; bins without a mode (possible in small or very oblong boxes) are left out. Wave-
numbers, counts and bins depend on the box alone and are plain arrays; the spectra are
differentiable in the fields. Fields of single precision are transformed in single and
summed in double precision.
"""

import functools
import math

import numpy as np

from ..graph import emit, is_traced, native, run
from ..var import Var
from .settings import check_box

__all__ = [
    "correlation",
    "cross_spectrum",
    "map_spectrum",
    "power_spectrum",
    "transfer",
]


class _Bins:
    """Bins of a half spectrum: attributes of the operators, mean |k|, counts."""

    def __init__(self, dim, box):
        longest = max((s for n, s in zip(dim, box, strict=True) if n > 1), default=0.0)
        numbers = [np.abs(np.rint(np.fft.fftfreq(n, 1 / n))) for n in dim]
        numbers[2] = np.arange(dim[2] // 2 + 1.0)
        most = [m.max() * longest / s for m, s in zip(numbers, box, strict=True)]
        count = int(math.hypot(*most) + 0.5)
        if count < 1:
            raise ValueError(f"a field of shape {dim} has no mode but its mean")
        sides = dict(zip(("lx", "ly", "lz"), box, strict=True))
        self.attrs = {"n": dim[2], "nbins": count, **sides}
        x, y, z = (2 * np.pi / s * m for m, s in zip(numbers, box, strict=True))
        k = np.sqrt((x * x)[:, None, None] + (y * y)[:, None] + z * z)
        n = self.sums(np.ones(k.shape, np.float32))
        self.kept = np.flatnonzero(n)
        self.n = np.rint(n[self.kept]).astype(np.int64)
        self.k = self.sums(k)[self.kept] / self.n

    def sums(self, a):
        """Sums over the bins, empty ones included."""
        return emit("mode_sum", (a,), **self.attrs)

    def means(self, a):
        """Means over the bins that have modes."""
        sums = self.sums(a)
        if len(self.kept) < self.attrs["nbins"]:
            sums = np.take(sums, self.kept)
        return sums / self.n


@functools.lru_cache(maxsize=16)
def _bins(dim, box):
    return _Bins(dim, box)


def _field(f, name, ndim):
    if not isinstance(f, Var):
        f = native(np.asarray(f))
    if f.dtype not in ("float32", "float64"):
        raise TypeError(f"{name} has dtype {f.dtype}; float32 or float64 is needed")
    if len(f.shape) != ndim:
        raise ValueError(f"{name} has shape {f.shape}; {ndim} axes are needed")
    return f


def _pair(f, g, names=("f", "g")):
    f, g = _field(f, names[0], 3), _field(g, names[1], 3)
    if tuple(f.shape) != tuple(g.shape):
        raise ValueError(f"{names[0]} has shape {f.shape}, {names[1]} {g.shape}")
    if f.dtype != g.dtype:
        f, g = (x.astype("float64") if x.dtype == "float32" else x for x in (f, g))
    return f, g


def _transform(f):
    return emit("rfft", (f,), naxes=3)


def _product(a, b):
    """Re(conj(a) b)"""
    return a.real * b.real + a.imag * b.imag


def _traced(function, *arrays):
    """function(*arrays) on traced values, or at once."""
    return function(*arrays) if is_traced(*arrays) else run(function, *arrays)


def _amplitude(shape, box):
    """V/N^2: from |DFT|^2 to a power."""
    return math.prod(box) / math.prod(shape) ** 2


def power_spectrum(field, box):
    """Power spectrum of a periodic field.

    ``P(k) = V/N^2 <|DFT[field]|^2>`` over the N cells of the volume V, averaged over
    the modes of a bin. No window correction, no shot noise taken off.

    Parameters
    ----------
    field : (X, Y, Z) float array
        1 + delta, as `paint` gives it; the mean only shows in k = 0, which is left out.
    box : float or (float, float, float)
        Sides [Mpc/h].

    Returns
    -------
    k : (B,) float64 array
        Mean ``|k|`` of the modes of each bin [h/Mpc]. Bins are [(i - 1/2), (i + 1/2))
        k_f, i >= 1, with k_f = 2 pi/longest side; those without modes are left out,
        those beyond pi/cell hold the corners of the mesh only.
    P : (B,) float64 array
        [(Mpc/h)^3]; differentiable in the field.
    n : (B,) int64 array
        Number of modes, +k and -k both counted; P of a Gaussian field scatters by
        P sqrt(2/n).

    Raises
    ------
    TypeError, ValueError
        If the field is not a real 3-D array with more than one cell, or the box not
        one or three positive lengths.

    Examples
    --------
    A wave of amplitude 0.1 along x has all its power, V 0.1^2/4, in the modes +-k_f:

    >>> import numpy as np
    >>> from gradiverse.nbody.spectra import power_spectrum
    >>> x = np.arange(8) / 8
    >>> wave = 1 + 0.1 * np.cos(2 * np.pi * x)[:, None, None] + np.zeros((8, 8, 8))
    >>> k, P, n = power_spectrum(wave, 50.0)
    >>> round(float(k[0] * 50 / (2 * np.pi)), 3), int(n[0])
    (1.276, 18)
    >>> round(float(P[0] * n[0] / 50**3), 5)
    0.005
    """
    field, box = _field(field, "field", 3), check_box(box)
    bins = _bins(tuple(field.shape), box)
    scale = _amplitude(field.shape, box)

    def power(f):
        modes = _transform(f)
        return scale * bins.means(_product(modes, modes))

    return bins.k.copy(), _traced(power, field), bins.n.copy()


def cross_spectrum(f, g, box):
    """Cross power spectrum of two periodic fields.

    P(k) = V/N^2 <Re(conj(DFT[f]) DFT[g])>, averaged over the modes of a bin.

    Parameters
    ----------
    f, g : (X, Y, Z) float arrays
        1 + delta; of one shape.
    box : float or (float, float, float)
        Sides [Mpc/h].

    Returns
    -------
    k, P, n : (B,) arrays
        As from `power_spectrum`.

    Raises
    ------
    TypeError, ValueError
        As from `power_spectrum`, and if the shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse.nbody.spectra import cross_spectrum, power_spectrum
    >>> f = np.random.default_rng(1).normal(size=(8, 6, 4))
    >>> box = (16.0, 12.0, 8.0)
    >>> k, P, n = power_spectrum(f, box)
    >>> bool(np.allclose(cross_spectrum(f, 3 * f, box)[1], 3 * P))
    True
    """
    (f, g), box = _pair(f, g), check_box(box)
    bins = _bins(tuple(f.shape), box)
    scale = _amplitude(f.shape, box)

    def power(a, b):
        return scale * bins.means(_product(_transform(a), _transform(b)))

    return bins.k.copy(), _traced(power, f, g), bins.n.copy()


def _three(f, g, box, names):
    """Bins and the unscaled spectra ff, gg, fg, by one transform of each field."""
    (f, g), box = _pair(f, g, names), check_box(box)
    bins = _bins(tuple(f.shape), box)

    def spectra(a, b):
        a, b = _transform(a), _transform(b)
        return tuple(bins.means(_product(*p)) for p in ((a, a), (b, b), (a, b)))

    return bins, _traced(spectra, f, g)


def transfer(field, reference, box):
    """Transfer function of a field: T(k) = sqrt(P_field/P_reference).

    Parameters
    ----------
    field, reference : (X, Y, Z) float arrays
        Of one shape, for instance a reconstruction and the truth.
    box : float or (float, float, float)
        Sides [Mpc/h].

    Returns
    -------
    k, T, n : (B,) arrays
        k and n as from `power_spectrum`; T is NaN where the reference has no power.

    Raises
    ------
    TypeError, ValueError
        As from `cross_spectrum`.

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse.nbody.spectra import transfer
    >>> f = np.random.default_rng(1).normal(size=(8, 8, 8))
    >>> bool(np.allclose(transfer(0.5 * f, f, 10.0)[1], 0.5))
    True
    """
    bins, (own, other, _) = _three(field, reference, box, ("field", "reference"))
    with np.errstate(divide="ignore", invalid="ignore"):
        return bins.k.copy(), np.sqrt(own / other), bins.n.copy()


def correlation(f, g, box):
    """Correlation coefficient of two fields: r(k) = P_fg/sqrt(P_ff P_gg).

    Parameters
    ----------
    f, g : (X, Y, Z) float arrays
        Of one shape.
    box : float or (float, float, float)
        Sides [Mpc/h].

    Returns
    -------
    k, r, n : (B,) arrays
        k and n as from `power_spectrum`; -1 <= r <= 1, NaN where a field has no power.

    Raises
    ------
    TypeError, ValueError
        As from `cross_spectrum`.

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse.nbody.spectra import correlation
    >>> f = np.random.default_rng(1).normal(size=(8, 8, 8))
    >>> bool(np.allclose(correlation(f, -2 * f, 10.0)[1], -1))
    True
    """
    bins, (ff, gg, fg) = _three(f, g, box, ("f", "g"))
    with np.errstate(divide="ignore", invalid="ignore"):
        return bins.k.copy(), fg / np.sqrt(ff * gg), bins.n.copy()


def map_spectrum(kappa, sides):
    """Angular power spectrum of a flat map, taken as periodic.

    C_l = <|A_pix DFT[kappa]|^2>/Omega_map over bins [(i - 1/2), (i + 1/2)) l_f, i >= 1,
    with l_f = 2 pi/longest side. No window correction, no shot noise taken off.

    Parameters
    ----------
    kappa : (ny, nx) float array
    sides : (float, float)
        Extent of the map along y and x [radians].

    Returns
    -------
    ell : (B,) float64 array
        Mean multipole of the modes of each bin.
    C : (B,) float64 array
        Differentiable in kappa.
    n : (B,) int64 array
        Number of modes, l and -l both counted.

    Raises
    ------
    TypeError, ValueError
        If kappa is not a real 2-D array with more than one pixel, or the sides not two
        positive angles.

    Examples
    --------
    White noise of unit variance has C_l equal to the area of a pixel:

    >>> import numpy as np
    >>> from gradiverse.nbody.spectra import map_spectrum
    >>> kappa = np.random.default_rng(1).normal(size=(64, 64))
    >>> ell, C, n = map_spectrum(kappa, (0.064, 0.064))
    >>> bool(abs((n * C).sum() / n.sum() - 1e-6) < 5e-8)
    True
    """
    kappa = _field(kappa, "kappa", 2)
    sides = tuple(float(s) for s in sides)
    if len(sides) != 2 or not all(0 < s < math.inf for s in sides):
        raise ValueError(f"sides {sides} must be two positive angles, in radians")
    shape, box = (1, *kappa.shape), (1.0, *sides)
    bins = _bins(shape, box)
    scale = _amplitude(shape, box)

    def power(f):
        modes = _transform(np.reshape(f, shape))
        return scale * bins.means(_product(modes, modes))

    return bins.k.copy(), _traced(power, kappa), bins.n.copy()
