"""Functions with a derivative of their own: checkpoint, custom_vjp, external."""

import functools
from typing import NamedTuple

import numpy as np

from . import _core
from . import graph as _graph
from ._scope import COTANGENT, Outputs, Scope, as_leaf, has_var, is_array, unshared
from .graph import CODES, Var, native, native_dtype
from .tree import flatten, matched

__all__ = ["checkpoint", "custom_vjp", "external"]


class Fresh:
    """Arguments of a call with fresh identities in place of the traced leaves."""

    def __init__(self, scope, args):
        self.leaves, self.tree = flatten(args)
        self.old, self.new = [], []
        out = []
        for x in self.leaves:
            if type(x) is Var:
                self.old.append(x)
                x = scope.enter(x)
                self.new.append(x)
            out.append(x)
        self.args = self.tree.unflatten(out)

    @property
    def ids(self):
        """Where the slice begins."""
        return [v.id for v in self.new]


def checkpoint(f):
    """f, whose intermediate values are computed again in the backward pass.

    Saves memory: of the call only the arguments are kept.

    Parameters
    ----------
    f : callable
        Function of nests of arrays.

    Returns
    -------
    callable
        With the same results and derivatives.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> float(gv.grad(gv.checkpoint(lambda x: np.exp(np.sin(x))))(0.0))
    1.0
    """

    @functools.wraps(f, updated=())
    def wrapper(*args, **kwargs):
        if not has_var((args, kwargs)):
            return unshared(f(*args, **kwargs), (args, kwargs))
        with Scope(args, kwargs) as scope:
            trace = scope.trace
            fresh = Fresh(scope, (args, kwargs))
            new, named = fresh.args
            outputs = Outputs(scope, f(*new, **named))
            if not outputs.ids:
                return outputs.nest([])
            func, captured = trace.graph.func(fresh.ids, outputs.ids)
            ins = (*(v.id for v in fresh.old), *captured)
            vid = trace.op("call", ins, (1, 0, 0), (func,))
        return outputs.nest(
            [trace.var(vid + k, v.weak) for k, v in enumerate(outputs.vars)]
        )

    return wrapper


def custom_vjp(f, forward, backward):
    """f with a reverse-mode derivative given by hand.

    Parameters
    ----------
    f : callable
        ``f(*args) -> out``, used where no derivative is taken.
    forward : callable
        ``forward(*args) -> (out, residuals)``, the same out.
    backward : callable
        ``backward(residuals, g) -> tuple`` with a cotangent for each argument, None
        for zero. All three are traced.

    Returns
    -------
    callable
        Takes f's positional arguments. The rule holds for what is passed in; values
        that f closes over get no derivative. Forward mode differentiates f itself.

    Raises
    ------
    TypeError, ValueError
        If forward's result is not a pair, or backward's does not match the arguments.

    Examples
    --------
    >>> import gradiverse as gv
    >>> clipped = gv.custom_vjp(
    ...     lambda x: x * x, lambda x: (x * x, x), lambda x, g: (g * 1.0,)
    ... )
    >>> float(gv.grad(clipped)(3.0))
    1.0
    """

    @functools.wraps(f, updated=())
    def wrapper(*args):
        if not has_var(args):
            return unshared(f(*args), args)
        with Scope(args) as scope:
            trace = scope.trace
            fresh = Fresh(scope, args)
            plain = Outputs(scope, f(*fresh.args), scalars_too=True)
            pair = forward(*fresh.args)
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise TypeError("gv.custom_vjp: forward must return (out, residuals)")
            outputs = Outputs(scope, pair[0], scalars_too=True)
            _same(plain, outputs)
            kept = Outputs(scope, pair[1])
            rule, extra = _backward(scope, backward, fresh, outputs, kept)
            graph = trace.graph
            saved = [*kept.ids, *extra]
            _, captured = graph.func(fresh.ids, plain.ids)
            # forward may capture more than f: both get the longer list
            ahead, captured = graph.func(
                fresh.ids, [*outputs.ids, *saved], captured=captured
            )
            run, same = graph.func(fresh.ids, plain.ids, captured=captured)
            if list(same) != list(captured):
                raise RuntimeError("gv.custom_vjp: captured values disagree")
            ins = (*(v.id for v in fresh.old), *captured)
            attrs = (2, len(fresh.old), len(saved))
            vid = trace.op("call", ins, attrs, (run, ahead, rule))
        return plain.nest(
            [trace.var(vid + k, v.weak) for k, v in enumerate(plain.vars)]
        )

    return wrapper


