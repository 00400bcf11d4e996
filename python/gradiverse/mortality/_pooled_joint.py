"""The joint predictive law of the pooled model.

Deaths of cell i in the predicted weeks are  mean_i + g sum_t F_ti z_t(i) + e_i:  the
F_ti are factors of the cell's structural covariance, z_t(i) standard normal vectors
that cells of one group (all cells, one unit, one age, the cell alone) have in common,
e_i independent noise (counts, white part) and g one random scale, E[g^2] = 1, shared by
all cells and weeks: a Student-t law whose covariance is known exactly.

With ages, a law of the units' totals E and a law of contrasts d combine as
e_i = p_i E + d_i - p_i sum_j d_j,  p_i the cell's part of its unit: the ages add up to
the total exactly.
"""

import numpy as np
from scipy.special import ndtr
from scipy.stats import chi2, norm

N_NODES = 64
CHUNK = 4_000_000


def scale_nodes(dof, n=N_NODES):
    """(n,) equally likely values of g^2, mean one, of a t law with `dof` degrees."""
    g2 = 1.0 / chi2.ppf((np.arange(n) + 0.5) / n, dof)
    return g2 / g2.mean()


def half_width(structural, noise, g2, level):
    """Half the central interval of N(0, g^2 structural + noise), g^2 mixed."""
    s, n = np.broadcast_arrays(structural, noise)
    sd = np.sqrt(np.maximum(s[..., None] * g2 + n[..., None], 0.0))
    target = 0.5 + 0.5 * level
    low = norm.ppf(target) * sd.min(axis=-1)
    high = norm.ppf(target) * sd.max(axis=-1)
    safe = np.maximum(sd, 1e-300)
    for _ in range(50):
        middle = 0.5 * (low + high)
        below = ndtr(middle[..., None] / safe).mean(axis=-1) < target
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return 0.5 * (low + high)


class CellLaw:
    """Errors of a set of cells: terms that groups of cells share, and noise.

    Parameters
    ----------
    terms : list of (factor, code)
        factor (C, W, r); cells with the same code (C,) see the same r normal variates.
    noise : (C, W) variances
    """

    def __init__(self, terms, noise):
        self.terms, self.noise = terms, noise

    def scaled(self, by):
        """The law of the vector times `by` (C, W)."""
        terms = [(factor * by[..., None], code) for factor, code in self.terms]
        return CellLaw(terms, self.noise * by**2)

    def parts(self, w):
        """Structural and noise variance of sums with weights w (k, C, W)."""
        structural = np.zeros(len(w))
        for factor, code in self.terms:
            v = np.matmul(w.transpose(1, 0, 2), factor)
            total = np.zeros((code.max() + 1, *v.shape[1:]))
            np.add.at(total, code, v)
            structural += (total**2).sum(axis=(0, 2))
        return structural, np.einsum("kcw,cw->k", w**2, self.noise, optimize=True)

    def cell_parts(self):
        """Structural and noise variance of single cell-weeks, (C, W)."""
        return sum((factor**2).sum(axis=2) for factor, _ in self.terms), self.noise

    def week_blocks(self, rows):
        """(W, n, n) structural covariance between the cells `rows` week by week."""
        out = 0.0
        for factor, code in self.terms:
            F, same = factor[rows], code[rows][:, None] == code[rows][None]
            out = out + np.einsum("iwr,jwr->wij", F, F, optimize=True) * same
        return out

    def dense(self):
        """(C W, C W) covariance."""
        C, W = self.noise.shape
        full = np.zeros((C, W, C, W))
        for factor, code in self.terms:
            for k in range(code.max() + 1):
                mine = np.flatnonzero(code == k)
                flat = factor[mine].reshape(len(mine) * W, -1)
                block = (flat @ flat.T).reshape(len(mine), W, len(mine), W)
                if len(mine) == C:
                    full += block
                else:
                    full[mine[:, None], :, mine] += block.transpose(0, 2, 1, 3)
        full = full.reshape(C * W, C * W)
        full.flat[:: C * W + 1] += self.noise.ravel()
        return full

    def draw(self, n, g, rng):
        """(n, C, W) draws; g (n,) the random scales."""
        out = np.zeros((*self.noise.shape, n))
        for factor, code in self.terms:
            z = rng.standard_normal((code.max() + 1, factor.shape[2], n)) * g
            out += np.matmul(factor, z[code])
        out = out.transpose(2, 0, 1)
        return out + np.sqrt(self.noise) * rng.standard_normal(out.shape)


