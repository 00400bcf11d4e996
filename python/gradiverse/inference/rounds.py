"""Truncation: the box that holds a posterior, and what one round of it is."""

from dataclasses import asdict, dataclass, field

import numpy as np

from . import _distributions as family

__all__ = ["Round", "best_loss", "hull", "round_seed", "truncate"]

EDGE = 0.01  # share of the prior's mass at a side that counts as its edge


@dataclass(frozen=True)
class Round:
    """One round of truncation.

    Attributes
    ----------
    index : int
        From 1.
    bounds : (d, 2) array
        The box of the round, in parameter units.
    log_volume : float
        ln of its share of the prior's mass.
    n_new, n_reused, n_failed : int
        Simulator calls of this round, earlier rows inside the box, failed calls.
    n_total : int
        Simulator calls so far.
    validation_loss : float
        Lowest one of the round's network.
    next_bounds : (d, 2) array
        The box that the network would cut to.
    edge_mass : (d, 2) array
        Posterior mass in the outermost 1 % of prior mass at each side: mass at an edge
        that is no edge of the prior was cut away too early.
    cut_mass : (d, 2) array
        Posterior mass between the box and the next one, at each side.
    """

    index: int
    bounds: np.ndarray
    log_volume: float
    n_new: int
    n_reused: int
    n_failed: int
    n_total: int
    validation_loss: float
    next_bounds: np.ndarray = field(repr=False)
    next_log_volume: float
    edge_mass: np.ndarray = field(repr=False)
    cut_mass: np.ndarray = field(repr=False)

    @property
    def volume(self):
        """Share of the prior's mass inside the box."""
        return float(np.exp(self.log_volume))

    @property
    def ratio(self):
        """Volume of the next box relative to this one."""
        return float(np.exp(self.next_log_volume - self.log_volume))

    def plain(self):
        """As a dict of numbers and lists."""
        return {
            k: v.tolist() if isinstance(v, np.ndarray) else v
            for k, v in asdict(self).items()
        }

    @classmethod
    def restore(cls, plain):
        """The round that `plain` described."""
        return cls(
            **{k: np.array(v) if isinstance(v, list) else v for k, v in plain.items()}
        )

    def lost(self, prior):
        """Largest posterior mass at an edge that is no prior edge: (mass, name, side).

        None where every edge of the box is one of the prior.
        """
        inner = self.bounds != prior.untruncated.bounds
        if not inner.any():
            return None
        mass = np.where(inner, self.edge_mass, -1.0)
        i, side = np.unravel_index(int(mass.argmax()), mass.shape)
        return float(mass[i, side]), prior.names[i], ("low", "high")[side]


def hull(values, h, log_epsilon, low, high):
    """Interval of the draws with h - max h > log_epsilon.

    Parameters
    ----------
    values : (n,) array
        Draws of the restricted prior of one parameter.
    h : (n,) array
        Their log ratios.
    log_epsilon : float
    low, high : float
        Edges of the present box.

    Returns
    -------
    (float, float)
        The hull of what is kept, each side moved outwards to the next rejected draw,
        or to the old edge where there is none: never inside the exact hull, up to the
        distance of two draws.
    """
    order = np.argsort(values)
    values, keep = values[order], (h - h.max() > log_epsilon)[order]
    inside = np.flatnonzero(keep)
    first, last = inside[0], inside[-1]
    new_low = values[first - 1] if first > 0 else low
    new_high = values[last + 1] if last + 1 < len(values) else high
    return float(new_low), float(new_high)


def truncate(ratio, prior, epsilon, rng, n=100_000):
    """The next box, and the posterior mass at and beyond its edges.

    Parameters
    ----------
    ratio : callable
        θ (n, d) -> log ratios (n, d), one for each parameter; or (members, n, d) of
        several networks: the box then holds the hull of each of them.
    prior : Prior
        In the present box.
    epsilon : float
        Smallest ratio kept, relative to the largest.
    rng : numpy Generator
    n : int
        Draws, at least 1e5.

    Returns
    -------
    bounds : (d, 2) array
    edge_mass, cut_mass : (d, 2) arrays

    Raises
    ------
    ValueError
        For epsilon outside (0, 1), too few draws, or log ratios that are not finite.
    """
    if not 0 < epsilon < 1:
        raise ValueError(f"epsilon is {epsilon}, must lie between 0 and 1")
    if n < 100_000:
        raise ValueError(f"{n} draws; at least 100000 are needed for the edges")
    theta = prior.sample(n, rng)
    each = np.asarray(ratio(theta))
    each = each[None] if each.ndim == 2 else each
    if each.shape[1:] != theta.shape:
        raise ValueError(f"ratio returned {each.shape[1:]} for theta {theta.shape}")
    h = each.mean(axis=0)
    if not np.isfinite(h).all():
        raise ValueError(
            "the log ratio is not finite inside the box; the network has diverged:"
            " train with a smaller learning rate"
        )
    u = prior.cdf(theta)
    bounds = prior.bounds.copy()
    fixed = _fixed(prior)
    edge, cut = np.zeros((prior.d, 2)), np.zeros((prior.d, 2))
    for i in range(prior.d):
        w = np.exp(h[:, i] - h[:, i].max())
        w /= w.sum()
        edge[i] = w[u[:, i] < EDGE].sum(), w[u[:, i] > 1 - EDGE].sum()
        if fixed[i]:
            continue
        hulls = [
            hull(theta[:, i], m[:, i], np.log(epsilon), *prior.bounds[i]) for m in each
        ]
        low, high = min(a for a, _ in hulls), max(b for _, b in hulls)
        bounds[i] = low, high
        cut[i] = w[theta[:, i] < low].sum(), w[theta[:, i] > high].sum()
    return bounds, edge, cut


def _fixed(prior):
    """Parameters that cannot be cut: those that are correlated under the prior."""
    out = np.zeros(prior.d, bool)
    for cols, part in prior._parts:
        if isinstance(part, family.Correlated):
            out[cols] = True
    return out


def round_seed(rng, index):
    """Seed of a round's simulations."""
    return int(np.random.SeedSequence([rng, index]).generate_state(1)[0])


def best_loss(est):
    """Lowest validation loss, summed over blocks, averaged over members."""
    best = [h["validation_loss"].min() for h in est.history]
    return float(np.sum(best) / est.members)
