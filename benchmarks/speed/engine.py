"""The engine against JAX, torch, autograd and NumPy: small programs, chains, products.

python -m benchmarks.speed.engine THREADS
"""

from benchmarks.speed.measure import (
    interleave,
    limit_threads,
    report,
    scaled,
    threads_argument,
)

THREADS = threads_argument()
limit_threads(THREADS)

import subprocess  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402

import numpy as np  # noqa: E402

import gradiverse as gv  # noqa: E402


def rival(name):
    """The module, or None where it is not installed."""
    try:
        return __import__(name)
    except ImportError:
        return None


def scalar_program(x, m, n=250):
    """About 1500 operations on three numbers."""
    s = x
    for i in range(n):
        s = m.sin(s) * x + m.exp(-s * s) * (0.5 + i / n)
    return s.sum()


def small_operations():
    """Gradient of the scalar program: run time, first call, time per operation."""
    x = np.array([0.3, 0.7, 1.1])
    start = time.perf_counter()
    ours = gv.compile(gv.grad(lambda x: scalar_program(x, np)))
    ours(x)
    first = {"gradiverse": time.perf_counter() - start}
    cases = {"gradiverse": lambda: ours(x)}
    value = ours(x)
    jax = rival("jax")
    if jax:
        jax.config.update("jax_enable_x64", True)
        import jax.numpy as jnp

        xj = jnp.asarray(x)
        start = time.perf_counter()
        theirs = jax.jit(jax.grad(lambda x: scalar_program(x, jnp)))
        np.testing.assert_allclose(jax.block_until_ready(theirs(xj)), value, rtol=1e-9)
        first["jax.jit"] = time.perf_counter() - start
        cases["jax.jit"] = lambda: jax.block_until_ready(theirs(xj))
    if rival("autograd"):
        import autograd
        import autograd.numpy as anp

        g = autograd.grad(lambda x: scalar_program(x, anp))
        cases["autograd"] = lambda: g(x)
    torch = rival("torch")
    if torch:

        def eager():
            t = torch.tensor(x, requires_grad=True)
            scalar_program(t, torch).backward()
            return t.grad

        cases["torch eager"] = eager
    times = interleave(cases, seconds=3)
    report(
        "gradient of a scalar program",
        "ms",
        scaled(times, 1e3),
        "torch / ours >= 20, autograd / ours >= 50, ours <= 3 x jax.jit",
    )
    report("its first call", "s", first, "<= 1/30 of jax")
    operations = len(ours.plan(x).ops)
    per = times["gradiverse"][0] / operations
    report(
        "one small operation",
        "us",
        {"gradiverse": per * 1e6},
        "<= .05",
        note=f"{operations} operations in the plan",
    )


def chain(x, m):
    """Ten element-wise operations."""
    y = x * 1.5
    y = y + 0.3
    y = m.tanh(y)
    y = y * x
    y = m.exp(-y)
    y = y + 1
    y = m.sqrt(y)
    y = y - x
    y = y * y
    return 1 / (y + 1)


def elementwise_chain():
    """The chain on 1e7 float32."""
    x = np.random.default_rng(0).random(10_000_000).astype(np.float32)
    ours = gv.compile(lambda x: chain(x, np))
    cases = {"gradiverse": lambda: ours(x), "numpy": lambda: chain(x, np)}
    np.testing.assert_allclose(ours(x), chain(x, np), rtol=2e-6)
    jax, torch = rival("jax"), rival("torch")
    if jax:
        import jax.numpy as jnp

        xj, theirs = jnp.asarray(x), jax.jit(lambda x: chain(x, jnp))
        cases["jax.jit"] = lambda: jax.block_until_ready(theirs(xj))
    if torch:
        torch.set_num_threads(THREADS)
        xt, compiled = torch.from_numpy(x), torch.compile(chain)
        cases["torch.compile"] = lambda: compiled(xt, torch)
        cases["torch eager"] = lambda: chain(xt, torch)
    bar = "best rival / ours >= " + ("1.2" if THREADS == 1 else "2")
    report(
        "ten element-wise operations, 1e7 f32",
        "ms",
        scaled(interleave(cases, seconds=6), 1e3),
        bar,
    )


def tiny_call():
    """A compiled x + 1 on three numbers, NumPy in and out."""
    x = np.ones(3)
    ours = gv.compile(lambda x: x + 1)

    def many(f, n=2000):
        def run():
            for _ in range(n):
                f(x)

        return run

    cases = {"gradiverse": many(ours), "numpy": many(lambda x: x + 1)}
    jax, torch = rival("jax"), rival("torch")
    if jax:
        theirs = jax.jit(lambda x: x + 1)
        cases["jax.jit"] = many(lambda x: np.asarray(theirs(x)))
    if torch:
        cases["torch eager"] = many(lambda x: (torch.from_numpy(x) + 1).numpy())
    times = interleave(cases, seconds=2)
    report("call of a tiny compiled function", "us", scaled(times, 1e6 / 2000), "<= 2")


def product(dtype):
    """matmul of 1024 x 1024, against NumPy's own BLAS."""
    rng = np.random.default_rng(1)
    a, b = (rng.random((1024, 1024)).astype(dtype) for _ in range(2))
    ours = gv.compile(lambda a, b: a @ b)
    times = interleave(
        {"gradiverse": lambda: ours(a, b), "numpy": lambda: a @ b}, seconds=4
    )
    report(
        f"matmul 1024^2 {np.dtype(dtype).name}",
        "ms",
        scaled(times, 1e3),
        "ours <= 1.05 x numpy",
    )


def mlp_memory():
    """Peak of the gradient of a 20-layer tanh MLP: planned, against torch measured."""
    layers, width, batch = 20, 256, 4096
    params = [np.full((width, width), 1e-3, np.float32) for _ in range(layers)]
    x = np.ones((batch, width), np.float32)

    def loss(params, x):
        for w in params:
            x = np.tanh(x @ w)
        return (x * x).sum()

    values = {
        "gradiverse": gv.compile(gv.grad(loss)).plan(params, x).peak_bytes / 2**20
    }
    if rival("torch"):
        code = f"""
import numpy as np, torch
p = [torch.full(({width}, {width}), 1e-3, requires_grad=True) for _ in range({layers})]
x = torch.ones({batch}, {width})
def step():
    h = x
    for w in p: h = torch.tanh(h @ w)
    return torch.autograd.grad((h * h).sum(), p)
from torch.profiler import profile, ProfilerActivity
step()
with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as prof: g = step()
live = peak = 0
for e in prof.profiler.kineto_results.events():
    if e.name() == "[memory]":
        live += e.nbytes(); peak = max(peak, live)
print(peak / 2**20)
"""
        out = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        values["torch"] = float(out.stdout)
    report(
        "peak of the gradient of a 20-layer tanh MLP (256 wide, batch 4096)",
        "MiB",
        values,
        "ours <= torch",
        note="planned arena and results, against torch's allocator",
    )


def import_time():
    """CPU seconds of the import beyond NumPy's."""
    code = (
        "import time, numpy; t = time.process_time(); import gradiverse;"
        "print(time.process_time() - t)"
    )
    runs = [
        float(
            subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=True
            ).stdout
        )
        for _ in range(7)
    ]
    report(
        "import beyond numpy", "CPU-s", {"gradiverse": float(np.median(runs))}, "<= .15"
    )


if __name__ == "__main__":
    if THREADS == 1:
        small_operations()
        tiny_call()
        import_time()
        mlp_memory()
    elementwise_chain()
    product(np.float32)
    product(np.float64)
