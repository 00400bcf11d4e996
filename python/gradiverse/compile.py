"""compile: trace once, then run the planned program.

The first call with new shapes, dtypes, static values or structure traces the function
and plans the program; later calls find it by signature. Calls with arrays, Python
floats and plain static values are recognised in C.
"""

import html
import threading
from collections import Counter

import numpy as np

from . import _core, config
from . import graph as _graph
from ._scope import Outputs, Scope, as_leaf, is_array, scalars
from .graph import DTYPES, native, native_dtype
from .tree import flatten, leaf_paths

__all__ = ["Compiled", "Plan", "compile"]

_PLAIN_STATIC = (int, bool, str, type(None))
MOST_ENTRIES = 512  # signatures that one function keeps; the oldest goes
MOST_FAST = 64  # of them those that are looked up in C, one after the other
NATIVE = frozenset(DTYPES.values())
_WHAT = "an argument of gv.compile"


class Plan:
    """The planned program of one signature.

    Attributes
    ----------
    peak_bytes : int
        Bytes of the working memory beside arguments and results.
    ops : list of str
        Operators in order of execution.
    """

    def __init__(self, name, program, constants):
        self._name = name
        self._program = program
        self._constants = constants
        self.peak_bytes = program.peak_bytes
        self.ops = list(program.ops)

    def _head(self):
        return (
            f"plan of {self._name}: {len(self.ops)} steps, peak"
            f" {_bytes(self.peak_bytes)}, constants {_bytes(self._constants)}"
        )

    def __str__(self):
        return f"{self._head()}\n{self._program.dump()}"

    def __repr__(self):
        return f"<{self._head()}>"

    def _repr_html_(self):
        rows = "".join(
            f"<tr><td>{html.escape(op)}</td><td>{n}</td></tr>"
            for op, n in Counter(self.ops).most_common()
        )
        return (
            f"<b>{html.escape(self._head())}</b>"
            f"<table><tr><th>operator</th><th>times</th></tr>{rows}</table>"
            f"<details><summary>steps</summary><pre>{html.escape(self._program.dump())}"
            "</pre></details>"
        )


