"""Loaders: synthetic files for every trap, the released table where it is present."""

import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import gradiverse as gv
from gradiverse.supernova import hubble, loaders

sn = gv.supernova
ROOT = Path(os.environ.get("GRADIVERSE_DATA", "none")) / "pantheon_plus"
released = [
    pytest.mark.data,
    pytest.mark.skipif(
        not ROOT.is_dir(), reason="GRADIVERSE_DATA has no pantheon_plus"
    ),
]


def table(n=6):
    rng = np.random.default_rng(0)
    z = np.linspace(0.005, 0.5, n)
    return pd.DataFrame({
        "CID": [f"sn{i}" for i in range(n)], "IDSURVEY": 1, "zHD": z, "zCMB": z + 1e-3,
        "zHEL": z - 1e-3, "m_b_corr": 20 + z, "m_b_corr_err_DIAG": 0.1,
        "IS_CALIBRATOR": [1] + [0] * (n - 1), "mB": 20 + z, "mBERR": 0.04,
        "x1": rng.normal(size=n), "x1ERR": 0.3, "c": 0.0, "cERR": 0.03, "x0": 1e-3,
        "COV_x1_c": 0.0, "COV_x1_x0": 0.0, "COV_c_x0": -2e-7, "HOST_LOGMASS": 10.0,
    })  # fmt: skip


@pytest.fixture
def written(tmp_path):
    def write(frame):
        path = tmp_path / "Pantheon+SH0ES.dat"
        frame.to_csv(path, sep=" ", index=False)
        return path

    return write


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


@pytest.mark.smoke
def test_covariances_use_the_rows_own_x0(written):
    path = written(table())
    t, C = sn.load_pantheon_plus(path)
    assert len(t) == 6 and C.shape == (6, 3, 3)
    np.testing.assert_allclose(C[:, 0, 2], -2.5 / (np.log(10) * 1e-3) * -2e-7)
    np.testing.assert_allclose(np.sqrt(np.einsum("nii->ni", C)[0]), [0.04, 0.3, 0.03])
    t2, _ = sn.load_pantheon_plus(path.parent)
    pd.testing.assert_frame_equal(t, t2)


def test_S1_S4_cuts_are_arguments_and_said(written):
    path = written(table())
    with pytest.warns(UserWarning, match=r"m_b_corr_err_DIAG is for plots"):
        sn.load_pantheon_plus(path)
    with pytest.warns(UserWarning, match=r"6 of 6 .*zHD > 0.01 or calibrator"):
        t, _ = sn.load_pantheon_plus(path, z_min=0.01)
    assert t.attrs["z_min"] == 0.01
    t, _ = sn.load_pantheon_plus(path, z_min=0.01, calibrators=False)
    assert len(t) == 5


def test_S2_copied_heliocentric_redshifts_are_noticed(written):
    frame = table()
    frame["zHEL"] = frame["zCMB"]
    with pytest.warns(UserWarning, match="copies"):
        sn.load_pantheon_plus(written(frame))


def test_S3_bad_rows_are_named_and_dealt_with(written):
    frame = table()
    frame.loc[[2, 4], "COV_x1_c"] = 0.012  # correlation 1.33
    path = written(frame)
    with pytest.warns(UserWarning, match=r"2 rows .* sn2 \(row 2\), sn4 \(row 4\)"):
        t, C = sn.load_pantheon_plus(path)
    assert list(t["CID"]) == ["sn0", "sn1", "sn3", "sn5"] and len(C) == 4
    with pytest.raises(ValueError, match=r"sn2 \(row 2\), sn4"):
        sn.load_pantheon_plus(path, bad="raise")
    t, C = sn.load_pantheon_plus(path, bad="keep")
    assert len(t) == 6 and np.linalg.eigvalsh(C[2])[0] < 0
    with pytest.raises(ValueError, match=r"row\(s\) 2, 4"):
        sn.simulate(sn.fiducial(1)[0], t["zHD"], C, 0)
    t, N = sn.load_pantheon_plus(path, bad="nearest")
    assert np.linalg.eigvalsh(N)[:, 0].min() > 0
    np.testing.assert_allclose(np.einsum("nii->ni", N), np.einsum("nii->ni", C))
    np.testing.assert_array_equal(N[0], C[0])
    with pytest.raises(ValueError, match="bad must be"):
        sn.load_pantheon_plus(path, bad="ignore")


def test_S5_coherent_scatter_is_taken_out():
    left = loaders.jla_errors(
        [0.114, 0.12, 0.15, 0.11], ["SNLS", "SDSS", "low-z", "HST"]
    )
    wanted = np.sqrt(np.array([0.114, 0.12, 0.15, 0.11]) ** 2
                     - np.array([0.08, 0.108, 0.134, 0.1]) ** 2)  # fmt: skip
    np.testing.assert_allclose(left, wanted)
    with pytest.raises(ValueError, match="below sigma_coh"):
        loaders.jla_errors([0.05], ["SNLS"])
    with pytest.raises(ValueError, match="DES"):
        loaders.jla_errors([0.05], ["DES"])


