"""Conditioning against dense formulas, in every layout of the batch."""

import numpy as np
import pytest

import gradiverse as gv
from gradiverse import _core, gp

RNG = np.random.default_rng(5)


def spd(*shape):
    n = shape[-1]
    a = RNG.normal(size=(*shape, 2 * n))
    return a @ np.swapaxes(a, -1, -2) / n + 0.3 * np.eye(n)


def dense(K, prior, observed, values):
    """Through the precision matrix: cov = inverse of its block of the rest."""
    o = np.asarray(observed, int)
    z = np.setdiff1d(np.arange(len(K)), o)
    precision = np.linalg.inv(K)
    cov = np.linalg.inv(precision[np.ix_(z, z)])
    return prior[z] - cov @ precision[np.ix_(z, o)] @ (values - prior[o]), cov


@pytest.mark.parametrize(
    ("T", "observed"),
    [
        (1, []), (2, [1]), (5, [4, 0, 2]), (25, range(6)), (25, range(19, 25)),
        (33, range(0, 33, 2)), (64, RNG.permutation(64)[:40]), (65, range(7)),
        (80, RNG.permutation(80)[:79]), (200, RNG.permutation(200)[:30]), (70, []),
    ],
)  # fmt: skip
def test_schur_complement_is_the_inverse_of_the_precision_block(T, observed):
    observed = list(observed)
    K, prior, values = spd(T), RNG.normal(size=T), RNG.normal(size=len(observed))
    mean, cov = gp.condition(K, prior, observed, values)
    m, c = dense(K, prior, observed, values)
    # two inversions of condition number below 100 on the side of the test
    np.testing.assert_allclose(mean, m, atol=1e-11)
    np.testing.assert_allclose(cov, c, atol=1e-11)
    np.testing.assert_array_equal(cov, cov.T)


def test_conditioning_on_all_points_leaves_nothing():
    mean, cov = gp.condition(spd(4), np.zeros(4), [3, 1, 0, 2], np.ones(4))
    assert mean.shape == (0,)
    assert cov.shape == (0, 0)


def test_conditioning_on_nothing_returns_the_prior():
    K, prior = spd(6), np.arange(6.0)
    mean, cov = gp.condition(K, prior, [], np.empty(0))
    np.testing.assert_array_equal(mean, prior)
    np.testing.assert_allclose(cov, K, rtol=1e-15)


def test_values_without_noise_are_interpolated():
    """A point that repeats an observed one takes its value, with no variance."""
    t = np.array([0.0, 1.0, 2.0, 1.0])
    K = gp.Matern32(1.0, 2.0)(t)
    mean, cov = gp.condition(K, np.zeros(4), [0, 1, 2], [0.3, -1.0, 0.5])
    np.testing.assert_allclose(mean, [-1.0], atol=1e-12)
    np.testing.assert_allclose(cov, [[0.0]], atol=1e-12)


def loop(K, prior, observed, values):
    lead = np.broadcast_shapes(K.shape[:-2], prior.shape[:-1], values.shape[:-1])
    T = K.shape[-1]
    Kb = np.broadcast_to(K, (*lead, T, T))
    pb = np.broadcast_to(prior, (*lead, T))
    vb = np.broadcast_to(values, (*lead, values.shape[-1]))
    out = [gp.condition(Kb[i], pb[i], observed, vb[i]) for i in np.ndindex(*lead)]
    r = T - values.shape[-1]
    mean = np.array([m for m, _ in out]).reshape(*lead, r)
    return mean, np.array([c for _, c in out]).reshape(*lead, r, r)


