"""Kernels estimated from control years against their definitions."""

import math

import numpy as np
import pytest

import gradiverse as gv
from gradiverse import gp

RNG = np.random.default_rng(11)
N, T = 5, 25
Y = 10 + RNG.normal(size=(N, 3)) @ RNG.normal(size=(3, T)) + RNG.normal(size=(N, T))
R = Y - Y.mean(0)
S = R.T @ R / (N - 1)
LAMBDA, V = (x[..., ::-1] for x in np.linalg.eigh(S))
WEEKS = np.arange(T)


def test_sample_covariance():
    k = gp.SampleCovariance(Y)
    np.testing.assert_allclose(k(WEEKS), np.cov(Y.T), atol=1e-13)
    assert np.linalg.matrix_rank(k(WEEKS)) == N - 1


@pytest.mark.parametrize("k", [1, 2, 4])
def test_pca_keeps_k_components_and_is_singular(k):
    kernel = gp.PCA(Y, k)
    K = kernel(WEEKS)
    want = sum(LAMBDA[j] * np.outer(V[:, j], V[:, j]) for j in range(k))
    np.testing.assert_allclose(K, want, atol=1e-12)
    assert np.linalg.matrix_rank(K) == k
    np.testing.assert_allclose(kernel.discarded, LAMBDA[k:4].sum(), atol=1e-12)


def test_ppca_has_the_trace_of_the_sample_covariance():
    kernel = gp.PPCA(Y, 2)
    s2 = LAMBDA[2:].sum() / (T - 2)
    want = s2 * np.eye(T) + sum(
        (LAMBDA[j] - s2) * np.outer(V[:, j], V[:, j]) for j in range(2)
    )
    np.testing.assert_allclose(kernel(WEEKS), want, atol=1e-12)
    np.testing.assert_allclose(np.trace(kernel(WEEKS)), np.trace(S), rtol=1e-12)


def test_ppca_maximises_its_likelihood():
    """Tipping and Bishop: no other noise with two components fits S better."""

    def value(s2):
        K = s2 * np.eye(T) + sum(
            (LAMBDA[j] - s2) * np.outer(V[:, j], V[:, j]) for j in range(2)
        )
        return -np.linalg.slogdet(K)[1] - np.trace(np.linalg.solve(K, S))

    s2 = gp.PPCA(Y, 2).noise
    assert value(s2) > max(value(0.9 * s2), value(1.1 * s2))


def test_trap_noise_convention_of_scikit_learn_is_named_not_switched():
    """Trap 8: the two divisors differ by 23/3 at N = 5, T = 25, k = 2."""
    ours, theirs = gp.PPCA(Y, 2), gp.SklearnPCA(Y, 2)
    np.testing.assert_allclose(theirs.noise / ours.noise, 23 / 3, rtol=1e-12)
    np.testing.assert_allclose(theirs.noise, LAMBDA[2:5].sum() / 3, atol=1e-12)
    top = np.linalg.eigvalsh(theirs(WEEKS))[::-1]
    np.testing.assert_allclose(top[:2], LAMBDA[:2], rtol=1e-10)
    np.testing.assert_allclose(top[2:], theirs.noise, rtol=1e-10)


def test_scikit_learn_pca_agrees():
    decomposition = pytest.importorskip("sklearn.decomposition")
    fitted = decomposition.PCA(2).fit(Y)
    k = gp.SklearnPCA(Y, 2)
    np.testing.assert_allclose(k(WEEKS), fitted.get_covariance(), atol=1e-10)


def test_trap_left_over_variance_is_never_negative():
    """Trap 11: one divisor for both terms, so that what PCA leaves cannot turn < 0.

    With S (divisor N-1) and a mean square with divisor N the difference is negative
    here; `discarded` is a sum of eigenvalues of the same matrix.
    """
    one = RNG.normal(size=(N, 1)) * np.ones(T) + 1e-3 * RNG.normal(size=(N, T))
    kernel = gp.PCA(one, 2)
    mixed = np.mean((one - one.mean(0)) ** 2) * T - kernel.eigenvalues[:2].sum()
    assert mixed < 0
    assert kernel.discarded >= 0
    left = np.trace(kernel.scatter) / (N - 1) - kernel.eigenvalues[:2].sum()
    np.testing.assert_allclose(kernel.discarded, left, atol=1e-12)


