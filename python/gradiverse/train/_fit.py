"""fit: epochs of optimiser steps that run in C."""

import math
import signal
import threading
import time

import numpy as np
import pandas as pd

from .. import random
from .._repeat import as_arrays
from ..optim import Optimizer
from ._result import COLUMNS, Fit, TrainingError
from ._rows import Data, Order, seed_of, split
from ._step import TRAIN, VALID, Loss, evaluator, stepper

__all__ = ["fit"]

SLICE = 0.2  # seconds that steps run before Python has a look
_WHO = "gv.train.fit"


class _Interrupt:
    """Ctrl-C during a training: the first one ends it after the step at hand."""

    def __init__(self):
        self.asked = False
        self._old = None

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            self._old = signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number, frame):
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, *exc):
        if self._old is not None:
            signal.signal(signal.SIGINT, self._old)


class _Trainer:
    """A training at some point: what goes on from there is a function of its fields."""

    def __init__(self, loss, params, data, optimizer, batch_size, epochs, options):
        self.seed = seed_of(options["rng"], _WHO)
        self.data = Data(data, _WHO)
        self.rows, self.validation_rows = split(
            self.data.rows, options["validation"], self.seed, _WHO
        )
        n = len(self.rows)
        self.batch = n if batch_size is None else min(batch_size, n)
        self.order = Order(options["order"], self.rows, self.data, self.seed, _WHO)
        self.epochs = epochs
        state = options["state"]
        self.loss = Loss(loss, options["augment"], state is not None, _WHO)
        per_epoch = -(-n // self.batch)
        self.optimizer = optimizer.bind(per_epoch * epochs, per_epoch)
        params, tree = as_arrays(params, f"{_WHO}: params", copy=True)
        params = tree.unflatten(params)
        net, net_tree = as_arrays(state, f"{_WHO}: state", copy=True)
        start = {
            "params": params,
            "opt": self.optimizer.init(params),
            "net": net_tree.unflatten(net),
        }
        self.carry, self.tree = as_arrays(start, _WHO, copy=True)
        key = random.key(self.seed)
        self.key = random.fold_in(key, TRAIN)
        self.check = evaluator(
            self.loss, self.data, self.batch, random.fold_in(key, VALID), _WHO
        )
        self.records = []
        self.epoch, self.done, self.losses = 0, 0, np.empty(0)
        self.best = {"epoch": None, "loss": math.nan}
        self.best_weights = None
        self.idle = 0
        self._programs = {}

    # --- the state ------------------------------------------------------------------
    @property
    def nest(self):
        """The carry as a dict of params, opt and net."""
        return self.tree.unflatten(self.carry)

    def current(self):
        """Parameters and network state as they would be used now."""
        carry = self.nest
        return self.optimizer.evaluated(carry["params"], carry["opt"]), carry["net"]

    def _program(self, size):
        found = self._programs.get(size)
        if found is None:
            found = self._programs[size] = stepper(
                self.loss, self.optimizer, self.data, self.nest, size, _WHO
            )
        return found

    # --- one epoch ------------------------------------------------------------------
    def parts(self):
        """(rows (steps, size), first step) of the full and the partial batches."""
        rows = self.order(self.epoch)
        size = self.batch
        full = len(rows) // size
        yield rows[: full * size].reshape(full, size), 0
        if len(rows) % size:
            yield rows[None, full * size :], full

    def run_epoch(self, between):
        """Go on with the epoch until its end; False when `between` says to stop."""
        parts = list(self.parts())
        steps = sum(len(rows) for rows, _ in parts)
        if len(self.losses) != steps:
            self.losses = np.empty(steps)
        base = self.epoch * steps
        fixed = {"data": self.data.flat, "key": self.key}
        for rows, first in parts:
            at, n = self.done - first, len(rows)
            if n == 0 or at >= n:
                continue
            program = self._program(rows.shape[1])
            xs = {"rows": rows, "step": np.arange(base + first, base + first + n)}
            ys = [self.losses[first : first + n]]
            while at < n:
                begin, at = at, program.run(self.carry, xs, fixed, ys, at, SLICE)
                self.done = first + at
                self._check_losses(ys[0][begin:at], first + begin)
                if between(self.done, steps) and self.done < steps:
                    return False
        return True

    def _check_losses(self, losses, first):
        bad = np.flatnonzero(~np.isfinite(losses))
        if len(bad):
            raise TrainingError(
                f"{_WHO}: the loss is {losses[bad[0]]} at epoch {self.epoch + 1}, step"
                f" {first + bad[0] + 1} of {len(self.losses)}; lower the learning rate,"
                " clip the gradient (gv.optim.clip), or look for bad rows; the best so"
                " far is in .result of this error"
            )

    def train_loss(self):
        """Mean loss of the epoch, each row counted once."""
        weights = np.full(len(self.losses), float(self.batch))
        n = len(self.rows) if not callable(self.order.kind) else None
        last = (n if n is not None else 0) - (len(self.losses) - 1) * self.batch
        if n is not None:
            weights[-1] = last
        return float(self.losses @ weights / weights.sum())

    def close_epoch(self, seconds):
        """Validate, keep the best, and note the epoch; returns its record."""
        carry = self.nest
        params, net = self.current()
        train, valid = self.train_loss(), math.nan
        if len(self.validation_rows):
            valid = self.check(params, net, self.validation_rows)
        watched = valid if len(self.validation_rows) else train
        opt = carry["opt"]
        last = dict(opt, step=opt["step"] - 1)
        rate = float(self.optimizer.rate(last))
        self.epoch += 1
        self.done = 0
        self.losses = np.empty(0)
        better = watched < self.best["loss"] or (
            self.best["epoch"] is None and math.isfinite(watched)
        )
        self.idle = 0 if better else self.idle + 1
        if better:
            self.best = {"epoch": self.epoch, "loss": watched}
            if len(self.validation_rows):
                nest = {"params": params, "net": net}
                self.best_weights = as_arrays(nest, _WHO, copy=True)
        self.optimizer.observe(carry["opt"], watched)
        record = dict(
            zip(COLUMNS, (self.epoch, train, valid, rate, seconds), strict=True)
        )
        self.records.append(record)
        return record

    def result(self, restore_best, interrupted=False):
        """The `Fit` of this point."""
        if restore_best and self.best_weights is not None:
            leaves, tree = self.best_weights
            best = tree.unflatten(leaves)
            params, net = best["params"], best["net"]
        else:
            params, net = self.current()
        return Fit(
            params=params,
            state=net if self.loss.stateful else None,
            history=pd.DataFrame(self.records, columns=COLUMNS),
            best=dict(self.best),
            validation_rows=self.validation_rows,
            interrupted=interrupted,
        )


def _check(optimizer, batch_size, epochs, patience):
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{_WHO}: optimizer is {optimizer!r}, expected one of gv.optim")
    for name, value, least in (
        ("batch_size", batch_size, 1),
        ("epochs", epochs, 0),
        ("patience", patience, 1),
    ):
        if value is None and name != "epochs":
            continue
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if not whole or value < least:
            raise ValueError(f"{_WHO}: {name} is {value!r}, expected an int >= {least}")


def fit(
    loss,
    params,
    data,
    *,
    optimizer,
    batch_size,
    epochs,
    rng=0,
    validation=0.1,
    augment=None,
    state=None,
    patience=None,
    order=None,
    progress=False,
    callback=None,
    restore_best=True,
):
    """Train parameters on rows of data.

    Parameters
    ----------
    loss : callable
        ``loss(params, batch)``, the mean over the batch's rows. Keywords that it takes
        are passed: ``rng`` (a `gradiverse.random` key), ``train`` (bool), ``state``;
        with a state it returns (loss, state).
    params : nest of float arrays
        Left as they are.
    data : nest of arrays, or a bank
        One leading axis of rows. Memory maps are not copied.
    optimizer : Optimizer
        From `gradiverse.optim`.
    batch_size : int or None
        Rows of a step; the last step of an epoch takes what is left. None: all.
    epochs : int
    rng : int, SeedSequence or Generator
        Everything random is a function of it.
    validation : float, int or array of int
        Share, number, or the rows of validation; 0: none.
    augment : callable, optional
        ``augment(batch, key) -> batch``, traced; also applied to validation rows, there
        with the same keys every epoch.
    state : nest of arrays, optional
        Running statistics (``net.init_state()``).
    patience : int, optional
        Stop after so many epochs without a lower loss.
    order : None, "shuffle", "blocks", "sequential" or callable
        Order of the rows.
    progress : bool
        Show a bar.
    callback : callable, optional
        Called with the record of each epoch (a dict); a true result ends the training.
    restore_best : bool
        Return the weights of the lowest validation loss, not the last ones.

    Returns
    -------
    Fit

    Raises
    ------
    TrainingError
        If a loss is not finite; holds the best so far.
    """
    _check(optimizer, batch_size, epochs, patience)
    options = {
        "rng": rng,
        "validation": validation,
        "augment": augment,
        "state": state,
        "order": order,
    }
    trainer = _Trainer(loss, params, data, optimizer, batch_size, epochs, options)
    with _Interrupt() as interrupt:
        try:
            while trainer.epoch < epochs:
                begin = time.perf_counter()
                whole = trainer.run_epoch(lambda done, steps: interrupt.asked)
                if not whole:
                    break
                record = trainer.close_epoch(time.perf_counter() - begin)
                stop = callback is not None and callback(record)
                if stop or interrupt.asked:
                    break
                if patience is not None and trainer.idle >= patience:
                    break
        except TrainingError as error:
            error.result = trainer.result(restore_best)
            raise
    return trainer.result(restore_best, interrupt.asked)
