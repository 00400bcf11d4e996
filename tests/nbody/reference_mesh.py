"""Cloud in cell and the particle-mesh force with NumPy and SciPy's transforms.

Written for clarity and, within array operations, for speed: it is also what the
benchmark compares with. Mesh points lie at multiples of the cell; positions in Mpc/h.
"""

import numpy as np
import scipy.fft


def corners(positions, box, shape):
    """Flat indices and weights of the eight cells around each particle, (8, N)."""
    n = np.array(shape)
    u = positions * (n / box).astype(positions.dtype)
    low = np.floor(u)
    f, low = u - low, low.astype(np.int64)
    index, weight = [], []
    for c in np.ndindex(2, 2, 2):
        x, y, z = ((low + c) % n).T
        w = np.where(c, f, 1 - f)
        index.append((x * n[1] + y) * n[2] + z)
        weight.append(w[:, 0] * w[:, 1] * w[:, 2])
    return np.array(index), np.array(weight)


def paint(positions, box, shape):
    """1 + delta."""
    index, weight = corners(positions, box, shape)
    cells = int(np.prod(shape))
    total = np.bincount(index.ravel(), weight.ravel(), cells)
    rho = total.reshape(shape) * (cells / len(positions))
    return rho.astype(positions.dtype)


def readout(fields, positions, box):
    """(F, N) values of fields (F, X, Y, Z)."""
    index, weight = corners(positions, box, fields.shape[1:])
    return np.stack([(f.ravel()[index] * weight).sum(0) for f in fields])


def wavenumbers(box, shape):
    """k along each axis of the half spectrum, broadcastable [h/Mpc]."""
    k = [2 * np.pi * np.fft.fftfreq(n, L / n) for n, L in zip(shape, box, strict=True)]
    k[2] = 2 * np.pi * np.fft.rfftfreq(shape[2], box[2] / shape[2])
    return np.ix_(*k)


def derivatives(phi_k, box, shape, route):
    """The three fields grad phi."""
    k = wavenumbers(box, shape)
    if route == "two_fft":
        phi = scipy.fft.irfftn(phi_k, shape)
        fields = []
        for d in range(3):
            one, two = (np.roll(phi, -s, d) - np.roll(phi, s, d) for s in (1, 2))
            fields.append((8 * one - two) / (12 * box[d] / shape[d]))
        return fields
    fields = []
    for d, n in enumerate(shape):
        kd = k[d].copy()
        if n % 2 == 0:  # odd derivatives vanish at the Nyquist frequency
            kd.ravel()[n // 2] = 0
        fields.append(scipy.fft.irfftn(1j * kd.astype(phi_k.real.dtype) * phi_k, shape))
    return fields


def acceleration(positions, box, shape, route="two_fft"):
    """-grad phi at the particles, laplacian(phi) = delta."""
    box = np.broadcast_to(np.asarray(box, float), 3)
    delta_k = scipy.fft.rfftn(paint(positions, box, shape))
    k2 = sum(k * k for k in wavenumbers(box, shape))
    k2[0, 0, 0] = np.inf
    phi_k = delta_k * (-1 / k2).astype(positions.dtype)
    fields = np.stack(derivatives(phi_k, box, shape, route))
    return -readout(fields, positions, box).T
