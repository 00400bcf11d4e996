"""gradiverse: inference from simulators, with gradients, on plain CPUs.

One C engine (graphs, gradients, planned programs) under one Python package.
Sub-packages are imported when they are first used, so that ``import gradiverse``
stays light.
"""

from importlib import import_module as _import_module

from . import random
from .batch import vmap
from .compile import compile
from .config import debug, get_threads, op_table, set_threads, show_config
from .control import cond, dequantize, quantize, scan, while_loop
from .custom import checkpoint, custom_vjp, external
from .grad import grad, hvp, jacobian, jvp, stop_gradient, value_and_grad, vjp
from .graph import evaluate, is_traced
from .tree import flatten, map_leaves, register_dataclass

_LAZY = {
    "cosmology": "gradiverse.cosmology",
    "gp": "gradiverse.gp",
    "inference": "gradiverse.inference",
    "lensing": "gradiverse.lensing",
    "mortality": "gradiverse.mortality",
    "nbody": "gradiverse.nbody",
    "nn": "gradiverse.nn",
    "ops": "gradiverse.ops",
    "optim": "gradiverse.optim",
    "simulators": "gradiverse.simulators",
    "supernova": "gradiverse.supernova",
    "testing": "gradiverse.testing",
    "train": "gradiverse.train",
}

__all__ = [
    "checkpoint",
    "compile",
    "cond",
    "custom_vjp",
    "debug",
    "dequantize",
    "evaluate",
    "external",
    "flatten",
    "get_threads",
    "grad",
    "hvp",
    "is_traced",
    "jacobian",
    "jvp",
    "map_leaves",
    "op_table",
    "quantize",
    "random",
    "register_dataclass",
    "scan",
    "set_threads",
    "show_config",
    "stop_gradient",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
    *_LAZY,
]


def __getattr__(name):
    """Import a sub-package on first use (PEP 562)."""
    if name in _LAZY:
        module = _import_module(_LAZY[name])
        globals()[name] = module
        return module
    if name == "__version__":
        from importlib.metadata import version

        return version("gradiverse")
    raise AttributeError(f"module 'gradiverse' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
