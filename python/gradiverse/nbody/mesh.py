"""Particles and periodic meshes: paint, read out, gravitational acceleration.

Positions are (N, 3) arrays in comoving Mpc/h and are wrapped into the box. Mesh points
lie at multiples of the cell, box/shape along each axis; an axis may have length 1, so
that (X, Y, 1) is a mesh of two dimensions. The window W is the product over the axes of
the B-spline of two cells ("cic", cloud in cell), three ("tsc") or four ("pcs"), of unit
sum over the mesh. Everything is differentiable in its array arguments.
"""

import math
import operator

import numpy as np

from ..graph import emit, is_traced, native, run
from ..var import Var
from .settings import check_box, choice

__all__ = ["acceleration", "paint", "readout"]

KINDS = {"cic": 0, "tsc": 1, "pcs": 2}
ROUTES = ("two_fft", "four_fft")


def _shape(shape, name):
    try:
        dims = tuple(operator.index(n) for n in shape)
    except TypeError:
        raise TypeError(f"{name} {shape!r} must be three whole numbers") from None
    if len(dims) != 3 or min(dims) < 1:
        raise ValueError(f"{name} {dims} must be three positive whole numbers")
    return dims


def _float(x, name):
    """x in an engine dtype, whole numbers as float64; TypeError if it is not real."""
    if not isinstance(x, Var):
        x = native(np.asarray(x))
    kind = np.dtype(x.dtype).kind
    if kind not in "fi":
        raise TypeError(f"{name} has dtype {x.dtype}; real numbers are needed")
    return x if kind == "f" else x.astype("float64")


def _positions(x):
    x = _float(x, "positions")
    if len(x.shape) != 2 or x.shape[1] != 3:
        raise ValueError(
            f"positions have shape {tuple(x.shape)}; (N, 3) in Mpc/h are needed"
        )
    if x.shape[0] == 0:
        raise ValueError("positions are empty; one particle at least is needed")
    return x


def _grid(shape, box):
    lx, ly, lz = box
    return {"mesh": shape, "lx": lx, "ly": ly, "lz": lz}


def _traced(function, *arrays):
    """function(*arrays) on traced values, or at once."""
    return function(*arrays) if is_traced(*arrays) else run(function, *arrays)


def _cloud(shape, box):
    """Attributes and second operand of the pm_ operators for float positions."""
    return {"lattice": (1, 1, 1), **_grid(shape, box)}, np.ones(2)


def paint(positions, box, shape, kind="cic"):
    """Density of particles on a periodic mesh.

    rho(c) = sum_i W(c, x_i)/n_c with n_c = N/(number of cells).

    Parameters
    ----------
    positions : (N, 3) float array
        [Mpc/h], anywhere; wrapped into the box.
    box : float or (float, float, float)
        Sides [Mpc/h].
    shape : (int, int, int)
        Cells of the mesh.
    kind : {"cic", "tsc", "pcs"}
        Window: two, three, four cells wide. "cic" is differentiable once, the others
        to all orders that their smoothness allows.

    Returns
    -------
    shape array
        1 + delta, of mean 1, in the dtype of the positions.

    Raises
    ------
    ValueError
        For shapes, sides or a kind that do not fit, and for positions that are not
        finite; names the first such row.
    TypeError
        For positions that are not real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse.nbody.mesh import paint
    >>> paint(np.array([[0.25, 0.0, 0.0]]), 2.0, (2, 1, 1)).ravel()
    array([1.5, 0.5])
    >>> x = np.random.default_rng(0).uniform(0, 50, (1000, 3))
    >>> rho = paint(x, 50.0, (8, 8, 8), kind="tsc")
    >>> round(float(rho.mean()), 12)
    1.0
    """
    x, box, dims = _positions(positions), check_box(box), _shape(shape, "shape")
    number = KINDS[choice(kind, KINDS, "kind")]
    if number == 0:
        attrs, unit = _cloud(dims, box)
        return emit("pm_paint", (x, unit), **attrs)
    weight = np.full(x.shape[0], math.prod(dims) / x.shape[0], x.dtype)
    return emit(
        "mesh_paint", (x, weight), **_grid(dims, box), kind=number, dx=0, dy=0, dz=0
    )


