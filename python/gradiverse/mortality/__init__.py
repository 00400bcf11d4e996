"""Excess mortality: counterfactual deaths with errors that hold for any sum.

Tables in (unit, year, week, deaths), expected and excess deaths out.  Start with
``Counterfactual``; ``rolling_origin`` and ``leave_one_year_out`` say how far to trust
it; ``gradiverse mortality`` on the command line runs the whole study.
"""

from importlib import import_module as _import_module

from .counterfactual import METHODS, Counterfactual
from .result import Excess

_LAZY = {
    "rolling_origin": "calibration",
    "leave_one_year_out": "calibration",
    "Calibration": "calibration",
    "synthetic": "simulate",
    "nowcast": "delay",
    "load_italy": "loaders",
    "load_stmf": "loaders",
    "load_economist": "loaders",
    "load_cdc": "loaders",
    "load_tidy": "loaders",
}
_MODULES = ("official", "figures", "report", "study")

__all__ = ["METHODS", "Counterfactual", "Excess", *_LAZY, *_MODULES]


def __getattr__(name):
    """Import the rest on first use (PEP 562)."""
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
