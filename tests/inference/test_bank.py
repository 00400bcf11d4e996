"""Banks: contents, growth, failed rows, executors, views, errors."""

import concurrent.futures
import errno
import itertools
import multiprocessing
import os
import pickle

import h5py
import numpy as np
import pytest

from gradiverse.inference import Bank, Prior

from . import bank_case as case


@pytest.fixture
def path(tmp_path):
    return tmp_path / "bank.h5"


@pytest.mark.smoke
def test_holds_what_the_seeds_say(path):
    bank = Bank(path, case.PRIOR, case.simulate)
    assert len(bank) == 0 and bank.theta[:].shape == (0, 2)
    bank.simulate(2500, rng=5, batch_size=1000)
    theta, x = case.expected(2500, 1000, seed=5)
    assert len(bank) == 2500 and np.shape(bank.x) == (2500, 2)
    assert np.array_equal(bank.theta[:], theta) and np.array_equal(bank.x[:], x)
    assert (bank.status[:] == 2).all()
    assert bank.count == {"free": 0, "reserved": 0, "valid": 2500, "failed": 0}
    bank.simulate(2500, rng=6)
    assert len(bank) == 2500
    assert sorted(os.listdir(path.parent)) == ["bank.h5"]


@pytest.mark.smoke
def test_growth_in_several_calls(path):
    """What is there stays; arrays taken before stay usable; one mapping spans all."""
    with Bank(path, case.PRIOR, case.simulate) as bank:
        before = []
        for n in (7, 5000, 5000, 30000, 200000):
            bank.simulate(n, batch_size=50000)
            for old in before:
                assert np.array_equal(old, bank.arrays()["x"][: len(old)])
            before.append(bank.arrays()["x"])
        assert [len(b) for b in before] == [7, 5000, 5000, 30000, 200000]
        bounds = (0, 7, 5000, 30000, 200000)
        x = np.concatenate(
            [case.batches(a, b, 50000)[1] for a, b in itertools.pairwise(bounds)]
        )
        assert np.array_equal(bank.arrays()["x"], x)
        assert len(bank._file.layout.columns["x"].pieces()) > 1
        assert not before[-1].flags.writeable and before[-1].flags.c_contiguous
    with h5py.File(path) as file:  # and other programs see one dataset
        assert np.array_equal(file["x"][:], x) and len(file["status"]) == 200000
        assert np.array_equal(file["x"][123456], x[123456])


@pytest.mark.parametrize("kind", ["none", "threads", "processes"])
def test_executors_give_the_same_bytes(path, kind):
    theta, x = case.expected(3000, 130)
    pools = {
        "none": lambda: None,
        "threads": lambda: concurrent.futures.ThreadPoolExecutor(3),
        "processes": lambda: concurrent.futures.ProcessPoolExecutor(
            2, mp_context=multiprocessing.get_context("fork")
        ),
    }
    pool = pools[kind]()
    bank = Bank(path, case.PRIOR, case.simulate)
    bank.simulate(3000, executor=pool, batch_size=130)
    if pool is not None:
        pool.shutdown()
    assert np.array_equal(bank.theta[:], theta) and np.array_equal(bank.x[:], x)


def test_any_executor_with_submit(path):
    """mpi4py and dask: futures with add_done_callback, their own counts of workers."""

    class Client:
        """The part of dask's client that a bank uses."""

        def __init__(self):
            self.pool = concurrent.futures.ThreadPoolExecutor(2)

        def nthreads(self):
            return {"tcp://a": 1, "tcp://b": 1}

        def submit(self, function, *args, pure=True):
            assert pure is False
            return self.pool.submit(function, *args)

    bank = Bank(path, case.PRIOR, case.simulate)
    bank.simulate(1000, executor=Client(), batch_size=130)
    assert np.array_equal(bank.x[:], case.expected(1000, 130)[1])
    with pytest.raises(TypeError, match="submit"):
        bank.simulate(2000, executor=3)

    class Promises:
        """An executor whose futures are not those of concurrent.futures."""

        def submit(self, function, *args):
            return object()

    with pytest.raises(TypeError, match=r"object without add_done_callback\(\)"):
        bank.simulate(2000, executor=Promises())
    assert bank.count["reserved"] == 0


