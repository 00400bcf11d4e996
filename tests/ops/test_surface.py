"""NumPy's surface: values as NumPy's, gradients as central differences."""

import importlib

import numpy as np
import pytest

import gradiverse as gv
from gradiverse import graph, ops

from .surface import (
    ARRAYS,
    CONSTANTS,
    SMOOTH,
    STEPS,
    expressions,
    functions_in,
    names_in,
)

#: NumPy's own warning about vectors of two components, and autograd's arithmetic.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Arrays of 2-dimensional:DeprecationWarning", "ignore:invalid value"
)

SMOOTH_CASES = expressions(SMOOTH)
STEP_CASES = expressions(STEPS)
#: Methods of ufuncs exist in NumPy's namespace alone, methods of arrays need no `np`.
SURFACE_CASES = [e for e in SMOOTH_CASES + STEP_CASES
                 if "np." in e and ".reduce" not in e and ".accumulate" not in e
                 and "add.outer" not in e and "multiply.outer" not in e]  # fmt: skip


def evaluator(expression, namespace):
    """A function of the arrays the expression names."""
    code = compile(expression, "<expression>", "eval")
    names = names_in(expression)

    def function(*arrays):
        scope = CONSTANTS | {n: ARRAYS[n] for n in ARRAYS}
        scope |= dict(zip(names, arrays, strict=True)) | {"np": namespace}
        with np.errstate(all="ignore"):
            return eval(code, scope)

    return function, [ARRAYS[n] for n in names]


def parts(result):
    """The arrays of a result, nested or not."""
    if isinstance(result, (tuple, list)):
        return [p for r in result for p in parts(r)]
    return [result]


def concrete(result):
    """Values of a traced result."""
    return [graph.evaluate(p) if isinstance(p, graph.Var) else np.asarray(p)
            for p in parts(result)]  # fmt: skip


def traced(function, arrays):
    """Call with traced arguments -> values."""
    with graph.Trace() as trace:
        return concrete(function(*[trace.var(trace.bind(a)) for a in arrays]))


def assert_same(found, wanted, rtol=1e-11):
    wanted = parts(wanted)
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        if isinstance(b, (np.dtype, bool, int)):
            assert a == b
            continue
        b = np.asarray(b)
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        if b.dtype.kind in "fc":
            scale = np.abs(b[np.isfinite(b)]).max(initial=0)
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * scale)
        else:
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("expression", SMOOTH_CASES + STEP_CASES)
def test_numpy_function_on_traced_values(expression):
    function, arrays = evaluator(expression, np)
    assert_same(traced(function, arrays), function(*arrays))


@pytest.mark.parametrize("expression", SURFACE_CASES)
def test_surface_on_traced_values(expression):
    function, arrays = evaluator(expression, Namespace())
    assert_same(traced(function, arrays), evaluator(expression, np)[0](*arrays))


@pytest.mark.parametrize("expression", SURFACE_CASES)
def test_surface_on_plain_arrays_is_numpy(expression):
    function, arrays = evaluator(expression, Namespace())
    found = function(*arrays)
    assert not any(isinstance(p, graph.Var) for p in parts(found))
    assert_same([np.asarray(p) for p in parts(found)],
                evaluator(expression, np)[0](*arrays), 0)  # fmt: skip


class Namespace:
    """gradiverse.ops, with NumPy's dtypes."""

    int64, complex128 = np.int64, np.complex128
    linalg, fft = ops.linalg, ops.fft

    def __getattr__(self, name):
        return getattr(ops, name)


def _floats(results):
    return [r for r in parts(results) if r.dtype.kind in "fc"]


