import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.distribute.row_split import RowSplit, part_sizes


def split(rows, count):
    return RowSplit([tf.Variable(rows[index::count]) for index in range(count)])


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", [(11, 2), (11,)])
def test_rows_are_those_of_the_table(count, shape):
    whole = np.random.default_rng(0).normal(size=shape).astype("f")
    table = split(whole, count)
    assert table.shape == shape
    assert table.dtype == "float32"
    assert [int(part.shape[0]) for part in table.parts] == part_sizes(11, count)
    for start, stop in ((0, 11), (0, 1), (3, 7), (10, 11), (4, 4)):
        np.testing.assert_array_equal(table.get_rows(start, stop), whole[start:stop])
    whole[2:9] = np.random.default_rng(1).normal(size=(7, *shape[1:]))
    table.set_rows(2, whole[2:9])
    np.testing.assert_array_equal(table.get_rows(0, 11), whole)


def test_lookup_and_its_gradient():
    whole = np.arange(14, dtype="f").reshape(7, 2)
    table, ids = split(whole, 3), tf.constant([6, 1, 6, 0])
    with tf.GradientTape() as tape:
        rows = table.lookup(ids)
        loss = tf.reduce_sum(rows * [[1.0], [2.0], [3.0], [4.0]])
    np.testing.assert_array_equal(rows, whole[ids])
    gradients = [tf.convert_to_tensor(one).numpy() for one in tape.gradient(loss, table.parts)]
    assert [one[:, 0].tolist() for one in gradients] == [[4, 0, 4], [2, 0], [0, 0]]
