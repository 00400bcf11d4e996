"""Operators on modes: tables that lie nowhere are refused."""

import numpy as np
import pytest

from gradiverse import _core

from .harness import ROWS
from .samples import pack

SYMBOL = {"lx": 1.0, "ly": 2.0, "lz": 3.0, "inv": 0, "laplace": 0}


@pytest.mark.parametrize("op", ["pm_convolve", "pm_convolve_table", "spectral"])
@pytest.mark.parametrize(
    ("lnk0", "dlnk"),
    [(np.nan, 0.5), (np.inf, 0.5), (-4.0, np.inf), (-4.0, np.nan), (0.0, 1e-320)],
)
def test_tables_without_a_place_are_refused(op, lnk0, dlnk):
    attrs = {**SYMBOL, "lnk0": lnk0, "dlnk": dlnk}
    g = _core.Graph()
    if op == "spectral":
        attrs |= {"n": 4, "dx": 0, "dy": 0, "dz": 0, "kind": 0, "scale": 1.0}
        field = g.input("complex128", (4, 4, 3))
    else:
        attrs |= {"axis": 0.0, "cross": 0.0, "ratio": 0.0}
        field = g.input("float64", (4, 4, 4))
    other = field
    if op == "pm_convolve_table":
        attrs["nodes"] = 5
    else:
        other = g.input("float64", (5,))
    with pytest.raises(ValueError, match=r"lnk0 .* dlnk .* finite"):
        g.op(op, (field, other), pack(ROWS[op], attrs))
