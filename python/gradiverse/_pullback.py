"""vjp: the value of a function and its pullback.

Called with plain arrays, the forward program returns the result and the values that
the backward program needs; the pullback owns these. Called inside another transform,
the pullback adds to the graph under construction.
"""

import numpy as np

from . import graph as _graph
from ._scope import COTANGENT, Outputs, Scope, cast_like, scalars
from ._wrt import differentiate, filled, name_of, with_aux
from .tree import flatten

__all__ = ["vjp"]


class _Pullback:
    """Maps a cotangent of the result to cotangents of the arguments."""

    def __init__(self, f, outputs, wrts):
        self._name = name_of(f)
        self._out_tree = outputs.tree
        self._slots = outputs.slots
        self._paths = outputs.paths()
        self._specs = [(COTANGENT.get(str(v.dtype)), v.shape) for v in outputs.vars]
        self._wrts = wrts

    def _cotangents(self, scope, g):
        """Ids for the differentiable results of f."""
        leaves, tree = flatten(g)
        if tree != self._out_tree:
            raise ValueError(
                f"pullback of {self._name}: the cotangent is shaped {tree!r}, the"
                f" result {self._out_tree!r}"
            )
        ids = []
        for leaf, k, path in zip(leaves, self._slots, self._paths, strict=True):
            if k is not None and self._specs[k][0] is not None:
                what = f"pullback of {self._name}: the cotangent{path}"
                ids.append(cast_like(scope, leaf, *self._specs[k], what))
        return ids

    def _nest(self, results):
        out, at = [], 0
        for w in self._wrts:
            out.append(w.nest(results[at : at + len(w.vars)]))
            at += len(w.vars)
        return tuple(out)

    def __repr__(self):
        return f"<pullback of {self._name}>"


class _OpenPullback(_Pullback):
    """Inside another transform: works in its graph."""

    def __init__(self, f, scope, outputs, wrts):
        super().__init__(f, outputs, wrts)
        self._trace = scope.trace
        self._outs = [v for v in outputs.vars if str(v.dtype) in COTANGENT]
        self._vars = [v for w in wrts for v in w.vars]

    def __call__(self, g):
        with Scope(g) as scope:
            if scope.trace is not self._trace:
                raise TypeError(
                    f"the pullback of {self._name} is called after the transform"
                    " around it has ended"
                )
            trace = scope.trace
            cts = self._cotangents(scope, g)
            trace.mark_line()
            ids = trace.graph.vjp(
                [v.id for v in self._outs], cts, [v.id for v in self._vars]
            )
            ids = filled(trace, ids, self._vars)
        return self._nest(scope.results(ids, [v.weak for v in self._vars]))


class _OwnPullback(_Pullback):
    """Outside: owns the residuals and a program that runs backwards."""

    def __init__(self, f, scope, outputs, wrts):
        super().__init__(f, outputs, wrts)
        trace = scope.trace
        graph = trace.graph
        outs = [v for v in outputs.vars if str(v.dtype) in COTANGENT]
        variables = [v for w in wrts for v in w.vars]
        cts = [
            trace.placeholder(COTANGENT[str(v.dtype)], v.shape, "a cotangent")
            for v in outs
        ]
        ids = graph.vjp([v.id for v in outs], cts, [v.id for v in variables])
        self._ids = ids
        self._zeros = [(COTANGENT[str(v.dtype)], v.shape) for v in variables]
        live = [i for i in ids if i >= 0]
        self._func, self.captured = graph.func(cts, live)
        self._program = graph.program([*cts, *self.captured], live)
        self._residuals = []
        self._held = trace.held
        for w in wrts:  # keep the nest, drop the trace
            w.value = None

    def own(self, residuals):
        """Take the arrays the backward program needs."""
        for r in residuals:
            r.flags.writeable = False
        self._residuals = residuals

    def _whole(self, results):
        it = iter(results)
        return [
            next(it) if i >= 0 else np.zeros(shape, dtype)[()]
            for i, (dtype, shape) in zip(self._ids, self._zeros, strict=True)
        ]

    def __call__(self, g):
        if _graph.current() is None:
            with Scope() as scope:
                ids = self._cotangents(scope, g)
                values = scope.trace.run(ids)
            results = self._program.run([*values, *self._residuals])
            return self._nest(self._whole(scalars(results)))
        with Scope(g) as scope:
            trace = scope.trace
            ids = self._cotangents(scope, g)
            for r in self._residuals:
                trace.known(r)
            ids += [trace.const(r) for r in self._residuals]
            trace.mark_line()
            trace.held |= self._held
            live = iter(trace.graph.inline(self._func, ids))
            ids = [
                next(live) if i >= 0 else trace.zeros(dtype, shape)
                for i, (dtype, shape) in zip(self._ids, self._zeros, strict=True)
            ]
        return self._nest(scope.results(ids))


def vjp(f, *args, has_aux=False):
    """Value and pullback (vector-Jacobian product).

    Parameters
    ----------
    f : callable
    *args
        All are differentiated; leaves without a derivative (integer arrays, strings)
        get None.
    has_aux : bool
        f returns ``(out, aux)``; then ``(out, pullback, aux)`` is returned.

    Returns
    -------
    out
        f's result.
    pullback : callable
        Takes a cotangent shaped like out, returns a tuple shaped like args. May be
        called many times; it keeps what it needs and never changes it.

    Raises
    ------
    ValueError, TypeError
        From the pullback, if the cotangent's structure, shape or dtype is wrong.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> out, pullback = gv.vjp(np.sin, np.zeros(2))
    >>> pullback(np.array([1.0, 3.0]))
    (array([1., 3.]),)
    """
    if not args:
        raise TypeError("gv.vjp: give the arguments at which to differentiate")
    with Scope(args) as scope:
        new, wrts = differentiate(scope, f, args, range(len(args)), strict=False)
        out = f(*new)
        aux = None
        if has_aux:
            out, aux = with_aux(out, f, "gv.vjp")
        outputs = Outputs(scope, out, scalars_too=True)
        extra = Outputs(scope, aux)
        kind = _OwnPullback if scope.owned else _OpenPullback
        pullback = kind(f, scope, outputs, wrts)
    keep = pullback.captured if scope.owned else []
    ids = [*outputs.ids, *extra.ids, *keep]
    weak = [*outputs.weak, *extra.weak, *[False] * len(keep)]
    results = scope.results(ids, weak) if not scope.owned else scope.trace.run(ids)
    n, m = len(outputs.ids), len(outputs.ids) + len(extra.ids)
    if scope.owned:
        pullback.own(results[m:])
        for w in wrts:
            w.vars = [None] * len(w.vars)
        results = scalars(results[:m])
    out = outputs.nest(results[:n])
    if has_aux:
        return out, pullback, extra.nest(results[n:m])
    return out, pullback
