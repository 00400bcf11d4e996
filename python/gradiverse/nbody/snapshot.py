"""Particles on disk: HDF5 with everything that made them.

Layout: datasets ``positions``, ``momenta``, ``displacements`` (N, 3) [Mpc/h];
attributes ``format``, ``version`` (of this package), ``a``, ``box``, ``lattice``,
``mesh``, and ``seed`` where given; groups ``settings`` and ``cosmology`` with one
attribute for each setting and parameter (tables are datasets); a group ``start`` with
its own three datasets where the start was kept.
"""

import contextlib
import os
import tempfile
from dataclasses import fields
from pathlib import Path

import numpy as np

from .evolve import check_cosmology
from .particles import Particles, traced

__all__ = ["load", "save"]

FORMAT = "gradiverse particles 1"
ARRAYS = ("positions", "momenta", "displacements")


def save(path, particles, cosmology, seed=None, settings=None):
    """Write particles and what made them to an HDF5 file.

    The file appears when it is complete: it is written beside and renamed.

    Parameters
    ----------
    path : str or Path
    particles : Particles
    cosmology : Cosmology
    seed : int, optional
        Seed of the white noise.
    settings : dict, optional
        Further settings (strings and numbers) to keep. Those of `evolve` are written
        by themselves.

    Raises
    ------
    TypeError
        If an argument is not what it should be, or is traced.

    Examples
    --------
    >>> import os, tempfile, gradiverse as gv
    >>> c = gv.cosmology.Cosmology(sigma8=0.8)
    >>> p = gv.nbody.lpt(gv.nbody.white_noise((4, 4, 4), rng=1), c, a=0.1, box=16.0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = os.path.join(folder, "p.h5")
    ...     gv.nbody.save(file, p, c, seed=1)
    ...     q, made = gv.nbody.load(file)
    >>> bool((q.positions == p.positions).all()), made["seed"]
    (True, 1)
    """
    import h5py

    if not isinstance(particles, Particles):
        raise TypeError(
            f"save takes gv.nbody.Particles, got {type(particles).__name__}"
        )
    check_cosmology(cosmology)
    if traced((particles, cosmology)):
        raise TypeError("save needs values; call it outside gv.grad and gv.compile")
    if seed is not None and not isinstance(seed, (int, np.integer)):
        raise TypeError(f"seed must be an int, got {type(seed).__name__}")
    known = {} if particles._past is None else _settings(particles._past[2])
    path = Path(path)
    handle, beside = tempfile.mkstemp(
        prefix=f".{path.name}.", suffix=".part", dir=path.parent
    )
    os.close(handle)
    try:
        with h5py.File(beside, "w") as file:
            _write_particles(file, particles)
            file.attrs["format"] = FORMAT
            file.attrs["version"] = _version()
            if seed is not None:
                file.attrs["seed"] = int(seed)
            _write_values(file.create_group("settings"), {**known, **(settings or {})})
            values = {f.name: getattr(cosmology, f.name) for f in fields(cosmology)}
            _write_values(file.create_group("cosmology"), values)
            if particles.start is not None:
                _write_particles(file.create_group("start"), particles.start)
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        raise


def _version():
    from importlib import metadata

    try:
        return metadata.version("gradiverse")
    except metadata.PackageNotFoundError:
        return "not installed"


def _settings(setup):
    """What `evolve` was asked for, as strings and numbers."""
    values = {f.name: getattr(setup, f.name) for f in fields(setup)}
    if callable(setup.force):
        name = getattr(setup.force, "__qualname__", type(setup.force).__name__)
        values["force"] = f"function {name}"
    policy = values.pop("policy")
    values["adjoint"] = policy if isinstance(policy, str) else f"recompute {policy[1]}"
    return values


def _write_particles(group, particles):
    for name in ARRAYS:
        group.create_dataset(name, data=np.asarray(getattr(particles, name)))
    group.attrs["a"] = particles.a
    for name in ("box", "lattice", "mesh"):
        group.attrs[name] = np.asarray(getattr(particles, name))


def _write_values(group, values):
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, (str, bool, int, float, np.number)):
            group.attrs[name] = value
            continue
        try:
            array = np.asarray(value, dtype=float)
        except (TypeError, ValueError):
            raise TypeError(
                f"{group.name[1:]} {name}={value!r} can not be written; give strings,"
                " numbers and arrays"
            ) from None
        if array.ndim <= 1 and array.size <= 1000:
            group.attrs[name] = array
        else:
            group.create_dataset(name, data=array)


def load(path):
    """Read particles and what made them.

    Parameters
    ----------
    path : str or Path
        A file that `save` wrote.

    Returns
    -------
    particles : Particles
    made : dict
        "version", "seed" (None where not given), "cosmology" (a Cosmology),
        "settings" (dict).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, or not one of particles.
    """
    import h5py

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        with h5py.File(path, "r") as file:
            return _read(file, path)
    except (OSError, KeyError, RuntimeError) as error:
        text = " ".join(str(error).split())
        raise ValueError(f"{path} is not a readable snapshot: {text}") from None


def _read(file, path):
    from ..cosmology import Cosmology

    found = file.attrs.get("format")
    if found != FORMAT:
        raise ValueError(
            f"{path} is an HDF5 file, but not one of particles written by"
            f" gv.nbody.save (its format is {found!r}, expected {FORMAT!r})"
        )
    start = _read_particles(file["start"], path) if "start" in file else None
    particles = _read_particles(file, path, start)
    values = _read_values(file["cosmology"])
    if "transfer" in values and not isinstance(values["transfer"], str):
        values["transfer"] = tuple(values["transfer"])
    seed = file.attrs.get("seed")
    made = {
        "version": str(file.attrs["version"]),
        "seed": None if seed is None else int(seed),
        "cosmology": Cosmology(**values),
        "settings": _read_values(file["settings"]),
    }
    return particles, made


def _read_values(group):
    values = {name: _plain(value) for name, value in group.attrs.items()}
    values.update({name: data[()] for name, data in group.items()})
    return values


def _plain(value):
    if isinstance(value, (bytes, str)):
        return value if isinstance(value, str) else value.decode()
    return value.item() if np.ndim(value) == 0 else np.asarray(value)


def _read_particles(group, path, start=None):
    arrays = {name: group[name][()] for name in ARRAYS}
    lattice = tuple(int(n) for n in group.attrs["lattice"])
    for name, array in arrays.items():
        if array.shape != (int(np.prod(lattice)), 3) or array.dtype.kind != "f":
            raise ValueError(
                f"{path} is damaged: {name} has the shape {array.shape} for the lattice"
                f" {lattice}"
            )
    return Particles(
        **arrays,
        start=start,
        box=tuple(float(s) for s in group.attrs["box"]),
        lattice=lattice,
        mesh=tuple(int(n) for n in group.attrs["mesh"]),
        a=float(group.attrs["a"]),
    )