class SplitLaw:
    """Units' totals and contrasts of their parts.

    Parameters
    ----------
    top : CellLaw of U units
    contrast : CellLaw of C cells
    unit : (C,) index of each cell's unit in `top`
    part : (C, W), the cell's part of its unit; sums to one over a unit
    """

    def __init__(self, top, contrast, unit, part):
        self.top, self.contrast, self.unit, self.part = top, contrast, unit, part

    def _collect(self, values):
        out = np.zeros((*values.shape[:-2], len(self.top.noise), values.shape[-1]))
        np.add.at(out, (Ellipsis, self.unit, slice(None)), values)
        return out

    def parts(self, w):
        above = self._collect(w * self.part)
        s, n = self.top.parts(above)
        s2, n2 = self.contrast.parts(w - above[:, self.unit])
        return s + s2, n + n2

    def cell_parts(self):
        s, n = (x[self.unit] * self.part**2 for x in self.top.cell_parts())
        s2, n2 = np.empty_like(s), np.empty_like(n)
        for u in range(len(self.top.noise)):
            mine = np.flatnonzero(self.unit == u)
            B, p = self.contrast.week_blocks(mine), self.part[mine]
            row, noise = B.sum(axis=2).T, self.contrast.noise[mine]
            own = np.einsum("wii->iw", B)
            s2[mine] = own - 2.0 * p * row + p**2 * row.sum(axis=0)
            n2[mine] = noise * (1.0 - 2.0 * p) + p**2 * noise.sum(axis=0)
        return s + np.maximum(s2, 0.0), n + n2

    def dense(self):
        C, W = self.part.shape
        full = self.contrast.dense().reshape(C, W, C, W)
        rows = [np.flatnonzero(self.unit == u) for u in range(len(self.top.noise))]
        for mine in rows:
            total = full[mine].sum(axis=0)
            for i in mine:
                full[i] -= self.part[i][:, None, None] * total
        for mine in rows:
            total = full[:, :, mine].sum(axis=2)
            full[:, :, mine] -= self.part[mine] * total[:, :, None]
        U = len(rows)
        top = self.top.dense().reshape(U, W, U, W)
        for u, mine in enumerate(rows):
            for i in mine:
                full[i] += self.part[i][:, None, None] * (
                    top[u][:, self.unit] * self.part
                )
        return full.reshape(C * W, C * W)

    def draw(self, n, g, rng):
        total = self.top.draw(n, g, rng)
        d = self.contrast.draw(n, g, rng)
        return d + self.part * (total - self._collect(d))[:, self.unit]


class SubsetLaw:
    """The cells `place` of another law, in that order."""

    def __init__(self, law, place):
        self.law, self.place = law, place
        self.n_cells = len(law.cell_parts()[0])

    def parts(self, w):
        full = np.zeros((len(w), self.n_cells, w.shape[2]))
        full[:, self.place] = w
        return self.law.parts(full)

    def cell_parts(self):
        return tuple(x[self.place] for x in self.law.cell_parts())

    def dense(self):
        full = self.law.dense()
        W = len(full) // self.n_cells
        index = (self.place[:, None] * W + np.arange(W)).ravel()
        return full[np.ix_(index, index)]

    def draw(self, n, g, rng):
        return self.law.draw(n, g, rng)[:, self.place]


class Prediction:
    """Joint prediction of deaths; rows run over cells, then weeks.

    Attributes
    ----------
    cells : list of (unit, age);  weeks : (n_weeks,) predicted weeks
    mean, sd : (n_cells, n_weeks)
        Expected deaths and their predictive sd, count noise included.
    prior_mean, prior_sd : (n_cells, W) all weeks, before conditioning
    dof : float
        Degrees of freedom of the structural part (Student-t); sd is the true sd.
    """

    def __init__(self, cells, weeks, mean, law, dof, prior_mean, prior_sd):
        self.cells, self.weeks, self.mean = list(cells), np.asarray(weeks), mean
        self.prior_mean, self.prior_sd = prior_mean, prior_sd
        self.law, self.dof = law, float(dof)
        self._g2 = scale_nodes(dof)
        self._cell_parts = law.cell_parts()
        self.sd = np.sqrt(self._cell_parts[0] + self._cell_parts[1])

    def _weights(self, w):
        w = np.asarray(w, float)
        if w.ndim not in (1, 2) or w.shape[-1] != self.mean.size:
            raise ValueError(
                f"weights have shape {w.shape}; expected ({self.mean.size},) or "
                f"(k, {self.mean.size}), cells x predicted weeks"
            )
        return w.reshape((-1, *self.mean.shape)), w.shape[:-1]

    def variance(self, w):
        """w'Cw, deaths^2, for weights (n,) or (k, n), without forming C."""
        W, shape = self._weights(w)
        return sum(self.law.parts(W)).reshape(shape)[()]

    def covariance(self):
        """(n, n) covariance of all predicted cells, deaths^2."""
        full = self.law.dense()
        full += full.T.copy()
        full *= 0.5
        return full

    def sample(self, n, rng):
        """(n, cells x weeks) draws of deaths minus mean; rng a seed or Generator."""
        rng = np.random.default_rng(rng)
        out = np.empty((n, self.mean.size))
        step = max(1, CHUNK // self.mean.size)
        for a in range(0, n, step):
            k = min(step, n - a)
            g = np.sqrt(rng.choice(self._g2, k))
            out[a : a + k] = self.law.draw(k, g, rng).reshape(k, -1)
        return out

    def half_width(self, w, level):
        """Half the central interval, of probability `level`, of w'(deaths)."""
        W, shape = self._weights(w)
        return half_width(*self.law.parts(W), self._g2, level).reshape(shape)[()]

    def interval(self, w, level):
        """Central interval (lower, upper) of w'(deaths); not negative where w >= 0."""
        W, shape = self._weights(w)
        centre = W.reshape(len(W), -1) @ self.mean.ravel()
        half = half_width(*self.law.parts(W), self._g2, level)
        lower, upper = centre - half, centre + half
        lower = np.where((W >= 0).all(axis=(1, 2)), np.maximum(lower, 0.0), lower)
        return lower.reshape(shape)[()], upper.reshape(shape)[()]

    def cell_interval(self, level):
        """Central interval of every cell-week, (n_cells, n_weeks) each; at least 0."""
        half = half_width(*self._cell_parts, self._g2, level)
        return np.maximum(self.mean - half, 0.0), self.mean + half
