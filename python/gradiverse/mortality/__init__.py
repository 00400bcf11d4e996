"""Excess mortality: counterfactual deaths with errors that hold for any sum.

Tables in (unit, year, week, deaths), expected and excess deaths out.  Start with
``Counterfactual``; ``rolling_origin`` and ``leave_one_year_out`` say how far to trust
it; ``gradiverse mortality`` on the command line runs the whole study.
"""

from .._lazy import on_demand as _on_demand
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

__getattr__, __dir__ = _on_demand(__name__, _LAZY, _MODULES)
