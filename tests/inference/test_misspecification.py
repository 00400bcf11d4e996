"""Unlike data, predictive checks: size, power, warnings."""

import warnings

import numpy as np
import pytest
from scipy import stats

from gradiverse.inference import NRE, Prior
from gradiverse.inference._predictive import posterior_predictive
from gradiverse.inference._unfamiliar import (
    Familiar,
    UnfamiliarData,
    misspecification_test,
)
from gradiverse.nn import MLP


def test_p_value_of_one_observation_is_uniform_under_the_null():
    # exchangeable with the simulations: k/(m + 1) exactly, also in skewed laws
    rng = np.random.default_rng(0)
    x = rng.exponential(size=(600, 3))
    p = []
    for _ in range(600):
        pick = rng.permutation(600)[:50]
        p.append(misspecification_test(x[pick[0]], x[pick[1:]]).p_value * 50)
    assert np.allclose(p, np.rint(p)) and min(p) >= 1
    x = rng.exponential(size=(800, 25, 3))
    p = np.array([misspecification_test(a[0], a[1:]).p_value for a in x])
    counts = np.bincount(np.rint(p * 25).astype(int) - 1, minlength=25)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_far_data_are_found_and_units_do_not_matter():
    rng = np.random.default_rng(1)
    units = np.array([1.0, 1e6, 1e-6, 0.0])  # the last column is constant
    x = rng.normal(size=(1000, 4)) * units
    far = np.array([0.0, 6e6, 0.0, 0.0])
    assert misspecification_test(far, x).p_value < 0.005
    assert misspecification_test(x[0], x[1:]).p_value > 0.005
    off = np.array([0.0, 0.0, 0.0, 8.0])  # moves what never moved
    assert misspecification_test(off, x).p_value < 0.005
    # power at four sd in one of three columns: found at 1 % in most cases
    some = rng.normal(size=(100, 4)) * units
    some[:, 0] = 4.0
    familiar = Familiar(x)
    assert np.mean([familiar.test(s).p_value <= 0.01 for s in some]) > 0.7


def test_embedding_is_a_test_of_its_own():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(1000, 30))
    odd = rng.normal(size=30)  # of usual length, but its mean is 4 sd off
    odd -= odd.mean()
    odd = 0.75 + odd * np.sqrt(30 * (1 - 0.75**2) / (odd @ odd))
    mean = lambda x: x.mean(axis=-1, keepdims=True)  # noqa: E731
    result = misspecification_test(odd, x, embed=mean)
    assert result.p_values["embedding"] < 0.005 < result.p_values["data"]
    assert result.p_value == pytest.approx(2 * result.p_values["embedding"])


def test_several_observations_together():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(400, 2))
    assert misspecification_test(rng.normal(size=(50, 2)), x).p_value > 0.005
    assert misspecification_test(rng.normal(0.7, size=(50, 2)), x).p_value < 0.005


