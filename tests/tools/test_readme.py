"""The examples of the README and the pages of docs/ run as they are printed."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

import buildc
import gradiverse as gv

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    str(path.relative_to(ROOT))
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    if "```python" in path.read_text()
]


@pytest.mark.parametrize("page", PAGES)
def test_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, _ = gv.mortality.synthetic(units=3, years=range(2012, 2021), rng=1)
    names = {
        "gv": gv,
        "np": np,
        "history": data[data.year < 2020],
        "current": data[(data.year == 2020) & (data.week <= 26)],
    }
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.S)
    assert blocks, f"{page} has no example"
    for block in blocks:
        exec(compile(block, page, "exec"), names)


def test_the_gradient_example_descends():
    block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    names = {}
    exec(compile(block[1], "README.md", "exec"), names)
    assert np.abs(names["g"]).max() < 1e-6
    assert names["value"] < np.mean(names["y"] ** 2)


def test_the_operator_of_contributing_compiles(tmp_path):
    text = (ROOT / "CONTRIBUTING.md").read_text()
    source, line = re.findall(r"```c\n(.*?)```", text, re.S)
    name = re.fullmatch(r"GV_OP\((\w+)\)\n", line)[1]
    assert f"const gv_op gv_op_{name} = {{" in source
    path = tmp_path / f"{name}.c"
    path.write_text(source)
    flags = ["-std=gnu11", *buildc.WARNINGS.split(), "-Werror", f"-I{buildc.CSRC}"]
    command = [*buildc.compiler(), *flags, "-fsyntax-only", str(path)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_linked_files_exist():
    for page in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / page).read_text()
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (ROOT / target).exists(), f"{page} links to {target}"
