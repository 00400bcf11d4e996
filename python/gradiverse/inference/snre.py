"""SNRE: sequential ratio estimation of the joint posterior of one observation."""

import operator
from dataclasses import dataclass
from functools import partial

import numpy as np

from ._pairs import posterior_of
from ._pool import open_pool
from ._sampling import anneal
from .nre import NRE
from .posterior import Posterior
from .rounds import best_loss, round_seed

__all__ = ["SNRE", "Proposal"]

_STEEP = 3.0  # log ratio lost for each unit beyond an earlier network's reach
_HALVINGS = 40  # of the interval that the exponent is in


@dataclass(frozen=True)
class Proposal:
    """One round's network, and the proposals drawn by it.

    Attributes
    ----------
    index : int
        From 1.
    n_simulations, n_failed : int
        Calls so far, and failed ones among them.
    validation_loss : float
        Lowest one of the round's network, averaged over members.
    exponent : float
        Of the ratio in the proposals: 1 for the posterior as it is estimated, less
        where too few simulations would count under it.
    effective : float
        Number of simulations that count under the ratio with that exponent.
    accepted : float
        Share of accepted moves in the last stage of sampling; nan for the last round,
        which proposes nothing.
    """

    index: int
    n_simulations: int
    n_failed: int
    validation_loss: float
    exponent: float
    effective: float
    accepted: float

    def __str__(self):
        return (
            f"round {self.index}: {self.n_simulations} simulations, {self.n_failed}"
            f" failed, validation loss {self.validation_loss:.4f}, exponent"
            f" {self.exponent:.2f}, {self.effective:.0f} simulations count"
        )