def readout(field, positions, box, kind="cic"):
    """Values of one or several meshes at positions.

    value(i) = sum_c W(c, x_i) field(c), the transpose of `paint`.

    Parameters
    ----------
    field : (X, Y, Z) or (F, X, Y, Z) float array
        A periodic mesh, or several that are read at once.
    positions : (N, 3) float array
        [Mpc/h], anywhere; wrapped into the box.
    box : float or (float, float, float)
        Sides [Mpc/h].
    kind : {"cic", "tsc", "pcs"}
        Window: two, three, four cells wide.

    Returns
    -------
    (N,) or (F, N) array
        In the common dtype of field and positions.

    Raises
    ------
    ValueError
        For shapes, sides or a kind that do not fit, and for positions that are not
        finite; names the first such row.
    TypeError
        For arguments that are not real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse.nbody.mesh import readout
    >>> field = np.arange(4.0).reshape(4, 1, 1)
    >>> readout(field, np.array([[1.5, 0.2, 0.0], [3.5, 0.0, 0.7]]), 4.0)
    array([1.5, 1.5])
    """
    f, x, box = _float(field, "field"), _positions(positions), check_box(box)
    if len(f.shape) not in (3, 4) or 0 in f.shape[-3:]:
        raise ValueError(
            f"field has shape {tuple(f.shape)}; (X, Y, Z) or (F, X, Y, Z) is needed"
        )
    wide = np.result_type(f.dtype, x.dtype)
    f, x = (a if a.dtype == wide else a.astype(wide) for a in (f, x))
    name = "mesh_read" if len(f.shape) == 3 else "mesh_read_fields"
    attrs = _grid(tuple(f.shape[-3:]), box)
    number = KINDS[choice(kind, KINDS, "kind")]
    return emit(name, (f, x), **attrs, kind=number, dx=0, dy=0, dz=0)


def acceleration(positions, box, mesh_shape, route="two_fft"):
    """Gravitational acceleration of particles, from their own density.

    A = -grad phi with laplacian(phi) = delta, cloud in cell, G = 1/k^2, no
    deconvolution: no cosmology inside.

    Parameters
    ----------
    positions : (N, 3) float array
        [Mpc/h], anywhere; wrapped into the box. Equal masses.
    box : float or (float, float, float)
        Sides [Mpc/h].
    mesh_shape : (int, int, int)
        Force mesh.
    route : {"two_fft", "four_fft"}
        The potential by one transform forth and one back, differenced at four points;
        or its spectral derivative ik, one transform back for each component: the
        reference.

    Returns
    -------
    (N, 3) array
        [Mpc/h], in the dtype of the positions.

    Raises
    ------
    ValueError
        For shapes, sides or a route that do not fit, and for positions that are not
        finite; names the first such row.
    TypeError
        For positions that are not real numbers.

    Examples
    --------
    Two sheets a quarter of the box apart attract each other:

    >>> import numpy as np
    >>> from gradiverse.nbody.mesh import acceleration
    >>> x = np.array([[3.0, 0.0, 0.0], [5.0, 0.0, 0.0]])
    >>> acceleration(x, 8.0, (64, 1, 1)).round(1)[:, 0]
    array([ 1., -1.])
    """
    x, box, dims = (
        _positions(positions),
        check_box(box),
        _shape(mesh_shape, "mesh_shape"),
    )
    spectral = choice(route, ROUTES, "route") == "four_fft"
    if 2 in dims:
        raise ValueError(
            f"mesh_shape {dims}: an axis of 2 cells has no slope, the force would"
            " vanish; take 1 (no force along it) or at least 3"
        )
    attrs, unit = _cloud(dims, box)

    def two(x):
        rho = emit("pm_paint", (x, unit), **attrs)
        lx, ly, lz = box
        phi = emit(
            "pm_convolve", (rho,), lx=lx, ly=ly, lz=lz, inv=1, laplace=0, lnk0=0.0,
            dlnk=1.0, axis=0.0, cross=0.0, ratio=1.0,
        )  # fmt: skip
        return emit("pm_force", (phi, x, unit), **attrs)

    def four(x):
        modes = emit("rfft", (emit("pm_paint", (x, unit), **attrs),), naxes=3)
        parts = [_slope(modes, d, dims, box) for d in range(3)]
        return np.transpose(readout(np.stack(parts), x, box))

    return _traced(four if spectral else two, x)


def _slope(modes, d, dims, box):
    """Component d of -grad phi on the mesh, from the transform of the density."""
    lx, ly, lz = box
    orders = {name: int(e == d) for e, name in enumerate(("dx", "dy", "dz"))}
    pulled = emit(
        "spectral", (modes,), n=dims[2], lx=lx, ly=ly, lz=lz, **orders, inv=1, kind=0,
        laplace=0, lnk0=0.0, dlnk=1.0, scale=-1.0 / math.prod(dims),
    )  # fmt: skip
    return emit("irfft", (pulled,), naxes=3, n=dims[2])
