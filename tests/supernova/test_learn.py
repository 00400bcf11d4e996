"""Networks of the last round where the posterior is known."""

import numpy as np

from gradiverse.inference import NRE, Prior
from gradiverse.supernova import _region
from gradiverse.supernova.learn import training


def ridge():
    """Covariance of a ridge like that of Om, w and M0, and of one parameter more."""
    r = np.eye(4)
    r[0, 1] = r[1, 0] = -0.96
    r[0, 2] = r[2, 0] = 0.5
    r[1, 2] = r[2, 1] = -0.65
    return r


def test_normal_posteriors_keep_their_widths(monkeypatch):
    """Eight observations; learned sds scatter by 1 %."""
    monkeypatch.setattr(_region, "DRAWS", 300_000)
    prior = Prior({f"t{i}": (-60.0, 60.0) for i in range(4)})
    region = _region.Region(prior, np.zeros(4), ridge())
    marginals = region.marginals()
    rng = np.random.default_rng(1)
    theta = region.sample(24_000, rng)
    x = (region.turned(theta) + rng.normal(size=theta.shape)).astype(np.float32)
    est = NRE(marginals, marginals="1d", rng=0, **training(30)).fit(theta, x)
    sds, shifts = [], []
    for at in 0.7 * rng.normal(size=(8, 4)):
        posterior = est.posterior(at.astype(np.float32))
        draws = [posterior.sample_marginal(i, 10_000, i)[:, 0] for i in range(4)]
        sds.append(np.std(draws, axis=1))
        shifts.append(np.mean(draws, axis=1) - region.L @ at)
    np.testing.assert_allclose(np.mean(sds, axis=0), 1.0, atol=0.035)
    assert np.sqrt(np.mean(np.square(shifts))) < 0.06
