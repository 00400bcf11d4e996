"""Fits of the sharpening parameters."""

import numpy as np
import pytest

import gradiverse as gv
from gradiverse import cli
from gradiverse.nbody import PGD, fit

C = gv.cosmology.Cosmology(sigma8=0.8)


@pytest.fixture(scope="module")
def runs():
    """16^3 at 1 Mpc/h with FastPM, at a = .55 and 1."""
    modes = gv.nbody.white_noise((16,) * 3, rng=1)
    steps = np.linspace(0.1, 1, 7)
    return fit._run(modes, C, 16.0, steps, [3, 6], 2, "fastpm")


def problem(runs, wanted):
    k, _, _ = gv.nbody.power_spectrum(np.ones((32,) * 3), 16.0)
    inside = np.flatnonzero((k > 0.7) & (k < 3.2))
    return fit._Problem(
        runs, np.array(wanted)[:, inside], inside, k[inside], (32,) * 3, 16.0
    )


def loss(task, theta):
    return np.sum(task.residuals(np.asarray(theta), task.where) ** 2)


def spectra(particles):
    return [
        gv.nbody.power_spectrum(gv.nbody.paint(p.positions, 16.0, (32,) * 3), 16.0)[1]
        for p in particles
    ]


def test_finds_the_parameters_that_made_the_target(runs):
    """The target is the run itself, sharpened: the loss has its zero there, and the
    spectra come back to 3e-3 or so, where single precision ends the descent."""
    truth = PGD(alpha0=0.004, mu=-1.5, kl=0.6, ks=4.0)
    task = problem(runs, spectra([p.sharpened(truth) for p in runs]))
    there = np.array([np.log(0.004), -1.5, np.log(0.6), np.log(4.0)])
    assert loss(task, there) < 1e-8  # float32 paint, twice by different programs
    theta, count = fit._minimise(
        task, fit._first(PGD(0.001, -2.5, 0.3, 6.0), 1.0), 100, lambda line: None
    )
    assert loss(task, theta) < 2e-5 and count <= 100


def test_jacobian_of_the_residuals(runs):
    """Float32 painting: residuals are smooth to 1e-6, differences over .02 to 1e-3."""
    task = problem(runs, spectra(runs))
    theta = np.array([np.log(0.01), -1.0, np.log(0.5), np.log(3.0)])
    J = task.jacobian(theta, task.where)
    for i in range(4):
        h = 0.02 * (np.arange(4) == i)
        at = [task.residuals(theta + t * h, task.where) for t in (-2, -1, 1, 2)]
        slope = (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * 0.02)
        assert np.abs(J[:, i] - slope).max() < 2e-3 * np.abs(slope).max()


def test_stages_and_finer_steps():
    steps = np.linspace(0.1, 1, 11)
    assert fit._stages(steps, (0.5, 0.75, 1.0)) == [4, 7, 10]
    fine = fit._finer(steps, 4)
    assert len(fine) == 41
    np.testing.assert_allclose(fine[::4], steps)
    with pytest.raises(ValueError, match="none of the stages"):
        fit._stages(steps, (0.1,))


def test_windows_of_painting():
    """Mean window of CIC over modes: at small k 1 - k^2 cell^2/6 for isotropic modes,
    and the aliased shot noise of Jing (2005), 1 - k^2 cell^2/6 as well."""
    shape, box = (32,) * 3, 32.0
    k = gv.nbody.power_spectrum(np.ones(shape), box)[0]
    W = fit._mean_over_bins(lambda x: np.sinc(x) ** 4, shape, box)
    S = fit._mean_over_bins(lambda x: 1 - 2 / 3 * np.sin(np.pi * x) ** 2, shape, box)
    np.testing.assert_allclose(W[:3], 1 - k[:3] ** 2 / 6, atol=2e-2)
    x = np.random.default_rng(0).uniform(0, box, (200_000, 3))
    P = gv.nbody.power_spectrum(gv.nbody.paint(x, box, shape), box)
    shot = box**3 / 200_000
    worst = np.abs(P[1][3:] / (shot * S[3:]) - 1) / np.sqrt(2 / P[2][3:])
    assert worst.max() < 5  # of the scatter of Gaussian modes, 25 bins


def test_command_writes_a_table(tmp_path, capsys):
    file = tmp_path / "pgd.toml"
    status = cli.main(
        [
            "fit-pgd", "--spacing", "2", "--particles", "12", "--stages", "6",
            "--integrator", "fastpm", "--output", str(file),
        ]
    )  # fmt: skip
    assert status == 0
    values = cli.read_config(file, "lensing")["pgd"]
    assert PGD(**values).ks > 0
    assert "# rms of ln(P/P_target)" in file.read_text()
    assert "rms of ln" in capsys.readouterr().out


@pytest.mark.parametrize(
    "bad",
    [
        ["--spacing", "0"],
        ["--particles", "9"],
        ["--stages", "1"],
        ["--mesh-factor", "0.3"],
        ["--output", "nowhere/at/all.toml"],
    ],
)
def test_command_says_what_is_wrong(bad, capsys):
    assert cli.main(["fit-pgd", *bad]) == 2
    line = capsys.readouterr().err
    assert line.startswith("gradiverse fit-pgd: ") and line.count("\n") == 1


def test_bad_arguments():
    with pytest.raises(ValueError, match="at least 4"):
        gv.nbody.fit_pgd(n=8, k_max=0.9, steps=3, integrator="fastpm")
    with pytest.raises(ValueError, match="reference, halofit"):
        gv.nbody.fit_pgd(target="emulator")
    with pytest.raises(TypeError, match="Cosmology"):
        gv.nbody.fit_pgd(cosmology=0.3)
    with pytest.raises(ValueError, match="logarithms"):
        fit._first(PGD(0.0, 1.0, 0.5, 2.0), 1.0)
