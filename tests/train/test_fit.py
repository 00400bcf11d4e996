"""gv.train.fit against independent NumPy loops."""

import threading

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


def _fit(loss=_loss, params=None, data=None, **more):
    options = {"optimizer": gv.optim.adam(0.05), "batch_size": 8, "epochs": 4}
    options |= more
    params = _start() if params is None else params
    data = _line() if data is None else data
    return gv.train.fit(loss, params, data, **options)


def test_partial_batch_is_trained_and_counted():
    """Trap: the last partial batch dropped. 37 rows, batch 200: one step an epoch on
    all of them, and validation in batches equals one batch."""
    x, y = _line(37)
    opt = gv.optim.sgd(0.1)
    r = _fit(data=(x, y), optimizer=opt, batch_size=200, epochs=1, validation=0)
    g, value = _gradient(_start(), x, y)
    np.testing.assert_allclose(r.params["w"], -0.1 * g["w"], rtol=1e-13)
    assert r.history.train_loss[0] == pytest.approx(value, rel=1e-13)
    assert len(r.validation_rows) == 0 and np.isnan(r.history.validation_loss[0])
    whole = gv.train.evaluate(_loss, r.params, (x, y), batch_size=100)
    for size in (1, 5, 36, 37):
        parts = gv.train.evaluate(_loss, r.params, (x, y), batch_size=size)
        assert parts == pytest.approx(whole, rel=1e-13)


def test_best_epoch_in_the_middle():
    """Trap: best loss started at -inf, best weights never stored. The rate grows until
    the steps overshoot, so the lowest validation loss is in the middle."""
    x, y = _line(60)
    path = []
    r = _fit(
        data=(x, y), epochs=20, validation=0.3, order="sequential",
        optimizer=gv.optim.sgd(lambda t: 0.02 * 1.35 ** t.astype("float64")),
        batch_size=None, callback=lambda record: path.append(record),
    )  # fmt: skip
    losses = r.history.validation_loss.to_numpy()
    k = int(losses.argmin())
    assert 0 < k < 19 and losses[-1] > 2 * losses[k]
    assert r.best == {"epoch": k + 1, "loss": losses[k]}
    np.testing.assert_array_equal(r.params["w"], path[k]["params"]["w"])
    last = _fit(
        data=(x, y), epochs=20, validation=0.3, order="sequential",
        optimizer=gv.optim.sgd(lambda t: 0.02 * 1.35 ** t.astype("float64")),
        batch_size=None, restore_best=False,
    )  # fmt: skip
    np.testing.assert_array_equal(last.params["w"], path[-1]["params"]["w"])


def test_the_start_counts_where_it_is_asked_to(tmp_path):
    """Trap: fine-tuning that makes good weights worse returns the worse ones."""
    x, y = _line()
    good = _fit(data=(x, y), epochs=200).params
    bad = {"optimizer": gv.optim.adam(1.0), "epochs": 6, "data": (x, y), "params": good}
    worse = _fit(**bad)
    kept = _fit(restore_best="start", **bad)
    assert worse.best["epoch"] >= 1 and kept.best["epoch"] == 0
    assert kept.best["loss"] < worse.best["loss"]
    for name in good:
        np.testing.assert_array_equal(kept.params[name], good[name])
    assert kept.history.epoch.tolist() == list(range(7))
    assert kept.history.validation_loss[0] == kept.best["loss"]
    same = kept.history.iloc[1:].reset_index(drop=True).drop(columns="seconds")
    assert same.equals(worse.history.drop(columns="seconds"))
    # where training helps it is as ever; a resumed one knows the start still
    more = {"data": (x, y), "restore_best": "start"}
    helped = _fit(epochs=5, **more)
    assert helped.best["epoch"] > 0
    path = tmp_path / "a.h5"
    _fit(restore_best="start", checkpoint=path, **{**bad, "epochs": 3})
    again = _fit(restore_best="start", resume=path, **bad)
    assert again.best == kept.best and len(again.history) == 7
    # without validation rows the last weights, and no epoch 0
    assert _fit(validation=0, epochs=2, **more).history.epoch.tolist() == [1, 2]
    with pytest.raises(ValueError, match="restore_best is 'end'"):
        _fit(restore_best="end")


