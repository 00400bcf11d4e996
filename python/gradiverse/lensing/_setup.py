"""Settings of a light cone: checks, and what of a cosmology is known."""

import math

import numpy as np

from ..graph import is_traced
from ..tree import flatten
from ..var import Var


def whole_shape(shape, n, name):
    ok = isinstance(shape, (tuple, list, np.ndarray)) and len(shape) == n
    if not ok or not all(
        isinstance(k, (int, np.integer)) and not isinstance(k, bool) and k > 0
        for k in shape
    ):
        raise ValueError(f"{name} {shape!r} must be {n} positive whole numbers")
    return tuple(int(k) for k in shape)


def seed_of(rng):
    """The integer that keys the symmetries of the copies; -1 for none."""
    if rng is None:
        return -1
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool):
        if not 0 <= rng < 2**63:
            raise ValueError(f"rng {rng} must be a seed from 0 to 2^63 - 1")
        return int(rng)
    return int(np.random.default_rng(rng).integers(2**63 - 1))


def number(x):
    return x if is_traced(x) else float(x)


def cast(x, dtype):
    return x.astype(dtype) if is_traced(x) else np.asarray(x, dtype)


def known_values(c):
    """The cosmology with plain values, or None where some are not known yet."""
    leaves, tree = flatten(c)
    values = []
    for x in leaves:
        if type(x) is Var:
            if x.owner.missing([x.id]) is not None:
                return None
            x = x.owner.evaluate(x)
            x = float(x) if x.ndim == 0 else x
        values.append(x)
    return tree.unflatten(values)


def check_geometry(c, reach, box, map_shape, pixel):
    """ValueError where space is curved, or the map leaves the box.

    Parameters
    ----------
    c : Cosmology
        Of known values.
    reach : (S,) array
        Distances of the farthest sources [Mpc/h].
    box : three floats
        [Mpc/h]
    map_shape : (ny, nx)
    pixel : float
        [rad]
    """
    if float(c.Omega_k) != 0.0:
        raise ValueError(
            f"Omega_k={float(c.Omega_k):g}: light cones are for flat space only"
        )
    far = float(np.max(reach))
    for side, n, name in zip(box, map_shape[::-1], "xy", strict=False):
        width = n * pixel * far
        if width > side * (1 + 1e-9):
            raise ValueError(
                f"the map is {width:.4g} Mpc/h wide along {name} at the last source"
                f" ({far:.5g} Mpc/h), the box {side:g}: the map leaves the box; at"
                f" most {math.degrees(side / far):.4g} degrees fit"
            )
