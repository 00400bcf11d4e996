"""Regression against dense formulas, REML identities, and scikit-learn's behaviour."""

import numpy as np
import pytest

from gradiverse import gp

RNG = np.random.default_rng(19)
X = np.sort(RNG.uniform(0, 10, 30))
Y = np.sin(X) + 0.3 * X + 2.0 + 0.2 * RNG.normal(size=30)
XS = np.linspace(-1, 11, 9)
KERNEL = gp.Matern52(1.5, 1.2) + gp.White(0.04)


def dense(mean, noise):
    """Universal kriging with all matrices written out."""
    H, Hs = {
        None: (np.empty((30, 0)), np.empty((9, 0))),
        "constant": (np.ones((30, 1)), np.ones((9, 1))),
        "linear": (np.c_[np.ones(30), X], np.c_[np.ones(9), XS]),
    }[mean]
    K, Ks = KERNEL(X), KERNEL(XS, X)
    Kss = KERNEL(XS) if noise else KERNEL(XS, XS)
    Ki = np.linalg.inv(K)
    G = H.T @ Ki @ H
    beta = np.linalg.solve(G, H.T @ Ki @ Y)
    R = Hs - Ks @ Ki @ H
    m = Hs @ beta + Ks @ Ki @ (Y - H @ beta)
    return m, Kss - Ks @ Ki @ Ks.T + R @ np.linalg.solve(G, R.T), beta, H, K


@pytest.mark.parametrize("mean", [None, "constant", "linear"])
@pytest.mark.parametrize("noise", [False, True])
def test_prediction_equals_dense(mean, noise):
    fitted = gp.GaussianProcess(kernel=KERNEL, mean=mean).fit(X, Y, optimize=False)
    m, C, beta, _, _ = dense(mean, noise)
    got, cov = fitted.predict(XS, return_cov=True, noise=noise)
    np.testing.assert_allclose(got, m, atol=1e-9)
    np.testing.assert_allclose(cov, C, atol=1e-9)
    np.testing.assert_array_equal(cov, cov.T)
    got, sd = fitted.predict(XS, return_std=True, noise=noise)
    np.testing.assert_allclose(sd, np.sqrt(np.diag(C)), atol=1e-9)
    np.testing.assert_allclose(fitted.predict(XS), m, atol=1e-9)
    np.testing.assert_allclose(fitted.coefficients_, beta, atol=1e-9)


@pytest.mark.parametrize("mean", ["constant", "linear"])
def test_reml_is_the_density_of_contrasts(mean):
    _, _, _, H, K = dense(mean, False)
    q, _ = np.linalg.qr(np.c_[H, RNG.normal(size=(30, 30 - H.shape[1]))])
    A = q[:, H.shape[1] :].T
    want = gp.log_likelihood(A @ K @ A.T, A @ Y)
    fitted = gp.GaussianProcess(KERNEL, mean, "reml").fit(X, Y, optimize=False)
    np.testing.assert_allclose(fitted.log_marginal_likelihood(), want, rtol=1e-10)
    np.testing.assert_allclose(fitted.log_marginal_likelihood_value_, want, rtol=1e-10)


def test_ml_with_a_mean_profiles_the_coefficients():
    _, _, beta, H, K = dense("linear", False)
    want = gp.log_likelihood(K, Y - H @ beta)
    fitted = gp.GaussianProcess(KERNEL, "linear").fit(X, Y, optimize=False)
    np.testing.assert_allclose(fitted.log_marginal_likelihood(), want, rtol=1e-10)
    np.testing.assert_allclose(fitted.log_marginal_likelihood_value_, want, rtol=1e-10)


