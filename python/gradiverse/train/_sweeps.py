"""Training by iterations on all rows: L-BFGS."""

import numpy as np

from .. import random
from .._repeat import Repeat, as_arrays
from ..grad import value_and_grad
from ..optim._lbfgs import Point, iterate
from ..tree import flatten
from ._result import TrainingError
from ._step import SLICE
from ._training import WHO, Training

__all__ = ["Sweeps"]


class _Stopped(Exception):
    """Asked to stop within an iteration."""


class Sweeps(Training):
    """L-BFGS on the mean loss over all training rows."""

    def __init__(self, loss, params, data, optimizer, batch_size, epochs, options):
        super().__init__(loss, params, data, optimizer, batch_size, options)
        if options["state"] is not None:
            raise ValueError(
                f"{WHO}: gv.optim.lbfgs cannot carry running statistics; use batches"
                " and gv.optim.adam, or layers without them"
            )
        if options["drop_last"]:
            raise ValueError(
                f"{WHO}: gv.optim.lbfgs goes through all rows; leave out drop_last"
            )
        if options["order"] not in (None, "sequential"):
            raise ValueError(
                f"{WHO}: gv.optim.lbfgs goes through all rows in their order; leave out"
                " order"
            )
        self._leaves, self._tree = as_arrays(params, f"{WHO}: params", copy=True)
        x = np.concatenate([a.reshape(-1) for a in self._leaves]).astype(float)
        none = np.empty((0, len(x)))
        self.point = Point(x, np.nan, np.empty(0), none, none)
        self.finished = False
        self._programs = {}

    @property
    def steps_per_epoch(self):
        return 1

    # --- the function -----------------------------------------------------------------
    def _nest(self, x):
        """A vector as parameters."""
        at, done = 0, []
        for a in self._leaves:
            done.append(x[at : at + a.size].astype(a.dtype).reshape(a.shape))
            at += a.size
        return self._tree.unflatten(done)

    def _program(self, size):
        found = self._programs.get(size)
        if found is None:

            def step(carry, x, fixed):
                key = random.fold_in(fixed["key"], x["step"])
                rows = self.data.gather(fixed["data"], x["rows"])
                value, grads = value_and_grad(
                    lambda p: self.loss(p, rows, key, None, True)[0]
                )(fixed["params"])
                leaves = as_list(self._tree, grads)
                value = carry[0] + x["weight"] * value.astype("float64")
                sums = [
                    s + x["weight"] * g.astype("float64")
                    for s, g in zip(carry[1:], leaves, strict=True)
                ]
                return [value, *sums], ()

            xs = self._xs(np.zeros((1, size), np.int64), 0)
            carry, fixed = self._sums(), self._fixed(self._nest(self.point.x))
            found = self._programs[size] = Repeat(step, carry, xs, fixed, WHO)
        return found

    def _sums(self):
        return [np.zeros(()), *(np.zeros(a.shape) for a in self._leaves)]

    def _xs(self, rows, first):
        n, size = rows.shape
        weight = np.full(n, size / len(self.rows))
        return {"rows": rows, "step": np.arange(first, first + n), "weight": weight}

    def _fixed(self, params):
        return {"data": self.data.flat, "key": self.key, "params": params}

    def _value(self, x, between):
        """Mean loss over all rows and its gradient as a vector."""
        full, left = divmod(len(self.rows), self.batch)
        parts = [(self.rows[: full * self.batch].reshape(full, self.batch), 0)]
        if left:
            parts.append((self.rows[None, full * self.batch :], full))
        carry, fixed = self._sums(), self._fixed(self._nest(x))
        for rows, first in parts:
            xs, at = self._xs(rows, first), 0
            while at < len(rows):
                program = self._program(rows.shape[1])
                at = program.run(carry, xs, fixed, [], at, SLICE)
                if between(0):
                    raise _Stopped
        gradient = np.concatenate([g.reshape(-1) for g in carry[1:]])
        return float(carry[0]), gradient

    # --- what Training asks for -------------------------------------------------------
    def advance(self, between):
        def f(x):
            return self._value(x, between)

        try:
            if not len(self.point.g):
                self.point.f, self.point.g = f(self.point.x)
                if not (np.isfinite(self.point.f) and np.isfinite(self.point.g).all()):
                    raise TrainingError(
                        f"{WHO}: the loss or its gradient is not finite where lbfgs"
                        f" starts (epoch {self.epoch + 1}, loss {self.point.f}); start"
                        " elsewhere, or look for bad rows"
                    )
            options = self.optimizer
            new = iterate(f, self.point, options.history, options.max_evaluations)
        except _Stopped:
            return False
        if new is None:
            self.finished = True
        else:
            self.point = new
            size = np.abs(new.g).max(initial=0.0)
            self.finished = bool(size <= options.tolerance * max(1.0, abs(new.f)))
        between(1)
        return True

    def current(self):
        return self._nest(self.point.x), None

    def train_loss(self):
        return self.point.f

    def rate(self):
        return float(self.point.length)

    def carry_nest(self):
        p = self.point
        return {
            "x": p.x, "f": float(p.f), "g": p.g, "s": p.s, "y": p.y,
            "length": float(p.length), "finished": self.finished,
        }  # fmt: skip

    def take_carry(self, nest):
        if np.shape(nest["x"]) != self.point.x.shape:
            raise ValueError(
                f"{WHO}: resume: the stored training has {len(nest['x'])} parameters,"
                f" not {len(self.point.x)}"
            )
        names = ("x", "f", "g", "s", "y", "length")
        self.point = Point(*(nest[name] for name in names))
        self.finished = bool(nest["finished"])


def as_list(tree, nest):
    """Leaves of a nest of this tree."""
    leaves, other = flatten(nest)
    if other != tree:
        raise ValueError(f"{WHO}: the gradient is {other!r}, the parameters {tree!r}")
    return leaves
