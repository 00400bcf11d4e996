"""Weights are the same bytes on any number of threads, those of NumPy's BLAS too."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

import gradiverse as gv

N = gv.nn
LBFGS = """
import numpy as np, gradiverse as gv
rng = np.random.default_rng(0)
x, y = rng.normal(size=(80, 60)), rng.normal(size=(80, 500))
r = gv.train.fit(lambda p, b: ((np.tanh(b[0] @ p) - b[1]) ** 2).mean(),
                 0.1 * rng.normal(size=(60, 500)), (x, y), optimizer=gv.optim.lbfgs(),
                 batch_size=None, epochs=12, validation=0)
print(len(r.history), r.params.tobytes().hex())
"""


@pytest.mark.smoke
def test_lbfgs_and_threads_of_blas():
    """12 iterations on 30 000 parameters: NumPy's BLAS shares inner products of such
    length out among its threads, and then sums in another order."""
    printed = []
    for threads in "12":
        names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        run = subprocess.run(
            [sys.executable, "-c", LBFGS], capture_output=True, text=True,
            env=os.environ | dict.fromkeys(names, threads),
        )  # fmt: skip
        assert run.returncode == 0, run.stderr
        assert run.stdout.startswith("12 ")
        printed.append(hashlib.md5(run.stdout.encode()).hexdigest())
    assert printed[0] == printed[1]


def _conv(rng):
    net = N.Sequential(
        N.Conv2d(2, 8, 3), N.BatchNorm(8), N.Activation("relu"), N.MaxPool(2),
        N.Conv2d(8, 12, 3, stride=2, padding=1), N.GroupNorm(12, 3), N.GlobalPool(),
        N.Dropout(0.2), N.Linear(12, 3),
    )  # fmt: skip
    return net, rng.normal(size=(96, 2, 28, 24)).astype(np.float32)


def _attention(rng):
    net = N.Sequential(N.Linear(5, 24), N.LayerNorm(24), N.Attention(24, 4),
                       N.Residual(N.MLP((24, 48, 24))))  # fmt: skip
    return net, rng.normal(size=(96, 64, 5)).astype(np.float32)


def _embedding(rng):
    net = N.Sequential(N.Embedding(50, 16), N.Linear(16, 8), N.LayerNorm(8))
    return net, rng.integers(0, 50, (96, 100))


@pytest.mark.parametrize("make", [_conv, _attention, _embedding])
def test_networks_and_threads(make):
    """Three epochs with adamw; the rows of a batch are shared out among threads."""
    net, x = make(np.random.default_rng(1))
    params, state = net.init(2), net.init_state()
    shape = net.apply(params, x[:1], state=state)[0].shape
    target = np.random.default_rng(3).normal(size=(96, *shape[1:])).astype(np.float32)

    def loss(params, batch, rng, train, state):
        out, state = net.apply(params, batch[0], train=train, rng=rng, state=state)
        return N.losses.mse(out, batch[1]), state

    def train():
        r = gv.train.fit(
            loss, params, (x, target), optimizer=gv.optim.clip(gv.optim.adamw(1e-2), 1),
            batch_size=24, epochs=3, validation=0.25, state=state, rng=4,
        )  # fmt: skip
        assert r.history.train_loss.iloc[-1] < r.history.train_loss.iloc[0]
        return [a.tobytes() for a in gv.flatten((r.params, r.state))[0]]

    before = gv.get_threads()
    try:
        gv.set_threads(1)
        one = train()
        gv.set_threads(2)
        assert train() == one
    finally:
        gv.set_threads(before)
