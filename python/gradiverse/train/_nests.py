"""Nests of arrays as trees of HDF5 groups and datasets.

A dict is a group whose members have the keys' names; lists and tuples have members
"0", "1", ...; None is an empty group. Each group says in its attributes what it is and
in which order its members come; each dataset carries a checksum.
"""

import json
import zlib

import numpy as np

from .._scope import as_leaf, is_array

__all__ = ["check_nest", "read_nest", "write_nest"]

_NUMBER = (bool, int, float, complex)


def write_nest(parent, name, nest, where):
    """Store a nest below an HDF5 group.

    Parameters
    ----------
    parent : h5py.Group
    name : str
    nest : dicts, lists, tuples and None around arrays, numbers and strings
    where : str
        Names the nest in errors.

    Raises
    ------
    TypeError
        If a leaf is not numeric or a container is of another class.
    """
    nest = as_leaf(nest)
    if is_array(nest) or type(nest) in _NUMBER:
        array = np.asarray(nest, order="C")
        data = parent.create_dataset(name, data=array)
        data.attrs["crc32"] = _checksum(array)
        data.attrs["kind"] = "array" if is_array(nest) else type(nest).__name__
        return
    if type(nest) is str:
        data = parent.create_dataset(name, data=nest)
        data.attrs["kind"] = "str"
        return
    group = parent.create_group(name)
    if nest is None:
        group.attrs["kind"] = "none"
        return
    if type(nest) is dict:
        group.attrs["keys"] = json.dumps(list(nest))
    group.attrs["kind"] = type(nest).__name__
    members = _members(nest, where)
    group.attrs["members"] = json.dumps(list(members))
    for member, part in members.items():
        write_nest(group, member, part, f"{where}[{member!r}]")


def check_nest(nest, where):
    """The TypeError that `write_nest` would raise."""
    nest = as_leaf(nest)
    if is_array(nest) or type(nest) in _NUMBER or type(nest) is str or nest is None:
        return
    for member, part in _members(nest, where).items():
        check_nest(part, f"{where}[{member!r}]")


def _members(nest, where):
    """The parts of a container by the names that they have in a file."""
    if type(nest) is dict:
        return {_name(k, i, where): v for i, (k, v) in enumerate(nest.items())}
    if type(nest) in (list, tuple):
        return {str(k): v for k, v in enumerate(nest)}
    raise TypeError(
        f"{where} is a {type(nest).__name__}; files hold dicts, lists and tuples of"
        " arrays"
    )


def _name(key, k, where):
    """A member's name for a key: the key itself where HDF5 allows it."""
    if type(key) not in (str, int):
        raise TypeError(f"{where} has the key {key!r}; keys are strings or ints")
    plain = str(key)
    if type(key) is str and key and "/" not in key and key.strip(".") and key[0] != "#":
        return plain
    return f"#{k}"


def _checksum(array):
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8))


def read_nest(item):
    """The nest stored as this group or dataset.

    Raises
    ------
    ValueError
        If the contents do not have their checksum.
    """
    kind = item.attrs["kind"]
    if kind == "str":
        return item[()].decode()
    if hasattr(item, "shape"):
        array = np.asarray(item[()])
        if int(item.attrs["crc32"]) != _checksum(array):
            raise ValueError(f"the contents of {item.name} are damaged")
        return array if kind == "array" else array.item()
    if kind == "none":
        return None
    parts = [read_nest(item[name]) for name in json.loads(item.attrs["members"])]
    if kind == "dict":
        return dict(zip(json.loads(item.attrs["keys"]), parts, strict=True))
    if kind in ("list", "tuple"):
        return parts if kind == "list" else tuple(parts)
    raise ValueError(f"{item.name} is of the unknown kind {kind!r}")
