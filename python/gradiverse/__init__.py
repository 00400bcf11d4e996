"""gradiverse: inference from simulators, with gradients, on plain CPUs.

One C engine (graphs, gradients, planned programs) under one Python package.
Sub-packages are imported when they are first used, so that ``import gradiverse``
stays light.
"""

from importlib import import_module as _import_module

_LAZY = {
    "gp": "gradiverse.gp",
    "mortality": "gradiverse.mortality",
}


def __getattr__(name):
    """Import a sub-package on first use (PEP 562)."""
    if name in _LAZY:
        module = _import_module(_LAZY[name])
        globals()[name] = module
        return module
    raise AttributeError(f"module 'gradiverse' has no attribute {name!r}")
