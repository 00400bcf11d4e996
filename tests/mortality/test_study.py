"""The study and the command: products, labels, settings, and errors in one line."""

import json
import re
import subprocess
import sys

import h5py
import numpy as np
import pandas as pd
import pytest

from gradiverse import cli, mortality
from gradiverse.mortality import _sources, figures, report, study


@pytest.fixture(autouse=True)
def no_real_data(monkeypatch):
    monkeypatch.delenv("GRADIVERSE_DATA", raising=False)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    out = tmp_path_factory.mktemp("study")
    lines = []
    config = {"download": False, "compare": ["mean"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("GRADIVERSE_DATA", raising=False)
        done = study.run(None, out, config, quick=True, say=lines.append)
    return done, out, lines


def test_products(result):
    done, out, lines = result
    names = {p.name for p in out.iterdir()}
    assert {
        "report.html",
        "study.h5",
        "weekly.csv",
        "units.csv",
        "joint.csv",
        "ages.csv",
        "calibration.csv",
        "fan_chart.png",
        "ranking.png",
        "calibration.png",
        "cumulative.png",
    } <= names
    assert not any(n.endswith(".part") for n in names)
    assert set(done["files"]) <= set(out.iterdir())
    assert any("held-out years, pooled" in line for line in lines)


def test_synthetic_data_are_labelled(result):
    _, out, lines = result
    text = (out / "report.html").read_text()
    assert "SYNTHETIC DATA" in text and "synthetic" in lines[0]
    assert "known truth" in text


def test_report_stands_alone(result):
    """Figures are inside, nothing is fetched, the calibration stands beside the
    answer.
    """
    _, out, _ = result
    text = (out / "report.html").read_text()
    assert text.startswith("<!doctype html>") and text.rstrip().endswith("</html>")
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert text.count("data:image/png;base64,") >= 4
    assert "Calibration" in text or "held-out years" in text
    for column in ("rms", "crps", "c95", "Choices and limits"):
        assert column in text


def test_numbers_in_files_agree(result):
    done, out, _ = result
    joint = done["excess"].total(by=())
    read = pd.read_csv(out / "joint.csv")
    np.testing.assert_allclose(read.excess, joint.excess)
    with h5py.File(out / "study.h5") as file:
        assert (
            file.attrs["method"] == "pooled" and file.attrs["data_kind"] == "synthetic"
        )
        assert "version" in file.attrs and json.loads(file.attrs["notes"])
        C = file["covariance"][:]
        assert np.sqrt(C.sum()) == pytest.approx(joint.sd[0], rel=1e-9)
        assert file["expected"].attrs["unit"] == "deaths"
        np.testing.assert_allclose(file["tables/joint/excess"][:], joint.excess)


def test_truth_lies_within_the_interval(result):
    """On the generator the joint sum's error stays within 3 sd of the known truth."""
    done, _, _ = result
    _data, truth = mortality.synthetic(units=6, by_age=True, rng=0)
    t = done["excess"].total(by=()).iloc[0]
    assert abs(t.excess - truth.excess.sum()) < 3 * t.sd + 4 * np.sqrt(t.expected)


def test_user_table(tmp_path):
    data, _ = mortality.synthetic(units=3, years=range(2013, 2019), rng=7)
    path = tmp_path / "deaths.csv"
    data.rename(columns={"unit": "Region"}).to_csv(path, index=False)
    done = study.run(
        path, tmp_path / "out", {"method": "mean", "onset": 12}, quick=True
    )
    assert done["source"].kind == "path" and done["plan"]["year"] == 2018
    assert done["excess"].onset == 12
    folder = study.choose_data(tmp_path)
    assert len(folder.frame) == len(data)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"metod": "x"}, "unknown setting"),
        ({"method": "x"}, "method must be"),
        ({"onset": 8.5}, "whole number"),
        ({"compare": "mean"}, "compare must be"),
        ({"units": ["Atlantis"]}, "units not in the data: Atlantis"),
        ({"year": 1999}, "no data before 1999"),
        ({"year": 2050}, "no data in 2050"),
        ({"onset": 70}, "outside the data"),
    ],
)
def test_bad_settings(tmp_path, config, words):
    with pytest.raises(ValueError, match=words):
        study.run(None, tmp_path, {"download": False, **config}, quick=True)


