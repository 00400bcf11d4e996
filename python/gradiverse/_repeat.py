"""Steps that are traced once and run many times, the state updated where it lies.

A `Repeat` is to training what a program is to a function: the step becomes a graph
whose first inputs (the carry) come back as its first outputs. `Repeat.run` runs steps
in C with the interpreter lock released; neither the data nor the carry are copied.
"""

import numpy as np

from . import graph as _graph
from ._scope import Scope, as_leaf, is_array
from .graph import Var, native_dtype
from .tree import flatten, leaf_paths

__all__ = ["Repeat", "as_arrays"]


def as_arrays(nest, what, copy=False):
    """A nest with every leaf a C-contiguous array of an engine dtype.

    Parameters
    ----------
    nest : nest of arrays and numbers
    what : str
        Names the nest in errors.
    copy : bool
        Arrays of their own, which may be written to.

    Returns
    -------
    leaves : list of ndarray
    tree : Tree

    Raises
    ------
    TypeError
        If a leaf is not a number or a numeric array.
    """
    leaves, tree = flatten(nest)
    done = []
    for k, x in enumerate(leaves):
        x = as_leaf(x)
        if isinstance(x, (bool, int, float, complex)):
            x = np.asarray(x)
        if not is_array(x):
            raise TypeError(
                f"{what}{leaf_paths(nest)[k]} is {x!r}, expected an array of numbers"
            )
        plain = np.asarray(x)
        want = native_dtype(plain.dtype)
        array = np.require(plain, want, "CA")
        if copy and np.may_share_memory(array, plain):
            array = array.copy()
        done.append(array if type(array) is np.ndarray else array.view(np.ndarray))
    return done, tree


class Repeat:
    """A step ``f(carry, x, fixed) -> (carry, ys)`` as a planned program.

    Parameters
    ----------
    f : callable
        Traced once; ys is a tuple of traced values.
    carry, xs, fixed : nest of arrays
        Examples: their shapes and dtypes count; of xs one step is an entry along the
        first axis.
    who : str
        Names the caller in errors.

    Raises
    ------
    TypeError
        If the step changes the carry's structure, a shape or a dtype; names the leaf.
    """

    def __init__(self, f, carry, xs, fixed, who):
        self.who = who
        self._carry, self._paths = flatten(carry)[1], leaf_paths(carry)
        lists = [flatten(nest)[0] for nest in (carry, xs, fixed)]
        trees = [flatten(nest)[1] for nest in (carry, xs, fixed)]
        self._xs, self._fixed = trees[1:]
        shapes = [
            [(x.dtype, x.shape[cut:]) for x in leaves]
            for leaves, cut in zip(lists, (0, 1, 0), strict=True)
        ]
        with _graph.barrier(), Scope() as scope:
            scope.direct = False
            trace = scope.trace
            ids = [
                [trace.placeholder(d, s, f"an argument of {who}") for d, s in part]
                for part in shapes
            ]
            nests = [
                tree.unflatten([trace.var(i) for i in part])
                for tree, part in zip(trees, ids, strict=True)
            ]
            new, ys = f(*nests)
            new = self._match(scope, new, lists[0])
            ys = [scope.plainly(y if type(y) is Var else np.asarray(y)) for y in ys]
        wanted = [*new, *(y.id for y in ys)]
        given = trace.given(wanted)
        inputs = [*ids[0], *ids[1], *ids[2], *given]
        self.program = trace.graph.program(inputs, wanted, len(new))
        self._hidden = [trace.values[i] for i in given]
        self._held = trace.held
        self.y_types = [(np.dtype(y.dtype), y.shape) for y in ys]

    def _match(self, scope, new, old):
        leaves, tree = flatten(new)
        if tree != self._carry:
            raise TypeError(
                f"{self.who}: the step returns {tree!r}, it was given {self._carry!r}"
            )
        ids = []
        for x, y, path in zip(leaves, old, self._paths, strict=True):
            v = scope.plainly(x if type(x) is Var else np.asarray(x))
            if v.shape != y.shape:
                raise TypeError(
                    f"{self.who}: the step changes the shape of {path} from {y.shape}"
                    f" to {v.shape}"
                )
            if v.dtype != y.dtype:
                weak = v.weak or not isinstance(x, Var)
                if not (weak and np.dtype(v.dtype).kind == y.dtype.kind):
                    raise TypeError(
                        f"{self.who}: the step changes the dtype of {path} from"
                        f" {y.dtype} to {v.dtype}; cast in the step"
                    )
                v = v.astype(y.dtype)
            ids.append(v.id)
        return ids

    def room(self, n):
        """Arrays for the ys of n steps."""
        return [np.empty((n, *shape), dtype) for dtype, shape in self.y_types]

    def run(self, carry, xs, fixed, ys, start=0, seconds=0.0):
        """Run steps from `start` on.

        Parameters
        ----------
        carry : list of ndarray
            Leaves of the carry; overwritten. After an error they hold no state.
        xs, fixed : nest of arrays
        ys : list of ndarray
            From `room`; its length is the number of steps.
        start : int
        seconds : float
            Stop after the step during which so much time has passed; 0: never.

        Returns
        -------
        int
            The step that comes next; the number of steps when all are done.
        """
        steps, fixed = flatten(xs)[0], flatten(fixed)[0]
        n = len(steps[0])
        return self.program.repeat(
            carry, steps, [*fixed, *self._hidden], ys, n, start, seconds
        )
