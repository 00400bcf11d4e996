"""Several estimators as one: a weighted mean of their posteriors or ratios."""

import numpy as np
from scipy.special import logsumexp

from ._rows import generator


class Ensemble:
    """Mean of estimators trained apart, less overconfident than each of them.

    See Hermans et al. 2021 (arXiv:2110.06581).

    Parameters
    ----------
    members : sequence of estimators
        Each with ``posterior(x)``; for `log_ratio` with ``log_ratio(theta, x)`` too.
    weights : None, "validation" or (k,) array
        None: equal. "validation": proportional to exp(-best validation loss), from each
        member's ``validation_loss`` or ``history``.

    Attributes
    ----------
    weights : (k,) array
        Sum 1.

    Raises
    ------
    ValueError, TypeError
        No members, or weights that are negative, do not fit or are unknown.

    Examples
    --------
    >>> import numpy as np, scipy.stats, gradiverse as gv
    >>> class Fixed:
    ...     def __init__(self, mean):
    ...         self.law = scipy.stats.norm(mean, 1.0)
    ...     def posterior(self, x):
    ...         return self
    ...     def sample(self, n, rng):
    ...         return self.law.rvs((n, 1), random_state=rng)
    ...     def log_prob(self, theta):
    ...         return self.law.logpdf(theta[:, 0])
    >>> post = gv.inference.Ensemble([Fixed(-1.0), Fixed(1.0)]).posterior(None)
    >>> round(float(np.exp(post.log_prob([[0.0]]))[0]), 6)         # N(1; 0, 1)
    0.241971
    """

    def __init__(self, members, weights=None):
        self.members = list(members)
        if not self.members:
            raise ValueError("gv.inference.Ensemble: no members")
        self.weights = _weights(self.members, weights)
        self.prior = getattr(self.members[0], "prior", None)
        if hasattr(self.members[0], "marginals"):
            self.marginals = self.members[0].marginals
            for other in self.members[1:]:
                if getattr(other, "marginals", None) != self.marginals:
                    raise ValueError(
                        "gv.inference.Ensemble: members have different marginals"
                    )

    def __repr__(self):
        return f"<ensemble of {len(self.members)} estimators>"

    @property
    def tilts(self):
        """Not None if a member is recalibrated: its log_ratio then is not."""
        found = (getattr(m, "tilts", None) for m in self.members)
        return next((t for t in found if t is not None), None)

    def posterior(self, x):
        """Mixture of the members' posteriors at data x."""
        return EnsemblePosterior([m.posterior(x) for m in self.members], self.weights)

    def log_ratio(self, theta, x):
        """ln of the weighted mean of the members' ratios."""
        return _mixed([m.log_ratio(theta, x) for m in self.members], self.weights)


class EnsemblePosterior:
    """Weighted mixture of posteriors; made by `Ensemble.posterior`."""

    def __init__(self, members, weights):
        self.members, self.weights = members, weights
        for name in ("prior", "names", "marginals", "d", "x"):
            if hasattr(members[0], name):
                setattr(self, name, getattr(members[0], name))

    def sample(self, n, rng):
        """n draws (n, d), each from a member chosen by weight, in random order."""
        rng = generator(rng)
        counts = rng.multinomial(int(n), self.weights)
        parts = [
            np.asarray(m.sample(int(k), rng))
            for m, k in zip(self.members, counts, strict=True)
            if k
        ]
        if not parts:
            return np.asarray(self.members[0].sample(0, rng))
        return rng.permutation(np.concatenate(parts))

    def log_prob(self, theta):
        """ln of the weighted mean density."""
        theta = np.asarray(theta, np.float64)
        return _mixed([m.log_prob(theta) for m in self.members], self.weights)

    def log_ratio(self, theta):
        """ln of the weighted mean ratio."""
        theta = np.asarray(theta, np.float64)
        return _mixed([m.log_ratio(theta) for m in self.members], self.weights)


def _mixed(values, weights):
    used = weights > 0
    values = np.stack([np.asarray(v) for v in values])[used]
    shape = (-1,) + (1,) * (values.ndim - 1)
    return logsumexp(values, b=weights[used].reshape(shape), axis=0)


def _weights(members, weights):
    who = "gv.inference.Ensemble"
    if weights is None:
        return np.full(len(members), 1 / len(members))
    if isinstance(weights, str):
        if weights != "validation":
            raise ValueError(
                f"{who}: weights={weights!r}; choose None, 'validation' or numbers"
            )
        losses = np.array([_loss(m, who) for m in members])
        weights = np.exp(losses.min() - losses)
    weights = np.asarray(weights, np.float64)
    good = np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0
    if weights.shape != (len(members),) or not good:
        raise ValueError(
            f"{who}: weights {weights} for {len(members)} members; one number >= 0 for "
            "each is needed, not all of them 0"
        )
    return weights / weights.sum()


def _loss(member, who):
    """Best validation loss of a trained estimator."""
    loss = getattr(member, "validation_loss", None)
    if loss is None:
        history = getattr(member, "history", None)
        tables = history if isinstance(history, (list, tuple)) else [history]
        if history is None or "validation_loss" not in tables[0]:
            raise TypeError(
                f"{who}: weights='validation' needs members with `validation_loss` or "
                "a `history` with that column"
            )
        loss = sum(float(np.nanmin(t["validation_loss"])) for t in tables)
    if not np.isfinite(loss):
        raise ValueError(f"{who}: a member's validation loss is {loss}")
    return float(loss)
