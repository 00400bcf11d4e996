"""gv.train.fit against independent NumPy loops."""

import numpy as np
import pytest

import gradiverse as gv


def _line(n=40, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    return x, x @ np.array([1.0, -2.0, 0.5]) + 0.1 * rng.normal(size=n)


def _loss(p, batch):
    x, y = batch
    return ((x @ p["w"] + p["b"] - y) ** 2).mean()


def _start():
    return {"w": np.zeros(3), "b": np.zeros(())}


def _gradient(p, x, y):
    r = x @ p["w"] + p["b"] - y
    return {"w": 2 * x.T @ r / len(y), "b": 2 * r.mean()}, (r**2).mean()


@pytest.mark.smoke
def test_sgd_equals_a_numpy_loop():
    """Oracle: the same steps in NumPy, the last partial batch included."""
    data = _line()
    params = _start()
    r = gv.train.fit(
        _loss, params, data, optimizer=gv.optim.sgd(0.1), batch_size=7, epochs=3,
        validation=0.25, order="sequential",
    )  # fmt: skip
    rows = np.setdiff1d(np.arange(40), r.validation_rows)
    assert len(r.validation_rows) == 10
    p, history, best = _start(), [], None
    for _ in range(3):
        total = 0.0
        for at in range(0, len(rows), 7):
            part = rows[at : at + 7]
            g, value = _gradient(p, data[0][part], data[1][part])
            total += value * len(part)
            p = {k: p[k] - 0.1 * g[k] for k in p}
        v = _gradient(p, data[0][r.validation_rows], data[1][r.validation_rows])[1]
        history.append((total / len(rows), v))
        if best is None or v < best[0]:
            best = (v, p)
    found = r.history[["train_loss", "validation_loss"]].to_numpy()
    np.testing.assert_allclose(found, history, rtol=1e-12)
    for k in p:
        np.testing.assert_allclose(r.params[k], best[1][k], rtol=1e-12)
    assert all(np.all(params[k] == 0) for k in params)
