import keras
import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.callbacks.slot_gradients import SlotGradients
from lmn_tf.optimizers import RowWiseAdagrad, SparseAdagrad, default


def slices(row, *values):
    return tf.IndexedSlices(tf.constant([values]), tf.constant([row]), tf.constant([3, 2]))


@pytest.mark.parametrize("kind", [RowWiseAdagrad, SparseAdagrad])
def test_squares_since_the_last_call(kind):
    table = keras.Variable(np.ones((3, 2)), name="memory_values")
    optimizer = default(tables=kind(0.1, initial_accumulator_value=0.5))
    optimizer.build([table])
    gradients = SlotGradients(optimizer, table)
    scale = 1.0 if kind is SparseAdagrad else 0.5  # one accumulator a row holds the mean
    for gradient, wanted in ((slices(2, 3.0, 1.0), [0, 0, 10]), (slices(0, 2.0, 0.0), [4, 0, 0])):
        optimizer.apply([gradient], [table])
        np.testing.assert_allclose(gradients.take(), scale * np.array(wanted), atol=1e-5)
    assert not gradients.take().any()


def test_other_optimizers_sum_nothing():
    table = keras.Variable(np.ones((3, 2)), name="memory_values")
    for optimizer in (None, keras.optimizers.SGD(0.1), default(tables=keras.optimizers.SGD(0.1))):
        assert SlotGradients(optimizer, table).take() is None
