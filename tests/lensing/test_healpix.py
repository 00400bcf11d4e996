"""Full-sky maps; skipped without healpy."""

import builtins

import numpy as np
import pytest

import gradiverse as gv
from gradiverse.lensing.healpix import kappa_sphere

from .test_cone import BACKGROUND, C, noise, zeldovich

HUBBLE = 2997.92458


def test_what_to_install_is_said(monkeypatch):
    plain = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "healpy":
            raise ImportError(name)
        return plain(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="pip install"):
        kappa_sphere(noise(8), C, 8)


def test_linear_sphere_against_a_plain_loop():
    """Every image of every particle at D1(a(d_q)) s1, in the pixel that it falls in."""
    healpy = pytest.importorskip("healpy")
    n, box, nside, z = 8, 400.0, 8, 0.3
    modes = noise(n)
    got = kappa_sphere(
        modes, C, nside, box, sources=[z], steps=np.linspace(0.6, 1, 3), mesh_factor=2,
        force="linear", order=1, precision="double",
    )[0]  # fmt: skip
    s1 = zeldovich(modes, box)
    far = BACKGROUND.chi(1 / (1 + z))
    axis = (np.arange(n) / n + 0.5 / (2 * n)) * box - box / 2
    q0 = np.stack([x.ravel() for x in np.meshgrid(axis, axis, axis, indexing="ij")], 1)
    want = np.zeros(12 * nside**2)
    weight = 1.5 * C.Omega_m / HUBBLE**2 * box**3 / n**3 * len(want) / (4 * np.pi)
    for shift in np.ndindex(7, 7, 7):
        q = q0 + (np.array(shift) - 3) * box
        d_q = np.linalg.norm(q, axis=1)
        use = d_q < far
        a = BACKGROUND.a_of(d_q[use])
        x = q[use] + BACKGROUND.growth(a)[:, None] * s1[use]
        d = np.linalg.norm(x, axis=1)
        w = (
            weight
            * np.maximum(1 - d / far, 0)
            / BACKGROUND.a_of(np.minimum(d, far))
            / d
        )
        np.add.at(want, healpy.vec2pix(nside, *x.T), w)
    cone = gv.lensing.Lightcone(
        box=box, shape=(n,) * 3, steps=[0.6, 1.0], sources=[z], field_of_view=1.0,
        map_shape=(8, 8), integrator="fastpm",
    )  # fmt: skip
    want -= cone.uniform(C)[0]
    # linear interpolation in tables of 1024 nodes: 1e-6 of the weights
    np.testing.assert_allclose(got, want, atol=3e-6 * np.abs(want).max())


def test_bad_settings():
    pytest.importorskip("healpy")
    with pytest.raises(ValueError, match="power of two"):
        kappa_sphere(noise(8), C, 7)
    with pytest.raises(ValueError, match="beyond"):
        kappa_sphere(noise(8), C, 8, steps=[0.6, 1.0], integrator="fastpm")
