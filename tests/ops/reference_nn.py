"""Operators of networks in NumPy: gates, norms, pooling, resampling."""

import numpy as np


def gate(a, b):
    """a where b > 0."""
    return np.where(b > 0, a, 0).astype(a.dtype)


def relu(x):
    """Positive part."""
    return np.maximum(x, 0)


FUNCTIONS = [gate, relu]


def register(reference):
    """Add these to the table of references."""
    for f in FUNCTIONS:
        reference[f.__name__] = f
