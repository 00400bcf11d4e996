"""What a training returns."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["COLUMNS", "Fit", "TrainingError"]

COLUMNS = ["epoch", "train_loss", "validation_loss", "lr", "seconds"]


@dataclass(frozen=True)
class Fit:
    """Result of `fit`.

    Attributes
    ----------
    params : nest of arrays
        The best weights, or the last ones without validation (see `fit`).
    state : nest of arrays or None
        Running statistics that belong to them.
    history : DataFrame
        One row per epoch: epoch (from 1; 0 for the start where it counts), train_loss,
        validation_loss (NaN without validation), lr (of the epoch's last step) and
        seconds.
    best : dict
        ``epoch`` and ``loss`` of the lowest validation loss (training loss without
        validation); epoch None where no loss was finite.
    validation_rows : (m,) int64 array
        Rows that training never read.
    interrupted : bool
        Stopped by Ctrl-C.
    snapshot : dict
        What ``resume=`` needs to go on.
    """

    params: Any
    state: Any
    history: pd.DataFrame
    best: dict
    validation_rows: np.ndarray
    interrupted: bool = False
    snapshot: Any = field(default=None, repr=False, compare=False)

    def __repr__(self):
        last = self.history.iloc[-1] if len(self.history) else None
        loss = "" if last is None else f", train loss {last.train_loss:.4g}"
        how = ", interrupted" if self.interrupted else ""
        return (
            f"<gv.train.Fit, {len(self.history)} epochs{loss}, best {self.best}{how}>"
        )


class TrainingError(ArithmeticError):
    """A loss that is not finite.

    Attributes
    ----------
    result : Fit
        The best so far.
    """

    def __init__(self, message, result=None):
        super().__init__(message)
        self.result = result
