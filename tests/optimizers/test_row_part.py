import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.optimizers.row_part import RowPart, row_mean_square


def test_a_sparse_gradient_reads_and_writes_its_rows_only():
    table, state = tf.Variable(tf.reshape(tf.range(8.0), [4, 2])), tf.Variable(tf.range(4.0))
    gradient = tf.IndexedSlices(tf.constant([[1.0, 2.0], [0.0, 0.0]], tf.float16), [3, 1])
    part = RowPart(gradient, table, {"count": state}, "float32")
    assert part.gradient.dtype == tf.float32
    assert part.read.numpy().tolist() == [True, False]
    assert part.old["count"].numpy().tolist() == [3.0, 1.0]
    before = part.rows()
    assert before.numpy().tolist() == [[6.0, 7.0], [2.0, 3.0]]
    part.write(before, before * 10, {"count": part.old["count"] + 0.5})
    assert table.numpy().tolist() == [[0.0, 1.0], [20.0, 30.0], [4.0, 5.0], [60.0, 70.0]]
    assert state.numpy().tolist() == [0.0, 1.5, 2.0, 3.5]


def test_a_dense_gradient_reads_and_writes_all_rows():
    table, state = tf.Variable([[1.0], [2.0]]), tf.Variable([0.0, 1.0])
    part = RowPart(tf.constant([[np.nan], [0.0]]), table, {"count": state}, "float32")
    assert part.read.numpy().tolist() == [True, False]
    part.write(part.rows(), part.rows() + 1, {"count": part.old["count"] - 1})
    assert table.numpy().tolist() == [[2.0], [3.0]] and state.numpy().tolist() == [-1.0, 0.0]


@pytest.mark.parametrize("is_shared, want", [(True, [0.25, 4.0]), (False, [0.75, 4.0])])
def test_where_workers_write_at_once_no_update_is_lost(is_shared, want):
    variable, state = tf.Variable([1.0, 4.0]), tf.Variable([1.0, 4.0])
    gradient = tf.IndexedSlices(tf.constant([1.0]), tf.constant([0]))
    part = RowPart(gradient, variable, {"count": state}, "float32", is_shared)
    before = part.rows()
    for one in (variable, state):
        one.assign_sub([0.5, 0.0])  # what another worker wrote since
    part.write(before, before - 0.25, {"count": part.old["count"] - 0.25})
    np.testing.assert_array_equal(variable, want)
    np.testing.assert_array_equal(state, want)


def test_computes_on_the_device_of_the_rows():
    with tf.device("CPU:1"):
        variable = tf.Variable([1.0, 4.0])
    gradient = tf.IndexedSlices(tf.constant([1.0]), tf.constant([0]))
    for device, want in ((variable.device, "CPU:1"), (None, "CPU:0")):
        part = RowPart(gradient, variable, {}, "float32", device=device)
        with tf.device("CPU:0"), part.place():
            assert (part.gradient + 1).device.endswith(want)


def test_the_mean_square_of_a_row_is_one_number():
    rows = tf.constant([[[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 2.0]]])
    assert row_mean_square(rows).numpy().tolist() == [7.5, 1.0]
    assert row_mean_square(tf.constant([3.0, 0.0])).numpy().tolist() == [9.0, 0.0]
