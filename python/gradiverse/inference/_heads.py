"""Networks for log ratios of many subsets of parameters on shared features of x.

What depends on θ alone and what depends on x alone is computed once a row, and joined
for each pair. All subsets ("groups") are one set of grouped matrix products.
"""

from itertools import combinations_with_replacement, pairwise

import numpy as np

from .. import ops
from ..nn import (
    Activation,
    BatchNorm,
    Dropout,
    GroupedLinear,
    Layer,
    Linear,
    Sequential,
)

__all__ = ["Head", "ProductHead", "RefinedHead", "ResidualHead"]


def _pairs(part, pairs):
    """Rows of a θ part for a table of pairs (rows, k): (rows, k, ...)."""
    if pairs is None:
        return part[None]
    rows, k = pairs.shape
    return ops.take(part, pairs.reshape(-1), axis=0).reshape(rows, k, *part.shape[1:])


class Head(Layer):
    """Base class of heads.

    Its input is a dict. {"theta": (n, groups, q), "x": (m, features), "pairs": (m, k)}
    gives h (m, k, groups), of x row i and θ row pairs[i, j]. {"x": ...} alone gives the
    part that depends on x, which may be given as "part" in place of "x"; without pairs
    it is that of one row, and h is (1, n, groups) for all θ.
    """

    def __init__(self, groups, n_theta, n_features):
        self.groups, self.n_theta = int(groups), int(n_theta)
        self.n_features = int(n_features)

    def _forward(self, params, x, context):
        pairs = x.get("pairs")
        part = x.get("part")
        if part is None:
            part = self._data(params, x["x"], context)
            if "theta" not in x:
                return part
        return self._join(params, self._theta(params, x["theta"], context), part, pairs,
                          context)  # fmt: skip

    def _theta(self, params, theta, context):
        raise NotImplementedError

    def _data(self, params, x, context):
        raise NotImplementedError

    def _join(self, params, theta, data, pairs, context):
        raise NotImplementedError


class ResidualHead(Head):
    """One residual network for each group, on [features of x, parameters].

    Parameters
    ----------
    groups, n_theta, n_features : int
    width, blocks : int
    norm : bool
        Blocks are [norm, act, linear, norm, act, dropout, linear] + skip with batch
        normalisation, [act, linear, act, dropout, linear] + skip without.
    dropout : float
    activation : str
    """

    def __init__(self, groups, n_theta, n_features, width=64, blocks=2, norm=True,
                 dropout=0.1, activation="relu"):  # fmt: skip
        super().__init__(groups, n_theta, n_features)
        self.width, self.blocks, self.norm = int(width), int(blocks), bool(norm)
        self.dropout, self.activation = float(dropout), activation
        bound = 1.0 / np.sqrt(self.n_theta + self.n_features)

        def first(rng, shape, n_in, n_out, dtype):
            return rng.uniform(-bound, bound, shape).astype(dtype)

        g, w = self.groups, self.width
        how = {"init_weight": first, "init_bias": first}
        self._layers = {
            "theta": GroupedLinear(g, self.n_theta, w, **how),
            "x": Linear(self.n_features, g * w, bias=False, init_weight=first),
            "last": GroupedLinear(g, w, 1, init_weight=1e-3, init_bias="zeros"),
        }
        for i in range(self.blocks):
            self._layers[f"block{i}"] = self._block()

    def _block(self):
        g, w = self.groups, self.width
        layers = []
        for k in range(2):
            if self.norm:
                layers.append(_Flat(BatchNorm(g * w, eps=1e-3)))
            layers.append(Activation(self.activation))
            if k and self.dropout:
                layers.append(Dropout(self.dropout))
            layers.append(GroupedLinear(g, w, w))
        return Sequential(*layers)

    def _children(self):
        return self._layers

    def _theta(self, params, theta, context):
        return self._run("theta", self._layers["theta"], params, theta, context)

    def _data(self, params, x, context):
        y = self._run("x", self._layers["x"], params, x, context)
        return y.reshape(len(x), self.groups, self.width)

    def _join(self, params, theta, data, pairs, context):
        z = _pairs(theta, pairs) + data[:, None]
        rows, k = z.shape[:2]
        z = z.reshape(rows * k, self.groups, self.width)
        for i in range(self.blocks):
            name = f"block{i}"
            z = z + self._run(name, self._layers[name], params, z, context)
        z = self._run("last", self._layers["last"], params, z, context)
        return z.reshape(rows, k, self.groups)


class _Flat(Layer):
    """A layer on (rows, channels) applied to (rows, groups, width)."""

    def __init__(self, layer):
        self.layer = layer

    def _children(self):
        return {"layer": self.layer}

    def _forward(self, params, x, context):
        y = x.reshape(x.shape[0], -1)
        return self._run("layer", self.layer, params, y, context).reshape(x.shape)


