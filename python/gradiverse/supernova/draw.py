"""Drawing surveys from the hierarchical model.

Every object has random numbers of its own: entries 6 s .. 6 s + 5 of the normal
numbers of the key belong to object s, so its draw does not depend on how many objects
or threads there are.
"""

import numpy as np

from .. import random
from ..graph import emit, is_traced
from . import _check
from .survey import Survey

ROUNDS = 1000  # of redrawing what selection refuses
COMMON = 2**31 - 1  # stream of what objects have in common


def key_of(rng):
    """A key from an int, a key, a NumPy generator or a seed sequence."""
    if is_traced(rng):
        return rng
    if isinstance(rng, np.random.Generator):
        return random.key(int(rng.integers(2**63)))
    if isinstance(rng, np.random.SeedSequence):
        return random.key(int(rng.generate_state(1, np.uint64)[0]))
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool):
        return random.key(int(rng))
    key = np.asarray(rng)
    if key.dtype == np.int64 and key.shape == (2,):
        return key
    raise TypeError(
        f"rng must be an int, a NumPy Generator or a key of gv.random, not {rng!r}"
    )


def draws(survey, g, key, mu):
    """data, latent (N, 3) for moduli mu; traced or not."""
    e = random.normal(key, (len(survey), 6))
    nu = np.stack([1.0 * g["M0"], 1.0 * g["xb"], 1.0 * g["cb"]])
    sd = np.stack([1.0 * g["sres"], 1.0 * g["Rx"], 1.0 * g["Rc"]])
    tripp = np.stack([1.0 * g["alpha"], 1.0 * g["beta"]])
    return emit("sn_draw", (nu, sd, tripp, mu, survey.factor(), e))


def simulate(
    globals,
    z,
    covariance,
    rng,
    return_latent=False,
    z_helio=None,
    selection=None,
    H0=70.0,
    step=None,
    systematics=None,
):
    """Draw data of a survey.

    Parameters
    ----------
    globals : dict
        Om, OL, w, M0, sres, alpha, beta, xb, Rx, cb, Rc. May be traced: the data are
        then differentiable in them, for fixed random numbers.
    z : (N,) array
    covariance : (N, 3, 3) array
        Measurement covariances of (mB, x1, c), positive semi-definite.
    rng : int, NumPy Generator or key
    return_latent : bool
        Return (M, x, c) of each object too.
    z_helio : (N,) array, optional
    selection : dict, optional
        h, lim, sd of P(selected) = Phi((lim - h.d)/sd): each object is drawn anew until
        it is selected, so that N is fixed and the data follow p(d_s | selected).
    H0 : float
        km/s/Mpc.
    step, systematics
        See `Survey`; a step takes the global gamma.

    Returns
    -------
    data : (N, 3) array
        mB, x1, c.
    latent : (N, 3) array
        With `return_latent`.

    Raises
    ------
    ValueError
        Covariances that are not positive semi-definite (their rows are named), or a
        cosmology with E^2 <= 0 or no distance before the largest redshift.

    Examples
    --------
    >>> import gradiverse as gv
    >>> truth, z, S = gv.supernova.fiducial(500)
    >>> data, latent = gv.supernova.simulate(truth, z, S, 0, return_latent=True)
    >>> data.shape, bool(abs(latent[:, 0].mean() + 19.3) < 0.02)
    ((500, 3), True)
    """
    survey = Survey(z, covariance, z_helio, selection, H0, step, systematics)
    return draw(survey, globals, rng, return_latent)


def draw(survey, globals, rng, return_latent=False):
    """`simulate` for a survey that exists already."""
    g = _check.parameters(globals, ("gamma",))
    key = key_of(rng)
    mu, valid = survey._shift(g)
    U = survey.systematics
    if U is not None:
        mu = mu + U @ random.normal(random.fold_in(key, COMMON), (U.shape[1],))
    if not is_traced(valid) and not valid:
        raise ValueError(
            f"Om = {float(g['Om']):g}, OL = {float(g['OL']):g}, w = {float(g['w']):g}:"
            f" E^2 <= 0 or no distance before z = {survey.z_max:g}"
        )
    data, latent = draws(survey, g, key, mu)
    if survey.selection is not None:
        data, latent = _until_selected(survey, g, key, mu, data, latent)
    return (data, latent) if return_latent else data


def _until_selected(survey, g, key, mu, data, latent):
    """Replace what is refused, until nothing is."""
    from scipy.special import ndtr

    if is_traced(data):
        raise TypeError("simulate with selection takes numbers, not traced values")
    h, lim, sd = survey.selection
    pick = random.fold_in(key, 0)
    open_ = ~_keeps(random.fold_in(pick, 0), data, h, lim, sd, ndtr)
    for k in range(1, ROUNDS):
        if not open_.any():
            return data, latent
        again = draws(survey, g, random.fold_in(key, k), mu)
        took = open_ & _keeps(random.fold_in(pick, k), again[0], h, lim, sd, ndtr)
        data[took], latent[took] = again[0][took], again[1][took]
        open_ &= ~took
    raise ValueError(
        f"{int(open_.sum())} of {len(survey)} objects are refused {ROUNDS} times; the"
        f" selection limit {lim:g} leaves (nearly) none of them"
    )


def _keeps(key, data, h, lim, sd, ndtr):
    return random.uniform(key, (len(data),)) < ndtr((lim - data @ h) / sd)
