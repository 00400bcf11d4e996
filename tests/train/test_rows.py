"""Which rows a training reads, in which order, and from where."""

import resource

import h5py
import numpy as np
import pytest

import gradiverse as gv


def _line(n=40):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3))
    return x, x @ np.array([1.0, -2.0, 0.5]) + 0.1 * rng.normal(size=n)


def _loss(p, batch):
    x, y = batch
    return ((x @ p["w"] + p["b"] - y) ** 2).mean()


def _fit(loss=_loss, data=None, **more):
    options = {"optimizer": gv.optim.adam(0.05), "batch_size": 8, "epochs": 4}
    params = {"w": np.zeros(3), "b": np.zeros(())}
    data = _line() if data is None else data
    return gv.train.fit(loss, params, data, **(options | more))


def test_every_row_is_read_once_an_epoch():
    """A loss that counts: the gradient of row i's own parameter tells how often."""
    n = 23
    rows = np.arange(n)

    def loss(p, batch):
        return -(p[batch]).sum()

    seen = []
    for order in (None, "sequential", "blocks"):
        r = gv.train.fit(
            loss, np.zeros(n), rows, optimizer=gv.optim.sgd(1.0), batch_size=4,
            epochs=3, validation=6, order=order, restore_best=False,
        )  # fmt: skip
        wanted = np.full(n, 3.0)
        wanted[r.validation_rows] = 0.0
        np.testing.assert_array_equal(r.params, wanted)
        seen.append(r.validation_rows)
    np.testing.assert_array_equal(seen[0], seen[1])


@pytest.mark.parametrize("n", [2, 3, 10, 97, 1000])
@pytest.mark.parametrize("validation", [0.001, 0.1, 0.5, 0.99])
def test_split_is_disjoint_and_whole(n, validation):
    """Trap: rows in both parts. Both parts are never empty."""
    from gradiverse.train._rows import split

    rows = np.arange(n) * 3
    train, held = split(rows, validation, 5, "test")
    assert len(train) and len(held) == min(max(round(validation * n), 1), n - 1)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, held])), rows)


