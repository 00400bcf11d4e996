"""Compile and link the C sources: incremental, parallel, shared by several callers.

Used by ``setup.py`` (the extensions) and ``tools/run_ctests.py`` (the C tests).
An object is rebuilt when its source, a header it includes (from the compiler's
``-MMD`` file) or its command line changed. Outputs are written beside their target
and renamed, so a running interpreter never sees half a library; one lock per build
folder makes concurrent calls safe.

Environment
-----------
CC, GV_JOBS            compiler; number of parallel compilations
GV_WERROR=1            warnings are errors
GV_SANITIZE=1          -O1 -g with the address and undefined-behaviour sanitizers
GV_BLAS_DIR/GV_BLAS_LIB   another BLAS+LAPACK than scipy-openblas32
GV_FFTW_DIR            prefix that holds include/ and lib/
"""

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"
ENGINE = ("base", "tensor", "kernels", "sim", "graph", "ops", "train")
WARNINGS = "-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wno-psabi"
KERNEL_FLAGS = "-fno-math-errno -fno-trapping-math -ffp-contract=fast"


class BuildError(Exception):
    """A message for the person who builds; shown without a traceback."""


@dataclass
class Library:
    """Where a library's headers and objects are, and how to link it."""

    name: str
    include: list = field(default_factory=list)
    define: list = field(default_factory=list)
    link: list = field(default_factory=list)
    rpath: list = field(default_factory=list)


def enabled(name):
    """Whether the environment variable is set to something else than 0."""
    return os.environ.get(name, "0") not in ("", "0")


def compiler():
    """The C compiler as a list of words."""
    words = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(words[0]) is None and "CC" not in os.environ:
        words = ["gcc"]
    if shutil.which(words[0]) is None:
        raise BuildError(
            f"C compiler '{words[0]}' not found; install one: apt install gcc | "
            "dnf install gcc | xcode-select --install | conda install c-compiler"
        )
    return words


def build_folder(kind="release"):
    """Folder of the objects, one per interpreter and kind of build."""
    kind = "sanitize" if enabled("GV_SANITIZE") else kind
    return ROOT / "build" / f"{kind}-{sys.implementation.cache_tag}"


def sources(folders):
    """All C files below the named folders of csrc, sorted."""
    return sorted(p for d in folders for p in (CSRC / d).rglob("*.c"))


# Libraries -----------------------------------------------------------------


def _links(name, include, link):
    """Whether a program that includes ``include`` links with ``link``."""
    code = f"#include <{include}>\nint main(void) {{ return 0; }}\n"
    command = [*compiler(), "-x", "c", "-", "-o", os.devnull, *name.link]
    command[1:1] = [f"-I{d}" for d in name.include] + link
    result = subprocess.run(command, input=code, capture_output=True, text=True)
    return result.returncode == 0


def _prefix(lib, variable):
    """Add the include and lib folders below the prefix named by a variable."""
    base = Path(os.environ[variable]).expanduser().resolve()
    if not base.is_dir():
        raise BuildError(f"{variable}={base} is not a folder")
    lib.include.append(base / "include")
    folder = next((base / d for d in ("lib", "lib64") if (base / d).is_dir()), base)
    lib.link.append(f"-L{folder}")
    lib.rpath.append(str(folder))


def _pkg_config(lib, modules):
    """Fill include and link from pkg-config; False when it does not know them."""
    tool = os.environ.get("PKG_CONFIG", "pkg-config")
    if shutil.which(tool) is None:
        return False
    words = [tool, "--cflags", "--libs", *modules]
    result = subprocess.run(words, capture_output=True, text=True)
    if result.returncode != 0:
        return False
    for word in shlex.split(result.stdout):
        if word.startswith("-I"):
            lib.include.append(Path(word[2:]))
        elif word.startswith(("-L", "-l", "-Wl,")):
            lib.link.append(word)
    return True


def _system_library(name, variable, modules, header, bare, hint):
    """Find a system library: variable, then pkg-config, then bare -l."""
    lib = Library(name)
    if os.environ.get(variable):
        _prefix(lib, variable)
        lib.link += bare
        if not (lib.include[0] / header).exists():
            raise BuildError(
                f"no include/{header} below {variable}; {name} is in {hint}"
            )
    elif not any(_pkg_config(lib, m) for m in modules):
        lib.link += bare
    if not _links(lib, header, []):
        where = f" in {variable}" if os.environ.get(variable) else ""
        raise BuildError(f"{name} not found{where}; install it: {hint}")
    return lib


