"""grad, vjp, jvp, hvp, jacobian: values, structure, nesting, errors."""

import numpy as np
import pytest

import gradiverse as gv

X = np.array([0.3, -1.2, 2.0])


def f(x):
    return (np.sin(x) * x**2).sum()


def df(x):
    return np.cos(x) * x**2 + 2 * x * np.sin(x)


def d2f(x):
    return 4 * x * np.cos(x) + (2 - x**2) * np.sin(x)


@pytest.mark.smoke
def test_grad_of_array_function():
    g = gv.grad(f)(X)
    assert type(g) is np.ndarray and g.dtype == np.float64
    np.testing.assert_allclose(g, df(X), rtol=1e-14)


def test_value_and_grad_returns_both():
    value, g = gv.value_and_grad(f)(X)
    assert isinstance(value, np.float64)
    np.testing.assert_allclose(value, f(X), rtol=1e-14)
    np.testing.assert_allclose(g, df(X), rtol=1e-14)


@pytest.mark.parametrize("x", [3.0, 3, np.float64(3), np.array(3.0)])
def test_scalar_arguments_are_floats(x):
    value, g = gv.value_and_grad(lambda x: x**3)(x)
    assert isinstance(value, np.float64) and isinstance(g, np.float64)
    assert (value, g) == (27.0, 27.0)


def test_integer_argument_still_counts():
    def power(x, n):
        for _ in range(n):
            x = x * 2
        return x * n

    assert gv.grad(power, argnums=(0, 1))(1.5, 3) == (24.0, 12.0)


def test_argnums_select_and_order():
    def h(a, b, c):
        return a * b**2 * c**3

    assert gv.grad(h, argnums=(2, 0))(2.0, 3.0, 5.0) == (2 * 9 * 3 * 25, 9 * 125)
    assert gv.grad(h, argnums=-1)(2.0, 3.0, 5.0) == 2 * 9 * 75
    assert gv.grad(h, argnums=(1,))(2.0, 3.0, 5.0) == (2 * 6 * 125,)


@pytest.mark.parametrize("argnums", [2, (0, 5), (0, 0), (), 0.5])
def test_wrong_argnums(argnums):
    with pytest.raises((ValueError, TypeError), match=r"argnums|iterable"):
        gv.grad(lambda a, b: a * b, argnums=argnums)(1.0, 2.0)


def test_nests_keep_their_structure():
    p = {"w": np.ones((2, 3)), "b": [np.zeros(3), 2.0], "name": "net", "none": None}

    def loss(p):
        assert p["name"] == "net"
        return (p["w"].sum(axis=0) + p["b"][0]).sum() * p["b"][1]

    g = gv.grad(loss)(p)
    assert list(g) == list(p) and g["name"] is None and g["none"] is None
    np.testing.assert_array_equal(g["w"], np.full((2, 3), 2.0))
    np.testing.assert_array_equal(g["b"][0], np.full(3, 2.0))
    assert g["b"][1] == 6.0


def test_aux_comes_back_as_values():
    (_, aux), g = gv.value_and_grad(
        lambda x: ((x * x).sum(), {"x": x, "n": 3, "twice": 2 * x}), has_aux=True
    )(X)
    assert type(aux["x"]) is np.ndarray and aux["n"] == 3
    np.testing.assert_array_equal(aux["twice"], 2 * X)
    np.testing.assert_allclose(g, 2 * X)
    assert not np.shares_memory(aux["x"], X)
    g, aux = gv.grad(lambda x: (x.sum(), 1), has_aux=True)(X)
    assert aux == 1


def test_keywords_and_other_arguments_pass_through():
    def h(x, data, *, power, label="a"):
        assert label == "b" and type(data) is np.ndarray
        return (x**power * data).sum()

    g = gv.grad(h)(X, np.arange(3.0), power=2, label="b")
    np.testing.assert_allclose(g, 2 * X * np.arange(3.0))


