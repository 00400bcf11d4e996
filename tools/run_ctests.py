#!/usr/bin/env python3
"""Build and run the C tests: every csrc/tests/*.c is one stand-alone program.

Each program is linked against a library of all objects but the Python module's; it
passes when it exits with 0. ``GV_SANITIZE=1`` builds and runs them sanitised,
``--valgrind`` runs them under valgrind (memory errors and definite leaks fail).

usage: tools/run_ctests.py [--valgrind] [NAME ...]
"""

import argparse
import os
import shutil
import subprocess
import sys
import time

import buildc

VALGRIND = (
    "valgrind --quiet --error-exitcode=99 --leak-check=full "
    "--errors-for-leak-kinds=definite --show-leak-kinds=definite"
).split()
TIMEOUT = 600


def build(names):
    """Build the programs (all, or those named); return their paths."""
    files = sorted((buildc.CSRC / "tests").glob("*.c"))
    files = [f for f in files if not names or f.stem in names]
    folder = buildc.build_folder() / "ctests"
    libraries = [buildc.find_blas(folder), buildc.find_fftw()]
    builder = buildc.Builder(libraries)
    with builder.lock():
        objects = builder.compile(buildc.sources(buildc.ENGINE))
        engine = builder.archive(objects, "libgradiverse.a")
        programs = []
        for source, test in zip(files, builder.compile(files), strict=True):
            program = folder / source.stem
            builder.link([test, engine], program, shared=False)
            programs.append(program)
    return programs


def run(program, prefix):
    """Run one program; show its output on failure; return whether it passed."""
    env = {"ASAN_OPTIONS": "detect_leaks=1", "OPENBLAS_NUM_THREADS": "1", **os.environ}
    start = time.monotonic()
    try:
        result = subprocess.run(
            [*prefix, str(program)],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT,
        )
        code, output = result.returncode, result.stdout
    except subprocess.TimeoutExpired as error:
        code, output = f"no end after {TIMEOUT} s", error.stdout or b""
    seconds = time.monotonic() - start
    print(f"{'ok  ' if code == 0 else 'FAIL'} {program.name} ({seconds:.1f} s)")
    if code != 0:
        print(output.decode(errors="replace"))
        print(f"{program.name}: exit status {code}", flush=True)
    return code == 0


def main():
    """Build, run and count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--valgrind", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    prefix = VALGRIND if options.valgrind else []
    if prefix and shutil.which("valgrind") is None:
        sys.exit("run_ctests: valgrind is not installed")
    try:
        programs = build(options.names)
    except buildc.BuildError as error:
        sys.exit(f"run_ctests: {error}")
    if not programs:
        sys.exit("run_ctests: no such C test")
    passed = sum([run(program, prefix) for program in programs])
    print(f"C tests: {passed} of {len(programs)} programs passed", flush=True)
    return 0 if passed == len(programs) else 1


if __name__ == "__main__":
    sys.exit(main())
