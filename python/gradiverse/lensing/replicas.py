"""How the light cone turns and shifts the copies of the box along the line of sight."""

from typing import NamedTuple

import numpy as np

from ..graph import emit

__all__ = ["Replicas", "replicas"]


class Replicas(NamedTuple):
    """Symmetries and origins of copies of the box, one row each.

    A point x of the box lies in the frame of the copy, whose last axis is the line of
    sight, at ``y[a] = (signs[a] * x[permutation[a]] + shift[a]) % L[a]``; a vector v
    becomes ``signs[a] * v[permutation[a]]``. Copy j fills distances
    ``j * L[2]`` to ``(j + 1) * L[2]`` and the observer is at ``(L[0]/2, L[1]/2, 0)``.
    """

    permutation: np.ndarray
    signs: np.ndarray
    shift: np.ndarray


def replicas(box, seed, number, shape=None):
    """Symmetries and origins that a light cone gives to copies of its box.

    With them the same particles can be projected by other means.

    Parameters
    ----------
    box : float or three floats
        Sides [Mpc/h].
    seed : int
        The light cone's ``settings()["replica_seed"]``; negative: copies are neither
        turned nor shifted.
    number : int or sequence of int
        0 for the nearest copy, and so on.
    shape : (int, int, int), optional
        Particles per axis: axes of equal side are exchanged only where these are equal
        too. Default: equal wherever the sides are.

    Returns
    -------
    Replicas
        ``permutation`` (..., 3) int64, ``signs`` (..., 3) int64 and ``shift`` (..., 3)
        [Mpc/h], leading axes as those of `number`. Symmetries are equally likely (48
        for a cube) and shifts uniform in the box; both are functions of seed and
        number (Philox4x32-10) alone.

    Raises
    ------
    TypeError, ValueError
        If numbers are not whole or negative, or sides not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse.lensing.replicas import replicas
    >>> r = replicas(100.0, 0, np.arange(3))
    >>> x = np.random.default_rng(1).uniform(0, 100, (5, 3))
    >>> y = (r.signs[2] * x[:, r.permutation[2]] + r.shift[2]) % 100.0
    >>> distance = 2 * 100.0 + y[:, 2]
    >>> sorted(int(a) for a in r.permutation[2])
    [0, 1, 2]
    """
    sides = np.broadcast_to(np.asarray(box, np.float64), (3,))
    if not (np.all(sides > 0) and np.all(np.isfinite(sides))):
        raise ValueError(f"box {box}: sides must be positive and finite")
    number = np.asarray(number)
    if number.dtype.kind not in "iu":
        raise TypeError(f"replicas are numbered by ints, not {number.dtype}")
    if np.any(number < 0):
        raise ValueError("replicas are numbered from 0; the observer is at 0's face")
    lattice = (1, 1, 1) if shape is None else tuple(int(n) for n in shape)
    if len(lattice) != 3 or min(lattice) < 1:
        raise ValueError(f"shape {shape}: three positive numbers of particles")
    lx, ly, lz = map(float, sides)
    found = emit(
        "cone_replicas", (number.astype(np.int64),), lattice=lattice, mesh=(1, 1, 1),
        lx=lx, ly=ly, lz=lz, seed=int(seed),
    )  # fmt: skip
    return Replicas(*found)
