"""SNRE: sequential ratio estimation of the joint posterior of one observation."""

import operator
from dataclasses import dataclass
from functools import partial

import numpy as np

from ._around import Around
from ._pairs import posterior_of
from ._pool import add_checked, finite_observation, open_pool
from ._sampling import anneal
from ._state import State, described, digest, network
from .nre import NRE
from .posterior import Posterior
from .rounds import best_loss, round_seed

__all__ = ["SNRE", "Proposal"]

_FORMAT = 2
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
    bank : None, path or Bank
        Where simulations are kept; None: in memory. Rows that it holds before count as
        calls, and those inside the prior's box must be draws of it. With a path the
        state of the run is kept beside it (``<path>.proposals.json``), and `run` of an
        equal SNRE goes on where an interrupted one stopped: simulations are not made
        again, networks are trained again. One of other settings is refused.
    held : int, optional
        How many of the bank's rows were there before: all that it holds, by default.
    executor, batch_size
        As for `Bank.simulate`; an executor needs a bank.
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
        Of all simulations.
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
    (2020), arXiv:2002.03712. Not amortised: the posterior is that of x_obs alone, and
    `around` checks its calibration about x_obs.

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
        bank=None,
        held=None,
        executor=None,
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
        if not isinstance(explore, (dict, type(None))):
            raise TypeError(
                f"SNRE: explore={explore!r}; give a dict of options of the networks"
                " before the last one"
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
        for name, value in (("rounds", self.n_rounds), ("draws", int(draws))):
            if value < 1:
                raise ValueError(f"SNRE: {name} is {value}, must be at least 1")
        if held is not None and held < 0:
            raise ValueError(f"SNRE: held is {held}, must not be negative")
        if not 0 < first <= 1 or not 0 < least <= 1 or not reach > 0:
            raise ValueError(
                f"SNRE: first {first} and least {least} must lie in (0, 1], reach"
                f" {reach} above 0"
            )
        finite_observation(x_obs, "SNRE")
        self.prior, self.x_obs = prior, x_obs
        self.first, self.least, self.reach = float(first), float(least), float(reach)
        self.draws, self.progress = int(draws), bool(progress)
        vector = options.get("embedding") is None and np.ndim(x_obs) == 1
        common = {"data": "scores" if vector else "standard", **options}
        self.options = {"refine": True, "epochs": 60, **common}
        once = {"members": 1, "refine": False, "epochs": 40}
        self.explore = {**common, **once, **(explore or {})}
        first, last = NRE(prior, **self.explore), NRE(prior, **self.options)
        self._pool = open_pool(
            bank, prior, simulator, executor, int(batch_size), "SNRE"
        )
        self._state = self._make_state(first, last)
        self._held = self._held_before(held)
        self._stops()
        self.rounds, self.estimator, self.posterior = [], None, None

    def __repr__(self):
        return (
            f"<SNRE: {len(self.rounds)} of {self.n_rounds} rounds,"
            f" {self.n_simulations} of {self.budget} simulations>"
        )

    # --- budget and state -----------------------------------------------------------
    def _held_before(self, held):
        """Rows that were there before this run, or the one that it goes on from."""
        found = self._state.load()
        if found:
            held = found["held"]
        elif held is None:
            held = len(self._pool)
            if self._pool.given():
                raise ValueError(
                    f"SNRE: {self._pool.given()} rows of the bank are proposals of"
                    " another run, and its state file is gone; give another bank"
                )
        if held > len(self._pool):
            raise ValueError(
                f"SNRE: {held} rows were held before, but there are {len(self._pool)};"
                " give held=, or remove the state file (*.proposals.json) of a bank"
                " that is gone"
            )
        return held

    def _stops(self):
        """Rows of the pool at the end of each round."""
        held = self._held
        inside = len(self._pool.inside(self.prior.bounds, held))
        least = fewest(self.prior.d)
        stops = _stops(self.budget, self.n_rounds, self.first, held, inside, least)
        shares = [stops[0] - held + inside, *np.diff(stops)]
        if min(shares) < least:
            raise ValueError(
                f"SNRE: {min(shares)} simulations in a round are too few for"
                f" {self.prior.d} parameters; give a larger budget or fewer rounds"
            )
        return stops

    def _make_state(self, explore, last):
        if self._pool.path is None:
            return State(None)
        settings = {
            "format": _FORMAT,
            "simulator": described(self._pool.simulator),
            "prior": self.prior.describe(),
            "observation": digest(self.x_obs),
            "rng": self.rng,
            "batch_size": self._pool.batch_size,
            **{k: getattr(self, k) for k in ("budget", "n_rounds", "first")},
            **{k: getattr(self, k) for k in ("least", "reach", "draws")},
            "network": network(last),
            "explore": network(explore),
        }
        return State(self._pool.path, "proposals", "SNRE", settings, ("held",))

    @property
    def n_simulations(self):
        """Simulator calls so far, failed ones included."""
        return len(self._pool)

    @property
    def theta(self):
        """Parameters (n, d) of all simulations."""
        return self._pool.arrays()[0]

    @property
    def x(self):
        """Data of all simulations."""
        return self._pool.arrays()[1]

    # --- the rounds -----------------------------------------------------------------
    def run(self):
        """Run all rounds, or those that are missing.

        Returns
        -------
        SNRE
            Itself.

        Raises
        ------
        ValueError
            If the observation is not of the shape of a simulation, or the state beside
            the bank is of other settings.
        """
        if self.posterior is not None:
            return self
        self._state.save(held=self._held)
        self.rounds = []
        before, theta, walls = 0, None, []
        stops = self._stops()
        for index, stop in enumerate(stops, 1):
            last = index == self.n_rounds
            self._simulate(index, stop, theta)
            est = self._train(index, before, stop, last)
            # before the last round the observation may well be unlike the simulations
            of = est.posterior if last else partial(posterior_of, est)
            ratio = _Ratio(of(self.x_obs), walls, self.reach)
            known = self._known_ratios(est, ratio, stop)
            exponent, accepted = 1.0, np.nan
            if not last:
                n = stops[index] - stop
                exponent = _exponent(known, self.least * n)
                draws = self._draw(ratio, exponent, n, index)
                theta = est.coordinates.theta(draws.z)
                walls = [*walls, (ratio.own, ratio.own(draws.z).max())]
                accepted = draws.accepted
            self._note(index, stop, est, exponent, _count(known, exponent), accepted)
            before = stop
        self.estimator = est
        self.posterior = Posterior(
            est.coordinates, lambda z: ratio(z)[:, None], normalised=False, x=self.x_obs
        )
        return self

    def _simulate(self, index, stop, theta):
        """What is missing of the rows up to `stop`: of the prior, or of theta."""
        add, seed = self._pool.add, round_seed(self.rng, index)
        done = len(self._pool)
        if theta is not None:
            add(stop - done, self.prior, seed, theta)
            return
        add_checked(self._pool, stop - done, self.prior, seed, self.x_obs)

    def _train(self, index, before, stop, last):
        options = dict(self.options if last else self.explore)
        seed = np.random.SeedSequence([self.rng, index, options.pop("rng", 0)])
        box = self.prior.bounds
        near = self._pool.near(box, before, stop)
        est = NRE(self.prior, rng=seed, **options)
        return est.fit(*self._pool.data(box, stop), near=near)

    def first_share(self):
        """Share of the first round's simulations that count under the posterior.

        As the first network estimates it, from simulations that are there already.
        """
        stop = self._held  # rows that the first round still lacks are not there
        est = self._train(1, 0, stop, False)
        ratio = _Ratio(posterior_of(est, self.x_obs), [], self.reach)
        known = self._known_ratios(est, ratio, stop)
        return _count(known, 1.0) / len(known)

    def _known_ratios(self, est, ratio, stop):
        """Log ratios of all valid simulations' parameters with the observation."""
        rows = self._pool.inside(self.prior.bounds, stop)
        return ratio.own(est.coordinates.scores(np.asarray(self.theta[rows])))

    def _draw(self, ratio, exponent, n, index):
        rng = np.random.default_rng([self.rng, index, 1])
        return anneal(
            lambda z: ratio(z, exponent), self.prior.d, n, rng, last=self.draws
        )

    def around(self, n=20_000, rng=0):
        """Posteriors given x_obs and one more observation: a check of calibration.

        Parameters
        ----------
        n : int
            Draws of the posterior of x_obs, which the check takes for its prior.
        rng : seed

        Returns
        -------
        Around
            An estimator for `coverage`, `sbc`, `tarp` and `report`, with ``sample(n,
            rng)`` for the truths: draws of the posterior of x_obs, of which new data
            are to be simulated.

        Notes
        -----
        A draw of the posterior of x_obs and data x simulated from it: the draw is one
        of the posterior given x_obs and x too, which is p(θ) exp(h(θ, x_o) + h(θ, x)).
        Säilynoja, Schmitt, Bürkner & Vehtari (2025), arXiv:2502.03279. It costs new
        simulations, of data such as the network was trained on last.

        Examples
        --------
        >>> import numpy as np, gradiverse as gv
        >>> prior = gv.inference.Prior(a=(-1.0, 1.0))
        >>> def simulator(theta, rng):
        ...     return theta + 0.1 * rng.normal(size=theta.shape)
        >>> s = gv.inference.SNRE(simulator, prior, np.array([0.2]), budget=600,
        ...                       rounds=2, epochs=5, refine=False).run()
        >>> near = s.around(2000)
        >>> theta = near.sample(20, rng=1)
        >>> x = simulator(theta, np.random.default_rng(2))
        >>> len(gv.inference.coverage(near, theta, x, [0.68, 0.95], n_draws=200))
        2
        """
        if self.posterior is None:
            raise ValueError("SNRE.around: nothing is trained yet; call run() first")
        return Around(self.estimator, self.posterior, int(n), rng)

    def _note(self, index, stop, est, exponent, effective, accepted):
        done = Proposal(
            index=index,
            n_simulations=stop,
            n_failed=self._pool.failed(0, stop),
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


def _stops(budget, rounds, first, held, inside, least):
    """Rows at the end of each round; `inside` of those held are part of the first."""
    if rounds == 1:
        return [budget]
    start = held + max(round(first * budget) - inside, 0)
    if held:  # calls that are spent: later rounds get what they need at least
        start = min(start, max(budget - (rounds - 1) * least, held))
    return np.linspace(start, budget, rounds).astype(int).tolist()


def fewest(d):
    """Simulations that a round needs for d parameters."""
    return 8 * (d + 1)


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
