"""Every layer, activation and loss against torch: outputs, gradients, statistics.

Oracle: torch (an independent implementation) with the same parameters under the same
names. Outputs and gradients of a random combination of the outputs agree to 2e-5 of
their largest entry in single precision, 1e-10 in double. Skipped without torch.
"""

import numpy as np
import pytest

import gradiverse as gv
from gradiverse.nn import losses

torch = pytest.importorskip("torch")
F = torch.nn.functional
TOLERANCE = {"float32": 2e-5, "float64": 1e-10}
T = torch.nn


def flat(tree, prefix=""):
    """Nested dicts -> dict of dotted names."""
    out = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            out |= flat(value, f"{prefix}{name}.")
        else:
            out[prefix + name] = value
    return out


def spread_out(tree, rng):
    """The tree with random numbers added, so that no parameter stays 0 or 1."""
    return {
        name: spread_out(v, rng)
        if isinstance(v, dict)
        else v + (0.3 * rng.normal(size=v.shape)).astype(v.dtype)
        for name, v in tree.items()
    }


def module(made):
    """A torch module as a function of (parameters, x)."""

    def call(params, x, train):
        made.to(x.dtype if x.is_floating_point() else torch.float64)
        made.train(train)
        have = dict(made.named_parameters())
        assert set(have) == set(params), (set(have), set(params))
        return torch.func.functional_call(made, params, (x,))

    return call


def norm(p, name, x, over):
    """Normalisation over the axes, with the weights under a name."""
    mean = x.mean(over, keepdim=True)
    var = x.var(over, unbiased=False, keepdim=True)
    shape = (-1, *(1,) * (x.ndim - 2)) if over[0] == 0 else (-1,)
    w, b = p[f"{name}.weight"].reshape(shape), p[f"{name}.bias"].reshape(shape)
    return (x - mean) / torch.sqrt(var + 1e-5) * w + b


def batch_norm(p, name, x, train=True):
    return norm(p, name, x, (0, *range(2, x.ndim)))


def linear(p, name, x):
    return F.linear(x, p[f"{name}.weight"], p[f"{name}.bias"])


def conv_of(x):
    return {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[x.ndim]


def conv(p, name, x, stride=1, periodic=False):
    w, b = p[f"{name}.weight"], p.get(f"{name}.bias")
    half = w.shape[-1] // 2
    if periodic:
        x = F.pad(x, (half, half) * (x.ndim - 2), mode="circular")
        half = 0
    return conv_of(x)(x, w, b, stride=stride, padding=half)


def block(p, x, name="", stride=1, residual=True, act=F.relu, bare=False, per=False):
    """`ConvBlock`; bare: without norms, per: periodic."""
    bn = (lambda p, n, x: x) if bare else batch_norm
    h = act(bn(p, name + "norm1", conv(p, name + "conv1", x, stride, per)))
    h = bn(p, name + "norm2", conv(p, name + "conv2", h, periodic=per))
    if not residual:
        return act(h)
    if f"{name}skip.weight" in p:
        x = bn(p, name + "skip_norm", conv(p, name + "skip", x, stride))
    return act(h + x)


def unet(p, x, train, depth=2, factor=2, **how):
    dims = x.ndim - 2
    pool = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[dims]
    grow = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}[dims]
    kept = []
    for i in range(depth):
        kept.append(block(p, x, f"down.{i}.", residual=False, **how))
        x = pool(kept[-1], factor)
    x = block(p, x, f"down.{depth}.", residual=False, **how)
    for i in reversed(range(depth)):
        w, b = p[f"up.{i}.weight"], p[f"up.{i}.bias"]
        x = torch.cat((kept[i], grow(x, w, b, stride=factor)), 1)
        x = block(p, x, f"join.{i}.", residual=False, **how)
    return conv_of(x)(x, p["head.weight"], p["head.bias"])


def resnet(p, x, train):
    x = linear(p, "first", x)
    for i in range(2):
        at, h = f"blocks.{i}.", x
        for k in (1, 2):
            n = f"{at}norm{k}"
            h = F.batch_norm(
                h, None, None, p[f"{n}.weight"], p[f"{n}.bias"], True, 0, 1e-3
            )
            h = linear(p, f"{at}linear{k}", F.relu(h))
        x = x + h
    return linear(p, "last", x)


