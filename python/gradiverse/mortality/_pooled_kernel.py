"""Covariance of relative deaths over calendar time, one form shared by all cells.

The deviation of a cell's deaths from its profile, relative to the profile, is a sum of
independent normal terms on the time axis t (decimal years):

    level       an offset, a slope, a random walk, an independent change per year
    season      a smooth periodic deviation of the cell's own seasonal shape, and a
                constant per calendar week (holidays, habits of registration)
    epidemic    Matern 5/2 in t with an amplitude that varies over the year
    short       Matern 1/2 in t: heat waves, cold spells, late registration

plus, outside this file, a white part and count noise.  ``KernelForm`` evaluates the sum
and contracts its derivatives with a matrix, which is all a marginal likelihood needs.

Parameters are real numbers: logarithms of standard deviations (relative units) and of
length scales (years), and Fourier coefficients of the log amplitude of the epidemic
term.  Their priors are weak (a spread of 0.5 in a log standard deviation is a factor of
2.7 in variance) and describe deaths of whole populations; the data decide.
"""

import numpy as np

OFFSET_SD = 0.3

# name: (centre, spread) of the normal prior
PRIORS = {
    "slope": (np.log(0.012), 0.5),
    "walk": (np.log(0.010), 0.5),
    "year": (np.log(0.008), 0.7),
    "season": (np.log(0.04), 0.7),
    "season_scale": (np.log(0.12), 0.4),
    "week": (np.log(0.01), 0.7),
    "epidemic": (np.log(0.06), 0.5),
    "epidemic_scale": (np.log(0.09), 0.4),
    "cos1": (1.0, 0.5),
    "sin1": (0.2, 0.5),
    "cos2": (0.0, 0.3),
    "sin2": (0.0, 0.3),
    "short": (np.log(0.02), 0.6),
    "short_scale": (np.log(0.025), 0.4),
    "white": (np.log(0.01), 0.7),
    "dispersion": (np.log(0.15), 0.7),
}
NAMES = tuple(PRIORS)
INDEX = {name: i for i, name in enumerate(NAMES)}
N_KERNEL = INDEX["white"]
CENTRE = np.array([PRIORS[k][0] for k in NAMES])
SPREAD = np.array([PRIORS[k][1] for k in NAMES])
WAVES = slice(INDEX["cos1"], INDEX["sin2"] + 1)
AMPLITUDES = ("slope", "walk", "year", "season", "week", "epidemic", "short")


def white_variance(theta):
    """Variance of the white part, relative units squared."""
    return np.exp(2.0 * theta[INDEX["white"]])


def dispersion(theta):
    """Count variance over count mean, phi > 1."""
    return 1.0 + np.exp(theta[INDEX["dispersion"]])


def describe(theta):
    """Parameters as a dict of natural values (sd, years, phi, Fourier coefficients)."""
    out = {}
    for name, value in zip(NAMES, theta, strict=True):
        plain = name[:3] in ("cos", "sin")
        out[name] = float(value) if plain else float(np.exp(value))
    out["dispersion"] += 1.0
    return out


class KernelForm:
    """A time grid with everything that does not depend on the parameters.

    Parameters
    ----------
    time : (n,) float array, decimal years
    year, week : (n,) ints
        Labels of the year and of the period inside the year.
    phase : float
        Years added to the time in the epidemic amplitude: 0.5 where winter is in July.
    """

    def __init__(self, time, year, week, phase=0.0):
        self.time = np.asarray(time, float)
        year, week = np.asarray(year), np.asarray(week)
        self._last = None
        self.lag = np.abs(self.time[:, None] - self.time[None])
        centred = self.time - self.time.mean()
        self.slope = np.outer(centred, centred)
        self.walk = np.minimum(self.time[:, None], self.time[None]) - self.time.min()
        self.same_year = (year[:, None] == year[None]).astype(float)
        self.same_week = (week[:, None] == week[None]).astype(float)
        self.chord = (np.sin(np.pi * self.lag) / np.pi) ** 2
        angle = 2.0 * np.pi * (self.time + phase)
        self.waves = np.stack(
            [
                np.cos(angle) - 1.0,
                np.sin(angle),
                np.cos(2.0 * angle) - 1.0,
                np.sin(2.0 * angle),
            ]
        )

    def _terms(self, theta):
        """Each term of the covariance, dict of (n, n), and what derivatives share.

        The last evaluation is kept: a likelihood asks twice for the same parameters.
        """
        if self._last is not None and np.array_equal(self._last[0], theta):
            return self._last[1]
        var = {k: np.exp(2.0 * theta[INDEX[k]]) for k in AMPLITUDES}
        scale = {
            k: np.exp(-theta[INDEX[k]])
            for k in ("season_scale", "epidemic_scale", "short_scale")
        }
        amp = np.exp(theta[WAVES] @ self.waves)
        x = np.sqrt(5.0) * self.lag * scale["epidemic_scale"]
        envelope = var["epidemic"] * np.outer(amp, amp) * np.exp(-x)
        chord = self.chord * scale["season_scale"] ** 2
        lag = self.lag * scale["short_scale"]
        terms = {
            "slope": var["slope"] * self.slope,
            "walk": var["walk"] * self.walk,
            "year": var["year"] * self.same_year,
            "season": var["season"] * np.exp(-0.5 * chord),
            "week": var["week"] * self.same_week,
            "epidemic": envelope * (1.0 + x + x**2 / 3.0),
            "short": var["short"] * np.exp(-lag),
        }
        self._last = np.array(theta), (terms, (x, envelope, chord, lag))
        return self._last[1]

    def matrix(self, theta):
        """(n, n) covariance without white part and count noise."""
        return OFFSET_SD**2 + sum(self._terms(theta)[0].values())

    def epidemic(self, theta):
        """(n, n) covariance of the epidemic term alone."""
        return self._terms(theta)[0]["epidemic"]

    def contract(self, theta, G):
        """sum_ij G_ij dK_ij/dtheta_k for the kernel's parameters; G symmetric."""
        terms, (x, envelope, chord, lag) = self._terms(theta)
        out = np.zeros(N_KERNEL)
        for name in AMPLITUDES:
            out[INDEX[name]] = 2.0 * np.vdot(G, terms[name])
        out[INDEX["season_scale"]] = np.vdot(G, terms["season"] * chord)
        out[INDEX["epidemic_scale"]] = np.vdot(G, envelope * x**2 * (1.0 + x) / 3.0)
        out[INDEX["short_scale"]] = np.vdot(G, terms["short"] * lag)
        out[WAVES] = 2.0 * self.waves @ (G * terms["epidemic"]).sum(axis=1)
        return out
