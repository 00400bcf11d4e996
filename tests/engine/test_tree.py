"""Nests: flatten, rebuild, dataclasses, paths."""

from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass, field

import numpy as np
import pytest

import gradiverse as gv
from gradiverse.tree import broadcast_prefix, leaf_paths, matched

Pair = namedtuple("Pair", "a b")


made = []  # masses of the bodies made by calling Body(...)


@gv.register_dataclass
@dataclass
class Body:
    position: object
    mass: float

    def __post_init__(self):
        made.append(self.mass)


@dataclass(frozen=True)
class Box:
    size: object
    name: str = "box"
    tags: tuple = field(default=(), compare=False)


gv.register_dataclass(Box, static=("name", "tags"))

NESTS = [
    1.0,
    None,
    [],
    {},
    (1, [2, (3,)], {"b": 4, "a": None}),
    Pair(1, {"x": 2}),
    OrderedDict([("z", 1), ("a", 2)]),
    {1: 2, "a": 3, (4, 5): 6},
    Body([1, 2], 3.0),
    Box(7, "crate", ("heavy",)),
]


@pytest.mark.parametrize("nest", NESTS, ids=repr)
def test_round_trip(nest):
    leaves, tree = gv.flatten(nest)
    assert tree.unflatten(leaves) == nest
    assert type(tree.unflatten(leaves)) is type(nest)
    assert tree.n == len(leaves) == len(leaf_paths(nest))
    assert gv.flatten(nest)[1] == tree and hash(gv.flatten(nest)[1]) == hash(tree)


def test_keys_are_matched_by_name_and_keep_their_order():
    one, two = {"b": 1, "a": 2}, {"a": 3, "b": 4}
    assert gv.flatten(one)[1] == gv.flatten(two)[1]
    assert gv.map_leaves(lambda x, y: (x, y), one, two) == {"b": (1, 4), "a": (2, 3)}
    assert list(gv.map_leaves(lambda x: x, one)) == ["b", "a"]
    d = defaultdict(list, {"k": 1})
    assert gv.map_leaves(lambda x: x + 1, d).default_factory is list


def test_different_nests_are_different():
    trees = [gv.flatten(n)[1] for n in NESTS]
    for i, a in enumerate(trees):
        for b in trees[i + 1 :]:
            assert a != b
    assert gv.flatten(Box(1, "a"))[1] != gv.flatten(Box(1, "b"))[1]
    with pytest.raises(ValueError, match="nests differ"):
        gv.map_leaves(lambda x, y: x, [1, 2], (1, 2))
    with pytest.raises(ValueError, match="more than 1 leaves"):
        gv.flatten([1])[1].unflatten([1, 2])


def test_paths_are_python():
    nest = {"a": [1.0, Pair(2.0, 3.0)], "b": Body(4.0, 5.0)}
    assert leaf_paths(nest) == [
        "['a'][0]",
        "['a'][1].a",
        "['a'][1].b",
        "['b'].position",
        "['b'].mass",
    ]


def test_prefixes():
    nest = {"a": [1, 2], "b": (3, None)}
    assert broadcast_prefix(0, nest, "axes") == [0, 0, 0]
    assert broadcast_prefix({"a": 1, "b": None}, nest, "axes") == [1, 1, None]
    assert broadcast_prefix({"a": [1, 2], "b": 0}, nest, "axes") == [1, 2, 0]
    with pytest.raises(ValueError, match="axes: keys"):
        broadcast_prefix({"a": 1}, nest, "axes")
    with pytest.raises(ValueError, match="axes: 1 entries for a list of 2"):
        broadcast_prefix({"a": [1], "b": 0}, nest, "axes")
    assert matched({"a": None, "b": (5, None)}, nest, "x") == [None, None, 5]
    with pytest.raises(ValueError, match="x is shaped"):
        matched({"a": [1, 2]}, nest, "x")


def test_dataclasses_as_arguments_and_results():
    def energy(body, box):
        assert type(body) is Body and box.name == "crate" and not made
        return (body.mass * body.position**2).sum() * box.size

    b, box = Body(np.array([1.0, 2.0]), 3.0), Box(2.0, "crate")
    made.clear()
    for transform in (lambda f: f, gv.compile):
        g, gbox = transform(gv.grad(energy, argnums=(0, 1)))(b, box)
        assert type(g) is Body and gbox == Box(15.0, "crate")
        np.testing.assert_array_equal(g.position, [12.0, 24.0])
        assert g.mass == 5.0 * 2.0 and not made
    moved = gv.compile(lambda b: Body(b.position + 1, b.mass))(b)
    np.testing.assert_array_equal(moved.position, [2.0, 3.0])
    carry, _ = gv.scan(
        lambda c, _: (Body(c.position * 2, c.mass), None), Body(1.0, 2.0), length=3
    )
    assert carry.position == 8.0 and carry.mass == 2.0


def test_static_fields_are_part_of_the_signature():
    traced = []

    def f(box):
        traced.append(box.name)
        return box.size * len(box.name)

    g = gv.compile(f)
    assert [g(Box(2.0, n)) for n in ("ab", "abc", "ab")] == [4.0, 6.0, 4.0]
    assert traced == ["ab", "abc"]
    with pytest.raises(TypeError, match=r"static fields of Box.*hashable"):
        g(Box(2.0, "ab", ["list"]))


def test_registration_is_checked():
    class Plain:
        pass

    with pytest.raises(TypeError, match="not a dataclass"):
        gv.register_dataclass(Plain)
    with pytest.raises(ValueError, match="no field 'nope'"):
        gv.register_dataclass(Body, static=("nope",))
    assert gv.register_dataclass(Body) is Body
