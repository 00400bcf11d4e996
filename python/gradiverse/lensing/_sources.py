"""Sources: planes at one redshift, or a distribution n(z), and how they weigh matter.

Convergence is 1.5 Omega_m (H0/c)^2 times the integral over chi of
q(chi) D(chi) (1+z) delta, with D the transverse distance f_K(chi) and the efficiency

    q(chi) = int_chi^inf dchi' n(chi') f_K(chi' - chi) / f_K(chi').

For a plane at chi_s it is f_K(chi_s - chi)/f_K(chi_s), 1 - chi/chi_s in flat space.
With S = sqrt(1 + Omega_k D^2) (D in units of c/H0), f_K(chi' - chi) = D' S - D S', so
that curvature of either sign, or none, is one formula.

n(z) is piecewise linear between the rows of its table and has unit integral. Its
intervals are cut fine enough for n(chi) to be constant in each; the integral of
f_K(chi' - chi)/f_K(chi') over an interval is then exact, because d ln f_K/dchi = S/D.
`transverse` is f_K(chi) where space may be curved; without it space is taken as flat.
"""

import numpy as np

from ..graph import Var, is_traced

HUBBLE_DISTANCE = 2997.92458  # c/H0 [Mpc/h]
INTERVALS = 256  # n(z) tables with fewer intervals are cut into about so many
_TINY = 1e-30


class Plane:
    """All sources at one redshift."""

    def __init__(self, z):
        if not is_traced(z):
            z = float(z)
            if not (np.isfinite(z) and z > 0):
                raise ValueError(
                    f"source redshift {z} must be positive and finite; lensing needs"
                    " matter in front of the source"
                )
        self.z = z
        self.z_max = z

    def __repr__(self):
        return f"z = {self.z}"

    def efficiency(self, c, chi, transverse=None):
        """q at radial distances chi, negative beyond the source: (T,)."""
        if transverse is None:
            return 1.0 - chi / c.comoving_distance(self.z)
        far = c.transverse_distance(self.z)
        return _slope(c, transverse) - transverse * (_slope(c, far) / far)


class Distribution:
    """Sources spread over redshift.

    Parameters
    ----------
    z : (M,) float array
        Redshifts, rising, from 0 or above.
    n : (M,) float array
        Not negative, any scale.
    """

    def __init__(self, z, n):
        self.table = z = np.array(z, dtype=np.float64)
        if z.ndim != 1 or len(z) < 2:
            raise ValueError(
                f"nz: z has shape {z.shape}; give at least two redshifts in one row"
            )
        if not np.all(np.isfinite(z)) or z[0] < 0 or np.any(np.diff(z) <= 0):
            raise ValueError("nz: redshifts must be finite, not negative, and rise")
        self.n = n if type(n) is Var else np.asarray(n, dtype=np.float64)
        if self.n.shape != z.shape:
            raise ValueError(
                f"nz: n has shape {self.n.shape}, z has {z.shape}; one n for each z"
            )
        if type(n) is not Var:
            bad = ~(np.isfinite(self.n) & (self.n >= 0))
            if bad.any():
                row = int(np.flatnonzero(bad)[0])
                raise ValueError(
                    f"nz: n[{row}] is {self.n[row]}; numbers of sources are finite and"
                    " not negative"
                )
            if not self.n.any():
                raise ValueError("nz: n is zero everywhere; there are no sources")
        self.z_max = float(z[-1])
        cuts = -(-INTERVALS // (len(z) - 1))
        t = np.arange(cuts) / cuts
        self.knots = np.append(
            (z[:-1, None] + np.diff(z)[:, None] * t).reshape(-1), z[-1]
        )
        self._interval = np.repeat(np.arange(len(z) - 1), cuts)

    def __repr__(self):
        return f"n(z), z = {self.table[0]:g} to {self.table[-1]:g}"

    def _normal(self):
        width = np.diff(self.table)
        return self.n / np.sum(0.5 * width * (self.n[1:] + self.n[:-1]))

    def density(self, z):
        """n(z) of unit integral, zero outside the table."""
        return np.interp(z, self.table, self._normal(), left=0.0, right=0.0)

    def _mass(self):
        """Share of the sources in each interval between knots."""
        n = self._normal()
        i, z = self._interval, self.table
        middle = 0.5 * (self.knots[1:] + self.knots[:-1])
        t = (middle - z[i]) / (z[i + 1] - z[i])
        return (n[i] * (1 - t) + n[i + 1] * t) * np.diff(self.knots)

    def efficiency(self, c, chi, transverse=None):
        """q at radial distances chi: (T,)."""
        knots = c.comoving_distance(self.knots)
        near, far = knots[:-1], knots[1:]
        chi = np.reshape(chi, (-1, 1))
        low = np.minimum(np.maximum(chi, near), far)
        if transverse is None:
            d, d_far, d_low, s = chi, far, low, 1.0
        else:
            d = np.reshape(transverse, (-1, 1))
            d_knots = c.transverse_distance(self.knots)
            d_far = d_knots[1:]
            d_low = np.minimum(np.maximum(d, d_knots[:-1]), d_far)
            s = _slope(c, d)
        part = s * (far - low) - d * np.log(d_far / np.maximum(d_low, _TINY))
        return np.sum(self._mass() / (far - near) * part, axis=-1)


def _slope(c, transverse):
    """d f_K/d chi at transverse distance f_K [Mpc/h], short of the equator."""
    return np.sqrt(1 + c.Omega_k * (transverse / HUBBLE_DISTANCE) ** 2)


def prefactor(c):
    """1.5 Omega_m (H0/c)^2 [(h/Mpc)^2]."""
    return 1.5 * c.Omega_m / HUBBLE_DISTANCE**2


def as_source(z_source=None, nz=None):
    """One `Plane` or `Distribution` from the arguments that users give."""
    if nz is None:
        if z_source is None:
            raise ValueError("give z_source=, a redshift, or nz=(z, n)")
        if np.ndim(z_source):
            raise ValueError(
                f"z_source has shape {np.shape(z_source)}; give one redshift (call"
                " again for each), or nz=(z, n)"
            )
        return Plane(z_source)
    if isinstance(nz, Distribution):
        return nz
    if not isinstance(nz, (tuple, list)) or len(nz) != 2:
        raise ValueError("nz must be a pair (z, n) of arrays of one length")
    return Distribution(*nz)


def many(sources=None, nz=None):
    """List of `Plane` and `Distribution`: planes first, then distributions.

    Parameters
    ----------
    sources : sequence of float, optional
    nz : (z, n) or list of such pairs, optional
    """
    out = []
    if sources is not None:
        if np.ndim(sources) > 1:
            raise ValueError(
                f"sources has shape {np.shape(sources)}; give a row of redshifts"
            )
        for z in np.atleast_1d(np.asarray(sources, dtype=np.float64)):
            out.append(Plane(float(z)))
    if nz is not None:
        for pair in _pairs(nz):
            out.append(as_source(nz=pair))
    if not out:
        raise ValueError("no sources: give sources=[z, ...] or nz=(z, n)")
    return out


def _pairs(nz):
    """A list of (z, n): one pair, or several."""
    if not isinstance(nz, (tuple, list)) or not len(nz):
        raise ValueError("nz must be a pair (z, n), or a list of such pairs")
    if len(nz) == 2 and all(np.ndim(x) == 1 for x in nz):
        return [tuple(nz)]
    return list(nz)
