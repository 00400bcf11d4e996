"""Room for large runs: what is left, and the refusal."""

import re

import numpy as np
import pytest

import gradiverse as gv
from gradiverse import _memory

GIB = 2**30


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with so many bytes left, and containers in folders of their own."""
    groups = tuple((tmp_path / str(k), *g[1:]) for k, g in enumerate(_memory._GROUPS))
    monkeypatch.setattr(_memory, "_GROUPS", groups)
    monkeypatch.setattr(_memory, "_MEMINFO", tmp_path / "meminfo")

    def write(left=None, **groups_given):
        if left is not None:
            text = f"MemTotal: 1 kB\nMemAvailable:   {left // 1024} kB\nBuffers: 7 kB\n"
            (tmp_path / "meminfo").write_text(text)
        for name, (limit, use, spare) in groups_given.items():
            folder, *files = groups["version_2 version_1".split().index(name)]
            folder.mkdir()
            (folder / files[0]).write_text(f"{limit}\n")
            (folder / files[1]).write_text(f"{use}\n")
            (folder / "memory.stat").write_text(f"anon 5\n{files[2]} {spare}\nslab 3\n")

    return write


def test_nothing_known_refuses_nothing(machine):
    assert _memory.available() is None
    _memory.check(1 << 60)


def test_what_the_machine_has_left(machine):
    machine(8 * GIB)
    assert _memory.available() == 8 * GIB
    _memory.check(8 * GIB)
    wanted = re.escape("a map needs 10.0 GiB, 8.0 GiB are available")
    with pytest.raises(MemoryError, match=wanted):
        _memory.check(10 * GIB, "a map")


@pytest.mark.parametrize("version", ["version_1", "version_2"])
def test_a_container_has_less(machine, version):
    machine(8 * GIB, **{version: (4 * GIB, 3 * GIB, GIB)})
    assert _memory.available() == 2 * GIB  # what only caches files can be had back
    with pytest.raises(MemoryError, match=r"this run needs 3\.0 GiB, 2\.0 GiB"):
        _memory.check(3 * GIB)


def test_a_container_without_limit_or_over_it(machine):
    machine(8 * GIB, version_2=("max", 3 * GIB, 0), version_1=(2 * GIB, 3 * GIB, 0))
    assert _memory.available() == 0


def test_this_machine():
    left = _memory.available()
    assert left is None or 0 <= left < 1 << 50
    plan = gv.compile(lambda x: np.cumsum(x).sum()).plan(np.zeros(1000))
    assert 8000 <= plan.peak_bytes < 9000
    _memory.check(0)
