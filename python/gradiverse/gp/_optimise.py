"""Many small minimisations at once: projected BFGS, all rows advanced together.

Each row has its own point, inverse Hessian and step length. A round evaluates the
trial points of all rows that are still running in one call; a row whose trial
satisfies the Armijo condition moves on, the others shorten their step. Coordinates at
a bound whose gradient points outwards are held there.
"""

from dataclasses import dataclass

import numpy as np

ARMIJO, LONGEST = 1e-4, 2.0


@dataclass(frozen=True)
class Minimum:
    """Result of `minimise`.

    Attributes
    ----------
    theta : (B, p) array
    value : (B,) array
    converged : (B,) bool
    rounds : int, evaluations of the longest row
    """

    theta: np.ndarray
    value: np.ndarray
    converged: np.ndarray
    rounds: int


class _Rows:
    """State of the rows."""

    def __init__(self, theta, value, gradient):
        b, p = theta.shape
        self.x, self.f, self.g = theta, value, gradient
        self.H = np.tile(np.eye(p), (b, 1, 1))
        self.fresh = np.ones(b, dtype=bool)
        self.d, self.t = np.zeros((b, p)), np.ones(b)
        self.converged = np.zeros(b, dtype=bool)

    def free(self, rows, low, high):
        """(rows, p): coordinates that may move downhill."""
        x, g = self.x[rows], self.g[rows]
        return ~((x <= low) & (g > 0) | (x >= high) & (g < 0))

    def aim(self, rows, low, high):
        """New directions and unit steps for the rows."""
        free = self.free(rows, low, high)
        g = np.where(free, self.g[rows], 0.0)
        d = -np.einsum("bij,bj->bi", self.H[rows], g)
        d = np.where(free, d, 0.0)
        slope = np.sum(d * g, axis=1)
        size = np.sqrt(np.sum(g * g, axis=1))
        lost = ~(slope < -1e-12 * size * np.sqrt(np.sum(d * d, axis=1)))
        reset = rows[lost]
        self.H[reset] = np.eye(self.x.shape[1])
        self.fresh[reset] = True
        d[lost] = -g[lost]
        first = self.fresh[rows]
        d[first] /= np.maximum(1.0, size[first])[:, None]
        d *= np.minimum(1.0, LONGEST / np.maximum(np.abs(d).max(axis=1), 1e-300))[
            :, None
        ]
        self.d[rows], self.t[rows] = d, 1.0

    def update(self, rows, x, f, g):
        """Accept the trials of the rows and improve their inverse Hessians."""
        s, y = x - self.x[rows], g - self.g[rows]
        sy, yy = np.sum(s * y, axis=1), np.sum(y * y, axis=1)
        good = sy > 1e-10 * np.sqrt(np.sum(s * s, axis=1) * yy)
        first = good & self.fresh[rows]
        scale = sy[first] / yy[first]
        self.H[rows[first]] = np.eye(x.shape[1]) * scale[:, None, None]
        k = rows[good]
        if len(k):
            s, y, sy = s[good], y[good], sy[good]
            Hy = np.einsum("bij,bj->bi", self.H[k], y)
            yHy = np.sum(y * Hy, axis=1)
            cross = np.einsum("bi,bj->bij", Hy, s)
            outer = np.einsum("bi,bj->bij", s, s)
            self.H[k] += (
                outer * ((sy + yHy) / sy**2)[:, None, None]
                - (cross + cross.swapaxes(1, 2)) / sy[:, None, None]
            )
            self.fresh[k] = False
        self.x[rows], self.f[rows], self.g[rows] = x, f, g


