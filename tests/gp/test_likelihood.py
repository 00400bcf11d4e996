"""Log likelihood and REML: closed forms, identities, derivatives, batches."""

import numpy as np
import pytest

import gradiverse as gv
from gradiverse import _core, gp

RNG = np.random.default_rng(7)


def spd(*shape):
    n = shape[-1]
    a = RNG.normal(size=(*shape, 2 * n))
    return a @ np.swapaxes(a, -1, -2) / n + 0.3 * np.eye(n)


def dense(K, r):
    q = np.einsum("...i,...ij,...j->...", r, np.linalg.inv(K), r)
    T = K.shape[-1]
    return -0.5 * (q + np.linalg.slogdet(K)[1] + T * np.log(2 * np.pi))


@pytest.mark.parametrize("T", [1, 2, 4, 5, 25, 63, 64, 65, 150])
@pytest.mark.parametrize("level", ["base", "avx2", "avx512"])
def test_value(T, level):
    K, r = spd(11, T), RNG.normal(size=(11, T))
    before = _core.simd()
    try:
        _core.set_simd(level)
        value = gp.log_likelihood(K, r)
    finally:
        _core.set_simd(before)
    np.testing.assert_allclose(value, dense(K, r), rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e30, 1e150])
def test_extreme_scales_neither_overflow_nor_vanish(scale):
    K, r = spd(64), RNG.normal(size=64)
    value = gp.log_likelihood(scale * K, np.sqrt(scale) * r)
    want = dense(K, r) - 32 * np.log(scale)
    np.testing.assert_allclose(value, want, rtol=1e-12)