@pytest.mark.parametrize("expression", SMOOTH_CASES)
def test_gradient_against_differences(expression):
    function, arrays = evaluator(expression, np)
    rng = np.random.default_rng(3)
    numpy_out = [np.asarray(p) for p in parts(function(*arrays))]
    weights = [rng.normal(size=p.shape) + (1j * rng.normal(size=p.shape)
               if p.dtype.kind == "c" else 0) for p in numpy_out]  # fmt: skip
    for w, p in zip(weights, numpy_out, strict=True):
        if p.dtype.kind not in "fc":
            w *= 0

    def value(*arrays):
        outs = [np.asarray(p) for p in parts(function(*arrays))]
        return sum(np.sum(np.conj(w) * p).real
                   for w, p in zip(weights, outs, strict=True))  # fmt: skip

    def loss(*arrays):
        total = 0.0
        for w, p in zip(weights, parts(function(*arrays)), strict=True):
            if np.iscomplexobj(w):
                p = np.real(np.conj(w) * p)
                total = total + np.sum(p)
            else:
                total = total + np.sum(w * p)
        return total

    grads = gv.grad(loss, argnums=tuple(range(len(arrays))))(*arrays)
    step = 2e-5
    for k, (x, g) in enumerate(zip(arrays, grads, strict=True)):
        assert g.shape == x.shape
        assert g.dtype == x.dtype
        d = rng.normal(size=x.shape)
        if x.dtype.kind == "c":
            d = d + 1j * rng.normal(size=x.shape)

        def at(t, k=k, d=d):
            return value(*(a + t * d if i == k else a for i, a in enumerate(arrays)))

        wide, narrow = ((at(h) - at(-h)) / (2 * h) for h in (2 * step, step))
        slope = (4 * narrow - wide) / 3
        mine = np.sum(np.conj(g) * d).real
        size = abs(slope) + abs(value(*arrays)) + np.sum(np.abs(g * d))
        assert abs(mine - slope) <= 3e-8 * size + 1e-9, (names_in(expression)[k], mine)


@pytest.mark.parametrize("expression", [e for e in STEP_CASES if names_in(e)])
def test_zero_gradient(expression):
    function, arrays = evaluator(expression, np)

    def loss(*arrays):
        total = sum(np.sum(a) * 0 for a in arrays)
        for p in parts(function(*arrays)):
            if isinstance(p, graph.Var) and p.dtype.kind in "bif":
                total = np.real(total + np.sum(p))
        return np.real(total)

    for g in gv.grad(loss, argnums=tuple(range(len(arrays))))(*arrays):
        assert not np.any(g)


#: Need the value of an argument, or give a result whose shape is not the same for all.
BY_VALUE = ("nonzero", "argwhere", "where(A > 0)", "extract(K", "real_if_close",
            "np.interp(u, r", "np.digitize", "repr", "hasattr", "len(")  # fmt: skip


@pytest.mark.parametrize(
    "expression", [e for e in SMOOTH_CASES if not any(b in e for b in BY_VALUE)]
)
def test_vmap_against_loop(expression):
    function, arrays = evaluator(expression, np)
    rng = np.random.default_rng(5)
    lanes = [[x * (1 + 0.02 * rng.uniform(size=x.shape)) for x in arrays] for _ in "ab"]
    stacks = [np.stack(pair) for pair in zip(*lanes, strict=True)]
    kept = [isinstance(p, (np.ndarray, np.generic)) for p in parts(function(*arrays))]

    def selected(*xs):
        return tuple(p for p, k in zip(parts(function(*xs)), kept, strict=True) if k)

    batched = gv.vmap(selected)(*stacks)
    for lane, xs in enumerate(lanes):
        assert_same([b[lane] for b in batched], selected(*xs), 1e-9)


@pytest.mark.parametrize(
    "expression", [e for e in SMOOTH_CASES if not any(b in e for b in BY_VALUE)]
)
def test_compiled(expression):
    function, arrays = evaluator(expression, np)
    kept = [isinstance(p, (np.ndarray, np.generic)) for p in parts(function(*arrays))]

    def selected(*xs):
        return tuple(p for p, k in zip(parts(function(*xs)), kept, strict=True) if k)

    found = gv.compile(selected)(*arrays)
    assert_same([np.asarray(p) for p in found], selected(*arrays), 1e-11)


SINGLE = {np.dtype("float64"): np.float32, np.dtype("complex128"): np.complex64}