def find_fftw():
    """FFTW 3 in double and single precision."""
    return _system_library(
        "FFTW3 (double and single precision)",
        "GV_FFTW_DIR",
        [("fftw3", "fftw3f")],
        "fftw3.h",
        ["-lfftw3", "-lfftw3f"],
        "apt install libfftw3-dev | dnf install fftw-devel | brew install fftw | "
        "conda install -c conda-forge fftw (or set GV_FFTW_DIR)",
    )


def find_blas(folder=None):
    """BLAS and LAPACK: the PyPI wheel, or what GV_BLAS_DIR and GV_BLAS_LIB name.

    The wheel's symbols carry the prefix ``scipy_``, passed on as GV_BLAS_PREFIX. Its
    library is reached as a neighbour in site-packages and, for a result that stays in
    ``folder`` of this tree, by the path from there to the active environment.
    """
    directory, name = os.environ.get("GV_BLAS_DIR"), os.environ.get("GV_BLAS_LIB")
    if directory or name:
        lib = Library("BLAS")
        if directory:
            _prefix(lib, "GV_BLAS_DIR")
        lib.link += [f"-l{n}" for n in (name or "openblas").split(",")]
        if not _links(lib, "stddef.h", []):
            raise BuildError(
                f"BLAS '{name or 'openblas'}' not found in {directory or 'the system'};"
                " set GV_BLAS_DIR (prefix) and GV_BLAS_LIB (names, comma separated)"
            )
        return lib
    try:
        import scipy_openblas32 as wheel
    except ImportError:
        raise BuildError(
            "OpenBLAS not found; install it: pip install scipy-openblas32 "
            "(or name another with GV_BLAS_DIR and GV_BLAS_LIB)"
        ) from None
    lib = Library("OpenBLAS", include=[Path(wheel.get_include_dir())])
    lib.define = ["-DGV_BLAS_PREFIX=scipy_"]
    lib.link = [f"-L{wheel.get_lib_dir()}", f"-l{wheel.get_library()}"]
    tail = Path("scipy_openblas32") / "lib"
    lib.rpath = [f"{origin()}/../{tail}"]
    if folder is not None:
        site = Path(sysconfig.get_path("platlib")) / tail
        if not site.is_dir():
            site = Path(wheel.get_lib_dir())
        lib.rpath.append(f"{origin()}/{os.path.relpath(site, folder)}")
    return lib


def origin():
    """The linker's word for 'the folder of this library'."""
    return "@loader_path" if sys.platform == "darwin" else "$ORIGIN"


# Compiling and linking -----------------------------------------------------


