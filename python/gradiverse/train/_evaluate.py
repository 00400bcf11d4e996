"""The mean loss over data."""

import numbers

from .. import random
from .._repeat import as_arrays
from ._rows import Data, seed_of
from ._step import VALID, Evaluator, Loss

__all__ = ["evaluate"]


def evaluate(loss, params, data, batch_size=1000, state=None, rng=0, augment=None):
    """The mean loss over all rows.

    Parameters
    ----------
    loss : callable
        As for `fit`; called with ``train=False`` where it takes that keyword.
    params : nest of arrays
    data : nest of arrays, or a bank
    batch_size : int
        The last batch may be smaller; each row counts the same.
    state : nest of arrays, optional
        Running statistics.
    rng : int, SeedSequence or Generator
    augment : callable, optional
        ``augment(batch, key) -> batch``.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        Arguments of the wrong type or out of their range.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> gv.train.evaluate(lambda p, x: ((x - p) ** 2).mean(), 1.0, np.arange(5.0))
    3.0
    """
    who = "gv.train.evaluate"
    source = Data(data, who)
    params, tree = as_arrays(params, f"{who}: params")
    net, net_tree = as_arrays(state, f"{who}: state")
    whole = isinstance(batch_size, numbers.Integral) and not isinstance(
        batch_size, bool
    )
    if not whole or batch_size < 1:
        raise ValueError(
            f"{who}: batch_size must be a positive int, not {batch_size!r}"
        )
    checked = Loss(loss, augment, state is not None, who)
    key = random.fold_in(random.key(seed_of(rng, who)), VALID)
    mean = Evaluator(checked, source, int(batch_size), key, who)
    return mean(tree.unflatten(params), net_tree.unflatten(net), source.rows)
