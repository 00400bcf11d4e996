"""The linear embedding of the original study: whitened data, one matrix, ratio heads.

K linear features of Gaussian data hold at most K/2 units of information on the
logarithm of a dispersion, where N objects hold N/2; alpha and beta, which the mean of
the data has only together with M0, are of that kind too. The heads behind it therefore
stay wide for them, however long they train. It is here to be compared with.
"""

import numpy as np

from .. import nn, random
from . import _check
from ._fisher import population_slopes
from .draw import draw
from .learn import training
from .priors import to_globals

WIDTH = 256
BLOCK = 100  # surveys whitened at once


def linear_least(summary, region, width=None):
    """Least sds (p,) that linear features leave to coordinates of the kind variance in
    a region, all others known; 0 for the rest, which linear features know.

    F_aa <= (K/2) max lambda^2 for K features, lambda the eigenvalues of Sig^-1 Sig_a;
    the region's own variance is added as if it were normal. What is clearly narrower
    has seen more than these features.
    """
    width = WIDTH if width is None else width
    spread = region.sample(20_000, np.random.SeedSequence(23)).var(axis=0)
    g, out = summary.globals, np.zeros(len(summary.names))
    inverse = np.linalg.inv(summary.survey.covariance + summary.cov)
    turns = population_slopes(g)
    for i, name in enumerate(summary.names):
        plain = name.removeprefix("ln_")
        if plain not in turns or not turns[plain][1].any():
            continue
        turn = turns[plain][1] * (g[plain] if name != plain else 1.0)
        largest = np.abs(np.linalg.eigvals(inverse @ turn)).max()
        out[i] = 1.0 / np.sqrt(0.5 * width * largest**2 + 1.0 / spread[i])
    return out


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


def linear_marginals(
    summary, region, data, n=20_000, epochs=5, rng=0, draws=20_000, bank=None
):
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
        Surveys: 12 n N bytes, whitened. Fewer than some ten times 3N leave the matrix
        itself underdetermined.
    epochs, rng, draws : int
    bank : path, optional
        Where surveys are kept, a file that must not be there; None: in memory.
    """
    from ..inference import NRE

    marginals, whiten = region.marginals(), whitener(summary)
    theta = region.sample(n, np.random.SeedSequence([rng, 21]))
    inputs = data.size
    embedding = nn.Linear(inputs, min(WIDTH, inputs))
    est = NRE(
        marginals, marginals="1d", embedding=embedding, rng=rng, **training(epochs)
    )
    surveys = _surveys(summary, theta, whiten, rng, inputs)
    if bank is None:
        x, done = np.empty((n, inputs), np.float32), 0
        for _, part in surveys:
            x[done : done + len(part)] = part
            done += len(part)
        est.fit(theta, x)
    else:
        est.fit(_kept(bank, marginals, surveys))
    posterior = est.posterior(whiten(np.array(data)))
    columns = [posterior.sample_marginal(i, draws, i) for i in range(marginals.d)]
    return np.column_stack([c[:, 0] for c in columns])


def _surveys(summary, theta, whiten, rng, inputs):
    """Blocks of globals and whitened surveys (k, inputs)."""
    key = random.key(rng + 22)
    for start in range(0, len(theta), BLOCK):
        part = theta[start : start + BLOCK]
        x = np.empty((len(part), inputs), np.float32)
        for i, row in enumerate(part):
            g = {k: float(v) for k, v in to_globals(row, summary.model).items()}
            one = draw(summary.survey, g, random.fold_in(key, start + i))
            x[i] = whiten(np.array(one))
        yield part, x


def _kept(path, prior, surveys):
    """A bank of them."""
    from ..inference import Bank

    bank = Bank(path, prior)
    if len(bank):
        raise ValueError(f"{path} holds {len(bank)} simulations; give a new file")
    for theta, x in surveys:
        bank.append(theta, x)
    return bank
