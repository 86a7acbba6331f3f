"""Products with a matrix that has a fixed number of entries a row."""

import tensorflow as tf


class SparseRows:
    """A sparse matrix of `k` entries a row, for products with dense matrices on a CPU.

    The products run on all cores, write nothing but their result, and add in a
    fixed order, so that results repeat. Entries of one row may name a column twice;
    they add up.

    Args:
        columns: Integer tensor of shape `(N, k)`.
        weights: Float32 or float64 tensor of shape `(N, k)`.
        width: Integer or scalar tensor. Number of columns.
    """

    def __init__(self, columns, weights, width):
        columns = tf.cast(columns, tf.int64)
        shape = tf.shape(columns, out_type=tf.int64)
        rows = tf.broadcast_to(tf.range(shape[0])[:, None], shape)
        self._dtype = weights.dtype
        self._rows, self._width = shape[0], tf.cast(width, tf.int64)
        self._matrix = tf.raw_ops.SparseTensorToCSRSparseMatrix(
            indices=tf.stack([tf.reshape(rows, [-1]), tf.reshape(columns, [-1])], axis=1),
            values=tf.reshape(weights, [-1]),
            dense_shape=tf.stack([self._rows, self._width]),
        )

    def product(self, dense):
        """Multiplies with `(width, d)`: weighted sums of rows of `dense`, as `(N, d)`."""
        return self._times(self._matrix, dense, self._rows)

    def transposed_product(self, dense):
        """Multiplies the transpose with `(N, d)`, as `(width, d)`."""
        transposed = tf.raw_ops.SparseMatrixTranspose(input=self._matrix, type=self._dtype)
        return self._times(transposed, dense, self._width)

    def _times(self, matrix, dense, rows):
        # In a graph, TensorFlow's product with a matrix without rows ends the process.
        return tf.cond(
            self._rows > 0,
            lambda: tf.raw_ops.SparseMatrixMatMul(a=matrix, b=dense),
            lambda: tf.zeros(tf.stack([rows, tf.shape(dense, tf.int64)[1]]), self._dtype),
        )
