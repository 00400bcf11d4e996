"""checkpoint, custom_vjp, external."""

import numpy as np
import pytest

import gradiverse as gv

X = np.array([0.5, -1.0, 2.0])


# --- checkpoint ---
def test_checkpoint_changes_nothing_but_memory():
    calls = []

    def layer(p, x, scale=1.0):
        calls.append(1)
        return {"y": np.tanh(p["w"] * x) * scale, "name": "layer"}

    def loss(p, x, wrap):
        f = wrap(layer)
        for _ in range(3):
            x = f(p, x, scale=1.5)["y"]
        return (x**2).sum()

    p = {"w": 0.7}
    plain = gv.grad(loss, argnums=(0, 1))(p, X, lambda f: f)
    kept = gv.grad(loss, argnums=(0, 1))(p, X, gv.checkpoint)
    np.testing.assert_allclose(kept[0]["w"], plain[0]["w"], rtol=1e-13)
    np.testing.assert_allclose(kept[1], plain[1], rtol=1e-13)
    assert gv.checkpoint(layer)(p, X)["name"] == "layer"
    hess = gv.jacobian(gv.grad(lambda x: loss(p, x, gv.checkpoint)))(X)
    np.testing.assert_allclose(
        hess, gv.jacobian(gv.grad(lambda x: loss(p, x, lambda f: f)))(X), rtol=1e-11
    )

    def deep(x, wrap):
        f = wrap(lambda x: np.sin(np.cos(np.sin(np.cos(np.exp(-x * x) * x)))))
        for _ in range(10):
            x = f(x)
        return x.sum()

    big = np.ones(10_000)

    def peak(wrap):
        return gv.compile(gv.grad(lambda x: deep(x, wrap))).plan(big).peak_bytes

    assert peak(gv.checkpoint) < 0.6 * peak(lambda f: f)


def test_checkpoint_closes_over_traced_values():
    f = lambda w: gv.checkpoint(lambda x: x * w * w)(X).sum()  # noqa: E731
    g = lambda w: gv.checkpoint(lambda x: (x * w * w).sum())(w)  # noqa: E731
    assert gv.grad(f)(2.0) == pytest.approx(4 * X.sum())
    assert gv.grad(g)(2.0) == pytest.approx(12.0)


# --- custom_vjp ---
def doubled(scale):
    """x * y with a gradient that is deliberately `scale` times too large."""

    def forward(x, y):
        return x * y, {"x": x, "y": y, "tag": "static"}

    def backward(res, g):
        assert res["tag"] == "static"
        return scale * g * res["y"], (scale * g * res["x"]).sum()

    return gv.custom_vjp(lambda x, y: x * y, forward, backward)


@pytest.mark.smoke
def test_custom_rule_is_used_everywhere():
    f = doubled(10.0)
    np.testing.assert_allclose(f(X, 2.0), 2 * X)
    want = np.full(3, 20.0), 10 * X.sum()
    for transform in (
        lambda h: gv.grad(h, argnums=(0, 1)),
        lambda h: gv.compile(gv.grad(h, argnums=(0, 1))),
        lambda h: gv.grad(gv.compile(h), argnums=(0, 1)),
        lambda h: lambda x, y: gv.vjp(h, x, y)[1](1.0),
        lambda h: gv.grad(gv.checkpoint(h), argnums=(0, 1)),
    ):
        gx, gy = transform(lambda x, y: f(x, y).sum())(X, 2.0)
        np.testing.assert_allclose(gx, want[0])
        assert gy == pytest.approx(want[1])
    per_example = gv.vmap(gv.grad(f), in_axes=(0, None))(X, 2.0)
    np.testing.assert_allclose(per_example, want[0])
    through_scan = gv.grad(
        lambda x: gv.scan(lambda c, v: (c + f(v, 2.0), None), 0.0, x)[0]
    )(X)
    np.testing.assert_allclose(through_scan, want[0])


def test_custom_rule_can_be_differentiated_again():
    f = gv.custom_vjp(
        lambda x: x**3, lambda x: (x**3, x), lambda x, g: (g * 3 * x * x,)
    )
    assert gv.grad(gv.grad(f))(2.0) == pytest.approx(12.0)
    assert gv.hvp(lambda x: f(x).sum(), X, np.ones(3)) == pytest.approx(6 * X)


