import numpy as np
import pytest

from lmn_tf.models.baselines.fit_term_weights import fit_term_weights


def draw(rows=400):
    rng = np.random.default_rng(0)
    terms = rng.normal(size=(rows, 2)) * [1e-3, 50.0]  # sums of pairs, and counts
    logits = terms @ [700.0, 0.02] - 0.5
    return terms, (rng.random(rows) < 1 / (1 + np.exp(-logits))).astype(float)


def test_weights_minimize_the_log_loss():
    terms, labels = draw()
    row_weights = np.random.default_rng(1).integers(0, 3, len(labels)).astype(float)
    weights, offset = fit_term_weights(terms, labels, row_weights)

    def loss(weights, offset):
        logits = terms @ weights + offset
        return np.sum(row_weights * (np.logaddexp(0, logits) - labels * logits))

    best = loss(weights, offset)
    for step in (0.99, 1.01):
        assert best < loss(weights * [step, 1], offset)
        assert best < loss(weights * [1, step], offset)
        assert best < loss(weights, offset * step)


def test_a_term_that_is_the_same_in_all_rows_has_no_weight():
    terms, labels = draw()
    ones = np.ones(len(labels))
    noise = np.random.default_rng(2).normal(size=len(labels)) * 1e-9
    weights, offset = fit_term_weights(np.c_[terms, ones, noise], labels, ones)
    assert weights[2:].tolist() == [0.0, 0.0]
    want, other = fit_term_weights(terms, labels, ones)
    np.testing.assert_allclose([*weights[:2], offset], [*want, other], rtol=1e-6)


def test_without_terms_that_differ_the_offset_is_the_rate():
    weights, offset = fit_term_weights(np.zeros((4, 2)), np.array([0, 1, 1, 1]), np.ones(4))
    assert weights.tolist() == [0.0, 0.0]
    assert offset == pytest.approx(np.log(3))