@pytest.mark.smoke
def test_failed_rows_are_kept_with_message(path):
    """Traps 18 and section 2.4: theta and message stay, x is never filled with 0."""
    bank = Bank(path, case.PRIOR, case.fails)
    bank.simulate(1000, batch_size=100)
    theta, status = bank.theta[:], bank.status[:]
    assert len(bank) == 1000 and len(theta) == 1000
    assert np.array_equal(status == 3, theta[:, 0] > 0.8)
    assert np.array_equal(bank.rows(), np.flatnonzero(theta[:, 0] <= 0.8))
    assert np.array_equal(bank.rows(valid=False), np.arange(1000))
    failures = bank.failures()
    assert list(failures.columns) == ["row", "message", "a", "b"]
    raised = (failures.a <= 0.9).to_numpy()
    messages = failures.message.to_numpy()
    assert set(messages[raised]) == {"FloatingPointError: no convergence"}
    assert set(messages[~raised]) == {"not finite"}
    x = bank.x[:]
    assert x.dtype == np.float32 and np.isnan(x[status == 3, 1]).all()
    assert np.isfinite(x[status == 2]).all()
    assert np.isfinite(x[theta[:, 0] > 0.9, 0]).all()  # what it gave is kept
    again = Bank(path)
    assert len(again.failures()) == len(failures) == bank.count["failed"]


def test_rows_of_a_failing_batch_do_not_depend_on_the_executor(path):
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        other = Bank(path.parent / "other.h5", case.PRIOR, case.fails)
        other.simulate(700, batch_size=100, executor=pool)
    bank = Bank(path, case.PRIOR, case.fails)
    bank.simulate(700, batch_size=100)
    for a, b in ((bank.theta, other.theta), (bank.x, other.x)):
        assert a[:].tobytes() == b[:].tobytes()


def test_a_simulator_that_cannot_work_leaves_nothing(path):
    def broken(theta, rng):
        return undefined_name  # noqa: F821

    bank = Bank(path, case.PRIOR, broken)
    for n in (10, 5000):
        with pytest.raises(RuntimeError, match=r"NameError.*nothing of this call"):
            bank.simulate(n, batch_size=50)
        assert bank.count["reserved"] == bank.count["failed"] == len(bank) == 0
    bank.simulator = case.simulate
    bank.simulate(5000, batch_size=1000)
    assert np.array_equal(bank.x[:], case.expected(5000, 1000)[1])


def test_many_different_messages(path):
    """A bank keeps 1000 of them in full and says so about the rest."""

    def chatty(theta, rng):
        if len(theta) == 1:
            raise ValueError(f"bad parameter {theta[0, 0]!r}")
        if rng.random() < 2:
            raise ValueError("whole batch")
        return theta

    def first(theta, rng):
        return theta

    bank = Bank(path, case.PRIOR, first)
    bank.simulate(1)
    bank.simulator = lambda t, rng: t if t[0, 0] < 0.05 else chatty(t, rng)
    bank.simulate(1500, batch_size=300)
    messages = bank.failures().message
    kept = messages.str.startswith("ValueError: bad parameter")
    assert kept.sum() == 1000 and len(messages) > 1300
    assert set(messages[~kept]) == {"(more kinds of messages than a bank keeps)"}


def test_dict_of_arrays_and_types(path):
    bank = Bank(path, case.PRIOR, case.several, units={"image": "K"})
    bank.simulate(300, batch_size=64)
    x = bank.x
    assert set(x) == {"image", "count", "flag"}
    assert x["image"][:].dtype == np.float32 and x["image"].shape == (300, 3, 5)
    assert x["count"].dtype == np.int64 and x["flag"].dtype == bool
    assert np.array_equal(x["flag"][:], bank.theta[:, 1] > 0)
    arrays = bank.arrays()["x"]
    assert np.array_equal(arrays["image"], x["image"][:])
    with h5py.File(path) as file:
        assert file["x/image"].attrs["units"] == "K"
        assert np.array_equal(file["x/flag"][:], x["flag"][:])
        assert h5py.check_enum_dtype(file["status"].dtype)["failed"] == 3