def test_paper_kernel_is_a_sum():
    k = gp.PCA(Y, 2) + gp.SquaredExponential(2.0, 1.5) + gp.White(0.3)
    gap = WEEKS[:, None] - WEEKS
    want = gp.PCA(Y, 2)(WEEKS) + 2 * np.exp(-(gap**2) / (2 * 1.5**2)) + 0.3 * np.eye(T)
    np.testing.assert_allclose(k(WEEKS), want, rtol=1e-13)
    np.testing.assert_allclose(np.exp(k.theta), [2.0, 1.5, 0.3])
    value, slope = gv.value_and_grad(
        lambda theta: np.sum(gp.log_likelihood(k.with_theta(theta)(WEEKS), R))
    )(k.theta)
    assert np.isfinite(value)
    inverse = np.linalg.inv(want)
    G = 0.5 * (inverse @ (R.T @ R) @ inverse - N * inverse)
    np.testing.assert_allclose(slope[2], 0.3 * np.trace(G), rtol=1e-9)


def test_ledoit_wolf_written_out():
    k = gp.LedoitWolf(Y)
    sample = R.T @ R / N
    mu = np.trace(sample) / T
    b2 = sum(np.linalg.norm(np.outer(r, r) - sample) ** 2 for r in R) / N**2
    delta = min(1.0, b2 / np.linalg.norm(sample - mu * np.eye(T)) ** 2)
    np.testing.assert_allclose(k.shrinkage, delta, rtol=1e-10)
    want = (1 - delta) * sample + delta * mu * np.eye(T)
    np.testing.assert_allclose(k(WEEKS), want, atol=1e-12)
    assert 0 < delta < 1


def test_scikit_learn_ledoit_wolf_agrees():
    covariance = pytest.importorskip("sklearn.covariance")
    want, delta = covariance.ledoit_wolf(Y)
    k = gp.LedoitWolf(Y)
    np.testing.assert_allclose(k.shrinkage, delta, rtol=1e-10)
    np.testing.assert_allclose(k(WEEKS), want, atol=1e-11)


def test_data_without_variation():
    flat = np.ones((4, 6))
    np.testing.assert_array_equal(gp.PCA(flat, 2)(np.arange(6)), 0.0)
    np.testing.assert_array_equal(gp.LedoitWolf(flat)(np.arange(6)), 0.0)
    assert gp.SklearnPCA(flat, 2).noise == 0.0


def test_points_of_a_table():
    k = gp.SampleCovariance(Y, points=WEEKS + 9)
    np.testing.assert_array_equal(k([33, 9]), gp.SampleCovariance(Y)([24, 0]))
    np.testing.assert_array_equal(k.diag([10]), [k([10])[0, 0]])
    with pytest.raises(ValueError, match="8 is not a point of the SampleCovariance"):
        k([8])
    with pytest.raises(TypeError, match="cannot be differentiated"):
        gv.grad(lambda x: np.sum(k(x)))(np.arange(9.0, 12.0))


# --- inverse Wishart --------------------------------------------------------------


def test_inverse_wishart_scale_and_degrees():
    K0 = 0.5 * np.eye(T) + 0.1
    k = gp.InverseWishart(Y, K0, nu0=7.0)
    np.testing.assert_allclose(k(WEEKS), (7 * K0 + R.T @ R) / (7 + N - 1), rtol=1e-12)
    assert k.predictive().df == 7 + N - 1


def test_inverse_wishart_limits():
    K0 = np.eye(T)
    np.testing.assert_allclose(gp.InverseWishart(Y, K0, 1e12)(WEEKS), K0, atol=1e-9)
    np.testing.assert_allclose(gp.InverseWishart(Y, K0, 1e-9)(WEEKS), S, atol=1e-8)


