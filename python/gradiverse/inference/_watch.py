"""What a trained estimator keeps of its simulations, to know unlike data by."""

import numpy as np

from ._unfamiliar import Familiar

_LEAST, _MOST = 20, 1000  # rows
_NUMBERS = 1 << 25  # of wide data fewer rows are kept, 100 at least
_SEED = 20_211


def watch(est, source):
    """Reference of the valid rows that trained est; None where they are too few."""
    rows, features = source.rows, features_of(est)
    if len(rows) < _LEAST:
        return None
    most = int(np.clip(_NUMBERS // _width(source.shape), 100, _MOST))
    if est.augment is None:
        return Familiar(source.x, features, most, _SEED, rows)
    # data as the network sees them, which is how observations come
    some = np.random.default_rng(_SEED).permutation(rows)[:most]
    return Familiar(est._seen(source, np.sort(some)), features, rng=_SEED)


def _width(shape):
    """Numbers of one simulation."""
    shapes = shape.values() if isinstance(shape, dict) else [shape]
    return max(sum(int(np.prod(one)) for one in shapes), 1)


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