def test_views_slice_like_arrays(path):
    """With and without unfinished rows between the finished ones."""
    bank = Bank(path, case.PRIOR, case.several)
    bank.simulate(200, batch_size=50)
    for gap in (False, True):
        if gap:  # as a killed writer leaves it
            with h5py.File(path, "r+") as file:
                file["status"][40:60] = 1
            bank = Bank(path)
        done = np.r_[:40, 60:200] if gap else np.arange(200)
        image = bank.arrays()["x"]["image"][done]
        view = bank.x["image"]
        assert len(bank) == len(view) == len(done)
        mask = np.arange(len(done)) % 3 == 0
        for key in (
            slice(None),
            slice(10, 90, 7),
            5,
            -1,
            [3, 50, 3],
            mask,
            (slice(30, 50), 1),
            (3, 2, 1),
            ([3, 50], 1, slice(1, 3)),
            ([3, 50], [0, 2], [1, 4]),
            Ellipsis,
            (Ellipsis, 0),
            None,
        ):
            got = view[key]
            assert np.array_equal(got, image[key]), key
            assert np.shape(got) == np.shape(image[key])
        assert np.array_equal(np.asarray(view), image)
        assert np.array_equal(bank.rows(), done)
        assert np.array_equal(view + 1, image + 1)
        assert np.array_equal(bank.status == Bank.VALID, np.ones(len(done), bool))
        copy = view[:]
        copy[:] = 0
        assert np.array_equal(view[:], image)


def test_units_are_checked(path):
    """Names that no array has, and units that are not those of the file."""
    bank = Bank(path, case.PRIOR, case.several, units={"image": "K", "foo": "m"})
    with pytest.raises(ValueError, match=r"given for 'foo'.*image, count, flag"):
        bank.simulate(10)
    assert len(bank) == 0
    bank = Bank(path, case.PRIOR, case.several, units={"image": "K"})
    bank.simulate(10)
    assert bank.units == {"image": "K", "count": "", "flag": ""}
    for units, match in (
        ({"image": "mK"}, "holds 'image' in units of 'K', not 'mK'"),
        ({"imgae": "K"}, "given for 'imgae'"),
        ({"count": "photons"}, "holds 'count' in units of ''"),
    ):
        with pytest.raises(ValueError, match=match):
            Bank(path, units=units)
    assert Bank(path, units={"image": "K"}).units == Bank(path).units
    late = Bank(path.parent / "late.h5", case.PRIOR, case.several, {"image": "mK"})
    Bank(late.path, None, case.several, {"image": "K"}).simulate(5)
    with pytest.raises(ValueError, match="not 'mK'"):
        late.simulate(10)
    with pytest.raises(ValueError, match="given for 'x'"):
        Bank(path.parent / "b.h5", case.PRIOR, units={"x": "K"}).append(
            [[0.5, 0.0]], {"image": [1.0]}
        )


def test_closed(path):
    bank = Bank(path, case.PRIOR, case.simulate)
    bank.simulate(10)
    kept = bank.arrays()["x"]
    bank.close()
    for use in (
        lambda: len(bank),
        lambda: bank.x,
        lambda: bank.theta[:],
        lambda: bank.simulate(20),
        lambda: bank.append([[0.5, 0.0]], [[1.0, 2.0]]),
        lambda: bank.export(path.parent / "new.h5"),
        bank.arrays,
        bank.calls,
        bank.failures,
    ):
        with pytest.raises(ValueError, match=f"the bank {path} is closed"):
            use()
    assert "closed" in repr(bank) and len(kept) == 10
    assert sorted(os.listdir(path.parent)) == ["bank.h5"]


@pytest.mark.parametrize("size", [0, -1])
def test_blocks_need_a_size(path, size):
    with pytest.raises(ValueError, match="size must be at least 1"):
        Bank(path, case.PRIOR).blocks(size)


def test_blocks_cover_the_bank_once(path):
    bank = Bank(path, case.PRIOR, case.fails)
    bank.simulate(1000, batch_size=100)
    rows, x = zip(*((r, v["x"]) for r, v in bank.blocks(64, rng=0)), strict=True)
    assert not np.array_equal(np.concatenate(rows), bank.rows())
    order = np.argsort(np.concatenate(rows))
    assert np.array_equal(np.concatenate(rows)[order], bank.rows())
    assert np.array_equal(np.concatenate(x)[order], bank.arrays()["x"][bank.rows()])


