"""Products with sparse matrices."""

import tensorflow as tf


class SparseMatrix:
    """A sparse matrix, for products with dense matrices on a CPU.

    The products run on all cores, write only their result, and add in a fixed order,
    so that results are reproducible. Entries of a row with the same column are summed.

    Args:
        rows: Integer tensor of shape `(entries,)`, ascending.
        columns: Integer tensor of shape `(entries,)`.
        weights: Float32 or float64 tensor of shape `(entries,)`.
        height: Integer or scalar tensor. Number of rows.
        width: Integer or scalar tensor. Number of columns.
    """

    def __init__(
        self,
        rows: tf.Tensor,
        columns: tf.Tensor,
        weights: tf.Tensor,
        height: int | tf.Tensor,
        width: int | tf.Tensor,
    ) -> None:
        rows, columns = tf.cast(rows, tf.int64), tf.cast(columns, tf.int64)
        self._shape = tf.stack([tf.cast(height, tf.int64), tf.cast(width, tf.int64)])
        self._has_entries = tf.size(columns) > 0
        self._dtype = weights.dtype
        self._matrix = tf.raw_ops.SparseTensorToCSRSparseMatrix(
            indices=tf.stack([rows, columns], axis=1), values=weights, dense_shape=self._shape
        )

    def product(self, dense: tf.Tensor) -> tf.Tensor:
        """Multiplies with `(width, d)`: weighted sums of rows of `dense`, as `(height, d)`."""
        return self._product(lambda: self._matrix, dense, self._shape[0])

    def transposed_product(self, dense: tf.Tensor) -> tf.Tensor:
        """Multiplies the transpose with `(height, d)`, as `(width, d)`."""

        def transposed():
            return tf.raw_ops.SparseMatrixTranspose(input=self._matrix, type=self._dtype)

        return self._product(transposed, dense, self._shape[1])

    def _product(self, matrix, dense, num_rows):
        # In a graph, TensorFlow's product of a matrix without elements ends the process.
        shape = tf.stack([num_rows, tf.shape(dense, tf.int64)[1]])
        product = tf.cond(
            self._has_entries,
            lambda: tf.raw_ops.SparseMatrixMatMul(a=matrix(), b=dense),
            lambda: tf.zeros(shape, dense.dtype),
        )
        return tf.ensure_shape(product, [None, dense.shape[1]])


class SparseRows(SparseMatrix):
    """Returns a sparse matrix with `k` entries per row.

    Args:
        columns: Integer tensor of shape `(N, k)`.
        weights: Float32 or float64 tensor of shape `(N, k)`.
        width: Integer or scalar tensor. Number of columns.
    """

    def __init__(self, columns: tf.Tensor, weights: tf.Tensor, width: int | tf.Tensor) -> None:
        shape = tf.shape(columns, out_type=tf.int64)
        rows = tf.broadcast_to(tf.range(shape[0])[:, None], shape)
        flat = (tf.reshape(part, [-1]) for part in (rows, columns, weights))
        super().__init__(*flat, shape[0], width)
