"""One operator applied to one sample: graph, derivatives and runs.

A fixed-point value is compared and differentiated as the quantity it stands for. Its
quantum follows from the first letter of its name in the signature: x positions in
quanta of unit[0] mesh cells of box / mesh, p momenta in quanta of unit[1], q values in
quanta of step or scale.
"""

import gc
import re

import numpy as np

from gradiverse import _core

from .samples import CONTINUOUS, direction, make, names, pack

ROWS = {row["name"]: row for row in _core.ops()}

#: Operators with functions, callbacks or no inputs: not describable by samples, tested
#: with the transforms that make them.
STRUCTURAL = frozenset(("call", "cond", "const", "external", "input", "scan", "while"))
#: Their inputs have dtypes or an order that samples cannot name; each has tests of its
#: own.
FIXED_POINT = frozenset((
    "cone_count", "cone_paint", "cone_pull", "cone_push", "dequantize",
))  # fmt: skip
#: NumPy dtypes of fixed-point values
BORDER = {"q32": "int32", "q64": "int64"}
#: and of their cotangents
FLOAT = {"q32": "float32", "q64": "float64"}
#: Their first derivative refuses to be differentiated with respect to some input.
ONCE = frozenset(
    ("pm_force", "pm_force_t", "pm_kick", "pm_paint", "sn_draw", "sn_loglike")
)
#: Accuracy of values relative to the largest, in units of the dtype's epsilon; what
#: is not named here is elementary or a short sum.
EPSILONS = {
    "cholesky": 2e3, "digamma": 200, "eig": 1e4, "eigh": 1e4, "erfcx": 200,
    "gammaln": 200, "gp_condition": 1e4, "gp_logml": 1e4, "gp_logml_bwd": 1e4,
    "hermite": 1e3, "hermite_t": 1e3, "inv": 1e4, "log_ndtr": 200, "logdet_spd": 1e3,
    "ndtri": 1000, "polygamma": 2000, "pow": 200, "qr": 1e3, "slogdet": 1e3,
    "solve": 1e4, "svd": 1e4, "trisolve": 1e4,
}  # fmt: skip


def real_of(dtype):
    """The real dtype of a complex one."""
    return np.zeros(0, dtype).real.dtype


def assert_close(actual, wanted, epsilons=64.0, what="", dtype=None, fixed=False):
    """Equal up to so many epsilons of the scale of the values; the epsilon is that of
    the values or, where coarser, of the dtype they were computed in. Fixed-point values
    round what went before: up to one quantum besides."""
    actual, wanted = np.asarray(actual), np.asarray(wanted)
    assert actual.shape == wanted.shape, (what, actual.shape, wanted.shape)
    if fixed:
        eps = np.finfo("float32" if actual.dtype.itemsize == 4 else "float64").eps
        scale = np.abs(wanted.astype(float)).max(initial=0.0)
        gap = np.abs((actual - wanted).astype(float)).max(initial=0.0)
        assert gap <= 1 + epsilons * eps * scale, (what, gap)
        return
    if actual.dtype.kind in "bi" or actual.size == 0:
        np.testing.assert_array_equal(actual, wanted, err_msg=what)
        return
    finite = np.abs(wanted[np.isfinite(wanted)])
    scale = finite.max() if finite.size else 0.0
    kinds = [actual.dtype] if dtype is None else [actual.dtype, dtype]
    bound = epsilons * max(np.finfo(real_of(d)).eps for d in kinds)
    np.testing.assert_allclose(actual, wanted, rtol=bound, atol=bound * scale,
                               err_msg=what)  # fmt: skip


