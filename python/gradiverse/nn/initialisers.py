"""First values of parameters: functions of (rng, shape, fan_in, fan_out, dtype).

Numbers are drawn in float64 and rounded, so that a float32 network starts where the
float64 network of the same seed does. For a weight (out, in, *kernel) fan_in is
in * prod(kernel) and fan_out is out * prod(kernel). With relu between, layers keep the
variance of their input when a weight has 2 / fan_in (He et al. 2015), with tanh when it
is 2 / (fan_in + fan_out) (Glorot & Bengio 2010).
"""

import math

import numpy as np

from ..graph import emit

__all__ = ["initialiser"]


def _uniform(bound):
    def draw(rng, shape, fan_in, fan_out, dtype):
        limit = bound(fan_in, fan_out)
        return rng.uniform(-limit, limit, shape).astype(dtype)

    return draw


def _normal(sd):
    def draw(rng, shape, fan_in, fan_out, dtype):
        return (sd(fan_in, fan_out) * rng.standard_normal(shape)).astype(dtype)

    return draw


def _orthogonal(rng, shape, fan_in, fan_out, dtype):
    """Orthonormal rows (or columns, whichever are fewer), uniformly distributed."""
    if len(shape) < 2:
        raise ValueError(
            f"initialiser 'orthogonal': a matrix is needed, not shape {shape}"
        )
    rows, columns = shape[0], math.prod(shape[1:])
    a = rng.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = emit("qr", (a,))  # NumPy's depends on the number of threads
    q = q * np.sign(np.diag(r))
    return (q if rows >= columns else q.T).reshape(shape).astype(dtype)


_NAMED = {
    "torch": _uniform(lambda i, o: 1 / math.sqrt(i) if i else 0.0),
    "he_uniform": _uniform(lambda i, o: math.sqrt(6 / i) if i else 0.0),
    "he_normal": _normal(lambda i, o: math.sqrt(2 / i) if i else 0.0),
    "xavier_uniform": _uniform(lambda i, o: math.sqrt(6 / (i + o))),
    "xavier_normal": _normal(lambda i, o: math.sqrt(2 / (i + o))),
    "orthogonal": _orthogonal,
    "zeros": lambda rng, shape, i, o, dtype: np.zeros(shape, dtype),
}


def initialiser(how):
    """The function that draws first values.

    Parameters
    ----------
    how : str, float or callable
        "torch" (uniform within 1/sqrt(fan_in)), "he_uniform", "he_normal",
        "xavier_uniform", "xavier_normal", "orthogonal", "zeros"; a number a: uniform in
        [-a, a]; or a function (rng, shape, fan_in, fan_out, dtype) -> array.

    Returns
    -------
    callable

    Raises
    ------
    ValueError
        An unknown name.

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse.nn.initialisers import initialiser
    >>> w = initialiser("orthogonal")(np.random.default_rng(0), (2, 3), 3, 2, "float64")
    >>> np.allclose(w @ w.T, np.eye(2))
    True
    """
    if callable(how):
        return how
    if isinstance(how, (int, float)) and not isinstance(how, bool):
        return _uniform(lambda i, o: float(how))
    if how not in _NAMED:
        raise ValueError(
            f"initialiser {how!r} is unknown; one of {sorted(_NAMED)}, a number"
            " (uniform within it) or a function is needed"
        )
    return _NAMED[how]
