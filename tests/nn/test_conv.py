"""Convolution layers against scipy.signal, FFTs and their own adjoints."""

import pickle

import numpy as np
import pytest
import scipy.signal

import gradiverse as gv
from gradiverse.nn import convolution, transposed_convolution
from gradiverse.testing import check_grads

RNG = np.random.default_rng(5)
LAYERS = {1: gv.nn.Conv1d, 2: gv.nn.Conv2d, 3: gv.nn.Conv3d}
TURNED = {1: gv.nn.ConvTranspose1d, 2: gv.nn.ConvTranspose2d, 3: gv.nn.ConvTranspose3d}


def spread(w, dilation):
    """The kernel with zeros between its taps."""
    kernel = [d * (k - 1) + 1 for k, d in zip(w.shape[2:], dilation, strict=True)]
    out = np.zeros((*w.shape[:2], *kernel))
    out[(..., *(slice(None, None, d) for d in dilation))] = w
    return out


def oracle(x, w, b, stride, dilation, pads, groups):
    """SciPy's correlation of each pair of channels, thinned out by the stride."""
    axes = w.ndim - 2
    x, w = x.astype(float), spread(w.astype(float), dilation)
    x = np.pad(x, [(0, 0), (0, 0), *pads])
    n_out, k = w.shape[0], w.shape[1]
    rows = []
    for o in range(n_out):
        first = o // (n_out // groups) * k
        pairs = [(first + c, w[o, c]) for c in range(k)]
        rows.append([sum(scipy.signal.correlate(e[c], v, "valid", "direct")
                         for c, v in pairs) for e in x])  # fmt: skip
    y = np.swapaxes(np.array(rows), 0, 1) + b.reshape(-1, *[1] * axes)
    return y[(..., *(slice(None, None, s) for s in stride))]


CASES = [  # axes, size, kernel, stride, dilation, padding, groups, c_in, c_out
    (1, (50,), 3, 1, 1, "same", 1, 4, 6),
    (1, (1000,), 5, 1, 1, "valid", 1, 1, 3),
    (1, (37,), 4, 3, 2, "same", 2, 4, 6),
    (1, (300,), 3, 1, 90, 90, 1, 2, 2),
    (2, (13, 17), 3, 1, 1, "same", 1, 16, 33),
    (2, (13, 17), 3, 1, 1, "valid", 2, 16, 32),
    (2, (14, 11), 3, 2, 1, "same", 1, 9, 17),
    (2, (14, 11), (2, 5), (1, 3), (3, 1), ((2, 0), (1, 3)), 1, 3, 2),
    (2, (9, 40), (1, 3), 1, 1, 1, 1, 8, 8),
    (2, (12, 8), 1, 1, 1, "same", 4, 8, 12),
    (2, (12, 8), 1, 2, 1, "valid", 1, 7, 40),
    (2, (20, 20), 7, 2, 1, 3, 1, 2, 5),
    (2, (10, 10), 3, 1, 1, "same", 12, 12, 12),
    (2, (18, 32), 3, 1, 1, "same", 5, 5, 5),  # from here: lines that waste no vectors
    (2, (21, 64), 5, 1, 1, "same", 1, 3, 14),
    (2, (33, 40), 1, 1, 1, "same", 1, 120, 9),  # sources in two strips and more
    (3, (4, 6, 33), (3, 3, 1), 1, 1, "same", 1, 70, 7),
    (3, (6, 7, 9), 3, 1, 1, "same", 1, 10, 20),
    (3, (6, 7, 9), 3, 2, 1, "same", 1, 4, 5),
    (3, (5, 9, 8), (1, 3, 3), 1, 1, "same", 1, 8, 9),
    (3, (7, 6, 5), 2, 1, 2, "valid", 2, 4, 2),
]


def made(case, dtype, turned=False):
    axes, size, kernel, stride, dilation, padding, groups, c_in, c_out = case
    layer = (TURNED if turned else LAYERS)[axes](
        c_in, c_out, kernel, stride, dilation, padding, groups
    )
    x = RNG.normal(size=(2, c_in, *size)).astype(dtype)
    return layer, layer.init(1, dtype), x


