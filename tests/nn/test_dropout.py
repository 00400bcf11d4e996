"""Dropout and embedding."""

import numpy as np
import pytest

import gradiverse as gv


def test_share_scale_and_independence():
    """The number of zeros is binomial: within 5 standard deviations; rows, layers and
    keys draw anew (two layers keep (1 - p)^2)."""
    p, x = 0.3, np.ones((200, 500), "f4")
    layer = gv.nn.Dropout(p)

    def masks(seed, net=layer):
        return net.apply({}, x, train=True, rng=gv.random.key(seed)) > 0

    y = layer.apply({}, x, train=True, rng=gv.random.key(0))
    assert y.dtype == np.float32
    assert set(np.unique(y)) == {0.0, np.float32(1 / 0.7)}
    zeros, n = int((y == 0).sum()), x.size
    assert abs(zeros - p * n) < 5 * np.sqrt(n * p * (1 - p))
    assert np.array_equal(masks(0), masks(0))
    kept = masks(0, gv.nn.Sequential(layer, layer)).mean()
    assert abs(kept - 0.49) < 5 * np.sqrt(0.25 / n)
    for a, b in (
        (masks(0), masks(1)),
        (masks(0)[:100], masks(0)[100:]),
    ):
        both = (a & b).mean() / b.mean()  # P(a | b) = P(a)
        assert abs(both - a.mean()) < 5 * np.sqrt(0.25 / b.sum())


def test_use_is_the_identity_and_limits():
    x = np.array([1.0, np.inf, np.nan])
    assert gv.nn.Dropout(0.5).apply({}, x) is x
    assert gv.nn.Dropout(0).apply({}, x, train=True) is x
    y = gv.nn.Dropout(1).apply({}, x, train=True, rng=gv.random.key(0))
    assert y.tolist() == [0, 0, 0]


def test_gradient_has_the_mask():
    x = np.random.default_rng(0).normal(size=(30, 4))
    layer, key = gv.nn.Dropout(0.4), gv.random.key(3)
    y, pull = gv.vjp(lambda x: layer.apply({}, x, train=True, rng=key), x)
    np.testing.assert_allclose(pull(np.ones_like(x))[0], y / x, rtol=1e-15)


def test_in_a_loop_every_step_has_a_key_of_its_own():
    layer, x = gv.nn.Dropout(0.5), np.ones(64, "f4")

    def body(key, step):
        return key, layer.apply({}, x, train=True, rng=gv.random.fold_in(key, step))

    _, ys = gv.compile(lambda: gv.scan(body, gv.random.key(0), xs=np.arange(8)))()
    assert len({y.tobytes() for y in ys}) == 8


@pytest.mark.smoke
def test_seeds_stand_for_keys():
    """A seed is the key made of it; a SeedSequence is a seed; a Generator goes on."""
    net = gv.nn.Sequential(gv.nn.Dropout(0.5), gv.nn.Residual(gv.nn.Dropout(0.5)))
    x = np.ones(64, "f4")

    def draw(rng, x=x):
        return net.apply({}, x, train=True, rng=rng)

    for seed in (0, np.int64(7), 2**63 + 5):
        np.testing.assert_array_equal(draw(seed), draw(gv.random.key(seed)))
    np.testing.assert_array_equal(draw([3, 4]), draw(np.array([3, 4])))
    sequence = np.random.SeedSequence(5)
    np.testing.assert_array_equal(draw(sequence), draw(np.random.SeedSequence(5)))
    assert not np.array_equal(draw(sequence), draw(np.random.SeedSequence(6)))
    a, b = np.random.default_rng(8), np.random.default_rng(8)
    first, second = draw(a), draw(a)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, draw(b))
    np.testing.assert_array_equal(second, draw(b))
    slope = gv.grad(lambda x: draw(3, x).sum())(x)
    np.testing.assert_array_equal(slope, draw(3))
    np.testing.assert_array_equal(gv.compile(lambda x: draw(3, x))(x), draw(3))


def test_dropout_errors():
    with pytest.raises(ValueError, match=r"rng=gv.random.key"):
        gv.nn.Dropout(0.5).apply({}, np.ones(3), train=True)
    for rng in (
        1.5,
        "0",
        True,
        np.zeros(2),
        np.zeros(3, int),
        np.random.RandomState(0),
    ):
        with pytest.raises(
            TypeError, match=r"Dropout.apply: rng must be a key.*a seed"
        ):
            gv.nn.Dropout(0.5).apply({}, np.ones(3), train=True, rng=rng)
    with pytest.raises(ValueError, match="p must lie in"):
        gv.nn.Dropout(1.5)
    with pytest.raises(TypeError, match="float32 or float64"):
        gv.nn.Dropout(0.5).apply({}, np.ones(3, int))


def test_embedding():
    layer = gv.nn.Embedding(7, 3)
    params = layer.init(0)
    assert params["weight"].shape == (7, 3) and params["weight"].dtype == np.float32
    for x in (np.array([[1, 6], [0, 1]]), np.int32(4), np.zeros((0, 2), np.uint8)):
        y = layer.apply(params, x)
        np.testing.assert_array_equal(y, params["weight"][x])
    x = np.array([1, 1, 5])
    g = gv.grad(lambda p: layer.apply(p, x).sum())(params)["weight"]
    assert g.tolist() == [[n] * 3 for n in (0, 2, 0, 0, 0, 1, 0)]
    compiled = gv.compile(lambda p, x: layer.apply(p, x))
    np.testing.assert_array_equal(compiled(params, x), params["weight"][x])
    for bad in (7, -1):
        with pytest.raises(ValueError, match=f"index {bad}.*length 7"):
            layer.apply(params, np.array([0, bad]))
    with pytest.raises(TypeError, match="integers"):
        layer.apply(params, np.ones(3))
