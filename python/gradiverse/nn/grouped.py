"""Many independent networks at once: grouped linear layers, and any layer in groups."""

import numpy as np

from .. import random
from ..batch import vmap
from ..graph import emit
from ..tree import map_leaves
from ._base import Context, Keys, Layer, float_input, parameter, shape_of
from .dense import whole
from .initialisers import initialiser

__all__ = ["Grouped", "GroupedLinear", "grouped_linear"]

_ACTS = {"none": 0, "relu": 1}


def _group_axis(axis, who):
    if axis not in (0, 1):
        raise ValueError(f"{who}: axis must be 0 (groups first) or 1, not {axis!r}")
    return int(axis)


def grouped_linear(x, weight, bias=None, act="none", axis=1):
    """act(x_g weight_g^T + bias_g) for every group g, in one operator.

    Parameters
    ----------
    x : (batch, groups, k) array of float32 or float64
        With axis=0: (groups, batch, k).
    weight : (groups, n, k) array
    bias : (groups, n) array, optional
    act : "none" or "relu"
    axis : 0 or 1
        Where the groups are, in x and in the result.

    Returns
    -------
    (batch, groups, n) array
        With axis=0: (groups, batch, n).

    Raises
    ------
    TypeError, ValueError
        Dtypes or shapes that do not fit.

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> x, weight = np.ones((4, 2, 3)), np.array([[[0.0, 0, 0]], [[1, 1, 1]]])
    >>> gv.nn.grouped_linear(x, weight)[0].tolist()
    [[0.0], [3.0]]
    """
    if act not in _ACTS:
        raise ValueError(
            f"grouped_linear: act must be one of {sorted(_ACTS)}, not {act!r}"
        )
    axis = _group_axis(axis, "grouped_linear")
    x = float_input(x, "grouped_linear")
    weight = float_input(weight, "grouped_linear")
    fits = x.ndim == 3 and weight.ndim == 3
    if not fits or (x.shape[axis], x.shape[2]) != (weight.shape[0], weight.shape[2]):
        order = "(batch, groups, k)" if axis else "(groups, batch, k)"
        raise ValueError(
            f"grouped_linear: x {x.shape} and weight {weight.shape} do not fit: x"
            f" {order} and weight (groups, n, k) are needed"
        )
    inputs = (x, weight) if bias is None else (x, weight, float_input(bias, "bias"))
    return emit("linear", inputs, act=_ACTS[act], x_inner=axis, y_inner=axis)


class GroupedLinear(Layer):
    """A linear map of its own for every group, such as one per marginal.

    Parameters
    ----------
    groups, n_in, n_out : int
    bias : bool
    init_weight, init_bias : str, float or callable
        As for `gradiverse.nn.initialisers.initialiser`; by default torch's, each group
        as a `Linear`.
    axis : 0 or 1
        Where the groups are in x: axis 1, (batch, groups, n_in), or in front,
        (groups, batch, n_in), which is a little faster.

    Notes
    -----
    Parameters: weight (groups, n_out, n_in), bias (groups, n_out). The output is laid
    out as the input.

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> layer = gv.nn.GroupedLinear(100, 8, 4)
    >>> layer.apply(layer.init(0), np.ones((5, 100, 8))).shape
    (5, 100, 4)
    """

    #: `_forward` takes act="relu" and does the rectifier in the same pass
    fuses_relu = True

    def __init__(
        self,
        groups,
        n_in,
        n_out,
        bias=True,
        init_weight="torch",
        init_bias="torch",
        axis=1,
    ):
        self.groups = whole(groups, "groups", "GroupedLinear")
        self.n_in = whole(n_in, "n_in", "GroupedLinear")
        self.n_out = whole(n_out, "n_out", "GroupedLinear")
        self.bias = bool(bias)
        self.init_weight, self.init_bias = init_weight, init_bias
        self.axis = _group_axis(axis, "GroupedLinear")

    def _parameters(self, rng, dtype):
        g, fans = self.groups, (self.n_in, self.n_out, dtype)

        def draw(how, shape):
            one = initialiser(how)
            return np.stack([one(rng, shape, *fans) for _ in range(g)])

        out = {"weight": draw(self.init_weight, (self.n_out, self.n_in))}
        if self.bias:
            out["bias"] = draw(self.init_bias, (self.n_out,))
        return out

    def _forward(self, params, x, context, act="none"):
        who = f"GroupedLinear({self.groups}, {self.n_in}, {self.n_out})"
        x, g = float_input(x, who), self.groups
        shape = shape_of(x)
        if len(shape) != 3 or (shape[self.axis], shape[2]) != (g, self.n_in):
            order = f"(batch, {g}, {self.n_in})"
            order = order if self.axis else f"({g}, batch, {self.n_in})"
            raise ValueError(f"{who}: x has shape {shape}; it must be {order}")
        weight = parameter(params, "weight", (g, self.n_out, self.n_in), who)
        bias = parameter(params, "bias", (g, self.n_out), who) if self.bias else None
        return grouped_linear(x, weight, bias, act, self.axis)


