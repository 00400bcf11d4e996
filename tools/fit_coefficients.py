"""Minimax coefficients of the element-wise kernels.

Writes ``csrc/kernels/ew_coefficients.h``. Every polynomial is fitted by the Remez
exchange in 60-digit arithmetic with the weight that turns its error into the relative
error of the function; that error is written beside the coefficients.

    python tools/fit_coefficients.py        (needs mpmath; some minutes)
"""

import sys
from pathlib import Path

from mpmath import mp, mpf

mp.dps = 60
HEADER = Path(__file__).resolve().parent.parent / "csrc/kernels/ew_coefficients.h"


def remez(f, weight, low, high, degree, rounds=12):
    """Coefficients (lowest first) and largest weighted error on [low, high]."""
    low, high = mpf(low), mpf(high)
    n = degree + 2
    middle, half = (low + high) / 2, (high - low) / 2
    node = [middle - half * mp.cos(mp.pi * k / (n - 1)) for k in range(n)]
    dense = 24 * n
    grid = [middle - half * mp.cos(mp.pi * (k + 0.5) / dense) for k in range(dense)]
    grid = [low, *grid, high]
    value = [(x, f(x), weight(x)) for x in grid]
    coefficient, largest = None, None
    for _ in range(rounds):
        matrix, right = mp.matrix(n, n), mp.matrix(n, 1)
        for i, x in enumerate(node):
            power = mpf(1)
            for k in range(degree + 1):
                matrix[i, k] = power
                power *= x
            matrix[i, degree + 1] = (-1) ** i / weight(x)
            right[i] = f(x)
        solution = mp.lu_solve(matrix, right)
        coefficient = [solution[k] for k in range(degree + 1)]
        level = abs(solution[degree + 1])
        error = [w * (mp.polyval(coefficient[::-1], x) - y) for x, y, w in value]
        largest = max(abs(e) for e in error)
        peak = []  # largest error of each run of one sign
        for x, e in zip(grid, error, strict=True):
            if peak and (e > 0) == (peak[-1][1] > 0):
                if abs(e) > abs(peak[-1][1]):
                    peak[-1] = (x, e)
            else:
                peak.append((x, e))
        while len(peak) > n:
            peak.pop(0 if abs(peak[0][1]) < abs(peak[-1][1]) else -1)
        if len(peak) < n or largest < level * (1 + mpf("1e-3")):
            break
        node = [x for x, _ in peak]
    return coefficient, largest


def at_zero(f, limit):
    """f with its limit at 0, evaluated with digits to spare for cancellation."""

    def careful(x):
        if abs(x) < mpf("1e-40"):
            return mpf(limit)
        with mp.workdps(120):
            return +f(mpf(x))

    return careful


def away_from_zero(r):
    """|r| as a weight, kept from vanishing."""
    return max(abs(r), mpf("1e-3"))


LN2 = mp.log(2)
ROOT = mp.findroot(mp.digamma, 1.4616)


def erfcx_mapped(scale):
    """(1 + 2 x) erfcx(x) with x = scale (1 + t)/(1 - t)."""

    def g(t):
        if t == 1:
            return 2 / mp.sqrt(mp.pi)
        x = mpf(scale) * (1 + t) / (1 - t)
        if x > 1000:
            total, term = mpf(1), mpf(1)
            for k in range(1, 12):
                term *= -(2 * k - 1) / (2 * x * x)
                total += term
            return (1 + 2 * x) * total / (x * mp.sqrt(mp.pi))
        return (1 + 2 * x) * mp.exp(x * x) * mp.erfc(x)

    return g