def test_predictive_density_is_the_ratio_of_evidences():
    """p(next | years) = p(years, next) / p(years) is the Student-t density."""
    d = 3
    data = RNG.normal(size=(6, d))
    data -= data.mean(0)
    K0 = np.array([[1.0, 0.3, 0.0], [0.3, 1.0, 0.2], [0.0, 0.2, 0.5]])
    k = gp.InverseWishart(data, K0, 4.0)
    x = RNG.normal(size=d)
    from gradiverse.gp.wishart import log_evidence

    more = log_evidence(4.0, K0, k.scatter + np.outer(x, x), k.n_years)
    ratio = more - log_evidence(4.0, K0, k.scatter, k.n_years - 1)
    t = k.predictive()
    q = x @ np.linalg.solve(t.scale, x)
    density = (
        math.lgamma((t.df + d) / 2)
        - math.lgamma(t.df / 2)
        - d / 2 * np.log(t.df * np.pi)
        - 0.5 * np.linalg.slogdet(t.scale)[1]
        - (t.df + d) / 2 * np.log1p(q / t.df)
    )
    np.testing.assert_allclose(ratio, density, rtol=1e-11)
    # posterior of the matrix: the scatter moved, the weight counted in degrees
    np.testing.assert_allclose(k.log_evidence, log_evidence(4.0, K0, k.scatter, 5))


def test_conditioning_a_student_t():
    scale = np.array([[2.0, 0.8, 0.1], [0.8, 1.0, 0.3], [0.1, 0.3, 1.5]])
    t = gp.StudentT(np.array([1.0, 0.0, -1.0]), scale, 6.0)
    c = t.condition([1], [0.7])
    q = 0.7**2 / 1.0
    cov = scale[np.ix_([0, 2], [0, 2])] - np.outer([0.8, 0.3], [0.8, 0.3])
    np.testing.assert_allclose(c.mean, [1 + 0.8 * 0.7, -1 + 0.3 * 0.7])
    np.testing.assert_allclose(c.scale, cov * (6 + q) / 7, rtol=1e-13)
    assert c.df == 7
    draws = c.sample(200_000, 0)
    # heavy tails: relative error of a variance about sqrt(kurtosis / n) ~ 0.6 %
    np.testing.assert_allclose(np.cov(draws.T), c.covariance, atol=0.04)


def test_learnt_weight_recovers_the_truth():
    """Units whose covariances scatter like IW with ν0 = 8."""
    d, nu0, units = 4, 8.0, []
    K0 = np.eye(d) + 0.3
    for _ in range(400):
        # Σ⁻¹ is Wishart with ν0 + d - 1 degrees and matrix (ν0 K0)⁻¹
        half = np.linalg.cholesky(np.linalg.inv(nu0 * K0))
        w = half @ RNG.normal(size=(d, int(nu0) + d - 1))
        units.append(RNG.multivariate_normal(np.zeros(d), np.linalg.inv(w @ w.T), 7))
    found = gp.InverseWishart.learn_nu0(units, K0)
    # Fisher information from 400 units of 6 degrees: about 6 % of ν0
    assert 6.3 < found < 10.0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: gp.PCA(Y, 5), "5 components asked for"),
        (lambda: gp.PCA(Y, 0), "positive integer"),
        (lambda: gp.SklearnPCA(Y[:, :2], 2), r"fewer than min\(N, T\) = 2"),
        (lambda: gp.PPCA(Y[:, :2], 2), "fewer than T = 2"),
        (lambda: gp.SampleCovariance(Y[:1]), "at least 2"),
        (lambda: gp.SampleCovariance(Y[0]), r"\(years, periods\)"),
        (lambda: gp.LedoitWolf(np.where(Y > 10, np.nan, Y)), "data has nan"),
        (lambda: gp.InverseWishart(Y, np.eye(3)), "pooled must have the shape"),
        (lambda: gp.InverseWishart(Y, np.eye(T), nu0=0), "nu0 must be positive"),
        (lambda: gp.Table([[1.0, 0.0], [0.5, 1.0]]), "not symmetric"),
        (lambda: gp.Table(np.eye(2), points=[1, 1]), "differ"),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(ValueError, match=words):
        make()
