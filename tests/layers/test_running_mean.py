import keras
import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.layers.running_mean import RunningMean


class Watched(keras.layers.Layer):
    """A layer that keeps the mean of its inputs."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.mean = RunningMean(name="mean")

    def call(self, inputs):
        self.mean.update_state(tf.reduce_mean(tf.cast(inputs, tf.float32)))
        return inputs


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_counts_beyond_what_half_precision_can(policy):
    layer = Watched(dtype=policy)
    run = tf.function(layer)
    for value in range(3000):
        run(tf.fill((2, 2), float(value % 3)))
    assert float(layer.mean.count) == 3000
    assert float(layer.mean.result()) == pytest.approx(1.0, rel=1e-6)


def test_is_a_metric_of_its_layer_and_is_reset():
    layer = Watched()
    layer(np.ones((2, 2), "float32"))
    assert layer.metrics_variables == [layer.mean.total, layer.mean.count]
    layer.mean.reset_state()
    assert float(layer.mean.count) == 0.0
    assert RunningMean.from_config(layer.mean.get_config()).name == "mean"
