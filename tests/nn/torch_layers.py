"""Layers of `gradiverse.nn` and what they are in torch.

`LAYERS` can be read without torch, whose functions are called by `of_torch` alone.
"""

import numpy as np

import gradiverse as gv

try:
    import torch
    from torch.nn import functional as F
except ImportError:
    torch = None


class Later:
    """`torch.nn` with modules that are made when they are called."""

    def __getattr__(self, name):
        def given(*args, **how):
            def make():
                parts = (a() if callable(a) else a for a in args)
                return getattr(torch.nn, name)(*parts, **how)

            return make

        return given


T = Later()


def flat(tree, prefix=""):
    """Nested dicts -> dict of dotted names."""
    out = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            out |= flat(value, f"{prefix}{name}.")
        else:
            out[prefix + name] = value
    return out


def numbers(name):
    """A NumPy Generator of a name."""
    return np.random.Generator(np.random.PCG64(list(map(ord, name))))


def single(x, dtype):
    """x rounded to single precision: the same numbers in either dtype."""
    return np.asarray(x, "float32").astype(dtype)


def normal(rng, shape, dtype):
    """Normal numbers that single precision holds."""
    return single(rng.normal(size=shape), dtype)


def drawn(tree, rng, dtype):
    """Numbers in place of the parameters: about 1 where they start at 1, else 0."""
    return {
        name: drawn(v, rng, dtype)
        if isinstance(v, dict)
        else single(0.25 * rng.normal(size=v.shape) + (v == 1), dtype)
        for name, v in sorted(tree.items())
    }


def module(make):
    """What makes a torch module as a function of (parameters, x)."""

    def call(params, x, train):
        made = make().to(x.dtype if x.is_floating_point() else torch.float64)
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


def block(p, x, name="", stride=1, residual=True, act=None, bare=False, per=False):
    """`ConvBlock`; bare: without norms, per: periodic."""
    act = act or F.relu
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
    made = T.MultiheadAttention(6, 3, batch_first=True)().to(x.dtype)
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


# name: layer, torch's function, shape of x (None: indices)
LAYERS = {
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
    LAYERS[f"deepset_{_pooling}"] = masked(_layer, MASK), deepset(_pooling), (3, 5, 4)
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
        LAYERS[f"conv{_dim}d_{_name}"] = (
            getattr(N, _of)(4, 6, 3, **_mine),
            module(getattr(T, _of)(4, 6, 3, **_theirs)),
            _x,
        )
    for _name, _both in (
        ("valid", {"stride": 2}),
        ("cut", {"stride": 2, "padding": 1, "output_padding": 1}),
        ("groups", {"groups": 2, "dilation": 2}),
    ):
        LAYERS[f"conv_transpose{_dim}d_{_name}"] = (
            getattr(N, _turned)(4, 6, 3, **{"padding": "valid", **_both}),
            module(getattr(T, _turned)(4, 6, 3, **_both)),
            _x,
        )


def inputs(name, dtype):
    """Parameters, x and, given the output's shape, weights of the outputs."""
    layer, _, shape = LAYERS[name]
    rng = numbers(name)
    params = drawn(layer.init(0, dtype), rng, dtype)
    x = rng.integers(0, 11, (5, 3)) if shape is None else normal(rng, shape, dtype)
    return params, x, lambda shape: normal(rng, shape, dtype)


def of_gradiverse(name, dtype):
    """The output in training, and gradients of a combination of its entries."""
    layer, _, shape = LAYERS[name]
    params, x, weights = inputs(name, dtype)
    y = layer.apply(params, x, train=True)
    w = weights(y.shape)

    def loss(params, x):
        return (layer.apply(params, x, train=True) * w).sum()

    found = {"output": y}
    if params:
        for key, g in flat(gv.grad(loss)(params, x)).items():
            found[f"gradient of {key}"] = g
    if shape is not None:
        found["gradient of x"] = gv.grad(lambda x: loss(params, x))(x)
    return found


def of_torch(name, dtype):
    """The same by torch."""
    _, twin, shape = LAYERS[name]
    params, x, weights = inputs(name, dtype)
    leaves = {n: torch.tensor(v, requires_grad=True) for n, v in flat(params).items()}
    at = torch.tensor(x, requires_grad=shape is not None)
    y = twin(leaves, at, True)
    (y * torch.tensor(weights(y.shape))).sum().backward()
    wanted = {"output": y}
    wanted |= {f"gradient of {n}": v.grad for n, v in leaves.items()}
    if shape is not None:
        wanted["gradient of x"] = at.grad
    return {key: v.detach().numpy() for key, v in wanted.items()}
