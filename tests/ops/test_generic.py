"""Every operator of the table, on every sample it carries, in every dtype.

Values against NumPy and SciPy; derivatives against central differences and against
each other; batching against a loop; planned runs against node-by-node ones.
"""

import itertools

import numpy as np
import pytest

from gradiverse import _core

from .harness import (
    FIXED_POINT,
    ONCE,
    ROWS,
    STRUCTURAL,
    Case,
    assert_close,
    check_failing_allocations,
    inner,
    real_of,
)
from .reference import CHECK, REFERENCE
from .samples import CONTINUOUS, DTYPES, dtypes_of, parse

TABLE = {n: r for n, r in ROWS.items() if n not in STRUCTURAL | FIXED_POINT}
_bare = sorted(n for n, r in TABLE.items()
               if (not r["samples"] and n not in ("alias", "stop_gradient"))
               or (n not in REFERENCE and n not in CHECK))  # fmt: skip
if _bare:
    raise pytest.UsageError(f"operators without samples or NumPy reference: {_bare}")

SAMPLES = [s for r in TABLE.values() for s in parse(r)]
ALL = [
    pytest.param(s, d, id=f"{s.op}-{s.text}-{d}") for s in SAMPLES for d in dtypes_of(s)
]


def _narrows(sample):
    """Is the result of lower precision than double inputs?"""
    return DTYPES[sample.attrs.get("dtype", 4)] in ("float32", "complex64")


DOUBLE = [
    p
    for p in ALL
    if p.values[1] in ("float64", "complex128") and not _narrows(p.values[0])
]
SINGLE = [p for p in ALL if p.values[1] in ("float32", "complex64")]


def differentiable(params):
    """Samples of operators that have derivatives, with elements."""
    return [p for p in params if "NODIFF" not in ROWS[p.values[0].op]["flags"]
            and ROWS[p.values[0].op]["vjp"]]  # fmt: skip


@pytest.mark.parametrize("name", sorted(TABLE))
def test_at_least_three_samples(name):
    if name in ("alias", "stop_gradient"):
        pytest.skip("identity: no kernel")
    samples = parse(TABLE[name])
    assert len(samples) >= 3
    assert any(map(_degenerate, samples)), "no degenerate sample"


def _degenerate(sample):
    """No elements, one element, or an axis of one."""
    small = any(i.shape == () or 1 in i.shape for i in sample.inputs)
    return small or sample.empty or not _steers(sample)


@pytest.mark.parametrize(("sample", "dtype"), ALL)
def test_value(sample, dtype):
    case = Case(sample, dtype)
    outs = case.run()
    for v, out in zip(case.outs, outs, strict=True):
        assert case.type(v) == (out.dtype, out.shape)

    def close(a, b):
        assert_close(a, b, case.epsilons, sample.text, case.dtype)

    if sample.op in CHECK:
        CHECK[sample.op](case.arrays, outs, close)
        return
    with np.errstate(all="ignore"):
        wanted = REFERENCE[sample.op](*case.arrays, **sample.attrs)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    assert len(wanted) == len(outs)
    for v, out, want in zip(case.outs, outs, wanted, strict=True):
        assert out.dtype == np.asarray(want).dtype
        if case.fixed(v):
            assert_close(out, want, case.epsilons, sample.text, fixed=True)
        else:
            close(out, want)


@pytest.mark.parametrize(("sample", "dtype"), SINGLE)
def test_single_against_double(sample, dtype):
    if sample.op in CHECK or "dtype" in sample.attrs:
        pytest.skip("outputs are not unique, or have a dtype of their own")
    one = Case(sample, dtype)
    two = Case(sample, {"float32": "float64", "complex64": "complex128"}[dtype])
    for v, w, a, b in zip(one.outs, two.outs, one.run(), two.run(), strict=True):
        if one.fixed(v) and sample.op != "quantize":
            a, b = one.physical(v, a), two.physical(w, b)
            scale = np.abs(b).max(initial=0.0)
            quantum = np.max(one.quantum(one.outs.index(v), out=True))
            bound = 2 * one.epsilons * np.finfo("float32").eps * scale + quantum
            np.testing.assert_allclose(a, b, rtol=0, atol=bound)
        elif a.dtype.kind in "fc":
            assert_close(a, b.astype(a.dtype), 2 * one.epsilons, dtype=one.dtype)
        elif sample.op != "quantize":
            np.testing.assert_array_equal(a, b)


