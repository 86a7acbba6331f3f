"""Top-k accuracy over a corpus."""

import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.metrics import FactorizedTopK

KS = (1, 3, 10)


def vectors(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def twin(queries, positives, corpus, weights):
    """Ranks by sorting: a candidate stands behind all that score higher."""
    found = []
    for query, positive in zip(queries, positives, strict=True):
        order = np.sort(corpus @ query)[::-1]
        found.append([np.sum(order > query @ positive) < k for k in KS])
    return np.average(found, axis=0, weights=weights)


def values(metric):
    return [float(value) for value in metric.result().values()]


@pytest.mark.parametrize("block", [7, 50, 64])
@pytest.mark.parametrize("compiled", [False, True])
def test_is_the_share_of_ranks_below_k(block, compiled):
    corpus, queries, weights = vectors(50, 4), vectors(20, 4, seed=1), np.arange(20.0)
    positives = vectors(20, 4, seed=2)
    metric = FactorizedTopK(tf.data.Dataset.from_tensor_slices(corpus).batch(block), KS)
    update = tf.function(metric.update_state) if compiled else metric.update_state
    for rows in (slice(0, 12), slice(12, 20)):
        update(queries[rows], positives[rows], sample_weight=weights[rows])
    np.testing.assert_allclose(values(metric), twin(queries, positives, corpus, weights))
    assert list(metric.result())[0] == "factorized_top_k/top_1_categorical_accuracy"


def test_a_candidate_does_not_stand_behind_itself():
    # Scaled so that the product of matrices rounds otherwise than the sum of products.
    corpus, ids = vectors(500, 64) * 1e3, np.array([f"item {i}" for i in range(500)])
    queries = corpus + vectors(500, 64, seed=1) * 1e-3
    blocks = tf.data.Dataset.from_tensor_slices((ids, corpus)).batch(128)
    metric = FactorizedTopK(blocks, (1,))
    own = np.argmax(queries @ corpus.T, axis=1)
    metric.update_state(queries, corpus[own], ids[own])
    assert values(metric) == [1.0]


def test_scores_that_are_not_finite_are_not_found():
    metric = FactorizedTopK(tf.data.Dataset.from_tensor_slices(vectors(5, 2)).batch(5), (10,))
    metric.update_state(np.ones((2, 2)), [[np.nan, 0.0], [np.inf, 0.0]])
    assert values(metric) == [0.0]


def test_nothing_is_known_before_the_first_query():
    metric = FactorizedTopK(tf.data.Dataset.from_tensor_slices(vectors(5, 2)).batch(5), KS)
    assert np.isnan(values(metric)).all()
    metric.update_state(vectors(1, 2), vectors(1, 2))
    metric.reset_state()
    assert np.isnan(values(metric)).all()
    assert metric.get_config()["ks"] == list(KS)


def test_a_corpus_that_is_trained_is_read_anew():
    table = tf.Variable(np.eye(3, dtype="float32"))
    blocks = tf.data.Dataset.range(3).batch(2).map(lambda ids: tf.gather(table, ids))
    metric = FactorizedTopK(blocks, (1,))
    update = tf.function(metric.update_state)
    update([[1.0, 0.9, 0.0]], [[0.0, 1.0, 0.0]])
    table.assign(table * [[0.5], [1.0], [1.0]])
    update([[1.0, 0.9, 0.0]], [[0.0, 1.0, 0.0]])
    assert values(metric) == [0.5]


@pytest.mark.parametrize("ks", [(), (0,), (2.0,), (True,)])
def test_other_ks_are_refused(ks):
    blocks = tf.data.Dataset.from_tensor_slices(vectors(5, 2)).batch(5)
    with pytest.raises(ValueError, match="`ks` must be one or more positive integers. Received"):
        FactorizedTopK(blocks, ks)


def test_ids_are_given_on_both_sides():
    blocks = tf.data.Dataset.from_tensor_slices(vectors(5, 2)).batch(5)
    message = "`positive_ids` must be given where `candidates` has ids, and only there."
    with pytest.raises(ValueError, match=f"{message} Received: ids in `positive_ids` alone"):
        FactorizedTopK(blocks).update_state(vectors(1, 2), vectors(1, 2), [3])
    blocks = tf.data.Dataset.zip(tf.data.Dataset.range(5), blocks.unbatch()).batch(5)
    with pytest.raises(ValueError, match=f"{message} Received: ids in `candidates` alone"):
        FactorizedTopK(blocks).update_state(vectors(1, 2), vectors(1, 2))
