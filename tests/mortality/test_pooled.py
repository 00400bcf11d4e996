"""The pooled model: known truth, sums, joint law, edges.

Truth in these tests is simulated from the model's own kernel form with parameters that
differ from the prior centres, with Poisson counts; the oracle for conditioning and for
sums is dense linear algebra written out here.
"""

import numpy as np
import pytest

from gradiverse.mortality import _pooled_learn as learn_module
from gradiverse.mortality._pooled_calibrate import correlation_shares, held_out
from gradiverse.mortality._pooled_kernel import (
    CENTRE,
    INDEX,
    NAMES,
    KernelForm,
    describe,
    dispersion,
)
from gradiverse.mortality._pooled_panel import RelativePanel
from gradiverse.mortality.pooled import PooledModel

WEEKS = np.arange(1, 27)


def true_theta(**changes):
    theta = CENTRE.copy()
    theta[INDEX["dispersion"]] = np.log(1e-3)
    theta[INDEX["white"]] = np.log(1e-3)
    for name, value in changes.items():
        theta[INDEX[name]] = value
    return theta


def simulate(theta, n_units, years, weeks=WEEKS, level=150.0, drift=0.005, rng=0):
    """Poisson counts (C, Y, W) from the kernel; independent units."""
    rng = np.random.default_rng(rng)
    W = len(weeks)
    offset = (7.0 * (weeks - 1) + 3.5) / 365.25
    time = (years[:, None] + offset).ravel()
    form = KernelForm(time, np.repeat(years, W), np.tile(weeks, len(years)))
    K = sum(form._terms(theta)[0].values())
    root = np.linalg.cholesky(K + 1e-10 * np.eye(len(K)))
    u = rng.standard_normal((n_units, len(K))) @ root.T
    u += drift * (time - time.mean())
    rate = level * (1.0 + 0.1 * np.cos(2 * np.pi * np.tile(offset, len(years))))
    mean = np.maximum(7.0 * rate * (1.0 + u), 0.0)
    return rng.poisson(mean).astype(float).reshape(n_units, len(years), W)


def names(n, ages=(None,)):
    return [(f"u{i:02d}", a) for i in range(n) for a in ages]


def fitted(counts, years, weeks=WEEKS, cells=None, **options):
    days = np.full(counts.shape, 7.0)
    cells = names(len(counts)) if cells is None else cells
    return PooledModel(**options).fit(counts, days, years, weeks, cells)


@pytest.fixture(scope="module")
def small():
    """12 units, 5 years and a sixth to predict, with the model and its prediction."""
    years = np.arange(2010, 2016)
    counts = simulate(true_theta(), 12, years)
    model = fitted(counts[:, :5], years[:5])
    now = counts[:, 5]
    return model, now, model.predict(now, np.full(now.shape, 7.0), 2015, WEEKS <= 8)


@pytest.fixture(scope="module")
def by_age():
    """3 units x 3 ages, one age nearly empty, one cell without any death."""
    years = np.arange(2011, 2017)
    sizes = np.tile([40.0, 4.0, 0.02], 3)
    counts = np.concatenate(
        [simulate(true_theta(), 1, years, level=s, rng=k) for k, s in enumerate(sizes)]
    )
    counts[8] = 0.0
    cells = names(3, ("old", "middle", "young"))
    model = fitted(counts[:, :5], years[:5], cells=cells)
    now = counts[:, 5]
    return model, now, model.predict(now, np.full(now.shape, 7.0), 2016, WEEKS <= 8)


# -- kernel and learning --------------------------------------------------------------
def test_likelihood_gradient_is_that_of_finite_differences():
    years = np.arange(2012, 2015)
    counts = simulate(true_theta(), 4, years, rng=5)
    panel = RelativePanel(counts, np.full(counts.shape, 7.0), years, WEEKS, names(4))
    (block,) = panel.blocks()
    theta = true_theta(white=np.log(0.02), dispersion=np.log(0.3))
    drift = np.full(4, 0.01)
    _, gradient = block.spectrum(theta).likelihood(theta, drift)
    for i, name in enumerate(NAMES):
        step = np.zeros(len(theta))
        step[i] = 1e-4
        values = [
            block.spectrum(t).likelihood(t, drift)[0]
            for t in (theta + step, theta - step)
        ]
        assert gradient[i] == pytest.approx(
            (values[0] - values[1]) / 2e-4, rel=2e-5, abs=2e-5
        ), name


