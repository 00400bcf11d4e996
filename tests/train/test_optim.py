"""Optimisers and schedules against loops written from the papers' formulas.

Against torch: tests/nn/test_torch.py.
"""

import inspect
import math

import numpy as np
import pytest

import gradiverse as gv

SHAPES = {"a": (3, 4), "b": (), "c": [(5,), (2, 1, 2)]}


def _nest(rng, dtype):
    def draw(shape):
        return rng.normal(size=shape).astype(dtype) * np.ones((), dtype)

    return {
        "a": draw((3, 4)), "b": np.asarray(draw(())), "c": [draw((5,)), draw((2, 1, 2))]
    }  # fmt: skip


def _leaves(nest):
    return gv.flatten(nest)[0]


def _sgd(p, g, s, t, lr, momentum=0.0, nesterov=False, weight_decay=0.0):
    g = g + weight_decay * p
    if not momentum:
        return p - lr * g
    s["u"] = momentum * s.get("u", 0.0) + g
    return p - lr * (g + momentum * s["u"] if nesterov else s["u"])


def _moments(g, s, b1, b2):
    s["m"] = b1 * s.get("m", 0.0) + (1 - b1) * g
    s["v"] = b2 * s.get("v", 0.0) + (1 - b2) * g * g


def _adam(p, g, s, t, lr, b1=0.9, b2=0.999, eps=1e-8, weight_decay=0.0):
    _moments(g + weight_decay * p, s, b1, b2)
    m, v = s["m"] / (1 - b1**t), s["v"] / (1 - b2**t)
    return p - lr * m / (np.sqrt(v) + eps)


def _adamw(p, g, s, t, lr, weight_decay=0.01, **more):
    return _adam(p - lr * weight_decay * p, g, s, t, lr, **more)


def _radam(p, g, s, t, lr, b1=0.9, b2=0.999, eps=1e-8, weight_decay=0.0):
    _moments(g + weight_decay * p, s, b1, b2)
    m = s["m"] / (1 - b1**t)
    longest = 2 / (1 - b2) - 1
    length = longest - 2 * t * b2**t / (1 - b2**t)
    if length <= 5:
        return p - lr * m
    r = math.sqrt(
        (length - 4) * (length - 2) * longest
        / ((longest - 4) * (longest - 2) * length)
    )  # fmt: skip
    return p - lr * m * r * np.sqrt(1 - b2**t) / (np.sqrt(s["v"]) + eps)


RULES = {
    "sgd": (gv.optim.sgd, _sgd, {}),
    "decayed": (gv.optim.sgd, _sgd, {"weight_decay": 0.1}),
    "momentum": (gv.optim.sgd, _sgd, {"momentum": 0.9}),
    "nesterov": (gv.optim.sgd, _sgd, {"momentum": 0.9, "nesterov": True}),
    "adam": (gv.optim.adam, _adam, {}),
    "adam_l2": (gv.optim.adam, _adam, {"weight_decay": 0.1, "b1": 0.8, "b2": 0.95}),
    "adamw": (gv.optim.adamw, _adamw, {"weight_decay": 0.2}),
    "radam": (gv.optim.radam, _radam, {"b2": 0.98}),
    "radam_long": (gv.optim.radam, _radam, {"weight_decay": 0.1}),
}


@pytest.mark.smoke
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", RULES)
def test_rule_equals_a_numpy_loop(name, dtype):
    """Oracle: the published formulas in float64 on the same gradients. In float32 an
    update of size lr rounds at eps of the parameter, for each of 12 steps."""
    make, rule, options = RULES[name]
    rng = np.random.default_rng(3)
    start = _nest(rng, dtype)
    grads = [_nest(rng, dtype) for _ in range(12)]
    opt = make(0.05, **options)
    params, state = start, opt.init(start)
    step = gv.compile(lambda g, s, p: opt.update(g, s, p))
    for g in grads:
        params, state = step(g, state, params)
    assert int(state["step"]) == 12
    eps = np.finfo(dtype).eps
    for k, x in enumerate(_leaves(start)):
        p, s = x.astype(float), {}
        for t, g in enumerate(grads, 1):
            p = rule(p, _leaves(g)[k].astype(float), s, t, 0.05, **options)
        found = _leaves(params)[k]
        assert found.dtype == dtype
        np.testing.assert_allclose(found, p, rtol=0, atol=40 * eps * (1 + abs(p).max()))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("b2", [0.0, 0.5, 0.6, 2 / 3])
