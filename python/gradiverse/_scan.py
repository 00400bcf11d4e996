"""scan: loops with a carry, and three ways of differentiating them."""

import numpy as np

from ._loop import Carry, traced_body
from ._scope import Outputs, Scope, as_leaf, is_array
from .graph import Var
from .tree import flatten, leaf_paths

__all__ = ["scan"]


def _policy(policy, inverse):
    if policy == "store":
        code, k = 0, 0
    elif policy == "reversible":
        code, k = 2, 0
    elif (
        isinstance(policy, (tuple, list))
        and len(policy) == 2
        and policy[0] == "recompute"
    ):
        code, k = 1, policy[1]
        if not isinstance(k, (int, np.integer)) or k < 1:
            raise ValueError(f"gv.scan: recompute every {k!r} steps; give an int >= 1")
    else:
        raise ValueError(
            f"gv.scan: policy {policy!r}; choose 'store', ('recompute', k) or"
            " 'reversible'"
        )
    if (code == 2) != (inverse is not None):
        raise ValueError(
            "gv.scan: policy 'reversible' needs inverse=g with g(carry, x) -> previous"
            " carry, and only that policy does"
        )
    return code, int(k)


class _Xs:
    """What a scan runs over: arrays with one leading axis of the loop's length."""

    def __init__(self, scope, xs, length):
        self.leaves, self.tree = flatten(xs)
        self.at, self.vars = [], []
        paths = leaf_paths(xs)
        n = None if length is None else int(length)
        for k, x in enumerate(self.leaves):
            x = as_leaf(x)
            if not (type(x) is Var or is_array(x)):
                continue
            if not x.shape:
                raise ValueError(f"gv.scan: xs{paths[k]} is a scalar, it needs an axis")
            if n is not None and x.shape[0] != n:
                raise ValueError(
                    f"gv.scan: xs{paths[k]} has {x.shape[0]} entries, expected {n}"
                )
            n = x.shape[0]
            self.at.append(k)
            self.vars.append(scope.plainly(x))
        if n is None:
            raise ValueError("gv.scan: give xs with arrays, or length")
        if n < 0:
            raise ValueError(f"gv.scan: length {n} is negative")
        self.n = n

    @property
    def slots(self):
        """Types of one step's slices."""
        return [(v.dtype, v.shape[1:], "one step's x of gv.scan") for v in self.vars]

    def nest(self, values):
        """x of one step."""
        leaves = list(self.leaves)
        for k, v in zip(self.at, values, strict=True):
            leaves[k] = v
        return self.tree.unflatten(leaves)


def scan(f, init, xs=None, length=None, policy="store", inverse=None, reverse=False):
    """A loop that carries a state and collects results.

    Parameters
    ----------
    f : callable
        ``f(carry, x) -> (carry, y)``, traced once. x is None without xs.
    init : nest of arrays
        First carry. Structure, shapes and dtypes stay; Python numbers take the dtype
        that the body gives them.
    xs : nest of arrays, optional
        Sliced along the first axis.
    length : int, optional
        Number of steps where there are no xs.
    policy : "store", ("recompute", k) or "reversible"
        What the backward pass does for the intermediate states: keep them, keep every
        k-th and compute the others again, or run the loop backwards with `inverse`.
    inverse : callable, optional
        ``inverse(carry, x) -> previous carry``, for policy "reversible"; it must undo
        f exactly (see `quantize`).
    reverse : bool
        Go through xs from the end; ys keep the order of xs.

    Returns
    -------
    carry : nest of arrays
        The last one.
    ys : nest of arrays
        The y of all steps, stacked along a new first axis.

    Raises
    ------
    TypeError
        If the body changes the carry's structure, shapes or dtypes; names the leaf.
    ValueError
        If lengths differ or the policy is unknown.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> carry, ys = gv.scan(lambda c, x: (c + x, c), 0.0, xs=np.arange(4.0))
    >>> float(carry), ys
    (6.0, array([0., 0., 1., 3.]))
    """
    code, every = _policy(policy, inverse)
    with Scope(init, xs) as scope:
        trace = scope.trace
        carry = Carry(scope, init, "gv.scan")
        steps = _Xs(scope, xs, length)

        def body(state, slices):
            pair = f(state, steps.nest(slices))
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise TypeError("gv.scan: the body must return (carry, y)")
            return pair[0], Outputs(scope, pair[1], scalars_too=True)

        inputs, slices, ys, new = traced_body(
            scope, carry, steps.slots, body, "the body"
        )
        begin = [v.id for v in (*inputs, *slices)]
        func, captured = trace.graph.func(begin, [*new, *ys.ids])
        funcs = (func,)
        if inverse is not None:
            funcs, captured = _with_inverse(
                scope, carry, steps, inverse, begin, [*new, *ys.ids], captured
            )
        loop = _Loop(trace, funcs, captured, carry.vars, ys.vars, reverse)
        n_carry = len(carry.vars)
        if code == 1:
            ids = loop.in_blocks(carry.vars, steps.vars, steps.n, every)
        else:
            ids = loop.emit(
                [v.id for v in carry.vars], [v.id for v in steps.vars], steps.n, code
            )
    weak = [*(v.weak for v in carry.vars), *[False] * len(ys.ids)]
    results = scope.results(ids, weak)
    return carry.nest(results[:n_carry]), ys.nest(results[n_carry:])


