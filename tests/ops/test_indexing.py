"""Indexing: reading, adding to and replacing parts, against NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import gradiverse as gv
from gradiverse import graph, ops

RNG = np.random.default_rng(11)
SHAPES = st.sampled_from([(4,), (3, 4), (2, 3, 4), (1, 5), (3, 0), ()])


@st.composite
def shape_and_index(draw):
    """A shape and a basic, advanced or mixed index of it."""
    shape = draw(SHAPES)
    basic = hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True)
    if not shape or 0 in shape or draw(st.booleans()):
        return shape, draw(basic)
    entries, broad = [], draw(st.sampled_from([(2,), (3,), (2, 1), (2, 3), ()]))
    for n in shape[: draw(st.integers(1, len(shape)))]:
        kind = draw(st.sampled_from(["array", "array", "slice", "int", "new", "mask"]))
        if kind == "array":
            values = st.integers(-n, n - 1)
            entries.append(draw(hnp.arrays(np.int64, broad, elements=values)))
        elif kind == "mask":
            mask = np.zeros(n, dtype=bool)
            mask[: min(n, 2)] = True  # two of them: broadcasts with the arrays
            entries.append(mask if broad in ((2,), (2, 1)) and n > 1 else slice(None))
        elif kind == "slice":
            entries.append(draw(st.slices(n)))
        elif kind == "int":
            entries.append(draw(st.integers(-n, n - 1)))
        else:
            entries += [None, slice(None)]
    if draw(st.booleans()):
        entries.append(Ellipsis)
    return shape, tuple(entries)


@settings(deadline=None, max_examples=300)
@given(shape_and_index())
def test_getitem(case):
    shape, index = case
    x = RNG.normal(size=shape)
    wanted = x[index]
    found = graph.run(lambda v: ops.getitem(v, index) * 1, x)
    assert np.shape(found) == wanted.shape
    np.testing.assert_array_equal(found, wanted)


@settings(deadline=None, max_examples=150)
@given(shape_and_index())
def test_gradient_of_getitem_adds_up(case):
    shape, index = case
    x = RNG.normal(size=shape)
    weights = RNG.normal(size=x[index].shape)
    g = gv.grad(lambda v: (v[index] * weights).sum())(x)
    wanted = np.zeros(shape)
    np.add.at(wanted, index, weights)
    np.testing.assert_allclose(g, wanted, rtol=1e-14, atol=1e-15)


@settings(deadline=None, max_examples=150)
@given(shape_and_index(), st.booleans())
def test_scatter_add(case, broadcast):
    shape, index = case
    x = RNG.normal(size=shape)
    values = RNG.normal(size=() if broadcast else x[index].shape)
    wanted = x.copy()
    np.add.at(wanted, index, values)
    found = graph.run(lambda a, b: ops.scatter_add(a, index, b), x, values)
    np.testing.assert_allclose(found, wanted, rtol=1e-14, atol=1e-15)
    np.testing.assert_array_equal(ops.scatter_add(x, index, values), wanted)


@settings(deadline=None, max_examples=150)
@given(shape_and_index(), st.booleans())
def test_index_set(case, broadcast):
    shape, index = case
    x = RNG.normal(size=shape)
    values = RNG.normal(size=() if broadcast else x[index].shape)
    wanted = x.copy()
    wanted[index] = values
    found = graph.run(lambda a, b: ops.index_set(a, index, b), x, values)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(ops.index_set(x, index, values), wanted)


def test_index_set_splits_the_gradient():
    x, v = RNG.normal(size=5), RNG.normal(size=2)
    gx, gv_ = gv.grad(
        lambda x, v: (ops.index_set(x, np.array([3, 1]), v) * np.arange(5.0)).sum(),
        argnums=(0, 1),
    )(x, v)
    np.testing.assert_array_equal(gx, [0, 0, 2, 0, 4])
    np.testing.assert_array_equal(gv_, [3, 1])


# --- traced indices -----------------------------------------------------------------


def test_traced_indices_inside_compiled_code():
    x = RNG.normal(size=(4, 5))
    i = np.array([3, -1, 0])

    @gv.compile
    def pick(x, i):
        return x[i], x[i, 1], x[:, i], x[i[:, None], i], np.take(x, i, axis=1)

    wanted = x[i], x[i, 1], x[:, i], x[i[:, None], i], np.take(x, i, axis=1)
    for a, b in zip(pick(x, i), wanted, strict=True):
        np.testing.assert_array_equal(a, b)
    j = np.array([1, 1, -4])
    wanted = x[j], x[j, 1], x[:, j], x[j[:, None], j], np.take(x, j, axis=1)
    for a, b in zip(pick(x, j), wanted, strict=True):
        np.testing.assert_array_equal(a, b)


def test_traced_index_of_writes():
    x = np.zeros((3, 4))
    i, j = np.array([2, 0, 2]), np.array([3, -4])

    @gv.compile
    def write(x, i, j):
        return ops.scatter_add(x, i, 1.0), ops.index_set(x, (slice(None), j), 7.0)

    added, replaced = write(x, i, j)
    wanted = x.copy()
    np.add.at(wanted, i, 1.0)
    np.testing.assert_array_equal(added, wanted)
    wanted = x.copy()
    wanted[:, j] = 7.0
    np.testing.assert_array_equal(replaced, wanted)


def test_position_found_in_the_data():
    x = RNG.normal(size=(6, 3))
    g = gv.grad(lambda x: x[np.argmax(x[:, 0]), 1] ** 2)(x)
    wanted = np.zeros_like(x)
    row = np.argmax(x[:, 0])
    wanted[row, 1] = 2 * x[row, 1]
    np.testing.assert_array_equal(g, wanted)


def test_mask_that_depends_on_the_data():
    x = RNG.normal(size=20)
    g = gv.grad(lambda x: (x[x > 0] ** 2).sum())(x)
    np.testing.assert_array_equal(g, np.where(x > 0, 2 * x, 0))
    with pytest.raises(TypeError, match="mask"):
        gv.compile(lambda x: x[x > 0].sum())(x)


# --- errors ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (3, "out of bounds"),
        (-4, "out of bounds"),
        ((0, 0, 0), "too many indices"),
        ((..., ...), "one ellipsis"),
        (1.5, "an index is"),
        (np.array([0.5]), "integers or bools"),
        (np.array([0, 3]), "out of bounds"),
        (np.array([True, False]), "mask has length 2"),
        ("a", "an index is"),
    ],
)
def test_bad_index(index, message):
    with pytest.raises(IndexError, match=message):
        graph.run(lambda x: x[index], np.ones((3, 4)))


def test_traced_index_out_of_range_names_position():
    with pytest.raises(ValueError, match=r"index 7 .* out of range"):
        gv.compile(lambda x, i: x[i])(np.ones(3), np.array([0, 7]))


def test_values_that_do_not_fit():
    with pytest.raises(ValueError, match="broadcast"):
        graph.run(lambda x: ops.scatter_add(x, slice(2), np.ones(3)), np.ones(4))


def test_assignment_says_what_to_write():
    def assign(x):
        x[0] = 1.0
        return x

    with pytest.raises(TypeError, match="assigned"):
        graph.run(assign, np.ones(3))
