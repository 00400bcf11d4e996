"""The particle-mesh force against JaxPM under jit and NumPy with SciPy's transforms.

python -m benchmarks.speed.nbody THREADS

Process CPU time, all in one run. 128^3 particles around their lattice points on a mesh
of 128^3, float32; the box has cells of 1 Mpc/h, JaxPM's unit of length.
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

import time  # noqa: E402

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from jaxpm.painting import cic_paint, cic_read  # noqa: E402
from jaxpm.pm import pm_forces  # noqa: E402
from tests.nbody import reference_mesh  # noqa: E402

import gradiverse as gv  # noqa: E402
from gradiverse.nbody.mesh import acceleration, paint, readout  # noqa: E402

N = 128
SHAPE = (N, N, N)
BOX = float(N)
COUNT = N**3
RNG = np.random.default_rng(0)
LATTICE = np.stack(np.meshgrid(*[np.arange(N)] * 3, indexing="ij"), -1)
X = (LATTICE + 0.37 * RNG.normal(size=LATTICE.shape)).astype(np.float32)
FLAT, XJ = X.reshape(-1, 3), jnp.asarray(X)


def timed(cases, seconds=15.0):
    """CPU seconds of each callable, in turn."""
    return interleave(cases, seconds=seconds, least=5, clock=time.process_time)


def wait(f, *args):
    """A call of JAX's that returns when its result is there."""
    return lambda: jax.block_until_ready(f(*args))


def close(ours, theirs, bound):
    """Both compute the same."""
    theirs = np.asarray(theirs, np.float64).reshape(ours.shape)
    error = np.abs(ours - theirs).max() / np.abs(theirs).max()
    assert error < bound, error


def force():
    """-grad phi of the particles' own density at the particles."""
    theirs = jax.jit(lambda x: pm_forces(x, mesh_shape=SHAPE))
    cases = {
        "gradiverse": lambda: acceleration(FLAT, BOX, SHAPE),
        "JaxPM": wait(theirs, XJ),
        "numpy": lambda: reference_mesh.acceleration(FLAT, BOX, SHAPE),
    }
    close(cases["gradiverse"](), theirs(XJ), 1e-4)
    report(
        "particle-mesh force, 128^3 particles and cells, float32",
        "CPU ms",
        scaled(timed(cases, 20.0), 1e3),
        "JaxPM / ours >= 4, numpy / ours >= 10",
    )


def gradient():
    """The force and the cotangent of the positions."""
    w = RNG.normal(size=FLAT.shape).astype(np.float32)

    def ours(x, w):
        value, pull = gv.vjp(lambda x: acceleration(x, BOX, SHAPE), x)
        return value, pull(w)[0]

    def theirs(x, w):
        value, pull = jax.vjp(lambda x: pm_forces(x, mesh_shape=SHAPE), x)
        return value, pull(w)[0]

    compiled, jitted = gv.compile(ours), jax.jit(theirs)
    wj = jnp.asarray(w.reshape(X.shape))
    cases = {"gradiverse": lambda: compiled(FLAT, w), "JaxPM": wait(jitted, XJ, wj)}
    close(compiled(FLAT, w)[1], jitted(XJ, wj)[1], 1e-3)
    report(
        "the same force and its vjp",
        "CPU ms",
        scaled(timed(cases, 20.0), 1e3),
        "JaxPM / ours >= 5",
    )


def painting():
    """Density of the particles."""
    theirs = jax.jit(lambda x: cic_paint(jnp.zeros(SHAPE, jnp.float32), x))
    cases = {
        "gradiverse": lambda: paint(FLAT, BOX, SHAPE),
        "JaxPM": wait(theirs, XJ),
        "numpy": lambda: reference_mesh.paint(FLAT, BOX, SHAPE),
    }
    close(cases["gradiverse"](), theirs(XJ), 1e-4)
    report(
        "cloud in cell, 128^3 particles, float32: paint",
        "CPU ns per particle",
        scaled(timed(cases), 1e9 / COUNT),
        "JaxPM / ours >= 15",
    )


def reading():
    """Three fields at the particles."""
    f = RNG.normal(size=(3, *SHAPE)).astype(np.float32)
    fj = jnp.asarray(f)
    theirs = jax.jit(lambda f, x: jnp.stack([cic_read(f[i], x) for i in range(3)]))
    single = jax.jit(cic_read)

    def three():
        return [jax.block_until_ready(single(fj[i], XJ)) for i in range(3)]

    cases = {
        "gradiverse": lambda: readout(f, FLAT, BOX),
        "three cic_read": three,
        "three in one jit": wait(theirs, fj, XJ),
        "numpy": lambda: reference_mesh.readout(f, FLAT, BOX),
    }
    close(cases["gradiverse"](), theirs(fj, XJ), 1e-4)
    report(
        "cloud in cell, 128^3 particles, float32: read three fields",
        "CPU ns per particle",
        scaled(timed(cases), 1e9 / COUNT),
        "three cic_read / ours >= 30",
    )


if __name__ == "__main__":
    force()
    gradient()
    painting()
    reading()
