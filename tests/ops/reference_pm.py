"""Scatter operators of the particle mesh in NumPy: one window matrix per axis."""

import math

import numpy as np


def cells(x, unit, lattice, mesh, box):
    """Positions in mesh cells, (N, 3) in double precision, one batch entry."""
    if x.dtype.kind == "f":
        return x.astype(float) * (np.array(mesh) / np.array(box))
    index = np.stack(np.unravel_index(np.arange(np.prod(lattice)), lattice), -1)
    shift = np.array(mesh) / np.array(lattice)
    return index * shift + 0.5 + (x * unit[0]).T


def spline_derivative(order, u, n):
    """n-th derivative of the B-spline of order 2 (cloud in cell), 3 or 4 at distances
    u; zero beyond the smoothness of its pieces."""
    if n >= order:
        return np.zeros_like(u)
    total = np.zeros_like(u)
    for k in range(order + 1):
        t = u + order / 2 - k
        ramp = np.where(t > 0, np.maximum(t, 0.0) ** (order - 1 - n), 0.0)
        total += (-1) ** k * math.comb(order, k) * ramp
    inside = np.abs(u) < order / 2  # beyond, the powers cancel up to rounding only
    return np.where(inside, total / math.factorial(order - 1 - n), 0.0)


def windows(u, mesh, box, kind=0, orders=(0, 0, 0)):
    """Weights (N, mesh_d) per axis, differentiated with respect to the position."""
    result = []
    for d, n in enumerate(mesh):
        distance = u[:, d, None] - np.arange(n)
        w = np.zeros_like(distance)
        nearest = np.rint(distance / n).astype(int)
        for image in range(-5, 6):
            w += spline_derivative(
                kind + 2, distance - n * (nearest + image), orders[d]
            )
        result.append(w * (n / box[d]) ** orders[d])
    return result


def scattered(u, v, mesh, box, kind=0, orders=(0, 0, 0)):
    """sum_i v_i W(c, u_i)."""
    return np.einsum("i,ix,iy,iz->xyz", v, *windows(u, mesh, box, kind, orders))


def _over_batch(f, x, unit, *more):
    """f for each entry of the batch."""
    lead = x.shape[:-2]
    outs = [f(x[b], unit[b], *(m[b] for m in more)) for b in np.ndindex(*lead)]
    return np.reshape(outs, lead + outs[0].shape).astype(f"float{8 * x.dtype.itemsize}")


def vectors(x, v):
    """Vectors as (N, 3), whatever the layout of x."""
    return (v if x.dtype.kind == "f" else v.T).astype(float)


def stencil(field, d, cell):
    """The four-point derivative along axis d."""

    def at(k):
        return np.roll(field, -k, d)

    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * cell)


def pm_paint(x, unit, lattice, mesh, lx, ly, lz):
    """sum_i W / nc."""
    box = lx, ly, lz

    def one(x, unit):
        u = cells(x, unit, lattice, mesh, box)
        return scattered(u, np.ones(len(u)), mesh, box) * np.prod(mesh) / len(u)

    return _over_batch(one, x, unit)


def pm_flux(x, unit, v, lattice, mesh, lx, ly, lz):
    """sum_i sum_d v_d dW_d / nc."""
    box = lx, ly, lz

    def one(x, unit, v):
        u, v = cells(x, unit, lattice, mesh, box), vectors(x, v)
        parts = (scattered(u, v[:, d], mesh, box, 0, np.eye(3, dtype=int)[d])
                 for d in range(3))  # fmt: skip
        return sum(parts) * np.prod(mesh) / len(u)

    return _over_batch(one, x, unit, v)


def pm_force_t(x, unit, v, scale, lattice, mesh, lx, ly, lz):
    """The transpose of the force, written out: of -sum_c W D_d."""
    box = lx, ly, lz

    def one(x, unit, v, scale):
        u, v = cells(x, unit, lattice, mesh, box), vectors(x, v)
        parts = (stencil(scattered(u, v[:, d], mesh, box), d, box[d] / mesh[d])
                 for d in range(3))  # fmt: skip
        return scale * sum(parts)

    return _over_batch(one, x, unit, v, scale)


def mesh_paint(pos, value, mesh, lx, ly, lz, kind, dx, dy, dz):
    """sum_i value_i d^n W."""
    box, lead = (lx, ly, lz), value.shape[:-1]
    outs = [
        scattered(pos[b].astype(float) * (np.array(mesh) / box), value[b].astype(float),
                  mesh, box, kind, (dx, dy, dz))
        for b in np.ndindex(*lead)
    ]  # fmt: skip
    return np.reshape(outs, (*lead, *mesh)).astype(value.dtype)


def register(reference):
    """Add these to the table of references."""
    for f in (pm_paint, pm_flux, pm_force_t, mesh_paint):
        reference[f.__name__] = f