class SNRE:
    r"""Sequential neural ratio estimation: all simulations near one observation.

    The first round's parameters are draws of the prior, those of each later round
    draws of the posterior as the round before estimates it. Every network learns, from
    all simulations so far, :math:`h = \ln p(x|θ) / \tilde p(x)` with the mixture
    :math:`\tilde p` of all rounds, and :math:`p(θ|x_o) \propto p(θ) e^{h(θ, x_o)}`
    whatever the proposals were. Two rules keep a network from being trusted where it
    has seen nothing: the ratio enters the proposals with an exponent at which at least
    `least` of a round's simulations count, and no round goes where an earlier network
    found the ratio more than `reach` below its maximum.

    Parameters
    ----------
    simulator : callable or Simulator
        ``simulator(theta (n, d), rng) -> (n, ...)`` array or dict of arrays.
    prior : Prior
    x_obs : array, or dict of arrays
        The observation.
    budget : int
        Simulator calls, failed ones included.
    rounds : int
    rng : int
    first : float
        Share of the budget that is drawn from the prior; the other rounds share the
        rest.
    least : float
    reach : float
    draws : int
        Moves of each draw in the last stage of sampling of proposals.
    batch_size : int
        Parameters for one call of the simulator.
    progress : bool
        Print a line for each round.
    explore : dict, optional
        Options of the networks before the last one: one member of 40 epochs, not
        refined, by default.
    **options
        For `NRE`: embedding, failures, members, refine (True by default), data
        ("scores" for vectors), epochs (60), ... of all parameters at once.

    Attributes
    ----------
    rounds : list of Proposal
        Of all rounds run.
    n_simulations : int
    theta, x
        All simulations.
    estimator : NRE
        The last one: its own `posterior` knows neither other observations nor the
        earlier networks' reach.
    posterior : Posterior
        Of x_obs.

    Raises
    ------
    ValueError
        For a budget too small for the rounds, or settings outside their ranges.

    Notes
    -----
    Hermans, Begy & Louppe (2020), arXiv:1903.04057; Durkan, Murray & Papamakarios
    (2020), arXiv:2002.03712. Not amortised: `coverage` and `sbc` over many observations
    would need a run for each.

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse.inference import SNRE, Prior
    >>> prior = Prior(a=(-1.0, 1.0), b=(-1.0, 1.0))
    >>> def simulator(theta, rng):
    ...     return theta + 0.05 * rng.normal(size=theta.shape)
    >>> s = SNRE(simulator, prior, np.array([0.2, -0.3]), budget=1500, rounds=3,
    ...          members=1, epochs=20, refine={"epochs": 10}).run()
    >>> s.n_simulations, s.posterior.sample(4, rng=0).shape
    (1500, (4, 2))
    """

    def __init__(
        self,
        simulator,
        prior,
        x_obs,
        budget=10_000,
        rounds=5,
        rng=0,
        *,
        first=0.2,
        least=0.05,
        reach=12.0,
        draws=12,
        batch_size=1000,
        progress=False,
        explore=None,
        **options,
    ):
        if "marginals" in options:
            raise TypeError(
                "SNRE: the ratio is that of all parameters at once; for marginals use"
                " TMNRE, or columns of posterior.sample"
            )
        if options.get("recalibrate") or (explore or {}).get("recalibrate"):
            raise TypeError(
                "SNRE: recalibrate needs simulations that are draws of the prior; use"
                " NRE or TMNRE"
            )
        try:
            self.budget, self.n_rounds = operator.index(budget), operator.index(rounds)
            self.rng = operator.index(rng)
        except TypeError:
            raise TypeError("SNRE: budget, rounds and rng must be ints") from None
        if self.n_rounds < 1:
            raise ValueError(f"SNRE: rounds is {rounds}, must be at least 1")
        if not 0 < first <= 1 or not 0 < least <= 1 or not reach > 0:
            raise ValueError(
                f"SNRE: first {first} and least {least} must lie in (0, 1], reach"
                f" {reach} above 0"
            )
        for leaf in x_obs.values() if isinstance(x_obs, dict) else [x_obs]:
            if not np.isfinite(leaf).all():
                raise ValueError("SNRE: the observation is not finite")
        self.prior, self.x_obs = prior, x_obs
        self.first, self.least, self.reach = float(first), float(least), float(reach)
        self.draws, self.progress = int(draws), bool(progress)
        vector = options.get("embedding") is None and np.ndim(x_obs) == 1
        common = {"data": "scores" if vector else "standard", **options}
        self.options = {"refine": True, "epochs": 60, **common}
        once = {"members": 1, "refine": False, "epochs": 40}
        self.explore = {**common, **once, **(explore or {})}
        NRE(prior, **self.explore), NRE(prior, **self.options)  # checked at once
        self._shares = self._split()
        self._pool = open_pool(None, prior, simulator, None, int(batch_size))
        self.rounds, self.estimator, self.posterior = [], None, None

    def __repr__(self):
        return (
            f"<SNRE: {len(self.rounds)} of {self.n_rounds} rounds,"
            f" {self.n_simulations} of {self.budget} simulations>"
        )

    def _split(self):
        """Simulations of each round."""
        n = self.budget if self.n_rounds == 1 else round(self.first * self.budget)
        rest = np.linspace(n, self.budget, self.n_rounds).astype(int)
        shares = [n, *np.diff(rest)]
        if min(shares) < 8 * (self.prior.d + 1):
            raise ValueError(
                f"SNRE: {min(shares)} simulations in a round are too few for"
                f" {self.prior.d} parameters; give a larger budget or fewer rounds"
            )
        return [int(k) for k in shares]

    @property
    def n_simulations(self):
        """Simulator calls so far, failed ones included."""
        return len(self._pool)

    @property
    def theta(self):
        """Parameters (n, d) of all simulations."""
        return self._pool.everything()[0]

    @property
    def x(self):
        """Data of all simulations."""
        return self._pool.everything()[1]

    def run(self):
        """Run all rounds.

        Returns
        -------
        SNRE
            Itself.

        Raises
        ------
        ValueError
            If an earlier run broke off: its simulations are part of the budget.
        """
        if self.posterior is not None:
            return self
        if len(self._pool):
            raise ValueError(
                f"SNRE.run: an earlier run broke off after {len(self._pool)} of"
                f" {self.budget} simulations; make a new SNRE, which repeats them with"
                " the same rng"
            )
        source, walls = self.prior, []
        for index, n in enumerate(self._shares, 1):
            before, last = len(self._pool), index == self.n_rounds
            self._pool.add(n, source, round_seed(self.rng, index))
            est = self._train(before, index, self.options if last else self.explore)
            # before the last round the observation may well be unlike the simulations
            of = est.posterior if last else partial(posterior_of, est)
            ratio = _Ratio(of(self.x_obs), walls, self.reach)
            known = self._known_ratios(est, ratio)
            exponent, accepted = 1.0, np.nan
            if not last:
                n = self._shares[index]
                exponent = _exponent(known, self.least * n)
                draws = self._draw(ratio, exponent, n, index)
                source = _Given(est.coordinates.theta(draws.z))
                walls = [*walls, (ratio.own, ratio.own(draws.z).max())]
                accepted = draws.accepted
            self._note(index, est, exponent, _count(known, exponent), accepted)
        self.estimator = est
        self.posterior = Posterior(
            est.coordinates, lambda z: ratio(z)[:, None], normalised=False, x=self.x_obs
        )
        return self

    def _train(self, before, index, options):
        options = dict(options)
        seed = np.random.SeedSequence([self.rng, index, options.pop("rng", 0)])
        theta, x, _ = self._pool.everything()
        near = np.arange(len(theta)) >= before
        return NRE(self.prior, rng=seed, **options).fit(theta, x, near=near)

    def _known_ratios(self, est, ratio):
        """Log ratios of all valid simulations' parameters with the observation."""
        theta, _, ok = self._pool.everything()
        return ratio.own(est.coordinates.scores(theta[ok]))

    def _draw(self, ratio, exponent, n, index):
        rng = np.random.default_rng([self.rng, index, 1])
        return anneal(
            lambda z: ratio(z, exponent), self.prior.d, n, rng, last=self.draws
        )

    def _note(self, index, est, exponent, effective, accepted):
        done = Proposal(
            index=index,
            n_simulations=len(self._pool),
            n_failed=self._pool.failed(0),
            validation_loss=best_loss(est),
            exponent=exponent,
            effective=effective,
            accepted=float(accepted),
        )
        self.rounds.append(done)
        if self.progress:
            print(done, flush=True)


class _Ratio:
    """Log ratio of normal scores, falling off beyond the reach of earlier networks."""

    def __init__(self, posterior, walls, reach):
        self._of, self._walls, self._reach = posterior._ratio, walls, reach

    def own(self, z):
        """This network's log ratio (n,)."""
        return self._of(z)[:, 0]

    def __call__(self, z, exponent=1.0):
        h = exponent * self.own(z)
        for earlier, top in self._walls:
            h = h - _STEEP * np.maximum(top - self._reach - earlier(z), 0.0)
        return h


class _Given:
    """Parameters that are there, in the place of a prior to draw them from."""

    def __init__(self, theta):
        self._theta, self._done = theta, 0

    def sample(self, n, rng):
        """The next n of them."""
        self._done += n
        return self._theta[self._done - n : self._done]


def _count(h, exponent):
    """Effective number of weights exp(exponent h)."""
    w = np.exp(exponent * (h - h.max()))
    return float(w.sum() ** 2 / (w * w).sum())


def _exponent(h, least):
    """The largest exponent, at most 1, under which `least` of the weights count."""
    if _count(h, 1.0) >= least:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _count(h, middle) >= least else (low, middle)
    return max(low, 1e-3)
