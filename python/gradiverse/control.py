"""Loops and branches as single nodes: scan, cond, while_loop; quantised carries."""

import numpy as np

from ._loop import Carry, traced_body
from ._scan import scan
from ._scope import Outputs, Scope, unshared
from .custom import Fresh
from .graph import Var, emit

__all__ = ["cond", "dequantize", "quantize", "scan", "while_loop"]


def _predicate(pred, transform):
    """The condition as a Python bool where known, else as a boolean Var."""
    if type(pred) is not Var:
        array = np.asarray(pred)
        if array.shape != ():
            raise ValueError(
                f"{transform}: the condition has shape {array.shape}, expected one"
                " truth value"
            )
        return bool(array)
    if pred.shape != ():
        raise ValueError(
            f"{transform}: the condition has shape {pred.shape}, expected one truth"
            " value"
        )
    if pred.owner.missing([pred.id]) is None:
        return bool(pred)
    return pred if pred.dtype == "bool" else pred != 0


def _branch(scope, f, fresh, what):
    if not callable(f):
        raise TypeError(f"gv.cond: {what} must be a function, not {f!r}")
    return Outputs(scope, f(*fresh.args), scalars_too=True)


def cond(pred, f, g, *args):
    """``f(*args)`` where pred is true, else ``g(*args)``.

    In compiled code, and in bodies of scan, while_loop and vmap, both branches are
    traced and one is run. Where the condition is known only that branch is called.

    Parameters
    ----------
    pred : scalar
        A truth value.
    f, g : callable
        Must return nests of the same structure, shapes and dtypes.
    *args
        Operands of the branches; the branches may also use values from outside.

    Returns
    -------
    nest of arrays

    Raises
    ------
    TypeError
        If the branches' results differ; names the leaf.

    Examples
    --------
    >>> import gradiverse as gv
    >>> relu = gv.compile(lambda x: gv.cond(x > 0, lambda x: x, lambda x: 0 * x, x))
    >>> float(relu(-2.0)), float(relu(3.0))
    (-0.0, 3.0)
    """

    known = _predicate(pred, "gv.cond")
    if type(known) is bool:
        return unshared(f(*args) if known else g(*args), args)
    with Scope((known, args)) as scope:
        trace = scope.trace
        fresh = Fresh(scope, args)
        yes = _branch(scope, f, fresh, "the first branch")
        no = _branch(scope, g, fresh, "the second branch")
        ids_yes, ids_no, weak = _agree(yes, no)
        graph = trace.graph
        _, captured = graph.func(fresh.ids, ids_yes)
        other, captured = graph.func(fresh.ids, ids_no, captured=list(captured))
        one, same = graph.func(fresh.ids, ids_yes, captured=list(captured))
        if list(same) != list(captured):
            raise RuntimeError("gv.cond: captured values of the branches disagree")
        ins = (known.id, *(v.id for v in fresh.old), *captured)
        if not ids_yes:
            return yes.nest([])
        vid = trace.op("cond", ins, (), (one, other))
        out = [trace.var(vid + k, w) for k, w in enumerate(weak)]
    return yes.nest(out)


def _agree(yes, no):
    """Ids of both branches' results in common dtypes."""
    if yes.tree != no.tree:
        raise TypeError(
            f"gv.cond: the branches return {yes.tree!r} and {no.tree!r}; they must"
            " agree in structure"
        )
    paths = yes.paths()
    if yes.slots != no.slots:
        raise TypeError("gv.cond: the branches return arrays in different places")
    for x, y, k in zip(yes.raw, no.raw, yes.slots, strict=True):
        if k is None and not (x is y or x == y):
            raise TypeError(
                f"gv.cond: the branches return {x!r} and {y!r}, which are not arrays"
            )
    a_ids, b_ids, weak = [], [], []
    where = [p for p, k in zip(paths, yes.slots, strict=True) if k is not None]
    for a, b, path in zip(yes.vars, no.vars, where, strict=True):
        if a.shape != b.shape:
            raise TypeError(
                f"gv.cond: result{path} has shape {a.shape} in one branch and"
                f" {b.shape} in the other"
            )
        if a.dtype != b.dtype:
            if a.weak and not b.weak:
                a = a.astype(b.dtype)
            elif b.weak and not a.weak:
                b = b.astype(a.dtype)
            elif a.weak and b.weak:
                wide = np.result_type(a.dtype, b.dtype)
                a, b = a.astype(wide), b.astype(wide)
            else:
                raise TypeError(
                    f"gv.cond: result{path} is {a.dtype} in one branch and {b.dtype}"
                    " in the other; cast one"
                )
        a_ids.append(a.id)
        b_ids.append(b.id)
        weak.append(a.weak and b.weak)
    return a_ids, b_ids, weak