def test_orders():
    """Each order is a permutation; blocks keep neighbours near: within a window."""
    from gradiverse.train import _rows

    data = _rows.Data(np.zeros((5000, 2)), "test")
    rows = np.arange(0, 5000, 2)
    for kind in ("shuffle", "blocks", "sequential"):
        order = _rows.Order(kind, rows, data, 1, "test")
        np.testing.assert_array_equal(np.sort(order(3)), rows)
        np.testing.assert_array_equal(order(3), order(3))
        if kind != "sequential":
            assert not np.array_equal(order(3), order(4))
    order = _rows.Order("blocks", rows, data, 1, "test")
    order._block, order._window = 50, 4
    found = order(0)
    np.testing.assert_array_equal(np.sort(found), rows)
    for at in range(0, 2400, 200):
        assert len(np.unique(found[at : at + 200] // 100)) == 4  # 50 of every second


def test_order_of_ones_own():
    """A function of epoch and rows; rows that are not there are an error."""
    asked = []

    def order(epoch, rows):
        asked.append(epoch)
        return np.sort(rows)[::-1][:20]

    r = _fit(order=order, epochs=2, validation=0.25)
    assert asked[:2] == [0, 1] and len(r.history) == 2
    with pytest.raises(ValueError, match="not among those"):
        _fit(order=lambda epoch, rows: np.array([10**6]))


def test_data_on_disk_are_not_copied(tmp_path):
    """A memory map of 64 GiB (a sparse file) with few rows in use: memory stays."""
    n, width = 1 << 16, 1 << 17
    big = np.memmap(tmp_path / "x.dat", np.float64, "w+", shape=(n, width))
    big[::8192, :3] = 1.0
    few = np.arange(0, n, 8192)

    class Bank:
        def arrays(self):
            return {"x": big}

        def rows(self):
            return few

    def loss(p, batch):
        return ((batch["x"][:, :3] @ p["w"] - 1.0 + p["b"]) ** 2).mean()

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    r = _fit(loss, data=Bank(), validation=0.25, epochs=30, batch_size=2)
    assert r.history.train_loss.iloc[-1] < 0.1
    assert set(r.validation_rows) < set(few)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB
    assert after - before < 100 * 2**10
    with pytest.raises(TypeError, match="memory map of dtype float16"):
        half = np.memmap(tmp_path / "x.dat", np.float16, "r", shape=(n, width))
        _fit(loss, data=half)
    few = np.memmap(tmp_path / "few.dat", np.float16, "w+", shape=(40, 3))
    few[:] = 1.0  # little enough for a copy
    r = _fit(lambda p, b: ((b @ p["w"] + p["b"] - 1) ** 2).mean(), data=few, epochs=40)
    assert r.best["loss"] < 0.01


def test_banks_are_data_on_disk(tmp_path, monkeypatch):
    """Trap: arrays of a bank lie on a mapping behind a memoryview. They are read ahead
    in blocks, and a bank of one window gives the bytes of the same rows in memory."""
    from gradiverse.train import _rows

    prior = gv.inference.Prior(w=(-np.ones(3), np.ones(3)))

    def simulate(theta, rng):
        return np.concatenate([theta, theta.sum(1, keepdims=True)], 1)

    bank = gv.inference.Bank(tmp_path / "b.h5", prior, simulate)
    bank.simulate(3000, batch_size=500)

    def loss(p, batch):
        return ((batch["x"][:, :3] @ p["w"] + p["b"] - batch["x"][:, 3]) ** 2).mean()

    data = _rows.Data(bank, "test")
    assert data.on_disk and _rows.Order(None, data.rows, data, 0, "test").window == 3000
    memory = {"theta": bank.theta[:], "x": bank.x[:]}
    a, b = (_fit(loss, data=d, batch_size=32) for d in (bank, memory))
    assert a.params["w"].tobytes() == b.params["w"].tobytes()
    monkeypatch.setattr(_rows, "WINDOW", 1 << 14)
    monkeypatch.setattr(_rows, "BLOCK", 1 << 12)
    asked = []
    monkeypatch.setattr(_rows.Data, "prefetch", lambda self, rows: asked.append(rows))
    _fit(loss, data=bank, epochs=1, batch_size=32)
    assert len(asked) > 5 and max(map(len, asked)) <= (1 << 14) // (7 * 8) + 32
    small = gv.inference.Bank(tmp_path / "u.h5", prior, lambda t, rng: np.uint8(t > 0))
    small.simulate(3000, batch_size=500)
    with pytest.raises(TypeError, match="dtype uint8"):
        monkeypatch.setattr(_rows, "WINDOW", 8999)
        _rows.Data(small, "test")


def test_datasets_of_h5py(tmp_path):
    """Contiguous ones are mapped, not read; chunked ones are refused."""
    x, y = _line()
    with h5py.File(tmp_path / "d.h5", "w") as f:
        f["x"], f["y"] = x, y
        f.create_dataset("chunked", data=x, chunks=(8, 3))
        a = _fit(data=(f["x"], f["y"]), order="shuffle")
        with pytest.raises(TypeError, match="in chunks"):
            _fit(data=(f["chunked"], y))
    b = _fit(data=(x, y))
    assert a.params["w"].tobytes() == b.params["w"].tobytes()


def test_windows_of_data_on_disk(tmp_path, monkeypatch):
    """Several windows an epoch, read ahead: the same bytes as from memory in the same
    order; the rows read ahead are those of the window at hand and of the next."""
    from gradiverse.train import _rows

    monkeypatch.setattr(_rows, "WINDOW", 1 << 16)
    monkeypatch.setattr(_rows, "BLOCK", 1 << 13)
    monkeypatch.setattr(_rows, "NEAR", 0)
    x, y = _line(4000)
    disk = np.memmap(tmp_path / "x.dat", np.float64, "w+", offset=4096, shape=x.shape)
    disk[:] = x
    asked, ahead = [], _rows.Data.prefetch

    def prefetch(self, rows):
        asked.append(rows)
        ahead(self, rows)

    monkeypatch.setattr(_rows.Data, "prefetch", prefetch)
    more = {"batch_size": 16, "epochs": 2, "order": "blocks", "restore_best": False}
    a = _fit(data=(disk, y), **more)
    assert 5 < len(asked) < 100
    parts = np.concatenate(asked)
    assert len(parts) == 2 * (4000 - 400) and len(np.unique(parts)) == 4000 - 400
    b = _fit(data=(x, y), **more)
    assert a.params["w"].tobytes() == b.params["w"].tobytes()


def test_validation_rows_can_be_given():
    """The rows themselves, or their number."""
    r = _fit(validation=np.array([3, 1, 30]))
    np.testing.assert_array_equal(r.validation_rows, [1, 3, 30])
    assert len(_fit(validation=7).validation_rows) == 7
