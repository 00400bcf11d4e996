"""Inference from simulations: priors, banks of simulations, neural ratio estimation.

``Prior`` says what is believed beforehand, ``Simulator`` draws data, ``Bank`` keeps
simulations in one HDF5 file that survives kills and several writers. Estimators learn
from arrays or from a bank; diagnostics say whether to trust them.
"""

from importlib import import_module as _import_module

_LAZY = {
    "c2st": "_c2st",
    "marginal_c2st": "_c2st",
    "tarp": "_tarp",
    "report": "_report",
    "LC2ST": "_lc2st",
    "Ensemble": "_ensemble",
    "posterior_predictive": "_predictive",
    "misspecification_test": "_unfamiliar",
    "UnfamiliarData": "_unfamiliar",
    "Familiar": "_unfamiliar",
    "mmd_test": "_mmd",
    "mmd": "_mmd",
    "sbc": "_sbc",
    "coverage": "_coverage",
    "plot_coverage": "_figures",
    "Prior": "prior",
    "Simulator": "simulator",
    "Bank": "bank",
    "NRE": "nre",
    "TMNRE": "tmnre",
    "Posterior": "posterior",
}
_MODULES = ("losses",)

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
