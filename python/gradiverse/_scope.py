"""What all transforms share: joining or opening a trace, and sorting arguments."""

import numpy as np

from . import graph as _graph
from .graph import Var, native, native_dtype
from .tree import flatten, leaf_paths, matched

#: dtype of the cotangent of a value by name of its dtype (None: has none)
COTANGENT = {
    "float32": "float32",
    "float64": "float64",
    "complex64": "complex64",
    "complex128": "complex128",
    "q32": "float32",
    "q64": "float64",
}


def has_var(nest):
    """True when a traced value is among the leaves."""
    return any(type(x) is Var for x in flatten(nest)[0])


def is_array(x):
    """True for what is traced as an array: numeric arrays and NumPy scalars."""
    return isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind in "biufc"


def as_leaf(x):
    """Foreign arrays (pandas columns, tensors of other packages) as NumPy arrays."""
    if (
        hasattr(x, "__array__")
        and not isinstance(x, (Var, np.ndarray, np.generic))
        and not isinstance(x, type)
    ):
        array = np.asarray(x)
        if array.dtype.kind in "biufc":
            return array
    return x


def scalars(arrays):
    """0-d arrays as NumPy scalars."""
    return [a[()] if a.ndim == 0 else a for a in arrays]


def unshared(out, args):
    """A plain function's result, with copies of arrays that share memory with args."""
    if _graph.current() is not None:
        return out
    given = [x for x in flatten(args)[0] if isinstance(x, np.ndarray)]
    leaves, tree = flatten(out)
    seen = []
    for k, x in enumerate(leaves):
        if isinstance(x, np.ndarray):
            if any(np.may_share_memory(x, y) for y in (*given, *seen)):
                leaves[k] = x.copy()
            seen.append(leaves[k])
    return tree.unflatten(leaves)


class Scope:
    """The trace a transform works in: the open one, or its own.

    Parameters
    ----------
    *nests
        Arguments of the call; they decide whether results may be plain arrays.
    """

    def __init__(self, *nests):
        outer = _graph.current()
        self.owned = outer is None
        self.trace = _graph.Trace() if self.owned else outer
        self.direct = self.owned  # plain arrays may be bound without a copy
        self.plain = self.owned or not has_var(nests)
        self._mark = len(self.trace.sources)

    def __enter__(self):
        if self.owned:
            self.trace.__enter__()
        return self

    def __exit__(self, *exc):
        if self.owned:
            self.trace.__exit__(*exc)
        else:
            del self.trace.sources[self._mark :]

    def know(self, *nests):
        """Announce plain arrays that the function may use (spares a copy)."""
        if self.owned:
            for x in flatten(nests)[0]:
                if isinstance(x, np.ndarray):
                    self.trace.known(x)

    def enter(self, x, weak=False):
        """An argument as a Var with an identity of its own."""
        trace = self.trace
        if type(x) is Var:
            if x.owner is not trace:
                raise _graph._stranger()
            vid, weak = trace.alias(x.id), x.weak
            trace.sources.append(vid)
        elif self.owned:
            vid = trace.bind(x)
        else:
            vid = trace.alias(trace.const(np.asarray(x)))
            trace.sources.append(vid)
        return trace.var(vid, weak)

    def plainly(self, x):
        """An argument or result as a Var without a new identity."""
        if type(x) is Var:
            return x
        weak = type(x) in (float, int, complex)
        trace = self.trace
        if self.direct and isinstance(x, np.ndarray) and x.nbytes > _graph.SMALL:
            vid = trace.bind(x)
        else:
            vid = trace.const(np.asarray(x))
        return trace.var(vid, weak)

    def results(self, ids, weak=None):
        """Values as arrays where they are known for good, else as Vars.

        Call it after the ``with`` block.
        """
        trace = self.trace
        if self.owned or (self.plain and trace.independent(ids)):
            return scalars(trace.run(ids))
        if weak is None:
            weak = [False] * len(ids)
        return [trace.var(i, w) for i, w in zip(ids, weak, strict=True)]