class _Loop:
    """Emits scans over one traced body."""

    def __init__(self, trace, funcs, captured, carry, ys, reverse):
        self.trace = trace
        self.funcs = funcs
        self.captured = tuple(captured)
        self.carry, self.ys = carry, ys
        self.reverse = int(bool(reverse))

    def emit(self, carry, xs, n, policy=0):
        """One scan node -> ids of the last carry and the ys."""
        ins = (*carry, *xs, *self.captured)
        attrs = (len(carry), len(xs), n, self.reverse, policy, 0)
        first = self.trace.op("scan", ins, attrs, self.funcs)
        return list(range(first, first + len(carry) + len(self.ys)))

    def _inputs(self, xs, n):
        """Placeholders for a carry and n steps."""
        trace, what = self.trace, "the carry of gv.scan"
        carry = [trace.placeholder(v.dtype, v.shape, what) for v in self.carry]
        steps = [trace.placeholder(v.dtype, (n, *v.shape[1:]), what) for v in xs]
        return carry, steps

    def _block(self, xs, n):
        """n steps as a function whose derivative computes them again."""
        carry, steps = self._inputs(xs, n)
        return self.trace.graph.func([*carry, *steps], self.emit(carry, steps, n))

    def _call(self, block, carry, steps):
        func, captured = block
        first = self.trace.op("call", (*carry, *steps, *captured), (1, 0, 0), (func,))
        return list(range(first, first + len(carry) + len(self.ys)))

    def in_blocks(self, carry, xs, n, k):
        """A scan over blocks of k steps, of which only the first carry is kept."""
        trace = self.trace
        q, r = divmod(n, k)
        ids = [v.id for v in carry]
        n_carry = len(ids)
        whole = slice(r, n) if self.reverse else slice(0, n - r)
        rest = slice(0, r) if self.reverse else slice(n - r, n)
        parts = []
        if q:
            blocks = [v[whole].reshape(q, k, *v.shape[1:]) for v in xs]
            begin, steps = self._inputs(xs, k)
            out = self._call(self._block(xs, k), begin, steps)
            func, captured = trace.graph.func([*begin, *steps], out)
            outer = _Loop(trace, (func,), captured, carry, self.ys, self.reverse)
            out = outer.emit(ids, [b.id for b in blocks], q)
            ids = out[:n_carry]
            stacked = [trace.var(i) for i in out[n_carry:]]
            parts.append([y.reshape(q * k, *y.shape[2:]) for y in stacked])
        if r or not q:
            steps = [v[rest].id for v in xs]
            out = self._call(self._block(xs, r), ids, steps)
            ids = out[:n_carry]
            parts.append([trace.var(i) for i in out[n_carry:]])
        if self.reverse:
            parts.reverse()
        joined = [
            pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
            for pieces in zip(*parts, strict=True)
        ]
        return [*ids, *(y.id for y in joined)]


def _with_inverse(scope, carry, steps, inverse, begin, outs, captured):
    """(body, inverse) closed over the same captured values, and these values."""
    trace = scope.trace
    back_in = carry.placeholders(trace, "the carry of gv.scan")
    slices = [trace.var(trace.placeholder(d, s, w), False) for d, s, w in steps.slots]
    previous = inverse(carry.nest(back_in), steps.nest(slices))
    back = carry.take(scope, previous, "the inverse")
    if carry.settle(back, "the inverse"):
        raise TypeError("gv.scan: the inverse changes the carry's dtypes")
    back_begin = [v.id for v in (*back_in, *slices)]
    back_outs = carry.match(back)
    undo, captured = trace.graph.func(back_begin, back_outs, captured=list(captured))
    body, same = trace.graph.func(begin, outs, captured=list(captured))
    if list(same) != list(captured):
        raise RuntimeError("gv.scan: captured values of body and inverse disagree")
    return (body, undo), captured
