"""Files of models: what goes in comes out, and damage is noticed."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

import gradiverse as gv

STORED = Path(__file__).parent / "data" / "model_format1.h5"


def _params():
    rng = np.random.default_rng(0)
    return {
        "0": {"weight": rng.normal(size=(3, 2)).astype("f4"), "bias": np.arange(3)},
        "a/b": [np.float64(2.5), (np.zeros(0), None)],
        ".": 1.5,
        "flags": np.array([True, False]),
        "z": rng.normal(size=2) + 1j,
        7: {"k": 3},
    }  # fmt: skip


def _equal(a, b):
    assert type(a) is type(b) or (np.ndim(a) == 0 and np.ndim(b) == 0)
    if isinstance(a, dict):
        assert list(a) == list(b)
        for k in a:
            _equal(a[k], b[k])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            _equal(x, y)
    elif a is not None:
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.smoke
def test_round_trip(tmp_path):
    """Nests with odd keys, empty arrays, scalars; config and state too."""
    path = tmp_path / "m.h5"
    config = {"sizes": [3, 2], "activation": "relu", "deep": {"x": None}}
    gv.train.save(path, _params(), config, state={"mean": np.ones(2)})
    params, found = gv.train.load(path)
    _equal(params, _params())
    assert found == config
    assert list(gv.train.load(path, with_state=True)[2]) == ["mean"]
    with h5py.File(path) as f:  # a readable tree
        assert f["params/0/weight"].shape == (3, 2)
        assert json.loads(f.attrs["config"]) == config
    assert [p.name for p in tmp_path.iterdir()] == ["m.h5"]


def test_failed_save_leaves_the_old_file(tmp_path):
    """Atomic: an error in the middle changes nothing and leaves nothing."""
    path = tmp_path / "m.h5"
    gv.train.save(path, {"a": np.ones(2)})
    with pytest.raises(TypeError, match="params"):
        gv.train.save(path, {"a": np.zeros(2), "b": object()})
    with pytest.raises(TypeError, match="JSON"):
        gv.train.save(path, {"a": np.zeros(2)}, {"f": print})
    assert gv.train.load(path)[0]["a"].tolist() == [1, 1]
    assert [p.name for p in tmp_path.iterdir()] == ["m.h5"]
    (tmp_path / ".m.h5.part").write_bytes(b"what a killed process left")
    gv.train.save(path, {"a": np.zeros(2)})
    assert gv.train.load(path)[0]["a"].tolist() == [0, 0]
    assert [p.name for p in tmp_path.iterdir()] == ["m.h5"]


def test_stored_file_of_format_1():
    """Trap: models that need the version that wrote them. Written by version 0.1."""
    params, config = gv.train.load(STORED)
    assert config == {"sizes": [2, 3, 1], "activation": "relu"}
    assert params["0"]["weight"].tolist() == [[0.5, -1.0], [0.25, 2.0], [1.0, 1.0]]
    assert params["2"]["bias"].dtype == np.float32
    assert gv.train._files.read_training(STORED, "test")["epoch"] == 2


def test_newer_format(tmp_path):
    """Refused by name of the version that wrote."""
    path = tmp_path / "m.h5"
    gv.train.save(path, {"a": np.ones(2)})
    with h5py.File(path, "r+") as f:
        f.attrs["format"], f.attrs["version"] = 99, "42.0"
    with pytest.raises(ValueError, match=r"format 99 of gradiverse 42\.0"):
        gv.train.load(path)


def test_damage(tmp_path):
    """Cut off, foreign, or with flipped bits: a ValueError that names the file."""
    path, bad = tmp_path / "m.h5", tmp_path / "bad.h5"
    gv.train.save(path, {"a": np.arange(1000.0)})
    whole = path.read_bytes()
    for n in (0, 100, len(whole) // 2, len(whole) - 30):
        bad.write_bytes(whole[:n])
        with pytest.raises(ValueError, match=r"bad\.h5"):
            gv.train.load(bad)
    at = whole.index(np.float64(500.0).tobytes())
    bad.write_bytes(whole[:at] + b"\x01" + whole[at + 1 :])
    with pytest.raises(ValueError, match="damaged"):
        gv.train.load(bad)
    with h5py.File(bad, "w") as f:
        f["x"] = 1
    with pytest.raises(ValueError, match="not written by gv"):
        gv.train.load(bad)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        gv.train.load(tmp_path / "none.h5")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        gv.train.save(tmp_path / "none" / "m.h5", {})


def test_any_damaged_byte_is_noticed(tmp_path):
    """HDF5 itself may crash on damaged structures: the seal is looked at first."""
    path, bad = tmp_path / "m.h5", tmp_path / "bad.h5"
    gv.train.save(path, {"a": np.arange(9.0)}, {"n": 3})
    whole = bytearray(path.read_bytes())
    end = len(whole) - 20  # of what HDF5 wrote
    for at in [*range(0, 100, 7), *range(100, end, 211), end - 1]:
        whole[at] ^= 0x5A
        bad.write_bytes(whole)
        whole[at] ^= 0x5A
        with pytest.raises(ValueError, match="do not have their checksum"):
            gv.train.load(bad)
    bad.write_bytes(whole[:end])  # as other programs that write to it leave it
    assert gv.train.load(bad)[1] == {"n": 3}
    with h5py.File(bad, "r+") as f:
        del f.attrs["format"]
    with pytest.raises(ValueError, match="damaged"):
        gv.train.load(bad)


def test_one_file_holds_everything(tmp_path):
    """Architecture, weights, optimiser and random numbers: saved from a result, or by
    checkpoint= with a config; both build the network again and go on."""
    x = np.linspace(-1.0, 1.0, 64)[:, None].astype("f4")
    config = {"sizes": [1, 8, 1], "activation": "tanh"}
    net = gv.nn.MLP(**config)

    def fit(epochs, **more):
        def loss(p, batch):
            return ((net.apply(p, batch) - batch**2) ** 2).mean()

        return gv.train.fit(loss, net.init(0), x, epochs=epochs, **more)

    path, other = tmp_path / "m.h5", tmp_path / "c.h5"
    gv.train.save(path, fit(3), config)
    fit(3, checkpoint={"path": other, "config": config})
    whole = fit(6)
    for file in (path, other):
        params, found = gv.train.load(file)
        assert gv.nn.MLP(**found).apply(params, x).shape == (64, 1)
        again = fit(6, resume=file)
        for a, b in zip(
            gv.flatten(again.params)[0], gv.flatten(whole.params)[0], strict=True
        ):
            assert a.tobytes() == b.tobytes()
    with pytest.raises(ValueError, match="its own state"):
        gv.train.save(path, whole, config, state={"a": np.ones(1)})
    with pytest.raises(TypeError, match="JSON"):
        fit(1, checkpoint={"path": other, "config": print})


def test_model_is_not_a_checkpoint(tmp_path):
    """Resuming from what save wrote is refused."""
    path = tmp_path / "m.h5"
    gv.train.save(path, np.zeros(1))
    with pytest.raises(ValueError, match="without the state of its training"):
        gv.train.fit(
            lambda p, x: (p * x).sum(), np.zeros(1), np.ones((9, 1)),
            optimizer=gv.optim.sgd(0.1), batch_size=3, epochs=1, resume=path,
        )  # fmt: skip
