"""Linear algebra of the pooled model against dense formulas written out."""

import numpy as np
import pytest
from scipy.stats import t

from gradiverse.mortality._pooled_joint import CellLaw, half_width, scale_nodes
from gradiverse.mortality._pooled_layer import _condition
from gradiverse.mortality._pooled_panel import period_offsets
from gradiverse.mortality._pooled_shared import shared_update, symmetric_root


def test_condition_is_the_inverse_of_the_precision_block():
    rng = np.random.default_rng(1)
    A = rng.standard_normal((2, 9, 9))
    K = A @ np.swapaxes(A, 1, 2) + np.eye(9)
    mean, values = rng.standard_normal((2, 9)), rng.standard_normal((2, 4))
    observed = np.array([0, 2, 5, 8])
    rest = np.array([1, 3, 4, 6, 7])
    m, C = _condition(K, mean, observed, values)
    for b in range(2):
        P = np.linalg.inv(K[b])
        expect = np.linalg.inv(P[np.ix_(rest, rest)])
        np.testing.assert_allclose(C[b], expect, rtol=1e-9)
        shift = -expect @ P[np.ix_(rest, observed)] @ (values[b] - mean[b, observed])
        np.testing.assert_allclose(m[b], mean[b, rest] + shift, rtol=1e-8)


def test_scale_mixture_has_unit_variance_and_t_quantiles():
    g2 = scale_nodes(9.0, 4096)
    assert g2.mean() == pytest.approx(1.0, rel=1e-12)
    half = half_width(np.array(1.0), np.array(0.0), g2, 0.95)
    assert half == pytest.approx(t.ppf(0.975, 9) * np.sqrt(7 / 9), rel=2e-3)


def test_terms_of_a_law_are_shared_by_cells_of_one_code():
    ones = np.ones((4, 1, 1))
    codes = [np.zeros(4, int), np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])]
    codes.append(np.arange(4))
    terms = [
        (np.sqrt(share) * ones, code)
        for share, code in zip([0.1, 0.2, 0.3, 0.4], codes, strict=True)
    ]
    law = CellLaw(terms, np.zeros((4, 1)))
    expect = np.array(
        [[1, 0.3, 0.4, 0.1], [0.3, 1, 0.1, 0.4], [0.4, 0.1, 1, 0.3], [0.1, 0.4, 0.3, 1]]
    )
    np.testing.assert_allclose(law.dense(), expect)
    assert law.parts(np.ones((1, 4, 1)))[0][0] == pytest.approx(expect.sum())
    np.testing.assert_allclose(
        law.week_blocks(np.array([0, 2]))[0], expect[[0, 2]][:, [0, 2]]
    )


def test_shared_update_is_dense_conditioning_of_all_cells_together():
    rng = np.random.default_rng(5)
    C, W, first, share = 4, 5, 3, 0.6
    A = rng.standard_normal((C, W, W))
    root = symmetric_root(A @ np.swapaxes(A, 1, 2))
    noise = rng.uniform(0.5, 2.0, (C, W))
    seen = rng.standard_normal((C, W))
    seen[1, 0] = np.nan
    seen[:, first:] = np.nan
    group = np.array([0, 0, 1, 0])
    R = share * (group[:, None] == group[None]) + (1 - share) * np.eye(C)
    S = np.einsum("ij,iab,jcb->iajc", R, root, root).reshape(C * W, C * W)
    o = np.flatnonzero(np.isfinite(seen.ravel()))
    f = np.flatnonzero(np.tile(np.arange(W) >= first, C))
    gain = np.linalg.solve(S[np.ix_(o, o)] + np.diag(noise.ravel()[o]), S[np.ix_(o, f)])
    mean, common, own = shared_update(root, noise, seen, first, group, share)
    np.testing.assert_allclose(mean.ravel(), gain.T @ seen.ravel()[o], rtol=1e-9)
    law = CellLaw([(common, group), (own, np.arange(C))], np.zeros((C, W - first)))
    np.testing.assert_allclose(
        law.dense(), S[np.ix_(f, f)] - S[np.ix_(f, o)] @ gain, atol=1e-9
    )


def test_period_offsets_keep_absent_labels_and_long_periods():
    days = np.array([[[11.0, 7.0, 7.0]]])
    np.testing.assert_allclose(
        period_offsets(days, np.array([0, 1, 2])) * 365.25, [5.5, 14.5, 21.5]
    )
    later = period_offsets(np.full((1, 1, 3), 7.0), np.array([10, 11, 13]))
    np.testing.assert_allclose(later * 365.25, [66.5, 73.5, 87.5])
