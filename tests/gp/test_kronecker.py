"""Structured algebra over grids against the dense matrix."""

import time

import numpy as np
import pytest

from gradiverse import gp

RNG = np.random.default_rng(13)
SHAPE = (4, 3, 25)
K = gp.Kronecker(
    gp.Matern12(1.2, 2.0),
    gp.SquaredExponential(0.8, 1.0) + gp.White(0.2),
    gp.Matern32(1.5, 4.0) + gp.White(0.1),
)
GRID = tuple(np.arange(n) for n in SHAPE)
PARTS = [RNG.uniform(0.2, 2.0, n) for n in SHAPE]
ANY = RNG.uniform(0.5, 1.5, SHAPE)


def dense(noise):
    full = K(GRID)
    if isinstance(noise, list):
        return full + np.diag(np.kron(np.kron(noise[0], noise[1]), noise[2]))
    return full + np.diag(np.broadcast_to(noise, SHAPE).ravel())


@pytest.mark.parametrize(
    "noise", [0.0, 0.7, PARTS, ANY], ids="zero one parts any".split()
)
def test_equals_dense(noise):
    """To 1e-9 on 4 x 3 x 25: products, solutions, sums, likelihood."""
    normal, C = K.normal(GRID, noise), dense(noise)
    x = RNG.normal(size=(2, 300))
    scale = np.abs(np.linalg.solve(C, x.T)).max()
    np.testing.assert_allclose(normal.matvec(x), x @ C, rtol=1e-12, atol=1e-11)
    np.testing.assert_allclose(
        normal.solve(x), np.linalg.solve(C, x.T).T, atol=1e-9 * scale
    )
    np.testing.assert_allclose(
        normal.variance(x), np.einsum("bi,ij,bj->b", x, C, x), rtol=1e-12
    )
    np.testing.assert_allclose(
        normal.covariance(x[0], x[1]), x[0] @ C @ x[1], rtol=1e-9
    )
    if normal.exact:
        value = -0.5 * (
            np.sum(x * np.linalg.solve(C, x.T).T, axis=1)
            + np.linalg.slogdet(C)[1]
            + 300 * np.log(2 * np.pi)
        )
        np.testing.assert_allclose(normal.logdet, np.linalg.slogdet(C)[1], rtol=1e-9)
        np.testing.assert_allclose(normal.logpdf(x), value, rtol=1e-9)
    else:
        with pytest.raises(ValueError, match="log-determinant needs noise"):
            normal.logpdf(x)


