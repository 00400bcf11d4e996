"""A slice of the light cone with random particles, to try the operators on."""

import struct

import numpy as np

from gradiverse import _core

from ..ops.reference_cone import (
    cone_paint,
)

FLOAT = {"q32": "float32", "q64": "float64"}
WHOLE = {"q32": np.int32, "q64": np.int64}
NAMES = ("x", "p", "extra", "unit", "path", "time", "lens", "reach")
MOVING = ("x", "p", "extra", "path", "time", "lens")
CUBE = dict(lattice=(6, 6, 6), mesh=(9, 9, 9), lx=20.0, ly=20.0, lz=20.0)
BRICK = dict(lattice=(5, 6, 6), mesh=(10, 9, 9), lx=16.0, ly=20.0, lz=20.0)
UNEQUAL = dict(lattice=(8, 6, 6), mesh=(8, 9, 6), lx=20.0, ly=20.0, lz=20.0)


def packed(where, rows=None, cols=None):
    """Attributes as the integers that Graph.op takes."""
    real = [where[k] for k in ("lx", "ly", "lz", "fy", "fx")]
    bits = [struct.unpack("<q", struct.pack("<d", v))[0] for v in real]
    shape = () if rows is None else (rows, cols)
    return (3, *where["lattice"], 3, *where["mesh"], *bits, where["seed"], *shape)


class Cone:
    """A slice with random particles and smooth tables.

    `rms`: displacement and momentum in Mpc/h, large enough to cross faces.
    """

    def __init__(self, grid=CUBE, lo=13.0, hi=31.0, seed=3, state="q64", sources=2,
                 shape=(11, 14), extra=True, rms=3.0, field=None, rng=0, h=2.0,
                 nodes=60):  # fmt: skip
        rng = np.random.default_rng(rng)
        box = np.array([grid["lx"], grid["ly"], grid["lz"]])
        n = int(np.prod(grid["lattice"]))
        reach = np.linspace(0.8, 1.0, sources) * (hi + 4.0)
        if field is None:
            end = min(hi, reach.max()) if sources else hi
            field = (0.95 * box[1] / end, 0.9 * box[0] / end)
        self.where = dict(grid, fy=field[0], fx=field[1], seed=seed)
        self.state, self.real = state, np.dtype(FLOAT[state])
        self.shape = (sources, *shape)
        bits = 12 if state == "q32" else 40
        unit = np.array([2.0**-bits, 2.0 ** -(bits + 1)])
        cell = box / grid["mesh"]

        def whole(quantum):
            v = rng.normal(size=(3, n)) * rms
            return np.rint(v / np.broadcast_to(quantum, (3,))[:, None]).astype(
                WHOLE[state]
            )

        chi = h * np.arange(nodes)
        self.arrays = dict(
            x=whole(unit[0] * cell),
            p=whole(unit[1]),
            extra=(rng.normal(size=(3, n if extra else 0)) * 0.5).astype(self.real),
            unit=unit,
            path=np.array([0.7, 0.4, lo, hi, h]),
            time=1.0 / (1.0 + chi / 50.0),
            lens=(1 - chi / reach[:, None]) * (1 + chi / 300) * chi,
            reach=reach,
        )
        self.kappa = rng.normal(size=self.shape).astype(self.real)
        self.rng = rng

    def replace(self, **changes):
        """The same with other arrays or a different place."""
        other = object.__new__(Cone)
        other.__dict__.update(self.__dict__)
        other.arrays = dict(self.arrays)
        other.where = dict(self.where)
        for name, value in changes.items():
            if isinstance(value, dict):
                path = self.arrays["path"].copy()
                for k, v in value.items():
                    path[("rate", "centre", "lo", "hi", "h").index(k)] = v
                value = path
            (other.where if name in self.where else other.arrays)[name] = value
        return other

    # --- the operators ---
    def inputs(self, graph, lead=()):
        """Placeholders of kappa and the eight inputs."""
        arrays = [self.kappa, *(self.arrays[k] for k in NAMES)]
        types = [a.dtype.name for a in arrays]
        types[1] = types[2] = self.state
        pairs = zip(types, arrays, strict=True)
        return [graph.input(t, (*lead, *a.shape)) for t, a in pairs], arrays

    def run(self, op="cone_paint"):
        """The value of cone_paint or cone_count."""
        graph = _core.Graph()
        at, arrays = self.inputs(graph)
        if op == "cone_paint":
            out = graph.op(op, tuple(at), packed(self.where))
        else:
            out = graph.op(op, tuple(at[1:]), packed(self.where, *self.shape[1:]))
        return graph.program(at, [out]).run(arrays)[0]

    def derivatives(self, weight, moves):
        """(d_kappa, cotangents of kappa and MOVING by name) for a cotangent of the maps
        and tangents of kappa and MOVING."""
        graph = _core.Graph()
        at, arrays = self.inputs(graph)
        out = graph.op("cone_paint", tuple(at), packed(self.where))
        wrt = [at[0], *(at[1 + NAMES.index(k)] for k in MOVING)]
        given = [graph.input(m.dtype.name, m.shape) for m in (weight, *moves)]
        (pushed,) = graph.jvp([out], wrt, given[1:])
        pulled = graph.vjp([out], [given[0]], wrt)
        named = dict(zip(("kappa", *MOVING), pulled, strict=True))
        ids = [pushed, *(v for v in pulled if v != -1)]
        values = graph.program([*at, *given], ids).run([*arrays, weight, *moves])
        values = dict(zip(ids, values, strict=True))
        return values[pushed], {k: values.get(v) for k, v in named.items()}

    def moves(self):
        """Random tangents of kappa and MOVING."""
        kinds = [self.kappa.dtype, self.real, self.real, self.real, *["float64"] * 3]
        shapes = [self.kappa.shape, *(self.arrays[k].shape for k in MOVING)]
        pairs = zip(kinds, shapes, strict=True)
        return [np.asarray(self.rng.normal(size=s), k) for k, s in pairs]

    def wanted(self):
        """The oracle's maps."""
        return cone_paint(self.kappa, **self.arrays, **self.where)


def close(a, b, epsilons=1e3):
    """Equal to rounding: a map is a sum over particles of numbers whose pixel offsets
    carry pixels/box epsilons of rounding."""
    assert a.dtype == b.dtype
    scale = np.abs(b).max(initial=0.0)
    bound = epsilons * np.finfo(a.dtype).eps
    np.testing.assert_allclose(a, b, rtol=bound, atol=bound * scale)


CASES = {
    "cube": Cone(lo=13.0, hi=47.5),
    "brick": Cone(BRICK, lo=23.0, hi=36.0, seed=7, sources=3),
    "plain": Cone(UNEQUAL, lo=0.0, hi=21.0, seed=-1, extra=False),
}
