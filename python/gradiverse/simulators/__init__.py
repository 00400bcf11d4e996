"""Simulators with known answers: the benchmark tasks of simulation-based inference.

``task(name)`` gives a prior, a vectorised simulator, the likelihood where it exists and
draws from the exact posterior: what an inference method can be measured against.
"""

from .._lazy import on_demand as _on_demand

_LAZY = {
    "Task": "_task",
    "names": "_task",
    "task": "_task",
}

__all__ = [*_LAZY]

__getattr__, __dir__ = _on_demand(__name__, _LAZY)