def test_argument_that_does_not_matter_has_zero_gradient():
    g = gv.grad(lambda x, y: (y * y).sum(), argnums=(0, 1))(X, np.ones(2))
    np.testing.assert_array_equal(g[0], np.zeros(3))
    assert g[0].dtype == np.float64
    assert gv.grad(lambda x: 4.0)(2.0) == 0.0


# --- nesting ---
def test_gradient_of_gradient():
    np.testing.assert_allclose(gv.grad(lambda x: gv.grad(f)(x).sum())(X), d2f(X))
    g = gv.grad(gv.grad(gv.grad(lambda x: x**5)))
    assert g(2.0) == pytest.approx(240.0)


def test_perturbation_confusion():
    # d/dx [x * d/dy (x + y)] = 1; a mixed up tag gives 2
    assert gv.grad(lambda x: x * gv.grad(lambda y: x + y)(1.0))(1.0) == 1.0
    # the same with the inner point equal to the outer argument
    assert gv.grad(lambda x: x * gv.grad(lambda y: x * y)(x))(3.0) == 6.0

    def jvp_inside(x):
        return x * gv.jvp(lambda y: x * y * y, (x,), (1.0,))[1]

    assert gv.grad(jvp_inside)(2.0) == 2 * 3 * 4  # d/dx (x * 2 x x)
    out, tangent = gv.jvp(jvp_inside, (2.0,), (1.0,))
    assert (out, tangent) == (16.0, 24.0)


@pytest.mark.parametrize(
    "transform",
    [
        lambda h: gv.grad(h),
        lambda h: lambda x: gv.vjp(h, x)[1](1.0)[0],
        lambda h: gv.compile(gv.grad(h)),
        lambda h: gv.grad(gv.compile(h)),
        lambda h: gv.grad(gv.checkpoint(h)),
        lambda h: gv.jacobian(h),
        lambda h: lambda x: gv.vmap(gv.grad(h))(x[None])[0],
        lambda h: lambda x: np.stack([gv.jvp(h, (x,), (e,))[1] for e in np.eye(3)]),
        lambda h: gv.grad(lambda x: gv.vmap(h)(x[None])[0]),
        lambda h: (
            gv.grad(lambda x: gv.scan(lambda c, _: (h(c), None), x, length=0)[0])
            and gv.grad(
                lambda x: gv.scan(lambda c, v: (c + h(v), None), 0.0, x[None])[0]
            )
        ),
        lambda h: gv.grad(lambda x: gv.cond(x[0] > 0, h, lambda x: -h(x), x)),
    ],
)
def test_every_way_to_the_same_gradient(transform):
    np.testing.assert_allclose(transform(f)(X), df(X), rtol=1e-13)


@pytest.mark.parametrize(
    "hessian_vector",
    [
        lambda x, v: gv.hvp(f, x, v),
        lambda x, v: gv.grad(lambda x: (gv.grad(f)(x) * v).sum())(x),
        lambda x, v: gv.grad(lambda x: gv.jvp(f, (x,), (v,))[1])(x),
        lambda x, v: gv.jvp(lambda x: gv.jvp(f, (x,), (v,))[1], (x,), (v,))[1] / v,
        lambda x, v: gv.jacobian(gv.grad(f))(x) @ v,
        lambda x, v: gv.jacobian(gv.jacobian(f))(x) @ v,
        lambda x, v: gv.compile(lambda x, v: gv.hvp(f, x, v))(x, v),
        lambda x, v: gv.vmap(lambda x: gv.hvp(f, x, v))(np.stack([x, x]))[1],
        lambda x, v: gv.vjp(gv.grad(f), x)[1](v)[0],
    ],
)
def test_every_way_to_the_same_hessian(hessian_vector):
    v = np.array([0.0, 1.0, 0.0])  # one entry, so that the j-j-v product compares too
    with np.errstate(all="ignore"):
        got = hessian_vector(X, v)
    np.testing.assert_allclose(got[1], d2f(X)[1], rtol=1e-12)


