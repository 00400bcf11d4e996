"""Operators on the modes of a periodic box, written out on whole arrays of modes."""

import numpy as np

from .reference_random import philox
from .samples import DTYPES


def _numbers(n):
    """Signed mode numbers of an axis, -n/2 counted as n/2."""
    m = np.fft.fftfreq(n, 1 / n).round().astype(int)
    return np.where(2 * m == -n, n // 2, m)


def _grid(dim, half):
    axes = [_numbers(n) for n in dim]
    if half:
        axes[2] = np.arange(dim[2] // 2 + 1)
    return np.meshgrid(*axes, indexing="ij", sparse=True)


def _table(lnk, nodes, lnk0, dlnk):
    """Values of the cubics and, for every node, its coefficient: (..., T)."""
    count = len(nodes)
    first = np.clip(np.floor((lnk - lnk0) / dlnk) - 1, 0, count - 4).astype(int)
    weights = np.zeros((*lnk.shape, count))
    for a in range(4):
        w = np.ones_like(lnk)
        for b in range(4):
            if b != a:
                w = w * ((lnk - lnk0) / dlnk - first - b) / (a - b)
        np.put_along_axis(weights, (first + a)[..., None], w[..., None], -1)
    return weights


def _symbol(dim, half, box, order, inv, kind, laplace, scale, nodes, lnk0, dlnk):
    """The symbol without its table, and the weights of the table's nodes."""
    numbers = _grid(dim, half)
    cells = [side / n for side, n in zip(box, dim, strict=True)]
    k = [2 * np.pi * m / side for m, side in zip(numbers, box, strict=True)]
    k2 = k[0] ** 2 + k[1] ** 2 + k[2] ** 2
    difference = [
        (2 / c * np.sin(q * c / 2)) ** 2 for q, c in zip(k, cells, strict=True)
    ]
    bottom = sum(difference) if laplace else k2
    symbol = np.full(k2.shape, scale, complex)
    for d in range(3):
        w = k[d] * cells[d]
        slope = 1j * (
            (8 * np.sin(w) - np.sin(2 * w)) / (6 * cells[d]) if kind else k[d]
        )
        if order[d] % 2:
            slope = np.where(2 * numbers[d] == dim[d], 0, slope)
        symbol = symbol * slope ** order[d]
    if inv:
        symbol *= np.where(k2 > 0, (-1 / np.where(k2 > 0, bottom, 1)) ** inv, 0)
    if nodes is None:
        return symbol, None
    lnk = 0.5 * np.log(np.where(k2 > 0, k2, 1))
    return symbol, _table(lnk, nodes, lnk0, dlnk) * (k2 > 0)[..., None]


def _wide(x):
    return x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)


def _entries(core, *arrays):
    lead = arrays[0].shape[: arrays[0].ndim - core[0]]
    for index in np.ndindex(lead):
        yield index, [a[index] for a in arrays]


def _restored(dim, axis, cross, ratio):
    """C(k) of sim/pm/spectrum.h."""
    w2 = [(2 * np.pi * np.fft.fftfreq(n)) ** 2 for n in dim]
    wx, wy, wz = np.meshgrid(*w2, indexing="ij")
    q2, q4 = wx + wy + wz, wx**2 + wy**2 + wz**2
    cubes = q2 - q4 / np.where(q2 > 0, q2, 1)
    x = (axis * q2 + cross * cubes) / 6 / (1 + (q2 * ratio**2 / np.pi**2) ** 4)
    return 1 + x + x * x / 2


def pm_convolve(mesh, table=None, *, lx, ly, lz, inv, laplace, lnk0, dlnk, axis, cross,
                ratio):  # fmt: skip
    """Full complex transforms, multiplied."""
    out = np.zeros_like(mesh)
    arrays, core = ([mesh], [3]) if table is None else ([mesh, table], [3, 1])
    for at, (m, *t) in _entries(core, *arrays):
        nodes = t[0] if t else None
        s, w = _symbol(m.shape, False, (lx, ly, lz), (0, 0, 0), inv, 0, laplace, 1.0,
                       nodes, lnk0, dlnk)  # fmt: skip
        s = s if w is None else s * (w @ nodes)
        s = s * _restored(m.shape, axis, cross, ratio)
        out[at] = np.fft.ifftn(np.fft.fftn(_wide(m)) * s).real
    return out


def spectral(modes, table=None, *, n, lx, ly, lz, dx, dy, dz, inv, kind, laplace,
             lnk0, dlnk, scale):  # fmt: skip
    """Half spectrum times the symbol."""
    out = np.zeros_like(modes)
    arrays, core = ([modes], [3]) if table is None else ([modes, table], [3, 1])
    for at, (m, *t) in _entries(core, *arrays):
        nodes = t[0] if t else None
        s, w = _symbol((*m.shape[:2], n), True, (lx, ly, lz), (dx, dy, dz), inv, kind,
                       laplace, scale, nodes, lnk0, dlnk)  # fmt: skip
        out[at] = _wide(m) * (s if w is None else s * (w @ nodes))
    return out


def pm_convolve_table(mesh, g, *, lx, ly, lz, inv, laplace, lnk0, dlnk, axis, cross,
                      ratio, nodes):  # fmt: skip
    """Sum over all modes of node weight times Re(conj(g) s f) / N."""
    out = np.zeros((*mesh.shape[:-3], nodes))
    for at, (m, h) in _entries([3, 3], mesh, g):
        s, w = _symbol(m.shape, False, (lx, ly, lz), (0, 0, 0), inv, 0, laplace, 1.0,
                       np.zeros(nodes), lnk0, dlnk)  # fmt: skip
        s = s * _restored(m.shape, axis, cross, ratio)
        product = np.conj(np.fft.fftn(_wide(h))) * s * np.fft.fftn(_wide(m)) / m.size
        out[at] = np.einsum("xyz,xyzt->t", product.real, w)
    return out


def spectral_table(modes, g, *, n, lx, ly, lz, dx, dy, dz, inv, kind, laplace, lnk0,
                   dlnk, scale, nodes):  # fmt: skip
    """Sum over stored modes of node weight times Re(conj(g) s f)."""
    out = np.zeros((*modes.shape[:-3], nodes))
    for at, (m, h) in _entries([3, 3], modes, g):
        s, w = _symbol((*m.shape[:2], n), True, (lx, ly, lz), (dx, dy, dz), inv, kind,
                       laplace, scale, np.zeros(nodes), lnk0, dlnk)  # fmt: skip
        product = np.conj(_wide(h)) * s * _wide(m)
        out[at] = np.einsum("xyz,xyzt->t", product.real, w)
    return out


# --- noise --------------------------------------------------------------------------


def _partner(m, dim):
    """The mode number of the conjugate."""
    numbers = (-x for x in m)
    return tuple(n // 2 if 2 * x == -n else x for x, n in zip(numbers, dim,
                                                             strict=True))  # fmt: skip