def test_boxes_of_the_prior(path):
    bank = Bank(path, case.PRIOR, case.simulate)
    bank.simulate(100)
    box = case.PRIOR.truncate([(0.2, 0.3), (0.0, 0.1)])
    bank.simulate(300, prior=box)
    assert box.contains(bank.theta[100:]).all()
    assert bank.calls().bounds.tolist() == [None, [[0.2, 0.3], [0.0, 0.1]]]
    again = Bank(path)
    assert again.prior == case.PRIOR
    with pytest.raises(ValueError, match="Prior of a, b"):
        bank.simulate(400, prior=Prior(c=(0.0, 1.0)))


@pytest.mark.parametrize("processes", [False, True])
def test_given_parameters_come_in_their_order(path, processes):
    bank = Bank(path, case.PRIOR, case.simulate)
    bank.simulate(100)
    theta = case.PRIOR.sample(230, 3)
    if processes:
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(2, context) as executor:
            bank.simulate(330, batch_size=40, theta=theta, executor=executor)
    else:
        bank.simulate(330, batch_size=40, theta=theta)
    assert np.array_equal(bank.theta[100:], theta)
    assert abs(bank.x[100:] - theta).max() < 0.1 * 6
    assert bank.calls()["theta"].tolist()[1:] == ["given"]


def test_given_parameters_after_an_interruption(path):
    """Rows that are finished already are not simulated again, wherever they are."""

    def stops(theta, rng):
        if theta[0, 0] == given[80, 0]:
            raise KeyboardInterrupt
        return case.simulate(theta, rng)

    given = case.PRIOR.sample(200, 3)
    bank = Bank(path, case.PRIOR, stops)
    with (
        pytest.raises(KeyboardInterrupt),
        concurrent.futures.ThreadPoolExecutor(3) as executor,
    ):
        bank.simulate(200, batch_size=40, theta=given, executor=executor)
    before = bank.rows()
    assert len(before) < 200
    bank.simulator = case.simulate
    bank.simulate(200, batch_size=40, theta=given)
    assert np.array_equal(bank.theta[:], given) and len(bank) == 200


def test_given_parameters_that_do_not_fit(path):
    bank = Bank(path, case.PRIOR, case.simulate)
    bank.simulate(100)
    for match, theta in (
        (
            "theta has 10 rows, but 50 of the bank's are missing to 150",
            np.zeros((10, 2)),
        ),
        ("theta has 151 rows", np.zeros((151, 2))),
        (r"must have shape \(n, 2\)", np.zeros((50, 3))),
        ("outside the prior", np.full((50, 2), 7.0)),
    ):
        with pytest.raises(ValueError, match=match):
            bank.simulate(150, theta=theta)
    assert len(bank) == 100


def test_append_export_and_pickle(path):
    bank = Bank(path, case.PRIOR, case.fails)
    bank.simulate(500, batch_size=50)
    theta, x = bank.theta[:], bank.x[:]
    bank.append(theta[:100], x[:100])
    assert len(bank) == 600 and np.array_equal(bank.theta[500:], theta[:100])
    assert np.array_equal(bank.status[500:], bank.status[:100])
    (path.parent / "small.h5.part").write_text("left by a killed export")
    small = bank.export(path.parent / "small.h5")
    assert sorted(os.listdir(path.parent)) == ["bank.h5", "small.h5"]
    rows = bank.rows()
    assert len(small) == len(rows) and small.prior == bank.prior
    assert np.array_equal(small.x[:], bank.arrays()["x"][rows])
    whole = bank.export(path.parent / "whole.h5", valid=False)
    assert np.array_equal(whole.status[:], bank.status[:])
    with pytest.raises(ValueError, match="exists"):
        bank.export(path.parent / "small.h5")
    copy = pickle.loads(pickle.dumps(bank))
    copy.simulate(650)
    assert len(copy) == len(bank) == 650
    with pytest.raises(ValueError, match="outside the prior"):
        bank.append([[3.0, 0.0]], [[1.0, 2.0]])
    with pytest.raises(ValueError, match="holds x float32"):
        bank.append(theta[:2], np.zeros((2, 3)))
    assert len(bank) == 650


