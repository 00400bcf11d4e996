"""TMNRE: rounds of simulating, training marginal ratios, and truncating the prior."""

import numbers

import numpy as np

from ._coordinates import independent
from ._pool import add_checked, finite_observation, open_pool
from ._recalibrate import LEAST
from ._state import State, described, digest, network
from ._through import Through
from .nre import NRE
from .rounds import Round, best_loss, round_seed, truncate
from .snre import SNRE, fewest

__all__ = ["TMNRE"]

_FORMAT = 3
_FEW = 8  # parameters: more make the ratio of all at once harder than marginals
_ROUNDS = 5  # sequential ones, the draws of the prior included
_LEFT = 0.25  # share of the budget that must be left for sequential rounds
_WASTE = 0.1  # share of draws in the box that count, below which they are too few
_TRAINING = {"members": 2, "epochs": 50}
_SHARED = ("embedding", "failures", "augment")  # options of every network


class TMNRE:
    """Truncated marginal neural ratio estimation of one observation.

    A round takes all stored simulations inside the present box, simulates more from the
    prior inside it, trains the one-dimensional ratios and cuts each parameter to the
    hull of ``h - max h > ln epsilon`` (of all networks, where ``members`` > 1, so that
    none of them would have kept more). It stops when a box keeps more than `stop` of
    the volume of the one before, or after `max_rounds`. What is left of the budget is
    then simulated in the last box, and the wanted marginals are trained there; or, with
    `sequential`, it goes to `SNRE` in the last box, of which the marginals are taken.

    Parameters
    ----------
    simulator : callable or Simulator
        ``simulator(theta (n, d), rng) -> (n, ...)`` array or dict of arrays.
    prior : Prior
    x_obs : array, or dict of arrays
        The observation.
    marginals : "1d", "2d", None or list of index tuples
        Of the last network.
    epsilon : float
        Smallest likelihood ratio kept, relative to the largest.
    budget : int
        Simulator calls, all of them counted: failed ones, rows cut away later, and rows
        that the bank held before.
    bank : None, path or Bank
        Where simulations are kept; None: in memory. With a path the state of the rounds
        is kept beside it (``<path>.rounds.json``), and `run` goes on where an
        interrupted one stopped. Of other settings it is refused, but for `max_rounds`,
        which may be raised as long as rounds are under way.
    rng : int
    share : float
        Part of the budget that a round's network is trained on.
    stop : float
    max_rounds : int
    draws : int
        Draws of the prior for each cut, at least 1e5.
    sequential : None, bool or dict
        Whether the rest of the budget is drawn from the posterior of all parameters, as
        it is estimated so far, rather than from the prior in the last box: for thin or
        curved posteriors, which no box encloses. None: where a quarter of it is left
        and fewer than a tenth of the draws in the last box count under the posterior;
        there must be two to eight independent parameters, and one-dimensional marginals
        without `head` and `recalibrate` must be wanted. A dict holds options of `SNRE`.
    progress : bool
        Print a line for each round.
    executor, batch_size
        As for `Bank.simulate`.
    **options
        For `NRE`: members (2, so that a box is not cut by the noise of one network),
        epochs (50), loss, embedding, failures, head, ...; recalibrate is that of the
        last network alone. Of these, sequential rounds take embedding, failures and
        augment.

    Attributes
    ----------
    bounds : (d, 2) array
        The last box, in parameter units.
    rounds : list of Round
    n_simulations : int
        Simulator calls.
    estimator : NRE
        Of draws of the prior in the last box, for any observation from there.
    posterior : Posterior
        Of x_obs, under the prior in the last box: that of the estimator, or with
        sequential rounds that of `joint`, whose marginals it has.
    joint : SNRE or None
        The sequential rounds: its `around` checks the posterior's calibration.
    log_volume : float
        ln of the box's share of the prior: p(x_obs) is its exponential times the
        evidence in the box, if no mass was lost.

    Raises
    ------
    ValueError
        If the budget is too small, or the stored state is of other settings.

    Notes
    -----
    Boxes are nested, so rows inside the box are exact draws of the restricted prior
    whichever round they come from. Miller et al. (2021), arXiv:2107.01214.

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse.inference import TMNRE, Prior
    >>> prior = Prior(a=(-1.0, 1.0), b=(-1.0, 1.0))
    >>> def simulator(theta, rng):
    ...     return theta + 0.05 * rng.normal(size=theta.shape)
    >>> t = TMNRE(simulator, prior, np.array([0.2, -0.3]), budget=3000, epochs=30)
    >>> t.run().n_simulations
    3000
    >>> bool(t.rounds[-1].volume < 0.5)
    True
    """

    def __init__(
        self,
        simulator,
        prior,
        x_obs,
        marginals="1d",
        epsilon=1e-6,
        budget=55_000,
        bank=None,
        rng=0,
        *,
        share=0.2,
        stop=0.8,
        max_rounds=10,
        draws=100_000,
        sequential=None,
        progress=False,
        executor=None,
        batch_size=1000,
        **options,
    ):
        for name, value in (("budget", budget), ("max_rounds", max_rounds)):
            if not isinstance(value, numbers.Real) or value % 1:
                raise TypeError(f"TMNRE: {name}={value!r}; give an int")
        if not 0 < epsilon < 1:
            raise ValueError(f"TMNRE: epsilon is {epsilon}, must lie between 0 and 1")
        if not 0 < share <= 1 or not 0 < stop <= 1:
            raise ValueError(f"TMNRE: share {share} and stop {stop} must lie in (0, 1]")
        if int(budget) * share < 8:
            raise ValueError(f"TMNRE: a budget of {budget} is too small")
        if int(draws) < 100_000:
            raise ValueError(f"TMNRE: draws is {draws}, must be at least 100000")
        if int(max_rounds) < 1:
            raise ValueError(f"TMNRE: max_rounds is {max_rounds}, must be at least 1")
        if not isinstance(rng, (int, np.integer)):
            raise TypeError("TMNRE: rng must be an int, so that a run can be resumed")
        if not isinstance(sequential, (bool, np.bool_, dict, type(None))):
            raise TypeError(
                f"TMNRE: sequential={sequential!r}; give None, True, False or a dict of"
                " options of SNRE"
            )
        finite_observation(x_obs, "TMNRE")
        options = {**_TRAINING, **options}
        nre = NRE(prior, marginals=marginals, **options)  # options are checked at once
        self.simulator, self.prior, self.x_obs = simulator, prior, x_obs
        self.marginals = marginals
        self.epsilon, self.budget = float(epsilon), int(budget)
        self.rng, self.share, self.stop = int(rng), float(share), float(stop)
        self.max_rounds, self.draws = int(max_rounds), int(draws)
        self.progress, self.options = bool(progress), options
        self._given = sequential if isinstance(sequential, dict) else {}
        wanted = isinstance(sequential, dict) or bool(sequential)
        self._sequential = None if sequential is None else wanted
        self._subsets = nre.marginals
        if self._sequential:
            self._check_sequential()
        self._check_held(self.budget)
        self._pool = open_pool(
            bank, prior, simulator, executor, int(batch_size), "TMNRE"
        )
        self._state = self._make_state(nre)
        self.rounds, self.estimator, self.posterior = [], None, None
        self.joint, self._goes_on, self._under_way = None, None, None

    def __repr__(self):
        return (
            f"<TMNRE: {len(self.rounds)} rounds, {self.n_simulations} of {self.budget}"
            " simulations>"
        )

    @property
    def bounds(self):
        """The last box (d, 2), in parameter units."""
        return self.rounds[-1].bounds if self.rounds else self.prior.bounds

    @property
    def n_simulations(self):
        """Simulator calls so far, failed ones and those cut away included."""
        return len(self._pool)

    @property
    def log_volume(self):
        """ln of the share of the prior's mass inside the last box."""
        return self.prior.truncate(self.bounds).log_volume

    # --- the loop -------------------------------------------------------------------
    def run(self):
        """Run the rounds that are still missing, and train the last network.

        Returns
        -------
        TMNRE
            Itself.
        """
        if self.posterior is not None:
            return self
        self._load()
        while not self._finished():
            self._round()
            self._save()
        if self._goes_on is None:  # decided once, by draws of the prior alone
            self._goes_on = self._decide()
            self._save()
        if self._goes_on:
            self._propose()
        else:
            self._last()
        return self

    def _finished(self):
        if not self.rounds:
            return False
        last = self.rounds[-1]
        return (
            last.ratio > self.stop
            or len(self.rounds) >= self.max_rounds
            or last.n_total >= self._most
        )

    @property
    def _most(self):
        """Calls that the rounds may spend: sequential ones need some too."""
        if not self._sequential:
            return self.budget
        rounds = self._given.get("rounds", _ROUNDS)
        return self.budget - rounds * fewest(self.prior.d)

    def _round(self):
        index = len(self.rounds) + 1
        box = self.rounds[-1].next_bounds if self.rounds else self.prior.bounds
        prior = self.prior.truncate(box)
        if (
            self._under_way is None
        ):  # kept, so that an interrupted round ends as it would
            self._under_way = self._plan(box)
            self._save()
        before, reused, until = self._under_way
        new = until - len(self._pool)
        add_checked(self._pool, new, prior, round_seed(self.rng, index), self.x_obs)
        est = self._train(prior, "1d", index)
        bounds, edge, cut = truncate(
            lambda theta: est.member_log_ratios(theta, self.x_obs),
            prior,
            self.epsilon,
            np.random.default_rng([self.rng, index, 1]),
            self.draws,
        )
        done = Round(
            index=index,
            bounds=np.array(prior.bounds),
            log_volume=prior.log_volume,
            n_new=until - before,
            n_reused=reused,
            n_failed=self._pool.failed(before),
            n_total=until,
            validation_loss=best_loss(est),
            next_bounds=bounds,
            next_log_volume=self.prior.truncate(bounds).log_volume,
            edge_mass=edge,
            cut_mass=cut,
        )
        self.rounds.append(done)
        self._under_way = None
        self._tell(self._line(done))

    def _plan(self, box):
        """Rows before the next round, those inside its box, and rows at its end."""
        before, reused = len(self._pool), len(self._pool.inside(box))
        wanted = int(self.share * self.budget) - reused
        return before, reused, before + max(min(wanted, self._most - before), 0)

    def _last(self):
        box = self.bounds
        prior = self.prior.truncate(box)
        missing = self.budget - len(self._pool)
        self._check_held(missing + len(self._pool.inside(box)))
        self._pool.add(missing, prior, round_seed(self.rng, 0))
        self.estimator = self._train(prior, self.marginals, 0)
        self.posterior = self.estimator.posterior(self.x_obs)
        inside = len(self._pool.inside(box))
        self._tell(
            f"last: box volume {np.exp(self.log_volume):.3g}, {inside} simulations"
            f" inside, {self.n_simulations} in all; validation loss"
            f" {best_loss(self.estimator):.4f}"
        )

    def _check_held(self, most):
        """Raises where no more than `most` rows hold too few to recalibrate with."""
        if not self.options.get("recalibrate"):
            return
        share = self.options.get("validation", 0.1)
        held = share if isinstance(share, (int, np.integer)) else int(share * most)
        if held < LEAST:
            raise ValueError(
                f"TMNRE: {held} validation rows of {most} simulations are too few to"
                f" recalibrate with; give validation=, or a larger budget, for at least"
                f" {LEAST}"
            )

    def _train(self, prior, marginals, index, stop=None):
        options = dict(self.options)
        if index:  # boxes are cut by the networks' own ratios
            options.pop("recalibrate", None)
        seed = np.random.SeedSequence([self.rng, index, options.pop("rng", 0)])
        est = NRE(prior, marginals=marginals, rng=seed, **options)
        return est.fit(*self._pool.data(prior.bounds, stop))

    # --- sequential rounds ----------------------------------------------------------
    def _whole(self):
        """Whether all parameters at once are what is wanted."""
        return len(self._subsets) == 1 and len(self._subsets[0]) == self.prior.d

    def _check_sequential(self):
        if self.options.get("recalibrate"):
            raise ValueError(
                "TMNRE: recalibrate is for networks of draws of the prior, not for"
                " sequential rounds; give one of both"
            )
        self._snre(self.prior)  # options are checked at once
        if self._whole():
            return
        if any(len(m) > 1 for m in self._subsets):
            raise ValueError(
                "TMNRE: sequential rounds give one-dimensional marginals ('1d') or all"
                f" parameters at once (None), not {self.marginals!r}; pairs are columns"
                " of their posterior.sample"
            )
        if independent(self.prior) is not self.prior:
            raise ValueError(
                "TMNRE: marginals of sequential rounds need a prior of independent"
                " parameters; give marginals=None"
            )

    def _decide(self):
        """Whether the rest of the budget is drawn from the posterior so far."""
        if self._sequential is not None:
            return self._sequential
        tuned = self.options.get("recalibrate") or self.options.get("head") is not None
        wanted = not self._whole() and {len(m) for m in self._subsets} == {1}
        few = 1 < self.prior.d <= _FEW and independent(self.prior) is self.prior
        if tuned or not wanted or not few or not self._enough():
            return False
        if self._sequence().first_share() < _WASTE:
            return True
        self.joint = None
        return False

    def _enough(self):
        """Whether enough of the budget for sequential rounds is left."""
        done = self.rounds[-1].n_total
        inside = len(self._pool.inside(self.bounds, done))
        lacks = max(round(self.share * self.budget) - inside, 0)
        left = self.budget - done
        each = (left - lacks) // (_ROUNDS - 1)
        return left >= _LEFT * self.budget and each >= fewest(self.prior.d)

    def _sequence(self):
        """The sequential rounds, in the last box."""
        if self.joint is None:
            box = self.prior.truncate(self.bounds)
            self.joint = self._snre(box, self._pool, self.rounds[-1].n_total)
        return self.joint

    def _propose(self):
        prior = self.prior.truncate(self.bounds)
        self._tell("the rest of the budget goes to sequential rounds in this box")
        whole = self._sequence().run().posterior
        self.estimator = self._train(prior, self.marginals, 0, self.rounds[-1].n_total)
        self.posterior = whole if self._whole() else Through(whole, self._subsets)

    def _snre(self, prior, pool=None, held=None):
        shared = {k: v for k, v in self.options.items() if k in _SHARED}
        own = {"first": self.share, "progress": self.progress, "rounds": _ROUNDS}
        return SNRE(
            self.simulator,
            prior,
            self.x_obs,
            self.budget,
            rng=round_seed(self.rng, 0),
            bank=pool,
            held=held,
            **{**own, **shared, **self._given},
        )

    def _tell(self, line):
        if self.progress:
            print(line, flush=True)

    def _line(self, r):
        parts = [
            f"round {r.index}: box volume {r.volume:.3g}",
            f"{r.n_new} new + {r.n_reused} reused simulations",
            f"validation loss {r.validation_loss:.4f}",
            f"next box x {r.ratio:.3g}",
            f"posterior mass cut {r.cut_mass.sum():.1e}",
        ]
        if r.n_failed:
            parts.insert(2, f"{r.n_failed} failed")
        lost = r.lost(self.prior)
        if lost is None:
            parts.append("no edge inside the prior")
        else:
            mass, name, side = lost
            word = "mass cut too early?" if mass > EDGE_WARNING else "mass"
            parts.append(f"{word} at inner edges <= {mass:.1e} ({name} {side})")
        return ", ".join(parts)

    # --- the state file -------------------------------------------------------------
    def _make_state(self, nre):
        if self._pool.path is None:
            return State(None)
        settings = {
            "format": _FORMAT,
            "simulator": described(self._pool.simulator),
            "prior": self.prior.describe(),
            "observation": digest(self.x_obs),
            "epsilon": self.epsilon,
            "budget": self.budget,
            "rng": self.rng,
            "share": self.share,
            "stop": self.stop,
            "draws": self.draws,
            "batch_size": self._pool.batch_size,
            "sequential": self._sequential,
            "sequential options": described(self._given),
            "network": network(nre),
        }
        content = ("rounds", "under_way", "goes_on", "max_rounds")
        return State(self._pool.path, "rounds", "TMNRE", settings, content)

    def _save(self):
        self._state.save(
            rounds=[r.plain() for r in self.rounds],
            under_way=self._under_way,
            goes_on=self._goes_on,
            max_rounds=self.max_rounds,
        )

    def _load(self):
        state = self._state.load()
        if state:
            self.rounds = [Round.restore(r) for r in state["rounds"]]
            self._under_way, self._goes_on = state["under_way"], state["goes_on"]
            self._check_rounds(state["max_rounds"])
        done = self.rounds[-1].n_total if self.rounds else 0
        if done > len(self._pool):
            raise ValueError(
                f"TMNRE: the state file says that the bank holds {done} rows, but it"
                f" holds {len(self._pool)}; remove {self._state.path.name}"
            )
        if not self.rounds and self._pool.given():
            raise ValueError(
                f"TMNRE: {self._pool.given()} rows of the bank are proposals of another"
                " run, and no draws of the prior; give another bank"
            )

    def _check_rounds(self, before):
        """Raises where another max_rounds would have led elsewhere than the state."""
        done = len(self.rounds) + (self._under_way is not None)
        spent = self._goes_on is not None and not self._finished()
        if done > self.max_rounds or spent:
            what = "the rest of the budget is being spent after" if spent else "holds"
            raise ValueError(
                f"TMNRE: {self._state.path.name}: {what} {done} rounds, which"
                f" max_rounds={self.max_rounds} does not fit; give"
                f" max_rounds={before}, or another bank"
            )


EDGE_WARNING = 0.005
