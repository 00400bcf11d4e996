"""C2ST of gradiverse beside scikit-learn's classifier on the same samples.

    python -m benchmarks.accuracy.c2st [--write]

Pairs of samples whose best possible accuracy is known or near 1/2; scikit-learn comes
from the environment of the rivals (benchmarks/speed). With --write the table replaces
the one in docs/inference.md. CPU seconds are of one thread.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "inference.md"
BEGIN, END = "<!-- c2st table -->", "<!-- end of c2st table -->"
N = 10_000


def cases():
    """(name, best possible accuracy or None, reference, sample)."""
    rng = np.random.default_rng(7)
    normal = rng.normal
    yield "N(0, 1), N(.5, 1)", 0.59871, normal(size=(N, 1)), normal(0.5, 1, (N, 1))
    yield "N(0, 1), N(0, .8²)", 0.55377, normal(size=(N, 1)), normal(0, 0.8, (N, 1))
    yield "N(0, 1), N(0, .5²)", 0.66134, normal(size=(N, 1)), normal(0, 0.5, (N, 1))
    yield "the same, d = 2", 0.5, normal(size=(N, 2)), normal(size=(N, 2))
    ring = normal(size=(N, 2))
    ring /= np.linalg.norm(ring, axis=1, keepdims=True)
    yield (
        "ring, wider ring",
        None,
        ring + normal(0, 0.05, (N, 2)),
        (ring[rng.permutation(N)] + normal(0, 0.08, (N, 2))),
    )
    scale = np.ones(5)
    scale[0] = 0.6
    yield "one of 5 scales .6", None, normal(size=(N, 5)), normal(size=(N, 5)) * scale


def theirs(a, b, seed=1):
    """The same protocol with scikit-learn."""
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.neural_network import MLPClassifier

    mean, sd = a.mean(axis=0), a.std(axis=0, ddof=1)
    x = np.concatenate([(a - mean) / sd, (b - mean) / sd]).astype(np.float32)
    y = np.repeat([0.0, 1.0], [len(a), len(b)])
    network = MLPClassifier((10 * a.shape[1],) * 2, max_iter=10_000, random_state=seed)
    cut = KFold(5, shuffle=True, random_state=seed)
    return cross_val_score(network, x, y, cv=cut, scoring="accuracy").mean()


def measure():
    """One row a case, both programs in this process."""
    from gradiverse.inference import c2st

    found = []
    for name, best, a, b in cases():
        row = [name, best]
        for score in (c2st, theirs):
            start = time.process_time()
            row += [float(score(a, b, 1)), time.process_time() - start]
        found.append(row)
        print(*row, sep="  ", file=sys.stderr, flush=True)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        print(json.dumps(measure()))
        return
    from benchmarks.speed.__main__ import rivals_python

    environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    environment["PYTHONPATH"] = str(ROOT / "python")
    done = subprocess.run(
        [rivals_python(), "-m", "benchmarks.accuracy.c2st", "--inside"],
        check=True, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    lines = [
        "| samples, 10 000 rows each | best possible | gradiverse | scikit-learn "
        "| CPU-s | CPU-s of scikit-learn |",
        "|---|---|---|---|---|---|",
    ]
    for name, best, ours, ours_s, other, other_s in json.loads(done.stdout):
        best = "" if best is None else f"{best:.4f}"
        lines.append(
            f"| {name} | {best} | {ours:.4f} | {other:.4f} | {ours_s:.1f} "
            f"| {other_s:.1f} |"
        )
    table = "\n".join(lines)
    print(table)
    if options.write:
        text = PAGE.read_text(encoding="utf-8")
        head, rest = text.split(BEGIN)
        tail = rest.split(END)[1]
        PAGE.write_text(f"{head}{BEGIN}\n{table}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
