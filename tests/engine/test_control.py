"""scan, cond, while_loop, quantised carries."""

import numpy as np
import pytest

import gradiverse as gv

XS = np.random.default_rng(0).normal(size=(7, 3))
INIT = np.array([0.1, -0.2, 0.3])


def body(c, x):
    c = np.tanh(c * 1.1 + x)
    return c, (c * x).sum()


def plain_loop(f, c, xs, reverse=False):
    ys = []
    for x in xs[::-1] if reverse else xs:
        c, y = f(c, x)
        ys.append(y)
    return c, np.array(ys[::-1] if reverse else ys)


POLICIES = [
    "store",
    ("recompute", 1),
    ("recompute", 2),
    ("recompute", 3),
    ("recompute", 7),
    ("recompute", 50),
]


@pytest.mark.smoke
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("policy", POLICIES)
def test_values_of_all_policies(policy, reverse):
    want_c, want_y = plain_loop(body, INIT, XS, reverse)
    c, y = gv.scan(body, INIT, XS, policy=policy, reverse=reverse)
    np.testing.assert_allclose(c, want_c, rtol=1e-14)
    np.testing.assert_allclose(y, want_y, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("policy", POLICIES)
def test_gradients_of_all_policies_equal_the_unrolled_loop(policy, reverse):
    def by_scan(c, xs, w):
        c, y = gv.scan(
            lambda c, x: body(c * w, x), c, xs, policy=policy, reverse=reverse
        )
        return (c**2).sum() + (y * np.arange(7.0)).sum()

    def unrolled(c, xs, w):
        ys = []
        order = range(6, -1, -1) if reverse else range(7)
        for i in order:
            c, y = body(c * w, xs[i])
            ys.append(y)
        ys = np.stack(ys[::-1] if reverse else ys)
        return (c**2).sum() + (ys * np.arange(7.0)).sum()

    args = INIT, XS, 0.9
    want = gv.grad(unrolled, argnums=(0, 1, 2))(*args)
    for got in (
        gv.grad(by_scan, argnums=(0, 1, 2))(*args),
        gv.compile(gv.grad(by_scan, argnums=(0, 1, 2)))(*args),
    ):
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)
    tangents = tuple(np.ones_like(a) for a in args)
    np.testing.assert_allclose(
        gv.jvp(by_scan, args, tangents)[1],
        sum((w * t).sum() for w, t in zip(want, tangents, strict=True)),
        rtol=1e-11,
    )
    v = np.array([0.3, -1.0, 0.5])
    np.testing.assert_allclose(
        gv.hvp(lambda c: by_scan(c, XS, 0.9), INIT, v),
        gv.hvp(lambda c: unrolled(c, XS, 0.9), INIT, v),
        rtol=1e-9,
        atol=1e-12,
    )
    np.testing.assert_allclose(
        gv.grad(lambda c: (gv.grad(by_scan)(c, XS, 0.9) * v).sum())(INIT),
        gv.hvp(lambda c: unrolled(c, XS, 0.9), INIT, v),
        rtol=1e-9,
        atol=1e-12,
    )


def test_recomputation_saves_memory():
    n = 400
    xs = np.zeros((n, 2000))

    def peak(policy):
        def loss(c):
            c, _ = gv.scan(
                lambda c, x: (np.sin(np.cos(c) + x), None), c, xs, policy=policy
            )
            return c.sum()

        return gv.compile(gv.grad(loss)).plan(np.zeros(2000)).peak_bytes

    assert peak(("recompute", 20)) < peak("store") / 5