@pytest.mark.parametrize("expression", SMOOTH_CASES)
def test_single_precision_stays(expression):
    function, arrays = evaluator(expression, np)
    single = [a.astype(SINGLE[a.dtype]) for a in arrays]
    wanted = [np.asarray(p) for p in parts(function(*single))]
    for a, b in zip(traced(function, single), wanted, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape


# --- the list -----------------------------------------------------------------------

#: What HIPS autograd 1.8 differentiates in numpy, numpy.linalg and numpy.fft.
AUTOGRAD = """
abs absolute acos acosh add amax amin angle append arccos arccosh arcsin arcsinh arctan
arctan2 arctanh array_split asin asinh astype atan atan2 atanh atleast_1d atleast_2d
atleast_3d broadcast_to clip column_stack concatenate conj conjugate cos cosh cross
cumsum deg2rad degrees diag diagonal diff divide dot dsplit einsum exp exp2 expand_dims
expm1 fabs fliplr flipud fmax fmin gradient hsplit hstack hypot imag inner kron
linspace log log10 log1p log2 logaddexp logaddexp2 matmul max maximum mean min minimum
mod moveaxis multiply nan_to_num negative outer pad partition permute_dims pow power
prod rad2deg radians ravel real real_if_close reciprocal remainder repeat reshape roll
rollaxis rot90 select sin sinc sinh sort split sqrt square squeeze stack std subtract
sum swapaxes tan tanh tensordot tile trace transpose tril triu true_divide var vsplit
vstack where
fft.fft fft.fft2 fft.fftn fft.fftshift fft.ifft fft.ifft2 fft.ifftn fft.ifftshift
fft.irfft fft.irfft2 fft.irfftn fft.rfft fft.rfft2 fft.rfftn
linalg.cholesky linalg.det linalg.eig linalg.eigh linalg.inv linalg.norm linalg.pinv
linalg.slogdet linalg.solve linalg.svd
""".split()
#: Its functions with a gradient of zero.
AUTOGRAD_ZERO = """
all allclose any argmax argmin argpartition argsort argwhere around array_equal
array_equiv ceil count_nonzero empty_like equal fix flatnonzero floor floor_divide
full_like greater greater_equal isclose iscomplex iscomplexobj isfinite isinf isnan
isneginf isposinf isreal isscalar less less_equal logical_and logical_not logical_or
logical_xor ndim nonzero not_equal ones_like result_type rint round searchsorted shape
sign size trunc zeros_like
""".split()
#: Tested outside the tables: outputs with signs and phases, and what NumPy's protocol
#: cannot dispatch.
ELSEWHERE = {"linalg.eig", "array", "full", "isscalar"}


@pytest.mark.parametrize("name", AUTOGRAD + AUTOGRAD_ZERO)
def test_autograds_functions_are_there_and_tested(name):
    target = ops
    for part in name.split("."):
        target = getattr(target, part)
    assert callable(target)
    tables = functions_in(SMOOTH + STEPS)
    assert name in tables | ELSEWHERE


def test_list_is_autograds():
    anp = pytest.importorskip("autograd.numpy")
    from autograd.core import primitive_vjps

    wanted = set()
    for prefix in ("", "linalg", "fft"):
        module = importlib.import_module(f"autograd.numpy.{prefix}".rstrip("."))
        for name, f in vars(module).items():
            if callable(f) and not name.startswith("_") and f in primitive_vjps:
                wanted.add(f"{prefix}.{name}".lstrip("."))
    own = {"array_from_args", "concatenate_args", "make_diagonal", "full",
           "fft.truncate_pad", "func", "untake"}  # fmt: skip
    assert anp is not None
    assert wanted - own - set(AUTOGRAD) == set()


def test_every_registered_function_is_tested():
    tested = functions_in(SMOOTH + STEPS)
    names = set()
    for prefix, module in (("", np), ("linalg.", np.linalg), ("fft.", np.fft)):
        for name, f in vars(module).items():
            if (
                callable(f)
                and not name.startswith("_")
                and (
                    f in ops.FUNCTIONS
                    or (isinstance(f, np.ufunc) and name in ops.UFUNCS)
                )
            ):
                names.add(prefix + name)
    assert names - tested - ELSEWHERE == set()
