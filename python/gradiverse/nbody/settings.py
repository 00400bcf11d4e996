"""What a run is: lattice, box, mesh, time steps and policies, checked and hashable."""

from dataclasses import dataclass

import numpy as np

from ..var import Var

__all__ = ["Setup", "check_box", "check_modes", "check_steps", "grid", "make_setup"]

LATEST = 1.25  # as far as the growth functions go
PRECISIONS = {"single": "float32", "double": "float64"}


@dataclass(frozen=True)
class Setup:
    """Static settings of a run.

    Attributes
    ----------
    lattice : tuple of int
        Particles per axis.
    mesh : tuple of int
        Force mesh, mesh_factor times the lattice.
    box : tuple of float
        Sides [Mpc/h].
    steps : tuple of float
        Scale factors of the stages; one step fewer.
    integrator : str
        "bullfrog" or "fastpm".
    policy : str or tuple
        Policy of `gradiverse.scan`.
    precision : str
        "single" or "double".
    order : int
        Order of the start by Lagrangian perturbation theory.
    dealias : bool
        Zero padding by 3/2 of the products of second order.
    force : str or callable
        "mesh", "linear", or positions (N, 3) -> acceleration (N, 3).
    shared : bool
        The mesh force is a value of its own that others of the loop may use, rather
        than read and added in one operator.
    """

    lattice: tuple
    mesh: tuple
    box: tuple
    steps: tuple
    integrator: str = "bullfrog"
    policy: object = "reversible"
    precision: str = "single"
    order: int = 2
    dealias: bool = False
    force: object = "mesh"
    shared: bool = False

    @property
    def real(self):
        """dtype of vectors and meshes."""
        return np.dtype(PRECISIONS[self.precision])

    @property
    def bits(self):
        """Bits of a coordinate: 30 or 62."""
        return 30 if self.precision == "single" else 62

    @property
    def count(self):
        """Number of particles."""
        return int(np.prod(self.lattice))

    @property
    def cell(self):
        """Cells of the force mesh, (3,) [Mpc/h]."""
        return np.array(self.box) / np.array(self.mesh)

    @property
    def n_steps(self):
        """Number of steps."""
        return len(self.steps) - 1


def grid(setup):
    """The attributes lattice, mesh, lx, ly, lz of the particle-mesh operators."""
    lx, ly, lz = setup.box
    return {"lattice": setup.lattice, "mesh": setup.mesh, "lx": lx, "ly": ly, "lz": lz}


