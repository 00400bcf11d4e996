"""The command: settings, errors in one line, and a run from end to end."""

import subprocess
import sys

import h5py
import numpy as np
import pandas as pd
import pytest

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


def test_errors_are_one_line(tmp_path, capsys):
    assert main(["supernova", "--data", str(tmp_path / "none.dat")]) == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1 and "no table" in text
    config = tmp_path / "c.toml"
    config.write_text("[supernova]\nsimulation = 3\n")
    assert main(["supernova", "--config", str(config)]) == 2
    assert "unknown setting" in capsys.readouterr().err


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
    ranks = out["ranks"]
    assert ranks.shape == (20, 9) and ((ranks >= 0) & (ranks <= 1)).all()
    # again: the exact posterior is found in its file
    lines.clear()
    survey, d, _ = study.prepare(out["settings"], None)
    p = study.exact_posterior(survey, d, out["settings"], tmp_path / "exact.npz",
                              lines.append)  # fmt: skip
    assert lines == ["exact posterior: found"]
    np.testing.assert_array_equal(p.chains, out["exact"].chains)