def mixer(p, x, train):
    def mlp(name, x):
        return linear(p, f"{name}.2", F.gelu(linear(p, f"{name}.0", x)))

    for i in range(2):
        h = norm(p, f"{i}.norm1", x, (-1,)).transpose(1, 2)
        x = x + mlp(f"{i}.tokens", h).transpose(1, 2)
        x = x + mlp(f"{i}.channels", norm(p, f"{i}.norm2", x, (-1,)))
    return norm(p, "norm", x, (-1,))


def deepset(pooling):
    def call(p, x, train):
        h = linear(p, "phi.2", F.relu(linear(p, "phi.0", x)))
        mask = torch.tensor(MASK)[:, :, None]
        if pooling == "max":
            h = torch.where(mask, h, -torch.inf).amax(1)
        else:
            h = torch.where(mask, h, 0).sum(1)
            h = h / mask.sum(1) if pooling == "mean" else h
        return linear(p, "rho.0", h)

    return call


def attention(p, x, train, mask=None):
    made = T.MultiheadAttention(6, 3, batch_first=True).to(x.dtype)
    ignore = None if mask is None else ~torch.tensor(mask)
    out = torch.func.functional_call(
        made, p, (x, x, x), {"key_padding_mask": ignore, "need_weights": True}
    )
    return out[0]


MASK = np.arange(5) < np.array([[5], [2], [1]])
N = gv.nn


def masked(layer, mask):
    """A layer of (x, mask) as one of x."""

    class Masked(N.Layer):
        def _parameters(self, rng, dtype):
            return layer._parameters(rng, dtype)

        def _forward(self, params, x, context):
            return layer._forward(params, (x, mask), context)

    return Masked()


