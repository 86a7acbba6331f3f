"""Adds up the parts of a sparse gradient that meet in one row."""

import tensorflow as tf

from lmn_tf.distribute.tables.sharded_slices import ShardedSlices
from lmn_tf.ops.rows.distinct_ids import merge_duplicates


def merge_gradient(gradient):
    """Returns `gradient` with each row named once, or as it is when it is dense or `None`.

    A row read `r` times in a batch has `r` parts in its `tf.IndexedSlices`. Squares and norms are
    only right on their sum.

    Args:
        gradient: `tf.IndexedSlices`, tensor, or `None`.

    Returns:
        `tf.IndexedSlices` with distinct indices in order of first appearance; dense gradients
        and `None` unchanged.

    Example:

    >>> parts = tf.IndexedSlices(tf.ones((3, 1)), tf.constant([4, 2, 4]))
    >>> merged = merge_gradient(parts)
    >>> merged.indices.numpy().tolist(), merged.values.numpy().ravel().tolist()
    ([4, 2], [2.0, 1.0])
    """
    if not isinstance(gradient, tf.IndexedSlices) or isinstance(gradient, ShardedSlices):
        return gradient
    ids, rows = merge_duplicates(gradient.indices, gradient.values)
    rows = tf.ensure_shape(rows, [None, *gradient.values.shape[1:]])
    return tf.IndexedSlices(rows, ids, gradient.dense_shape)
