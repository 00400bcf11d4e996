"""Functions beyond NumPy, and outputs that are free up to signs and phases."""

import numpy as np
import pytest
import scipy.linalg
import scipy.special as sp
import scipy.stats

import gradiverse as gv
from gradiverse import graph, ops

RNG = np.random.default_rng(5)
X = RNG.normal(size=(3, 4)) * 2
P = RNG.uniform(0.2, 6, (3, 4))


def spd(n, *lead):
    a = RNG.normal(size=(*lead, n, n))
    return a @ np.swapaxes(a, -1, -2) + n * np.eye(n)


def differences(f, x, rng, step=2e-5):
    """(direction, derivative of a real function along it)."""
    d = rng.normal(size=np.shape(x))
    if np.iscomplexobj(x):
        d = d + 1j * rng.normal(size=np.shape(x))
    wide, narrow = ((f(x + h * d) - f(x - h * d)) / (2 * h) for h in (2 * step, step))
    return d, (4 * narrow - wide) / 3


def check_gradient(loss, reference, x, rtol=2e-7):
    """gv.grad of a loss against differences of the same loss in NumPy."""
    d, slope = differences(reference, x, np.random.default_rng(1))
    g = gv.grad(loss)(x)
    assert g.shape == x.shape
    mine = np.sum(np.conj(g) * d).real
    assert abs(mine - slope) <= rtol * (np.sum(np.abs(g * d)) + abs(slope)) + 1e-9


SPECIAL = [
    (ops.erf, sp.erf, X),
    (ops.erfc, sp.erfc, X),
    (ops.log_ndtr, sp.log_ndtr, X * 4),
    (ops.ndtri, sp.ndtri, RNG.uniform(0.01, 0.99, (3, 4))),
    (ops.gammaln, sp.gammaln, P),
    (ops.digamma, sp.digamma, P),
    (ops.sigmoid, sp.expit, X),
    (ops.expit, sp.expit, X),
    (ops.softplus, lambda x: np.logaddexp(0, x), X),
    (lambda x: ops.polygamma(2, x), lambda x: sp.polygamma(2, x), P),
    (lambda x: ops.polygamma(0, x), sp.digamma, P),
    (lambda x: ops.xlogy(x, P), lambda x: sp.xlogy(x, P), P),
    (ops.logsumexp, sp.logsumexp, X),
    (lambda x: ops.logsumexp(x, axis=0), lambda x: sp.logsumexp(x, axis=0), X),
    (lambda x: ops.logsumexp(x, (0, 1), True),
     lambda x: sp.logsumexp(x, (0, 1), None, True), X),
    (lambda x: ops.logsumexp(x, 1, b=P), lambda x: sp.logsumexp(x, 1, P), X),
    (ops.softmax, lambda x: sp.softmax(x, -1), X),
    (lambda x: ops.softmax(x, 0), lambda x: sp.softmax(x, 0), X),
    (lambda x: ops.softmax(x, None), sp.softmax, X),
    (ops.log_softmax, lambda x: sp.log_softmax(x, -1), X),
    (lambda x: ops.log_softmax(x, (0, 1)), sp.log_softmax, X),
    (lambda x: ops.student_t_logpdf(x, 3.5, 0.5, 2.0),
     lambda x: scipy.stats.t.logpdf(x, 3.5, 0.5, 2.0), X),
    (lambda x: ops.student_t_logpdf(0.3, x, X, P),
     lambda x: scipy.stats.t.logpdf(0.3, x, X, P), P),
    (lambda x: ops.student_t_logpdf(0.3, 5, X, x),
     lambda x: scipy.stats.t.logpdf(0.3, 5, X, x), P),
    (ops.fft_derivative, None, X),
    (lambda x: ops.fft_derivative(x, 0, 3.0), None, X),
]  # fmt: skip


