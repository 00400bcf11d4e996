"""Traces: Python functions become nodes of one C graph.

The outermost transform opens a `Trace` with one `_core.Graph`; transforms inside it
work in the same graph. Values of uncompiled transforms are computed when Python
asks for them (`float(x)`, `if x > 0`), and kept, so that later runs start there.
"""

import math
import threading
import weakref

import numpy as np

from . import _core
from ._attrs import pack, spec_of
from ._lines import user_line
from .var import Var

__all__ = ["Trace", "Var", "emit", "evaluate", "is_traced", "lift", "run"]

SMALL = 4096  # bytes: up to here arrays become constants of the graph

DTYPES = {
    name: np.dtype(name)
    for name in (
        "bool",
        "int32",
        "int64",
        "float32",
        "float64",
        "complex64",
        "complex128",
    )
}
#: dtype name -> code of the C enumeration
CODES = {name: code for code, name in enumerate([*DTYPES, "q32", "q64"])}
_STAND_IN = {
    "int8": "int32",
    "int16": "int32",
    "uint8": "int32",
    "uint16": "int32",
    "uint32": "int64",
    "uint64": "int64",
    "float16": "float32",
    "longdouble": "float64",
    "clongdouble": "complex128",
}
_NATIVE = {d: d for d in DTYPES.values()}
for _foreign, _own in _STAND_IN.items():
    _NATIVE[np.dtype(_foreign)] = DTYPES[_own]


def native_dtype(dtype):
    """The engine's dtype that holds values of a NumPy dtype; TypeError if none."""
    found = _NATIVE.get(dtype)
    if found is None:
        plain = np.dtype(dtype).newbyteorder("=")
        found = _NATIVE.get(plain)
        if found is None:
            raise TypeError(
                f"arrays of dtype {dtype} cannot be traced; convert to one of "
                + ", ".join(DTYPES)
            )
        _NATIVE[dtype] = found
    return found


def native(x, dtype=None):
    """x as a C-contiguous array of an engine dtype (a copy only where needed)."""
    if type(x) is not np.ndarray:
        if hasattr(x, "mask") and hasattr(x, "filled"):
            raise TypeError("masked arrays cannot be traced; fill them first (.filled)")
        x = np.asarray(x)
    if x.dtype.kind == "u" and x.dtype.itemsize == 8 and x.size and x.max() > 2**63 - 1:
        raise TypeError("uint64 values above 2**63 - 1 cannot be traced; use float64")
    want = native_dtype(x.dtype if dtype is None else np.dtype(dtype))
    return np.asarray(x, dtype=want, order="C")


class _State(threading.local):
    def __init__(self):
        self.stack = []


_state = _State()


def current():
    """The open trace of this thread, or None."""
    stack = _state.stack
    return stack[-1] if stack else None


class barrier:
    """While inside, no trace counts as open (user code called by a running program)."""

    def __enter__(self):
        _state.stack.append(None)

    def __exit__(self, *exc):
        _state.stack.pop()


