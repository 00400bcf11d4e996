"""jacobian: all partial derivatives, from one-hot tangents or cotangents in a batch."""

import functools

import numpy as np

from ._scope import COTANGENT, Outputs, Scope
from ._wrt import differentiate, filled, positions

__all__ = ["jacobian"]


def jacobian(f, argnums=0):
    """All partial derivatives of a function.

    Parameters
    ----------
    f : callable
        Returns an array, or a nest of arrays.
    argnums : int or tuple of int

    Returns
    -------
    callable
        Takes f's arguments; returns an array of shape ``out.shape + x.shape`` (for
        nests: the result's nest, in each place the argument's). Rows come from the
        pullback where the result is the smaller side, columns from tangents
        otherwise. With complex numbers row i is the pullback of a one in place i,
        the gradient of the real part of that entry.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> gv.jacobian(lambda x: x[:2] * x[2])(np.ones(3))
    array([[1., 0., 1.],
           [0., 1., 1.]])
    """

    @functools.wraps(f, updated=())
    def wrapper(*args, **kwargs):
        nums = positions(argnums, len(args), f)
        with Scope(args, kwargs) as scope:
            new, wrts = differentiate(scope, f, args, nums)
            scope.know(new, kwargs)
            outputs = Outputs(scope, f(*new, **kwargs), scalars_too=True)
            variables = [v for w in wrts for v in w.vars]
            blocks = _blocks(scope, outputs.vars, variables)
        flat = scope.results([i for row in blocks for i in row])
        rows = []
        for k in range(len(outputs.vars)):
            parts = flat[k * len(variables) : (k + 1) * len(variables)]
            nests, at = [], 0
            for w in wrts:
                nests.append(w.nest(parts[at : at + len(w.vars)]))
                at += len(w.vars)
            many = isinstance(argnums, (tuple, list))
            rows.append(tuple(nests) if many else nests[0])
        return outputs.nest(rows, static=False)

    return wrapper


def _blocks(scope, outs, variables):
    """Ids of d out / d variable for all pairs, shaped out.shape + variable.shape."""
    real = all(str(v.dtype) in ("float32", "float64") for v in [*outs, *variables])
    n_in, n_out = sum(v.size for v in variables), sum(v.size for v in outs)
    if real and n_in < n_out:
        columns = [_columns(scope, outs, v) for v in variables]
        return [list(row) for row in zip(*columns, strict=True)]
    return [_rows(scope, out, variables) for out in outs]


def _basis(scope, v, dtype):
    eye = np.eye(v.size, dtype=dtype).reshape(v.size, *v.shape)
    return scope.trace.const(eye)


def _shaped(trace, vid, shape):
    ndim = len(trace.graph.type(vid)[1])
    return trace.op("reshape", (vid,), (ndim, len(shape), *shape))


def _rows(scope, out, variables):
    trace, dtype = scope.trace, COTANGENT.get(str(out.dtype))
    if dtype is None or out.size == 0:
        return [
            trace.zeros(COTANGENT[str(v.dtype)], out.shape + v.shape) for v in variables
        ]
    ct = trace.placeholder(dtype, out.shape, "a cotangent")
    ids = trace.graph.vjp([out.id], [ct], [v.id for v in variables])
    ids = filled(trace, ids, variables)
    ids, batched = trace.graph.batch(ids, [ct], [_basis(scope, out, dtype)], out.size)
    return [
        _shaped(trace, i, out.shape + v.shape)
        if b
        else trace.zeros(COTANGENT[str(v.dtype)], out.shape + v.shape)
        for i, b, v in zip(ids, batched, variables, strict=True)
    ]


def _columns(scope, outs, v):
    trace, dtype = scope.trace, COTANGENT[str(v.dtype)]
    if v.size == 0:
        return [trace.zeros(str(o.dtype), o.shape + v.shape) for o in outs]
    d = trace.placeholder(dtype, v.shape, "a tangent")
    ids = trace.graph.jvp([o.id for o in outs], [v.id], [d])
    ids = filled(trace, ids, outs)
    ids, batched = trace.graph.batch(ids, [d], [_basis(scope, v, dtype)], v.size)
    done = []
    for i, b, o in zip(ids, batched, outs, strict=True):
        if not b:
            done.append(trace.zeros(str(o.dtype), o.shape + v.shape))
            continue
        n = len(o.shape)
        perm = (*range(1, n + 1), 0)
        moved = trace.op("transpose", (i,), (len(perm), *perm)) if n else i
        done.append(_shaped(trace, moved, o.shape + v.shape))
    return done
