"""Initial displacements: the Zel'dovich approximation and second order (2LPT).

With delta the linear density where D1 = 1 (today), laplacian(phi) = delta and
S = sum over i < j of (phi_ii phi_jj - phi_ij^2),
    s1(k) = i k delta(k)/k^2,    s2(k) = i k S(k)/k^2,
    x = q + D1 s1 + D2 s2,       p = a^2 E (D1' s1 + D2' s2),
with both signs plus because D2 > 0 is the true second-order growth, about 3/7 D1^2.
White noise n(x) of unit variance has DFT[n] = sqrt(N) omega_k, so that
DFT[delta] = N sqrt(P/V) omega_k = sqrt(N P/V) DFT[n] for N cells in the volume V.
"""

import math

import numpy as np

from ..custom import checkpoint
from ..graph import emit
from ..var import Var
from .settings import check_box, check_mesh, check_modes, choice, number
from .steps import growth_at

__all__ = ["amplitude", "delta_k", "displacements", "lpt", "radial"]

NODES = 2048


class Radial:
    """Nodes in ln k, evenly spaced, that reach beyond the modes of a mesh.

    Attributes
    ----------
    lnk0, dlnk : float
        First node and spacing.
    k : array (T,)
        The nodes [h/Mpc].
    """

    def __init__(self, shape, box, n=NODES):
        low = 2 * math.pi / max(box)
        high = math.pi * math.hypot(*(m / s for m, s in zip(shape, box, strict=True)))
        self.lnk0 = math.log(low) - 0.05
        self.dlnk = (math.log(high) + 0.05 - self.lnk0) / (n - 1)
        self.k = np.exp(self.lnk0 + self.dlnk * np.arange(n))

    def attrs(self):
        """The attributes of the operators that take a table."""
        return {"lnk0": self.lnk0, "dlnk": self.dlnk}


def radial(shape, box, n=NODES):
    """`Radial` nodes for a mesh of this shape in a box [Mpc/h]."""
    return Radial(shape, box, n)


def amplitude(cosmology, shape, box):
    """sqrt(P(k)/V) today on the nodes of `radial`, float64 (T,), dimensionless."""
    nodes = radial(shape, box)
    return np.sqrt(cosmology.linear_power(nodes.k) / math.prod(box))


def symbol(fk, n, box, table=None, nodes=None, order=(0, 0, 0), inv=0, scale=1.0):
    """fk times scale (i k)^order (-1/k^2)^inv and, with nodes, table(|k|)."""
    lx, ly, lz = box
    dx, dy, dz = order
    along = {"lnk0": 0.0, "dlnk": 1.0} if nodes is None else nodes.attrs()
    return emit(
        "spectral",
        (fk,) if table is None else (fk, table),
        n=n, lx=lx, ly=ly, lz=lz, dx=dx, dy=dy, dz=dz, inv=inv, kind=0, laplace=0,
        scale=scale, **along,
    )  # fmt: skip


def delta_k(modes, table, box):
    """DFT of the linear density today, (nx, ny, nz/2 + 1)."""
    shape = modes.shape
    fk = np.fft.rfftn(modes)
    root = math.sqrt(math.prod(shape))
    return symbol(fk, shape[2], box, table, radial(shape, box), scale=root)


def _axis(d, n=1):
    return tuple(n * (d == e) for e in range(3))


def _gradient(fk, shape, box):
    """Fields i k f/k^2 in real space, (3, N)."""
    parts = [
        np.fft.irfftn(
            symbol(fk, shape[2], box, order=_axis(d), inv=1, scale=-1.0), s=shape
        )
        for d in range(3)
    ]
    return np.stack([p.reshape(-1) for p in parts])


def _resized_axis(fk, axis, n):
    """A full axis of a spectrum with n instead of m frequencies; Nyquist is zero."""
    m = fk.shape[axis]
    keep = min(m, n) // 2

    def part(start, stop):
        index = [slice(None)] * fk.ndim
        index[axis] = slice(start, stop)
        return fk[tuple(index)]

    low, high = part(0, keep), part(m - keep + 1, m)
    gap = list(fk.shape)
    gap[axis] = n - 2 * keep + 1
    return np.concatenate([low, np.zeros(gap, fk.dtype), high], axis=axis)


