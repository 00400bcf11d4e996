"""Norms, pooling, attention and a U-Net against torch, forward and backward.

.venv-rivals/bin/python -m benchmarks.speed.nn_norm THREADS [case ...]

Value and gradients of the input and the parameters in float32, with the input as the
cotangent (for the norms) or the output itself. Process CPU time on one thread, wall
time on more, all in turn.
"""

import sys

from benchmarks.speed.measure import (
    clock_and_unit,
    interleave,
    limit_threads,
    report,
    rest_before,
    scaled,
    threads_argument,
)

THREADS = threads_argument(1)
limit_threads(THREADS)

import numpy as np  # noqa: E402
import torch  # noqa: E402

import gradiverse as gv  # noqa: E402

torch.set_num_threads(THREADS)
T, N = torch.nn, gv.nn
CLOCK, UNIT = clock_and_unit(THREADS)
REST = rest_before(THREADS)


class _Attend(T.Module):
    """torch's attention of an array with itself."""

    def __init__(self, dim, heads):
        super().__init__()
        self.inner = T.MultiheadAttention(dim, heads, batch_first=True)

    def forward(self, x):
        return self.inner(x, x, x, need_weights=False)[0]


class _Block(T.Module):
    """Twice convolution, norm and rectifier."""

    def __init__(self, a, b):
        super().__init__()
        self.conv1 = T.Conv2d(a, b, 3, padding=1, bias=False)
        self.conv2 = T.Conv2d(b, b, 3, padding=1, bias=False)
        self.norm1, self.norm2 = T.BatchNorm2d(b), T.BatchNorm2d(b)

    def forward(self, x):
        x = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(x)))


class _UNet(T.Module):
    """The network of gv.nn.UNet with the same names."""

    def __init__(self, c_in, c_out, width, depth):
        super().__init__()
        c = [width * 2**i for i in range(depth + 1)]
        self.down = T.ModuleList(map(_Block, [c_in, *c[:-1]], c))
        self.up = T.ModuleList(
            T.ConvTranspose2d(c[i + 1], c[i], 2, 2) for i in range(depth)
        )
        self.join = T.ModuleList(_Block(2 * n, n) for n in c[:-1])
        self.head = T.Conv2d(c[0], c_out, 1)

    def forward(self, x):
        kept = []
        for block in self.down[:-1]:
            kept.append(block(x))
            x = T.functional.max_pool2d(kept[-1], 2)
        x = self.down[-1](x)
        for i in reversed(range(len(kept))):
            x = self.join[i](torch.cat((kept[i], self.up[i](x)), 1))
        return self.head(x)


#: ours, torch's, shape of x, bar (ms at 1 and 2 threads)
CASES = {
    "batch_norm_relu": (
        N.Sequential(N.BatchNorm(32), N.Activation("relu")),
        T.Sequential(T.BatchNorm2d(32), T.ReLU()),
        (16, 32, 100, 100),
        (8.8, 4.7),
    ),
    "batch_norm_rows": (N.BatchNorm(256), T.BatchNorm1d(256), (256, 256), None),
    "layer_norm": (N.LayerNorm(256), T.LayerNorm(256), (4096, 256), None),
    "group_norm": (
        N.GroupNorm(32, 8), T.GroupNorm(8, 32), (16, 32, 64, 64), None,
    ),
    "max_pool": (N.MaxPool(2), T.MaxPool2d(2), (16, 32, 100, 100), None),
    "avg_pool": (N.AvgPool(2), T.AvgPool2d(2), (16, 32, 100, 100), None),
    "attention": (N.Attention(64, 4), _Attend(64, 4), (16, 128, 64), None),
    "unet": (N.UNet(2, 1, 1, 16, 3), _UNet(1, 1, 16, 3), (8, 1, 64, 64), None),
}  # fmt: skip


def torch_step(module, x):
    """Forward and backward."""
    x = torch.from_numpy(x).requires_grad_()

    def step():
        module.zero_grad()
        x.grad = None
        y = module(x)
        y.backward(x.detach() if y.shape == x.shape else y.detach())
        return y, x.grad

    return step


def our_step(layer, params, x):
    """Forward and backward, compiled."""

    def run(params, x):
        y, pull = gv.vjp(lambda p, x: layer.apply(p, x, train=True), params, x)
        return (y, *pull(x if y.shape == x.shape else y))

    compiled = gv.compile(run)
    return lambda: compiled(params, x)


def main(chosen):
    """Time the cases, or all."""
    for name in chosen or CASES:
        layer, module, shape, bar = CASES[name]
        x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        mine, theirs = our_step(layer, layer.init(0), x), torch_step(module, x)
        if name not in ("attention", "unet"):  # there the parameters differ
            gap = np.abs(mine()[0] - theirs()[0].detach().numpy()).max()
            assert gap < 1e-5, (name, gap)
        times = interleave(
            {"gradiverse": mine, "torch": theirs}, clock=CLOCK, rest=REST
        )
        text = None
        if bar:
            text = f"<= {bar[THREADS > 1]} ms, >= 1.9 x torch"
        work = f"{name.replace('_', ' ')} {'x'.join(map(str, shape))}"
        report(work, UNIT, scaled(times, 1e3), text)


if __name__ == "__main__":
    main(sys.argv[2:])
