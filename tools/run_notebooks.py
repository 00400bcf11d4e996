#!/usr/bin/env python3
"""Execute the notebooks from top to bottom; a cell that raises fails the run.

They run in a temporary folder, in small mode (``GV_NB_FAST=1``) unless told
otherwise. With ``--write`` the executed notebooks are saved in the folder named.

usage: tools/run_notebooks.py [--full] [--write FOLDER] [NOTEBOOK ...]
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main():
    """Run each notebook and report its time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="not the small mode")
    parser.add_argument("--write", type=Path, metavar="FOLDER")
    parser.add_argument("--timeout", type=int, default=600, help="seconds per cell")
    parser.add_argument("notebooks", nargs="*", type=Path, metavar="NOTEBOOK")
    options = parser.parse_args()

    import nbclient
    import nbformat

    paths = options.notebooks or sorted((ROOT / "notebooks").glob("*.ipynb"))
    if not paths:
        sys.exit("run_notebooks: no notebook found")
    os.environ.setdefault("GV_NB_FAST", "0" if options.full else "1")
    os.environ.setdefault("MPLBACKEND", "agg")
    failed = 0
    for path in paths:
        book = nbformat.read(path, as_version=4)
        start, error = time.monotonic(), None
        with tempfile.TemporaryDirectory() as folder:
            client = nbclient.NotebookClient(
                book,
                timeout=options.timeout,
                kernel_name="python3",
                resources={"metadata": {"path": folder}},
            )
            try:
                client.execute()
            except nbclient.exceptions.CellExecutionError as caught:
                error, failed = caught, failed + 1
        word = "FAIL" if error else "ok  "
        print(f"{word} {path.name} ({time.monotonic() - start:.1f} s)", flush=True)
        if error:
            print(error)
        elif options.write:
            options.write.mkdir(parents=True, exist_ok=True)
            nbformat.write(book, options.write / path.name)
    print(f"notebooks: {len(paths) - failed} of {len(paths)} passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