def test_S6_covariance_or_inverse(tmp_path):
    rng = np.random.default_rng(1)
    C = np.diag(rng.uniform(0.1, 0.2, 5) ** 2) + 0.001
    sd = np.sqrt(np.diag(C))
    for kind, matrix in (("covariance", C), ("inverse", np.linalg.inv(C))):
        path = tmp_path / kind
        np.savetxt(path, np.concatenate([[5], matrix.ravel()]))
        np.testing.assert_allclose(sn.read_covariance(path, sd, kind), C, rtol=1e-9)
        other = {"covariance": "inverse", "inverse": "covariance"}[kind]
        with pytest.raises(ValueError, match=f'give kind="{kind}"'):
            sn.read_covariance(path, sd, other)
    path.write_text("3\n1 2 3")
    with pytest.raises(ValueError, match="9 numbers"):
        sn.read_covariance(path)


def test_readable_errors(written, tmp_path):
    with pytest.raises(FileNotFoundError, match="no table"):
        sn.load_pantheon_plus(tmp_path / "nothing.dat")
    with pytest.raises(ValueError, match="lacks the column"):
        sn.load_pantheon_plus(written(table().drop(columns=["x0", "mB"])))
    frame = table().astype({"c": object})
    frame.loc[3, "c"] = "missing"
    with pytest.raises(ValueError, match=r"column c has no number in row\(s\) 3"):
        sn.load_pantheon_plus(written(frame))


@pytest.mark.parametrize(
    ("name", "value"), [("mBERR", 0.0), ("mBERR", -0.04), ("x0", 0.0), ("cERR", 0.0)]
)
def test_errors_that_are_not_positive_are_named(written, name, value):
    frame = table().astype({name: float})
    frame.loc[3, name] = value
    path = written(frame)
    with pytest.raises(ValueError, match=rf"column {name} .* row 3 \(sn3\).*delete"):
        sn.load_pantheon_plus(path)
    t, _ = sn.load_pantheon_plus(path, z_min=frame["zHD"][3], calibrators=False)
    assert len(t) == 2  # in rows that are left out it does not matter


def test_nearest_covariance_needs_variances():
    C = np.array([np.eye(3), np.diag([1.0, 0.0, 1.0])])
    with pytest.raises(ValueError, match=r"positive, not so in row\(s\) 1"):
        loaders.nearest_positive(C)


def test_full_matrix_fit_is_generalised_least_squares():
    z = np.linspace(0.02, 1.2, 60)
    rng = np.random.default_rng(2)
    root = rng.normal(size=(60, 60)) * 0.02
    C = root @ root.T + 0.01 * np.eye(60)
    m = sn.distance_modulus(z, 0.3, 0.7, -1.0) + rng.multivariate_normal(
        np.zeros(60), C
    )
    fit = hubble.fit_om(z, m, C)
    r = m - sn.distance_modulus(z, fit.best, 1 - fit.best, -1.0) - fit.offset
    assert abs(r @ np.linalg.solve(C, r) - fit.chi2) < 1e-8 * fit.chi2
    assert "flat prior 0.1-0.6" in str(fit)  # S11: the prior is part of the answer
    diagonal = hubble.fit_om(z, m, np.full(60, 0.1))
    same = hubble.fit_om(z, m, 0.01 * np.eye(60))
    assert abs(diagonal.mean - same.mean) < 1e-9
    with pytest.raises(ValueError, match="not positive definite"):
        hubble.fit_om(z, m, -C)


# --- the release ----------------------------------------------------------------------


@pytest.mark.parametrize("part", [pytest.param("counts", marks=released)])
def test_S3_release_counts(part):
    t, _ = sn.load_pantheon_plus(ROOT)
    assert len(t) == 1686 and t.attrs["bad_rows"] == 15
    t, _ = sn.load_pantheon_plus(ROOT, z_min=0.01, calibrators=False)
    assert t.attrs["bad_rows"] == 14 and len(t) == 1576
    t, _ = sn.load_pantheon_plus(ROOT, z_min=0.01, bad="keep")
    assert len(t) == 1657
    t, _ = sn.load_pantheon_plus(ROOT, bad="keep")
    assert len(t) == 1701 and t["CID"].nunique() == 1543
    assert t["IS_CALIBRATOR"].sum() == 77


@pytest.mark.parametrize(
    ("z", "helio", "om", "chi2"),
    [
        pytest.param("zHD", "zHEL", 0.3510, 697.3, marks=released, id="S1"),
        pytest.param("zCMB", "zHEL", 0.378, 715.3, marks=released, id="S2-zCMB"),
        pytest.param("zHD", "zHD", 0.3499, 697.5, marks=released, id="S2-factor"),
    ],
)
def test_S1_S2_release_values(z, helio, om, chi2):
    t, _ = sn.load_pantheon_plus(ROOT, z_min=0.01, calibrators=False, bad="keep")
    assert len(t) == 1590
    fit = hubble.fit_om(t[z], t["m_b_corr"], t["m_b_corr_err_DIAG"], t[helio])
    assert abs(fit.mean - om) < 6e-4 and abs(fit.chi2 - chi2) < 0.1
    assert abs(fit.sd - 0.0188) < 8e-4
