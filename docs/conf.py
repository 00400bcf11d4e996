"""Sphinx configuration: MyST pages, API pages from the docstrings, the op table."""

import sys
from importlib.metadata import version as package_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "gradiverse"
author = "the gradiverse developers"
copyright = "2026, the gradiverse developers"
version = release = package_version("gradiverse")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "optable",
]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "plan.md"]

autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = False
napoleon_use_rtype = False

html_theme = "alabaster"
html_theme_options = {
    "description": "Differentiable simulation and inference on NumPy arrays",
    "page_width": "1000px",
    "fixed_sidebar": True,
}
