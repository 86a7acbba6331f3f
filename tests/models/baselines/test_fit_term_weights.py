import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

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


def test_few_rows_draw_weights_toward_0():
    terms, labels = draw(rows=70)
    assert min(np.bincount(labels.astype(int))) < 40
    weights, offset = fit_term_weights(terms, labels, np.ones(70))

    def cost(weights, offset):
        logits = terms @ weights + offset
        prior = np.sum((weights * terms.std(axis=0)) ** 2) / 0.1
        return np.sum(np.logaddexp(0, logits) - labels * logits) + prior / 2

    best = cost(weights, offset)
    for step in (0.99, 1.01):
        assert best < cost(weights * [step, 1], offset)
        assert best < cost(weights * [1, step], offset)
        assert best < cost(weights, offset * step)


@pytest.mark.parametrize("unit", [0.01, 100.0])
def test_the_unit_of_row_weights_does_not_matter(unit):
    terms, labels = draw(rows=60)
    row_weights = np.random.default_rng(1).integers(1, 4, 60).astype(float)
    want, offset = fit_term_weights(terms, labels, row_weights)
    got, other = fit_term_weights(terms, labels, row_weights * unit)
    np.testing.assert_allclose([*got, other], [*want, offset], rtol=1e-6)


@pytest.mark.parametrize(("rows", "is_free"), [(20, True), (19, False)])
def test_20_rows_of_the_rarer_label_for_a_weight_are_not_few(rows, is_free):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 1], rows)
    terms = rng.normal(size=(len(labels), 1)) + labels[:, None]
    weights, _ = fit_term_weights(terms, labels, np.ones(len(labels)))
    free = LogisticRegression(C=1e6).fit(terms, labels).coef_[0]
    assert (weights == pytest.approx(free, rel=1e-3)) == is_free


def test_labels_that_are_chance_make_no_large_logits():
    rng = np.random.default_rng(0)
    terms, labels = rng.normal(size=(40, 15)), rng.integers(0, 2, 40)
    weights, offset = fit_term_weights(terms, labels, np.ones(40))
    logits = rng.normal(size=(10_000, 15)) @ weights + offset
    assert np.mean(np.logaddexp(0, logits) - rng.integers(0, 2, 10_000) * logits) < 0.8


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
