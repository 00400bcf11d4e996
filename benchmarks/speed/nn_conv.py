"""Convolutions with kernels of 3 against torch, forward and backward.

.venv-rivals/bin/python -m benchmarks.speed.nn_conv THREADS [case ...]

Value and gradients of input, weight and bias, float32; torch in its own layout and with
the channels last, the input converted beforehand. Process CPU time on one thread, wall
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
CLOCK, UNIT = clock_and_unit(THREADS)
REST = rest_before(THREADS)
#: axes, channels in and out, points of an axis, batch; bar at 1 and 2 threads in ms
CASES = {
    "conv2d_wide": (2, 32, 64, 100, 16, (150, 80)),
    "conv2d_narrow": (2, 16, 16, 64, 64, (27, 14)),
    "conv3d": (3, 64, 64, 32, 1, (150, 78)),
}


def torch_step(axes, weight, bias, x, last):
    """Forward and backward with the result as its own cotangent."""
    layer = (torch.nn.Conv2d, torch.nn.Conv3d)[axes - 2](
        weight.shape[1], weight.shape[0], 3, padding=1
    )
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))
    x = torch.from_numpy(x)
    if last:
        form = (torch.channels_last, torch.channels_last_3d)[axes - 2]
        layer, x = layer.to(memory_format=form), x.to(memory_format=form)
    x = x.detach().requires_grad_()

    def step():
        layer.zero_grad()
        x.grad = None
        y = layer(x)
        y.backward(y.detach())
        return y.detach(), x.grad, layer.weight.grad, layer.bias.grad

    return step


def case(name):
    """Time one case. Torch rounds its weight gradients to 3e-5 of the largest entry."""
    axes, c_in, c_out, n, batch, bars = CASES[name]
    rng = np.random.default_rng(0)
    layer = (gv.nn.Conv2d, gv.nn.Conv3d)[axes - 2](c_in, c_out, 3)
    params = layer.init(0)
    x = rng.standard_normal((batch, c_in, *[n] * axes), np.float32)

    @gv.compile
    def ours(weight, bias, x):
        p = {"weight": weight, "bias": bias}
        y, pull = gv.vjp(lambda p, x: layer.apply(p, x), p, x)
        g, gx = pull(y)
        return y, gx, g["weight"], g["bias"]

    args = params["weight"], params["bias"], x
    cases = {
        "gradiverse": lambda: ours(*args),
        "torch, channels last": torch_step(axes, *args, True),
        "torch": torch_step(axes, *args, False),
    }
    mine = cases["gradiverse"]()
    for theirs in ("torch, channels last", "torch"):
        for a, b in zip(mine, cases[theirs](), strict=True):
            b = b.numpy()
            assert np.abs(a - b).max() <= 5e-5 * np.abs(b).max()
    size = " x ".join([str(n)] * axes)
    report(
        f"conv{axes}d {c_in} to {c_out}, {size}, batch {batch}, forward and backward",
        UNIT,
        scaled(interleave(cases, seconds=8, clock=CLOCK, rest=REST), 1e3),
        f"torch / ours >= 1.3, <= {bars[THREADS > 1]} ms",
    )


if __name__ == "__main__":
    for name in sys.argv[2:] or CASES:
        case(name)
