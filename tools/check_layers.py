#!/usr/bin/env python3
"""Check which layer uses which: C includes and Python imports; prints violations.

C: base <- tensor <- kernels <- sim; base, tensor <- graph; {graph, kernels, sim} <-
ops <- train <- pymod. Python.h and NumPy only in pymod, FFTW only in kernels, HDF5
nowhere. Python: a module imports its own level or a lower one.

usage: tools/check_layers.py [ROOT]
"""

import ast
import re
import sys
from pathlib import Path

C_USES = {"base": {"base"}, "tensor": {"base", "tensor"}}
C_USES["kernels"] = C_USES["tensor"] | {"kernels"}
C_USES["sim"] = C_USES["kernels"] | {"sim"}
C_USES["graph"] = C_USES["tensor"] | {"graph"}
C_USES["ops"] = C_USES["sim"] | {"graph", "ops"}
C_USES["train"] = C_USES["ops"] | {"train"}
C_USES["pymod"] = C_USES["train"] | {"pymod"}
C_USES["tests"] = C_USES["train"] | {"tests"}
SYSTEM = {r"Python\.h|numpy/.*": {"pymod"}, r"fftw3\.h": {"kernels"}}
SYSTEM[r"hdf5(_hl)?\.h"] = set()

PY_LEVELS = (  # modules not named here belong to the engine, level 1
    "_core",
    "graph ops grad random testing",
    "gp nn flows optim train cosmology nbody",
    "data io plot interop",
    "lensing generative inference simulators mortality supernova",
    "studies",
    "cli",
)
PY_LEVEL = {name: i for i, names in enumerate(PY_LEVELS) for name in names.split()}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def c_violations(csrc):
    """Messages for the files below csrc whose includes cross a layer."""
    for path in sorted(p for p in csrc.rglob("*") if p.suffix in {".c", ".h", ".inc"}):
        layer = path.relative_to(csrc).parts[0]
        if layer not in C_USES:
            yield f"{path}: folder '{layer}' is not a layer; add it to C_USES"
            continue
        for bracket, name in INCLUDE.findall(path.read_text()):
            other = Path(name).parts[0]
            inside = bracket == '"' and "/" in name
            if inside and other not in C_USES[layer]:
                yield f"{path}: {layer} may not include {name}"
            for pattern, allowed in SYSTEM.items():
                if re.fullmatch(pattern, name) and layer not in allowed:
                    home = "/".join(sorted(allowed)) or "Python"
                    yield f"{path}: only {home} includes {name}"


def imported(tree, parts):
    """First-level names of gradiverse that a module (its path in parts) imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                words = alias.name.split(".")
                if words[0] == "gradiverse":
                    yield from words[1:2] or ["*"]
        elif isinstance(node, ast.ImportFrom):
            base = list(parts[: len(parts) - node.level]) if node.level else []
            words = base + (node.module or "").split(".") if node.module else base
            if words[:1] == ["gradiverse"]:
                yield from words[1:2] or [alias.name for alias in node.names]


def py_violations(python):
    """Messages for the modules of the package that import a higher level."""
    for path in sorted((python / "gradiverse").rglob("*.py")):
        parts = path.relative_to(python).with_suffix("").parts
        own = parts[1]
        if own in ("__init__", "__main__"):
            continue
        for name in imported(ast.parse(path.read_text()), parts):
            if name == "*":
                yield f"{path}: import the module you need, not the whole package"
            elif PY_LEVEL.get(name, 1) > PY_LEVEL.get(own, 1):
                yield f"{path}: {own} may not import {name}"


def main(root):
    """Print every violation; the exit status says whether there was one."""
    found = [*c_violations(root / "csrc"), *py_violations(root / "python")]
    print("\n".join(found) or "layers: in order")
    return 1 if found else 0


if __name__ == "__main__":
    here = Path(__file__).resolve().parent.parent
    sys.exit(main(Path(sys.argv[1]) if sys.argv[1:] else here))
