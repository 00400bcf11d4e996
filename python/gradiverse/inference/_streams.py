"""Random streams of the checks: a seed gives every check a stream of its own.

Truths are often drawn with the seed that a check is given too (0, say), and a check on
the same stream would draw the truths again: its reference points would be the truths.
"""

import zlib

import numpy as np


def stream(rng, use):
    """Generator of a seed for one use; a Generator is taken as it is.

    Parameters
    ----------
    rng : None, int, sequence of int, SeedSequence, BitGenerator or Generator
    use : str
        What is drawn; other uses of the same seed are independent.

    Returns
    -------
    numpy Generator

    Examples
    --------
    >>> a, b = stream(0, "a check").random(), stream(0, "another").random()
    >>> a != b, a == np.random.default_rng(0).random()
    (True, False)
    """
    if isinstance(rng, np.random.SeedSequence):
        seed = rng
    elif rng is None or isinstance(rng, (int, np.integer, list, tuple, np.ndarray)):
        seed = np.random.SeedSequence(rng)
    else:
        return np.random.default_rng(rng)
    key = (*seed.spawn_key, zlib.crc32(f"gradiverse {use}".encode()))
    return np.random.default_rng(
        np.random.SeedSequence(seed.entropy, spawn_key=key, pool_size=seed.pool_size)
    )
