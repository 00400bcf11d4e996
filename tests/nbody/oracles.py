"""What the tests of the particle mesh compare with: NumPy alone, no engine."""

from itertools import pairwise

import numpy as np


class EdS:
    """An Einstein-de Sitter universe with closed forms: D1 = a, D2 = 3/7 a^2."""

    def E(self, a):
        return np.asarray(a, float) ** -1.5

    def growth_derivatives(self, a):
        from gradiverse.cosmology import Growth

        D1, D2 = a * 1.0, 3 / 7 * a * a
        return Growth(D1, D1, D1, D2, 2 * D2, 4 * D2)

    def linear_power(self, k, z=0.0):
        return 100.0 / (1 + (10 * k) ** 2)


def frequencies(shape, box):
    """kx, ky, kz of a full DFT, broadcastable [h/Mpc]."""
    k = [2 * np.pi * np.fft.fftfreq(n, s / n) for n, s in zip(shape, box, strict=True)]
    return np.meshgrid(*k, indexing="ij")


def odd(k, n):
    """k with the Nyquist frequency of an even axis zero, for odd derivatives."""
    out = []
    for axis, (field, m) in enumerate(zip(k, n, strict=True)):
        field = field.copy()
        index = [slice(None)] * 3
        index[axis] = m // 2
        field[tuple(index)] = 0.0
        out.append(field)
    return out


def lpt_fields(modes, power, box):
    """s1 and s2, (3, N), by complex FFTs and k-space products of the text book."""
    shape = modes.shape
    k = frequencies(shape, box)
    k2 = sum(f * f for f in k)
    k2[0, 0, 0] = 1.0
    root = np.sqrt(power(np.sqrt(k2)) / np.prod(box))
    root[0, 0, 0] = 0.0
    delta = np.fft.fftn(modes) * np.sqrt(np.prod(shape)) * root
    first = odd(k, shape)

    def gradient(f):
        return np.stack([np.fft.ifftn(1j * q * f / k2).real.ravel() for q in first])

    def second(i, j):
        symbol = k[i] ** 2 if i == j else first[i] * first[j]
        return np.fft.ifftn(symbol * delta / k2).real

    S = 0.0
    for i in range(3):
        for j in range(i):
            S = S + second(i, i) * second(j, j) - second(i, j) ** 2
    return gradient(delta), gradient(np.fft.fftn(S))


def restored(mesh, factor):
    """C(k) = 1 + x + x^2/2, what the force gives back to long waves (decision 008)."""
    from gradiverse.nbody.engine import RESTORED

    axis, cross = RESTORED.get(factor, (0.0, 0.0))
    w2 = [q * q for q in frequencies(mesh, mesh)]
    q2, q4 = sum(w2), sum(w * w for w in w2)
    cubes = q2 - q4 / np.where(q2 > 0, q2, 1.0)
    x = (axis * q2 + cross * cubes) / 6 / (1 + (q2 * factor**2 / np.pi**2) ** 4)
    return 1 + x + x * x / 2


def cic_force(x, box, mesh, factor=None):
    """-grad phi at positions (N, 3): CIC, -C/k^2, 4-point stencil, CIC; plain NumPy."""
    mesh, box = np.array(mesh), np.array(box)
    cell = box / mesh
    u = x / cell
    i = np.floor(u).astype(int)
    f = u - i
    corners = []
    for c in np.ndindex(2, 2, 2):
        at = tuple(((i + c) % mesh).T)
        w = np.prod(np.where(c, f, 1 - f), axis=1)
        corners.append((at, w))
    rho = np.zeros(mesh)
    for at, w in corners:
        np.add.at(rho, at, w)
    rho /= len(x) / np.prod(mesh)
    k2 = sum(q * q for q in frequencies(mesh, box))
    k2[0, 0, 0] = 1.0
    phi_k = -np.fft.fftn(rho) / k2
    if factor is not None:
        phi_k *= restored(mesh, factor)
    phi_k[0, 0, 0] = 0.0
    phi = np.fft.ifftn(phi_k).real
    A = np.empty_like(x)
    for d in range(3):
        near = np.roll(phi, -1, d) - np.roll(phi, 1, d)
        far = np.roll(phi, -2, d) - np.roll(phi, 2, d)
        slope = (8 * near - far) / (12 * cell[d])
        A[:, d] = -sum(w * slope[at] for at, w in corners)
    return A


def lattice(shape, box, mesh):
    """Lattice points (N, 3), half a mesh cell off the mesh points."""
    axes = [
        (np.arange(n) / n + 0.5 / m) * s
        for n, s, m in zip(shape, box, mesh, strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def fastpm(c, q, s, p, steps, force):
    """FastPM as the equations stand: kick, drift, kick -> displacements, momenta."""

    def growth(a):
        g = c.growth_derivatives(np.asarray(a))
        return float(g.D1), float(a * a * c.E(a) * g.dD1)

    for a0, a1 in pairwise(steps):
        ac = np.sqrt(a0 * a1)
        (D0, G0), (_, Gc), (D1, G1) = growth(a0), growth(ac), growth(a1)
        p = p + force(q + s) * (Gc - G0) / D0
        s = s + p * (D1 - D0) / Gc
        p = p + force(q + s) * (G1 - Gc) / D1
    return s, p


def bullfrog(c, q, s, p, steps, force):
    """BullFrog in v = dx/dD, with multiplied velocities, as the equations stand."""

    def growth(a):
        g = c.growth_derivatives(np.asarray(a))
        r = float(g.dD2 / g.dD1)
        return float(g.D1), float(g.D2), r, float(a * a * c.E(a) * g.dD1)

    v = p / growth(steps[0])[3]
    for a0, a1 in pairwise(steps):
        (D0, E0, r0, _), (D1, _, r1, _) = growth(a0), growth(a1)
        half = (D1 - D0) / 2
        middle = D0 + half
        b = (E0 + r0 * half) / middle + middle
        alpha = (r1 - b) / (r0 - b)
        s = s + v * half
        v = alpha * v + (1 - alpha) / middle * force(q + s)
        s = s + v * half
    return s, v * growth(steps[-1])[3]
