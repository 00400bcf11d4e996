"""The layer check: this tree is in order, and planted violations are found."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "check_layers.py"


def load():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("check_layers", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tree(root, files):
    """Write a small source tree."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def run(root):
    """Exit status and output of the script on a tree."""
    words = [sys.executable, str(SCRIPT), str(root)]
    result = subprocess.run(words, capture_output=True, text=True)
    return result.returncode, result.stdout


def test_this_tree_is_in_order():
    status, output = run(ROOT)
    assert status == 0, output


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("csrc/base/a.c", '#include "tensor/tensor.h"'),
        ("csrc/tensor/a.h", '#include "kernels/fft.h"'),
        ("csrc/kernels/a.c", '#include "graph/op.h"'),
        ("csrc/graph/a.c", '#  include "ops/oplist.def"'),
        ("csrc/graph/a.c", '#include "kernels/blas.h"'),
        ("csrc/ops/a.inc", '#include "train/loop.h"'),
        ("csrc/ops/a.c", "#include <Python.h>"),
        ("csrc/tests/a.c", '#include "pymod/pymod.h"'),
        ("csrc/train/a.c", "#include <numpy/arrayobject.h>"),
        ("csrc/sim/pm/a.c", "#include <fftw3.h>"),
        ("csrc/pymod/a.c", "#include <hdf5.h>"),
        ("csrc/misc/a.c", ""),
        ("python/gradiverse/graph.py", "from gradiverse import gp"),
        ("python/gradiverse/ops/__init__.py", "from .. import nn"),
        ("python/gradiverse/gp/kernels.py", "from ..inference import Prior"),
        ("python/gradiverse/gp/kernels.py", "def f():\n    import gradiverse.cli"),
        ("python/gradiverse/io/bank.py", "from gradiverse.mortality import load_tidy"),
        ("python/gradiverse/mortality/a.py", "from ..studies.mortality import run"),
        ("python/gradiverse/_new.py", "from .optim import adam"),
        ("python/gradiverse/nn/a.py", "import gradiverse as gv"),
    ],
)
def test_planted_violation_is_found(tmp_path, path, line):
    status, output = run(tree(tmp_path, {path: line + "\n"}))
    assert status == 1
    assert path in output


def test_allowed_uses_pass(tmp_path):
    files = {
        "csrc/base/a.c": '#include "base/status.h"\n#include <stdlib.h>\n',
        "csrc/kernels/fft.c": '#include <fftw3.h>\n#include "fft.h"\n',
        "csrc/graph/a.c": '#include "tensor/tensor.h"\n/* #include of ops */\n',
        "csrc/ops/a.c": '#include "graph/op.h"\n#include "sim/pm/force.h"\n',
        "csrc/pymod/a.c": '#include <Python.h>\n#include "train/loop.h"\n',
        "python/gradiverse/__init__.py": "from . import cli, mortality\n",
        "python/gradiverse/graph.py": "from . import _core\nfrom ._tree import flat\n",
        "python/gradiverse/gp/fit.py": "from ..grad import grad\nimport numpy\n",
        "python/gradiverse/mortality/a.py": "from ..data import cache\n",
        "python/gradiverse/cli.py": "from .studies import mortality\n",
    }
    status, output = run(tree(tmp_path, files))
    assert (status, output) == (0, "layers: in order\n")


def test_relative_import_of_own_package_stays_inside():
    module = load()
    import ast

    parts = ("gradiverse", "gp", "kernels")
    names = module.imported(ast.parse("from .base import K\nfrom . import fit"), parts)
    assert list(names) == ["gp", "gp"]
