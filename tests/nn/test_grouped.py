"""Groups of networks against the networks one by one."""

import numpy as np
import pytest

import gradiverse as gv

RNG = np.random.default_rng(2)
#: groups, rows, inputs, outputs: tasks of groups, products one by one, edges
SHAPES = [
    (1, 5, 3, 2),
    (3, 64, 64, 64),
    (40, 17, 11, 64),
    (100, 9, 5, 1),
    (9, 1, 7, 3),
    (2, 300, 130, 70),
]


@pytest.mark.parametrize("act", ["none", "relu"])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", SHAPES)
def test_grouped_linear_is_a_linear_map_per_group(shape, axis, act):
    g, m, k, n = shape
    x = RNG.normal(size=(g, m, k) if axis == 0 else (m, g, k))
    w, b = RNG.normal(size=(g, n, k)), RNG.normal(size=(g, n))
    seed = RNG.normal(size=(g, m, n) if axis == 0 else (m, g, n))
    y, pull = gv.vjp(lambda *a: gv.nn.grouped_linear(*a, act, axis), x, w, b)
    found = pull(seed)
    for i in range(g):
        one = lambda *a: gv.nn.linear(*a, act)  # noqa: E731
        yi, pulli = gv.vjp(one, x.take(i, axis), w[i], b[i])
        np.testing.assert_allclose(y.take(i, axis), yi, rtol=1e-12, atol=1e-12)
        gx, gw, gb = pulli(seed.take(i, axis))
        np.testing.assert_allclose(found[0].take(i, axis), gx, atol=1e-11)
        np.testing.assert_allclose(found[1][i], gw, atol=1e-11)
        np.testing.assert_allclose(found[2][i], gb, atol=1e-12)


@pytest.mark.smoke
def test_grouped_linear_layer():
    layer = gv.nn.GroupedLinear(6, 4, 3)
    params = layer.init(0)
    assert params["weight"].shape == (6, 3, 4)
    assert params["bias"].shape == (6, 3)
    assert np.abs(params["weight"]).max() <= 0.5  # 1/sqrt(n_in) of each map
    x = RNG.normal(size=(5, 6, 4)).astype(np.float32)
    want = np.einsum("bgk,gnk->bgn", x, params["weight"]) + params["bias"]
    np.testing.assert_allclose(layer.apply(params, x), want, atol=1e-6)
    front = gv.nn.GroupedLinear(6, 4, 3, axis=0)
    y = front.apply(params, np.ascontiguousarray(x.swapaxes(0, 1)))
    np.testing.assert_allclose(y.swapaxes(0, 1), want, atol=1e-6)
    with pytest.raises(ValueError, match=r"must be \(batch, 6, 4\)"):
        layer.apply(params, x.swapaxes(0, 1))
    with pytest.raises(ValueError, match="do not fit"):
        gv.nn.grouped_linear(x, params["weight"][:, :, :2])
    with pytest.raises(ValueError, match="axis must be 0"):
        gv.nn.GroupedLinear(6, 4, 3, axis=2)


@pytest.mark.parametrize("axis", [0, 1])
def test_grouped_networks_do_not_see_each_other(axis):
    """Each with statistics of its own, none left out (trap 8)."""
    one = gv.nn.ResNet(5, 2, width=8, depth=1)
    net = gv.nn.Grouped(one, 7, axis=axis)
    params, state = net.init(0, "float64"), net.init_state("float64")
    x = RNG.normal(size=(30, 7, 5)) * np.arange(1, 8)[:, None] + 3
    x = x.swapaxes(0, 1) if axis == 0 else x
    y, new = net.apply(params, x, state=state, train=True)
    for g in range(7):
        pick = lambda a, g=g: a[g]  # noqa: E731
        mine, mine_state = gv.map_leaves(pick, params), gv.map_leaves(pick, state)
        want, after = one.apply(mine, x.take(g, axis), state=mine_state, train=True)
        np.testing.assert_allclose(y.take(g, axis), want, rtol=1e-11, atol=1e-12)
        pairs = zip(
            gv.flatten(after)[0],
            gv.flatten(gv.map_leaves(pick, new))[0],
            strict=True,
        )
        for a, b in pairs:
            np.testing.assert_allclose(a, b, rtol=1e-12)
    again, same = net.apply(params, x, state=new)
    assert again.shape == y.shape
    for a, b in zip(gv.flatten(same)[0], gv.flatten(new)[0], strict=True):
        np.testing.assert_array_equal(a, b)  # frozen in use


