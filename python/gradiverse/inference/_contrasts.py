"""Which parameters each row of a batch is paired with.

Rows of a batch are in random order, so that the θ's of the rows that follow are draws
without replacement of the θ's of other rows: row i takes those of rows i + 1, i + 2,
... modulo the batch. The table has a column for every shift in use, and costs O(B K).
"""

import numpy as np

from . import losses

__all__ = ["LOSSES", "Contrast", "table"]

LOSSES = ("nre-a", "nre-b", "nre-c", "bnre")


def table(rows, shifts):
    """Row numbers (rows, len(shifts)) of the θ's that each row of x is paired with."""
    return (np.arange(rows)[:, None] + np.asarray(shifts)) % rows


class Contrast:
    """A loss with the pairs it needs.

    Parameters
    ----------
    loss : "nre-a", "nre-b", "nre-c" or "bnre"
    atoms : int
        K of NRE-B and NRE-C; fewer in a batch that has not enough rows.
    gamma, strength : float
        Of NRE-C and BNRE.
    """

    def __init__(self, loss, atoms, gamma, strength):
        if loss not in LOSSES:
            raise ValueError(f"loss={loss!r}; choose one of {', '.join(LOSSES)}")
        whole = isinstance(atoms, (int, np.integer)) and not isinstance(atoms, bool)
        if not whole or atoms < (2 if loss == "nre-b" else 1):
            raise ValueError(
                f"atoms={atoms!r}; give an int >= {2 if loss == 'nre-b' else 1}"
            )
        self.loss, self.atoms = loss, int(atoms)
        self.gamma, self.strength = float(gamma), float(strength)

    def with_atoms(self, atoms):
        """The same loss with another number of atoms."""
        return Contrast(self.loss, atoms, self.gamma, self.strength)

    def plan(self, rows):
        """Shifts of the table, and where in it the joint and independent atoms are.

        NRE-C draws its two sets separately: one from the rows after, one from the rows
        before; where the batch is too small for that they overlap.
        """
        if rows < 2:
            raise ValueError("a batch of one row has no contrasts; use larger batches")
        if self.loss in ("nre-a", "bnre"):
            return [0, 1], [0], [1]
        k = min(self.atoms, rows)
        if self.loss == "nre-b":
            return list(range(k)), list(range(k)), []
        k = min(k, rows - 1)
        after = list(range(k))
        before = [rows - s for s in range(1, k + 1)]
        shifts = sorted({*after, *before})
        at = {s: c for c, s in enumerate(shifts)}
        return shifts, [at[s] for s in after], [at[s] for s in before]

    def __call__(self, h, joint, independent):
        """The loss of h (rows, shifts, marginals)."""
        if self.loss == "nre-b":
            return losses.nre_b(h)
        if self.loss == "nre-c":
            pair = _columns(h, joint), _columns(h, independent)
            return losses.nre_c(*pair, self.gamma)
        if self.loss == "nre-a":
            return losses.nre_a(h[:, 0], h[:, 1])
        return losses.bnre(h[:, 0], h[:, 1], self.strength)


def _columns(h, at):
    """Columns of h; consecutive ones as a slice."""
    if at == list(range(at[0], at[0] + len(at))):
        return h[:, at[0] : at[0] + len(at)]
    back = list(reversed(at))
    if back == list(range(back[0], back[0] + len(at))):
        return h[:, back[0] : back[0] + len(at)]
    return h[:, np.array(at)]
