"""Whose draws the rows of a bank are, and what estimators make of it."""

import numpy as np
import pytest
import scipy.stats as st

from gradiverse.inference import NRE, TMNRE, Bank, Prior
from gradiverse.inference.failures import valid_rows

PRIOR = Prior(a=(-1.0, 1.0), b=(-1.0, 1.0))
OUTER = PRIOR.truncate([(-1.0, 1.0), (0.0, 0.8)])
INNER = PRIOR.truncate([(-0.5, 0.5), (0.4, 0.6)])
TINY = {"epochs": 1, "validation": 0.1, "batch_size": 32}


def simulate(theta, rng):
    return theta.sum(axis=1, keepdims=True) + 0.05 * rng.normal(size=(len(theta), 1))


def mixed(path):
    """100 draws of the prior, 200 of the outer box, 300 of the inner, 50 given."""
    bank = Bank(path, PRIOR, simulate)
    bank.simulate(100, rng=1)
    bank.simulate(300, rng=2, prior=OUTER)
    bank.simulate(600, rng=3, prior=INNER)
    bank.simulate(650, rng=4, theta=INNER.sample(50, 5))
    return bank


@pytest.mark.smoke
def test_rows_that_are_draws_of_a_box(tmp_path):
    """Of a prior those of it and of what holds it, inside it; never those given."""
    bank = mixed(tmp_path / "a.h5")
    theta = bank.theta[:]
    number = np.repeat([0, 1, 2, 3], [100, 200, 300, 50])
    assert np.array_equal(bank.draws(), number == 0)
    assert np.array_equal(bank.draws(OUTER), (number <= 1) & OUTER.contains(theta))
    assert np.array_equal(bank.draws(INNER), (number <= 2) & INNER.contains(theta))
    assert 200 < bank.draws(OUTER).sum() < 300 < bank.draws(INNER).sum()
    between = OUTER.truncate([(-1.0, 1.0), (0.4, 0.6)])  # not inside the inner one
    assert np.array_equal(bank.draws(between), (number <= 1) & between.contains(theta))
    assert np.array_equal(bank.given(), number == 3)
    for other in (Prior(a=(-1.0, 1.0), b=(0.0, 0.8)), Prior(c=(0.0, 1.0)), 3):
        with pytest.raises(ValueError, match=r"box of it, bank\.prior\.truncate"):
            bank.draws(other)


def test_boxes_survive_an_export(tmp_path):
    bank = mixed(tmp_path / "a.h5")
    copy = bank.export(tmp_path / "b.h5")
    for prior in (PRIOR, OUTER, INNER):
        assert np.array_equal(copy.draws(prior), bank.draws(prior))
    assert np.array_equal(copy.given(), bank.given())
    again = copy.export(tmp_path / "c.h5", valid=False)
    assert np.array_equal(again.draws(INNER), bank.draws(INNER))


@pytest.mark.parametrize("how", ["bank", "columns"])
def test_marginals_refuse_rows_of_narrower_boxes(tmp_path, how):
    """x = a + b: in a box about b = .5 the marginal of a at x = .5 is about 0.

    Under the prior it has the sd .43 there.
    """
    bank = mixed(tmp_path / "a.h5")
    data = (bank,) if how == "bank" else (bank.theta, bank.x)
    with pytest.raises(ValueError, match=r"550 rows of the bank are no draws.*draws\("):
        NRE(PRIOR, marginals="1d", **TINY).fit(*data)
    NRE(PRIOR, **TINY).fit(*data)  # the ratio of all parameters asks for no prior
    for prior in (PRIOR, OUTER, INNER):  # as the message says
        rows, arrays = bank.draws(prior), bank.arrays()
        est = NRE(prior, marginals="1d", **TINY)
        est.fit(arrays["theta"][rows], arrays["x"][rows])
        assert est.n_rows == rows.sum()
    inside = Bank(tmp_path / "b.h5", PRIOR, simulate)
    inside.simulate(200, prior=INNER)
    NRE(INNER, marginals="1d", **TINY).fit(inside)
    with pytest.raises(ValueError, match="200 rows"):
        NRE(PRIOR, marginals="1d", **TINY).fit(inside)
    other = Prior(a=st.norm(0, 5), b=(-1.0, 1.0))
    with pytest.raises(ValueError, match=r"another prior|is not the bank's"):
        NRE(other, marginals="1d", **TINY).fit(inside)


