"""One operator on plain arrays, with its program kept for the next call."""

from functools import lru_cache

from .. import _core
from ..graph import emit, native
from ..var import Var


@lru_cache(maxsize=256)
def _program(name, types, attrs):
    graph = _core.Graph()
    inputs = [graph.input(dtype, shape) for dtype, shape in types]
    first = graph.op(name, tuple(inputs), attrs)
    outs = [first + k for k in range(graph.nout(first))]
    return graph.program(inputs, outs)


def apply(name, inputs, observed=None):
    """An operator of this family on traced values or arrays -> list of outputs.

    Parameters
    ----------
    name : str
    inputs : sequence of Var or array
        Of the dtypes and shapes that the operator wants.
    observed : tuple of int, optional
        The operator's attribute, if it has it.
    """
    if any(type(x) is Var for x in inputs):
        attrs = {} if observed is None else {"observed": observed}
        return emit(name, inputs, **attrs)
    arrays = [native(x) for x in inputs]
    types = tuple((a.dtype.name, a.shape) for a in arrays)
    attrs = () if observed is None else (len(observed), *observed)
    return _program(name, types, attrs).run(arrays)
