"""Factors of the time steps: FastPM's kick-drift-kick and BullFrog.

D1 and D2 are the growth functions normalised today (D1(1) = 1, D2 divided by D1(1)^2,
so that displacement = D1 s1 + D2 s2), a prime is d/d ln a, E = H/H0 and
G = a^2 E D1'. The momentum is p = a^2 (dx/dt)/H0 = G dx/dD1, and A = -grad phi with
laplacian(phi) = delta.

FastPM (Feng et al. 2016), step a_0 -> a_1 with centre c at a_c = sqrt(a_0 a_1):
    kick from a_i to a_j with the force at a_F:   dp = A [G(a_j) - G(a_i)] / D1(a_F)
    drift from a_i to a_j:                        dx = p [D1(a_j) - D1(a_i)] / G(a_c)
The kick c -> 1 of a step and 0 -> c of the next use the same force and are one; before
the first step there is a kick 0 -> c of its own.

BullFrog (Rampf, List & Hahn 2024), in D = D1 from D_0 to D_0 + dD, v = dx/dD,
D* = D_0 + dD/2, r = D2'/D1':
    x* = x + v dD/2;  v <- alpha v + (1 - alpha)/D* A(x*);  x = x* + v dD/2
    alpha = (r_1 - b)/(r_0 - b),  b = (D2(a_0) + r_0 dD/2)/D* + D*
A stored variable that is multiplied could not be restored exactly. Carried is
therefore w = v/mu with mu_0 = 1/G(a_0) and mu_{n+1} = alpha_n mu_n: its kick adds
(1 - alpha)/(D* mu_{n+1}) A, drifts move by mu dD/2 w, and w_0 is the momentum.
"""

from typing import NamedTuple

import numpy as np

from ..grad import stop_gradient

__all__ = ["Factors", "check_weights", "factors", "growth_at", "weights"]

NEWTON = 5  # from the mean of a_0 and a_1: below 1e-15 for ratios up to 3

LEAST = {"single": 1e-3, "double": 1e-9}  # of |alpha|; rounding is 2^-26/alpha


class Factors(NamedTuple):
    """Factors of all steps; float64, the arrays of length n_steps.

    Attributes
    ----------
    drift1, drift2 : arrays
        Displacement by unit carried momentum, before and after the centre.
    kick : array
        Carried momentum by unit A. BullFrog: at the centre; FastPM: after drift2.
    force : array
        D1 at which the force of `kick` is taken.
    rate1, rate2 : arrays
        dx/dD1 by unit carried momentum, before and after the centre.
    centre, a_centre : arrays
        D1 and the scale factor of the centre, where positions and momenta are
        synchronous: a particle seen at D1 in this step is at
        x_centre + rate w (D1 - centre).
    first, force0 : scalars
        FastPM's kick before the first step (0 for BullFrog), and D1 at the start.
    last : scalar
        The momentum at the end by unit carried momentum.
    """

    drift1: object
    drift2: object
    kick: object
    force: object
    rate1: object
    rate2: object
    centre: object
    a_centre: object
    first: object
    force0: object
    last: object

    def loop(self):
        """The arrays alone, to be scanned over."""
        return dict(zip(self._fields[:8], self[:8], strict=True))


class Growth(NamedTuple):
    """D1, D2 normalised today, their derivatives and G = a^2 E D1', at times a."""

    D1: object
    D2: object
    D1_prime: object
    D2_prime: object
    G: object
    H: object  # a^2 E


def growth_at(cosmology, a):
    """The growth functions of a cosmology at scale factors.

    Parameters
    ----------
    cosmology : Cosmology
    a : array (n,)

    Returns
    -------
    Growth
    """
    g = cosmology.growth_derivatives(a)
    H = a * a * cosmology.E(a)
    return Growth(g.D1, g.D2, g.dD1, g.dD2, H * g.dD1, H)


