import keras
import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.layers import WeightedMatch

EVENTS = np.array([[3, 4, 3, 7], [5, 3, 0, 9], [1, 1, 1, 1]])
MASK = np.array([[1, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]], bool)
CANDIDATE = np.array([3, 9, 1])


def weight(total, count):
    return np.log(1 + (total - count + 0.5) / (count + 0.5))


def test_rare_ids_weigh_more(run_mode):
    layer = WeightedMatch(10)
    layer.build()
    train = run_mode(lambda e, c: layer(e, c, mask=MASK, training=True))
    first = train(EVENTS, CANDIDATE).numpy()
    # The batch is counted after it is weighed: before it all ids are equal.
    np.testing.assert_allclose(
        first, np.log(2) * np.array([[1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]), rtol=1e-6
    )
    assert float(layer.total.numpy()) == 7
    np.testing.assert_array_equal(layer.counts, [0, 0, 0, 3, 1, 1, 0, 0, 0, 1])
    second = run_mode(lambda e, c: layer(e, c, mask=MASK))(EVENTS, CANDIDATE).numpy()
    want = np.zeros((3, 4))
    want[0, [0, 2]], want[1, 3] = weight(7, 3), weight(7, 1)
    np.testing.assert_allclose(second, want, rtol=1e-5)
    assert float(layer.total.numpy()) == 7  # counted in training only


def test_lists_sum_what_they_share():
    layer = WeightedMatch(6)
    events = np.array([[[1, 2], [2, 0], [5, 4]]])
    candidate = np.array([[2, 1, 0]])
    layer(events, candidate, training=True)
    np.testing.assert_array_equal(layer.counts, [0, 1, 2, 0, 1, 1])
    want = [[weight(3, 1) + weight(3, 2), weight(3, 2), 0]]
    np.testing.assert_allclose(layer(events, candidate), want, rtol=1e-5)


def test_weights_are_positive_even_where_every_event_holds_the_id():
    layer = WeightedMatch(4)
    events = np.full((1, 50), 2)
    layer(events, np.array([2]), training=True)
    assert (layer(events, np.array([2])).numpy() > 0).all()


def test_padding_and_id_0_are_not_counted():
    layer = WeightedMatch(10)
    junk = np.where(MASK, EVENTS, 8)
    layer(junk, CANDIDATE, mask=MASK, training=True)
    assert layer.counts.numpy()[[0, 8]].tolist() == [0, 0]
    np.testing.assert_array_equal(
        layer(junk, CANDIDATE, mask=MASK), layer(EVENTS, CANDIDATE, mask=MASK)
    )


def test_counts_in_full_precision():
    layer = WeightedMatch(10, dtype="mixed_float16")
    layer.build()
    layer.total.assign(70_000.0)  # more than float16 knows
    layer(EVENTS, CANDIDATE, training=True)
    assert float(layer.total.numpy()) == 70_012
    assert layer(EVENTS, CANDIDATE).dtype == tf.float32


def test_frozen_it_counts_nothing():
    layer = WeightedMatch(10)
    layer.trainable = False
    layer(EVENTS, CANDIDATE, training=True)
    assert float(layer.total.numpy()) == 0


def test_replicas_agree_on_the_mean():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        layer = WeightedMatch(10)
        layer.build()

    @tf.function
    def run():
        strategy.run(lambda: layer(EVENTS, CANDIDATE, mask=MASK, training=True))

    run()
    assert float(layer.total.numpy()) == 7
    np.testing.assert_array_equal(layer.counts, [0, 0, 0, 3, 1, 1, 0, 0, 0, 1])


def test_config_round_trip_and_bad_arguments():
    layer = WeightedMatch(10)
    twin = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert twin.vocabulary_size == 10
    with pytest.raises(ValueError, match="`vocabulary_size` must be a positive integer"):
        WeightedMatch(0)
