"""Banks of simulations against plain h5py, and a loader of rows in torch.

python -m benchmarks.speed.bank THREADS

Reading is from the page cache: the file is read once before the clock starts. "Random
chunks" are blocks of neighbouring rows in random order, every row once; "random rows"
are the shuffled batches of an epoch.
"""

from benchmarks.speed.measure import (
    interleave,
    limit_threads,
    report,
    scaled,
    threads_argument,
)

THREADS = threads_argument(1)
limit_threads(THREADS)

import os  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402

import h5py  # noqa: E402
import numpy as np  # noqa: E402

from gradiverse.inference import Bank, Prior  # noqa: E402

FLOATS = 1000
ROWS = 100_000  # 400 MB of float32
PRIOR = Prior({f"p{i}": (0.0, 1.0) for i in range(10)})


def make(folder):
    """A bank of the data, and the same as a chunked and a contiguous HDF5 file."""
    rng = np.random.default_rng(0)
    bank = Bank(os.path.join(folder, "bank.h5"), PRIOR)
    with h5py.File(os.path.join(folder, "plain.h5"), "w") as file:
        shape = (ROWS, FLOATS)
        chunked = file.create_dataset("chunked", shape, "f4", chunks=(256, FLOATS))
        flat = file.create_dataset("flat", shape, "f4")
        for i in range(0, ROWS, 10_000):
            x = rng.standard_normal((10_000, FLOATS), dtype=np.float32)
            bank.append(PRIOR.sample(10_000, i), x)
            chunked[i : i + 10_000] = flat[i : i + 10_000] = x
    return bank, h5py.File(os.path.join(folder, "plain.h5"))


def rates(times, nbytes):
    """MB/s from seconds; quartiles change places."""
    return {
        k: tuple(nbytes / t / 1e6 for t in (m, h, lo))
        for k, (m, lo, h) in times.items()
    }


def chunks(bank, plain):
    """Every row once, in chunks of 256 rows in random order, into one buffer."""
    buffer = np.empty((256, FLOATS), np.float32)
    order = np.random.default_rng(1).permutation(ROWS // 256)

    def ours():
        for _, values in bank.blocks(256, rng=1):
            x = values["x"]
            np.copyto(buffer[: len(x)], x)

    def theirs(dataset):
        for i in order.tolist():
            dataset.read_direct(buffer, np.s_[256 * i : 256 * i + 256])

    cases = {
        "gradiverse": ours,
        "h5py, chunked": lambda: theirs(plain["chunked"]),
        "h5py, contiguous": lambda: theirs(plain["flat"]),
    }
    times = interleave(cases, seconds=6, least=5)
    report(
        "bank: random chunks of 256 rows of 4 kB, page cache",
        "MB/s",
        rates(times, 4 * FLOATS * ROWS),
        ">= 300 MB/s",
    )


def rows(bank, plain):
    """Batches of 64 random rows: a tenth of an epoch."""
    order = np.random.default_rng(1).permutation(ROWS)[: ROWS // 10]
    x = bank.arrays()["x"]
    buffer = np.empty((64, FLOATS), np.float32)

    def ours():
        for i in range(0, len(order), 64):
            part = order[i : i + 64]
            np.take(x, part, axis=0, out=buffer[: len(part)], mode="clip")

    def theirs():
        for i in range(0, len(order) // 10, 64):
            plain["flat"][np.sort(order[i : i + 64])]

    times = interleave({"gradiverse": ours, "h5py": theirs}, seconds=6, least=5)
    times["h5py"] = tuple(10 * t for t in times["h5py"])
    report(
        "bank: batches of 64 random rows of 4 kB, page cache",
        "MB/s",
        rates(times, 4 * FLOATS * len(order)),
    )


def writing():
    """Batches of 1000 cheap simulations of 100 floats through `simulate`."""
    n, seen = 100_000, [0]

    def simulator(theta, rng):
        return rng.standard_normal((len(theta), 100), dtype=np.float32)

    with tempfile.TemporaryDirectory() as folder:

        def path():
            seen[0] += 1
            return os.path.join(folder, f"{seen[0]}.h5")

        def ours():
            name = path()
            with Bank(name, PRIOR, simulator) as bank:
                bank.simulate(n)
            os.remove(name)

        def theirs():
            name, rng = path(), np.random.default_rng(0)
            with h5py.File(name, "w") as file:
                theta = file.create_dataset("theta", (n, 10), "f8")
                x = file.create_dataset("x", (n, 100), "f4")
                for i in range(0, n, 1000):
                    draws = PRIOR.sample(1000, rng)
                    theta[i : i + 1000] = draws
                    x[i : i + 1000] = simulator(draws, rng)
            os.remove(name)

        cases = {"gradiverse": ours, "h5py": theirs}
        times = interleave(cases, seconds=6, least=5, clock=time.process_time)
    report(
        "bank: cheap simulations of 100 floats, 1000 at once, simulated and stored",
        "us of CPU each",
        scaled(times, 1e6 / n),
        note="h5py: no claims, no status, no log",
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        bank, plain = make(folder)
        chunks(bank, plain)
        rows(bank, plain)
        plain.close()
        bank.close()
    writing()