def test_radam_with_a_short_memory(b2):
    """An average of length 5 or less is never rectified: steps along the first moment
    alone, without a warning of what is not used. Oracle: the formula."""
    opt, p, s = gv.optim.radam(0.1, b2=b2), np.array([1.0, -2.0]), {}
    state, wanted = opt.init(p), p
    for t in range(1, 9):
        wanted = _radam(wanted, np.cos(wanted * t), s, t, 0.1, b2=b2)
        p, state = opt.update(np.cos(p * t), state, p)
    np.testing.assert_allclose(p, wanted, rtol=1e-13)


def test_update_leaves_its_arguments():
    """Nothing that is handed in is written to."""
    rng = np.random.default_rng(0)
    params, grads = _nest(rng, "float64"), _nest(rng, "float64")
    opt = gv.optim.average(gv.optim.clip(gv.optim.adam(0.1), 1.0))
    state = opt.init(params)
    before = [x.copy() for x in _leaves((params, grads, state))]
    opt.update(grads, state, params)
    for x, y in zip(_leaves((params, grads, state)), before, strict=True):
        np.testing.assert_array_equal(x, y)


def test_adam_is_one_pass_and_in_place():
    """A step of a loop holds no second copy of parameters and moments."""
    from gradiverse._repeat import Repeat

    n = 1 << 16
    params = np.zeros(n, np.float32)
    opt = gv.optim.adam(1e-3)

    def step(carry, x, fixed):
        params, state = carry
        return opt.update(fixed * params, state, params), ()

    xs = np.zeros(3)
    loop = Repeat(step, (params, opt.init(params)), xs, np.ones(n, np.float32), "test")
    ops = loop.program.ops
    assert ops.count("adam_update") == 1 and "copy" not in ops
    assert loop.program.arena_bytes < 2 * params.nbytes  # the gradient, and scalars


def test_clipping_shrinks_to_the_norm():
    """Oracle: the gradient scaled by norm / |g| by hand; below the norm nothing."""
    rng = np.random.default_rng(1)
    params, grads = _nest(rng, "float64"), _nest(rng, "float64")
    length = math.sqrt(sum((g**2).sum() for g in _leaves(grads)))
    for norm in (0.5 * length, 2 * length):
        opt = gv.optim.clip(gv.optim.sgd(1.0), norm)
        new, _ = opt.update(grads, opt.init(params), params)
        factor = min(1.0, norm / (length + 1e-6))
        for p, q, g in zip(*map(_leaves, (params, new, grads)), strict=True):
            np.testing.assert_allclose(q, p - factor * g, rtol=1e-13, atol=1e-14)
    clipped = gv.optim.clip(gv.optim.adam(0.1), 0.5 * length)
    plain = gv.optim.adam(0.1)
    scaled = gv.map_leaves(lambda g: g * (0.5 * length / (length + 1e-6)), grads)
    a, _ = clipped.update(grads, clipped.init(params), params)
    b, _ = plain.update(scaled, plain.init(params), params)
    for p, q in zip(_leaves(a), _leaves(b), strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-12)


@pytest.mark.parametrize("decay", [0.9, None])
def test_average_of_weights(decay):
    """Oracle: the recursion in NumPy; None is the plain mean."""
    opt = gv.optim.average(gv.optim.sgd(0.1), decay)
    p = np.array([1.0, -1.0])
    state, path, mean = opt.init(p), [], p.copy()
    rng = np.random.default_rng(2)
    for t in range(1, 21):
        p, state = opt.update(rng.normal(size=2), state, p)
        path.append(p)
        d = 0.0 if decay is None else min(decay, (1 + t) / (10 + t))
        mean = d * mean + (1 - d) * p
    wanted = np.mean(path, axis=0) if decay is None else mean
    np.testing.assert_allclose(state["average"], wanted, rtol=1e-13)
    np.testing.assert_array_equal(opt.evaluated(p, state), state["average"])


# --- schedules ---------------------------------------------------------------------
def test_cosine_and_warmup():
    """Closed form at the ends and in between."""
    rate = gv.optim.cosine(2.0, steps=110, warmup=10, final=0.2)
    assert rate(0) == pytest.approx(0.2) and rate(9) == pytest.approx(2.0)
    assert rate(60) == pytest.approx(1.1) and rate(110) == pytest.approx(0.2)
    assert rate(500) == pytest.approx(0.2)
    ramp = gv.optim.warmup(gv.optim.exponential(1.0, 0.5, 10), 4)
    assert ramp(0) == pytest.approx(0.25)
    assert ramp(10) == pytest.approx(0.5) and ramp(20) == pytest.approx(0.25)


