"""Optimisers and learning-rate schedules.

An optimiser is a pair of pure functions on nests of arrays: ``init(params)`` gives its
state, ``update(grads, state, params)`` gives new parameters and a new state. Both may
be traced, so that a loop of steps compiles into one program. `gradiverse.train.fit`
runs that loop; by hand it is

>>> import numpy as np, gradiverse as gv
>>> opt = gv.optim.adam(0.1)
>>> params = {"x": np.array([3.0, -2.0])}
>>> state = opt.init(params)
>>> def step(carry, _):
...     params, state = carry
...     grads = gv.grad(lambda p: (p["x"] ** 2).sum())(params)
...     return opt.update(grads, state, params), None
>>> (params, state), _ = gv.scan(step, (params, state), length=200)
>>> bool(np.abs(params["x"]).max() < 1e-3)
True
"""

from ._base import Optimizer
from ._first import adam, adamw, radam, sgd
from ._lbfgs import lbfgs
from ._schedules import cosine, exponential, one_cycle, plateau, staircase, warmup
from ._wrap import average, clip

__all__ = [
    "Optimizer",
    "adam",
    "adamw",
    "average",
    "clip",
    "cosine",
    "exponential",
    "lbfgs",
    "one_cycle",
    "plateau",
    "radam",
    "sgd",
    "staircase",
    "warmup",
]