def _resized(fk, old, new):
    """A half spectrum on another grid of the same box, values per mode as they are."""
    fk = _resized_axis(_resized_axis(fk, 0, new[0]), 1, new[1])
    keep = min(old[2], new[2]) // 2
    gap = (*fk.shape[:2], new[2] // 2 + 1 - keep)
    return np.concatenate([fk[:, :, :keep], np.zeros(gap, fk.dtype)], axis=2)


def _products(fk, shape, box):
    """S in real space: sum over i < j of phi_ii phi_jj - phi_ij^2."""

    def second(i, j):
        order = tuple(a + b for a, b in zip(_axis(i), _axis(j), strict=True))
        return np.fft.irfftn(symbol(fk, shape[2], box, order=order, inv=1), s=shape)

    xx, yy, zz = (second(i, i) for i in range(3))
    total = xx * (yy + zz) + yy * zz
    for i, j in ((0, 1), (0, 2), (1, 2)):
        total = total - np.square(second(i, j))
    return total


def padded_shape(shape):
    """3/2 of a shape, rounded up to even numbers."""
    return tuple(2 * math.ceil(3 * n / 4) for n in shape)


def _second(fk, shape, box, dealias):
    """DFT of S on the mesh `shape`; with dealias its modes are free of aliases."""
    if not dealias:
        return np.fft.rfftn(_products(fk, shape, box))
    wide = padded_shape(shape)
    ratio = math.prod(wide) / math.prod(shape)
    padded = _resized(fk, shape, wide) * np.asarray(ratio, fk.real.dtype)
    S = np.fft.rfftn(_products(padded, wide, box))
    return _resized(S, wide, shape) * np.asarray(1 / ratio, fk.real.dtype)


def displacements(modes, table, box, order=2, dealias=False):
    """The vector fields s1 and s2 at the lattice points.

    Parameters
    ----------
    modes : array (nx, ny, nz)
        White noise of unit variance; its dtype is that of the work.
    table : array (T,)
        `amplitude`.
    box : tuple of float
        Sides [Mpc/h].
    order : int
        1 leaves s2 out.
    dealias : bool
        Pad the products by 3/2; the Nyquist planes then do not contribute to s2.

    Returns
    -------
    s1, s2 : arrays (3, N)
        In Mpc/h, for D1 = 1; s2 is None at first order.
    """
    shape = modes.shape
    dk = delta_k(modes, table, box)
    s1 = _gradient(dk, shape, box)
    if order == 1:
        return s1, None
    return s1, _gradient(_second(dk, shape, box, dealias), shape, box)


def moved(s1, s2, growth):
    """(D1 s1 + D2 s2, a^2 E (D1' s1 + D2' s2)) at one time, dtype of s1."""

    def sum_of(first, second):
        out = cast(first, s1.dtype) * s1
        return out if s2 is None else out + cast(second, s1.dtype) * s2

    H = growth.H
    return (
        sum_of(growth.D1, growth.D2),
        sum_of(H * growth.D1_prime, H * growth.D2_prime),
    )


def cast(x, dtype):
    """A scalar, traced or not, in another dtype."""
    return x.astype(dtype) if isinstance(x, Var) else np.asarray(x, dtype)


def start(modes, cosmology, a, box, order, dealias):
    """(displacements, momenta), (3, N), at the scale factor a; nothing is kept."""
    g = growth_at(cosmology, np.array([a]))
    now = tuple(x[0] for x in g)
    table = amplitude(cosmology, modes.shape, box)

    def inner(modes, table, now):
        s1, s2 = displacements(modes, table, box, order, dealias)
        return moved(s1, s2, type(g)(*now))

    return checkpoint(inner)(modes, table, now)


def lpt(
    modes, cosmology, a=0.1, box=256.0, order=2, *, dealias=False, mesh_factor=2,
    precision="double",
):  # fmt: skip
    """Particles displaced by Lagrangian perturbation theory.

    Parameters
    ----------
    modes : array (nx, ny, nz)
        White noise of unit variance per cell, see `white_noise`; even sides.
    cosmology : Cosmology
    a : float
        Scale factor, a plain number.
    box : float or three floats
        Sides [Mpc/h].
    order : 1 or 2
        Zel'dovich, or second order with the true growth D2.
    dealias : bool
        Compute the products of second order with 3/2 zero padding.
    mesh_factor : float
        The lattice lies half a cell of the force mesh off the mesh points; this is the
        mesh cells per particle on an axis, as in `evolve`.
    precision : "double" or "single"

    Returns
    -------
    Particles

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind, shape or range.

    Notes
    -----
    x = q + D1 s1 + D2 s2, p = a^2 E (D1' s1 + D2' s2), a prime being d/d ln a;
    Bouchet et al. (1995), with D2 > 0. The growth today is 1, D2(1) about 3/7.

    Examples
    --------
    >>> import gradiverse as gv
    >>> modes = gv.nbody.white_noise((8, 8, 8), rng=1)
    >>> p = gv.nbody.lpt(modes, gv.cosmology.Cosmology(), a=0.1, box=64.0)
    >>> p.displacements.shape
    (512, 3)
    """
    from .evolve import lpt_particles

    modes = check_modes(modes)
    box = check_box(box)
    choice(precision, ("single", "double"), "precision")
    a = number(a, "a")
    if a <= 0:
        raise ValueError(f"a={a:g} must be a scale factor above 0")
    if isinstance(order, bool) or order not in (1, 2):
        raise ValueError(f"order {order!r}; choose 1 (Zel'dovich) or 2 (2LPT)")
    mesh = check_mesh(modes.shape, mesh_factor)
    return lpt_particles(
        modes, cosmology, a, box, order, bool(dealias), mesh, precision
    )
