"""Simulators as graphs of named nodes: only what is asked for is computed.

Every node draws from a generator of its own, made from the call's generator and the
node's name, so that what a node gives does not depend on which others are computed.
"""

import inspect
import zlib

import numpy as np

from ._parallel import missing, seeded


class _Node:
    """One quantity: function, parents, unit."""

    def __init__(self, name, function, parents, units, rows):
        self.name, self.function, self.parents = name, function, parents
        self.units, self.rows = units, rows
        try:
            self.random = "rng" in inspect.signature(function).parameters
        except (TypeError, ValueError):  # builtins without a signature
            self.random = False


class Simulator:
    """A simulator as a graph of named quantities.

    Parameters
    ----------
    parameters : list of str or Prior, optional
        Names of the columns of theta, which nodes may then have as parents; without,
        only ``"theta"``. A `Bank` checks that they are those of its prior.
    targets : str or list of str, optional
        What a call returns; without, the nodes that are no one's parent.

    Notes
    -----
    The result of a call is the array of the target, or a dict of arrays if there are
    several targets. Rows that fail (see `node`) are NaN, or the extreme value of an
    integer type.

    Examples
    --------
    >>> import numpy as np
    >>> sim = Simulator(["distance", "angle"])
    >>> sim.node("size", lambda r, a: r * np.sin(a), "distance", "angle", units="Mpc")
    >>> def noisy(size, rng):
    ...     return size[:, None] + 0.1 * rng.normal(size=(len(size), 5))
    >>> sim.node("data", noisy, "size", units="Mpc")
    >>> sim(np.array([[1.0, 0.5], [2.0, 0.1]]), rng=0).shape
    (2, 5)
    >>> sorted(sim.sample(np.array([[1.0, 0.5]]), 0, targets=["size"]))
    ['size']
    """

    def __init__(self, parameters=None, targets=None):
        self.parameters = list(getattr(parameters, "names", parameters) or [])
        self.nodes = {}
        self._targets = [targets] if isinstance(targets, str) else targets

    def node(self, name, function, *parents, units="", rows=False):
        """Add a quantity.

        Parameters
        ----------
        name : str
        function : callable
            Of the parents' values, arrays (n, ...), it returns an array (n, ...). If it
            has a parameter ``rng`` it gets a Generator by that name.
        *parents : str
            Nodes added before, names of parameters (then (n,)), or ``"theta"`` (n, d).
        units : str, optional
            Kept with the data of a bank.
        rows : bool, optional
            The function works on one simulation (values without the leading axis). A
            row that raises an exception fails alone.

        Raises
        ------
        ValueError
            If the name is taken or a parent unknown.
        """
        if not isinstance(name, str) or not name or "/" in name:
            raise ValueError(
                f"a node's name must be a string without '/', got {name!r}"
            )
        if name in self.nodes or name in self.parameters or name == "theta":
            raise ValueError(f"the name '{name}' is taken; choose another")
        if not callable(function):
            raise TypeError(
                f"node '{name}': expected a function, got {type(function).__name__}"
            )
        for parent in parents:
            if not (isinstance(parent, str) and self._known(parent)):
                raise ValueError(
                    f"node '{name}' has an unknown parent {parent!r}; add it first, or "
                    "name it in Simulator(parameters), such as Simulator(prior)"
                )
        self.nodes[name] = _Node(name, function, tuple(parents), str(units), rows)

    def _known(self, name):
        return name == "theta" or name in self.nodes or name in self.parameters

    @property
    def targets(self):
        """Names of what a call returns."""
        if self._targets is not None:
            return list(self._targets)
        used = {p for node in self.nodes.values() for p in node.parents}
        return [name for name in self.nodes if name not in used]

    @property
    def units(self):
        """Unit of every node (dict)."""
        return {name: node.units for name, node in self.nodes.items()}

    def _needed(self, targets, given):
        """Nodes to compute for the targets, in order of definition."""
        wanted, stack = set(), [t for t in targets if t not in given]
        while stack:
            name = stack.pop()
            if name in wanted or name == "theta" or name in self.parameters:
                continue
            if name not in self.nodes:
                raise ValueError(
                    f"there is no node '{name}'; nodes are {', '.join(self.nodes)}"
                )
            wanted.add(name)
            stack += [p for p in self.nodes[name].parents if p not in given]
        return [name for name in self.nodes if name in wanted]

    def __call__(self, theta, rng):
        """Array (n, ...) of the target, or dict of arrays, for theta (n, d)."""
        return self.run(theta, rng)[0]

    def run(self, theta, rng):
        """As a call, with the messages of failed rows: (result, {row: message})."""
        targets = self.targets
        if not targets:
            raise ValueError("the simulator has no nodes; add some with node()")
        values, messages = self._evaluate(theta, rng, targets, {})
        if len(targets) == 1:
            return values[targets[0]], messages
        return {name: values[name] for name in targets}, messages

    def sample(self, theta, rng, targets=None, given=None):
        """Values of any nodes.

        Parameters
        ----------
        theta : (n, d) array
        rng : seed, SeedSequence or Generator
        targets : list of str, optional
            Nodes to compute, with only what they need; default those of a call.
        given : dict, optional
            Arrays (n, ...) of nodes that are known and not to be computed.

        Returns
        -------
        dict of arrays
        """
        targets = self.targets if targets is None else list(targets)
        given = dict(given or {})
        values, _ = self._evaluate(theta, rng, targets, given)
        return {name: values[name] for name in targets}

    def resample(self, values, nodes, rng):
        """Draw some nodes anew, and with them all that depends on them.

        Parameters
        ----------
        values : dict of (n, ...) arrays
            Known nodes, with ``"theta"`` (n, d) if something needs it. Those that
            depend on the drawn ones are replaced.
        nodes : str or list of str
            For instance the noise.
        rng : seed, SeedSequence or Generator, or a `gradiverse.random` key
            With a key, in traced code, the functions get a key as ``rng``.

        Returns
        -------
        dict of arrays
            `values` with the new ones.
        """
        nodes = [nodes] if isinstance(nodes, str) else list(nodes)
        changed = set(self._needed(nodes, set())) & set(nodes)
        for name, node in self.nodes.items():
            if changed & set(node.parents):
                changed.add(name)
        fixed = {k: v for k, v in values.items() if k not in changed}
        targets = [k for k in values if k in changed]
        for name in self._needed(targets, set(fixed)):
            if name not in changed:
                raise ValueError(
                    f"resampling {', '.join(nodes)} needs the value of '{name}', which "
                    "is not given: store it with the data"
                )
        theta = fixed.get("theta")
        new, _ = self._evaluate(theta, rng, targets, fixed)
        return {**values, **{name: new[name] for name in targets}}

    def _evaluate(self, theta, rng, targets, given):
        """Values of the needed nodes and messages of failed rows."""
        source = _Streams(rng)
        values, messages = dict(given), {}
        if theta is not None:
            theta = values["theta"] = _matrix(theta, self.parameters)
        for i, name in enumerate(self.parameters):
            if theta is not None:
                values.setdefault(name, theta[:, i])
        for name in self._needed(targets, set(given)):
            node = self.nodes[name]
            for parent in node.parents:
                if parent not in values:
                    raise ValueError(f"node '{name}' needs '{parent}': give theta")
            args = [values[p] for p in node.parents]
            n = len(args[0]) if args else len(theta)
            if node.rows:
                values[name] = _by_rows(node, args, n, source, messages)
            else:
                options = {"rng": source.stream(name)} if node.random else {}
                values[name] = node.function(*args, **options)
            shape = np.shape(values[name])
            if not shape or shape[0] != n:
                raise ValueError(
                    f"node '{name}' gave the shape {shape} for {n} simulations; its "
                    "first axis must be theirs"
                )
        return values, messages


