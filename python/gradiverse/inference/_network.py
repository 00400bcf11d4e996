"""The network of a ratio estimator: standardised data, embedding, heads of a block."""

import numpy as np

from ..compile import compile
from ..nn import Layer

__all__ = ["Flatten", "Network"]

_CHUNK = 1 << 21  # numbers of one layer of the heads worked on at once
_FEW = 16  # rows of x embedded at once
_ROWS = 256  # chunks of rows are multiples of this: a row's bits never depend on others


class Flatten(Layer):
    """All numbers of a row as one vector."""

    def _forward(self, params, x, context):
        return x.reshape(x.shape[0], -1)


class Network:
    """Log ratios of a block of marginals.

    Parameters
    ----------
    embedding : Layer
    head : Head
    coordinates : Coordinates
        Of the block's marginals.
    standardise : callable
        Raw data (n, ...) -> standardised float32 data, traced or not.
    """

    def __init__(self, embedding, head, coordinates, standardise):
        self.embedding, self.head = embedding, head
        self.coordinates, self.standardise = coordinates, standardise
        width = max(getattr(head, "width", 64), 16) * head.groups
        rows = max(_CHUNK // (width * _ROWS), 1) * _ROWS
        self.chunk = int(min(rows, 8 * _ROWS))
        self._part = compile(self._data_part)
        self._grid = compile(self._grid_ratio)
        self._rowwise = compile(self._row_ratio)

    def init(self, rng):
        """Parameters and state (None where there is none)."""
        rng = np.random.default_rng(rng)
        params = {"embedding": self.embedding.init(rng), "head": self.head.init(rng)}
        state = {
            "embedding": self.embedding.init_state(),
            "head": self.head.init_state(),
        }
        return params, (state if any(state.values()) else None)

    def with_head(self, head):
        """The same with another head."""
        return Network(self.embedding, head, self.coordinates, self.standardise)

    # --- training -------------------------------------------------------------------
    def objective(self, contrast, standard):
        """loss(params, batch, rng, train, state) for `gradiverse.train.fit`.

        Parameters
        ----------
        contrast : Contrast
        standard : bool
            The batch's x is standardised already.
        """

        def run(params, batch, rng, train, state):
            x = batch["x"] if standard else self.standardise(batch["x"])
            theta = self.coordinates.expand(batch["theta"])
            shifts, joint, independent = contrast.plan(theta.shape[0])
            rows = np.arange(theta.shape[0])[:, None]
            pairs = (rows + np.array(shifts)) % theta.shape[0]
            h, state = self._apply(
                params, x, {"theta": theta, "pairs": pairs}, rng, train, state
            )
            return contrast(h, joint, independent), state

        def stateless(params, batch, rng=None, train=False):
            return run(params, batch, rng, train, None)[0]

        def stateful(params, batch, rng=None, train=False, state=None):
            return run(params, batch, rng, train, state)

        return stateless, stateful

    def _apply(self, params, x, more, rng=None, train=False, state=None):
        """Head of the embedded x; (value, new state)."""
        if state is None:
            f = self.embedding.apply(params["embedding"], x, train=train, rng=rng)
            given = {"x": _vectors(f), **more}
            out = self.head.apply(params["head"], given, train=train, rng=rng)
            return out, None
        f, embedded = self.embedding.apply(
            params["embedding"], x, train=train, rng=rng, state=state["embedding"]
        )
        out, head = self.head.apply(
            params["head"], {"x": _vectors(f), **more}, train=train, rng=rng,
            state=state["head"],
        )  # fmt: skip
        return out, {"embedding": embedded, "head": head}

    # --- use ------------------------------------------------------------------------
    def _data_part(self, params, state, x):
        return self._apply(params, self.standardise(x), {}, state=state)[0]

    def _grid_ratio(self, params, state, columns, part):
        given = {"theta": self.coordinates.expand(columns), "part": part}
        if state is None:
            return self.head.apply(params["head"], given)[0]
        return self.head.apply(params["head"], given, state=state["head"])[0][0]

    def _row_ratio(self, params, state, columns, part):
        theta = self.coordinates.expand(columns)
        pairs = np.arange(theta.shape[0])[:, None]
        given = {"theta": theta, "part": part, "pairs": pairs}
        if state is None:
            return self.head.apply(params["head"], given)[:, 0]
        return self.head.apply(params["head"], given, state=state["head"])[0][:, 0]

    def part(self, params, state, x):
        """What the heads need of observations x (n, ...), for `grid` and `rows`.

        Computed in blocks of few rows, the last one filled up, so that a row's bits do
        not depend on how many there are.
        """
        n = len(next(iter(x.values())) if isinstance(x, dict) else x)
        parts = []
        for i in range(0, n, _FEW):
            block = _padded(_slice(x, i, _FEW), _FEW)
            out = self._part(params, state, block)
            k = min(_FEW, n - i)
            parts.append(_map(lambda a, k=k: a[:k], out))
        return _joined(parts)

    def grid(self, params, state, columns, part):
        """h (n, groups) of many θ (n, d, p) with one x."""
        return self._chunks(
            columns, lambda c, i: self._grid(params, state, c, part), len(columns)
        )

    def rows(self, params, state, columns, x):
        """h (n, groups) of θ (n, d, p) and x (n, ...), row by row."""
        size = self.chunk

        def one(c, i):
            part = self.part(params, state, _slice(x, i, size))
            return self._rowwise(params, state, c, _padded(part, size))

        return self._chunks(columns, one, len(columns))

    def _chunks(self, columns, f, n):
        out = np.empty((n, self.head.groups))
        size = self.chunk
        if self.coordinates.used is not None:
            columns = columns[:, self.coordinates.used]
        for i in range(0, n, size):
            block = columns[i : i + size]
            out[i : i + size] = f(_padded(block, size), i)[: len(block)]
        return out


def _vectors(f):
    shape = f.shape
    if len(shape) == 2:
        return f
    return f.reshape(shape[0], -1)


def _map(f, nest):
    if isinstance(nest, dict):
        return {k: _map(f, v) for k, v in nest.items()}
    if isinstance(nest, (list, tuple)):
        return type(nest)(_map(f, v) for v in nest)
    return f(nest)


def _slice(x, i, size):
    return _map(lambda a: a[i : i + size], x)


def _padded(x, size):
    """x with its last row repeated up to `size` rows."""

    def one(a):
        a = np.asarray(a)
        missing = size - len(a)
        if missing <= 0:
            return np.ascontiguousarray(a)
        return np.concatenate([a, np.repeat(a[-1:], missing, axis=0)])

    return _map(one, x)


def _joined(parts):
    first = parts[0]
    if len(parts) == 1:
        return _map(np.ascontiguousarray, first)
    if isinstance(first, dict):
        return {k: _joined([p[k] for p in parts]) for k in first}
    if isinstance(first, (list, tuple)):
        return type(first)(_joined(list(p)) for p in zip(*parts, strict=True))
    return np.concatenate(parts)