class Builder:
    """Compiles sources into a folder of objects and links them.

    Parameters
    ----------
    libraries : list of Library
        What the sources include and are linked with.
    kind : {"release", "wheel"}
        Builds whose headers live in a temporary environment keep their objects apart.
    """

    def __init__(self, libraries, kind="release"):
        import numpy

        self.cc = compiler()
        self.folder = build_folder(kind)
        self.libraries = libraries
        self.flags = ["-std=gnu11", *self._optimise(), *KERNEL_FLAGS.split()]
        self.flags += ["-fvisibility=hidden", "-fPIC", "-pthread", *WARNINGS.split()]
        self.flags += ["-Werror"] if enabled("GV_WERROR") else []
        self.flags += [f"-I{CSRC}"]
        self.system = [d for lib in libraries for d in lib.include]
        self.system += [Path(sysconfig.get_path("include")), numpy.get_include()]
        self.flags += [w for d in self.system for w in ("-isystem", str(d))]
        self.flags += [d for lib in libraries for d in lib.define]
        self.jobs = int(os.environ.get("GV_JOBS", os.cpu_count() or 1))

    @staticmethod
    def _optimise():
        x86 = platform.machine().lower() in ("x86_64", "amd64")
        level = ["-march=x86-64-v2"] if x86 else []
        if enabled("GV_SANITIZE"):
            sanitize = "-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined"
            return level + sanitize.split() + ["-fno-sanitize-recover=undefined"]
        return [*level, "-O3"]

    @contextlib.contextmanager
    def lock(self):
        """Exclusive use of the build folder, between processes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / ".lock", "w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def compile(self, files):
        """Bring the objects of ``files`` up to date; return their paths.

        Raises
        ------
        BuildError
            If the compiler refuses a file; its messages have been shown.
        """
        objects = [self._object(f) for f in files]
        work = [
            (source, target)
            for source, target in zip(files, objects, strict=True)
            if not self._current(target, self._command(source, target))
        ]
        with ThreadPoolExecutor(max(1, self.jobs)) as pool:
            bad = [s for s, ok in pool.map(self._compile_one, work) if not ok]
        if bad:
            names = ", ".join(str(s.relative_to(ROOT)) for s in bad)
            raise BuildError(f"these files do not compile: {names}")
        return objects

    def link(self, objects, target, shared=True):
        """Link ``objects`` into a shared library or a program, if out of date."""
        kind = ["-shared", "-Wl,-z,now", "-Wl,--as-needed"] if shared else []
        if sys.platform == "darwin" and shared:
            kind = ["-bundle", "-undefined", "dynamic_lookup"]
        partial = target.with_name(f".{target.name}.{os.getpid()}")
        command = [*self.cc, *kind, "-pthread", "-o", str(partial)]
        if enabled("GV_SANITIZE"):
            command.append("-fsanitize=address,undefined")
        command += map(str, objects)
        for lib in self.libraries:
            command += lib.link + [f"-Wl,-rpath,{path}" for path in lib.rpath]
        command.append("-lm")
        key = self._digest([w for w in command if w != str(partial)])
        stamp = self.folder / f"{target.name}.link"
        newest = max((o.stat().st_mtime_ns for o in objects), default=0)
        if target.exists() and stamp.exists() and stamp.read_text() == key:
            if target.stat().st_mtime_ns >= newest:
                return False
        target.parent.mkdir(parents=True, exist_ok=True)
        print(f"link {target.name} ({len(objects)} objects)", flush=True)
        if subprocess.run(command).returncode != 0:
            partial.unlink(missing_ok=True)
            raise BuildError(f"linking {target.name} failed")
        if shared and (missing := self._undefined(partial)):
            partial.unlink()
            raise BuildError(f"{target.name}: no definition of {', '.join(missing)}")
        os.replace(partial, target)
        stamp.write_text(key)
        return True

    def archive(self, objects, name):
        """Collect ``objects`` in a static library, if out of date; return its path."""
        target = self.folder / name
        listing = target.with_suffix(".list")
        content = "\n".join(map(str, objects))
        newest = max((o.stat().st_mtime_ns for o in objects), default=0)
        if target.exists() and listing.exists() and listing.read_text() == content:
            if target.stat().st_mtime_ns >= newest:
                return target
        target.unlink(missing_ok=True)
        subprocess.run(["ar", "rcs", str(target), *map(str, objects)], check=True)
        listing.write_text(content)
        return target

    @staticmethod
    def _undefined(library):
        """Names of ours that a shared library wants and nothing defines."""
        words = ["nm", "-u", str(library)]
        listing = subprocess.run(words, capture_output=True, text=True).stdout
        return sorted(set(re.findall(r"\bU _?(gv_\w+)", listing)))

    def _object(self, source):
        return self.folder / source.relative_to(ROOT).with_suffix(".o")

    def _command(self, source, target):
        depend = str(target.with_suffix(".d"))
        words = [*self.cc, *self.flags, "-MMD", "-MF", depend]
        return [*words, "-c", str(source), "-o", str(target)]

    def _digest(self, words):
        version = subprocess.run(
            [*self.cc, "--version"], capture_output=True, text=True
        ).stdout
        return hashlib.sha256("\0".join([version, *words]).encode()).hexdigest()

    def _current(self, target, command):
        stamp, depend = target.with_suffix(".cmd"), target.with_suffix(".d")
        if not (target.exists() and stamp.exists() and depend.exists()):
            return False
        if stamp.read_text() != " ".join(command):
            return False
        built = target.stat().st_mtime_ns
        text = depend.read_text().replace("\\\n", " ").partition(":")[2]
        for name in shlex.split(text):
            path = Path(name)
            if not path.exists() or path.stat().st_mtime_ns > built:
                return False
        return True

    def _compile_one(self, item):
        source, target = item
        target.parent.mkdir(parents=True, exist_ok=True)
        target.with_suffix(".cmd").unlink(missing_ok=True)
        command = self._command(source, target)
        before = source.stat().st_mtime_ns
        result = subprocess.run(command, capture_output=True, text=True)
        label = f"cc {source.relative_to(ROOT)}\n"
        sys.stdout.write(label + result.stdout + result.stderr)
        sys.stdout.flush()
        if result.returncode != 0:
            return source, False
        if source.stat().st_mtime_ns == before:
            target.with_suffix(".cmd").write_text(" ".join(command))
        return source, True
