import keras
import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.layers.watched import WatchedMixin


class Doubled(WatchedMixin, keras.layers.Layer):
    def call(self, inputs):
        if self._watcher is not None:
            self._watcher(inputs)
        return 2 * inputs


def test_the_innermost_block_is_told_and_an_error_ends_it():
    layer, inner, outer = Doubled(), [], []
    layer(np.array([1.0]))
    with layer.watched(outer.append):
        with pytest.raises(KeyError, match="stop"), layer.watched(inner.append):
            layer(np.array([2.0]))
            raise KeyError("stop")
        layer(np.array([3.0]))
    layer(np.array([4.0]))
    assert [float(value[0]) for value in inner] == [2.0]
    assert [float(value[0]) for value in outer] == [3.0]


def test_a_block_applies_to_what_is_traced_in_it():
    layer, told = Doubled(), []
    plain = tf.function(layer.__call__).get_concrete_function(tf.TensorSpec([1]))
    with layer.watched(told.append):
        plain(tf.constant([1.0]))
        assert not told
        traced = tf.function(layer.__call__).get_concrete_function(tf.TensorSpec([1]))
    traced(tf.constant([1.0]))
    assert len(told) == 1 and tf.is_symbolic_tensor(told[0])
