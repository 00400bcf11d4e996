"""Plans of example models, compared with the stored ones on every change.

A difference is not an error of the engine but a change of what it does: look at it,
then store it with ``python tests/engine/test_plans.py``.
"""

import json
from pathlib import Path

import numpy as np
import pytest

import gradiverse as gv

STORE = Path(__file__).with_name("plans.json")


def scalar_program(x):
    """Many small operations on three numbers."""
    s = x
    for i in range(20):
        s = np.sin(s) * x + np.exp(-s * s) * (0.5 + i / 20)
    return s.sum()


def chain(x):
    """Ten element-wise operations."""
    y = np.tanh(x * 1.5 + 0.3) * x
    y = np.sqrt(np.exp(-y) + 1) - x
    return 1 / (y * y + 1)


def mlp(params, x):
    """Six tanh layers."""
    for w in params:
        x = np.tanh(x @ w)
    return (x * x).sum()


def pendulum(theta, policy):
    """A loop with a reversible step."""

    def step(c, _):
        q, p = c
        q = q + 0.1 * p
        return (q, p - 0.1 * np.sin(q)), None

    def back(c, _):
        q, p = c
        p = p + 0.1 * np.sin(q)
        return (q - 0.1 * p, p)

    extra = {"inverse": back} if policy == "reversible" else {}
    (q, p), _ = gv.scan(step, (theta, 0.0 * theta), length=12, policy=policy, **extra)
    return (q * p).sum()


def likelihood(theta, x, y):
    """Gaussian-process marginal likelihood written out."""
    d = x[:, None] - x[None, :]
    k = np.exp(theta[0] - 0.5 * d * d / np.exp(2 * theta[1]))
    low = gv.ops.linalg.cholesky(k + np.exp(theta[2]) * np.eye(len(x)))
    z = gv.ops.solve_triangular(low, y, lower=True)
    return 0.5 * (z @ z) + np.log(np.diagonal(low)).sum()


def spectrum(x):
    """Power in the lowest modes of a field."""
    m = np.fft.rfftn(x)
    return (np.abs(m[:2, :2]) ** 2).sum()


F4 = np.float32
WEIGHTS = [np.eye(32, dtype=F4) * 0.5 for _ in range(6)]
MODELS = {
    "scalar program": (scalar_program, (np.ones(3),), 0),
    "chain": (lambda x: chain(x).sum(), (np.ones(100_000, F4),), 0),
    "mlp": (mlp, (WEIGHTS, np.ones((64, 32), F4)), 0),
    "loop, stored": (lambda t: pendulum(t, "store"), (np.ones(5),), 0),
    "loop, reversible": (lambda t: pendulum(t, "reversible"), (np.ones(5),), 0),
    "loop, recomputed": (lambda t: pendulum(t, ("recompute", 4)), (np.ones(5),), 0),
    "likelihood": (likelihood, (np.zeros(3), np.arange(6.0), np.ones(6)), 0),
    "spectrum": (spectrum, (np.ones((8, 8)),), 0),
}


def describe(name):
    """What runs and what it needs: value plan and gradient plan."""
    f, args, argnums = MODELS[name]
    value, grad = gv.compile(f).plan(*args), gv.compile(gv.grad(f, argnums)).plan(*args)
    return {
        "value": {"ops": list(value.ops), "peak_bytes": value.peak_bytes},
        "gradient": {"ops": list(grad.ops), "peak_bytes": grad.peak_bytes},
    }


@pytest.mark.parametrize("name", MODELS)
def test_plan_is_the_stored_one(name):
    stored = json.loads(STORE.read_text())
    assert describe(name) == stored[name]


def test_reversible_memory_does_not_grow_with_steps():
    def peak(steps):
        def f(t):
            def step(c, _):
                return (c[0] + 0.1 * c[1], c[1] - c[0]), None

            def back(c, _):
                p = c[1]
                q = (c[0] - 0.1 * p) / 0.9
                return (q, p + q)

            (q, _), _ = gv.scan(
                step, (t, t), length=steps, policy="reversible", inverse=back
            )
            return q.sum()

        return gv.compile(gv.grad(f)).plan(np.ones(1000)).peak_bytes

    assert peak(40) == peak(5)


if __name__ == "__main__":
    STORE.write_text(json.dumps({n: describe(n) for n in MODELS}, indent=1) + "\n")
