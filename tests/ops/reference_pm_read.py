"""Gather operators of the particle mesh in NumPy: one window matrix per axis."""

import numpy as np

from .reference_pm import cells, stencil, vectors, windows


def gathered(u, field, mesh, box, kind=0, orders=(0, 0, 0)):
    """sum_c W(c, u_i) field(c)."""
    return np.einsum("xyz,ix,iy,iz->i", field, *windows(u, mesh, box, kind, orders))


def gradients(u, field, mesh, box):
    """sum_c dW_d(c, u_i) field(c), (N, 3)."""
    axes = np.eye(3, dtype=int)
    return np.stack([gathered(u, field, mesh, box, 0, e) for e in axes], -1)


def _derivatives(phi, mesh, box):
    """(D_x phi, D_y phi, D_z phi)."""
    return [stencil(phi, d, box[d] / mesh[d]) for d in range(3)]


def _batched(f, x, *more):
    """f for each entry of the batch; its outputs are vectors (N, 3) or numbers."""
    lead, single = x.shape[:-2], f"float{8 * x.dtype.itemsize}"
    outs = [f(x[b], *(m[b] for m in more)) for b in np.ndindex(*lead)]

    def whole(parts):
        if np.ndim(parts[0]) == 0:
            return np.reshape(parts, lead).astype(float)
        if x.dtype.kind == "i":
            parts = [p.T for p in parts]
        return np.reshape(parts, lead + parts[0].shape).astype(single)

    if isinstance(outs[0], tuple):
        return tuple(map(whole, zip(*outs, strict=True)))
    return whole(outs)


def pm_slope(field, x, unit, lattice, mesh, lx, ly, lz):
    """sum_c dW_d mesh / nc."""
    box = lx, ly, lz

    def one(x, field, unit):
        u = cells(x, unit, lattice, mesh, box)
        return gradients(u, field.astype(float), mesh, box) * np.prod(mesh) / len(u)

    return _batched(one, x, field, unit)


def pm_force(phi, x, unit, lattice, mesh, lx, ly, lz):
    """-sum_c W D_d phi."""
    box = lx, ly, lz

    def one(x, phi, unit):
        u = cells(x, unit, lattice, mesh, box)
        fields = _derivatives(phi.astype(float), mesh, box)
        return -np.stack([gathered(u, f, mesh, box) for f in fields], -1)

    return _batched(one, x, phi, unit)


def pm_force_dot(phi, x, unit, dx, lattice, mesh, lx, ly, lz):
    """-sum_e dx_e sum_c dW_e D_d phi."""
    box = lx, ly, lz

    def one(x, phi, unit, dx):
        u, dx = cells(x, unit, lattice, mesh, box), vectors(x, dx)
        fields = _derivatives(phi.astype(float), mesh, box)
        return -np.stack(
            [(gradients(u, f, mesh, box) * dx).sum(-1) for f in fields], -1
        )

    return _batched(one, x, phi, unit, dx)


def pm_tidal(phi, x, unit, v, scale, lattice, mesh, lx, ly, lz):
    """-scale sum_d v_d sum_c dW_e D_d phi, and v times the force."""
    box = lx, ly, lz

    def one(x, phi, unit, v, scale):
        u, v = cells(x, unit, lattice, mesh, box), vectors(x, v)
        fields = _derivatives(phi.astype(float), mesh, box)
        parts = [
            v[:, d, None] * gradients(u, f, mesh, box) for d, f in enumerate(fields)
        ]
        dot = sum(v[:, d] @ gathered(u, f, mesh, box) for d, f in enumerate(fields))
        return -scale * sum(parts), -dot

    return _batched(one, x, phi, unit, v, scale)


def pm_kick(p, phi, x, unit, kappa, lattice, mesh, lx, ly, lz, sign):
    """p + sign rint(kappa A / unit[1])."""
    box, outs = (lx, ly, lz), []
    for b in np.ndindex(*x.shape[:-2]):
        u = cells(x[b], unit[b], lattice, mesh, box)
        fields = _derivatives(phi[b].astype(float), mesh, box)
        force = -np.stack([gathered(u, f, mesh, box) for f in fields])
        outs.append(
            p[b] + sign * np.rint(kappa[b] * force / unit[b][1]).astype(p.dtype)
        )
    return np.reshape(outs, p.shape)


def pm_kick_tidal(p, phi, x, unit, kappa, v, scale, sign, **grid):
    """Both."""
    kicked = pm_kick(p, phi, x, unit, kappa, sign=sign, **grid)
    return kicked, *pm_tidal(phi, x, unit, v, scale, **grid)


def mesh_read(field, pos, mesh, lx, ly, lz, kind, dx, dy, dz):
    """sum_c d^n W field."""
    box, lead = (lx, ly, lz), pos.shape[:-2]
    outs = [
        gathered(pos[b].astype(float) * (np.array(mesh) / box), field[b].astype(float),
                 mesh, box, kind, (dx, dy, dz))
        for b in np.ndindex(*lead)
    ]  # fmt: skip
    return np.reshape(outs, (*lead, pos.shape[-2])).astype(pos.dtype)


def mesh_read_fields(field, pos, **attrs):
    """The same of several meshes."""
    each = np.moveaxis(field, -4, 0)
    outs = [mesh_read(f, pos, **attrs) for f in each]
    shape = (len(each), *pos.shape[:-1])
    return np.moveaxis(np.reshape(outs, shape), 0, -2).astype(pos.dtype)


def register(reference):
    """Add these to the table of references."""
    for f in (pm_slope, pm_force, pm_force_dot, pm_tidal, pm_kick, pm_kick_tidal,
              mesh_read, mesh_read_fields):  # fmt: skip
        reference[f.__name__] = f
