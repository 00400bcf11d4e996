"""Initial conditions from a convergence map: the most probable white noise.

The posterior of the white noise m given a map d with independent pixel noise sigma is

    -2 ln P(m | d) = sum_pix mask ((kappa(m) - d) / sigma)^2 + sum_cells m^2 + constant,

because m is normal with unit variance in every cell. Its minimum is found by L-BFGS on
the gradient through the whole light cone. The prior is white in m, so no further
preconditioning is needed; scales that the map does not constrain go to zero, which is
why the transfer function of the result falls below one where noise wins.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..compile import compile as _compile
from ..grad import value_and_grad

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


def reconstruct(
    observed, sigma, cone, cosmology, mask=None, start=None, iterations=100,
    tolerance=1e-6, memory=10, callback=None,
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
    expected = (cone.n_sources, *cone.map_shape)
    if observed.shape != expected:
        raise ValueError(
            f"the map has shape {observed.shape}, the cone makes {expected}"
        )
    weights, keep = _weights(observed, sigma, mask)
    data = np.where(keep, observed, 0.0)
    shape = tuple(cone.shape)
    first = np.zeros(shape) if start is None else np.asarray(start, dtype=np.float64)
    if first.shape != shape:
        raise ValueError(f"start has shape {first.shape}, the cone's box is {shape}")

    def objective(modes, c, data, weights):
        kappa = cone(modes, c)
        chi2 = (((kappa - data) * weights) ** 2).sum()
        prior = (modes * modes).sum()
        return 0.5 * (chi2 + prior), (chi2, prior, kappa)

    step = _compile(value_and_grad(objective, has_aux=True))
    rows, last = [], {}

    def evaluate(flat):
        (value, (chi2, prior, kappa)), g = step(
            flat.reshape(shape), cosmology, data, weights
        )
        rows.append((float(chi2), float(prior), float(value)))
        last["kappa"], last["flat"] = kappa, flat.copy()
        if callback is not None:
            callback(len(rows), *rows[-1][:2])
        return float(value), np.asarray(g, dtype=np.float64).ravel()

    found = minimize(
        evaluate, first.ravel(), jac=True, method="L-BFGS-B",
        options={
            "maxiter": int(iterations), "maxcor": int(memory), "ftol": float(tolerance),
            "gtol": 0.0, "maxfun": 4 * int(iterations) + 10,
        },
    )  # fmt: skip
    modes = found.x.reshape(shape)
    kappa = last["kappa"]
    if not np.array_equal(found.x, last["flat"]):
        kappa = cone(modes, cosmology)
    history = pd.DataFrame(rows, columns=["chi2", "prior", "objective"])
    history.index.name = "evaluation"
    return Reconstruction(
        modes, np.asarray(kappa), history, int(keep.sum()), bool(found.success),
        str(found.message),
    )  # fmt: skip
