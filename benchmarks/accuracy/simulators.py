"""Exact posteriors of the benchmark tasks against the stored reference draws.

    python -m benchmarks.accuracy.simulators SBIBM [--tasks a b] [--observations 1 2]

SBIBM: an sbibm wheel, or a folder with it (see sbibm_files.py). Prints C2ST of 10 000
draws each; .50 +- .015 is indistinguishable.
"""

import argparse
import time

import numpy as np

from gradiverse import inference, simulators

from .sbibm_files import load


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sbibm")
    parser.add_argument("--tasks", nargs="*")
    parser.add_argument("--observations", nargs="*", type=int, default=[1])
    options = parser.parse_args()
    tasks = options.tasks or [n for n in simulators.names() if n != "torus"]
    print(f"{'task':24} obs    c2st  CPU-s sampler  CPU-s c2st")
    for name in tasks:
        task = simulators.task(name)
        for number in options.observations:
            x, _, reference = load(options.sbibm, name, number)
            start = time.process_time()
            draws = task.posterior(x, len(reference), rng=number)
            middle = time.process_time()
            score = inference.c2st(reference, draws, np.random.SeedSequence(number))
            end = time.process_time()
            print(
                f"{name:24} {number:3} {score:7.4f} {middle - start:14.1f} "
                f"{end - middle:11.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
