"""The supernova study: exact posterior, networks, comparison, report.

``run`` is what ``gradiverse supernova`` calls. Data are a SALT table of real light
curves, or drawn from the fiducial survey. What takes long is kept in the output folder
(``exact.npz``, ``rounds/``): a run that was stopped goes on where it was.
"""

import json
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from .._html import version, write_text
from . import figures, report
from ._linear_head import linear_least, linear_marginals
from .draw import simulate
from .learn import Learner
from .loaders import load_pantheon_plus
from .objects import mean_object_posterior
from .posterior import Posterior, sample_posterior
from .priors import coordinates, prior, to_coordinates, to_globals
from .survey import FIDUCIAL, Survey, fiducial, population

SETTINGS = {
    "n": 2000,
    "model": "flat",
    "rng": 0,
    "z_min": 0.01,
    "bad": "drop",
    "chains": 4,
    "draws": 1000,
    "warmup": 300,
    "simulations": 2000,
    "final": 20_000,
    "objects": 32,
    "epochs": 20,
    "max_rounds": 10,
    "linear": 20_000,
    "coverage": 1000,
}
QUICK = {"n": 500, "draws": 300, "warmup": 150, "simulations": 1000, "final": 4000}
QUICK |= {"linear": 6000, "coverage": 200, "objects": 16}
LINEAR_BYTES = 1.5e9  # largest table of whitened surveys that is kept in memory
LINEAR_DISK = 6e9  # and on disk, while the linear head is trained
LINEAR_LEAST = 50  # surveys to train it on
LEAST = {"n": 20, "chains": 2, "draws": 20, "warmup": 10, "simulations": 100}
LEAST |= {"final": 100, "rng": 0, "linear": 0, "coverage": 0}


def check_settings(config=None, quick=False):
    """Settings with defaults filled in; unknown names and bad values raise."""
    config = dict(config or {})
    if "seed" in config:
        if "rng" in config:
            raise ValueError("give rng or seed in [supernova], not both: they are one")
        config["rng"] = config.pop("seed")
    truth = {k: config.pop(k) for k in list(config) if k in FIDUCIAL}
    unknown = sorted(set(config) - set(SETTINGS))
    if unknown:
        raise ValueError(
            f"unknown setting(s) {', '.join(unknown)} in [supernova]; known:"
            f" {', '.join(SETTINGS)}, and the globals {', '.join(FIDUCIAL)}"
        )
    settings = {**SETTINGS, **config}
    coordinates(settings["model"])
    for name in SETTINGS:
        value = settings[name]
        if name in ("model", "bad", "z_min"):
            continue
        least = LEAST.get(name, 1)
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if not whole or value < least:
            raise ValueError(
                f"{name} must be an int of at least {least}, got {value!r}"
            )
    z_min = settings["z_min"]
    if z_min is not None and not (isinstance(z_min, (int, float)) and z_min >= 0):
        raise ValueError(f"z_min must be a number >= 0, got {z_min!r}")
    if quick:
        settings |= {k: min(settings[k], v) for k, v in QUICK.items()}
    for name, value in truth.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{name} must be a number, got {value!r}")
    return {**settings, "truth": _truth(truth, settings["model"])}


def _truth(given, model):
    """Globals that the model can hold."""
    truth = {**FIDUCIAL, **given}
    if model != "curved":
        if "OL" not in given:
            truth["OL"] = 1.0 - truth["Om"]
        if abs(truth["OL"] + truth["Om"] - 1.0) > 1e-9:
            raise ValueError(
                f"OL = {truth['OL']:g} with Om = {truth['Om']:g} is not flat, and model"
                f' "{model}" is: leave OL out, or give model = "curved"'
            )
    if model != "wcdm" and truth["w"] != -1.0:
        raise ValueError(
            f'w = {truth["w"]:g}: model "{model}" has w = -1; leave w out, or give'
            ' model = "wcdm"'
        )
    theta = to_coordinates(truth, model)
    for name, value, (low, high) in zip(
        coordinates(model), theta, prior(model).bounds, strict=True
    ):
        if not low < value < high:
            raise ValueError(
                f"{name} = {value:.4g} of the simulated truth is outside the prior,"
                f" {low:.4g} to {high:.4g}: no posterior can find it"
            )
    return truth