def test_closing_over_an_outer_variable():
    def outer(x):
        inner = gv.value_and_grad(lambda y: (x * y * y).sum())
        value, g = inner(np.ones(3))
        return value + g.sum()

    np.testing.assert_allclose(gv.grad(outer)(X), np.full(3, 3.0))


def test_inner_transform_of_constants_gives_arrays():
    seen = []

    def outer(x):
        g = gv.grad(f)(X)
        seen.append(type(g))
        return (x * g).sum()

    np.testing.assert_allclose(gv.grad(outer)(X), df(X), rtol=1e-14)
    assert seen == [np.ndarray]


# --- vjp and jvp ---
def test_pullback_can_be_used_again():
    x = X.copy()
    out, pullback = gv.vjp(lambda x, p: np.sin(x) * p["a"], x, {"a": 2.0})
    first = pullback(np.ones(3))
    x[:] = 99.0  # the pullback keeps its own
    second = pullback(np.full(3, 2.0))
    np.testing.assert_allclose(first[0], 2 * np.cos(X), rtol=1e-15)
    np.testing.assert_array_equal(second[0], 2 * first[0])
    assert second[1]["a"] == pytest.approx(2 * np.sin(X).sum())
    first[0][:] = 7.0
    np.testing.assert_array_equal(pullback(np.full(3, 2.0))[0], second[0])
    np.testing.assert_allclose(out, 2 * np.sin(X), rtol=1e-15)


def test_pullback_inside_other_transforms():
    _, pullback = gv.vjp(np.tanh, X)
    rows = gv.vmap(pullback)(np.eye(3))[0]
    np.testing.assert_allclose(rows, np.diag(1 - np.tanh(X) ** 2), rtol=1e-14)
    g = gv.grad(lambda c: (pullback(c)[0] * X).sum())(np.ones(3))
    np.testing.assert_allclose(g, X * (1 - np.tanh(X) ** 2), rtol=1e-14)
    g = gv.compile(lambda c: pullback(c)[0])(np.ones(3))
    np.testing.assert_allclose(g, 1 - np.tanh(X) ** 2, rtol=1e-14)


def test_cotangents_are_checked():
    out, pullback = gv.vjp(lambda x: {"a": x * 2, "b": x.sum()}, X)
    assert set(out) == {"a", "b"}
    with pytest.raises(ValueError, match="shaped"):
        pullback([np.ones(3), 1.0])
    with pytest.raises(ValueError, match=r"\['a'\] has shape \(2,\), expected \(3,\)"):
        pullback({"a": np.ones(2), "b": 1.0})
    with pytest.raises(TypeError, match="complex128, expected float64"):
        pullback({"a": np.ones(3), "b": 1j})
    np.testing.assert_allclose(pullback({"a": np.zeros(3), "b": 1})[0], np.ones(3))


def test_vjp_of_integer_arguments_gives_none():
    index = np.array([2, 0])
    _, pullback = gv.vjp(lambda x, i: x[i], X, index)
    g, none = pullback(np.array([1.0, 10.0]))
    np.testing.assert_array_equal(g, [10.0, 0.0, 1.0])
    assert none is None


def test_jvp_with_nests():
    out, tangent = gv.jvp(
        lambda p, s: {"y": p["x"] * s, "n": "static"},
        ({"x": X}, 2.0),
        ({"x": np.ones(3)}, 1.0),
    )
    np.testing.assert_allclose(out["y"], 2 * X)
    np.testing.assert_allclose(tangent["y"], 2 + X)
    assert out["n"] == "static" and tangent["n"] is None
    with pytest.raises(ValueError, match="tangent 0 has shape"):
        gv.jvp(f, (X,), (np.ones(2),))
    with pytest.raises(ValueError, match="2 primals and 1 tangents"):
        gv.jvp(lambda a, b: a * b, (1.0, 2.0), (1.0,))


