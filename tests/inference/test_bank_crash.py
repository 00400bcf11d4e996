"""Banks under kills and under several writers (traps 1 and 2 of simulation banks)."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

import h5py
import numpy as np
import pytest

from gradiverse.inference import Bank, _bank_file, _bank_writer

from . import bank_case as case

HERE = Path(__file__).parent


def start(path, n, size, simulator="slow"):
    """A writing process."""
    package = Path(_bank_file.__file__).parents[2]
    code = f"import bank_case; bank_case.writer({str(path)!r}, {n}, {size}, "
    return subprocess.Popen(
        [sys.executable, "-c", code + f"bank_case.{simulator})"],
        env=dict(os.environ, PYTHONPATH=f"{HERE}{os.pathsep}{package}"),
    )


def wait_for(path, rows, process):
    """Until that many rows are stored."""
    for _ in range(3000):
        assert process.poll() is None, "the writer ended too early"
        if os.path.exists(path) and len(Bank(path)) >= rows:
            return
        time.sleep(0.01)
    raise AssertionError("the writer does not write")


def test_kill_and_resume(tmp_path):
    """kill -9 at random moments: at most the batch at hand is lost, the file opens.

    The bytes in the end are those of one quiet writer.
    """
    path, rng, n, size = tmp_path / "bank.h5", np.random.default_rng(0), 20000, 50
    for _ in range(3):
        before = len(Bank(path)) if path.exists() else 0
        process = start(path, n, size)
        wait_for(path, before + 100, process)
        time.sleep(rng.uniform(0, 0.06))
        process.send_signal(signal.SIGKILL)
        process.wait()
        with h5py.File(path) as file:  # for any program, before a bank opens it
            status, x = file["status"][:], file["x"][:]
        count = Bank(path).count
        assert count["reserved"] <= size and len(Bank(path)) >= before + 100
        theta, expected = case.expected(n, size)
        assert np.array_equal(x[status == 2], expected[status == 2])
    with Bank(path, case.PRIOR, case.simulate) as bank:
        bank.simulate(n, batch_size=size)
        assert np.array_equal(bank.x[:], expected)
        assert np.array_equal(bank.theta[:], theta)
        assert bank.count["valid"] == n
    assert sorted(os.listdir(tmp_path)) == ["bank.h5"]


def test_two_writers_one_killed(tmp_path):
    """Two processes give exactly N rows, once each; a third one dies midway."""
    path, n, size = tmp_path / "bank.h5", 1500, 50
    doomed = start(path, n, size, "hangs")
    wait_for(path, 100, doomed)
    writers = [start(path, n, size), start(path, n, size)]
    wait_for(path, n - size, doomed)  # all but the rows that it has reserved
    assert [w.poll() for w in writers] == [None, None]
    doomed.kill()
    doomed.wait()
    assert [w.wait(timeout=60) for w in writers] == [0, 0]
    bank = Bank(path)
    theta, x = case.expected(n, size)
    assert bank.count == {"free": 0, "reserved": 0, "valid": n, "failed": 0}
    assert np.array_equal(bank.theta[:], theta) and np.array_equal(bank.x[:], x)
    with h5py.File(path) as file:
        assert len(file["status"]) == n


def test_writers_that_make_the_bank_together(tmp_path):
    path = tmp_path / "bank.h5"
    writers = [start(path, 300, 50) for _ in range(2)]
    assert [w.wait(timeout=60) for w in writers] == [0, 0]
    assert np.array_equal(Bank(path).x[:], case.expected(300, 50)[1])


def test_threads_share_a_bank(tmp_path):
    """Writers in one process: through one Bank and through another on the same path."""
    path = tmp_path / "bank.h5"
    calls = []

    def counted(theta, rng):
        calls.append(len(theta))
        return case.slow(theta, rng)

    banks = [Bank(path, case.PRIOR, counted)] * 2 + [Bank(path, case.PRIOR, counted)]
    threads = [
        threading.Thread(target=bank.simulate, args=(2000,), kwargs={"batch_size": 50})
        for bank in banks
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(calls) == 2000  # no row twice
    assert np.array_equal(banks[0].x[:], case.expected(2000, 50)[1])


@pytest.mark.parametrize("grown", [False, True])
def test_kill_at_every_write(tmp_path, monkeypatch, grown):
    """A kill before any write to the file leaves one that h5py reads and that goes on.

    The kill is acted in a child by ending it at the k-th call of pwrite, ftruncate or
    rename; the parent looks at what is left.
    """
    real = {name: getattr(os, name) for name in ("pwrite", "ftruncate", "rename")}
    n, size = (20000, 20000) if grown else (300, 200)
    x = case.batches(0, 1000, size)[1]
    for k in range(200):
        path = tmp_path / f"bank{k}.h5"
        if grown:
            Bank(path, case.PRIOR, case.simulate).simulate(1000, batch_size=size)
        child = os.fork()
        if child == 0:
            left = [k]

            def counted(name, left=left):
                def call(*args):
                    left[0] -= 1
                    if left[0] < 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return real[name](*args)

                return call

            try:
                for name in real:
                    setattr(os, name, counted(name))
                Bank(path, case.PRIOR, case.simulate).simulate(n, batch_size=size)
                os._exit(0)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        _, code = os.waitpid(child, 0)
        assert code in (0, signal.SIGKILL)
        if grown:
            with h5py.File(path) as file:
                assert np.array_equal(file["x"][:1000], x), k
                assert (file["status"][:1000] == 2).all()
        elif path.exists():
            with h5py.File(path) as file:
                assert "theta" in file, k
        with Bank(path, case.PRIOR, case.simulate) as bank:
            bank.simulate(n, batch_size=size)
            assert bank.count == {"free": 0, "reserved": 0, "valid": n, "failed": 0}
            if not grown:
                assert np.array_equal(bank.x[:], case.expected(n, size)[1]), k
        os.remove(path)
        if code == 0:
            assert k > 10
            return
    raise AssertionError("the child never got through")


def test_a_child_keeps_no_lock_of_its_parent(tmp_path):
    """Workers that outlive a killed writer do not bar others from the file."""
    bank = Bank(tmp_path / "bank.h5", case.PRIOR, case.simulate)
    bank.simulate(100)
    stay, go = os.pipe()
    parent = os.fork()
    if parent == 0:
        os.close(go)
        with _bank_writer.Writer(bank._file):
            if os.fork() == 0:
                os.read(stay, 1)  # until the test ends
                os._exit(0)
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(stay)
    os.waitpid(parent, 0)
    for _ in range(1000):  # until the worker has come to its first line
        with contextlib.suppress(BlockingIOError), h5py.File(bank.path, "r+") as file:
            assert len(file["x"]) == 100
            break
        time.sleep(0.01)
    else:
        raise AssertionError("the file is still locked")
    os.close(go)


def test_a_worker_that_dies(tmp_path):
    """Batches of a broken pool become free again."""
    import concurrent.futures
    import multiprocessing

    path = tmp_path / "bank.h5"
    bank = Bank(path, case.PRIOR, case.dies)
    context = multiprocessing.get_context("fork")
    with (
        concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool,
        pytest.raises(RuntimeError, match="a batch was lost"),
    ):
        bank.simulate(1000, batch_size=20, executor=pool)
    assert bank.count["reserved"] == 0
    bank.simulator = lambda theta, rng: case.simulate(theta, rng)
    with (
        concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool,
        pytest.raises(RuntimeError, match="picklable"),
    ):
        bank.simulate(1000, batch_size=20, executor=pool)
    bank.simulate(1000, batch_size=20)
    assert np.array_equal(bank.x[:], case.expected(1000, 20)[1])


def test_interrupted_by_the_user(tmp_path):
    """Ctrl-C gives the batch at hand back and is passed on."""
    calls = []

    def interrupted(theta, rng):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return case.simulate(theta, rng)

    bank = Bank(tmp_path / "bank.h5", case.PRIOR, interrupted)
    with pytest.raises(KeyboardInterrupt):
        bank.simulate(1000, batch_size=100)
    assert bank.count == {"free": 700, "reserved": 0, "valid": 300, "failed": 0}
    bank.simulate(1000, batch_size=100)
    assert np.array_equal(bank.x[:], case.expected(1000, 100)[1])


def test_claims_are_refused_to_others(tmp_path):
    """A row reserved by a living writer is not taken for an orphan."""
    path = tmp_path / "bank.h5"
    bank = Bank(path, case.PRIOR, case.simulate)
    with _bank_writer.Writer(bank._file) as writer:
        writer.prepare(1000, {"seed": "0"})
        assert writer.claim(1000, 300) == (0, 300)
        process = start(path, 700, 350, "simulate")
        time.sleep(1.0)
        assert process.poll() is None  # waits for our rows
        status = bank._array("status")
        assert (status[:300] == 1).all()
        assert np.array_equal(writer.claims.orphans(0, 1000), [(300, 1000)])
        writer.give_back(0, 300)
        assert process.wait(timeout=30) == 0
    assert bank.count["valid"] == 700 and bank.count["free"] == 300