@pytest.mark.parametrize("keep", [(), (0,), (1,), (2,), (0, 1), (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("weighted", [False, True])
def test_margins_are_sums_of_the_dense_matrix(keep, weighted):
    normal, C = K.normal(GRID, PARTS), dense(PARTS)
    w = [RNG.uniform(0.5, 2.0, n) for n in SHAPE] if weighted else None
    W = np.ones((1, 1))
    for i, n in enumerate(SHAPE):
        row = np.ones(n) if w is None else w[i]
        W = np.kron(W, np.diag(row) if i in keep else row[None])
    np.testing.assert_allclose(
        normal.margin(keep, w), W @ C @ W.T, rtol=1e-12, atol=1e-10
    )


def test_all_sums_of_a_large_study_are_fast():
    """Every margin of 20 x 10 cells x 25 periods, after all, takes well under 0.1 s."""
    k = gp.Kronecker(
        gp.Matern12(1.0, 3.0), gp.Matern12(1.0, 3.0), gp.Matern32(1.0, 4.0)
    )
    grid = (np.arange(20), np.arange(10), np.arange(25))
    noise = [RNG.uniform(1, 2, n) for n in (20, 10, 25)]
    times = []
    for _ in range(5):
        start = time.process_time()
        normal = k.normal(grid, noise)
        for keep in [(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2)]:
            normal.margin(keep)
        times.append(time.process_time() - start)
    assert min(times) < 0.1


@pytest.mark.parametrize("noise", [0.4, PARTS, ANY], ids="one parts any".split())
@pytest.mark.parametrize("observed", [range(6), [24, 3, 11], []])
def test_conditioning_on_times_equals_dense(noise, observed):
    normal, C = K.normal(GRID, noise), dense(noise)
    o = list(observed)
    prior = RNG.normal(size=SHAPE)
    values = RNG.normal(size=(*SHAPE[:2], len(o)))
    given = normal.condition(o, values, prior)
    index = np.arange(300).reshape(SHAPE)
    flat = index[..., o].ravel()
    mean, cov = gp.condition(C, prior.ravel(), flat.astype(int), values.ravel())
    np.testing.assert_allclose(given.mean.ravel(), mean, atol=1e-9)
    w = RNG.normal(size=(3, len(mean)))
    np.testing.assert_allclose(given.variance(w), gp.variance(cov, w), rtol=1e-8)
    np.testing.assert_allclose(
        given.covariance(w[0], w[1]), w[0] @ cov @ w[1], atol=1e-7
    )


def test_samples_have_the_covariance():
    k = gp.Kronecker(gp.Matern12(1.0, 1.0), gp.Matern12(2.0, 2.0))
    normal = k.normal((np.arange(2), np.arange(3)), 0.5)
    draws = normal.sample(100_000, 1).reshape(-1, 6)
    C = k((np.arange(2), np.arange(3))) + 0.5 * np.eye(6)
    # standard error of an entry: sqrt((C_ii C_jj + C_ij²)/n) < 0.012; five of them
    np.testing.assert_allclose(np.cov(draws.T), C, atol=0.06)


def test_theta_of_the_factors():
    assert K.n_hyper == 8
    moved = K.with_theta(K.theta + 0.1)
    np.testing.assert_allclose(moved.theta, K.theta + 0.1)
    np.testing.assert_allclose(K.diag(GRID), np.diag(K(GRID)), rtol=1e-13)
    cross = K(GRID, (GRID[0][:2], GRID[1], GRID[2][3:5]))
    index = np.arange(300).reshape(SHAPE)[:2, :, 3:5].ravel()
    plain = gp.Kronecker(*(f for f in K.factors))
    assert cross.shape == (300, 12)
    noiseless = np.kron(
        np.kron(K.factors[0](GRID[0], GRID[0]), K.factors[1](GRID[1], GRID[1])),
        plain.factors[2](GRID[2], GRID[2]),
    )
    np.testing.assert_allclose(cross, noiseless[:, index], rtol=1e-13)


def test_two_axes_are_enough():
    a, b = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[1.0, 0.2], [0.2, 3.0]])
    normal = gp.KroneckerNormal([a, b], noise=[[1.0, 2.0], [0.5, 0.25]])
    C = np.kron(a, b) + np.diag([0.5, 0.25, 1.0, 0.5])
    np.testing.assert_allclose(normal.solve(np.eye(4)), np.linalg.inv(C), atol=1e-12)


def test_singular_without_noise():
    normal = gp.KroneckerNormal([np.ones((2, 2)), np.eye(3)])
    with pytest.raises(np.linalg.LinAlgError, match="singular"):
        normal.solve(np.ones(6))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: gp.Kronecker(1.0), TypeError, "takes kernels"),
        (lambda: K(np.arange(3)), TypeError, "tuple of the points"),
        (lambda: K + gp.White(), TypeError, "cannot be added"),
        (lambda: K.normal(GRID, -1.0), ValueError, "not negative"),
        (lambda: K.normal(GRID, [np.ones(4)] * 3), ValueError, "lengths"),
        (lambda: K.normal(GRID).variance(np.ones(7)), ValueError, "w must have"),
        (lambda: gp.KroneckerNormal([np.ones((2, 3))]), ValueError, r"\(n, n\)"),
        (
            lambda: K.normal(GRID, 1.0).condition([0], np.ones((4, 3, 2))),
            ValueError,
            "values must have",
        ),
        (
            lambda: K.normal(GRID, np.where(ANY > 1, 0.0, 1.0)),
            ValueError,
            "positive everywhere",
        ),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()
