"""Classifier two-sample test (C2ST) by the protocol of the sbibm tables."""

import numpy as np

from ._classifier import fit, logits
from ._rows import rows
from ._streams import stream


def c2st(a, b, rng=1, *, folds=5, standardise=True):
    """Accuracy with which a classifier tells two samples apart: .5 is best, 1 worst.

    Both samples are scaled by mean and standard deviation (n - 1) of the first, which
    is the reference. A perceptron with two hidden ReLU layers of 10 d units is trained
    to convergence on all but one fold and scored on that fold; the mean over the folds
    is the result. Folds are shuffled and not stratified. This is the protocol of
    Lueckmann et al. 2021 (arXiv:2101.04653), by which published tables were made; other
    packages' defaults are not comparable. With samples of different sizes the best
    constant answer already scores the larger share: use equal sizes.

    Parameters
    ----------
    a, b : (n, d) and (m, d) arrays
        Reference sample and the sample to judge; a vector is one column.
    rng : seed, SeedSequence or Generator
        Of folds, initial weights and shuffling; the scatter between seeds is .002 to
        .01 for 10 000 rows.
    folds : int
    standardise : bool
        False: take the samples as they are.

    Returns
    -------
    float
        Mean test accuracy.

    Raises
    ------
    ValueError
        Numbers of columns differ, rows are not finite, or too few rows for the folds.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.normal(size=(500, 1)), rng.normal(3.0, size=(500, 1))
    >>> gv.inference.c2st(a, b) > 0.9
    True
    """
    who = "gv.inference.c2st"
    if not isinstance(folds, (int, np.integer)) or folds < 2:
        raise ValueError(f"{who}: folds={folds!r}; an integer of at least 2 is needed")
    a = rows(a, who, "a", least=folds)
    b = rows(b, who, "b", columns=a.shape[1], least=folds)
    rng = stream(rng, "c2st")
    if standardise:
        mean, sd = a.mean(axis=0), a.std(axis=0, ddof=1)
        if (sd == 0).any():
            raise ValueError(
                f"{who}: column {int(np.argmin(sd))} of the reference is constant and "
                "cannot be scaled; leave it out or give standardise=False"
            )
        a, b = (a - mean) / sd, (b - mean) / sd
    x = np.concatenate([a, b]).astype(np.float32)
    y = np.repeat([0.0, 1.0], [len(a), len(b)])
    hidden = (10 * x.shape[1],) * 2
    parts = np.array_split(rng.permutation(len(x)), folds)
    scores = []
    for k, test in enumerate(parts):
        train = np.concatenate(parts[:k] + parts[k + 1 :])
        layers, _ = fit(x[train], y[train], rng, hidden)
        scores.append(np.mean((logits(layers, x[test]) >= 0) == (y[test] > 0.5)))
    return float(np.mean(scores))


def marginal_c2st(a, b, rng=1, *, dimensions=1, columns=None):
    """C2ST of every one- or two-dimensional marginal.

    Parameters
    ----------
    a, b : (n, d) and (m, d) arrays
        Reference and sample to judge.
    rng : seed, SeedSequence or Generator
    dimensions : 1 or 2
    columns : sequence of tuples of int, optional
        These marginals instead of all.

    Returns
    -------
    dict
        Tuple of columns -> accuracy; tables print the mean of the values.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> a = np.random.default_rng(0).normal(size=(200, 2))
    >>> sorted(gv.inference.marginal_c2st(a, a + [0.0, 9.0]))
    [(0,), (1,)]
    """
    from itertools import combinations

    who = "gv.inference.marginal_c2st"
    a = rows(a, who, "a")
    b = rows(b, who, "b", columns=a.shape[1])
    if columns is None:
        if dimensions not in (1, 2):
            raise ValueError(f"{who}: dimensions={dimensions!r}; 1 or 2 is needed")
        columns = combinations(range(a.shape[1]), dimensions)
    seeds = stream(rng, "marginal_c2st")
    result = {}
    for pick in columns:
        pick = tuple(int(i) for i in np.atleast_1d(pick))
        result[pick] = c2st(a[:, list(pick)], b[:, list(pick)], seeds)
    return result
