"""Step, systematics and selection wherever a survey goes: handled, or refused."""

import numpy as np
import pytest
from scipy import stats

import gradiverse as gv
from gradiverse.supernova.learn import Learner

from .oracle import FIDUCIAL, S, modulus, moments

sn = gv.supernova
NAMES = ("Om", "M0", "sres", "alpha", "beta", "xb", "Rx", "cb", "Rc")
CUT = dict(h=(1.0, 0.1, -0.5), lim=23.5, sd=0.3)


def survey(n=12, seed=0, z=None, **options):
    rng = np.random.default_rng(seed)
    z = sn.fiducial(n)[1] if z is None else z
    root = rng.normal(size=(n, 3, 3)) * 0.1
    return sn.Survey(z, root @ np.swapaxes(root, 1, 2) + S, **options)


def dense(g, s, gamma=None):
    """Mean (3N,) and covariance (3N, 3N) of all data."""
    n = len(s)
    mu = modulus(s.z, g["Om"], 1 - g["Om"], -1.0)
    mean, blocks = moments(g, mu, s.covariance)
    full = np.zeros((n, 3, n, 3))
    full[np.arange(n), :, np.arange(n)] = blocks
    if s.systematics is not None:
        full[:, 0, :, 0] += s.systematics @ s.systematics.T
    if s.step is not None:
        mean[:, 0] += gamma * s.step
    return mean.ravel(), full.reshape(3 * n, 3 * n)


@pytest.mark.parametrize("what", ["none", "systematics", "step", "both"])
def test_fisher_against_the_dense_matrix(what):
    rng = np.random.default_rng(3)
    options, names, g = {}, NAMES, dict(FIDUCIAL, xb=0.2, cb=-0.03)
    if what in ("systematics", "both"):
        options["systematics"] = 0.1 * rng.normal(size=(12, 2))
    if what in ("step", "both"):
        options["step"], names = rng.random(12), (*NAMES, "gamma")
        g["gamma"] = 0.05
    s = survey(**options)
    slopes = []
    for name in names:
        h = 1e-4
        ends = []
        for sign in (1, -1):
            at = dict(g, **{name: g[name] + sign * h})
            ends.append(dense(at, s, at.get("gamma")))
        slopes.append([(a - b) / (2 * h) for a, b in zip(*ends, strict=True)])
    P = np.linalg.inv(dense(g, s, g.get("gamma"))[1])
    F = [[m @ P @ k + 0.5 * np.trace(P @ a @ P @ b) for k, b in slopes]
         for m, a in slopes]  # fmt: skip
    scale = np.sqrt(np.diag(F))
    # differences: h^2 times third derivatives, 1e-6 relative
    found = s.fisher(g, "flat") / np.outer(scale, scale)
    np.testing.assert_allclose(found, F / np.outer(scale, scale), atol=3e-6)


def test_systematics_common_to_all_are_in_the_width_of_M0():
    # .3 mag common to 200 objects: M0 cannot be known better; dispersions lose one
    # object's worth
    _, z, C = sn.fiducial(200)
    s = sn.Survey(z, C, systematics=np.full((200, 1), 0.3))
    plain = np.diag(np.linalg.inv(sn.fisher(FIDUCIAL, z, C))).copy()
    with_common = np.diag(np.linalg.inv(s.fisher(FIDUCIAL)))
    plain[1] += 0.09
    np.testing.assert_allclose(with_common, plain, rtol=1.1 / 200)
    np.testing.assert_allclose(with_common[:2], plain[:2], rtol=1e-6)


def test_a_selection_that_takes_all_changes_no_fisher_matrix():
    F = survey(selection=dict(CUT, lim=60.0)).fisher(FIDUCIAL)
    plain = survey().fisher(FIDUCIAL)
    np.testing.assert_allclose(F, plain, rtol=1e-9, atol=1e-9 * abs(plain).max())