def leapfrog(scale):
    """A kick and a drift on fixed-point numbers, and its exact inverse."""

    def force(x):
        return -np.sin(gv.dequantize(x, scale))

    def step(c, dt):
        x, p = c
        p = p + gv.quantize(force(x) * dt, scale)
        x = x + gv.quantize(gv.dequantize(p, scale) * dt, scale)
        return (x, p), None

    def back(c, dt):
        x, p = c
        x = x - gv.quantize(gv.dequantize(p, scale) * dt, scale)
        p = p - gv.quantize(force(x) * dt, scale)
        return x, p

    return step, back


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_reversible_equals_store_bit_for_bit(dtype):
    scale = 2.0**-20 if dtype == np.float32 else 2.0**-44
    step, back = leapfrog(scale)
    x0 = np.linspace(-1, 1, 5).astype(dtype)
    dts = np.full(50, 0.1, dtype)

    def run(x, policy, inverse=None):
        c = gv.quantize(x, scale), gv.quantize(0 * x, scale)
        (x, p), _ = gv.scan(step, c, dts, policy=policy, inverse=inverse)
        return (gv.dequantize(x, scale) ** 2 + gv.dequantize(p, scale)).sum()

    a, da = gv.value_and_grad(lambda x: run(x, "store"))(x0)
    b, db = gv.value_and_grad(lambda x: run(x, "reversible", back))(x0)
    assert a == b and a.dtype == dtype
    np.testing.assert_array_equal(da, db)
    assert da.dtype == dtype

    def there_and_back(x):
        c = gv.quantize(x, scale), gv.quantize(0 * x, scale)
        c, _ = gv.scan(step, c, dts)
        c, _ = gv.scan(lambda c, dt: (back(c, dt), None), c, dts, reverse=True)
        return gv.dequantize(c[0], scale), gv.dequantize(gv.quantize(x, scale), scale)

    x, start = gv.compile(there_and_back)(x0)
    np.testing.assert_array_equal(x, start)

    def smooth(x):
        p = 0 * x
        for dt in dts:
            p = p - np.sin(x) * dt
            x = x + p * dt
        return (x**2 + p).sum()

    tolerance = 2e-4 if dtype == np.float32 else 1e-11
    np.testing.assert_allclose(db, gv.grad(smooth)(x0), rtol=tolerance)


def test_reversible_memory_does_not_grow():
    step, back = leapfrog(2.0**-20)

    def peak(n, **how):
        def loss(x):
            c = gv.quantize(x, 2.0**-20), gv.quantize(0 * x, 2.0**-20)
            (x, _), _ = gv.scan(step, c, np.full(n, 0.1, np.float32), **how)
            return gv.dequantize(x, 2.0**-20).sum()

        return gv.compile(gv.grad(loss)).plan(np.zeros(5000, np.float32)).peak_bytes

    how = dict(policy="reversible", inverse=back)
    assert peak(200, **how) < 1.3 * peak(20, **how)
    assert peak(200, policy="store") > 5 * peak(200, **how)


def test_quantised_helpers_on_arrays():
    q = gv.quantize(np.array([0.1, 2.6, -1.2]), 0.5)
    assert q.dtype == np.int64 and q.tolist() == [0, 5, -2]
    assert gv.quantize(np.ones(2, np.float32), 0.5).dtype == np.int32
    assert gv.dequantize(q, 0.5).tolist() == [0.0, 2.5, -1.0]
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        x = rng.normal(size=1000).astype(dtype)
        inside = gv.compile(lambda x: gv.dequantize(gv.quantize(x, 1e-4), 1e-4))(x)
        outside = gv.dequantize(gv.quantize(x, 1e-4), 1e-4)
        np.testing.assert_array_equal(inside, outside)
        assert inside.dtype == outside.dtype == dtype
    with pytest.raises(TypeError, match="float array"):
        gv.quantize(np.arange(3), 0.5)
    with pytest.raises(ValueError, match="positive"):
        gv.quantize(np.ones(3), 0.0)
    with pytest.raises(TypeError, match="quantised"):
        gv.dequantize(np.ones(3), 0.5)


