"""The study behind ``gradiverse lensing``: products, resuming, refusals."""

import subprocess
import sys
import time
from itertools import pairwise

import h5py
import numpy as np
import pandas as pd
import pytest

import gradiverse as gv
from gradiverse import cli
from gradiverse.lensing import _window, study
from gradiverse.lensing.maps import read_maps

CONFIG = """
[cosmology]
Omega_m = 0.3
sigma8 = 0.8

[lensing]
box = 64.0
shape = 16
steps = 6
sources = [0.5, 1.0]
field_of_view = 1.2
map_shape = 32
n_maps = 3
seed = 7
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text(CONFIG)
    return path


@pytest.mark.smoke
def test_command_writes_everything(config, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["lensing", "--config", str(config), "--output", str(out)]
    assert cli.main(arguments) == 0
    said = capsys.readouterr().out
    assert "map 3/3" in said and "report:" in said
    assert sorted(p.name for p in (out / "maps").iterdir()) == [
        "map_00007.h5", "map_00008.h5", "map_00009.h5",
    ]  # fmt: skip
    for name in ("kappa_0", "kappa_1", "spectrum_0", "spectrum_1"):
        assert (out / f"{name}.png").stat().st_size > 10_000
    table = pd.read_csv(out / "spectra.csv")
    assert {"source", "ell", "C", "sd", "error", "shot_noise", "linear", "halofit"} <= (
        set(table.columns)
    )
    assert set(table["source"]) == {0, 1} and set(table["n_maps"]) == {3}
    page = (out / "report.html").read_text()
    assert page.count("data:image/png;base64") == 4
    assert "Shot noise" in page and "replica_seed" in page
    assert not list(out.rglob("*.part"))


def test_files_hold_what_made_them(config, tmp_path):
    out = tmp_path / "out"
    cli.main(["lensing", "--config", str(config), "--output", str(out)])
    found = read_maps(out / "maps" / "map_00008.h5")
    c = gv.cosmology.Cosmology(Omega_m=0.3, sigma8=0.8)
    cone = gv.lensing.Lightcone(
        box=64.0, shape=(16,) * 3, steps=6, sources=[0.5, 1.0], field_of_view=1.2,
        map_shape=(32, 32), rng=8,
    )  # fmt: skip
    kappa = cone(gv.nbody.white_noise((16,) * 3, rng=8), c)
    assert np.array_equal(found["kappa"], kappa)
    np.testing.assert_allclose(found["shot_noise"], cone.shot_noise(c), rtol=1e-12)
    assert found["seed"] == 8 and found["cosmology"]["Omega_m"] == 0.3
    assert found["settings"] == cone.settings()
    assert found["version"]
    ell, C, _ = gv.lensing.map_spectrum(kappa, 1.2)
    np.testing.assert_allclose(found["C"], C, rtol=1e-6)
    assert len(ell) == len(found["ell"])


def test_finished_maps_are_kept(config, tmp_path, monkeypatch):
    out = tmp_path / "out"
    arguments = ["lensing", "--config", str(config), "--output", str(out)]
    cli.main([*arguments, "--n-maps", "2"])
    before = {p.name: p.stat().st_mtime_ns for p in (out / "maps").iterdir()}
    made = []
    noise = study.white_noise
    monkeypatch.setattr(
        study, "white_noise", lambda s, rng: made.append(rng) or noise(s, rng=rng)
    )
    assert cli.main(arguments) == 0
    after = {p.name: p.stat().st_mtime_ns for p in (out / "maps").iterdir()}
    assert made == [9] and len(after) == 3
    assert all(after[name] == when for name, when in before.items())


def test_half_written_files_are_made_again(config, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["lensing", "--config", str(config), "--output", str(out)]
    cli.main(arguments)
    path = out / "maps" / "map_00008.h5"
    whole = read_maps(path)["kappa"]
    path.write_bytes(path.read_bytes()[:3000])
    (out / "maps" / "map_00009.h5.part").write_bytes(b"a killed run left this")
    assert cli.main(arguments) == 0
    assert "cannot be read" in capsys.readouterr().out
    assert np.array_equal(read_maps(path)["kappa"], whole)


def test_a_killed_run_goes_on(config, tmp_path):
    """SIGKILL as soon as the first map is there; the second run keeps it."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "gradiverse.cli", "lensing"]
    command += ["--config", str(config), "--output", str(out), "--n-maps", "40"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    first = out / "maps" / "map_00007.h5"
    until = time.monotonic() + 120
    while not first.exists() and time.monotonic() < until:
        time.sleep(0.02)
    process.kill()
    process.wait()
    kept = {p.name: p.stat().st_mtime_ns for p in (out / "maps").glob("*.h5")}
    assert 0 < len(kept) < 40 and not (out / "report.html").exists()
    n = len(kept) + 1
    assert cli.main([*command[3:], "--n-maps", str(n)]) == 0
    after = {p.name: p.stat().st_mtime_ns for p in (out / "maps").glob("*.h5")}
    assert len(after) == n and all(after[k] == v for k, v in kept.items())


def test_other_settings_are_not_mixed_in(config, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["lensing", "--config", str(config), "--output", str(out)]
    cli.main(arguments)
    for old, new in (("steps = 6", "steps = 7"), ("sigma8 = 0.8", "sigma8 = 0.7")):
        config.write_text(CONFIG.replace(old, new))
        assert cli.main(arguments) == 2
        assert "other settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("steps = 6", "stepz = 6", "stepz"),
        ("n_maps = 3", "n_maps = 0", "n_maps"),
        ("sigma8 = 0.8", "sigma9 = 0.8", "sigma9"),
        ("field_of_view = 1.2", "field_of_view = 5.0", "leaves the box"),
        ("sources = [0.5, 1.0]", "sources = [12.0]", "beyond"),
        ("seed = 7", 'pgd = "often"', "pgd"),
        ("seed = 7", "nz = {z = [0.1]}", "nz"),
        ("seed = 7", "seed = -1", "rng"),
        ("seed = 7", "seed = 7\nrng = 7", "not both"),
    ],
)
def test_bad_settings_end_in_one_line(config, tmp_path, capsys, old, new, words):
    config.write_text(CONFIG.replace(old, new))
    out = tmp_path / "out"
    assert cli.main(["lensing", "--config", str(config), "--output", str(out)]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
    assert not (out / "maps").exists()


def test_distributions_and_sharpening_from_a_file(config, tmp_path):
    text = CONFIG.replace(
        "sources = [0.5, 1.0]", "nz = {z = [0.4, 0.7, 1.0], n = [0.0, 1.0, 0.0]}"
    ).replace("seed = 7", "pgd = {alpha0 = 0.01, mu = -2.0, kl = 0.6, ks = 1.6}")
    config.write_text(text)
    out = tmp_path / "out"
    arguments = ["lensing", "--config", str(config), "--output", str(out), "--quick"]
    assert cli.main(arguments) == 0
    with h5py.File(out / "maps" / "map_00000.h5") as file:
        assert file["kappa"].shape == (1, 32, 32)


def test_spectra_of_many_maps_scatter_about_their_input():
    """White maps of known power through the table: mean within its printed error."""
    rng, n, fov = np.random.default_rng(3), 24, 1.2
    cone = gv.lensing.Lightcone(
        box=64.0, shape=(8,) * 3, steps=6, sources=[1.0], field_of_view=fov,
        map_shape=(64, 64),
    )  # fmt: skip
    c = gv.cosmology.Cosmology()
    pixel = np.radians(fov) / 64
    level, results = 4e-9, []
    for _ in range(n):
        kappa = rng.normal(size=(1, 64, 64)) * np.sqrt(level) / pixel
        ell, C, modes = gv.lensing.map_spectrum(kappa, fov)
        zero = np.zeros(1)
        results.append({"ell": ell, "C": C, "modes": modes, "shot_noise": zero})
    table = study.spectra_table(results, c, cone)
    pull = (table["C"] - level) / table["error"]
    assert len(table) > 8 and np.abs(pull).max() < 4
    gauss = level * np.sqrt(2 / table["modes"])
    np.testing.assert_allclose(table["sd"], gauss, rtol=5 / np.sqrt(2 * n))
    assert table["ell"].max() < np.pi / pixel


def test_windows_are_those_of_linear_assignment():
    """Signal: a wave painted by weights of its density; noise: random points."""
    shape, bins = (24, 24), 10
    signal, noise = _window.windows(shape, bins)
    f = np.fft.fftfreq(24)
    which = np.floor(np.hypot(f[:, None], f) * 24 + 0.5)
    want = (np.sinc(f[:, None]) * np.sinc(f)) ** 4
    assert signal[4] == pytest.approx(want[which == 5].mean(), rel=1e-12)
    rng = np.random.default_rng(0)
    power = np.zeros((24, 24))
    for _ in range(300):
        points = rng.uniform(0, 24, (400, 2))
        i = np.floor(points).astype(int)
        t = points - i
        kappa = np.zeros(shape)
        for a in (0, 1):
            for b in (0, 1):
                w = np.abs(1 - a - t[:, 0]) * np.abs(1 - b - t[:, 1])
                np.add.at(kappa, ((i[:, 0] + a) % 24, (i[:, 1] + b) % 24), w)
        power += np.abs(np.fft.fft2(kappa)) ** 2 / 400 / 300
    for k in (1, 4, 8):
        # modes of the bin times 300 realisations, exponential scatter
        use = which == k + 1
        error = 5 / np.sqrt(300 * use.sum() / 2)
        assert power[use].mean() == pytest.approx(noise[k], rel=error)


def test_log_bins_cover_every_bin_once():
    ell = np.arange(1, 200) * 37.0
    parts = _window.log_bins(ell, 12)
    assert parts[0].start == 0 and parts[-1].stop == len(ell)
    assert all(a.stop == b.start for a, b in pairwise(parts))


def test_sources_and_power_from_tables(config, tmp_path):
    """--data: a folder with n(z) and P(k); the map is that of the same in the API."""
    c = gv.cosmology.Cosmology(Omega_m=0.3, sigma8=0.8)
    k = np.geomspace(1e-4, 50, 600)
    z = np.linspace(0.2, 1.2, 21)
    n = np.exp(-0.5 * ((z - 0.7) / 0.1) ** 2)
    folder = tmp_path / "tables"
    folder.mkdir()
    power = {"k": k, "P": c.linear_power(k)}
    pd.DataFrame(power).to_csv(folder / "power.csv", index=False)
    pd.DataFrame({"z": z, "n": n}).to_csv(folder / "sources.csv", index=False)
    text = CONFIG.replace("sources = [0.5, 1.0]\n", "").replace(
        "n_maps = 3", "n_maps = 1"
    )
    config.write_text(text.replace("seed = 7", "rng = 7\nforce = 'linear'\norder = 1"))
    out = tmp_path / "out"
    words = ["lensing", "--config", str(config), "--output", str(out)]
    assert cli.main([*words, "--data", str(folder)]) == 0
    made = read_maps(out / "maps" / "map_00007.h5")["kappa"]
    c = gv.cosmology.Cosmology(Omega_m=0.3, sigma8=0.8, transfer=(k, power["P"]))
    cone = gv.lensing.Lightcone(
        box=64.0, shape=(16,) * 3, steps=6, nz=(z, n), field_of_view=1.2,
        map_shape=(32, 32), rng=7, force="linear", order=1,
    )  # fmt: skip
    want = cone(gv.nbody.white_noise((16,) * 3, rng=7), c)
    np.testing.assert_allclose(made, want, rtol=0, atol=1e-6 * np.abs(want).max())


@pytest.mark.parametrize(
    "text, words",
    [
        ("a,b\n1,2\n", "wanted are z, n"),
        ("z,n\n1,x\n", "row 1"),
        ("z,n\n", "the table"),
    ],
)
def test_bad_tables_are_named(text, words, tmp_path, capsys):
    """One line on stderr, status 2."""
    path = tmp_path / "table.csv"
    path.write_text(text)
    assert cli.main(["lensing", "--quick", "--data", str(path)]) == 2
    error = capsys.readouterr().err
    assert words in error and "table.csv" in error and error.count("\n") == 1


def test_a_file_with_a_cosmology_alone(tmp_path, capsys):
    """[lensing] may be missing; what is wrong in [cosmology] is named."""
    path = tmp_path / "c.toml"
    path.write_text("[cosmology]\nOmega_matter = 0.3\n")
    assert cli.main(["lensing", "--quick", "--config", str(path)]) == 2
    assert "Omega_matter" in capsys.readouterr().err