def while_loop(test, body, init):
    """Repeat body while test holds.

    Parameters
    ----------
    test : callable
        ``test(carry) -> truth value``.
    body : callable
        ``body(carry) -> carry`` of the same structure, shapes and dtypes.
    init : nest of arrays

    Returns
    -------
    nest of arrays
        The first carry for which the test fails.

    Raises
    ------
    TypeError
        If the body changes the carry, or a reverse-mode derivative is asked for: the
        number of steps is not known beforehand (`scan` has one; forward mode works).

    Examples
    --------
    >>> import gradiverse as gv
    >>> float(gv.while_loop(lambda x: x < 100, lambda x: 2 * x, 3.0))
    192.0
    """
    with Scope(init) as scope:
        trace = scope.trace
        carry = Carry(scope, init, "gv.while_loop")

        def step(state, _):
            return body(state), None

        inputs, _, _, new = traced_body(scope, carry, [], step, "the body")
        checked = carry.placeholders(trace, "the carry of gv.while_loop")
        flag = test(carry.nest(checked))
        flag = scope.plainly(flag if type(flag) is Var else np.asarray(flag))
        if flag.shape != ():
            raise ValueError(
                f"gv.while_loop: test returns shape {flag.shape}, expected one truth"
                " value"
            )
        if flag.dtype != "bool":
            flag = flag != 0
        graph = trace.graph
        begin, begin_test = [v.id for v in inputs], [v.id for v in checked]
        _, captured = graph.func(begin_test, [flag.id])
        loop, captured = graph.func(begin, new, captured=list(captured))
        ask, same = graph.func(begin_test, [flag.id], captured=list(captured))
        if list(same) != list(captured):
            raise RuntimeError("gv.while_loop: captured values disagree")
        ins = (*(v.id for v in carry.vars), *captured)
        first = trace.op("while", ins, (len(carry.vars),), (ask, loop))
        ids = list(range(first, first + len(carry.vars)))
    return carry.nest(scope.results(ids, [v.weak for v in carry.vars]))


def quantize(x, scale):
    """x as integers in units of scale, for carries that must be exactly reversible.

    Parameters
    ----------
    x : float array
    scale : float
        Size of one unit, > 0.

    Returns
    -------
    Var of dtype q32 (float32) or q64 (float64), or an int32 or int64 array
        Rounded to nearest. Quantised values can be added and subtracted, and wrap
        around; derivatives pass as through the identity.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> gv.quantize(np.array([1.0, 2.6]), 0.5)
    array([2, 5])
    """
    scale = _checked_scale(scale, "gv.quantize")
    if type(x) is Var:
        return emit("quantize", (x,), scale=scale)
    x = np.asarray(x)
    if x.dtype.kind != "f":
        raise TypeError(f"gv.quantize: needs a float array, not {x.dtype}")
    units = np.rint(x.astype(np.float64) * (1.0 / scale)).astype(np.int64)
    return units.astype(np.int32) if x.dtype.itemsize <= 4 else units


def dequantize(q, scale):
    """Floats from quantised values: q times scale.

    Parameters
    ----------
    q : Var of dtype q32 or q64, or int32 or int64 array
    scale : float

    Returns
    -------
    float32 or float64 array or Var

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> gv.dequantize(np.array([2, 5]), 0.5)
    array([1. , 2.5])
    """
    scale = _checked_scale(scale, "gv.dequantize")
    if type(q) is Var:
        if q.dtype in ("q32", "q64"):
            return emit("dequantize", (q,), scale=scale)
        return q.astype("float32" if q.dtype == "int32" else "float64") * scale
    q = np.asarray(q)
    if q.dtype.kind != "i":
        raise TypeError(f"gv.dequantize: needs quantised values, not {q.dtype}")
    dtype = np.float32 if q.dtype.itemsize <= 4 else np.float64
    return (q.astype(np.float64) * scale).astype(dtype)


def _checked_scale(scale, who):
    if type(scale) is Var:
        raise TypeError(f"{who}: scale must be a plain number, not a traced value")
    scale = float(scale)
    if not 0 < scale < float("inf"):
        raise ValueError(f"{who}: scale {scale} must be positive and finite")
    return scale
