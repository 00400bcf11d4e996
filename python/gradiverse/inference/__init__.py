"""Inference from simulations: priors, banks of simulations, neural ratio estimation.

``Prior`` says what is believed beforehand, ``Simulator`` draws data, ``Bank`` keeps
simulations in one HDF5 file that survives kills and several writers. Estimators learn
from arrays or from a bank; diagnostics say whether to trust them.
"""

from .._lazy import on_demand as _on_demand

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
    "SNRE": "snre",
    "Posterior": "posterior",
}
_MODULES = ("losses",)

__all__ = [*_LAZY, *_MODULES]

__getattr__, __dir__ = _on_demand(__name__, _LAZY, _MODULES)