def minimise(f, start, bounds, maxiter=200, gtol=1e-5, ftol=1e-10):
    """Minimise every row of a batch of functions of few variables.

    Parameters
    ----------
    f : callable
        ``f(theta, rows)`` with theta (b, p) and the row numbers (b,) returns values
        (b,) and gradients (b, p); a value that is not finite rejects the point.
    start : (B, p) array
        Finite starting points; clipped to the bounds.
    bounds : (p, 2) array
    maxiter : int
        Most rounds of evaluations.
    gtol, ftol : float
        A row has converged when its largest free gradient is below gtol (1 + |value|)
        or two steps running have gained less than ftol (1 + |value|).

    Returns
    -------
    Minimum

    Raises
    ------
    ValueError
        If the value at a starting point is not finite.
    """
    low, high = bounds[:, 0], bounds[:, 1]
    x = np.clip(np.array(start, dtype=float), low, high)
    everyone = np.arange(len(x))
    value, gradient = f(x, everyone)
    if not np.isfinite(value).all():
        bad = int(np.flatnonzero(~np.isfinite(value))[0])
        raise ValueError(
            f"the likelihood of row {bad} is not finite at the starting point "
            f"{x[bad]}; start elsewhere or add noise to the kernel"
        )
    state, idle = _Rows(x, value.copy(), gradient.copy()), np.zeros(len(x), dtype=int)
    active = _still(state, everyone, idle, low, high, gtol)
    state.aim(active, low, high)
    rounds = 1
    while len(active) and rounds < maxiter:
        trial = np.clip(
            state.x[active] + state.t[active, None] * state.d[active], low, high
        )
        value, gradient = f(trial, active)
        rounds += 1
        slope = np.sum(state.g[active] * (trial - state.x[active]), axis=1)
        fine = np.isfinite(value) & np.isfinite(gradient).all(axis=1)
        old = state.f[active]
        # differences below rounding of the value count as equal
        slack = 1e-14 * np.abs(old)
        taken = fine & (value <= old + ARMIJO * np.minimum(slope, 0.0) + slack)
        k = active[taken]
        gain = old[taken] - value[taken]
        small = gain <= ftol * (1.0 + np.abs(old[taken]))
        idle[k] = np.where(small, idle[k] + 1, 0)
        state.update(k, trial[taken], value[taken], gradient[taken])
        left = ~taken
        _shorten(state, active[left], value[left], slope[left], fine[left])
        moving = _still(state, k, idle, low, high, gtol)
        state.aim(moving, low, high)
        waiting = active[~taken]
        waiting = waiting[~state.converged[waiting]]
        active = np.sort(np.concatenate([moving, waiting]))
    return Minimum(state.x, state.f, state.converged, rounds)


def _still(state, rows, idle, low, high, gtol):
    """The rows among these that have not converged; marks the others."""
    g = np.where(state.free(rows, low, high), state.g[rows], 0.0)
    flat = np.abs(g).max(axis=1, initial=0.0) <= gtol * (1.0 + np.abs(state.f[rows]))
    done = flat | (idle[rows] >= 2)
    state.converged[rows[done]] = True
    return rows[~done]


def _shorten(state, rows, value, slope, fine):
    """Shorter steps by a parabola; rows whose step has vanished start over or stop."""
    if not len(rows):
        return
    old = state.f[rows]
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        best = -0.5 * slope / (value - old - slope)
    best = np.where(fine & np.isfinite(best), np.clip(best, 0.1, 0.5), 0.2)
    state.t[rows] *= best
    stuck = rows[state.t[rows] < 1e-10]
    again = stuck[~state.fresh[stuck]]
    state.converged[stuck[state.fresh[stuck]]] = True  # no descent along the gradient
    state.H[again] = np.eye(state.x.shape[1])
    state.fresh[again] = True
    if len(again):
        g = state.g[again]
        size = np.sqrt(np.sum(g * g, axis=1))
        state.d[again] = -g / np.maximum(1.0, size)[:, None]
        state.t[again] = 1.0


def rescaled(kernel, theta, square):
    """theta with the kernel multiplied by its best common factor.

    Along c K the likelihood is largest at c = rᵀK⁻¹r/n, so this step never loses and
    makes fits equivariant: data in other units give the same fit in these units.

    Parameters
    ----------
    kernel : Kernel
    theta : (p,) array
    square : (B,) array
        rᵀK⁻¹r/n of each series at theta.

    Returns
    -------
    (B, p) array
        Unchanged where a part of the kernel has no free variance.
    """
    out = np.tile(theta, (len(square), 1))
    entries = kernel._scaling()
    if entries is not None:
        factor = np.log(np.where(square > 0, square, 1.0))
        out[:, entries] += factor[:, None]
    return out
