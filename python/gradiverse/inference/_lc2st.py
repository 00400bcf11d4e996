"""Local classifier two-sample test (L-C2ST, Linhart et al. 2023, arXiv:2306.03580).

A classifier tells (theta, x) of the joint law from (draw of the posterior at x, x). At
one observation the statistic is the mean of (p - 1/2)^2 over posterior draws there: 0
if the posterior is exact near x_obs. Its null law comes from the same training with
the two of a pair exchanged at random. In the flow variant thetas are replaced by their
images in the base space, where an exact flow makes them N(0, I): the null needs no
posterior and serves all of them.
"""

from dataclasses import dataclass, field

import numpy as np

from ._classifier import fit, probability
from ._pairs import whole
from ._parts import flat, mapped
from ._rows import flat_rows, rows
from ._streams import stream


@dataclass(frozen=True)
class LocalTest:
    """Result at one observation.

    Attributes
    ----------
    statistic : float
    p_value : float
        (1 + number of null values at least as large)/(1 + their number).
    null : (n_null,) array
    probability : (n,) array
        Classifier's probability of "truth" at the draws: above 1/2 the posterior has
        too little mass there.
    """

    statistic: float
    p_value: float
    null: np.ndarray = field(repr=False)
    probability: np.ndarray = field(repr=False)


class LC2ST:
    """Trained local test; `test` it at any number of observations.

    Parameters
    ----------
    theta : (n, d) array
        Truths; for the flow variant their base-space images.
    x : (n, ...) array or dict of arrays
        Data simulated from the truths.
    samples : (n, d) array, optional
        One posterior draw for each x. None: the flow variant, with N(0, I).
    rng : seed, SeedSequence or Generator
    n_null : int
        Trainings with labels exchanged.
    hidden : tuple of int, optional
        Default: two layers of 10 units for each input, 20 to 100.
    epochs : int
        Most passes over the data; fewer where the loss stops falling.
    null : LC2ST, optional
        Of an earlier flow variant with the same x: its null is used again.

    Raises
    ------
    ValueError
        Shapes do not fit or values are not finite.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> rng = np.random.default_rng(0)
    >>> theta = rng.normal(size=(1000, 1))
    >>> x = theta + rng.normal(size=theta.shape)
    >>> wrong = x / 2 + 1.5 + 0.7 * rng.normal(size=theta.shape)     # moved by 2 sd
    >>> local = gv.inference.LC2ST(theta, x, wrong, rng, n_null=20)
    >>> local.test([0.0], 1.5 + 0.7 * rng.normal(size=(500, 1))).p_value < 0.05
    True
    """

    def __init__(
        self,
        theta,
        x,
        samples=None,
        rng=0,
        *,
        n_null=100,
        hidden=None,
        epochs=50,
        null=None,
    ):
        who = "gv.inference.LC2ST"
        theta = rows(theta, who, "theta", least=20)
        n, self.d = theta.shape
        x = flat_rows(flat(x) if hasattr(x, "items") else x, who, "x")
        if len(x) != n:
            raise ValueError(f"{who}: {len(x)} rows of x for {n} of theta")
        rng = stream(rng, "lc2st")
        self.base = samples is None
        if self.base:
            samples = rng.normal(size=theta.shape)
        else:
            samples = rows(samples, who, "samples", columns=self.d)
            if len(samples) != n:
                raise ValueError(
                    f"{who}: {len(samples)} rows of samples for {n} of theta"
                )
        width = int(np.clip(10 * (self.d + x.shape[1]), 20, 100))
        self._hidden = (width, width) if hidden is None else tuple(hidden)
        self._epochs = whole(epochs, 1, who, "epochs")
        self._mean, self._sd = x.mean(axis=0), x.std(axis=0)
        self._sd = np.where(self._sd > 0, self._sd, 1.0)
        both = np.concatenate([theta, samples])
        self._centre, self._scale = both.mean(axis=0), both.std(axis=0)
        self._layers = self._train(theta, samples, x, rng)
        if null is not None:
            if not (
                self.base and null.base and null._null_shape == (self.d, x.shape[1])
            ):
                raise ValueError(
                    f"{who}: a null serves again only in the flow variant (no samples) "
                    "with the same numbers of parameters and of data"
                )
            self._null = null._null
        else:
            count = whole(n_null, 1, who, "n_null")
            self._null = [self._one_null(both, x, rng) for _ in range(count)]
        self._null_shape = (self.d, x.shape[1])

    def _one_null(self, both, x, rng):
        """Scales and layers of a training in which both classes have one law."""
        n = len(x)
        if self.base:
            pair = rng.normal(size=both.shape)
        else:
            # the two members of a pair change places with probability a half
            swap = np.where(rng.random(n) < 0.5, n, 0)
            pick = np.concatenate([np.arange(n) + swap, np.arange(n) + n - swap])
            pair = both[pick]
        return self._train(pair[:n], pair[n:], x, rng)

    def _train(self, first, second, x, rng):
        data = self._inputs(np.concatenate([first, second]), np.concatenate([x, x]))
        labels = np.repeat([1.0, 0.0], len(x))
        layers, _ = fit(
            data, labels, rng, self._hidden, patience=3, max_epochs=self._epochs
        )
        return layers

    def _inputs(self, theta, x):
        theta = (theta - self._centre) / self._scale
        return np.concatenate([theta, (x - self._mean) / self._sd], axis=1)

    def test(self, x_obs, samples=None, rng=0):
        """Test at one observation.

        Parameters
        ----------
        x_obs : (...) array or dict of arrays
        samples : (m, d) array
            Posterior draws at x_obs; none in the flow variant, which takes 10 000 of
            N(0, I).
        rng : seed, SeedSequence or Generator

        Returns
        -------
        LocalTest
        """
        who = "LC2ST.test"
        if self.base != (samples is None):
            wanted = (
                "no samples" if self.base else "posterior draws at x_obs as samples"
            )
            raise ValueError(f"{who}: this test takes {wanted}")
        if self.base:
            samples = stream(rng, "lc2st.test").normal(size=(10_000, self.d))
        samples = rows(samples, who, "samples", columns=self.d)
        x = flat(mapped(x_obs, lambda a: np.asarray(a)[None]))
        if x.shape[1] != len(self._mean) or not np.isfinite(x).all():
            raise ValueError(
                f"{who}: x_obs has shape {np.shape(x_obs)}; {len(self._mean)} finite "
                "numbers are needed"
            )
        data = self._inputs(samples, np.broadcast_to(x, (len(samples), x.shape[1])))
        p = probability(self._layers, data)
        null = np.array([_statistic(probability(h, data)) for h in self._null])
        value = _statistic(p)
        reached = (null >= value).sum()
        return LocalTest(value, float((1 + reached) / (1 + len(null))), null, p)


def _statistic(p):
    return float(((p - 0.5) ** 2).mean())
