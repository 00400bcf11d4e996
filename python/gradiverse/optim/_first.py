"""First-order optimisers: sgd, adam, adamw, radam."""

import numpy as np

from ..graph import emit
from ._base import Optimizer
from ._schedules import fraction, not_negative, positive

__all__ = ["adam", "adamw", "radam", "sgd"]


def _cast(x, like):
    return x.astype(like.dtype) if hasattr(x, "astype") else x


def _double(x):
    return x.astype("float64") if hasattr(x, "astype") else np.float64(x)


class _Sgd(Optimizer):
    name = "sgd"

    def __init__(self, lr, momentum, nesterov, weight_decay):
        super().__init__(lr)
        fraction(self.who, momentum=momentum)
        not_negative(self.who, weight_decay=weight_decay)
        if nesterov and not momentum:
            raise ValueError(f"{self.who}: nesterov needs momentum > 0")
        # as float: a number of NumPy would widen single precision
        self.momentum, self.nesterov = float(momentum), bool(nesterov)
        self.weight_decay = float(weight_decay)
        self.moments = ("velocity",) if momentum else ()

    def rule(self, rate, step, factor):
        def one(p, g, velocity=None):
            lr = _cast(rate, p)
            if factor is not None:
                g = g * _cast(factor, p)
            if self.weight_decay:
                g = g + self.weight_decay * p
            if velocity is None:
                return (p - lr * g,)
            velocity = self.momentum * velocity + g
            move = g + self.momentum * velocity if self.nesterov else velocity
            return p - lr * move, velocity

        return one


class _Adam(Optimizer):
    name = "adam"
    moments = ("m", "v")

    def __init__(self, lr, b1, b2, eps, weight_decay, decoupled):
        super().__init__(lr)
        fraction(self.who, b1=b1, b2=b2)
        positive(self.who, eps=eps)
        not_negative(self.who, weight_decay=weight_decay)
        self.b1, self.b2, self.eps = float(b1), float(b2), float(eps)
        self.weight_decay, self.decoupled = float(weight_decay), decoupled

    def scalars(self, rate, step):
        """Rate, factor of sqrt(v), and what is added to it, of this step."""
        t = step.astype("float64")
        return (
            rate / (1.0 - self.b1**t),
            1.0 / np.sqrt(1.0 - self.b2**t),
            self.eps,
        )

    def rule(self, rate, step, factor):
        size, root, eps = self.scalars(rate, step)
        coupled = decoupled = 0.0
        if self.decoupled:
            decoupled = self.weight_decay
        else:
            coupled = self.weight_decay
        keep = 1.0 - rate * decoupled if decoupled else 1.0
        factor = 1.0 if factor is None else factor
        scalars = [_double(x) for x in (size, root, eps, keep, factor)]

        def one(p, g, m, v):
            if g.dtype != p.dtype:
                raise TypeError(
                    f"{self.who}: a gradient has dtype {g.dtype}, its parameter"
                    f" {p.dtype}"
                )
            flat = [x.reshape(-1) for x in (p, m, v, g)]
            new = emit(
                "adam_update",
                (*flat, *scalars),
                b1=self.b1,
                b2=self.b2,
                decay=coupled,
            )
            return tuple(x.reshape(p.shape) for x in new)

        return one


class _AdamW(_Adam):
    name = "adamw"


class _Radam(_Adam):
    name = "radam"

    def scalars(self, rate, step):
        t = step.astype("float64")
        power = self.b2**t
        longest = 2.0 / (1.0 - self.b2) - 1.0
        length = longest - 2.0 * t * power / (1.0 - power)
        steady = length > 5.0
        safe = np.where(steady, length, 6.0)
        most = longest if longest > 5.0 else 6.0  # at most 5: never steady
        rectify = np.sqrt(
            (safe - 4.0) * (safe - 2.0) * most / ((most - 4.0) * (most - 2.0) * safe)
        )
        root = 1.0 / np.sqrt(1.0 - power)
        size = rate / (1.0 - self.b1**t)
        return (
            np.where(steady, size * rectify, size),
            np.where(steady, root, 0.0),
            np.where(steady, self.eps * root, 1.0),
        )


def sgd(lr, momentum=0.0, nesterov=False, weight_decay=0.0):
    """Gradient descent, with momentum if asked for.

    Parameters
    ----------
    lr : float, Schedule, or function of the step
    momentum : float
        In [0, 1): velocity = momentum * velocity + gradient.
    nesterov : bool
        Step by gradient + momentum * velocity.
    weight_decay : float
        Added to the gradient times the parameter.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> opt = gv.optim.sgd(0.5)
    >>> params = np.array([1.0, 2.0])
    >>> params, state = opt.update(params, opt.init(params), params)
    >>> params
    array([0.5, 1. ])
    """
    return _Sgd(lr, momentum, nesterov, weight_decay)


def adam(lr, b1=0.9, b2=0.999, eps=1e-8, weight_decay=0.0):
    """Adam (Kingma & Ba 2015), both moments corrected for their start at zero.

    Parameters
    ----------
    lr : float, Schedule, or function of the step
    b1, b2 : float
        Decay of the first and the second moment, in [0, 1).
    eps : float
        Added to the corrected root of the second moment.
    weight_decay : float
        Added to the gradient times the parameter (`adamw` decouples it).

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> opt = gv.optim.adam(0.1)
    >>> params = np.array([1.0, 2.0])
    >>> params, state = opt.update(params, opt.init(params), params)
    >>> params.round(6)
    array([0.9, 1.9])
    """
    return _Adam(lr, b1, b2, eps, weight_decay, False)


def adamw(lr, weight_decay=0.01, b1=0.9, b2=0.999, eps=1e-8):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019).

    The parameters shrink by 1 - lr * weight_decay before the step of `adam`.

    Parameters
    ----------
    lr : float, Schedule, or function of the step
    weight_decay : float
    b1, b2, eps : float
        As in `adam`.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> opt = gv.optim.adamw(0.1, weight_decay=0.5)
    >>> params = np.array([1.0, 2.0])
    >>> params, state = opt.update(params, opt.init(params), params)
    >>> params.round(6)
    array([0.85, 1.8 ])
    """
    return _AdamW(lr, b1, b2, eps, weight_decay, True)


def radam(lr, b1=0.9, b2=0.999, eps=1e-8, weight_decay=0.0):
    """Adam whose variance is rectified while few gradients are known (Liu et al. 2020).

    As long as the length of the approximated average is at most 5, steps go along the
    first moment alone.

    Parameters
    ----------
    lr : float, Schedule, or function of the step
    b1, b2, weight_decay : float
        As in `adam`.
    eps : float
        Added to the root of the second moment before its correction.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> opt = gv.optim.radam(0.1)
    >>> params = np.array([1.0, 2.0])
    >>> params, state = opt.update(params, opt.init(params), params)
    >>> params.round(6)
    array([0.9, 1.8])
    """
    return _Radam(lr, b1, b2, eps, weight_decay, False)
