"""The `Cosmology` dataclass: parameters, and what follows from them."""

from dataclasses import dataclass, fields

import numpy as np

from ..graph import is_traced
from ..tree import register_dataclass
from . import _chebyshev, background, growth, halofit, power
from ._check import check, spectrum_table
from ._values import (
    as_float64,
    number,
    plain,
    redshift,
    require,
    scale,
    wavenumber,
)

_RANGE = f"growth is solved up to a = {_chebyshev.A_MAX:g}"


@register_dataclass
@dataclass(frozen=True)
class Cosmology:
    """A universe of matter, dark energy, curvature and radiation.

    All numbers are float64 and may be traced; everything below is differentiable in
    each of them. Arguments of the methods may have any shape.

    Parameters
    ----------
    Omega_m, Omega_b : float
        Densities of all matter and of baryons today, in units of the critical one.
    h : float
        H0 / (100 km/s/Mpc).
    n_s : float
        Slope of the primordial spectrum.
    sigma8 : float, optional
        Rms of the linear density today in spheres of 8 Mpc/h.
    A_s : float, optional
        Primordial amplitude at 0.05/Mpc. Without sigma8 and A_s, sigma8 = 0.8159.
    w0, wa : float
        Dark energy's equation of state, w = w0 + wa (1 - a).
    Omega_k, Omega_r : float
        Curvature and radiation; dark energy is 1 - Omega_m - Omega_k - Omega_r.
        With radiation, growth starts from the logarithmic growth after horizon entry
        with a constant fitted near Planck 2015.
    T_cmb : float
        Temperature today in K; used by the Eisenstein-Hu fits only.
    transfer : {"eh98", "eh98_nowiggle", "bbks"} or (k, P)
        Fit, or a table of the linear spectrum today in h/Mpc and (Mpc/h)^3, k
        ascending. A table keeps its amplitude unless sigma8 is given; n_s is unused.
        "bbks" knows neither baryons nor T_cmb.

    Raises
    ------
    ValueError
        For values that make no universe, for both amplitudes, for an unknown transfer
        function. Traced values are not looked at.

    Notes
    -----
    Lengths are comoving Mpc/h, wavenumbers h/Mpc, a = 1 today. Equations and accuracy:
    see the documentation's page on cosmology.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> c = gv.cosmology.Cosmology(Omega_m=0.3)
    >>> round(float(c.comoving_distance(1.0)), 3)
    2312.68
    >>> round(float(c.growth(0.5)), 5)
    0.61181
    >>> slope = gv.grad(lambda c: c.growth(0.5))(c)
    >>> round(float(slope.Omega_m), 4)
    -0.3462
    """

    Omega_m: float = 0.3089
    Omega_b: float = 0.0486
    h: float = 0.6774
    n_s: float = 0.9667
    sigma8: float | None = None
    A_s: float | None = None
    w0: float = -1.0
    wa: float = 0.0
    Omega_k: float = 0.0
    Omega_r: float = 0.0
    T_cmb: float = 2.7255
    transfer: object = "eh98"

    def __post_init__(self):
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        transfer = own.pop("transfer")
        own = {k: None if v is None else number(v, k) for k, v in own.items()}
        if not isinstance(transfer, str):
            transfer = spectrum_table(transfer)
        missing = [
            k for k, v in own.items() if v is None and k not in ("sigma8", "A_s")
        ]
        if missing:
            raise TypeError(f"Cosmology: {missing[0]} is None, a number is needed")
        if isinstance(transfer, str) and own["sigma8"] is None and own["A_s"] is None:
            own["sigma8"] = 0.8159
        check(own, transfer)
        for name, value in own.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "transfer", transfer)

    def replace(self, **changes):
        """The same universe with other parameters.

        sigma8 and A_s displace each other.

        Examples
        --------
        >>> Cosmology(sigma8=0.8).replace(A_s=2.1e-9).sigma8 is None
        True
        """
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        unknown = [name for name in changes if name not in own]
        if unknown:
            raise TypeError(f"Cosmology.replace: no parameter {unknown[0]!r}")
        for name, other in (("sigma8", "A_s"), ("A_s", "sigma8")):
            if changes.get(name) is not None and other not in changes:
                own[other] = None
        return type(self)(**{**own, **changes})

    @classmethod
    def from_camb(cls, results):
        """The cosmology of a CAMB calculation, with its linear spectrum as a table.

        Parameters
        ----------
        results : camb.CAMBdata
            With matter power at z = 0 (``params.set_matter_power(redshifts=[0.])``);
            its own wavenumbers are the nodes of the table.

        Returns
        -------
        Cosmology
            With the amplitude of the table. Massive neutrinos count as matter.

        Raises
        ------
        ImportError
            Without the optional package camb.
        """
        from .camb import parameters

        return cls(**parameters(results))

    # --- background -------------------------------------------------------------
    @property
    def Omega_de(self):
        """Dark energy today, 1 - Omega_m - Omega_k - Omega_r."""
        return 1.0 - self.Omega_m - self.Omega_k - self.Omega_r

    def E(self, a):
        """Expansion rate H(a)/H0.

        Parameters
        ----------
        a : array
            Scale factor > 0.

        Returns
        -------
        array shaped like a

        Examples
        --------
        >>> round(float(Cosmology(Omega_m=0.307494).E(0.1)), 4)
        17.5552
        """
        return np.sqrt(background.parts(self, scale(a)).e2)

    def dlnE(self, a):
        """d ln E / d ln a, shaped like a."""
        return background.log_slope(background.parts(self, scale(a)))

    def Omega_m_a(self, a):
        """Density parameter of matter at a."""
        return background.parts(self, scale(a)).matter

    def Omega_de_a(self, a):
        """Density parameter of dark energy at a."""
        return background.parts(self, scale(a)).dark_energy

    def comoving_distance(self, z=None, *, a=None):
        """Radial comoving distance in Mpc/h.

        Parameters
        ----------
        z : array
            Redshift > -1; or else
        a : array
            scale factor > 0.

        Returns
        -------
        array shaped like z or a
            (c/H0) int_0^z dz/E; negative in the future.

        Examples
        --------
        >>> Cosmology(Omega_m=0.3, w0=-0.9).comoving_distance([1.0, 2.0]).round(2)
        array([2265.69, 3552.03])
        """
        if (z is None) == (a is None):
            raise TypeError("comoving_distance: give z or a")
        if a is None:
            z = redshift(z)
            a = 1 / (1 + z)
            return background.distance(self, a, z * a)
        a = scale(a)
        return background.distance(self, a, 1 - a)

    def comoving_distance_a(self, a):
        """Radial comoving distance in Mpc/h to scale factor a."""
        return self.comoving_distance(a=a)

    def transverse_distance(self, z=None, *, a=None):
        """Transverse comoving distance in Mpc/h.

        sinh for Omega_k > 0, sin for Omega_k < 0 of the radial distance; arguments as
        of `comoving_distance`.

        Raises
        ------
        ValueError
            Where a known distance in a closed universe lies beyond the antipode, from
            where on sin is negative.
        """
        chi = self.comoving_distance(z, a=a)
        if not is_traced(chi) and not is_traced(self.Omega_k) and self.Omega_k < 0:
            antipode = np.pi * background.HUBBLE_LENGTH / np.sqrt(-self.Omega_k)
            if (chi > antipode).any():
                raise ValueError(
                    f"transverse_distance: {np.max(chi):g} Mpc/h is beyond the antipode"
                    f" of the closed universe with Omega_k={self.Omega_k:g}, at"
                    f" {antipode:g} Mpc/h; take lower redshifts"
                )
        return background.transverse(self, chi)

    def scale_factor(self, chi):
        """Scale factor at a radial comoving distance, inverse of `comoving_distance`.

        Parameters
        ----------
        chi : array
            Mpc/h; negative in the future, down to a = 1.25.

        Returns
        -------
        array shaped like chi
            With the derivatives of the implicit function, da/dchi = -a^2 E H0/c. NaN
            beyond a = 1e-7 and 1.25 where chi is traced.

        Raises
        ------
        ValueError
            Where a known chi is beyond them.

        Examples
        --------
        >>> c = Cosmology()
        >>> round(float(c.scale_factor(c.comoving_distance(1.0))), 12)
        0.5
        """
        chi = as_float64(chi)
        low, high = _chebyshev.A_MIN, _chebyshev.A_MAX
        a = background.scale_factor(self, chi.reshape(-1), low, high)
        if isinstance(a, np.ndarray) and np.isnan(a).any():
            worst = chi.reshape(-1)[np.isnan(a)][0]
            raise ValueError(
                f"scale_factor: distance {worst:g} Mpc/h is beyond a = {low:g} .. "
                f"{high:g} of this cosmology"
            )
        return plain(a.reshape(chi.shape))

    # --- growth -----------------------------------------------------------------
    def growth_derivatives(self, a, normalize="today"):
        """Growth functions with first and second derivatives over ln a.

        Parameters
        ----------
        a : array
            Scale factor, 0 < a <= 1.25.
        normalize : {"today", "matter"}
            D1(1) = 1, or D1 -> a in the matter era. D2 is in units of D1^2, positive,
            about (3/7) D1^2.

        Returns
        -------
        Growth
            Named tuple D1, dD1, ddD1, D2, dD2, ddD2, each shaped like a; the second
            derivatives come from the equations.

        Raises
        ------
        ValueError
            For a known a outside; traced ones give NaN above 1.25.
        """
        return self._growth(a, normalize, 2)

    def growth(self, a, normalize="today", order=1):
        """Growth factor D1 or D2 of `growth_derivatives`.

        Examples
        --------
        >>> c = Cosmology(Omega_m=0.307494)
        >>> D1, D2 = c.growth(1.0, "matter"), c.growth(1.0, "matter", order=2)
        >>> round(float(D2 / (3 / 7 * D1**2)), 7)
        1.0084544
        """
        return plain(self._growth(a, normalize, _order(order))[3 * order - 3])

    def growth_rate(self, a, order=1):
        """f = d ln D/d ln a of D1 or D2, shaped like a.

        Examples
        --------
        >>> round(float(Cosmology(Omega_m=0.307494).growth_rate(1.0)), 7)
        0.5199846
        """
        g = self._growth(a, "matter", _order(order))
        return g[3 * order - 2] / g[3 * order - 3]

    def _growth(self, a, normalize, order):
        """`growth_derivatives`; for order 1 without those of D2."""
        a = require(a, "growth: a", 0, _chebyshev.A_MAX, _RANGE, open_low=True)
        if normalize == "today":
            return growth.normalised(self, a, order)
        if normalize == "matter":
            return growth.growth(self, a, order)
        raise ValueError(f"growth: normalize is 'today' or 'matter', got {normalize!r}")

    # --- power ------------------------------------------------------------------
    def linear_power(self, k, z=0.0):
        """Linear power spectrum of matter.

        Parameters
        ----------
        k : array
            Wavenumber >= 0 in h/Mpc.
        z : array, optional
            Redshift >= -0.2, broadcast against k.

        Returns
        -------
        array
            (Mpc/h)^3; 0 at k = 0.

        Examples
        --------
        >>> c = Cosmology(Omega_m=0.3, Omega_b=0.05, h=0.7, n_s=0.96, sigma8=0.8,
        ...               T_cmb=2.725)
        >>> round(float(c.linear_power(0.001)), 2)
        3895.01
        """
        k = wavenumber(k)
        return power.linear(self, k) * self._growth2(z)

    def halofit_power(self, k, z=0.0):
        """Nonlinear power spectrum, the halo fit as revised by Takahashi et al. 2012.

        Parameters and result as of `linear_power`. Where the linear rms stays below 1
        down to 1e-4 Mpc/h there is no nonlinear scale and the linear spectrum is
        returned; NaN where it is above 1 at 1000 Mpc/h already.

        Examples
        --------
        >>> c = Cosmology()
        >>> k = np.array([0.01, 1.0, 10.0])
        >>> (c.halofit_power(k) / c.linear_power(k)).round(2)
        array([ 0.99,  6.04, 41.86])
        """
        k = wavenumber(k)
        growth2 = as_float64(self._growth2(z))
        flat = growth2.reshape(-1)
        k_sigma, n, curve, found, absurd = (
            x.reshape(growth2.shape) for x in halofit.nonlinear_scale(self, flat)
        )
        p = background.parts(self, 1 / (1 + redshift(z)))
        some = np.where(k > 0, k, 1.0)
        linear = halofit.delta2(self, some) * growth2
        nonlinear = halofit.halofit(some, linear, k_sigma, n, curve, p)
        delta2 = np.where(found, nonlinear, np.where(absurd, np.nan, linear))
        return plain(np.where(k > 0, 2 * np.pi**2 / some**3 * delta2, 0.0))

    def sigma_r(self, R=8.0, z=0.0):
        """Rms of the linear density in spheres of radius R in Mpc/h.

        R and z broadcast; sigma_r(8) is sigma8, also where A_s or a table is given.

        Examples
        --------
        >>> round(float(Cosmology(sigma8=0.8).sigma_r(8.0)), 12)
        0.8
        """
        R = require(R, "sigma_r: R", 0, np.inf, "radii are positive", open_low=True)
        squares = power.variance(self, R.reshape(-1)).reshape(R.shape)
        return np.sqrt(power.amplitude(self) * squares * self._growth2(z))

    def primordial_amplitude(self):
        """A_s, also where sigma8 is given.

        Raises
        ------
        ValueError
            With a tabulated spectrum, which does not determine it.

        Examples
        --------
        >>> c = Cosmology(A_s=2.1e-9)
        >>> other = c.replace(sigma8=c.sigma_r())
        >>> round(float(other.primordial_amplitude()) * 1e9, 9)
        2.1
        """
        if not isinstance(self.transfer, str):
            raise ValueError(
                "primordial_amplitude: a tabulated spectrum has no transfer function"
            )
        return power.primordial(self)

    def primordial_power(self, k):
        """Primordial spectrum of curvature, A_s (k/kp)^(n_s - 1), kp = 0.05/Mpc.

        Shaped like k in h/Mpc, which must be positive; no unit.
        """
        k = require(k, "k", 0, np.inf, "wavenumbers are positive", open_low=True)
        return self.primordial_amplitude() * power.tilt(self, k)

    def transfer_function(self, k):
        """Transfer function T(k) -> 1 on large scales, shaped like k.

        Raises
        ------
        ValueError
            With a tabulated spectrum.
        """
        if not isinstance(self.transfer, str):
            raise ValueError("transfer_function: the spectrum is a table")
        k = wavenumber(k)
        some = np.where(k > 0, k, 1.0)
        return np.where(k > 0, power.FITS[self.transfer](self, some), 1.0)

    def _growth2(self, z):
        """Square of the growth factor since z, today 1."""
        if isinstance(z, (int, float)) and z == 0:
            return 1.0
        z = require(z, "z", 1 / _chebyshev.A_MAX - 1, np.inf, _RANGE)
        return self.growth(1 / (1 + z)) ** 2


def _order(order):
    """order, if it is 1 or 2."""
    if order not in (1, 2):
        raise ValueError(f"growth: order is 1 or 2, got {order!r}")
    return order
