"""Particle-mesh simulations of structure formation, differentiable.

Start with `white_noise`, `evolve` it to `Particles`, `paint` them and take the
`power_spectrum`. Lengths are comoving Mpc/h, wavenumbers h/Mpc, a = 1 today.
"""

from .evolve import advance, evolve
from .fit import Fit, fit_pgd
from .lpt import lpt
from .mesh import acceleration, paint, readout
from .noise import white_noise
from .particles import Particles
from .pgd import PGD
from .snapshot import load, save
from .spectra import correlation, cross_spectrum, power_spectrum, transfer

__all__ = [
    "PGD",
    "Fit",
    "Particles",
    "acceleration",
    "advance",
    "correlation",
    "cross_spectrum",
    "evolve",
    "fit_pgd",
    "load",
    "lpt",
    "paint",
    "power_spectrum",
    "readout",
    "save",
    "transfer",
    "white_noise",
]