class Grouped(Layer):
    """Copies of a layer with parameters of their own, run together.

    Parameters
    ----------
    layer : Layer
        Any layer or network that takes one array.
    groups : int
    axis : 0 or 1
        Where the groups are in x and in the output.
    shared : bool
        All groups read the same x, which then has no axis of groups.

    Notes
    -----
    Parameters and states: those of `layer`, every array with one more axis in front, of
    length groups. Group g starts where `layer` would with the g-th child of the seed,
    and draws random numbers of its own. Groups do not see each other: statistics are
    taken per group.

    Examples
    --------
    Ten residual heads, one per marginal:

    >>> import gradiverse as gv, numpy as np
    >>> net = gv.nn.Grouped(gv.nn.ResNet(11, 1, width=64, depth=2), 10)
    >>> params, state = net.init(0), net.init_state()
    >>> x = np.random.default_rng(0).normal(size=(64, 10, 11))
    >>> y, state = net.apply(params, x, state=state, train=True)
    >>> y.shape
    (64, 10, 1)
    """

    def __init__(self, layer, groups, axis=1, shared=False):
        if not isinstance(layer, Layer):
            raise TypeError(f"Grouped: {layer!r} is not a layer")
        self.layer = layer
        self.groups = whole(groups, "groups", "Grouped")
        self.axis = _group_axis(axis, "Grouped")
        self.shared = bool(shared)

    def _parameters(self, rng, dtype):
        each = [self.layer._parameters(r, dtype) for r in rng.spawn(self.groups)]
        return _stacked(each)

    def _state(self, dtype):
        return _stacked([self.layer._state(dtype)] * self.groups)

    def _forward(self, params, x, context):
        where = f"{context.where}: Grouped" if context.where else "Grouped"
        shape = shape_of(x)
        if not self.shared and (
            len(shape) <= self.axis or shape[self.axis] != self.groups
        ):
            raise ValueError(
                f"{where}: x has shape {shape}; axis {self.axis} must hold the"
                f" {self.groups} groups (or shared=True)"
            )
        arguments = {"params": params, "x": x}
        axes = {"params": 0, "x": None if self.shared else self.axis}
        if context.state is not None:
            arguments["state"], axes["state"] = context.state, 0
        if context.random:
            arguments["key"] = random.split(context.key(), self.groups)
            axes["key"] = 0

        def one(arguments):
            state = arguments.get("state")
            inner = Context(context.train, Keys(arguments.get("key")), state, where)
            y = self.layer._forward(arguments["params"], arguments["x"], inner)
            return {"y": y} if state is None else {"y": y, "state": inner.new_state()}

        out = vmap(one, in_axes=(axes,), out_axes=self._out_axes(context))(arguments)
        if context.state is not None:
            context.update(out["state"])
        return out["y"]

    def _out_axes(self, context):
        return {"y": self.axis} | ({} if context.state is None else {"state": 0})


def _stacked(nests):
    """One nest of arrays with an axis more in front."""
    return map_leaves(lambda *leaves: np.stack(leaves), *nests) if nests[0] else {}
