"""Pooling and resampling against loops in NumPy; ties, NaN, margins."""

import itertools

import numpy as np
import pytest

import gradiverse as gv
from gradiverse.testing import check_grads


def windows(x, kernel, stride, padding, fill):
    """(batch, channels, outputs..., window) of a padded copy."""
    n = x.ndim - 2
    wide = np.pad(x, [(0, 0)] * 2 + [(padding, padding)] * n, constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(
        wide, (kernel,) * n, tuple(range(2, 2 + n))
    )
    view = view[(slice(None),) * 2 + (slice(None, None, stride),) * n]
    return view.reshape(*view.shape[: 2 + n], -1)


CASES = [(2, None, 0), (3, 2, 1), (2, 1, 1), (3, 4, 0), (1, 1, 0)]
SHAPES = [(2, 3, 13), (2, 3, 7, 10), (1, 2, 5, 6, 7), (2, 1, 700)]


@pytest.mark.smoke
@pytest.mark.parametrize(("kernel", "stride", "padding"), CASES)
@pytest.mark.parametrize("shape", SHAPES)
def test_values(shape, kernel, stride, padding):
    x = np.random.default_rng(0).normal(size=shape)
    at = (kernel, stride or kernel, padding)
    y = gv.nn.MaxPool(kernel, stride, padding).apply({}, x)
    np.testing.assert_array_equal(y, windows(x, *at, -np.inf).max(-1))
    y = gv.nn.AvgPool(kernel, stride, padding).apply({}, x)
    np.testing.assert_allclose(y, windows(x, *at, 0).mean(-1), atol=1e-14)
    y = gv.nn.AvgPool(kernel, stride, padding, count_padding=False).apply({}, x)
    seen = windows(np.ones_like(x), *at, 0).sum(-1)
    np.testing.assert_allclose(y, windows(x, *at, 0).sum(-1) / seen, atol=1e-14)


@pytest.mark.parametrize("shape", [(2, 2, 9), (1, 2, 5, 6), (1, 1, 3, 4, 5)])
def test_derivatives(shape):
    x = np.random.default_rng(1).permutation(np.prod(shape)).reshape(shape) / 7.0
    layers = [
        gv.nn.MaxPool(3, 2, 1), gv.nn.AvgPool(3, 2, 1), gv.nn.GlobalPool(),
        gv.nn.GlobalPool("max"), gv.nn.Upsample(2), gv.nn.Upsample(3, "linear"),
        gv.nn.AvgPool(3, 1, 1, count_padding=False),
    ]  # fmt: skip
    for layer in layers:
        check_grads(lambda x, layer=layer: np.sin(layer.apply({}, x)).sum(), (x,))


def test_of_equal_maxima_the_first_counts():
    x = np.ones((1, 1, 2, 4))
    g = gv.grad(lambda x: gv.nn.MaxPool(2).apply({}, x).sum())(x)
    assert g.tolist() == [[[[1, 0, 1, 0], [0, 0, 0, 0]]]]


def test_nan_wins_and_minus_infinity_is_a_value():
    x = np.array([[[1.0, np.nan, 3.0, 4.0, -np.inf, -np.inf]]])
    y = gv.nn.MaxPool(2).apply({}, x)
    np.testing.assert_array_equal(y, [[[np.nan, 4.0, -np.inf]]])
    g = gv.grad(lambda x: gv.nn.MaxPool(2).apply({}, x)[0, 0, 2])(x)
    assert g.tolist() == [[[0, 0, 0, 0, 1, 0]]]


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("shape", [(2, 3, 6), (1, 2, 4, 5), (1, 2, 3, 1, 4)])
def test_linear_upsampling_is_interpolation(shape, corners):
    """Axis by axis np.interp at the places of kernels/pool.h."""
    x = np.random.default_rng(2).normal(size=shape)
    factors = (3, 2, 4)[: x.ndim - 2]
    want = x
    for axis, f in enumerate(factors, start=2):
        n = x.shape[axis]
        j = np.arange(n * f)
        at = j * (n - 1) / (n * f - 1) if corners else (j + 0.5) / f - 0.5
        want = np.apply_along_axis(
            lambda v, at=at, n=n: np.interp(at, np.arange(n), v), axis, want
        )
    y = gv.nn.Upsample(factors, "linear", align_corners=corners).apply({}, x)
    np.testing.assert_allclose(y, want, atol=1e-14)


def test_nearest_upsampling_repeats():
    x = np.random.default_rng(3).normal(size=(2, 3, 4, 5)).astype("f4")
    y = gv.nn.Upsample((2, 3)).apply({}, x)
    np.testing.assert_array_equal(y, x.repeat(2, 2).repeat(3, 3))


def test_arguments():
    x = np.ones((2, 3, 4, 4))
    for bad, words in (
        (gv.nn.MaxPool((2, 2, 2)), "3 axes, x has 2"),
        (gv.nn.MaxPool(5), "does not fit"),
        (gv.nn.MaxPool(2, padding=2), "kernel/2"),
        (gv.nn.Upsample((2,)), "1 axes"),
    ):
        with pytest.raises(ValueError, match=words):
            bad.apply({}, x)
    for layer, shape in itertools.product(
        (gv.nn.MaxPool(2), gv.nn.GlobalPool(), gv.nn.Upsample(2)), ((4, 4), (1,) * 6)
    ):
        with pytest.raises(ValueError, match="axes"):
            layer.apply({}, np.ones(shape))
    with pytest.raises(ValueError, match="mean"):
        gv.nn.GlobalPool("median")
    for kind in ("mean", "max"):
        with pytest.raises(ValueError, match=rf"shape \(2, 3, 0, 4\).* {kind} of"):
            gv.nn.GlobalPool(kind).apply({}, np.ones((2, 3, 0, 4)))
    assert gv.nn.GlobalPool("max").apply({}, np.ones((0, 3, 4))).shape == (0, 3)
    with pytest.raises(ValueError, match="nearest"):
        gv.nn.Upsample(2, "cubic")
    with pytest.raises(ValueError, match="align_corners"):
        gv.nn.Upsample(2, align_corners=True)
    with pytest.raises(ValueError, match="kernel must be at least 1"):
        gv.nn.MaxPool(0)