def test_one_cycle():
    """Ends and top in closed form."""
    rate = gv.optim.one_cycle(1.0, 101, rise=0.3)
    top = 0.3 * 101 - 1
    assert rate(0) == pytest.approx(1 / 25) and rate(100) == pytest.approx(4e-6)
    assert rate(top) == pytest.approx(1.0)
    assert rate((top + 100) / 2) == pytest.approx((1 + 4e-6) / 2)


@pytest.mark.parametrize("epochs", [1, 2, 3, 7])
@pytest.mark.parametrize(
    "make",
    [
        lambda n, per: gv.optim.one_cycle(1.0, rise=0.5, per=per),
        lambda n, per: gv.optim.one_cycle(1.0, 0.8 * n, start=0.2, per=per),
        lambda n, per: gv.optim.cosine(1.0, warmup=0.25 * n, per=per),
        lambda n, per: gv.optim.exponential(1.0, 0.5, n / 3, per=per),
        lambda n, per: gv.optim.warmup(gv.optim.one_cycle(1.0), n / 2, per=per),
        lambda n, per: gv.optim.warmup(gv.optim.staircase(1.0, 0.9, 1), n, per=per),
    ],
)
def test_lengths_in_epochs(make, epochs):
    """Oracle: the same lengths in steps, of which an epoch has 49."""
    by_epoch = make(epochs, "epoch").bind(49 * epochs, 49)
    by_step = make(49 * epochs, "step").bind(49 * epochs, 49)
    found, wanted = (
        [float(rate(t)) for t in range(49 * epochs)] for rate in (by_epoch, by_step)
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-15)


def test_one_cycle_over_one_epoch():
    """It rises to lr and falls to the end, also where the length is an epoch or two."""
    for epochs in (1, 2, 3):
        rate = gv.optim.one_cycle(1.0, rise=0.5, per="epoch").bind(50 * epochs, 50)
        path = np.array([float(rate(t)) for t in range(50 * epochs)])
        assert abs(np.argmax(path) + 1 - 25 * epochs) <= 1 and path.max() > 0.99
        assert path[0] == pytest.approx(1 / 25) and path[-1] == pytest.approx(4e-6)


def test_staircase_and_exponential():
    """lr factor^(t/every), with and without stairs."""
    stairs = gv.optim.staircase(1.0, 0.1, 10)
    assert [round(float(stairs(t)), 6) for t in (0, 9, 10, 25)] == [1, 1, 0.1, 0.01]
    smooth = gv.optim.exponential(1.0, 0.1, 10)
    assert float(smooth(5)) == pytest.approx(10**-0.5)


def test_schedules_are_traced():
    """The rate of a traced step, and lengths in epochs bound by the training."""
    rate = gv.optim.cosine(1.0, warmup=1, per="epoch").bind(40, 4)
    traced = gv.compile(lambda t: rate(t))
    for t in range(0, 44, 3):
        assert float(traced(np.int64(t))) == pytest.approx(float(rate(t)), abs=1e-15)
    assert rate(40) == pytest.approx(0.0) and rate(3) == pytest.approx(1.0)
    assert rate(0) == pytest.approx(0.25) and rate(22) == pytest.approx(0.5)


def test_schedule_without_length_is_an_error():
    """Outside of fit nobody knows how long the training is."""
    with pytest.raises(ValueError, match="steps is needed"):
        gv.optim.cosine(1.0)(3)


def test_plateau():
    """Oracle: torch's rule by hand: patience 1, so the third epoch without a gain of
    1e-4 of the loss lowers the rate; the cool-down postpones the next count."""
    opt = gv.optim.sgd(gv.optim.plateau(1.0, factor=0.5, patience=1, cooldown=1))
    state = opt.init(np.zeros(1))
    rates = []
    for loss in (1.0, 0.9, 0.9, 0.89999, 0.95, 0.95, 0.95, 0.95, 0.1):
        opt.observe(state, loss)
        rates.append(float(opt.rate(state)))
    assert rates == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]


