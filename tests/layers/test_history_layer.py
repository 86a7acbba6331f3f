import keras
import numpy as np
import pytest

from lmn_tf.layers import BilinearAttention, TargetAttention
from lmn_tf.layers.history_layer import HistoryLayer, mask_of


class Count(HistoryLayer):
    def call(self, history, target=None, mask=None):
        return keras.ops.sum(keras.ops.cast(mask_of(history, mask), "float32"), axis=1)


IDS = np.array([[3, 4, 0], [5, 0, 0]])


def test_finds_the_mask_that_keras_attached():
    history = keras.layers.Embedding(9, 2, mask_zero=True)(IDS)
    assert Count()(history, np.ones((2, 1))).numpy().tolist() == [2.0, 1.0]


def test_a_given_mask_goes_first():
    history = keras.layers.Embedding(9, 2, mask_zero=True)(IDS)
    assert Count()(history, mask=np.ones((2, 3), bool)).numpy().tolist() == [3.0, 3.0]
    assert mask_of(IDS, None) is None


@pytest.mark.parametrize("kind", [BilinearAttention, TargetAttention])
def test_attention_weights_use_the_mask_that_keras_attached(kind):
    history = keras.layers.Embedding(9, 2, mask_zero=True)(IDS)
    layer = kind()
    layer.build((None, 3, 2), (None, 2))
    weights = layer.attention_weights(history, np.ones((2, 2), "float32")).numpy()
    np.testing.assert_array_equal(weights > 0, IDS > 0)


def test_passes_no_mask_on():
    inputs = keras.Input((3,), dtype="int32")
    outputs = Count()(keras.layers.Embedding(9, 2, mask_zero=True)(inputs))
    assert mask_of(outputs, None) is None


def test_keras_does_not_compile_it_with_xla_by_itself():
    inputs = keras.Input((3,), dtype="int32")
    model = keras.Model(inputs, Count()(keras.layers.Embedding(9, 2, mask_zero=True)(inputs)))
    model.compile(loss="mse")
    assert not model.jit_compile
