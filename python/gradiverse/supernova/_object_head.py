"""One ratio network for the absolute magnitudes of all objects.

ln p(M_s | d_s, rest of the survey) - ln p(M_s) = f(M) . g(u), the same f and g for
every object: u holds the object's own data (whitened residuals, z, log sds and
correlations) and the whitened scores of the survey, f has (M, M^2) beside learned
functions. A shared summary could not tell 1e5 objects apart; their own data do.
"""

import numpy as np

from .. import nn, ops, optim, train
from ..compile import compile
from ._summary import SOFT

GRID = 241
REACH = 8.0  # of the grid of M, in sds of its prior
RANK = 8
#: what a distribution known to be no wider than a Gaussian leaves beyond the grid
CHUNK = 8192


class ObjectHead:
    """Shared per-object ratio of M.

    Parameters
    ----------
    summary : Summary
        Whitens residuals and the survey's scores.
    prior : Prior
        Of the globals in their box; p(M) is its predictive distribution.
    rng : int
    """

    def __init__(self, summary, prior, rng=0):
        self.summary, self.prior, self.seed = summary, prior, int(rng)
        theta = prior.sample(4000, np.random.SeedSequence([self.seed, 5]))
        names = list(prior.names)
        self.M0 = theta[:, names.index("M0")]
        self.sres = np.exp(theta[:, names.index("ln_sres")])
        self.centre = self.M0.mean()
        self.scale = np.sqrt(self.M0.var() + (self.sres**2).mean())
        self.params = None

    def inputs(self, features, data, index):
        """u (rows, 10 + p) of objects; features (f,) or (rows, f) of their surveys."""
        own = self.summary.whitened(data.copy(), index)
        p = len(self.summary.centre)
        score = np.broadcast_to(features[..., -p:], (len(own), p)) / SOFT
        return np.concatenate([own, score], axis=1)

    def fit(self, simulations, epochs=6, batch_size=512, learning_rate=3e-3):
        """Train on the kept objects of simulated surveys.

        Contrasts are the other rows of a batch (NRE-B): ln p(M|u) - ln p(M) up to a
        function of u, which a posterior does not need.
        """
        ok = simulations["valid"]
        index = simulations["index"][ok]
        rows, k = index.shape
        features = np.repeat(simulations["features"][ok], k, axis=0)
        data = simulations["data"][ok].reshape(-1, 3)
        u = self.inputs(features, data, index.ravel())
        self.mean, self.sd = u.mean(axis=0), u.std(axis=0)
        self.sd = np.where(self.sd > 1e-9, self.sd, 1.0)
        u = ((u - self.mean) / self.sd).astype(np.float32)
        M = ((simulations["M"][ok].ravel() - self.centre) / self.scale)[:, None]
        order = np.random.default_rng([self.seed, 6]).permutation(rows * k)
        batch = {"u": u[order], "M": M[order].astype(np.float32)}
        self.g = nn.MLP([u.shape[1], 64, 64, 2 + RANK], activation="silu")
        self.f = nn.MLP([1, 32, RANK], activation="silu")
        params = {"g": self.g.init(self.seed), "f": self.f.init(self.seed + 1)}

        def loss(params, batch):
            h = self._g(params, batch["u"]) @ self._f(params, batch["M"]).T
            own = np.diagonal(h)
            return -(own - ops.logsumexp(h, axis=1)).mean()

        size = min(batch_size, max(len(M) // 4, 2))
        self.result = train.fit(
            loss, params, batch, optimizer=optim.adam(optim.cosine(learning_rate)),
            batch_size=size, epochs=epochs, rng=self.seed, validation=0.05,
        )  # fmt: skip
        self.params = self.result.params
        return self

    def _g(self, params, u):
        return self.g.apply(params["g"], u)

    def _f(self, params, M):
        return np.concatenate([M, M * M, self.f.apply(params["f"], M)], axis=1)

    def log_prior(self, M):
        """ln p(M) under the box: the mixture over its globals."""
        out = np.empty(len(M))
        for i in range(len(M)):
            t = (M[i] - self.M0) / self.sres
            out[i] = np.log(np.mean(np.exp(-0.5 * t * t) / self.sres) + 1e-300)
        return out - 0.5 * np.log(2 * np.pi)

    def posterior(self, features, data, index=None):
        """Densities of M of observed objects on a grid.

        Returns
        -------
        grid : (n_grid,) array
        chunks : iterator of (slice, density (k, n_grid)), normalised on the grid
        """
        if self.params is None:
            raise ValueError("this head is not trained; call .fit(simulations) first")
        index = np.arange(len(data)) if index is None else index
        grid = np.linspace(-REACH, REACH, GRID)
        M = self.centre + self.scale * grid
        log_prior = self.log_prior(M)
        basis = np.asarray(self._f(self.params, grid[:, None].astype(np.float32)))
        run = compile(self._g)

        def chunks():
            for i in range(0, len(index), CHUNK):
                part = slice(i, min(i + CHUNK, len(index)))
                u = self.inputs(features, data[part], index[part])
                u = ((u - self.mean) / self.sd).astype(np.float32)
                h = np.asarray(run(self.params, u), float) @ basis.T + log_prior
                h -= h.max(axis=1, keepdims=True)
                p = np.exp(h)
                p /= p.sum(axis=1, keepdims=True) * (M[1] - M[0])
                yield part, p

        return M, chunks()

    def moments(self, features, data, index=None, exact=None):
        """Mean and sd (n,) of M of each object, and with exact = (mean, sd) the
        divergence KL(exact || learned) of each, in nats."""
        M, chunks = self.posterior(features, data, index)
        n, step = len(data), M[1] - M[0]
        mean, sd, kl = np.empty(n), np.empty(n), np.empty(n)
        for part, p in chunks:
            mean[part] = p @ M * step
            away = M - mean[part, None]
            sd[part] = np.sqrt((p * away**2).sum(axis=1) * step)
            if exact is not None:
                m, s = (e[part, None] for e in exact)
                t = (M - m) / s
                q = np.exp(-0.5 * t * t)
                q /= q.sum(axis=1, keepdims=True) * step
                ratio = np.log(q + 1e-300) - np.log(p + 1e-300)
                kl[part] = (q * ratio).sum(axis=1) * step
        return (mean, sd) if exact is None else (mean, sd, kl)