def prepare(settings, data):
    """The survey, its data, and the truth and latents of simulated ones."""
    if data is not None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            table, C = load_pantheon_plus(
                data, settings["bad"], settings["z_min"], calibrators=False
            )
        if settings["bad"] == "keep" and table.attrs["bad_rows"]:
            raise ValueError(
                "the study needs covariances that are positive definite: set bad to"
                " drop or nearest"
            )
        survey = Survey(table["zHD"], C, z_helio=table["zHEL"])
        d = table[["mB", "x1", "c"]].to_numpy(float)
        if len(d) < LEAST["n"]:
            raise ValueError(
                f"{len(d)} of {table.attrs['rows']} light curves are left; the study"
                f" needs {LEAST['n']} at least: lower z_min, or give more data"
            )
        names = table["CID"].astype(str).tolist()
        said = [str(w.message) for w in caught]
        return survey, d, {"names": names, "notes": said, "truth": None, "M": None}
    _, z, C = fiducial(settings["n"])
    survey = Survey(z, C)
    truth = settings["truth"]
    d, latent = simulate(truth, z, C, settings["rng"], return_latent=True)
    note = (
        f"Simulated: {len(z)} objects of the fiducial survey, seed {settings['rng']}."
    )
    names = [f"sn{i}" for i in range(len(z))]
    more = {"names": names, "notes": [note], "truth": truth, "M": latent[:, 0]}
    return survey, np.asarray(d), more


def exact_posterior(survey, d, settings, path, say):
    """The exact posterior, from its file where that is of these settings."""
    keys = ("model", "chains", "draws", "warmup", "rng")
    total = float(d.sum() + survey.z.sum() + survey.S.sum())
    tag = json.dumps({**{k: settings[k] for k in keys}, "data": total})
    if path.is_file():
        with np.load(path) as found:
            if str(found["tag"]) == tag:
                say("exact posterior: found")
                return Posterior(
                    settings["model"], coordinates(settings["model"]), found["chains"],
                    found["rhat"], found["ess"], int(found["gradients"]),
                    float(found["seconds"]),
                )  # fmt: skip
    p = sample_posterior(
        d, survey, None, settings["model"], settings["chains"], settings["draws"],
        settings["warmup"], settings["rng"],
    )  # fmt: skip
    part = path.with_suffix(".part")
    with open(part, "wb") as file:
        np.savez(
            file, tag=tag, chains=p.chains, rhat=p.rhat, ess=p.ess,
            gradients=p.gradients, seconds=p.seconds,
        )  # fmt: skip
    part.replace(path)
    say(
        f"exact posterior: {len(p.samples)} draws in {p.seconds:.0f} s, largest R-hat"
        f" {p.rhat.max():.3f}, least effective draws {p.ess.min():.0f}"
    )
    return p


def coverage_ranks(learner, learned, n, seed, points=400):
    """Posterior probability below the truth of surveys simulated in the last region.

    Returns
    -------
    (n, p) array
    """
    nets = learned.networks
    region, summary, est = nets["region"], nets["summary"], nets["one"]
    theta = region.sample(n, np.random.SeedSequence([seed, 31]))
    found = summary.run(theta, seed + 32)
    ok = found["valid"]
    x = learner.whitened(found["features"][ok], summary, region)
    theta = theta[ok]
    # cells of equal prior mass: the posterior's share of one is proportional to exp h
    share = (np.arange(points) + 0.5) / points
    grid = est.prior.ppf(np.repeat(share[:, None], est.prior.d, axis=1))
    truth = est.prior.cdf(theta)
    ends = np.arange(points + 1) / points
    ranks = np.empty_like(theta)
    for i in range(len(theta)):
        h = est.log_ratio(grid, x[i])
        p = np.exp(h - h.max(axis=0))
        total = np.cumsum(p, axis=0) / p.sum(axis=0)
        for k in range(est.prior.d):
            below = np.concatenate([[0.0], total[:, k]])
            ranks[i, k] = np.interp(truth[i, k], ends, below)
    return ranks


