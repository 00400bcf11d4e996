"""Winters far beyond all earlier ones must not be taken for a change of level."""

import numpy as np
import pytest

from gradiverse import mortality
from gradiverse.mortality._pooled_severity import DOF, GRID, severity


def winters(last, units=8, seed=0):
    """Twelve years with an early wave each, the last one of size `last`."""
    rng = np.random.default_rng(seed)
    data, _ = mortality.synthetic(
        units=units,
        years=range(2008, 2020),
        weeks=range(1, 53),
        level=(2000.0, 9000.0),
        wave=np.zeros(units),
        rng=seed,
    )
    size = np.r_[rng.uniform(0.0, 0.1, 11), last]
    factor = 1 + size[data.year - 2008] * np.exp(-0.5 * ((data.week - 1) / 2.5) ** 2)
    return data.assign(deaths=rng.poisson(data.deaths * factor))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_severe_wave_before_the_onset_does_not_move_the_rest(seed):
    """A wave of 60 % that ends before the onset: the rest is predicted as ever.

    Without the severity the sum of weeks 9-40 comes out 11-13 % too high.
    """
    data = winters(0.6, seed=seed)
    m = mortality.Counterfactual().fit(data[data.year < 2019])
    t = m.predict(data[data.year == 2019], onset=9).total(9, 40, by=()).iloc[0]
    assert abs(t.excess / t.expected) < 0.03
    assert t.lower95 < 0 < t.upper95


def dense(cov, epidemic, noise, y, extra):
    """Posterior mean of log s^2 by plain normal densities; `extra` other cells."""
    ok = np.isfinite(y)
    fit = []
    for g in GRID:
        K = cov + (np.exp(g) - 1) * epidemic + np.diag(noise)
        K = K[np.ix_(ok, ok)]
        r = y[ok]
        fit.append(-0.5 * (np.linalg.slogdet(K)[1] + r @ np.linalg.solve(K, r)))
    score = np.array(fit) * (1 + extra) - 0.5 * DOF * (GRID + np.exp(-GRID))
    w = np.exp(score - score.max())
    return max(1.0, np.exp(w @ GRID / w.sum()))


def test_severity_is_the_posterior_of_the_scale():
    rng = np.random.default_rng(3)
    t = np.arange(6.0)
    E = 0.05**2 * np.exp(-0.5 * (t[:, None] - t) ** 2 / 4)
    cov, noise = E + 0.01**2, np.full(6, 0.01**2)
    for scale in (1.0, 2.0, 6.0):
        y = rng.multivariate_normal(np.zeros(6), scale**2 * E + np.diag(noise))
        y[2] = np.nan
        one = severity(cov[None], E[None], noise[None], y[None], np.zeros(1, int), 1.0)
        assert one[0] == pytest.approx(dense(cov, E, noise, y, 0.0), rel=1e-8)
        many = [np.repeat(a[None], 5, axis=0) for a in (cov, E, noise, y)]
        five = severity(*many, np.zeros(5, int), 0.5)
        assert five == pytest.approx(dense(cov, E, noise, y, 2.0), rel=1e-8)


def test_one_unusual_cell_leaves_the_others_alone():
    t = np.arange(6.0)
    E = 0.05**2 * np.exp(-0.5 * (t[:, None] - t) ** 2 / 4)
    y = 0.05 * np.random.default_rng(1).standard_normal((7, 1)) * np.ones(6)
    calm = [np.repeat(a[None], 7, axis=0) for a in (E, E, np.full(6, 1e-4))]
    before = severity(*calm, y, np.zeros(7, int), 0.5)
    y[0] = 1.0
    after = severity(*calm, y, np.zeros(7, int), 0.5)
    assert after[0] > 20 * before[0]
    assert (after[1:] < 3 * before[1:]).all()


def test_weeks_after_the_onset_do_not_matter():
    data = winters(0.3)
    m = mortality.Counterfactual().fit(data[data.year < 2019])
    now = data[data.year == 2019]
    changed = now.assign(deaths=np.where(now.week < 9, now.deaths, 7 * now.deaths + 1))
    a, b = (m.predict(x, onset=9).weekly[["expected", "sd"]] for x in (now, changed))
    np.testing.assert_array_equal(a, b)
