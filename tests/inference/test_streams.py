"""A check draws nothing that its truths were drawn with, whatever the seed."""

import numpy as np
import pytest

import gradiverse as gv
from gradiverse.inference._c2st import c2st, marginal_c2st
from gradiverse.inference._coverage import coverage
from gradiverse.inference._lc2st import LC2ST
from gradiverse.inference._mmd import mmd_test
from gradiverse.inference._predictive import posterior_predictive
from gradiverse.inference._report import report
from gradiverse.inference._sbc import sbc
from gradiverse.inference._streams import stream
from gradiverse.inference._tarp import tarp
from gradiverse.inference._unfamiliar import Familiar, misspecification_test

from .known import Gaussian, pairs


def test_truths_and_checks_may_have_one_seed():
    # references uniform in the box were the truths themselves: p = 0
    task = gv.simulators.task("gaussian_linear_uniform")
    theta = task.prior.sample(300, rng=0)
    x = task.simulate(theta, rng=1)
    draws = np.stack([task.posterior(row, 50, [i, 1]) for i, row in enumerate(x)])
    assert tarp(draws, theta).p_value > 1e-3

    class Exact:
        def posterior(self, x):
            self.x = x
            return self

        def sample(self, n, rng):
            return task.posterior(self.x, n, rng)

        def log_prob(self, theta):
            return -5.0 * ((theta - self.x) ** 2).sum(axis=1)

    checks = report(Exact(), theta, x, n_draws=99, level=1e-3).checks
    assert checks.passed.all(), checks


def test_streams_of_uses_seeds_and_children_differ():
    def first(rng, use):
        return stream(rng, use).integers(2**62)

    seed = np.random.SeedSequence(5)
    found = [
        first(r, u)
        for r in (
            5,
            6,
            [5, 1],
            seed.spawn(1)[0],
            np.random.SeedSequence(5, pool_size=8),
        )
        for u in ("one", "two")
    ]
    found += [np.random.default_rng(r).integers(2**62) for r in (5, 6, [5, 1])]
    assert len(set(found)) == len(found)
    assert first(5, "one") == first(np.int64(5), "one") == first(seed, "one")
    own = np.random.default_rng(7)
    assert stream(own, "one") is own
    assert first(None, "one") != first(None, "one")


class Seen(Gaussian):
    """The exact posterior, which keeps the states of the generators it is given."""

    def __init__(self):
        super().__init__()
        self.states = []

    def posterior(self, x):
        posterior = super().posterior(x)
        plain = posterior.sample

        def sample(n, rng):
            self.states.append(rng.bit_generator.state["state"]["inc"])
            return plain(n, rng)

        posterior.sample = sample
        return posterior


def _streams(rng):
    """Increments (one a stream) of the generators that each check works with."""
    theta, x = pairs(40, seed=3)
    found = {}
    for name, check in {
        "sbc": lambda e: sbc(e, theta, x, 9, rng),
        "coverage": lambda e: coverage(e, theta, x, [0.5], n_draws=9, rng=rng),
        "report": lambda e: report(e, theta, x, n_draws=9, rng=rng),
        "predictive": lambda e: posterior_predictive(
            e.posterior(x[0]), lambda t, rng: t, x[0], n=30, rng=rng
        ),
    }.items():
        est = Seen()
        check(est)
        assert len(set(est.states)) == 1
        found[name] = est.states[0]
    return found


def test_every_check_has_its_own_stream_and_a_generator_serves_as_it_is():
    found = _streams(0)
    found["truths"] = np.random.default_rng(0).bit_generator.state["state"]["inc"]
    assert len(set(found.values())) == len(found)
    own = np.random.default_rng(0)
    assert set(_streams(own).values()) == {own.bit_generator.state["state"]["inc"]}


def _trained(a, b):
    return LC2ST(a, b, rng=3, n_null=1, epochs=1)


@pytest.mark.parametrize(
    "check",
    [
        lambda rng, a, b: tarp(a[:, None], b, rng).f,
        lambda rng, a, b: mmd_test(a, b, rng, n_permutations=3).null,
        lambda rng, a, b: c2st(a, b, rng),
        lambda rng, a, b: list(marginal_c2st(a, b, rng).values()),
        lambda rng, a, b: LC2ST(a, b, rng=rng, n_null=1, epochs=1).test(b[0]).null,
        lambda rng, a, b: _trained(a, b).test(b[0], rng=rng).null,
        lambda rng, a, b: Familiar(a, most=20, rng=rng).spaces["data"].rows,
        lambda rng, a, b: misspecification_test(b, a, rng, most=20).p_values["data"],
    ],
)  # fmt: skip
def test_a_seed_is_not_the_generator_of_that_seed(check):
    a, b = pairs(60, d=2, seed=4)
    plain = check(0, a, b)
    assert np.array_equal(check(0, a, b), plain)
    assert not np.array_equal(check(np.random.default_rng(0), a, b), plain)
