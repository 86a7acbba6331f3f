import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.ops.row_chunks import map_row_chunks


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 8, 11])
@pytest.mark.parametrize("is_graph", [False, True])
def test_gives_each_row_what_the_function_gives(rows, is_graph):
    first = np.arange(rows * 3, dtype="float32").reshape(rows, 3)
    second = np.arange(rows, dtype="int32")
    sizes = []

    def one_chunk(a, b):
        sizes.append(a.shape[0])
        return a * 2, b + 1

    def run(a, b):
        return map_row_chunks(one_chunk, (a, b), 4, (tf.float32, tf.int32))

    doubled, added = (tf.function(run) if is_graph else run)(first, second)
    np.testing.assert_array_equal(doubled, first * 2)
    np.testing.assert_array_equal(added, second + 1)
    assert set(sizes) == {4}


def test_no_rows():
    run = tf.function(
        lambda a: map_row_chunks(lambda b: (b + 1,), (a,), 4, (tf.float32,)),
        input_signature=[tf.TensorSpec([None, 2])],
    )
    assert run(tf.zeros([0, 2]))[0].shape == (0, 2)
