"""Gradients of real functions against HIPS autograd, where it is installed."""

import numpy as np
import pytest

import gradiverse as gv

from .surface import SMOOTH, expressions, names_in
from .test_surface import evaluator, parts

anp = pytest.importorskip("autograd.numpy")
autograd = pytest.importorskip("autograd")

#: NumPy's own warning about vectors of two components, and autograd's arithmetic.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Arrays of 2-dimensional:DeprecationWarning", "ignore:invalid value"
)

#: Where autograd has a convention of its own, or no derivative.
OTHER = (
    "eigvals", "eigh", "cholesky", "svd(", "astype", "fmod", "copysign",
    "np.float_power", "where=", "full_like", "slogdet", "pinv", "partition",
)  # fmt: skip


def _real(expression):
    return not set(names_in(expression)) & set("CDHc") and "complex" not in expression


@pytest.mark.parametrize("expression", [
    e for e in expressions(SMOOTH) if _real(e) and "fft" not in e
    and not any(o in e for o in OTHER)
])  # fmt: skip
def test_gradient_is_autograds(expression):
    function, arrays = evaluator(expression, np)
    theirs, _ = evaluator(expression, anp)
    rng = np.random.default_rng(3)
    weights = [rng.normal(size=np.shape(p)) for p in parts(function(*arrays))]

    def loss(function, sum_):
        return lambda *xs: sum(
            sum_(w * p) for w, p in zip(weights, parts(function(*xs)), strict=True)
        )

    argnums = tuple(range(len(arrays)))
    try:
        wanted = autograd.grad(loss(theirs, anp.sum), argnums)(*arrays)
    except Exception as error:  # autograd has no derivative of this form
        pytest.skip(f"autograd: {type(error).__name__}")
    if not all(np.all(np.isfinite(w)) for w in wanted):
        pytest.skip("autograd: not finite")
    for a, b in zip(gv.grad(loss(function, np.sum), argnums)(*arrays), wanted,
                    strict=True):  # fmt: skip
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-9)