# name: (type, function, weight, low, high, degree, comment)
FITS = {
    "exp_s": (
        "float",
        at_zero(lambda r: (mp.exp(r) - 1 - r) / r**2, 0.5),
        away_from_zero,
        -LN2 / 2,
        LN2 / 2,
        4,
        "(e^r - 1 - r)/r^2, |r| <= ln(2)/2",
    ),
    "exp_d": (
        "double",
        at_zero(lambda r: (mp.exp(r) - 1 - r) / r**2, 0.5),
        away_from_zero,
        -LN2 / 2,
        LN2 / 2,
        9,
        "(e^r - 1 - r)/r^2, |r| <= ln(2)/2",
    ),
    "exp2_s": (
        "float",
        at_zero(lambda r: (2**r - 1) / r, LN2),
        away_from_zero,
        -0.5,
        0.5,
        5,
        "(2^r - 1)/r, |r| <= 1/2",
    ),
    "exp2_d": (
        "double",
        at_zero(lambda r: (2**r - 1) / r, LN2),
        away_from_zero,
        -0.5,
        0.5,
        10,
        "(2^r - 1)/r, |r| <= 1/2",
    ),
    "log_s": (
        "float",
        at_zero(lambda f: (mp.log1p(f) - f + f**2 / 2) / f**3, mpf(1) / 3),
        lambda f: away_from_zero(f * f),
        mp.sqrt(0.5) - 1,
        mp.sqrt(2) - 1,
        7,
        "(log(1+f) - f + f^2/2)/f^3, sqrt(1/2) <= 1+f <= sqrt(2)",
    ),
    "log_d": (
        "double",
        at_zero(lambda z: (mp.atanh(mp.sqrt(z)) * 2 / mp.sqrt(z) - 2) / z, mpf(2) / 3),
        away_from_zero,
        0,
        mpf("0.02944"),
        6,
        "(2 atanh(s)/s - 2)/z, z = s^2, s = f/(2+f)",
    ),
    "logtail_d": (
        "double",
        at_zero(
            lambda z: ((mp.atanh(mp.sqrt(z)) / mp.sqrt(z) - 1) / z - mpf(1) / 3) / z,
            mpf(1) / 5,
        ),
        lambda z: away_from_zero(z * z),
        0,
        mpf("0.02944"),
        7,
        "((atanh(s)/s - 1)/z - 1/3)/z, z = s^2",
    ),
    "sin_s": (
        "float",
        at_zero(lambda z: (mp.sin(mp.sqrt(z)) / mp.sqrt(z) - 1) / z, mpf(-1) / 6),
        away_from_zero,
        0,
        (mp.pi / 4) ** 2 * mpf("1.001"),
        2,
        "(sin(r)/r - 1)/z, z = r^2, |r| <= pi/4",
    ),
    "sin_d": (
        "double",
        at_zero(lambda z: (mp.sin(mp.sqrt(z)) / mp.sqrt(z) - 1) / z, mpf(-1) / 6),
        away_from_zero,
        0,
        (mp.pi / 4) ** 2 * mpf("1.001"),
        5,
        "(sin(r)/r - 1)/z, z = r^2, |r| <= pi/4",
    ),
    "cos_s": (
        "float",
        at_zero(lambda z: (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2, mpf(1) / 24),
        lambda z: away_from_zero(z * z),
        0,
        (mp.pi / 4) ** 2 * mpf("1.001"),
        2,
        "(cos(r) - 1 + z/2)/z^2, z = r^2, |r| <= pi/4",
    ),
    "cos_d": (
        "double",
        at_zero(lambda z: (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2, mpf(1) / 24),
        lambda z: away_from_zero(z * z),
        0,
        (mp.pi / 4) ** 2 * mpf("1.001"),
        5,
        "(cos(r) - 1 + z/2)/z^2, z = r^2, |r| <= pi/4",
    ),
    "tan_s": (
        "float",
        at_zero(lambda z: (mp.tan(mp.sqrt(z)) / mp.sqrt(z) - 1) / z, mpf(1) / 3),
        away_from_zero,
        0,
        (mp.pi / 4) ** 2 * mpf("1.001"),
        6,
        "(tan(r)/r - 1)/z, z = r^2, |r| <= pi/4",
    ),
    "tan_d": (
        "double",
        at_zero(lambda z: (mp.tan(mp.sqrt(z)) / mp.sqrt(z) - 1) / z, mpf(1) / 3),
        away_from_zero,
        0,
        (mp.pi / 4) ** 2 * mpf("1.001"),
        13,
        "(tan(r)/r - 1)/z, z = r^2, |r| <= pi/4",
    ),
    "atan_s": (
        "float",
        at_zero(lambda z: (mp.atan(mp.sqrt(z)) / mp.sqrt(z) - 1) / z, mpf(-1) / 3),
        away_from_zero,
        0,
        mpf("0.1717"),
        4,
        "(atan(t)/t - 1)/z, z = t^2, |t| <= tan(pi/8)",
    ),
    "atan_d": (
        "double",
        at_zero(lambda z: (mp.atan(mp.sqrt(z)) / mp.sqrt(z) - 1) / z, mpf(-1) / 3),
        away_from_zero,
        0,
        mpf("0.1717"),
        10,
        "(atan(t)/t - 1)/z, z = t^2, |t| <= tan(pi/8)",
    ),
    "asin_s": (
        "float",
        at_zero(lambda z: (mp.asin(mp.sqrt(z)) / mp.sqrt(z) - 1) / z, mpf(1) / 6),
        away_from_zero,
        0,
        0.25,
        4,
        "(asin(t)/t - 1)/z, z = t^2, |t| <= 1/2",
    ),
    "asin_d": (
        "double",
        at_zero(lambda z: (mp.asin(mp.sqrt(z)) / mp.sqrt(z) - 1) / z, mpf(1) / 6),
        away_from_zero,
        0,
        0.25,
        12,
        "(asin(t)/t - 1)/z, z = t^2, |t| <= 1/2",
    ),
    "erf_s": (
        "float",
        at_zero(lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1, 2 / mp.sqrt(mp.pi) - 1),
        lambda z: mpf(1),
        0,
        1,
        6,
        "erf(x)/x - 1, z = x^2, |x| <= 1",
    ),
    "erf_d": (
        "double",
        at_zero(lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1, 2 / mp.sqrt(mp.pi) - 1),
        lambda z: mpf(1),
        0,
        1,
        11,
        "erf(x)/x - 1, z = x^2, |x| <= 1",
    ),
    "erftail_s": (
        "float",
        lambda x: mp.log(mp.erfc(x)),
        lambda x: mp.erfc(x) / mp.erf(x),
        1,
        4,
        6,
        "log(erfc(x)), 1 <= x <= 4",
    ),
    "erfcx_d": (
        "double",
        erfcx_mapped(3),
        lambda t: mpf(1),
        -1,
        1,
        24,
        "(1 + 2x) erfcx(x), t = (x - 3)/(x + 3), x >= 0",
    ),
    "gammaln_d": (
        "double",
        at_zero(lambda z: mp.loggamma(2 + z) / z, 1 - mp.euler),
        lambda z: mpf(1),
        -0.5,
        0.5,
        17,
        "log Gamma(2 + z)/z, |z| <= 1/2",
    ),
    "digamma_d": (
        "double",
        lambda u: (
            mp.digamma(u + 1.5) / (u + 1.5 - ROOT)
            if abs(u + 1.5 - ROOT) > mpf("1e-25")
            else mp.polygamma(1, ROOT)
        ),
        lambda u: 1 / mp.polygamma(1, ROOT),
        -0.5,
        0.5,
        20,
        "digamma(u + 3/2)/(u + 3/2 - x0), |u| <= 1/2",
    ),
}


def main():
    """Fit all (or those named on the command line) and write the header."""
    text = [
        "/* Polynomial coefficients of the element-wise kernels, lowest power first.",
        " * Made by tools/fit_coefficients.py; the error is the largest relative error",
        " * of the function before rounding. */",
        "#ifndef GV_KERNELS_EW_COEFFICIENTS_H",
        "#define GV_KERNELS_EW_COEFFICIENTS_H",
        "",
    ]
    names = sys.argv[1:]
    for name, (kind, f, weight, low, high, degree, comment) in FITS.items():
        if names and name not in names:
            continue
        coefficient, error = remez(f, weight, low, high, degree)
        print(f"{name}: degree {degree}, error {mp.nstr(error, 3)}", flush=True)
        suffix = "f" if kind == "float" else ""
        text.append(f"/* {comment}; error {mp.nstr(error, 2)} */")
        text.append(f"static const {kind} c_{name}[] = {{")
        digits = 9 if kind == "float" else 17
        text += [
            f"    {float(c):.{digits}g}".rstrip() + f"{suffix},"
            if "." in f"{float(c):.{digits}g}" or "e" in f"{float(c):.{digits}g}"
            else f"    {float(c):.1f}{suffix},"
            for c in coefficient
        ]
        text += ["};", ""]
    text += ["#endif", ""]
    if not names:
        HEADER.write_text("\n".join(text))


if __name__ == "__main__":
    main()