def test_rows_behind_a_gap_count(path):
    """After an interrupted call: n rows in all, wherever the finished ones are."""

    def stops(theta, rng):
        raise KeyboardInterrupt

    bank = Bank(path, case.PRIOR, case.simulate)
    bank.simulate(100)
    bank.simulator = stops
    with pytest.raises(KeyboardInterrupt):
        bank.simulate(200)
    bank.append(case.PRIOR.sample(50, 0), np.zeros((50, 2)))
    assert bank.count["free"] == 100 and len(bank) == 150
    bank.simulator = case.simulate
    for n in (150, 151, 180, 250, 251, 400):
        bank.simulate(n)
        assert len(bank) == n
    assert bank.count == {"free": 0, "reserved": 0, "valid": 400, "failed": 0}


def test_bytes_of_another_order(path):
    """Training reads rows where they are, so they are stored as this machine's."""
    bank = Bank(path, case.PRIOR, lambda theta, rng: theta.astype(">f4"))
    bank.simulate(10)
    assert bank.x.dtype == np.dtype("f4") and bank.arrays()["x"].dtype.isnative
    assert np.array_equal(bank.x[:], bank.theta[:].astype("f4"))


def test_the_simulator_cannot_change_theta(path):
    def spoils(theta, rng):
        x = theta.copy()
        theta[:] = -5
        return x

    bank = Bank(path, case.PRIOR, spoils)
    bank.simulate(50)
    assert np.array_equal(bank.theta[:], bank.x[:])


@pytest.mark.parametrize(
    "result, message",
    [
        (lambda t: t[:-1], "first axis"),
        (lambda t: 1.0, "first axis"),
        (lambda t: t + 1j, "complex"),
        (lambda t: t.astype(str), "real numbers"),
        (lambda t: {}, "empty dict"),
        (lambda t: {"a/b": t}, "without '/'"),
        (lambda t: np.zeros((len(t), 0)), "0 bytes"),
        (lambda t: t if len(t) > 5 else t[:, :1], "holds x float64"),
    ],
)
def test_results_that_do_not_fit(path, result, message):
    calls = []

    def simulator(theta, rng):
        calls.append(len(theta))
        return result(theta)

    for pool in (None, concurrent.futures.ThreadPoolExecutor(1)):
        bank = Bank(path, case.PRIOR, simulator)
        calls.clear()
        with pytest.raises((ValueError, TypeError), match=message):
            bank.simulate(23, batch_size=10, executor=pool)
        assert bank.count["reserved"] == 0 and set(calls) <= {10, 3}
        os.remove(path)