# name: layer, torch's function, shape of x
CASES = {
    "linear": (N.Linear(5, 3), module(T.Linear(5, 3)), (7, 5)),
    "linear_tokens": (N.Linear(5, 3), module(T.Linear(5, 3)), (2, 4, 5)),
    "linear_bare": (
        N.Linear(5, 3, bias=False), module(T.Linear(5, 3, bias=False)), (7, 5)
    ),
    "grouped": (
        N.GroupedLinear(4, 5, 3),
        lambda p, x, train: torch.einsum("bgk,gnk->bgn", x, p["weight"]) + p["bias"],
        (7, 4, 5),
    ),
    "mlp": (
        N.MLP((5, 16, 16, 2)),
        module(T.Sequential(T.Linear(5, 16), T.ReLU(), T.Linear(16, 16), T.ReLU(),
                            T.Linear(16, 2))),
        (9, 5),
    ),
    "mlp_silu": (
        N.MLP((5, 16, 2), activation="silu"),
        module(T.Sequential(T.Linear(5, 16), T.SiLU(), T.Linear(16, 2))),
        (9, 5),
    ),
    "resnet": (N.ResNet(6, 2, width=12), resnet, (20, 6)),
    "embedding": (N.Embedding(11, 4), module(T.Embedding(11, 4)), None),
    "layer_norm": (N.LayerNorm(12), module(T.LayerNorm(12)), (5, 3, 12)),
    "layer_norm_2d": (N.LayerNorm((3, 4)), module(T.LayerNorm((3, 4))), (5, 3, 4)),
    "group_norm": (N.GroupNorm(6, 3), module(T.GroupNorm(3, 6)), (4, 6, 5, 7)),
    "group_norm_short": (N.GroupNorm(6, 2), module(T.GroupNorm(2, 6)), (4, 6)),
    "instance_norm": (
        N.InstanceNorm(3), module(T.InstanceNorm2d(3, affine=True)), (4, 3, 5, 7)
    ),
    "batch_norm_0d": (N.BatchNorm(6), module(T.BatchNorm1d(6)), (9, 6)),
    "batch_norm_1d": (N.BatchNorm(6), module(T.BatchNorm1d(6)), (4, 6, 7)),
    "batch_norm_2d": (N.BatchNorm(3), module(T.BatchNorm2d(3)), (4, 3, 9, 5)),
    "batch_norm_3d": (N.BatchNorm(3), module(T.BatchNorm3d(3)), (2, 3, 4, 5, 6)),
    "batch_norm_relu": (
        N.Sequential(N.BatchNorm(3), N.Activation("relu")),
        module(T.Sequential(T.BatchNorm2d(3), T.ReLU())),
        (4, 3, 9, 5),
    ),
    "layer_norm_relu": (
        N.Sequential(N.LayerNorm(12), N.Activation("relu")),
        module(T.Sequential(T.LayerNorm(12), T.ReLU())),
        (5, 3, 12),
    ),
    "max_pool_1d": (N.MaxPool(2), module(T.MaxPool1d(2)), (2, 3, 9)),
    "max_pool_2d": (N.MaxPool(3, 2, 1), module(T.MaxPool2d(3, 2, 1)), (2, 3, 9, 8)),
    "max_pool_3d": (
        N.MaxPool((2, 3, 2)), module(T.MaxPool3d((2, 3, 2))), (2, 3, 4, 6, 5)
    ),
    "avg_pool_1d": (N.AvgPool(3, 2, 1), module(T.AvgPool1d(3, 2, 1)), (2, 3, 9)),
    "avg_pool_2d": (
        N.AvgPool(3, 2, 1, count_padding=False),
        module(T.AvgPool2d(3, 2, 1, count_include_pad=False)),
        (2, 3, 9, 8),
    ),
    "avg_pool_3d": (N.AvgPool(2), module(T.AvgPool3d(2)), (2, 3, 4, 6, 5)),
    "global_mean": (N.GlobalPool(), lambda p, x, t: x.mean((2, 3)), (2, 3, 4, 5)),
    "global_max": (N.GlobalPool("max"), lambda p, x, t: x.amax((2, 3)), (2, 3, 4, 5)),
    "nearest": (N.Upsample(3), module(T.Upsample(scale_factor=3)), (2, 3, 4, 5)),
    "upsample_1d": (
        N.Upsample(4, "linear"), module(T.Upsample(scale_factor=4, mode="linear")),
        (2, 3, 5),
    ),
    "upsample_2d": (
        N.Upsample(2, "linear"), module(T.Upsample(scale_factor=2, mode="bilinear")),
        (2, 3, 5, 4),
    ),
    "upsample_3d": (
        N.Upsample(2, "linear", align_corners=True),
        module(T.Upsample(scale_factor=2, mode="trilinear", align_corners=True)),
        (2, 3, 5, 4, 3),
    ),
    "attention": (N.Attention(6, 3), attention, (3, 5, 6)),
    "attention_mask": (
        masked(N.Attention(6, 3), MASK),
        lambda p, x, train: attention(p, x, train, MASK),
        (3, 5, 6),
    ),
    "residual": (
        N.Residual(N.Linear(5, 5)),
        lambda p, x, train: x + linear(p, "layer", x),
        (7, 5),
    ),
    "conv_block": (
        N.ConvBlock(2, 3, 8, stride=2),
        lambda p, x, train: block(p, x, stride=2),
        (4, 3, 8, 8),
    ),
    "conv_block_plain": (
        N.ConvBlock(1, 4, 4, norm=None, padding="periodic", activation="gelu"),
        lambda p, x, train: block(p, x, act=F.gelu, bare=True, per=True),
        (3, 4, 12),
    ),
    "unet_1d": (N.UNet(1, 2, 3, width=4, depth=2), unet, (5, 2, 16)),
    "unet_2d": (
        N.UNet(2, 2, 3, width=4, depth=2, norm=None, activation="silu"),
        lambda p, x, train: unet(p, x, train, bare=True, act=F.silu),
        (2, 2, 8, 12),
    ),
    "unet_3d": (
        N.UNet(3, 1, 2, width=2, depth=1, factor=(2,), norm=None, activation="tanh"),
        lambda p, x, train: unet(p, x, train, depth=1, bare=True, act=torch.tanh),
        (2, 1, 4, 4, 4),
    ),
    "mixer": (N.MLPMixer(5, 6), mixer, (3, 5, 6)),
}  # fmt: skip
for _pooling in ("mean", "sum", "max"):
    _layer = N.DeepSet(N.MLP((4, 8, 6)), N.MLP((6, 3)), _pooling)
    CASES[f"deepset_{_pooling}"] = masked(_layer, MASK), deepset(_pooling), (3, 5, 4)
