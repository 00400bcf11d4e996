"""Most probable initial conditions of a map, against the Wiener filter."""

import numpy as np
import pytest

import gradiverse as gv

N, PIXELS = 8, 6
# an amplitude at which maps are linear in the noise: second order is 1e-3 of first
FAINT = gv.cosmology.Cosmology(sigma8=1e-3)


def cone(**changes):
    settings = {
        "box": 64.0, "shape": (N,) * 3, "steps": 4, "sources": [0.3],
        "field_of_view": 3.5, "map_shape": (PIXELS, PIXELS), "mesh_factor": 1,
        "force": "linear", "order": 1, "precision": "double", "integrator": "fastpm",
    }  # fmt: skip
    return gv.lensing.Lightcone(**(settings | changes))


def test_linear_maps_give_the_wiener_filter():
    """m = J^T (J J^T + N)^-1 (d - kappa(0)) with J the derivative at m = 0."""
    light, zero = cone(), np.zeros((N,) * 3)
    flat, pull = gv.vjp(lambda m: light(m, FAINT), zero)
    J = np.stack([pull(e.reshape(flat.shape))[0].ravel() for e in np.eye(flat.size)])
    modes = gv.nbody.white_noise((N,) * 3, rng=3)
    signal = light(modes, FAINT) - flat
    sigma = 0.3 * signal.std()
    rng = np.random.default_rng(4)
    observed = flat + signal + sigma * rng.normal(size=flat.shape)
    mask = np.ones(flat.shape)
    mask[0, 1:3, 2:5] = 0
    keep = mask.ravel() > 0
    J, d = J[keep], (observed - flat).ravel()[keep]
    want = J.T @ np.linalg.solve(J @ J.T + sigma**2 * np.eye(len(d)), d)
    found = gv.lensing.reconstruct(
        observed, sigma, light, FAINT, mask=mask, iterations=400, tolerance=1e-14
    )
    error = np.linalg.norm(found.modes.ravel() - want) / np.linalg.norm(want)
    assert error < 0.01
    assert found.pixels == keep.sum()
    last = found.history.iloc[-1]
    assert last.objective == pytest.approx(0.5 * (last.chi2 + last.prior))
    np.testing.assert_array_equal(found.kappa, light(found.modes, FAINT))


def test_scaling_the_search_changes_the_way_not_the_end():
    """With and without the estimated curvature; a start at the end stays there."""
    light = cone()
    modes = gv.nbody.white_noise((N,) * 3, rng=5)
    observed = light(modes, FAINT)
    sigma = 0.3 * (observed - light(0 * modes, FAINT)).std()
    options = {"iterations": 400, "tolerance": 1e-14}
    one = gv.lensing.reconstruct(observed, sigma, light, FAINT, **options)
    two = gv.lensing.reconstruct(observed, sigma, light, FAINT, probes=0, **options)
    a, b = one.history.objective.iloc[-1], two.history.objective.iloc[-1]
    assert a == pytest.approx(b, rel=1e-4)
    again = gv.lensing.reconstruct(
        observed, sigma, light, FAINT, start=one.modes, **options
    )
    assert again.history.objective.iloc[0] == pytest.approx(a, rel=1e-9)
    assert np.abs(again.modes - one.modes).max() < 1e-3


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"observed": np.zeros((1, 4, 4))}, "the cone makes"),
        ({"observed": np.full((1, PIXELS, PIXELS), np.nan)}, "not finite"),
        ({"sigma": 0.0}, "positive"),
        ({"sigma": -1.0}, "positive"),
        ({"mask": np.zeros((PIXELS, PIXELS))}, "no pixel"),
        ({"mask": np.ones((5, 5))}, "broadcast"),
        ({"start": np.zeros((4, 4, 4))}, "start has shape"),
    ],
)
def test_bad_arguments(changes, words):
    arguments = {"observed": np.zeros((1, PIXELS, PIXELS)), "sigma": 1.0} | changes
    with pytest.raises(ValueError, match=words):
        gv.lensing.reconstruct(cone=cone(), cosmology=FAINT, **arguments)
