"""What gradiverse and torch compute alike: `CASES`, by name.

A case is (by gradiverse, by torch, tolerances): two functions of a dtype that return a
dict of arrays, and for each dtype the largest difference in units of the largest entry.
"""

from functools import partial

import numpy as np

import gradiverse as gv
from gradiverse import optim
from gradiverse.nn import losses

from . import torch_layers as layers
from .torch_layers import normal, numbers, single

try:
    import torch
    from torch import nn as T
    from torch.nn import functional as F
except ImportError:
    torch = None

TOLERANCES = {"float32": 2e-5, "float64": 1e-10}


def arrays(**tensors):
    """Tensors as arrays."""
    return {name: x.detach().numpy() for name, x in tensors.items()}


def differences(found, wanted, dtype, tolerance):
    """What is wrong with the arrays found: a list of lines."""
    if set(found) != set(wanted):
        return [f"{sorted(found)} instead of {sorted(wanted)}"]
    # a bias in front of a norm has no effect: rounding errors on both sides
    slopes = [np.abs(x).max(initial=0) for k, x in found.items() if "gradient of" in k]
    zero = 0.1 * tolerance * max(slopes, default=0.0)
    wrong = []
    for key, theirs in wanted.items():
        mine = np.asarray(found[key])
        if mine.shape != theirs.shape or mine.dtype != dtype:
            wrong.append(f"{key}: {mine.dtype}{mine.shape}, not {dtype}{theirs.shape}")
            continue
        size = np.abs(theirs).max(initial=0)
        gap = np.abs(mine - theirs).max(initial=0)
        small = "gradient of" in key and size <= zero and gap <= zero
        if not (small or gap <= tolerance * size):
            wrong.append(
                f"{key}: differs by {gap:.2g}, the largest entry is {size:.2g}"
            )
    return wrong


# --- batch norm: three batches in training, then use --------------------------------
RUNNING = {"0d": (9, 3), "1d": (4, 3, 7), "2d": (4, 3, 5, 6), "3d": (2, 3, 4, 5, 2)}


def running_data(kind, dtype):
    """Three batches, one to use, and weights of its outputs."""
    rng = numbers(f"running {kind}")
    batches = [single(2 + 3 * rng.normal(size=RUNNING[kind]), dtype) for _ in range(3)]
    return batches, *(normal(rng, RUNNING[kind], dtype) for _ in range(2))


def running(kind, dtype):
    batches, x, w = running_data(kind, dtype)
    layer = gv.nn.BatchNorm(3, momentum=0.2)
    params, state = layer.init(0, dtype), layer.init_state(dtype)
    found = {}
    for i, batch in enumerate(batches):
        found[f"training {i}"], state = layer.apply(
            params, batch, state=state, train=True
        )
    found |= {"mean": state["running_mean"], "var": state["running_var"]}
    found["use"] = layer.apply(params, x, state=state)[0]
    found["gradient of x"] = gv.grad(
        lambda x: (layer.apply(params, x, state=state)[0] * w).sum()
    )(x)
    return found


def torch_running(kind, dtype):
    batches, x, w = running_data(kind, dtype)
    made = T.BatchNorm1d if kind == "0d" else getattr(T, f"BatchNorm{kind}")
    twin = made(3, momentum=0.2).to(getattr(torch, dtype))
    found = {f"training {i}": twin(torch.tensor(b)) for i, b in enumerate(batches)}
    found |= {"mean": twin.running_mean, "var": twin.running_var}
    twin.eval()
    at = torch.tensor(x, requires_grad=True)
    found["use"] = twin(at)
    (found["use"] * torch.tensor(w)).sum().backward()
    return arrays(**found, **{"gradient of x": at.grad})


# --- activations, at the kink too ---------------------------------------------------
ACTIVATIONS = {
    "elu": lambda x: F.elu(x),
    "gelu": lambda x: F.gelu(x),
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "identity": lambda x: x,
    "leaky_relu": lambda x: F.leaky_relu(x),
    "relu": lambda x: F.relu(x),
    "selu": lambda x: F.selu(x),
    "sigmoid": lambda x: torch.sigmoid(x),
    "silu": lambda x: F.silu(x),
    "softplus": lambda x: F.softplus(x),
    "tanh": lambda x: torch.tanh(x),
}
PLACES = np.concatenate([np.linspace(-6, 6, 48), [0.0, -0.0]])


def activation(name, dtype):
    f, x = gv.nn.activation(name), single(PLACES, dtype)
    return {"value": f(x), "gradient of x": gv.grad(lambda x: f(x).sum())(x)}


def torch_activation(name, dtype):
    at = torch.tensor(single(PLACES, dtype), requires_grad=True)
    y = ACTIVATIONS[name](at)
    y.sum().backward()
    return arrays(value=y, **{"gradient of x": at.grad})