@pytest.mark.parametrize(
    ("mean", "method"),
    [(None, "ml"), ("constant", "ml"), ("linear", "ml"), ("linear", "reml")],
)
def test_gradient_of_the_likelihood(mean, method):
    fitted = gp.GaussianProcess(KERNEL, mean, method).fit(X, Y, optimize=False)
    theta = KERNEL.theta + 0.1
    value, slope = fitted.log_marginal_likelihood(theta, gradient=True)
    np.testing.assert_allclose(value, fitted.log_marginal_likelihood(theta), rtol=1e-12)
    for i, e in enumerate(1e-5 * np.eye(3)):
        up = fitted.log_marginal_likelihood(theta + e)
        down = fitted.log_marginal_likelihood(theta - e)
        # truncation 1e-10 of third derivatives, rounding 1e-14 |value| / 1e-5
        assert abs(slope[i] - (up - down) / 2e-5) < 1e-6 * (1 + abs(slope[i]))


@pytest.mark.parametrize(("mean", "method"), [(None, "ml"), ("constant", "reml")])
def test_optimum_is_stationary_and_better_than_the_start(mean, method):
    fitted = gp.GaussianProcess(KERNEL, mean, method).fit(X, Y)
    assert fitted.converged_
    value, slope = fitted.log_marginal_likelihood(gradient=True)
    assert np.abs(slope).max() < 1e-3 * (1 + abs(value))
    start = gp.GaussianProcess(KERNEL, mean, method).fit(X, Y, optimize=False)
    assert value > start.log_marginal_likelihood()
    np.testing.assert_allclose(value, fitted.log_marginal_likelihood_value_, rtol=1e-9)


@pytest.mark.parametrize("unit", [1e-4, 1e5])
@pytest.mark.parametrize(("mean", "method"), [(None, "ml"), ("linear", "reml")])
def test_data_in_other_units_give_the_same_fit(mean, method, unit):
    one = gp.GaussianProcess(KERNEL, mean, method).fit(X, Y)
    two = gp.GaussianProcess(KERNEL, mean, method).fit(X, unit * Y)
    np.testing.assert_allclose(two.predict(XS), unit * one.predict(XS), rtol=1e-2)
    np.testing.assert_allclose(
        two.log_marginal_likelihood_value_,
        one.log_marginal_likelihood_value_
        - (30 - len(np.atleast_1d(one.coefficients_)) * (method == "reml"))
        * np.log(unit),
        atol=1e-4,
    )


def test_a_hyper_parameter_at_its_bound_warns():
    k = gp.Matern52(1.5, 1.2) + gp.White(0.04, bounds={"variance": (0.03, 0.1)})
    with pytest.warns(UserWarning, match=r"White\.variance ended at its bound 0\.1"):
        gp.GaussianProcess(k).fit(X, Y + np.where(np.arange(30) % 2, 1.0, -1.0))


def test_restarts_are_seeded_and_never_worse():
    one = gp.GaussianProcess(KERNEL).fit(X, Y)
    more = [gp.GaussianProcess(KERNEL, restarts=3).fit(X, Y, rng=5) for _ in range(2)]
    assert more[0].log_marginal_likelihood_value_ >= (
        one.log_marginal_likelihood_value_ - 1e-9
    )
    np.testing.assert_array_equal(more[0].kernel_.theta, more[1].kernel_.theta)


def test_scikit_learn_agrees():
    sk = pytest.importorskip("sklearn.gaussian_process")
    k = sk.kernels.ConstantKernel(1.5) * sk.kernels.Matern(
        1.2, nu=2.5
    ) + sk.kernels.WhiteKernel(0.04)
    theirs = sk.GaussianProcessRegressor(k, alpha=0).fit(X[:, None], Y)
    ours = gp.GaussianProcess(KERNEL).fit(X, Y)
    np.testing.assert_allclose(
        ours.log_marginal_likelihood_value_,
        theirs.log_marginal_likelihood_value_,
        atol=1e-4,
    )
    np.testing.assert_allclose(ours.kernel_.theta, theirs.kernel_.theta, atol=2e-2)
    fixed = gp.GaussianProcess(
        KERNEL.with_theta(theirs.kernel_.theta)
    ).fit(X, Y, optimize=False)  # fmt: skip
    m, sd = theirs.predict(XS[:, None], return_std=True)
    got, mine = fixed.predict(XS, return_std=True, noise=True)
    np.testing.assert_allclose(got, m, atol=1e-8)
    np.testing.assert_allclose(mine, sd, atol=1e-8)


