"""Gaussian processes against NumPy, JAX, tinygp, scikit-learn and george.

python -m benchmarks.speed.gp THREADS
"""

from benchmarks.speed.measure import (
    interleave,
    limit_threads,
    report,
    scaled,
    threads_argument,
)

THREADS = threads_argument(2)
limit_threads(THREADS)

import warnings  # noqa: E402

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import tinygp  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.gaussian_process import GaussianProcessRegressor  # noqa: E402
from sklearn.gaussian_process.kernels import (  # noqa: E402
    RBF,
    ConstantKernel,
    WhiteKernel,
)

import gradiverse as gv  # noqa: E402

jax.config.update("jax_enable_x64", True)
warnings.simplefilter("ignore", ConvergenceWarning)
X = np.arange(25.0)
TRUTH = np.exp(-0.5 * (X[:, None] - X) ** 2 / 9) + 0.04 * np.eye(25)
RNG = np.random.default_rng(0)
Y = RNG.multivariate_normal(np.zeros(25), TRUTH, 1000)
KERNEL = gv.gp.SquaredExponential(1.0, 2.0) + gv.gp.White(0.1)
SKLEARN = ConstantKernel(1.0) * RBF(2.0) + WhiteKernel(0.1)


def conditioning(B=20000):
    """Six of 25 points observed, every kernel another one, full covariance."""
    K = TRUTH * RNG.uniform(0.5, 2, (B, 1, 1))
    y, observed = RNG.normal(size=(B, 6)), np.arange(6)

    def numpy():
        A, C = K[:, :6, :6], K[:, 6:, :6]
        s = np.linalg.solve(A, np.swapaxes(C, 1, 2))
        return np.einsum("bij,bi->bj", s, y), K[:, 6:, 6:] - C @ s

    def one(K, y):
        L, C = jnp.linalg.cholesky(K[:, :6, :6]), K[:, 6:, :6]
        W = jax.scipy.linalg.solve_triangular(L, jnp.swapaxes(C, 1, 2), lower=True)
        u = jax.scipy.linalg.solve_triangular(L, y[..., None], lower=True)
        mean = jnp.einsum("bij,bik->bj", W, u)
        return mean, K[:, 6:, 6:] - jnp.swapaxes(W, 1, 2) @ W

    compiled, Kj, yj = jax.jit(one), jnp.asarray(K), jnp.asarray(y)
    cases = {
        "gradiverse": lambda: gv.gp.condition(K, 0.0, observed, y),
        "numpy": numpy,
        "jax.jit": lambda: jax.block_until_ready(compiled(Kj, yj)),
    }
    for a, b, c in zip(*(f() for f in cases.values()), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10)
        np.testing.assert_allclose(a, c, atol=1e-10)
    report(
        "conditioning, distinct kernels, 6 of 25 observed",
        "us each",
        scaled(interleave(cases, seconds=6), 1e6 / B),
        "numpy / ours >= 4, <= 1 us",
    )


def fits():
    """Three hyper-parameters of 25 points by marginal likelihood."""
    turn = [0]

    def theirs():
        turn[0] = (turn[0] + 1) % len(Y)
        GaussianProcessRegressor(SKLEARN).fit(X[:, None], Y[turn[0]])

    _, value = gv.gp.fit_batch(KERNEL, X, Y)
    found = [GaussianProcessRegressor(SKLEARN).fit(X[:, None], y) for y in Y[:20]]
    other = [f.log_marginal_likelihood_value_ for f in found]
    assert np.mean(value[:20] >= np.array(other) - 1e-3) >= 0.9  # two maxima are rare
    cases = {
        "gradiverse": lambda: gv.gp.fit_batch(KERNEL, X, Y),
        "scikit-learn": theirs,
    }
    times = interleave(cases, seconds=6, least=15)
    each = {
        "gradiverse": tuple(1e3 * t / len(Y) for t in times["gradiverse"]),
        "scikit-learn": tuple(1e3 * t for t in times["scikit-learn"]),
    }
    report(
        "marginal-likelihood fit, 25 points, 3 hyper-parameters, 1000 at once",
        "ms each",
        each,
        "scikit-learn / ours >= 15",
    )


def gradients():
    """Log likelihood and its gradient, one kernel shared by all or one per series."""

    def ours(theta, y):
        return -gv.gp.log_likelihood(KERNEL.with_theta(theta)(X), y)

    def theirs(theta, y):
        v, scale, noise = jnp.exp(theta)
        kernel = v * tinygp.kernels.ExpSquared(scale)
        process = tinygp.GaussianProcess(kernel, jnp.asarray(X), diag=noise)
        return -process.log_probability(y)

    for what, axis in (("own kernels", 0), ("shared kernel", None)):
        theta = KERNEL.theta
        if axis == 0:
            theta = theta + 0.1 * RNG.normal(size=(len(Y), 3))
        f = gv.compile(gv.vmap(gv.value_and_grad(ours), in_axes=(axis, 0)))
        g = jax.jit(jax.vmap(jax.value_and_grad(theirs), (axis, 0)))
        tj, yj = jnp.asarray(theta), jnp.asarray(Y)
        cases = {
            "gradiverse": lambda f=f, t=theta: f(t, Y),
            "tinygp": lambda g=g, t=tj, y=yj: jax.block_until_ready(g(t, y)),
        }
        for a, b in zip(*(c() for c in cases.values()), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8)
        report(
            f"value and gradient, 25 points, 3 hyper-parameters, {what}",
            "us each",
            scaled(interleave(cases, seconds=6), 1e6 / len(Y)),
            "tinygp / ours >= 3, <= 7 us",
        )


def large(n=4000):
    """One process of 4000 points: factor, predict 500 points with sd."""
    x = RNG.uniform(0, 100, n)
    y = np.sin(x) + 0.1 * RNG.normal(size=n)
    at = np.linspace(0, 100, 500)
    kernel = gv.gp.SquaredExponential(1.0, 2.0) + gv.gp.White(0.09)
    sk = ConstantKernel(1.0) * RBF(2.0) + WhiteKernel(0.09)

    def ours(gradient=False):
        process = gv.gp.GaussianProcess(kernel=kernel).fit(x, y, optimize=False)
        if gradient:
            process.log_marginal_likelihood(gradient=True)
        return process.predict(at, return_std=True)

    def scikit():
        process = GaussianProcessRegressor(sk, optimizer=None, alpha=0.0)
        return process.fit(x[:, None], y).predict(at[:, None], return_std=True)

    cases = {
        "gradiverse": ours,
        "with gradient": lambda: ours(True),
        "scikit-learn": scikit,
    }
    try:
        import george
    except ImportError:
        george = None
    if george is not None:

        def theirs():
            process = george.GP(1.0 * george.kernels.ExpSquaredKernel(4.0))
            process.compute(x, 0.3)
            return process.predict(y, at, return_var=True)

        cases["george"] = theirs
        np.testing.assert_allclose(ours()[0], theirs()[0], atol=1e-6)
    np.testing.assert_allclose(ours()[0], scikit()[0], atol=1e-6)
    times = interleave(cases, seconds=20, least=5, warm=1)
    slow = {
        "gradiverse": times.pop("with gradient"),
        "scikit-learn": times["scikit-learn"],
    }
    work = f"one process of {n} points: fit and predict 500 with sd"
    report(work, "s", times, "ours <= george")
    report(
        f"{work}, likelihood gradient too (scikit-learn's without)",
        "s",
        slow,
        "ours <= scikit-learn",
    )


if __name__ == "__main__":
    conditioning()
    fits()
    gradients()
    large()
