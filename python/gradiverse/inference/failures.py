"""Failed simulations: which rows are valid, and how likely validity is at given θ.

With v(θ) = P(valid | θ), a ratio trained on valid rows with contrasts from valid rows
is p(x|θ)/p(x): the original prior times it is the posterior of a simulator that does
not fail ("accident"); times v(θ) it is the posterior given validity ("outcome").
"""

import numpy as np

from .. import ops, optim, train
from ..compile import compile
from ..nn import MLP
from ._bank_rows import Rows
from ._parallel import held

__all__ = ["Validity", "valid_rows"]


def valid_rows(x):
    """True for rows that hold a result.

    Parameters
    ----------
    x : (n, ...) array, or dict of such
        Rows of a bank (``bank.x``, not sliced) are those that the bank calls valid. Of
        other arrays those with NaN or infinity have failed, and of signed integers
        those that consist of the smallest number of the type, which is what a bank
        holds where there is no result. Unsigned integers and booleans cannot tell.

    Returns
    -------
    (n,) bool array
    """
    if isinstance(x, dict):
        return np.logical_and.reduce([valid_rows(v) for v in x.values()])
    if isinstance(x, Rows):
        return x.valid
    x = np.asarray(x)
    if x.dtype.kind not in "fci":
        return np.ones(len(x), bool)
    out = np.empty(len(x), bool)
    size = max((1 << 22) // max(int(np.prod(x.shape[1:])), 1), 1)
    for i in range(0, len(x), size):
        out[i : i + size] = held(x[i : i + size])
    return out


class Validity:
    """ln P(valid | θ) of each subset of parameters, by one classifier for each subset.

    Parameters
    ----------
    coordinates : Coordinates
    width : int
    epochs : int

    Notes
    -----
    The classifier of a subset sees only its parameters, so that it learns the validity
    averaged over the others under the prior.
    """

    def __init__(self, coordinates, width=64, epochs=60):
        self.coordinates, self.epochs = coordinates, int(epochs)
        groups, n_in = coordinates.shape
        self._net = MLP((n_in, width, width, 1), activation="silu")
        self._groups = groups
        self.params = None
        self._run = compile(lambda p, t: -ops.softplus(-self._logits(p, t)))

    def _logits(self, params, columns):
        inputs = self.coordinates.expand(columns)
        out = [self._net.apply(p, inputs[:, g])[:, 0] for g, p in enumerate(params)]
        return ops.stack(out, axis=1)

    def fit(self, theta, ok, rng=0):
        """Train on all rows.

        Parameters
        ----------
        theta : (n, d) array
        ok : (n,) bool array

        Returns
        -------
        Validity
            Itself.
        """
        seeds = np.random.SeedSequence(rng).spawn(self._groups)
        params = [self._net.init(s) for s in seeds]
        data = (self.coordinates(theta), np.asarray(ok, np.float32)[:, None])

        def loss(p, batch):
            h = self._logits(p, batch[0])
            return (ops.softplus(h) - batch[1] * h).mean(axis=0).sum()

        optimizer = optim.adamw(optim.cosine(2e-3))
        result = train.fit(
            loss, params, data, optimizer=optimizer, batch_size=min(200, len(theta)),
            epochs=self.epochs, rng=0, validation=0.1, patience=15,
        )  # fmt: skip
        self.params = result.params
        return self

    def log_scores(self, z):
        """ln P(valid | θ) (n, marginals) at normal scores (n, d)."""
        out = np.empty((len(z), self._groups))
        size = 4096
        for i in range(0, len(z), size):
            block = self.coordinates.of_scores(z[i : i + size])
            padded = np.zeros((size, *block.shape[1:]), np.float32)
            padded[: len(block)] = block
            out[i : i + size] = self._run(self.params, padded)[: len(block)]
        return out