def when(cosmology, D1, guess):
    """The scale factor at which growth(a) = D1, by Newton steps in ln a.

    Only the last step is differentiated: at the root its derivative is that of the
    implicit function.
    """
    a = guess
    for k in range(NEWTON):
        g = cosmology.growth_derivatives(a)
        a = a * np.exp((D1 - g.D1) / g.dD1)
        if k < NEWTON - 1:
            a = stop_gradient(a)
    return a


def fastpm(cosmology, steps):
    """`Factors` of FastPM for the stages `steps`."""
    a = np.asarray(steps, dtype=float)
    n = len(a) - 1
    centre = np.sqrt(a[1:] * a[:-1])
    g = growth_at(cosmology, np.concatenate([a, centre]))
    D, Dc = g.D1[: n + 1], g.D1[n + 1 :]
    G, Gc = g.G[: n + 1], g.G[n + 1 :]
    ahead = np.concatenate([Gc[1:], G[n:]])  # where the next half kick ends
    return Factors(
        drift1=(Dc - D[:-1]) / Gc,
        drift2=(D[1:] - Dc) / Gc,
        kick=(ahead - Gc) / D[1:],
        force=D[1:],
        rate1=1.0 / Gc,
        rate2=1.0 / Gc,
        centre=Dc,
        a_centre=centre,
        first=(Gc[0] - G[0]) / D[0],
        force0=D[0],
        last=1.0,
    )


def bullfrog(cosmology, steps):
    """`Factors` of BullFrog for the stages `steps`."""
    a = np.asarray(steps, dtype=float)
    g = growth_at(cosmology, a)
    D, r = g.D1, g.D2_prime / g.D1_prime
    half = 0.5 * (D[1:] - D[:-1])
    middle = D[:-1] + half
    b = (g.D2[:-1] + r[:-1] * half) / middle + middle
    alpha = (r[1:] - b) / (r[:-1] - b)
    mu = np.cumprod(np.concatenate([np.ones(1), alpha])) / g.G[0]
    return Factors(
        drift1=mu[:-1] * half,
        drift2=mu[1:] * half,
        kick=(1.0 - alpha) / (middle * mu[1:]),
        force=middle,
        rate1=mu[:-1],
        rate2=mu[1:],
        centre=middle,
        a_centre=when(cosmology, middle, 0.5 * (a[1:] + a[:-1])),
        first=0.0,
        force0=D[0],
        last=g.G[-1] * mu[-1],
    )


def check_weights(weights, steps, precision="single"):
    """ValueError where BullFrog's alpha is too near zero for w = v/mu to be kept."""
    n = int(np.argmin(np.abs(weights)))
    if not abs(weights[n]) > LEAST[precision]:
        raise ValueError(
            f"BullFrog's velocity weight is {weights[n]:.2g} in the step from"
            f" steps[{n}]={steps[n]:g} to steps[{n + 1}]={steps[n + 1]:g}; it vanishes"
            " where D1 grows about 3.2-fold in a step, and can then not be undone. Use"
            " another number of stages, np.geomspace, or integrator='fastpm'"
        )


def weights(cosmology, steps):
    """alpha of the BullFrog steps, (n_steps,)."""
    f = bullfrog(cosmology, steps)
    return f.rate2 / f.rate1


def factors(cosmology, steps, integrator="bullfrog"):
    """Factors of the time steps.

    Parameters
    ----------
    cosmology : Cosmology
        Plain or traced.
    steps : array (n_steps + 1,)
        Scale factors of the stages.
    integrator : "bullfrog" or "fastpm"

    Returns
    -------
    Factors

    Examples
    --------
    >>> import gradiverse as gv
    >>> c = gv.cosmology.Cosmology()
    >>> f = factors(c, [0.1, 0.2, 0.3], "fastpm")
    >>> f.drift1.shape
    (2,)
    """
    return {"bullfrog": bullfrog, "fastpm": fastpm}[integrator](cosmology, steps)