def test_arithmetic_of_quantised_values():
    def f(x):
        a, b = gv.quantize(x, 0.5), gv.quantize(x * 3, 0.5)
        assert a.dtype == "q64" and a.itemsize == 8 and "q64" in repr(a)
        return gv.dequantize(a + b - a, 0.5) + gv.dequantize(-a, 0.5)

    x = np.array([1.0, 2.0])
    np.testing.assert_array_equal(gv.compile(f)(x), 2 * x)
    np.testing.assert_array_equal(gv.grad(lambda x: f(x).sum())(x), [2.0, 2.0])
    for wrong in (
        lambda q: q * 2,
        lambda q: q + 1,
        lambda q: q * q,
        lambda q: abs(q),
        lambda q: q + q[:1],
    ):
        with pytest.raises(TypeError, match="quantised"):
            gv.compile(lambda x, w=wrong: w(gv.quantize(x, 0.5)))(x)


def test_contract_of_the_interface():
    carry, ys = gv.scan(lambda c, x: (c + x, c), 0.0, xs=np.arange(4.0))
    assert carry == 6.0 and ys.tolist() == [0, 0, 1, 3]
    carry, _ = gv.scan(
        lambda c, x: (2 * c, c),
        1.0,
        length=3,
        policy="reversible",
        inverse=lambda c, x: c / 2,
    )
    assert carry == 8.0
    carry, ys = gv.scan(lambda c, x: (c, {"y": x["a"], "s": "t"}), None, {"a": XS})
    assert carry is None and ys["s"] == "t"
    np.testing.assert_array_equal(ys["y"], XS)
    carry, ys = gv.scan(lambda c, x: (c + 1, c), 5, length=0)
    assert carry == 5 and ys.shape == (0,)


def test_weak_first_carries_take_the_dtype_of_the_body():
    xs = np.ones(3, np.float32)
    carry, _ = gv.scan(lambda c, x: (c + x, None), 0.0, xs)
    assert carry.dtype == np.float32
    carry, _ = gv.scan(lambda c, x: (c + x, None), 0, xs)
    assert carry.dtype == np.float32 and carry == 3
    carry, _ = gv.scan(lambda c, x: (c + 1, None), 0, length=4)
    assert carry.dtype == np.int64 and carry == 4
    carry, _ = gv.scan(lambda c, x: (c * 0.5, None), 1, length=2)
    assert carry == 0.25
    (a, b), _ = gv.scan(lambda c, x: ((c[1], c[0] + x), None), (0.0, 0), xs)
    assert a.dtype == b.dtype == np.float32
    with pytest.raises(
        TypeError, match=r"dtype of carry\['a'\] from float32 to float64"
    ):
        gv.scan(
            lambda c, x: ({"a": c["a"] * np.float64(2)}, None),
            {"a": np.float32(1)},
            length=2,
        )


def test_wrong_loops_are_named():
    with pytest.raises(
        TypeError, match=r"shape of carry\[1\]\.?.* from \(\) to \(2,\)"
    ):
        gv.scan(lambda c, x: ((c[0], np.ones(2)), None), (1.0, 2.0), length=2)
    with pytest.raises(TypeError, match="carry shaped"):
        gv.scan(lambda c, x: ((c, c), None), 1.0, length=2)
    with pytest.raises(TypeError, match=r"must return \(carry, y\)"):
        gv.scan(lambda c, x: c, 1.0, length=2)
    with pytest.raises(TypeError, match=r"static leaf \['k'\] from 'a' to 'b'"):
        gv.scan(lambda c, x: ({"k": "b"}, None), {"k": "a"}, length=2)
    with pytest.raises(ValueError, match=r"xs\[1\] has 4 entries, expected 3"):
        gv.scan(lambda c, x: (c, None), 1.0, (np.ones(3), np.ones(4)))
    with pytest.raises(ValueError, match=r"has 3 entries, expected 5"):
        gv.scan(lambda c, x: (c, None), 1.0, np.ones(3), length=5)
    with pytest.raises(ValueError, match="xs with arrays, or length"):
        gv.scan(lambda c, x: (c, None), 1.0)
    with pytest.raises(ValueError, match="xs is a scalar"):
        gv.scan(lambda c, x: (c, None), 1.0, np.float64(3))
    with pytest.raises(ValueError, match="policy 'keep'"):
        gv.scan(lambda c, x: (c, None), 1.0, length=2, policy="keep")
    with pytest.raises(ValueError, match="needs inverse"):
        gv.scan(lambda c, x: (c, None), 1.0, length=2, policy="reversible")
    with pytest.raises(ValueError, match="int >= 1"):
        gv.scan(lambda c, x: (c, None), 1.0, length=2, policy=("recompute", 0))