@pytest.mark.filterwarnings("ignore:gv.train.fit. the validation loss")
def test_nan_validation_first():
    """Trap: NaN first, then nothing counts as better. The validation loss is NaN until
    the bias has left zero."""

    def loss(p, batch, train):
        value = _loss(p, batch)
        return value if train else value + np.log(p["b"] - 0.12)

    x, y = _line(60)
    r = _fit(loss, data=(x, y + 1.0), epochs=8, batch_size=None)
    valid = r.history.validation_loss.to_numpy()
    assert np.isnan(valid[0]) and np.isfinite(valid[-1])
    k = int(np.nanargmin(valid))
    assert r.best == {"epoch": k + 1, "loss": valid[k]}


def test_early_stopping():
    """Ends `patience` epochs after the best one."""
    rate = gv.optim.sgd(lambda t: 0.02 * 1.35 ** t.astype("float64"))
    more = {"epochs": 40, "validation": 0.3, "optimizer": rate, "batch_size": None}
    r = _fit(data=_line(60), patience=2, **more)
    assert len(r.history) == r.best["epoch"] + 2 < 40


def test_loss_that_is_not_finite():
    """Says epoch and step; holds the best so far."""

    def loss(p, batch):
        return np.where(p["w"][0] > 0.3, np.nan, _loss(p, batch))

    with pytest.raises(gv.train.TrainingError, match=r"epoch \d+, step \d+ of 5") as e:
        _fit(loss, epochs=20)
    r = e.value.result
    assert len(r.history) == r.best["epoch"] and np.isfinite(r.params["w"]).all()
    np.testing.assert_array_less(r.params["w"][0], 0.3)
    with pytest.raises(ValueError, match="training that failed"):
        _fit(loss, resume=r)
    with pytest.raises(gv.train.TrainingError) as e:
        _fit(loss, epochs=20, validation=0)
    assert len(e.value.result.history) > 0
    assert 0 < e.value.result.params["w"][0] < 0.3
    with pytest.raises(gv.train.TrainingError) as e:
        _fit(lambda p, batch: np.log(-1.0 - p["b"] ** 2), validation=0)
    assert e.value.result.params["w"].tolist() == [0, 0, 0]


def test_gradient_that_is_not_finite(tmp_path):
    """Trap: a finite loss with a NaN gradient leaves NaN weights; neither the result
    nor a checkpoint has them."""

    def loss(p, batch):
        return ((batch - p) ** 2).mean() + np.sqrt((p * 0.0).sum())

    path = tmp_path / "c.h5"
    for more in ({"validation": 0}, {"validation": 0.2}):
        with pytest.raises(gv.train.TrainingError, match="params is not finite") as e:
            gv.train.fit(
                loss, np.zeros(2), np.ones((20, 2)), batch_size=None, epochs=1,
                checkpoint={"path": path, "seconds": 1e-9}, **more,
            )  # fmt: skip
        assert (e.value.result.params == 0).all() and not path.exists()


def test_rows_left_over_can_be_dropped():
    """37 rows in batches of 9: 4 steps, other rows left out each time; without that,
    layers that need many rows refuse before any step is made."""
    n, counts = 37, []

    def loss(p, batch):
        return -p[batch].sum()

    for epochs in (1, 40):
        r = gv.train.fit(
            loss, np.zeros(n), np.arange(n), optimizer=gv.optim.sgd(1.0), batch_size=9,
            epochs=epochs, validation=0, drop_last=True,
        )  # fmt: skip
        counts.append(r.params)
    assert np.sort(counts[0]).tolist() == [0.0] + [1.0] * 36
    assert counts[1].sum() == 40 * 36 and len(np.unique(counts[1])) > 1
    net = gv.nn.Sequential(gv.nn.Linear(2, 4), gv.nn.BatchNorm(4), gv.nn.Linear(4, 1))
    steps = []

    def normed(p, batch, state, train):
        y, state = net.apply(p, batch, train=train, state=state)
        return (y**2).mean(), state

    options = {"batch_size": 9, "epochs": 2, "validation": 0}
    options["state"] = net.init_state()
    x = np.random.default_rng(0).normal(size=(n, 2))
    with pytest.raises(ValueError, match="BatchNorm"):
        gv.train.fit(
            normed, net.init(0), x, callback=lambda r: steps.append(r), **options
        )
    assert not steps
    gv.train.fit(normed, net.init(0), x, drop_last=True, **options)


