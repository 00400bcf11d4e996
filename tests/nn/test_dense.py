"""Linear layers, MLPs and residual networks against NumPy."""

import numpy as np
import pytest

import gradiverse as gv
from gradiverse import _core

RNG = np.random.default_rng(1)
#: rows, inputs, outputs: every way of the products, edges of tiles and blocks of rows
SHAPES = [
    (1, 1, 1),
    (1, 40, 7),
    (64, 10, 64),
    (13, 64, 64),
    (100, 33, 1),
    (300, 70, 65),
    (257, 600, 130),
    (3, 9000, 5),
    (6, 9000, 20),
    (4000, 3, 20),
]


def data(m, k, n, dtype):
    """x, weight, bias and a cotangent of y."""
    made = (RNG.normal(size=s) for s in ((m, k), (n, k), (n,), (m, n)))
    return [a.astype(dtype) for a in made]


def bound(m, k, n, dtype):
    """Rounding of sums of products of unit normals: n eps sqrt(n), generously."""
    longest = max(m, k, n)
    return 8 * np.finfo(dtype).eps * longest


@pytest.mark.parametrize("act", ["none", "relu"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_linear_and_its_cotangents(shape, dtype, act):
    x, w, b, g = data(*shape, dtype)
    y, pull = gv.vjp(lambda *a: gv.nn.linear(*a, act), x, w, b)
    exact = [a.astype(np.longdouble) for a in (x, w, b, g)]
    z = exact[0] @ exact[1].T + exact[2]
    h = exact[3]
    if act == "relu":
        h = np.where(y > 0, h, 0)  # at the sums as rounded
        z = np.maximum(z, 0)
    tolerance = bound(*shape, dtype)
    np.testing.assert_allclose(y, z, atol=tolerance * np.sqrt(shape[1]))
    g_x, g_w, g_b = pull(g)
    np.testing.assert_allclose(g_x, h @ exact[1], atol=tolerance * np.sqrt(shape[2]))
    np.testing.assert_allclose(g_w, h.T @ exact[0], atol=tolerance * np.sqrt(shape[0]))
    sums = 2 * np.finfo(dtype).eps * np.abs(h).sum(0).max() + 1e-300
    np.testing.assert_allclose(g_b, h.sum(0), atol=float(sums))


@pytest.fixture
def simd():
    """Sets an instruction set for a test, skipping where there is none."""
    before = _core.simd()

    def set_level(level):
        if _core.set_simd(level) != level:
            pytest.skip(f"no {level} here")

    yield set_level
    _core.set_simd(before)


@pytest.mark.smoke
@pytest.mark.parametrize("level", ["base", "avx2", "avx512"])
def test_every_instruction_set_gives_the_same_network(level, simd):
    simd(level)
    x, w, b, g = data(70, 50, 37, "float32")
    y, pull = gv.vjp(lambda *a: gv.nn.linear(*a, "relu"), x, w, b)
    z = np.maximum(x.astype(float) @ w.T.astype(float) + b, 0)
    np.testing.assert_allclose(y, z, atol=1e-4)
    h = np.where(y > 0, g, 0).astype(float)
    np.testing.assert_allclose(pull(g)[1], h.T @ x, atol=1e-4)
    np.testing.assert_allclose(pull(g)[2], h.sum(0), rtol=1e-6, atol=1e-6)


def test_not_a_number_is_not_rectified_away():
    """max(z, 0) that loses NaN hides a network that has diverged."""
    x = np.ones((4, 3), np.float32)
    x[1, 2] = np.nan
    for rows in (x, x[1:2]):  # tiles, and the way of single rows
        y = gv.nn.linear(rows, np.ones((2, 3), np.float32), act="relu")
        assert np.isnan(y).any()
    y = gv.nn.linear(x, np.ones((1, 3), np.float32), np.zeros(1, np.float32), "relu")
    np.testing.assert_array_equal(np.isnan(y[:, 0]), [False, True, False, False])


def test_leading_axes_are_rows():
    x, w, b, _ = data(24, 5, 3, "float64")
    y = gv.nn.linear(x.reshape(2, 3, 4, 5), w, b)
    np.testing.assert_allclose(y.reshape(24, 3), x @ w.T + b, rtol=1e-13)
    assert gv.nn.linear(x[0], w).shape == (3,)
    assert gv.nn.linear(np.zeros((0, 7, 5)), w).shape == (0, 7, 3)


def test_linear_refuses_what_does_not_fit():
    x, w, b, _ = data(4, 5, 3, "float32")
    with pytest.raises(ValueError, match="do not fit"):
        gv.nn.linear(x, w.T, b)
    with pytest.raises(TypeError, match="dtypes differ"):
        gv.nn.linear(x, w.astype(float), b)
    with pytest.raises(ValueError, match="bias of length"):
        gv.nn.linear(x, w, b[:2])
    with pytest.raises(ValueError, match="act must be"):
        gv.nn.linear(x, w, b, "tanh")
    with pytest.raises(ValueError, match="n_in must be at least 1"):
        gv.nn.Linear(0, 3)
    with pytest.raises(TypeError, match="n_out must be an int"):
        gv.nn.Linear(3, 2.0)
    with pytest.raises(ValueError, match="input and output width"):
        gv.nn.MLP((3,))
    with pytest.raises(TypeError, match="entry 1 is a"):
        gv.nn.Sequential(gv.nn.Linear(3, 2), np.tanh)


@pytest.mark.parametrize("activation", ["relu", "tanh", np.sin])
def test_mlp_is_its_layers_one_by_one(activation):
    net = gv.nn.MLP((4, 6, 5, 2), activation=activation)
    params = net.init(0, "float64")
    assert [params[n]["weight"].shape for n in "024"] == [(6, 4), (5, 6), (2, 5)]
    x = y = RNG.normal(size=(9, 4))
    f = gv.nn.activation(activation)
    for n in "024":
        y = y @ params[n]["weight"].T + params[n]["bias"]
        y = f(y) if n != "4" else y
    np.testing.assert_allclose(net.apply(params, x), y, rtol=1e-12, atol=1e-14)
    small = gv.nn.MLP((4, 6, 2), last=1e-3).init(0)
    assert np.abs(small["2"]["weight"]).max() <= 1e-3
    assert not small["2"]["bias"].any()


def test_training_step_of_an_mlp_makes_no_operator_but_layers():
    """Bias, rectifier and gate are inside: what a step costs beside the products."""
    net = gv.nn.MLP((10, 64, 64, 64, 2))
    params = net.init(0)
    x, y = np.zeros((64, 10), np.float32), np.zeros((64, 2), np.float32)
    loss = lambda p: ((net.apply(p, x) - y) ** 2).mean()  # noqa: E731
    text = str(gv.compile(gv.grad(loss)).plan(params))
    assert text.count("linear_back ") == text.count(" linear ") == 4
    assert "reduce" not in text
    assert "9 instructions" in text  # and the loss


def test_threads_do_not_change_bits():
    net = gv.nn.MLP((30, 200, 200, 4))
    params = net.init(0)
    x = RNG.normal(size=(700, 30)).astype(np.float32)
    grads = gv.compile(gv.grad(lambda p: (net.apply(p, x) ** 2).sum()))
    before = gv.get_threads()
    found = []
    try:
        for n in (1, 2, 5):
            gv.set_threads(n)
            found.append([a.tobytes() for a in gv.flatten(grads(params))[0]])
    finally:
        gv.set_threads(before)
    assert found[0] == found[1] == found[2]


def _large(act="none"):
    """A layer with a weight of a million entries, a step of Adam on it."""
    params = gv.nn.Linear(8192, 130).init(0)
    x = RNG.normal(size=(9, 8192)).astype(np.float32)
    optimizer = gv.optim.adam(1e-2)

    def loss(p):
        return (gv.nn.linear(x, p["weight"], p["bias"], act) ** 2).sum()

    def step(p, s, keep=False):
        g = gv.grad(loss)(p)
        new = optimizer.update(g, s, p)
        return (*new, g) if keep else new

    return params, optimizer.init(params), step


@pytest.mark.parametrize("act", ["none", "relu"])
def test_gradient_of_a_large_weight_is_used_up_by_adam(act):
    """The planned step never stores it; what it computes is what the parts compute."""
    params, state, step = _large(act)
    planned = gv.compile(step)
    text = planned.plan(params, state)
    assert "linear_adam" in str(text)
    assert text.peak_bytes < 5 * params["weight"].nbytes  # new p, m, v and 1.5 MB
    for a, b in zip(
        gv.flatten(planned(params, state))[0],
        gv.flatten(step(params, state))[0],
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_a_gradient_that_is_wanted_otherwise_is_stored():
    params, state, step = _large()
    both = gv.compile(lambda p, s: step(p, s, keep=True))
    assert "linear_adam" not in str(both.plan(params, state))
    new, _, g = both(params, state)
    # the first step of Adam is lr sign(g), as far as eps = 1e-8 is small
    move = (new["weight"] - params["weight"])[np.abs(g["weight"]) > 1e-3]
    np.testing.assert_allclose(np.abs(move), 1e-2, rtol=1e-3)


def _block(p, x, norm):
    """A residual block in NumPy."""
    h = x
    for i in "12":
        h = norm(h, p.get(f"norm{i}"))
        h = np.maximum(h, 0) @ p[f"linear{i}"]["weight"].T + p[f"linear{i}"]["bias"]
    return x + h


def _batch(h, p):
    h = (h - h.mean(0)) / np.sqrt(h.var(0) + 1e-3)
    return h * p["weight"] + p["bias"]


def _layer(h, p):
    return _batch(h.T, {"weight": 1, "bias": 0}).T * p["weight"] + p["bias"]


@pytest.mark.parametrize(
    ("norm", "how"), [("batch", _batch), ("layer", _layer), (None, lambda h, p: h)]
)
def test_resnet_against_its_formula(norm, how):
    net = gv.nn.ResNet(5, 3, width=16, depth=3, norm=norm, small=0.3)
    params = net.init(0, "float64")
    x = RNG.normal(size=(40, 5))
    h = x @ params["first"]["weight"].T + params["first"]["bias"]
    for n in "012":
        h = _block(params["blocks"][n], h, how)
    want = h @ params["last"]["weight"].T + params["last"]["bias"]
    found = net.apply(params, x, train=True)
    np.testing.assert_allclose(found, want, rtol=1e-10, atol=1e-11)
    other = gv.nn.ResNet(5, 3, width=16, depth=3, norm=norm, activation="tanh")
    assert np.isfinite(other.apply(params, x, train=True)).all()


def test_resnet_starts_close_to_the_identity_and_needs_its_state_in_use():
    net = gv.nn.ResNet(5, 1, width=16, dropout=0.5)
    params = net.init(0)
    x = RNG.normal(size=(40, 5))
    with pytest.raises(ValueError, match="state"):
        net.apply(params, x)
    y, _ = net.apply(params, x, state=net.init_state())
    plain = gv.nn.Sequential(gv.nn.Linear(5, 16), gv.nn.Linear(16, 1))
    alone = plain.apply({"0": params["first"], "1": params["last"]}, x)
    assert 0 < np.abs(y - alone).max() < 0.05
    drawn = [net.apply(params, x, train=True, rng=gv.random.key(k)) for k in (0, 0, 1)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    with pytest.raises(ValueError, match="norm must be"):
        gv.nn.ResNet(5, 1, norm="group")
