"""Layers, activations, losses, optimisers and schedules against torch.

Oracle: torch, an independent implementation, with the same parameters under the same
names. Outputs, gradients of a random combination of the outputs, weights after steps
and learning rates agree to a share of their largest entry: 2e-5 in single precision,
1e-10 in double (optimisers and schedules: 1e-13). Torch itself is needed for the first
test, which `make test-torch` runs; the second has what torch 2.13 gave, in a file.
"""

import numpy as np
import pytest

from .make_torch_values import digests, drawn, read
from .torch_cases import CASES, differences

PAIRS = [(name, dtype) for name, case in CASES.items() for dtype in case[2]]


@pytest.mark.parametrize(("name", "dtype"), PAIRS)
def test_torch(name, dtype):
    pytest.importorskip("torch")
    mine, theirs, tolerances = CASES[name]
    assert not differences(mine(dtype), theirs(dtype), dtype, tolerances[dtype])


@pytest.fixture(scope="module")
def stored():
    version, then, found = read()
    assert version.startswith("2.13")
    np.testing.assert_array_equal(
        drawn(), then, "NumPy draws other numbers: store the values of torch again"
    )
    assert set(found) == set(CASES)
    return found


@pytest.mark.parametrize(("name", "dtype"), PAIRS)
def test_stored_values_of_torch(name, dtype, stored):
    """From inputs that single precision holds, computed by torch in double."""
    mine, _, tolerances = CASES[name]
    found = digests(mine(dtype))
    assert not differences(found, stored[name], dtype, tolerances[dtype])