def margins(layer, size):
    """Zeros before and after each axis, by the documented rule."""
    spans = [d * (k - 1) + 1 for k, d in zip(layer.kernel, layer.dilation, strict=True)]
    if layer.padding == "valid":
        return [(0, 0)] * len(size)
    if layer.padding != "same":
        return list(layer.padding)
    pads = []
    for n, s, span in zip(size, layer.stride, spans, strict=True):
        total = max((int(np.ceil(n / s)) - 1) * s + span - n, 0)
        pads.append((total // 2, total - total // 2))
    return pads


@pytest.mark.smoke
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_against_scipy(case, dtype):
    layer, params, x = made(case, dtype)
    y = layer.apply(params, x)
    pads = margins(layer, x.shape[2:])
    want = oracle(x, params["weight"], params["bias"], layer.stride, layer.dilation,
                  pads, layer.groups)  # fmt: skip
    assert y.dtype == dtype
    assert y.shape == want.shape
    # sums of at most 2048 terms of order one; Winograd about ten roundings more
    bound = 3e-6 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(y, want, rtol=0, atol=bound * np.abs(want).max())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_against_scipy(case, dtype):
    """Linear in each argument: a gradient is found from values at unit vectors, here
    summed with random weights: <gradient, move> = <g, layer(move)>, SciPy's layer."""
    layer, params, x = made(case, dtype)
    pads = margins(layer, x.shape[2:])

    def theirs(x, w, b):
        return oracle(x, w, b, layer.stride, layer.dilation, pads, layer.groups)

    g = RNG.normal(size=layer.apply(params, x).shape).astype(dtype)
    gp, gx = gv.grad(lambda p, x: np.sum(layer.apply(p, x) * g), argnums=(0, 1))(
        params, x
    )
    w, zero = params["weight"], np.zeros_like(params["bias"])
    bound = 2e-5 if dtype == "float32" else 1e-10
    moves = RNG.normal(size=(1, *x.shape)), RNG.normal(size=(1, *w.shape))
    for d in moves[0]:
        want = np.vdot(theirs(d, w, zero), g)
        assert abs(np.vdot(gx, d) - want) < bound * np.linalg.norm(gx) * 10
    for d in moves[1]:
        want = np.vdot(theirs(x, d, zero), g)
        size = np.linalg.norm(gp["weight"])
        assert abs(np.vdot(gp["weight"], d) - want) < bound * size * 10
    axes = (0, *range(2, g.ndim))
    want = g.astype(float).sum(axes)
    atol = bound * np.abs(want).max()
    np.testing.assert_allclose(gp["bias"], want, rtol=0, atol=atol)


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("size", [(6,), (5, 8), (6, 5, 4)])
def test_periodic_is_circular(kernel, size):
    """Against the product of transforms, for kernels longer than an axis too."""
    axes = len(size)
    for dtype, bound in (("float32", 4e-6), ("float64", 1e-12)):
        x = RNG.normal(size=(2, 9, *size)).astype(dtype)
        w = RNG.normal(size=(8, 9, *[kernel] * axes)).astype(dtype)
        y = convolution(x, w, padding="periodic")
        # y[j] = sum_t w[t] x[j + t - low]: correlation with the kernel folded around
        folded = np.zeros((8, 9, *size))
        for t in np.ndindex(*[kernel] * axes):
            at = tuple(
                (a - (kernel - 1) // 2) % n for a, n in zip(t, size, strict=True)
            )
            folded[(..., *at)] += w[(..., *t)]
        space = tuple(range(-axes, 0))
        fx = np.fft.fftn(x.astype(float), axes=space)
        product = np.einsum(
            "nc...,oc...->no...", fx, np.conj(np.fft.fftn(folded, axes=space))
        )
        want = np.fft.ifftn(product, axes=space).real
        np.testing.assert_allclose(y, want, rtol=0, atol=bound * np.abs(want).max())


def test_periodic_commutes_with_shifts():
    """With a stride too, for shifts by multiples of it."""
    x = RNG.normal(size=(1, 8, 12, 8))
    w = RNG.normal(size=(8, 8, 3, 3))
    moved = np.roll(x, (4, -2), (2, 3))
    y = convolution(x, w, stride=2, padding="periodic")
    z = convolution(moved, w, stride=2, padding="periodic")
    np.testing.assert_allclose(z, np.roll(y, (2, -1), (2, 3)), atol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("padding", ["same", "valid", "periodic", 1])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (3, 1), (2, 3)])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_transposed_is_the_adjoint(axes, padding, stride, dilation, dtype):
    """<convolution(u), x> = <u, transposed(x)> for all u and x."""
    size = (7, 5, 6)[:axes]
    x = RNG.normal(size=(2, 8, *size)).astype(dtype)
    w = RNG.normal(size=(8, 6, *[3] * axes)).astype(dtype)
    setting = dict(stride=stride, dilation=dilation, padding=padding, groups=2)
    z = transposed_convolution(x, w, **setting)
    assert z.shape[1] == 12
    if padding in ("same", "periodic"):
        assert z.shape[2:] == tuple(n * stride for n in size)
    u = RNG.normal(size=z.shape).astype(dtype)
    y = convolution(u, w, **setting)
    assert y.shape == x.shape
    left, right = np.vdot(y.astype(float), x), np.vdot(u.astype(float), z)
    size = np.linalg.norm(u) * np.linalg.norm(z)
    assert abs(left - right) < (1e-6 if dtype == "float32" else 1e-14) * size


def test_transposed_by_zero_insertion():
    """Stride 3, no padding: zeros between the points, then SciPy's full convolution."""
    x, w = RNG.normal(size=(1, 2, 6, 5)), RNG.normal(size=(2, 3, 4, 2))
    y = transposed_convolution(x, w, stride=3, padding="valid", output_padding=(1, 2))
    wide = np.zeros((2, 16, 13))
    wide[:, ::3, ::3] = x[0]
    want = np.array([sum(scipy.signal.convolve(wide[c], w[c, o]) for c in range(2))
                     for o in range(3)])  # fmt: skip
    want = np.pad(want, [(0, 0), (0, 1), (0, 2)])
    np.testing.assert_allclose(y[0], want, atol=1e-13)


def test_winograd_rounds_little():
    """float32 against float64: values and gradients to 1e-5 of the largest entry, the
    direct way to 2e-6 (chains of up to 1728 roundings)."""
    for size, c in (((30, 30), 64), ((12, 12, 12), 32), ((500,), 64)):
        axes = len(size)
        x, w = RNG.normal(size=(2, c, *size)), RNG.normal(size=(c, c, *[3] * axes))
        g = RNG.normal(size=(2, c, *size))

        def f(x, w, g, method):
            return np.sum(convolution(x, w, method=method) * g)

        want = gv.grad(f, argnums=(0, 1))(x, w, g, "direct")
        single = [a.astype("f4") for a in (x, w, g)]
        for method, bound in (("winograd", 1e-5), ("auto", 1e-5), ("direct", 2e-6)):
            found = gv.grad(f, argnums=(0, 1))(*single, method)
            for a, b in zip(found, want, strict=True):
                assert np.abs(a - b).max() < bound * np.abs(b).max(), (method, axes)
            y, z = convolution(*single[:2], method=method), convolution(x, w)
            assert np.abs(y - z).max() < bound * np.abs(z).max()


def test_winograd_is_chosen_and_refused():
    """The switch works: other bits for three taps, the same where it does not apply."""
    x = RNG.normal(size=(1, 16, 20, 20)).astype("f4")
    w = RNG.normal(size=(16, 16, 3, 3)).astype("f4")
    auto, direct = (convolution(x, w, method=m) for m in ("auto", "direct"))
    assert not np.array_equal(auto, direct)
    for setting in (dict(stride=2), dict(dilation=2)):
        auto, direct = (convolution(x, w, method=m, **setting)
                        for m in ("winograd", "direct"))  # fmt: skip
        assert np.array_equal(auto, direct)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("method", ["direct", "winograd"])
@pytest.mark.parametrize("size", [(13, 7), (5, 32)], ids=str)
def test_relu_in_the_same_pass(size, method, dtype):
    """As max(y, 0) afterwards, values and derivatives bit for bit; NaN stays NaN."""
    x = RNG.normal(size=(2, 9, *size)).astype(dtype)
    w, b = RNG.normal(size=(17, 9, 3, 3)).astype(dtype), np.ones(17, dtype)
    x[0, 0, 0, 0] = np.nan

    def inside(x, w, b):
        return convolution(x, w, b, method=method, act="relu")

    def after(x, w, b):
        return np.maximum(convolution(x, w, b, method=method), 0)

    y = inside(x, w, b)
    assert np.isnan(y[0, :, 0, 0]).all()
    np.testing.assert_array_equal(y, after(x, w, b))
    x[0, 0, 0, 0] = 0
    for f in (inside, after):
        assert f(x, w, b).min() == 0
    g = RNG.normal(size=y.shape).astype(dtype)
    pulled = [gv.vjp(f, x, w, b)[1](g) for f in (inside, after)]
    for one, two in zip(*pulled, strict=True):
        np.testing.assert_array_equal(one, two)
    layer = gv.nn.Conv2d(9, 17, 3)
    net = gv.nn.Sequential(layer, gv.nn.Activation("relu"))
    params = net.init(0, dtype)
    want = np.maximum(layer.apply(params["0"], x), 0)
    np.testing.assert_array_equal(net.apply(params, x), want)
    with pytest.raises(ValueError, match="act must be one of"):
        convolution(x, w, b, act="tanh")


def test_same_bits_for_any_number_of_threads():
    x = RNG.normal(size=(3, 24, 40, 40)).astype("f4")
    w = RNG.normal(size=(40, 24, 3, 3)).astype("f4")

    def f(x, w, method):
        return np.sum(convolution(x, w, method=method) ** 2)

    before = gv.get_threads()
    try:
        for method in ("direct", "winograd"):
            found = []
            for threads in (1, 2, 5):
                gv.set_threads(threads)
                found.append(gv.grad(f, argnums=(0, 1))(x, w, method))
            for other in found[1:]:
                for a, b in zip(found[0], other, strict=True):
                    assert a.tobytes() == b.tobytes()
    finally:
        gv.set_threads(before)


def test_derivatives_of_layers():
    layer = gv.nn.Conv2d(2, 3, 3, stride=2, padding="periodic")
    params, x = layer.init(0, "float64"), RNG.normal(size=(2, 2, 4, 6))
    check_grads(lambda p, x: np.sum(np.sin(layer.apply(p, x))), (params, x))
    turned = gv.nn.ConvTranspose1d(4, 2, 3, stride=2, padding=1, output_padding=1)
    params, x = turned.init(0, "float64"), RNG.normal(size=(2, 4, 5))
    check_grads(lambda p, x: np.sum(np.sin(turned.apply(p, x))), (params, x))


def test_axes_in_front_and_vmap():
    layer = gv.nn.Conv1d(2, 3, 3)
    params, x = layer.init(0), RNG.normal(size=(4, 5, 2, 9)).astype("f4")
    y = layer.apply(params, x)
    assert y.shape == (4, 5, 3, 9)
    np.testing.assert_array_equal(y[1, 2], layer.apply(params, x[1, 2]))
    z = gv.vmap(lambda x: layer.apply(params, x))(x)
    np.testing.assert_array_equal(y, z)
    many = gv.vmap(lambda w: convolution(x[0], w))(
        np.stack([params["weight"], 2 * params["weight"]])
    )
    bias = params["bias"][:, None]
    np.testing.assert_allclose(many[1], 2 * (y[0] - bias), atol=2e-6)


def test_parameters_are_laid_out_as_torchs():
    """Shapes, and the bound 1/sqrt(fan_in) of torch's default initialisation."""
    params = gv.nn.Conv3d(4, 6, (1, 2, 3), groups=2).init(0)
    assert params["weight"].shape == (6, 2, 1, 2, 3)
    assert params["bias"].shape == (6,)
    params = gv.nn.ConvTranspose2d(4, 6, 3, groups=2).init(0)
    assert params["weight"].shape == (4, 3, 3, 3)
    assert params["bias"].shape == (6,)
    assert "bias" not in gv.nn.Conv1d(2, 2, 3, bias=False).init(0)
    w = gv.nn.Conv2d(32, 64, 3).init(0)["weight"]
    bound = 1 / np.sqrt(32 * 9)
    assert 0.99 * bound < np.abs(w).max() <= bound


def test_layers_pickle_and_show_themselves():
    layer = gv.nn.Conv2d(2, 3, 3, padding="periodic")
    again = pickle.loads(pickle.dumps(layer))
    assert repr(again) == repr(layer)
    assert "Conv2d(2, 3" in repr(layer)
    assert "periodic" in repr(layer)


def test_no_entries():
    layer = gv.nn.Conv2d(2, 3, 3)
    params, x = layer.init(0), np.zeros((0, 2, 5, 5), "f4")
    assert layer.apply(params, x).shape == (0, 3, 5, 5)
    g = gv.grad(lambda p: np.sum(layer.apply(p, x)))(params)
    assert not g["weight"].any()
    assert not g["bias"].any()


@pytest.mark.parametrize(("make", "error", "match"), [
    (lambda: gv.nn.Conv2d(2, 3, 3, padding="circular"), ValueError, "must be one of"),
    (lambda: gv.nn.Conv2d(2, 3, 3, padding=(1, 2, 3)), ValueError, "each of 2 axes"),
    (lambda: gv.nn.Conv2d(2, 3, 3, padding=-1), ValueError, "at least 0"),
    (lambda: gv.nn.Conv2d(2, 3, (3, 3, 3)), ValueError, "kernel must be an int or 2"),
    (lambda: gv.nn.Conv2d(2, 3, 0), ValueError, "kernel must be at least 1"),
    (lambda: gv.nn.Conv2d(2, 3, 2.5), TypeError, "kernel must be an int"),
    (lambda: gv.nn.Conv2d(2, 3, 3, stride=0), ValueError, "stride must be at least 1"),
    (lambda: gv.nn.Conv2d(2, 3, 3, groups=2), ValueError, "groups=2 must divide"),
    (lambda: gv.nn.Conv2d(2, 2, 3, method="fft"), ValueError, "method must be one of"),
    (lambda: gv.nn.ConvTranspose1d(2, 2, 3, output_padding=-1), ValueError, "least 0"),
])  # fmt: skip
def test_bad_settings(make, error, match):
    with pytest.raises(error, match=match):
        make()


@pytest.mark.parametrize(("layer", "x", "match"), [
    (gv.nn.Conv2d(2, 3, 3), np.zeros((1, 4, 5, 5)), r"x must be \(\.\.\., 2, \*size\)"),
    (gv.nn.Conv2d(2, 3, 3), np.zeros((2, 5)), r"with 2 axes"),
    (gv.nn.Conv2d(2, 3, 7, padding="valid"), np.zeros((2, 5, 9)), "pad more"),
    (gv.nn.Conv1d(2, 3, 3, stride=2, padding="periodic"), np.zeros((2, 7)), "multiple"),
    (gv.nn.Conv1d(2, 3, 3), np.zeros((2, 0)), "length 0"),
    (gv.nn.ConvTranspose1d(2, 3, 3, stride=2, output_padding=2, padding=0),
     np.zeros((2, 7)), "less than the stride"),
    (gv.nn.ConvTranspose1d(2, 3, 3, padding=9), np.zeros((2, 7)), "nothing is left"),
])  # fmt: skip
def test_bad_inputs(layer, x, match):
    params = layer.init(0, "float64")
    with pytest.raises(ValueError, match=match):
        layer.apply(params, x)


def test_operands_that_do_not_fit():
    x, w = np.zeros((1, 4, 8)), np.zeros((6, 2, 3))
    with pytest.raises(ValueError, match="4 channels and weight"):
        convolution(x, w)
    with pytest.raises(ValueError, match="4 channels and weight"):
        transposed_convolution(x, w)
    with pytest.raises(ValueError, match="weight must have 3, 4 or 5 axes"):
        convolution(x, w[0])
    with pytest.raises(TypeError, match="conv: dtypes differ"):
        convolution(x, w.astype("f4"), groups=2)
    with pytest.raises(TypeError, match="float32 or float64"):
        convolution(x.astype(int), w)
    with pytest.raises(ValueError, match="bias of length 5 for 6 channels"):
        convolution(x, w, np.zeros(5), groups=2)
    with pytest.raises(ValueError, match="belong to another network"):
        gv.nn.Conv1d(4, 6, 3).apply({"weight": w, "bias": np.zeros(6)}, x)
