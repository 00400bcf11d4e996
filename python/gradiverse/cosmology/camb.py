"""Adapter for CAMB results; the package camb is optional."""

import numpy as np


def parameters(results):
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
    k, z, power = results.get_linear_matter_power_spectrum(nonlinear=False)
    z = np.asarray(z)
    if not np.abs(z).min() < 1e-10:
        raise ValueError("from_camb: ask CAMB for matter power at redshift 0 as well")
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
        "transfer": (k, power[np.argmin(np.abs(z))]),
    }
