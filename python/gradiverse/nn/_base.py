"""What every layer is: `Layer`, and the `Context` of one application."""

import inspect

import numpy as np

from .. import random
from ..graph import Var
from ..tree import map_leaves

__all__ = [
    "Context", "Keys", "Layer", "float_input", "generator", "parameter", "shape_of",
]  # fmt: skip

_FLOATS = ("float32", "float64")


def generator(rng):
    """A NumPy Generator from a seed, a SeedSequence or a Generator.

    Parameters
    ----------
    rng : int, numpy.random.SeedSequence or numpy.random.Generator

    Raises
    ------
    TypeError
        None (an unseeded start cannot be repeated) or a `gv.random` key.
    """
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, (int, np.integer, np.random.SeedSequence)):
        return np.random.default_rng(rng)
    raise TypeError(
        "rng must be a seed (int), a numpy SeedSequence or a numpy Generator, not"
        f" {type(rng).__name__}"
    )


def _key(rng, who):
    """The key of a seed, SeedSequence or Generator; keys and None as they are."""
    if rng is None or isinstance(rng, Var):
        return rng
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool):
        return random.key(int(rng))
    if isinstance(rng, np.random.SeedSequence):
        return random.key(int(rng.generate_state(1, np.uint64)[0]))
    if isinstance(rng, np.random.Generator):
        return random.key(int(rng.integers(2**64, dtype=np.uint64)))
    key = np.asarray(rng)
    if key.dtype != np.int64 or key.shape != (2,):
        raise TypeError(
            f"{who}: rng must be a key of gv.random, a seed (int), a numpy SeedSequence"
            f" or a numpy Generator, not {rng!r}"
        )
    return key


def shape_of(x):
    """Shape of an array, traced or not."""
    return x.shape if isinstance(x, Var) else np.shape(x)


def float_input(x, who):
    """x as an array of float32 or float64; TypeError for anything else."""
    if not isinstance(x, (Var, np.ndarray)):
        x = np.asarray(x)
    if x.dtype not in _FLOATS:
        raise TypeError(
            f"{who}: x must be float32 or float64, not {x.dtype}; convert it with"
            " .astype(np.float32)"
        )
    return x


def parameter(params, name, shape, who):
    """params[name], which must have this shape.

    Raises
    ------
    TypeError
        params is no dict.
    ValueError
        The entry is missing, or has another shape.
    """
    if not isinstance(params, dict):
        raise TypeError(
            f"{who}: params must be a dict as .init() returns it, not"
            f" {type(params).__name__}"
        )
    if name not in params:
        raise ValueError(
            f"{who}: params have no {name!r} (they have {sorted(map(str, params))});"
            " make them with .init() of this network"
        )
    value = params[name]
    if shape_of(value) != tuple(shape):
        raise ValueError(
            f"{who}: {name} has shape {shape_of(value)}, this layer needs"
            f" {tuple(shape)}; the params belong to another network"
        )
    return value


def _float_dtype(dtype, who):
    name = np.dtype(dtype).name
    if name not in _FLOATS:
        raise TypeError(f"{who}: dtype must be float32 or float64, not {name}")
    return np.dtype(dtype)


def _leaves(tree):
    """The arrays of nested dicts, lists and tuples."""
    if isinstance(tree, dict):
        for value in tree.values():
            yield from _leaves(value)
    elif isinstance(tree, (list, tuple)):
        for value in tree:
            yield from _leaves(value)
    elif tree is not None:
        yield tree


def _matched_floats(params, x):
    """x whose floating-point arrays have the dtype of the parameters."""
    for leaf in _leaves(params):
        dtype = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
        if dtype in _FLOATS:
            break
    else:
        return x

    def one(a):
        if not isinstance(a, (Var, np.ndarray)):
            a = np.asarray(a)
        return a.astype(dtype) if a.dtype in _FLOATS and a.dtype != dtype else a

    return map_leaves(one, x) if isinstance(x, (dict, tuple)) else one(x)


class Keys:
    """Keys of one application: the n-th is a function of the first key and of n."""

    def __init__(self, rng):
        self.rng = rng
        self.drawn = 0

    def next(self):
        if self.rng is None:
            raise ValueError(
                "apply: this network draws random numbers while training (dropout);"
                " give rng=seed, or rng=gv.random.key(seed)"
            )
        self.drawn += 1
        return random.fold_in(self.rng, self.drawn - 1)


