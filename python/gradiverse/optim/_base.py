"""What all optimisers share: the state's step and scale, and the learning rate."""

import copy

import numpy as np

from .._scope import as_leaf
from ..graph import Var
from ..tree import flatten, leaf_paths
from ._schedules import as_schedule

__all__ = ["Optimizer"]


def float_leaves(params, who):
    """Leaves of params as arrays or Vars, their paths, and the tree; floats only."""
    leaves, tree = flatten(params)
    leaves = [as_leaf(x) for x in leaves]
    leaves = [x if type(x) is Var else np.asarray(x) for x in leaves]
    paths = leaf_paths(params)
    for x, path in zip(leaves, paths, strict=True):
        if np.dtype(x.dtype).name not in ("float32", "float64"):
            raise TypeError(
                f"{who}: params{path} has dtype {x.dtype}; parameters are float32 or"
                " float64"
            )
    return leaves, tree


def matching(nest, tree, who, what):
    """Leaves of a nest that must have this tree."""
    leaves, own = flatten(nest)
    if own != tree:
        raise ValueError(f"{who}: {what} is {own!r}, the parameters are {tree!r}")
    return leaves


class Optimizer:
    """A rule that turns gradients into new parameters.

    Attributes
    ----------
    name : str
    schedule : Schedule
        The learning rate.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> opt = gv.optim.sgd(0.5, momentum=0.9)
    >>> isinstance(opt, gv.optim.Optimizer)
    True
    >>> params = {"x": np.array([4.0])}
    >>> state = opt.init(params)
    >>> for _ in range(2):  # gradient of x^2 / 2: x itself
    ...     params, state = opt.update(params, state, params)
    >>> params["x"], int(state["step"])
    (array([-0.8]), 2)
    """

    name = "optimizer"
    #: nests of the state that are shaped as the parameters
    moments = ()

    def __init__(self, lr):
        self.schedule = as_schedule(lr, self.who)

    @property
    def who(self):
        """Its name in messages."""
        return f"gv.optim.{self.name}"

    def __repr__(self):
        return f"<{self.who}, {self.schedule}>"

    def init(self, params):
        """The state before the first step.

        Parameters
        ----------
        params : nest of float32 or float64 arrays

        Returns
        -------
        dict
            ``step`` (int64), ``scale`` (float64, a factor of the learning rate that the
            loss may drive), and nests shaped as the parameters.
        """
        leaves, tree = float_leaves(params, self.who)
        state = {
            "step": np.zeros((), np.int64),
            "scale": np.ones(()),
            "memory": np.array([np.inf, 0.0, 0.0, 1.0]),
        }
        for name in self.moments:
            state[name] = tree.unflatten([np.zeros(x.shape, x.dtype) for x in leaves])
        return state

    def update(self, grads, state, params):
        """One step.

        Parameters
        ----------
        grads : nest
            Gradients, shaped as the parameters.
        state : dict
            From `init` or the last update.
        params : nest of arrays

        Returns
        -------
        params, state
            New ones; the arguments are left as they are.
        """
        return self.apply(grads, state, params, None)

    def apply(self, grads, state, params, factor):
        """`update` with all gradients multiplied by a scalar (None: one)."""
        leaves, tree = float_leaves(params, self.who)
        grads = matching(grads, tree, self.who, "the gradient")
        lists = [
            matching(state[m], tree, self.who, f"state[{m!r}]") for m in self.moments
        ]
        step = state["step"] + 1
        rate = self.rate(state)
        rule = self.rule(rate, step, factor)
        new = [rule(*leaf) for leaf in zip(leaves, grads, *lists, strict=True)]
        columns = list(zip(*new, strict=True)) or [()] * (1 + len(self.moments))
        done = dict(state, step=step)
        for name, column in zip(self.moments, columns[1:], strict=True):
            done[name] = tree.unflatten(column)
        return tree.unflatten(columns[0]), done

    def rate(self, state):
        """The learning rate of the next step."""
        return self.schedule(state["step"]) * state["scale"]

    def evaluated(self, params, state):
        """The parameters that are to be used: others than those that are stepped where
        weights are averaged."""
        return params

    def bind(self, steps, per_epoch):
        """The optimiser for a training of so many steps (see `Schedule.bind`)."""
        bound = copy.copy(self)
        bound.schedule = self.schedule.bind(steps, per_epoch)
        return bound

    def observe(self, state, loss):
        """After an epoch: schedules driven by the loss set the scale, in place."""
        scale = self.schedule.observe(state["memory"], loss)
        if scale is not None:
            state["scale"][...] = scale