class Trace:
    """One graph under construction, and the values known in it.

    Attributes
    ----------
    graph : _core.Graph
    values : dict
        id -> ndarray: bound inputs, captured arrays, sub-graphs evaluated so far.
    unbound : dict
        id -> str: placeholders without a value and what they stand for.
    sources : list of int
        Values that results of an inner transform may not outlive: arguments of
        the transforms that are open.
    held : set
        What programs of this graph call back into; their owners must keep it.
    """

    __slots__ = (
        "_line",
        "_live",
        "_memo",
        "_room",
        "closed",
        "graph",
        "held",
        "sources",
        "unbound",
        "values",
    )

    def __init__(self):
        self.graph = _core.Graph()
        self.values = {}
        self.unbound = {}
        self.sources = []
        self.held = set()
        self.closed = False
        self._memo = {}
        self._live = []  # references to the Vars that may still be used
        self._room = 1000
        self._line = None

    def __enter__(self):
        _state.stack.append(self)
        return self

    def __exit__(self, *exc):
        _state.stack.pop()
        self.closed = True

    # --- making values ----------------------------------------------------------
    def var(self, vid, weak=False):
        """The `Var` of a value of the graph."""
        name, shape = self.graph.type(vid)
        v = Var(self, vid, DTYPES.get(name, name), shape, weak)
        live = self._live
        live.append(weakref.ref(v))
        if len(live) > self._room:
            self._live = live = [ref for ref in live if ref() is not None]
            self._room = 1000 + 2 * len(live)
        return v

    def mark_line(self):
        """Give the nodes made from now on the user's present line."""
        line = user_line(2)
        if line is not self._line:
            self.graph.set_line(line)
            self._line = line

    def bind(self, array):
        """A new input that has the value `array` (not copied) -> id."""
        array = native(array)
        vid = self.graph.input(array.dtype.name, array.shape)
        self.values[vid] = array
        self.graph.know((vid,))
        self.sources.append(vid)
        return vid

    def placeholder(self, dtype, shape, what):
        """A new input without a value; `what` names it in errors -> id."""
        vid = self.graph.input(str(dtype), tuple(shape))
        self.unbound[vid] = what
        return vid

    def known(self, array):
        """Take an argument that nobody changes meanwhile without a copy, if used."""
        if array.nbytes > SMALL:
            self._memo[id(array)] = [array, None, None]

    def const(self, array):
        """The id of a constant array, small or captured."""
        if array.nbytes <= SMALL:
            return self.graph.const(native(array))
        return self._capture(array)

    def _capture(self, array):
        entry = self._memo.get(id(array))
        if entry is not None:
            _, snapshot, vid = entry
            if vid is not None and (snapshot is None or _unchanged(array, snapshot)):
                return vid
            if vid is None:  # announced by known(): no copy
                entry[2] = self._hidden(native(array))
                return entry[2]
        own = native(array)
        frozen = array.flags.owndata and not array.flags.writeable
        if not frozen and np.may_share_memory(own, array):
            own = own.copy()
        vid = self._hidden(own)
        self._memo[id(array)] = [array, None if frozen else own, vid]
        return vid

    def _hidden(self, own):
        vid = self.graph.input(own.dtype.name, own.shape)
        self.values[vid] = own
        self.graph.know((vid,))
        return vid

    def zeros(self, dtype, shape):
        """The id of an array of zeros."""
        vid = self.graph.const(np.zeros((), dtype))
        return self.op("broadcast", (vid,), (0, len(shape), *shape)) if shape else vid

    def op(self, name, ids, attrs=(), funcs=()):
        """Add a node -> id of its first output."""
        if self.closed:
            raise TypeError(
                "a traced value is used after its transform has ended"
                f" ({user_line()}); return it from the function instead of storing it"
            )
        self.mark_line()
        if funcs:
            return self.graph.op(name, ids, attrs, funcs)
        return self.graph.op(name, ids, attrs)

    def alias(self, vid):
        """A fresh identity of a value: what a transform differentiates."""
        return self.op("alias", (vid,))

    # --- values -----------------------------------------------------------------
    def run(self, ids):
        """Compute values -> list of fresh arrays."""
        given = self.given(ids)
        program = self.graph.program(given, ids)
        values = self.values
        return program.run([values[i] for i in given])

    def given(self, ids):
        """The known values that ids depend on: where a program begins."""
        return self.graph.frontier(ids)

    def missing(self, ids):
        """What the first placeholder without value stands for that ids depend on."""
        if self.unbound:
            unbound = list(self.unbound)
            for vid, needed in zip(
                unbound, self.graph.needed(ids, unbound), strict=True
            ):
                if needed:
                    return self.unbound[vid]
        return None

    def evaluate(self, var, purpose="this"):
        """The value of a Var as an array that must not be written to."""
        found = self.values.get(var.id)
        if found is not None:
            return found
        what = self.missing([var.id])
        if what is not None:
            raise TypeError(
                f"{purpose} needs the value of a traced {var.dtype}{list(var.shape)}"
                f" at {user_line()}, but it depends on {what}, which has none while"
                " the function is traced; use gv.ops.where, gv.cond or"
                " gv.while_loop, or make the argument static"
            )
        live, ids = [], []
        for ref in self._live:
            v = ref()
            if v is not None:
                live.append(ref)
                if v.id not in self.values:
                    ids.append(v.id)
        self._live = live
        needed = self.graph.needed([var.id], ids, True)
        ids = sorted({var.id, *(i for i, n in zip(ids, needed, strict=True) if n)})
        for i, array in zip(ids, self.run(ids), strict=True):
            array.flags.writeable = False
            self.values[i] = array
        self.graph.know(ids)
        return self.values[var.id]

    def independent(self, ids):
        """True when the values depend on constants alone."""
        return not any(self.graph.depends(ids, [*self.sources, *self.unbound]))


