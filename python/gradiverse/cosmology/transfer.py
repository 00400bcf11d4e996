"""Transfer functions of matter, T -> 1 on large scales; k in h/Mpc.

Eisenstein & Hu 1998 (ApJ 496, 605) with and without baryon wiggles, and Bardeen,
Bond, Kaiser & Szalay 1986 (ApJ 304, 15).
"""

import numpy as np

from ._values import take

_LEAST_BARYONS = 1e-12  # Ob h^2 below which the sound horizon takes its limit


def eisenstein_hu(c, k):
    """Full fit with acoustic oscillations (their section 3)."""
    k = k * c.h  # 1/Mpc
    wm = c.Omega_m * c.h**2
    wb = np.maximum(c.Omega_b * c.h**2, _LEAST_BARYONS)
    fb = c.Omega_b / c.Omega_m
    fc = 1 - fb
    warm = (c.T_cmb / 2.7) ** 2
    z_eq = 2.5e4 * wm / warm**2
    k_eq = 0.0746 * wm / warm
    q = k / (13.41 * k_eq)

    b1 = 0.313 * wm**-0.419 * (1 + 0.607 * wm**0.674)
    b2 = 0.238 * wm**0.223
    z_d = 1291 * wm**0.251 * (1 + b1 * wb**b2) / (1 + 0.659 * wm**0.828)
    r_d = 31.5e3 * wb / (warm**2 * (1 + z_d))
    r_eq = 31.5e3 * wb / (warm**2 * z_eq)
    front = (np.sqrt(1 + r_d) + np.sqrt(r_d + r_eq)) / (1 + np.sqrt(r_eq))
    s = 2 / (3 * k_eq) * np.sqrt(6 / r_eq) * np.log(front)
    k_silk = 1.6 * wb**0.52 * wm**0.73 * (1 + (10.4 * wm) ** -0.95)
    ks = k * s

    # cold matter
    a1 = (46.9 * wm) ** 0.670 * (1 + (32.1 * wm) ** -0.532)
    a2 = (12 * wm) ** 0.424 * (1 + (45 * wm) ** -0.582)
    alpha_c = a1**-fb * a2 ** -(fb * fb * fb)
    slope = 0.944 / (1 + (458 * wm) ** -0.708)
    power = (0.395 * wm) ** -0.0266
    beta_c = 1 / (1 + slope * (fc**power - 1))
    common = 386 / (1 + 69.9 * q**1.08)

    def pressureless(alpha, beta):
        log = np.log(np.e + 1.8 * beta * q)
        return log / (log + (14.2 / alpha + common) * q * q)

    mix = 1 / (1 + (ks / 5.4) ** 4)
    cold = mix * pressureless(1.0, beta_c) + (1 - mix) * pressureless(alpha_c, beta_c)

    # baryons
    y = z_eq / (1 + z_d)
    root = np.sqrt(1 + y)
    g = y * (-6 * root + (2 + 3 * y) * np.log((root + 1) / (root - 1)))
    alpha_b = 2.07 * k_eq * s * (1 + r_d) ** -0.75 * g
    beta_b = 0.5 + fb + (3 - 2 * fb) * np.sqrt((17.2 * wm) ** 2 + 1)
    ks3 = ks * ks * ks
    phase = ks * ks / (ks3 + (8.41 * wm**0.435) ** 3) ** (1 / 3)  # k s~
    silk = np.exp(-((k / k_silk) ** 1.4))
    envelope = pressureless(1.0, 1.0) / (1 + (ks / 5.2) ** 2)
    envelope = envelope + alpha_b * ks3 / (ks3 + beta_b**3) * silk
    return fb * envelope * np.sin(phase) / phase + fc * cold


def no_wiggle(c, k):
    """Smooth fit with the baryons' suppression (their section 4.2)."""
    wm = c.Omega_m * c.h**2
    wb = np.maximum(c.Omega_b * c.h**2, _LEAST_BARYONS)
    fb = c.Omega_b / c.Omega_m
    s = 44.5 * np.log(9.83 / wm) / np.sqrt(1 + 10 * wb**0.75)
    alpha = 1 - 0.328 * np.log(431 * wm) * fb + 0.38 * np.log(22.3 * wm) * fb * fb
    shape = c.Omega_m * c.h * (alpha + (1 - alpha) / (1 + (0.43 * k * c.h * s) ** 4))
    q = k * (c.T_cmb / 2.7) ** 2 / shape
    log = np.log(2 * np.e + 1.8 * q)
    return log / (log + (14.2 + 731 / (1 + 62.5 * q)) * q * q)


def bbks(c, k):
    """Adiabatic cold matter, q = k/(Om h); knows neither baryons nor T_cmb."""
    q = k / (c.Omega_m * c.h)
    x = 2.34 * q
    sum4 = 1 + 3.89 * q + (16.1 * q) ** 2 + (5.46 * q) ** 3 + (6.71 * q) ** 4
    return np.log1p(x) / x * sum4**-0.25


FITS = {"eh98": eisenstein_hu, "eh98_nowiggle": no_wiggle, "bbks": bbks}


def table(k, power, x):
    """A tabulated spectrum at ln k = x: cubic in ln P over ln k, lines beyond the ends.

    Each cell has the cubic with the values and slopes of its ends, where the slope is
    that of the parabola through a point and its neighbours.
    """
    lk, lp = np.log(k), np.log(power)
    step = lk[1:] - lk[:-1]
    chord = (lp[1:] - lp[:-1]) / step
    inner = (chord[:-1] * step[1:] + chord[1:] * step[:-1]) / (step[1:] + step[:-1])
    slope = np.concatenate(
        [2 * chord[:1] - inner[:1], inner, 2 * chord[-1:] - inner[-1:]]
    )
    n = lk.shape[0]
    cell = np.clip(np.searchsorted(lk, x, side="right") - 1, 0, n - 2)
    inside = np.clip(x, lk[0], lk[n - 1])
    h = take(step, cell)
    t = (inside - take(lk, cell)) / h
    left, right = take(slope, cell), take(slope, cell + 1)
    c = take(chord, cell)
    cubic = take(lp, cell) + h * t * (
        left + t * (3 * c - 2 * left - right + t * (left + right - 2 * c))
    )
    end = np.where(x < lk[0], slope[0], slope[n - 1])
    return np.exp(cubic + end * (x - inside))
