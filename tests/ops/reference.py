"""What every operator computes, in NumPy and SciPy.

``REFERENCE[name](*inputs, **attrs)`` gives the output or a tuple of outputs.
``CHECK[name](inputs, outputs, close)`` replaces the comparison where an output is
determined only up to signs or phases.
"""

import numpy as np
import scipy.linalg
import scipy.special as sp

from . import (
    reference_cone,
    reference_conv,
    reference_dense,
    reference_fixed,
    reference_gp,
    reference_nn,
    reference_ode,
    reference_optim,
    reference_pm,
    reference_pm_read,
    reference_random,
    reference_sn,
    reference_spectral,
)
from .samples import DTYPES

REFERENCE = {}
CHECK = {}


def reference(function):
    """Register under the function's name (a trailing underscore is dropped)."""
    REFERENCE[function.__name__.rstrip("_")] = function
    return function


_SAME = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide,
    "mod": np.mod, "floor_divide": np.floor_divide, "maximum": np.maximum,
    "minimum": np.minimum, "fmax": np.fmax, "fmin": np.fmin, "arctan2": np.arctan2,
    "hypot": np.hypot, "logaddexp": np.logaddexp, "logaddexp2": np.logaddexp2,
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal,
    "gt": np.greater, "ge": np.greater_equal, "logical_and": np.logical_and,
    "logical_or": np.logical_or, "logical_xor": np.logical_xor,
    "logical_not": np.logical_not, "isfinite": np.isfinite, "isnan": np.isnan,
    "isinf": np.isinf, "neg": np.negative, "abs": np.abs, "sign": np.sign,
    "square": np.square, "sqrt": np.sqrt, "reciprocal": np.reciprocal, "exp": np.exp,
    "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2,
    "log10": np.log10, "log1p": np.log1p, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "arcsin": np.arcsin, "arccos": np.arccos, "arctan": np.arctan, "sinh": np.sinh,
    "cosh": np.cosh, "tanh": np.tanh, "arcsinh": np.arcsinh, "arccosh": np.arccosh,
    "arctanh": np.arctanh, "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc,
    "rint": np.rint, "conj": np.conj, "real": np.real, "imag": np.imag,
    "where": np.where, "erf": sp.erf, "erfc": sp.erfc, "erfcx": sp.erfcx,
    "log_ndtr": sp.log_ndtr, "ndtri": sp.ndtri, "gammaln": sp.gammaln,
    "digamma": sp.digamma, "sigmoid": sp.expit, "take_along": None,
    "alias": lambda x: x, "stop_gradient": lambda x: x, "inv": np.linalg.inv,
    "cholesky": np.linalg.cholesky,
}  # fmt: skip
REFERENCE.update({name: f for name, f in _SAME.items() if f is not None})


@reference
def pow_(a, b):
    if a.dtype.kind == "i":
        return np.where(b < 0, 0, a ** np.maximum(b, 0))
    return np.power(a, b)


@reference
def wins(a, b):
    return ((a > b) + 0.5 * (a == b)).astype(a.dtype)


@reference
def complex_(re, im):
    return (re + 1j * im).astype(np.result_type(re.dtype, np.complex64))


@reference
def cast(x, dtype):
    dtype = np.dtype(DTYPES[dtype])
    if x.dtype.kind == "c" and dtype.kind not in "cb":
        x = x.real
    return x.astype(dtype)


@reference
def softplus(x):
    return np.logaddexp(0, x).astype(x.dtype)


@reference
def polygamma(x, n):
    return sp.polygamma(n, x).astype(x.dtype)


# --- views ----------------------------------------------------------------------


def _core(x, core):
    return x.shape[: x.ndim - core]


@reference
def reshape(x, core, shape):
    return x.reshape(*_core(x, core), *shape)


@reference
def broadcast(x, core, shape):
    lead = _core(x, core)
    x = x.reshape(*lead, *(1,) * (len(shape) - core), *x.shape[len(lead) :])
    return np.broadcast_to(x, (*lead, *shape))


@reference
def transpose(x, perm):
    lead = x.ndim - len(perm)
    return x.transpose(*range(lead), *(lead + p for p in perm))


def _places(start, step, size):
    return np.ix_(*(s + d * np.arange(n) for s, d, n in zip(start, step, size,
                                                           strict=True)))  # fmt: skip


@reference
def slice_(x, start, step, size):
    return x[(..., *_places(start, step, size))]


