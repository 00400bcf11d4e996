"""Simulators and a prior that bank tests use; here processes can import them."""

import os
import time

import numpy as np

from gradiverse.inference import Bank, Prior

PRIOR = Prior(a=(0.0, 1.0), b=(-1.0, 1.0))


def simulate(theta, rng):
    return theta + 0.1 * rng.normal(size=theta.shape)


def slow(theta, rng):
    time.sleep(0.02)
    return simulate(theta, rng)


def hangs(theta, rng, calls=[]):  # noqa: B006
    """Works twice, then never again."""
    calls.append(1)
    if len(calls) > 2:
        time.sleep(1000)
    return simulate(theta, rng)


def fails(theta, rng):
    """NaN for a > .9; an exception for .8 < a <= .9."""
    x = simulate(theta, rng).astype(np.float32)
    x[theta[:, 0] > 0.9, 1] = np.nan
    if ((theta[:, 0] > 0.8) & (theta[:, 0] <= 0.9)).any():
        raise FloatingPointError("no convergence")
    return x


def dies(theta, rng):
    if theta[0, 0] > 0.5:
        os._exit(3)
    return simulate(theta, rng)


def several(theta, rng):
    n = len(theta)
    return {
        "image": rng.normal(size=(n, 3, 5)).astype(np.float32),
        "count": rng.poisson(100 * theta[:, 0]),
        "flag": theta[:, 1] > 0,
    }


def expected(n, size, seed=0):
    """theta and x of a bank filled to n rows by one call, in batches of `size`."""
    return batches(0, n, size, seed)


def batches(start, stop, size, seed=0):
    """Rows start..stop simulated by one call: the contract of seeds and batches."""
    theta, x = [], []
    while start < stop:
        m = min((start // size + 1) * size, stop) - start
        a, b = (
            np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(start, k)))
            for k in (0, 1)
        )
        theta.append(PRIOR.sample(m, a))
        x.append(simulate(theta[-1], b))
        start += m
    return np.concatenate(theta), np.concatenate(x)


def writer(path, n, size, simulator=slow):
    """Body of a writing process."""
    with Bank(path, PRIOR, simulator) as bank:
        bank.simulate(n, rng=0, batch_size=size)
