"""Nested arguments and results: dicts, lists, tuples, named tuples, dataclasses.

`flatten` takes a nest apart into leaves and a `Tree` that remembers its shape;
`Tree.unflatten` puts it together again. None has no leaves. Everything that is not a
container is a leaf, also strings and functions; which leaves are traced is decided by
the transforms.
"""

from collections import OrderedDict, defaultdict
from dataclasses import fields, is_dataclass

import numpy as np

__all__ = ["Tree", "flatten", "leaf_paths", "map_leaves", "register_dataclass"]

_registered = {}  # class -> (names of the dynamic fields, names of the static ones)


class Tree:
    """The shape of a nest; equal and hashable by content.

    Attributes
    ----------
    kind : type or None
        Container class, None for a leaf.
    meta
        Keys of a dict, static fields of a dataclass, factory of a defaultdict.
    children : tuple of Tree
    n : int
        Number of leaves.
    """

    __slots__ = ("_hash", "children", "kind", "meta", "n", "order")

    def __init__(self, kind, meta, children, order=None):
        self.kind = kind
        self.meta = meta
        self.children = children
        self.order = order
        self.n = 1 if kind is None else sum(c.n for c in children)
        self._hash = None

    def __eq__(self, other):
        return self is other or (
            isinstance(other, Tree)
            and self.kind is other.kind
            and self.n == other.n
            and self.meta == other.meta
            and self.children == other.children
        )

    def __hash__(self):
        if self._hash is None:
            try:
                self._hash = hash((self.kind, self.meta, self.children))
            except TypeError as error:
                raise TypeError(
                    f"static fields of {self.kind.__name__} must be hashable: {error}"
                ) from None
        return self._hash

    def __repr__(self):
        return repr(self.unflatten(["*"] * self.n))

    def unflatten(self, leaves):
        """The nest with these leaves in place of the old ones."""
        it = iter(leaves)
        out = self._build(it)
        if next(it, _END) is not _END:
            raise ValueError(f"more than {self.n} leaves for {self!r}")
        return out

    def _build(self, it):
        kind = self.kind
        if kind is None:
            return next(it)
        if kind is _NONE:
            return None
        parts = [c._build(it) for c in self.children]
        if kind is list or kind is tuple:
            return kind(parts)
        if issubclass(kind, tuple):
            return kind(*parts)
        if issubclass(kind, dict):
            out = kind(self.meta[1]) if kind is defaultdict else kind()
            by_key = dict(zip(self.meta[0], parts, strict=True))
            out.update((k, by_key[k]) for k in self.order)
            return out
        out = object.__new__(kind)
        names, static = _registered[kind]
        for name, value in zip(names, parts, strict=True):
            object.__setattr__(out, name, value)
        for name, value in zip(static, self.meta, strict=True):
            object.__setattr__(out, name, value)
        return out


_END = object()


class _NONE:
    """Container kind of None."""


LEAF = Tree(None, None, ())
_EMPTY = Tree(_NONE, None, ())


def _sorted_keys(d):
    try:
        return tuple(sorted(d))
    except TypeError:
        return tuple(sorted(d, key=lambda k: (type(k).__name__, repr(k))))


def _parts(x):
    """(kind, meta, names of the children, children, order) or None for a leaf."""
    kind = type(x)
    if kind is tuple or kind is list:
        return kind, len(x), range(len(x)), x, None
    if kind is dict or kind is OrderedDict or kind is defaultdict:
        keys = _sorted_keys(x)
        extra = x.default_factory if kind is defaultdict else None
        return kind, (keys, extra), keys, [x[k] for k in keys], tuple(x)
    if kind in _registered:
        names, static = _registered[kind]
        meta = tuple(getattr(x, n) for n in static)
        return kind, meta, names, [getattr(x, n) for n in names], None
    if isinstance(x, tuple) and hasattr(kind, "_fields"):
        return kind, None, kind._fields, x, None
    return None


def flatten(x):
    """Take a nest apart.

    Parameters
    ----------
    x
        Any nest of dicts, lists, tuples, named tuples, registered dataclasses.

    Returns
    -------
    leaves : list
    tree : Tree

    Examples
    --------
    >>> leaves, tree = flatten({"a": 1.0, "b": [2.0, None]})
    >>> leaves
    [1.0, 2.0]
    >>> tree.unflatten([3, 4])
    {'a': 3, 'b': [4, None]}
    """
    leaves = []
    return leaves, _flatten(x, leaves)


