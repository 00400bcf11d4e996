"""Arrays of many blocks: chunks, tails, threads and every instruction set."""

import dataclasses

import numpy as np
import pytest

from gradiverse import _core

from .harness import ROWS, Case, assert_close
from .reference import REFERENCE
from .samples import dtypes_of, parse
from .test_generic import TABLE, _bits, _with_derivative

N = 400_003  # several chunks, and a tail for every vector length
LEVELS = ("base", "avx2", "avx512")


def _widened(sample, shape):
    inputs = tuple(dataclasses.replace(i, shape=shape) for i in sample.inputs)
    return dataclasses.replace(sample, inputs=inputs)


ELEMENTWISE = [
    _widened(parse(row)[0], (N,))
    for name, row in sorted(TABLE.items())
    if "ELEMENTWISE" in row["flags"] and row["samples"]
]
#: operators with loops of their own over long or many lines
LINES = [
    parse({"name": name, "samples": text})[0]
    for name, text in (
        ("reduce_sum", f"x[{N}] | axes=(-1,)"),
        ("reduce_sum", "x[700,601] | axes=(-2,)"),
        ("reduce_sum", "x[700,601] | axes=(-1,)"),
        ("reduce_prod", "r{0.99,1.01}[500,601] | axes=(-1,)"),
        ("reduce_max", f"r[{N}] | axes=(-1,)"),
        ("reduce_min", "r[700,601] | axes=(-2,)"),
        ("argmax", "r[700,601] | axis=-1"),
        ("argmin", "r[700,601] | axis=-2"),
        ("cumsum", "r[700,601] | axis=-1 reverse=1"),
        ("cumsum", "r[700,601] | axis=-2 reverse=0"),
        ("sort", "r[70,6001]"),
        ("argsort", "r[70,6001]"),
        ("logsumexp", "r[700,601]"),
        ("softmax", "r[700,601] | zero_empty=0"),
        ("log_softmax", "r[700,601]"),
        ("transpose", "r[30,40,330] | perm=(2,0,1)"),
        ("broadcast", "r[601] | core=1 shape=(700,601)"),
        ("slice", "r[700,1300] | start=(699,1) step=(-1,2) size=(700,600)"),
        ("pad", "r[600,600] | low=(3,5) high=(0,7)"),
        ("concat", "r[300,600] r[300,700] | axis=-1"),
        ("take", "r[900,300] i[1500]{0,900}"),
        ("scatter_add", "r[900,300] i[1500]{0,900} r[1500,300]"),
        ("take_along", "r[300,900] i[300,1500]{0,900}"),
        ("matmul", "x[301,257] x[257,303] | ta=0 tb=0"),
        ("matmul", "x[7,120,33] x[7,120,40] | ta=1 tb=0"),
        ("fft", "c[12,90,128] | naxes=2 inverse=0"),
        ("rfft", "r[12,90,128] | naxes=2"),
        ("irfft", "c[12,90,65] | naxes=2 n=128"),
        ("batch_norm", "r{1,3}[5,6,8011] r[6] r[6] | eps=1e-5 relu=1"),
        ("batch_norm", "r{1,3}[3,2,70001] r[2] r[2] | eps=1e-5 relu=0"),
        ("batch_norm", "r{1,3}[1201,67,5] r[67] r[67] | eps=1e-5 relu=1"),
        ("batch_norm", "r{1,3}[9,70,47,1] r[9,47] r[9,47] | eps=1e-5 relu=1"),
        ("group_norm", "r{1,3}[901,331,1] r[331] r[331] | eps=1e-5 relu=1 groups=1"),
        ("group_norm", "r{1,3}[7,12,4001] r[12] r[12] | eps=1e-5 relu=1 groups=4"),
        ("group_norm", "r{1,3}[301,12,64] r[12] r[12] | eps=1e-5 relu=0 groups=12"),
        ("attention", "r[3,301,36] r[3,301]! | heads=2"),
        ("resample", "r[7,90,300] | n=90 size=251 corners=0 adjoint=0"),
    )
]


def _params(samples):
    return [pytest.param(s, d, id=f"{s.op}-{s.text[:30]}-{d}")
            for s in samples for d in dtypes_of(s)]  # fmt: skip


@pytest.fixture
def restored():
    """Threads and instruction set as they were."""
    threads, level = _core.get_threads(), _core.simd()
    yield
    _core.set_threads(threads)
    _core.set_simd(level)


@pytest.mark.parametrize(("sample", "dtype"), _params(ELEMENTWISE + LINES))
def test_two_threads_give_the_same_bits(sample, dtype, restored):
    if "NONDET" in ROWS[sample.op]["flags"]:
        pytest.skip("declared to depend on the number of threads")
    case = Case(sample, dtype)
    args = _with_derivative(case)
    found = []
    for threads in (1, 2):
        _core.set_threads(threads)
        found.append(_bits(case.run(*args)))
    assert found[0] == found[1]


def _assert_reference(case, outs):
    wide = {"float32": "float64", "complex64": "complex128"}
    arrays = [a.astype(wide.get(a.dtype.name, a.dtype)) for a in case.arrays]
    if case.sample.op == "quantize":  # single precision divides in single precision
        arrays = case.arrays
    with np.errstate(all="ignore"):
        wanted = REFERENCE[case.sample.op](*arrays, **case.sample.attrs)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    for out, want in zip(outs, wanted, strict=True):
        want = np.asarray(want)
        if case.sample.op in ("rint", "quantize", "floor_divide", "mod"):
            off = np.abs(out - want) > 0.5 if out.dtype.kind == "f" else out != want
            assert np.mean(off) < 1e-5  # a quotient beside an integer may round over
            continue
        if "ELEMENTWISE" in case.row["flags"] and case.sample.op not in CROSS_ZERO:
            _assert_relative(out, want)
        else:  # long sums of products of mixed signs lose some digits
            assert_close(out, want, 500 if case.sample.op == "matmul" else 64)


#: Accurate to epsilon times max(1, |x|), not relative to a value that is nearly zero.
CROSS_ZERO = frozenset(("digamma", "gammaln", "logaddexp", "logaddexp2"))


def _assert_relative(out, want):
    """Every element to 32 epsilons of its own size (measured: at most 16)."""
    if out.dtype.kind not in "fc":
        np.testing.assert_array_equal(out, want)
        return
    finite = np.isfinite(want)
    np.testing.assert_array_equal(out[~finite], want[~finite])
    out, want = out[finite], want[finite]
    info = np.finfo(out.real.dtype)
    error = np.abs(out - want)
    assert np.all(error <= 32 * info.eps * np.abs(want) + info.tiny), error.max()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("sample", "dtype"), _params(ELEMENTWISE + LINES))
def test_value_at_every_instruction_set(sample, dtype, level, restored):
    if _core.set_simd(level) != level:
        pytest.skip(f"this processor has no {level}")
    case = Case(sample, dtype)
    _assert_reference(case, case.run())