@pytest.mark.parametrize(("ours", "scipys", "x"), SPECIAL)
def test_special_function(ours, scipys, x):
    eager = ours(x)
    assert isinstance(eager, (np.ndarray, np.generic))
    traced = graph.run(ours, x)
    np.testing.assert_allclose(traced, eager, rtol=1e-13, atol=1e-14)
    if scipys is not None:
        np.testing.assert_allclose(eager, scipys(x), rtol=3e-13, atol=1e-13)
        w = RNG.normal(size=np.shape(eager))
        check_gradient(
            lambda x: np.sum(w * ours(x)), lambda x: np.sum(w * scipys(x)), x
        )
    w = RNG.normal(size=np.shape(eager))
    check_gradient(lambda x: np.sum(w * ours(x)), lambda x: np.sum(w * ours(x)), x)


@pytest.mark.parametrize(
    "name", ["erf", "erfc", "log_ndtr", "ndtri", "gammaln", "digamma", "expit", "psi"]
)
def test_scipys_own_functions_on_traced_values(name):
    f, x = getattr(sp, name), P / 7
    np.testing.assert_allclose(graph.run(f, x), f(x), rtol=1e-12)
    found = graph.run(lambda x: sp.xlogy(x, x), x)
    np.testing.assert_allclose(found, sp.xlogy(x, x), rtol=1e-14)


def test_float32_stays():
    x = X.astype(np.float32)
    for f in (ops.erf, ops.softmax, ops.logsumexp, ops.fft_derivative, ops.sigmoid):
        assert f(x).dtype == np.float32
        assert graph.run(f, x).dtype == np.float32
    assert ops.student_t_logpdf(x, 3.0).dtype == np.float32
    assert ops.erf(np.arange(3)).dtype == np.float64


def test_fft_derivative_of_a_mode():
    t = np.arange(24) * (5.0 / 24)
    k = 2 * np.pi * 3 / 5.0
    np.testing.assert_allclose(
        ops.fft_derivative(np.sin(k * t), box=5.0), k * np.cos(k * t), atol=1e-12
    )
    highest = np.cos(np.pi * np.arange(8))
    np.testing.assert_allclose(ops.fft_derivative(highest), 0, atol=1e-13)


# --- linear algebra -------------------------------------------------------------


@pytest.mark.parametrize("trans", [0, 1, 2, "N", "T", "C"])
@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("vector", [True, False])
def test_solve_triangular(trans, lower, vector):
    a = RNG.normal(size=(4, 4)) + 1j * RNG.normal(size=(4, 4)) + 4 * np.eye(4)
    b = RNG.normal(size=4) if vector else RNG.normal(size=(4, 3))
    wanted = scipy.linalg.solve_triangular(a, b, trans=trans, lower=lower)
    np.testing.assert_allclose(ops.solve_triangular(a, b, lower, trans), wanted)
    found = graph.run(lambda a, b: ops.solve_triangular(a, b, lower, trans), a, b)
    np.testing.assert_allclose(found, wanted)

    def loss(a, b):
        return np.sum(np.abs(ops.solve_triangular(a, b, lower=lower, trans=trans)) ** 2)

    check_gradient(lambda a: loss(a, b), lambda a: loss(a, b), a)
    check_gradient(lambda b: loss(a, b), lambda b: loss(a, b), b)


def test_solve_triangular_broadcasts():
    a = np.tril(RNG.normal(size=(2, 1, 3, 3))) + 3 * np.eye(3)
    b = RNG.normal(size=(5, 3, 2))
    wanted = np.linalg.solve(a, b)
    np.testing.assert_allclose(ops.solve_triangular(a, b, lower=True), wanted)
    with pytest.raises(ValueError, match="trans"):
        ops.solve_triangular(a, b, trans=3)
    with pytest.raises(ValueError, match="rows"):
        graph.run(lambda a: ops.solve_triangular(a, np.ones(4)), a)


@pytest.mark.parametrize("n", [1, 3, 40])
def test_logdet(n):
    a = spd(n, 2)
    wanted = np.linalg.slogdet(a)[1]
    np.testing.assert_allclose(ops.logdet(a), wanted)
    np.testing.assert_allclose(graph.run(ops.logdet, a), wanted)
    g = gv.grad(lambda a: np.sum(ops.logdet(a)))(a)
    np.testing.assert_allclose(g, np.linalg.inv(a), rtol=1e-9, atol=1e-12)


