import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.ops.compile import plain_kernels
from lmn_tf.ops.rows.dense_gather import dense_gather, permuted

ROWS = np.arange(8, dtype="f").reshape(4, 2)


@pytest.mark.parametrize("kernels", ["sparse", "plain"])
def test_the_gradient_is_dense(kernels):
    rows, positions = tf.constant(ROWS), tf.constant([2, 0, 2])

    def gradient():
        with tf.GradientTape() as tape:
            tape.watch(rows)
            out = dense_gather(rows, positions)
        return out, tape.gradient(out, rows)

    if kernels == "plain":
        with plain_kernels():
            out, found = gradient()
    else:
        out, found = gradient()
    np.testing.assert_array_equal(out, ROWS[[2, 0, 2]])
    assert found.numpy().tolist() == [[1, 1], [0, 0], [2, 2], [0, 0]]


def test_permuted_rows_and_their_gradient():
    rows, order = tf.constant(ROWS), tf.constant([3, 0, 2, 1])
    with tf.GradientTape() as tape:
        tape.watch(rows)
        out = permuted(rows, order)
        loss = tf.reduce_sum(out * [[1.0], [2.0], [3.0], [4.0]])
    np.testing.assert_array_equal(out.numpy()[order.numpy()], ROWS)
    assert tape.gradient(loss, rows).numpy()[:, 0].tolist() == [4, 1, 3, 2]