# --- cond ---
@pytest.mark.parametrize("x", [2.0, -2.0])
def test_cond_everywhere(x):
    def f(x, w):
        y = gv.cond(x > 0, lambda x: x**2 * w, lambda x: {"a": -x}["a"] * w**2, x)
        return y * 3

    want = 12.0 * 5 if x > 0 else 6.0 * 25
    dw = 12.0 if x > 0 else 60.0
    assert gv.compile(f)(x, 5.0) == want
    assert gv.value_and_grad(f, 1)(x, 5.0) == (want, dw)
    assert gv.compile(gv.value_and_grad(f, 1))(x, 5.0) == (want, dw)
    assert gv.compile(lambda x, w: gv.jvp(f, (x, w), (0.0, 1.0))[1])(x, 5.0) == dw
    assert gv.compile(gv.grad(gv.grad(f)))(x, 5.0) == (30.0 if x > 0 else 0.0)


def test_cond_on_known_conditions_calls_one_branch():
    def never(x):
        raise AssertionError("this branch must not be called")

    assert gv.cond(True, lambda x: x + 1, never, 1.0) == 2.0
    assert gv.cond(np.array(0), never, lambda x: x - 1, 1.0) == 0.0
    assert gv.grad(lambda x: gv.cond(x > 0, lambda x: x * x, never, x))(3.0) == 6.0


def test_cond_branches_must_agree():
    run = gv.compile(lambda x, f, g: gv.cond(x > 0, f, g, x))
    with pytest.raises(TypeError, match="agree in structure"):
        run(1.0, lambda x: (x, x), lambda x: x)
    with pytest.raises(TypeError, match=r"shape \(\) in one branch and \(2,\)"):
        run(1.0, lambda x: x, lambda x: np.ones(2))
    with pytest.raises(TypeError, match="float32 in one branch and float64"):
        run(1.0, lambda x: x.astype("f4"), lambda x: np.float64(2) * x)
    assert run(1.0, lambda x: 1, lambda x: x).dtype == np.float64
    with pytest.raises(ValueError, match=r"shape \(2,\), expected one truth value"):
        gv.cond(np.ones(2) > 0, abs, abs, 1.0)


# --- while_loop ---
def test_while_loop_everywhere():
    def collatz(n):
        def step(c):
            n, k = c
            return np.where(n % 2 == 0, n // 2, 3 * n + 1), k + 1

        return gv.while_loop(lambda c: c[0] > 1, step, (n, 0))[1]

    assert collatz(27) == 111
    assert gv.compile(lambda n: collatz(n))(np.array(97)) == 118

    def root(a):
        return gv.while_loop(
            lambda x: abs(x * x - a) > 1e-13, lambda x: 0.5 * (x + a / x), a
        )

    out, tangent = gv.jvp(root, (2.0,), (1.0,))
    assert out == pytest.approx(2**0.5, rel=1e-13)
    assert tangent == pytest.approx(0.5 / 2**0.5, rel=1e-10)
    with pytest.raises(TypeError, match=r"while.*reverse"):
        gv.grad(root)(2.0)
    with pytest.raises(TypeError, match=r"shape of carry from \(\) to \(3,\)"):
        gv.while_loop(lambda c: True, lambda c: np.ones(3), 1.0)
    with pytest.raises(ValueError, match="one truth value"):
        gv.while_loop(lambda c: c > 0, lambda c: c, np.ones(3))
