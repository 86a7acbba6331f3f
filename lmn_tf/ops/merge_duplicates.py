"""Adds up the gradients that hit the same row of a table."""

import tensorflow as tf

from lmn_tf.ops.compile import runs_sparse_products
from lmn_tf.ops.distinct_ids import are_distinct, distinct_ids
from lmn_tf.ops.sparse_product import SparseRows


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

    Raises:
        ValueError: If there are not as many values as indices.

    Example:

    >>> rows, sums = merge_duplicates([4, 2, 4], [[1.0], [2.0], [3.0]])
    >>> rows.numpy().tolist(), sums.numpy().tolist()
    ([4, 2], [[4.0], [2.0]])
    """
    indices = tf.convert_to_tensor(indices)
    values = tf.convert_to_tensor(values)
    if not values.shape[:1].is_compatible_with(indices.shape):
        raise ValueError(
            "`values` must be as many as `indices`, which have one axis. "
            f"Received: values.shape={values.shape}, indices.shape={indices.shape}"
        )
    if are_distinct(indices):
        return indices, values
    unique, positions = distinct_ids(indices)
    num_rows = tf.size(unique)
    if values.shape.rank == 2 and runs_sparse_products(values.dtype):
        return unique, _summed(values, positions, num_rows)
    return unique, tf.math.unsorted_segment_sum(values, positions, num_rows)


@tf.custom_gradient
def _summed(values, positions, num_rows):
    # A segment sum adds on one core, and takes 5 to 8 times as long.
    ones = tf.ones_like(positions, values.dtype)
    hits = SparseRows(positions[:, None], ones[:, None], num_rows)
    return hits.transposed_product(values), lambda sums: (tf.gather(sums, positions), None, None)
