"""What the draws of a posterior are draws of: all parameters at once, or marginals.

Estimators of marginals give draws in which marginals that share no parameter are
independent of one another. Checks of a density of several parameters then need draws of
that marginal itself.
"""

import numpy as np


def subsets_of(owner, count):
    """Tuples of parameters of each curve, where the owner tells and they fit."""
    found = getattr(owner, "marginals", None)
    if found is None or callable(found) or len(found) != count:
        return None
    if len(found) == 1 and len(found[0]) == getattr(owner, "d", None) != 1:
        return None
    return [tuple(m) for m in found]


def joint_of(posterior, d, curves):
    """Whether draws (n, d) are of all parameters at once.

    Parameters
    ----------
    posterior : object
        With an attribute `joint`, where it has one.
    d : int
    curves : int
        Columns of its density: one for a joint density.
    """
    if d == 1 or hasattr(posterior, "whole"):
        return True
    found = getattr(posterior, "joint", None)
    return curves == 1 if found is None else bool(found)


def draws_by_marginal(posterior, draws, rng):
    """Pairs of draws (n, d) and the marginals (indices) whose columns are right in it.

    The marginals are None where the draws serve all there are.
    """
    marginals = getattr(posterior, "marginals", None)
    alone = getattr(posterior, "sample_marginal", None)
    own = getattr(posterior, "joint", True) or hasattr(posterior, "whole")
    if own or alone is None or max(map(len, marginals)) == 1:
        return [(draws, None)]
    single = [g for g, m in enumerate(marginals) if len(m) == 1]
    out = [(draws, single)] if single else []
    for group in _disjoint(marginals):
        these = np.array(draws)
        for g in group:
            these[:, list(marginals[g])] = alone(g, len(draws), rng)
        out.append((these, group))
    return out


def _disjoint(marginals):
    """Groups of marginals of several parameters, no parameter twice in a group."""
    groups = []
    for g, m in enumerate(marginals):
        if len(m) == 1:
            continue
        for group, used in groups:
            if not used & set(m):
                group.append(g)
                used |= set(m)
                break
        else:
            groups.append(([g], set(m)))
    return [group for group, _ in groups]