class Wrt:
    """Differentiated leaves of one argument.

    Attributes
    ----------
    value
        The argument with Vars in place of its float leaves.
    vars : list of Var
    """

    def __init__(self, scope, x, name, strict):
        leaves, self.tree = flatten(x)
        self.vars = []
        self._slots = []  # for each leaf: index into vars, or None
        self._dtype = []  # dtype of the gradient, where it differs from the traced
        out = []
        for k, leaf in enumerate(leaves):
            var = self._leaf(scope, as_leaf(leaf), strict, lambda k=k: (name, x, k))
            self._slots.append(None if var is None else len(self.vars))
            out.append(leaf if var is None else var)
            if var is not None:
                self.vars.append(var)
        self.value = self.tree.unflatten(out)

    def _leaf(self, scope, x, strict, where):
        kind = type(x)
        if kind is Var:
            if str(x.dtype) in COTANGENT:
                self._dtype.append(None)
                return scope.enter(x)
        elif kind is float or kind is complex:
            self._dtype.append(None)
            return scope.enter(np.asarray(x), weak=True)
        elif kind is int or isinstance(x, np.integer):
            self._dtype.append(None)
            var = scope.enter(np.asarray(float(x)), weak=True)
            var.pyint = int(x)
            return var
        elif not is_array(x):
            return None
        elif x.dtype.kind in "fc":
            plain = x.dtype.newbyteorder("=")
            self._dtype.append(plain if native_dtype(plain) != plain else None)
            return scope.enter(x)
        if strict and not isinstance(x, np.bool_):
            (name, function), nest, k = where()
            raise TypeError(
                f"{name}{leaf_paths(nest)[k]} of {function} has dtype {x.dtype}, which"
                " has no derivative; convert it to float, or pass it as an argument"
                " that argnums does not name"
            )
        return None

    @property
    def ids(self):
        """The values to differentiate with respect to."""
        return [v.id for v in self.vars]

    def nest(self, results):
        """The argument's nest with one result for each Var; None where static."""
        done = []
        for r, dtype in zip(results, self._dtype, strict=True):
            if dtype is not None and type(r) is not Var:
                r = r.astype(dtype)
            done.append(r)
        return self.tree.unflatten(
            [None if k is None else done[k] for k in self._slots]
        )

    def match(self, x, what):
        """Leaves of x that belong to the Vars; None where x has None."""
        leaves = matched(x, self.tree.unflatten(range(self.tree.n)), what)
        return [
            leaf for leaf, k in zip(leaves, self._slots, strict=True) if k is not None
        ]


class Outputs:
    """The leaves of a traced function's result.

    Static leaves (strings, None, Python scalars that are not traced) stay in place;
    arrays made outside the trace become constants.
    """

    def __init__(self, scope, out, scalars_too=False):
        self.raw, self.tree = flatten(out)
        self.vars = []
        self.slots = []
        self.paths = lambda: leaf_paths(out)
        for x in self.raw:
            x = as_leaf(x)
            number = scalars_too and type(x) in (float, complex, int)
            if type(x) is Var or is_array(x) or number:
                self.slots.append(len(self.vars))
                self.vars.append(scope.plainly(x))
            else:
                self.slots.append(None)

    @property
    def ids(self):
        """The values."""
        return [v.id for v in self.vars]

    @property
    def weak(self):
        """Weak marks of the values."""
        return [v.weak for v in self.vars]

    def nest(self, results, static=True):
        """The result's nest with these values; static leaves kept, or None."""
        return self.tree.unflatten(
            [
                (raw if static else None) if k is None else results[k]
                for raw, k in zip(self.raw, self.slots, strict=True)
            ]
        )


def cast_like(scope, x, dtype, shape, what):
    """A tangent or cotangent as an id of this dtype and shape; errors say `what`."""
    if type(x) is Var:
        if x.owner is not scope.trace:
            raise _graph._stranger()
        got, have = x.shape, x.dtype
    else:
        x = np.asarray(x)
        got, have = x.shape, x.dtype
    if tuple(got) != tuple(shape):
        raise ValueError(f"{what} has shape {tuple(got)}, expected {tuple(shape)}")
    want = np.dtype(dtype)
    if have != want:
        if have.kind not in "biufc" or (have.kind == "c" and want.kind != "c"):
            raise TypeError(f"{what} has dtype {have}, expected {want}")
        x = x.astype(want)
    return x.id if type(x) is Var else scope.trace.const(native(x))