@pytest.mark.parametrize("lim", [23.2])
def test_fisher_of_selected_data_is_the_covariance_of_scores(lim):
    # at z .5 half of the objects are brighter than 22.96
    s = survey(30, z=np.linspace(0.4, 0.6, 30), selection=dict(CUT, lim=lim))
    F = s.fisher(FIDUCIAL)
    n, scores = 800, []
    for seed in range(n):
        d = sn.simulate(FIDUCIAL, s.z, s.covariance, seed, selection=dict(CUT, lim=lim))
        g = s.value_and_gradient(FIDUCIAL, d)[1]
        g["Om"] -= g["OL"]
        scores.append([g[k] for k in NAMES])
    scores = np.array(scores)
    unit = np.linalg.solve(np.linalg.cholesky(F), scores.T)
    # 45 second moments of sums of 30 (kurtosis below 1): 4.5 sds of sqrt(3/n)
    assert np.abs(unit.mean(axis=1)).max() < 4.5 / np.sqrt(n)
    assert np.abs(unit @ unit.T / n - np.eye(9)).max() < 4.5 * np.sqrt(3 / n)


@pytest.mark.parametrize("what", ["systematics", "step"])
def test_objects_of_a_survey_with_options(what):
    rng = np.random.default_rng(4)
    g = dict(FIDUCIAL, xb=0.2, cb=-0.03)
    options = {"systematics": 0.1 * rng.normal(size=(12, 2))}
    if what == "step":
        options, g["gamma"] = {"step": rng.random(12)}, 0.2
    s = survey(**options)
    d = np.asarray(sn.simulate(g, s.z, s.covariance, 1, **options))
    mean, C = dense(g, s, g.get("gamma"))
    A = np.array([[1, -g["alpha"], g["beta"]], [0, 1, 0], [0, 0, 1]])
    D = np.diag([g["sres"], g["Rx"], g["Rc"]]) ** 2
    gain = np.kron(np.eye(12), D @ A.T) @ np.linalg.inv(C)
    nu = np.tile([g["M0"], g["xb"], g["cb"]], 12)
    wanted = (nu + gain @ (d.ravel() - mean)).reshape(12, 3)
    full = np.kron(np.eye(12), D) - gain @ np.kron(np.eye(12), A @ D)
    full = full.reshape(12, 3, 12, 3)[np.arange(12), :, np.arange(12)]
    m, cov = sn.object_posterior(g, d, s.z, s.covariance, **options)
    np.testing.assert_allclose(m, wanted, rtol=1e-8)
    np.testing.assert_allclose(cov, full, rtol=1e-8, atol=1e-12)
    one, sd = sn.mean_object_posterior(s, d, [g])
    np.testing.assert_allclose(one, wanted[:, 0])
    np.testing.assert_allclose(sd, np.sqrt(full[:, 0, 0]))
    if what == "step":
        with pytest.raises(ValueError, match="lack gamma"):
            sn.mean_object_posterior(s, d, [FIDUCIAL])


def test_simulated_step_and_systematics():
    _, z, C = sn.fiducial(20)
    U = np.linspace(0.1, 0.3, 20)[:, None]
    plain = np.array([sn.simulate(FIDUCIAL, z, C, k) for k in range(400)])
    moved = np.array(
        [sn.simulate(FIDUCIAL, z, C, k, systematics=U) for k in range(400)]
    )
    np.testing.assert_array_equal(moved[..., 1:], plain[..., 1:])
    e = (moved - plain)[..., 0] / U[:, 0]
    np.testing.assert_allclose(e, np.broadcast_to(e[:, :1], e.shape), rtol=1e-9)
    assert stats.kstest(e[:, 0], "norm").pvalue > 1e-3
    g = dict(FIDUCIAL, gamma=0.1)
    step = np.arange(20) % 2.0
    found = sn.simulate(g, z, C, 3, step=step)[:, 0] - plain[3][:, 0]
    np.testing.assert_allclose(found, 0.1 * step, atol=1e-12)
    with pytest.raises(ValueError, match="lack gamma"):
        sn.simulate(FIDUCIAL, z, C, 3, step=step)
    with pytest.raises(ValueError, match="no step"):
        sn.simulate(g, z, C, 3)