def test_known_noise_variances():
    v = RNG.uniform(0.01, 0.2, 30)
    k = gp.Matern52(1.5, 1.2)
    fitted = gp.GaussianProcess(k, noise_variance=v).fit(X, Y, optimize=False)
    K = k(X) + np.diag(v)
    np.testing.assert_allclose(
        fitted.predict(XS), k(XS, X) @ np.linalg.solve(K, Y), atol=1e-10
    )


def test_kernel_from_years_inside_a_process():
    years = RNG.normal(size=(6, 12)).cumsum(1)
    k = gp.PCA(years, 2) + gp.SquaredExponential(1.0, 2.0) + gp.White(0.1)
    y = RNG.normal(size=12)
    fitted = gp.GaussianProcess(k).fit(np.arange(12)[:6], y[:6])
    kk = fitted.kernel_
    mean, cov = fitted.predict(np.arange(12)[6:], return_cov=True, noise=True)
    m, c = gp.condition(kk(np.arange(12)), 0.0, range(6), y[:6])
    np.testing.assert_allclose(mean, m, atol=1e-9)
    np.testing.assert_allclose(cov, c, atol=1e-9)
    again = fitted.predict(np.arange(12)[8:])
    np.testing.assert_allclose(again, m[2:], atol=1e-9)


def test_large_matrices_take_the_same_values_as_small_ones():
    """65 points and more go through LAPACK: the border is seamless."""
    x = np.linspace(0, 20, 65)
    y = np.sin(x)
    k = gp.Matern32(1.0, 2.0) + gp.White(0.05)
    for n in (64, 65):
        K = k(x[:n])
        fitted = gp.GaussianProcess(k).fit(x[:n], y[:n], optimize=False)
        m, sd = fitted.predict(XS, return_std=True)
        solved = np.linalg.solve(K, np.c_[y[:n], k(x[:n], XS)])
        np.testing.assert_allclose(m, k(XS, x[:n]) @ solved[:, 0], atol=1e-10)
        var = k.diag(XS, white=False) - np.sum(k(XS, x[:n]) * solved[:, 1:].T, 1)
        np.testing.assert_allclose(sd, np.sqrt(var), atol=1e-7)


def test_samples_have_the_posterior_mean_and_covariance():
    fitted = gp.GaussianProcess(KERNEL).fit(X, Y, optimize=False)
    draws = fitted.sample(XS[:4], 200_000, rng=3)
    mean, cov = fitted.predict(XS[:4], return_cov=True)
    assert draws.shape == (200_000, 4)
    scale = np.sqrt(np.diag(cov).max() / 200_000)
    np.testing.assert_allclose(draws.mean(0), mean, atol=5 * scale)
    np.testing.assert_allclose(
        np.cov(draws.T), cov, atol=5 * 1.5 * np.diag(cov).max() / np.sqrt(200_000)
    )
    np.testing.assert_array_equal(draws, fitted.sample(XS[:4], 200_000, rng=3))


def test_functionals_are_w_c_w():
    fitted = gp.GaussianProcess(KERNEL, "constant").fit(X, Y, optimize=False)
    W = RNG.normal(size=(3, 9))
    mean, cov = fitted.predict(XS, return_cov=True, noise=True)
    m, c = fitted.functional(XS, W, noise=True)
    np.testing.assert_allclose(m, W @ mean, rtol=1e-12)
    np.testing.assert_allclose(c, W @ cov @ W.T, rtol=1e-12, atol=1e-14)
    _, v = fitted.functional(XS, np.ones(9))
    assert v > 0


def test_prior_before_fitting():
    free = gp.GaussianProcess(KERNEL)
    mean, sd = free.predict(XS, return_std=True)
    np.testing.assert_array_equal(mean, 0.0)
    np.testing.assert_allclose(sd, np.sqrt(1.5))
    _, cov = free.predict(XS, return_cov=True, noise=True)
    np.testing.assert_allclose(cov, KERNEL(XS))
    assert free.sample(XS, 2, 0).shape == (2, 9)


