"""Losses: functions of predictions and targets, with weights and reductions.

Every loss is computed for each element (for each entry by `cross_entropy`), multiplied
by ``weights`` where given, and reduced: "mean" is the weighted mean, sum(w l) / sum(w),
"sum" the weighted sum, "none" leaves the elements. Predictions and targets must have
one shape: (n, 1) against (n,) is an error, not n^2 pairs. All of them are finite with
finite derivatives for every finite input.
"""

import math

import numpy as np

from .. import ops
from ..graph import Var
from ..ops import special
from ._base import float_input, shape_of

__all__ = [
    "bce_with_logits", "cross_entropy", "gaussian_nll", "huber", "mae", "mse",
]  # fmt: skip

_FLOATS = ("float32", "float64")


def _pair(prediction, target, who):
    """Both as arrays of one shape and of the prediction's dtype."""
    prediction = float_input(prediction, who)
    if shape_of(prediction) != shape_of(target):
        raise ValueError(
            f"{who}: prediction has shape {shape_of(prediction)} and target"
            f" {shape_of(target)}; they must agree (reshape one of them)"
        )
    return prediction, _converted(target, prediction.dtype, who)


def _converted(x, dtype, who):
    if not isinstance(x, (Var, np.ndarray)):
        x = np.asarray(x)
    if x.dtype == dtype:
        return x
    if x.dtype not in _FLOATS and np.dtype(x.dtype).kind not in "biu":
        raise TypeError(f"{who}: target has dtype {x.dtype}; real numbers are needed")
    return x.astype(dtype)


def _reduced(loss, weights, reduction, who):
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(
            f"{who}: reduction {reduction!r} is unknown; one of 'mean', 'sum', 'none'"
        )
    if weights is not None:
        weights = _converted(weights, loss.dtype, who)
        shape = shape_of(weights)
        try:
            fits = np.broadcast_shapes(shape, loss.shape) == loss.shape
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(
                f"{who}: weights of shape {shape} do not fit losses of shape"
                f" {loss.shape}"
            )
        weights = np.broadcast_to(weights, loss.shape)
        loss = loss * weights
    if reduction == "none":
        return loss
    total = loss.sum()
    if reduction == "sum":
        return total
    return total / (math.prod(loss.shape) if weights is None else weights.sum())


def mse(prediction, target, weights=None, reduction="mean"):
    """Squared error (prediction - target)^2.

    Parameters
    ----------
    prediction, target : (...) array
    weights : array, optional
        Broadcast against the losses.
    reduction : "mean", "sum" or "none"

    Returns
    -------
    scalar, or array of the losses

    Raises
    ------
    ValueError
        Different shapes.

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse.nn import losses
    >>> float(losses.mse(np.array([1.0, 2.0]), np.array([1.0, 4.0])))
    2.0
    """
    prediction, target = _pair(prediction, target, "mse")
    return _reduced(np.square(prediction - target), weights, reduction, "mse")


def mae(prediction, target, weights=None, reduction="mean"):
    """Absolute error ``|prediction - target|``; its derivative at 0 is 0.

    Parameters
    ----------
    prediction, target, weights, reduction
        As for `mse`.

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse.nn import losses
    >>> float(losses.mae(np.array([1.0, 2.0]), np.array([1.5, 0.5])))
    1.0
    >>> float(losses.mae(np.array([1.0, 2.0]), np.array([1.5, 0.5]), weights=[3, 1]))
    0.75
    """
    prediction, target = _pair(prediction, target, "mae")
    return _reduced(np.abs(prediction - target), weights, reduction, "mae")


def huber(prediction, target, delta=1.0, weights=None, reduction="mean"):
    """``r^2 / 2`` for ``|r| <= delta``, else ``delta (|r| - delta / 2)`` (Huber 1964).

    Parameters
    ----------
    prediction, target, weights, reduction
        As for `mse`.
    delta : float
        Positive; in the units of the prediction.

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse.nn import losses
    >>> losses.huber(np.array([0.5, 3.0]), np.zeros(2), reduction="none").tolist()
    [0.125, 2.5]
    """
    if not delta > 0:
        raise ValueError(f"huber: delta must be positive, not {delta}")
    prediction, target = _pair(prediction, target, "huber")
    r = prediction - target
    near = np.clip(r, -delta, delta)
    return _reduced(near * (r - 0.5 * near), weights, reduction, "huber")


