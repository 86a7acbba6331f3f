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
    row_weights = np.random.default_rng(1).integers(1, 4, len(labels)).astype(float)
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
    nearly = 1 + np.random.default_rng(2).normal(size=len(labels)) * 1e-12
    weights, offset = fit_term_weights(np.c_[terms, ones, nearly], labels, ones)
    assert weights[2:].tolist() == [0.0, 0.0]
    want, other = fit_term_weights(terms, labels, ones)
    np.testing.assert_allclose([*weights[:2], offset], [*want, other], rtol=1e-6)


def test_a_term_that_only_rows_of_one_label_have_has_no_weight():
    terms, labels = draw()
    new = np.zeros(len(labels))
    new[np.flatnonzero(labels == 1)[:3]] = 1.0
    weights, _ = fit_term_weights(np.c_[terms, new], labels, np.ones(len(labels)))
    assert weights[2] == 0.0
    new[np.flatnonzero(labels == 0)[0]] = 1.0
    weights, _ = fit_term_weights(np.c_[terms, new], labels, np.ones(len(labels)))
    assert 0.0 < abs(weights[2]) < 5.0


def test_small_terms_count_as_large_ones():
    terms, labels = draw()
    want, _ = fit_term_weights(terms, labels, np.ones(len(labels)))
    got, _ = fit_term_weights(terms * 1e-3, labels, np.ones(len(labels)))
    np.testing.assert_allclose(got, want * 1e3, rtol=1e-5)


def test_without_terms_that_differ_the_offset_is_the_rate():
    weights, offset = fit_term_weights(np.zeros((4, 2)), np.array([0, 1, 1, 1]), np.ones(4))
    assert weights.tolist() == [0.0, 0.0]
    assert offset == pytest.approx(np.log(3))


def test_a_term_that_hardly_varies_has_no_weight():
    """Its weight would be so large that one row with a usual value has an absurd logit."""
    rng = np.random.default_rng(0)
    terms, labels = rng.normal(size=(200, 2)), rng.integers(0, 2, 200)
    terms[:, 1] *= 1e-7
    weights, _ = fit_term_weights(terms, labels, np.ones(200))
    assert weights[1] == 0.0 and weights[0] != 0.0
