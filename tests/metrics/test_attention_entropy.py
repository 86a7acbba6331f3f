import keras
import numpy as np
import pytest
import tensorflow as tf
from replicas import replicas

from lmn_tf.metrics import AttentionEntropy


def slow_entropy(weights, mask):
    """One row at a time; the mean over rows with any weight."""
    found = []
    for row, valid in zip(weights, mask, strict=True):
        share = row[valid] / max(row[valid].sum(), 1e-30)
        if share.sum() > 0:
            found.append(-sum(p * np.log(p) for p in share if p > 0))
    return np.mean(found)


def test_streams_and_agrees_with_row_by_row():
    rng = np.random.default_rng(0)
    metric = AttentionEntropy(3)
    update = tf.function(metric.update_state, reduce_retracing=True)
    weights = rng.random((3, 12, 5)).astype("float32")
    weights[:, :, 1] = 0.0
    mask = np.arange(5) < rng.integers(0, 6, (12, 1))
    assert not mask.all(1).all() and not mask.any(1).all()
    for rows in (slice(0, 7), slice(7, 12)):
        update(tf.constant(weights[:, rows]), tf.constant(mask[rows]))
    result = metric.result()
    assert list(result) == [f"attention_entropy_{walk}" for walk in (1, 2, 3)]
    for one, walk in zip(result.values(), weights, strict=True):
        np.testing.assert_allclose(one, slow_entropy(walk, mask), rtol=1e-5)


def test_even_and_peaked_weights_are_the_extremes():
    metric = AttentionEntropy(2, prefix="clicks_")
    metric.update_state([np.full((3, 8), 0.2), np.eye(8)[:3]])
    result = metric.result()
    np.testing.assert_allclose(result["clicks_attention_entropy_1"], np.log(8), rtol=1e-6)
    np.testing.assert_allclose(result["clicks_attention_entropy_2"], 0.0, atol=1e-6)


def test_padding_counts_for_nothing_even_if_broken():
    metric = AttentionEntropy(1)
    metric.update_state([[[1.0, 1.0, np.nan], [np.nan] * 3]], [[True, True, False], [False] * 3])
    np.testing.assert_allclose(metric.result()["attention_entropy_1"], np.log(2), rtol=1e-6)


def test_nothing_read_is_nan_and_reset_forgets():
    metric = AttentionEntropy(1)
    metric.update_state([[[1.0, 1.0]]])
    metric.reset_state()
    assert np.isnan(metric.result()["attention_entropy_1"])


def test_replicas_add_up():
    strategy = replicas(2)
    with strategy.scope():
        metric = AttentionEntropy(1)
    weights = tf.constant([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0], [1.0, 0.0]])
    parts = strategy.experimental_distribute_dataset(
        tf.data.Dataset.from_tensors(weights).unbatch().batch(4)
    )
    for part in parts:
        strategy.run(lambda rows: metric.update_state([rows]), (part,))
    np.testing.assert_allclose(metric.result()["attention_entropy_1"], np.log(2) / 2, rtol=1e-6)


def test_config_round_trip():
    metric = AttentionEntropy(2, prefix="x_", name="mine")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert again.get_config() == metric.get_config()


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="`num_walks` must be a positive integer.*num_walks=0"):
        AttentionEntropy(0)