class Case:
    """An operator's node over placeholders, and arrays for these."""

    def __init__(self, sample, dtype, seed=0):
        self.sample, self.row = sample, ROWS[sample.op]
        self.arrays = make(sample, dtype, seed)
        self.dtype = np.dtype(dtype)
        self.graph = g = _core.Graph()
        self.names = names(sample, dtype)
        self.inputs = self.placeholders(self.arrays, self.names)
        first = self.emit(self.inputs)
        self.outs = [first + k for k in range(g.nout(first))]
        self.rng = np.random.default_rng(seed + 1)

    def emit(self, inputs):
        """The operator on other values of the graph -> its first output."""
        attrs = pack(self.row, self.sample.attrs)
        return self.graph.op(self.sample.op, tuple(inputs), attrs)

    @property
    def epsilons(self):
        """Accuracy of the values of this operator."""
        return EPSILONS.get(self.sample.op, 64.0)

    def type(self, v):
        """(dtype, shape) of a value."""
        name, shape = self.graph.type(v)
        return np.dtype(BORDER.get(name, name)), tuple(shape)

    def fixed(self, v):
        """Is the value in fixed point?"""
        return self.graph.type(v)[0] in BORDER

    def cotangent(self, v):
        """(dtype, shape) of cotangents and tangents of a value."""
        name, shape = self.graph.type(v)
        return np.dtype(FLOAT.get(name, name)), tuple(shape)

    def quantum(self, k, out=False):
        """What one unit of input (output) k stands for, over its elements."""
        ends = self.row["signature"].split("->")
        rows = [re.findall(r"(\w+)\(", e) for e in ends]
        given = dict(zip(rows[0], self.arrays, strict=False))
        attrs, letter = self.sample.attrs, rows[out][k][0]
        if "scale" in attrs:
            return attrs["scale"]
        if letter == "q":
            return given["step"][..., None]
        unit = given["unit"][..., None, None]
        if letter == "p":
            return unit[..., 1, :, :]
        assert letter == "x", (self.sample.op, rows[out][k])
        box = np.array([attrs[n] for n in ("lx", "ly", "lz")])
        return (box / attrs["mesh"])[:, None] * unit[..., 0, :, :]

    def physical(self, v, array):
        """The quantity that an output's array stands for."""
        if not self.fixed(v):
            return array
        return array * self.quantum(self.outs.index(v), out=True)

    def moved(self, k, step):
        """Input k moved by a step in physical units."""
        x = self.arrays[k]
        if self.names[k] not in BORDER:
            return x + step
        return x + np.rint(step / self.quantum(k)).astype(x.dtype)

    def run(self, outs=None, given=(), arrays=(), inputs=None):
        """Compute values from the sample's arrays and further inputs."""
        outs = self.outs if outs is None else outs
        program = self.graph.program([*self.inputs, *given], list(outs))
        return program.run([*(self.arrays if inputs is None else inputs), *arrays])

    # --- derivatives ----------------------------------------------------------------
    @property
    def continuous(self):
        """Indices of the inputs that carry a derivative."""
        inputs = enumerate(self.sample.inputs)
        return [k for k, i in inputs if i.kind in CONTINUOUS and not i.held]

    def smooth(self):
        """Values that depend smoothly on the inputs: float and fixed-point outputs,
        where free up to signs or phases replaced by combinations that are not."""
        outs = _INVARIANT.get(self.sample.op, lambda case: case.outs)(self)
        return [v for v in outs if self.cotangent(v)[0].kind in "fc"]

    def random_like(self, v):
        """A random array of the type of a value's cotangent."""
        dtype, shape = self.cotangent(v)
        x = self.rng.normal(size=shape)
        if dtype.kind == "c":
            x = x + 1j * self.rng.normal(size=shape)
        return np.asarray(x, dtype)

    def directions(self):
        """A random direction for each continuous input."""
        return [
            direction(self.sample, self.arrays, k, self.rng) for k in self.continuous
        ]

    def placeholders(self, arrays, dtypes=None):
        """New inputs of the shapes of arrays, of their dtypes or those named."""
        dtypes = dtypes or [a.dtype.name for a in arrays]
        pairs = zip(dtypes, arrays, strict=True)
        return [self.graph.input(name, a.shape) for name, a in pairs]

    def vjp(self, outs, weights):
        """Cotangents of the continuous inputs as values (-1 where zero)."""
        wrt = [self.inputs[k] for k in self.continuous]
        return self.graph.vjp(list(outs), list(weights), wrt)

    def dot(self, pairs):
        """Value of Re sum conj(a) b over pairs of values of the graph."""
        g, total = self.graph, None
        for a, b in pairs:
            dtype, shape = self.type(a)
            if dtype.kind == "c":
                a = g.op("conj", (a,))
            p = g.op("mul", (a, b))
            if dtype.kind == "c":
                p = g.op("real", (p,))
            if shape:
                axes = tuple(range(-len(shape), 0))
                p = g.op("reduce_sum", (p,), (len(axes), *axes))
            total = p if total is None else g.op("add", (total, p))
        return total


def inner(a, b):
    """Re sum conj(a) b in double precision."""
    wide = np.complex128 if np.iscomplexobj(a) or np.iscomplexobj(b) else np.float64
    return float(np.sum(np.conj(np.asarray(a, wide)) * np.asarray(b, wide)).real)


# --- combinations of outputs without arbitrary signs --------------------------------


def _scaled(case, matrix, like):
    """Columns of a matrix value times fixed, different numbers."""
    dtype, shape = case.type(like)
    weights = np.linspace(1.0, 2.0, shape[-1])
    c = case.graph.const(np.broadcast_to(weights, shape).astype(dtype).copy())
    return case.graph.op("mul", (matrix, c))


def _matmul(case, a, b, ta=0, tb=0):
    return case.graph.op("matmul", (a, b), (ta, tb))


def _eigh(case):
    w, v = case.outs
    return [w, _matmul(case, _scaled(case, v, v), v, 0, 2)]


def _eig(case):
    w, v = case.outs
    inverse = case.graph.op("inv", (v,))
    return [w, _matmul(case, _scaled(case, v, v), inverse)]


def _svd(case):
    u, s, vh = case.outs
    return [s, _matmul(case, _scaled(case, u, u), vh)]


_INVARIANT = {"eigh": _eigh, "eig": _eig, "svd": _svd}


def check_failing_allocations(work):
    """Every k-th allocation of `work` fails in turn: MemoryError, and nothing leaks."""

    def run():
        _core.plan_cache_clear()
        work()

    run()  # libraries and pools set up what they keep
    run()
    _core.plan_cache_clear()
    gc.collect()
    before = _core.alloc_stats()["live_blocks"]
    for k in range(1, 3000):
        _core.alloc_fail_after(k)
        try:
            run()
        except MemoryError:
            failed = True
        else:
            failed = False
        finally:
            _core.alloc_fail_after(0)
        _core.plan_cache_clear()
        assert _core.alloc_stats()["live_blocks"] == before, f"allocation {k} leaks"
        if not failed:
            break
    assert 1 < k < 2999
