"""Residual blocks, U-Net, mixer: shapes, names, states, derivatives, symmetries."""

import numpy as np
import pytest

import gradiverse as gv
from gradiverse.testing import check_grads

RNG = np.random.default_rng(0)


def names(tree, prefix=""):
    out = []
    for name, v in tree.items():
        out += names(v, f"{prefix}{name}.") if isinstance(v, dict) else [prefix + name]
    return sorted(out)


def shaken(params, scale=0.3):
    return gv.map_leaves(lambda v: v + scale * RNG.normal(size=v.shape), params)


def test_residual():
    net = gv.nn.Residual(gv.nn.MLP((3, 8, 3)))
    params, x = net.init(0, "float64"), RNG.normal(size=(5, 3))
    inner = gv.nn.MLP((3, 8, 3)).apply(params["layer"], x)
    np.testing.assert_allclose(net.apply(params, x), x + inner, rtol=1e-15)
    with pytest.raises(ValueError, match="equal shapes"):
        wide = gv.nn.Residual(gv.nn.Linear(3, 4))
        wide.apply(wide.init(0), x)
    with pytest.raises(TypeError, match="must be a layer"):
        gv.nn.Residual(np.tanh)


def check_slope(f, params):
    """Gradient along a random direction against central differences, extrapolated."""
    f = gv.compile(f)
    v = gv.map_leaves(lambda p: RNG.normal(size=p.shape), params)

    def at(t):
        return float(f(gv.map_leaves(lambda p, v: p + t * v, params, v)))

    wide, narrow = ((at(h) - at(-h)) / (2 * h) for h in (2e-5, 1e-5))
    g = gv.compile(gv.grad(f))(params)
    pairs = zip(gv.flatten(g)[0], gv.flatten(v)[0], strict=True)
    mine = sum(float((a * b).sum()) for a, b in pairs)
    assert abs(mine - (4 * narrow - wide) / 3) < 1e-7 * (1 + abs(mine) + abs(at(0)))


@pytest.mark.parametrize("norm", ["batch", "group", "instance", None])
def test_conv_block(norm):
    block = gv.nn.ConvBlock(1, 2, 4, norm=norm, activation="silu")
    params, state = shaken(block.init(0, "float64")), block.init_state("float64")
    assert ("conv1.bias" in names(params)) == (norm is None)
    assert ("norm1.running_mean" in names(state)) == (norm == "batch")
    x = RNG.normal(size=(3, 2, 6))

    def f(params, x):
        return block.apply(params, x, state=state, train=True)

    y, new = f(params, x)
    assert y.shape == (3, 4, 6)
    assert names(new) == names(state)
    assert all(not np.array_equal(a, b) for a, b in
               zip(gv.flatten(new)[0], gv.flatten(state)[0], strict=True))  # fmt: skip
    check_grads(lambda p, x: np.sin(f(p, x)[0]).sum(), (params, x))


def test_conv_block_without_a_way_around():
    block = gv.nn.ConvBlock(2, 3, 3, residual=False, norm=None)
    params = gv.map_leaves(np.zeros_like, block.init(0))
    x = RNG.normal(size=(2, 3, 4, 4)).astype("f4")
    assert not block.apply(params, x).any()
    around = gv.nn.ConvBlock(2, 3, 3, norm=None)
    np.testing.assert_array_equal(around.apply(params, x), np.maximum(x, 0))


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_unet_shapes_names_and_derivatives(dim):
    net = gv.nn.UNet(dim, 2, 3, width=2, depth=2, activation="tanh")
    params, state = shaken(net.init(0, "float64")), net.init_state("float64")
    x = RNG.normal(size=(3, 2, 8, 4, 4)[: 2 + dim])
    y, new = net.apply(params, x, state=state, train=True)
    assert y.shape == (3, 3, *x.shape[2:]) and names(new) == names(state)
    assert {n.split(".")[0] for n in names(params)} == {"down", "up", "join", "head"}
    assert params["down"]["2"]["conv2"]["weight"].shape[:2] == (8, 8)
    assert params["join"]["0"]["conv1"]["weight"].shape[:2] == (2, 4)
    check_slope(
        lambda p: np.square(net.apply(p, x, state=state, train=True)[0]).mean(), params
    )


def test_unet_factors_and_periodic_padding():
    """Levels 8 and 2 coarser; periodic: shifting by a coarse cell shifts the output."""
    net = gv.nn.UNet(1, 1, 1, width=4, depth=2, factor=(8, 2), padding="periodic",
                     norm=None)  # fmt: skip
    params = net.init(0, "float64")
    x = RNG.normal(size=(2, 1, 64))
    y = net.apply(params, x)
    shifted = net.apply(params, np.roll(x, 16, -1))
    np.testing.assert_allclose(shifted, np.roll(y, 16, -1), atol=1e-12)
    with pytest.raises(ValueError, match="not divisible by 16"):
        net.apply(params, x[..., :24])
    with pytest.raises(ValueError, match="2 entries, depth is 3"):
        gv.nn.UNet(1, 1, 1, depth=3, factor=(8, 2))
    with pytest.raises(ValueError, match="dim must be"):
        gv.nn.UNet(4, 1, 1)
    with pytest.raises(ValueError, match=r"\(batch, 1, ...\)"):
        net.apply(params, x[0])


def test_unet_of_depth_zero_is_one_block():
    net = gv.nn.UNet(1, 1, 2, width=4, depth=0, norm=None)
    params = net.init(0)
    assert sorted(params) == ["down", "head"]
    assert net.apply(params, np.ones((2, 1, 5), "f4")).shape == (2, 2, 5)


def test_mixer():
    net = gv.nn.MLPMixer(4, 6, depth=2, token_width=5, width=7)
    params = net.init(0, "float64")
    assert params["0"]["tokens"]["0"]["weight"].shape == (5, 4)
    assert params["1"]["channels"]["2"]["weight"].shape == (6, 7)
    x = RNG.normal(size=(3, 4, 6))
    assert net.apply(params, x).shape == x.shape
    check_slope(lambda p: np.sin(net.apply(p, x)).sum(), params)
    with pytest.raises(ValueError, match=r"\(batch, 4, 6\)"):
        net.apply(params, x[:, :3])


def test_networks_compile_and_train_in_a_loop():
    """Ten gradient steps in one scan lower the loss; parameters and state carried."""
    net = gv.nn.UNet(1, 1, 1, width=4, depth=1)
    x = RNG.normal(size=(8, 1, 16)).astype("f4")
    target = np.roll(x, 1, -1) * np.float32(0.5)

    def loss(params, state):
        y, state = net.apply(params, x, state=state, train=True)
        return gv.nn.losses.mse(y, target), state

    def body(carry, _):
        params, state = carry
        (value, state), g = gv.value_and_grad(loss, has_aux=True)(params, state)
        params = gv.map_leaves(lambda p, g: p - np.float32(0.1) * g, params, g)
        return (params, state), value

    start = net.init(0), net.init_state()
    _, values = gv.compile(lambda c: gv.scan(body, c, length=10))(start)
    assert values[-1] < 0.8 * values[0]
