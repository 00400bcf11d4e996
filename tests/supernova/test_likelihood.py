"""The exact likelihood, its derivatives, Fisher matrix and extensions."""

import numpy as np
import pytest
from scipy import integrate, special, stats

import gradiverse as gv

from .oracle import FIDUCIAL, S, log_density, modulus, moments

sn = gv.supernova


def small(n=40, seed=0):
    rng = np.random.default_rng(seed)
    _, z, _ = sn.fiducial(n)
    root = rng.normal(size=(n, 3, 3)) * 0.1
    cov = root @ np.swapaxes(root, 1, 2) + S
    return z, cov, np.asarray(sn.simulate(FIDUCIAL, z, cov, seed))


@pytest.mark.smoke
def test_check_value_of_one_object():
    value = sn.log_likelihood(FIDUCIAL, [[22.9, 0.4, -0.05]], [0.5], S[None])
    assert abs(value - 0.987216) < 1e-6
    _, cov = moments(FIDUCIAL, np.zeros(1), S[None])
    np.testing.assert_allclose(np.diag(cov[0]), [0.094036, 1.09, 0.0109])


def test_against_scipy():
    z, cov, d = small()
    g = dict(FIDUCIAL, Om=0.4, OL=0.5, w=-0.9, xb=0.1, cb=-0.02)
    found = sn.log_likelihood(g, d, z, cov)
    # sums of 40 terms of order 1-10, each to 1e-13
    np.testing.assert_allclose(found, log_density(g, d, z, cov).sum(), rtol=1e-9)


@pytest.mark.parametrize(
    "selection", [None, dict(h=(1.0, 0.1, -0.5), lim=23.5, sd=0.3)]
)
def test_gradient_against_differences(selection):
    z, cov, d = small()
    survey = sn.Survey(z, cov, selection=selection)
    value, gradient = survey.value_and_gradient(FIDUCIAL, d)
    assert abs(value - survey.log_likelihood(FIDUCIAL, d)) < 1e-9
    for name in FIDUCIAL:

        def at(h, name=name):
            return survey.log_likelihood(
                dict(FIDUCIAL, **{name: FIDUCIAL[name] + h}), d
            )

        wide, narrow = ((at(h) - at(-h)) / (2 * h) for h in (2e-4, 1e-4))
        slope = (4 * narrow - wide) / 3
        # rounding: 1e-16 * 1e3 / 1e-4; truncation h^4
        assert abs(gradient[name] - slope) < 1e-5 * (1 + abs(slope)), name