def _bytes(n):
    for unit in ("B", "kB", "MB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} GB"


def _freeze(x, where):
    """A hashable key that tells 1, 1.0 and True apart."""
    kind = type(x)
    if kind is float:
        return float, x.hex()
    if kind is tuple or kind is list:
        return kind, tuple(_freeze(v, where) for v in x)
    if kind is dict:
        return dict, tuple((k, _freeze(v, where)) for k, v in x.items())
    if isinstance(x, np.ndarray):
        why = (
            "which is not hashable; leave it out of static_argnums"
            if is_array(x)
            else "which cannot be traced; convert it to numbers"
        )
        raise TypeError(f"gv.compile: {where} is an array of dtype {x.dtype}, {why}")
    try:
        hash(x)
    except TypeError:
        raise TypeError(
            f"gv.compile: {where} is a {kind.__name__}, which is neither an array nor"
            " hashable; pass arrays, or register the class with gv.register_dataclass"
        ) from None
    return kind, x


class _Entry:
    """A traced and planned signature."""

    def __init__(self, program, hidden, outputs):
        self.program = program
        self.hidden = hidden
        self.outputs = outputs

    def finish(self, arrays):
        """Results of the program as the function's result."""
        return self.outputs.nest(scalars(arrays))

    def run(self, arrays):
        """Run the program on the call's arrays."""
        return self.finish(self.program.run([*arrays, *self.hidden]))

    def out(self):
        """How the dispatcher is to return results."""
        tree, slots = self.outputs.tree, self.outputs.slots
        if tree.kind is None and slots == [0]:
            return "single"
        flat = tree.kind is tuple and all(c.kind is None for c in tree.children)
        if flat and slots == list(range(len(slots))):
            return "tuple"
        return self.finish


def _quick(x, leaves, key):
    """Add x to a cheap signature of a call; False where it takes more care."""
    kind = type(x)
    if kind is np.ndarray:
        leaves.append(x)
        key.append(x.dtype)
        key.append(x.shape)
    elif kind is float:
        leaves.append(x)
        key.append(float)
    elif kind is dict:
        key.append((dict, *x))
        for v in x.values():
            if not _quick(v, leaves, key):
                return False
    elif kind is tuple or kind is list:
        key.append((kind, len(x)))
        for v in x:
            if not _quick(v, leaves, key):
                return False
    elif kind is int or kind is bool or kind is str or x is None:
        key.append((kind, x))
    else:
        return False
    return True


def _in_order(x, found):
    """Leaves of dicts, lists and tuples as `_quick` meets them."""
    if isinstance(x, dict):
        x = x.values()
    if isinstance(x, int):
        found.append(x)
    elif x is not None:
        for v in x:
            _in_order(v, found)


class _Call:
    """Arguments of one call, sorted into arrays and static values."""

    def __init__(self, args, kwargs, static):
        self.static = {k: args[k] for k in static}
        self.args = [None if k in static else a for k, a in enumerate(args)]
        self.leaves, self.tree = flatten((self.args, kwargs))
        self.arrays, self.specs, self.at = [], [], []
        for k, x in enumerate(self.leaves):
            x = as_leaf(x)
            kind = type(x)
            if kind is float or kind is complex:
                spec = ("weak", kind)
                x = np.asarray(x)
            elif is_array(x) and (isinstance(x, np.ndarray) or x.dtype.kind in "fc"):
                spec = (x.dtype.str, x.shape)
            else:
                self.specs.append(_freeze(x, _path(args, kwargs, static, k)))
                continue
            self.specs.append(spec)
            self.at.append(k)
            self.arrays.append(native(x))

    @property
    def key(self):
        """The signature."""
        static = tuple(
            (k, _freeze(v, f"static argument {k}")) for k, v in self.static.items()
        )
        return self.tree, tuple(self.specs), static

    def rebuild(self, new):
        """(args, kwargs) with other values in place of the arrays."""
        leaves = list(self.leaves)
        for k, v in zip(self.at, new, strict=True):
            leaves[k] = v
        args, kwargs = self.tree.unflatten(leaves)
        for k, v in self.static.items():
            args[k] = v
        return args, kwargs

    def order(self):
        """Where among the leaves that `_quick` finds the program's inputs are."""
        found = []
        _in_order(self.tree.unflatten(range(len(self.leaves))), found)
        traced = [k for k in found if k in set(self.at)]
        return [traced.index(k) for k in self.at]

    def template(self, kwargs):
        """What the dispatcher compares arguments with; None: not for it."""
        flat = all(c.kind is None or c.n == 0 for c in self.tree.children[0].children)
        if kwargs or not flat:
            return None
        entries = []
        traced = dict(zip(self.at, self.arrays, strict=True))
        leaf = 0
        for k, arg in enumerate(self.args):
            if k in self.static or arg is None:
                value = self.static.get(k)
                if type(value) not in _PLAIN_STATIC:
                    return None
                entries.append(("static", value))
                continue
            array = traced.get(leaf)
            leaf += 1
            if array is None:
                if type(arg) not in _PLAIN_STATIC:
                    return None
                entries.append(("static", arg))
            elif type(arg) is float:
                entries.append(float)
            elif is_array(arg) and arg.dtype == array.dtype:
                example = np.zeros((), array.dtype)
                if isinstance(arg, np.generic):
                    entries.append(example[()])
                else:
                    entries.append(np.broadcast_to(example, array.shape))
            else:
                return None
        return tuple(entries)


def _path(args, kwargs, static, k):
    """Name of the k-th leaf of a call."""
    nest = ([None if i in static else a for i, a in enumerate(args)], kwargs)
    return "argument" + leaf_paths(nest)[k][3:]


class Compiled(_core.Dispatch):
    """A function that is traced once for each signature; made by `compile`."""

    def __new__(cls, f, static_argnums):
        """A dispatcher whose misses come back to the object itself."""

        def miss(*args, **kwargs):
            return self._miss(*args, **kwargs)

        self = super().__new__(cls, miss)
        return self

    def __init__(self, f, static_argnums):
        self._f = f
        self._static = static_argnums
        self._entries = {}
        self._nests = {}
        self._n_fast = 0
        self._held = set()
        self._lock = threading.RLock()
        self.__name__ = getattr(f, "__name__", type(f).__name__)
        self.__doc__ = getattr(f, "__doc__", None)
        self.__wrapped__ = f

    def __get__(self, instance, owner=None):
        if instance is None:
            return self
        return lambda *args, **kwargs: self(instance, *args, **kwargs)

    def __repr__(self):
        return f"<gv.compile of {self.__name__}, {len(self._entries)} signatures>"

    def _positions(self, n):
        for k in self._static:
            if not -n <= k < n:
                raise ValueError(
                    f"gv.compile: static_argnums {k}, but {self.__name__} was called"
                    f" with {n} positional arguments"
                )
        return sorted({k % n for k in self._static})

    def _entry(self, args, kwargs):
        call = _Call(args, kwargs, self._positions(len(args)) if args else [])
        debug = config.debugging()
        key = (call.key, debug)
        entry = self._entries.get(key)
        if entry is None:
            with self._lock:
                entry = self._entries.get(key)
                if entry is None:
                    entry = self._trace(call)
                    if len(self._entries) >= MOST_ENTRIES:
                        del self._entries[next(iter(self._entries))]
                    self._entries[key] = entry
                    fast = not debug and self._n_fast < MOST_FAST
                    template = call.template(kwargs) if fast else None
                    if template is not None:
                        self._n_fast += 1
                        self.add(template, entry.program, entry.hidden, entry.out())
        return entry, call.arrays

    def _trace(self, call):
        with _graph.barrier(), Scope() as scope:
            trace = scope.trace
            scope.direct = False
            ids, new = [], []
            for k, array in zip(call.at, call.arrays, strict=True):
                dtype = native_dtype(array.dtype)
                vid = trace.placeholder(dtype, array.shape, _WHAT)
                ids.append(vid)
                new.append(trace.var(vid, type(call.leaves[k]) in (float, complex)))
            args, kwargs = call.rebuild(new)
            outputs = Outputs(scope, self._f(*args, **kwargs))
        wanted = outputs.ids
        given = trace.given(wanted)
        program = trace.graph.program([*ids, *given], wanted)
        self._held |= trace.held
        outputs.vars = []
        outputs.raw = [
            None if k is not None else x
            for x, k in zip(outputs.raw, outputs.slots, strict=True)
        ]
        return _Entry(program, [trace.values[i] for i in given], outputs)

    def _miss(self, *args, **kwargs):
        if _graph.current() is not None:
            return self._f(*args, **kwargs)
        leaves, key = [], []
        quick = not self._static and not config.debugging()
        if quick and _quick(args, leaves, key) and _quick(kwargs, leaves, key):
            key = tuple(key)
            found = self._nests.get(key)
            if found is not None:
                entry, order = found
                return entry.run([leaves[k] for k in order])
            entry, arrays = self._entry(args, kwargs)
            if all(x.dtype in NATIVE for x in leaves if type(x) is np.ndarray):
                if len(self._nests) >= MOST_ENTRIES:
                    self._nests.clear()
                self._nests[key] = entry, _Call(args, kwargs, []).order()
            return entry.run(arrays)
        entry, arrays = self._entry(args, kwargs)
        return entry.run(arrays)

    def plan(self, *args, **kwargs):
        """The planned program for these arguments, without running it.

        Returns
        -------
        Plan
            With ``peak_bytes``, ``ops``, and a table as ``str``.
        """
        entry, _ = self._entry(args, kwargs)
        constants = sum(a.nbytes for a in entry.hidden)
        return Plan(self.__name__, entry.program, constants)


def compile(f=None, static_argnums=()):
    """Trace a function once for each signature and run the planned program.

    Parameters
    ----------
    f : callable
        A pure function of nests of arrays. Other transforms may be inside or around.
    static_argnums : int or tuple of int
        Positional arguments taken as they are; a new value means a new trace. Ints,
        bools, strings, None and functions are static anyway.

    Returns
    -------
    Compiled
        Takes f's arguments. ``.plan(*args)`` shows the program: ``peak_bytes``,
        ``ops``, and a table as ``str``.

    Raises
    ------
    TypeError
        While tracing, where Python needs a value (``if x > 0``, ``float(x)``); names
        the line.

    Notes
    -----
    Arrays that f uses from outside are constants: their values when f was traced.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> f = gv.compile(lambda x: np.exp(x).sum())
    >>> float(f(np.zeros(3)))
    3.0
    """
    if f is None:
        return lambda g: compile(g, static_argnums)
    if not callable(f):
        raise TypeError(f"gv.compile: {f!r} is not a function")
    if isinstance(static_argnums, (int, np.integer)):
        static_argnums = (int(static_argnums),)
    return Compiled(f, tuple(int(k) for k in static_argnums))
