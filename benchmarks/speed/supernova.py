"""Supernova simulator, exact likelihood, objects and posterior at 1e5 objects.

    python -m benchmarks.speed.supernova THREADS [--posterior]

The rival is the same in NumPy (Cholesky factors of all objects at once, batched).
--posterior adds the exact posterior of ten globals, 2000 draws.
"""

import sys

from benchmarks.speed.measure import (
    interleave,
    limit_threads,
    report,
    scaled,
    threads_argument,
)

THREADS = threads_argument(2)
limit_threads(THREADS)

import numpy as np  # noqa: E402

import gradiverse as gv  # noqa: E402

N = 100_000


def numpy_likelihood(g, d, mu, S):
    """Log-likelihood with NumPy's batched linear algebra."""
    A = np.array([[1, -g["alpha"], g["beta"]], [0, 1, 0], [0, 0, 1]])
    D = np.diag([g["sres"], g["Rx"], g["Rc"]]) ** 2
    sig = A @ D @ A.T + S
    r = d - A @ [g["M0"], g["xb"], g["cb"]]
    r[:, 0] -= mu
    solved = np.linalg.solve(sig, r[..., None])[..., 0]
    quad = np.einsum("ni,ni->", r, solved)
    return -0.5 * (
        quad + np.linalg.slogdet(sig)[1].sum() + 3 * len(d) * np.log(2 * np.pi)
    )


def numpy_simulation(g, mu, L, rng):
    """Data with NumPy's generator."""
    e = rng.normal(size=(N, 6))
    latent = [g["M0"], g["xb"], g["cb"]] + e[:, :3] * [g["sres"], g["Rx"], g["Rc"]]
    y = latent.copy()
    y[:, 0] += mu - g["alpha"] * latent[:, 1] + g["beta"] * latent[:, 2]
    return y + np.einsum("nij,nj->ni", L, e[:, 3:])


def main():
    """Print the lines of the table."""
    from gradiverse.supernova.draw import draw

    g, z, S = gv.supernova.fiducial(N)
    survey = gv.supernova.Survey(z, S)
    d = np.asarray(gv.supernova.simulate(g, z, S, 0))
    mu = gv.supernova.distance_modulus(z, g["Om"], g["OL"], g["w"])
    L = np.linalg.cholesky(S)
    rng = np.random.default_rng(0)
    a = gv.supernova.log_likelihood(g, d, z, S)
    assert abs(a - numpy_likelihood(g, d, mu, S)) < 1e-9 * abs(a)

    times = interleave({
        "gradiverse": lambda: draw(survey, g, 1),
        "NumPy": lambda: numpy_simulation(g, mu, L, rng),
    }, seconds=4)  # fmt: skip
    report("survey of 1e5 supernovae drawn", "ms", scaled(times, 1e3), "<= 10 ms")
    times = interleave({
        "gradiverse": lambda: gv.supernova.log_likelihood(g, d, z, S),
        "with gradient": lambda: survey.value_and_gradient(g, d),
        "NumPy": lambda: numpy_likelihood(g, d, mu, S),
    }, seconds=6)  # fmt: skip
    report("exact likelihood of 1e5 supernovae", "ms", scaled(times, 1e3), "<= 5 ms")
    times = interleave(
        {"gradiverse": lambda: gv.supernova.object_posterior(g, d, z, S)},
        seconds=3, least=3,
    )  # fmt: skip
    report("exact posteriors of 1e5 objects", "s", times, "<= 1 s")
    if "--posterior" in sys.argv:
        p = gv.supernova.sample_posterior(d, survey, None, "wcdm", draws=500)
        note = f"R-hat {p.rhat.max():.3f}, {p.ess.min():.0f} effective draws"
        report("exact posterior of 10 globals, 1e5 supernovae", "s",
               {"gradiverse": p.seconds}, "<= 120 s", note=note)  # fmt: skip


if __name__ == "__main__":
    main()
