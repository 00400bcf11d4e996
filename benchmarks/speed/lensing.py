"""Convergence maps and their gradients: time, and memory in processes of their own.

    python -m benchmarks.speed.lensing THREADS [--slow]

128^3 particles, force mesh 256^3, 11 stages, sources at z = 1, a map of 2048^2 pixels;
256^3 likewise. Peaks are those of fresh processes (resident set, with the interpreter
and the white noise in it). --slow adds a particle-mesh run (no light cone) of 512^3
particles on a mesh of 512^3.
"""

import json
import os
import subprocess
import sys

from benchmarks.speed.measure import (
    interleave,
    limit_threads,
    report,
    threads_argument,
)

THREADS = threads_argument(2)
limit_threads(THREADS)

import time  # noqa: E402

import numpy as np  # noqa: E402

import gradiverse as gv  # noqa: E402

COSMOLOGY = gv.cosmology.Cosmology()
GIB = 2.0**30


def cone(n, stages=11, mesh_factor=2, pixels=2048, box=256.0):
    """The light cone of the bars."""
    return gv.lensing.Lightcone(
        box=box, shape=(n,) * 3, steps=stages, sources=[1.0], field_of_view=6.2,
        map_shape=(pixels, pixels), mesh_factor=mesh_factor,
    )  # fmt: skip


def gradient_of(light):
    """Compiled value and gradient in the modes of a weighted sum of the map."""

    def loss(modes, weight):
        return (light(modes, COSMOLOGY) * weight).sum()

    return gv.compile(gv.value_and_grad(loss))


def gradient_of_particles(stages, mesh_factor):
    """The same of the mean square displacement of a run without a light cone."""

    def loss(modes):
        p = gv.nbody.evolve(
            modes, COSMOLOGY, box=256.0, steps=stages, mesh_factor=mesh_factor
        )
        return (p.displacements**2).mean()

    return gv.compile(gv.value_and_grad(loss))


def kappa(n, seconds, least):
    """Wall and CPU seconds of a map, and of value and gradient."""
    light = cone(n)
    modes = gv.nbody.white_noise((n,) * 3, rng=1).astype(np.float32)
    weight = np.random.default_rng(0).normal(size=(1, 2048, 2048)).astype(np.float32)
    gradient = gradient_of(light)
    cases = {
        "map": lambda: light(modes, COSMOLOGY),
        "map and gradient": lambda: gradient(modes, weight),
    }
    for clock, unit in ((time.perf_counter, "s"), (time.process_time, "CPU s")):
        values = interleave(cases, seconds=seconds, least=least, warm=1, clock=clock)
        bar = f"map <= {6 if n == 128 else 60} s; map and gradient <= 3.5 x map"
        report(
            f"convergence, {n}^3 particles, mesh factor 2, 11 stages, 2048^2 pixels",
            unit, values, bar if unit == "s" else None, ours="map",
        )  # fmt: skip


def peak(n, mesh_factor, stages, pixels):
    """Peak resident bytes of one gradient in a fresh process, and its seconds."""
    words = [sys.executable, "-m", "benchmarks.speed.lensing", str(THREADS), "--child"]
    words += [str(v) for v in (n, mesh_factor, stages, pixels)]
    out = subprocess.run(
        words, text=True, stdout=subprocess.PIPE, check=True, env=dict(os.environ)
    )
    return json.loads(out.stdout.splitlines()[-1])


def child(n, mesh_factor, stages, pixels):
    """Print the peak of this process after one gradient."""
    modes = gv.nbody.white_noise((n,) * 3, rng=1).astype(np.float32)
    if pixels:
        weight = np.ones((1, pixels, pixels), np.float32)
        gradient = gradient_of(cone(n, stages, mesh_factor, pixels))
        arguments = (modes, weight)
    else:
        gradient = gradient_of_particles(stages, mesh_factor)
        arguments = (modes,)
    start = time.perf_counter()
    value, g = gradient(*arguments)
    seconds = time.perf_counter() - start
    assert np.isfinite(value) and np.isfinite(g).all() and g.any()
    # ru_maxrss would count what the parent had before this program was loaded
    with open("/proc/self/status") as status:
        kib = int(status.read().split("VmHWM:")[1].split()[0])
    print(json.dumps({"bytes": 1024 * kib, "seconds": seconds}))


def memory(slow):
    """Peak memory of gradients."""
    few, many = (peak(128, 2, s, 1024)["bytes"] / GIB for s in (6, 41))
    report(
        "peak memory of a gradient, 128^3, mesh factor 2: 40 steps beside 5", "GiB",
        {"40 steps": many, "5 steps": few}, "growth <= 5 %", ours="40 steps",
    )  # fmt: skip
    found = peak(256, 2, 11, 2048)
    report(
        "peak memory of a gradient, 256^3, mesh factor 2, 11 stages", "GiB",
        {"gradient": found["bytes"] / GIB}, "<= 4", ours="gradient",
        note=f"{found['seconds']:.0f} s with compilation",
    )  # fmt: skip
    if slow:
        found = peak(512, 1, 11, 0)
        report(
            "peak memory of a gradient of particles, 512^3, mesh factor 1, 11 stages",
            "GiB",
            {"gradient": found["bytes"] / GIB}, "<= 12", ours="gradient",
            note=f"{found['seconds']:.0f} s with compilation",
        )  # fmt: skip


if __name__ == "__main__":
    if "--child" in sys.argv:
        child(*(int(v) for v in sys.argv[sys.argv.index("--child") + 1 :]))
    else:
        kappa(128, 30.0, 5)
        kappa(256, 60.0, 2)
        memory("--slow" in sys.argv)
