"""Whole trainings: updates, epochs with shuffling and gathering, data on disk.

.venv-rivals/bin/python -m benchmarks.speed.train THREADS [adam] [epoch] [disk]

An epoch is what `gv.train.fit` does to 64 000 rows: a new order, batches gathered by
index, forward, backward, Adam. JAX does the same in one `lax.scan` over the rows' order
with the state donated; torch indexes its tensors. Process CPU time on one thread, wall
time on more, all in turn.
"""

import sys
import tempfile
from pathlib import Path

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
from gradiverse._repeat import Repeat  # noqa: E402

torch.set_num_threads(THREADS)
CLOCK, UNIT = clock_and_unit(THREADS)
REST = rest_before(THREADS)


def adam():
    """One update of 76.8 million parameters: 28 bytes of traffic each."""
    n = 300_000 * 256
    opt = gv.optim.adam(1e-4)
    p = np.zeros(n, np.float32)
    g = np.full(n, 0.5, np.float32)
    carry = gv.flatten((p, opt.init(p)))[0]
    xs = np.zeros(1)
    step = Repeat(
        lambda c, x, g: (opt.update(g, c[1], c[0]), ()), (p, opt.init(p)), xs, g, "adam"
    )
    weight = torch.zeros(n, requires_grad=True)
    weight.grad = torch.from_numpy(g)
    rival = torch.optim.Adam([weight], 1e-4, fused=True)
    cases = {"gradiverse": lambda: step.run(carry, xs, g, []), "torch": rival.step}
    times = interleave(cases, seconds=20.0, least=7, clock=CLOCK, rest=REST)
    report("Adam, 76.8 M float32 parameters", UNIT, scaled(times, 1e3), "<= 92 / 47 ms")


def _net():
    sizes = (10, 64, 64, 64, 2)
    net = gv.nn.MLP(sizes, activation="relu")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64_000, 10)).astype(np.float32)
    y = np.stack([np.sin(x[:, 0]), x[:, 1] * x[:, 2]], 1).astype(np.float32)
    return net, net.init(0), x, y


def _jax_epoch(params, x, y, batch):
    optimizer = optax.adam(1e-3)
    names = sorted(params, key=int)
    p = [
        (jnp.asarray(params[n]["weight"]), jnp.asarray(params[n]["bias"]))
        for n in names
    ]
    state = [p, optimizer.init(p)]
    x, y = jnp.asarray(x), jnp.asarray(y)

    def loss(p, x, y):
        for w, b in p[:-1]:
            x = jax.nn.relu(x @ w.T + b)
        w, b = p[-1]
        return jnp.mean((x @ w.T + b - y) ** 2)

    def one(carry, rows):
        p, s = carry
        g = jax.grad(loss)(p, x[rows], y[rows])
        u, s = optimizer.update(g, s)
        return (optax.apply_updates(p, u), s), 0

    scan = jax.jit(
        lambda p, s, rows: jax.lax.scan(one, (p, s), rows)[0], donate_argnums=(0, 1)
    )
    rng = np.random.default_rng(1)

    def run():
        rows = rng.permutation(len(x)).reshape(-1, batch)
        state[:] = scan(*state, jnp.asarray(rows))
        jax.block_until_ready(state[0])

    return run


def _torch_epoch(params, x, y, batch):
    layers = []
    for name in sorted(params, key=int):
        w, b = params[name]["weight"], params[name]["bias"]
        linear = torch.nn.Linear(w.shape[1], w.shape[0])
        linear.weight.data = torch.from_numpy(w.copy())
        linear.bias.data = torch.from_numpy(b.copy())
        layers += [linear, torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(net.parameters(), 1e-3, fused=True)
    x, y = torch.from_numpy(x), torch.from_numpy(y)

    def run():
        for rows in torch.randperm(len(x)).split(batch):
            optimizer.zero_grad(set_to_none=True)
            ((net(x[rows]) - y[rows]) ** 2).mean().backward()
            optimizer.step()

    return run


def epoch():
    """An epoch of 1000 steps of an MLP."""
    net, params, x, y = _net()

    def loss(p, batch):
        return ((net.apply(p, batch[0]) - batch[1]) ** 2).mean()

    def run():
        gv.train.fit(
            loss, params, (x, y), optimizer=gv.optim.adam(1e-3), batch_size=64,
            epochs=1, validation=0,
        )  # fmt: skip

    cases = {
        "gradiverse": run,
        "jax.scan": _jax_epoch(params, x, y, 64),
        "torch": _torch_epoch(params, x, y, 64),
    }
    times = interleave(cases, seconds=15.0, least=7, clock=CLOCK, rest=REST)
    report(
        "gv.train.fit, MLP 10-64-64-64-2, one epoch of 1000 steps, with tracing",
        UNIT,
        scaled(times, 1e3),
        "jax scan / ours >= 1.1",
    )


def disk():
    """An epoch over a memory map against the same array in memory."""
    n, width = 100_000, 1024
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.dat"
        x = np.memmap(path, np.float32, "w+", shape=(n, width))
        x[:] = np.random.default_rng(0).random((n, width), np.float32)
        plain = np.array(x)

        def run(data):
            gv.train.fit(
                lambda p, b: ((b @ p) ** 2).mean(), np.ones(width, np.float32), data,
                optimizer=gv.optim.sgd(1e-6), batch_size=256, epochs=1, validation=0,
            )  # fmt: skip

        cases = {"memory map": lambda: run(x), "array": lambda: run(plain)}
        times = interleave(cases, seconds=10.0, least=5, clock=CLOCK, rest=REST)
        report(
            "gv.train.fit, rows of 4 KiB, an epoch of 410 MB from page cache",
            UNIT,
            scaled(times, 1e3),
            "memory map / array <= 1.2",
            ours="memory map",
        )


if __name__ == "__main__":
    asked = set(sys.argv[2:]) or {"adam", "epoch", "disk"}
    for case in (adam, epoch, disk):
        if case.__name__ in asked:
            case()
