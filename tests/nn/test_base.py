"""Layers as functions of nested dicts: seeds, dtypes, states, keys, errors."""

import os
import subprocess
import sys

import numpy as np
import pytest

import gradiverse as gv
from gradiverse.nn.initialisers import initialiser


class Noise(gv.nn.Layer):
    """Adds a draw to x and counts its uses in a state."""

    def _state(self, dtype):
        return {"uses": np.zeros((), dtype)}

    def _forward(self, params, x, context):
        if context.train:
            x = x + gv.random.uniform(context.key(), x.shape, "float32")
        if context.state is not None:
            context.update({"uses": context.state["uses"] + 1})
        return x


class Scale(gv.nn.Layer):
    """One parameter."""

    def _parameters(self, rng, dtype):
        return {"scale": rng.normal(size=()).astype(dtype)}

    def _forward(self, params, x, context):
        return params["scale"] * x


X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def leaves(nest):
    """Arrays of a nest."""
    return gv.flatten(nest)[0]


@pytest.mark.smoke
def test_a_seed_gives_the_same_parameters_however_it_is_spelt():
    net = gv.nn.MLP((3, 4, 2))
    first = leaves(net.init(7))
    for rng in (7, np.random.SeedSequence(7), np.random.default_rng(7)):
        for a, b in zip(first, leaves(net.init(rng)), strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0], leaves(net.init(8))[0])


def test_double_parameters_are_the_single_ones_before_rounding():
    net = gv.nn.MLP((3, 4, 2))
    single, double = net.init(0), net.init(0, "float64")
    for a, b in zip(leaves(single), leaves(double), strict=True):
        assert (a.dtype, b.dtype) == (np.float32, np.float64)
        np.testing.assert_array_equal(a, b.astype(np.float32))
    assert net.apply(single, X.astype(float)).dtype == np.float32
    assert net.apply(double, X).dtype == np.float64


def test_unseeded_starts_and_other_dtypes_are_refused():
    net = gv.nn.Linear(3, 2)
    for rng in (None, gv.random.key(0), 1.5):
        with pytest.raises(TypeError, match="rng must be a seed"):
            net.init(rng)
    with pytest.raises(TypeError, match="float32 or float64"):
        net.init(0, "float16")
    with pytest.raises(TypeError, match="x must be float32"):
        net.apply(net.init(0), np.ones((2, 3), int))


def test_params_of_another_network_are_named():
    net = gv.nn.MLP((3, 4, 2))
    params = net.init(0)
    with pytest.raises(ValueError, match="weight has shape"):
        gv.nn.MLP((3, 5, 2)).apply(params, X)
    with pytest.raises(ValueError, match=r"no 'weight'.*init"):
        net.apply({"0": params["0"]}, X)
    with pytest.raises(TypeError, match="params must be a dict"):
        gv.nn.Linear(3, 2).apply([1.0], X)
    with pytest.raises(ValueError, match="last axis must be 3"):
        net.apply(params, X[:, :2])


def test_layers_without_parameters_or_states_take_no_room():
    net = gv.nn.Sequential(Scale(), gv.nn.Activation("tanh"), Noise())
    assert sorted(net.init(0)) == ["0"]
    assert sorted(net.init_state()) == ["2"]
    assert gv.nn.MLP((3, 2)).init_state() == {}


def test_states_go_in_and_come_out_and_the_old_one_stays():
    net = gv.nn.Sequential(Noise(), gv.nn.Sequential(Scale(), Noise()))
    params, state = net.init(0), net.init_state()
    for n in (1, 2):
        _, state = net.apply(params, X, state=state)
        assert state["0"]["uses"] == n
        assert state["1"]["1"]["uses"] == n
    assert net.init_state()["0"]["uses"] == 0
    assert isinstance(net.apply(params, X), np.ndarray)  # without a state: y alone
    with pytest.raises(TypeError, match="state must be a dict"):
        net.apply(params, X, state=1)


def test_every_layer_draws_with_a_key_of_its_own():
    net = gv.nn.Sequential(Noise(), Noise())
    key = gv.random.key(3)
    y = net.apply({}, np.zeros((4, 4), np.float32), train=True, rng=key)
    again = net.apply({}, np.zeros((4, 4), np.float32), train=True, rng=key)
    np.testing.assert_array_equal(y, again)
    one = Noise().apply({}, np.zeros((4, 4), np.float32), train=True, rng=key)
    assert not np.allclose(y, 2 * one)  # the second draw is not the first again
    with pytest.raises(ValueError, match="give rng="):
        net.apply({}, X, train=True)
    np.testing.assert_array_equal(net.apply({}, X), X)


