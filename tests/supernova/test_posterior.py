"""Sampler, priors, regions, summaries and the shared head against what they must be."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize

import gradiverse as gv
from gradiverse.inference import Bank
from gradiverse.supernova import _nuts, _region, posterior, priors
from gradiverse.supernova._linear_head import linear_marginals
from gradiverse.supernova._object_head import ObjectHead
from gradiverse.supernova._summary import SOFT, Summary
from gradiverse.supernova.learn import Learner
from gradiverse.supernova.posterior import Warp

sn = gv.supernova


# --- the sampler ----------------------------------------------------------------------


@pytest.mark.smoke
def test_sampler_of_a_correlated_normal():
    P = np.array([[2.0, 0.9], [0.9, 1.0]])
    C = np.linalg.inv(P)

    def f(q):
        return -0.5 * q @ P @ q, -P @ q

    chains = [
        _nuts.run(f, np.zeros(2), 800, 150, np.random.default_rng(s))[0]
        for s in range(4)
    ]
    x = np.stack(chains)
    for k in range(2):
        n = _nuts.effective(x[:, :, k])
        assert _nuts.split_rhat(x[:, :, k]) < 1.02 and n > 800
        column = x[:, :, k].ravel()
        assert abs(column.mean()) < 4.5 * np.sqrt(C[k, k] / n)
        # effective numbers of squares are lower: half of those of means at least
        assert abs(column.var() / C[k, k] - 1) < 4.5 * np.sqrt(2 / (0.5 * n))


def test_effective_number_of_an_autoregression():
    # AR(1) with coefficient r: n (1 - r)/(1 + r)
    rng, r, n = np.random.default_rng(0), 0.8, 20_000
    x = np.zeros((4, n))
    for i in range(1, n):
        x[:, i] = r * x[:, i - 1] + rng.normal(size=4)
    assert abs(_nuts.effective(x) / (4 * n * (1 - r) / (1 + r)) - 1) < 0.15
    x[0] += 3
    assert _nuts.split_rhat(x) > 1.1


def test_bent_coordinates_straighten_a_banana():
    def f(u):
        away = u[1] - u[0] ** 2
        g = np.array([-u[0] + 50 * away * 2 * u[0], -50 * away])
        return -0.5 * u[0] ** 2 - 25 * away**2, g

    H = np.array([[1.0, 0.0], [0.0, 50.0]])
    warp = Warp(f, np.zeros(2), H)
    straight = warp.pulled(f)
    for x0 in (-2.0, 0.5, 1.5):
        value, gradient = straight(np.array([x0, 0.1]))
        # in u the point lies 0.1 beside the ridge: -x0^2/2 - 25 * 0.01
        assert abs(value + 0.5 * x0**2 + 0.25) < 1e-2
        step = 1e-6 * np.eye(2)
        slope = [
            (
                straight(np.array([x0, 0.1]) + e)[0]
                - straight(np.array([x0, 0.1]) - e)[0]
            )
            / 2e-6
            for e in step
        ]
        np.testing.assert_allclose(gradient, slope, atol=1e-5)


def test_posterior_against_the_likelihood_on_a_grid():
    # with all but (M0) known to 1e-3, its posterior is normal with the Fisher sd; here
    # the full nine dimensions at N = 1000 against Fisher and the truth
    g, z, S = sn.fiducial(1000)
    d = sn.simulate(g, z, S, 5)
    p = sn.sample_posterior(d, z, S, chains=2, draws=200, warmup=120, rng=3)
    assert p.rhat.max() < 1.05 and p.ess.min() > 100
    at = p.globals(1)[0]
    F = np.linalg.inv(sn.fisher({k: float(v) for k, v in at.items()}, z, S))
    sd = np.sqrt(np.diag(F)) / [g[n[3:]] if n.startswith("ln_") else 1 for n in p.names]
    # sds of 300 effective draws: 4 %; curvature varies by 1/sqrt(N): 15 % in all
    np.testing.assert_allclose(p.sd, sd, rtol=0.2)
    truth = priors.to_coordinates(g, "flat")
    assert (((p.mean - truth) / p.sd) ** 2).sum() < stats.chi2.ppf(0.9999, 9)
    assert list(p.summary().columns[-3:]) == ["rhat", "ess", "ess_sd"]


def test_effective_draws_of_sds():
    """AR(1) with coefficient r: squares have r^2, n (1 - r^2)/(1 + r^2)."""
    rng, r, n = np.random.default_rng(0), 0.6, 20_000
    x = rng.normal(size=(4, n, 1))
    for i in range(1, n):
        x[:, i] = r * x[:, i - 1] + np.sqrt(1 - r * r) * x[:, i]
    p = sn.Posterior("flat", ("a",), x, np.ones(1), np.ones(1), 1, 0.0)
    assert abs(p.ess_sd[0] / (4 * n * (1 - r**2) / (1 + r**2)) - 1) < 0.15


def test_sampler_survives_dispersions_that_overflow():
    g, z, S = sn.fiducial(12)
    survey = sn.Survey(z, S)
    f = posterior.target(survey, np.asarray(sn.simulate(g, z, S, 2)), "flat")
    u = priors.unconstrain(priors.to_coordinates(g, "flat"), "flat")
    u[2] = 400.0
    value, gradient = f(u)
    assert value == -np.inf and np.isfinite(gradient).all()


def test_malmquist_toy():
    # magnitudes only, no errors, softly cut at 24 mag: ignoring the cut moves Om by
    # more than 15 sd, the exact likelihood does not (published: 0.41-0.43, 0.3008(11))
    rng = np.random.default_rng(1)
    n = 5000
    toy = dict(sn.fiducial(1)[0], sres=0.15, alpha=0.0, beta=0.0)
    z = 0.05 + 1.15 * rng.random(8 * n) ** (1 / 2.2)
    none = np.zeros((len(z), 3, 3))
    d = np.asarray(sn.simulate(toy, z, none, 3))
    kept = np.flatnonzero(d[:, 0] + 0.1 * rng.normal(size=len(d)) < 24.0)[:n]
    cut = dict(h=(1.0, 0.0, 0.0), lim=24.0, sd=0.1)

    def fit(selection):
        survey = sn.Survey(z[kept], none[kept], selection=selection)

        def minus(v):
            at = dict(toy, Om=v[0], OL=1 - v[0], M0=v[1], sres=v[2])
            value, g = survey.value_and_gradient(at, d[kept])
            return -value, -np.array([g["Om"] - g["OL"], g["M0"], g["sres"]])

        bounds = [(0.05, 0.95), (-21, -18), (0.02, 1)]
        return minimize(minus, [0.35, -19.3, 0.15], jac=True, bounds=bounds).x[0]

    sd = 0.0055 * np.sqrt(20_000 / n)
    assert abs(fit(cut) - 0.3) < 4 * sd
    assert 0.38 < fit(None) < 0.47  # 20 sd at 20 000 objects, 10 at these


# --- priors ---------------------------------------------------------------------------


@pytest.mark.smoke
def test_priors_are_those_stated():
    p = sn.prior("wcdm")
    theta = p.sample(2000, 0)
    assert p.contains(theta).all() and p.d == 10
    free = priors.LogDispersion()
    u = np.array([-3.0, -2.0, 0.5])
    exact = stats.invgamma(0.003, scale=0.003)
    np.testing.assert_allclose(free.cdf(u), exact.cdf(np.exp(2 * u)), rtol=1e-9)
    density = exact.logpdf(np.exp(2 * u)) + np.log(2) + 2 * u
    np.testing.assert_allclose(free.logpdf(u), density, rtol=1e-9)
    np.testing.assert_allclose(free.ppf(free.cdf(u)), u, atol=1e-6)
    box = sn.prior("flat", {"Om": (0.2, 0.4)})
    assert tuple(box.bounds[0]) == (0.2, 0.4)
    with pytest.raises(ValueError, match="'OL' is not one"):
        sn.prior("flat", {"OL": (0.2, 0.4)})


@pytest.mark.parametrize("model", ["flat", "wcdm", "curved"])
def test_unconstrained_numbers_and_their_density(model):
    p = sn.prior(model, {"M0": (-20, -18), "xb": (-1, 1), "cb": (-1, 1)})
    constants = []
    for theta in p.sample(5, 1):
        u = priors.unconstrain(theta, model)
        back, density = priors.constrain(u, model)
        np.testing.assert_allclose(back, theta, rtol=1e-9)
        # density in u = prior density times |d theta/d u|, up to a constant
        step = 1e-6 * np.eye(len(u))
        jac = [
            (
                priors.constrain(u + e, model)[0][i]
                - priors.constrain(u - e, model)[0][i]
            )
            / 2e-6
            for i, e in enumerate(step)
        ]
        free = p.untruncated.log_prob(theta) + np.log(np.abs(jac)).sum()
        constants.append(free - density)
    np.testing.assert_allclose(constants, constants[0], atol=1e-6)


# --- regions and summaries ------------------------------------------------------------


def test_region_keeps_the_prior():
    C = np.array([[1.0, 0.9], [0.9, 1.0]]) * 1e-4
    from gradiverse.inference import Prior

    box = Prior({"a": stats.norm(0.0, 0.02), "b": (-1.0, 1.0)})
    r = _region.Region(box, [0.0, 0.0], C, reach=3.0, fade=0.0)
    x = r.sample(40_000, 0)
    phi = r.turned(x)
    assert np.abs(phi).max() <= 3 and np.abs(np.corrcoef(x.T)[0, 1]) > 0.5
    # a = 0.01 phi_0 alone: its density is the normal prior cut at +-0.03
    cut = stats.truncnorm(-1.5, 1.5, 0, 0.02)
    assert stats.kstest(x[:, 0], cut.cdf).pvalue > 1e-3
    m = r.marginals()
    assert abs(m.log_prob([[0.0, 0.0]]) - m.log_prob([[0.01, 0.0]])
               - (cut.logpdf(0) - cut.logpdf(0.01))) < 0.03  # fmt: skip


def test_region_fades_out():
    """The window is a box blurred by a normal, flat where the posterior is."""
    from gradiverse.inference import Prior

    wide = Prior(a=(-40.0, 40.0), b=(-40.0, 40.0))
    C = np.array([[1.0, 0.5], [0.5, 1.0]])
    r = _region.Region(wide, [1.0, -1.0], C)
    phi = r.turned(r.sample(60_000, 1))
    a, b = _region.REACH, _region.FADE

    def below(t):
        """Distribution function of uniform on (-a, a) plus normal of sd b."""
        u, v = (t + a) / b, (t - a) / b
        whole = u * stats.norm.cdf(u) + stats.norm.pdf(u)
        return b * (whole - v * stats.norm.cdf(v) - stats.norm.pdf(v)) / (2 * a)

    for column in phi.T:
        assert stats.kstest(column, below).pvalue > 1e-3
    assert np.abs(phi).max() <= r.extent
    flat = stats.norm.cdf((a - 3) / b) / stats.norm.cdf(a / b)
    assert flat > 0.97  # three sds off the middle


def test_summary_scores_are_the_gradient():
    g, z, S = sn.fiducial(300)
    S = S * np.linspace(0.5, 2.0, 300)[:, None, None]
    survey = sn.Survey(z, S)
    d = np.asarray(sn.simulate(g, z, S, 2))
    summary = Summary(survey, priors.to_coordinates(g, "wcdm"), "wcdm")
    score = SOFT * np.sinh(summary.of_data(d)[-10:] / SOFT)
    _, gradient = survey.value_and_gradient(g, d)
    gradient["Om"] -= gradient["OL"]
    logs = {"ln_sres": "sres", "ln_Rx": "Rx", "ln_Rc": "Rc"}
    by = [g[logs[n]] * gradient[logs[n]] if n in logs else gradient[n]
          for n in summary.names]  # fmt: skip
    wanted = summary.covariance @ by / summary.sd
    np.testing.assert_allclose(score, wanted, rtol=1e-6, atol=1e-8)


def test_scores_know_all_globals_up_to_fishers_bound():
    g, z, S = sn.fiducial(400)
    survey = sn.Survey(z, S)
    centre = priors.to_coordinates(g, "flat")
    summary = Summary(survey, centre, "flat")
    rng = np.random.default_rng(0)
    theta = centre + 3 * summary.sd * rng.uniform(-1, 1, (1200, 9))
    x = summary.run(theta, 3)["features"][:, -9:]
    A = np.column_stack([np.ones(len(x)), x])
    fit = np.linalg.lstsq(A, (theta - centre) / summary.sd, rcond=None)[0]
    left = ((theta - centre) / summary.sd - A @ fit).std(axis=0)
    # unit sd by Fisher's bound; 3 sds of room, linear fit, curvature
    assert left.max() < 1.45 and left[[0, 5, 7]].max() < 1.15


def test_linear_head_in_memory_and_from_a_bank(tmp_path, monkeypatch):
    """The same surveys, in another order: posteriors differ by training noise only."""
    monkeypatch.setattr(_region, "DRAWS", 40_000)
    g, z, S = sn.fiducial(60)
    survey = sn.Survey(z, S)
    d = np.asarray(sn.simulate(g, z, S, 2))
    summary = Summary(survey, priors.to_coordinates(g, "flat"), "flat")
    region = _region.Region(
        sn.prior("flat"), summary.centre, summary.covariance, reach=3.0
    )
    how = {"n": 900, "epochs": 3, "draws": 4000}
    one = linear_marginals(summary, region, d, **how)
    two = linear_marginals(summary, region, d, bank=tmp_path / "a.h5", **how)
    bank = Bank(tmp_path / "a.h5", region.marginals())
    assert len(bank) == 900 and np.shape(bank.x) == (900, 180)
    assert one.shape == two.shape == (4000, 9)
    # seen: .4 of an sd, 15 %
    assert (abs(one.mean(0) - two.mean(0)) < 0.75 * one.std(0)).all()
    np.testing.assert_allclose(two.std(0), one.std(0), rtol=0.3)
    with pytest.raises(ValueError, match="holds 900 simulations"):
        linear_marginals(summary, region, d, bank=tmp_path / "a.h5", **how)


def test_shared_head_finds_the_objects():
    g, z, S = sn.fiducial(300)
    S = S * np.linspace(0.5, 2.0, 300)[:, None, None]
    survey = sn.Survey(z, S)
    d = np.asarray(sn.simulate(g, z, S, 2))
    centre = priors.to_coordinates(g, "flat")
    summary = Summary(survey, centre, "flat")
    wide = np.stack([centre - 3 * summary.sd, centre + 3 * summary.sd], axis=1)
    box = sn.prior("flat", wide)
    found = summary.run(box.sample(1500, 4), 5, objects=40)
    head = ObjectHead(summary, box, 1).fit(found, epochs=4)
    # globals: the Gaussian that the scores and the Fisher matrix make
    features = np.asarray(summary.of_data(d))
    middle = centre + summary.sd * SOFT * np.sinh(features[-9:] / SOFT)
    draws = np.random.default_rng(0).multivariate_normal(middle, summary.covariance, 60)
    samples = [priors.to_globals(t, "flat") for t in draws]
    exact = sn.mean_object_posterior(survey, d, samples)
    _, _, kl = head.moments(features, d, exact=exact)
    assert np.median(kl) < 0.01


def test_learner_resumes_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("gradiverse.supernova.learn.ROUND_STEPS", 12)
    monkeypatch.setattr(_region, "DRAWS", 40_000)
    g, z, S = sn.fiducial(200)
    survey = sn.Survey(z, S)
    d = sn.simulate(g, z, S, 0)
    options = dict(simulations=300, final=600, objects=4, epochs=2, max_rounds=1)

    class Stop(Exception):
        pass

    def stop(line):
        if line.startswith("last round"):
            raise Stop

    with pytest.raises(Stop):
        Learner(survey, d, "flat", folder=tmp_path / "a", say=stop, **options).run()
    # rounds and surveys are there: only networks are trained again
    assert len(list((tmp_path / "a").glob("surveys_*.npz"))) == 2
    lines = []
    one = Learner(survey, d, "flat", folder=tmp_path / "a", say=lines.append, **options)
    with pytest.warns(UserWarning, match="not settled after max_rounds = 1"):
        found = one.run(draws=100)
    two = Learner(survey, d, "flat", folder=tmp_path / "b", **options).run(draws=100)
    np.testing.assert_array_equal(found.samples, two.samples)
    other = Learner(survey, d, "flat", folder=tmp_path / "a", rng=1, say=lines.append,
                    **options)  # fmt: skip
    other.truncate()
    assert any("starting anew" in line for line in lines)
