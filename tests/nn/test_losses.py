"""Losses against their definitions in SciPy; weights, reductions, shapes, tails."""

import numpy as np
import pytest
import scipy.special as sp
import scipy.stats as st

import gradiverse as gv
from gradiverse.nn import losses
from gradiverse.testing import check_grads

RNG = np.random.default_rng(0)
P, Q = RNG.normal(size=(2, 7, 3))
PAIRS = {
    "mse": (losses.mse, (P - Q) ** 2),
    "mae": (losses.mae, np.abs(P - Q)),
    "huber": (losses.huber, sp.huber(1.0, P - Q)),
    "bce": (
        lambda p, q, **k: losses.bce_with_logits(p, sp.expit(q), **k),
        -(sp.xlogy(sp.expit(Q), sp.expit(P)) + sp.expit(-Q) * sp.log_expit(-P)),
    ),
    "nll": (
        lambda p, q, **k: losses.gaussian_nll(p, q, 0.3 * q, full=True, **k),
        -st.norm.logpdf(Q, P, np.exp(0.15 * Q)),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_values_reductions_and_weights(name):
    loss, want = PAIRS[name]
    w = RNG.uniform(size=(7, 1))
    np.testing.assert_allclose(loss(P, Q, reduction="none"), want, rtol=1e-13)
    np.testing.assert_allclose(loss(P, Q), want.mean(), rtol=1e-13)
    np.testing.assert_allclose(loss(P, Q, reduction="sum"), want.sum(), rtol=1e-13)
    mean = np.average(want, weights=np.broadcast_to(w, want.shape))
    np.testing.assert_allclose(loss(P, Q, weights=w), mean, rtol=1e-13)
    total = loss(P, Q, weights=w, reduction="sum")
    np.testing.assert_allclose(total, (w * want).sum(), rtol=1e-13)
    check_grads(lambda p: loss(p, Q, weights=w), (P,))
    assert loss(P.astype("f4"), Q).dtype == np.float32


def test_column_against_row_is_an_error():
    """(n, 1) against (n,) would broadcast to n^2 pairs."""
    for loss in (losses.mse, losses.mae, losses.huber, losses.bce_with_logits):
        with pytest.raises(ValueError, match=r"\(7, 1\).*\(7,\)"):
            loss(np.ones((7, 1)), np.ones(7))
    with pytest.raises(ValueError, match="log_var"):
        losses.gaussian_nll(np.ones((7, 1)), np.ones((7, 1)), np.ones(7))


@pytest.mark.parametrize("z", [-1e4, -100.0, -40.0, 0.0, 40.0, 100.0, 1e4])
def test_logits_of_any_size(z):
    """Both tails to full relative accuracy: log1p(exp(-|z|)) and its neighbour."""
    t, zs = np.array([0.0, 1.0]), np.array([z, z])
    away = np.array([z, -z])
    got = losses.bce_with_logits(zs, t, reduction="none")
    np.testing.assert_allclose(got, np.logaddexp(0, away), rtol=1e-13)
    g = gv.grad(lambda z: losses.bce_with_logits(z, t, reduction="sum"))(zs)
    np.testing.assert_allclose(g, [1, -1] * sp.expit(away), rtol=1e-13)


@pytest.mark.parametrize("axis", [-1, 1, 0])
def test_cross_entropy(axis):
    shape = [6, 5]
    shape.insert(axis if axis >= 0 else 2, 4)
    logits = 3 * RNG.normal(size=shape)
    labels = RNG.integers(0, 4, (6, 5))
    log_p = np.moveaxis(sp.log_softmax(logits, axis), axis, -1)
    want = -np.take_along_axis(log_p, labels[..., None], -1)[..., 0]
    got = losses.cross_entropy(logits, labels, axis=axis, reduction="none")
    np.testing.assert_allclose(got, want, rtol=1e-13)
    hot = np.moveaxis(np.eye(4)[labels], -1, axis)
    got = losses.cross_entropy(logits, hot, axis=axis, reduction="none")
    np.testing.assert_allclose(got, want, rtol=1e-13)
    got = losses.cross_entropy(logits, labels, axis=axis, smoothing=0.2)
    np.testing.assert_allclose(
        got, (0.8 * want - 0.2 * log_p.mean(-1)).mean(), rtol=1e-13
    )
    per_class = np.array([1.0, 2.0, 0.5, 3.0])
    w = per_class[labels]
    got = losses.cross_entropy(logits, labels, axis=axis, weights=w)
    np.testing.assert_allclose(got, (w * want).sum() / w.sum(), rtol=1e-13)
    check_grads(lambda x: losses.cross_entropy(x, labels, axis=axis), (logits,))
    compiled = gv.compile(lambda x, y: losses.cross_entropy(x, y, axis=axis))
    np.testing.assert_allclose(compiled(logits, labels), want.mean(), rtol=1e-13)


def test_certain_classes_stay_finite():
    logits = np.array([[1e4, -1e4], [-1e4, 1e4]])
    for labels in (np.array([0, 1]), np.array([1, 0])):
        value = losses.cross_entropy(logits, labels)
        g = gv.grad(lambda x, labels=labels: losses.cross_entropy(x, labels))(logits)
        assert np.isfinite(value) and np.isfinite(g).all()


def test_errors():
    x = np.zeros((3, 4))
    with pytest.raises(ValueError, match=r"labels from 0 to 4.*4 classes"):
        losses.cross_entropy(x, np.array([0, 1, 4]))
    with pytest.raises(ValueError, match=r"labels have shape \(4,\)"):
        losses.cross_entropy(x, np.arange(4))
    with pytest.raises(ValueError, match="neither"):
        losses.cross_entropy(x, np.ones(3))
    with pytest.raises(ValueError, match="smoothing"):
        losses.cross_entropy(x, np.arange(3), smoothing=1.5)
    with pytest.raises(ValueError, match="'median'"):
        losses.mse(x, x, reduction="median")
    with pytest.raises(ValueError, match=r"weights of shape \(3,\)"):
        losses.mse(x, x, weights=np.ones(3))
    with pytest.raises(ValueError, match="delta"):
        losses.huber(x, x, delta=0)
    with pytest.raises(TypeError, match="float32 or float64"):
        losses.mse(np.ones(3, int), np.ones(3))
    with pytest.raises(TypeError, match="complex"):
        losses.mse(np.ones(3), np.ones(3, complex))
