"""The bank's own HDF5 metadata, read by h5py, and memory of reading."""

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from gradiverse.inference import Bank, Prior, _bank_file, _hdf5, _mapping

from . import bank_case as case


def test_checksum():
    """Bob Jenkins' own check value of lookup3, and the empty string."""
    assert _hdf5.lookup3(b"Four score and seven years ago") == 0x17770551
    assert _hdf5.lookup3(b"") == 0xDEADBEEF


@pytest.mark.smoke
@pytest.mark.parametrize("chunks", [0, 1, 63, 64, 65, 4096, 4097, 9000])
def test_chunk_index(tmp_path, chunks):
    """Trees of up to three levels over chunks in random places, read by libhdf5."""
    rows = max(0, 3 * chunks - 1)
    body = np.arange(3 * chunks * 2, dtype="f4").reshape(-1, 2)
    offsets = 4096 + 24 * np.random.default_rng(0).permutation(chunks)
    data = bytearray(4096 + 24 * chunks)
    for i, at in enumerate(offsets):
        data[at : at + 24] = body[3 * i : 3 * i + 3].tobytes()
    data += bytes(-len(data) % 8)
    image = _hdf5.Image(len(data))
    texts = {"short": "héllo", "list": ["a", "bc" * 5000, ""], "long": "x" * 200000}
    own = image.attributes({**texts, "numbers": np.arange(3.0), "flag": True})
    image.put_texts()
    x = image.dataset(np.dtype("f4"), (rows, 2), (3, 2), offsets, own)
    group = image.group({"y": x}, [])
    root = image.group({"x": x, "group": group}, own)
    data += image.data
    data[:48] = _hdf5.superblock(len(data), root)
    path = tmp_path / "file.h5"
    path.write_bytes(data)
    with h5py.File(path, "r+") as file:
        assert np.array_equal(file["x"][:], body[:rows])
        for i in range(0, rows, 371):
            assert np.array_equal(file["group/y"][i], body[i])
        for item in (file, file["x"]):
            assert item.attrs["short"] == "héllo" and item.attrs["flag"]
            assert list(item.attrs["list"]) == texts["list"]
            assert item.attrs["long"] == texts["long"]
            assert np.array_equal(item.attrs["numbers"], [0, 1, 2])
        for i in range(20):  # libhdf5 can also change what it has read
            file.create_group(f"new{i}")
        file["x"].attrs["more"] = 1
    with h5py.File(path) as file:
        assert len(file) == 22 and np.array_equal(file["x"][:], body[:rows])
    assert _hdf5.end_of_file(path.read_bytes()[:48]) is not None


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "u2", "i4", "i8", "?"])
@pytest.mark.parametrize("shape", [(), (3,), (7, 5), (1000, 11)])
def test_types_and_row_sizes(tmp_path, dtype, shape):
    """Whatever the bytes of a row, stretches join on pages and h5py sees the same."""
    rng = np.random.default_rng(0)
    x = (100 * rng.uniform(size=(40, *shape))).astype(dtype)
    theta = case.PRIOR.sample(40, rng)
    bank = Bank(tmp_path / "bank.h5", case.PRIOR)
    for part in (slice(0, 1), slice(1, 7), slice(7, 40)):
        bank.append(theta[part], x[part])
    assert np.array_equal(bank.arrays()["x"], x) and bank.x.dtype == dtype
    with h5py.File(bank.path) as file:
        assert np.array_equal(file["x"][:], x) and file["x"].dtype == dtype
        assert np.array_equal(file["theta"][:], theta)


def test_mapping_needs_pages(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(np.arange(4096, dtype="u1").tobytes() * 8)
    fd = os.open(path, os.O_RDONLY)
    a = _mapping.joined(fd, [(100, 50)], (50,), "u1")
    assert np.array_equal(a, np.arange(100, 150))
    with pytest.raises(ValueError, match="export"):
        _mapping.joined(fd, [(4096, 100), (8192, 100)], (200,), "u1")
    with pytest.raises(ValueError, match="read-only"):
        a[0] = 1
    os.close(fd)
    with pytest.raises(OSError, match="mapping"):
        _mapping.joined(fd, [(0, 4096)], (4096,), "u1")
    assert a.sum() == np.arange(100, 150).sum()


def test_large_rows_cost_no_more_than_themselves(tmp_path):
    """Rounding to pages and chunks may lengthen the file, but with holes."""
    bank = Bank(tmp_path / "bank.h5", case.PRIOR)
    x = np.arange(4.0)[:, None] + np.arange(300001, dtype=np.float32)
    x = x.astype(np.float32)
    for part in (slice(0, 3), slice(3, 4)):
        bank.append(case.PRIOR.sample(4, 0)[part], x[part])
    used = 512 * os.stat(bank.path).st_blocks
    assert used < x.nbytes + 2**21
    assert np.array_equal(Bank(bank.path).arrays()["x"], x)
    with h5py.File(bank.path) as file:
        assert np.array_equal(file["x"][:], x)


def test_as_many_parameters_as_supernovae(tmp_path):
    """100 009 parameters: names and prior are texts, not lists in a header."""
    d = 100_009
    prior = Prior(p=(np.zeros(d), 1.0 + np.arange(d)))
    bank = Bank(tmp_path / "bank.h5", prior, lambda theta, rng: theta[:, :3])
    bank.simulate(7)
    again = Bank(bank.path)
    assert len(repr(again)) < 300 and len(repr(prior)) < 400
    assert again.prior.names == prior.names and np.array_equal(again.theta, bank.theta)
    assert np.array_equal(bank.x[:], bank.theta[:, :3])


READS = """
import resource, sys
import numpy as np
from gradiverse.inference import Bank

bank = Bank(sys.argv[1])
status = open("/proc/self/status").read()
used = int(status.split("VmData:")[1].split()[0])
limit = 1024 * used + (64 << 20)
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
total = 0.0
for rows, values in bank.blocks(1000, rng=0):
    total += float(values["x"].sum(dtype=np.float64))
x = bank.arrays()["x"]
for row in np.random.default_rng(0).integers(len(x), size=2000):
    total += float(x[row, 0])
try:
    np.array(x)
except MemoryError:
    print("limited", total)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and RLIMIT_DATA")
def test_reading_takes_no_memory(tmp_path):
    """A bank of 256 MB is read in a process that may allocate 64 MB."""
    bank = Bank(tmp_path / "bank.h5", case.PRIOR)
    x = np.ones((8000, 1000), np.float32)
    for i in range(8):
        bank.append(case.PRIOR.sample(8000, i), x)
    package = os.path.dirname(os.path.dirname(os.path.dirname(_bank_file.__file__)))
    out = subprocess.run(
        [sys.executable, "-c", READS, bank.path],
        env=dict(os.environ, PYTHONPATH=package, OPENBLAS_NUM_THREADS="1"),
        capture_output=True,
        text=True,
    )
    assert out.stdout.split() == ["limited", str(64e6 + 2000)], out.stderr
