"""Derivatives: grad, value_and_grad, vjp, jvp, hvp and jacobian.

Each traces the function and adds the derivative to the same graph. Called with plain
arrays, a transform opens its own trace and returns arrays; called while another
transform is tracing, it works in that one's graph. The inner product is
``Re sum(conj(a) * b)``, so that the gradient of a real function of complex numbers
points uphill.
"""

import functools

import numpy as np

from ._jacobian import jacobian
from ._pullback import vjp
from ._scope import COTANGENT, Outputs, Scope, cast_like
from ._wrt import differentiate, filled, name_of, positions, with_aux
from .graph import Var, emit
from .tree import flatten

__all__ = [
    "grad",
    "hvp",
    "jacobian",
    "jvp",
    "stop_gradient",
    "value_and_grad",
    "vjp",
]


def _scalar(scope, out, f, transform):
    """The one real number whose gradient is wanted, as a Var."""
    leaves, tree = flatten(out)
    if tree.kind is not None:
        raise TypeError(
            f"{transform}: {name_of(f)} must return one real number, it returned"
            f" {tree!r}; with further results return (value, aux) and set has_aux=True"
        )
    x = leaves[0]
    try:
        v = scope.plainly(x)
    except TypeError:
        raise TypeError(
            f"{transform}: {name_of(f)} must return one real number, it returned"
            f" {type(x).__name__}"
        ) from None
    if v.shape != ():
        raise TypeError(
            f"{transform}: {name_of(f)} must return one real number, it returned shape"
            f" {v.shape}; sum it, or use gv.jacobian or gv.vjp"
        )
    if v.dtype not in ("float32", "float64"):
        hint = "; take .real or abs() ** 2" if v.dtype.kind == "c" else ""
        if type(x) is Var or v.dtype.kind == "c":
            raise TypeError(
                f"{transform}: {name_of(f)} must return one real number, it returned"
                f" {v.dtype}{hint}"
            )
        v = scope.plainly(float(x))
    return v


def value_and_grad(f, argnums=0, has_aux=False):
    """Value and gradient of a real scalar function.

    Parameters
    ----------
    f : callable
        Returns one real number, or with `has_aux` a pair (number, anything).
    argnums : int or tuple of int
        Which positional arguments to differentiate; each may be a nest of arrays.
    has_aux : bool

    Returns
    -------
    callable
        Takes f's arguments, returns ``(value, gradient)`` or
        ``((value, aux), gradient)``. The gradient has the structure, shapes and
        dtypes of the argument (a tuple for a tuple of argnums), None where a leaf
        is not a number.

    Raises
    ------
    TypeError
        If f's result is not one real number, or an argument has an integer dtype.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> value, g = gv.value_and_grad(lambda x: (x * x).sum())(np.array([1.0, 2.0]))
    >>> float(value), g
    (5.0, array([2., 4.]))
    """
    return _value_and_grad(f, argnums, has_aux, "gv.value_and_grad")


def _value_and_grad(f, argnums, has_aux, transform):
    if not callable(f):
        raise TypeError(f"{transform}: the first argument must be a function")

    @functools.wraps(f, updated=())
    def wrapper(*args, **kwargs):
        nums = positions(argnums, len(args), f)
        with Scope(args, kwargs) as scope:
            trace = scope.trace
            new, wrts = differentiate(scope, f, args, nums)
            scope.know(new, kwargs)
            out = f(*new, **kwargs)
            aux = None
            if has_aux:
                out, aux = with_aux(out, f, transform)
            value = _scalar(scope, out, f, transform)
            extra = Outputs(scope, aux)
            variables = [v for w in wrts for v in w.vars]
            one = trace.graph.const(np.ones((), value.dtype))
            trace.mark_line()
            ids = trace.graph.vjp([value.id], [one], [v.id for v in variables])
            ids = filled(trace, ids, variables)
        weak = [value.weak, *(v.weak for v in variables), *extra.weak]
        results = scope.results([value.id, *ids, *extra.ids], weak)
        value = results[0]
        split = 1
        grads = []
        for w in wrts:
            grads.append(w.nest(results[split : split + len(w.vars)]))
            split += len(w.vars)
        grads = tuple(grads) if isinstance(argnums, (tuple, list)) else grads[0]
        if has_aux:
            return (value, extra.nest(results[split:])), grads
        return value, grads

    return wrapper