def test_defaults():
    """adam(1e-3), batches of 64, ten epochs, as the interface says."""
    x, y = (a.astype("f4") for a in (np.eye(3)[:, :1].repeat(99, 0), np.ones(297)))

    def loss(p, batch):
        return ((batch[0][:, 0] * p - batch[1]) ** 2).mean()

    a = gv.train.fit(loss, np.float32(0.0), (x, y))
    b = gv.train.fit(
        loss, np.float32(0.0), (x, y), optimizer=gv.optim.adam(1e-3), batch_size=64,
        epochs=10,
    )  # fmt: skip
    assert len(a.history) == 10 and a.params.tobytes() == b.params.tobytes()


def test_keywords_of_the_loss():
    """rng: new numbers every step; train: false for validation; state is carried."""
    draws = []

    def loss(p, batch, rng, train, state):
        draws.append(train)
        noise = gv.random.normal(rng, ())
        value = _loss(p, batch) + (0.0 if train else 100.0)
        seen = {"n": state["n"] + 1, "noise": state["noise"] + noise}
        return value, (seen if train else state)

    start = {"n": np.zeros((), np.int64), "noise": np.zeros(())}
    r = _fit(loss, state=start, epochs=3, restore_best=False)
    assert set(draws) == {True, False}
    assert r.state["n"] == 3 * 5 and start["n"] == 0
    assert (r.history.validation_loss > 100).all()
    assert r.history.train_loss.max() < 100
    again = _fit(loss, state=start, epochs=3, restore_best=False)
    other = _fit(loss, state=start, epochs=3, restore_best=False, rng=1)
    assert r.state["noise"] == again.state["noise"] != other.state["noise"]


def test_augmentation_redraws_noise():
    """Noise differs from step to step and from epoch to epoch, and is the same for
    validation in every epoch."""

    def loss(p, batch):
        return (p["w"] * 0).sum() + p["b"] * 0 + batch.mean()

    def augment(batch, key):
        return batch + gv.random.normal(key, batch.shape)

    start, zeros = _start(), np.zeros((40, 2))
    r = _fit(loss, start, zeros, augment=augment, optimizer=gv.optim.sgd(0.1))
    assert len(set(r.history.train_loss)) == 4
    assert len(set(r.history.validation_loss)) == 1 and r.history.validation_loss[0]


