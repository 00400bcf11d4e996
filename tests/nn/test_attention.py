"""Attention and deep sets: definitions in NumPy, masks, order of tokens and members."""

import numpy as np
import pytest
import scipy.special as sp

import gradiverse as gv
from gradiverse.testing import check_grads

RNG = np.random.default_rng(0)


def definition(params, x, heads, mask=None):
    """Head by head."""
    d = x.shape[-1]
    e = d // heads
    proj = x @ params["in_proj_weight"].T + params["in_proj_bias"]
    q, k, v = (proj[..., i * d : (i + 1) * d] for i in range(3))
    out = []
    for h in range(heads):
        part = slice(h * e, (h + 1) * e)
        scores = q[..., part] @ np.swapaxes(k[..., part], 1, 2) / np.sqrt(e)
        if mask is not None:
            scores = np.where(mask[:, None, :], scores, -np.inf)
        out.append(sp.softmax(scores, -1) @ v[..., part])
    out_proj = params["out_proj"]
    return np.concatenate(out, -1) @ out_proj["weight"].T + out_proj["bias"]


@pytest.fixture(scope="module")
def layer():
    """A layer, parameters in double precision with biases, and an input."""
    made = gv.nn.Attention(12, heads=3)
    params = made.init(0, "float64")
    params["in_proj_bias"] = RNG.normal(size=36)
    params["out_proj"]["bias"] = RNG.normal(size=12)
    return made, params, RNG.normal(size=(4, 6, 12))


def test_attention(layer):
    net, params, x = layer
    np.testing.assert_allclose(
        net.apply(params, x), definition(params, x, 3), atol=1e-13
    )
    check_grads(lambda p, x: np.sin(net.apply(p, x)).sum(), (params, x))


@pytest.mark.smoke
def test_masked_tokens_are_not_seen(layer):
    net, params, x = layer
    mask = np.arange(6) < np.array([[6], [3], [1], [5]])
    y = net.apply(params, (x, mask))
    np.testing.assert_allclose(y, definition(params, x, 3, mask), atol=1e-13)
    other = np.where(mask[..., None], x, 1e3)
    np.testing.assert_array_equal(net.apply(params, (other, mask))[mask], y[mask])


def test_an_entry_without_tokens_is_finite(layer):
    net, params, x = layer
    mask = np.zeros((4, 6), bool)
    y, pull = gv.vjp(lambda p: net.apply(p, (x, mask)), params)
    want = np.broadcast_to(params["out_proj"]["bias"], y.shape)
    np.testing.assert_allclose(y, want, atol=1e-15)
    assert all(np.isfinite(g).all() for g in gv.flatten(pull(y))[0])


def test_tokens_commute_with_attention(layer):
    net, params, x = layer
    order = RNG.permutation(6)
    y = net.apply(params, x)
    np.testing.assert_allclose(net.apply(params, x[:, order]), y[:, order], atol=1e-13)


def test_attention_errors(layer):
    net, params, x = layer
    with pytest.raises(ValueError, match="heads must divide"):
        gv.nn.Attention(10, 3)
    with pytest.raises(ValueError, match=r"\(batch, tokens, 12\)"):
        net.apply(params, x[..., :5])
    with pytest.raises(ValueError, match="mask must be bool"):
        net.apply(params, (x, np.ones((4, 6))))
    with pytest.raises(ValueError, match="mask must be bool"):
        net.apply(params, (x, np.ones((4, 5), bool)))


# --- deep sets ----------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["mean", "sum", "max"])
def test_sets_of_any_size_and_order(pooling):
    """Padded sets equal the sets one by one, whatever the padding holds."""
    net = gv.nn.DeepSet(gv.nn.MLP((2, 8, 5)), gv.nn.MLP((5, 3)), pooling)
    params = net.init(0, "float64")
    sets = [RNG.normal(size=(n, 2)) for n in (4, 1, 7)]
    x, mask = gv.nn.pad_sets(sets, "float64")
    y = net.apply(params, (x, mask))
    for i, s in enumerate(sets):
        np.testing.assert_allclose(net.apply(params, s[None])[0], y[i], atol=1e-13)
        shuffled = s[RNG.permutation(len(s))][None]
        np.testing.assert_allclose(net.apply(params, shuffled)[0], y[i], atol=1e-13)
    bad = np.where(mask[..., None], x, np.nan)
    np.testing.assert_array_equal(net.apply(params, (bad, mask)), y)
    g = gv.grad(lambda p: net.apply(p, (bad, mask)).sum())(params)
    assert all(np.isfinite(a).all() for a in gv.flatten(g)[0])
    check_grads(lambda p, x: np.sin(net.apply(p, (x, mask))).sum(), (params, x))


@pytest.mark.parametrize("pooling", ["mean", "sum", "max"])
def test_an_empty_set_has_zero_features(pooling):
    net = gv.nn.DeepSet(gv.nn.MLP((2, 5)), gv.nn.MLP((5, 3)), pooling)
    params = net.init(0)
    x, mask = gv.nn.pad_sets([np.zeros((0, 2)), np.ones((3, 2))])
    y, pull = gv.vjp(lambda p: net.apply(p, (x, mask)), params)
    np.testing.assert_array_equal(y[0], params["rho"]["0"]["bias"])
    assert all(np.isfinite(a).all() for a in gv.flatten(pull(y))[0])


def test_deep_set_errors():
    phi, rho = gv.nn.MLP((2, 5)), gv.nn.MLP((5, 3))
    with pytest.raises(ValueError, match="'median'"):
        gv.nn.DeepSet(phi, rho, "median")
    with pytest.raises(TypeError, match="phi must be a layer"):
        gv.nn.DeepSet(np.tanh, rho)
    net = gv.nn.DeepSet(phi, rho)
    with pytest.raises(ValueError, match=r"\(batch, n, d\)"):
        net.apply(net.init(0), np.ones((4, 2)))
    with pytest.raises(ValueError, match="mask must be bool"):
        net.apply(net.init(0), (np.ones((4, 3, 2)), np.ones((4, 2), bool)))
    with pytest.raises(ValueError, match="one d"):
        gv.nn.pad_sets([np.ones((2, 3)), np.ones((2, 4))])