for _dim in (1, 2, 3):
    _of, _turned = f"Conv{_dim}d", f"ConvTranspose{_dim}d"
    _x = (2, 4, 9, 8, 7)[: 2 + _dim]
    for _name, _mine, _theirs in (
        ("same", {}, {"padding": "same"}),
        ("stride", {"stride": 2, "padding": 1}, {"stride": 2, "padding": 1}),
        ("valid", {"padding": "valid", "dilation": 2}, {"dilation": 2}),
        ("groups", {"groups": 2, "padding": 0}, {"groups": 2}),
        ("periodic", {"padding": "periodic"},
         {"padding": "same", "padding_mode": "circular"}),
    ):  # fmt: skip
        CASES[f"conv{_dim}d_{_name}"] = (
            getattr(N, _of)(4, 6, 3, **_mine),
            module(getattr(T, _of)(4, 6, 3, **_theirs)),
            _x,
        )
    for _name, _both in (
        ("valid", {"stride": 2}),
        ("cut", {"stride": 2, "padding": 1, "output_padding": 1}),
        ("groups", {"groups": 2, "dilation": 2}),
    ):
        CASES[f"conv_transpose{_dim}d_{_name}"] = (
            getattr(N, _turned)(4, 6, 3, **{"padding": "valid", **_both}),
            module(getattr(T, _turned)(4, 6, 3, **_both)),
            _x,
        )


def compare(mine, theirs, dtype, what, zero=0.0):
    """Largest difference, in units of the largest entry; entries that are all below
    `zero` stand for zeros, and the other side need only be as small."""
    theirs = theirs.detach().numpy()
    assert mine.shape == theirs.shape, (what, mine.shape, theirs.shape)
    assert mine.dtype == theirs.dtype, (what, mine.dtype, theirs.dtype)
    size = np.abs(theirs).max()
    if size <= zero:
        assert np.abs(mine).max() <= zero, what
        return
    gap = np.abs(mine - theirs).max(initial=0) / max(size, 1e-30)
    assert gap <= TOLERANCE[dtype], (what, gap)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_layer(name, dtype):
    layer, twin, shape = CASES[name]
    rng = np.random.default_rng(list(map(ord, name)))
    params = spread_out(layer.init(1, dtype), rng)
    if shape is None:
        x = rng.integers(0, 11, (5, 3))
    else:
        x = rng.normal(size=shape).astype(dtype)
    leaves = {n: torch.tensor(v, requires_grad=True) for n, v in flat(params).items()}
    at = torch.tensor(x, requires_grad=shape is not None)
    wanted = twin(leaves, at, True)
    w = rng.normal(size=wanted.shape).astype(dtype)
    (wanted * torch.tensor(w)).sum().backward()

    y = layer.apply(params, x, train=True)
    compare(y, wanted, dtype, f"{name}: output")

    def loss(params, x):
        return (layer.apply(params, x, train=True) * w).sum()

    if leaves:
        grads = flat(gv.grad(loss)(params, x))
        assert set(grads) == set(leaves)
        # a bias in front of a norm has no effect: rounding errors on both sides
        zero = 0.1 * TOLERANCE[dtype] * max(map(np.max, map(np.abs, grads.values())))
        for key, g in grads.items():
            compare(g, leaves[key].grad, dtype, f"{name}: gradient of {key}", zero)
    if shape is not None:
        g_x = gv.grad(lambda x: loss(params, x))(x)
        compare(g_x, at.grad, dtype, f"{name}: gradient of x")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(9, 3), (4, 3, 7), (4, 3, 5, 6), (2, 3, 4, 5, 2)])