@reference
def unslice(g, start, step, shape):
    n = len(shape)
    y = np.zeros((*_core(g, n), *shape), g.dtype)
    y[(..., *_places(start, step, g.shape[g.ndim - n :]))] = g
    return y


@reference
def pad(x, low, high):
    widths = [(0, 0)] * (x.ndim - len(low)) + list(zip(low, high, strict=True))
    return np.pad(x, widths)


@reference
def concat(*xs, axis):
    return np.concatenate(xs, axis)


# --- gather ---------------------------------------------------------------------


def _lanes(core, *arrays):
    """Run over batch entries: core[i] axes of array i belong to one."""
    lead = arrays[0].shape[: arrays[0].ndim - core[0]]
    for index in np.ndindex(lead):
        yield index, [a[index] for a in arrays]


@reference
def take(x, index):
    y = np.zeros((*x.shape[:-2], index.shape[-1], x.shape[-1]), x.dtype)
    for at, (a, i) in _lanes((2, 1), x, index):
        y[at] = a[i]
    return y


@reference
def scatter_add(x, index, v):
    y = x.copy()
    for at, (_, i, w) in _lanes((2, 1, 2), x, index, v):
        np.add.at(y[at], i, w)
    return y


@reference
def take_along(x, index):
    return np.take_along_axis(x, index, -1)


@reference
def scatter_along(x, index, v):
    y = x.copy()
    for at, (_, i, w) in _lanes((1, 1, 1), x, index, v):
        np.add.at(y[at], i, w)
    return y


@reference
def tril(x, k):
    return np.tril(x, k)


@reference
def triu(x, k):
    return np.triu(x, k)


# --- reductions -----------------------------------------------------------------


def _wide(x):
    wider = {"float32": "float64", "complex64": "complex128"}
    return x.astype(wider.get(x.dtype.name, x.dtype))


def _reduction(function):
    return lambda x, axes: function(_wide(x), axis=tuple(axes)).astype(x.dtype)


REFERENCE["reduce_sum"] = _reduction(np.sum)
REFERENCE["reduce_prod"] = _reduction(np.prod)
REFERENCE["reduce_max"] = _reduction(np.max)
REFERENCE["reduce_min"] = _reduction(np.min)
REFERENCE["argmax"] = lambda x, axis: np.argmax(x, axis)
REFERENCE["argmin"] = lambda x, axis: np.argmin(x, axis)
REFERENCE["argsort"] = lambda x: np.argsort(x, axis=-1, kind="stable")


@reference
def sort(x):
    return np.sort(x, axis=-1), np.argsort(x, axis=-1, kind="stable")


@reference
def cumsum(x, axis, reverse):
    if reverse:
        return np.flip(np.cumsum(np.flip(_wide(x), axis), axis), axis).astype(x.dtype)
    return np.cumsum(_wide(x), axis).astype(x.dtype)


@reference
def logsumexp(x):
    return sp.logsumexp(_wide(x), axis=-1).astype(x.dtype)


@reference
def softmax(x, zero_empty):
    return sp.softmax(_wide(x), axis=-1).astype(x.dtype)


@reference
def log_softmax(x):
    return sp.log_softmax(_wide(x), axis=-1).astype(x.dtype)


# --- linear algebra -------------------------------------------------------------


def _t(x):
    return np.swapaxes(x, -1, -2)


def _op(x, flag):
    return (x, _t(x), np.conj(_t(x)))[flag]


@reference
def matmul(a, b, ta, tb):
    return (_op(_wide(a), ta) @ _op(_wide(b), tb)).astype(a.dtype)


@reference
def trisolve(a, b, lower, trans, unit):
    y = np.zeros_like(b)
    for at, (m, v) in _lanes((2, 2), a, b):
        if m.size:
            y[at] = scipy.linalg.solve_triangular(
                m, v, lower=bool(lower), trans=trans, unit_diagonal=bool(unit)
            )
    return y


@reference
def solve(a, b, trans):
    return np.linalg.solve(_op(a, trans), b)


@reference
def gap_inverse(w):
    gap = w[..., None, :] - w[..., :, None]
    scale = np.abs(w).max(axis=-1, initial=0)[..., None, None]
    tie = np.abs(gap) <= 8 * np.finfo(w.dtype).eps * scale
    return np.where(tie, 0, 1 / np.where(tie, 1, gap)).astype(w.dtype)


@reference
def pivot_mask(v):
    size = np.abs(v)
    first = np.argmax(size >= 0.99 * size.max(axis=-2, keepdims=True), axis=-2)
    rows = np.arange(v.shape[-2])[:, None]
    return (rows == first[..., None, :]).astype(size.dtype)


