"""Initial conditions from a convergence map: the most probable white noise.

The posterior of the white noise m given a map d with independent pixel noise sigma is

    -2 ln P(m | d) = sum_pix mask ((kappa(m) - d) / sigma)^2 + sum_cells m^2 + constant,

because m is normal with unit variance in every cell. Its minimum is found by L-BFGS on
the gradient through the whole light cone; scales that the map does not constrain go to
zero, which is why the transfer function of the result falls below one where noise wins.

The curvature 1 + s(k) of this function differs by orders of magnitude between modes
that the map sees (those across a line of sight, on large scales) and those it does not.
The search therefore runs over u with m(k) = u(k) / sqrt(1 + s(k)); s, the diagonal of
J^T W J in Fourier space, is estimated from a few random maps z of unit variance,
s(k) = mean |DFT[J^T W^(1/2) z]|^2 / cells, averaged over the symmetries of the box.
"""

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pandas as pd
from scipy.fft import irfftn, rfftn

from ..compile import compile as _compile
from ..grad import value_and_grad, vjp

__all__ = ["Reconstruction", "reconstruct"]


@dataclass(frozen=True)
class Reconstruction:
    """What `reconstruct` returns.

    Attributes
    ----------
    modes : array
        The most probable white noise, shaped like the box, float64.
    kappa : array, (n_sources, ny, nx)
        The map of these modes.
    history : DataFrame
        One row per evaluation: chi2 (of the unmasked pixels), prior (sum of m^2),
        objective (half their sum).
    pixels : int
        Number of unmasked pixels: chi2 of the truth is close to it.
    converged : bool
        Whether the search stopped by its own criterion.
    message : str
        Why it stopped.
    """

    modes: np.ndarray
    kappa: np.ndarray
    history: pd.DataFrame
    pixels: int
    converged: bool
    message: str


def _weights(observed, sigma, mask):
    """1 / sigma where observed, zero where masked."""
    sigma = np.broadcast_to(np.asarray(sigma, dtype=np.float64), observed.shape)
    keep = np.ones(observed.shape, dtype=bool)
    if mask is not None:
        mask = np.asarray(mask)
        try:
            keep = np.broadcast_to(mask != 0, observed.shape)
        except ValueError:
            raise ValueError(
                f"mask has shape {mask.shape}, the map {observed.shape}; they must"
                " broadcast"
            ) from None
    if not keep.any():
        raise ValueError("the mask leaves no pixel; nothing can be inferred from it")
    if not np.isfinite(observed[keep]).all():
        raise ValueError(
            "the map has values that are not finite outside the mask; mask them (0)"
        )
    if not (np.isfinite(sigma[keep]).all() and (sigma[keep] > 0).all()):
        raise ValueError("sigma must be positive and finite in every unmasked pixel")
    return np.where(keep, 1.0 / np.where(keep, sigma, 1.0), 0.0), keep


def _symmetrised(power, n_last, box):
    """Mean of a half spectrum over sign changes and exchanges of equal axes."""
    shape = (*power.shape[:2], n_last)
    full = np.empty(shape)
    half = power.shape[2]
    full[..., :half] = power
    back = -np.arange(half, n_last) % n_last
    i, j = (-np.arange(n) % n for n in shape[:2])
    full[..., half:] = power[i][:, j][..., back]
    for axis in range(3):
        flip = -np.arange(shape[axis]) % shape[axis]
        full = 0.5 * (full + np.take(full, flip, axis))
    sides = [(n, side) for n, side in zip(shape, box, strict=True)]
    equal = [
        p
        for p in permutations(range(3))
        if all(sides[p[d]] == sides[d] for d in range(3))
    ]
    return sum(full.transpose(p) for p in equal)[..., :half] / len(equal)


class _Scaled:
    """The change of variables m(k) = u(k) / sqrt(1 + s(k))."""

    def __init__(self, curvature, shape):
        self.shape = shape
        self.factor = 1.0 / np.sqrt(1.0 + curvature)

    def modes(self, flat):
        """m from u; also the gradient in u from that in m (the map is symmetric)."""
        return self._times(flat.reshape(self.shape), self.factor)

    def start(self, modes):
        """u from m."""
        return self._times(modes, 1.0 / self.factor).ravel()

    def _times(self, field, factor):
        return irfftn(factor * rfftn(field), self.shape)


def _curvature(cone, cosmology, weights, modes, probes, rng):
    """s(k) on the half spectrum, from `probes` random maps."""

    def back(modes, c, z):
        return vjp(lambda m: cone(m, c), modes)[1](z)[0]

    pull, total = _compile(back), 0.0
    for _ in range(probes):
        z = rng.standard_normal(weights.shape) * weights
        g = pull(modes, cosmology, z.astype(cone.setup.real))
        total = total + np.abs(rfftn(np.asarray(g, dtype=np.float64))) ** 2
    s = _symmetrised(total / (probes * modes.size), modes.shape[2], cone.setup.box)
    return np.asarray(s)


