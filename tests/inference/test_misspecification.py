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


def test_a_number_that_never_changes_must_not_change():
    # always 5, observed 5.3: no unit of it is far
    rng = np.random.default_rng(7)
    x = np.concatenate([rng.normal(size=(1000, 2)), np.full((1000, 1), 5.0)], axis=1)
    for dtype in (np.float64, np.float32):
        familiar = Familiar(x.astype(dtype))
        with pytest.warns(UnfamiliarData, match="furthest in data"):
            result = familiar.warn([0.0, 0.0, 5.3])
        assert result.p_value == pytest.approx(1 / 1001)
        assert familiar.test([0.0, 0.0, 5.0]).p_value > 0.1
        # rounding is no difference
        assert familiar.test([0.0, 0.0, np.float32(5.0000005)]).p_value > 0.1
    few = Familiar({"a": x[:60, :2], "b": x[:60, 2]})
    with pytest.warns(UnfamiliarData):
        few.warn({"a": [0.0, 0.0], "b": 5.3})


def test_size_with_numbers_that_hardly_ever_change():
    # 60 counts of rate 1/50 in 50 simulations: the odd one out is no news, and the
    # rank of the observation among all is uniform
    rng = np.random.default_rng(8)
    p = []
    for x in rng.poisson(0.02, (500, 50, 60)).astype(float):
        p.append(misspecification_test(x[0], x[1:]).p_value * 50)
    assert np.allclose(p, np.rint(p)) and min(p) >= 1
    low = np.sum(np.array(p) <= 2.5)
    assert stats.binom.ppf(1e-4, 500, 0.04) <= low <= stats.binom.isf(1e-4, 500, 0.04)


@pytest.mark.parametrize("n", [20, 60, 150])
def test_few_simulations_still_know_what_lies_far_beyond(n):
    # no rank is below 1/(1 + n): a power law through the outermost goes on
    rng = np.random.default_rng(n)
    rejected, repeats = 0, 300
    for _ in range(repeats):
        result = Familiar(rng.normal(size=(n, 2))).test(rng.normal(size=2), tail=True)
        assert result.tail <= result.p_value and result.least == 1 / (1 + n)
        rejected += result.tail < 0.005
    assert rejected <= stats.binom.isf(1e-4, repeats, 0.005)
    for embed in (None, lambda x: x.sum(axis=1, keepdims=True)):
        familiar = Familiar(rng.normal(size=(n, 2)), embed)
        with pytest.warns(UnfamiliarData, match="p = "):
            familiar.warn([1e6, 0.0])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            familiar.warn([0.1, 0.0])
    # of heavy tails 1000 is no wonder; more than the furthest is said of nothing else
    heavy = Familiar(rng.standard_cauchy((n, 1)))
    assert heavy.test([1000.0], tail=True).tail > 0.005
    assert heavy.test([1000.0]).tail is None


def test_tail_of_a_power_law_is_exact():
    # |x| of index 2 far out, where kernels see the distance alone
    rng = np.random.default_rng(9)
    p = []
    for _ in range(2000):
        x = rng.pareto(2.0, (41, 1)) * 1e4 + 1e4
        p.append(Familiar(x[1:]).test(x[0], tail=True).tail)
    for level in (0.005, 0.01, 0.02):
        found = np.sum(np.array(p) <= level)
        assert found <= stats.binom.isf(1e-4, 2000, level)
        assert found >= stats.binom.ppf(1e-4, 2000, level / 4)


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
    # what is fixed is known from files, of those before too as long as none are summed
    flat = np.array([[0.0, 5.0], [1.0, 5.0]])[np.arange(300) % 2]
    first = Familiar(flat)
    for gone in ((), ("fixed", "usual", "odd")):
        arrays = {k: v for k, v in first.arrays()["data"].items() if k not in gone}
        back = Familiar.restore({"data": arrays}, first.shape)
        assert back.test([0.0, 5.3]).p_value == pytest.approx(1 / 301)
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


class Known:
    """Exact posterior of independent means under a flat prior."""

    def __init__(self, x):
        self.x = x

    def sample(self, n, rng):
        return self.x + rng.normal(size=(n, len(self.x)))


@pytest.mark.parametrize("law", ["normal", "cauchy", "counts"])
def test_size_of_all_numbers_together_is_exact(law):
    # trap 24: an observation that is one more simulation, 8 numbers, any law of them
    rng = np.random.default_rng(11)
    laws = {"normal": rng.standard_normal, "cauchy": rng.standard_cauchy,
            "counts": lambda size: rng.poisson(0.3, size) * 1.0}  # fmt: skip
    p = []
    for _ in range(600):
        x = laws[law]((60, 8))
        new = lambda theta, rng, x=x: x[1:]  # noqa: E731
        p.append(posterior_predictive(np.zeros((2, 1)), new, x[0], n=59).p_value)
    for level in (1 / 60, 0.05, 0.1, 0.5):
        count = np.sum(np.array(p) <= level + 1e-9)
        assert count <= stats.binom.isf(1e-4, 600, level), level
        # further in, and of counts, several rows are as far out as each other
        if law != "counts" and level < 0.1:
            assert count >= stats.binom.ppf(1e-4, 600, level), level


def test_size_and_power_of_the_default_summaries():
    # trap 24: every number of x is a summary; the data are used twice
    def model(theta, rng):
        return theta + rng.normal(size=theta.shape)

    found = {0.0: [], 6.0: [], 1e3: []}
    for seed in range(60):
        rng = np.random.default_rng([12, seed])
        theta = rng.normal(size=6)
        for off, p in found.items():
            x = model(theta, rng)
            post = Known(x)
            x = x + off * np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
            p.append(posterior_predictive(post, model, x, n=300, rng=seed).p_value)
    assert np.sum(np.array(found[0.0]) < 0.05) <= stats.binom.isf(1e-4, 60, 0.05)
    # six numbers at a thousand sd are further out than any simulation
    assert np.allclose(found[1e3], 1 / 301)
    # 6 of sqrt(2) sd are 4.2 sd: beyond all 300 in most cases
    assert np.mean(np.array(found[6.0]) < 0.05) > 0.9


def test_predictions_of_dicts():
    def model(theta, rng):
        return {"map": theta[:, :, None] + rng.normal(size=(len(theta), 2, 3)),
                "n": theta[:, 0]}  # fmt: skip

    draws = np.random.default_rng(13).normal(size=(200, 2))
    x = {"map": np.zeros((2, 3)), "n": 0.5}
    result = posterior_predictive(draws, model, x, n=100)
    assert result.names == [f"map[{k}]" for k in range(6)] + ["n"]
    assert result.simulated.shape == (100, 7) and result.p_value > 0.05
    assert result.observed.tolist() == [0.0] * 6 + [0.5]
    far = {"map": np.full((2, 3), 50.0), "n": 0.5}
    assert posterior_predictive(draws, model, far, n=100).p_value < 0.02
    mean = {"mean": lambda x: x["map"].mean(axis=(1, 2)) + x["n"]}
    assert posterior_predictive(draws, model, x, mean, 100).names == ["mean"]
    with pytest.raises(ValueError, match="needed to be like x_obs"):
        posterior_predictive(draws, model, {"map": x["map"]}, n=100)
    with pytest.raises(ValueError, match="needed to be like x_obs"):
        posterior_predictive(draws, model, x["map"], n=100)


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