def bce_with_logits(logits, target, weights=None, reduction="mean"):
    """Binary cross-entropy -t ln p - (1 - t) ln(1 - p) with p = sigmoid(logits).

    Parameters
    ----------
    logits, target : (...) array
        Targets in [0, 1].
    weights, reduction
        As for `mse`.

    Notes
    -----
    Computed as t softplus(-z) + (1 - t) softplus(z), accurate in both tails.

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse.nn import losses
    >>> float(losses.bce_with_logits(np.array([1000.0]), np.array([0])))
    1000.0
    """
    z, t = _pair(logits, target, "bce_with_logits")
    loss = t * special.softplus(-z) + (1 - t) * special.softplus(z)
    return _reduced(loss, weights, reduction, "bce_with_logits")


def cross_entropy(logits, target, axis=-1, weights=None, reduction="mean", smoothing=0):
    """-sum_k t_k ln softmax(logits)_k over the classes.

    Parameters
    ----------
    logits : (..., classes, ...) array
    target : array
        Integer labels in 0..classes-1, of the shape of the logits without the class
        axis; or probabilities of the shape of the logits.
    axis : int
        Class axis of the logits (1 for channels first).
    weights : array, optional
        One for each entry, broadcast; for weights of classes give `w[labels]`.
    reduction : "mean", "sum" or "none"
    smoothing : float
        Share of the target spread evenly over all classes.

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse.nn import losses
    >>> logits = np.zeros((2, 4))
    >>> round(float(losses.cross_entropy(logits, np.array([0, 3]))), 6)
    1.386294
    """
    who = "cross_entropy"
    logits = float_input(logits, who)
    shape = shape_of(logits)
    axis = np.lib.array_utils.normalize_axis_index(axis, len(shape))
    rest = shape[:axis] + shape[axis + 1 :]
    if not 0 <= smoothing <= 1:
        raise ValueError(f"{who}: smoothing must lie in [0, 1], not {smoothing}")
    if not isinstance(target, (Var, np.ndarray)):
        target = np.asarray(target)
    log_p = special.log_softmax(logits, axis=axis)
    if np.dtype(target.dtype).kind in "iu":
        if shape_of(target) != rest:
            raise ValueError(
                f"{who}: labels have shape {shape_of(target)}, logits of shape {shape}"
                f" need {rest}"
            )
        loss = -_of_labels(log_p, target, axis, shape, who)
    elif shape_of(target) == shape:
        loss = -(_converted(target, logits.dtype, who) * log_p).sum(axis)
    else:
        raise ValueError(
            f"{who}: target is neither integer labels of shape {rest} nor"
            f" probabilities of shape {shape}, but {target.dtype} {shape_of(target)}"
        )
    if smoothing:
        loss = (1 - smoothing) * loss - smoothing * log_p.mean(axis)
    return _reduced(loss, weights, reduction, who)


def _of_labels(log_p, labels, axis, shape, who):
    """log_p at the labels."""
    classes = shape[axis]
    if isinstance(labels, np.ndarray) and labels.size:
        low, high = labels.min(), labels.max()
        if low < 0 or high >= classes:
            raise ValueError(
                f"{who}: labels from {low} to {high}, but there are {classes} classes"
                f" (0..{classes - 1})"
            )
    index = np.expand_dims(labels.astype(np.int64), axis)
    return ops.squeeze(ops.take_along_axis(log_p, index, axis), axis)


def gaussian_nll(
    prediction, target, log_var, full=False, weights=None, reduction="mean"
):
    """Negative log density of a normal: ((target - mean)^2 / var + ln var) / 2.

    Parameters
    ----------
    prediction, target : (...) array
        Means and values.
    log_var : (...) array
        Logarithm of the variance, of the same shape: any real number is one.
    full : bool
        With the constant ln(2 pi) / 2.
    weights, reduction
        As for `mse`.

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse.nn import losses
    >>> float(losses.gaussian_nll(np.zeros(1), np.ones(1), np.zeros(1)))
    0.5
    """
    who = "gaussian_nll"
    mean, target = _pair(prediction, target, who)
    _, log_var = _pair(mean, log_var, f"{who}: log_var as target")
    loss = 0.5 * (np.square(target - mean) * np.exp(-log_var) + log_var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return _reduced(loss, weights, reduction, who)
