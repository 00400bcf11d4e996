"""Attributes of operators: from names and values to the integers of a node."""

import struct

from . import _core

_specs = {}


def spec_of(name):
    if not _specs:
        for row in _core.ops():
            fields = []
            for part in filter(None, map(str.strip, row["attrs"].split(","))):
                label, _, kind = part.partition(":")
                fields.append((label.strip(), kind.split("=")[0].strip()))
            multiple = "," in _outputs(row["signature"])
            _specs[row["name"]] = fields, multiple
    try:
        return _specs[name]
    except KeyError:
        raise ValueError(f"no operator is called {name!r}") from None


def _outputs(signature):
    """The part of a signature after the arrow, without what is in brackets."""
    text = signature.rpartition("->")[2]
    depth, kept = 0, []
    for c in text:
        depth += (c in "([") - (c in ")]")
        if depth == 0:
            kept.append(c)
    return "".join(kept)


def float_slot(x):
    """A float as the integer that has its bits."""
    return struct.unpack("<q", struct.pack("<d", x))[0]


def pack(name, fields, attrs):
    if len(attrs) > len(fields):
        extra = set(attrs) - {label for label, _ in fields}
        raise TypeError(f"{name}: unknown attributes {sorted(extra)}")
    packed = []
    for label, kind in fields:
        try:
            value = attrs[label]
        except KeyError:
            raise TypeError(f"{name}: attribute {label!r} is missing") from None
        if kind == "float":
            packed.append(float_slot(value))
        elif kind == "ints":
            packed.append(len(value))
            packed.extend(int(v) for v in value)
        elif kind == "floats":
            packed.append(len(value))
            packed.extend(float_slot(v) for v in value)
        else:
            packed.append(int(value))
    return tuple(packed)
