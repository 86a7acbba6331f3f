import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.ops.rows.row_chunks import fold_row_chunks, map_row_chunks


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 8, 11])
def test_gives_each_row_what_the_function_gives(rows, run_mode):
    first = np.arange(rows * 3, dtype="float32").reshape(rows, 3)
    second = np.arange(rows, dtype="int32")
    sizes = []

    def one_chunk(a, b):
        sizes.append(a.shape[0])
        return a * 2, b + 1

    def run(a, b):
        return map_row_chunks(one_chunk, (a, b), 4, (tf.float32, tf.int32))

    doubled, added = run_mode(run)(first, second)
    np.testing.assert_array_equal(doubled, first * 2)
    np.testing.assert_array_equal(added, second + 1)
    assert set(sizes) == {4}


def test_no_rows():
    run = tf.function(
        lambda a: map_row_chunks(lambda b: (b + 1,), (a,), 4, (tf.float32,)),
        input_signature=[tf.TensorSpec([None, 2])],
    )
    assert run(tf.zeros([0, 2]))[0].shape == (0, 2)


@pytest.mark.parametrize("rows", [0, 1, 3, 4, 5, 8, 11])
def test_each_row_counts_once_in_a_fold(rows, run_mode):
    numbers = np.arange(1, rows + 1, dtype="float32")[:, None]

    def add(total, is_new, numbers):
        assert (numbers.shape[0] or 1) <= 4
        return total * 2 + tf.reduce_sum(tf.where(is_new, numbers[:, 0], 0.0))

    total = run_mode(lambda n: fold_row_chunks(add, tf.constant(0.0), (n,), 4))(numbers)
    want = 0.0
    for start in range(0, rows, 4):
        want = want * 2 + numbers[start : start + 4].sum()
    assert float(total) == want
