"""Training steps of fully connected networks against torch and JAX.

.venv-rivals/bin/python -m benchmarks.speed.nn THREADS [mlp] [grouped] [big_linear]

One step is forward, backward and Adam, float32, the batch fixed. Ours runs as
`gv.train.fit` runs it, many steps of one planned program in C; JAX has its steps in one
`lax.scan` with the state donated; torch is eager with the fused Adam. Process CPU time
on one thread, wall time on more, all in turn.
"""

import sys
from itertools import pairwise

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

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402
import torch  # noqa: E402

import gradiverse as gv  # noqa: E402
from gradiverse._repeat import Repeat, as_arrays  # noqa: E402

torch.set_num_threads(THREADS)
CLOCK, UNIT = clock_and_unit(THREADS)
REST = rest_before(THREADS)


def ours(loss, params, x, y, steps):
    """A callable that trains for some steps; its parameters before and after."""
    optimizer = gv.optim.adam(1e-3)
    carry = {"params": params, "opt": optimizer.init(params)}

    def step(carry, _, fixed):
        grads = gv.grad(loss)(carry["params"], fixed["x"], fixed["y"])
        params, opt = optimizer.update(grads, carry["opt"], carry["params"])
        return {"params": params, "opt": opt}, ()

    arrays, tree = as_arrays(carry, "benchmark", copy=True)
    xs = {"step": np.zeros((steps, 1))}
    one = {"step": np.zeros((1, 1))}
    fixed = {"x": x, "y": y}
    program = Repeat(step, carry, one, fixed, "benchmark")
    run = lambda: program.run(arrays, xs, fixed, [])  # noqa: E731
    return run, lambda: tree.unflatten(arrays)["params"]


def torch_steps(net, x, y, steps):
    """The same in torch; net is a module of x."""
    optimizer = torch.optim.Adam(net.parameters(), 1e-3, fused=True)
    x, y = torch.from_numpy(x), torch.from_numpy(y)

    def run():
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            ((net(x) - y) ** 2).mean().backward()
            optimizer.step()

    return run


def jax_steps(params, x, y, steps):
    """The same in JAX, one scan."""
    optimizer = optax.adam(1e-3)
    names = sorted(params, key=int)
    p = [
        (jnp.asarray(params[n]["weight"]), jnp.asarray(params[n]["bias"]))
        for n in names
    ]
    x, y = jnp.asarray(x), jnp.asarray(y)

    def loss(p, x, y):
        for w, b in p[:-1]:
            x = jax.nn.relu(x @ w.T + b)
        return jnp.mean((x @ p[-1][0].T + p[-1][1] - y) ** 2)

    def one(carry, _):
        p, s = carry
        updates, s = optimizer.update(jax.grad(loss)(p, x, y), s)
        return (optax.apply_updates(p, updates), s), None

    def many(p, s):
        return jax.lax.scan(one, (p, s), None, length=steps)[0]

    f = jax.jit(many, donate_argnums=(0, 1))
    state = [p, optimizer.init(p)]

    def run():
        state[:] = jax.block_until_ready(f(*state))

    return run, lambda: state[0]


def torch_mlp(sizes, params):
    """The network with the same weights."""
    layers = []
    for n, (i, o) in zip(sorted(params, key=int), pairwise(sizes), strict=True):
        layer = torch.nn.Linear(i, o)
        layer.weight.data = torch.from_numpy(params[n]["weight"].copy())
        layer.bias.data = torch.from_numpy(params[n]["bias"].copy())
        layers += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def agree(ours, theirs):
    """Both networks, trained for some steps, are the same."""
    ours[0](), theirs[0]()
    for layer, (w, b) in zip(("0", "2", "4", "6"), theirs[1](), strict=True):
        now = ours[1]()[layer]
        error = max(np.abs(now["weight"] - w).max(), np.abs(now["bias"] - b).max())
        assert error < 1e-5, error  # of moves of 3e-3