def compare(exact, learned, linear=None, least=None):
    """Table of the globals: exact and learned means and sds, shifts and ratios.

    ess and ess_sd are what the exact means and sds are worth: errors of shift are
    1/sqrt(ess), relative errors of sd_ratio 1/sqrt(2 ess_sd), from these draws alone.

    Parameters
    ----------
    exact : Posterior
    learned : Learned
    linear : (n, p) array, optional
        Draws of the linear head.
    least : (p,) array, optional
        Sds that it cannot go below.

    Returns
    -------
    DataFrame
    """
    table = pd.DataFrame({
        "parameter": list(exact.names), "exact": exact.mean, "exact_sd": exact.sd,
        "network": learned.mean, "network_sd": learned.sd,
        "shift": (learned.mean - exact.mean) / exact.sd,
        "sd_ratio": learned.sd / exact.sd, "rhat": exact.rhat, "ess": exact.ess,
        "ess_sd": exact.ess_sd,
    })  # fmt: skip
    if linear is not None:
        table["linear_shift"] = (linear.mean(axis=0) - exact.mean) / exact.sd
        table["linear_sd_ratio"] = linear.std(axis=0) / exact.sd
        if least is not None:
            table["linear_least"] = least / exact.sd
    return table


def run(output, config=None, quick=False, say=print, data=None):
    """The whole study.

    Parameters
    ----------
    output : path
        Folder for figures, tables, HDF5 and report.html.
    config : dict, optional
        Settings, see `SETTINGS`, and globals of the simulated truth.
    quick : bool
        A minute, not ten.
    say : callable
    data : path, optional
        A table with SALT columns such as Pantheon+SH0ES.dat, or its folder (default:
        simulated data).

    Returns
    -------
    dict
        survey, data, exact, learned, globals, objects, files, ...
    """
    begin = time.perf_counter()
    settings = check_settings(config, quick)
    survey, d, more = prepare(settings, data)
    output = Path(output)
    (output / "rounds").mkdir(parents=True, exist_ok=True)
    unused = [k for k in config or {} if k == "n" or k in FIDUCIAL]
    if data is not None and unused:
        more["notes"].append(f"Not used, for the data are given: {', '.join(unused)}.")
    for note in more["notes"]:
        say(note)
    exact = exact_posterior(survey, d, settings, output / "exact.npz", say)
    learner = Learner(
        survey, d, settings["model"], settings["simulations"], settings["final"],
        settings["objects"], settings["epochs"], settings["max_rounds"],
        settings["rng"], output / "rounds", say,
    )  # fmt: skip
    learned = learner.run()
    nets = learned.networks
    linear = _linear(settings, nets, d, output / "rounds" / "linear.h5")
    truth = mean_object_posterior(survey, d, exact.globals(100))
    mean, sd, kl = nets["objects"].moments(nets["observed"], d, exact=truth)
    objects = pd.DataFrame({
        "name": more["names"], "z": survey.z, "M_exact": truth[0], "sd_exact": truth[1],
        "M_network": mean, "sd_network": sd, "kl": kl,
    })  # fmt: skip
    if more["M"] is not None:
        objects["M_true"] = more["M"]
    ranks = None
    if settings["coverage"]:
        ranks = coverage_ranks(learner, learned, settings["coverage"], settings["rng"])
    least = None if linear is None else linear_least(nets["summary"], nets["region"])
    table = compare(exact, learned, linear, least)
    out = {
        "settings": settings, "survey": survey, "data": d, "exact": exact,
        "learned": learned, "linear": linear, "objects": objects, "ranks": ranks,
        "globals": table, "notes": more["notes"],
        "doubts": [x for x in [learner.unsettled] if x] + report.doubts(table, ranks),
        "truth": more["truth"], "real": data is not None, "version": version(),
        "seconds": time.perf_counter() - begin,
    }  # fmt: skip
    for line in (report.check_text(learned.check), *out["doubts"]):
        say(line)
    out["files"] = _write(out, output, say)
    return out


