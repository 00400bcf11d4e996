"""White noise whose Fourier modes are keyed by their integer mode numbers."""

import math

import numpy as np

from .. import random
from ..graph import emit, run
from ..var import Var

__all__ = ["white_noise"]


def _key(rng):
    """The key of a seed, a Generator, or a key itself."""
    if isinstance(rng, Var) or (isinstance(rng, np.ndarray) and rng.shape == (2,)):
        return rng
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool):
        return random.key(rng)
    if rng is None or isinstance(rng, (np.random.Generator, np.random.SeedSequence)):
        return random.key(int(np.random.default_rng(rng).integers(2**63)))
    raise TypeError(
        f"white_noise: rng is an int, a numpy Generator or SeedSequence, a key of"
        f" gv.random or None, not {type(rng).__name__}"
    )


def _field(key, shape):
    modes = emit("mode_noise", (key,), shape=shape)
    field = emit("irfft", (modes,), naxes=3, n=shape[2])
    return field * (1 / math.sqrt(math.prod(shape)))


def white_noise(shape, rng=None):
    """Gaussian white noise on a periodic mesh, the same on every mesh where it can be.

    Each Fourier mode DFT[n]/sqrt(N) has unit variance and is a function of the seed and
    of its three integer mode numbers alone. Meshes of other shapes therefore share all
    modes below the Nyquist frequencies of both: a run repeated at another resolution
    has the same large-scale structure. The mode k = 0 is zero.

    Parameters
    ----------
    shape : tuple of 3 int
        Cells per axis; they may differ, and be odd.
    rng : int, SeedSequence, numpy.random.Generator, key or None
        Seed. A Generator gives one number to seed from; None takes fresh entropy. A
        key of `gradiverse.random` may be traced.

    Returns
    -------
    float64 array of the shape
        Real-space field, N(0, 1) per cell (variance 1 - 1/N for N cells).

    Raises
    ------
    TypeError, ValueError
        If shape is not three positive ints, or rng none of the above.

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse.nbody.noise import white_noise
    >>> coarse, fine = white_noise((8, 8, 8), rng=1), white_noise((16, 16, 16), rng=1)
    >>> a, b = np.fft.rfftn(coarse) / 8**1.5, np.fft.rfftn(fine) / 16**1.5
    >>> bool(np.allclose(a[3, 2, 1], b[3, 2, 1]))
    True
    """
    try:
        shape = tuple(shape)
    except TypeError:
        raise TypeError(f"white_noise: shape is three ints, not {shape!r}") from None
    whole = all(
        isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in shape
    )
    if not whole or len(shape) != 3:
        raise TypeError(f"white_noise: shape is three ints, not {shape!r}")
    if min(shape) < 1:
        raise ValueError(f"white_noise: shape {shape} must be positive")
    shape, key = tuple(map(int, shape)), _key(rng)
    if isinstance(key, Var):
        return _field(key, shape)
    return run(lambda k: _field(k, shape), key)
