"""What a trained estimator keeps of its simulations, to know unlike data by."""

import numpy as np

from ._unfamiliar import Familiar

_LEAST = 20


def watch(est, source):
    """Reference of the valid rows that trained est; None where they are too few."""
    if len(source.rows) < _LEAST:
        return None
    return Familiar(source.x, features_of(est), rng=20_211, rows=source.rows)


def features_of(est):
    """x (n, ...) -> features (n, k) of the first network; None without an embedding."""
    if est.embedding is None:
        return None

    def features(x):
        _, members = est._blocks[0]
        params, state = members[0]
        out = est.embedding.apply(
            params["embedding"],
            est._standardise(x),
            state=est.embedding.init_state() if state is None else state["embedding"],
        )[0]
        return np.asarray(out).reshape(len(out), -1)

    return features


def arrays_of(familiar):
    """For a file."""
    return None if familiar is None else familiar.arrays()


def restored(est, arrays):
    """From a file; None if it has none."""
    if arrays is None:
        return None
    return Familiar.restore(arrays, est.x_shape, features_of(est))