def reconstruct(
    observed, sigma, cone, cosmology, mask=None, start=None, iterations=100,
    tolerance=1e-6, memory=10, probes=4, rng=0, callback=None,
):  # fmt: skip
    """Most probable initial conditions of a noisy, masked convergence map.

    Parameters
    ----------
    observed : (n_sources, ny, nx) or (ny, nx) array
        Convergence, as `cone` makes it (mean removed).
    sigma : float or array
        Standard deviation of the noise per pixel; broadcasts with the map.
    cone : Lightcone
        The forward model: box, resolution, sources, field.
    cosmology : Cosmology
        Held fixed.
    mask : array, optional
        0 where a pixel was not observed.
    start : array, optional
        White noise to start from; zeros by default.
    iterations : int
        Largest number of L-BFGS iterations.
    tolerance : float
        Relative decrease of the objective below which the search stops.
    memory : int
        Number of corrections L-BFGS keeps (two boxes each).
    probes : int
        Random maps from which the scaling of the search is estimated; 0: none.
    rng : seed or Generator
        For these maps.
    callback : callable, optional
        Called as ``callback(evaluation, chi2, prior)``.

    Returns
    -------
    Reconstruction

    Raises
    ------
    ValueError
        If shapes differ, everything is masked, or noise is not positive.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> c = gv.cosmology.Cosmology()
    >>> cone = gv.lensing.Lightcone(box=64.0, shape=(8,) * 3, steps=3, sources=[0.3],
    ...     field_of_view=2.0, map_shape=(8, 8), mesh_factor=1, integrator="fastpm")
    >>> kappa = cone(gv.nbody.white_noise((8,) * 3, rng=1), c)
    >>> found = reconstruct(kappa, 1e-3, cone, c, iterations=5)
    >>> bool(found.history.objective.iloc[-1] < found.history.objective.iloc[0])
    True
    """
    from scipy.optimize import minimize

    observed = np.asarray(observed, dtype=np.float64)
    if observed.ndim == 2:
        observed = observed[None]
    expected = (len(cone.sources), *cone.map_shape)
    if observed.shape != expected:
        raise ValueError(
            f"the map has shape {observed.shape}, the cone makes {expected}"
        )
    weights, keep = _weights(observed, sigma, mask)
    data = np.where(keep, observed, 0.0)
    shape = tuple(cone.setup.lattice)
    first = np.zeros(shape) if start is None else np.asarray(start, dtype=np.float64)
    if first.shape != shape:
        raise ValueError(f"start has shape {first.shape}, the cone's box is {shape}")

    def objective(modes, c, data, weights):
        kappa = cone(modes, c)
        chi2 = (((kappa - data) * weights) ** 2).sum()
        prior = (modes * modes).sum()
        return 0.5 * (chi2 + prior), (chi2, prior, kappa)

    curvature = 0.0 * rfftn(first).real
    if probes:
        rng = np.random.default_rng(rng)
        curvature = _curvature(cone, cosmology, weights, first, int(probes), rng)
    scaled = _Scaled(curvature, shape)
    step = _compile(value_and_grad(objective, has_aux=True))
    rows, last = [], {}

    def evaluate(flat):
        modes = scaled.modes(flat)
        (value, (chi2, prior, kappa)), g = step(modes, cosmology, data, weights)
        rows.append((float(chi2), float(prior), float(value)))
        last["kappa"], last["flat"] = kappa, flat.copy()
        if callback is not None:
            callback(len(rows), *rows[-1][:2])
        g = scaled.modes(np.asarray(g, dtype=np.float64))
        return float(value), g.ravel()

    found = minimize(
        evaluate, scaled.start(first), jac=True, method="L-BFGS-B",
        options={
            "maxiter": int(iterations), "maxcor": int(memory), "ftol": float(tolerance),
            "gtol": 0.0, "maxfun": 4 * int(iterations) + 10,
        },
    )  # fmt: skip
    modes = scaled.modes(found.x)
    kappa = last["kappa"]
    if not np.array_equal(found.x, last["flat"]):
        kappa = cone(modes, cosmology)
    history = pd.DataFrame(rows, columns=["chi2", "prior", "objective"])
    history.index.name = "evaluation"
    return Reconstruction(
        modes, np.asarray(kappa), history, int(keep.sum()), bool(found.success),
        str(found.message),
    )  # fmt: skip
