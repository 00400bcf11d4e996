"""vmap: one function of one example becomes one function of many."""

import functools

import numpy as np

from ._scope import Outputs, Scope, as_leaf, is_array
from .graph import Var
from .tree import broadcast_prefix, flatten, leaf_paths

__all__ = ["vmap"]


def _axis(axis, ndim, what):
    if not isinstance(axis, (int, np.integer)) or isinstance(axis, bool):
        raise TypeError(f"{what}: an axis is an int or None, not {axis!r}")
    if not -ndim <= axis < ndim:
        raise ValueError(f"{what}: axis {axis} of an array with {ndim} axes")
    return int(axis) % ndim


def _permuted(trace, vid, order):
    """Transpose of a value, order counted from the front."""
    n = len(order)
    if tuple(order) == tuple(range(n)):
        return vid
    return trace.op("transpose", (vid,), (n, *order))


def _prefixes(in_axes, args):
    if isinstance(in_axes, (tuple, list)):
        if len(in_axes) != len(args):
            raise ValueError(
                f"gv.vmap: in_axes has {len(in_axes)} entries for {len(args)} arguments"
            )
        per = in_axes
    else:
        per = [in_axes] * len(args)
    return [
        broadcast_prefix(p, a, f"gv.vmap: in_axes[{k}]")
        for k, (p, a) in enumerate(zip(per, args, strict=True))
    ]


class _Mapped:
    """The arguments of one call: placeholders for one example, and the batch."""

    def __init__(self, scope, args, in_axes):
        self.scope = scope
        self.n = None
        self.inputs, self.batched = [], []
        self.args = []
        for k, (arg, axes) in enumerate(
            zip(args, _prefixes(in_axes, args), strict=True)
        ):
            leaves, tree = flatten(arg)
            out = [
                self._leaf(
                    as_leaf(x), axis, lambda k=k, arg=arg, i=i: _where(k, arg, i)
                )
                for i, (x, axis) in enumerate(zip(leaves, axes, strict=True))
            ]
            self.args.append(tree.unflatten(out))
        if self.n is None:
            raise ValueError("gv.vmap: no argument has an axis to map over")

    def _leaf(self, x, axis, where):
        number = isinstance(x, (int, float, complex)) and not isinstance(x, np.generic)
        if axis is None or not (type(x) is Var or is_array(x) or number):
            return x
        what = f"gv.vmap: {where()}"
        if number or not x.shape:
            raise ValueError(f"{what} is a scalar; give it in_axes None")
        axis = _axis(axis, len(x.shape), what)
        n = x.shape[axis]
        if self.n is None:
            self.n, self._first = n, what
        elif n != self.n:
            raise ValueError(
                f"{what} has {n} examples on axis {axis}, but"
                f" {self._first[9:]} has {self.n}"
            )
        trace = self.scope.trace
        v = self.scope.plainly(x)
        ndim = len(v.shape)
        order = [axis, *(i for i in range(ndim) if i != axis)]
        shape = v.shape[:axis] + v.shape[axis + 1 :]
        self.batched.append(_permuted(trace, v.id, order))
        vid = trace.placeholder(v.dtype, shape, "one example of gv.vmap")
        self.inputs.append(vid)
        return trace.var(vid)


def _where(k, arg, i):
    return f"argument {k}{leaf_paths(arg)[i]}"


def vmap(f, in_axes=0, out_axes=0):
    """Apply a function to every example of a batch at once.

    Parameters
    ----------
    f : callable
        Function of one example.
    in_axes : int, None, or tuple with one entry for each positional argument
        Axis of the arrays that counts the examples; None: the same for all. An entry
        may be a nest that matches the argument, or stops above its leaves. Keyword
        arguments are the same for all examples.
    out_axes : int, None, or nest
        Where that axis goes in the results; None: the result must not depend on the
        example.

    Returns
    -------
    callable

    Raises
    ------
    ValueError
        If lengths differ, or an axis does not exist.

    Notes
    -----
    NumPy's rank rules apply to the single example, then everything is batched: with
    x of shape (n, 3), ``vmap(lambda x: x @ x)`` gives n scalar products. Conditions
    on traced values are not possible inside (`gv.ops.where` and `gv.cond` are).

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> gv.vmap(lambda x, y: x @ y, in_axes=(0, None))(np.eye(2), np.array([1.0, 2.0]))
    array([1., 2.])
    """

    @functools.wraps(f, updated=())
    def wrapper(*args, **kwargs):
        with Scope(args, kwargs) as scope:
            trace = scope.trace
            mapped = _Mapped(scope, args, in_axes)
            scope.know(mapped.args, kwargs)
            out = f(*mapped.args, **kwargs)
            outputs = Outputs(scope, out, scalars_too=True)
            axes = broadcast_prefix(out_axes, out, "gv.vmap: out_axes")
            axes = [
                a for a, k in zip(axes, outputs.slots, strict=True) if k is not None
            ]
            trace.mark_line()
            ids, flags = trace.graph.batch(
                outputs.ids, mapped.inputs, mapped.batched, mapped.n
            )
            ids = [
                _placed(trace, i, v, b, a, mapped.n)
                for i, v, b, a in zip(ids, outputs.vars, flags, axes, strict=True)
            ]
        return outputs.nest(scope.results(ids))

    return wrapper


def _placed(trace, vid, v, batched, axis, n):
    """A batched result with its axis where it was asked for."""
    if axis is None:
        if batched:
            raise ValueError(
                "gv.vmap: out_axes None for a result that depends on the example"
            )
        return vid
    if not batched:
        ndim = len(v.shape)
        vid = trace.op("broadcast", (vid,), (ndim, ndim + 1, n, *v.shape))
    ndim = len(v.shape) + 1
    axis = _axis(axis, ndim, "gv.vmap: out_axes")
    order = list(range(1, ndim))
    order.insert(axis, 0)
    return _permuted(trace, vid, order)
