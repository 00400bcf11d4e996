"""How far a run with a bank has come, and of what settings: a small file beside it."""

import dis
import functools
import hashlib
import inspect
import json
import os
import re
from pathlib import Path

import numpy as np

from ..nn import Layer
from ..optim import Optimizer
from ..optim._schedules import Schedule
from ._parse import same
from .simulator import Simulator, _Node

__all__ = ["State", "described", "digest", "network", "same_prior"]

_OPEN = (Layer, Optimizer, Schedule, Simulator, _Node)  # attributes are settings
_LOOKS = ("progress", "callback")  # of the training: no weight depends on them
_OPTIONS = ("network", "explore", "sequential options")  # settings by name
_NETWORK = (
    "marginals", "loss", "failures", "head", "inputs", "data", "refine", "members",
    "recalibrate", "embedding", "augment",
)  # fmt: skip


def digest(x):
    """A word for an observation, an array or a dict of arrays."""
    found = hashlib.sha256()
    for key in sorted(x) if isinstance(x, dict) else [None]:
        one = np.ascontiguousarray(x if key is None else x[key], dtype=np.float64)
        found.update(f"{key} {one.shape}".encode() + one.tobytes())
    return found.hexdigest()[:16]


def described(value, within=()):
    """A setting in plain types (JSON), so that it is known again in another process.

    Functions are described by their name, defaults and what they close over, but not
    by their text; layers, optimisers and simulators of nodes by type and attributes;
    other objects by type, and by their repr where they have one of their own.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value != value:
        return "nan"
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if id(value) in within:
        return "itself"
    one = functools.partial(described, within=(*within, id(value)))
    if isinstance(value, dict):
        return {str(k): one(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [one(v) for v in value]
    if isinstance(value, np.ndarray):
        found = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return f"array {value.dtype} {value.shape} {found[:16]}"
    if isinstance(value, functools.partial):
        given = {"args": one(value.args), "keywords": one(value.keywords)}
        return {"partial": one(value.func), **given}
    if inspect.ismethod(value):
        return {"method": value.__func__.__qualname__, "of": one(value.__self__)}
    if inspect.isfunction(value):
        return {"function": _name(value), **one(_bound(value))}
    if isinstance(value, type) or inspect.isbuiltin(value):
        return _name(value)
    kind = _name(type(value))
    if isinstance(value, _OPEN):
        return {"type": kind, **one(vars(value))}
    if type(value).__repr__ is object.__repr__:
        return {"type": kind}
    return {"type": kind, "repr": re.sub(r" at 0x[0-9a-f]+", "", repr(value))}


def _name(value):
    return f"{value.__module__}.{value.__qualname__}"


def _bound(function):
    """Defaults of a function and what it closes over, without what it sets itself."""
    code = function.__code__
    own = {i.argval for i in dis.get_instructions(code) if i.opname == "STORE_DEREF"}
    cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
    free = {k: c.cell_contents for k, c in cells if k not in own and _filled(c)}
    defaults = [function.__defaults__, function.__kwdefaults__]
    return {k: v for k, v in (("defaults", defaults), ("free", free)) if any(v)}


def _filled(cell):
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def network(est):
    """All that the networks of an `NRE` depend on, described."""
    training = {k: v for k, v in est.training.items() if k not in _LOOKS}
    contrast = {k: getattr(est.contrast, k) for k in ("atoms", "gamma", "strength")}
    own = {k: getattr(est, k) for k in _NETWORK}
    return described({**own, **contrast, **training})


def same_prior(one, other):
    """Whether two descriptions by `Prior.describe`, after JSON, are of one prior."""
    keys = ("names", "bounds")
    return all(one.get(k) == other.get(k) for k in keys) and same(
        one["distributions"], other["distributions"]
    )


class State:
    """JSON beside a bank, written in one piece; nothing for runs in memory.

    Parameters
    ----------
    bank : path or None
    suffix : str
        Of the file's name.
    who : str
        Name for messages.
    settings : dict
        Plain values that a run must share with the one it goes on from. Those of
        "network" are named one by one; "prior" is what `Prior.describe` gives.
    content : tuple of str
        What `save` writes beside them.
    """

    def __init__(self, bank, suffix=None, who=None, settings=None, content=()):
        self.path = None if bank is None else Path(f"{bank}.{suffix}.json")
        self.who, self.settings = who, json.loads(json.dumps(settings))
        self.content = content

    def load(self):
        """What `save` wrote last; None if there is nothing.

        Raises
        ------
        ValueError
            If it was written with other settings, or is no such file.
        """
        if self.path is None or not self.path.exists():
            return None
        try:
            state = json.loads(self.path.read_text())
            known = all(k in state for k in ("settings", *self.content))
            known = known and isinstance(state["settings"], dict)
        except (ValueError, TypeError):
            known = False
        if not known:
            raise ValueError(
                f"{self.who}: {self.path} is empty or damaged, and how far the run with"
                " its bank has come is not known; put the file back from a copy, or"
                " give another bank"
            )
        differ = list(_different(self.settings, state["settings"]))
        if differ:
            raise ValueError(
                f"{self.who}: {self.path.name} belongs to a run with another"
                f" {', '.join(differ)}; give the same settings, or another bank"
            )
        return state

    def save(self, **content):
        """Write plain values beside the settings."""
        if self.path is None:
            return
        part = self.path.with_name(self.path.name + ".part")
        part.write_text(json.dumps({"settings": self.settings, **content}, indent=1))
        os.replace(part, self.path)


def _different(mine, stored):
    """Names of settings that differ."""
    for k, v in mine.items():
        other = stored.get(k)
        if other == v or (k == "prior" and other and same_prior(v, other)):
            continue
        if k not in _OPTIONS or not isinstance(other, dict):
            yield k
            continue
        inner = [i for i in {**v, **other} if v.get(i, v) != other.get(i, other)]
        if k == "network":
            yield from inner
        else:
            yield f"{k} ({', '.join(inner)})"