def _unchanged(array, snapshot):
    if array.dtype != snapshot.dtype or array.shape != snapshot.shape:
        return bool(np.array_equal(array, snapshot))
    if not array.flags.c_contiguous:
        return bool(np.array_equal(array, snapshot))
    width = math.gcd(array.itemsize, 8)
    bits = f"u{width}"
    return bool((array.reshape(-1).view(bits) == snapshot.reshape(-1).view(bits)).all())


# --- the functions others use -------------------------------------------------------
def emit(name, inputs, /, **attrs):
    """Apply one operator of the table.

    Parameters
    ----------
    name : str
        Operator's name in the table.
    inputs : sequence of Var, array or scalar
        Operands; arrays are lifted as they are, without promotion.
    **attrs
        The operator's attributes by name.

    Returns
    -------
    Var or tuple of Var
        A tuple where the operator has several outputs. With no traced operand the
        operator runs at once and arrays are returned.
    """
    trace = None
    weak = True
    for x in inputs:
        if type(x) is Var:
            if trace is None:
                trace = x.owner
            elif x.owner is not trace:
                raise _stranger()
            if not x.weak:
                weak = False
        else:
            weak = False
    if trace is None:
        return run(lambda *v: emit(name, v, **attrs), *inputs)
    fields, multiple = spec_of(name)
    packed = pack(name, fields, attrs) if fields or attrs else ()
    ids = tuple(
        [x.id if type(x) is Var else trace.const(np.asarray(x)) for x in inputs]
    )
    vid = trace.op(name, ids, packed)
    if multiple:
        n = trace.graph.nout(vid)
        return tuple(trace.var(vid + k, weak) for k in range(n))
    return trace.var(vid, weak)


def _stranger():
    return TypeError(
        f"values of two different traces meet at {user_line()}; a traced value may"
        " not be kept from an earlier or another thread's transform"
    )


def lift(x, like=None, dtype=None):
    """Make a Var of a constant.

    Parameters
    ----------
    x : Var, array or scalar
        A Var is returned as it is. Arrays keep their dtype; Python numbers become
        weak float64, int64, complex128 or bool.
    like : Var, optional
        Decides the trace; default: the innermost open one.
    dtype : optional
        Convert to this dtype first.
    """
    if type(x) is Var:
        return x
    trace = like.owner if like is not None else current()
    if trace is None:
        raise RuntimeError("lift: no trace is open")
    weak = dtype is None and type(x) in (float, int, complex)
    array = x if isinstance(x, np.ndarray) else np.asarray(x)
    if dtype is not None and array.dtype != dtype:
        array = array.astype(dtype)
    return trace.var(trace.const(array), weak)


def is_traced(*xs):
    """True when a traced value is among the arguments, or in lists or tuples there."""
    for x in xs:
        if type(x) is Var:
            return True
        if isinstance(x, (list, tuple)) and x and is_traced(*x):
            return True
    return False


def evaluate(x, purpose="this"):
    """The value of a traced or plain value as an array.

    Raises
    ------
    TypeError
        Naming the user's line, where the value is not known while tracing
        (`gv.compile`, bodies of scan, cond, while_loop and vmap).
    """
    return x.owner.evaluate(x, purpose).copy() if type(x) is Var else np.asarray(x)


def run(f, *arrays):
    """Trace f on the arrays and compute its result at once.

    Parameters
    ----------
    f : callable
        Takes one Var for each array; returns a Var or a tuple of Vars.
    *arrays : array

    Returns
    -------
    ndarray or tuple of ndarray
        0-d results as NumPy scalars.
    """
    with Trace() as trace:
        out = f(*[trace.var(trace.bind(a)) for a in arrays])
    outs = out if isinstance(out, tuple) else (out,)
    results = [a[()] for a in trace.run([v.id for v in outs])]
    return tuple(results) if isinstance(out, tuple) else results[0]
