"""Observations and reference posteriors out of an sbibm 1.1.0 wheel or installation.

    pip download sbibm==1.1.0 --no-deps -d FOLDER        # about 18 MB, MIT licence

Give the wheel, or a folder that holds it or the installed package.
"""

import bz2
import functools
import io
import zipfile
from pathlib import Path

import numpy as np

PARENT = {"slcp_distractors": "slcp", "bernoulli_glm_raw": "bernoulli_glm"}
SUFFIX = {"slcp_distractors": "_distractors", "bernoulli_glm_raw": "_raw"}


def _open(path):
    """Function name -> bytes for files of the package."""
    path = Path(path)
    wheels = [path] if path.is_file() else sorted(path.glob("sbibm-1.1.0*.whl"))
    if wheels:
        archive = zipfile.ZipFile(wheels[0])
        return archive.read
    for folder in (path, path.parent):
        if (folder / "sbibm" / "tasks").is_dir():
            return lambda name: (folder / name).read_bytes()
    raise FileNotFoundError(f"{path}: neither an sbibm wheel nor a folder with one")


@functools.cache
def load(path, task, number):
    """Observation (x_dim,), true parameters (d,), reference draws (10000, d).

    Parameters
    ----------
    path : path
        See above.
    task : str
    number : int
        1 to 10.
    """
    read = _open(path)
    folder = f"sbibm/tasks/{PARENT.get(task, task)}/files/num_observation_{number}/"

    def table(name):
        data = read(folder + name)
        if name.endswith("bz2"):
            data = bz2.decompress(data)
        return np.loadtxt(io.BytesIO(data), delimiter=",", skiprows=1, ndmin=2)

    observation = table(f"observation{SUFFIX.get(task, '')}.csv")[0]
    draws = table("reference_posterior_samples.csv.bz2")
    return observation, table("true_parameters.csv")[0], draws
