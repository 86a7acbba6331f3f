"""Reads weighted sums of rows, of any number of rows each."""

import tensorflow as tf

from lmn_tf.ops.compile import runs_sparse_products
from lmn_tf.ops.sparse_product import SparseMatrix


def weighted_segment_sum(rows, positions, weights, segments, num_segments):
    """Sums rows with weights: `out[segments[e]] += weights[e] * rows[positions[e]]` for each entry.

    What `weighted_gather` is for `k` rows a query, for as many rows as each query happens to have.
    The gradient is dense and in closed form: for `rows` weighted sums of the upstream gradient, for
    `weights` dot products.

    Args:
        rows: Float tensor of shape `(U, d)`.
        positions: Integer tensor of shape `(entries,)`.
        weights: Float tensor of shape `(entries,)`.
        segments: Integer tensor of shape `(entries,)`, ascending.
        num_segments: Integer or scalar tensor.

    Returns:
        Float tensor of shape `(num_segments, d)`; a segment without entries is 0.

    Example:

    >>> rows = [[1.0, 0.0], [0.0, 2.0]]
    >>> weighted_segment_sum(rows, [0, 1, 1], [0.5, 0.5, 1.0], [0, 0, 2], 3).numpy().tolist()
    [[0.5, 1.0], [0.0, 0.0], [0.0, 2.0]]
    """
    rows = tf.convert_to_tensor(rows)
    weights = tf.cast(weights, rows.dtype)
    positions, segments = tf.convert_to_tensor(positions), tf.convert_to_tensor(segments)
    sparse = runs_sparse_products(rows.dtype)

    @tf.custom_gradient
    def summed(rows, weights):
        num_rows = tf.shape(rows)[0]
        if sparse:
            matrix = SparseMatrix(segments, positions, weights, num_segments, num_rows)
            total = matrix.product(rows)
        else:
            parts = weights[:, None] * tf.gather(rows, positions)
            total = tf.math.unsorted_segment_sum(parts, segments, num_segments)

        def gradient(upstream):
            each = tf.gather(upstream, segments)
            of_weights = tf.reduce_sum(tf.gather(rows, positions) * each, axis=-1)
            if sparse:
                return matrix.transposed_product(upstream), of_weights
            of_rows = tf.math.unsorted_segment_sum(weights[:, None] * each, positions, num_rows)
            return of_rows, of_weights

        return total, gradient

    return tf.ensure_shape(summed(rows, weights), [None, rows.shape[-1]])
