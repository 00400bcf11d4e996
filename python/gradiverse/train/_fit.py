"""fit: epochs of optimiser steps that run in C."""

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np

from .._repeat import as_arrays
from ..optim import Optimizer, adam
from ..optim._lbfgs import Lbfgs
from ._files import check, read_training, write
from ._result import Fit, TrainingError
from ._sweeps import Sweeps
from ._training import WHO, Steps

__all__ = ["fit"]

PAUSE = 10.0  # seconds between checkpoints where nothing is said


class _Interrupt:
    """Ctrl-C during a training: the first one ends it after the step at hand."""

    def __init__(self):
        self.asked = False
        self._old = None

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            old = signal.getsignal(signal.SIGINT)
            if old not in (None, signal.SIG_IGN):  # set outside of Python, or ignored
                self._old = signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number, frame):
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, *exc):
        if self._old is not None:
            signal.signal(signal.SIGINT, self._old)


class _Checkpoint:
    """When and where the training is written."""

    def __init__(self, checkpoint, restore_best, training):
        options = checkpoint if isinstance(checkpoint, dict) else {"path": checkpoint}
        unknown = set(options) - {"path", "epochs", "seconds", "config"}
        if unknown or not isinstance(options.get("path"), (str, os.PathLike)):
            raise TypeError(
                f"{WHO}: checkpoint is {checkpoint!r}; give a path, or a dict with path"
                " and epochs, seconds or config"
            )
        self.path = Path(options["path"])
        self.epochs = options.get("epochs")
        self.seconds = options.get("seconds")
        for name in ("epochs", "seconds"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{WHO}: checkpoint: {name} must be positive")
        if self.epochs is None and self.seconds is None:
            self.pause = PAUSE
        else:
            self.pause = self.seconds
        if not self.path.parent.is_dir():
            raise FileNotFoundError(
                f"{WHO}: checkpoint: there is no folder {self.path.parent}"
            )
        self.config = options.get("config")
        check(training.carry_nest(), self.config, f"{WHO}: checkpoint")
        self._last = -np.inf
        self._restore_best = restore_best

    def after_steps(self, training):
        """Between steps: only where seconds were asked for."""
        if self.seconds is not None and self._due():
            self.write(training)

    def after_epoch(self, training):
        """At the end of an epoch."""
        counted = self.epochs is not None and training.epoch % self.epochs == 0
        if counted or (self.pause is not None and self._due()):
            self.write(training)

    def _due(self):
        return time.monotonic() - self._last >= self.pause

    def write(self, training):
        """Write now."""
        training.check_weights()
        params, net = training.weights(self._restore_best)
        snapshot = training.snapshot()
        write(self.path, params, self.config, net, snapshot, f"{WHO}: checkpoint")
        self._last = time.monotonic()


class _Bar:
    """Progress by tqdm: one unit per step."""

    def __init__(self, show, epochs, training):
        self._bar = None
        if show:
            from tqdm.auto import tqdm

            steps = training.steps_per_epoch
            begun = training.epoch * steps + training.done
            self._bar = tqdm(total=epochs * steps, initial=begun, unit="step")

    def move(self, n):
        """n more steps."""
        if self._bar is not None:
            self._bar.update(n)

    def note(self, record):
        """Losses of an epoch."""
        if self._bar is not None:
            names = {"train_loss": "train", "validation_loss": "validation"}
            shown = {v: record[k] for k, v in names.items() if record[k] == record[k]}
            self._bar.set_postfix(epoch=record["epoch"], **shown)

    def close(self):
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()


def _whole(name, value, least):
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < least:
        raise ValueError(f"{WHO}: {name} is {value!r}, expected an int >= {least}")


def _check(optimizer, batch_size, epochs, patience, callback):
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{WHO}: optimizer is {optimizer!r}, expected one of gv.optim")
    _whole("epochs", epochs, 0)
    if batch_size is not None:
        _whole("batch_size", batch_size, 1)
    if patience is not None:
        _whole("patience", patience, 1)
    if callback is not None and not callable(callback):
        raise TypeError(f"{WHO}: callback is {callback!r}, expected a function")


def _resume(training, resume, checkpoint):
    if resume is True:
        if checkpoint is None:
            raise ValueError(f"{WHO}: resume=True goes on from checkpoint=; give one")
        if not checkpoint.path.exists():
            return
        resume = checkpoint.path
    if isinstance(resume, Fit):
        if resume.snapshot is None:
            raise ValueError(
                f"{WHO}: resume: this result came from a training that failed; resume"
                " from a checkpoint"
            )
        training.restore(resume.snapshot)
    elif isinstance(resume, (str, os.PathLike)):
        training.restore(read_training(resume, f"{WHO}: resume"))
    else:
        raise TypeError(
            f"{WHO}: resume is {resume!r}; give a result of fit, the path of a"
            " checkpoint, or True"
        )


class _Run:
    """The loop over epochs and all that watches it."""

    def __init__(self, training, epochs, patience, callback, checkpoint, restore_best):
        self.training = training
        self.epochs, self.patience, self.callback = epochs, patience, callback
        self.checkpoint, self.restore_best = checkpoint, restore_best
        self.interrupt = _Interrupt()
        self._begun = 0.0

    def _between(self, steps):
        self.bar.move(steps)
        if self.checkpoint is not None:
            self._clock()
            self.checkpoint.after_steps(self.training)
        return self.interrupt.asked

    def _clock(self):
        """Count the time since the last look as the epoch's."""
        now = time.perf_counter()
        self.training.seconds += now - self._begun
        self._begun = now

    def _epoch(self):
        """One epoch, or what is left of it; True when the training is to end."""
        training = self.training
        self._begun = time.perf_counter()
        whole = training.advance(self._between)
        record = None
        if whole:
            since = time.perf_counter() - self._begun
            record = training.close_epoch(lambda: self.interrupt.asked, since)
        if record is None:
            self._clock()
            return True
        self.bar.note(record)
        stop = self.callback is not None and self._call(record)
        if self.checkpoint is not None:
            self.checkpoint.after_epoch(training)
        return bool(stop) or self.interrupt.asked or self._tired()

    def _tired(self):
        """Nothing is to be gained by going on."""
        enough = self.patience is not None and self.training.idle >= self.patience
        return enough or self.training.finished

    def _call(self, record):
        params, net = self.training.current()
        leaves, tree = as_arrays({"params": params, "state": net}, WHO, copy=True)
        return self.callback({**record, **tree.unflatten(leaves)})

    def __call__(self, progress):
        """Train; returns the result."""
        training = self.training
        with self.interrupt:
            self.bar = _Bar(progress, self.epochs, training)
            try:
                while training.epoch < self.epochs and not self._tired():
                    if self._epoch():
                        break
            except TrainingError as error:
                error.result = training.result(self.restore_best, usable=False)
                raise
            finally:
                self.bar.close()
            if self.checkpoint is not None:
                self.checkpoint.write(training)
        return training.result(self.restore_best, self.interrupt.asked)


def fit(
    loss,
    params,
    data,
    *,
    optimizer=None,
    batch_size=64,
    epochs=10,
    rng=0,
    validation=0.1,
    augment=None,
    state=None,
    patience=None,
    checkpoint=None,
    resume=None,
    order=None,
    drop_last=False,
    progress=False,
    callback=None,
    restore_best=True,
):
    """Train parameters on rows of data.

    A step is traced once and planned as one program that gathers its rows, augments
    them, takes the gradient and updates parameters and optimiser where they lie; epochs
    run in C with the interpreter lock released.

    Parameters
    ----------
    loss : callable
        ``loss(params, batch)``, the mean over the batch's rows. Keywords that it takes
        are passed: ``rng`` (a `gradiverse.random` key), ``train`` (bool), ``state``;
        with a state it returns (loss, state).
    params : nest of float32 or float64 arrays
        Left as they are.
    data : nest of arrays, or a bank
        One leading axis of rows; a batch is the same nest with fewer rows. Memory maps
        and contiguous datasets of h5py are read where they are. Of a bank, anything
        with ``arrays()`` and ``rows()``, the valid rows.
    optimizer : Optimizer, optional
        From `gradiverse.optim`; default ``adam(1e-3)``. With `gradiverse.optim.lbfgs`
        an epoch is one iteration on all rows.
    batch_size : int or None
        Rows of a step; the last step of an epoch takes what is left. None: all.
    epochs : int
        In all, those before `resume` included.
    rng : int, SeedSequence or Generator
        Split, order, keys of augment and loss are functions of it. The same seed gives
        the same bytes on any number of threads, interrupted and resumed or not.
    validation : float, int or array of int
        Share of the rows, their number, or the rows themselves, which training never
        reads; 0: none.
    augment : callable, optional
        ``augment(batch, key) -> batch``, traced: new numbers for every step. Also
        applied to validation rows, there with the same keys in every epoch.
    state : nest of arrays, optional
        Running statistics (``net.init_state()``).
    patience : int, optional
        Stop after so many epochs without a lower validation loss (training loss without
        validation). None: all epochs.
    checkpoint : path or dict, optional
        File that is replaced at the end of epochs, at most every 10 s, and at the end;
        a dict with ``path`` and ``epochs`` (every so many) or ``seconds`` (also within
        an epoch) says otherwise, and may hold a ``config`` as of `save`, so that the
        file is the whole model.
    resume : Fit, path or True, optional
        Go on from a former result or a checkpoint; True: from `checkpoint` if that file
        exists. All else must be as it was; `epochs` may be larger. Compared are data
        (shapes and some rows), split, order, seed, batch size and the kinds of
        optimisers, not the functions.
    order : {"shuffle", "blocks", "sequential"} or callable, optional
        "shuffle": a new permutation every epoch. "blocks", for data on disk: runs of
        about 1 MiB of neighbouring rows in random order, shuffled within windows of 512
        MiB. A function ``(epoch, rows) -> rows`` gives its own. Default: "blocks" for
        banks and memory maps, else "shuffle"; within one window both are the same.
    drop_last : bool
        Leave out the rows of an epoch that do not fill a batch, other ones each time,
        for losses that need many rows such as those with batch norm.
    progress : bool
        Show a bar.
    callback : callable, optional
        Called after each epoch with a dict: the row of the history, params and state. A
        true result ends the training.
    restore_best : bool or "start"
        Return the weights of the lowest validation loss, not the last ones. Without
        validation always the last ones. "start": the weights that were given count too,
        as epoch 0, for training that goes on from a good place.

    Returns
    -------
    Fit
        Ctrl-C ends the training after the step at hand and returns what there is, with
        ``interrupted`` True; a second Ctrl-C raises KeyboardInterrupt.

    Raises
    ------
    TrainingError
        If a loss or a weight is not finite: says where; holds the best so far as
        ``.result``.
    ValueError, TypeError
        If an argument is not as described, or `resume` belongs to another training.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> x = np.linspace(-1.0, 1.0, 200)
    >>> data = {"x": x, "y": 3.0 * x + 1.0}
    >>> def loss(p, batch):
    ...     return ((p["a"] * batch["x"] + p["b"] - batch["y"]) ** 2).mean()
    >>> r = gv.train.fit(loss, {"a": 0.0, "b": 0.0}, data, optimizer=gv.optim.adam(0.1),
    ...                  batch_size=20, epochs=60)
    >>> round(float(r.params["a"]), 3), round(float(r.params["b"]), 3)
    (3.0, 1.0)
    >>> len(r.validation_rows), r.history.columns.tolist()[:3]
    (20, ['epoch', 'train_loss', 'validation_loss'])
    """
    optimizer = adam(1e-3) if optimizer is None else optimizer
    _check(optimizer, batch_size, epochs, patience, callback)
    if restore_best not in (True, False, "start"):
        raise ValueError(
            f"{WHO}: restore_best is {restore_best!r}, not a bool or 'start'"
        )
    options = {
        "rng": rng,
        "validation": validation,
        "augment": augment,
        "state": state,
        "order": order,
        "drop_last": drop_last,
    }
    kind = Sweeps if isinstance(optimizer, Lbfgs) else Steps
    training = kind(loss, params, data, optimizer, batch_size, int(epochs), options)
    if checkpoint is not None:
        checkpoint = _Checkpoint(checkpoint, restore_best, training)
    if resume is not None and resume is not False:
        _resume(training, resume, checkpoint)
    if restore_best == "start":
        training.count_start()
    run = _Run(training, epochs, patience, callback, checkpoint, restore_best)
    return run(progress)