def _draw(key, m):
    """Two standard normal numbers of a mode."""
    cipher, stream = (int(k) % 2**64 for k in key)
    place = 1 << 63 | sum((x + 2**20) << 21 * d for d, x in enumerate(m))
    counter = [place & 0xFFFFFFFF, place >> 32, stream & 0xFFFFFFFF, stream >> 32]
    word = [int(w) for w in philox(np.array([counter], np.uint64), cipher)[0]]
    u = ((word[0] | word[1] << 32) >> 11) + 0.5
    t = (word[2] | word[3] << 32) >> 11
    radius, angle = np.sqrt(-2 * np.log(u / 2.0**53)), 2 * np.pi * t / 2.0**53
    return radius * np.cos(angle), radius * np.sin(angle)


def mode_noise(key, *, shape):
    """One mode after the other."""
    out = np.zeros((*key.shape[:-1], *shape[:2], shape[2] // 2 + 1), complex)
    grid = np.broadcast_arrays(*_grid(shape, True))
    for at, (k,) in _entries([1], key):
        for i in np.ndindex(out.shape[-3:]):
            m = tuple(int(x[i]) for x in grid)
            p = _partner(m, shape)
            if m == p:
                out[at][i] = 0 if m == (0, 0, 0) else _draw(k, m)[0]
            elif m[::-1] > p[::-1]:
                out[at][i] = complex(*_draw(k, m)) / np.sqrt(2)
            else:
                out[at][i] = np.conj(complex(*_draw(k, p))) / np.sqrt(2)
    return out


# --- bins ---------------------------------------------------------------------------


def _bins(dim, box):
    """Bin of each mode of the half spectrum, and how many modes it stands for."""
    sides = [side for side, n in zip(box, dim, strict=True) if n > 1]
    longest = max(sides, default=1.0)
    m = _grid(dim, True)
    k2 = sum((x * longest / side) ** 2 for x, side in zip(m, box, strict=True))
    bins = np.floor(np.sqrt(k2) + 0.5).astype(int)
    pair = (m[2] > 0) & (2 * m[2] < dim[2])
    return bins, np.broadcast_to(1 + pair, bins.shape)


def mode_sum(a, *, n, lx, ly, lz, nbins):
    """Weighted histogram."""
    out = np.zeros((*a.shape[:-3], nbins))
    for at, (x,) in _entries([3], a):
        bins, weight = _bins((*x.shape[:2], n), (lx, ly, lz))
        sums = np.bincount(bins.ravel(), (weight * x).ravel(), minlength=nbins + 1)
        out[at] = sums[1 : nbins + 1]
    return out


def mode_spread(b, *, shape, lx, ly, lz, dtype):
    """Each mode takes its bin's value, times its weight."""
    nbins = b.shape[-1]
    bins, weight = _bins(shape, (lx, ly, lz))
    padded = np.concatenate([np.zeros((*b.shape[:-1], 1)), b], -1)
    inside = np.where(bins <= nbins, bins, 0)
    return (weight * padded[..., inside]).astype(DTYPES[dtype])


def register(reference):
    """Add these functions to the table of references."""
    for f in (pm_convolve, pm_convolve_table, spectral, spectral_table, mode_noise,
              mode_sum, mode_spread):  # fmt: skip
        reference[f.__name__] = f