def test_rounds_refuse_boxes_that_are_not_theirs(tmp_path):
    bank = Bank(tmp_path / "a.h5", PRIOR, simulate)
    bank.simulate(200, rng=3, prior=INNER)
    how = {"budget": 2000, "members": 1, "epochs": 1, "sequential": False}
    with pytest.raises(ValueError, match="200 rows of the bank are no draws"):
        TMNRE(simulate, PRIOR, np.array([0.5]), bank=bank, **how).run()


def test_only_boxes_of_the_banks_own_prior(tmp_path):
    """Names alone do not make a prior: nothing is simulated from another one."""
    bank = Bank(tmp_path / "a.h5", OUTER, simulate)
    for other in (Prior(a=st.norm(0, 0.1), b=(-5.0, 5.0)), PRIOR, {"a": (0.0, 1.0)}):
        with pytest.raises(ValueError, match=r"Prior of a, b.*truncate\(bounds\)"):
            bank.simulate(10, prior=other)
        with pytest.raises(ValueError, match=r"Prior of a, b.*truncate\(bounds\)"):
            bank.append(np.zeros((1, 2)), np.zeros((1, 1)), prior=other)
    assert len(bank) == 0 and bank.calls().empty
    bank.simulate(10, prior=OUTER.truncate([(0.0, 2.0), (0.1, 0.2)]))
    assert bank.calls().bounds.tolist() == [[[0.0, 1.0], [0.1, 0.2]]]


def test_appended_boxes(tmp_path):
    bank = Bank(tmp_path / "a.h5", PRIOR)
    for prior in (None, INNER):
        theta = (prior or PRIOR).sample(50, 1)
        bank.append(theta, simulate(theta, np.random.default_rng(0)), prior=prior)
    assert bank.draws().tolist() == [True] * 50 + [False] * 50
    assert bank.draws(INNER)[50:].all()
    with pytest.raises(ValueError, match=r"50 rows of theta lie outside|rows of theta"):
        bank.append(PRIOR.sample(50, 1), np.zeros((50, 1)), prior=INNER)
    assert len(bank) == 100


def counts(theta, rng):
    """Fails for b > .5."""
    if len(theta) > 1 and (theta[:, 1] > 0.5).any():
        raise FloatingPointError("one of them")
    if theta[0, 1] > 0.5:
        raise FloatingPointError("no convergence")
    return rng.poisson(20 + 10 * theta[:, :1], size=(len(theta), 3))


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8])
def test_failed_rows_of_integers(tmp_path, dtype):
    """Unsliced columns know them by status; copies of signed integers by their mark."""
    bank = Bank(tmp_path / "a.h5", PRIOR, lambda t, rng: counts(t, rng).astype(dtype))
    bank.simulate(300, batch_size=20)
    failed = bank.status[:] == Bank.FAILED
    assert np.array_equal(failed, bank.theta[:, 1] > 0.5) and failed.sum() > 40
    assert np.array_equal(valid_rows(bank.x), ~failed)
    assert np.array_equal(valid_rows({"x": bank.x}), ~failed)
    data = [(bank,), (bank.theta, bank.x)]
    if np.dtype(dtype).kind == "i":
        assert np.array_equal(valid_rows(bank.x[:]), ~failed)
        data.append((bank.theta[:], bank.x[:]))
        other = Bank(tmp_path / "b.h5", PRIOR)
        other.append(*data[-1])
        assert np.array_equal(other.status[:], bank.status[:])
    for one in data:
        with pytest.warns(UserWarning, match=f"{failed.sum()} of 300"):
            est = NRE(PRIOR, **TINY).fit(*one)
        assert est.n_failed == failed.sum()
        assert (abs(est.standardiser.mean - 18) < 3).all()


def test_a_small_number_among_others_is_no_failure():
    x = np.array([[-128, 3], [-128, -128], [0, 0]], np.int8)
    assert valid_rows(x).tolist() == [True, False, True]
    assert valid_rows(np.zeros((2, 3), np.uint8)).all()
    assert valid_rows(np.zeros((0, 3), np.int32)).shape == (0,)