def test_likelihood_equals_the_dense_normal_density():
    years = np.arange(2012, 2014)
    counts = simulate(true_theta(), 3, years, rng=6)
    panel = RelativePanel(counts, np.full(counts.shape, 7.0), years, WEEKS, names(3))
    (block,) = panel.blocks()
    theta = true_theta(dispersion=np.log(0.2))
    value, _ = block.spectrum(theta).likelihood(theta, np.zeros(3))
    dense = 0.0
    jacobian = 3 * np.log(block.root).sum()
    for c in range(3):
        noise = (
            np.full(52, dispersion(theta)) / (np.tile(panel.profile()[c], 2) * 7.0)
            + np.exp(2 * theta[INDEX["white"]]) * block.root**2
        )
        K = block.form.matrix(theta) + np.diag(noise)
        r = panel.u[c].ravel()
        dense += -0.5 * (np.linalg.slogdet(K)[1] + r @ np.linalg.solve(K, r))
    assert value == pytest.approx(dense + jacobian, rel=1e-9)


def test_parameters_are_recovered():
    years = np.arange(2008, 2014)
    truth = true_theta(
        epidemic=np.log(0.10), epidemic_scale=np.log(0.07), slope=np.log(0.02)
    )
    learned = describe(fitted(simulate(truth, 40, years, rng=2), years).top.theta)
    assert learned["epidemic"] == pytest.approx(0.10, rel=0.2)
    assert learned["epidemic_scale"] == pytest.approx(0.07, rel=0.2)
    assert learned["slope"] == pytest.approx(0.02, rel=0.35)
    # the prior keeps 1.15 apart from 1 where a white part may stand in for it
    assert learned["dispersion"] == pytest.approx(1.0, abs=0.15)


def test_identical_units_count_as_few():
    years = np.arange(2012, 2016)
    one = simulate(true_theta(), 1, years, level=4000.0, rng=3)
    apart = simulate(true_theta(), 12, years, level=4000.0, rng=4)
    shares = []
    for counts in (np.repeat(one, 12, axis=0), apart):
        panel = RelativePanel(
            counts, np.full(counts.shape, 7.0), years, WEEKS, names(12)
        )
        shares.append(learn_module.effective_share(panel.blocks(), CENTRE))
    assert shares[0] < 0.12
    assert shares[1] > 0.6


# -- conditioning ---------------------------------------------------------------------
def test_forecast_equals_dense_conditioning(small):
    model, _, _ = small
    layer, panel = model.top, model.top.panel
    days = np.full((1, 26), 7.0)
    mean, cov = layer.forecast(np.array([4]), days, 2015)
    years = np.arange(2010, 2016)
    time = (years[:, None] + panel.offset).ravel()
    form = KernelForm(time, np.repeat(years, 26), np.tile(np.arange(26), 6))
    x = time - time[:130].mean()
    K = form.matrix(layer.theta) + layer.drift_variance[4] * np.outer(x, x)
    noise = dispersion(layer.theta) / (np.tile(panel.profile()[4], 6) * 7.0)
    K += np.diag(noise + np.exp(2 * layer.theta[INDEX["white"]]))
    prior = layer.drift[4] * x
    S = np.linalg.solve(K[:130, :130], K[:130, 130:])
    expect = prior[130:] + S.T @ (panel.u[4].ravel() - prior[:130])
    np.testing.assert_allclose(mean[0], expect, atol=1e-8)
    np.testing.assert_allclose(cov[0], K[130:, 130:] - K[130:, :130] @ S, atol=1e-10)


# -- coverage -------------------------------------------------------------------------
def test_coverage_under_the_known_kernel():
    years = np.arange(2006, 2012)
    truth = true_theta(epidemic=np.log(0.08), year=np.log(0.012))
    inside, z = [], []
    for seed in range(5):
        counts = simulate(truth, 100, years, rng=100 + seed)
        model = fitted(counts[:, :5], years[:5])
        now = counts[:, 5]
        p = model.predict(now, np.full(now.shape, 7.0), 2011, WEEKS <= 8)
        w = np.kron(np.eye(100), np.ones(18))
        error = w @ (now[:, 8:] - p.mean).ravel()
        inside.append(np.abs(error) <= p.half_width(w, 0.95))
        z.append(error / np.sqrt(p.variance(w)))
    # 500 sums; units are independent, so that the standard error of the cover is .01
    assert np.mean(inside) == pytest.approx(0.95, abs=0.03)
    assert np.sqrt(np.mean(np.square(z))) == pytest.approx(1.0, abs=0.1)


