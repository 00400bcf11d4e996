"""L-BFGS: quasi-Newton steps from a few pairs of steps and gradient changes.

Directions by the two-loop recursion, step lengths by a search for the strong Wolfe
conditions (Nocedal & Wright 2006, algorithms 7.4, 3.5 and 3.6). All in float64 on one
vector; the function may be single precision. Inner products are not those of the BLAS,
whose order of terms depends on its threads.
"""

from dataclasses import dataclass

import numpy as np

from ._base import Optimizer
from ._schedules import positive, whole

__all__ = ["Lbfgs", "Point", "iterate", "lbfgs"]

ARMIJO, CURVATURE, LONGEST = 1e-4, 0.9, 1e10


@dataclass
class Point:
    """Where a minimisation is: all that the next iteration depends on.

    Attributes
    ----------
    x, g : (n,) array
        Place and gradient.
    f : float
        Value.
    s, y : (k, n) array
        Last steps and changes of the gradient, oldest first.
    length : float
        Step length of the last iteration.
    """

    x: np.ndarray
    f: float
    g: np.ndarray
    s: np.ndarray
    y: np.ndarray
    length: float = 0.0


def _dot(a, b):
    """Inner product, summed in an order that depends on the length alone."""
    return np.add.reduce(a * b)


def _direction(p):
    """Minus the approximate inverse Hessian times the gradient."""
    q, weights = p.g.copy(), []
    for s, y in zip(p.s[::-1], p.y[::-1], strict=True):
        rho = 1.0 / _dot(s, y)
        a = rho * _dot(s, q)
        q -= a * y
        weights.append((rho, a))
    if len(p.s):
        q *= _dot(p.s[-1], p.y[-1]) / _dot(p.y[-1], p.y[-1])
    for s, y, (rho, a) in zip(p.s, p.y, weights[::-1], strict=True):
        q += s * (a - rho * _dot(y, q))
    return -q


def _cubic(a, fa, da, b, fb, db):
    """Minimum of the cubic through two points with slopes, kept off the ends."""
    with np.errstate(all="ignore"):
        d1 = da + db - 3.0 * (fa - fb) / (a - b)
        root = np.sqrt(d1 * d1 - da * db)
        d2 = np.copysign(root, b - a)
        t = b - (b - a) * (db + d2 - d1) / (db - da + 2.0 * d2)
    low, high = min(a, b), max(a, b)
    margin = 0.1 * (high - low)
    if not np.isfinite(t):
        return 0.5 * (a + b)
    return min(max(t, low + margin), high - margin)


class _Line:
    """The function along a direction; keeps what was evaluated."""

    def __init__(self, f, p, d):
        self.f, self.p, self.d = f, p, d
        self.slope = float(_dot(p.g, d))
        self.evaluations = 0

    def __call__(self, t):
        """(t, value, slope, gradient); what is not finite counts as infinite."""
        self.evaluations += 1
        value, g = self.f(self.p.x + t * self.d)
        if not (np.isfinite(value) and np.isfinite(g).all()):
            return t, np.inf, np.nan, g
        return t, value, float(_dot(g, self.d)), g

    def high(self, at):
        """Does it lie above the line of sufficient decrease? Differences below rounding
        of the value do not count."""
        t, value = at[:2]
        slack = 4.0 * np.finfo(float).eps * abs(self.p.f)
        return value > self.p.f + ARMIJO * t * self.slope + slack

    def flat(self, at):
        """Is the slope small enough?"""
        return abs(at[2]) <= -CURVATURE * self.slope


def _search(line, t, most):
    """A point that satisfies the strong Wolfe conditions, or the best found that
    decreases; None where there is none."""
    before = (0.0, line.p.f, line.slope, line.p.g)
    while line.evaluations < most and t < LONGEST:
        at = line(t)
        if line.high(at) or (at[1] >= before[1] and before[0] > 0):
            return _zoom(line, before, at, most)
        if line.flat(at):
            return at
        if at[2] >= 0:
            return _zoom(line, at, before, most)
        before, t = at, 2.0 * t
    return before if before[0] > 0 else None