class _GroupedMLP(Layer):
    """Grouped layers beside a linear path; the last one may start at zero."""

    def __init__(self, groups, sizes, activation, skip=True, linear_start=True,
                 init_skip=None):  # fmt: skip
        self.groups, self.sizes = groups, tuple(sizes)
        self.activation, self.skip = Activation(activation), bool(skip)
        zero = {"init_weight": "zeros", "init_bias": "zeros"}
        self._layers, last = {}, len(sizes) - 2
        for i, (a, b) in enumerate(pairwise(sizes)):
            how = zero if i == last and linear_start else {}
            self._layers[str(i)] = GroupedLinear(groups, a, b, **how)
        if skip:
            self._layers["skip"] = GroupedLinear(
                groups,
                sizes[0],
                sizes[-1],
                bias=False,
                init_weight=init_skip or (_by_inputs if linear_start else "torch"),
            )

    def _children(self):
        return self._layers

    def _forward(self, params, x, context):
        y, n = x, len(self.sizes) - 1
        for i in range(n):
            y = self._run(str(i), self._layers[str(i)], params, y, context)
            if i < n - 1:
                y = self._run("act", self.activation, {}, y, context)
        if self.skip:
            y = y + self._run("skip", self._layers["skip"], params, x, context)
        return y


def _by_inputs(rng, shape, n_in, n_out, dtype):
    """Normal with variance 1 / n_in."""
    return (rng.standard_normal(shape) / np.sqrt(n_in)).astype(dtype)


class ProductHead(Head):
    """h = f(θ) · g(x) + a(θ): exponential families are of this form.

    With linear_start f and g start as linear maps and a as zero; what the networks add
    to that is learned. A pair costs a scalar product, so that every θ of a batch can be
    a contrast of every x. With quadratic the maps of θ also get products of its
    coordinates and a has a linear path: normal posteriors need no networks then, and
    their widths are not left to what a small network makes of a parabola.

    Parameters
    ----------
    groups, n_theta, n_features : int
    rank : int
        Length of f and g.
    width, depth : int
        Hidden layers of f, g and a.
    activation : str
    linear_start, quadratic : bool
    """

    def __init__(self, groups, n_theta, n_features, rank=64, width=128, depth=2,
                 activation="silu", linear_start=True, quadratic=False):  # fmt: skip
        super().__init__(groups, n_theta, n_features)
        self.rank, self.width, self.depth = int(rank), int(width), int(depth)
        self.activation, self.quadratic = activation, bool(quadratic)
        g, hidden = self.groups, [self.width] * self.depth
        start = {"linear_start": bool(linear_start)}
        inputs, own = self.n_theta, {"skip": False}
        if self.quadratic:
            inputs += len(self._products)
            own = {"skip": True, "init_skip": "zeros"}
        self._layers = {
            "f": _GroupedMLP(g, [inputs, *hidden, self.rank], activation, **start),
            "a": _GroupedMLP(g, [inputs, *hidden, 1], activation, **own, **start),
            "g": _GroupedMLP(
                g, [self.n_features, *hidden, self.rank], activation, **start
            ),
        }

    def _children(self):
        return self._layers

    @property
    def _products(self):
        """Pairs of coordinates of θ whose products are inputs."""
        return list(combinations_with_replacement(range(self.n_theta), 2))

    def _theta(self, params, theta, context):
        if self.quadratic:
            second = [theta[..., i] * theta[..., k] for i, k in self._products]
            theta = ops.concatenate([theta, ops.stack(second, axis=-1)], axis=-1)
        return {
            name: self._run(name, self._layers[name], params, theta, context)
            for name in ("f", "a")
        }

    def _data(self, params, x, context):
        n = x.shape[0]
        x = ops.broadcast_to(x[:, None], (n, self.groups, self.n_features))
        g = self._run("g", self._layers["g"], params, x, context)
        return g * np.float32(1.0 / np.sqrt(self.rank))

    def _join(self, params, theta, data, pairs, context):
        f, a = theta["f"], theta["a"][..., 0]
        rows, k = (1, len(f)) if pairs is None else pairs.shape
        if pairs is not None and 2 * k >= rows > 2:
            every = ops.einsum("ngr,mgr->mng", f, data)
            flat = (np.arange(rows)[:, None] * rows + pairs).reshape(-1)
            every = every.reshape(rows * rows, self.groups)
            h = ops.take(every, flat, axis=0).reshape(rows, k, self.groups)
        else:
            h = (_pairs(f, pairs) * data[:, None]).sum(-1)
        return h + _pairs(a, pairs)


class RefinedHead(Head):
    """The sum of a product head and a residual network of pairs.

    What no product of few factors holds (ridges and rings that are narrow in θ - m(x))
    is left to the network of pairs, which starts at almost zero beside a product that
    is trained already.

    Parameters
    ----------
    product : ProductHead
    width, blocks : int
        Of the network of pairs.
    """

    def __init__(self, product, width=64, blocks=2):
        shape = product.groups, product.n_theta, product.n_features
        super().__init__(*shape)
        self.product, self.width = product, max(product.width, int(width))
        self.pairs = ResidualHead(
            *shape, width, blocks, norm=False, dropout=0.0, activation="silu"
        )

    def _children(self):
        return {"product": self.product, "pairs": self.pairs}

    def _each(self, run, context):
        return {
            name: run(name, layer, context.child(name))
            for name, layer in self._children().items()
        }

    def _theta(self, params, theta, context):
        return self._each(lambda k, m, c: m._theta(params[k], theta, c), context)

    def _data(self, params, x, context):
        return self._each(lambda k, m, c: m._data(params[k], x, c), context)

    def _join(self, params, theta, data, pairs, context):
        h = self._each(
            lambda k, m, c: m._join(params[k], theta[k], data[k], pairs, c), context
        )
        return h["product"] + h["pairs"]