def _flatten(x, leaves):
    if x is None:
        return _EMPTY
    kind = type(x)
    if kind is np.ndarray or kind is float:
        leaves.append(x)
        return LEAF
    parts = _parts(x)
    if parts is None:
        leaves.append(x)
        return LEAF
    kind, meta, _, children, order = parts
    return Tree(kind, meta, tuple([_flatten(c, leaves) for c in children]), order)


def leaf_paths(x):
    """Where each leaf is, as Python would write it: ``["a"][0].mass``."""
    if x is None:
        return []
    parts = _parts(x)
    if parts is None:
        return [""]
    kind, _, names, children, _ = parts
    dotted = kind in _registered or (kind is not tuple and issubclass(kind, tuple))
    return [
        (f".{name}" if dotted else f"[{name!r}]") + rest
        for name, child in zip(names, children, strict=True)
        for rest in leaf_paths(child)
    ]


def broadcast_prefix(prefix, x, what):
    """One entry of `prefix` for each leaf of x; prefix may stop above the leaves."""
    if x is None:
        return []
    parts = _parts(x)
    nested = isinstance(prefix, (tuple, list, dict)) or type(prefix) in _registered
    if parts is None or not nested:
        return [prefix] * flatten(x)[1].n
    kind, _, names, children, _ = parts
    if type(prefix) in _registered:
        if type(prefix) is not kind:
            raise ValueError(f"{what}: a {type(prefix).__name__} for a {kind.__name__}")
        prefix = [getattr(prefix, n) for n in names]
    if isinstance(prefix, dict):
        if set(prefix) != set(names):
            raise ValueError(
                f"{what}: keys {sorted(map(str, prefix))} do not match the argument's"
                f" {sorted(map(str, names))}"
            )
        prefix = [prefix[n] for n in names]
    if len(prefix) != len(children):
        raise ValueError(
            f"{what}: {len(prefix)} entries for a {kind.__name__} of {len(children)}"
        )
    return [
        leaf
        for p, c in zip(prefix, children, strict=True)
        for leaf in broadcast_prefix(p, c, what)
    ]


def matched(part, like, what):
    """Leaves of `part` in the places of the leaves of `like`.

    Where part has None instead of a leaf or of a whole sub-nest, None stands for each
    leaf there. ValueError, with `what`, where the two differ otherwise.
    """
    if like is None:
        return []
    parts = _parts(like)
    if part is None:
        return [None] * flatten(like)[1].n
    if parts is None:
        if _parts(part) is not None:
            raise ValueError(f"{what} has {flatten(part)[1]!r} where one array belongs")
        return [part]
    kind, _, names, children, _ = parts
    found = _parts(part)
    if found is None or found[0] is not kind or list(found[2]) != list(names):
        raise ValueError(
            f"{what} is shaped {flatten(part)[1]!r}, expected {flatten(like)[1]!r}"
        )
    return [
        leaf
        for p, c in zip(found[3], children, strict=True)
        for leaf in matched(p, c, what)
    ]


def map_leaves(f, x, *rest):
    """f applied to the leaves of nests of one shape, leaf by leaf."""
    leaves, tree = flatten(x)
    others = []
    for y in rest:
        more, other = flatten(y)
        if other != tree:
            raise ValueError(f"nests differ: {tree!r} and {other!r}")
        others.append(more)
    return tree.unflatten([f(*parts) for parts in zip(leaves, *others, strict=True)])


def register_dataclass(cls, static=()):
    """Allow instances of a dataclass as arguments and results of transforms.

    Fields are traced like entries of a dict, except those named in `static`, which
    must be hashable and become part of the signature. Instances are rebuilt without
    calling ``__init__`` or ``__post_init__``.

    Parameters
    ----------
    cls : type
        A dataclass; frozen ones too.
    static : tuple of str
        Names of fields that are not traced.

    Returns
    -------
    type
        cls, so that it may be used as a decorator.

    Raises
    ------
    TypeError
        If cls is not a dataclass.
    ValueError
        If a static name is not a field.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @register_dataclass
    ... @dataclass
    ... class Line:
    ...     slope: float
    ...     offset: float
    >>> flatten(Line(2.0, 1.0))[0]
    [2.0, 1.0]
    """
    if not (isinstance(cls, type) and is_dataclass(cls)):
        raise TypeError(f"register_dataclass: {cls!r} is not a dataclass")
    static = (static,) if isinstance(static, str) else tuple(static)
    names = [f.name for f in fields(cls)]
    wrong = [n for n in static if n not in names]
    if wrong:
        raise ValueError(
            f"register_dataclass: {cls.__name__} has no field {wrong[0]!r}; fields are"
            f" {names}"
        )
    _registered[cls] = tuple(n for n in names if n not in static), static
    return cls
