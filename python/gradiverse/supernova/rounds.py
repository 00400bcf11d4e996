"""Rounds of truncated marginal neural ratio estimation of the globals.

Each round draws globals from the prior in the box, simulates whole surveys, pools each
into the numbers of `Summary` about a point of its own, trains one-dimensional ratios
and cuts the box. The point is the estimate that the observed data's own scores give
from the point before: numbers are whitened anew in each round.
"""

import time
from dataclasses import dataclass, field

import numpy as np

from ._summary import SOFT, Summary
from .posterior import first_guess

EPSILON = 1e-6


@dataclass
class Round:
    """One round: its box, what it simulated and what it learned."""

    box: np.ndarray
    theta: np.ndarray = field(repr=False)
    simulations: dict = field(repr=False)
    summary: Summary = field(repr=False)
    seconds: dict
    estimator: object = field(default=None, repr=False)
    next_box: np.ndarray = None
    cut_mass: np.ndarray = None


def recentred(survey, data, centre, prior, model, steps=3):
    """The summary about the point that scores of the observed data lead to.

    Steps are those of Fisher scoring, kept inside the box (a little off its edges).
    """
    low, high = prior.ppf(np.outer([1e-4, 1 - 1e-4], np.ones(prior.d)))
    margin = 1e-3 * (high - low)
    summary = Summary(survey, np.clip(centre, low + margin, high - margin), model)
    for _ in range(steps):
        p = len(summary.centre)
        score = SOFT * np.sinh(summary.of_data(data)[-p:] / SOFT)
        step = np.clip(summary.sd * score, -0.3 * (high - low), 0.3 * (high - low))
        at = np.clip(summary.centre + step, low + margin, high - margin)
        try:
            summary = Summary(survey, at, model)
        except (ValueError, np.linalg.LinAlgError):
            return summary
    return summary


def simulate_round(survey, data, prior, model, n, seed, centre=None, objects=0,
                   progress=None):  # fmt: skip
    """Draw n surveys from the prior in its box; a `Round` without a network."""
    begin = time.perf_counter()
    if centre is None:
        centre = first_guess(survey, data, model)
    summary = recentred(survey, data, centre, prior, model)
    theta = prior.sample(n, np.random.SeedSequence([seed, 2]))
    found = summary.run(theta, seed, objects, progress)
    spent = {"simulate": time.perf_counter() - begin}
    return Round(np.array(prior.bounds), theta, found, summary, spent)


def train_round(r, prior, data, marginals="1d", epsilon=EPSILON, seed=0, **options):
    """Train the ratios of a round and find the next box."""
    from ..inference import NRE
    from ..inference.rounds import truncate

    begin = time.perf_counter()
    ok = r.simulations["valid"]
    settings = {"loss": "nre-b", "atoms": 8, "batch_size": 256, "epochs": 60}
    settings |= {"patience": 12, "learning_rate": 2e-3, **options}
    r.estimator = NRE(prior, marginals=marginals, rng=seed, **settings)
    r.estimator.fit(r.theta[ok], r.simulations["features"][ok].astype(np.float32))
    r.seconds["train"] = time.perf_counter() - begin
    x = r.summary.of_data(data).astype(np.float32)
    p = prior.d
    if marginals == "1d":
        r.next_box, _, r.cut_mass = truncate(
            lambda t: r.estimator.log_ratio(t, x)[:, :p],
            prior, epsilon, np.random.default_rng([seed, 3]),
        )  # fmt: skip
    return r
