"""Training and validation steps as traced functions."""

import inspect

import numpy as np

from .. import random
from .._repeat import Repeat
from ..grad import value_and_grad
from ..graph import Var

__all__ = ["Evaluator", "Loss", "stepper"]

TRAIN, VALID = 1, 2  # tags of the keys
SLICE = 0.2  # seconds that steps run before Python has a look


class Loss:
    """The user's loss with the keywords that it takes.

    Parameters
    ----------
    loss : callable
        ``loss(params, batch[, rng][, train][, state])``.
    augment : callable or None
        ``augment(batch, key) -> batch``.
    stateful : bool
        A state is carried along.
    """

    def __init__(self, loss, augment, stateful, who):
        if not callable(loss):
            raise TypeError(f"{who}: loss is {loss!r}, expected a function")
        if augment is not None and not callable(augment):
            raise TypeError(f"{who}: augment is {augment!r}, expected a function")
        self.loss, self.augment, self.who = loss, augment, who
        self.stateful = stateful
        self.takes = _keywords(loss)
        if stateful and "state" not in self.takes:
            raise TypeError(
                f"{who}: state= is given, but the loss does not take the keyword state"
            )
        if self.takes.get("state") is inspect.Parameter.empty and not stateful:
            raise TypeError(
                f"{who}: the loss takes a state; give one (net.init_state())"
            )

    def __call__(self, params, batch, key, state, train):
        """Loss (0-d) and new state of a batch."""
        if self.augment is not None:
            batch = self.augment(batch, random.fold_in(key, 0))
        more = {}
        if "rng" in self.takes:
            more["rng"] = random.fold_in(key, 1)
        if "train" in self.takes:
            more["train"] = train
        if self.stateful:
            more["state"] = state
        value = self.loss(params, batch, **more)
        if self.stateful:
            if not isinstance(value, tuple) or len(value) != 2:
                raise TypeError(
                    f"{self.who}: with state= the loss must return (loss, state)"
                )
            value, state = value
        if not isinstance(value, (Var, np.ndarray, np.generic, float)) or np.shape(
            value
        ):
            shape = "" if not hasattr(value, "shape") else f" of shape {value.shape}"
            raise TypeError(
                f"{self.who}: the loss returned {type(value).__name__}{shape}, expected"
                " one number (the mean over the batch)"
            )
        return value, state


def _keywords(f):
    """Keywords among rng, train and state that f takes, with their defaults."""
    try:
        parameters = inspect.signature(f).parameters
    except (TypeError, ValueError):
        return {}
    names = ("rng", "train", "state")
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return dict.fromkeys(names)
    return {k: parameters[k].default for k in names if k in parameters}


def stepper(loss, optimizer, data, carry, batch, who):
    """A training step of a batch size as a `Repeat`.

    The carry is a dict of params, opt and net; xs are the rows (steps, batch) and the
    number of the step; fixed are the data as matrices and the key.
    """

    def step(carry, x, fixed):
        key = random.fold_in(fixed["key"], x["step"])
        rows = data.gather(fixed["data"], x["rows"])
        f = value_and_grad(
            lambda p: loss(p, rows, key, carry["net"], True), has_aux=True
        )
        (value, net), grads = f(carry["params"])
        params, opt = optimizer.update(grads, carry["opt"], carry["params"])
        value = value.astype("float64")
        return {"params": params, "opt": opt, "net": net}, (value,)

    xs = {"rows": np.zeros((1, batch), np.int64), "step": np.zeros(1, np.int64)}
    fixed = {"data": data.flat, "key": np.zeros(2, np.int64)}
    return Repeat(step, carry, xs, fixed, who)


class Evaluator:
    """The mean loss over rows, in batches, the last one smaller.

    Parameters
    ----------
    loss : Loss
    data : Data
    batch : int
    key : (2,) int64 array
        The same numbers at every call.
    """

    def __init__(self, loss, data, batch, key, who):
        self.loss, self.data, self.batch, self.who = loss, data, batch, who
        self.key = key
        self._programs = {}

    def _program(self, params, net, size):
        found = self._programs.get(size)
        if found is None:

            def step(carry, x, fixed):
                key = random.fold_in(fixed["key"], x["step"])
                rows = self.data.gather(fixed["data"], x["rows"])
                value, _ = self.loss(fixed["params"], rows, key, fixed["net"], False)
                value = value if isinstance(value, Var) else np.asarray(value)
                return {}, (value.astype("float64"),)

            xs = {"rows": np.zeros((1, size), np.int64), "step": np.zeros(1, np.int64)}
            fixed = self._fixed(params, net)
            found = self._programs[size] = Repeat(step, {}, xs, fixed, self.who)
        return found

    def _fixed(self, params, net):
        return {"data": self.data.flat, "key": self.key, "params": params, "net": net}

    def __call__(self, params, net, rows, stop=None):
        """Mean loss over the rows (float); None where stop() became true."""
        n, size = len(rows), min(self.batch, len(rows))
        full, left = divmod(n, size)
        losses = np.empty(full + (left > 0))
        fixed = self._fixed(params, net)
        parts = [(slice(0, full), rows[: full * size].reshape(full, size))]
        if left:
            parts.append((slice(full, full + 1), rows[None, full * size :]))
        for where, part in parts:
            xs = {"rows": part, "step": np.arange(where.start, where.stop)}
            program = self._program(params, net, part.shape[1])
            at = 0
            while at < len(part):
                at = program.run([], xs, fixed, [losses[where]], at, SLICE)
                if stop is not None and stop():
                    return None
        weights = np.full(len(losses), size / n)
        if left:
            weights[-1] = left / n
        return float((losses * weights).sum())
