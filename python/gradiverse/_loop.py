"""The carry of a loop: which leaves are traced, and what the body may do to them."""

import numpy as np

from ._scope import as_leaf, is_array
from .graph import Var
from .tree import flatten, leaf_paths

_NUMBER = (float, int, complex)


class Carry:
    """State of a loop: its traced leaves, and the nest around them."""

    def __init__(self, scope, init, transform):
        self.leaves, self.tree = flatten(init)
        self.paths = leaf_paths(init)
        self.transform = transform
        self.at = []  # positions of the traced leaves
        self.vars = []
        for k, x in enumerate(self.leaves):
            x = as_leaf(x)
            if type(x) is Var or is_array(x) or type(x) in (*_NUMBER, bool):
                self.at.append(k)
                self.vars.append(scope.plainly(x))

    def nest(self, values):
        """The carry with these traced leaves."""
        leaves = list(self.leaves)
        for k, v in zip(self.at, values, strict=True):
            leaves[k] = v
        return self.tree.unflatten(leaves)

    def placeholders(self, trace, what):
        """Fresh inputs of the body, typed as the carry."""
        return [
            trace.var(trace.placeholder(v.dtype, v.shape, what), v.weak)
            for v in self.vars
        ]

    def take(self, scope, out, who):
        """The traced leaves of what the body returned as the new carry."""
        leaves, tree = flatten(out)
        if tree != self.tree:
            raise TypeError(
                f"{self.transform}: {who} returns a carry shaped {tree!r}, init is"
                f" {self.tree!r}"
            )
        for k, (x, y) in enumerate(zip(leaves, self.leaves, strict=True)):
            if k not in self.at and not (x is y or x == y):
                raise TypeError(
                    f"{self.transform}: {who} changes the carry's static leaf"
                    f" {self.paths[k] or '(the carry)'} from {y!r} to {x!r}"
                )
        taken = []
        for k in self.at:
            x = as_leaf(leaves[k])
            if not (type(x) is Var or is_array(x) or type(x) in (*_NUMBER, bool)):
                raise TypeError(
                    f"{self.transform}: {who} returns {x!r} at carry{self.paths[k]},"
                    " which is not an array"
                )
            taken.append(scope.plainly(x))
        return taken

    def settle(self, new, who):
        """Widen weak leaves to what the body makes of them; True if any changed."""
        changed = False
        for k, (i, v, n) in enumerate(zip(self.at, self.vars, new, strict=True)):
            where = f"carry{self.paths[i]}"
            if v.shape != n.shape:
                raise TypeError(
                    f"{self.transform}: {who} changes the shape of {where} from"
                    f" {v.shape} to {n.shape}"
                )
            if v.dtype == n.dtype:
                if v.weak and not n.weak:
                    v.weak = False
                    changed = True
                continue
            if not v.weak:
                raise TypeError(
                    f"{self.transform}: {who} changes the dtype of {where} from"
                    f" {v.dtype} to {n.dtype}; start with that dtype, or cast in the"
                    " body"
                )
            if n.weak:
                wide = v.astype(np.result_type(v.dtype, n.dtype))
                wide.weak = True
            else:
                wide = v.astype(n.dtype)
                wide.weak = False
            self.vars[k] = wide
            changed = True
        return changed

    def match(self, new):
        """Ids of the new carry in exactly the carry's dtypes."""
        return [
            n.id if n.dtype == v.dtype else n.astype(v.dtype).id
            for v, n in zip(self.vars, new, strict=True)
        ]


def traced_body(scope, carry, extra, call, who):
    """Trace until the carry's dtypes are steady -> (inputs, outs of call, new ids)."""
    for _ in range(4):
        inputs = carry.placeholders(scope.trace, f"the carry of {carry.transform}")
        more = [
            scope.trace.var(scope.trace.placeholder(d, s, w), False)
            for d, s, w in extra
        ]
        new, rest = call(carry.nest(inputs), more)
        new = carry.take(scope, new, who)
        before = [(v.dtype, v.weak) for v in carry.vars]
        if not carry.settle(new, who):
            return inputs, more, rest, carry.match(new)
        if [(v.dtype, v.weak) for v in carry.vars] == before:
            break
    raise TypeError(f"{carry.transform}: the dtypes of the carry do not settle")
