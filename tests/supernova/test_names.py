"""What the documentation names is there in a fresh session."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "name", ["learn.Learner", "hubble.fit_om", "loaders.jla_errors", "study.run",
             "priors.to_coordinates", "prior", "report.doubts", "figures.corner"]
)  # fmt: skip
def test_documented_names_are_reached_from_the_package(name):
    code = f"import gradiverse as gv; print(gv.supernova.{name})"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr


def test_import_stays_light():
    code = (
        "import sys, gradiverse.supernova as sn; dir(sn); "
        "assert 'pandas' not in sys.modules and 'h5py' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
