"""Training straight from a bank: which rows it reads, and memory."""

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

import gradiverse as gv
from gradiverse.inference import Bank, _bank_file

from . import bank_case as case


def loss(params, batch):
    return ((batch["x"] @ params["w"] - batch["theta"][:, 0]) ** 2).mean()


def trained(bank, size, **options):
    return gv.train.fit(
        loss,
        {"w": np.ones(2)},
        bank,
        optimizer=gv.optim.adam(1e-2),
        batch_size=size,
        epochs=2,
        rng=3,
        restore_best=False,
        **options,
    )


@pytest.mark.parametrize("n, size, share", [(1000, 64, 0.1), (37, 200, 0.3)])
def test_validation_rows_are_never_read_in_training(tmp_path, n, size, share):
    """Rows of the split, failed rows and rows of other writers may hold anything.

    They are spoilt in the file; losses and weights of training keep their bytes. The
    first case is one where reading by chunks of 64 rows mixes 60 rows of the two sets.
    """

    def simulate(theta, rng):
        x = case.simulate(theta, rng)
        x[theta[:, 0] > 0.95] = np.nan
        return x

    bank = Bank(tmp_path / "bank.h5", case.PRIOR, simulate)
    for grown in (n, n + n // 2):
        bank.simulate(grown, batch_size=grown)
        first = trained(bank, size, validation=share)
        held = np.asarray(first.validation_rows)
        valid = bank.rows()
        assert set(held) <= set(valid) and len(held) == round(share * len(valid))
        with h5py.File(bank.path, "r+") as file:
            x = file["x"][:]
            spoilt = x + 0.0
            spoilt[held] = 1e6
            spoilt[file["status"][:] != 2] = 1e6
            file["x"][:] = spoilt
        second = trained(bank, size, validation=share)
        with h5py.File(bank.path, "r+") as file:
            file["x"][:] = x
        assert np.array_equal(second.validation_rows, held)
        assert second.params["w"].tobytes() == first.params["w"].tobytes()
        for name in ("train_loss", "validation_loss"):
            same = first.history[name].equals(second.history[name])
            assert same == (name == "train_loss")


TRAINS = """
import resource, sys
import numpy as np
import gradiverse as gv
from gradiverse.inference import Bank


def fit(data):
    return gv.train.fit(
        lambda p, b: ((b["x"] @ p["w"] - b["theta"][:, 0].astype("f4")) ** 2).mean(),
        {"w": np.zeros(1000, "f4")}, data, optimizer=gv.optim.sgd(1e-6),
        batch_size=500, epochs=2, validation=0.1, rng=0)


def used(what):
    return int(open("/proc/self/status").read().split(what)[1].split()[0]) << 10


small = {"theta": np.zeros((2000, 2)), "x": np.zeros((2000, 1000), "f4")}
fit(small)
bank = Bank(sys.argv[1])
limit = used("VmData:") + (96 << 20)
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
before = used("RssAnon:")
r = fit(bank)
print(len(r.history), len(bank.rows()) - len(r.validation_rows))
print(used("RssAnon:") - before, file=sys.stderr)
try:
    np.array(bank.arrays()["x"])
except MemoryError:
    print("limited")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and RLIMIT_DATA")
def test_training_does_not_copy_the_bank(tmp_path):
    """256 MB of data are trained on in a process that may allocate 96 MB more."""
    bank = Bank(tmp_path / "bank.h5", case.PRIOR)
    x = np.ones((16000, 1000), np.float32)
    for i in range(4):
        bank.append(case.PRIOR.sample(16000, i), x)
    package = os.path.dirname(os.path.dirname(os.path.dirname(_bank_file.__file__)))
    out = subprocess.run(
        [sys.executable, "-c", TRAINS, bank.path],
        env=dict(os.environ, PYTHONPATH=package, OPENBLAS_NUM_THREADS="1"),
        capture_output=True,
        text=True,
    )
    assert out.stdout.split() == ["2", "57600", "limited"], out.stderr
    assert int(out.stderr.split()[-1]) < 96 << 20