def test_second_derivative_and_gradient_to_data():
    z, cov, d = small(12)

    def f(v, data):
        g = dict(FIDUCIAL, Om=v[0], OL=1.0 - v[0], sres=v[1], beta=v[2])
        return sn.log_likelihood(g, data, z, cov)

    v = np.array([0.3, 0.1, 2.56])
    gv.testing.check_grads(lambda v: f(v, d), v)
    H = gv.jacobian(gv.grad(lambda v: f(v, d)))(v)
    step = 1e-5
    for i in range(3):
        e = step * np.eye(3)[i]
        slope = (gv.grad(f)(v + e, d) - gv.grad(f)(v - e, d)) / (2 * step)
        np.testing.assert_allclose(H[i], slope, rtol=2e-5, atol=1e-3)
    by_data = gv.grad(lambda x: f(v, x))(d)
    mean, sig = moments(FIDUCIAL, modulus(z, 0.3, 0.7, -1), cov)
    wanted = -np.linalg.solve(sig, (d - mean)[..., None])[..., 0]
    np.testing.assert_allclose(by_data, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.smoke
def test_same_bits_on_one_and_two_threads():
    z, cov, d = small(5000)
    survey = sn.Survey(z, cov)
    found = []
    old = gv.get_threads()
    for n in (1, 2):
        gv.set_threads(n)
        drawn = sn.simulate(FIDUCIAL, z, cov, 7)
        found.append((survey.value_and_gradient(FIDUCIAL, d), drawn))
    gv.set_threads(old)
    assert found[0][0] == found[1][0]
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_S9_large_sums_keep_the_signal():
    # 1e5 objects in pieces: sums in float64 agree to 1e-12 of the total
    _, z, _ = sn.fiducial(100_000)
    cov = np.broadcast_to(S, (100_000, 3, 3))
    d = np.asarray(sn.simulate(FIDUCIAL, z, cov, 1))
    whole = sn.log_likelihood(FIDUCIAL, d, z, cov)
    parts = [slice(i, i + 12_500) for i in range(0, 100_000, 12_500)]
    pieces = sum(sn.log_likelihood(FIDUCIAL, d[p], z[p], cov[p]) for p in parts)
    assert abs(whole - pieces) < 1e-7 * abs(whole)


@pytest.mark.smoke
def test_fisher_check_values():
    g, z, cov = sn.fiducial(100_000)
    F = sn.fisher(g, z, cov)
    C = np.linalg.inv(F)
    wanted = [0.001409, 0.001306, 0.0003565, 0.0004151, 0.004188, 0.003302, 0.002437,
              0.0003302, 0.0002437]  # fmt: skip
    np.testing.assert_allclose(np.sqrt(np.diag(C)), wanted, rtol=0.01)
    assert abs(C[0, 1] / np.sqrt(C[0, 0] * C[1, 1]) - 0.952) < 0.002


def test_fisher_is_the_covariance_of_scores():
    g, z, cov = sn.fiducial(300)
    survey = sn.Survey(z, cov)
    names = ("M0", "sres", "alpha", "beta", "xb", "Rx", "cb", "Rc")
    scores = []
    for seed in range(400):
        d = sn.simulate(g, z, cov, seed)
        gradient = survey.value_and_gradient(g, d)[1]
        scores.append([gradient[k] for k in names])
    scores = np.array(scores)
    F = survey.fisher(g, "flat")[1:, 1:]
    unit = np.linalg.solve(np.linalg.cholesky(F), scores.T)
    # 400 draws of 8 unit normals: means 4 sigma of 0.05, variances 5 sigma of 0.071
    assert np.abs(unit.mean(axis=1)).max() < 4 / np.sqrt(400)
    assert np.abs(unit.var(axis=1) - 1).max() < 5 * np.sqrt(2 / 400)


# --- selection ------------------------------------------------------------------------


def test_selection_check_values():
    # V 0.09, sd 0.1, lim - mbar 0.2: fraction 0.73646; fiducial Sig, 0.1: 0.62173
    assert abs(stats.norm.cdf(0.2 / np.hypot(0.1, 0.3)) - 0.73646) < 5e-6
    mu = sn.distance_modulus([0.5], 0.3, 0.7, -1.0)[0]
    lim = mu - 19.3 + 0.1
    d = np.array([[mu - 19.3, 0.0, 0.0]])
    plain = sn.log_likelihood(FIDUCIAL, d, [0.5], S[None])
    selection = dict(h=(1, 0, 0), lim=lim, sd=0.1)
    chosen = sn.log_likelihood(FIDUCIAL, d, [0.5], S[None], selection)
    fraction = stats.norm.cdf(1.0) / np.exp(chosen - plain)
    assert abs(fraction - 0.62173) < 5e-6


def test_selection_normalisation_by_quadrature():
    # p(d | selected) integrates to 1: quadrature along h, which is all that selection
    # and V depend on
    z = np.array([0.5])
    h, lim, sd = np.array([1.0, 0.0, 0.0]), 22.8, 0.15
    mean, cov = moments(FIDUCIAL, modulus(z, 0.3, 0.7, -1), S[None])
    V, m = h @ cov[0] @ h, mean[0] @ h

    def density(x):
        return stats.norm.pdf(x, m, np.sqrt(V)) * stats.norm.cdf((lim - x) / sd)

    kept = integrate.quad(density, m - 8, m + 8, epsabs=1e-13, points=[m, lim])[0]
    d = np.array([[22.7, 0.2, 0.03]])
    chosen = sn.log_likelihood(FIDUCIAL, d, z, S[None], dict(h=h, lim=lim, sd=sd))
    plain = sn.log_likelihood(FIDUCIAL, d, z, S[None])
    wanted = plain + stats.norm.logcdf((lim - 22.7) / sd) - np.log(kept)
    assert abs(chosen - wanted) < 1e-9


def test_S8_log_phi_does_not_underflow():
    # t = -40: Phi is 1e-350, its logarithm -804.6
    z = np.array([0.5])
    mean, cov = moments(FIDUCIAL, modulus(z, 0.3, 0.7, -1), S[None])
    sd = 0.1
    lim = mean[0, 0] - 40 * np.sqrt(sd**2 + cov[0, 0, 0])
    selection = dict(h=(1.0, 0.0, 0.0), lim=lim, sd=sd)
    d = mean.copy()
    d[0, 0] = lim
    chosen = sn.log_likelihood(FIDUCIAL, d, z, S[None], selection)
    plain = sn.log_likelihood(FIDUCIAL, d, z, S[None])
    wanted = plain + np.log(0.5) - special.log_ndtr(-40.0)
    assert abs(chosen - wanted) < 1e-9 * abs(wanted)
    value, g = sn.Survey(z, S[None], selection=selection).value_and_gradient(
        FIDUCIAL, d
    )
    assert np.isfinite(value) and np.isfinite(list(g.values())).all()


# --- extensions -----------------------------------------------------------------------


def test_mass_step_moves_the_magnitudes():
    z, cov, d = small()
    step = (np.arange(len(z)) % 2).astype(float)
    moved = d.copy()
    moved[:, 0] -= 0.05 * step
    survey = sn.Survey(z, cov, step=step)
    found = survey.log_likelihood(dict(FIDUCIAL, gamma=0.05), d)
    assert abs(found - sn.log_likelihood(FIDUCIAL, moved, z, cov)) < 1e-9
    with pytest.raises(ValueError, match="gamma"):
        survey.log_likelihood(FIDUCIAL, d)
    with pytest.raises(ValueError, match="step"):
        sn.log_likelihood(dict(FIDUCIAL, gamma=0.05), d, z, cov)


def test_systematics_against_the_dense_matrix():
    z, cov, d = small(15)
    U = 0.05 * np.random.default_rng(3).normal(size=(15, 2))
    mean, sig = moments(FIDUCIAL, modulus(z, 0.3, 0.7, -1), cov)
    full = np.zeros((15, 3, 15, 3))
    for i in range(15):
        full[i, :, i] = sig[i]
    full[:, 0, :, 0] += U @ U.T
    dense = stats.multivariate_normal(mean.ravel(), full.reshape(45, 45))
    found = sn.log_likelihood(FIDUCIAL, d, z, cov, systematics=U)
    np.testing.assert_allclose(found, dense.logpdf(d.ravel()), rtol=1e-9)


def test_dust_check_value_and_S11_limit_without_dust():
    # p = 1.688845 for g = (4.1, 0, 1), tau 0.07, r = (0.3, -0.4, 0.12)
    mu = sn.distance_modulus([0.5], 0.3, 0.7, -1.0)[0]
    d = np.array([[mu - 19.3 + 0.3, -0.4, 0.12]])
    dusty = dict(FIDUCIAL, R_B=4.1, tau=0.07)
    found = sn.log_likelihood(dusty, d, [0.5], S[None])
    assert abs(np.exp(found) - 1.688845) < 2e-6
    plain = sn.log_likelihood(FIDUCIAL, d, [0.5], S[None])
    for tau, bound in ((1e-4, 1e-2), (1e-8, 1e-6), (1e-12, 1e-7)):
        value = sn.log_likelihood(dict(dusty, tau=tau), d, [0.5], S[None])
        assert np.isfinite(value) and abs(value - plain) < bound


@pytest.mark.parametrize(
    ("change", "message"),
    [({"sres": -0.1}, "sres"), ({"Om": np.nan}, "Om"), ({"more": 1.0}, "unknown more")],
)
def test_refuses_globals(change, message):
    z, cov, d = small(5)
    with pytest.raises(ValueError, match=message):
        sn.log_likelihood({**FIDUCIAL, **change}, d, z, cov)
    with pytest.raises(ValueError, match="lack beta"):
        sn.log_likelihood({k: v for k, v in FIDUCIAL.items() if k != "beta"}, d, z, cov)


def test_refuses_data():
    z, cov, d = small(5)
    bad = cov.copy()
    bad[2] = -bad[2]
    with pytest.raises(ValueError, match=r"row\(s\) 2"):
        sn.log_likelihood(FIDUCIAL, d, z, bad)
    # traced ones are seen by the engine, with the population's
    with pytest.raises(np.linalg.LinAlgError, match="object 2"):
        gv.grad(lambda s: sn.log_likelihood(FIDUCIAL, d, z, s))(100 * bad)
    bad = cov.copy()
    bad[3, 0, 1] += 0.1
    with pytest.raises(ValueError, match=r"symmetric in row\(s\) 3"):
        sn.log_likelihood(FIDUCIAL, d, z, bad)
    bad = d.copy()
    bad[1, 1] = np.nan
    with pytest.raises(ValueError, match=r"row\(s\) 1"):
        sn.log_likelihood(FIDUCIAL, bad, z, cov)
    with pytest.raises(ValueError, match="selection"):
        sn.log_likelihood(FIDUCIAL, d, z, cov, selection=dict(h=(1, 0, 0)))
    with pytest.raises(ValueError, match="shape"):
        sn.log_likelihood(FIDUCIAL, d[:, :2], z, cov)