def _same(plain, outputs):
    if plain.tree != outputs.tree:
        raise ValueError(
            f"gv.custom_vjp: forward's out is shaped {outputs.tree!r}, f's result"
            f" {plain.tree!r}"
        )
    for a, b in zip(plain.vars, outputs.vars, strict=True):
        if a.shape != b.shape or a.dtype != b.dtype:
            raise ValueError(
                f"gv.custom_vjp: forward gives {b.dtype}{list(b.shape)} where f gives"
                f" {a.dtype}{list(a.shape)}"
            )


def _backward(scope, backward, fresh, outputs, kept):
    """The closed rule, and the values it needs besides the residuals."""
    trace = scope.trace
    what = "an argument of a backward rule"
    residuals = [
        trace.var(trace.placeholder(v.dtype, v.shape, what)) for v in kept.vars
    ]
    cotangents = [
        trace.var(
            trace.placeholder(COTANGENT.get(str(v.dtype), str(v.dtype)), v.shape, what)
        )
        for v in outputs.vars
    ]
    got = backward(kept.nest(residuals), outputs.nest(cotangents, static=False))
    args = fresh.tree.unflatten(range(fresh.tree.n))
    if not isinstance(got, (tuple, list)) or len(got) != len(args):
        raise ValueError(
            f"gv.custom_vjp: backward must return a tuple of {len(args)} cotangents"
        )
    by_leaf = {}
    for k, (part, arg) in enumerate(zip(got, args, strict=True)):
        leaves = matched(part, arg, f"gv.custom_vjp: the cotangent of argument {k}")
        by_leaf.update(zip(flatten(arg)[0], leaves, strict=True))
    ids = []
    traced = [i for i, x in enumerate(fresh.leaves) if type(x) is Var]
    for i, v in zip(traced, fresh.new, strict=True):
        dtype = COTANGENT.get(str(v.dtype), "float64")
        g = by_leaf[i]
        if g is None:
            ids.append(trace.zeros(dtype, v.shape))
            continue
        g = scope.plainly(as_leaf(g))
        if g.shape != v.shape:
            raise ValueError(
                f"gv.custom_vjp: a cotangent has shape {g.shape}, its argument"
                f" {v.shape}"
            )
        ids.append(g.id if g.dtype == dtype else g.astype(dtype).id)
    inputs = [v.id for v in (*residuals, *cotangents)]
    _, extra = trace.graph.func(inputs, ids)
    begin = [v.id for v in residuals] + list(extra) + [v.id for v in cotangents]
    rule, rest = trace.graph.func(begin, ids)
    if rest:
        raise RuntimeError("gv.custom_vjp: the backward rule could not be closed")
    return rule, list(extra)


class Spec(NamedTuple):
    """Shape and dtype of an array that is not there yet."""

    shape: tuple
    dtype: np.dtype


def _spec_of(x):
    if type(x) is Var or is_array(x):
        return Spec(tuple(x.shape), np.dtype(x.dtype))
    return x


def external(f, out=lambda *specs: specs[0], vjp=None):
    """Any Python callable as an operator.

    Parameters
    ----------
    f : callable
        Takes and returns NumPy arrays (a tuple for several results); called when the
        program runs, one call at a time.
    out : callable
        Takes an object with ``.shape`` and ``.dtype`` for each array argument, and
        returns one for the result, or a tuple. Default: like the first argument.
    vjp : callable, optional
        ``vjp(args, out, g) -> tuple`` of cotangents, None for zero. Without it the
        function has no derivative.

    Returns
    -------
    callable
        Takes arrays and traced values; other arguments go to f as they are.

    Raises
    ------
    TypeError, ValueError
        When run, if f's result does not have the declared shape and dtype.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> cube = gv.external(
    ...     lambda x: x**3, vjp=lambda args, out, g: (3 * args[0] ** 2 * g,)
    ... )
    >>> gv.grad(lambda x: cube(x).sum())(np.array([1.0, 2.0]))
    array([ 3., 12.])
    """
    callbacks = {}

    @functools.wraps(f, updated=())
    def wrapper(*args):
        args = tuple(as_leaf(a) for a in args)
        arrays = [k for k, a in enumerate(args) if type(a) is Var or is_array(a)]
        arrays += [k for k, a in enumerate(args) if type(a) in (float, complex)]
        arrays.sort()
        specs = out(*(_spec_of(_numeric(a)) for a in args))
        many = isinstance(specs, (tuple, list)) and not hasattr(specs, "shape")
        if not many:
            specs = [specs]
        specs = [Spec(tuple(s.shape), native_dtype(np.dtype(s.dtype))) for s in specs]
        call = _Call(f, vjp, args, arrays, specs, many)
        if not has_var(args):
            results = call(*(np.asarray(args[k]) for k in arrays))
            results = unshared(tuple(r[()] for r in results), args)
            return results if many else results[0]
        with Scope(args) as scope:
            trace = scope.trace
            ins = tuple(scope.plainly(args[k]).id for k in arrays)
            callback = _registered(callbacks, call)
            trace.held.add(callback)
            attrs = [callback.number, len(ins), len(specs)]
            for s in specs:
                attrs += [CODES[s.dtype.name], len(s.shape), *s.shape]
            vid = trace.op("external", ins, tuple(attrs))
        results = tuple(trace.var(vid + k) for k in range(len(specs)))
        return results if many else results[0]

    return wrapper