# --- first derivatives --------------------------------------------------------------


@pytest.mark.parametrize(("sample", "dtype"), differentiable(DOUBLE))
def test_vjp_against_differences(sample, dtype):
    if sample.op == "quantize":
        pytest.skip("a step function whose derivative is declared to be one")
    case = Case(sample, dtype)
    outs = case.smooth()
    weights = [case.random_like(v) for v in outs]
    given = case.placeholders(weights)
    found = case.vjp(outs, given)
    wanted = [v for v in found if v != -1]
    values = dict(zip(wanted, case.run(wanted, given, weights), strict=True))
    step = 1e-5
    some = False
    for k, g, d in zip(case.continuous, found, case.directions(), strict=True):

        def at(t, k=k, d=d):
            moved = list(case.arrays)
            moved[k] = case.moved(k, t * d)
            values = case.run(outs, inputs=moved)
            triples = zip(weights, outs, values, strict=True)
            return sum(inner(w, case.physical(v, y)) for w, v, y in triples)

        # Two central differences, extrapolated: error O(step^4).
        wide, narrow = ((at(h) - at(-h)) / (2 * h) for h in (2 * step, step))
        slope = (4 * narrow - wide) / 3
        mine = inner(values[g], d) if g != -1 else 0.0
        if g != -1:
            kind = values[g].dtype, values[g].shape
            assert kind == case.cotangent(case.inputs[k])
        size = sum(np.abs(w).sum() for w in weights) + abs(slope)
        assert abs(mine - slope) <= 2e-7 * size + 1e-12, (k, mine, slope)
        some = some or mine != 0
    assert some or sample.empty or not _steers(sample), "no gradient at the sample"


def _steers(sample):
    """Do the sample's outputs depend on its values?"""
    kinds, shapes = zip(*((i.kind, i.shape) for i in sample.inputs), strict=True)
    if sample.op in ("softmax", "log_softmax", "gap_inverse"):  # of one: constant
        return shapes[0][-1] > 1
    if sample.op == "sign" and "c" not in kinds:
        return False
    if sample.op in ("take", "take_along"):
        return 0 not in shapes[1]
    empty = any(0 in np.atleast_1d(v) for k, v in sample.attrs.items()
                if k in ("size", "shape"))  # fmt: skip
    return bool(set(kinds) & set(CONTINUOUS)) and not empty


@pytest.mark.parametrize(("sample", "dtype"), differentiable(ALL))
def test_jvp_is_the_adjoint_of_vjp(sample, dtype):
    case = Case(sample, dtype)
    outs = case.smooth()
    weights, moves = [case.random_like(v) for v in outs], case.directions()
    if not outs:
        pytest.skip("fixed-point outputs")
    if _narrows(sample):
        pytest.skip("the tangent is rounded, the cotangent is not")
    at_w, at_d = case.placeholders(weights), case.placeholders(moves)
    pulled = case.vjp(outs, at_w)
    wrt = [case.inputs[k] for k in case.continuous]
    pushed = case.graph.jvp(list(outs), wrt, at_d)
    ids = [v for v in [*pulled, *pushed] if v != -1]
    values = case.run(ids, [*at_w, *at_d], [*weights, *moves])
    values = dict(zip(ids, values, strict=True))
    left = [(w, values[t]) for w, t in zip(weights, pushed, strict=True) if t != -1]
    right = [(values[g], d) for g, d in zip(pulled, moves, strict=True) if g != -1]
    size = sum(float(np.sum(np.abs(np.conj(a) * b))) for a, b in [*left, *right])
    difference = sum(inner(*p) for p in left) - sum(inner(*p) for p in right)
    eps = float(np.finfo(real_of(case.dtype)).eps)
    assert abs(difference) <= 4 * case.epsilons * eps * (size + 1e-30), difference


