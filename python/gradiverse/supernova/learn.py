"""All marginals of a survey by truncated marginal neural ratio estimation.

Rounds cut a box out of the prior; in the last one, networks for every global, for the
pair of cosmological parameters and for the magnitude of every object are trained on
surveys drawn along the posterior's ridge inside the box.
"""

import json
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from .. import optim
from .._html import write_text
from . import _check, _extend
from ._object_head import ObjectHead
from ._region import Box
from ._region import region as last_region
from ._summary import SOFT, Summary
from .posterior import first_guess
from .priors import prior as prior_of
from .report import UNFAMILIAR
from .rounds import recentred, simulate_round, train_round

BLOCK = 500  # surveys of the last round in one file
NEAR = "moments near the posterior"
PREDICTIVE = 600  # surveys drawn there
STOP = 0.3  # two rounds in a row that keep more of the volume than this are enough
ROUND_BATCH, ROUND_STEPS = 128, 800  # of the networks that only cut the box
MEMBERS = 4  # networks of the last round: means of single ones scatter by .05 sd


@dataclass
class Learned:
    """Marginal posteriors that networks found.

    Attributes
    ----------
    names : tuple of str
        Coordinates of the globals.
    samples : (n, p) array
        Draws of the one-dimensional marginals: columns are independent of one another.
    pair : (n, 2) array
        Draws of the marginal of the first two globals.
    magnitudes, magnitude_sds : (N,) arrays
        Posterior means and sds of M_s of every object.
    rounds : DataFrame
        Of each round: surveys simulated, widths, posterior mass cut, seconds.
    box : (p, 2) array
        The last one.
    check : dict
        p values of the hypothesis that the data are one of the surveys simulated in the
        last round, in the numbers that networks see (scores) and in all pooled numbers
        (moments), and that they are one of those drawn near the posterior. The first
        two say whether networks extrapolate, the last whether the model fits.
    """

    names: tuple
    samples: np.ndarray = field(repr=False)
    pair: np.ndarray = field(repr=False)
    magnitudes: np.ndarray = field(repr=False)
    magnitude_sds: np.ndarray = field(repr=False)
    rounds: pd.DataFrame = field(repr=False)
    box: np.ndarray = field(repr=False)
    networks: dict = field(repr=False)
    check: dict

    @property
    def mean(self):
        """(p,)"""
        return self.samples.mean(axis=0)

    @property
    def sd(self):
        """(p,)"""
        return self.samples.std(axis=0, ddof=1)


def product_head(rank=16, width=32, depth=2):
    """A maker of heads f(theta) . g(x) + a(theta) on theta and its products, which hold
    Gaussian posteriors exactly."""
    from ..inference._heads import ProductHead

    return lambda groups, n_theta, n_features: ProductHead(
        groups, n_theta, n_features, rank=rank, width=width, depth=depth, quadratic=True
    )


def training(epochs, **more):
    """Options of a ratio estimator for pooled numbers."""
    return {
        "loss": "nre-b", "atoms": 8, "batch_size": 256, "epochs": epochs,
        "patience": epochs, "head": product_head(),
        "optimizer": optim.adam(optim.cosine(3e-3)), **more,
    }  # fmt: skip


