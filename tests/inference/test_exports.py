"""Draws as getdist and arviz objects: the calls made, and the real packages."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats

from gradiverse.inference import Ensemble, Posterior, Prior
from gradiverse.inference._coordinates import Coordinates


def _posterior():
    prior = Prior(a=(-1.0, 1.0), b=scipy.stats.norm(0, 2), c=scipy.stats.expon())
    coordinates = Coordinates(prior, ((0,), (1,), (2,)))
    return Posterior(coordinates, lambda z: np.zeros(z.shape))


def _mixture():
    est = SimpleNamespace(posterior=lambda x: _posterior())
    return Ensemble([est, est]).posterior(None)


MAKERS = pytest.mark.parametrize("make", [_posterior, _mixture])


@MAKERS
def test_getdist_gets_draws_names_and_limits(make, monkeypatch):
    calls = []
    stand_in = SimpleNamespace(
        MCSamples=lambda **options: calls.append(options) or "made"
    )
    monkeypatch.setitem(sys.modules, "getdist", stand_in)
    post = make()
    assert post.to_getdist(50, 3) == "made"
    (options,) = calls
    assert np.array_equal(options["samples"], post.sample(50, 3))
    assert options["names"] == options["labels"] == ["a", "b", "c"]
    assert options["ranges"] == {"a": (-1.0, 1.0), "b": (None, None), "c": (0.0, None)}


@MAKERS
@pytest.mark.parametrize(("version", "new"), [("0.17.1", False), ("1.0.0", True)])
def test_arviz_gets_one_chain(make, version, new, monkeypatch):
    calls = []

    def from_dict(*args, **options):
        calls.append((args, options))
        return "made"

    stand_in = SimpleNamespace(__version__=version, from_dict=from_dict)
    monkeypatch.setitem(sys.modules, "arviz", stand_in)
    post = make()
    assert post.to_arviz(50, 3) == "made"
    ((args, options),) = calls
    assert (len(args), len(options)) == ((1, 0) if new else (0, 1))
    group = (args[0] if new else options)["posterior"]
    draws = post.sample(50, 3)
    assert list(group) == ["a", "b", "c"]
    for k, name in enumerate(group):
        assert np.array_equal(group[name], draws[None, :, k])


@pytest.mark.parametrize("name", ["getdist", "arviz"])
def test_a_missing_package_is_named(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=f"pip install {name}"):
        getattr(_posterior(), f"to_{name}")()


@MAKERS
def test_real_getdist(make):
    pytest.importorskip("getdist")
    post = make()
    samples = post.to_getdist(500, 3)
    assert np.asarray(samples.samples) == pytest.approx(post.sample(500, 3))
    assert samples.getParamNames().list() == ["a", "b", "c"]
    assert samples.ranges.getLower("a") == -1.0 and samples.ranges.getUpper("c") is None


@MAKERS
def test_real_arviz(make):
    pytest.importorskip("arviz")
    post = make()
    values = np.asarray(post.to_arviz(500, 3)["posterior"]["b"])
    assert values == pytest.approx(post.sample(500, 3)[None, :, 1])
