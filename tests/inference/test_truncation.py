"""Boxes of truncation on exact ratios: Gaussian half-widths, the torus, lost mass."""

import json

import numpy as np
import pytest
import scipy.stats

from gradiverse.inference import Prior
from gradiverse.inference.rounds import Round, hull, truncate

N = 200_000


@pytest.mark.parametrize(
    ("epsilon", "width", "lost"),
    [(1e-4, 4.2919, 1.77e-5), (np.exp(-13.0), 5.0990, 3.41e-7)],
)
def test_gaussian_marginal(epsilon, width, lost):
    """Half-width sqrt(-2 ln ε) σ; the next draw outwards is 20/N of the box away."""
    prior = Prior(a=(-10.0, 10.0))
    bounds, _, _ = truncate(
        lambda t: -0.5 * t**2, prior, epsilon, np.random.default_rng(0), N
    )
    assert -bounds[0, 0] == pytest.approx(width, abs=12 * 20 / N)
    assert bounds[0, 1] == pytest.approx(width, abs=12 * 20 / N)
    assert bounds[0, 0] <= -width <= width <= bounds[0, 1]
    assert 2 * scipy.stats.norm.sf(width) == pytest.approx(lost, rel=5e-3)


def torus_marginals():
    """ln of the likelihood of the torus, integrated to each parameter by quadrature."""
    grid = (np.arange(4000) + 0.5) / 4000
    a, b = grid[:, None], grid[None, :]
    radius = np.hypot(a - 0.6, b - 0.8)
    log_l = -0.5 * ((a - 0.57) / 0.03) ** 2 - 0.5 * ((radius - 0.03) / 0.005) ** 2
    like = np.exp(log_l)
    h = np.stack(
        [
            np.log(like.sum(1) + 1e-300),
            np.log(like.sum(0) + 1e-300),
            -0.5 * ((grid - 1.0) / 0.2) ** 2,
        ]
    )
    return lambda t: np.stack(
        [np.interp(t[:, i], grid, h[i]) for i in range(3)], axis=1
    )


def test_torus_hull():
    """Exact hull at ε = 1e-3: (.5528, .6428) x (.7525, .8475) x (.2566, 1)."""
    prior = Prior(a=(0.0, 1.0), b=(0.0, 1.0), c=(0.0, 1.0))
    expected = np.array([[0.5528, 0.6428], [0.7525, 0.8475], [0.2566, 1.0]])
    bounds, _, _ = truncate(torus_marginals(), prior, 1e-3, np.random.default_rng(1), N)
    slack = 1e-4 + 12 / N
    assert (abs(bounds - expected) < slack).all()
    assert (bounds[:, 0] <= expected[:, 0] + 1e-4).all()
    assert (bounds[:, 1] >= expected[:, 1] - 1e-4).all()
    volume = prior.truncate(bounds).volume
    assert volume == pytest.approx(0.006351, rel=0.01)
    # cutting again with the same ratio changes nothing but the next draws outwards
    again, _, _ = truncate(
        torus_marginals(), prior.truncate(bounds), 1e-3, np.random.default_rng(2), N
    )
    assert prior.truncate(again).volume / volume > 0.999


def test_two_modes_keep_the_gap():
    values = np.linspace(0, 1, 1001)
    h = np.where(abs(values - 0.2) < 0.05, 0.0, -50.0)
    h[abs(values - 0.8) < 0.05] = -1.0
    low, high = hull(values, h, np.log(1e-3), 0.0, 1.0)
    assert abs(low - 0.15) < 2e-3 and abs(high - 0.85) < 2e-3
    assert low <= 0.15 and high >= 0.85
    h[:] = 0.0
    assert hull(values[1:-1], h[1:-1], np.log(1e-3), 0.0, 1.0) == (0.0, 1.0)


def test_mass_at_edges_and_beyond():
    """A ratio of 1: one per cent at every edge; a step: the mass beyond it."""
    prior = Prior(a=(0.0, 1.0), b=scipy.stats.norm(2.0, 3.0))

    def ratio(theta):
        return np.zeros(theta.shape)

    bounds, edge, cut = truncate(ratio, prior, 1e-6, np.random.default_rng(3))
    assert (bounds == prior.bounds).all() and (cut == 0).all()
    error = 4 * np.sqrt(0.01 / 100_000)
    assert edge == pytest.approx(np.full((2, 2), 0.01), abs=error)

    def step(theta):
        return np.where(theta < 0.25, -np.log(50.0), 0.0)

    bounds, _, cut = truncate(step, prior, 0.1, np.random.default_rng(4))
    assert bounds[0] == pytest.approx([0.25, 1.0], abs=12 / 100_000)
    share = 0.25 / 50 / (0.25 / 50 + 0.75)
    assert cut[0, 0] == pytest.approx(share, rel=0.1) and cut[0, 1] == 0


def test_correlated_parameters_are_not_cut():
    normal = scipy.stats.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]])
    prior = Prior(a=normal, b=(0.0, 1.0))

    def ratio(theta):
        return -50 * (theta - 0.5) ** 2

    bounds, _, _ = truncate(ratio, prior, 1e-3, np.random.default_rng(5))
    assert np.isinf(bounds[:2]).all() and np.isfinite(bounds[2]).all()
    assert prior.truncate(bounds).volume < 1


def test_lost_mass_is_found():
    """A box that cut the posterior shows mass at an inner edge, another none."""
    prior = Prior(a=(-10.0, 10.0))
    wide, narrow = prior.truncate([(-6.0, 6.0)]), prior.truncate([(-6.0, 1.0)])
    found = []
    for box in (wide, narrow):
        bounds, edge, cut = truncate(
            lambda t: -0.5 * t**2, box, 1e-6, np.random.default_rng(6)
        )
        r = Round(
            1, box.bounds, box.log_volume, 1, 0, 0, 1, 0.0, bounds, 0.0, edge, cut
        )
        found.append(r.lost(prior))
    mass, name, side = found[1]
    # density at 1, times 1 % of the box of 7 units, over the mass below 1
    normal = scipy.stats.norm
    exact = (normal.cdf(1) - normal.cdf(0.93)) / normal.cdf(1)
    assert mass == pytest.approx(exact, rel=0.1) and (name, side) == ("a", "high")
    assert found[0][0] < 1e-6


def test_round_as_plain_numbers():
    box = np.array([[0.0, 1.0]])
    r = Round(2, box, -0.5, 10, 5, 1, 30, 0.7, box / 2, -1.0, box, box)
    again = Round.restore(json.loads(json.dumps(r.plain())))
    assert again.plain() == r.plain()
    assert again.ratio == pytest.approx(np.exp(-0.5))


def test_bad_input_says_what():
    prior = Prior(a=(0.0, 1.0))
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="epsilon"):
        truncate(lambda t: t, prior, 0.0, rng)
    with pytest.raises(ValueError, match="100000"):
        truncate(lambda t: t, prior, 0.1, rng, n=1000)
    with pytest.raises(ValueError, match="not finite"):
        truncate(lambda t: t * np.nan, prior, 0.1, rng)
    with pytest.raises(ValueError, match="returned"):
        truncate(lambda t: t[:, 0], prior, 0.1, rng)