class Learner:
    """Learn the marginal posteriors of a survey.

    Parameters
    ----------
    survey : Survey
        Without selection, step and systematics.
    data : (N, 3) array
    model : {"flat", "wcdm", "curved"}
    simulations : int
        Surveys of each truncation round.
    final : int
        Surveys of the last round.
    objects : int
        Objects kept of each survey of the last round, to train the shared head on.
    epochs : int
        Of every network of globals.
    max_rounds : int
    rng : int
    folder : path, optional
        Where rounds are kept; an interrupted run goes on from there.
    say : callable, optional
        Called with lines of text.

    Examples
    --------
    >>> import gradiverse as gv
    >>> from gradiverse.supernova.learn import Learner
    >>> truth, z, S = gv.supernova.fiducial(100)
    >>> d = gv.supernova.simulate(truth, z, S, 0)
    >>> learner = Learner(gv.supernova.Survey(z, S), d, "flat", 200, max_rounds=1)
    >>> box, centre = learner.truncate()
    >>> box.volume < 0.5, centre.shape
    (True, (9,))
    """

    def __init__(self, survey, data, model="wcdm", simulations=2000, final=20_000,
                 objects=32, epochs=20, max_rounds=8, rng=0, folder=None,
                 say=None):  # fmt: skip
        _extend.plain(survey, "Learner")
        counts = {"simulations": simulations, "final": final, "objects": objects}
        counts |= {"epochs": epochs, "max_rounds": max_rounds}
        for name, value in counts.items():
            if not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(
                    f"Learner: {name} must be a positive int, got {value!r}"
                )
        self.survey, self.model = survey, model
        self.data = np.asarray(_check.observations(data, len(survey)))
        self.simulations, self.final, self.objects = simulations, final, objects
        self.epochs, self.max_rounds, self.rng = int(epochs), int(max_rounds), int(rng)
        self.folder = None if folder is None else Path(folder)
        self.say = say or (lambda line: None)
        self.prior = prior_of(model)
        self.rows = []

    # --- rounds -----------------------------------------------------------------------
    def _settings(self):
        names = ("model", "simulations", "final", "objects", "epochs", "max_rounds")
        out = {k: getattr(self, k) for k in names}
        total = float(self.data.sum() + self.survey.z.sum() + self.survey.S.sum())
        return {**out, "rng": self.rng, "n": len(self.survey), "data": total}

    def truncate(self):
        """Run the truncation rounds; returns the prior in the last box and the point
        that summaries are about."""
        state = self._load()
        self.rows = state["rounds"]
        box = np.array(state["box"]) if state["box"] else np.array(self.prior.bounds)
        centre = first_guess(self.survey, self.data, self.model)
        centre = np.array(state["centre"]) if state["centre"] else centre
        while len(self.rows) < self.max_rounds:
            if len(self.rows) > 1 and min(r["kept"] for r in self.rows[-2:]) > STOP:
                break
            k = len(self.rows)
            inside = self.prior.truncate(box)
            r = simulate_round(
                self.survey, self.data, inside, self.model, self.simulations,
                self.rng + 1000 * (k + 1), centre,
            )  # fmt: skip
            options = training(-(-ROUND_STEPS // -(-self.simulations // ROUND_BATCH)))
            options["batch_size"] = ROUND_BATCH
            train_round(r, inside, self.data, seed=k, **options)
            box, centre = r.next_box, r.summary.centre
            after = self.prior.truncate(box)
            row = {
                "round": k + 1,
                "surveys": self.simulations,
                "valid": float(r.simulations["valid"].mean()),
                "kept": float(np.exp(after.log_volume - inside.log_volume)),
                "widest": float((np.diff(box)[:, 0] / r.summary.sd).max()),
                "mass_cut": float(r.cut_mass.sum()),
                **r.seconds,
            }
            self.rows.append(row)
            self.say(
                f"round {k + 1}: box keeps {row['kept']:.2g} of its volume, widest side"
                f" {row['widest']:.3g} sds, posterior mass cut {row['mass_cut']:.1e};"
                f" {row['simulate']:.0f} s simulating, {row['train']:.0f} s training"
            )
            self._save(box, centre)
        return self.prior.truncate(box), centre

    @property
    def unsettled(self):
        """What is to be said if the rounds ended before the box stood still, or ""."""
        kept = [r["kept"] for r in self.rows[-2:]]
        if len(kept) > 1 and min(kept) > STOP:
            return ""
        return (
            f"the box has not settled after max_rounds = {self.max_rounds} (shares of"
            f" its volume kept: {', '.join(f'{k:.2g}' for k in kept)}): the last"
            " networks are spread too thin and may be far off; raise max_rounds, or"
            " simulations"
        )

    def _file(self):
        return self.folder / "rounds.json"

    def _load(self):
        empty = {"rounds": [], "box": None, "centre": None}
        if self.folder is None or not self._file().is_file():
            return empty
        state = json.loads(self._file().read_text(encoding="utf-8"))
        if state["settings"] != json.loads(json.dumps(self._settings())):
            self.say(
                "rounds of other settings or data are in the folder: starting anew"
            )
            for old in self.folder.glob("surveys_*.npz"):
                old.unlink()
            return empty
        return state

    def _save(self, box, centre):
        if self.folder is None:
            return
        state = {"settings": self._settings(), "rounds": self.rows}
        state |= {
            "box": np.asarray(box).tolist(),
            "centre": np.asarray(centre).tolist(),
        }
        write_text(self._file(), json.dumps(state, indent=1))

    # --- the last round ---------------------------------------------------------------
    def _surveys(self, summary, theta):
        """Simulations at theta in blocks, each with a file of its own."""
        parts = []
        for i in range(0, len(theta), BLOCK):
            path = None
            if self.folder is not None:
                path = self.folder / f"surveys_{i // BLOCK:04d}.npz"
            if path is not None and path.is_file():
                with np.load(path) as found:
                    parts.append({k: found[k] for k in found.files})
                continue
            block = summary.run(theta[i : i + BLOCK], self.rng + 7 + i, self.objects)
            if path is not None:
                part = path.with_suffix(".part")
                with open(part, "wb") as file:
                    np.savez(file, **block)
                part.replace(path)
            parts.append(block)
            if (i // BLOCK) % 10 == 9:
                self.say(f"last round: {i + len(block['M'])} of {len(theta)} surveys")
        return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}

    def run(self, draws=20_000):
        """Rounds, last round, networks, posteriors; returns `Learned`.

        Warns
        -----
        UserWarning
            If the box has not settled after max_rounds.
        UnfamiliarData
            If the data are unlike the surveys of the last round.
        """
        inside, centre = self.truncate()
        if self.unsettled:
            warnings.warn(self.unsettled, stacklevel=2)
        begin = time.perf_counter()
        summary = recentred(self.survey, self.data, centre, inside, self.model)
        box = np.array(inside.bounds)
        region = last_region(self.prior, box, summary.centre, summary.covariance)
        theta = region.sample(self.final, np.random.SeedSequence([self.rng, 8]))
        found = self._surveys(summary, theta)
        simulated = time.perf_counter()
        learned = self.learn(summary, region, inside, theta, found, draws)
        spent = time.perf_counter() - simulated
        row = {"round": len(self.rows) + 1, "surveys": self.final, "mass_cut": 0.0}
        row |= {"valid": float(found["valid"].mean()), "kept": np.nan}
        row |= {"widest": float((np.diff(inside.bounds)[:, 0] / summary.sd).max())}
        row |= {"simulate": simulated - begin, "train": spent}
        self.say(
            f"last round: {simulated - begin:.0f} s simulating, {spent:.0f} s training"
        )
        learned.rounds = pd.DataFrame([*self.rows, row])
        return learned

    def whitened(self, features, summary, region):
        """Scores in the region's turned coordinates, float32.

        Moments, which early rounds need, are left out: at the end they add nothing to
        the scores, and where real data are not what the model says the two disagree.
        """
        p = len(summary.centre)
        features = np.atleast_2d(features)
        score = SOFT * np.sinh(features[:, -p:] / SOFT)
        x = np.linalg.solve(region.L, (score * summary.sd).T).T
        if isinstance(region, Box):
            x = SOFT * np.arcsinh(x / SOFT)
        return x.astype(np.float32)

    def learn(self, summary, region, inside, theta, found, draws):
        """Networks of the last round and what they say of the observed data."""
        from ..inference import NRE

        ok = found["valid"]
        marginals = region.marginals()
        observed = np.asarray(summary.of_data(self.data))
        x = self.whitened(found["features"][ok], summary, region)
        at = self.whitened(observed, summary, region)[0]
        options = {"members": MEMBERS, "rng": self.rng, **training(self.epochs)}
        one = NRE(marginals, marginals="1d", **options).fit(theta[ok], x)
        turned = region.turned_marginals()
        phi = region.turned(theta[ok])[:, :2]
        keep = turned.contains(phi)
        two = NRE(turned, **options).fit(phi[keep], x[keep])
        moments = observed[: -len(summary.centre)]
        check = _familiarity({
            "scores": (at, x), "moments": (observed, found["features"][ok]),
            NEAR: (moments, predictive(summary, self.prior, self.rng + 9)),
        })  # fmt: skip
        posterior = _posterior(one, at)
        samples = np.column_stack(
            [posterior.sample_marginal(i, draws, i)[:, 0] for i in range(marginals.d)]
        )
        pair = self._pair(two, region, at, draws)
        rest = {k: found[k] for k in ("features", "index", "data", "M", "valid")}
        head = ObjectHead(summary, _Draws(marginals.names, theta[ok]), self.rng)
        head.fit(rest)
        mean, sd = head.moments(observed, self.data)
        networks = {"one": one, "two": two, "objects": head, "summary": summary}
        networks |= {"region": region, "observed": observed, "at": at}
        return Learned(
            summary.names, samples, pair, mean, sd, None, np.array(inside.bounds),
            networks, check,
        )  # fmt: skip

    def _pair(self, est, region, at, draws):
        """Draws of the first two globals: the region's prior weighted by the ratio,
        which is learned in turned coordinates, where ridges are round."""
        rng = np.random.default_rng([self.rng, 9])
        theta = region.sample(200_000, rng)
        phi = region.turned(theta)[:, :2]
        inside = est.prior.contains(phi)
        theta, phi = theta[inside], phi[inside]
        h = est.log_ratio(phi, at)
        w = np.exp(h - h.max())
        rows = rng.choice(len(theta), draws, p=w / w.sum())
        return theta[rows, :2]


def predictive(summary, prior, seed, n=PREDICTIVE):
    """Moments (n, f) of surveys drawn at the Gaussian posterior about the summary's
    point: what data look like if the model is right. Scores are 0 there by choice of
    the point; moments are free to differ."""
    rng = np.random.default_rng([seed, 10])
    theta = rng.multivariate_normal(summary.centre, summary.covariance, 4 * n)
    found = summary.run(theta[prior.contains(theta)][:n], seed)
    return found["features"][found["valid"], : -len(summary.centre)]


def _familiarity(views):
    """p values of (observed, simulated) by name; warns once, of the smallest."""
    from ..inference import UnfamiliarData, misspecification_test

    p = {k: misspecification_test(*view).p_value for k, view in views.items()}
    worst = min(p, key=p.get)
    if p[worst] < UNFAMILIAR:
        warnings.warn(
            f"the data are unlike the simulated surveys: p = {p[worst]:.2g} in their"
            f" {worst}; the model does not describe them, or the box has lost them, and"
            " the networks extrapolate",
            UnfamiliarData,
            stacklevel=4,
        )
    return p


def _posterior(est, at):
    """The posterior without a warning of its own."""
    from ..inference import UnfamiliarData

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfamiliarData)
        return est.posterior(at)


class _Draws:
    """Draws that stand for a prior."""

    def __init__(self, names, theta):
        self.names, self.theta = names, theta

    def sample(self, n, rng):
        """n of them, with replacement."""
        return self.theta[np.random.default_rng(rng).integers(0, len(self.theta), n)]


__all__ = ["Learned", "Learner", "Summary", "product_head", "training"]