@reference
def slogdet(a):
    return tuple(np.linalg.slogdet(a))


@reference
def logdet_spd(a):
    return np.linalg.slogdet(a)[1]


@reference
def eigh(a):
    return tuple(np.linalg.eigh(a))


@reference
def eig(a):
    w, v = np.linalg.eig(a)
    return w.astype(np.result_type(a, np.complex64)), v.astype(w.dtype)


@reference
def svd(a):
    return tuple(np.linalg.svd(a, full_matrices=False))


@reference
def qr(a):
    return tuple(np.linalg.qr(a))


def _check_eigh(inputs, outputs, close):
    (a,), (w, v) = inputs, outputs
    a = np.tril(a) + np.conj(_t(np.tril(a, -1)))
    close(w, np.linalg.eigvalsh(a))
    close(a @ v, v * w[..., None, :])
    close(np.conj(_t(v)) @ v, np.broadcast_to(np.eye(a.shape[-1]), a.shape))


def _check_eig(inputs, outputs, close):
    (a,), (w, v) = inputs, outputs
    close(np.sort_complex(w), np.sort_complex(np.linalg.eigvals(a)))
    close(a @ v, v * w[..., None, :])
    close(np.linalg.norm(v, axis=-2), np.ones(w.shape))


def _check_svd(inputs, outputs, close):
    (a,), (u, s, vh) = inputs, outputs
    close(s, np.linalg.svd(a, compute_uv=False))
    close((u * s[..., None, :]) @ vh, a)
    eye = np.eye(s.shape[-1])
    close(np.conj(_t(u)) @ u, np.broadcast_to(eye, (*a.shape[:-2], *eye.shape)))
    close(vh @ np.conj(_t(vh)), np.broadcast_to(eye, (*a.shape[:-2], *eye.shape)))


def _check_qr(inputs, outputs, close):
    (a,), (q, r) = inputs, outputs
    close(q @ r, a)
    close(
        np.conj(_t(q)) @ q,
        np.broadcast_to(np.eye(q.shape[-1]), (*a.shape[:-2], *2 * q.shape[-1:])),
    )
    close(np.tril(r, -1), np.zeros(r.shape))


CHECK.update(eigh=_check_eigh, eig=_check_eig, svd=_check_svd, qr=_check_qr)


# --- Fourier transforms ---------------------------------------------------------


def _last(n):
    return tuple(range(-n, 0))


@reference
def fft(x, naxes, inverse):
    norm = "forward" if inverse else "backward"
    function = np.fft.ifftn if inverse else np.fft.fftn
    return function(_wide(x), axes=_last(naxes), norm=norm).astype(x.dtype)


def _pairs(n, factor):
    """Factors of a half spectrum of n points: others for the conjugate pairs."""
    weights = np.full(n // 2 + 1, float(factor))
    weights[0] = 1
    if n % 2 == 0:
        weights[-1] = 1
    return weights


@reference
def rfft(x, naxes, weight=0):
    y = np.fft.rfftn(_wide(x), axes=_last(naxes))
    y = y * _pairs(x.shape[-1], 2) if weight else y
    return y.astype(np.result_type(x.dtype, np.complex64))


@reference
def irfft(x, naxes, n, weight=0):
    s = (*x.shape[x.ndim - naxes : x.ndim - 1], n)
    y = _wide(x) * _pairs(n, 0.5) if weight else _wide(x)
    y = np.fft.irfftn(y, s=s, axes=_last(naxes), norm="forward")
    return y.astype(x.real.dtype)


# --- fixed point ----------------------------------------------------------------


@reference
def quantize(x, scale):
    whole = np.int32 if x.dtype == np.float32 else np.int64
    return np.rint(x / np.asarray(scale, x.dtype)).astype(whole)


reference_cone.register(REFERENCE)
reference_conv.register(REFERENCE)
reference_fixed.register(REFERENCE)
reference_pm.register(REFERENCE)
reference_pm_read.register(REFERENCE)

# --- Gaussian processes ---------------------------------------------------------

reference_dense.register(REFERENCE)
reference_gp.register(REFERENCE)
reference_nn.register(REFERENCE)
reference_ode.register(REFERENCE)
reference_optim.register(REFERENCE)
reference_random.register(REFERENCE)
reference_sn.register(REFERENCE)
reference_spectral.register(REFERENCE)
