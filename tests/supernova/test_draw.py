"""Simulated surveys: moments, streams, selection; exact posteriors of objects."""

import numpy as np
import pytest

import gradiverse as gv

from .oracle import FIDUCIAL, S, modulus, moments

sn = gv.supernova


@pytest.mark.smoke
def test_moments_of_draws():
    n = 40_000
    z, cov = np.full(n, 0.5), np.broadcast_to(S, (n, 3, 3))
    g = dict(FIDUCIAL, xb=0.3, cb=-0.05)
    d, latent = sn.simulate(g, z, cov, 3, return_latent=True)
    mean, sig = moments(g, modulus(z[:1], 0.3, 0.7, -1.0), S[None])
    L = np.linalg.cholesky(sig[0])
    u = np.linalg.solve(L, (d - mean[0]).T)
    # 3 means and 6 second moments of unit normals: 4.5 sigma
    assert np.abs(u.mean(axis=1)).max() < 4.5 / np.sqrt(n)
    assert np.abs(u @ u.T / n - np.eye(3)).max() < 4.5 * np.sqrt(2 / n)
    wanted = [g["sres"], g["Rx"], g["Rc"]]
    np.testing.assert_allclose(latent.std(axis=0), wanted, rtol=4.5 / np.sqrt(2 * n))


def test_S9_objects_have_streams_of_their_own():
    z, cov = sn.fiducial(100)[1:]
    whole = sn.simulate(FIDUCIAL, z, cov, 5)
    part = sn.simulate(FIDUCIAL, z[:30], cov[:30], 5)
    # the table of distances ends elsewhere: equal to its accuracy, numbers to the bit
    np.testing.assert_allclose(whole[:30], part, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(whole[:30, 1:], part[:, 1:])
    assert not np.array_equal(whole, sn.simulate(FIDUCIAL, z, cov, 6))


def test_differentiable_in_the_globals():
    z, cov = sn.fiducial(20)[1:]

    def f(v):
        g = dict(FIDUCIAL, M0=v[0], sres=v[1], alpha=v[2], beta=v[3], Rc=v[4], Om=v[5])
        return (sn.simulate(g, z, cov, 2) ** 2).sum()

    gv.testing.check_grads(f, np.array([-19.3, 0.1, 0.13, 2.56, 0.1, 0.3]), order=1)


def test_singular_covariances_are_taken_and_wrong_ones_named():
    z = np.full(3, 0.4)
    none = np.zeros((3, 3, 3))
    d, latent = sn.simulate(FIDUCIAL, z, none, 0, return_latent=True)
    mu = sn.distance_modulus(z, 0.3, 0.7, -1.0)
    M, x, c = latent.T
    np.testing.assert_allclose(d[:, 0], mu + M - 0.13 * x + 2.56 * c)
    bad = np.broadcast_to(S, (3, 3, 3)).copy()
    bad[1, 0, 2] = bad[1, 2, 0] = 0.01
    with pytest.raises(ValueError, match=r"row\(s\) 1"):
        sn.simulate(FIDUCIAL, z, bad, 0)


def test_selection_keeps_n_and_follows_its_density():
    # E[h.d | sel] = h.mbar - V/sqrt(sd^2 + V) phi(t)/Phi(t)
    from scipy.stats import norm

    n = 20_000
    z, cov = np.full(n, 0.5), np.broadcast_to(S, (n, 3, 3))
    mean, sig = moments(FIDUCIAL, modulus(z[:1], 0.3, 0.7, -1.0), S[None])
    sd, V = 0.1, sig[0, 0, 0]
    lim = mean[0, 0] - 0.1
    d = sn.simulate(FIDUCIAL, z, cov, 4, selection=dict(h=(1, 0, 0), lim=lim, sd=sd))
    t = (lim - mean[0, 0]) / np.hypot(sd, np.sqrt(V))
    wanted = mean[0, 0] - V / np.hypot(sd, np.sqrt(V)) * norm.pdf(t) / norm.cdf(t)
    assert abs(d[:, 0].mean() - wanted) < 4.5 * d[:, 0].std() / np.sqrt(n)


def test_refuses_impossible_selection_and_rng():
    z, cov = sn.fiducial(3)[1:]
    with pytest.raises(ValueError, match="refused"):
        sn.simulate(FIDUCIAL, z, cov, 0, selection=dict(h=(1, 0, 0), lim=-99.0, sd=0.1))
    with pytest.raises(TypeError, match="rng"):
        sn.simulate(FIDUCIAL, z, cov, "seed")


# --- objects --------------------------------------------------------------------------


@pytest.mark.smoke
def test_object_posterior_check_values():
    m, C = sn.object_posterior(FIDUCIAL, [[22.9, 0.4, -0.05]], [0.5], S[None])
    np.testing.assert_allclose(m[0], [-19.231403, 0.293341, -0.035148], atol=1e-6)
    sd = np.sqrt(np.diag(C[0]))
    np.testing.assert_allclose(sd, [0.059760, 0.274157, 0.025857], atol=1e-6)


def test_object_posterior_is_the_precision_form():
    z, cov = sn.fiducial(10)[1:]
    cov = cov * np.linspace(0.5, 2, 10)[:, None, None]
    g = dict(FIDUCIAL, xb=0.2, cb=-0.03)
    d = np.asarray(sn.simulate(g, z, cov, 1))
    m, C = sn.object_posterior(g, d, z, cov)
    A = np.array([[1, -g["alpha"], g["beta"]], [0, 1, 0], [0, 0, 1]])
    D = np.diag([g["sres"], g["Rx"], g["Rc"]]) ** 2
    mu = modulus(z, 0.3, 0.7, -1.0)
    for i in range(10):
        P = np.linalg.inv(np.linalg.inv(D) + A.T @ np.linalg.inv(cov[i]) @ A)
        r = d[i] - [mu[i], 0, 0]
        nu = np.array([g["M0"], g["xb"], g["cb"]])
        mean = P @ (np.linalg.inv(D) @ nu + A.T @ np.linalg.inv(cov[i]) @ r)
        np.testing.assert_allclose(C[i], P, rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(m[i], mean, rtol=1e-9)


def test_objects_cover_their_truth():
    z, cov = sn.fiducial(20_000)[1:]
    d, latent = sn.simulate(FIDUCIAL, z, cov, 8, return_latent=True)
    m, C = sn.object_posterior(FIDUCIAL, d, z, cov)
    pull = (latent - m) / np.sqrt(np.einsum("nii->ni", C))
    assert np.abs(pull.mean(axis=0)).max() < 4.5 / np.sqrt(len(z))
    assert np.abs(pull.var(axis=0) - 1).max() < 4.5 * np.sqrt(2 / len(z))


def test_mixture_over_globals():
    z, cov = sn.fiducial(6)[1:]
    survey = sn.Survey(z, cov)
    d = np.asarray(sn.simulate(FIDUCIAL, z, cov, 1))
    samples = [
        dict(FIDUCIAL, M0=-19.3 + e, sres=0.1 + e / 5) for e in (-0.05, 0.0, 0.1)
    ]
    mean, sd = sn.mean_object_posterior(survey, d, samples)
    each = [sn.object_posterior(g, d, z, cov) for g in samples]
    means = np.array([m[:, 0] for m, _ in each])
    squares = np.array([C[:, 0, 0] + m[:, 0] ** 2 for m, C in each])
    np.testing.assert_allclose(mean, means.mean(axis=0))
    np.testing.assert_allclose(sd**2, squares.mean(0) - means.mean(0) ** 2, rtol=1e-8)