def test_running_statistics(shape, dtype):
    """Three training batches, then use: state and output, gradients through the use."""
    kind = {2: T.BatchNorm1d, 3: T.BatchNorm1d, 4: T.BatchNorm2d, 5: T.BatchNorm3d}
    rng = np.random.default_rng(3)
    layer = N.BatchNorm(3, momentum=0.2)
    twin = kind[len(shape)](3, momentum=0.2).to(getattr(torch, dtype))
    params, state = layer.init(0, dtype), layer.init_state(dtype)
    for _ in range(3):
        x = (2 + 3 * rng.normal(size=shape)).astype(dtype)
        y, state = layer.apply(params, x, state=state, train=True)
        compare(y, twin(torch.tensor(x)), dtype, "training")
    for name in ("running_mean", "running_var"):
        compare(state[name], getattr(twin, name), dtype, name)
    twin.eval()
    x = rng.normal(size=shape).astype(dtype)
    w = rng.normal(size=shape).astype(dtype)
    at = torch.tensor(x, requires_grad=True)
    out = twin(at)
    (out * torch.tensor(w)).sum().backward()
    compare(layer.apply(params, x, state=state)[0], out, dtype, "use")
    g = gv.grad(lambda x: (layer.apply(params, x, state=state)[0] * w).sum())(x)
    compare(g, at.grad, dtype, "gradient in use")


ACTIVATIONS = {
    "elu": F.elu, "gelu": F.gelu, "identity": lambda x: x, "leaky_relu": F.leaky_relu,
    "relu": F.relu, "selu": F.selu, "sigmoid": torch.sigmoid, "silu": F.silu,
    "softplus": F.softplus, "tanh": torch.tanh,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name, dtype):
    """Values and derivatives, at the kink too."""
    x = np.concatenate([np.linspace(-6, 6, 48), [0.0, -0.0]]).astype(dtype)
    at = torch.tensor(x, requires_grad=True)
    wanted = ACTIVATIONS[name](at)
    wanted.sum().backward()
    f = N.activation(name)
    compare(f(x), wanted, dtype, name)
    compare(gv.grad(lambda x: f(x).sum())(x), at.grad, dtype, f"derivative of {name}")


def _labels(rng, dtype):
    return rng.integers(0, 4, (6, 5))


LOSSES = {
    "mse": (losses.mse, F.mse_loss),
    "mae": (losses.mae, F.l1_loss),
    "huber": (lambda p, t, **k: losses.huber(p, t, 0.7, **k),
              lambda p, t, **k: F.huber_loss(p, t, delta=0.7, **k)),
    "bce": (lambda p, t, **k: losses.bce_with_logits(p, 1 / (1 + np.exp(-t)), **k),
            lambda p, t, **k: F.binary_cross_entropy_with_logits(p, t.sigmoid(), **k)),
    "nll": (lambda p, t, **k: losses.gaussian_nll(p, t, 0.5 * p, full=True, **k),
            lambda p, t, **k: F.gaussian_nll_loss(p, t, torch.exp(0.5 * p), full=True,
                                                  **k)),
    "soft": (lambda p, t, **k: losses.cross_entropy(p, _soft(t), axis=1, **k),
             lambda p, t, **k: F.cross_entropy(p, torch.softmax(t, 1), **k)),
}  # fmt: skip


def _soft(t):
    e = np.exp(t - t.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LOSSES)
def test_loss(name, dtype, reduction):
    mine, theirs = LOSSES[name]
    rng = np.random.default_rng(5)
    p, t = (rng.normal(size=(6, 4, 5)).astype(dtype) for _ in range(2))
    at = torch.tensor(p, requires_grad=True)
    wanted = theirs(at, torch.tensor(t), reduction=reduction)
    wanted.sum().backward()
    compare(np.asarray(mine(p, t, reduction=reduction)), wanted, dtype, name)
    g = gv.grad(lambda p: mine(p, t, reduction=reduction).sum())(p)
    compare(g, at.grad, dtype, f"gradient of {name}")


@pytest.mark.parametrize("smoothing", [0, 0.1])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cross_entropy_of_labels(dtype, smoothing):
    rng = np.random.default_rng(6)
    p = rng.normal(size=(6, 4, 5)).astype(dtype)
    labels = rng.integers(0, 4, (6, 5))
    at = torch.tensor(p, requires_grad=True)
    wanted = F.cross_entropy(at, torch.tensor(labels), label_smoothing=smoothing)
    wanted.backward()

    def loss(p):
        return losses.cross_entropy(p, labels, axis=1, smoothing=smoothing)

    compare(np.asarray(loss(p)), wanted, dtype, "value")
    compare(gv.grad(loss)(p), at.grad, dtype, "gradient")
