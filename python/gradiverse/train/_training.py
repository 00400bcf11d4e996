"""A training at some point: what goes on from there is a function of its fields."""

import math
import time
import warnings

import numpy as np
import pandas as pd

from .. import random
from .._repeat import as_arrays
from ..tree import flatten, leaf_paths
from ._result import COLUMNS, Fit, TrainingError
from ._rows import Data, Order, digest, seed_of, split
from ._step import SLICE, TRAIN, VALID, Evaluator, Loss, stepper

__all__ = ["Steps", "Training"]

WHO = "gv.train.fit"


class Training:
    """What trainings by small steps and by whole sweeps share.

    Attributes
    ----------
    epoch, done : int
        Whole epochs, and steps of the epoch at hand.
    losses : array
        Of the steps of the epoch at hand.
    idle : int
        Epochs since the best one.
    finished : bool
        No step can lower the loss any more.
    best_weights, safe_weights : dict or None
        params and net of the best epoch, where there are validation rows, and what to
        fall back on before there is a best one.
    """

    def __init__(self, loss, params, data, optimizer, batch_size, options):
        self.seed = seed_of(options["rng"], WHO)
        self.data = Data(data, WHO)
        self.rows, self.validation_rows = split(
            self.data.rows, options["validation"], self.seed, WHO
        )
        self._rows_digest = digest([self.rows, self.validation_rows])
        self._data_digest = self.data.digest(self.rows)
        n = len(self.rows)
        self.batch = n if batch_size is None else min(int(batch_size), n)
        self.optimizer = optimizer
        self.loss = Loss(loss, options["augment"], options["state"] is not None, WHO)
        key = random.key(self.seed)
        self.key = random.fold_in(key, TRAIN)
        self.check = Evaluator(
            self.loss, self.data, self.batch, random.fold_in(key, VALID), WHO
        )
        self.records = []
        self.epoch, self.done, self.losses = 0, 0, np.empty(0)
        self.seconds = 0.0  # spent on the epoch at hand
        self.best = {"epoch": None, "loss": math.nan}
        self.best_weights = None
        self.safe_weights = {"params": params, "net": options["state"]}
        self.idle = 0
        self.finished = False

    @property
    def steps_per_epoch(self):
        """Steps of an epoch."""
        return -(-len(self.rows) // self.batch)

    # --- what kinds of training differ in ---------------------------------------------
    def advance(self, between):
        """Go on with the epoch until its end; False when `between` says to stop."""
        raise NotImplementedError

    def current(self):
        """Parameters and running statistics as they would be used now."""
        raise NotImplementedError

    def train_loss(self):
        """Mean loss over the rows of the epoch."""
        raise NotImplementedError

    def rate(self):
        """Learning rate of the last step."""
        raise NotImplementedError

    # --- epochs -----------------------------------------------------------------------
    def count_start(self):
        """Have the weights of the start compete as those of an epoch 0."""
        if self.records or self.done or not len(self.validation_rows):
            return
        begin = time.perf_counter()
        params, net = self.current()
        valid = self.check(params, net, self.validation_rows)
        spent = time.perf_counter() - begin
        if math.isfinite(valid):
            self.best = {"epoch": 0, "loss": valid}
            self.best_weights = _copy(params, net)
        numbers = (0, math.nan, valid, math.nan, spent)
        self.records.append(dict(zip(COLUMNS, numbers, strict=True)))

    def close_epoch(self, stop, seconds):
        """Validate, keep the best, note the epoch; None where `stop` came first."""
        self.check_weights()
        params, net = self.current()
        train, valid = self.train_loss(), math.nan
        watched = train
        if len(self.validation_rows):
            valid = self.check(params, net, self.validation_rows, stop)
            if valid is None:
                return None
            watched = valid
            if not math.isfinite(valid):
                warnings.warn(
                    f"{WHO}: the validation loss is {valid} at epoch {self.epoch + 1}",
                    RuntimeWarning,
                    stacklevel=3,
                )
        self.epoch += 1
        numbers = (self.epoch, train, valid, self.rate(), self.seconds + seconds)
        self._watch(watched, params, net)
        if not len(self.validation_rows):
            self.safe_weights = _copy(params, net)
        self.done, self.losses, self.seconds = 0, np.empty(0), 0.0
        self.records.append(dict(zip(COLUMNS, numbers, strict=True)))
        return self.records[-1]

    def _watch(self, loss, params, net):
        first = self.best["epoch"] is None and math.isfinite(loss)
        if not (first or loss < self.best["loss"]):
            self.idle += 1
            return
        self.idle = 0
        self.best = {"epoch": self.epoch, "loss": loss}
        if len(self.validation_rows):
            self.best_weights = _copy(params, net)

    def check_losses(self, losses, first):
        """TrainingError where a step's loss is not finite."""
        bad = np.flatnonzero(~np.isfinite(losses))
        if len(bad):
            raise TrainingError(
                f"{WHO}: the loss is {losses[bad[0]]} at epoch {self.epoch + 1}, step"
                f" {first + bad[0] + 1} of {len(self.losses)}; lower the learning rate,"
                " clip the gradient (gv.optim.clip), or look for bad rows; the best so"
                " far is in .result of this error"
            )

    def check_weights(self):
        """TrainingError where weights are not finite, though losses may still be."""
        for name, nest in zip(("params", "state"), self.current(), strict=True):
            for x, path in zip(flatten(nest)[0], leaf_paths(nest), strict=True):
                if np.isfinite(x).all():
                    continue
                raise TrainingError(
                    f"{WHO}: {name}{path} is not finite in epoch {self.epoch + 1}: the"
                    " gradient of a finite loss was NaN or infinite; look for roots,"
                    " logarithms and divisions at 0; the best so far is in .result of"
                    " this error"
                )

    # --- results and snapshots --------------------------------------------------------
    def weights(self, restore_best):
        """Parameters and running statistics to return."""
        if restore_best and self.best_weights is not None:
            return self.best_weights["params"], self.best_weights["net"]
        return self.current()

    def result(self, restore_best, interrupted=False, usable=True):
        """The `Fit` of this point; usable False: the state of the steps is lost."""
        if usable:
            given = _copy(*self.weights(restore_best))
        else:
            given = _copy(**(self.best_weights or self.safe_weights))
        return Fit(
            params=given["params"],
            state=given["net"] if self.loss.stateful else None,
            history=pd.DataFrame(self.records, columns=COLUMNS),
            best=dict(self.best),
            validation_rows=self.validation_rows,
            interrupted=interrupted,
            snapshot=self.snapshot() if usable else None,
        )

    def identity(self):
        """What a training that goes on must have in common."""
        return {
            "seed": self.seed,
            "training rows": len(self.rows),
            "validation rows": len(self.validation_rows),
            "batch_size": self.batch,
            "optimizer": _names(self.optimizer),
            "choice of rows": self._rows_digest,
            "data": self._data_digest,
        }

    def snapshot(self):
        """All that is needed to go on from here; shares the arrays."""
        records = {c: np.array([r[c] for r in self.records]) for c in COLUMNS}
        return {
            "identity": self.identity(),
            "carry": self.carry_nest(),
            "best": {"weights": self.best_weights, **self.best},
            "records": records,
            "losses": self.losses,
            "epoch": self.epoch,
            "done": self.done,
            "idle": self.idle,
            "seconds": self.seconds,
        }

    def restore(self, snapshot):
        """Go on from a snapshot, which is left as it is."""
        identity = snapshot["identity"]
        for name, mine in self.identity().items():
            theirs = identity.get(name, mine)  # files of before knew fewer
            if theirs != mine:
                raise ValueError(
                    f"{WHO}: resume: {name} was {theirs}, now it is {mine}; go on with"
                    " the arguments and data that the training was started with"
                )
        self.take_carry(snapshot["carry"])
        best = snapshot["best"]
        self.best = {"epoch": best["epoch"], "loss": best["loss"]}
        self.best_weights = best["weights"]
        columns = [snapshot["records"][c].tolist() for c in COLUMNS]
        rows = zip(*columns, strict=True)
        self.records = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
        for record in self.records:
            record["epoch"] = int(record["epoch"])
        self.losses = snapshot["losses"].copy()
        for name in ("epoch", "done", "idle", "seconds"):
            setattr(self, name, snapshot[name])

    def carry_nest(self):
        """The state of the steps as a nest."""
        raise NotImplementedError

    def take_carry(self, nest):
        """Take over the state of the steps."""
        raise NotImplementedError


def _names(optimizer):
    """Names of an optimiser and those that it wraps."""
    inside = getattr(optimizer, "opt", None)
    return optimizer.name if inside is None else f"{optimizer.name}({_names(inside)})"


def _copy(params, net):
    """Weights that later steps do not touch."""
    leaves, tree = as_arrays({"params": params, "net": net}, WHO, copy=True)
    return tree.unflatten(leaves)


def take_like(new, old, tree):
    """Copies of the leaves of a nest that must look like the old ones."""
    leaves, other = flatten(new)
    paths = leaf_paths(tree.unflatten(old))
    same = other == tree and all(
        np.shape(x) == y.shape and np.asarray(x).dtype == y.dtype
        for x, y in zip(leaves, old, strict=True)
    )
    if not same:
        names = ", ".join(paths[:4])
        raise ValueError(
            f"{WHO}: resume: the parameters or the optimiser's state differ from those"
            f" of the stored training (here {names}, ...)"
        )
    return [np.array(x) for x in leaves]


class Steps(Training):
    """Training by optimiser steps on batches."""

    def __init__(self, loss, params, data, optimizer, batch_size, epochs, options):
        super().__init__(loss, params, data, optimizer, batch_size, options)
        self.order = Order(options["order"], self.rows, self.data, self.seed, WHO)
        self.whole = bool(options["drop_last"])
        per_epoch = self.steps_per_epoch
        self.optimizer = optimizer.bind(per_epoch * epochs, per_epoch)
        params, tree = as_arrays(params, f"{WHO}: params", copy=True)
        net, net_tree = as_arrays(options["state"], f"{WHO}: state", copy=True)
        params = tree.unflatten(params)
        start = {
            "params": params,
            "opt": self.optimizer.init(params),
            "net": net_tree.unflatten(net),
        }
        self.carry, self.tree = as_arrays(start, WHO)
        self._programs = {}
        self._lengths = None
        self._ahead = 0

    @property
    def steps_per_epoch(self):
        left = 0 if self.whole else len(self.rows) % self.batch > 0
        return len(self.rows) // self.batch + left

    def identity(self):
        kind = "a function" if callable(self.order.kind) else self.order.kind
        return {**super().identity(), "order": kind, "drop_last": self.whole}

    def carry_nest(self):
        return self.tree.unflatten(self.carry)

    def take_carry(self, nest):
        self.carry = take_like(nest, self.carry, self.tree)

    def current(self):
        carry = self.carry_nest()
        return self.optimizer.evaluated(carry["params"], carry["opt"]), carry["net"]

    def _program(self, size):
        found = self._programs.get(size)
        if found is None:
            nest = self.carry_nest()
            found = self._programs[size] = stepper(
                self.loss, self.optimizer, self.data, nest, size, WHO
            )
        return found

    def _parts(self):
        """(rows (steps, size), first step) of the full and the partial batches."""
        rows = self.order(self.epoch)
        size = self.batch
        full, left = divmod(len(rows), size)
        if self.whole and full:
            left = 0
        self._lengths = np.full(full + (left > 0), float(size))
        parts = [(rows[: full * size].reshape(full, size), 0)]
        if left:
            self._lengths[-1] = left
            parts.append((rows[None, full * size :], full))
        for part, _ in parts:  # what cannot be traced fails before any step is made
            if len(part):
                self._program(part.shape[1])
        return parts

    def _read_ahead(self, rows, at):
        """Have the next window of rows on disk read; the step until which to run."""
        if not self.order.window:
            return len(rows)
        steps = max(self.order.window // rows.shape[1], 1)
        end = min(at - at % steps + steps, len(rows))
        if self._ahead <= at:
            self.data.prefetch(rows[at:end].reshape(-1))
            self._ahead = end
        if self._ahead == end:
            self.data.prefetch(rows[end : end + steps].reshape(-1))
            self._ahead = min(end + steps, len(rows))
        return end

    def advance(self, between):
        parts = self._parts()
        self._ahead = 0
        if len(self.losses) != len(self._lengths):
            self.losses = np.empty(len(self._lengths))
        fixed = {"data": self.data.flat, "key": self.key}
        for rows, first in parts:
            at, n = max(self.done - first, 0), len(rows)
            number = (self.epoch << 32) + first
            while at < n:
                program = self._program(rows.shape[1])
                end = self._read_ahead(rows, at)
                xs = {"rows": rows[:end], "step": np.arange(number, number + end)}
                ys = self.losses[first : first + end]
                begin = at
                at = program.run(self.carry, xs, fixed, [ys], at, SLICE)
                self.done = first + at
                self.check_losses(ys[begin:at], first + begin)
                if between(at - begin) and self.done < len(self.losses):
                    return False
        return True

    def train_loss(self):
        return float((self.losses * self._lengths).sum() / self._lengths.sum())

    def rate(self):
        opt = self.carry_nest()["opt"]
        return float(self.optimizer.rate(dict(opt, step=opt["step"] - 1)))

    def _watch(self, loss, params, net):
        super()._watch(loss, params, net)
        self.optimizer.observe(self.carry_nest()["opt"], loss)