class Context:
    """What a layer knows while it is applied, beside its parameters and input.

    Attributes
    ----------
    train : bool
        Training (batch statistics, dropout) or use.
    state : dict or None
        The layer's own part of the state; None when `apply` was given no state.
    """

    def __init__(self, train, keys, state, where=""):
        self.train = train
        self.state = state
        self.where = where
        self._keys = keys
        self._new = None
        self._children = {}

    @property
    def random(self):
        """Are there random numbers: was `apply` given a key?"""
        return self._keys.rng is not None

    def key(self):
        """A key of its own for each call; ValueError where there are none."""
        return self._keys.next()

    def update(self, values):
        """Record the layer's new state; without a given state nothing is kept."""
        if self.state is not None:
            self._new = dict(values)

    def child(self, name):
        """The context of a layer inside this one.

        Raises
        ------
        ValueError
            The name was used in this application already: two layers may not share a
            name, a layer used twice may not carry a state.
        """
        name = str(name)
        where = f"{self.where}.{name}" if self.where else name
        state = None
        if self.state is not None:
            state = self.state.get(name, {})
            if name in self._children and state:
                raise ValueError(
                    f"{where}: a layer with a state is used twice in one application"
                )
        inner = Context(self.train, self._keys, state, where)
        self._children[name] = inner
        return inner

    def new_state(self):
        """The state after the application, of the same nest as before."""
        new = dict(self.state if self._new is None else self._new)
        for name, inner in self._children.items():
            if name in new:
                new[name] = inner.new_state()
        return new


class Layer:
    """Base class: a function of parameters and an input, without arrays of its own.

    A subclass writes ``_forward(params, x, context)``, and what it needs of
    ``_parameters(rng, dtype)``, ``_state(dtype)`` and ``_children()``. Children's
    parameters and states lie under their names; children without any are left out.

    Examples
    --------
    >>> import gradiverse as gv, numpy as np
    >>> class Scale(gv.nn.Layer):
    ...     def _parameters(self, rng, dtype):
    ...         return {"scale": np.ones((), dtype)}
    ...
    ...     def _forward(self, params, x, context):
    ...         return params["scale"] * x
    >>> net = gv.nn.Sequential(gv.nn.Linear(3, 2), Scale())
    >>> params = net.init(0)
    >>> sorted(params["1"])
    ['scale']
    >>> net.apply(params, np.ones((5, 3))).shape
    (5, 2)
    """

    def init(self, rng=0, dtype="float32"):
        """Draw the parameters.

        Parameters
        ----------
        rng : int, numpy.random.SeedSequence or numpy.random.Generator
            The same seed gives the same parameters (up to rounding for another dtype).
        dtype : "float32" or "float64"

        Returns
        -------
        nested dict of arrays
        """
        dtype = _float_dtype(dtype, f"{type(self).__name__}.init")
        return self._parameters(generator(rng), dtype)

    def init_state(self, dtype="float32"):
        """The running statistics before training; {} where there are none.

        Parameters
        ----------
        dtype : "float32" or "float64"
        """
        return self._state(_float_dtype(dtype, f"{type(self).__name__}.init_state"))

    def apply(self, params, x, *, train=False, rng=None, state=None):
        """The layer's output.

        Parameters
        ----------
        params : nested dict of arrays
            As `init` makes them; they may be traced.
        x : array, or nest of arrays
            Floating-point arrays of the other width are converted to the dtype of the
            parameters.
        train : bool
            Training (batch statistics, dropout) or use (running statistics).
        rng : key, int, SeedSequence or Generator, optional
            Needed by dropout while training. A seed stands for ``gv.random.key(seed)``,
            a Generator gives one number to seed from. A key may be traced; the others
            are taken once, so in a traced loop they are the same in every step.
        state : nested dict, optional
            From `init_state` or an earlier call.

        Returns
        -------
        y : array
            With `state`: (y, new state).

        Raises
        ------
        TypeError, ValueError
            Shapes or dtypes that do not fit; a random layer without `rng`, or one that
            is none of the above; a layer with running statistics used without `state`.
        """
        if state is not None and not isinstance(state, dict):
            raise TypeError(
                f"{type(self).__name__}.apply: state must be a dict as .init_state()"
                f" returns it, not {type(state).__name__}"
            )
        keys = Keys(_key(rng, f"{type(self).__name__}.apply"))
        context = Context(bool(train), keys, state)
        y = self._forward(params, _matched_floats(params, x), context)
        return y if state is None else (y, context.new_state())

    # --- what subclasses write ------------------------------------------------------
    def _children(self):
        """The layers inside, by name."""
        return {}

    def _parameters(self, rng, dtype):
        made = {n: c._parameters(rng, dtype) for n, c in self._children().items()}
        return {name: p for name, p in made.items() if p}

    def _state(self, dtype):
        made = {name: c._state(dtype) for name, c in self._children().items()}
        return {name: s for name, s in made.items() if s}

    def _forward(self, params, x, context):
        raise NotImplementedError(f"{type(self).__name__} has no _forward")

    def _run(self, name, layer, params, x, context, act="none"):
        """Apply a child under its name; act="relu": to its output, if it fuses that."""
        more = {} if act == "none" else {"act": act}
        return layer._forward(params.get(name, {}), x, context.child(name), **more)

    def __repr__(self):
        words = []
        for name, p in inspect.signature(type(self).__init__).parameters.items():
            if name == "self" or not hasattr(self, name):
                continue
            value = getattr(self, name)
            if p.kind is p.VAR_POSITIONAL:
                words.extend(map(repr, value))
            elif p.default is p.empty:
                words.append(repr(value))
            elif value is not p.default and value != p.default:
                words.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(words)})"
