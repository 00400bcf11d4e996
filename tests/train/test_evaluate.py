"""The mean loss over rows."""

import numpy as np
import pytest

import gradiverse as gv


def _loss(p, batch):
    return ((batch - p) ** 2).mean()


@pytest.mark.smoke
@pytest.mark.parametrize("size", [1, 4, np.int64(3), np.int32(8), np.uint8(10), 100])
def test_every_row_counts_the_same(size):
    """Oracle: the mean in NumPy, for all sizes of a batch, NumPy's ints too."""
    x = np.random.default_rng(0).normal(size=10)
    found = gv.train.evaluate(_loss, 0.5, x, batch_size=size)
    assert found == pytest.approx(((x - 0.5) ** 2).mean(), rel=1e-13)


@pytest.mark.parametrize("size", [0, -1, 2.0, np.float64(2), True, "2", None, np.nan])
def test_bad_batch_sizes(size):
    """Said in one line."""
    with pytest.raises(ValueError, match="batch_size must be a positive int"):
        gv.train.evaluate(_loss, 0.5, np.arange(4.0), batch_size=size)