def test_a_mean_of_ones_own():
    fitted = gp.GaussianProcess(KERNEL, lambda x: np.c_[np.sin(x[:, 0]), x]).fit(X, Y)
    assert fitted.coefficients_.shape == (2,)
    np.testing.assert_allclose(fitted.coefficients_[0], 1.0, atol=0.5)


def test_singular_kernel_names_a_jitter_that_works():
    x = np.linspace(0, 1, 80)
    k = gp.SquaredExponential(1.0, 1.0)
    with pytest.raises(np.linalg.LinAlgError, match="jitter of") as caught:
        gp.GaussianProcess(k).fit(x, np.sin(x), optimize=False)
    jitter = float(str(caught.value).split("jitter of ")[1].split()[0])
    fitted = gp.GaussianProcess(k + gp.White(jitter)).fit(x, np.sin(x), optimize=False)
    np.testing.assert_allclose(fitted.predict([0.5]), np.sin(0.5), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: gp.GaussianProcess(1.0), TypeError, "must be a Kernel"),
        (lambda: gp.GaussianProcess(KERNEL, "cubic"), ValueError, "mean must be"),
        (lambda: gp.GaussianProcess(KERNEL, method="x"), ValueError, "method must be"),
        (lambda: gp.GaussianProcess(KERNEL, method="reml"), ValueError, "needs a mean"),
        (lambda: gp.GaussianProcess(KERNEL).fit(X, Y[:3]), ValueError, "y must have"),
        (lambda: gp.GaussianProcess(KERNEL).fit([], []), ValueError, "no points"),
        (
            lambda: gp.GaussianProcess(KERNEL).fit(X, np.where(Y > 4, np.nan, Y)),
            ValueError,
            "y has nan",
        ),
        (
            lambda: gp.GaussianProcess(KERNEL, noise_variance=[1.0]).fit(X, Y),
            ValueError,
            "noise_variance",
        ),
        (
            lambda: gp.GaussianProcess(KERNEL).log_marginal_likelihood(),
            RuntimeError,
            "call fit",
        ),
        (
            lambda: gp.GaussianProcess(KERNEL, "constant").predict(XS),
            RuntimeError,
            "improper",
        ),
        (
            lambda: (
                gp.GaussianProcess(KERNEL)
                .fit(X, Y, optimize=False)
                .predict(np.zeros((3, 2)))
            ),
            ValueError,
            "coordinates per point",
        ),
        (
            lambda: (
                gp.GaussianProcess(KERNEL)
                .fit(X, Y, optimize=False)
                .predict(XS, return_std=True, return_cov=True)
            ),
            ValueError,
            "not for both",
        ),
        (
            lambda: (
                gp.GaussianProcess(KERNEL)
                .fit(X, Y, optimize=False)
                .log_marginal_likelihood([0.0])
            ),
            ValueError,
            r"\(3,\)",
        ),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_gradient_at_the_fit_uses_its_factor():
    """The likelihood and gradient from the factor at hand are those computed anew."""
    rng = np.random.default_rng(5)
    x = np.sort(rng.uniform(0, 10, 40))
    y = np.sin(x) + 0.1 * rng.normal(size=40)
    k = gp.SquaredExponential(1.3, 1.7) + gp.White(0.05)
    for optimize in (False, True):
        model = gp.GaussianProcess(kernel=k).fit(x, y, optimize=optimize)
        value, slope = model.log_marginal_likelihood(gradient=True)
        anew, fresh = model.log_marginal_likelihood(model.kernel_.theta, gradient=True)
        np.testing.assert_allclose(value, anew, rtol=1e-12)
        scale = np.abs(fresh).max() + len(x) * 1e-10
        np.testing.assert_allclose(slope, fresh, atol=1e-8 * scale + 1e-9)
        assert model.log_marginal_likelihood() == value