# --- jacobian ---
@pytest.mark.parametrize(("rows", "columns"), [(2, 5), (5, 2), (3, 3), (1, 1)])
def test_jacobian_both_ways(rows, columns):
    rng = np.random.default_rng(0)
    a = rng.normal(size=(rows, columns))
    x = rng.normal(size=columns)
    j = gv.jacobian(lambda x: np.sin(a @ x))(x)
    np.testing.assert_allclose(j, np.cos(a @ x)[:, None] * a, rtol=1e-13)


def test_jacobian_shapes_and_nests():
    x = np.arange(6.0).reshape(2, 3)
    j = gv.jacobian(lambda x: {"t": x.T, "s": x.sum()})(x)
    assert j["t"].shape == (3, 2, 2, 3) and j["s"].shape == (2, 3)
    want = np.zeros((3, 2, 2, 3))
    for i in range(3):
        for k in range(2):
            want[i, k, k, i] = 1
    np.testing.assert_array_equal(j["t"], want)
    ja, jb = gv.jacobian(lambda a, b: a * b, argnums=(0, 1))(X, 2.0)
    np.testing.assert_array_equal(ja, 2 * np.eye(3))
    np.testing.assert_array_equal(jb, X)
    assert gv.jacobian(lambda x: x[:0])(X).shape == (0, 3)
    assert gv.jacobian(lambda x: 2.0 * np.ones(4))(X).shape == (4, 3)


# --- complex ---
def test_complex_gradient_points_uphill():
    assert gv.grad(lambda z: (z**2).real)(1 + 2j) == 2 - 4j
    g = gv.grad(lambda z: (np.abs(z) ** 2).sum())(np.array([1 + 2j, 3j]))
    np.testing.assert_allclose(g, [2 + 4j, 6j])


def test_complex_adjoint_is_conjugate():
    rng = np.random.default_rng(1)
    a = rng.normal(size=(3, 2)) + 1j * rng.normal(size=(3, 2))
    z = rng.normal(size=2) + 1j * rng.normal(size=2)
    u = rng.normal(size=3) + 1j * rng.normal(size=3)
    _, pullback = gv.vjp(lambda z: a @ z, z)
    np.testing.assert_allclose(pullback(u)[0], a.conj().T @ u, rtol=1e-13)
    _, tangent = gv.jvp(lambda z: a @ z, (z,), (z,))
    np.testing.assert_allclose(tangent, a @ z, rtol=1e-13)


# --- errors ---
def test_grad_of_what_is_not_one_real_number():
    with pytest.raises(TypeError, match=r"shape \(3,\).*jacobian"):
        gv.grad(lambda x: x)(X)
    with pytest.raises(TypeError, match=r"complex128; take \.real"):
        gv.grad(lambda z: z * z)(1j)
    with pytest.raises(TypeError, match="has_aux"):
        gv.grad(lambda x: (x.sum(), x))(X)
    with pytest.raises(TypeError, match="has_aux=True"):
        gv.grad(lambda x: x.sum(), has_aux=True)(X)
    with pytest.raises(TypeError, match="returned str"):
        gv.grad(lambda x: "no")(X)
    with pytest.raises(TypeError, match="function"):
        gv.grad(3.0)


def test_integer_arrays_have_no_gradient():
    with pytest.raises(TypeError, match=r"argument 0.*int64.*no derivative"):
        gv.grad(lambda x: x.sum())(np.arange(3))
    with pytest.raises(
        TypeError, match=r"argument 1\['i'\] of <lambda> has dtype int64"
    ):
        gv.grad(lambda x, p: x * p["i"].sum(), argnums=(0, 1))(1.0, {"i": np.arange(3)})
    with pytest.raises(TypeError, match="nothing to differentiate"):
        gv.grad(lambda x: 1.0)("text")


def test_stop_gradient():
    assert gv.grad(lambda x: x * gv.stop_gradient(x))(3.0) == 3.0
    assert gv.jvp(lambda x: gv.stop_gradient(x), (3.0,), (1.0,))[1] == 0.0
    nested = gv.stop_gradient({"a": X, "b": None})
    assert nested["a"] is X and nested["b"] is None
