"""C2ST: best possible accuracies, scikit-learn beside it, bad input."""

import numpy as np
import pytest

import gradiverse as gv
from gradiverse.inference import _classifier
from gradiverse.inference._c2st import c2st, marginal_c2st


def _normal(seed, n, d=1, mean=0.0, sd=1.0):
    return np.random.default_rng(seed).normal(mean, sd, (n, d))


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("mean", "sd", "best"),
    [(0.5, 1.0, 0.59871), (1.0, 1.0, 0.69146), (0.0, 0.5, 0.66134), (0.0, 1.0, 0.5)],
)
def test_reaches_the_best_possible_accuracy(mean, sd, best):
    # Bayes classifier of N(0,1) and N(mean, sd^2). A test row's success is one coin
    # toss: sd of the mean over 2n rows below .5/sqrt(2n); 4 of them, plus .006 for
    # what a fitted classifier of this size loses
    n = 6000
    score = c2st(_normal(1, n), _normal(2, n, mean=mean, sd=sd), rng=0)
    four = 4 * 0.5 / np.sqrt(2 * n)
    assert best - four - 0.006 < score < best + four


def test_scale_comes_from_the_first_sample():
    # a common change of units changes nothing but the rounding to f32
    a, b = _normal(1, 2000, 2), _normal(2, 2000, 2, mean=0.7)
    plain = c2st(a, b, rng=5)
    assert c2st(1024 * a, 1024 * b, rng=5) == plain
    # the second one's scale is not taken: wide b stays wide
    assert c2st(a, 8 * a, rng=5) > 0.8


def test_same_seed_same_number_on_one_and_two_threads():
    a, b = _normal(1, 500, 2), _normal(2, 500, 2, mean=0.5)
    before = gv.get_threads()
    try:
        got = []
        for threads in (1, 2):
            gv.set_threads(threads)
            got.append(c2st(a, b, rng=3))
    finally:
        gv.set_threads(before)
    assert got[0] == got[1] != c2st(a, b, rng=4)


def test_agrees_with_scikit_learn():
    pytest.importorskip("sklearn")
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.neural_network import MLPClassifier

    a, b = _normal(1, 4000, 2), _normal(2, 4000, 2, mean=0.5)
    x = ((np.concatenate([a, b]) - a.mean(0)) / a.std(0, ddof=1)).astype("f4")
    y = np.repeat([0.0, 1.0], 4000)
    network = MLPClassifier((20, 20), max_iter=10_000, random_state=1)
    cut = KFold(5, shuffle=True, random_state=1)
    theirs = cross_val_score(network, x, y, cv=cut, scoring="accuracy").mean()
    assert abs(c2st(a, b) - theirs) < 0.01


def test_short_last_batch_counts_its_own_rows():
    # trap 17: 37 rows, batch 200; and 37 rows in batches of 10, whose loss at the first
    # epoch with rate 0 is the mean entropy plus ridge over the rows of each batch
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(37, 2)).astype("f4"), (np.arange(37) % 3 == 0).astype("f4")
    for batch in (200, 10):
        layers, losses = _classifier.fit(
            x, y, np.random.default_rng(1), (4,), rate=0.0, batch_size=batch,
            max_epochs=1,
        )  # fmt: skip
        h = _classifier.logits(layers, x).astype(float)
        entropy = np.logaddexp(0, h) - y * h
        ridge = 0.5e-4 * sum((p["weight"].astype(float) ** 2).sum() for p in layers)
        batches = -(-37 // min(batch, 37))
        assert losses[0] == pytest.approx(entropy.mean() + batches * ridge / 37, 1e-5)


def test_classifier_stops_ten_epochs_after_the_last_gain():
    x = np.random.default_rng(0).normal(size=(300, 1))
    _, losses = _classifier.fit(
        x, np.arange(300) % 2, np.random.default_rng(1), (5,), rate=0.0
    )
    # nothing learned: the first epoch improves on infinity, 11 more do not
    assert len(losses) == 12


def test_marginals_are_told_apart_one_by_one():
    a = _normal(1, 400, 3)
    b = _normal(2, 400, 3) + np.array([0.0, 5.0, 0.0])
    one = marginal_c2st(a, b, 0)
    assert list(one) == [(0,), (1,), (2,)]
    assert one[1,] > 0.95 and max(one[0,], one[2,]) < 0.6
    two = marginal_c2st(a, b, 0, dimensions=2, columns=[(0, 1)])
    assert list(two) == [(0, 1)] and two[0, 1] > 0.95


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((9, 2)), np.ones((9, 2)), "constant"),
        (np.ones((9, 2)), np.ones((9, 3)), "3 columns where 2"),
        (np.full((9, 1), np.nan), np.ones((9, 1)), "9 of 9 rows"),
        (np.ones((2, 1)), np.ones((9, 1)), "at least 5"),
        (np.ones((9, 1, 1)), np.ones((9, 1)), "shape"),
    ],
)
def test_bad_samples_say_so(a, b, message):
    with pytest.raises(ValueError, match=message):
        c2st(a, b)


def test_text_is_no_sample():
    with pytest.raises(TypeError, match="real numbers"):
        c2st(np.array(["x"] * 9), np.ones(9))
