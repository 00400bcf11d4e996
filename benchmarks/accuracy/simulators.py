"""Exact posteriors of the benchmark tasks against the stored reference draws.

    python -m benchmarks.accuracy.simulators SBIBM [--write] [--tasks a b]
                                             [--observations 1 2]

SBIBM: an sbibm wheel, or a folder with it (see sbibm_files.py). Prints C2ST of 10 000
draws each; .50 +- .015 is indistinguishable. Without --observations: the first three,
or the first where there are ten parameters (a minute each). With --write the table
replaces the one in docs/simulators.md.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from gradiverse import inference, simulators

from .sbibm_files import load

PAGE = Path(__file__).resolve().parents[2] / "docs" / "simulators.md"
BEGIN, END = "<!-- reference table -->", "<!-- end of reference table -->"


def compare(name, path, numbers):
    """C2ST and CPU seconds of the sampler for each observation."""
    task, scores = simulators.task(name), []
    for number in numbers:
        x, _, reference = load(path, name, number)
        start = time.process_time()
        draws = task.posterior(x, len(reference), rng=number)
        middle = time.process_time()
        score = inference.c2st(reference, draws, np.random.SeedSequence(number))
        seconds = middle - start, time.process_time() - middle
        print(f"{name:24} {number:3} {score:7.4f} {seconds[0]:9.1f} {seconds[1]:9.1f}",
              flush=True)  # fmt: skip
        scores.append(score)
    return scores


def row(name, scores, numbers):
    """A line of the table in the documentation."""
    task = simulators.task(name)
    kind = "closed form" if task.closed_form else "tempered particles"
    which = f"{np.mean(scores):.3f} ({', '.join(map(str, numbers))})" if scores else ""
    return f"| {name} | {task.d} | {task.x_dim} | {kind} | {which} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sbibm")
    parser.add_argument("--tasks", nargs="*", default=simulators.names())
    parser.add_argument("--observations", nargs="*", type=int)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    print(f"{'task':24} obs    c2st  sampler-s    c2st-s")
    lines = [
        "| name | parameters | data | posterior | C2ST (observations) |",
        "|---|---|---|---|---|",
    ]
    for name in options.tasks:
        few = [1, 2, 3] if simulators.task(name).d < 10 else [1]
        numbers = options.observations or few
        scores = [] if name == "torus" else compare(name, options.sbibm, numbers)
        lines.append(row(name, scores, numbers))
    if options.write:
        text = PAGE.read_text(encoding="utf-8")
        head, rest = text.split(BEGIN)
        body = "\n".join([BEGIN, *lines, END])
        PAGE.write_text(head + body + rest.split(END)[1],
                        encoding="utf-8")  # fmt: skip


if __name__ == "__main__":
    main()