def test_joint_sum_is_calibrated_when_units_share_their_shocks():
    years = np.arange(2000, 2012)
    rng = np.random.default_rng(8)
    joint, quadrature = [], []
    for seed in range(8):
        common = simulate(true_theta(), 1, years, level=1e5, rng=seed)[0] / 7e5
        common /= common.mean(axis=0)
        own = simulate(true_theta(), 10, years, rng=50 + seed)
        counts = rng.poisson(own * common).astype(float)
        for last in (9, 10, 11):
            model = fitted(counts[:, :last], years[:last])
            now = counts[:, last]
            p = model.predict(
                now, np.full(now.shape, 7.0), int(years[last]), WEEKS <= 8
            )
            error = (now[:, 8:] - p.mean).sum()
            joint.append(error / np.sqrt(p.variance(np.ones(p.mean.size))))
            alone = p.variance(np.kron(np.eye(10), np.ones(18)))
            quadrature.append(error / np.sqrt(alone.sum()))
    joint, quadrature = (np.sqrt(np.mean(np.square(z))) for z in (joint, quadrature))
    # eight independent sets of years: the rms of z has a standard error of about .25
    assert 0.5 < joint < 1.5
    assert quadrature > 1.4 * joint


# -- sums and the joint law -----------------------------------------------------------
@pytest.mark.parametrize("which", ["small", "by_age"])
def test_variance_of_sums_is_that_of_the_dense_covariance(which, request):
    _, _, p = request.getfixturevalue(which)
    C = p.covariance()
    rng = np.random.default_rng(4)
    w = rng.standard_normal((7, p.mean.size))
    np.testing.assert_allclose(
        p.variance(w), np.einsum("ki,ij,kj->k", w, C, w), rtol=1e-11
    )
    assert p.variance(w[0]) == pytest.approx(w[0] @ C @ w[0], rel=1e-11)
    np.testing.assert_allclose(p.sd.ravel(), np.sqrt(np.diag(C)), rtol=1e-10)
    assert np.linalg.eigvalsh(C).min() > -1e-9 * np.trace(C)


@pytest.mark.parametrize("which", ["small", "by_age"])
def test_draws_have_the_stated_sd_and_intervals(which, request):
    _, _, p = request.getfixturevalue(which)
    draws = p.sample(40000, 3)
    assert draws.shape == (40000, p.mean.size)
    w = np.stack([np.ones(p.mean.size), np.arange(p.mean.size) < 18])
    sums = draws @ w.T
    np.testing.assert_allclose(sums.std(axis=0), np.sqrt(p.variance(w)), rtol=0.02)
    inside = (np.abs(sums) <= p.half_width(w, 0.95)).mean(axis=0)
    np.testing.assert_allclose(inside, 0.95, atol=0.005)


def test_ages_add_up_to_the_unit(by_age):
    model, now, p = by_age
    totals = PooledModel().fit(
        *(
            np.add.reduceat(model.parts.panel.counts, [0, 3, 6], axis=0),
            np.full((3, 5, 26), 7.0),
        ),
        model.top.panel.years,
        WEEKS,
        names(3),
    )
    t = totals.predict(
        np.add.reduceat(now, [0, 3, 6], axis=0), np.full((3, 26), 7.0), 2016, WEEKS <= 8
    )
    np.testing.assert_allclose(np.add.reduceat(p.mean, [0, 3, 6]), t.mean, rtol=1e-10)
    for unit in range(3):
        w = np.zeros((9, 18))
        w[3 * unit : 3 * unit + 3] = 1.0
        v = np.zeros((3, 18))
        v[unit] = 1.0
        assert p.variance(w.ravel()) == pytest.approx(t.variance(v.ravel()), rel=1e-9)


def test_some_ages_of_a_unit_are_predicted_as_among_all(by_age):
    model, now, p = by_age
    index = np.array([4, 0])
    some = model.predict(now[index], np.full((2, 26), 7.0), 2016, WEEKS <= 8, index)
    assert some.cells == [model.cells[4], model.cells[0]]
    assert (some.mean < p.mean[index] * 1.3).all()
    C = some.covariance()
    w = np.random.default_rng(0).standard_normal(some.mean.size)
    assert some.variance(w) == pytest.approx(w @ C @ w, rel=1e-10)
    np.testing.assert_allclose(some.sd.ravel(), np.sqrt(np.diag(C)), rtol=1e-10)


