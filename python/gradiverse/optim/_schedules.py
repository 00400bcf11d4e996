"""Learning rates as functions of the step.

A schedule is called with the number of steps taken so far (traced or not) and returns
the rate of the next step. Lengths left out (None) are those of the whole training,
which `gradiverse.train.fit` fills in; ``per="epoch"`` counts epochs instead of steps.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

__all__ = [
    "Schedule",
    "as_schedule",
    "cosine",
    "exponential",
    "one_cycle",
    "plateau",
    "staircase",
    "warmup",
]


def positive(who, **values):
    """Check that numbers are finite and positive."""
    for name, v in values.items():
        if not (isinstance(v, (int, float, np.number)) and math.isfinite(v) and v > 0):
            raise ValueError(f"{who}: {name} must be a positive number, not {v!r}")


def fraction(who, **values):
    """Check that numbers lie in [0, 1)."""
    for name, v in values.items():
        if not (isinstance(v, (int, float, np.number)) and 0 <= v < 1):
            raise ValueError(f"{who}: {name} must lie in [0, 1), not {v!r}")


def _length(who, name, n, zero=False):
    if n is None:
        return
    if not isinstance(n, (int, float, np.number)) or not (n > 0 or (zero and n == 0)):
        raise ValueError(f"{who}: {name} must be a positive number, not {n!r}")


def _real(step):
    return step.astype("float64") if hasattr(step, "astype") else float(step)


def _blend(start, end, x):
    """Half a cosine from start (x = 0) to end (x = 1)."""
    return end + (start - end) * 0.5 * (1.0 + np.cos(math.pi * x))


@dataclass(frozen=True)
class Schedule:
    """A learning rate as a function of the step; made by the functions of this module.

    Attributes
    ----------
    per : "step" or "epoch"
        The unit of the lengths.
    unit : int
        Steps per unit; `bind` sets it.
    """

    per: str = "step"
    unit: int = 1

    def __post_init__(self):
        if self.per not in ("step", "epoch"):
            raise ValueError(f"per must be 'step' or 'epoch', not {self.per!r}")

    def __call__(self, step):
        """The rate after `step` steps."""
        return self.at(_real(step) / self.unit)

    def bind(self, steps, per_epoch):
        """The schedule of a training of so many steps.

        Parameters
        ----------
        steps : int
            Steps in all.
        per_epoch : int
            Steps of one epoch.
        """
        unit = per_epoch if self.per == "epoch" else 1
        return replace(self, unit=unit, **self.lengths(steps / unit))

    def lengths(self, whole):
        """The lengths that were left out, for a training that is `whole` long."""
        steps = getattr(self, "steps", 0)
        return {"steps": whole} if steps is None else {}

    def observe(self, memory, loss):
        """What a schedule driven by the loss does after an epoch; returns a factor."""
        return None

    def _whole(self, who):
        if self.steps is None:
            raise ValueError(
                f"gv.optim.{who}: steps is needed outside of gv.train.fit, which knows"
                " how long the training is"
            )
        return self.steps


@dataclass(frozen=True)
class _Constant(Schedule):
    lr: float = 0.0

    def at(self, t):
        return self.lr


@dataclass(frozen=True)
class _Cosine(Schedule):
    lr: float = 0.0
    steps: float | None = None
    warmup: float = 0
    final: float = 0.0

    def at(self, t):
        whole = self._whole("cosine")
        x = (t - self.warmup) / max(whole - self.warmup, 1e-300)
        falling = _blend(self.lr, self.final, np.minimum(np.maximum(x, 0.0), 1.0))
        if not self.warmup:
            return falling
        return np.where(
            t < self.warmup, self.lr * (t + 1 / self.unit) / self.warmup, falling
        )


@dataclass(frozen=True)
class _OneCycle(Schedule):
    lr: float = 0.0
    steps: float | None = None
    rise: float = 0.3
    start: float = 0.0
    final: float = 0.0

    def at(self, t):
        last = max(self._whole("one_cycle") - 1, 1e-300)
        top = max(self.rise * self._whole("one_cycle") - 1, 0.0)
        down = np.minimum(np.maximum((t - top) / max(last - top, 1e-300), 0.0), 1.0)
        falling = _blend(self.lr, self.final, down)
        if top == 0.0:
            return falling
        rising = _blend(self.start, self.lr, np.minimum(t / top, 1.0))
        return np.where(t <= top, rising, falling)


@dataclass(frozen=True)
class _Exponential(Schedule):
    lr: float = 0.0
    factor: float = 0.0
    every: float = 1
    stairs: bool = False

    def at(self, t):
        x = t / self.every
        return self.lr * self.factor ** (np.floor(x) if self.stairs else x)


@dataclass(frozen=True)
class _Warmup(Schedule):
    after: Schedule | None = None
    steps: float = 1

    def at(self, t):
        ramp = np.minimum((t + 1 / self.unit) / self.steps, 1.0)
        return ramp * self.after(t * self.unit)

    def bind(self, steps, per_epoch):
        bound = super().bind(steps, per_epoch)
        return replace(bound, after=self.after.bind(steps, per_epoch))

    def observe(self, memory, loss):
        return self.after.observe(memory, loss)


@dataclass(frozen=True)
class _Plateau(Schedule):
    lr: float = 0.0
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    cooldown: int = 0
    least: float = 0.0

    def at(self, t):
        return self.lr

    def observe(self, memory, loss):
        """memory: best loss, epochs without gain, epochs to wait, factor (in place)."""
        best = memory[0]
        if np.isinf(best):
            gain = np.isfinite(loss)
        else:
            gain = loss < best - self.threshold * abs(best)
        if gain:
            memory[0], memory[1] = loss, 0
        else:
            memory[1] += 1
        if memory[2] > 0:
            memory[2] -= 1
            memory[1] = 0
        if memory[1] > self.patience:
            memory[1], memory[2] = 0, self.cooldown
            memory[3] = max(memory[3] * self.factor, self.least / self.lr)
        return memory[3]


def as_schedule(lr, who):
    """A number or a function of the step as a Schedule."""
    if isinstance(lr, Schedule):
        return lr
    if callable(lr):
        return _Own(f=lr)
    positive(who, lr=lr)
    return _Constant(lr=float(lr))


@dataclass(frozen=True)
class _Own(Schedule):
    f: object = None

    def __call__(self, step):
        return self.f(step)


def cosine(lr, steps=None, warmup=0, final=0.0, per="step"):
    """Half a cosine from lr down to `final`, after a linear warm-up.

    Parameters
    ----------
    lr : float
    steps : number, optional
        Length with the warm-up; default: the whole training.
    warmup : number
        Steps of the linear rise from lr / warmup.
    final : float
    per : "step" or "epoch"
        The unit of the lengths.

    Returns
    -------
    Schedule

    Examples
    --------
    >>> import gradiverse as gv
    >>> rate = gv.optim.cosine(1.0, steps=10)
    >>> float(rate(0)), float(rate(5)), float(rate(10))
    (1.0, 0.5, 0.0)
    """
    positive("gv.optim.cosine", lr=lr)
    _length("gv.optim.cosine", "steps", steps)
    _length("gv.optim.cosine", "warmup", warmup, zero=True)
    return _Cosine(per=per, lr=lr, steps=steps, warmup=warmup, final=final)


def one_cycle(lr, steps=None, rise=0.3, start=None, final=None, per="step"):
    """Up to lr and down again, both by half a cosine (Smith & Topin 2018).

    Parameters
    ----------
    lr : float
        The highest rate.
    steps : number, optional
        Length; default: the whole training.
    rise : float
        Share of the length that rises.
    start, final : float, optional
        Rates at the ends; default lr / 25 and lr / 250000.
    per : "step" or "epoch"
        The unit of the length.

    Returns
    -------
    Schedule
    """
    positive("gv.optim.one_cycle", lr=lr)
    fraction("gv.optim.one_cycle", rise=rise)
    _length("gv.optim.one_cycle", "steps", steps)
    start = lr / 25 if start is None else start
    final = start / 1e4 if final is None else final
    return _OneCycle(per=per, lr=lr, steps=steps, rise=rise, start=start, final=final)


def exponential(lr, factor, every=1, per="step"):
    """lr times ``factor ** (t / every)``.

    Parameters
    ----------
    lr, factor : float
    every : number
        After so many units of t the rate has fallen by the factor.
    per : "step" or "epoch"
        The unit of t. The rate falls with every step in either case.

    Returns
    -------
    Schedule
    """
    positive("gv.optim.exponential", lr=lr, factor=factor, every=every)
    return _Exponential(per=per, lr=lr, factor=factor, every=every)


def staircase(lr, factor, every, per="step"):
    """lr times ``factor ** floor(t / every)``: constant, then lower by the factor.

    Parameters
    ----------
    lr, factor : float
    every : number
        Length of a stair.
    per : "step" or "epoch"
        The unit of t.

    Returns
    -------
    Schedule
    """
    positive("gv.optim.staircase", lr=lr, factor=factor, every=every)
    return _Exponential(per=per, lr=lr, factor=factor, every=every, stairs=True)


def warmup(lr, steps, per="step"):
    """A schedule multiplied by a linear rise over its first steps.

    Parameters
    ----------
    lr : float or Schedule
    steps : number
    per : "step" or "epoch"
        The unit of `steps`.

    Returns
    -------
    Schedule
    """
    _length("gv.optim.warmup", "steps", steps)
    if steps is None:
        raise ValueError("gv.optim.warmup: give the number of steps of the rise")
    return _Warmup(per=per, after=as_schedule(lr, "gv.optim.warmup"), steps=steps)


def plateau(lr, factor=0.1, patience=10, threshold=1e-4, cooldown=0, least=0.0):
    """A constant rate that falls by a factor when the loss has stopped to fall.

    The loss is that of the validation rows, of the training where there are none; it is
    looked at after each epoch by `gradiverse.train.fit`.

    Parameters
    ----------
    lr : float
    factor : float
        In (0, 1).
    patience : int
        The rate falls after more than so many epochs without gain.
    threshold : float
        A gain is a loss below the best one by more than this share of it.
    cooldown : int
        Epochs after a fall that do not count.
    least : float
        The rate never falls below.

    Returns
    -------
    Schedule
    """
    positive("gv.optim.plateau", lr=lr, factor=factor)
    if factor >= 1:
        raise ValueError(f"gv.optim.plateau: factor must be below 1, not {factor!r}")
    if patience < 0 or cooldown < 0 or threshold < 0 or not 0 <= least <= lr:
        raise ValueError(
            "gv.optim.plateau: patience, cooldown and threshold must not be negative,"
            " and least must lie in [0, lr]"
        )
    return _Plateau(
        lr=lr,
        factor=factor,
        patience=patience,
        threshold=threshold,
        cooldown=cooldown,
        least=least,
    )
