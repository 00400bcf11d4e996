"""Data for the mortality tests: real tables where GRADIVERSE_DATA names them."""

import os
from pathlib import Path

import pytest

from gradiverse import mortality


def _folder():
    root = os.environ.get("GRADIVERSE_DATA")
    if not root:
        return None
    for folder in (Path(root) / "mortality", Path(root)):
        if (folder / "italy_region_week_age_sex_2015_2020.csv.gz").is_file():
            return folder
    return None


@pytest.fixture(scope="session")
def folder():
    found = _folder()
    if found is None:
        pytest.skip("GRADIVERSE_DATA does not name a folder with the mortality data")
    return found


@pytest.fixture(scope="session")
def italy(folder):
    return mortality.load_italy(folder)


@pytest.fixture(scope="session")
def stmf(folder):
    table = mortality.load_stmf(folder)
    return table[table["age"] == "TOT"].drop(columns="age").reset_index(drop=True)


@pytest.fixture(scope="session")
def regions():
    """Synthetic regions with an excess wave in the last year, and the truth."""
    return mortality.synthetic(units=6, years=range(2012, 2021), rng=11)


@pytest.fixture(scope="session")
def ordinary():
    """Synthetic regions without any excess."""
    return mortality.synthetic(units=8, years=range(2009, 2019), wave=[0] * 8, rng=3)[0]
