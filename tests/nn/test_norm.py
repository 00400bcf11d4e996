"""Norms against their definitions in NumPy (float64), the state, and the edge cases."""

import re

import numpy as np
import pytest

import gradiverse as gv
from gradiverse import _core
from gradiverse.graph import emit
from gradiverse.testing import check_grads

EPS = {"float32": 2.0**-24, "float64": 2.0**-53}
SHAPES = [(9, 6), (4, 6, 7), (4, 6, 5, 9), (2, 6, 4, 3, 5)]


def definition(x, axes, eps=1e-5):
    """(x - mean) / sqrt(var + eps) in double precision."""
    x = x.astype(float)
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(var + eps)


def per_channel(w, x):
    return w.reshape(-1, *(1,) * (x.ndim - 2)).astype(float)


def random_params(layer, dtype, seed=0):
    rng = np.random.default_rng(seed)
    params = layer.init(0, dtype)
    return {k: v + rng.normal(size=v.shape).astype(dtype) for k, v in params.items()}


@pytest.fixture
def restored():
    """Threads as they were."""
    threads = _core.get_threads()
    yield
    _core.set_threads(threads)


@pytest.mark.smoke
@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm_trains_on_the_batch_and_keeps_statistics(shape, dtype):
    """The running variance is the unbiased one, n / (n - 1) of the batch's."""
    rng = np.random.default_rng(1)
    layer = gv.nn.BatchNorm(6, momentum=0.3)
    params, state = random_params(layer, dtype), layer.init_state(dtype)
    x = (5 + 2 * rng.normal(size=shape)).astype(dtype)
    y, new = layer.apply(params, x, state=state, train=True)
    axes = (0, *range(2, x.ndim))
    want = per_channel(params["weight"], x) * definition(x, axes)
    want = want + per_channel(params["bias"], x)
    assert y.dtype == dtype and y.shape == shape
    assert np.abs(y - want).max() <= 40 * EPS[dtype] * np.abs(want).max()
    n = x.size // 6
    for name, value, old in (
        ("running_mean", x.astype(float).mean(axes), 0.0),
        ("running_var", x.astype(float).var(axes) * n / (n - 1), 1.0),
    ):
        assert new[name].dtype == dtype
        np.testing.assert_allclose(
            new[name], 0.7 * old + 0.3 * value, rtol=20 * EPS[dtype]
        )
        assert np.all(state[name] == old)  # the caller's state is untouched
    y, same = layer.apply(params, x, state=new)
    scale = params["weight"] / np.sqrt(new["running_var"].astype(float) + 1e-5)
    want = per_channel(scale, x) * (x - per_channel(new["running_mean"], x))
    want = want + per_channel(params["bias"], x)
    assert np.abs(y - want).max() <= 40 * EPS[dtype] * np.abs(want).max()
    assert all(np.array_equal(same[k], new[k]) for k in new)


@pytest.mark.smoke
@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("shape", SHAPES)
def test_norms_of_entries(shape, dtype):
    rng = np.random.default_rng(2)
    x = 5 + rng.normal(size=shape)
    x[:, ::2] -= 3  # no group has a small variance
    x = x.astype(dtype)
    split = x.reshape(shape[0], 3, -1)
    cases = [
        (gv.nn.LayerNorm(shape[-1]), definition(x, -1)),
        (gv.nn.LayerNorm(shape[1:]), definition(x, tuple(range(1, x.ndim)))),
        (gv.nn.GroupNorm(6, 3), definition(split, 2).reshape(shape)),
    ]
    if x.ndim > 2:
        cases.append((gv.nn.InstanceNorm(6), definition(x, tuple(range(2, x.ndim)))))
    for layer, want in cases:
        params = random_params(layer, dtype)
        w, b = params["weight"], params["bias"]
        if not isinstance(layer, gv.nn.LayerNorm):
            w, b = per_channel(w, x), per_channel(b, x)
        y = layer.apply(params, x)
        assert y.dtype == dtype
        # a few roundings of y, and that of the mean (5) times 1 / sd, at most 10 here
        gap = np.abs(y - (w * want + b)).max()
        assert gap <= (20 * np.abs(want).max() + 5 * 10) * EPS[dtype], layer


def trained(layer):
    """The layer as a function of parameters and input, while training."""
    return lambda params, x: layer.apply(params, x, train=True)


