"""Checks of derivatives against differences."""

import numpy as np

from ._scope import as_leaf
from .grad import jvp, vjp
from .tree import flatten, leaf_paths

__all__ = ["check_grads"]


class _Point:
    """The float leaves of the arguments, and f as a function of them alone."""

    def __init__(self, f, args):
        self.f = f
        self.leaves, self.tree = flatten(tuple(args))
        self.leaves = [as_leaf(x) for x in self.leaves]
        self.paths = leaf_paths(tuple(args))
        self.at = [k for k, x in enumerate(self.leaves) if _is_float(x)]
        if not self.at:
            raise TypeError("check_grads: no argument is a float or complex array")
        self.values = [np.asarray(self.leaves[k]) for k in self.at]

    def __call__(self, *values):
        """f's differentiable results as a tuple."""
        leaves = list(self.leaves)
        for k, v in zip(self.at, values, strict=True):
            leaves[k] = v
        out, _ = flatten(self.f(*self.tree.unflatten(leaves)))
        kept = tuple(y for y in out if _is_float(y))
        if not kept:
            raise TypeError("check_grads: f returns no float or complex array")
        return kept

    def name(self, i):
        """How to name the i-th leaf: "argument 0['w']"."""
        head, _, rest = self.paths[self.at[i]].partition("]")
        return f"argument {head[1:]}{rest}"


def _is_float(x):
    if isinstance(x, (float, complex)):
        return True
    dtype = getattr(x, "dtype", None)
    return dtype is not None and getattr(dtype, "kind", "") in ("f", "c")


def _direction(rng, x):
    x = np.asarray(x)
    d = rng.standard_normal(x.shape)
    if x.dtype.kind == "c":
        d = d + 1j * rng.standard_normal(x.shape)
    norm = np.sqrt(np.sum(np.abs(d) ** 2))
    return np.asarray(d / norm if norm else d, x.dtype)


def _inner(xs, ys):
    """Re sum conj(x) y, in double precision."""
    total = 0.0
    with np.errstate(all="ignore"):
        for x, y in zip(xs, ys, strict=True):
            x, y = np.asarray(x, complex), np.asarray(y, complex)
            total += float(np.sum(x.real * y.real + x.imag * y.imag))
    return total


def _epsilon(arrays):
    return max(float(np.finfo(np.asarray(a).dtype).eps) for a in arrays)


def _difference(point, i, direction, weights, eps):
    """(derivative of <weights, f> along a direction of leaf i, its error).

    Central differences with steps h and h/2, one Richardson step: truncation error
    O(h^4). What that step changed, and the rounding of f, bound the error.
    """
    x = point.values[i]
    h = eps**0.2 * max(1.0, float(np.max(np.abs(x), initial=0.0)))
    wide = np.complex128 if x.dtype.kind == "c" else np.float64

    def value(t):
        values = list(point.values)
        moved = x.astype(wide) + t * direction.astype(wide)
        values[i] = moved.astype(x.dtype)[()]
        with np.errstate(all="ignore"):
            out = point(*values)
        return out, moved, values[i]

    def central(t):
        ahead, _, _ = value(t)
        behind, _, _ = value(-t)
        step = [
            (np.asarray(a, complex) - np.asarray(b, complex)) / (2 * t)
            for a, b in zip(ahead, behind, strict=True)
        ]
        size = sum(
            float(np.sum(np.abs(np.asarray(w)) * np.abs(np.asarray(a))))
            for w, a in zip(weights, ahead, strict=True)
        )
        return _inner(weights, step), size

    (wide_step, size), (narrow, _) = central(h), central(h / 2)
    better = (4 * narrow - wide_step) / 3
    truncation = abs(narrow - wide_step) / 3
    # the last Richardson step gains about h^2; keep a tenth of what it changed
    error = 0.1 * truncation + 30 * eps * size / h
    # moving x is exact to eps |x|: the direction is off by eps |x| / h
    slope = abs(better) + abs(narrow - wide_step)
    error += 10 * eps * (float(np.max(np.abs(x), initial=0.0)) / h + 1) * slope
    return better, error


def _check(point, rng, label, scale):
    out, pullback = vjp(point, *point.values)
    weights = tuple(_direction(rng, y) for y in out)
    grads = pullback(weights)
    eps = _epsilon([*point.values, *out])
    failures = []
    for i, x in enumerate(point.values):
        g = np.asarray(grads[i])
        if g.shape != x.shape or g.dtype != x.dtype:
            raise AssertionError(
                f"{label}{point.name(i)}: the gradient is {g.dtype}{list(g.shape)}, the"
                f" argument {x.dtype}{list(x.shape)}"
            )
        if x.size == 0:
            continue
        direction = _direction(rng, x)
        tangents = [np.zeros_like(v) for v in point.values]
        tangents[i] = direction
        reverse = _inner([g], [direction])
        forward = _inner(weights, jvp(point, tuple(point.values), tuple(tangents))[1])
        wanted, error = _difference(point, i, direction, weights, eps)
        error = scale * (error + 100 * eps * abs(wanted) + 10 * eps)
        for mode, got in (("reverse", reverse), ("forward", forward)):
            if not abs(got - wanted) <= error:
                failures.append(
                    f"{label}{point.name(i)}: {mode} mode gives {got:.10g} along a"
                    f" random direction, differences {wanted:.10g} +- {error:.1g}"
                )
    if failures:
        raise AssertionError("; ".join(failures))
    return weights


def check_grads(f, args, order=2, modes=2, seed=0):
    """Check a function's derivatives against differences.

    Parameters
    ----------
    f : callable
        Function of nests of arrays, real or complex, with any nest of results.
    args : tuple
        Where to check, not at a kink. Anything but a tuple is taken as the only
        argument.
    order : int
        1 checks the gradient, 2 the gradient of the gradient as well, and so on.
    modes : int
        How many random directions to try for each argument.
    seed : int
        Of the random directions.

    Raises
    ------
    AssertionError
        If forward or reverse mode differs from Richardson differences (four values of
        f along a random direction) by more than their error; names the argument.

    Examples
    --------
    >>> import numpy as np, gradiverse as gv
    >>> gv.testing.check_grads(lambda x: np.sin(x) * x, (np.array([0.3, 2.0]),))
    """
    if not isinstance(args, tuple):
        args = (args,)
    if int(order) < 1:
        raise ValueError(f"check_grads: order {order} must be 1 or more")
    rng = np.random.default_rng(seed)
    for _ in range(modes):
        point = _Point(f, args)
        label = ""
        for k in range(int(order)):
            weights = _check(point, rng, label, 1.0 + 3 * k)
            point = _Point(_pulled(point, weights), tuple(point.values))
            label = f"order {k + 2}, "


def _pulled(point, weights):
    """The gradient of <weights, f> as a function of the same arguments."""

    def gradient(*values):
        return vjp(point, *values)[1](weights)

    return gradient
