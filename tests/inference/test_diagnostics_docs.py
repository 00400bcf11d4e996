"""The examples of docs/inference.md on diagnostics run, and say what it says."""

import re
from pathlib import Path

import numpy as np

import gradiverse as gv

PAGE = Path(__file__).parents[2] / "docs" / "inference.md"


def test_examples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (section,) = (
        s for s in PAGE.read_text().split("\n## ") if s.startswith("Diagnostics")
    )
    names = {"np": np, "gv": gv}
    codes = re.findall(r"```python\n(.*?)```", section, flags=re.S)
    assert len(codes) == 4
    for code in codes:
        exec(compile(code, str(PAGE), "exec"), names)
    assert names["ranks"].p_value > 1e-3 and names["balls"].p_value > 1e-3
    assert names["result"].checks.passed.all()
    assert (tmp_path / "checks" / "report.html").exists()
    # a box was cut, its marginals are checked one by one, predictions are left out
    assert names["t"].estimator.prior.volume < 0.9
    rows = names["checked"].checks.set_index("check")
    assert list(names["checked"].tarp) == ["a", "b"]
    assert rows.passed.isna().to_dict() == {
        name: name == "predictions" for name in rows.index
    }