NUMBERS = {
    "lr": (-1.0, 0.0),
    "b1": (-0.1, 1.0),
    "b2": (-0.1, 1.0),
    "eps": (0.0, -1e-8),
    "momentum": (-0.1, 1.0),
    "weight_decay": (-1.0,),
    "norm": (0.0, -1.0),
    "decay": (0.0, 1.0),
    "steps": (0, -1),
    "warmup": (-1,),
    "rise": (-0.1, 1.0),
    "start": (-0.1,),
    "final": (-0.1,),
    "factor": (0.0, -1.0),
    "every": (0, -1),
    "patience": (-1, 2.5),
    "cooldown": (-1, 2.5),
    "threshold": (-1e-4,),
    "least": (-1.0, 2.0),
    "history": (0, 2.5),
    "tolerance": (0.0,),
    "max_evaluations": (0, 2.5),
}
MAKERS = {
    "sgd": {"lr": 1.0},
    "adam": {"lr": 1.0},
    "adamw": {"lr": 1.0},
    "radam": {"lr": 1.0},
    "lbfgs": {},
    "clip": {"opt": gv.optim.sgd(1.0), "norm": 1.0},
    "average": {"opt": gv.optim.sgd(1.0)},
    "cosine": {"lr": 1.0},
    "one_cycle": {"lr": 1.0},
    "exponential": {"lr": 1.0, "factor": 0.5},
    "staircase": {"lr": 1.0, "factor": 0.5, "every": 2},
    "warmup": {"lr": 1.0, "steps": 3},
    "plateau": {"lr": 1.0},
}


@pytest.mark.parametrize("name", MAKERS)
def test_bad_numbers(name):
    """Every number that is out of its range, no number, or not finite."""
    make, given = getattr(gv.optim, name), MAKERS[name]
    make(**given)
    tried = set()
    for key in set(inspect.signature(make).parameters) & set(NUMBERS):
        wrong = [*NUMBERS[key], math.nan, math.inf, -math.inf, "0.5", True, 1j, [0.5]]
        for value in wrong:
            with pytest.raises(
                ValueError, match=rf"gv\.optim\.{name}.*\b{key}\b.*must"
            ):
                make(**given | {key: value})
        tried.add(key)
    rest = set(inspect.signature(make).parameters) - tried
    assert rest <= {"opt", "per", "nesterov"}


@pytest.mark.parametrize(
    "make",
    [
        lambda: gv.optim.sgd(1.0, nesterov=True),
        lambda: gv.optim.cosine(1.0, per="hour"),
        lambda: gv.optim.plateau(1.0, factor=1.0),
        lambda: gv.optim.warmup(1.0, None),
        lambda: gv.optim.adam(None),
        lambda: gv.optim.average(gv.optim.sgd(1.0), 1.0),
    ],
)
def test_bad_choices(make):
    """Each says what is wrong."""
    with pytest.raises(ValueError, match=r"must|needs|give"):
        make()


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64])
def test_numbers_of_numpy(kind):
    """They count as Python's do, and leave parameters in single precision."""
    one, zero = kind(1), kind(0)
    p = np.ones(3, np.float32)
    for opt in (
        gv.optim.sgd(one, momentum=zero, weight_decay=one),
        gv.optim.sgd(one, momentum=np.float64(0.5), weight_decay=one),
        gv.optim.clip(gv.optim.adamw(one, one, b1=zero, b2=zero, eps=one), one),
        gv.optim.radam(gv.optim.plateau(one, least=zero, patience=np.int64(3))),
        gv.optim.sgd(gv.optim.one_cycle(one, kind(4), rise=zero, start=zero)),
        gv.optim.sgd(gv.optim.cosine(one, kind(4), warmup=one, final=zero)),
        gv.optim.average(gv.optim.adam(one), np.float64(0.5)),
    ):
        new, state = opt.update(p, opt.init(p), p)
        assert new.dtype == np.float32
        for m in ("velocity", "m", "v", "average"):
            assert state.get(m, p).dtype == np.float32


def test_bad_nests():
    """Complex parameters, and gradients of another shape of nest."""
    opt = gv.optim.adam(0.1)
    with pytest.raises(TypeError, match="complex128"):
        opt.init(np.zeros(2, complex))
    p = {"a": np.zeros(2)}
    with pytest.raises(ValueError, match="the gradient is"):
        opt.update({"b": np.zeros(2)}, opt.init(p), p)
    with pytest.raises(TypeError, match="not an optimiser"):
        gv.optim.clip(3, 1.0)