@pytest.mark.parametrize(
    ("kernels", "priors", "series"),
    [
        ((), (), ()), ((), (), (300,)), ((), (4, 3), (4, 3)), ((20,), (), (20,)),
        ((7,), (7,), (7,)), ((7,), (), ()), ((7,), (), (3, 7)), ((7, 1), (), (7, 5)),
        ((1, 4), (), (3, 4)), ((2, 3), (3,), (2, 3)), ((0,), (), (0,)),
        ((1,), (), (6,)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("observed", [range(6), [7, 0, 3]])
def test_batch_is_the_loop(kernels, priors, series, observed):
    K, prior = spd(*kernels, 12), RNG.normal(size=(*priors, 12))
    values = RNG.normal(size=(*series, len(observed)))
    mean, cov = gp.condition(K, prior, observed, values)
    assert cov.shape == (*kernels, 12 - len(observed), 12 - len(observed))
    m, c = loop(K, prior, observed, values)
    np.testing.assert_allclose(mean, m, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(np.broadcast_to(cov, c.shape), c, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("shape", [(500, 25), (3, 90), (130, 64)])
def test_same_bits_with_one_and_two_threads(shape):
    K = spd(*shape)
    values = RNG.normal(size=(shape[0], 6))
    before, results = _core.get_threads(), []
    try:
        for n in (1, 2):
            _core.set_threads(n)
            results.append(gp.condition(K, 0.0, range(6), values))
    finally:
        _core.set_threads(before)
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


@pytest.mark.parametrize("level", ["base", "avx2", "avx512"])
def test_every_instruction_set(level):
    K, values = spd(37, 23), RNG.normal(size=(37, 9))
    want = loop(K, np.zeros(23), range(3, 12), values)
    before = _core.simd()
    try:
        _core.set_simd(level)
        mean, cov = gp.condition(K, 0.0, range(3, 12), values)
    finally:
        _core.set_simd(before)
    np.testing.assert_allclose(mean, want[0], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(cov, want[1], rtol=1e-12, atol=1e-13)


def test_single_precision_stays_single():
    K = spd(5).astype(np.float32)
    mean, cov = gp.condition(K, 0.0, [1], np.ones(1, np.float32))
    assert mean.dtype == cov.dtype == np.float32
    m, _ = gp.condition(K.astype(float), 0.0, [1], np.ones(1))
    np.testing.assert_allclose(mean, m, rtol=1e-5)


# --- failures ---------------------------------------------------------------------


@pytest.mark.parametrize("T", [12, 90])
def test_not_positive_definite_names_series_pivot_and_jitter(T):
    """The jitter named in the message does make the conditioning succeed."""
    smooth = gp.SquaredExponential(1.0, 100.0)(np.arange(T))
    K = np.stack([np.eye(T), np.eye(T), smooth, smooth])
    with pytest.raises(np.linalg.LinAlgError, match="series 2") as caught:
        gp.condition(K, 0.0, range(10), np.ones(10))
    text = str(caught.value)
    assert "pivot" in text
    jitter = float(text.split("jitter of ")[1].split()[0])
    assert 0 < jitter < 1e-10
    mean, _ = gp.condition(K + jitter * np.eye(T), 0.0, range(10), np.ones(10))
    assert np.isfinite(mean).all()


def test_pivot_is_a_point_of_the_series():
    K = np.diag([1.0, 2.0, -1.0, 3.0])
    with pytest.raises(np.linalg.LinAlgError, match=r"pivot 1 \(point 2\)"):
        gp.condition(K, 0.0, [0, 2], [1.0, 1.0])


def test_entries_that_are_not_finite_are_located():
    K = np.eye(4)
    K[3, 1] = K[1, 3] = np.nan
    with pytest.raises(np.linalg.LinAlgError, match=r"nan at \[1, 3\]"):
        gp.condition(K, 0.0, [1, 3], [1.0, 1.0])


@pytest.mark.parametrize(
    ("args", "error", "words"),
    [
        ((np.ones((3, 4)), 0.0, [0], [1.0]), ValueError, r"\(\.\.\., T, T\)"),
        ((np.eye(3), 0.0, [3], [1.0]), ValueError, "3 is not one of 0..2"),
        ((np.eye(3), 0.0, [-1], [1.0]), ValueError, "-1 is not one of 0..2"),
        ((np.eye(3), 0.0, [1, 1], [1.0, 1.0]), ValueError, "1 is observed twice"),
        ((np.eye(3), 0.0, [0.5], [1.0]), TypeError, "int indices"),
        ((np.eye(3), 0.0, [0], [1.0, 2.0]), ValueError, "values must have the shape"),
        ((np.eye(3), 0.0, [0], [np.nan]), ValueError, "values has nan"),
        ((np.eye(3), np.zeros(2), [0], [1.0]), ValueError, "prior_mean"),
        ((np.eye(3), 0.0, [[0]], [1.0]), ValueError, "one-dimensional"),
        ((np.eye(3), 0.0, [True], [1.0]), ValueError, "mask"),
        ((np.eye(3) * 1j, 0.0, [0], [1.0]), TypeError, "complex"),
        (
            (np.ones((2, 3, 3)), 0.0, [0], np.ones((5, 1))),
            ValueError,
            "leading axes",
        ),
    ],
)
def test_bad_input(args, error, words):
    with pytest.raises(error, match=words):
        gp.condition(*args)


def test_mask_of_observed_points():
    K, mask = spd(4), np.array([False, True, False, True])
    for a, b in zip(
        gp.condition(K, 0.0, mask, [1.0, 2.0]),
        gp.condition(K, 0.0, [1, 3], [1.0, 2.0]),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


# --- derivatives and functionals ----------------------------------------------------


@pytest.mark.parametrize("T", [7, 70])
def test_derivatives_through_kernel_prior_and_values(T):
    k = gp.Matern32(1.0, 2.0) + gp.White(0.2)
    prior, values = RNG.normal(size=T), RNG.normal(size=3)

    def f(theta, prior, values):
        K = k.with_theta(theta)(np.arange(T))
        mean, cov = gp.condition(K, prior, [0, 4, 2], values)
        return np.sum(np.sin(mean)) + np.sum(np.square(cov))

    gv.testing.check_grads(f, (k.theta, prior, values), order=2 if T < 10 else 1)


def test_vmap_over_series_and_over_kernels():
    K, values = spd(5, 8), RNG.normal(size=(5, 2))
    shared = gv.vmap(lambda v: gp.condition(K[0], 0.0, [1, 5], v))(values)
    own = gv.vmap(lambda k, v: gp.condition(k, 0.0, [1, 5], v))(K, values)
    for i in range(5):
        for got, kernel in ((shared, K[0]), (own, K[i])):
            mean, cov = gp.condition(kernel, 0.0, [1, 5], values[i])
            np.testing.assert_allclose(got[0][i], mean, rtol=1e-12)
            np.testing.assert_allclose(got[1][i], cov, rtol=1e-12)


def test_variance_of_a_sum_is_the_sum_of_the_covariance():
    C = spd(3, 9)
    w, v = RNG.normal(size=(3, 9)), RNG.normal(size=9)
    want = np.einsum("bi,bij,bj->b", w, C, w)
    np.testing.assert_allclose(gp.variance(C, w), want, rtol=1e-12)
    np.testing.assert_allclose(gp.variance(C, np.ones(9)), C.sum((1, 2)), rtol=1e-12)
    want = np.einsum("bi,bij,j->b", w, C, v)
    np.testing.assert_allclose(gp.covariance(C, w, v), want, rtol=1e-11)
    with pytest.raises(ValueError, match="w must have the shape"):
        gp.variance(C, np.ones(4))