def test_not_positive_definite_is_an_error_with_the_pivot():
    a = np.diag([1.0, 2.0, -1.0])
    for f in (np.linalg.cholesky, ops.logdet):
        with pytest.raises(np.linalg.LinAlgError, match=r"pivot"):
            graph.run(f, a)
    with pytest.raises(np.linalg.LinAlgError):
        graph.run(np.linalg.inv, np.zeros((2, 2)))
    with pytest.raises(np.linalg.LinAlgError, match="square"):
        graph.run(np.linalg.inv, np.ones((2, 3)))


def _hermitian(n, complex_):
    a = RNG.normal(size=(n, n)) + (1j * RNG.normal(size=(n, n)) if complex_ else 0)
    return a + np.conj(a.T)


@pytest.mark.parametrize("complex_", [False, True])
@pytest.mark.parametrize("UPLO", ["L", "U"])
def test_eigh(complex_, UPLO):
    a = _hermitian(5, complex_)
    w, v = graph.run(lambda a: np.linalg.eigh(a, UPLO), a)
    np.testing.assert_allclose(w, np.linalg.eigvalsh(a))
    np.testing.assert_allclose(a @ v, v * w, atol=1e-12)
    c = _hermitian(5, complex_)

    def loss(a):
        a = (a + np.conj(a.T)) / 2
        w, v = np.linalg.eigh(a, UPLO)
        rebuilt = v @ np.diag(np.exp(w / 9)) @ np.conj(v.T)
        return np.sum(np.real(c * rebuilt)) + w[0] ** 2

    check_gradient(loss, loss, a)


@pytest.mark.parametrize("complex_", [False, True])
@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5), (2, 4, 3)])
def test_svd(shape, complex_):
    a = RNG.normal(size=shape) + (1j * RNG.normal(size=shape) if complex_ else 0)
    full = shape[-1] == shape[-2]
    out = graph.run(lambda a: tuple(np.linalg.svd(a, full_matrices=full)), a)
    u, s, vh = out
    np.testing.assert_allclose((u * s[..., None, :]) @ vh, a, atol=1e-12)
    np.testing.assert_allclose(s, np.linalg.svd(a, compute_uv=False))
    c = RNG.normal(size=shape)

    def loss(a):
        u, s, vh = np.linalg.svd(a, full_matrices=False)
        return np.sum(np.real(c * ((u * np.exp(-s)[..., None, :]) @ vh))) + np.sum(s**3)

    check_gradient(loss, loss, a)


def test_svd_full_bases_have_no_derivative():
    with pytest.raises(ValueError, match="full_matrices=False"):
        graph.run(lambda a: np.linalg.svd(a)[0], np.ones((3, 2)))


def test_eig():
    a = RNG.normal(size=(4, 4))
    w, v = graph.run(lambda a: tuple(np.linalg.eig(a)), a)
    np.testing.assert_allclose(a @ v, v * w, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(v, axis=0), 1)
    c = RNG.normal(size=(4, 4))

    def loss(a):
        w, v = np.linalg.eig(a)
        rebuilt = v @ np.diag(np.exp(w / 3)) @ np.linalg.inv(v)
        return np.sum(np.real(c * rebuilt)) + np.sum(np.abs(w) ** 3)

    check_gradient(loss, loss, a)


def test_equal_eigenvalues_give_finite_gradients():
    a = np.diag([1.0, 2.0, 2.0])
    g = gv.grad(lambda a: np.sum(np.linalg.eigvalsh(a) ** 2))(a)
    np.testing.assert_allclose(g, 2 * a, atol=1e-13)
    g = gv.grad(lambda a: np.sum(np.linalg.svd(a, compute_uv=False)))(np.eye(3))
    np.testing.assert_allclose(g, np.eye(3), atol=1e-13)


def test_cholesky_gradient_is_symmetric():
    a, c = spd(4), RNG.normal(size=(4, 4))

    def loss(a):
        return np.sum(c * np.linalg.cholesky((a + a.T) / 2))

    check_gradient(loss, loss, a)
    g = gv.grad(lambda a: np.sum(c * np.linalg.cholesky(a)))(a)
    np.testing.assert_allclose(g, g.T)


