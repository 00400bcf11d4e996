"""Training: loops of optimiser steps that run in C, and files of their results."""

from ._evaluate import evaluate
from ._files import load, save
from ._fit import fit
from ._result import Fit, TrainingError

__all__ = ["Fit", "TrainingError", "evaluate", "fit", "load", "save"]
