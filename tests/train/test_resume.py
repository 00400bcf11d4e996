"""Interrupted, killed and resumed trainings end in the same bytes."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import gradiverse as gv

N = 4000


def _data():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(N, 6)).astype(np.float32)
    return x, np.sin(x[:, 0]) * x[:, 1]


def _params():
    rng = np.random.default_rng(2)
    return [
        rng.normal(size=(6, 32)).astype(np.float32) / 3,
        rng.normal(size=(32, 1)).astype(np.float32) / 6,
    ]


def _loss(p, batch, rng):
    x, y = batch
    keep = gv.random.uniform(rng, (32,)) < 0.9
    h = np.tanh(x @ p[0]) * keep.astype("float32")
    return (((h @ p[1])[:, 0] - y) ** 2).mean()


def _optimizer():
    rate = gv.optim.warmup(gv.optim.plateau(3e-3, 0.5, patience=0), 20)
    return gv.optim.average(gv.optim.clip(gv.optim.adamw(rate), 1.0))


def fit(**more):
    """The training of this file."""
    options = {"optimizer": _optimizer(), "batch_size": 24, "epochs": 5, "rng": 7}
    return gv.train.fit(_loss, _params(), _data(), **(options | more))


def same(a, b):
    """The same bytes of everything but the time."""
    for x, y in zip(gv.flatten(a.params)[0], gv.flatten(b.params)[0], strict=True):
        assert x.tobytes() == y.tobytes()
    x, y = (r.history.drop(columns="seconds") for r in (a, b))
    assert x.to_numpy().tobytes() == y.to_numpy().tobytes()
    assert a.best == b.best
    carry = [gv.flatten(r.snapshot["carry"])[0] for r in (a, b)]
    assert all(x.tobytes() == y.tobytes() for x, y in zip(*carry, strict=True))


@pytest.fixture(scope="module")
def whole():
    """The uninterrupted training."""
    return fit()


@pytest.mark.smoke
def test_resume_from_a_result(whole):
    """2 epochs, then 3 more; the first result is left as it was."""
    first = fit(epochs=2)
    before = [x.copy() for x in gv.flatten(first.snapshot)[0] if hasattr(x, "copy")]
    same(fit(resume=first), whole)
    after = [x for x in gv.flatten(first.snapshot)[0] if hasattr(x, "copy")]
    for x, y in zip(before, after, strict=True):
        np.testing.assert_array_equal(x, y)
    same(fit(resume=whole), whole)  # nothing is left to do


def test_resume_from_a_checkpoint(whole, tmp_path):
    """The same by a file; resume=True starts afresh where there is none."""
    path = tmp_path / "c.h5"
    fit(epochs=3, checkpoint=path)
    same(fit(resume=path), whole)
    same(fit(resume=str(path), checkpoint=path), whole)
    params, config = gv.train.load(path)
    assert config is None
    for x, y in zip(params, whole.params, strict=True):
        assert x.tobytes() == y.tobytes()
    other = tmp_path / "other.h5"
    same(fit(resume=True, checkpoint=other), whole)
    same(fit(resume=True, checkpoint=other), whole)


@pytest.fixture
def ctrl_c():
    """Python's own handler, also where the tests run with interrupts ignored."""
    old = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, old)


def test_ignored_interrupts_stay_ignored():
    """A training in the background of a shell leaves the signal alone."""
    old = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        r = fit(callback=lambda record: os.kill(os.getpid(), signal.SIGINT))
        assert len(r.history) == 5 and not r.interrupted
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, old)


def test_interrupt_within_an_epoch(whole, ctrl_c):
    """Ctrl-C ends after a step, and the training goes on from that step."""
    old = ctrl_c

    def press(record):
        if record["epoch"] == 2:
            later = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
            later.start()

    first = fit(epochs=10**6, callback=press)
    assert first.interrupted and signal.getsignal(signal.SIGINT) is old
    assert len(first.history) < 10**6
    later = fit(epochs=len(first.history) + 2, resume=first)
    same(later, fit(epochs=len(first.history) + 2))
    assert not later.interrupted


def test_every_step_is_a_place_to_stop(whole, monkeypatch):
    """Slices of one step, stopped after some of them, resumed each time."""
    from gradiverse.train import _fit, _step, _training

    monkeypatch.setattr(_training, "SLICE", 1e-9)
    monkeypatch.setattr(_step, "SLICE", 1e-9)
    left = [0]

    def between(self, steps):
        left[0] -= 1
        return left[0] <= 0

    monkeypatch.setattr(_fit._Run, "_between", between)
    r, rounds = None, 0
    while r is None or len(r.history) < 5:
        left[0] = 89 + 40 * rounds
        r = fit(resume=r)
        rounds += 1
    assert rounds > 3
    same(r, whole)


def test_kill_while_training(whole, tmp_path):
    """kill -9 at some moment: the checkpoint is whole, and resuming ends as if nothing
    had happened."""
    path = tmp_path / "c.h5"
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_resume as t;"
        "t.fit(epochs=10**6, checkpoint={'path': sys.argv[2], 'seconds': 0.01})"
    )
    here = os.path.dirname(__file__)
    child = subprocess.Popen([sys.executable, "-c", code, here, str(path)])
    until = time.monotonic() + 60
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.2)
    child.kill()
    child.wait()
    done = int(gv.train._files.read_training(path, "test")["epoch"])
    same(fit(epochs=done + 2, resume=path), fit(epochs=done + 2))


def test_resume_of_another_training(whole):
    """Other seed, rows, batch, optimiser or parameters are refused."""
    for text, more in (
        ("seed was 7, now it is 8", {"rng": 8}),
        ("batch_size was 24", {"batch_size": 25}),
        ("training rows was 3600", {"validation": 0.2}),
        ("optimizer was", {"optimizer": gv.optim.adam(1e-3)}),
        (
            r"optimizer was average\(clip\(adamw",
            {"optimizer": gv.optim.average(gv.optim.clip(gv.optim.radam(1e-3), 1.0))},
        ),
        ("choice of rows", {"validation": np.arange(400)}),
        ("order was shuffle, now it is sequential", {"order": "sequential"}),
        ("drop_last", {"drop_last": True}),
    ):
        with pytest.raises(ValueError, match=text):
            fit(resume=whole, **more)
    with pytest.raises(ValueError, match="differ from those"):
        gv.train.fit(
            _loss, [p.astype(np.float64) for p in _params()], _data(),
            optimizer=_optimizer(), batch_size=24, epochs=5, rng=7, resume=whole,
        )  # fmt: skip


def test_resume_on_other_data(whole):
    """As many rows with other numbers, or of another width."""
    x, y = _data()
    for data in ((x, y + 1), (x.astype(np.float64), y)):
        with pytest.raises(ValueError, match="data was"):
            gv.train.fit(
                _loss, _params(), data, optimizer=_optimizer(), batch_size=24, epochs=6,
                rng=7, resume=whole,
            )  # fmt: skip


def test_results_own_their_weights(whole):
    """Trap: what is done to a result's params changes neither snapshot nor best."""
    first = fit(epochs=2)
    for p in first.params:
        p[:] = 99.0
    same(fit(resume=first), whole)


def test_second_interrupt_raises(ctrl_c):
    """Two Ctrl-C before the training has ended: KeyboardInterrupt, and the old handler
    is back."""
    old = ctrl_c

    def press(record):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(callback=press)
    assert signal.getsignal(signal.SIGINT) is old