def test_same_bytes_on_one_and_two_threads():
    """Weights of a net wide enough to be cut into tasks."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 20)).astype(np.float32)
    params = {
        "a": rng.normal(size=(20, 600)).astype(np.float32) / 5,
        "b": rng.normal(size=(600, 300)).astype(np.float32) / 25,
    }

    def loss(p, batch):
        return (np.tanh(np.tanh(batch @ p["a"]) @ p["b"]) ** 2).mean()

    found = []
    before = gv.get_threads()
    for n in (1, 2):
        gv.set_threads(n)
        opt = gv.optim.average(gv.optim.clip(gv.optim.adamw(1e-2), 0.1))
        r = gv.train.fit(
            loss, params, x, optimizer=opt, batch_size=128, epochs=2, validation=0.2
        )
        found.append(r)
    gv.set_threads(before)
    for k in params:
        assert found[0].params[k].tobytes() == found[1].params[k].tobytes()
    a, b = (f.history.drop(columns="seconds") for f in found)
    assert a.equals(b)


def test_progress_and_callback(capfd):
    """A bar on stderr; a true result of the callback ends the training."""
    r = _fit(progress=True, epochs=6, callback=lambda record: record["epoch"] == 2)
    assert len(r.history) == 2 and not r.interrupted
    assert "step" in capfd.readouterr().err
    record = []
    _fit(epochs=1, callback=record.append)
    assert set(record[0]) >= {"epoch", "train_loss", "params", "state", "lr"}


def test_float64_and_float32_train_in_their_own():
    """dtypes stay."""
    for dtype in ("float32", "float64"):
        params = {k: v.astype(dtype) for k, v in _start().items()}
        x, y = _line()
        r = _fit(params=params, data=(x.astype(dtype), y.astype(dtype)))
        assert {v.dtype.name for v in r.params.values()} == {dtype}


def test_averaged_weights_are_returned():
    """What is validated and returned is the average, not what is stepped."""
    opt = gv.optim.average(gv.optim.sgd(0.1), None)
    path = []
    more = {"batch_size": None, "epochs": 5, "restore_best": False}
    r = _fit(optimizer=opt, callback=path.append, **more)
    plain = []
    _fit(optimizer=gv.optim.sgd(0.1), callback=plain.append, **more)
    wanted = np.mean([p["params"]["w"] for p in plain], axis=0)
    np.testing.assert_allclose(r.params["w"], wanted, rtol=1e-12)
    x, y = _line()
    rows = r.validation_rows
    value = _gradient(r.params, x[rows], y[rows])[1]
    assert r.history.validation_loss.iloc[-1] == pytest.approx(value, rel=1e-12)


def test_schedules_in_training():
    """The plateau falls when the validation loss stays; lengths come from the run."""
    rate = gv.optim.plateau(1e-9, factor=0.5, patience=1)
    r = _fit(optimizer=gv.optim.sgd(rate), epochs=8)
    assert r.history.lr.tolist() == [1e-9] * 3 + [5e-10] * 2 + [2.5e-10] * 2 + [
        1.25e-10
    ]
    r = _fit(optimizer=gv.optim.sgd(gv.optim.cosine(0.1)), epochs=4)
    steps = 5  # of 36 rows in batches of 8
    wanted = 0.05 * (1 + np.cos(np.pi * (steps * np.arange(1, 5) - 1) / (4 * steps)))
    np.testing.assert_allclose(r.history.lr, wanted, rtol=1e-12)


def test_small_trainings():
    """No epoch at all; numbers as parameters; a thread that is not the main one."""
    r = _fit(epochs=0)
    assert r.params["w"].tolist() == [0, 0, 0] and not len(r.history)
    assert r.best["epoch"] is None
    found = []

    def work():
        def loss(p, batch):
            return ((p - batch) ** 2).mean()

        found.append(_fit(loss, 0.0, np.full(10, 2.0), epochs=200))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert float(found[0].params) == pytest.approx(2.0, abs=1e-3)


@pytest.mark.parametrize(
    ("error", "text", "more"),
    [
        (TypeError, "one of gv.optim", {"optimizer": "adam"}),
        (ValueError, "epochs is", {"epochs": -1}),
        (ValueError, "batch_size is", {"batch_size": 0}),
        (ValueError, "batch_size is", {"batch_size": 2.5}),
        (ValueError, "patience is", {"patience": 0}),
        (ValueError, "validation", {"validation": 1.0}),
        (ValueError, "validation", {"validation": -1}),
        (ValueError, "leaves none", {"validation": 40}),
        (ValueError, "not a row", {"validation": np.array([99])}),
        (TypeError, "give an int", {"rng": None}),
        (ValueError, "choose 'shuffle'", {"order": "random"}),
        (TypeError, "expected a function", {"augment": 3}),
        (TypeError, "expected a function", {"callback": 3}),
        (TypeError, "does not take the keyword state", {"state": {"n": 0.0}}),
        (TypeError, "resume is", {"resume": 3}),
        (ValueError, "give one", {"resume": True}),
        (TypeError, "checkpoint is", {"checkpoint": 3}),
        (FileNotFoundError, "no folder", {"checkpoint": "nowhere/at/all.h5"}),
        (FileNotFoundError, "no file", {"resume": "nowhere.h5"}),
        (TypeError, "expected one number", {"loss": lambda p, b: b[0] @ p["w"]}),
        (TypeError, "expected one number", {"loss": lambda p, b: None}),
        (ValueError, "must agree", {"data": (np.zeros((3, 3)), np.zeros(4))}),
        (ValueError, "needs rows", {"data": (np.zeros((3, 3)), 1.0)}),
        (TypeError, "array of numbers", {"data": {"x": "text"}}),
        (TypeError, "int64", {"params": {"w": np.zeros(3, int), "b": np.zeros(())}}),
    ],
)
def test_bad_arguments(error, text, more):
    """Errors say what is wrong."""
    with pytest.raises(error, match=text):
        _fit(**more)
