"""L-BFGS against closed forms and SciPy."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.optimize

import gradiverse as gv
from gradiverse.optim._lbfgs import Point, iterate


def _minimise(f, x, n, history=10, most=25):
    value, g = f(x)
    p = Point(x, value, g, np.empty((0, len(x))), np.empty((0, len(x))))
    path = [p]
    for _ in range(n):
        new = iterate(f, p, history, most)
        if new is None:
            break
        p = new
        if np.abs(p.g).max() < 1e-9:
            break
        path.append(p)
    return path


@pytest.mark.smoke
def test_rosenbrock():
    """Known minimum at ones; every step decreases; as few evaluations as SciPy's."""
    calls = [0]

    def f(x):
        calls[0] += 1
        return scipy.optimize.rosen(x), scipy.optimize.rosen_der(x)

    start = np.array([-1.2, 1.0, 0.3, -0.5, 2.0, 1.5])
    path = _minimise(f, start, 200)
    assert np.all(np.diff([p.f for p in path]) <= 0)
    np.testing.assert_allclose(path[-1].x, 1.0, atol=1e-7)
    used = calls[0]
    scipys = scipy.optimize.minimize(f, start, jac=True, method="L-BFGS-B", tol=1e-16)
    assert used < 2 * scipys.nfev + 20


def test_wolfe_conditions():
    """Each accepted step decreases enough and flattens the slope (strong Wolfe)."""

    def f(x):
        value = np.log1p(x @ x) + 0.3 * np.sin(3 * x).sum()
        return value, 2 * x / (1 + x @ x) + 0.9 * np.cos(3 * x)

    path = _minimise(f, np.array([4.0, -3.0, 2.5]), 25)
    for a, b in pairwise(path):
        d = b.x - a.x
        if np.abs(a.g).max() < 1e-6:
            break
        assert b.f <= a.f + 1e-4 * (a.g @ d) * (1 - 1e-9) + 1e-15
        assert abs(b.g @ d) <= 0.9 * abs(a.g @ d) + 1e-15


def test_infinite_values_are_stepped_back_from():
    """A barrier at x = 1: trial steps beyond give NaN."""

    def f(x):
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(-np.log(1 - x[0]) - 3 * x[0]), 1 / (1 - x) - 3

    path = _minimise(f, np.array([0.0]), 40)
    assert path[-1].x[0] == pytest.approx(2 / 3, abs=1e-8)


def _data(n=300):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 4))
    p = 1 / (1 + np.exp(-(x @ np.array([1.0, -2.0, 0.0, 0.5]) + 0.3)))
    return x, (rng.random(n) < p).astype(float)


def _loss(p, batch):
    x, y = batch
    t = x @ p["w"] + p["b"]
    return (np.logaddexp(0, t) - y * t).mean() + 0.01 * (p["w"] ** 2).sum()


def _fit(**more):
    start = {"w": np.zeros(4), "b": np.zeros(())}
    options = {"batch_size": 64, "epochs": 50, "validation": 0.2}
    options |= {"optimizer": gv.optim.lbfgs(), "restore_best": False}
    return gv.train.fit(_loss, start, _data(), **(options | more))


def test_fit_logistic_regression():
    """Oracle: SciPy's minimum on the same rows; any batches; it ends early."""
    r = _fit()
    x, y = _data()
    rows = np.setdiff1d(np.arange(300), r.validation_rows)

    def f(v):
        t = x[rows] @ v[:4] + v[4]
        mean = (np.logaddexp(0, t) - y[rows] * t).mean() + 0.01 * (v[:4] ** 2).sum()
        s = (1 / (1 + np.exp(-t)) - y[rows]) / len(rows)
        return mean, np.append(x[rows].T @ s + 0.02 * v[:4], s.sum())

    best = scipy.optimize.minimize(f, np.zeros(5), jac=True, tol=1e-14)
    np.testing.assert_allclose(np.append(r.params["w"], r.params["b"]), best.x, 0, 1e-6)
    assert len(r.history) < 30
    assert r.history.train_loss.is_monotonic_decreasing
    whole = _fit(batch_size=None)
    np.testing.assert_allclose(whole.params["w"], r.params["w"], atol=1e-7)
    assert r.history.train_loss.iloc[-1] == pytest.approx(best.fun, rel=1e-12)


def test_resume_is_exact(tmp_path):
    """From a result and from a file."""
    whole, path = _fit(), tmp_path / "c.h5"
    first = _fit(epochs=4, checkpoint=path)
    for resume in (first, path):
        again = _fit(resume=resume)
        for k in whole.params:
            assert again.params[k].tobytes() == whole.params[k].tobytes()
        assert len(again.history) == len(whole.history)
    done = _fit(resume=whole)
    assert len(done.history) == len(whole.history)


def test_float32():
    """Parameters stay in single precision; the minimum is found to its accuracy."""
    x, y = _data()
    start = {"w": np.zeros(4, np.float32), "b": np.zeros((), np.float32)}
    data = (x.astype(np.float32), y.astype(np.float32))
    more = {"optimizer": gv.optim.lbfgs(), "batch_size": None, "validation": 0.2}
    r = gv.train.fit(_loss, start, data, epochs=50, restore_best=False, **more)
    assert r.params["w"].dtype == np.float32
    np.testing.assert_allclose(r.params["w"], _fit().params["w"], atol=2e-3)


def test_errors():
    """No running statistics, no stepping by hand, no start where all is NaN."""
    with pytest.raises(ValueError, match="running statistics"):
        gv.train.fit(
            lambda p, b, state: (p.sum(), state), np.zeros(2), np.zeros((4, 2)),
            optimizer=gv.optim.lbfgs(), batch_size=2, epochs=1, state={"n": 0.0},
        )  # fmt: skip
    with pytest.raises(ValueError, match="leave out drop_last"):
        gv.train.fit(
            _loss, np.zeros(2), np.zeros((4, 2)), optimizer=gv.optim.lbfgs(),
            batch_size=3, drop_last=True,
        )  # fmt: skip
    with pytest.raises(TypeError, match="use it with"):
        gv.optim.lbfgs().init(np.zeros(2))
    with pytest.raises(gv.train.TrainingError, match="lbfgs starts"):
        gv.train.fit(
            lambda p, b: np.log(p - 1.0).sum(), np.zeros(2), np.zeros((4, 2)),
            optimizer=gv.optim.lbfgs(), batch_size=2, epochs=1,
        )  # fmt: skip