@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (3, 3), (2, 4, 2)])
def test_pinv_second_derivative(shape):
    a, c, d = (RNG.normal(size=shape) for _ in range(3))
    ct = np.swapaxes(c, -1, -2)

    def slope(a):
        return np.sum(gv.grad(lambda a: np.sum(ct * np.linalg.pinv(a)))(a) * d)

    check_gradient(slope, lambda a: float(slope(a)), a, 1e-6)


def test_pinv_of_equal_singular_values_and_low_rank():
    c = RNG.normal(size=(3, 3))
    g = gv.grad(lambda a: np.sum(c * np.linalg.pinv(a)))(np.eye(3))
    np.testing.assert_allclose(g, -c, atol=1e-12)
    u, v = RNG.normal(size=(4, 2)), RNG.normal(size=(2, 5))
    weights = RNG.normal(size=(5, 4))

    def loss(u):  # rank 2 whatever u is
        return np.sum(weights * np.linalg.pinv(u @ v, rcond=1e-10))

    check_gradient(loss, loss, u)


def test_norm_at_zero_has_gradient_zero():
    for ord in (None, 2, "fro"):
        x = np.zeros((2, 2)) if ord == "fro" else np.zeros(3)
        g = gv.grad(lambda x, ord=ord: np.linalg.norm(x, ord))(x)
        np.testing.assert_array_equal(g, np.zeros_like(x))
    assert np.isnan(graph.run(np.linalg.norm, np.array([np.nan, 1.0])))


@pytest.mark.parametrize("mode", ["valid", "same", "full"])
def test_convolve_every_mode(mode):
    a, v = RNG.normal(size=7), RNG.normal(size=3)
    for x, y in ((a, v), (v, a)):
        for f in (np.convolve, np.correlate):
            found = graph.run(lambda x, y, f=f: f(x, y, mode), x, y)
            np.testing.assert_allclose(found, f(x, y, mode), atol=1e-13)


# --- lists and plain arguments --------------------------------------------------


def test_lists_of_traced_values():
    def f(a, b):
        return (
            ops.sum([a, b], axis=0), ops.exp([a, 2 * b]), ops.array([[a, 1.0], [2, b]]),
            ops.add([a, b], 1.0), ops.maximum(0.5, [a, b]), ops.stack([a, b]),
            np.stack([a, 3.0, b]), ops.linalg.norm([a, b]), ops.dot([a, b], [b, a]),
            ops.mean([a, b]), ops.where([True, False], [a, b], 0.0),
        )  # fmt: skip

    a, b = 0.3, -1.2
    wanted = (
        a + b, np.exp([a, 2 * b]), [[a, 1], [2, b]], [a + 1, b + 1], [0.5, 0.5], [a, b],
        [a, 3, b], np.hypot(a, b), 2 * a * b, (a + b) / 2, [a, 0],
    )  # fmt: skip
    with graph.Trace() as trace:
        args = [trace.var(trace.bind(np.float64(x))) for x in (a, b)]
        for found, want in zip(f(*args), wanted, strict=True):
            np.testing.assert_allclose(graph.evaluate(found), want, rtol=1e-14)


def test_array_with_ndmin_and_dtype():
    x = np.arange(3.0)
    assert graph.run(lambda x: ops.array(x, ndmin=3), x).shape == (1, 1, 3)
    assert (
        graph.run(lambda x: ops.array([x, x], dtype="float32"), x).dtype == np.float32
    )
    with pytest.raises(ValueError, match="different shapes"):
        graph.run(lambda x: ops.array([x, x[:2]]), x)


def test_full_of_a_traced_number():
    g = gv.grad(lambda s: np.sum(ops.full((2, 3), s) * np.arange(6.0).reshape(2, 3)))(
        2.0
    )
    assert g == 15


def test_isscalar():
    assert ops.isscalar(3.0)
    assert not ops.isscalar(np.ones(2))
    with graph.Trace() as trace:
        assert ops.isscalar(trace.var(trace.bind(np.float64(1))))
        assert not ops.isscalar(trace.var(trace.bind(np.ones(2))))


def test_stop_gradient():
    g = gv.grad(lambda x: np.sum(x * ops.stop_gradient(x)))(X)
    np.testing.assert_array_equal(g, X)
    assert ops.stop_gradient(X) is X
