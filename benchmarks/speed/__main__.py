"""All speed benchmarks as one table.

    python -m benchmarks.speed [--write] [case ...]

Rivals are taken from the virtual environment `.venv-rivals` beside the package (made
on first use with `pip install` of the list below); they are no requirement of the
package. With --write its rows replace those of the same work in docs/benchmarks.md.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RIVALS = ROOT / ".venv-rivals"
PACKAGES = [
    "torch==2.13.0", "jax==0.10.2", "autograd", "scikit-learn", "george", "tinygp",
    "scipy", "pandas", "jaxpm==0.1.6", "setuptools<80", "optax", "sbi==0.27.0",
    "swyft==0.4.5",
]  # fmt: skip
CASES = {
    "engine": (1, 2),
    "gp": (2,),
    "nbody": (1, 2),
    "lensing": (2,),
    "supernova": (1, 2),
    "nn": (1, 2),
    "nn_conv": (1, 2),
    "nn_norm": (1, 2),
    "train": (1, 2),
    "bank": (1,),
    "sbi": (1,),
}
BEGIN, END = "<!-- speed table -->", "<!-- end of speed table -->"


def rivals_python():
    """The interpreter of the rivals' environment, made when missing."""
    python = RIVALS / "bin" / "python"
    if not python.exists():
        print(f"making {RIVALS.name} (a gigabyte of rivals)", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(RIVALS)], check=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "-q", *PACKAGES], check=True
        )
    return str(python)


def run_case(name, threads):
    """Results (list of dict) of one script at one thread count."""
    env = dict(os.environ, PYTHONPATH=f"{ROOT}{os.pathsep}{ROOT / 'python'}")
    out = subprocess.run(
        [rivals_python(), "-m", f"benchmarks.speed.{name}", str(threads)],
        cwd=ROOT,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        check=True,
    )
    lines = [json.loads(s) for s in out.stdout.splitlines() if s.startswith("{")]
    for line in lines:
        line["threads"] = threads
    return lines


def number(x):
    """Three significant digits."""
    return f"{x:.3g}"


def table(results):
    """Markdown rows: work, threads, ours, each rival with its ratio, the bar."""
    rows = [
        "| work | threads | ours | rivals (ratio to ours) | bar |",
        "|---|---|---|---|---|",
    ]
    for r in results:
        ours = r["values"][r["ours"]][0]
        others = ", ".join(
            f"{k} {number(v[0])} ({number(v[0] / ours)})"
            for k, v in r["values"].items()
            if k != r["ours"]
        )
        note = f" ({r['note']})" if r["note"] else ""
        rows.append(
            f"| {r['work']}{note} | {r['threads']} | {number(ours)} {r['unit']} "
            f"| {others or '-'} | {r['bar'] or '-'} |"
        )
    return "\n".join(rows)


def key(row):
    """What a row measures: its work without the note, threads and unit."""
    work, threads, ours = (cell.strip() for cell in row.split("|")[1:4])
    return work.split(" (")[0], threads, ours.partition(" ")[2]


def merged(before, text):
    """The table `before`, its rows replaced by those of `text` with the same key."""
    rows = {key(row): row for row in before.strip().splitlines()}
    rows.update((key(row), row) for row in text.splitlines())
    return "\n".join(rows.values())


def main():
    """Run the cases named on the command line (default: all) and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed")
    parser.add_argument(
        "--write", action="store_true", help="update docs/benchmarks.md"
    )
    parser.add_argument("cases", nargs="*", help=", ".join(CASES))
    args = parser.parse_args()
    results = []
    for name in args.cases or CASES:
        for threads in CASES[name]:
            results += run_case(name, threads)
    text = table(results)
    print(text)
    if args.write:
        page = ROOT / "docs" / "benchmarks.md"
        before, rest = page.read_text().split(BEGIN)
        present, after = rest.split(END)
        page.write_text(f"{before}{BEGIN}\n{merged(present, text)}\n{END}{after}")


if __name__ == "__main__":
    main()