def _numeric(a):
    return np.asarray(a) if type(a) in (float, complex) else a


class _Callback:
    """A callable known to the engine by number, as long as somebody holds this."""

    def __init__(self, call):
        pull = call.pull if call.vjp else None
        self.number = _core.register_external(call, pull)

    def __del__(self, release=_core.release_external):
        if hasattr(self, "number"):
            release(self.number)


def _registered(callbacks, call):
    """The callback; the same for the same static arguments and results."""
    key = call.key()
    callback = callbacks.get(key)
    if callback is None:
        callback = callbacks[key] = _Callback(call)
    return callback


class _Call:
    """What the running program calls for an external operator."""

    def __init__(self, f, vjp, args, arrays, specs, many):
        self.f, self.vjp = f, vjp
        self.arrays, self.specs, self.many = arrays, specs, many
        self.n = len(args)
        self.static = [(k, a) for k, a in enumerate(args) if k not in arrays]
        self.name = getattr(f, "__name__", type(f).__name__)

    def key(self):
        """Identity among the calls of one external function."""
        static = []
        for k, a in self.static:
            try:
                hash(a)
            except TypeError:
                raise TypeError(
                    f"gv.external: argument {k} of {self.name} is neither an array nor"
                    " hashable"
                ) from None
            static.append((k, type(a), a))
        return self.n, tuple(self.arrays), tuple(static), tuple(self.specs), self.many

    def _args(self, arrays):
        args = [None] * self.n
        for k, a in zip(self.arrays, arrays, strict=True):
            args[k] = a
        for k, a in self.static:
            args[k] = a
        return args

    def __call__(self, *arrays):
        with _graph.barrier():
            got = self.f(*self._args(arrays))
        if self.many:
            if not isinstance(got, (tuple, list)) or len(got) != len(self.specs):
                raise TypeError(
                    f"gv.external: {self.name} must return {len(self.specs)} arrays"
                )
        else:
            got = (got,)
        done = []
        for k, (a, s) in enumerate(zip(got, self.specs, strict=True)):
            a = np.asarray(a)
            which = f"result {k} of {self.name}" if self.many else self.name
            if a.shape != s.shape:
                raise ValueError(
                    f"gv.external: {which} has shape {a.shape}, declared {s.shape}"
                )
            if a.dtype != s.dtype and not np.can_cast(a.dtype, s.dtype, "same_kind"):
                raise TypeError(
                    f"gv.external: {which} has dtype {a.dtype}, declared {s.dtype}"
                )
            done.append(native(a, s.dtype))
        return tuple(done)

    def pull(self, arrays, outs, cotangents):
        """Cotangents of the array arguments, in their dtypes."""
        args = tuple(self._args(arrays))
        with _graph.barrier():
            if self.many:
                got = self.vjp(args, tuple(outs), tuple(cotangents))
            else:
                got = self.vjp(args, outs[0], cotangents[0])
        if not isinstance(got, (tuple, list)):
            got = (got,)
        if len(got) != self.n:
            raise ValueError(
                f"gv.external: vjp of {self.name} must return {self.n} cotangents, got"
                f" {len(got)}"
            )
        done = []
        for k, a in zip(self.arrays, arrays, strict=True):
            g = got[k]
            dtype = np.dtype(COTANGENT.get(a.dtype.name, "float64"))
            if g is None:
                g = np.zeros(a.shape, dtype)
            g = np.asarray(g)
            if g.shape != a.shape:
                raise ValueError(
                    f"gv.external: vjp of {self.name} gives shape {g.shape} for"
                    f" argument {k} of shape {a.shape}"
                )
            if g.dtype.kind == "c" and dtype.kind != "c":
                g = g.real
            done.append(native(g, dtype))
        return done
