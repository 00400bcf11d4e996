"""gv.random: pure functions of the key."""

import numpy as np
import pytest

import gradiverse as gv

r = gv.random


@pytest.mark.smoke
def test_same_bits_inside_and_outside_traced_code():
    def draw(k, n):
        a, b = r.split(k)
        return (
            r.normal(a, (n, 3)),
            r.uniform(b, n, np.float32),
            r.normal(r.fold_in(k, 7), dtype=np.float32),
        )

    k = r.key(5)
    outside = draw(k, 4)
    inside = gv.compile(draw)(k, 4)
    (_, on_values) = gv.grad(lambda x: (x, draw(k, 4)), has_aux=True)(1.0)
    for a, b, c in zip(outside, inside, on_values, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
        assert a.dtype == b.dtype == c.dtype


def test_same_bits_on_any_number_of_threads():
    before = gv.get_threads()
    draws = []
    for n in (1, 2):
        gv.set_threads(n)
        draws.append(r.normal(r.key(0), 200_001))
    gv.set_threads(before)
    np.testing.assert_array_equal(*draws)


def test_keys_are_different_and_reproducible():
    k = r.key(3)
    assert k.dtype == np.int64 and k.shape == (2,)
    np.testing.assert_array_equal(k, r.key(3))
    keys = [r.key(s) for s in (0, 1, 2**63, -1, 2**64 - 2)]
    keys += list(r.split(k, 10)) + [r.fold_in(k, i) for i in range(-3, 10)]
    assert len({tuple(x) for x in keys}) == len(keys)
    assert not np.array_equal(r.normal(keys[0], 5), r.normal(keys[1], 5))
    np.testing.assert_array_equal(r.split(k, 3), r.split(k, 3))
    assert r.split(k, 0).shape == (0, 2)


def test_entries_do_not_depend_on_the_length_before_them():
    k = r.key(1)
    np.testing.assert_array_equal(r.uniform(k, 7), r.uniform(k, 1000)[:7])
    np.testing.assert_array_equal(r.normal(k, (4, 5)).ravel(), r.normal(k, 20))


def test_moments():
    k = r.key(11)
    for dtype in (np.float32, np.float64):
        z = r.normal(k, 400_000, dtype).astype(float)
        n = z.size
        assert abs(z.mean()) < 4 / n**0.5
        assert abs((z**2).mean() - 1) < 4 * (2 / n) ** 0.5
        assert abs((z**4).mean() - 3) < 4 * (96 / n) ** 0.5
        assert abs((z[1:] * z[:-1]).mean()) < 4 / n**0.5
        u = r.uniform(k, 400_000, dtype)
        assert u.min() >= 0 and u.max() < 1
        assert abs(u.mean() - 0.5) < 4 / (12 * n) ** 0.5


def test_batches_of_keys():
    keys = r.split(r.key(2), 5)
    rows = r.normal(keys, 3)
    each = gv.vmap(lambda k: r.normal(k, 3))(keys)
    for i in range(5):
        np.testing.assert_array_equal(rows[i], r.normal(keys[i], 3))
    np.testing.assert_array_equal(each, rows)
    folded = gv.vmap(lambda i: r.fold_in(r.key(2), i))(np.arange(4))
    for i in range(4):
        np.testing.assert_array_equal(folded[i], r.fold_in(r.key(2), i))
    np.testing.assert_array_equal(r.fold_in(r.key(2), np.arange(4)), folded)
    halves = gv.vmap(lambda k: r.split(k, 2))(keys)
    np.testing.assert_array_equal(halves[1], r.split(keys[1], 2))


def test_keys_in_loops():
    def step(k, _):
        k, draw = r.split(k)
        return k, r.normal(draw)

    _, ys = gv.scan(step, r.key(0), length=50)
    assert len(set(ys.tolist())) == 50
    k, wanted = r.key(0), []
    for _ in range(50):
        k, draw = r.split(k)
        wanted.append(r.normal(draw))
    np.testing.assert_array_equal(ys, wanted)


def test_gradient_passes_beside_random_numbers():
    k = r.key(4)
    g = gv.grad(lambda s: (s * r.normal(k, 5)).sum())(2.0)
    assert g == pytest.approx(r.normal(k, 5).sum())


def test_wrong_arguments():
    with pytest.raises(
        TypeError, match=r"int64 array with last axis 2.*gv\.random\.key"
    ):
        r.normal(5)
    with pytest.raises(TypeError, match="not float32 or float64"):
        r.normal(r.key(0), 3, np.int64)
    with pytest.raises(ValueError, match="negative"):
        r.uniform(r.key(0), (2, -1))
    with pytest.raises(ValueError, match="64 bits"):
        r.key(2**65)
    with pytest.raises(TypeError, match="int is needed"):
        r.fold_in(r.key(0), 1.5)
    with pytest.raises(ValueError, match="n is -1"):
        r.split(r.key(0), -1)
    with pytest.raises(ValueError, match="one key"):
        r.split(r.split(r.key(0), 3), 2)
