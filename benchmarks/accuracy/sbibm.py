"""Ratio estimation on the benchmark tasks of Lueckmann et al. 2021.

    python -m benchmarks.accuracy.sbibm joint SBIBM [--tasks a b] [--observations 1 2]
    python -m benchmarks.accuracy.sbibm sequential SBIBM [...]
    python -m benchmarks.accuracy.sbibm marginal SBIBM [...]
    python -m benchmarks.accuracy.sbibm around SBIBM [...]
    python -m benchmarks.accuracy.sbibm torus
    python -m benchmarks.accuracy.sbibm calibration [--tasks a b]

SBIBM: an sbibm wheel, or a folder with it (see sbibm_files.py). One method and one
setting for all tasks. joint: C2ST of 10 000 draws of one network for all observations,
with SETTING, against the reference draws. sequential: the same of SNRE, a run for each
observation, with its defaults. marginal: TMNRE for each observation, with its defaults,
mean C2ST of the one-dimensional marginals. torus: box, calls and C2ST of Miller et al.
2021, with the defaults. calibration: expected coverage of recalibrated one-dimensional
marginals, 1000 observations, with CALIBRATION. around: coverage about each observation
of SNRE's posterior, 300 truths.
"""

import argparse
import time

import numpy as np
import scipy.stats

from gradiverse import inference, simulators
from gradiverse.inference._heads import ProductHead

from .sbibm_files import load

SIMULATIONS = 10_000
SETTING = {"loss": "nre-c", "data": "scores", "members": 4, "learning_rate": 2e-2}
CALIBRATION = {
    "loss": "nre-c",
    "data": "scores",
    "head": lambda *shape: ProductHead(
        *shape, rank=16, width=64, depth=3, linear_start=False
    ),
    "learning_rate": 1e-2,
    "weight_decay": 0.01,
    "atoms": 16,
    "batch_size": 128,
    "epochs": 60,
}


def cpu():
    return time.process_time()


def joint(name, path, numbers, n=SIMULATIONS):
    """C2ST of each observation."""
    task, start = simulators.task(name), cpu()
    rng = np.random.default_rng(1)
    theta = task.prior.sample(n, rng)
    est = inference.NRE(task.prior, **SETTING).fit(theta, task.simulate(theta, rng))
    losses = ", ".join(f"{h['validation_loss'].min():.4f}" for h in est.history)
    print(f"{name}: {cpu() - start:.0f} CPU-s of training, losses {losses}", flush=True)
    scores = []
    for number in numbers:
        x, _, reference = load(path, name, number)
        start = cpu()
        draws = est.posterior(x).sample(len(reference), rng=number)
        middle = cpu()
        scores.append(inference.c2st(reference, draws, number))
        print(
            f"{name:24} {number:3} {scores[-1]:.4f}  {middle - start:6.1f}"
            f" {cpu() - middle:6.1f}",
            flush=True,
        )
    return scores


def sequential(name, path, numbers, n=SIMULATIONS):
    """C2ST of SNRE for each observation."""
    task, scores = simulators.task(name), []
    for number in numbers:
        x, _, reference = load(path, name, number)
        start = cpu()
        s = inference.SNRE(task.simulate, task.prior, x, budget=n, rng=number).run()
        middle = cpu()
        draws = s.posterior.sample(len(reference), rng=number)
        end = cpu()
        scores.append(inference.c2st(reference, draws, number))
        each = one_dimensional(reference, draws)
        print(
            f"{name:24} {number:3} {scores[-1]:.4f}, 1-D {np.mean(each):.4f}; "
            f" {s.n_simulations} calls, {middle - start:.0f} CPU-s of training,"
            f" {end - middle:.0f} of sampling, {cpu() - end:.0f} of C2ST",
            flush=True,
        )
    return scores


def marginal(name, path, numbers, n=SIMULATIONS):
    """Mean C2ST of the 1-D marginals of each observation."""
    task, scores = simulators.task(name), []
    for number in numbers:
        x, _, reference = load(path, name, number)
        start = cpu()
        t = inference.TMNRE(task.simulate, task.prior, x, budget=n, rng=number).run()
        draws = t.posterior.sample(len(reference), rng=number)
        each = one_dimensional(reference, draws)
        scores.append(np.mean(each))
        how = "heads" if t.joint is None else "sequential"
        print(
            f"{name:24} {number:3} {scores[-1]:.4f}  volume {np.exp(t.log_volume):.3g},"
            f" {len(t.rounds)} rounds, {how}, {t.n_simulations} calls,"
            f" {cpu() - start:.0f} CPU-s: {np.round(each, 3)}",
            flush=True,
        )
    return scores


def around(name, path, numbers, n=SIMULATIONS, truths=300):
    """Coverage of SNRE's posterior about each observation; share outside the band."""
    task, shares = simulators.task(name), []
    for number in numbers:
        x, _, _ = load(path, name, number)
        s = inference.SNRE(task.simulate, task.prior, x, budget=n, rng=number).run()
        start = cpu()
        near = s.around(rng=number)
        theta = near.sample(truths, rng=number)
        data = task.simulate(theta, np.random.default_rng(number))
        table = inference.coverage(near, theta, data, (0.6827, 0.9545))
        outside = (table["low"] > table["level"]) | (table["high"] < table["level"])
        shares.append(outside.mean())
        print(
            f"{name} {number}: {outside.sum()} of {len(table)} outside the 95 % band,"
            f" {cpu() - start:.0f} CPU-s\n{table.round(3).to_string()}",
            flush=True,
        )
    return shares


