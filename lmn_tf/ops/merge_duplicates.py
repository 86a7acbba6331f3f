"""Adds up the gradients that hit the same row of a table."""

import tensorflow as tf


def merge_duplicates(indices, values):
    """Sums the values that share an index.

    The gradient of a gather names a row once for each time it was read. An
    optimizer that squares gradients must see `(sum g)**2`, not `sum g**2`, so
    duplicates are merged before the update.

    Args:
        indices: Integer tensor of shape `(hits,)`.
        values: Float tensor of shape `(hits, ...)`.

    Returns:
        Tuple `(unique_indices, summed_values)` of shapes `(rows,)` and
        `(rows, ...)`, in order of first appearance.

    Example:

    >>> rows, sums = merge_duplicates([4, 2, 4], [[1.0], [2.0], [3.0]])
    >>> rows.numpy(), sums.numpy()
    (array([4, 2], dtype=int32), array([[4.],
           [2.]], dtype=float32))
    """
    indices = tf.convert_to_tensor(indices)
    values = tf.convert_to_tensor(values)
    unique, positions = tf.unique(indices)
    return unique, tf.math.unsorted_segment_sum(values, positions, tf.shape(unique)[0])
