"""Updates of optimisers in NumPy."""

import numpy as np


def adam_update(p, m, v, g, size, root, eps, keep, factor, b1, b2, decay):
    """Adam with the corrections given as scalars."""
    size, root, eps, keep, factor = (
        np.asarray(x, p.dtype)[..., None] for x in (size, root, eps, keep, factor)
    )
    u = factor * g + decay * p
    m = b1 * m + (1 - b1) * u
    v = b2 * v + (1 - b2) * u**2
    return keep * p - size * m / (root * np.sqrt(v) + eps), m, v


def sum_squares(x):
    """sum x^2 in double precision."""
    return np.sum(x.astype(float) ** 2, axis=-1)


def register(reference):
    """Add these to the table of references."""
    reference["sum_squares"] = sum_squares
    reference["adam_update"] = adam_update
