"""The light-cone operators written out with NumPy: every replica, every particle.

Written from the definitions alone: no culling, no tables by plane, no sorting.
"""

import itertools

import numpy as np

from .reference_random import philox

#: the counter's third word, "cone" in ASCII
STREAM = int.from_bytes(b"cone", "big")


def replica(box, lattice, seed, number):
    """(permutation, signs, shift) of a replica."""
    if seed < 0:
        return np.arange(3), np.ones(3, int), np.zeros(3)
    counter = [number & 0xFFFFFFFF, number >> 32, STREAM, 0]
    words = philox(np.array([counter], np.uint64), int(seed))[0].astype(int)
    pairs = list(zip(box, lattice, strict=True))
    fits = [
        order
        for order in itertools.permutations(range(3))
        if [pairs[e] for e in order] == pairs
    ]
    pick = int(words[3]) * 8 * len(fits) >> 32
    signs = np.array([-1 if pick >> a & 1 else 1 for a in range(3)])
    return np.array(fits[pick // 8]), signs, words[:3] / 2.0**32 * box


def cone_replicas(number, lattice, mesh, lx, ly, lz, seed):
    """replica() for an array of numbers."""
    box = np.array([lx, ly, lz])
    rows = [replica(box, lattice, seed, int(n)) for n in np.ravel(number)]
    shape = (*np.shape(number), 3)
    kinds = (np.int64, np.int64, np.float64)
    return tuple(
        np.array([row[k] for row in rows], kind).reshape(shape)
        for k, kind in enumerate(kinds)
    )


def interpolate(table, h, chi):
    """Four-point Lagrange interpolation of nodes at 0, h, 2 h, ..."""
    t = np.asarray(chi) / h
    first = np.clip(np.floor(t).astype(int) - 1, 0, len(table) - 4)
    total = np.zeros(t.shape)
    for a in range(4):
        weight = np.ones(t.shape)
        for b in set(range(4)) - {a}:
            weight *= (t - first - b) / (a - b)
        total += weight * table[first + a]
    return total


def cone_images(
    x, p, extra, unit, path, time, lattice, mesh, lx, ly, lz, seed, **_unused
):
    """Distances and angles (2, n), y then x, of all images in the slice, replica by
    replica; and the number of the particle."""
    rate, centre, lo, hi, h = path
    box = np.array([lx, ly, lz])
    axes = [
        np.arange(n) * (side / n) + 0.5 * side / m
        for n, m, side in zip(lattice, mesh, box, strict=True)
    ]
    q = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")])
    moved = x * (unit[0] * box / mesh)[:, None]
    if extra.shape[1]:
        moved = moved + extra
    for j in range(int(np.ceil(hi / lz)) + 1):
        perm, sign, shift = replica(box, lattice, seed, j)
        y = (sign[:, None] * q[perm] + shift[:, None]) % box[:, None]
        at = j * lz + y[2]
        inside = (at >= lo) & (at < hi)
        if not inside.any():
            continue
        factor = rate * (interpolate(time, h, at) - centre)
        u = sign[:, None] * (moved + factor * (p * unit[1]))[perm]
        d = at + u[2]
        r = (y + u)[:2] - box[:2, None] / 2
        r -= box[:2, None] * np.floor(r / box[:2, None] + 0.5)
        with np.errstate(divide="ignore"):
            yield d[inside], (r[::-1] / d)[:, inside], np.flatnonzero(inside)


def _numbers(theta, field, shape):
    """Pixel numbers of angles."""
    field, shape = np.array(field)[:, None], np.array(shape)[:, None]
    return (theta + field / 2) / (field / shape) - 0.5


def cone_paint(kappa, x, p, extra, unit, path, time, lens, reach, fy, fx, **where):
    """The maps with the particles of a slice."""
    out = kappa.astype(float)
    shape = out.shape[1:]
    for d, theta, _ in cone_images(x, p, extra, unit, path, time, **where):
        n = _numbers(theta, (fy, fx), shape)
        for s, (table, end) in enumerate(zip(lens, reach, strict=True)):
            seen = (d > 0) & (d < end)
            weight = interpolate(table, path[4], d[seen]) / d[seen]
            low = np.floor(n[:, seen]).astype(int)
            part = n[:, seen] - low
            for a, b in itertools.product((0, 1), repeat=2):
                i, k = low[0] + a, low[1] + b
                w = np.abs(1 - a - part[0]) * np.abs(1 - b - part[1]) * weight
                on = (i >= 0) & (i < shape[0]) & (k >= 0) & (k < shape[1])
                np.add.at(out[s], (i[on], k[on]), w[on])
    return out.astype(kappa.dtype)


def cone_count(x, p, extra, unit, path, time, lens, reach, fy, fx, rows, cols, **where):
    """Particles painted, particles in the slice, boxes that the slice meets."""
    painted = visited = 0
    far = max(reach, default=0.0)
    for d, theta, _ in cone_images(x, p, extra, unit, path, time, **where):
        n = _numbers(theta, (fy, fx), (rows, cols))
        seen = (d > 0) & (d < far)
        for axis, count in enumerate((rows, cols)):
            seen &= (n[axis] > -1) & (n[axis] < count)
        painted += np.count_nonzero(seen)
        visited += len(d)
    lo, hi = path[2:4] / where["lz"]
    boxes = int(np.ceil(hi)) - int(np.floor(lo)) if hi > lo else 0
    return np.array([painted, visited, boxes])


def register(reference):
    """Add the operators that carry samples to the table of references."""
    reference["cone_replicas"] = cone_replicas
