"""Kernel two-sample test: maximum mean discrepancy with permutations.

Kernel exp(-d^2/(2 l^2)). The unbiased statistic leaves out the diagonal of the two
sums within samples and may be negative. All permutations share one bandwidth and one
pass over the kernel matrix, which is never held whole.
"""

from dataclasses import dataclass, field

import numpy as np

from ._pairs import whole
from ._rows import flat_rows
from ._streams import stream

_CELLS = 4_000_000  # entries of the kernel matrix at once


@dataclass(frozen=True)
class MMDTest:
    """Result of `mmd_test`.

    Attributes
    ----------
    statistic : float
        Unbiased MMD^2.
    p_value : float
        (1 + number of permutations at least as large)/(1 + number of permutations).
    bandwidth : float
    null : (permutations,) array
    """

    statistic: float
    p_value: float
    bandwidth: float
    null: np.ndarray = field(repr=False)


def median_distance(a, b, rng, most=2000):
    """Median distance between rows of a and rows of b, from at most `most` of each."""
    a, b = (r[rng.permutation(len(r))[:most]] if len(r) > most else r for r in (a, b))
    return float(np.median(np.sqrt(squares(a, b))))


def squares(a, b):
    """Squared distances (n, m), by differences where columns are few."""
    if a.shape[1] <= 4:
        return sum((a[:, k, None] - b[:, k]) ** 2 for k in range(a.shape[1]))
    middle = 0.5 * (a.mean(axis=0) + b.mean(axis=0))
    a, b = a - middle, b - middle
    d2 = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2 * a @ b.T
    return np.maximum(d2, 0.0)


def kernel(a, b, bandwidth):
    """exp(-d^2/(2 l^2)) of rows (n, m)."""
    return np.exp(-squares(a, b) / (2 * bandwidth**2))


def mmd(a, b, bandwidth=None, *, biased=False):
    """Squared maximum mean discrepancy of two samples.

    Parameters
    ----------
    a, b : (n, ...) and (m, ...) arrays
        Rows are flattened; nothing is scaled.
    bandwidth : float, optional
        l of the kernel. Default: the median distance within `a`, the reference, as in
        the sbibm tables.
    biased : bool
        False: the U-statistic, mean 0 under the null. True: the V-statistic, which
        keeps the diagonal and is never negative.

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.normal(size=2000), rng.normal(1.0, size=2000)
    >>> round(gv.inference.mmd(a, b, 1.0), 1)                 # population: .177
    0.2
    """
    who = "gv.inference.mmd"
    a, b = _both(a, b, who)
    if bandwidth is None:
        some = a if len(a) <= 2000 else a[:: -(-len(a) // 2000)]
        upper = np.triu_indices(len(some), 1)
        bandwidth = float(np.median(np.sqrt(squares(some, some)[upper])))
    bandwidth = _bandwidth(bandwidth, who)
    n, m = len(a), len(b)
    aa, ab, bb = (_total(p, q, bandwidth) for p, q in ((a, a), (a, b), (b, b)))
    if biased:
        return float(aa / n**2 + bb / m**2 - 2 * ab / (n * m))
    return float((aa - n) / (n * (n - 1)) + (bb - m) / (m * (m - 1)) - 2 * ab / (n * m))


def _total(a, b, bandwidth):
    block = max(1, _CELLS // len(b))
    return sum(
        kernel(a[i : i + block], b, bandwidth).sum() for i in range(0, len(a), block)
    )


def _both(a, b, who):
    a = flat_rows(a, who, "a", least=2)
    return a, flat_rows(b, who, "b", columns=a.shape[1], least=2)


def _bandwidth(value, who):
    if not (np.isfinite(value) and value > 0):
        raise ValueError(
            f"{who}: bandwidth {value!r}; it must be positive (the median distance is "
            "nought where more than half of the rows are the same)"
        )
    return float(value)


def mmd_test(a, b, rng=0, *, n_permutations=500, bandwidth=None):
    """Do two samples come from one law? Permutation test of the unbiased MMD^2.

    Parameters
    ----------
    a, b : (n, ...) and (m, ...) arrays
        Independent rows, at least two each; flattened, not scaled.
    rng : seed, SeedSequence or Generator
        Of the permutations.
    n_permutations : int
    bandwidth : float, optional
        Default: the median distance between rows of a and rows of b, computed once.

    Returns
    -------
    MMDTest

    Raises
    ------
    ValueError
        Columns differ, rows are not finite, or most rows are the same.

    Notes
    -----
    Time grows with (n + m)^2; memory does not.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> rng = np.random.default_rng(0)
    >>> a = rng.normal(size=(100, 2))
    >>> gv.inference.mmd_test(a, rng.normal(1.0, size=(100, 2))).p_value < 0.01
    True
    """
    who = "gv.inference.mmd_test"
    a, b = _both(a, b, who)
    count = whole(n_permutations, 1, who, "n_permutations")
    rng = stream(rng, "mmd")
    if bandwidth is None:
        bandwidth = median_distance(a, b, rng)
    bandwidth = _bandwidth(bandwidth, who)
    pool = np.concatenate([a, b])
    n, total = len(a), len(pool)
    m = total - n
    mine = np.zeros((total, 1 + count))
    mine[:n, 0] = 1
    for k in range(1, 1 + count):
        mine[rng.permutation(total)[:n], k] = 1
    within, cross, everything = np.zeros(1 + count), np.zeros(1 + count), 0.0
    block = max(1, _CELLS // total)
    for i in range(0, total, block):
        k = kernel(pool[i : i + block], pool, bandwidth)
        k[np.arange(len(k)), np.arange(i, i + len(k))] = 0.0
        part = mine[i : i + block]
        within += (part * (k @ mine)).sum(axis=0)
        rest = k.sum(axis=1)
        cross += rest @ part
        everything += rest.sum()
    cross -= within  # from sums over all to sums over the other sample
    other = everything - within - 2 * cross
    value = within / (n * (n - 1)) + other / (m * (m - 1)) - 2 * cross / (n * m)
    # the same partition drawn again differs by rounding only
    reached = (value[1:] >= value[0] - 1e-12).sum()
    return MMDTest(
        float(value[0]), float((1 + reached) / (1 + count)), bandwidth, value[1:]
    )
