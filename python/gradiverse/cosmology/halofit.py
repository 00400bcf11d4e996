"""Nonlinear power: the halo fit as revised by Takahashi et al. 2012 (ApJ 761, 152).

With sigma^2(R) = int dln k D^2 e^{-(kR)^2}, D^2 = k^3 P/(2 pi^2) linear, the nonlinear
scale is where sigma = 1; n and C are minus 3 minus the slope and minus the curvature of
ln sigma^2 over ln R there. The integral is a trapezoidal sum in arsinh(ln(k/k0)/2): it
converges exponentially.
"""

import numpy as np

from ..grad import stop_gradient
from . import power

LOW, HIGH = 1e-3, 1e4  # h/Mpc, where the nonlinear scale is looked for
_T = np.linspace(-2.47, 2.52, 1024)
_K = 0.5 * np.exp(2 * np.sinh(_T))  # 3e-6 ... 1e5, finest where baryons ripple
_STEP = 2 * np.cosh(_T) * (_T[1] - _T[0])  # d ln k
_LNR = -np.linspace(np.log(LOW), np.log(HIGH), 129)
_SMOOTH = np.exp(-((_K * np.exp(_LNR)[:, None]) ** 2))


def delta2(c, k):
    """k^3 P/(2 pi^2) today."""
    return k**3 * power.linear(c, k) / (2 * np.pi**2)


def nonlinear_scale(c, growth2):
    """Where sigma(1/k) = 1, for squares of the growth factor (Z,).

    Returns
    -------
    k, n, C : (Z,)
    found : (Z,) bool
        False where sigma < 1 down to 1/HIGH: there is no nonlinear scale.
    """
    spectrum = delta2(c, _K) * _STEP
    moments = np.stack([spectrum, _K**2 * spectrum, _K**4 * spectrum], axis=1)
    target = -np.log(growth2)
    table = np.log(_SMOOTH @ spectrum)  # rises along _LNR
    found = (target < table[128]) & (target > table[0])
    safe = np.where(found, target, stop_gradient(table[64]))
    guess = np.interp(stop_gradient(safe), stop_gradient(table), _LNR)

    def slopes(lnr):
        """ln sigma^2, its first and second derivative over ln R."""
        r2 = np.exp(2 * lnr)
        sums = np.exp(-(_K**2) * r2[:, None]) @ moments
        first = -2 * r2 * sums[:, 1] / sums[:, 0]
        second = 2 * first + 4 * r2 * r2 * sums[:, 2] / sums[:, 0] - first * first
        return np.log(sums[:, 0]), first, second

    def newton(lnr):
        value, slope, _ = slopes(lnr)
        return lnr - (value - safe) / slope

    lnr = newton(newton(stop_gradient(newton(guess))))
    _, slope, curvature = slopes(lnr)
    return np.exp(-lnr), -3 - slope, -curvature, found, target <= table[0]


def halofit(k, linear, scale, n, curve, p):
    """Nonlinear D^2(k) from the linear one.

    Parameters
    ----------
    k, linear : array
        h/Mpc; D^2.
    scale, n, curve : array
        From `nonlinear_scale`.
    p : background.Parts
        At the redshift.
    """
    y = k / scale
    n2, n3, n4 = n * n, n**3, n**4
    ow = p.dark_energy * (1 + p.w)
    om = p.matter
    a = 1.5222 + 2.8553 * n + 2.3706 * n2 + 0.9903 * n3 + 0.2250 * n4
    a = 10 ** (a - 0.6038 * curve + 0.1749 * ow)
    b = 10 ** (-0.5642 + 0.5864 * n + 0.5716 * n2 - 1.5474 * curve + 0.2279 * ow)
    c = 10 ** (0.3698 + 2.0404 * n + 0.8161 * n2 + 0.5869 * curve)
    gamma = 0.1971 - 0.0843 * n + 0.8460 * curve
    alpha = np.abs(6.0835 + 1.3373 * n - 0.1959 * n2 - 5.5274 * curve)
    beta = 2.0379 - 0.7354 * n + 0.3157 * n2 + 1.2490 * n3 + 0.3980 * n4
    beta = beta - 0.1682 * curve
    nu = 10 ** (5.2105 + 3.6902 * n)
    f1, f2, f3 = om**-0.0307, om**-0.0585, om**0.0743
    quasi = linear * (1 + linear) ** beta / (1 + alpha * linear)
    quasi = quasi * np.exp(-y / 4 - y * y / 8)
    halo = a * y ** (3 * f1) / (1 + b * y**f2 + (c * f3 * y) ** (3 - gamma))
    return quasi + halo / (1 + nu / (y * y))
