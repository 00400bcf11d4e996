"""What the record of a bank says about its rows: failures, and whose draws they are."""

import numpy as np

from . import _bank_writer
from ._bank_writer import FAILED
from .prior import within

_NUMBERS = 1 << 22  # parameters looked at at once


def failures(bank):
    """Table of the failed rows: row, message and the parameters (DataFrame)."""
    import pandas as pd

    rows = np.flatnonzero(bank._array("status") == FAILED)
    known = ["", *_bank_writer.texts(bank._file)]
    lost = "(more kinds of messages than a bank keeps)"
    codes = bank._array("message")[rows]
    texts = [known[c] if c < len(known) else lost for c in codes.tolist()]
    theta = bank._array("theta")[rows]
    named = {name: theta[:, i] for i, name in enumerate(bank.prior.names)}
    return pd.DataFrame({"row": rows, "message": texts, **named})


def of_calls(bank, chosen):
    """Which rows of `arrays` are finished and of calls that `chosen` is true for."""
    of_call = np.array([chosen(call) for call in bank._calls()], bool)
    done = bank.rows(False)
    out = np.zeros(len(bank._array("status")), bool)
    out[done] = of_call[bank._array("call")[done]]
    return out


def draws(bank, prior):
    """Which finished rows of `arrays` are draws of a prior, the bank's or a box."""

    def covers(call):
        box = call.get("bounds")
        box = bank.prior.bounds if box is None else np.array(box)
        return "theta" not in call and within(prior.bounds, box)

    out, theta = of_calls(bank, covers), bank._array("theta")
    if not bank.prior.cut_from(prior):
        size = max(_NUMBERS // prior.d, 1)
        for i in range(0, len(out), size):
            out[i : i + size] &= prior.contains(theta[i : i + size])
    return out