def test_absent_ages_still_let_the_unit_be_conditioned():
    years = np.arange(2010, 2016)
    counts = np.concatenate(
        [
            simulate(true_theta(), 1, years, level=s, rng=k)
            for k, s in enumerate((90, 9))
        ]
    )
    counts[:, 5, :8] *= 1.2
    model = fitted(counts[:, :5], years[:5], cells=names(1, ("old", "young")))
    days = np.full((2, 26), 7.0)
    whole = model.predict(counts[:, 5], days, 2015, WEEKS <= 8)
    old = model.predict(counts[:1, 5], days[:1], 2015, WEEKS <= 8, np.array([0]))
    assert (abs(old.mean[0] - whole.mean[0]) < 0.5 * old.sd[0]).all()
    assert (old.mean[0] > old.prior_mean[0, 8:]).all()
    young = model.predict(counts[1:, 5], days[:1], 2015, WEEKS <= 8, np.array([1]))
    assert abs(young.mean.sum() / young.prior_mean[:, 8:].sum() - 1) < 0.08


def test_held_out_errors_are_those_of_refitting_without_the_year(small):
    model, _, _ = small
    layer = model.top
    (block, group, _) = layer.blocks[0]
    held = held_out([block], [layer.learned.drift[group]], 26)[2012]
    f = np.flatnonzero(block.year == 2012)
    keep = np.flatnonzero(block.year != 2012)
    noise = block.noise[3] * block.root**2
    A = block.form.matrix(layer.theta) + np.diag(noise)
    S = np.linalg.solve(A[np.ix_(keep, keep)], A[np.ix_(keep, f)])
    x = block.form.time - block.form.time.mean()
    r = layer.panel.u[3].ravel() - layer.drift[3] * x
    np.testing.assert_allclose(held.error[3], r[f] - S.T @ r[keep], atol=1e-8)
    C = A[np.ix_(f, f)] - A[np.ix_(f, keep)] @ S - np.diag(noise[f])
    np.testing.assert_allclose(held.root[3] @ held.root[3], C, atol=1e-9)
    np.testing.assert_allclose(held.noise[3], noise[f], rtol=1e-9)
    ranges = np.array([[10, 20]])
    e, s, n = held.sums(ranges)
    w = held.shape[3] * ((np.arange(26) >= 10) & (np.arange(26) < 20))
    assert e[3, 0] == pytest.approx(w @ held.error[3], rel=1e-9)
    assert s[3, 0] == pytest.approx(w @ C @ w, rel=1e-6)
    assert n[3, 0] == pytest.approx((w**2) @ noise[f], rel=1e-9)


def test_correlation_of_units_is_recovered():
    years = np.arange(1990, 2012)
    rng = np.random.default_rng(3)
    common = simulate(true_theta(), 1, years, level=1e5, rng=1)[0] / 7e5
    own = simulate(true_theta(), 12, years, rng=2)
    mixed = rng.poisson(own * (common / common.mean(axis=0))).astype(float)
    for counts, low, high in ((mixed, 0.25, 0.75), (own, 0.0, 0.15)):
        layer = fitted(counts, years).top
        shares = correlation_shares(
            layer._held_out()[0], [layer.group], layer.panel.offset
        )
        assert low <= shares[0] <= high
        assert shares.sum() == pytest.approx(1.0)


def test_neighbours_help_where_shocks_are_shared():
    years = np.arange(1996, 2010)
    rng = np.random.default_rng(8)
    strong = true_theta(epidemic=np.log(0.2))
    common = simulate(strong, 1, years, level=1e5, rng=11)[0] / 7e5
    weak = true_theta(epidemic=np.log(0.02), year=np.log(0.002))
    own = simulate(weak, 12, years, level=6.0, rng=12)
    counts = rng.poisson(own * (common / common.mean(axis=0))).astype(float)
    together, alone = [], []
    for last in range(10, 14):
        model = fitted(counts[:, :last], years[:last])
        now, days = counts[:, last], np.full((12, 26), 7.0)
        year = int(years[last])
        ahead = now[:, 8:13].sum(axis=1)
        p = model.predict(now, days, year, WEEKS <= 8)
        together.append(ahead / p.mean[:, :5].sum(axis=1) - 1)
        q = [
            model.predict(now[[c]], days[:1], year, WEEKS <= 8, np.array([c]))
            for c in range(12)
        ]
        alone.append(ahead / np.array([x.mean[0, :5].sum() for x in q]) - 1)
    assert np.sqrt(np.mean(np.square(together))) < 0.95 * np.sqrt(
        np.mean(np.square(alone))
    )


