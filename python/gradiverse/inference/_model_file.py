"""Files of trained ratio estimators: one HDF5 file, written by `gradiverse.train`."""

import copy
import json

import numpy as np

from .. import train
from ._standardise import restore
from ._state import same_prior
from ._watch import arrays_of, restored
from .failures import Validity
from .prior import Prior

__all__ = ["load", "save"]

_KIND = "gradiverse.inference.NRE"
_FORMAT = 1


def save(est, path):
    """Write an estimator."""
    named = est.head is None or isinstance(est.head, str)
    dict_x = isinstance(est.x_shape, dict)
    config = {
        "kind": _KIND,
        "format": _FORMAT,
        "prior": est.prior.describe(),
        "marginals": [list(m) for m in est.marginals],
        "loss": est.loss,
        "failures": est.failures,
        "inputs": est.inputs,
        "data": est.data,
        "atoms": est.contrast.atoms,
        "gamma": est.contrast.gamma,
        "strength": est.contrast.strength,
        "members": est.members,
        "refine": est.refine,
        "head": est.head if named else "own",
        "embedding": est.embedding is not None,
        "x_shape": (
            {k: list(v) for k, v in est.x_shape.items()}
            if dict_x
            else list(est.x_shape)
        ),
        "n_rows": est.n_rows,
        "n_failed": est.n_failed,
    }
    standard = est.standardiser
    arrays = {
        "members": [[member[0] for member in members] for _, members in est._blocks],
        "standard": (
            {k: v.arrays() for k, v in standard.items()}
            if isinstance(standard, dict)
            else standard.arrays()
        ),
        "validity": None if est.validity is None else est.validity.params,
        "tilts": est.tilts,
        "frames": [list(f) for f in est.coordinates.frames or []],
        "familiar": arrays_of(est.familiar),
    }
    states = [[member[1] for member in members] for _, members in est._blocks]
    train.save(path, arrays, config, states)


def _prior(path, stored, prior):
    """The prior of a file, or that of the user if it agrees."""
    if prior is None:
        try:
            return Prior.restore(stored)
        except ValueError as error:
            raise ValueError(
                f"NRE.load: {path}: {error}, NRE.load(path, prior=...)"
            ) from None
    if not isinstance(prior, Prior):
        raise TypeError(
            f"NRE.load: prior is a {type(prior).__name__}; give a gv.inference.Prior"
        )
    mine = json.loads(json.dumps(prior.describe()))
    if not same_prior(mine, stored):
        raise ValueError(
            f"NRE.load: {path} was trained with another prior, of"
            f" {', '.join(stored['names'])}: {json.dumps(stored)[:300]}; give that one"
        )
    return prior


def load(cls, path, embedding, head, prior=None):
    """Read an estimator."""
    arrays, config, states = train.load(path, with_state=True)
    if not isinstance(config, dict) or config.get("kind") != _KIND:
        raise ValueError(f"NRE.load: {path} does not hold a ratio estimator")
    if config["format"] > _FORMAT:
        raise ValueError(
            f"NRE.load: {path} has format {config['format']}, this version reads up to"
            f" {_FORMAT}; update gradiverse"
        )
    if config["embedding"] != (embedding is not None):
        word = "with" if config["embedding"] else "without"
        raise ValueError(
            f"NRE.load: {path} was trained {word} an embedding; give the same"
        )
    if (config["head"] == "own") != callable(head):
        word = "a head of its own" if config["head"] == "own" else "a built-in head"
        raise ValueError(f"NRE.load: {path} was trained with {word}; give the same")
    est = cls(
        _prior(path, config["prior"], prior),
        loss=config["loss"],
        marginals=[tuple(m) for m in config["marginals"]],
        embedding=embedding,
        failures=config["failures"],
        head=head if config["head"] == "own" else config["head"],
        inputs=config["inputs"],
        data=config.get("data", "standard"),
        atoms=config["atoms"],
        gamma=config["gamma"],
        strength=config["strength"],
        members=config["members"],
        refine=config.get("refine") or False,
    )
    est.tilts = arrays.get("tilts")
    est.recalibrate = est.tilts is not None
    plain = est.coordinates
    if arrays.get("frames"):
        est.coordinates = copy.copy(plain)
        est.coordinates.frames = [tuple(f) for f in arrays["frames"]]
    est.n_rows, est.n_failed = config["n_rows"], config["n_failed"]
    shape, standard = config["x_shape"], arrays["standard"]
    if isinstance(shape, dict):
        est.x_shape = {k: tuple(v) for k, v in shape.items()}
        est.standardiser = {k: restore(v) for k, v in standard.items()}
        raw = {k: np.zeros((1, *v)) for k, v in est.x_shape.items()}
    else:
        est.x_shape, est.standardiser = tuple(shape), restore(standard)
        raw = np.zeros((1, *est.x_shape))
    networks = est._networks(est._features(raw))
    est._blocks = [
        (network, list(zip(params, state, strict=True)))
        for network, params, state in zip(
            networks, arrays["members"], states, strict=True
        )
    ]
    if arrays["validity"] is not None:
        est.validity = Validity(plain)
        est.validity.params = arrays["validity"]
    est.familiar = restored(est, arrays.get("familiar"))
    return est