# --- losses -------------------------------------------------------------------------
def soft(t):
    """Softmax along axis 1."""
    e = np.exp(t - t.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


LOSSES = {
    "mse": (losses.mse, lambda p, t, **k: F.mse_loss(p, t, **k)),
    "mae": (losses.mae, lambda p, t, **k: F.l1_loss(p, t, **k)),
    "huber": (
        lambda p, t, **k: losses.huber(p, t, 0.7, **k),
        lambda p, t, **k: F.huber_loss(p, t, delta=0.7, **k),
    ),
    "bce": (
        lambda p, t, **k: losses.bce_with_logits(p, 1 / (1 + np.exp(-t)), **k),
        lambda p, t, **k: F.binary_cross_entropy_with_logits(p, t.sigmoid(), **k),
    ),
    "nll": (
        lambda p, t, **k: losses.gaussian_nll(p, t, 0.5 * p, full=True, **k),
        lambda p, t, **k: F.gaussian_nll_loss(p, t, (0.5 * p).exp(), full=True, **k),
    ),
    "soft": (
        lambda p, t, **k: losses.cross_entropy(p, soft(t), axis=1, **k),
        lambda p, t, **k: F.cross_entropy(p, torch.softmax(t, 1), **k),
    ),
    "labels": (
        lambda p, t, **k: losses.cross_entropy(p, t.argmax(1), axis=1, **k),
        lambda p, t, **k: F.cross_entropy(p, t.argmax(1), **k),
    ),
    "smooth": (
        lambda p, t, **k: losses.cross_entropy(
            p, t.argmax(1), axis=1, smoothing=0.1, **k
        ),
        lambda p, t, **k: F.cross_entropy(p, t.argmax(1), label_smoothing=0.1, **k),
    ),
}


def loss_data(name, dtype):
    rng = numbers(name)
    return [normal(rng, (6, 4, 5), dtype) for _ in range(2)]


def loss(name, dtype):
    p, t = loss_data(name, dtype)
    found = {}
    for how in ("mean", "sum", "none"):
        f = partial(LOSSES[name][0], reduction=how)
        found[f"{how}: value"] = np.asarray(f(p, t))
        g = gv.grad(lambda p, t=t, f=f: f(p, t).sum())(p)
        found[f"{how}: gradient of p"] = g
    return found


def torch_loss(name, dtype):
    p, t = map(torch.tensor, loss_data(name, dtype))
    found = {}
    for how in ("mean", "sum", "none"):
        at = p.clone().requires_grad_()
        found[f"{how}: value"] = y = LOSSES[name][1](at, t, reduction=how)
        y.sum().backward()
        found[f"{how}: gradient of p"] = at.grad
    return arrays(**found)


# --- optimisers: weights after 1, 10, 20 and 30 steps -------------------------------
OPTIMISERS = {
    "sgd": (optim.sgd, "SGD", {}),
    "decayed": (optim.sgd, "SGD", {"weight_decay": 0.1}),
    "momentum": (optim.sgd, "SGD", {"momentum": 0.9}),
    "nesterov": (optim.sgd, "SGD", {"momentum": 0.9, "nesterov": True}),
    "adam": (optim.adam, "Adam", {}),
    "adam_l2": (optim.adam, "Adam", {"weight_decay": 0.1, "b1": 0.8, "b2": 0.95}),
    "adamw": (optim.adamw, "AdamW", {"weight_decay": 0.2}),
    "radam": (optim.radam, "RAdam", {"b2": 0.98}),
    "radam_long": (optim.radam, "RAdam", {"weight_decay": 0.1}),
}
KEPT = (0, 9, 19, 29)


def steps(dtype):
    """First weights, and the gradients of 30 steps."""
    rng = numbers("steps")

    def draw():
        return {"a": normal(rng, (4, 3), dtype), "b": normal(rng, (5,), dtype)}

    return draw(), [draw() for _ in range(30)]


def walked(opt, dtype):
    """By an optimiser of gradiverse; the average, if there is one, at the end."""
    params, grads = steps(dtype)
    state, found = opt.init(params), {}
    for t, g in enumerate(grads):
        params, state = opt.update(g, state, params)
        if t in KEPT:
            found |= {f"{n} after {t}": x for n, x in params.items()}
    for n, x in state.get("average", {}).items():
        found[f"mean of {n}"] = x
    return found


def torch_walked(make, dtype, norm=None, mean=False):
    """By an optimiser of torch; norm: clipped; mean: averaged too."""
    params, grads = steps(dtype)
    model = T.ParameterDict(
        {n: T.Parameter(torch.tensor(x)) for n, x in params.items()}
    )
    opt, found = make(model.parameters()), {}
    average = torch.optim.swa_utils.AveragedModel(model) if mean else None
    for t, g in enumerate(grads):
        for n, x in model.items():
            x.grad = torch.tensor(g[n])
        if norm is not None:
            T.utils.clip_grad_norm_(model.parameters(), norm)
        opt.step()
        if mean:
            average.update_parameters(model)
        if t in KEPT:
            found |= {f"{n} after {t}": x.clone() for n, x in model.items()}
    for n, x in average.module.items() if mean else ():
        found[f"mean of {n}"] = x
    return arrays(**found)


def torch_optimiser(name):
    """The function of parameters that makes it."""
    _, kind, how = OPTIMISERS[name]
    how = dict(how)
    if kind != "SGD":
        how["betas"] = how.pop("b1", 0.9), how.pop("b2", 0.999)
    return lambda params: getattr(torch.optim, kind)(params, lr=0.05, **how)


# --- schedules: the rates of all steps ----------------------------------------------
def rising(s, opt, n):
    """Linear from 1/n to 1 in n steps."""
    return s.LinearLR(opt, start_factor=1 / n, total_iters=n - 1)


SCHEDULES = {
    "cosine": (
        optim.cosine(0.5, 40, final=0.01),
        lambda s, opt: s.CosineAnnealingLR(opt, 40, eta_min=0.01),
        40,
    ),
    "cosine_warmup": (
        optim.cosine(0.5, 40, warmup=8),
        lambda s, opt: s.SequentialLR(
            opt, [rising(s, opt, 8), s.CosineAnnealingLR(opt, 32)], [8]
        ),
        40,
    ),
    "one_cycle": (
        optim.one_cycle(0.5, 50),
        lambda s, opt: s.OneCycleLR(opt, 0.5, total_steps=50),
        50,
    ),
    "one_cycle_ends": (
        optim.one_cycle(0.5, 60, rise=0.5, start=0.1, final=0.02),
        lambda s, opt: s.OneCycleLR(
            opt, 0.5, 60, pct_start=0.5, div_factor=5, final_div_factor=5
        ),
        60,
    ),
    "exponential": (
        optim.exponential(0.5, 0.9),
        lambda s, opt: s.ExponentialLR(opt, 0.9),
        40,
    ),
    "staircase": (
        optim.staircase(0.5, 0.3, 7),
        lambda s, opt: s.StepLR(opt, 7, 0.3),
        40,
    ),
    "warmup": (
        optim.warmup(optim.staircase(0.5, 0.3, 7), 10),
        lambda s, opt: s.ChainedScheduler([rising(s, opt, 10), s.StepLR(opt, 7, 0.3)]),
        40,
    ),
}


def rates(name, dtype):
    rate, _, n = SCHEDULES[name]
    return {"rates": np.array([float(rate(t)) for t in range(n)])}


def torch_rates(name, dtype):
    _, make, n = SCHEDULES[name]
    opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    schedule, found = make(torch.optim.lr_scheduler, opt), []
    for t in range(n):
        found.append(opt.param_groups[0]["lr"])
        opt.step()
        if t < n - 1:
            schedule.step()
    return {"rates": np.array(found)}


def losses_seen():
    """Losses of 60 epochs that fall ever more slowly."""
    return (numbers("plateau").random(60) * 4).cumsum().round(1) ** -0.1


def plateau(dtype):
    opt = optim.sgd(optim.plateau(1.0, factor=0.3, patience=2, cooldown=1, least=0.05))
    state, found = opt.init(np.zeros(1)), []
    for seen in losses_seen():
        opt.observe(state, round(float(seen), 2))
        found.append(float(opt.rate(state)))
    return {"rates": np.array(found)}


def torch_plateau(dtype):
    opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule, found = (
        torch.optim.lr_scheduler.ReduceLROnPlateau(
            opt, factor=0.3, patience=2, cooldown=1, min_lr=0.05
        ),
        [],
    )
    for seen in losses_seen():
        schedule.step(round(float(seen), 2))
        found.append(opt.param_groups[0]["lr"])
    return {"rates": np.array(found)}


CASES = {}
for _mine, _theirs, _names in (
    (layers.of_gradiverse, layers.of_torch, layers.LAYERS),
    (running, torch_running, RUNNING),
    (activation, torch_activation, ACTIVATIONS),
    (loss, torch_loss, LOSSES),
):
    _kind = {running: "running ", activation: "activation ", loss: "loss "}
    for _name in _names:
        CASES[_kind.get(_mine, "") + _name] = (
            partial(_mine, _name), partial(_theirs, _name), TOLERANCES
        )  # fmt: skip
_EXACT = {"float32": 2e-5, "float64": 1e-13}
for _name, (_make, _, _how) in OPTIMISERS.items():
    CASES[f"optimiser {_name}"] = (
        partial(walked, _make(0.05, **_how)),
        partial(torch_walked, torch_optimiser(_name)),
        _EXACT,
    )
CASES["optimiser clip"] = (
    partial(walked, optim.clip(optim.sgd(0.05, momentum=0.9), 3.0)),
    partial(torch_walked, torch_optimiser("momentum"), norm=3.0),
    _EXACT,
)
CASES["optimiser average"] = (
    partial(walked, optim.average(optim.adam(0.05), None)),
    partial(torch_walked, torch_optimiser("adam"), mean=True),
    _EXACT,
)
for _name in SCHEDULES:
    CASES[f"schedule {_name}"] = (
        partial(rates, _name), partial(torch_rates, _name), {"float64": 1e-13}
    )  # fmt: skip
CASES["schedule plateau"] = plateau, torch_plateau, {"float64": 1e-13}