# -- calendars, gaps, edges -----------------------------------------------------------
def test_order_of_units_does_not_matter(small):
    model, now, p = small
    order = np.random.default_rng(2).permutation(12)
    panel = model.top.panel
    other = fitted(
        panel.counts[order], panel.years, cells=[panel.cells[i] for i in order]
    )
    q = other.predict(now[order], np.full(now.shape, 7.0), 2015, WEEKS <= 8)
    np.testing.assert_allclose(q.mean, p.mean[order], rtol=1e-5)
    np.testing.assert_allclose(q.sd, p.sd[order], rtol=1e-4)
    some = model.predict(now[order], np.full(now.shape, 7.0), 2015, WEEKS <= 8, order)
    np.testing.assert_allclose(some.mean, p.mean[order], rtol=1e-9)


def test_days_scale_counts_not_rates():
    years = np.arange(2011, 2016)
    counts = simulate(true_theta(), 8, years, rng=9)
    days = np.full(counts.shape, 7.0)
    days[:, 2, 7] = 14.0
    longer = counts.copy()
    longer[:, 2, 7] *= 2
    now, d = counts[:, 4], np.full((8, 26), 7.0)
    plain = PooledModel().fit(
        counts[:, :4], days[:, 0:1] + 0 * days[:, :4], years[:4], WEEKS, names(8)
    )
    double = PooledModel().fit(longer[:, :4], days[:, :4], years[:4], WEEKS, names(8))
    a = plain.predict(now, d, 2015, WEEKS <= 8)
    b = double.predict(now, d, 2015, WEEKS <= 8)
    np.testing.assert_allclose(a.mean, b.mean, rtol=5e-3)
    d2 = d.copy()
    d2[:, 12] = 6.0
    c = plain.predict(now, d2, 2015, WEEKS <= 8)
    np.testing.assert_allclose(c.mean[:, 4], a.mean[:, 4] * 6 / 7, rtol=1e-9)
    np.testing.assert_allclose(c.mean[:, 5], a.mean[:, 5], rtol=1e-9)


def test_missing_years_and_weeks_are_not_imputed(small):
    model, now, p = small
    counts = model.top.panel.counts.copy()
    counts[0, :4] = np.nan
    counts[1, 2, 5:9] = np.nan
    ragged = fitted(counts, model.top.panel.years)
    q = ragged.predict(now, np.full(now.shape, 7.0), 2015, WEEKS <= 8)
    assert np.isfinite(q.mean).all() and np.isfinite(q.sd).all()
    w = np.kron(np.eye(12), np.ones(18))
    wider = np.sqrt(q.variance(w)) / (w @ q.mean.ravel())
    before = np.sqrt(p.variance(w)) / (w @ p.mean.ravel())
    assert wider[0] > 1.1 * before[0]
    assert wider[1] == pytest.approx(before[1], rel=0.15)
    assert any("single year" in note for note in ragged.notes)


def test_given_weeks_that_are_absent_are_not_conditioned_on(small):
    model, now, p = small
    gappy = now.copy()
    gappy[0, :8] = np.nan
    one = np.array([0])
    q = model.predict(gappy[one], np.full((1, 26), 7.0), 2015, WEEKS <= 8, one)
    np.testing.assert_allclose(q.mean[0], p.prior_mean[0, 8:], rtol=1e-9)
    q = model.predict(gappy, np.full(now.shape, 7.0), 2015, WEEKS <= 8)
    np.testing.assert_allclose(q.mean[1:], p.mean[1:], rtol=0.01)
    assert q.sd[0].mean() > p.sd[0].mean()


def test_future_counts_do_not_matter(small):
    model, now, p = small
    changed = now.copy()
    changed[:, 8:] = 1e6
    q = model.predict(changed, np.full(now.shape, 7.0), 2015, WEEKS <= 8)
    np.testing.assert_array_equal(q.mean, p.mean)


def test_nothing_given_returns_the_prior(small):
    model, now, _ = small
    q = model.predict(now, np.full(now.shape, 7.0), 2015, np.zeros(26, bool))
    np.testing.assert_allclose(q.mean, q.prior_mean, rtol=1e-12)
    assert q.mean.shape == (12, 26)