def test_warning_names_the_space_and_stays_away_from_usual_data():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(2000, 2, 2))
    x[:5] = np.nan  # failed simulations
    familiar = Familiar(x)
    with pytest.warns(UnfamiliarData, match="furthest in data space"):
        familiar.warn(np.full((2, 2), 7.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        familiar.warn(np.zeros((2, 2)))
    quiet = sum(familiar.test(rng.normal(size=(2, 2))).p_value < 0.005
                for _ in range(400))  # fmt: skip
    assert quiet <= stats.binom.isf(1e-4, 400, 0.005)


def test_wide_data_and_dicts():
    # 20000 columns go through 1024 signed sums: 1.5 sd in each is far out
    rng = np.random.default_rng(6)
    x = {"map": rng.normal(size=(60, 100, 200)), "n": rng.normal(size=60)}
    wide = Familiar(x)
    assert wide.spaces["data"].rows.shape == (60, 1024)
    one = lambda scale: {"map": scale * rng.normal(size=(100, 200)), "n": 0.0}  # noqa: E731
    assert wide.test(one(1.5)).p_value == pytest.approx(1 / 61)
    assert wide.test(one(1.0)).p_value > 1 / 61
    again = Familiar.restore(wide.arrays(), wide.shape)
    far = one(1.2)
    assert again.test(far) == wide.test(far)
    few = {"map": np.zeros((3, 100, 200)), "n": np.zeros(2)}
    with pytest.raises(ValueError, match="rows"):
        Familiar(few)
    with pytest.raises(ValueError, match="one more axis"):
        wide.test({"map": np.zeros((100, 200))})


@pytest.mark.parametrize("embedded", [False, True])
def test_estimator_warns_at_inference_also_out_of_a_file(embedded, tmp_path):
    prior = Prior(a=(-1.0, 1.0))
    theta = prior.sample(800, rng=0)
    x = theta + 0.1 * np.random.default_rng(1).normal(size=(800, 3))
    x[:7] = np.nan
    net = MLP((3, 4, 2)) if embedded else None
    with pytest.warns(UserWarning, match="7 of 800"):
        est = NRE(prior, marginals="1d", embedding=net, epochs=1).fit(theta, x)
    est.save(tmp_path / "est.h5")
    for e in (est, NRE.load(tmp_path / "est.h5", embedding=net)):
        assert ("embedding" in e.familiar.spaces) == embedded
        with pytest.warns(UnfamiliarData, match="unlike the simulations"):
            e.posterior(np.array([9.0, -9.0, 9.0]))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            e.posterior(x[10])
    far = np.array([5.0, 5.0, 5.0])
    assert est.familiar.test(far) == e.familiar.test(far)


def test_unfamiliar_bad_input():
    x = np.random.default_rng(5).normal(size=(100, 3))
    with pytest.raises(ValueError, match=r"\(3,\) is needed"):
        misspecification_test(np.zeros(4), x)
    with pytest.raises(ValueError, match="20 are needed"):
        misspecification_test(x[0], x[:10])
    with pytest.raises(ValueError, match="not finite"):
        misspecification_test(np.full(3, np.nan), x)


def _model(theta, rng):
    return theta + rng.normal(size=(len(theta), 20))


def _known(x, rng):
    """Exact posterior of a mean of 20 with a flat prior."""
    return x.mean() + rng.normal(size=(500, 1)) / np.sqrt(20)


def test_predictive_size_and_power():
    # traps 24: at 5 %, never more under the model; outliers of another law are found
    spread = {"spread": lambda x: x.std(axis=1), "top": lambda x: x.max(axis=1)}
    wrong = {False: 0, True: 0}
    for seed in range(200):
        rng = np.random.default_rng(seed)
        for misfit in wrong:
            x = rng.standard_t(1.5, 20) if misfit else rng.normal(size=20)
            draws = _known(x, rng)
            wrong[misfit] += posterior_predictive(
                draws, _model, x, spread, 200, rng
            ).p_value < 0.05  # fmt: skip
    assert wrong[False] <= stats.binom.isf(1e-4, 200, 0.05)
    assert wrong[True] > 120


def test_predictive_p_values_count_both_tails_and_the_observation():
    class Fixed:
        def sample(self, n, rng):
            return np.arange(float(n))[:, None]

    same = lambda theta, rng: theta  # noqa: E731
    for x, want in (
        (-1.0, 2 / 101),
        (200.0, 2 / 101),
        (49.5, 1.0),
        (9.5, 2 * 11 / 101),
    ):
        result = posterior_predictive(Fixed(), same, np.array([x]), n=100)
        assert result.p_values[0] == pytest.approx(want), x
    assert result.names == ["x[0]"] and result.simulated.shape == (100, 1)
    assert len(result.plot().axes) == 1


def test_predictive_bad_input():
    draws = np.zeros((10, 1))
    with pytest.raises(ValueError, match=r"\(50, 3\)"):
        posterior_predictive(draws, _model, np.zeros(3), n=50)
    with pytest.raises(ValueError, match="failed"):
        posterior_predictive(draws, lambda t, rng: t * np.nan, np.zeros(1), n=50)
    with pytest.raises(ValueError, match="one finite number for each"):
        posterior_predictive(draws, _model, np.zeros(20), {"all": lambda x: x}, 50)
