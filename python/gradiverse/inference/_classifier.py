"""The two-layer classifier behind two-sample tests, trained to convergence in C.

The protocol is that of the benchmark tables: ReLU layers, binary cross-entropy plus
``alpha/2 |W|^2 / rows`` in every batch, Adam, uniform(+-sqrt(6/(in + out))) for weights
and biases, rows shuffled every epoch, the last batch short, stop once the training loss
has not improved by ``tol`` for ``patience`` epochs. The last weights are kept.
"""

import itertools

import numpy as np

from .. import ops
from ..compile import compile
from ..control import scan
from ..grad import value_and_grad
from ..tree import map_leaves

BETA = (0.9, 0.999)
EPS = 1e-8


def initial(rng, widths, dtype=np.float32):
    """Weights (in, out) and biases (out,) of a multilayer perceptron."""
    layers = []
    for n_in, n_out in itertools.pairwise(widths):
        b = np.sqrt(6.0 / (n_in + n_out))
        layers.append(
            {
                "weight": rng.uniform(-b, b, (n_in, n_out)).astype(dtype),
                "bias": rng.uniform(-b, b, n_out).astype(dtype),
            }
        )
    return layers


def logits(layers, x):
    """ln p(1|x)/p(0|x) of rows x (n, d); NumPy or traced."""
    for k, layer in enumerate(layers):
        x = np.matmul(x, layer["weight"]) + layer["bias"]
        if k < len(layers) - 1:
            x = np.maximum(x, np.zeros((), x.dtype))
    return x[..., 0]


def _loss(layers, x, y, weight, alpha):
    h = logits(layers, x)
    rows = weight.sum()
    entropy = (weight * (ops.logaddexp(h, np.zeros((), h.dtype)) - y * h)).sum()
    ridge = sum((layer["weight"] ** 2).sum() for layer in layers)
    return (entropy + 0.5 * alpha * ridge) / rows


def _epoch(carry, x, y, order, weights, rate, alpha):
    """One pass over the batches named by the rows of order (steps, batch)."""

    def body(carry, step):
        layers, first, second, t = carry
        rows, weight = step
        loss, g = value_and_grad(_loss)(layers, x[rows], y[rows], weight, alpha)
        t = t + 1.0
        scale = rate * np.sqrt(1 - BETA[1] ** t) / (1 - BETA[0] ** t)
        scale = scale.astype(loss.dtype)
        first = map_leaves(lambda m, g: m + (1 - BETA[0]) * (g - m), first, g)
        second = map_leaves(lambda v, g: v + (1 - BETA[1]) * (g * g - v), second, g)
        layers = map_leaves(
            lambda p, m, v: p - scale * m / (np.sqrt(v) + EPS), layers, first, second
        )
        return (layers, first, second, t), loss * weight.sum()

    carry, losses = scan(body, carry, xs=(order, weights))
    return carry, losses.sum()


_run_epoch = compile(_epoch)


def fit(
    x,
    y,
    rng,
    hidden,
    rate=1e-3,
    alpha=1e-4,
    batch_size=200,
    tol=1e-4,
    patience=10,
    max_epochs=10_000,
):
    """Layers of a classifier of rows x (n, d) with labels y (n,) of 0 and 1.

    Parameters
    ----------
    rng : numpy Generator
    hidden : sequence of int
        Widths of the hidden layers.

    Returns
    -------
    (layers, losses)
        Weights and biases, and the training loss of every epoch.
    """
    x = np.ascontiguousarray(x, np.float32)
    y = np.ascontiguousarray(y, np.float32)
    n = len(x)
    batch = min(batch_size, n)
    steps = -(-n // batch)
    layers = initial(rng, (x.shape[1], *hidden, 1))
    zeros = map_leaves(np.zeros_like, layers)
    carry = (layers, zeros, zeros, 0.0)
    order = np.zeros(steps * batch, np.int64)
    weights = np.zeros((steps, batch), np.float32)
    weights.reshape(-1)[:n] = 1
    losses, best, stale = [], np.inf, 0
    for _ in range(max_epochs):
        order[:n] = rng.permutation(n)
        carry, total = _run_epoch(
            carry, x, y, order.reshape(steps, batch), weights, rate, alpha
        )
        losses.append(float(total) / n)
        stale = stale + 1 if losses[-1] > best - tol else 0
        best = min(best, losses[-1])
        if stale > patience:
            break
    return carry[0], losses


def probability(layers, x):
    """p(1|x) of rows x (n, d), float64."""
    h = logits(layers, np.ascontiguousarray(x, np.float32)).astype(np.float64)
    return 1 / (1 + np.exp(-h))
