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
