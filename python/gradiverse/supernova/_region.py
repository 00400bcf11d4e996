"""Windowed priors in turned coordinates, and their one-dimensional marginals.

A posterior whose parameters are tightly correlated fills a thin ridge of its box:
nearly all draws of a box prior lie beside it, and box edges cut the posteriors of most
simulated data. `Region` multiplies the prior in its box by a window of

    phi = L^-1 (theta - centre),   L L^T = cov,

so that draws are spread along the ridge. The window is flat in the middle, where the
observed posterior is, and fades out: a posterior beside a sharp edge is cut in half,
and networks, whose resolution is finite, carry what they learn there into the middle.
One-dimensional heads need the marginals of that prior, which are tabulated from many
draws.
"""

import numpy as np

CELLS = 600
DRAWS = 1_500_000
#: half-widths that cuts at a ratio of 1e-6 leave of a Gaussian are 5.3 sds; beyond this
#: a posterior is no longer taken for one
GAUSSIAN = 7.0
PAD = 2.0
REACH, FADE = 7.0, 2.0
TAIL = 4.0  # fading noise is cut here


class Tabulated:
    """A distribution on an interval from a histogram of many draws.

    The density is the histogram smoothed by a normal kernel of one part in 75 of the
    interval, reflected at the ends, and linear between cell centres.
    """

    def __init__(self, values, low, high):
        edges = np.linspace(low, high, CELLS + 1)
        counts = np.histogram(values, edges)[0].astype(float)
        width = CELLS // 75
        kernel = np.exp(-0.5 * (np.arange(-4 * width, 4 * width + 1) / width) ** 2)
        padded = np.pad(counts, 4 * width, mode="symmetric")
        density = np.convolve(padded, kernel / kernel.sum(), mode="valid")
        density = np.maximum(density, 1e-9 * density.max())
        self.edges = edges
        self.density = density / density.sum() / (edges[1] - edges[0])
        self.below = np.concatenate([[0.0], np.cumsum(density) / density.sum()])

    def support(self):
        """The interval."""
        return self.edges[0], self.edges[-1]

    def cdf(self, x):
        """P(X <= x)."""
        return np.interp(x, self.edges, self.below)

    def sf(self, x):
        """P(X > x)."""
        return 1.0 - self.cdf(x)

    def ppf(self, p):
        """Inverse of `cdf`."""
        return np.interp(p, self.below, self.edges)

    def isf(self, q):
        """Inverse of `sf`."""
        return self.ppf(1.0 - np.asarray(q))

    def logpdf(self, x):
        """Log density."""
        x = np.asarray(x, dtype=float)
        middle = 0.5 * (self.edges[1:] + self.edges[:-1])
        with np.errstate(divide="ignore"):
            inside = (x >= self.edges[0]) & (x <= self.edges[-1])
            value = np.interp(x, middle, np.log(self.density))
        return np.where(inside, value, -np.inf)


class Region:
    """The prior times a window in turned coordinates.

    Parameters
    ----------
    prior : Prior
        With its box.
    centre : (d,) array
    covariance : (d, d) array
        Gives the turn and the widths.
    reach : float
        Where the window is at half its height, in sds of the turned coordinates.
    fade : float
        Standard deviation of the normal that blurs its edges.
    """

    def __init__(self, prior, centre, covariance, reach=REACH, fade=FADE):
        self.prior, self.centre = prior, np.array(centre)
        self.L = np.linalg.cholesky(covariance)
        self.reach, self.fade = float(reach), float(fade)
        self.extent = self.reach + TAIL * self.fade
        rng = np.random.default_rng(11)
        start = self._proposals(20_000, rng)
        inside = prior.contains(start)
        if inside.mean() < 1e-3:
            raise ValueError("the window lies outside the box of the prior")
        self.top = prior.log_prob(start[inside]).max() + 0.05

    def _proposals(self, n, rng):
        shape = n, len(self.centre)
        blur = np.clip(rng.normal(size=shape), -TAIL, TAIL)
        phi = rng.uniform(-self.reach, self.reach, shape) + self.fade * blur
        return self.centre + phi @ self.L.T

    def sample(self, n, rng):
        """n draws (n, d): from the window, accepted by prior density."""
        rng = np.random.default_rng(rng)
        kept, count = [], 0
        while count < n:
            theta = self._proposals(max(2 * (n - count), 1000), rng)
            chance = np.exp(np.minimum(self.prior.log_prob(theta) - self.top, 0.0))
            theta = theta[rng.random(len(theta)) < chance]
            kept.append(theta)
            count += len(theta)
        return np.concatenate(kept)[:n]

    def turned(self, theta):
        """phi (n, d) of theta (n, d); L is lower triangular, so phi_0, phi_1 are
        functions of the first two parameters alone."""
        return np.linalg.solve(self.L, (theta - self.centre).T).T

    def turned_marginals(self, k=2):
        """A Prior of the first k columns of phi, taken as independent."""
        from ..inference import Prior

        phi = self.turned(self.sample(DRAWS // 5, 13))[:, :k]
        half = np.maximum(1.001 * np.abs(phi).max(axis=0), self.extent)
        columns = {f"phi{i}": Tabulated(phi[:, i], -half[i], half[i]) for i in range(k)}
        return Prior(columns)

    def marginals(self):
        """A Prior whose columns are this one's marginals, taken as independent: what
        one-dimensional ratios are multiplied by."""
        from ..inference import Prior

        draws = self.sample(DRAWS, 12)
        half = self.extent * np.abs(self.L).sum(axis=1) * (1 + 1e-9)
        low = np.maximum(self.centre - half, self.prior.bounds[:, 0])
        high = np.minimum(self.centre + half, self.prior.bounds[:, 1])
        columns = zip(self.prior.names, draws.T, low, high, strict=True)
        return Prior({name: Tabulated(x, a, b) for name, x, a, b in columns})


class Box(Region):
    """The prior in its box: for posteriors far from Gaussian, whose ridge bends."""

    extent = 0.0

    def __init__(self, prior, centre, covariance):
        self.prior, self.centre = prior, np.array(centre)
        self.L = np.linalg.cholesky(covariance)

    def sample(self, n, rng):
        """n draws (n, d)."""
        return self.prior.sample(n, rng)

    def marginals(self):
        """The prior itself: its columns are independent."""
        return self.prior


def region(prior, box, centre, covariance):
    """Where surveys of the last round are drawn.

    Parameters
    ----------
    prior : Prior
        Before truncation.
    box : (d, 2) array
        What truncation left.
    centre, covariance
        Of a Gaussian about the posterior's middle.

    Returns
    -------
    Region
        A window along the ridge where the truncated box is as wide as that of a
        Gaussian, within PAD times that box, so that its edges do not cut the window;
        `Box` where it is wider.
    """
    half = 0.5 * np.diff(box)[:, 0]
    if (half / np.sqrt(np.diag(covariance))).max() > GAUSSIAN:
        return Box(prior.truncate(box), centre, covariance)
    middle = box.mean(axis=1)
    wide = np.stack([middle - PAD * half, middle + PAD * half], axis=1)
    return Region(prior.truncate(wide), centre, covariance)
