"""How far a run with a bank has come: a small file beside it."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np

__all__ = ["State", "digest", "plain"]


def digest(x):
    """A word for an observation, an array or a dict of arrays."""
    found = hashlib.sha256()
    for key in sorted(x) if isinstance(x, dict) else [None]:
        one = np.ascontiguousarray(x if key is None else x[key], dtype=np.float64)
        found.update(f"{key} {one.shape}".encode() + one.tobytes())
    return found.hexdigest()[:16]


def plain(options):
    """Those of a dict's entries that are numbers, words, or dicts of them."""
    kinds = (bool, int, float, str, type(None))
    return {
        k: plain(v) if isinstance(v, dict) else v
        for k, v in options.items()
        if isinstance(v, (*kinds, dict))
    }


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
        Plain values that a run must share with the one it goes on from.
    """

    def __init__(self, bank, suffix, who, settings):
        self.path = None if bank is None else Path(f"{bank}.{suffix}.json")
        self.who, self.settings = who, json.loads(json.dumps(settings))

    def load(self):
        """What `save` wrote last; None if there is nothing.

        Raises
        ------
        ValueError
            If it was written with other settings.
        """
        if self.path is None or not self.path.exists():
            return None
        state = json.loads(self.path.read_text())
        stored = state["settings"]
        differ = [k for k, v in self.settings.items() if stored.get(k) != v]
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
