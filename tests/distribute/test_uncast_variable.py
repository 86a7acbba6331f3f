import keras
import numpy as np
import pytest
import tensorflow as tf
from replicas import replicas

from lmn_tf.distribute.uncast_variable import uncast_variable


class Counter(keras.layers.Layer):
    def build(self, shape):
        self.count = uncast_variable((), "count", dtype="float32")

    def call(self, x):
        self.count.assign_add(1.0)
        return x * tf.cast(self.count, x.dtype)


def test_counts_past_what_half_precision_holds():
    layer = Counter(dtype="mixed_bfloat16")
    layer.build((1,))
    layer.count.assign(256.0)
    layer(np.ones((1, 1)))
    assert float(layer.count) == 257.0
    assert layer.non_trainable_variables == [layer.count]


@pytest.mark.parametrize(("aggregation", "want"), [("sum", 3.0), ("mean", 1.5)])
def test_replicas_count_by_themselves(aggregation, want):
    strategy = replicas(2)
    with strategy.scope():
        variable = uncast_variable((), "count", aggregation=aggregation)

    @tf.function
    def step():
        def add():
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            variable.assign_add(tf.cast(replica, tf.float64) + 1.0)

        strategy.run(add)

    step()
    assert float(np.asarray(variable)) == want