def mlp(width, batch, steps, bar):
    """10 - width - width - width - 2."""
    sizes = (10, width, width, width, 2)
    net = gv.nn.MLP(sizes)
    params = net.init(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, 10)).astype(np.float32)
    y = rng.normal(size=(batch, 2)).astype(np.float32)
    loss = lambda p, x, y: ((net.apply(p, x) - y) ** 2).mean()  # noqa: E731
    agree(ours(loss, params, x, y, 3), jax_steps(params, x, y, 3))
    run, _ = ours(loss, params, x, y, steps)
    cases = {
        "gradiverse": run,
        "torch": torch_steps(torch_mlp(sizes, params), x, y, steps),
        "jax scan": jax_steps(params, x, y, steps)[0],
    }
    times = interleave(cases, seconds=20.0, least=9, clock=CLOCK, rest=REST)
    report(
        f"MLP step 10-{width}-{width}-{width}-2, B={batch}, Adam, float32",
        UNIT,
        scaled(times, 1e3 / steps),
        bar,
    )


class Bmm(torch.nn.Module):
    """Grouped linear layers with relu, groups in front."""

    def __init__(self, weights):
        super().__init__()
        self.weights = torch.nn.ParameterList(
            [torch.from_numpy(w.copy()) for w in weights]
        )

    def forward(self, x):
        """x (groups, batch, k)."""
        for w in self.weights:
            x = torch.relu(torch.bmm(x, w))
        return x


def grouped():
    """1000 maps of 64-64-64-64, no biases."""
    groups, k, batch, steps = 1000, 64, 64, 3
    layers = []
    for _ in range(3):
        layers += [
            gv.nn.GroupedLinear(groups, k, k, bias=False, axis=0),
            gv.nn.Activation("relu"),
        ]
    net = gv.nn.Sequential(*layers)
    params = net.init(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(groups, batch, k)).astype(np.float32)
    loss = lambda p, x, y: (net.apply(p, x) ** 2).mean()  # noqa: E731
    run, _ = ours(loss, params, x, np.zeros(1, np.float32), steps)
    weights = [params[n]["weight"].swapaxes(1, 2) for n in ("0", "2", "4")]
    rival = Bmm([np.ascontiguousarray(w) for w in weights])
    theirs = rival(torch.from_numpy(x)).detach().numpy()
    error = np.abs(net.apply(params, x) - theirs).max()
    assert error < 1e-4, error
    rival_steps = torch_square(rival, x, steps)
    times = interleave(
        {"gradiverse": run, "torch.bmm": rival_steps},
        seconds=30.0,
        least=7,
        clock=CLOCK,
        rest=REST,
    )
    report(
        "1000 MLPs 64-64-64-64, B=64, step with Adam, float32",
        UNIT,
        scaled(times, 1e3 / steps),
        "torch / ours >= 1.5",
    )


def torch_square(net, x, steps):
    """Steps on the mean square of the output."""
    optimizer = torch.optim.Adam(net.parameters(), 1e-3, fused=True)
    x = torch.from_numpy(x)

    def run():
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            net(x).square().mean().backward()
            optimizer.step()

    return run


def big_linear():
    """300000 -> 256."""
    n_in, n_out, batch, steps = 300_000, 256, 64, 1
    layer = gv.nn.Linear(n_in, n_out)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, n_in)).astype(np.float32)
    rival = torch.nn.Linear(n_in, n_out)
    params = {
        "weight": rival.weight.detach().numpy().copy(),
        "bias": rival.bias.detach().numpy().copy(),
    }
    theirs = rival(torch.from_numpy(x)).detach().numpy()
    assert np.abs(layer.apply(params, x) - theirs).max() < 1e-4
    loss = lambda p, x, y: (layer.apply(p, x) ** 2).mean()  # noqa: E731
    run, _ = ours(loss, params, x, np.zeros(1, np.float32), steps)
    cases = {"gradiverse": run, "torch": torch_square(rival, x, steps)}
    times = interleave(cases, seconds=20.0, least=7, warm=2, clock=CLOCK, rest=REST)
    report(
        "linear 300000 -> 256, B=64, step with Adam, float32",
        UNIT,
        scaled(times, 1e3 / steps),
        "torch / ours >= 1.3",
    )


if __name__ == "__main__":
    asked = set(sys.argv[2:]) or {"mlp", "grouped", "big_linear"}
    if "mlp" in asked:
        mlp(64, 64, 100, "torch / ours >= 6.5, jax scan / ours >= 1.1")
        mlp(256, 256, 10, "torch / ours >= 1.15")
    if "grouped" in asked:
        grouped()
    if "big_linear" in asked:
        big_linear()
