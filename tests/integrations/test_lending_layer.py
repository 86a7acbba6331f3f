"""Layers of tf-keras that compute with layers of Keras 3."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from replicas import replicas

from lmn_tf.integrations import LargeMemory, LendingLayer


class LendingDense(LendingLayer):
    layer_class = keras.layers.Dense

    def call(self, inputs):
        return self.lend(inputs)


def test_lends_the_very_variables():
    layer = LendingDense(3, name="inner")
    x = np.ones((2, 4), "float32")
    layer(x)
    assert [weight is lent for weight, lent in zip_weights(layer)] == [True, True]
    layer.set_weights([np.full((4, 3), 0.5), np.ones(3)])
    np.testing.assert_array_equal(layer(x), np.full((2, 3), 3.0))
    np.testing.assert_array_equal(layer.keras_layer(x), np.full((2, 3), 3.0))


def zip_weights(layer):
    lent = layer.trainable_weights
    return zip((weight.value for weight in layer.keras_layer.weights), lent, strict=True)


def test_gradients_reach_the_weights_of_the_first_call():
    layer = LendingDense(3)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(np.ones((2, 4), "float32")))
    kernel, bias = tape.gradient(loss, layer.trainable_weights)
    np.testing.assert_array_equal(kernel, np.full((4, 3), 2.0))
    np.testing.assert_array_equal(bias, np.full(3, 2.0))


def test_weights_may_be_made_in_a_function():
    layer = LendingDense(3)
    outputs = tf.function(layer)(np.ones((2, 4), "float32"))
    np.testing.assert_allclose(outputs, layer(np.ones((2, 4), "float32")), rtol=1e-6)
    assert len(layer.trainable_weights) == 2


def test_replicas_want_a_layer_that_is_built():
    strategy = replicas(2)
    with strategy.scope():
        layer = LendingDense(3, name="dense")
    message = "`dense` must be built in the scope of the strategy: call the model on a batch there."
    with pytest.raises(ValueError, match=message):
        strategy.run(layer, args=(tf.ones((2, 4)),))
    with strategy.scope():
        layer(tf.ones((2, 4)))
    outputs = strategy.run(layer, args=(tf.ones((2, 4)),))
    assert len(strategy.experimental_local_results(outputs)) == 2


def test_other_layers_are_refused():
    message = "`layer` must be a `LargeMemory` of Keras 3. Received: layer=Dense"
    with pytest.raises(ValueError, match=message):
        LargeMemory.from_keras_layer(keras.layers.Dense(3))


def test_a_layer_without_weights_moves_too():
    lending = LargeMemory.from_keras_layer(LargeMemory(6, 4).to_keras_layer())
    assert not lending.keras_layer.built and lending.keras_layer.num_keys == 6


@pytest.mark.parametrize("through_model", [False, True])
def test_a_frozen_layer_is_frozen_inside(through_model):
    history, mask = np.ones((3, 5, 4), "float32"), np.ones((3, 5), bool)
    arguments = {"user": np.ones((3, 2), "float32"), "mask": mask}
    layer = LargeMemory(6, 4, query_norm="batch")
    model = tf_keras.Sequential([layer])
    frozen = model if through_model else layer
    layer(history, **arguments)
    frozen.trainable = False
    before = layer.get_weights()
    layer(history, **arguments, training=True)
    for one, other in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert layer.trainable_weights == []
    again = LargeMemory.from_config(layer.get_config())
    again(history, **arguments)
    assert not again.trainable and not again.keras_layer.trainable
    assert not layer.to_keras_layer().trainable
    model.trainable = True
    layer(history, **arguments, training=True)
    assert layer.get_config()["trainable"] and layer.keras_layer.trainable
    assert any((a != b).any() for a, b in zip(layer.get_weights(), before, strict=True))


def test_models_of_keras_3_are_refused():
    class Holder(keras.layers.Layer):
        def __init__(self):
            super().__init__(name="holder")
            self.inner = LendingDense(3, name="dense")

        def call(self, inputs):
            return self.inner(inputs)

    message = "`dense` must be in a model of tf-keras, .* Received: a call by `holder`"
    with pytest.raises(ValueError, match=message):
        Holder()(np.ones((2, 4), "float32"))
    message = "`lmn_tf.layers.LargeMemory`. Received: a `keras.KerasTensor`"
    with pytest.raises(ValueError, match=message):
        LargeMemory(6, 4)(keras.Input((5, 8)))