def _matrix(theta, parameters):
    theta = theta if hasattr(theta, "shape") else np.asarray(theta, dtype=float)
    if theta.ndim != 2 or (parameters and theta.shape[1] != len(parameters)):
        want = f"(n, {len(parameters)})" if parameters else "(n, d)"
        raise ValueError(f"theta must have shape {want}, got {theta.shape}")
    return theta


def _by_rows(node, args, n, source, messages):
    """Apply a function row by row; no value but a message where it raises."""
    out, results = None, {}
    for i in range(n):
        options = {"rng": source.stream(node.name, i)} if node.random else {}
        try:
            results[i] = np.asarray(node.function(*[a[i] for a in args], **options))
        except Exception as error:
            messages.setdefault(i, f"{node.name}: {type(error).__name__}: {error}")
            last = error
    if not results:
        raise last
    example = next(iter(results.values()))
    out = missing((n, *example.shape), example.dtype)
    for i, value in results.items():
        if value.shape != example.shape:
            raise ValueError(
                f"node '{node.name}' gave shapes {example.shape} and {value.shape}; "
                "every simulation needs the same"
            )
        out[i] = value
    return out


class _Streams:
    """A generator (or key, in traced code) for every node."""

    def __init__(self, rng):
        self.key = self.entropy = None
        if isinstance(rng, np.random.SeedSequence):
            self.entropy = [*rng.generate_state(4)]
        elif isinstance(rng, np.random.Generator):
            self.entropy = [*rng.integers(0, 2**32, 4)]
        elif isinstance(rng, (int, np.integer)) and not isinstance(rng, bool):
            self.entropy = [*np.random.SeedSequence(int(rng)).generate_state(4)]
        else:
            self.key = seeded(rng, "Simulator")  # a key of gradiverse.random

    def stream(self, name, *row):
        number = zlib.crc32(name.encode())
        if self.key is not None:
            from .. import random

            key = random.fold_in(self.key, number & 0x7FFFFFFF)
            return random.fold_in(key, row[0]) if row else key
        seed = np.random.SeedSequence(
            [int(e) for e in self.entropy], spawn_key=(number, *row)
        )
        return np.random.default_rng(seed)