def grad(f, argnums=0, has_aux=False):
    """Gradient of a real scalar function.

    As `value_and_grad`, without the value: the result takes f's arguments and
    returns the gradient, or ``(gradient, aux)`` with `has_aux`.

    Examples
    --------
    >>> import gradiverse as gv
    >>> float(gv.grad(lambda x: x**3)(2.0))
    12.0
    """
    both = _value_and_grad(f, argnums, has_aux, "gv.grad")

    @functools.wraps(f, updated=())
    def wrapper(*args, **kwargs):
        value, g = both(*args, **kwargs)
        return (g, value[1]) if has_aux else g

    return wrapper


def jvp(f, primals, tangents, has_aux=False):
    """Value and directional derivative (Jacobian-vector product).

    Parameters
    ----------
    f : callable
    primals, tangents : tuple
        Arguments of f and the direction, of the same structure; None stands for
        zero.
    has_aux : bool
        f returns ``(out, aux)``; then ``(out, tangent, aux)`` is returned.

    Returns
    -------
    out, tangent
        Of the same structure.

    Examples
    --------
    >>> import gradiverse as gv
    >>> out, tangent = gv.jvp(lambda x: x * x, (3.0,), (1.0,))
    >>> float(out), float(tangent)
    (9.0, 6.0)
    """
    if not isinstance(primals, (tuple, list)) or not isinstance(
        tangents, (tuple, list)
    ):
        raise TypeError("gv.jvp: primals and tangents must be tuples, one entry each")
    if len(primals) != len(tangents) or not primals:
        raise ValueError(f"gv.jvp: {len(primals)} primals and {len(tangents)} tangents")
    with Scope(primals, tangents) as scope:
        trace = scope.trace
        new, wrts = differentiate(scope, f, primals, range(len(primals)), False)
        directions, variables = [], []
        for k, (w, t) in enumerate(zip(wrts, tangents, strict=True)):
            what = f"gv.jvp: tangent {k}"
            for v, leaf in zip(w.vars, w.match(t, what), strict=True):
                if leaf is not None:
                    dtype = COTANGENT[str(v.dtype)]
                    variables.append(v)
                    directions.append(cast_like(scope, leaf, dtype, v.shape, what))
        out = f(*new)
        aux = None
        if has_aux:
            out, aux = with_aux(out, f, "gv.jvp")
        outputs = Outputs(scope, out, scalars_too=True)
        extra = Outputs(scope, aux)
        trace.mark_line()
        ids = trace.graph.jvp(outputs.ids, [v.id for v in variables], directions)
        ids = filled(trace, ids, outputs.vars)
    weak = outputs.weak
    results = scope.results(
        [*outputs.ids, *ids, *extra.ids], [*weak, *weak, *extra.weak]
    )
    n = len(outputs.ids)
    value = outputs.nest(results[:n])
    tangent = outputs.nest(results[n : 2 * n], static=False)
    if has_aux:
        return value, tangent, extra.nest(results[2 * n :])
    return value, tangent


def hvp(f, x, v):
    """Hessian of a real scalar function times a vector, forward over reverse.

    Parameters
    ----------
    f : callable
    x, v : nest of arrays
        Point and direction, of one structure.

    Returns
    -------
    nest of arrays
        Shaped like x.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> gv.hvp(lambda x: (x**3).sum(), np.array([1.0, 2.0]), np.array([1.0, 0.0]))
    array([6., 0.])
    """
    return jvp(grad(f), (x,), (v,))[1]


def stop_gradient(x):
    """x as a constant for derivatives.

    Examples
    --------
    >>> import gradiverse as gv
    >>> float(gv.grad(lambda x: x * gv.stop_gradient(x))(3.0))
    3.0
    """
    if type(x) is Var:
        return emit("stop_gradient", (x,))
    if isinstance(x, (dict, list, tuple)):
        leaves, tree = flatten(x)
        return tree.unflatten([stop_gradient(leaf) for leaf in leaves])
    return x
