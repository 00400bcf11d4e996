"""Several estimators as one: a weighted mean of their posteriors or ratios."""

import numpy as np
from scipy.special import logsumexp

from ._marginal import Drawn
from ._rows import count, generator


class Ensemble:
    """Mean of estimators trained apart, less overconfident than each of them.

    See Hermans et al. 2021 (arXiv:2110.06581).

    Parameters
    ----------
    members : sequence of estimators
        Each with ``posterior(x)``; for `log_ratio` with ``log_ratio(theta, x)`` too.
        All of one prior, in one box, and of the same marginals.
    weights : None, "validation" or (k,) array
        None: equal. "validation": proportional to exp(-best validation loss), from each
        member's ``validation_loss`` or ``history``, where their losses are of one kind:
        the same function with the same number of contrasts.

    Attributes
    ----------
    weights : (k,) array
        Sum 1.

    Raises
    ------
    ValueError, TypeError
        No members, members of different priors or marginals, weights that are negative,
        do not fit or are unknown, or losses that cannot be compared.

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
        _same_prior(self.members)
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


class EnsemblePosterior(Drawn):
    """Weighted mixture of posteriors; made by `Ensemble.posterior`.

    Of members that are `Posterior` it has their summaries, figures and exports.
    """

    mixture = True  # its ratio does not order by its density

    def __init__(self, members, weights):
        self.members, self.weights = members, weights
        known = ("prior", "names", "bounds", "marginals", "indices", "d", "joint", "x")
        for name in (*known, "whole"):
            if all(hasattr(m, name) for m in members):
                setattr(self, name, getattr(members[0], name))

    def __repr__(self):
        return f"<mixture of {len(self.members)} posteriors>"

    def sample(self, n, rng):
        """n draws (n, d), each from a member chosen by weight, in random order."""
        return self._mixture(lambda m, k, rng: m.sample(k, rng), n, rng)

    def sample_marginal(self, g, n, rng):
        """Draws (n, k) of the g-th subset of parameters."""
        return self._mixture(lambda m, k, rng: m.sample_marginal(g, k, rng), n, rng)

    def _mixture(self, draw, n, rng):
        rng = generator(rng)
        counts = rng.multinomial(count(n), self.weights)
        parts = [
            np.asarray(draw(m, int(k), rng))
            for m, k in zip(self.members, counts, strict=True)
            if k
        ]
        if not parts:
            return np.asarray(draw(self.members[0], 0, rng))
        return rng.permutation(np.concatenate(parts))

    def marginal(self, i):
        """Mixture of the members' posteriors of one marginal, as `Posterior.marginal`.

        Parameters
        ----------
        i : int, str or tuple

        Returns
        -------
        EnsemblePosterior
        """
        return EnsemblePosterior([m.marginal(i) for m in self.members], self.weights)

    @property
    def log_evidence(self):
        """ln of the weighted mean evidence, that of the weighted mean ratio."""
        return _mixed([m.log_evidence for m in self.members], self.weights)[()]

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


def _same_prior(members):
    """Refuse members of different priors or boxes."""
    who = "gv.inference.Ensemble"
    priors = [getattr(m, "prior", None) for m in members]
    first = priors[0]
    for k, other in enumerate(priors[1:], 1):
        if first is None or other is None or first is other or first == other:
            continue
        where = ""
        if getattr(first, "names", None) == getattr(other, "names", ()):
            differ = (first.bounds != other.bounds).any(axis=1)
            where = "".join(
                f" ({first.names[i]} in {first.bounds[i]} and in {other.bounds[i]})"
                for i in np.flatnonzero(differ)[:1]
            )
        raise ValueError(
            f"{who}: members 0 and {k} have different priors or boxes{where}; their "
            "ratios and posteriors have no common meaning. Train all of them in one"
        )


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
        kinds = [_kind(m) for m in members]
        for k, kind in enumerate(kinds):
            if kind != kinds[0]:
                raise ValueError(
                    f"{who}: validation losses of members 0 and {k} are of different "
                    f"kinds, {_words(kinds[0])} and {_words(kind)}, and cannot be "
                    "compared; give weights=None or numbers"
                )
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
    """Best validation loss of a trained estimator, averaged over its networks."""
    loss = getattr(member, "validation_loss", None)
    if loss is None:
        history = getattr(member, "history", None)
        tables = history if isinstance(history, (list, tuple)) else [history]
        if not tables or tables[0] is None or "validation_loss" not in tables[0]:
            raise TypeError(
                f"{who}: weights='validation' needs members with `validation_loss` or "
                "a `history` with that column, which files of estimators do not hold"
            )
        best = [float(np.nanmin(t["validation_loss"])) for t in tables]
        loss = sum(best) / getattr(member, "members", 1)  # blocks add up
    if not np.isfinite(loss):
        raise ValueError(f"{who}: a member's validation loss is {loss}")
    return float(loss)


def _kind(member):
    """What the value of a loss depends on besides the network."""
    loss, contrast = getattr(member, "loss", None), getattr(member, "contrast", None)
    kind = {"loss": loss if isinstance(loss, str) else None}
    if contrast is None:
        return kind
    if loss == "bnre":
        kind["strength"] = contrast.strength
    if loss in ("nre-b", "nre-c"):
        stage = member.refine or {
            "atoms": contrast.atoms, "batch_size": member.training["batch_size"]
        }  # fmt: skip
        valid = member.n_rows - member.n_failed
        batch = stage["batch_size"] or min(max(valid // 40, 32), 256)
        kind["contrasts"] = min(stage["atoms"], batch, max(valid // 2, 2))
    if loss == "nre-c":
        kind["gamma"] = contrast.gamma
    return kind


def _words(kind):
    return ", ".join(f"{name} {value}" for name, value in kind.items())