# --- second derivatives -------------------------------------------------------------


@pytest.mark.parametrize(("sample", "dtype"), differentiable(DOUBLE))
def test_second_derivative_against_differences(sample, dtype):
    if sample.op == "quantize" or sample.empty:
        pytest.skip("nothing to differentiate")
    case = Case(sample, dtype)
    outs = case.smooth()
    weights, moves = [case.random_like(v) for v in outs], case.directions()
    at_w, at_d = case.placeholders(weights), case.placeholders(moves)
    first = case.vjp(outs, at_w)
    pairs = [(g, d) for g, d in zip(first, at_d, strict=True) if g != -1]
    if not pairs:
        return
    slope = case.dot(pairs)
    wrt = [case.inputs[k] for k in case.continuous]
    one = case.graph.const(np.ones((), real_of(case.dtype)))
    if sample.op in ONCE:
        with pytest.raises(TypeError, match=r"differentiable twice|no \S+ derivative"):
            case.graph.vjp([slope], [one], wrt)
        return
    second = case.graph.vjp([slope], [one], wrt)
    ids = [v for v in second if v != -1]
    given, arrays = [*at_w, *at_d], [*weights, *moves]
    values = dict(zip(ids, case.run(ids, given, arrays), strict=True))
    step = 1e-5
    for k, g, d in zip(case.continuous, second, case.directions(), strict=True):

        def at(t, k=k, d=d):
            moved = list(case.arrays)
            moved[k] = case.moved(k, t * d)
            return float(case.run([slope], given, arrays, inputs=moved)[0])

        wide, narrow = ((at(h) - at(-h)) / (2 * h) for h in (2 * step, step))
        curve = (4 * narrow - wide) / 3
        mine = inner(values[g], d) if g != -1 else 0.0
        size = abs(at(0.0)) + abs(curve) + sum(np.abs(w).sum() for w in weights)
        assert abs(mine - curve) <= 1e-6 * size + 1e-12, (k, mine, curve)


# --- batching -----------------------------------------------------------------------


def _subsets(n):
    if n > 3:
        return [(0,), (n - 1,), tuple(range(n))]
    return [c for r in range(1, n + 1) for c in itertools.combinations(range(n), r)]


@pytest.mark.parametrize(("sample", "dtype"), DOUBLE)
def test_batch_against_loop(sample, dtype):
    lanes = 3
    cases = [Case(sample, dtype, seed) for seed in range(lanes)]
    for chosen in _subsets(len(sample.inputs)):
        case = Case(sample, dtype)
        stacks = [np.stack([c.arrays[k] for c in cases]) for k in chosen]
        at = case.placeholders(stacks, [case.names[k] for k in chosen])
        placeholders = [case.inputs[k] for k in chosen]
        outs, flags = case.graph.batch(case.outs, placeholders, at, lanes)
        assert all(flags)
        values = case.run(outs, at, stacks)
        for lane, other in enumerate(cases):
            mixed = [other.arrays[k] if k in chosen else x
                     for k, x in enumerate(case.arrays)]  # fmt: skip
            single = zip(case.outs, values, case.run(inputs=mixed), strict=True)
            for o, v, w in single:
                assert_close(v[lane], w, case.epsilons, fixed=case.fixed(o))


# --- execution ----------------------------------------------------------------------


def _with_derivative(case):
    """Outputs of the operator and of its reverse sweep, with what they need."""
    outs = list(case.outs)
    if not case.row["vjp"] or "NODIFF" in case.row["flags"]:
        return outs, [], []
    smooth = [v for v in case.outs if case.cotangent(v)[0].kind in "fc"]
    weights = [case.random_like(v) for v in smooth]
    given = case.placeholders(weights)
    outs += [v for v in case.vjp(smooth, given) if v != -1]
    return outs, given, weights


def _bits(arrays):
    return [(a.dtype, a.shape, a.tobytes()) for a in arrays]