@pytest.mark.parametrize("option", ["selection", "step", "systematics"])
def test_networks_refuse_what_they_do_not_simulate(option):
    value = {"selection": CUT, "step": np.ones(12), "systematics": np.ones((12, 1))}
    s = survey(**{option: value[option]})
    with pytest.raises(ValueError, match=f"Learner knows no {option}"):
        Learner(s, np.zeros((12, 3)), "flat")


def test_combinations_without_a_closed_form_are_refused():
    s = survey(selection=CUT)
    with pytest.raises(ValueError, match="selection and systematics together"):
        survey(selection=CUT, systematics=np.ones((12, 1)))
    dusty = dict(FIDUCIAL, R_B=4.1, tau=0.07)
    d = np.zeros((12, 3))
    with pytest.raises(ValueError, match=r"dust .* and selection"):
        s.log_likelihood(dusty, d)
    with pytest.raises(ValueError, match=r"dust .* and systematics"):
        survey(systematics=np.ones((12, 1))).log_likelihood(dusty, d)
    for f in (sn.fisher, lambda *a: sn.simulate(*a, 0)):
        with pytest.raises(ValueError, match="unknown R_B, tau; dust"):
            f(dusty, s.z, s.covariance)
    with pytest.raises(ValueError, match="tau must be positive"):
        survey().log_likelihood(dict(dusty, tau=0.0), d)


def test_sampler_takes_no_options_beside_a_survey():
    s = survey()
    with pytest.raises(TypeError, match="has its own H0, drwas"):
        sn.sample_posterior(np.zeros((12, 3)), s, None, H0=50.0, drwas=7)
    with pytest.raises(TypeError, match="has its own z_helio"):
        sn.sample_posterior(np.zeros((12, 3)), s, None, z_helio=s.z)


# --- covariances that are none --------------------------------------------------------


def wrong(kind):
    cov = np.broadcast_to(S, (5, 3, 3)).copy()
    if kind == "variance":
        cov[2, 1, 1] = -0.09
    elif kind == "correlation":
        cov[2, 0, 2] = cov[2, 2, 0] = 1.5 * np.sqrt(S[0, 0] * S[2, 2])
    elif kind == "three":  # each pair is possible, all together are not
        sd = np.sqrt(np.diag(S))
        cov[2] = np.array([[1, 0.8, 0.8], [0.8, 1, -0.8], [0.8, -0.8, 1]])
        cov[2] *= np.outer(sd, sd)
    else:  # no variance, but a covariance
        cov[2, 0, 0] = 0.0
    return cov


@pytest.mark.smoke
@pytest.mark.parametrize("kind", ["variance", "correlation", "three", "empty"])
def test_covariances_that_are_none_are_refused(kind):
    z, cov = sn.fiducial(5)[1], wrong(kind)
    d = np.zeros((5, 3))
    calls = (
        lambda: sn.log_likelihood(FIDUCIAL, d, z, cov),
        lambda: sn.object_posterior(FIDUCIAL, d, z, cov),
        lambda: sn.fisher(FIDUCIAL, z, cov),
        lambda: sn.sample_posterior(d, z, cov),
        lambda: sn.simulate(FIDUCIAL, z, cov, 0),
        lambda: sn.Survey(z, cov),
    )
    for call in calls:
        with pytest.raises(ValueError, match=r"row\(s\) 2 .*drop .*bad="):
            call()


def test_singular_covariances_are_none_of_these():
    """Perfect correlation, exact measurements: semi-definite up to rounding."""
    rng = np.random.default_rng(5)
    root = rng.normal(size=(2000, 3, 2)) * [[0.04], [0.3], [0.03]]
    cov = root @ np.swapaxes(root, 1, 2)
    cov[:10] = 0.0
    cov[10:20, 1] = cov[10:20, :, 1] = 0.0
    z = sn.fiducial(2000)[1]
    d = np.asarray(sn.simulate(FIDUCIAL, z, cov, 0))
    assert np.isfinite(sn.log_likelihood(FIDUCIAL, d, z, cov))
