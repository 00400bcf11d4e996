"""Additions to the model that stay exact: host step, dust, common systematics."""

import numpy as np

from ..graph import emit

NAMES = ("gamma", "R_B", "tau")


def vector(x, n, name):
    """A finite (n,) array."""
    x = np.ascontiguousarray(x, dtype=float)
    if x.shape != (n,) or not np.isfinite(x).all():
        raise ValueError(f"{name} must be {n} finite numbers, got shape {x.shape}")
    return x


def columns(U, n):
    """A finite (n, k) array, or None."""
    if U is None:
        return None
    U = np.ascontiguousarray(U, dtype=float)
    if U.ndim != 2 or len(U) != n or not np.isfinite(U).all():
        raise ValueError(
            f"systematics must be finite, of shape ({n}, k), got {U.shape}"
        )
    return U


def plain(survey, who):
    """Refuse what `who` does not know of."""
    parts = {"selection": survey.selection, "step": survey.step}
    parts["systematics"] = survey.systematics
    has = [name for name, value in parts.items() if value is not None]
    if has:
        raise ValueError(
            f"{who} knows no {', no '.join(has)}, which the survey has: leave it out,"
            " or use log_likelihood, which knows all of them"
        )


def needed(g, name, why):
    """A global that something asks for."""
    if name not in g:
        raise ValueError(f"globals lack {name}, which {why} needs")
    return g[name]


def inverse(cov, S):
    """Entries 00 01 02 11 12 22, each (n,), of (cov + S)^-1 with S (n, 9)."""
    place = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    a, b, c, d, e, f = (cov[i, k] + S[:, 3 * i + k] for i, k in place)
    P = [d * f - e * e, c * e - b * f, b * e - c * d]
    P += [a * f - c * c, b * c - a * e, a * d - b * b]
    over = 1.0 / (a * P[0] + b * P[1] + c * P[2])
    return [p * over for p in P]


def woodbury(cov, S, a0, U):
    """What U U^T on the mB of all objects adds to the log-likelihood.

    With Sig the block-diagonal covariance and V the columns of U on mB, |Sig + V V^T| =
    |Sig| |C| and r^T (Sig + V V^T)^-1 r = r^T Sig^-1 r - v^T C^-1 v, for
    C = 1 + V^T Sig^-1 V and v = V^T Sig^-1 r.
    """
    P00 = inverse(cov, S)[0]
    C = np.eye(U.shape[1]) + U.T @ (P00[:, None] * U)
    v = U.T @ a0
    L = np.linalg.cholesky(C)
    logdet = 2.0 * np.log(np.diagonal(L)).sum()
    return 0.5 * (v @ np.linalg.solve(C, v)) - 0.5 * logdet


def dust(g, mean, cov, shift, d, S):
    """What exponential reddening adds to the log-likelihood.

    c_s = c_int + E, m_s gains R_B E, E ~ Exp(mean tau): with direction g = (R_B, 0, 1),
    a = g^T P g and b = g^T P r - 1/tau the factor is
    sqrt(2 pi / a)/tau exp(b^2/2a) Phi(b/sqrt a). For b < 0 the last two together are
    erfcx(-b/sqrt(2a))/2, which neither over- nor underflows as tau goes to 0.
    """
    from ..ops import log_ndtr

    R, tau = needed(g, "R_B", "dust"), needed(g, "tau", "dust")
    P = inverse(cov, S)
    r = [d[:, 0] - mean[0] - shift, d[:, 1] - mean[1], d[:, 2] - mean[2]]
    u = [R * P[0] + P[2], R * P[1] + P[4], R * P[2] + P[5]]
    a = R * u[0] + u[2]
    b = u[0] * r[0] + u[1] * r[1] + u[2] * r[2] - 1.0 / tau
    t = b / np.sqrt(a)
    up, down = np.where(t > 0.0, t, 0.0), np.where(t > 0.0, 0.0, t)
    tail = np.where(
        t > 0.0,
        log_ndtr(up) + 0.5 * up * up,
        np.log(0.5 * emit("erfcx", (-down / np.sqrt(2.0),))),
    )
    each = tail + 0.5 * np.log(2.0 * np.pi / a) - np.log(tau)
    return each.sum()