def one_dimensional(reference, draws):
    """C2ST of every column."""
    return [
        inference.c2st(reference[:, i], draws[:, i], i)
        for i in range(reference.shape[1])
    ]


def torus_hull(epsilon, cells=4000):
    """Exact hull of the torus at x_o by quadrature, and draws of its posterior."""
    grid = (np.arange(cells) + 0.5) / cells
    a, b = grid[:, None], grid[None]
    radius = np.hypot(a - 0.6, b - 0.8)
    log_l = -0.5 * ((a - 0.57) / 0.03) ** 2 - 0.5 * ((radius - 0.03) / 0.005) ** 2
    like = np.exp(log_l)
    with np.errstate(divide="ignore"):
        h = [np.log(like.sum(1)), np.log(like.sum(0)), -0.5 * ((grid - 1) / 0.2) ** 2]
    hull = []
    for one in h:
        keep = np.flatnonzero(one - one.max() > np.log(epsilon))
        hull.append((keep[0] / cells, (keep[-1] + 1) / cells))
    rng = np.random.default_rng(0)
    draws = np.empty((10_000, 3))
    cell = np.searchsorted(np.cumsum(like), rng.random(10_000) * like.sum())
    draws[:, 0], draws[:, 1] = grid[cell // cells], grid[cell % cells]
    draws[:, :2] += (rng.random((10_000, 2)) - 0.5) / cells
    law = scipy.stats.truncnorm(-5, 0, loc=1.0, scale=0.2)
    draws[:, 2] = law.rvs(10_000, random_state=rng)
    return np.array(hull), draws


def torus(seeds, budget=55_000, epsilon=1e-6):
    """Box volume, calls and 1-D C2ST."""
    task, (hull, reference) = simulators.task("torus"), torus_hull(epsilon)
    for seed in seeds:
        start = cpu()
        t = inference.TMNRE(
            task.simulate, task.prior, np.array([0.57, 0.03, 1.0]), epsilon=epsilon,
            budget=budget, rng=seed, progress=True,
        ).run()  # fmt: skip
        each = one_dimensional(reference, t.posterior.sample(10_000, seed))
        print(
            f"torus, seed {seed}: volume {np.exp(t.log_volume):.4g} (exact hull"
            f" {np.prod(np.diff(hull)):.4g}), {t.n_simulations} calls, C2ST"
            f" {np.mean(each):.4f} {np.round(each, 4)}, {cpu() - start:.0f} CPU-s\n"
            f"box {t.bounds.round(4).tolist()}, exact {hull.round(4).tolist()}",
            flush=True,
        )


def calibration(name, n=SIMULATIONS, observations=1000):
    """Coverage of the 1-D marginals at .683 and .954."""
    task, start = simulators.task(name), cpu()
    rng = np.random.default_rng(2)
    theta = task.prior.sample(n, rng)
    est = inference.NRE(
        task.prior, marginals="1d", recalibrate=True, validation=0.2, **CALIBRATION
    )
    est.fit(theta, task.simulate(theta, rng))
    truth = task.prior.sample(observations, rng)
    levels = (0.6827, 0.9545)
    table = inference.coverage(est, truth, task.simulate(truth, rng), levels)
    k = np.rint(table["coverage"] * observations)
    low = scipy.stats.beta(k + 0.5, observations - k + 0.5)
    outside = (table["low"] > table["level"]) | (table["high"] < table["level"])
    below = low.ppf(0.9995) < table["level"]
    print(table.to_string(), flush=True)
    for level in levels:
        mine = table["level"] == level
        most = int(scipy.stats.binom(mine.sum(), 0.05).ppf(0.99))
        print(
            f"{name} at {level}: {outside[mine].sum()} of {mine.sum()} curves outside"
            f" the 95 % band (an exact posterior: at most {most} in 99 % of cases),"
            f" {below[mine].sum()} below the 99.9 % band; {cpu() - start:.0f} CPU-s",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = ["joint", "sequential", "marginal", "around", "torus", "calibration"]
    parser.add_argument("what", choices=kinds)
    parser.add_argument("sbibm", nargs="?")
    parser.add_argument("--tasks", nargs="*")
    parser.add_argument("--observations", nargs="*", type=int, default=range(1, 11))
    o = parser.parse_args()
    if o.what == "torus":
        torus(o.observations if isinstance(o.observations, list) else [0])
        return
    three = ["gaussian_linear_uniform", "two_moons", "slcp"]
    if o.what == "calibration":
        for name in o.tasks or three:
            calibration(name)
        return
    if o.sbibm is None:
        parser.error("give the sbibm wheel or a folder with it")
    every = [name for name in simulators.names() if name != "torus"]
    tasks = o.tasks or (three if o.what == "marginal" else every)
    run = {"joint": joint, "sequential": sequential, "marginal": marginal,
           "around": around}[o.what]  # fmt: skip
    means = {}
    for name in tasks:
        means[name] = np.mean(run(name, o.sbibm, o.observations))
        print(f"{name}: mean {means[name]:.4f}", flush=True)
    print(f"mean of {len(means)} tasks: {np.mean(list(means.values())):.4f}")


if __name__ == "__main__":
    main()
