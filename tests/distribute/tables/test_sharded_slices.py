import tensorflow as tf

from lmn_tf.distribute.tables.sharded_slices import ShardedSlices


def test_parts_are_one_gradient_to_what_knows_of_none():
    parts = [
        tf.IndexedSlices(tf.constant([[1.0], [2.0]]), tf.constant([0, 2])),
        tf.IndexedSlices(tf.constant([[3.0]]), tf.constant([1])),
    ]
    slices = ShardedSlices(parts, ["/cpu:0", "/cpu:0"], (6, 1))
    assert tf.convert_to_tensor(slices).numpy().ravel().tolist() == [1, 0, 0, 3, 2, 0]
    doubled = slices.map(lambda values: 2 * values)
    assert [part.values.numpy().ravel().tolist() for part in doubled.parts] == [[2, 4], [6]]
    assert tf.convert_to_tensor(doubled).numpy().ravel().tolist() == [2, 0, 0, 6, 4, 0]
    assert float(slices.sum(tf.reduce_sum)) == 6.0
