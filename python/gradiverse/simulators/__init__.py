"""Simulators with known answers: the benchmark tasks of simulation-based inference.

``task(name)`` gives a prior, a vectorised simulator, the likelihood where it exists and
draws from the exact posterior: what an inference method can be measured against.
"""

from importlib import import_module as _import_module

_LAZY = {
    "Task": "_task",
    "names": "_task",
    "task": "_task",
}
_MODULES = ()

__all__ = [*_LAZY, *_MODULES]


def __getattr__(name):
    """Import what is asked for (PEP 562)."""
    if name in _LAZY:
        value = getattr(_import_module(f"{__name__}.{_LAZY[name]}"), name)
    elif name in _MODULES:
        value = _import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted(set(globals()) | set(__all__))