def test_settings_of_the_method(tmp_path):
    done = study.run(
        None,
        tmp_path,
        {"download": False, "method": "cgp", "covariance": "ppca"},
        quick=True,
    )
    assert done["excess"]._source.options == {"covariance": "ppca"}


def command(*arguments):
    """Exit status and captured output of the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "gradiverse.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_command_writes_a_report(tmp_path, monkeypatch):
    config = tmp_path / "c.toml"
    config.write_text('[mortality]\nmethod = "trend"\ndownload = false\n')
    done = command(
        "mortality", "--quick", "--config", config, "--output", tmp_path / "o"
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "o" / "report.html").is_file()
    assert "SYNTHETIC" in done.stdout and done.stderr == ""


def test_command_errors_are_one_line(tmp_path, capsys):
    bad = tmp_path / "bad.csv"
    bad.write_text("unit,year,week,deaths\na,2019,1,-4\n")
    toml = tmp_path / "bad.toml"
    toml.write_text("[mortality\n")
    other = tmp_path / "other.toml"
    other.write_text("[lensing]\nx = 1\n")
    for arguments in (
        ("--data", tmp_path / "none.csv"),
        ("--data", bad),
        ("--config", toml),
        ("--config", other),
        ("--config", tmp_path / "none.toml"),
    ):
        words = ["mortality", "--output", str(tmp_path / "o"), *map(str, arguments)]
        assert cli.main(words) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("gradiverse mortality: ")
    done = command("mortality", "--data", bad, "--output", tmp_path / "o")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_command_help(capsys):
    for arguments in (["--help"], ["mortality", "--help"]):
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        assert stop.value.code == 0
    text = capsys.readouterr().out
    for option in ("--data", "--config", "--output", "--quick"):
        assert option in text
    assert cli.main(["--version"]) == 0


def test_figures_take_axes(regions):
    from matplotlib.figure import Figure

    data, _ = regions
    e = (
        mortality.Counterfactual(method="mean")
        .fit(data[data.year < 2020])
        .predict(data[data.year == 2020], onset=9)
    )
    ax = Figure().add_subplot()
    assert figures.fan_chart(e, unit="Cedar", ax=ax) is ax
    assert ax.get_xlabel() == "week of the year" and ax.get_ylabel() == "deaths a week"
    labels = [t.get_text() for t in ax.get_legend().get_texts()]
    assert "expected" in labels and "95 % of expected" in labels
    with pytest.raises(ValueError, match="no unit"):
        figures.fan_chart(e, unit="Atlantis")
    assert figures.ranking(e.total()).get_xlabel().startswith("excess, %")


def test_report_escapes_names(tmp_path):
    text = report.table_html(pd.DataFrame({"unit": ["<b>&"], "n": [1234567.0]}))
    assert "&lt;b&gt;&amp;" in text and "1,234,567" in text


@pytest.mark.data
def test_italian_study(folder, tmp_path, monkeypatch):
    """The whole Italian study with report: every product, official counts, coverage."""
    monkeypatch.setenv("GRADIVERSE_DATA", str(folder))
    assert _sources.find("italy") is not None
    done = study.run(None, tmp_path)
    assert done["source"].name == "italy" and done["source"].kind == "found"
    for name in ("official", "scaled", "rates", "ages", "units", "calibration"):
        assert name in done["tables"], name
    official = done["tables"]["official"]
    assert set(official.until) == {"2020-06-27"} and official.official.sum() == 34716
    text = (tmp_path / "report.html").read_text()
    assert "SYNTHETIC" not in text and "Population fatality rate" in text