def choice(value, allowed, name):
    """value; ValueError that lists the allowed strings otherwise."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} {value!r}; choose one of {', '.join(allowed)}")
    return value


def number(value, name):
    """A plain finite number as a float."""
    if isinstance(value, Var):
        raise TypeError(f"{name} must be a plain number, not a traced value")
    if isinstance(value, (bool, np.bool_)) or np.ndim(value) != 0:
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        value = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    if not np.isfinite(value):
        raise ValueError(f"{name} is {value}; it must be finite")
    return value


def check_box(box):
    """The sides as three positive floats, from a number or three of them [Mpc/h]."""
    if isinstance(box, Var):
        raise TypeError("box must be plain numbers, not a traced value")
    sides = box if np.ndim(box) == 1 else (box, box, box)
    if len(sides) != 3:
        raise ValueError(f"box has {len(sides)} sides; give one number or three, Mpc/h")
    sides = tuple(number(s, "box") for s in sides)
    if min(sides) <= 0:
        raise ValueError(f"box {sides} must be positive, in Mpc/h")
    return sides


def check_modes(modes):
    """White noise as a 3-D real array (or traced value) of even sides, all finite."""
    if not isinstance(modes, Var):
        modes = np.asarray(modes)
        if modes.dtype.kind in "iu":
            modes = modes.astype(float)
    if isinstance(modes.dtype, str) or modes.dtype.kind != "f":
        raise TypeError(
            f"modes must be real numbers, got {modes.dtype}: the white noise in real"
            " space, as gv.nbody.white_noise makes it (gv.ops.fft.irfftn of a spectrum)"
        )
    if modes.ndim != 3:
        raise ValueError(
            f"modes must have three axes (nx, ny, nz), got the shape {modes.shape}"
        )
    odd = [n for n in modes.shape if n % 2 or n < 2]
    if odd:
        raise ValueError(
            f"modes have the shape {tuple(modes.shape)}; every side must be even and"
            f" at least 2, so that {odd[0]} is not possible"
        )
    if isinstance(modes, np.ndarray):
        bad = ~np.isfinite(modes)
        if bad.any():
            where = [int(i) for i in np.argwhere(bad)[0]]
            raise ValueError(f"modes have {modes[tuple(where)]} at index {where}")
    return modes


def check_steps(steps):
    """Scale factors as a tuple of floats: positive and increasing."""
    if isinstance(steps, Var):
        raise TypeError(
            "steps must be plain numbers, not a traced value: the times at which forces"
            " are taken are settings"
        )
    if isinstance(steps, (int, np.integer)) and not isinstance(steps, bool):
        if steps < 2:
            raise ValueError(f"steps={steps}: a run needs at least two stages")
        steps = np.linspace(0.1, 1.0, int(steps))
    a = np.asarray(steps)
    if a.dtype.kind not in "iuf" or a.ndim != 1:
        raise TypeError(
            "steps must be the scale factors of the stages, a 1-D array, or their"
            f" number, got {steps!r}"
        )
    a = a.astype(float)
    if len(a) < 2:
        raise ValueError(f"steps has {len(a)} stage(s); a run needs at least two")
    if not np.isfinite(a).all() or a[0] <= 0:
        raise ValueError(
            f"steps must be finite scale factors above 0, starts with {a[0]}"
        )
    if a[-1] > LATEST:
        raise ValueError(
            f"steps end at a={a[-1]:g}; growth is solved up to a={LATEST:g} (today: 1)"
        )
    wrong = np.flatnonzero(np.diff(a) <= 0)
    if len(wrong):
        i = int(wrong[0])
        raise ValueError(
            f"steps must increase, but steps[{i}]={a[i]:g} and steps[{i + 1}]="
            f"{a[i + 1]:g}"
        )
    return tuple(float(x) for x in a)


def check_mesh(shape, mesh_factor):
    """The force mesh for a lattice: mesh_factor times it, even, at least 4."""
    factor = number(mesh_factor, "mesh_factor")
    if factor < 1:
        raise ValueError(f"mesh_factor {factor:g} must be at least 1")
    mesh = []
    for n in shape:
        m = round(n * factor)
        if abs(m - n * factor) > 1e-9 * m or m % 2 or m < 4:
            raise ValueError(
                f"mesh_factor {factor:g} makes a mesh of {n * factor:g} cells on a side"
                f" of {n} particles; it must be an even number of at least 4"
            )
        mesh.append(m)
    return tuple(mesh)


def check_policy(adjoint, n_steps):
    """The policy of `gradiverse.scan` for the setting `adjoint`."""
    if adjoint in ("reversible", "store"):
        return adjoint
    if adjoint == "recompute":
        return "recompute", max(1, round(n_steps**0.5))
    if isinstance(adjoint, (tuple, list)) and len(adjoint) == 2:
        name, every = adjoint
        whole = isinstance(every, (int, np.integer)) and not isinstance(every, bool)
        if name == "recompute" and whole and every >= 1:
            return "recompute", int(every)
    raise ValueError(
        f"adjoint {adjoint!r}; choose 'reversible', 'store', 'recompute' or"
        " ('recompute', k) with k >= 1"
    )


def make_setup(
    shape,
    box,
    steps,
    mesh_factor=2,
    integrator="bullfrog",
    adjoint="reversible",
    precision="single",
    order=2,
    dealias=False,
    force="mesh",
):
    """A checked `Setup`; the arguments are those of `evolve`."""
    choice(integrator, ("bullfrog", "fastpm"), "integrator")
    choice(precision, tuple(PRECISIONS), "precision")
    if not callable(force):
        choice(force, ("mesh", "linear"), "force (or a function of positions)")
    if isinstance(order, bool) or order not in (1, 2):
        raise ValueError(f"order {order!r}; choose 1 (Zel'dovich) or 2 (2LPT)")
    times = check_steps(steps)
    return Setup(
        lattice=tuple(int(n) for n in shape),
        mesh=check_mesh(shape, mesh_factor),
        box=check_box(box),
        steps=times,
        integrator=integrator,
        policy=check_policy(adjoint, len(times) - 1),
        precision=precision,
        order=int(order),
        dealias=bool(dealias),
        force=force,
    )