def test_grouped_networks_start_apart_and_draw_apart():
    net = gv.nn.Grouped(gv.nn.Sequential(gv.nn.Linear(4, 4), gv.nn.Dropout(0.5)), 3)
    params = net.init(0)
    w = params["0"]["weight"]
    assert not np.array_equal(w[0], w[1])
    np.testing.assert_array_equal(w, net.init(0)["0"]["weight"])
    same = gv.map_leaves(lambda a: np.broadcast_to(a[:1], a.shape).copy(), params)
    x = np.broadcast_to(RNG.normal(size=(50, 1, 4)), (50, 3, 4)).copy()
    y = net.apply(same, x, train=True, rng=gv.random.key(0))
    assert np.mean((y[:, 0] == 0) != (y[:, 1] == 0)) > 0.3  # of 1/2
    with pytest.raises(ValueError, match="give rng="):
        net.apply(same, x, train=True)


def test_shared_input_is_read_by_all_groups_in_one_product():
    one = gv.nn.MLP((5, 8, 2))
    net = gv.nn.Grouped(one, 4, shared=True)
    params = net.init(0, "float64")
    x = RNG.normal(size=(20, 5))
    f = gv.compile(gv.value_and_grad(lambda p, x: (net.apply(p, x) ** 2).sum(), (0, 1)))
    y = net.apply(params, x)
    assert y.shape == (20, 4, 2)
    grads = []
    for g in range(4):
        mine = gv.map_leaves(lambda a, g=g: a[g], params)
        np.testing.assert_allclose(y[:, g], one.apply(mine, x), rtol=1e-12)
        grads.append(gv.grad(lambda x, p=mine: (one.apply(p, x) ** 2).sum())(x))
    np.testing.assert_allclose(f(params, x)[1][1], sum(grads), rtol=1e-10, atol=1e-12)
    assert "float64[20,32]" in str(f.plan(params, x))  # 4 x 8 columns
    with pytest.raises(ValueError, match="axis 1 must hold the 4 groups"):
        gv.nn.Grouped(one, 4).apply(params, x)
    with pytest.raises(TypeError, match="is not a layer"):
        gv.nn.Grouped(np.tanh, 4)


def test_memory_of_grouped_heads_per_marginal_and_pair():
    """Products of whole groups, no gradients per sample (trap 7): at most 5.5 kB."""
    groups, rows = 50, 128
    net = gv.nn.Grouped(gv.nn.ResNet(11, 1, dropout=0.1), groups, axis=0)
    params = net.init(0)
    x = np.zeros((groups, rows, 11), np.float32)
    key = gv.random.key(0)

    def loss(p, x):
        return (net.apply(p, x, train=True, rng=key) ** 2).mean()

    peak = gv.compile(gv.grad(loss)).plan(params, x).peak_bytes
    weights = sum(a.nbytes for a in gv.flatten(params)[0])
    assert peak - weights < 3000 * groups * rows


def test_threads_do_not_change_bits():
    net = gv.nn.Grouped(gv.nn.ResNet(6, 1, width=20, dropout=0.1), 33, axis=0)
    params = net.init(0)
    x = RNG.normal(size=(33, 50, 6)).astype(np.float32)
    key = gv.random.key(1)
    grads = gv.compile(
        gv.grad(lambda p: (net.apply(p, x, train=True, rng=key) ** 2).sum())
    )
    before = gv.get_threads()
    found = []
    try:
        for n in (1, 2, 3):
            gv.set_threads(n)
            found.append([a.tobytes() for a in gv.flatten(grads(params))[0]])
    finally:
        gv.set_threads(before)
    assert found[0] == found[1] == found[2]
