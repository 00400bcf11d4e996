"""The test cases that operators carry: parsing and making their inputs.

Grammar of a `.samples` string::

    samples = sample ';' sample ...
    sample  = input ... [ '|' attr '=' value ... ]
    input   = KIND '[' dims ']' with an optional '{lo,hi}' before or after the dims, and
              a '!' at the end where the input has no derivative
    value   = number | name | '(' number ',' ... ')'

KIND: r real, c complex, x real or complex, p positive, u uniform in (0, 1), i int64
(lo <= i < hi), b bool, k random key, s symmetric positive definite, l lower
triangular, q symmetric (Hermitian where complex), w real and float64 whatever the
others are. s, l, q and x stand for complex values too when the test asks for them.
f fixed point, values between lo and hi (-3, 3) in quanta of 2^-20 for q32, in single
precision, and of 2^-44 for q64: the same values in both; h such quanta times the
numbers in braces (1), float64 without a derivative. More than two numbers in the
braces of r, w and i are the elements themselves.
"""

import re
import struct
from dataclasses import dataclass, field

import numpy as np

DTYPES = ("bool", "int32", "int64", "float32", "float64", "complex64", "complex128")
_INPUT = re.compile(
    r"(?P<kind>[a-z])(?:\{(?P<range1>[^}]*)\})?\[(?P<dims>[\d,]*)\]"
    r"(?:\{(?P<range2>[^}]*)\})?(?P<held>!?)$"
)
#: kinds of input that exist as complex values, and those that carry a derivative
BOTH = "xslq"
CONTINUOUS = "rcxpuslqwf"
#: log2 of the quantum of fixed-point values in single and double precision
QUANTUM = {"float32": -20, "float64": -44}


@dataclass(frozen=True)
class Input:
    """One input of a sample."""

    kind: str
    shape: tuple
    numbers: tuple | None = None
    held: bool = False

    @property
    def low(self):
        """Lower limit of the values."""
        return self.numbers and self.numbers[0]

    @property
    def high(self):
        """Upper limit of the values."""
        return self.numbers and self.numbers[1]


@dataclass(frozen=True)
class Sample:
    """One test case of an operator."""

    op: str
    text: str
    inputs: tuple
    attrs: dict = field(hash=False)

    @property
    def empty(self):
        """Has an input without elements?"""
        return any(0 in i.shape for i in self.inputs)


def parse(row):
    """The samples of one row of `_core.ops()`."""
    return [
        _sample(row["name"], t.strip()) for t in row["samples"].split(";") if t.strip()
    ]


def _sample(op, text):
    left, _, right = text.partition("|")
    inputs = []
    for token in left.split():
        found = _INPUT.match(token)
        if not found:
            raise ValueError(f"{op}: cannot read the input {token!r} of {text!r}")
        dims = tuple(int(n) for n in found["dims"].split(",") if n)
        limits = found["range1"] or found["range2"]
        numbers = tuple(map(float, limits.split(","))) if limits else None
        inputs.append(Input(found["kind"], dims, numbers, bool(found["held"])))
    attrs = {}
    for token in re.findall(r"\w+=(?:\([^)]*\)|\S+)", right):
        name, _, value = token.partition("=")
        attrs[name] = _value(value)
    return Sample(op, text, tuple(inputs), attrs)


def _value(text):
    if text.startswith("("):
        return tuple(_value(t) for t in text[1:-1].split(",") if t.strip())
    text = text.strip()
    if text in DTYPES:
        return DTYPES.index(text)
    return float(text) if re.search(r"[.eE]|inf|nan", text) else int(text)


def dtypes_of(sample):
    """The float dtypes a sample is run in; complex where all inputs allow it."""
    kinds = {i.kind for i in sample.inputs}
    if "c" in kinds:
        return ("complex64", "complex128")
    if kinds & set(BOTH) and not kinds & set("rpu"):
        return ("float32", "float64", "complex64", "complex128")
    both = kinds & set(CONTINUOUS) - {"w"}
    return ("float32", "float64") if both else ("float64",)


