"""Particles on disk and back."""

import numpy as np
import pytest

import gradiverse as gv

C = gv.cosmology.Cosmology(Omega_m=0.31, sigma8=0.8, w0=-0.9)
NAMES = ("positions", "momenta", "displacements")


def particles(**more):
    modes = gv.nbody.white_noise((6, 4, 8), rng=1)
    return gv.nbody.evolve(
        modes, C, (12.0, 8.0, 16.0), [0.2, 0.4, 0.6], integrator="fastpm", **more
    )


def test_there_and_back(tmp_path):
    p = particles(keep_start=True)
    gv.nbody.save(tmp_path / "p.h5", p, C, seed=1, settings={"note": "smallest"})
    q, made = gv.nbody.load(tmp_path / "p.h5")
    for name in NAMES:
        for a, b in ((p, q), (p.start, q.start)):
            assert getattr(a, name).dtype == getattr(b, name).dtype
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert (q.box, q.lattice, q.mesh, q.a) == (p.box, p.lattice, p.mesh, p.a)
    assert q.start.a == 0.2
    assert made["cosmology"] == C and made["seed"] == 1
    settings = made["settings"]
    np.testing.assert_array_equal(settings["steps"], [0.2, 0.4, 0.6])
    assert settings["integrator"] == "fastpm" and settings["precision"] == "single"
    assert settings["adjoint"] == "reversible" and settings["order"] == 2
    assert settings["note"] == "smallest" and settings["force"] == "mesh"
    assert made["version"]
    assert [f.name for f in tmp_path.iterdir()] == ["p.h5"]


def test_a_loaded_run_goes_on(tmp_path):
    p = particles(precision="double")
    gv.nbody.save(tmp_path / "p.h5", p, C)
    q, made = gv.nbody.load(tmp_path / "p.h5")
    assert made["seed"] is None
    a, b = (
        gv.nbody.advance(x, C, [0.6, 0.8], integrator="fastpm").displacements
        for x in (p, q)
    )
    np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="straight from evolve"):
        q.reverse()


def test_tables_and_functions_are_kept(tmp_path):
    k = np.geomspace(1e-3, 10, 1500)
    c = gv.cosmology.Cosmology(transfer=(k, 1e3 / (1 + (20 * k) ** 2)))
    p = gv.nbody.lpt(gv.nbody.white_noise((4, 4, 4), rng=1), c, a=0.1, box=9.0)
    gv.nbody.save(tmp_path / "p.h5", p, c)
    _, made = gv.nbody.load(tmp_path / "p.h5")
    np.testing.assert_array_equal(made["cosmology"].transfer, c.transfer)
    assert made["cosmology"].sigma8 is None

    def pull(x):
        return 0.0 * x

    p = gv.nbody.evolve(np.ones((4, 4, 4)), C, 9.0, [0.5, 0.6], force=pull)
    gv.nbody.save(tmp_path / "q.h5", p, C)
    force = gv.nbody.load(tmp_path / "q.h5")[1]["settings"]["force"]
    assert force.startswith("function ") and "pull" in force


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    import gradiverse.nbody.snapshot as module

    file = tmp_path / "p.h5"
    p = particles()
    gv.nbody.save(file, p, C, seed=7)

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(module, "_write_values", broken)
    with pytest.raises(OSError, match="disk full"):
        gv.nbody.save(file, p, C, seed=8)
    assert [f.name for f in tmp_path.iterdir()] == ["p.h5"]
    assert gv.nbody.load(file)[1]["seed"] == 7


def test_damaged_and_foreign_files(tmp_path):
    import h5py

    with pytest.raises(FileNotFoundError, match="does not exist"):
        gv.nbody.load(tmp_path / "none.h5")
    text = tmp_path / "text.h5"
    text.write_text("positions")
    with pytest.raises(ValueError, match="not a readable snapshot"):
        gv.nbody.load(text)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["positions"] = np.zeros((8, 3))
    with pytest.raises(ValueError, match="not one of particles"):
        gv.nbody.load(tmp_path / "other.h5")
    whole = tmp_path / "p.h5"
    gv.nbody.save(whole, particles(), C)
    (tmp_path / "cut.h5").write_bytes(whole.read_bytes()[:3000])
    with pytest.raises(ValueError, match="not a readable snapshot"):
        gv.nbody.load(tmp_path / "cut.h5")
    with h5py.File(whole, "a") as file:
        del file["momenta"]
        file["momenta"] = np.zeros((3, 3))
    with pytest.raises(ValueError, match="momenta has the shape"):
        gv.nbody.load(whole)
    with h5py.File(whole, "a") as file:
        del file["momenta"]
    with pytest.raises(ValueError, match="not a readable snapshot"):
        gv.nbody.load(whole)


def test_bad_arguments(tmp_path):
    p = particles()
    with pytest.raises(TypeError, match="Particles"):
        gv.nbody.save(tmp_path / "p.h5", p.positions, C)
    with pytest.raises(TypeError, match="Cosmology"):
        gv.nbody.save(tmp_path / "p.h5", p, {"Omega_m": 0.3})
    with pytest.raises(TypeError, match="seed"):
        gv.nbody.save(tmp_path / "p.h5", p, C, seed="one")
    with pytest.raises(TypeError, match="settings"):
        gv.nbody.save(tmp_path / "p.h5", p, C, settings={"x": object()})
    with pytest.raises(TypeError, match=r"outside gv\.grad"):
        gv.grad(
            lambda s: gv.nbody.save(tmp_path / "p.h5", p, C.replace(sigma8=s)) or s
        )(0.8)
    assert not list(tmp_path.iterdir())