def test_a_single_unit_with_a_single_year():
    years = np.arange(2014, 2016)
    counts = simulate(true_theta(), 1, years, rng=1)
    model = fitted(counts[:, :1], years[:1])
    p = model.predict(counts[:, 1], np.full((1, 26), 7.0), 2015, WEEKS <= 8)
    total = np.ones(18)
    relative = np.sqrt(p.variance(total)) / p.mean.sum()
    assert 0.015 < relative < 0.15
    assert abs(counts[0, 1, 8:].sum() / p.mean.sum() - 1) < 4 * relative


def test_empty_cells_and_small_counts(by_age):
    _, _, p = by_age
    assert (p.mean > 0).all() and np.isfinite(p.sd).all()
    assert p.mean[8].sum() < 5.0
    low, high = p.cell_interval(0.95)
    assert (low >= 0).all() and (high > 0).all()
    low, _ = p.interval(np.kron(np.eye(9)[8], np.ones(18)), 0.95)
    assert low >= 0


def test_pool_informs_the_covariance_only():
    years = np.arange(2010, 2016)
    wild = true_theta(epidemic=np.log(0.2))
    counts = simulate(true_theta(), 3, years, rng=1)
    pool_counts = simulate(wild, 30, years[:5], rng=2)
    pool = {
        "counts": pool_counts,
        "days": np.full(pool_counts.shape, 7.0),
        "years": years[:5],
        "cells": [(f"p{i}", None) for i in range(30)],
    }
    days = np.full((3, 5, 26), 7.0)
    alone = PooledModel().fit(counts[:, :5], days, years[:5], WEEKS, names(3))
    helped = PooledModel().fit(
        counts[:, :5], days, years[:5], WEEKS, names(3), pool=pool
    )
    assert helped.parameters_["epidemic"] > alone.parameters_["epidemic"]
    np.testing.assert_allclose(alone.top.panel.level, helped.top.panel.level)
    p = helped.predict(counts[:, 5], days[:, 0], 2015, WEEKS <= 8)
    assert p.mean.shape == (3, 18)


def test_year_in_the_middle_is_predicted_from_both_sides():
    years = np.array([2010, 2011, 2013, 2014])
    everything = np.arange(2010, 2015)
    counts = simulate(true_theta(), 10, everything, drift=0.03, rng=4)
    model = fitted(counts[:, [0, 1, 3, 4]], years)
    p = model.predict(counts[:, 2], np.full((10, 26), 7.0), 2012, WEEKS <= 8)
    error = counts[:, 2, 8:].sum(1) / p.mean.sum(1) - 1
    assert abs(error.mean()) < 0.03


def test_winter_in_july_is_found():
    years = np.arange(2012, 2018)
    weeks = np.arange(1, 53)
    rng = np.random.default_rng(0)
    season = 1 + 0.12 * np.cos(2 * np.pi * (weeks - 4) / 52.18)
    north = rng.poisson(900 * season, (4, 6, 52))
    south = rng.poisson(900 * (2 - season), (2, 6, 52))
    counts = np.concatenate([north, south]).astype(float)
    panel = RelativePanel(counts, np.full(counts.shape, 7.0), years, weeks, names(6))
    np.testing.assert_array_equal(panel.phase, [0, 0, 0, 0, 0.5, 0.5])
    np.testing.assert_allclose(panel.u.mean(axis=(1, 2)), 0.0, atol=0.01)


def test_bad_arguments_are_named(small):
    model, now, _ = small
    with pytest.raises(ValueError, match="training_years"):
        PooledModel(training_years=0)
    with pytest.raises(ValueError, match="counts_now has shape"):
        model.predict(now[:3], np.full((3, 26), 7.0), 2015, WEEKS <= 8)
    with pytest.raises(ValueError, match="no cell to predict"):
        model.predict(now[:0], np.full((0, 26), 7.0), 2015, WEEKS <= 8, np.arange(0))
    with pytest.raises(ValueError, match="every week is given"):
        model.predict(now, np.full(now.shape, 7.0), 2015, np.ones(26, bool))
    with pytest.raises(ValueError, match="no counts"):
        fitted(np.full((2, 3, 26), np.nan), np.arange(3))
    counts = model.top.panel.counts.copy()
    counts[3] = np.nan
    with pytest.raises(ValueError, match="unit 'u03' has no week of"):
        fitted(counts, model.top.panel.years).predict(
            now, np.full(now.shape, 7.0), 2015, WEEKS <= 8
        )
    p = model.predict(now, np.full(now.shape, 7.0), 2015, WEEKS <= 8)
    with pytest.raises(ValueError, match="weights have shape"):
        p.variance(np.ones(5))