@pytest.mark.parametrize(("sample", "dtype"), ALL)
def test_planned_run_equals_node_by_node(sample, dtype):
    case = Case(sample, dtype)
    args = _with_derivative(case)
    planned = case.run(*args)
    before = _core.set_debug(True)
    try:
        single = case.run(*args)
    finally:
        _core.set_debug(before)
    assert _bits(planned) == _bits(single)
    before = _core.set_poison(True)
    try:
        poisoned = case.run(*args)
    finally:
        _core.set_poison(before)
    assert _bits(planned) == _bits(poisoned)


@pytest.mark.parametrize(("sample", "dtype"), ALL)
def test_same_bits_with_two_threads(sample, dtype):
    if "NONDET" in ROWS[sample.op]["flags"]:
        pytest.skip("declared to depend on the number of threads")
    case = Case(sample, dtype)
    args = _with_derivative(case)
    before = _core.get_threads()
    try:
        _core.set_threads(1)
        one = case.run(*args)
        _core.set_threads(2)
        two = case.run(*args)
    finally:
        _core.set_threads(before)
    assert _bits(one) == _bits(two)


@pytest.mark.parametrize(("sample", "dtype"), ALL)
def test_inputs_are_not_written_to(sample, dtype):
    case = Case(sample, dtype)
    args = _with_derivative(case)
    before = _bits(case.arrays)
    case.run(*args)
    assert _bits(case.arrays) == before


# --- errors -------------------------------------------------------------------------

FIRST = {s.op: s for s in reversed(SAMPLES)}


@pytest.mark.parametrize("name", sorted(FIRST))
def test_wrong_number_of_inputs(name):
    case = Case(FIRST[name], dtypes_of(FIRST[name])[-1])
    if case.row["nin"] < 0:
        with pytest.raises((ValueError, TypeError)):
            case.emit([])
        return
    for inputs in (case.inputs[:-1], [*case.inputs, case.inputs[0]]):
        with pytest.raises((ValueError, TypeError), match=name):
            case.emit(inputs)


@pytest.mark.parametrize(
    "name", sorted(n for n, s in FIRST.items() if len(s.inputs) > 1)
)
def test_batch_axes_that_differ(name):
    case = Case(FIRST[name], dtypes_of(FIRST[name])[-1])
    lead = case.graph.input(case.names[0], (5, *case.arrays[0].shape))
    with pytest.raises(ValueError, match=name):
        case.emit([lead, *case.inputs[1:]])


@pytest.mark.parametrize("name", sorted(FIRST))
def test_dtypes_that_do_not_fit(name):
    sample = FIRST[name]
    case = Case(sample, dtypes_of(sample)[-1])
    k = len(case.inputs) - 1
    other = "int32" if sample.inputs[k].kind in CONTINUOUS + "h" else "float32"
    if name in ANY_DTYPE and len(case.inputs) == 1:
        pytest.skip("takes every dtype")
    odd = case.graph.input(other, case.arrays[k].shape)
    if name in INTEGERS_TOO and len(case.inputs) == 1:
        odd = case.graph.input("bool", case.arrays[k].shape)
    with pytest.raises(TypeError, match=name):
        case.emit([*case.inputs[:k], odd])


#: one input of any dtype
ANY_DTYPE = frozenset((
    "alias", "argmax", "argmin", "argsort", "broadcast", "cast", "concat",
    "logical_not", "pad", "reduce_max", "reduce_min", "reshape", "slice", "sort",
    "stop_gradient", "transpose", "tril", "triu", "unslice",
))  # fmt: skip
#: one input, integers included
INTEGERS_TOO = frozenset((
    "abs", "conj", "cumsum", "neg", "reduce_prod", "reduce_sum", "sign", "square",
))  # fmt: skip


@pytest.mark.parametrize("name", sorted(FIRST))
def test_every_failing_allocation_is_reported(name):
    sample = FIRST[name]
    dtype = dtypes_of(sample)[-1]

    def work():
        case = Case(sample, dtype)
        case.run(*_with_derivative(case))

    check_failing_allocations(work)
