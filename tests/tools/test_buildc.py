"""The incremental builder: what it rebuilds, what it refuses, what it reports."""

from pathlib import Path

import pytest

import buildc

HEADER = "double gv_twice(double x);\n"
SOURCES = {
    "base/twice.h": HEADER,
    "base/twice.c": '#include "base/twice.h"\n'
    "double gv_twice(double x) { return 2 * x; }\n",
    "ops/use.c": '#include "base/twice.h"\ndouble gv_four(double x);\n'
    "double gv_four(double x) { return gv_twice(gv_twice(x)); }\n",
    "ops/alone.c": "int gv_alone(void);\nint gv_alone(void) { return 1; }\n",
}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A small source tree in place of ours."""
    for name, text in SOURCES.items():
        path = tmp_path / "csrc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(buildc, "ROOT", tmp_path)
    monkeypatch.setattr(buildc, "CSRC", tmp_path / "csrc")
    for name in ("GV_WERROR", "GV_SANITIZE", "GV_JOBS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def compiled(tree, capsys):
    """Bring the objects up to date; return them and the names that were compiled."""
    builder = buildc.Builder([])
    with builder.lock():
        objects = builder.compile(buildc.sources(("base", "ops")))
    lines = capsys.readouterr().out.splitlines()
    return builder, objects, {Path(w[3:]).name for w in lines if w.startswith("cc ")}


def test_rebuilds_what_an_edit_concerns_and_nothing_else(tree, capsys, monkeypatch):
    assert compiled(tree, capsys)[2] == {"twice.c", "use.c", "alone.c"}
    assert compiled(tree, capsys)[2] == set()
    (tree / "csrc/ops/alone.c").write_text(SOURCES["ops/alone.c"] + "\n")
    assert compiled(tree, capsys)[2] == {"alone.c"}
    (tree / "csrc/base/twice.h").write_text(HEADER + "\n")
    assert compiled(tree, capsys)[2] == {"twice.c", "use.c"}
    monkeypatch.setenv("GV_WERROR", "1")  # another command line
    assert compiled(tree, capsys)[2] == {"twice.c", "use.c", "alone.c"}


def test_a_file_that_does_not_compile_is_named(tree, capsys):
    (tree / "csrc/ops/alone.c").write_text("int gv_alone(void) { return }\n")
    with pytest.raises(buildc.BuildError, match=r"do not compile: csrc/ops/alone\.c"):
        compiled(tree, capsys)
    capsys.readouterr()
    (tree / "csrc/ops/alone.c").write_text(SOURCES["ops/alone.c"])
    assert compiled(tree, capsys)[2] == {"alone.c"}


def test_links_once_and_only_complete_libraries(tree, capsys):
    builder, objects, _ = compiled(tree, capsys)
    target = tree / "lib.so"
    assert builder.link(objects, target)
    assert not builder.link(objects, target)
    before = target.read_bytes()
    without = [o for o in objects if o.stem != "twice"]
    with pytest.raises(buildc.BuildError, match="no definition of gv_twice"):
        builder.link(without, target)
    assert target.read_bytes() == before


def test_archive_follows_its_objects(tree, capsys):
    builder, objects, _ = compiled(tree, capsys)
    library = builder.archive(objects, "libx.a")
    stamp = library.stat().st_mtime_ns
    assert builder.archive(objects, "libx.a").stat().st_mtime_ns == stamp
    smaller = builder.archive(objects[:1], "libx.a")
    assert smaller.stat().st_size > 0
    assert smaller.stat().st_mtime_ns > stamp


def test_missing_library_is_one_line_with_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr(buildc, "_links", lambda *args: False)
    monkeypatch.setenv("GV_FFTW_DIR", str(tmp_path))
    with pytest.raises(buildc.BuildError) as caught:
        buildc.find_fftw()
    message = str(caught.value)
    assert "\n" not in message
    for word in ("libfftw3-dev", "fftw-devel", "brew", "conda", "GV_FFTW_DIR"):
        assert word in message


def test_a_prefix_that_does_not_exist_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("GV_FFTW_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(buildc.BuildError, match=r"GV_FFTW_DIR=.*is not a folder"):
        buildc.find_fftw()


def test_a_prefix_without_the_header_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("GV_FFTW_DIR", str(tmp_path))
    with pytest.raises(buildc.BuildError, match=r"no include/fftw3\.h below"):
        buildc.find_fftw()


def test_blas_is_reached_from_where_the_library_stays(tmp_path, monkeypatch):
    monkeypatch.delenv("GV_BLAS_DIR", raising=False)
    monkeypatch.delenv("GV_BLAS_LIB", raising=False)
    neighbour, inside = buildc.find_blas(tmp_path / "a" / "b").rpath
    assert neighbour == f"{buildc.origin()}/../scipy_openblas32/lib"
    folder = Path(inside.replace(buildc.origin(), str(tmp_path / "a" / "b")))
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert list(folder.resolve().glob("libscipy_openblas*"))
    assert buildc.find_blas().rpath == [neighbour]
