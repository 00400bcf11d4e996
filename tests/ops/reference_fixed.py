"""Fixed-point operators in NumPy."""

import numpy as np

INTEGER = {4: np.int32, 8: np.int64}


def fixed_pack(v, step):
    """round(v / step), one step or one a row."""
    whole = np.rint(v.astype(float) / step[..., :, None])
    return whole.astype(INTEGER[v.dtype.itemsize])


def fixed_unpack(q, step):
    """q step in the float dtype that belongs to q."""
    return (q * step[..., :, None]).astype(f"float{8 * q.dtype.itemsize}")


def fixed_dot(v, q, step):
    """sum v q step in double precision."""
    return np.sum(v.astype(float) * q * step[..., :, None], axis=(-2, -1))


def pm_drift(x, p, unit, d, lattice, mesh, lx, ly, lz, sign):
    """x + sign round(p unit_1 d / (cell unit_0))."""
    assert x.shape[-1] == np.prod(lattice)
    cell = np.array([lx, ly, lz]) / mesh
    factor = unit[..., 1:] * d[..., None] / (cell * unit[..., :1])
    return x + sign * np.rint(p * factor[..., None]).astype(x.dtype)


def register(reference):
    """Add these to the table of references."""
    for f in (fixed_pack, fixed_unpack, fixed_dot, pm_drift):
        reference[f.__name__] = f
