"""Kicks at the ends of the range of momenta."""

import numpy as np
import pytest

from gradiverse import _core

from .harness import ROWS
from .samples import pack

GRID = {"lattice": (1, 1, 1), "mesh": (8, 1, 1), "lx": 8.0, "ly": 1.0, "lz": 1.0}


@pytest.mark.smoke
@pytest.mark.parametrize(("state", "bits"), [("q32", 30), ("q64", 62)])
@pytest.mark.parametrize("side", [1, -1])
def test_momentum_beyond_the_range_is_an_error(state, bits, side):
    real = np.float32 if state == "q32" else np.float64
    whole = np.int32 if state == "q32" else np.int64
    g = _core.Graph()
    shapes = [(3, 1), (8, 1, 1), (3, 1), (2,), ()]
    names = [state, np.dtype(real).name, state, "float64", "float64"]
    inputs = [g.input(n, s) for n, s in zip(names, shapes, strict=True)]
    out = g.op("pm_kick", tuple(inputs), pack(ROWS["pm_kick"], {**GRID, "sign": 1}))
    program = g.program(inputs, [out])
    phi = np.arange(8.0).reshape(8, 1, 1)  # a force of -1 at the particle
    p, x = np.full((3, 1), side * 2**bits, whole), np.full((3, 1), 3, whole)

    def kick(p, size):
        unit = np.array([0.5, 1.0])
        return program.run([p, phi.astype(real), x, unit, np.array(size)])[0]

    assert kick(np.zeros_like(p), -side * 2.0**bits)[0] == side * 2**bits
    for size in (1.0, 2.0**bits, 2.0 ** (bits + 1)):  # the second just wraps around
        with pytest.raises(ValueError, match="beyond the range"):
            kick(p, -side * size)