def _zoom(line, low, high, most):
    """Between a point that decreases enough and one beyond a minimum."""
    while line.evaluations < most:
        if np.isfinite(high[1]):
            t = _cubic(*low[:3], *high[:3])
        else:
            t = low[0] + 0.2 * (high[0] - low[0])
        if t in (low[0], high[0]):
            break
        at = line(t)
        if line.high(at) or at[1] > low[1]:
            high = at
            continue
        if line.flat(at):
            return at
        if at[2] * (high[0] - low[0]) >= 0:
            high = low
        low = at
    return low if low[0] > 0 else None


def iterate(f, p, history, most):
    """One iteration.

    Parameters
    ----------
    f : callable
        ``f(x) -> (value, gradient)``, float64.
    p : Point
        Left as it is.
    history : int
        Pairs to keep.
    most : int
        Evaluations at most.

    Returns
    -------
    Point or None
        None where no step decreases the value.
    """
    d = _direction(p)
    if not _dot(p.g, d) < 0:
        p = Point(p.x, p.f, p.g, p.s[:0], p.y[:0])
        d = -p.g
    first = 1.0 if len(p.s) else min(1.0, 1.0 / np.abs(p.g).sum())
    found = _search(_Line(f, p, d), first, most)
    if found is None:
        if not len(p.s):
            return None
        return iterate(f, Point(p.x, p.f, p.g, p.s[:0], p.y[:0]), history, most)
    t, value, _, g = found
    s, y = t * d, g - p.g
    keep_s, keep_y = p.s, p.y
    if _dot(s, y) > 1e-10 * np.sqrt(_dot(s, s) * _dot(y, y)):
        keep_s = np.concatenate([p.s, s[None]])[-history:]
        keep_y = np.concatenate([p.y, y[None]])[-history:]
    return Point(p.x + s, value, g, keep_s, keep_y, t)


class Lbfgs(Optimizer):
    """Options of L-BFGS; made by `lbfgs`."""

    name = "lbfgs"

    def __init__(self, history, tolerance, max_evaluations):
        super().__init__(1.0)
        whole(self.who, 1, history=history, max_evaluations=max_evaluations)
        positive(self.who, tolerance=tolerance)
        self.history, self.tolerance = int(history), tolerance
        self.max_evaluations = int(max_evaluations)

    def __repr__(self):
        return f"<{self.who}, history {self.history}>"

    def init(self, params):
        raise TypeError(
            f"{self.who} needs the loss, not only its gradient: use it with"
            " gv.train.fit"
        )

    def apply(self, grads, state, params, factor):
        self.init(params)


def lbfgs(history=10, tolerance=1e-8, max_evaluations=25):
    """L-BFGS with a line search (Liu & Nocedal 1989), for `gradiverse.train.fit`.

    Each epoch is one iteration on all training rows, which are gone through in pieces
    of batch_size. The training ends early where the gradient is small or no step
    decreases the loss. What is random in the loss is the same in all evaluations.

    Parameters
    ----------
    history : int
        Pairs of steps and gradient changes that are kept, in float64.
    tolerance : float
        Ends where the largest entry of the gradient is at most tolerance times
        max(1, loss).
    max_evaluations : int
        Of the loss in one iteration.

    Returns
    -------
    Optimizer

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> x = np.linspace(-1.0, 1.0, 50)
    >>> def loss(p, batch):
    ...     return ((p[0] + p[1] * batch - np.exp(batch)) ** 2).mean()
    >>> r = gv.train.fit(loss, np.zeros(2), x, optimizer=gv.optim.lbfgs(),
    ...                  batch_size=None, epochs=20, validation=0)
    >>> bool(np.allclose(r.params, np.polyfit(x, np.exp(x), 1)[::-1]))
    True
    """
    return Lbfgs(history, tolerance, max_evaluations)
