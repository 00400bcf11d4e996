"""A bank written anew in one piece."""

import os

import numpy as np

from . import _bank_writer, _parallel
from ._bank_file import BankFile
from ._bank_make import Units, make, release
from ._bank_writer import FAILED, Writer


def export(bank, path, rows):
    """Write rows of a bank to a new file; returns the units of its arrays.

    What says whose draws the parameters are, boxes and given ones, is taken over.
    """
    file, path = bank._file, os.fspath(path)
    attributes = dict(file.layout.attributes)
    attributes.pop("calls", None)
    columns = _bank_writer.data_columns(file.layout)
    units = _bank_writer.units_of(columns)
    beside = path + ".part"
    if os.path.exists(beside):
        os.unlink(beside)  # of an export that was killed
    make(beside, bank.prior, attributes)
    step = max(1, (1 << 24) // max(1, sum(c.row_bytes for c in columns.values())))
    status, call = file.array("status"), file.array("call")[rows]
    other = BankFile(beside)
    with Writer(other) as writer, file.datasets() as datasets:
        writer.prepare(len(rows), _entry(bank, {}))  # room, also without any rows
        number = np.zeros(len(rows), np.uint16)
        for k, old in enumerate(bank._calls()):
            mine = call == k
            if mine.any():
                number[mine] = writer.prepare(len(rows), _entry(bank, old))
        while span := writer.claim(len(rows), step):
            part = rows[slice(*span)]
            failed = np.flatnonzero(status[part] == FAILED)
            messages = {int(k): "failed in the other bank" for k in failed}
            x = {k: datasets[k][part] for k in columns}
            result = _parallel.Result(datasets["theta"][part], x, messages, 0)
            writer.store(*span, result, number[slice(*span)], Units(units))
    other.close()
    os.rename(beside, path)
    return units


def _entry(bank, old):
    """The call of exported rows, after that by which they came."""
    return {
        "seed": "none",
        "bounds": old.get("bounds"),
        **({"theta": old["theta"]} if "theta" in old else {}),
        "simulator": f"exported from {os.path.basename(bank.path)}",
        "version": release(),
    }
