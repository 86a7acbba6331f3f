"""Merged sparse gradients."""

from collections.abc import Callable

import tensorflow as tf

from lmn_tf.distribute.tables.sharded_slices import ShardedSlices
from lmn_tf.ops.rows.distinct_ids import merge_duplicates


def merge_gradient(
    gradient: tf.Tensor | tf.IndexedSlices | None,
) -> tf.Tensor | tf.IndexedSlices | None:
    """Sums the entries of a sparse gradient that belong to the same row.

    A row read `r` times in a batch has `r` entries in its `tf.IndexedSlices`. Squares and norms
    must be computed from their sum.

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


def map_values(
    gradient: tf.Tensor | tf.IndexedSlices | None, function: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor | tf.IndexedSlices | None:
    """Applies a function to the values of a gradient, sparse or dense; `None` stays `None`.

    Example:

    >>> halves = map_values(tf.constant([2.0, 4.0]), lambda values: values / 2)
    >>> halves.numpy().tolist()
    [1.0, 2.0]
    """
    if gradient is None:
        return None
    if isinstance(gradient, ShardedSlices):
        return gradient.map(function)
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(function(gradient.values), gradient.indices, gradient.dense_shape)
    return function(gradient)
