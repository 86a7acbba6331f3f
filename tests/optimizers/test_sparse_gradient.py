import numpy as np
import tensorflow as tf

from lmn_tf.optimizers import merge_gradient
from lmn_tf.optimizers.sparse_gradient import map_values


def test_parts_of_one_row_are_added_up():
    rng = np.random.default_rng(3)
    ids = rng.integers(0, 6, 20)
    parts = rng.normal(size=(20, 3)).astype("float32")
    gradient = tf.IndexedSlices(tf.constant(parts), tf.constant(ids), tf.constant([9, 3]))

    merged = tf.function(merge_gradient)(gradient)

    want = np.zeros((9, 3))
    np.add.at(want, ids, parts)
    assert len(set(merged.indices.numpy())) == len(merged.indices)
    np.testing.assert_allclose(tf.convert_to_tensor(merged), want, rtol=1e-5, atol=1e-6)


def test_dense_and_missing_gradients_pass_unchanged():
    dense = tf.ones((2, 2))
    assert merge_gradient(dense) is dense
    assert merge_gradient(None) is None


def test_no_rows_stay_no_rows():
    gradient = tf.IndexedSlices(tf.zeros((0, 3)), tf.zeros((0,), tf.int32), tf.constant([9, 3]))
    assert merge_gradient(gradient).values.shape == (0, 3)


def test_values_are_mapped_wherever_they_stand():
    gradient = tf.IndexedSlices(tf.ones((2, 3)), tf.constant([4, 2]), tf.constant([9, 3]))
    mapped = map_values(gradient, lambda values: 2 * values)
    np.testing.assert_array_equal(mapped.values, np.full((2, 3), 2.0))
    np.testing.assert_array_equal(mapped.indices, [4, 2])
    np.testing.assert_array_equal(map_values(tf.ones(2), tf.negative), [-1.0, -1.0])
    assert map_values(None, tf.negative) is None
