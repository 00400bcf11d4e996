"""The linear embedding of the original study: whitened data, one matrix, ratio heads.

K linear features of Gaussian data hold at most K/2 units of information on the
logarithm of a dispersion, where N objects hold N/2; alpha and beta, which the mean of
the data has only together with M0, are of that kind too. The heads behind it therefore
stay wide for them, however long they train. It is here to be compared with.
"""

import numpy as np

from .. import nn, random
from . import _check
from .draw import draw
from .learn import training
from .priors import to_globals

WIDTH = 256


def whitener(summary):
    """Data (N, 3) -> residuals (3N,) at the summary's centre, of unit covariance,
    float32."""
    S = summary.survey.covariance + summary.cov
    inverse = np.linalg.inv(_check.cholesky(S.reshape(-1, 9)).reshape(-1, 3, 3))

    def whiten(data):
        r = data - summary.mean
        r[:, 0] -= summary.mu
        return (inverse @ r[:, :, None])[:, :, 0].astype(np.float32).ravel()

    return whiten


def linear_marginals(summary, region, data, n=20_000, epochs=5, rng=0, draws=20_000):
    """Draws (draws, p) of the marginals that a linear embedding finds.

    Parameters
    ----------
    summary : Summary
        Gives the centre that data are whitened at.
    region : Region
        Where surveys are drawn.
    data : (N, 3) array
        Observed.
    n : int
        Surveys; all of them, whitened, are kept in memory: 12 n N bytes. Fewer than
        some ten times 3N leave the matrix itself underdetermined.
    epochs, rng, draws : int
    """
    from ..inference import NRE

    theta = region.sample(n, np.random.SeedSequence([rng, 21]))
    x = np.empty((n, 3 * len(data)), np.float32)
    key, whiten = random.key(rng + 22), whitener(summary)
    for i in range(n):
        g = {k: float(v) for k, v in to_globals(theta[i], summary.model).items()}
        one = draw(summary.survey, g, random.fold_in(key, i))
        x[i] = whiten(np.array(one))
    marginals = region.marginals()
    embedding = nn.Linear(x.shape[1], min(WIDTH, x.shape[1]))
    est = NRE(
        marginals, marginals="1d", embedding=embedding, rng=rng, **training(epochs)
    )
    est.fit(theta, x)
    posterior = est.posterior(whiten(np.array(data)))
    columns = [posterior.sample_marginal(i, draws, i) for i in range(marginals.d)]
    return np.column_stack([c[:, 0] for c in columns])