@pytest.mark.parametrize(("T", "m"), [(5, 1), (5, 7), (5, 8), (25, 300), (80, 100)])
def test_many_series_share_a_kernel(T, m):
    K, r = spd(2, T), RNG.normal(size=(2, m, T))
    want = dense(K[:, None], r)
    np.testing.assert_allclose(gp.log_likelihood(K, r), want, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize(("T", "m"), [(6, 1), (6, 3), (6, 9), (30, 40), (70, 2)])
def test_gradient_is_the_formula(T, m):
    """½ Σ g (ααᵀ - K⁻¹) and -g α."""
    K, r, w = spd(T), RNG.normal(size=(m, T)), RNG.normal(size=m)

    def f(K, r):
        return np.sum(w * gp.log_likelihood(K, r))

    g_K, g_r = gv.grad(f, argnums=(0, 1))(K, r)
    inverse = np.linalg.inv(K)
    alpha = r @ inverse
    want = 0.5 * (np.einsum("s,si,sj->ij", w, alpha, alpha) - w.sum() * inverse)
    scale = np.abs(want).max()
    np.testing.assert_allclose(g_K, want, atol=1e-11 * scale)
    np.testing.assert_array_equal(g_K, g_K.T)
    np.testing.assert_allclose(g_r, -w[:, None] * alpha, atol=1e-11)


def test_second_derivatives():
    k = gp.Matern52(1.3, 2.0) + gp.White(0.2)
    y = RNG.normal(size=9)
    gv.testing.check_grads(
        lambda theta, y: gp.log_likelihood(k.with_theta(theta)(np.arange(9)), y),
        (k.theta, y),
        order=2,
    )


@pytest.mark.parametrize(("B", "m", "T"), [(700, 1, 25), (1, 600, 25), (3, 2, 300)])
def test_same_bits_with_one_and_two_threads(B, m, T):
    K, r = spd(B, T), RNG.normal(size=(B, m, T))
    f = gv.compile(gv.value_and_grad(lambda K: np.sum(gp.log_likelihood(K, r))))
    before, out = _core.get_threads(), []
    try:
        for n in (1, 2):
            _core.set_threads(n)
            out.append(f(K))
    finally:
        _core.set_threads(before)
    assert out[0][0] == out[1][0]
    np.testing.assert_array_equal(out[0][1], out[1][1])


def test_vmap_with_shared_and_distinct_hyper_parameters():
    k = gp.SquaredExponential(1.0, 2.0) + gp.White(0.1)
    X, Y = np.arange(25.0), RNG.normal(size=(40, 25))
    theta = k.theta + 0.2 * RNG.normal(size=(40, 3))

    def loss(theta, y):
        return -gp.log_likelihood(k.with_theta(theta)(X), y)

    both = gv.value_and_grad(loss)
    distinct = gv.compile(gv.vmap(both))(theta, Y)
    shared = gv.compile(gv.vmap(both, in_axes=(None, 0)))(k.theta, Y)
    for i in range(0, 40, 7):
        for got, t in ((distinct, theta[i]), (shared, k.theta)):
            value, slope = both(t, Y[i])
            np.testing.assert_allclose(got[0][i], value, rtol=1e-12)
            np.testing.assert_allclose(got[1][i], slope, rtol=1e-9, atol=1e-10)


# --- REML --------------------------------------------------------------------------


def test_reml_is_the_density_of_contrasts():
    """Any orthonormal contrasts between the series give the same value."""
    N, T = 5, 4
    K, Y = spd(T), RNG.normal(size=(N, T))
    q, _ = np.linalg.qr(np.c_[np.ones(N), RNG.normal(size=(N, N - 1))])
    contrasts = q[:, 1:].T @ Y
    want = dense(np.broadcast_to(K, (N - 1, T, T)), contrasts).sum()
    np.testing.assert_allclose(gp.restricted_log_likelihood(K, Y), want, rtol=1e-12)


def test_reml_formula_and_gradient():
    N, T = 6, 5
    K, Y = spd(T), RNG.normal(size=(N, T))
    S = (Y - Y.mean(0)).T @ (Y - Y.mean(0))
    inverse = np.linalg.inv(K)
    want = -0.5 * (
        (N - 1) * (np.linalg.slogdet(K)[1] + T * np.log(2 * np.pi))
        + np.trace(inverse @ S)
    )
    value, slope = gv.value_and_grad(gp.restricted_log_likelihood)(K, Y)
    np.testing.assert_allclose(value, want, rtol=1e-12)
    expected = 0.5 * (inverse @ S @ inverse - (N - 1) * inverse)
    np.testing.assert_allclose(slope, expected, atol=1e-11 * np.abs(expected).max())


def test_reml_frees_the_variance_of_its_bias():
    """White noise: ML gives S/N of each period, REML S/(N-1)."""
    N, T = 4, 30
    Y = RNG.normal(size=(N, T))
    S = np.sum((Y - Y.mean(0)) ** 2)

    def slope(v, reml):
        K = v * np.eye(T)
        if reml:
            return gp.restricted_log_likelihood(K, Y)
        return np.sum(gp.log_likelihood(K, Y - Y.mean(0)))

    ml, reml = S / (N * T), S / ((N - 1) * T)
    assert abs(gv.grad(lambda v: slope(v, False))(ml)) < 1e-9 * N * T / ml
    assert abs(gv.grad(lambda v: slope(v, True))(reml)) < 1e-9 * N * T / reml


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: gp.log_likelihood(np.eye(3), np.ones(4)), "r must have the shape"),
        (
            lambda: gp.log_likelihood(np.ones((2, 3, 3)), np.ones((5, 3))),
            "leading axes",
        ),
        (lambda: gp.restricted_log_likelihood(np.eye(3), np.ones(3)), "do not fit"),
        (
            lambda: gp.restricted_log_likelihood(np.eye(3), np.ones((1, 3))),
            "two series",
        ),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("T", [20, 120])
def test_not_positive_definite_names_the_series_and_a_jitter(T):
    good, bad = np.eye(T), gp.SquaredExponential(1.0, 50.0)(np.arange(T))
    K = np.stack([good] * 13 + [bad] * 2)
    with pytest.raises(np.linalg.LinAlgError, match="series 13") as caught:
        gp.log_likelihood(K, np.ones((15, T)))
    jitter = float(str(caught.value).split("jitter of ")[1].split()[0])
    value = gp.log_likelihood(K + jitter * np.eye(T), np.ones((15, T)))
    assert np.isfinite(value).all()
