"""Interleaved timing: ours and the rivals in turn, medians with spread.

On a machine that others use only ratios taken side by side mean anything, so every
case runs A B C A B C ... and the table quotes medians and their ratio.
"""

import json
import os
import statistics
import sys
import time


def limit_threads(n):
    """Give every library the same thread budget.

    Call it before anything imports NumPy: its BLAS reads the environment only then.
    """
    if "numpy" in sys.modules:
        raise RuntimeError("limit_threads comes too late: NumPy is imported already")
    for name in ("OMP", "OPENBLAS", "MKL", "GV"):
        os.environ[f"{name}_NUM_THREADS"] = str(n)
    # idle threads of NumPy's BLAS spin for 90 ms by default, on the core that the next
    # library in turn needs; 2^20 cycles are a third of a millisecond
    os.environ["OPENBLAS_THREAD_TIMEOUT"] = "20"
    if n == 1:
        os.environ["XLA_FLAGS"] = (
            "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        )
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def interleave(cases, seconds=2.0, least=7, warm=2, clock=time.perf_counter, rest=0.0):
    """Median seconds of each callable in `cases`, run in turn.

    Parameters
    ----------
    cases : dict of name -> callable
        What to time. Each is called `warm` times first.
    seconds : float
        Time to spend on all of them together, beyond the `least` rounds.
    clock : callable
        `time.perf_counter` for wall time, `time.process_time` for CPU time.
    rest : float
        Seconds of sleep before each call. On several threads the idle threads of an
        OpenMP library spin for some 10 ms (libgomp's default) on the cores that the
        next library in turn needs; after the rest all cases find them free.

    Returns
    -------
    dict of name -> (median, first quartile, third quartile), in seconds
    """
    for f in cases.values():
        for _ in range(warm):
            f()
    times = {name: [] for name in cases}
    stop = time.perf_counter() + seconds
    rounds = 0
    while rounds < least or time.perf_counter() < stop:
        for name, f in cases.items():
            if rest > 0:
                time.sleep(rest)
            start = clock()
            f()
            times[name].append(clock() - start)
        rounds += 1
    quarters = {k: statistics.quantiles(t, n=4) for k, t in times.items()}
    return {k: (median, low, high) for k, (low, median, high) in quarters.items()}


def report(work, unit, values, bar=None, ours="gradiverse", note=""):
    """Print one result as a line of JSON; `python -m benchmarks.speed` makes the table.

    `values` maps a name to a number or to (median, low, high); `bar` is the text of
    the promise that the figure is held against.
    """
    line = {"work": work, "unit": unit, "ours": ours, "bar": bar, "note": note}
    line["values"] = {
        k: list(v) if isinstance(v, tuple) else [v] * 3 for k, v in values.items()
    }
    print(json.dumps(line), flush=True)


def scaled(times, factor):
    """The same dictionary with every number times `factor`."""
    return {k: tuple(factor * x for x in v) for k, v in times.items()}


def threads_argument(default=1):
    """The thread count from the command line."""
    return int(sys.argv[1]) if len(sys.argv) > 1 else default


def rest_before(threads):
    """Seconds of `interleave`'s rest where the rival is torch, whose threads spin."""
    return 0.03 if threads > 1 else 0.0


def clock_and_unit(threads):
    """CPU time on one thread, which other work lengthens least; else wall time."""
    if threads == 1:
        return time.process_time, "CPU ms"
    return time.perf_counter, "ms"
