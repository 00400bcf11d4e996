"""Making a bank's file, and its prior against that of the user."""

import functools
import json
import os

import h5py
import numpy as np

from .._html import version
from . import _bank_file, _bank_writer, _parallel
from ._bank_file import Column, Layout
from ._bank_writer import FAILED, FREE, RESERVED, VALID
from ._claims import writing
from ._parse import same
from .prior import Prior
from .simulator import Simulator

STATUS = {"free": FREE, "reserved": RESERVED, "valid": VALID, "failed": FAILED}


@functools.cache
def release():
    """This package's version, read once."""
    return version()


def make(path, prior, attributes=None):
    """Make an empty bank, unless another writer is faster."""
    status = h5py.enum_dtype(STATUS, basetype="i1")
    text = h5py.string_dtype("utf-8", _parallel.LONGEST_MESSAGE)
    layout = Layout()
    layout.attributes = {
        **(attributes or {}),
        "format": _bank_file.FORMAT,
        "format_version": _bank_file.FORMAT_VERSION,
        "version": release(),
        "prior": json.dumps(prior.describe()),
        "parameters": json.dumps(prior.names),
    }
    layout.columns = {
        "theta": Column(np.float64, (prior.d,)),
        "status": Column(status, ()),
        "message": Column(np.uint16, ()),
        "call": Column(np.uint16, ()),
    }
    layout.tables["failures/text"] = Column(text, ())
    layout.table_rows["failures/text"] = _bank_writer.TEXTS
    with writing(path) as claims, claims.mutex():
        if not os.path.exists(path):
            _bank_file.create(path, layout)


class Units:
    """Units of the arrays of a bank: those given, else those of its simulator."""

    def __init__(self, given, simulator=None):
        self.given, self._own = given, {}
        if isinstance(simulator, Simulator):
            names, units = simulator.targets, simulator.units
            # one target comes as an array, which a bank calls x
            keys = ["x"] if len(names) == 1 else names
            found = {k: units.get(n) for k, n in zip(keys, names, strict=True)}
            self._own = {k: unit for k, unit in found.items() if unit}

    def of(self, names):
        """By array; ValueError if one is given for an array that is not there."""
        for name in self.given:
            if name not in names:
                raise ValueError(
                    f"units are given for '{name}', but the arrays of the bank are "
                    f"{', '.join(names)}; mend the name"
                )
        return {name: {**self._own, **self.given}.get(name, "") for name in names}

    def check(self, path, stored):
        """ValueError if those of a file, by array, are others."""
        self.of(stored)
        for name, unit in {**self._own, **self.given}.items():
            if unit != stored.get(name, unit):
                raise ValueError(
                    f"{path} holds '{name}' in units of {stored[name]!r}, not "
                    f"{unit!r}; give units={{{name!r}: {stored[name]!r}}}, or use "
                    "another bank"
                )


def agreed(path, stored, prior):
    """The prior of a bank, and of the user if both are given."""
    stored = json.loads(str(stored))
    if prior is None:
        return Prior.restore(stored)
    mine = json.loads(json.dumps(prior.describe()))
    shown = json.dumps(stored["distributions"])
    equal = same(stored.pop("distributions"), mine.pop("distributions"))
    if not equal or stored != mine:
        raise ValueError(
            f"{path} was made with another prior, of {', '.join(stored['names'])}: "
            f"{shown[:300]}; open it with that one (or "
            "none), and give boxes of it to simulate(prior=)"
        )
    return prior
