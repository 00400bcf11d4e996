"""Learning rates as functions of the step.

A schedule is called with the number of steps taken so far (traced or not) and returns
the rate of the next step. Lengths left out (None) are those of the whole training,
which `gradiverse.train.fit` fills in; ``per="epoch"`` counts epochs instead of steps.
"""

import math
import numbers
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


def number(who, name, v, fits, what):
    """v, a finite number other than a bool that fits; ValueError that names it."""
    real = isinstance(v, numbers.Real) and not isinstance(v, bool)
    if not (real and math.isfinite(v) and fits(v)):
        raise ValueError(f"{who}: {name} must {what}, not {v!r}")


def positive(who, **values):
    """Check that numbers are finite and positive."""
    for name, v in values.items():
        number(who, name, v, lambda v: v > 0, "be a positive number")


def not_negative(who, **values):
    """Check that numbers are finite and not negative."""
    for name, v in values.items():
        number(who, name, v, lambda v: v >= 0, "be a number that is not negative")


def fraction(who, **values):
    """Check that numbers lie in [0, 1)."""
    for name, v in values.items():
        number(who, name, v, lambda v: 0 <= v < 1, "lie in [0, 1)")


def whole(who, least, **values):
    """Check that numbers are ints of at least `least`."""
    for name, v in values.items():
        if not isinstance(v, numbers.Integral) or isinstance(v, bool) or v < least:
            raise ValueError(
                f"{who}: {name} must be an int of at least {least}, not {v!r}"
            )


def _given(**values):
    """Those that are not None."""
    return {name: v for name, v in values.items() if v is not None}


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
        one = 1 / self.unit  # a step; the rate of step 0 is that of t = 0
        last = max(self._whole("one_cycle") - one, 1e-300)
        top = max(self.rise * self._whole("one_cycle") - one, 0.0)
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

    def __call__(self, step):
        ramp = np.minimum((_real(step) / self.unit + 1 / self.unit) / self.steps, 1.0)
        return ramp * self.after(step)

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
    who = "gv.optim.cosine"
    positive(who, lr=lr, **_given(steps=steps))
    not_negative(who, warmup=warmup, final=final)
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

    Examples
    --------
    >>> import gradiverse as gv
    >>> rate = gv.optim.one_cycle(1.0, steps=102, rise=0.5)
    >>> [round(float(rate(t)), 3) for t in (0, 25, 50, 101)]
    [0.04, 0.52, 1.0, 0.0]
    """
    who = "gv.optim.one_cycle"
    positive(who, lr=lr, **_given(steps=steps))
    fraction(who, rise=rise)
    not_negative(who, **_given(start=start, final=final))
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

    Examples
    --------
    >>> import gradiverse as gv
    >>> rate = gv.optim.exponential(1.0, factor=0.25, every=10)
    >>> float(rate(5)), float(rate(10))
    (0.5, 0.25)
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

    Examples
    --------
    >>> import gradiverse as gv
    >>> rate = gv.optim.staircase(1.0, factor=0.5, every=10)
    >>> float(rate(9)), float(rate(10)), float(rate(20))
    (1.0, 0.5, 0.25)
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

    Examples
    --------
    >>> import gradiverse as gv
    >>> rate = gv.optim.warmup(gv.optim.staircase(1.0, 0.5, every=10), steps=4)
    >>> [float(rate(t)) for t in (0, 1, 3, 9, 10)]
    [0.25, 0.5, 1.0, 1.0, 0.5]
    """
    who = "gv.optim.warmup"
    positive(who, steps=steps)
    return _Warmup(per=per, after=as_schedule(lr, who), steps=steps)


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

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> x = np.random.default_rng(0).normal(size=100)
    >>> r = gv.train.fit(
    ...     lambda p, batch: abs(batch - p).mean(), 0.0, x, batch_size=20, epochs=12,
    ...     optimizer=gv.optim.sgd(gv.optim.plateau(1.0, factor=0.5, patience=2)))
    >>> bool(r.history.lr.is_monotonic_decreasing), float(r.history.lr.iloc[-1]) < 1.0
    (True, True)
    """
    who = "gv.optim.plateau"
    positive(who, lr=lr, factor=factor)
    fraction(who, factor=factor)
    whole(who, 0, patience=patience, cooldown=cooldown)
    not_negative(who, threshold=threshold, least=least)
    if least > lr:
        raise ValueError(f"{who}: least must lie in [0, lr], not {least!r}")
    return _Plateau(
        lr=lr,
        factor=factor,
        patience=patience,
        threshold=threshold,
        cooldown=cooldown,
        least=least,
    )