def names(sample, dtype):
    """The dtypes of the inputs as the graph calls them, for arrays as made."""
    fixed = {"float32": "q32", "float64": "q64"}
    return [
        fixed[np.dtype(dtype).name] if i.kind == "f" else a.dtype.name
        for i, a in zip(sample.inputs, make(sample, dtype), strict=True)
    ]


def make(sample, dtype, seed=0):
    """Inputs of a sample as arrays; the same values for single and double."""
    rng = np.random.default_rng([seed, *map(ord, sample.op)])
    return [_array(i, np.dtype(dtype), rng) for i in sample.inputs]


def _array(spec, dtype, rng):
    kind, shape = spec.kind, spec.shape
    if kind in "rwi" and len(spec.numbers or ()) > 2:
        x = np.reshape(spec.numbers, shape)
        return x.astype({"i": "int64", "w": "float64"}.get(kind, dtype))
    if kind == "w":
        return _values(spec, "float64", rng).astype(np.float32).astype(np.float64)
    if kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if kind == "k":
        return rng.integers(0, 2**62, shape)
    if kind in "fh":
        return _fixed(spec, dtype, rng)
    if kind == "i":
        return rng.integers(int(spec.low), int(spec.high), shape)
    wide = "complex128" if dtype.kind == "c" else "float64"
    real = (
        np.float32 if dtype.itemsize // (2 if dtype.kind == "c" else 1) == 4 else None
    )
    x = _matrix(kind, shape, wide, rng) if kind in "slq" else _values(spec, wide, rng)
    x = np.asarray(x)
    if real is None:  # start from single precision: both precisions see one problem
        x = x.astype("complex64" if x.dtype.kind == "c" else "float32").astype(wide)
    return x.astype(dtype)


def _fixed(spec, dtype, rng):
    shift = QUANTUM[dtype.name]
    if spec.kind == "h":
        return np.ldexp(np.broadcast_to(spec.numbers or 1.0, spec.shape), shift)
    low, high = spec.numbers or (-3, 3)
    whole = np.rint(np.ldexp(rng.uniform(low, high, spec.shape), 20)).astype("int64")
    return whole.astype("int32") if dtype.itemsize == 4 else whole << (-20 - shift)


def _values(spec, wide, rng):
    low, high = spec.low, spec.high
    if spec.kind == "u":
        low, high = (0.02, 0.98) if low is None else (low, high)
    if spec.kind == "p" and low is None:
        low, high = 0.3, 2.5

    def draw():
        if low is not None:
            return rng.uniform(low, high, spec.shape)
        return rng.normal(size=spec.shape)

    x = draw()
    if wide == "complex128" and spec.kind in "cx":
        x = x + 1j * draw()
    return x


def _matrix(kind, shape, wide, rng):
    n, m = shape[-2:]
    x = rng.normal(size=shape)
    if wide == "complex128":
        x = x + 1j * rng.normal(size=shape)
    if kind == "l":
        return np.tril(x) + 2 * np.eye(n, m) * np.sign(np.real(x) + 0.1)
    adjoint = np.conj(np.swapaxes(x, -1, -2))
    if kind == "q":
        return (x + adjoint) / 2 + np.diag(np.arange(n))
    return x @ adjoint / max(n, 1) + np.eye(n)


def direction(sample, arrays, k, rng):
    """A random direction for input k that keeps it what it is."""
    x, kind = arrays[k], sample.inputs[k].kind
    d = rng.normal(size=x.shape)
    if kind == "f":
        return d.astype("float32" if x.dtype.itemsize == 4 else "float64")
    if x.dtype.kind == "c":
        d = d + 1j * rng.normal(size=x.shape)
    if kind == "l":
        d = np.tril(d)
    if kind in "sq":
        d = (d + np.conj(np.swapaxes(d, -1, -2))) / 2
    return d.astype(x.dtype)


def pack(row, attrs):
    """Attributes as the integers that `Graph.op` takes."""
    packed = []
    for part in filter(None, map(str.strip, row["attrs"].split(","))):
        name, _, kind = part.partition(":")
        value, kind = attrs[name.strip()], kind.split("=")[0].strip()
        if kind == "float":
            packed.append(struct.unpack("<q", struct.pack("<d", value))[0])
        elif kind == "ints":
            packed += [len(value), *value]
        else:
            packed.append(int(value))
    return tuple(packed)
