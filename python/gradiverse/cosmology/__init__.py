"""Background, growth of structure and power spectra, all differentiable.

`Cosmology` holds the parameters; its methods give expansion, distances, growth to
second order, linear and nonlinear power. Lengths are comoving Mpc/h.
"""

from .growth import Growth
from .model import Cosmology

__all__ = ["Cosmology", "Growth"]
