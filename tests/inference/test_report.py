"""The page of checks: verdicts, files, one set of draws for all checks."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from gradiverse.inference._figures import plot_coverage
from gradiverse.inference._report import report

from .known import Gaussian, Prior, pairs


def _model(theta, rng):
    return theta + rng.normal(size=theta.shape)


def test_exact_posterior_passes_everything():
    theta, x = pairs(500, d=2, seed=1)
    result = report(
        Gaussian(), theta, x, x[0], simulator=_model, n_draws=99, level=1e-3
    )
    assert result.checks.passed.all(), result.checks
    assert result.checks.check.tolist() == [
        "coverage", "ranks (SBC)", "balls (TARP)", "balls about data", "observation",
        "predictions",
    ]  # fmt: skip
    assert result.path is None
    assert result.coverage.level.unique().tolist() == [0.683, 0.954]


@pytest.mark.parametrize(
    ("est", "failed"),
    [
        (
            Gaussian(0.6),
            {"coverage", "ranks (SBC)", "balls (TARP)", "balls about data"},
        ),
        (Gaussian(shift=0.8), {"coverage", "ranks (SBC)", "balls about data"}),
        (Prior(), {"balls about data"}),
    ],
)
def test_wrong_posteriors_fail_where_they_must(est, failed):
    theta, x = pairs(600, d=2, seed=2)
    checks = report(est, theta, x, n_draws=99, level=1e-3).checks
    assert failed <= set(checks.check[~checks.passed])
    if isinstance(est, Prior):
        assert failed == set(checks.check[~checks.passed])
    if isinstance(est, Gaussian) and est.width < 1:
        assert "too rarely" in checks.finding[0]


def test_page_and_files(tmp_path):
    theta, x = pairs(150, d=2, seed=3)
    est = Gaussian()
    est.names = ["alpha", "beta<"]
    columns = {"epoch": [1, 2], "train_loss": [2.0, 1.0], "validation_loss": [2.0, 1.5]}
    est.history = [pd.DataFrame(columns)]
    far = np.array([0.0, 9.0])
    result = report(
        est, theta, x, far, simulator=_model, truth=[0.0, 0.0], output=tmp_path / "out",
        n_draws=19, heading="A test", notes=["a note"],
    )  # fmt: skip
    text = result.path.read_text()
    for words in ("A test", "a note", "alpha", "beta&lt;", "Failed: ", "Contraction",
                  "unlike the simulations", "gradiverse"):  # fmt: skip
        assert words in text, words
    assert "beta<" not in text
    pictures = ("coverage", "sbc", "tarp_uniform", "tarp_data", "posterior",
                "predictive", "training")  # fmt: skip
    for name in pictures:
        data = (tmp_path / "out" / f"{name}.png").read_bytes()
        assert data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) > 5000, name
    assert text.count("data:image/png") == len(pictures)
    checks = pd.read_csv(tmp_path / "out" / "checks.csv")
    assert np.allclose(checks.p_value, result.checks.p_value)
    assert len(pd.read_csv(tmp_path / "out" / "coverage.csv")) == 6


def test_memory_does_not_grow_with_the_number_of_pairs():
    # trap 21
    peaks = []
    for n in (40, 300):
        theta, x = pairs(n, seed=4)
        tracemalloc.start()
        report(Gaussian(), theta, x, n_draws=9999)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 4e6  # 300 sets of draws are 24 MB


def test_curves_below_the_diagonal_are_drawn_so():
    table = pd.DataFrame({"parameter": "a", "level": [0.3, 0.683, 0.95],
                          "coverage": [0.2, 0.5, 1.0], "low": [0.1, 0.4, 0.9],
                          "high": [0.3, 0.6, 1.0]})  # fmt: skip
    ax = plot_coverage(table)
    z = {line.get_label(): line.get_data() for line in ax.get_lines()}["a"]
    assert np.allclose(z[0], [0.38532, 1.00064, 1.95996], atol=1e-4)
    assert np.allclose(z[1][:2], [0.25335, 0.67449], atol=1e-4)
    assert np.isfinite(z[1]).all()


def test_too_few_pairs():
    theta, x = pairs(10)
    with pytest.raises(ValueError, match="at least 20"):
        report(Gaussian(), theta, x)
