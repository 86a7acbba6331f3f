import keras
import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.layers.replicated_loss import add_replicated_loss


class Costly(keras.layers.Layer):
    def build(self, inputs_shape):
        self.price = self.add_weight(shape=(), initializer="ones")

    def call(self, inputs):
        add_replicated_loss(self, tf.reduce_mean(inputs) * self.price.value)
        return inputs * 0.0


def trained(strategy, rows):
    with strategy.scope():
        # Batch normalisation lets the replicas meet, after the loss was added.
        model = keras.Sequential([Costly(), keras.layers.BatchNormalization()])
        model.compile(keras.optimizers.SGD(0.1), "mse")
    data = tf.data.Dataset.from_tensor_slices((rows, rows * 0)).batch(len(rows))
    model.fit(data, shuffle=False, verbose=0)
    return float(model.layers[0].price.numpy())


def test_each_replica_adds_its_loss():
    rows = np.float32([[1], [3]])
    assert trained(tf.distribute.get_strategy(), rows) == pytest.approx(0.8)
    devices = [device.name for device in tf.config.list_logical_devices("CPU")[:2]]
    strategy = tf.distribute.MirroredStrategy(devices)
    assert trained(strategy, np.concatenate([rows, rows])) == pytest.approx(0.8)