class Twice(gv.nn.Layer):
    """A child used twice under one name."""

    def __init__(self, layer):
        self.layer = layer

    def _children(self):
        return {"inner": self.layer}

    def _forward(self, params, x, context):
        x = self._run("inner", self.layer, params, x, context)
        return self._run("inner", self.layer, params, x, context)


def test_a_layer_with_a_state_cannot_be_used_twice_in_one_application():
    net = Twice(Noise())
    with pytest.raises(ValueError, match="used twice"):
        net.apply({}, X, state=net.init_state())
    net = Twice(Scale())
    params = net.init(0)
    factor = params["inner"]["scale"] ** 2
    np.testing.assert_allclose(net.apply(params, X, state={})[0], factor * X, rtol=1e-6)


def test_a_network_prints_as_it_was_made():
    assert repr(gv.nn.MLP((3, 8, 1))) == "MLP((3, 8, 1))"
    assert repr(gv.nn.Linear(3, 2, bias=False)) == "Linear(3, 2, bias=False)"
    net = gv.nn.Sequential(gv.nn.Linear(3, 2), gv.nn.Activation("tanh"))
    assert repr(net) == "Sequential(Linear(3, 2), Activation('tanh'))"


@pytest.mark.parametrize(
    ("name", "sd"),
    [
        ("torch", 1 / np.sqrt(3 * 40)),  # uniform within b: sd b / sqrt(3)
        ("he_uniform", np.sqrt(2 / 40)),
        ("he_normal", np.sqrt(2 / 40)),
        ("xavier_uniform", np.sqrt(2 / 100)),
        ("xavier_normal", np.sqrt(2 / 100)),
        (1e-3, 1e-3 / np.sqrt(3)),
    ],
)
def test_first_weights_have_the_spread_of_their_definition(name, sd):
    w = initialiser(name)(np.random.default_rng(0), (60, 40), 40, 60, "float64")
    n = w.size  # sd of the mean sd/sqrt(n), of the sd at most sd/sqrt(2n)
    assert abs(w.mean()) < 5 * sd / np.sqrt(n)
    assert abs(w.std() / sd - 1) < 5 / np.sqrt(2 * n)
    if not str(name).endswith("normal"):
        assert np.abs(w).max() <= sd * np.sqrt(3)


def test_other_initialisers():
    rng = np.random.default_rng(0)
    tall = initialiser("orthogonal")(rng, (7, 3), 3, 7, "float64")
    np.testing.assert_allclose(tall.T @ tall, np.eye(3), atol=1e-14)
    assert not initialiser("zeros")(rng, (2, 3), 3, 2, "float32").any()
    own = gv.nn.Linear(3, 2, init_weight=lambda r, shape, i, o, d: np.full(shape, i, d))
    np.testing.assert_array_equal(own.init(0)["weight"], np.full((2, 3), 3.0))
    with pytest.raises(ValueError, match="one of"):
        initialiser("glorot")
    with pytest.raises(ValueError, match="matrix"):
        initialiser("orthogonal")(rng, (3,), 3, 3, "float32")


def test_orthogonal_is_a_function_of_the_seed():
    """NumPy's factors of 300 rows depend on the threads of its BLAS."""
    code = (
        "import gradiverse as gv; l = gv.nn.Linear(300, 300, init_weight='orthogonal');"
        "print(l.init(3, 'float64')['weight'].tobytes().hex())"
    )
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    one, two = (
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True,
            env=os.environ | dict.fromkeys(names, threads),
        ).stdout
        for threads in "12"
    )  # fmt: skip
    w = np.frombuffer(bytes.fromhex(one)).reshape(300, 300)
    np.testing.assert_allclose(w @ w.T, np.eye(300), atol=1e-13)
    assert one == two


def test_networks_take_part_in_every_transform():
    net = gv.nn.MLP((3, 4, 1), activation="tanh")
    params = net.init(0, "float64")
    x = X.astype(float)
    f = lambda x: net.apply(params, x[None])[0, 0]  # noqa: E731
    slope = gv.vmap(gv.grad(f))(x)
    np.testing.assert_allclose(gv.compile(gv.vmap(gv.grad(f)))(x), slope, rtol=1e-14)
    step = 1e-6
    moved = [(f(x[0] + step * e) - f(x[0] - step * e)) / (2 * step) for e in np.eye(3)]
    np.testing.assert_allclose(slope[0], moved, rtol=1e-7, atol=1e-9)
    curve = gv.hvp(f, x[0], np.ones(3))
    moved = (gv.grad(f)(x[0] + step) - gv.grad(f)(x[0] - step)) / (2 * step)
    np.testing.assert_allclose(curve, moved, rtol=1e-6, atol=1e-8)