def test_custom_rule_with_nests_static_arguments_and_zeros():
    f = gv.custom_vjp(
        lambda p, n, z: {"out": p["a"] * n + z},
        lambda p, n, z: ({"out": p["a"] * n + z}, None),
        lambda res, g: ({"a": 7 * g["out"], "b": None}, None, None),
    )
    ga, gz = gv.grad(lambda p, z: f(p, 3, z)["out"].sum(), argnums=(0, 1))(
        {"a": X, "b": X}, 1.0
    )
    np.testing.assert_array_equal(ga["a"], np.full(3, 7.0))
    np.testing.assert_array_equal(ga["b"], np.zeros(3))
    assert gz == 0.0


def test_custom_rule_closing_over_a_traced_value():
    def outer(w):
        f = gv.custom_vjp(
            lambda x: x * w, lambda x: (x * w, x), lambda x, g: (g * w + 0 * x,)
        )
        return gv.grad(lambda x: f(x).sum())(X).sum() * w

    assert outer(2.0) == 12.0
    assert gv.grad(outer)(2.0) == pytest.approx(12.0)


def test_wrong_custom_rules_are_named():
    def use(forward, backward):
        f = gv.custom_vjp(lambda x: x * 2, forward, backward)
        return gv.grad(lambda x: f(x).sum())(X)

    with pytest.raises(TypeError, match=r"forward must return \(out, residuals\)"):
        use(lambda x: x * 2, lambda r, g: (g,))
    with pytest.raises(ValueError, match="tuple of 1 cotangents"):
        use(lambda x: (x * 2, x), lambda r, g: (g, g))
    with pytest.raises(ValueError, match=r"shape \(\), its argument \(3,\)"):
        use(lambda x: (x * 2, x), lambda r, g: (g.sum(),))
    with pytest.raises(ValueError, match=r"float64\[\] where f gives float64\[3\]"):
        use(lambda x: (x.sum(), x), lambda r, g: (g,))


# --- external ---
def cube(calls):
    def f(x):
        assert type(x) is np.ndarray
        calls.append(x.shape)
        return x**3

    return gv.external(f, vjp=lambda args, out, g: (3 * args[0] ** 2 * g,))


def test_external_is_a_node():
    calls = []
    f = cube(calls)
    np.testing.assert_allclose(f(X), X**3)
    np.testing.assert_allclose(gv.grad(lambda x: f(x).sum())(X), 3 * X**2)
    g = gv.compile(lambda x: f(x) * 2)
    np.testing.assert_allclose(g(X), 2 * X**3)
    np.testing.assert_allclose(g(X + 1), 2 * (X + 1) ** 3)
    n = len(calls)
    g(X)
    assert len(calls) == n + 1
    np.testing.assert_allclose(gv.vmap(f)(np.stack([X, 2 * X])), [X**3, 8 * X**3])
    carry, _ = gv.scan(lambda c, x: (c + f(x), None), 0.0, X)
    assert carry == pytest.approx((X**3).sum())


def test_external_with_several_results_and_static_arguments():
    def f(x, how, y):
        assert how == "up"
        return np.cumsum(x), np.array(x @ y)

    def out(x, how, y):
        return x, type(x)((), x.dtype)

    def back(args, out, g):
        x, _, y = args
        assert len(out) == 2
        return np.cumsum(g[0][::-1])[::-1] + g[1] * y, None, g[1] * x

    h = gv.external(f, out, back)
    g = gv.grad(lambda x, y: (lambda a, b: (a * a).sum() + b)(*h(x, "up", y)), (0, 1))
    gx, gy = g(X, np.ones(3))
    np.testing.assert_allclose(gx, np.cumsum(2 * np.cumsum(X)[::-1])[::-1] + 1)
    np.testing.assert_allclose(gy, X)


def test_external_may_use_transforms_inside():
    inner = gv.external(lambda x: gv.grad(lambda y: (y**2).sum())(x))
    np.testing.assert_allclose(gv.compile(lambda x: inner(x) + 1)(X), 2 * X + 1)

    def on_values(x):
        y = inner(x)
        return x.sum() if y[0] > 0 else -x.sum()

    np.testing.assert_allclose(gv.grad(on_values)(X), np.ones(3))


def test_external_errors():
    with pytest.raises(ValueError, match=r"shape \(2,\), declared \(3,\)"):
        gv.external(lambda x: x[:2])(X)
    with pytest.raises(ValueError, match=r"shape \(2,\), declared \(3,\)"):
        gv.compile(gv.external(lambda x: x[:2]))(X)
    with pytest.raises(TypeError, match="complex128, declared float64"):
        gv.compile(gv.external(lambda x: x * 1j))(X)
    with pytest.raises(TypeError, match=r"external.*no.*derivative"):
        gv.grad(lambda x: gv.external(lambda x: x)(x).sum())(X)

    def fails(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        gv.compile(gv.external(fails))(X)
    assert type(gv.grad(lambda x: x * x)(2.0)) is np.float64
