"""The Fisher matrix of a survey's globals.

With P = Sig^-1, m_a and T_a the derivatives of mean and covariance of an object's data,

    F_ab = Sum_s [m_a^T P m_b + 1/2 tr(P T_a P T_b)].

Systematics join the objects: Sig + V V^T has the inverse P - W C^-1 W^T with W = P V
and C = 1 + V^T P V. Selection on y = h.d + noise below lim: given the standardised y
the residual is k y plus a normal that does not depend on it, k = Sig h/sd(y), and y is
a normal cut at t; scores are quadratic in the residual.
"""

import numpy as np
from scipy.special import log_ndtr

from ..grad import jvp
from .distance import modulus
from .survey import model_names, population


def slopes(survey, g, names, model):
    """d mu / d parameter for the cosmological ones, by tangents of the table."""
    out = {}
    point = tuple(np.float64(g[k]) for k in ("Om", "OL", "w"))
    for name in names:
        if name not in ("Om", "OL", "w"):
            continue
        move = [float(k == name) for k in ("Om", "OL", "w")]
        if name == "Om" and model != "curved":
            move[1] = -1.0
        _, out[name] = jvp(
            lambda Om, OL, w: modulus(
                Om, OL, w, survey.z, survey.constant, survey.z_max
            )[0],
            point,
            tuple(np.float64(m) for m in move),
        )
    return out


def population_slopes(g):
    """Derivatives of the population's mean (3,) and covariance (3, 3) by parameter."""
    a, b = g["alpha"], g["beta"]
    A = np.array([[1.0, -a, b], [0, 1, 0], [0, 0, 1]])
    nu = np.array([g["M0"], g["xb"], g["cb"]])
    D = np.diag([g["sres"] ** 2, g["Rx"] ** 2, g["Rc"] ** 2])
    zero = np.zeros((3, 3))
    out = {}
    for i, (mean, sd) in enumerate((("M0", "sres"), ("xb", "Rx"), ("cb", "Rc"))):
        unit = np.eye(3)[i]
        out[mean] = (A @ unit, zero)
        out[sd] = (np.zeros(3), 2 * g[sd] * np.outer(A @ unit, A @ unit))
    for name, k, sign in (("alpha", 1, -1.0), ("beta", 2, 1.0)):
        dA = np.zeros((3, 3))
        dA[0, k] = sign
        half = dA @ D @ A.T
        out[name] = (dA @ nu, half + half.T)
    return out


def matrix(survey, g, model):
    """(p, p), of `model_names(model)` and of gamma where the survey has a step."""
    names = model_names(model)
    shift, valid = survey._shift(g)
    if not valid:
        raise ValueError(
            f"Om = {float(g['Om']):g}, OL = {float(g['OL']):g}, w = {float(g['w']):g}:"
            f" no distance before z = {survey.z_max:g}, and no Fisher matrix"
        )
    mean, cov = population(g)
    moves, turns = _derivatives(survey, g, names, model)
    P = np.linalg.inv(cov + survey.covariance)
    if survey.selection is not None:
        return _selected(survey, mean, cov, shift, P, moves, turns)
    solved = np.einsum("nij,anj->ani", P, moves)
    bent = P @ turns[:, None]
    F = np.einsum("ani,bni->ab", solved, moves)
    F += 0.5 * np.einsum("anij,bnji->ab", bent, bent)
    if survey.systematics is not None:
        F += _joined(survey.systematics, P, solved, bent, turns)
    return 0.5 * (F + F.T)


def _derivatives(survey, g, names, model):
    """Of means (p, N, 3) and covariances (p, 3, 3)."""
    cosmology, rest = slopes(survey, g, names, model), population_slopes(g)
    if survey.step is not None:
        names, cosmology = (*names, "gamma"), {**cosmology, "gamma": survey.step}
    moves = np.zeros((len(names), len(survey), 3))
    turns = np.zeros((len(names), 3, 3))
    for i, name in enumerate(names):
        if name in cosmology:
            moves[i, :, 0] = cosmology[name]
        else:
            moves[i], turns[i] = rest[name]
    return moves, turns


def _joined(U, P, solved, bent, turns):
    """What systematics add: (p, p)."""
    C = np.linalg.inv(np.eye(U.shape[1]) + U.T @ (P[:, 0, 0, None] * U))
    v = solved[:, :, 0] @ U
    W = P[:, :, 0, None] * U[:, None]
    own = np.einsum("nik,aij,njl->akl", W, turns, W, optimize=True)
    right = np.einsum("bnij,njl->bnil", bent, W)  # P T_b W
    left = np.einsum("nik,aij->anjk", W, turns)
    cross = np.einsum("anjk,bnjl,lk->ab", left, right, C, optimize=True)
    squares = np.einsum("kl,alm,mq,bqk->ab", C, own, C, own, optimize=True)
    return 0.5 * squares - 0.5 * (cross + cross.T) - v @ C @ v.T


def _cut_moments(t):
    """First four moments (4, N) of a standard normal below t."""
    over = np.exp(-0.5 * t * t - 0.5 * np.log(2 * np.pi) - log_ndtr(t))
    m1, m2 = -over, 1.0 - t * over
    return m1, m2, 2.0 * m1 - t**2 * over, 3.0 * m2 - t**3 * over


def _selected(survey, mean, cov, shift, P, moves, turns):
    """The covariance of scores u.r + r^T M r/2 among selected data: (p, p)."""
    h, lim, sd = survey.selection
    full = cov + survey.covariance
    along = full @ h
    width = np.sqrt(sd * sd + along @ h)
    k = along / width[:, None]
    left = full - k[:, :, None] * k[:, None]  # covariance of r given y
    m1, m2, m3, m4 = _cut_moments((lim - h @ mean - h[0] * shift) / width)
    u = np.einsum("nij,anj->ani", P, moves)
    M = P @ turns[:, None] @ P
    q = np.einsum("anij,nj->ani", M, k)
    a, b = np.einsum("ani,ni->an", u, k), 0.5 * np.einsum("ani,ni->an", q, k)
    mixed = (a * (m3 - m1 * m2)) @ b.T
    F = (a * (m2 - m1 * m1)) @ a.T + mixed + mixed.T + (b * (m4 - m2 * m2)) @ b.T

    def inner(x, y, weight):
        return np.einsum("ani,nij,bnj,n->ab", x, left, y, weight, optimize=True)

    mixed = inner(u, q, m1)
    F += inner(u, u, np.ones_like(m1)) + mixed + mixed.T + inner(q, q, m2)
    bent = M @ left
    F += 0.5 * np.einsum("anij,bnji->ab", bent, bent)
    return 0.5 * (F + F.T)
