"""Training of ratio estimators, in CPU seconds per 1e4 simulations and epoch.

.venv-rivals/bin/python -m benchmarks.speed.sbi THREADS [swyft] [sbi] [memory]

The head of swyft's default (ten one-dimensional marginals of ten features, batch 64),
and NRE-B with the residual network of sbi (10 parameters, 10 numbers of data). Ours is
`NRE.fit` as users call it: epochs beyond the first, so that set-up does not count.
swyft 0.4.5 and sbi 0.27 take part where they can be imported.
"""

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

from benchmarks.speed.measure import limit_threads, report, threads_argument

THREADS = threads_argument(1)
limit_threads(THREADS)

import numpy as np  # noqa: E402

CLOCK = time.process_time if THREADS == 1 else time.perf_counter
UNIT = "CPU-s" if THREADS == 1 else "s"
N, D, REPEATS = 10_000, 10, 5
SBI_CASES = (  # atoms, batch, bar
    (10, 200, "ours / sbi <= 0.5"),
    (2, 50, "ours / sbi <= 0.3"),
)


def simulations():
    """θ uniform on (-1, 1), x = θ + N(0, .3²)."""
    rng = np.random.default_rng(0)
    theta = rng.uniform(-1, 1, (N, D))
    return theta, theta + 0.3 * rng.normal(size=theta.shape)


def per_epoch(train, epochs=5):
    """A callable that times `epochs` epochs beyond the first."""

    def run():
        begin = CLOCK()
        train(1)
        middle = CLOCK()
        train(1 + epochs)
        return (CLOCK() - middle - (middle - begin)) / epochs

    return run


def ours(theta, x, **options):
    """`NRE.fit` for some epochs."""
    import gradiverse as gv

    gv.set_threads(THREADS)
    ones = np.ones(D)
    prior = gv.inference.Prior(p=(-ones, ones))

    def train(epochs):
        gv.inference.NRE(
            prior, epochs=epochs, validation=0, patience=None, inputs="uniform",
            weight_decay=0.0, **options,
        ).fit(theta, x)  # fmt: skip

    return train


def swyft_steps(theta, x):
    """Steps of swyft's head, which dominate its epochs; None where it is missing."""
    try:
        import scipy.integrate

        if not hasattr(scipy.integrate, "simps"):
            scipy.integrate.simps = scipy.integrate.simpson
        import swyft
        import torch
    except ImportError:
        return None
    torch.set_num_threads(THREADS)
    softplus = torch.nn.functional.softplus
    head = swyft.LogRatioEstimator_1dim(num_features=D, num_params=D, varnames="z")
    optimiser = torch.optim.Adam(head.parameters(), 1e-3)
    f, z = (torch.tensor(a[:64], dtype=torch.float32) for a in (x, theta))

    def run(steps=40):
        begin = CLOCK()
        for _ in range(steps):
            optimiser.zero_grad()
            joint, other = head(f, z).logratios, head(f, z.roll(1, 0)).logratios
            (softplus(-joint) + softplus(other)).sum(1).mean().backward()
            optimiser.step()
        return (CLOCK() - begin) / steps * N / 64

    return run


def sbi_train(theta, x, atoms, batch):
    """`NRE_B.train` of sbi, one epoch more than asked; None where it is missing."""
    try:
        import torch
        from sbi.inference import NRE_B
        from sbi.utils import BoxUniform
    except ImportError:
        return None
    torch.set_num_threads(THREADS)
    prior = BoxUniform(-torch.ones(D), torch.ones(D))
    theta, x = (torch.tensor(a, dtype=torch.float32) for a in (theta, x))

    def train(epochs):
        inference = NRE_B(prior, classifier="resnet", show_progress_bars=False)
        inference.append_simulations(theta, x).train(
            num_atoms=atoms, training_batch_size=batch, max_num_epochs=epochs,
            stop_after_epochs=1000, validation_fraction=1e-3,
        )  # fmt: skip

    return train


def measure(work, bar, cases):
    """Time the cases in turn and report their medians."""
    cases = {name: run for name, run in cases.items() if run is not None}
    for run in cases.values():
        run()
    times = {name: [] for name in cases}
    for _ in range(REPEATS):
        for name, run in cases.items():
            times[name].append(run())
    quarters = {k: statistics.quantiles(t, n=4) for k, t in times.items()}
    values = {k: (m, low, high) for k, (low, m, high) in quarters.items()}
    report(work, f"{UNIT} per 1e4 simulations and epoch", values, bar)


def swyft_head(theta, x):
    """Ten 1-D marginals with the default residual head."""
    train = ours(
        theta, x, loss="nre-a", marginals="1d", head="residual", batch_size=64,
        clip=None,
    )  # fmt: skip
    cases = {"gradiverse": per_epoch(train), "swyft": swyft_steps(theta, x)}
    measure("ten 1-D marginals, swyft's head, B=64", "<= 1.0 CPU-s", cases)


def sbi_nets(theta, x):
    """NRE-B with a residual network of width 50 and two blocks."""
    from gradiverse.inference._heads import ResidualHead

    def head(groups, n_theta, n_features):
        return ResidualHead(
            groups, n_theta, n_features, width=50, blocks=2, norm=False, dropout=0.0
        )

    for atoms, batch, bar in SBI_CASES:
        train = ours(theta, x, loss="nre-b", atoms=atoms, batch_size=batch, head=head)
        rival = sbi_train(theta, x, atoms, batch)
        cases = {
            "gradiverse": per_epoch(train),
            "sbi": None if rival is None else per_epoch(rival),
        }
        measure(f"NRE-B, K={atoms}, B={batch}, residual network 50 x 2", bar, cases)


MEMORY = """
import numpy as np
from gradiverse.inference import NRE, Prior

def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(s.split()[1]) for s in lines if s.startswith("VmHWM")) / 1024

d = 1000
prior = Prior(p=(-np.ones(d), np.ones(d)))
rng = np.random.default_rng(0)
theta = prior.sample(1000, rng)
x = theta[:, :10] + 0.3 * rng.normal(size=(1000, 10))
options = dict(loss="nre-a", head="residual", inputs="uniform", batch_size=64, epochs=1)
NRE(prior, marginals=[(0,)], **options).fit(theta, x)
before = peak()
NRE(prior, marginals="1d", **options).fit(theta, x)
print(peak() - before)
"""


def memory():
    """Peak memory of training 1000 marginals, beyond that of one."""
    out = subprocess.run(
        [sys.executable, "-c", MEMORY], check=True, text=True, stdout=subprocess.PIPE
    )
    report(
        "memory of training 1000 1-D marginals, default head, B=64",
        "MiB",
        {"gradiverse": float(out.stdout.split()[-1])},
        "<= 500 MiB",
    )


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    asked = set(sys.argv[2:]) or {"swyft", "sbi", "memory"}
    data = simulations()
    if "swyft" in asked:
        swyft_head(*data)
    if "sbi" in asked:
        with tempfile.TemporaryDirectory() as logs, contextlib.chdir(logs):
            sbi_nets(*data)  # sbi keeps logs where it runs
    if "memory" in asked:
        memory()