def test_other_files_and_other_priors(path, tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("no bank")
    with pytest.raises(ValueError, match="not an HDF5 file"):
        Bank(text, case.PRIOR, case.simulate)
    assert text.read_text() == "no bank"
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.zeros(3)
    with pytest.raises(ValueError, match="no bank of simulations"):
        Bank(tmp_path / "other.h5", case.PRIOR, case.simulate)
    with pytest.raises(FileNotFoundError, match="give a prior"):
        Bank(path)
    with pytest.raises(OSError, match="cannot make"):
        Bank(tmp_path / "no" / "bank.h5", case.PRIOR)
    bank = Bank(path, case.PRIOR, case.simulate)
    bank.simulate(100)
    with pytest.raises(ValueError, match="another prior"):
        Bank(path, Prior(a=(0.0, 1.0), b=(-1.0, 1.5)))
    data = path.read_bytes()
    cut = tmp_path / "cut.h5"
    for size in (len(data) - 10, 30, 0):
        cut.write_bytes(data[:size])
        with pytest.raises(ValueError, match="truncated"):
            Bank(cut, case.PRIOR)
    with pytest.raises(ValueError, match="give the bank a simulator"):
        Bank(path).simulate(200)
    with pytest.raises(TypeError, match="integer"):
        bank.simulate(1e3)
    with pytest.raises(ValueError, match="batch_size"):
        bank.simulate(200, batch_size=0)
    with pytest.raises(TypeError, match="rng"):
        bank.simulate(200, rng=None)


def test_no_permission(path, monkeypatch):
    """Root may write anything, so the refusal of the system is acted."""
    bank = Bank(path, case.PRIOR, case.simulate)
    bank.simulate(100)
    os_open = os.open

    def refuse(name, flags, *mode):
        if flags & os.O_RDWR and str(name) == str(path):
            raise PermissionError(errno.EACCES, "Permission denied", name)
        return os_open(name, flags, *mode)

    monkeypatch.setattr(os, "open", refuse)
    reader = Bank(path, case.PRIOR, case.simulate)
    assert len(reader) == 100
    with pytest.raises(PermissionError, match="cannot write to the bank"):
        reader.simulate(200)
    assert len(reader) == 100 and not os.path.exists(str(path) + ".lock")


@pytest.mark.parametrize("call", ["pwrite", "posix_fallocate"])
def test_full_disk(path, monkeypatch, call):
    """Whichever write finds the disk full, what was stored stays, and later goes on."""
    real = getattr(os, call)
    for allowed in range(60):
        bank = Bank(path, case.PRIOR, case.simulate)
        before = len(bank)
        left = [allowed]

        def full(*args, left=left):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*args)

        monkeypatch.setattr(os, call, full)
        try:
            bank.simulate(before + 20000, batch_size=10000)
        except OSError as error:
            assert "no room left" in str(error) and error.errno == errno.ENOSPC
        monkeypatch.setattr(os, call, real)
        with h5py.File(path) as file:
            assert (file["status"][:before] == 2).all()
        again = Bank(path, case.PRIOR, case.simulate)
        assert len(again) >= before
        if len(again) == 20000:
            assert allowed >= 5
            return
        again.simulate(20000, batch_size=10000)
        assert np.array_equal(again.x[:], case.expected(20000, 10000)[1])
        os.remove(path)
    raise AssertionError("the disk never had room enough")


def test_open_in_another_program(path):
    """h5py may read a bank at any time, and write when no bank writer does."""
    bank = Bank(path, case.PRIOR, case.simulate)
    bank.simulate(100)
    with h5py.File(path, "r+") as file:
        file.attrs["note"] = "mine"
        file["x"].attrs["kind"] = "noisy"
        file["extra/table"] = np.arange(10)
        with pytest.raises(ValueError, match="open for writing in another program"):
            bank.simulate(200)

    def look(theta, rng):
        with h5py.File(path, "r") as file:
            assert len(file["theta"]) >= 100
        with pytest.raises(OSError):
            h5py.File(path, "r+")
        return case.simulate(theta, rng)

    bank.simulator = look
    bank.simulate(30000, batch_size=10000)
    assert len(bank) == 30000
    with h5py.File(path, "r+") as file:  # what the other program added is still there
        assert file.attrs["note"] == "mine" and file["x"].attrs["kind"] == "noisy"
        assert np.array_equal(file["extra/table"][:], np.arange(10))


def test_rewritten_by_another_program(path):
    """A repacked copy can be read and exported, not written in place."""
    bank = Bank(path, case.PRIOR, case.simulate)
    bank.simulate(3000)
    copy = path.parent / "copy.h5"
    with h5py.File(path) as old, h5py.File(copy, "w") as new:
        for name in old:
            old.copy(name, new)
        new.attrs.update(old.attrs)
    other = Bank(copy, case.PRIOR, case.simulate)
    assert len(other) == 3000 and np.array_equal(other.x[:], bank.x[:])
    with pytest.raises(ValueError, match="export"):
        other.simulate(4000)
    again = other.export(path.parent / "again.h5")
    again.simulate(3500)
    assert np.array_equal(again.theta[:3000], bank.theta[:])
    with h5py.File(copy, "w") as new:  # compressed: only for h5py
        for name in ("theta", "x", "status"):
            new.create_dataset(name, data=bank._array(name), compression="gzip")
        new.attrs.update(format="gradiverse bank", format_version=1)
    with pytest.raises(ValueError, match="rewritten by another program"):
        Bank(copy)
    with h5py.File(copy, "w") as new:
        new.attrs.update(format="gradiverse bank", format_version=99, version="9.9")
    with pytest.raises(ValueError, match="upgrade gradiverse"):
        Bank(copy)
