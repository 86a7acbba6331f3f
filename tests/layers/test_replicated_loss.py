import keras
import numpy as np
import pytest
import tensorflow as tf
from replicas import replicas

from lmn_tf.layers.replicated_loss import add_replicated_loss


class Costly(keras.layers.Layer):
    def __init__(self, is_counted=False):
        super().__init__()
        self.is_counted = is_counted

    def build(self, inputs_shape):
        self.price = self.add_weight(shape=(), initializer="ones")

    def call(self, inputs):
        count = tf.reduce_sum(tf.cast(inputs > 0, tf.int32))
        loss = tf.math.divide_no_nan(tf.reduce_sum(inputs), tf.cast(count, tf.float32))
        count = count if self.is_counted else None
        add_replicated_loss(self, loss * self.price.value, count=count)
        return inputs * 0.0


def trained(strategy, rows, **arguments):
    with strategy.scope():
        # Batch normalisation lets the replicas meet, after the loss was added.
        model = keras.Sequential([Costly(**arguments), keras.layers.BatchNormalization()])
        model.compile(keras.optimizers.SGD(0.1), "mse")
    data = tf.data.Dataset.from_tensor_slices((rows, rows * 0)).batch(len(rows))
    model.fit(data, shuffle=False, verbose=0)
    return float(model.layers[0].price.numpy())


def test_each_replica_adds_its_loss():
    rows = np.float32([[1], [3]])
    assert trained(tf.distribute.get_strategy(), rows) == pytest.approx(0.8)
    assert trained(replicas(2), np.concatenate([rows, rows])) == pytest.approx(0.8)


@pytest.mark.parametrize("is_counted, price", [(True, 0.6), (False, 0.5)])
def test_replicas_count_in_proportion_to_what_their_losses_are_means_of(is_counted, price):
    # The mean of the three numbers that count is 4, that of the replicas' means 5.
    rows = np.float32([[1], [3], [8], [0]])
    assert trained(tf.distribute.get_strategy(), rows, is_counted=is_counted) == pytest.approx(0.6)
    assert trained(replicas(2), rows, is_counted=is_counted) == pytest.approx(price)
