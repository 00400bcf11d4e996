"""The command: settings, errors in one line, and a run from end to end."""

import subprocess
import sys
import warnings

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gradiverse.cli import main
from gradiverse.supernova import _region, learn, report, study


def test_settings():
    s = study.check_settings({"Om": 0.25, "seed": 3})
    assert s["rng"] == 3 and s["truth"]["Om"] == 0.25
    assert study.check_settings({"n": 100}, quick=True)["n"] == 100
    for bad, message in (
        ({"nn": 1}, "unknown setting"), ({"model": "open"}, "not one of"),
        ({"n": 0}, "n must be an int"), ({"Om": "x"}, "Om must be a number"),
        ({"rng": 1, "seed": 2}, "they are one"), ({"z_min": -1}, "z_min"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            study.check_settings(bad)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "flat", "OL": 0.5}, 'OL = 0.5 with Om = 0.3 is not flat.*"curved"'),
        ({"model": "flat", "w": -0.7}, 'w = -0.7: model "flat" has w = -1.*"wcdm"'),
        ({"model": "curved", "w": -0.7}, 'model "curved" has w = -1'),
        ({"Om": 2.5}, "Om = 2.5 of the simulated truth is outside the prior, 0 to 2"),
        ({"sres": 0.0}, "sres must be positive"),
        ({"sres": 1e-5}, "ln_sres = .* outside the prior"),
        ({"n": 3}, "n must be an int of at least 20"),
        ({"draws": 1}, "draws must be an int of at least 20"),
        ({"simulations": 5}, "simulations must be an int of at least 100"),
    ],
)
def test_truths_and_sizes_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        study.check_settings(settings)


def test_dark_energy_follows_matter_in_flat_models():
    assert study.check_settings({"Om": 0.5})["truth"]["OL"] == 0.5
    s = study.check_settings({"Om": 0.5, "w": -0.7, "model": "wcdm"})
    assert s["truth"]["OL"] == 0.5 and s["truth"]["w"] == -0.7
    assert study.check_settings({"Om": 0.4, "OL": 0.6})["truth"]["OL"] == 0.6
    assert study.check_settings({"Om": 0.4, "model": "curved"})["truth"]["OL"] == 0.7


def test_errors_are_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["supernova", "--data", str(tmp_path / "none.dat")]) == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1 and "no table" in text
    config = tmp_path / "c.toml"
    config.write_text("[supernova]\nsimulation = 3\n")
    assert main(["supernova", "--config", str(config)]) == 2
    assert "unknown setting" in capsys.readouterr().err
    config.write_text("[supernova]\nw = -0.7\n")
    assert main(["supernova", "--config", str(config)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    # nothing is made before all is known to be good
    assert [p.name for p in tmp_path.iterdir()] == ["c.toml"]


def test_unfamiliar_data_are_said_on_stderr(monkeypatch, capsys):
    def run(*_):
        learn._familiarity({"scores": (np.full(3, 9.0), x), "moments": (x[0], x)})
        warnings.warn("of a loader", UserWarning, stacklevel=1)

    x = np.random.default_rng(0).normal(size=(500, 3))
    monkeypatch.setattr(study, "run", run)
    assert main(["supernova"]) == 0
    text = capsys.readouterr().err
    assert text.count("\n") == 1 and "gradiverse supernova: the data are unlike" in text
    assert "p = 0.002 in their scores" in text


def test_familiarity_is_in_words():
    well = report.check_text({"scores": 0.4, "moments": 0.03})
    assert "p = 0.4 in scores, 0.03 in moments; nothing is unfamiliar" in well
    assert "unlike" in report.check_text({"scores": 0.4, learn.NEAR: 0.002})


def fake_table(**columns):
    base = {"parameter": ["Om", "alpha"], "sd_ratio": [1.0, 1.0], "ess_sd": 2000.0}
    return pd.DataFrame({**base, **columns})


def test_S10_claims_that_are_too_narrow_are_flagged():
    """Normal posteriors: ranks of the truth where the claimed sd of alpha is half."""
    rng = np.random.default_rng(0)
    error = rng.normal(size=(400, 2))
    honest, narrow = stats.norm.cdf(error), stats.norm.cdf(error * [1.0, 2.0])
    assert report.doubts(fake_table(), honest) == []
    lines = report.doubts(fake_table(), narrow)
    # regions of 68.27 % hold 38 %, those of 95.45 % hold 68 %
    assert len(lines) == 2 and all("alpha by networks: regions" in s for s in lines)
    assert report.doubts(fake_table(), stats.norm.cdf(0.5 * error)) == []
    # narrower than the exact posterior
    (line,) = report.doubts(fake_table(sd_ratio=[0.97, 0.7]))
    assert line.startswith("alpha by networks: sd 0.70")
    # few effective draws: the exact sd itself is not known
    assert report.doubts(fake_table(sd_ratio=[0.97, 0.7], ess_sd=60.0)) == []
    # a linear head that knows alpha better than its features can
    linear = {"linear_least": [0.0, 2.9], "linear_sd_ratio": [1.1, 1.2]}
    (line,) = report.doubts(fake_table(**linear))
    assert line.startswith("alpha by linear head: sd 1.20")
    linear["linear_sd_ratio"] = [1.1, 3.0]
    assert report.doubts(fake_table(**linear)) == []


def test_help():
    command = [sys.executable, "-m", "gradiverse.cli", "supernova", "--help"]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--data" in out.stdout and "--quick" in out.stdout


def test_run(tmp_path, monkeypatch):
    monkeypatch.setattr(learn, "ROUND_STEPS", 30)
    monkeypatch.setattr(_region, "DRAWS", 40_000)
    config = {"n": 150, "draws": 60, "warmup": 60, "chains": 2, "simulations": 200,
              "final": 400, "objects": 8, "epochs": 2, "max_rounds": 1, "linear": 100,
              "coverage": 20}  # fmt: skip
    lines = []
    out = study.run(tmp_path, config, say=lines.append)
    files = "globals.csv objects.csv rounds.csv posterior.h5 hubble.png corner.png"
    for name in f"{files} pulls.png coverage.png report.html".split():
        assert (tmp_path / name).stat().st_size > 100, name
    table = pd.read_csv(tmp_path / "globals.csv")
    assert list(table["parameter"]) == list(out["exact"].names)
    assert len(pd.read_csv(tmp_path / "objects.csv")) == 150
    with h5py.File(tmp_path / "posterior.h5") as file:
        assert file.attrs["n"] == 150 and file["network"].shape[1] == 9
        assert "version" in file.attrs
    page = (tmp_path / "report.html").read_text()
    assert page.count("<img") == 4 and "Coverage" in page
    assert report.headline(out).startswith("150 objects")
    assert set(out["learned"].check) == {"scores", "moments", learn.NEAR}
    assert report.check_text(out["learned"].check) in page
    assert out["doubts"][0].startswith("the box has not settled after max_rounds = 1")
    assert out["doubts"][0] in page and out["doubts"][0] in lines
    assert "ess_sd" in table and "linear_least" in table
    ranks = out["ranks"]
    assert ranks.shape == (20, 9) and ((ranks >= 0) & (ranks <= 1)).all()
    # again: the exact posterior is found in its file
    lines.clear()
    survey, d, _ = study.prepare(out["settings"], None)
    p = study.exact_posterior(survey, d, out["settings"], tmp_path / "exact.npz",
                              lines.append)  # fmt: skip
    assert lines == ["exact posterior: found"]
    np.testing.assert_array_equal(p.chains, out["exact"].chains)
