"""Losses of neural ratio estimation: functions of the network's log ratios.

h estimates ln r = ln p(x|θ)/p(x). A row is one x; "joint" pairs it with the θ that made
it, "independent" with a θ that did not. Every loss is the mean over rows, summed over
marginals (trailing axes). `nre_a`, `nre_c` and `bnre` are minimised by h = ln r;
`nre_b` by ln r + c(x) with any c, so it gives shapes of posteriors, no evidence.
Works on arrays and on traced values.
"""

import math

import numpy as np

from .. import ops

__all__ = ["bnre", "nre_a", "nre_b", "nre_c"]


def _real(h, loss, name):
    shape = getattr(h, "shape", None)
    if shape is None:
        h = np.asarray(h, dtype=float)
        shape = h.shape
    if len(shape) < 1 or shape[0] < 1:
        raise ValueError(
            f"losses.{loss}: {name} has shape {tuple(shape)}; its first axis must be"
            " the rows, at least one"
        )
    return h


def _pair(joint, independent, loss):
    joint = _real(joint, loss, "h_joint")
    independent = _real(independent, loss, "h_independent")
    if tuple(joint.shape[1:]) != tuple(independent.shape[1:]):
        raise ValueError(
            f"losses.{loss}: h_joint is {tuple(joint.shape)} and h_independent"
            f" {tuple(independent.shape)}; they may differ in the number of rows only"
        )
    return joint, independent


def _row_mean(h):
    return ops.sum(ops.mean(h, axis=0))


def nre_a(h_joint, h_independent):
    r"""Binary cross entropy of joint against independent pairs (NRE-A).

    .. math:: L = \tfrac12 E_J \ln(1 + e^{-h}) + \tfrac12 E_P \ln(1 + e^h)

    Parameters
    ----------
    h_joint : (n, ...) array
        Log ratios of joint pairs; trailing axes are marginals.
    h_independent : (m, ...) array
        Of independent pairs. Each class has weight one half whatever n and m.

    Returns
    -------
    scalar
        ln 2 per marginal at h = 0.

    Raises
    ------
    ValueError
        If there are no rows or the marginals differ.

    Notes
    -----
    Hermans, Begy & Louppe (2020), arXiv:1903.04057.

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse.inference import losses
    >>> round(float(losses.nre_a(np.zeros(4), np.zeros(4))), 6)
    0.693147
    """
    joint, independent = _pair(h_joint, h_independent, "nre_a")
    positive = _row_mean(ops.softplus(-joint))
    return 0.5 * (positive + _row_mean(ops.softplus(independent)))


def bnre(h_joint, h_independent, strength=100.0):
    r"""NRE-A with a penalty that keeps the classifier balanced (BNRE).

    .. math:: L = L_A + \lambda (\overline{s(h)}_J + \overline{s(h)}_P - 1)^2

    with the batch means of the sigmoid s inside the square, one square per marginal.

    Parameters
    ----------
    h_joint, h_independent : (n, ...) and (m, ...) array
        As for `nre_a`.
    strength : float
        λ, not negative.

    Returns
    -------
    scalar

    Raises
    ------
    ValueError
        For a negative strength, no rows, or marginals that differ.

    Notes
    -----
    Delaunoy et al. (2022), arXiv:2208.13624. The penalty vanishes at h = ln r; away
    from it the posterior tends to be too wide rather than too narrow.

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse.inference import losses
    >>> round(float(losses.bnre(np.zeros(4), np.zeros(4))), 6)
    0.693147
    """
    if not strength >= 0:
        raise ValueError(f"losses.bnre: strength is {strength}, must be >= 0")
    joint, independent = _pair(h_joint, h_independent, "bnre")
    balance = (
        ops.mean(ops.sigmoid(joint), axis=0)
        + ops.mean(ops.sigmoid(independent), axis=0)
        - 1.0
    )
    return nre_a(joint, independent) + strength * ops.sum(balance * balance)


def nre_b(h):
    r"""Multi-class cross entropy: which of K parameters made x (NRE-B).

    .. math:: L = -E[h_0 - \ln \textstyle\sum_{k=0}^{K-1} e^{h_k}]

    Parameters
    ----------
    h : (n, K, ...) array
        Log ratios of K atoms a row, atom 0 the joint one; trailing axes are marginals.

    Returns
    -------
    scalar
        ln K per marginal at h = 0.

    Raises
    ------
    ValueError
        For fewer than two atoms or no rows.

    Notes
    -----
    Durkan, Murray & Papamakarios (2020), arXiv:2002.03712. Any function of x may be
    added to h: no normalised density follows from it.

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse.inference import losses
    >>> round(float(losses.nre_b(np.zeros((4, 5)))), 6)
    1.609438
    """
    h = _real(h, "nre_b", "h")
    if len(h.shape) < 2 or h.shape[1] < 2:
        raise ValueError(
            f"losses.nre_b: h has shape {tuple(h.shape)}; give (rows, atoms, ...) with"
            " at least two atoms, atom 0 the joint one"
        )
    return -_row_mean(h[:, 0] - ops.logsumexp(h, axis=1))


def nre_c(h_joint, h_independent, gamma=1.0):
    r"""Multi-class cross entropy with an "all independent" class (NRE-C).

    With odds γ of the K joint classes against the independent one and
    :math:`Q = \ln(K + \gamma \sum_k e^{h_k})`,

    .. math:: L = -\frac{1}{1+\gamma} E_P[\ln K - Q]
              - \frac{\gamma}{1+\gamma} E_J[\ln\gamma + h_1 - Q].

    Parameters
    ----------
    h_joint : (n, K, ...) array
        Atom 0 is joint, the other K - 1 independent of x; trailing axes are marginals.
    h_independent : (m, K, ...) array
        K atoms, all independent of x, drawn separately. With one-dimensional arrays
        K = 1.
    gamma : float
        Odds, positive. K = γ = 1 is `nre_a`; γ to infinity is `nre_b`.

    Returns
    -------
    scalar
        ln 2 + ½ ln K per marginal at h = 0, γ = 1.

    Raises
    ------
    ValueError
        If gamma is not positive and finite, or shapes differ.

    Notes
    -----
    Miller, Weniger & Forré (2022), arXiv:2210.06170.

    Examples
    --------
    >>> import numpy as np
    >>> from gradiverse.inference import losses
    >>> h = np.zeros((4, 5))
    >>> round(float(losses.nre_c(h, h)), 6)
    1.497866
    """
    if not (0 < gamma < math.inf):
        raise ValueError(f"losses.nre_c: gamma is {gamma}, must be positive and finite")
    joint, independent = _pair(h_joint, h_independent, "nre_c")
    if len(joint.shape) == 1:
        joint, independent = joint[:, None], independent[:, None]
    atoms = joint.shape[1]
    if atoms < 1:
        raise ValueError("losses.nre_c: no atoms; the second axis must hold at least 1")
    log_k, log_gamma = math.log(atoms), math.log(gamma)

    def q(h):
        return ops.logaddexp(log_k, log_gamma + ops.logsumexp(h, axis=1))

    independent_class = _row_mean(q(independent) - log_k)
    joint_class = _row_mean(q(joint) - joint[:, 0] - log_gamma)
    return (independent_class + gamma * joint_class) / (1.0 + gamma)
