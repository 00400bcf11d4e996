"""Adapter for CAMB results; the package camb is optional."""

import numpy as np


def parameters(results, k=None):
    """Arguments of `Cosmology` from CAMB results; see `Cosmology.from_camb`."""
    try:
        import camb
    except ImportError:
        raise ImportError(
            "from_camb needs the package camb (pip install camb); else give"
            " transfer=(k, P)"
        ) from None
    if not isinstance(results, camb.CAMBdata):
        raise TypeError(
            f"from_camb: a camb.CAMBdata is needed, got {type(results).__name__}"
        )
    p = results.Params
    h = p.H0 / 100
    power = results.get_matter_power_interpolator(nonlinear=False)
    if not np.min(np.abs(power.z)) < 1e-10:
        raise ValueError("from_camb: ask CAMB for matter power at redshift 0")
    if k is None:
        k = np.geomspace(1e-4, power.kmax, 512)
    k = np.asarray(k, np.float64)
    w0, wa = p.DarkEnergy.w, p.DarkEnergy.wa
    radiation = results.get_Omega("photon") + results.get_Omega("neutrino")
    return {
        "Omega_m": (p.ombh2 + p.omch2 + p.omnuh2) / h**2,
        "Omega_b": p.ombh2 / h**2,
        "h": h,
        "n_s": p.InitPower.ns,
        "w0": w0,
        "wa": wa,
        "Omega_k": p.omk,
        "Omega_r": radiation,
        "T_cmb": p.TCMB,
        "transfer": (k, power.P(0.0, k)),
    }
