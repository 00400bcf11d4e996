"""Kernels as objects: hyper-parameters, sums, products.

A kernel is immutable. Its positive hyper-parameters, in order of appearance in the
expression, form ``theta`` = their natural logarithms; `Kernel.with_theta` gives the
kernel at other values, which may be traced, so that anything computed from a kernel is
differentiable with `gradiverse.grad`.
"""

import numpy as np

from ..var import Var
from ._check import points, positive

__all__ = ["Constant", "Kernel", "Product", "Sum"]

#: ranges in optimisations unless the kernel says otherwise: variances, the others
VARIANCE_BOUNDS = (1e-16, 1e16)
DEFAULT_BOUNDS = (1e-8, 1e8)


class Kernel:
    """Base of all kernels.

    ``k(X)`` is the covariance matrix of the values at the points X, (n,) or (n, d);
    ``k(X, X2)`` the cross covariance, without any `White` part. ``k1 + k2`` and
    ``k1 * k2`` are kernels; numbers stand for constants.

    Parameters common to the kernels with hyper-parameters
    ------------------------------------------------------
    fixed : tuple of str
        Names of hyper-parameters that keep their value: they do not enter theta.
    bounds : dict of str to (low, high)
        Ranges for optimisations; where not given (1e-16, 1e16) for variances and
        (1e-8, 1e8) for the others.
    """

    #: names of the positive hyper-parameters, in the order of the constructor
    names = ()
    #: stands alone: no sums and products
    whole = False

    def __init__(self, values=None, fixed=(), bounds=None):
        values = {} if values is None else values
        fixed = (fixed,) if isinstance(fixed, str) else tuple(fixed)
        bounds = {} if bounds is None else dict(bounds)
        for name in (*fixed, *bounds):
            if name not in self.names:
                raise ValueError(
                    f"{type(self).__name__} has no hyper-parameter {name!r}; it has "
                    f"{', '.join(self.names) or 'none'}"
                )
        for name, (low, high) in bounds.items():
            if not 0 < low < high:
                raise ValueError(
                    f"bounds of {name} must be 0 < low < high, got {(low, high)}"
                )
        self.values = {n: positive(v, n) for n, v in values.items()}
        self.fixed, self.limits = fixed, bounds

    # --- what a kernel defines ---------------------------------------------------
    def matrix(self, a, b, same):
        """Covariance of points a (n, d) and b (m, d); same: b stands for a itself."""
        raise NotImplementedError

    def diagonal(self, a, white):
        """Variances at a (n, d), the `White` part included where white is true."""
        raise NotImplementedError

    def children(self):
        """The kernels this one is composed of."""
        return ()

    def rebuilt(self, children, values):
        """This kernel with other children and values."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.values = values
        return other

    @property
    def at_points_only(self):
        """True where X must be plain numbers: a table is among the parts."""
        return any(c.at_points_only for c in self.children())

    # --- evaluation --------------------------------------------------------------
    def __call__(self, X, X2=None):
        """Covariance matrix (n, n) of X, or the cross covariance (n, m) of X and X2."""
        a = points(X)
        if X2 is None:
            return self.matrix(a, a, True)
        b = points(X2, "X2")
        if a.shape[1] != b.shape[1]:
            raise ValueError(
                f"X has {a.shape[1]} coordinates per point and X2 has {b.shape[1]}"
            )
        return self.matrix(a, b, False)

    def diag(self, X, white=True):
        """The diagonal of k(X), (n,); white=False leaves the `White` part out."""
        return self.diagonal(points(X), white)

    # --- hyper-parameters ----------------------------------------------------------
    def _free(self):
        """(kernel, name) of the hyper-parameters in theta, in order of appearance."""
        own = [(self, n) for n in self.names if n not in self.fixed]
        return own + [p for c in self.children() for p in c._free()]

    @property
    def n_hyper(self):
        """Number of entries of theta."""
        return sum(np.size(k.values[n]) for k, n in self._free())

    @property
    def labels(self):
        """A name for each entry of theta, e.g. ``'SquaredExponential.scale'``."""
        out = []
        for kernel, name in self._free():
            label = f"{type(kernel).__name__}.{name}"
            size = np.size(kernel.values[name])
            several = np.ndim(kernel.values[name]) > 0
            out += [f"{label}[{i}]" if several else label for i in range(size)]
        return out

    @property
    def theta(self):
        """Natural logarithms of the hyper-parameters, (n_hyper,) floats."""
        parts = [np.log(np.ravel(k.values[n])) for k, n in self._free()]
        return np.concatenate(parts) if parts else np.zeros(0)

    @property
    def bounds(self):
        """(n_hyper, 2) range of theta in optimisations."""
        rows = []
        for kernel, name in self._free():
            wide = VARIANCE_BOUNDS if name == "variance" else DEFAULT_BOUNDS
            limit = kernel.limits.get(name, wide)
            rows += [np.log(limit)] * np.size(kernel.values[name])
        return np.array(rows).reshape(-1, 2)

    def with_theta(self, theta):
        """The kernel at exp(theta), (n_hyper,); theta may be traced."""
        theta = theta if type(theta) is Var else np.asarray(theta, dtype=float)
        if theta.shape != (self.n_hyper,):
            raise ValueError(
                f"theta must have the shape ({self.n_hyper},) for "
                f"{', '.join(self.labels) or 'a kernel without hyper-parameters'}; "
                f"got {tuple(theta.shape)}"
            )
        if type(theta) is not Var and not np.isfinite(theta).all():
            raise ValueError(f"theta must be finite, got {theta}")
        return self._replaced(np.exp(theta), 0)[0]

    def _replaced(self, flat, at):
        values = dict(self.values)
        for name in self.names:
            if name in self.fixed:
                continue
            shape = np.shape(values[name])
            size = np.size(values[name])
            values[name] = flat[at : at + size] if shape else flat[at]
            at += size
        children = []
        for child in self.children():
            new, at = child._replaced(flat, at)
            children.append(new)
        return self.rebuilt(children, values), at

    def _scaling(self, at=0):
        """Entries of theta that scale the whole kernel together, or None.

        Adding log c to these multiplies the kernel by c.
        """
        free = [n for n in self.names if n not in self.fixed]
        return [at + free.index("variance")] if "variance" in free else None

    # --- algebra -------------------------------------------------------------------
    def __add__(self, other):
        return _combine(Sum, self, other)

    def __radd__(self, other):
        return _combine(Sum, other, self)

    def __mul__(self, other):
        return _combine(Product, self, other)

    def __rmul__(self, other):
        return _combine(Product, other, self)

    def __repr__(self):
        parts = [f"{n}={_short(v)}" for n, v in self.values.items()]
        return f"{type(self).__name__}({', '.join(parts)})"


def _short(value):
    return (
        repr(value)
        if type(value) is Var
        else np.format_float_positional(value, 6, fractional=False, trim="-")
        if np.ndim(value) == 0
        else np.array2string(value, precision=6)
    )


def _combine(kind, a, b):
    a, b = _as_kernel(a), _as_kernel(b)
    if a is None or b is None:
        return NotImplemented
    for k in (a, b):
        if k.whole:
            raise TypeError(
                f"a {type(k).__name__} kernel cannot be added or multiplied; compose "
                "its factors, and give noise to its method `normal`"
            )
    return kind(a, b)


def _as_kernel(x):
    if isinstance(x, Kernel):
        return x
    if isinstance(x, (int, float, np.floating, np.integer)):
        return Constant(x, fixed=("variance",))
    return None


class _Pair(Kernel):
    """A kernel of two others."""

    def __init__(self, first, second):
        super().__init__()
        self.first, self.second = first, second
        if not isinstance(first, Kernel) or not isinstance(second, Kernel):
            raise TypeError(f"{type(self).__name__} takes two kernels")

    def children(self):
        return self.first, self.second

    def rebuilt(self, children, values):
        return type(self)(*children)


class Sum(_Pair):
    """k1 + k2."""

    def _scaling(self, at=0):
        a = self.first._scaling(at)
        b = self.second._scaling(at + self.first.n_hyper)
        return None if a is None or b is None else a + b

    def matrix(self, a, b, same):
        return self.first.matrix(a, b, same) + self.second.matrix(a, b, same)

    def diagonal(self, a, white):
        return self.first.diagonal(a, white) + self.second.diagonal(a, white)

    def __repr__(self):
        return f"{self.first!r} + {self.second!r}"


class Product(_Pair):
    """k1 * k2, element by element."""

    def _scaling(self, at=0):
        a = self.first._scaling(at)
        return self.second._scaling(at + self.first.n_hyper) if a is None else a

    def matrix(self, a, b, same):
        return self.first.matrix(a, b, same) * self.second.matrix(a, b, same)

    def diagonal(self, a, white):
        return self.first.diagonal(a, white) * self.second.diagonal(a, white)

    def __repr__(self):
        parts = [f"({k!r})" if isinstance(k, Sum) else repr(k) for k in self.children()]
        return " * ".join(parts)


class Constant(Kernel):
    """The same covariance between all points: variance.

    Parameters
    ----------
    variance : float, positive
    """

    names = ("variance",)

    def __init__(self, variance=1.0, fixed=(), bounds=None):
        super().__init__({"variance": variance}, fixed, bounds)

    def matrix(self, a, b, same):
        return self.values["variance"] * np.ones((a.shape[0], b.shape[0]))

    def diagonal(self, a, white):
        return self.values["variance"] * np.ones(a.shape[0])