def _linear(settings, nets, d, path):
    """Draws of the linear head's marginals; from a bank where memory is too small."""
    n = min(settings["linear"], int(LINEAR_DISK / (12.0 * len(d))))
    if n < LINEAR_LEAST:
        return None
    bank = None if 12.0 * n * len(d) <= LINEAR_BYTES else path
    path.unlink(missing_ok=True)  # of a run that was killed
    try:
        return linear_marginals(
            nets["summary"], nets["region"], d, n, rng=settings["rng"], bank=bank
        )
    finally:
        path.unlink(missing_ok=True)


def drawings(out):
    """All figures by name."""
    exact, survey, d = out["exact"], out["survey"], out["data"]
    g = to_globals(exact.mean, exact.model)
    g = {k: float(v) for k, v in g.items()}
    mu, _ = survey.moduli(g)
    _, cov = population(g)
    v = np.array([1.0, g["alpha"], -g["beta"]])
    standardised = d @ v - g["M0"]
    errors = np.sqrt(np.einsum("nij,i,j->n", survey.covariance + cov, v, v))
    truth = None
    if out["truth"] is not None:
        truth = to_coordinates(out["truth"], exact.model)
    o = out["objects"]
    pull = None
    if "M_true" in o:
        pull = (o["M_true"] - o["M_network"]) / o["sd_network"]
    learned = out["learned"]
    drawn = {
        "hubble": figures.hubble(survey.z, standardised, mu, errors),
        "corner": figures.corner(
            exact.samples, exact.names, learned.samples, learned.pair, truth
        ),
        "pulls": figures.pulls(
            ((o["M_network"] - o["M_exact"]) / o["sd_exact"]).to_numpy(),
            (o["sd_network"] / o["sd_exact"]).to_numpy(),
            o["kl"].to_numpy(), None if pull is None else pull.to_numpy(),
        ),
    }  # fmt: skip
    if out["ranks"] is not None:
        drawn["coverage"] = figures.coverage(out["ranks"], exact.names)
    return drawn


def _write(out, output, say):
    files = [
        write_text(output / "globals.csv", out["globals"].to_csv(index=False)),
        write_text(output / "objects.csv", out["objects"].to_csv(index=False)),
        write_text(output / "rounds.csv", out["learned"].rounds.to_csv(index=False)),
        _hdf5(out, output / "posterior.h5"),
    ]
    out["figures"] = drawings(out)
    for name, ax in out["figures"].items():
        files.append(figures.save(ax, output / f"{name}.png"))
    files.append(write_text(output / "report.html", report.page_of(out)))
    say(f"report: {output / 'report.html'}")
    return files


def _hdf5(out, path):
    import h5py

    part = path.with_name(path.name + ".part")
    with h5py.File(part, "w") as file:
        file.attrs["version"] = out["version"]
        file.attrs["names"] = list(out["exact"].names)
        for key, value in out["settings"].items():
            plain = (
                json.dumps(value) if isinstance(value, dict) or value is None else value
            )
            file.attrs[key] = plain
        file["exact"] = out["exact"].chains
        file["network"] = out["learned"].samples
        file["pair"] = out["learned"].pair
        file["box"] = out["learned"].box
        file["data"] = out["data"]
        for name in ("M_exact", "sd_exact", "M_network", "sd_network", "kl"):
            file[f"objects/{name}"] = out["objects"][name].to_numpy()
        if out["ranks"] is not None:
            file["ranks"] = out["ranks"]
    part.replace(path)
    return path