@pytest.mark.parametrize("kind", ["batch", "group", "layer"])
@pytest.mark.parametrize("shape", [(9, 6), (4, 6, 50)])
def test_first_and_second_derivatives(shape, kind):
    x, v = np.random.default_rng(3).normal(size=(2, *shape))
    layer = {
        "batch": gv.nn.BatchNorm(6),
        "group": gv.nn.GroupNorm(6, 2),
        "layer": gv.nn.LayerNorm(shape[1:]),
    }[kind]
    params, run = random_params(layer, "float64"), trained(layer)
    check_grads(lambda params, x: np.sin(run(params, x)).sum(), (params, x))

    def f(x):
        return np.sin(run(params, x)).sum()

    step = 1e-5
    up, down = (gv.grad(f)(x + s * v) for s in (step, -step))
    np.testing.assert_allclose(gv.hvp(f, x, v), (up - down) / (2 * step), atol=1e-6)


@pytest.mark.parametrize("groups", [0, 1, 5])
@pytest.mark.parametrize("shape", [(64, 5), (8, 5, 40), (3, 5, 2, 2)])
def test_fused_rectifier_equals_the_rectifier_after(shape, groups):
    """Bitwise; the cotangent is gated exactly where the output is zero."""
    rng = np.random.default_rng(5)
    x, g = (rng.normal(size=shape).astype("f4") for _ in range(2))
    layer = gv.nn.GroupNorm(5, groups) if groups else gv.nn.BatchNorm(5)
    if groups == 5:
        x = np.repeat(x[..., None], 3, -1) * np.float32([1, 2, 4])
        g = np.repeat(g[..., None], 3, -1)
    params = {"0": random_params(layer, "float32")}
    found = []
    for act in ("relu", lambda x: np.maximum(x, 0)):
        net = trained(gv.nn.Sequential(layer, gv.nn.Activation(act)))
        y, pull = gv.vjp(net, params, x)
        found.append((y, *pull(g)))
    (y, g_p, g_x), (y2, g_p2, g_x2) = found
    assert np.array_equal(y, y2)
    np.testing.assert_allclose(g_x, g_x2, rtol=0, atol=1e-5 * np.abs(g_x).max())
    open_ = (g * (y > 0)).sum((0, *range(2, x.ndim)))
    np.testing.assert_allclose(g_p["0"]["bias"], open_, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(g_p2["0"]["bias"], open_, rtol=1e-5, atol=1e-5)


def test_a_large_mean_costs_no_accuracy_of_the_variance():
    """Moments about a first mean: the textbook E[x^2] - E[x]^2 in single precision
    would be off by 2^-24 mean^2 / var = 6 here."""
    x = (10_000 + np.random.default_rng(6).normal(size=(8, 3, 2000))).astype("f4")
    _, mean, var = emit(
        "batch_norm", (x, np.ones(3, "f4"), np.zeros(3, "f4")), eps=0.0, relu=0
    )
    np.testing.assert_allclose(mean, x.astype(float).mean((0, 2)), rtol=2**-23)
    np.testing.assert_allclose(var, x.astype(float).var((0, 2)), rtol=1e-6)


def test_an_odd_first_stretch_does_not_spoil_the_variance():
    """The bound of kernels/norm.h, eps (1 + N / k) with k = 1024, on the worst case:
    the first k values far from all others."""
    x = np.random.default_rng(7).normal(size=(1, 2, 50_000))
    x[:, :, :1024] += 1e9
    _, _, var = emit("batch_norm", (x, np.ones(2), np.zeros(2)), eps=0.0, relu=0)
    n = x.shape[2]
    want = np.array([np.var(c.astype(np.longdouble)) for c in x[0]])
    assert np.all(np.abs(var - want) <= 8 * 2.0**-52 * (1 + n / 1024) * want)


def test_constant_columns_stay_finite():
    """Variance zero: the output is the bias, gradients are finite (division by 0 in
    standardisation, sbi.md trap 8)."""
    x = np.full((8, 4), 3.0, "f4")
    for layer in (gv.nn.BatchNorm(4), gv.nn.LayerNorm(4)):
        params = random_params(layer, "float32")
        y, pull = gv.vjp(trained(layer), params, x)
        np.testing.assert_allclose(y, np.tile(params["bias"], (8, 1)), atol=1e-6)
        assert all(np.isfinite(g).all() for g in gv.flatten(pull(y))[0])


@pytest.mark.parametrize("shape", [(5, 6, 9001), (3, 2, 80_000), (3000, 70), (64, 64)])
def test_same_bits_for_any_number_of_threads(shape, restored):
    rng = np.random.default_rng(8)
    x = rng.normal(size=shape).astype("f4")
    layers = [gv.nn.BatchNorm(shape[1]), gv.nn.GroupNorm(shape[1], 2)]
    for layer in layers:
        params, found = random_params(layer, "float32"), []
        for threads in (1, 2, 3):
            _core.set_threads(threads)
            y, pull = gv.vjp(trained(layer), params, x)
            found.append([a.tobytes() for a in gv.flatten((y, pull(x)))[0]])
        assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("shape", [(6, 8, 300), (40, 8, 5), (33, 8)])
@pytest.mark.parametrize("groups", [0, 1, 2])
def test_the_reverse_sweep_may_write_over_its_input(shape, groups):
    """Planned, the input of a norm in the middle of a network gives its room away; the
    result is that of the run node by node."""
    layer = gv.nn.GroupNorm(8, groups) if groups else gv.nn.BatchNorm(8)
    net = gv.nn.Sequential(layer, gv.nn.Activation("relu"))
    params = {"0": random_params(layer, "float32")}
    x = np.random.default_rng(12).normal(size=shape).astype("f4")

    def f(x):
        _, pull = gv.vjp(lambda h: net.apply(params, h, train=True), np.sin(x))
        return np.square(pull(np.cos(x))[0])

    planned = gv.compile(f)
    assert re.search(r"_norm_bwd @(\d+) .*-> @\1 ", str(planned.plan(x)))
    before = _core.set_debug(True)
    try:
        apart = gv.compile(f)(x)
    finally:
        _core.set_debug(before)
    assert np.array_equal(planned(x), apart)


def test_lanes_of_vmap_have_statistics_of_their_own():
    rng = np.random.default_rng(9)
    x = rng.normal(size=(3, 8, 4)).astype("f4") * np.array([1, 5, 9])[:, None, None]
    x = x.astype("f4")
    layer = gv.nn.BatchNorm(4)
    params, state = random_params(layer, "float32"), layer.init_state()

    def one(x):
        return layer.apply(params, x, state=state, train=True)

    ys, states = gv.vmap(one)(x)
    for k in range(3):
        y, new = one(x[k])
        assert np.array_equal(ys[k], y)
        assert np.array_equal(states["running_var"][k], new["running_var"])


def test_running_statistics_carry_no_gradient():
    layer = gv.nn.BatchNorm(3)
    params, state = layer.init(0), layer.init_state()
    x = np.random.default_rng(10).normal(size=(8, 3)).astype("f4")

    def f(x):
        _, new = layer.apply(params, x, state=state, train=True)
        return new["running_mean"].sum() + new["running_var"].sum()

    assert not gv.grad(f)(x).any()


def test_without_affine_there_are_no_parameters():
    x = np.random.default_rng(11).normal(size=(8, 4, 5))
    for layer in (
        gv.nn.BatchNorm(4, affine=False),
        gv.nn.GroupNorm(4, 2, affine=False),
        gv.nn.InstanceNorm(4, affine=False),
        gv.nn.LayerNorm(5, affine=False),
    ):
        assert layer.init(0) == {}
        y = layer.apply({}, x, train=True)
        assert abs(y.mean()) < 1e-12 and abs(y.std() - 1) < 1e-4


@pytest.mark.parametrize(
    ("layer", "shape", "words"),
    [
        (gv.nn.BatchNorm(3), (8, 4), r"\(8, 4\).*3 channels"),
        (gv.nn.BatchNorm(3), (1, 3), "more than one value per channel"),
        (gv.nn.GroupNorm(3, 3), (3,), "is needed"),
        (gv.nn.InstanceNorm(3), (8, 3), "axis"),
        (gv.nn.InstanceNorm(3), (8, 3, 1), "one value per channel"),
        (gv.nn.LayerNorm(3), (8, 4), "must end in"),
        (gv.nn.LayerNorm((3, 4)), (4,), "must end in"),
    ],
)
def test_shapes_that_do_not_fit(layer, shape, words):
    with pytest.raises(ValueError, match=words):
        layer.apply(layer.init(0), np.ones(shape, "f4"), train=True)


def test_other_errors():
    layer = gv.nn.BatchNorm(3)
    x = np.ones((4, 3), "f4")
    with pytest.raises(ValueError, match="give state="):
        layer.apply(layer.init(0), x)
    with pytest.raises(TypeError, match="float32 or float64"):
        layer.apply(layer.init(0), np.ones((4, 3), int), train=True)
    with pytest.raises(ValueError, match="running_mean"):
        layer.apply(layer.init(0), x, state={}, train=True)
    with pytest.raises(ValueError, match="divide"):
        gv.nn.GroupNorm(4, 3)
    with pytest.raises(ValueError, match="momentum"):
        gv.nn.BatchNorm(4, momentum=1.5)
