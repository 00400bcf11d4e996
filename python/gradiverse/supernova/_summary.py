"""Numbers that a whole survey is pooled into, for networks.

Two kinds, both sums over objects of functions of one object's data:

- moments. With B_k(z), k = 0..4, polynomials orthonormal over the survey, and
  y = (m - mu_c, x, c): coefficients <B_k y> and the covariance of what they leave. They
  are passed on as logarithms of variances and regression coefficients, which make sense
  from end to end of a wide prior.
- scores. The gradient of the exact log-likelihood at a point c, times the inverse of
  the Fisher matrix: the first step from c to the maximum, in Fisher sds. Near c they
  are sufficient; they are squashed beyond SOFT sds.

Second moments are what a linear map of the data cannot offer: without them the
dispersions, alpha and beta cannot be learned.
"""

import numpy as np

from .. import random
from ..compile import compile
from ..graph import emit
from . import _check, _extend
from ._fisher import population_slopes, slopes
from .draw import draws
from .priors import coordinates, to_globals
from .survey import population

DEGREE = 4
SOFT = 8.0


class Summary:
    """Pooled features of a survey about a point.

    Parameters
    ----------
    survey : Survey
        Without selection, step and systematics.
    centre : (p,) array
        Coordinates of the point.
    model : str
    """

    def __init__(self, survey, centre, model):
        _extend.plain(survey, "Summary")
        self.survey, self.model = survey, model
        self.centre = np.array(centre, dtype=float)
        self.names = coordinates(model)
        g = {k: float(v) for k, v in to_globals(self.centre, model).items()}
        self.globals = g
        mu, valid = survey.moduli(g)
        if not valid:
            raise ValueError(f"no distances at the centre {self.centre} of the box")
        self.mu, (self.mean, self.cov) = mu, population(g)
        fisher = survey.fisher(g, model)
        plain = [k.removeprefix("ln_") for k in self.names]
        scale = [
            g[k] if n != k else 1.0 for n, k in zip(self.names, plain, strict=True)
        ]
        scale = np.array(scale)
        fisher = fisher * scale[:, None] * scale
        covariance = np.linalg.inv(fisher)
        self.sd = np.sqrt(np.diag(covariance))
        self.covariance = covariance
        self._weights(g, plain, scale, covariance)
        unit = 2 * (survey.z - survey.z.min()) / max(np.ptp(survey.z), 1e-9) - 1
        basis = np.polynomial.legendre.legvander(unit, min(DEGREE, len(survey) - 1))
        q, r = np.linalg.qr(basis)
        self.basis = q * np.sign(np.diag(r)) * np.sqrt(len(survey))
        self.simulate = compile(self._simulate)
        self.of_data = compile(self._features)

    def _weights(self, g, plain, scale, covariance):
        """Linear maps from the sums of the likelihood operator to whitened scores."""
        rest = population_slopes(g)
        cosmology = slopes(self.survey, g, plain, self.model)
        p = len(plain)
        to_mean, to_cov = np.zeros((p, 3)), np.zeros((p, 9))
        self.slopes = np.stack(list(cosmology.values()))
        to_slope = np.zeros((p, len(cosmology)))
        for i, name in enumerate(plain):
            if name in cosmology:
                to_slope[i, list(cosmology).index(name)] = 1.0
            else:
                to_mean[i], to_cov[i] = rest[name][0], rest[name][1].ravel()
        solve = covariance / self.sd[:, None]
        self.maps = [solve @ (scale[:, None] * m) for m in (to_mean, to_cov, to_slope)]

    def _features(self, d):
        n = len(self.survey)
        inputs = (self.mean, self.cov, self.mu, d, self.survey.S)
        _, by_mean, by_cov, by_shift = emit("sn_loglike", inputs)
        by_slope = self.slopes @ by_shift
        score = self.maps[0] @ by_mean + self.maps[1] @ by_cov.reshape(9)
        score = score + self.maps[2] @ by_slope
        y = d - np.stack([self.mu, np.zeros(n), np.zeros(n)], axis=1)
        coefficient = self.basis.T @ y / n
        left = y.T @ y / n - coefficient.T @ coefficient
        return np.concatenate(
            [_moments(coefficient, left), SOFT * np.arcsinh(score / SOFT)]
        )

    def _simulate(self, theta, key, index):
        """Features, data (k, 3) and M (k,) of the objects `index`, validity."""
        g = to_globals(theta, self.model)
        mu, valid = self.survey.moduli(g)
        data, latent = draws(self.survey, g, key, mu)
        features = self._features(data)
        return features, np.take(data, index, 0), np.take(latent, index, 0)[:, 0], valid

    def whitened(self, data, index):
        """Inputs of the head of single objects, (k, 10): residuals at the centre
        whitened by the factor of their covariance, z, log sds and correlations."""
        S = self.survey.covariance[index]
        sd = np.sqrt(np.einsum("nii->ni", S))
        rho = [S[:, i, k] / (sd[:, i] * sd[:, k]) for i, k in ((0, 1), (0, 2), (1, 2))]
        r = data - self.mean
        r[:, 0] -= self.mu[index]
        L = _check.cholesky((S + self.cov).reshape(-1, 9)).reshape(-1, 3, 3)
        u = np.linalg.solve(L, r[:, :, None])[:, :, 0]
        return np.column_stack([u, self.survey.z[index], np.log(sd), *rho])

    def run(self, theta, seed, objects=0, progress=None):
        """Simulate surveys at the rows of theta.

        Parameters
        ----------
        theta : (n, p) array
        seed : int
        objects : int
            How many objects of each survey to keep.

        Returns
        -------
        dict
            features (n, f), index (n, k), data (n, k, 3), M (n, k), valid (n,).
        """
        n, N = len(theta), len(self.survey)
        rng = np.random.default_rng([seed, 1])
        index = rng.integers(0, N, (n, objects))
        key = random.key(seed)
        out = None
        for i in range(n):
            one = self.simulate(theta[i], random.fold_in(key, i), index[i])
            if out is None:
                out = [np.empty((n, *np.shape(a)), np.asarray(a).dtype) for a in one]
            for whole, a in zip(out, one, strict=True):
                whole[i] = a
            if progress is not None:
                progress(i + 1, n)
        features, data, M, valid = out
        valid = valid & np.isfinite(features).all(1)
        return dict(features=features, index=index, data=data, M=M, valid=valid)


def _moments(coefficient, left):
    """Means of x and c, curve of m, ln variances and regressions, as one vector.

    m is regressed on (c, x) first, so that alpha and beta, up to the errors of x and c,
    come out as numbers of their own.
    """
    vc, xc, mc = left[2, 2], left[1, 2] / left[2, 2], left[0, 2] / left[2, 2]
    vx = left[1, 1] - xc * left[1, 2]
    cross = left[0, 1] - mc * left[1, 2]
    mx = cross / vx
    vm = left[0, 0] - mc * left[0, 2] - mx * cross
    slope_c = mc - mx * xc
    curve = coefficient[:, 0] - mx * coefficient[:, 1] - slope_c * coefficient[:, 2]
    rest = [coefficient[0, 1], coefficient[0, 2], mx, slope_c, xc]
    logs = [np.log(np.abs(v) + 1e-30) for v in (vc, vx, vm)]
    return np.concatenate([curve, np.stack(rest + logs)])
