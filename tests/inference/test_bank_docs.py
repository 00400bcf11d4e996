"""The examples of docs/inference.md on priors, simulators and banks run in order."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "inference.md"


def test_examples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text().split("\n## Coming from")[0]
    sections = [s for s in text.split("\n## ") if s.split()[0] in BANK_SECTIONS]
    names = {}
    for section in sections:
        for code in re.findall(r"```python\n(.*?)```", section, flags=re.S):
            exec(compile(code, str(PAGE), "exec"), names)
    assert len(sections) == 3 and len(names["bank"]) == 8000
    assert names["box"].contains(names["bank"].theta[5000:6000]).all()
    kept = names["again"]["mean"] == names["stored"]["mean"]
    assert kept.all() and (names["again"]["data"] != names["stored"]["data"]).all()


BANK_SECTIONS = ("Priors", "Simulators", "Banks")
