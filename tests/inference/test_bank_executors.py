"""Banks filled by the executors of dask and MPI, where they are installed."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from gradiverse.inference import Bank

from . import bank_case as case

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))


@pytest.mark.parametrize("processes", [False, True])
def test_dask(tmp_path, monkeypatch, processes):
    """The same bytes as without, failed rows too; workers import this folder."""
    distributed = pytest.importorskip("distributed")
    path = os.pathsep.join([ROOT, os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    with distributed.Client(
        n_workers=2,
        threads_per_worker=1,
        processes=processes,
        dashboard_address=None,
        local_directory=str(tmp_path),
    ) as client:
        bank = Bank(tmp_path / "a.h5", case.PRIOR, case.simulate)
        bank.simulate(1000, executor=client, batch_size=130)
        failing = Bank(tmp_path / "b.h5", case.PRIOR, case.fails)
        failing.simulate(300, executor=client, batch_size=50)
    assert np.array_equal(bank.x[:], case.expected(1000, 130)[1])
    assert np.array_equal(failing.status[:] == 3, failing.theta[:, 0] > 0.8)


FILLS = """
import sys
from mpi4py.futures import MPIPoolExecutor
from gradiverse.inference import Bank
from tests.inference import bank_case as case

if __name__ == "__main__":
    bank = Bank(sys.argv[1], case.PRIOR, case.simulate)
    with MPIPoolExecutor() as pool:
        bank.simulate(1000, executor=pool, batch_size=130)
        print(pool.num_workers)
"""


def test_mpi(tmp_path):
    """mpi4py.futures on two workers."""
    pytest.importorskip("mpi4py")
    beside = os.path.join(os.path.dirname(sys.executable), "mpiexec")
    mpiexec = beside if os.path.exists(beside) else shutil.which("mpiexec")
    if mpiexec is None:
        pytest.skip("needs mpiexec")
    script = tmp_path / "fills.py"
    script.write_text(FILLS)
    path = os.pathsep.join([ROOT, os.environ.get("PYTHONPATH", "")])
    python = [sys.executable, "-m", "mpi4py.futures", str(script)]
    out = subprocess.run(
        [mpiexec, "-n", "3", *python, str(tmp_path / "a.h5")],
        env=dict(os.environ, PYTHONPATH=path, OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert out.stdout.split() == ["2"], out.stderr
    bank = Bank(tmp_path / "a.h5")
    assert np.array_equal(bank.x[:], case.expected(1000, 130)[1])
