"""Philox4x32-10 in NumPy, and the numbers that the random operators make of it."""

import numpy as np

from .samples import DTYPES

LOW = np.uint64(0xFFFFFFFF)


def philox(counter, key):
    """Blocks of four words.

    Parameters
    ----------
    counter : (n, 4) uint64 array of 32-bit words
    key : int
        64 bits.

    Returns
    -------
    (n, 4) uint64 array of 32-bit words
    """
    c = [counter[:, k].astype(np.uint64) for k in range(4)]
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        p, q = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [
            (q >> np.uint64(32)) ^ c[1] ^ np.uint64(k0),
            q & LOW,
            (p >> np.uint64(32)) ^ c[3] ^ np.uint64(k1),
            p & LOW,
        ]
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return np.stack(c, axis=1)


def _blocks(key, stream, number):
    counter = [number & LOW, number >> np.uint64(32)]
    counter += [np.full_like(number, stream & 0xFFFFFFFF)]
    counter += [np.full_like(number, stream >> 32)]
    return philox(np.stack(counter, axis=1), key)


def _words(key, n, wide):
    """The first n words of 32 or 64 bits of a key, in the order of the tiles."""
    tiles = max(1, -(-n // 16) if wide else -(-n // 32))
    key, stream = (int(k) % 2**64 for k in key)
    w = _blocks(key, stream, np.arange(8 * tiles, dtype=np.uint64))
    w = w.reshape(tiles, 8, 2, 2).transpose(0, 2, 1, 3)  # tile, half, block, word
    if wide:
        w = w[..., 0] | w[..., 1] << np.uint64(32)
    return w.reshape(tiles, 2, -1)


def _normal(words, bits):
    used = 53 if bits == 64 else 31
    u = words[:, 0] >> np.uint64(bits - used)
    u = (u.astype(np.float64) + 0.5) / 2.0**used
    if bits == 64:
        t = (words[:, 1] >> np.uint64(11)).astype(np.float64) / 2.0**52 - 1
    else:
        t = words[:, 1].astype(np.uint32).view(np.int32) / 2.0**31
    radius = np.sqrt(-2 * np.log(u))
    return np.stack([radius * np.cos(np.pi * t), radius * np.sin(np.pi * t)], axis=1)


def _draw(key, shape, dtype, make):
    name = DTYPES[dtype]
    wide = name.endswith("64")
    n = int(np.prod(shape))
    keys = key.reshape(-1, 2)
    rows = [
        make(_words(k, n, wide), 64 if wide else 32).reshape(-1)[:n].astype(name)
        for k in keys
    ]
    return np.array(rows, name).reshape(key.shape[:-1] + tuple(shape))


def random_bits(key, shape, dtype):
    """Raw words as signed integers."""
    signed = np.int64 if DTYPES[dtype] == "int64" else np.int32
    kind = np.uint64 if signed is np.int64 else np.uint32
    return _draw(key, shape, dtype, lambda w, bits: w.astype(kind).view(signed))


def random_uniform(key, shape, dtype):
    """Multiples of 2^-24 or 2^-53."""

    def make(words, bits):
        used = 53 if bits == 64 else 24
        return (words >> np.uint64(bits - used)).astype(np.float64) / 2.0**used

    return _draw(key, shape, dtype, make)


def random_normal(key, shape, dtype):
    """Box-Muller on the two halves of each tile."""
    return _draw(key, shape, dtype, _normal)


def random_fold_in(key, i, tag):
    """One block under another cipher key."""
    out = np.empty(key.shape, np.int64)
    mask = 2**64 - 1
    for at in np.ndindex(i.shape):
        k, stream = (int(x) % 2**64 for x in key[at])
        k ^= (0x6A09E667F3BCC908 + tag * 0x9E3779B97F4A7C15) & mask
        number = np.array([int(i[at]) % 2**64], np.uint64)
        w = _blocks(k, stream, number)[0]
        pair = np.array([w[0] | w[1] << np.uint64(32), w[2] | w[3] << np.uint64(32)])
        out[at] = pair.view(np.int64)
    return out


def register(reference):
    """Enter the operators into the table of references."""
    for function in (random_bits, random_uniform, random_normal, random_fold_in):
        reference[function.__name__] = function
