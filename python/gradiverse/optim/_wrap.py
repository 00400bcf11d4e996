"""Optimisers around optimisers: clipping by the global norm, averaged weights."""

import copy

import numpy as np

from ..graph import emit
from ..tree import flatten
from ._base import Optimizer, float_leaves, matching
from ._schedules import number, positive

__all__ = ["average", "clip"]


class _Wrapped(Optimizer):
    def __init__(self, opt):
        if not isinstance(opt, Optimizer):
            raise TypeError(f"{self.who}: {opt!r} is not an optimiser of gv.optim")
        self.opt = opt

    def __repr__(self):
        return f"<{self.who} of {self.opt!r}>"

    @property
    def schedule(self):
        """The learning rate of the optimiser inside."""
        return self.opt.schedule

    def init(self, params):
        return self.opt.init(params)

    def evaluated(self, params, state):
        return self.opt.evaluated(params, state)

    def bind(self, steps, per_epoch):
        bound = copy.copy(self)
        bound.opt = self.opt.bind(steps, per_epoch)
        return bound


class _Clip(_Wrapped):
    name = "clip"

    def __init__(self, opt, norm):
        super().__init__(opt)
        positive(self.who, norm=norm)
        self.norm = float(norm)

    def apply(self, grads, state, params, factor):
        square = 0.0
        for g in flatten(grads)[0]:
            square = square + emit("sum_squares", (g.reshape(-1),))
        length = np.sqrt(square)
        if factor is not None:
            length = length * factor
        own = np.minimum(self.norm / (length + 1e-6), 1.0)
        return self.opt.apply(
            grads, state, params, own if factor is None else own * factor
        )


class _Average(_Wrapped):
    name = "average"

    def __init__(self, opt, decay):
        super().__init__(opt)
        if decay is not None:
            inside = "lie in (0, 1), or be None for the mean of all steps"
            number(self.who, "decay", decay, lambda d: 0 < d < 1, inside)
        self.decay = decay

    def init(self, params):
        leaves, tree = float_leaves(params, self.who)
        state = self.opt.init(params)
        if "average" in state:
            raise ValueError(f"{self.who}: the weights are averaged already")
        mean = [x.copy() if isinstance(x, np.ndarray) else x for x in leaves]
        return dict(state, average=tree.unflatten(mean))

    def apply(self, grads, state, params, factor):
        inner = {k: v for k, v in state.items() if k != "average"}
        new, done = self.opt.apply(grads, inner, params, factor)
        leaves, tree = flatten(new)
        old = matching(state["average"], tree, self.who, "state['average']")
        t = done["step"].astype("float64")
        if self.decay is None:
            share = 1.0 / t
        else:
            share = 1.0 - np.minimum(self.decay, (1.0 + t) / (10.0 + t))
        mean = [
            a + share.astype(a.dtype) * (p - a)
            for a, p in zip(old, leaves, strict=True)
        ]
        return new, dict(done, average=tree.unflatten(mean))

    def evaluated(self, params, state):
        return state["average"]


def clip(opt, norm):
    """Shrink the gradient to a largest norm before `opt` uses it.

    Parameters
    ----------
    opt : Optimizer
    norm : float
        Largest Euclidean norm of the gradient of all parameters together.

    Returns
    -------
    Optimizer

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> opt = gv.optim.clip(gv.optim.sgd(1.0), 1.0)
    >>> params, grads = np.zeros(2), np.array([30.0, 40.0])
    >>> params, state = opt.update(grads, opt.init(params), params)
    >>> params.round(6)
    array([-0.6, -0.8])
    """
    return _Clip(opt, norm)


def average(opt, decay=0.999):
    """Average the weights while `opt` steps; the average is evaluated and returned.

    Parameters
    ----------
    opt : Optimizer
    decay : float or None
        average = d * average + (1 - d) * weights after step t, with
        d = min(decay, (1 + t) / (10 + t)). None: the mean over all steps (Polyak).

    Returns
    -------
    Optimizer
        Its state holds the average in ``"average"``.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> opt = gv.optim.average(gv.optim.sgd(1.0), decay=None)
    >>> params = np.zeros(1)
    >>> state = opt.init(params)
    >>> for g in (-1.0, -2.0):
    ...     params, state = opt.update(np.array([g]), state, params)
    >>> params, opt.evaluated(params, state)  # 1 and 3, and their mean
    (array([3.]), array([2.]))
    """
    return _Average(opt, decay)
