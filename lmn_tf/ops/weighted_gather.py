"""Reads weighted sums of rows out of a table."""

import keras
import tensorflow as tf

from lmn_tf.ops.compile import is_compiling_with_xla
from lmn_tf.ops.distinct_ids import distinct_ids
from lmn_tf.ops.weighted_rows import sum_in_chunks, weighted_rows, weighted_table_rows


def weighted_gather(values, slots, weights, for_training=True):
    """Sums the rows of a table that are named by slots, each with its weight.

    `out = sum_k weights[..., k] * values[slots[..., k]]` (the Sparse-Gather of the
    MSN paper). The gradient reaches `values` as `tf.IndexedSlices` and `weights`
    as dot products. A table given as a variable is never copied: rows are
    gathered from it directly.

    Of `(..., k, d)` a chunk is written at most. To train, each row that is read is gathered once,
    however many queries read it, and the slices of the gradient have distinct
    indices: memory grows with the distinct rows and with `(..., k)`. On CPUs the sums
    are products with a sparse matrix, elsewhere they are computed for a chunk of
    queries at a time. Without a gradient queries are read in such chunks too, in
    about half of the time and next to no memory. Half precision is added up in
    float32.

    Inside XLA, whose shapes are fixed, there is room in a gradient for as many
    distinct rows as the table has. If hits are known to be fewer, each is one slice,
    duplicates included.

    Args:
        values: Float tensor, `tf.Variable` or Keras variable of shape `(n, d)`.
        slots: Integer tensor of shape `(..., k)`.
        weights: Float tensor of shape `(..., k)`.
        for_training: Boolean. Whether a gradient will be asked for: it is right in
            both cases, but takes less time and memory in the one that is named.
            Defaults to `True`.

    Returns:
        Float tensor of shape `(..., d)` in the dtype of `values`.

    Raises:
        ValueError: If `slots` and `weights` differ in shape.

    Example:

    >>> weighted_gather([[1.0, 0.0], [0.0, 2.0]], [[0, 1]], [[0.5, 0.5]]).numpy()
    array([[0.5, 1. ]], dtype=float32)

    Reference:
        - Lu et al., "Large Memory Network for Recommendation", WWW 2025, eq. 10.
    """
    if isinstance(values, keras.Variable):
        values = values.value
    if not tf.is_tensor(values):  # variables, mirrored ones included, count as tensors
        values = tf.convert_to_tensor(values)
    slots = tf.convert_to_tensor(slots)
    weights = tf.convert_to_tensor(weights)
    if not slots.shape.is_compatible_with(weights.shape):
        raise ValueError(
            "`slots` and `weights` must have the same shape. "
            f"Received: slots.shape={slots.shape}, weights.shape={weights.shape}"
        )
    exact = values.dtype if values.dtype == tf.float64 else tf.float32
    slots_of_query = tf.reshape(slots, [-1, tf.shape(slots)[-1]])
    weights = tf.reshape(tf.cast(weights, exact), tf.shape(slots_of_query))
    slots_of_query = tf.ensure_shape(slots_of_query, [None, slots.shape[-1]])
    sums = tf.cast(_sums(values, slots_of_query, weights, for_training), values.dtype)
    # A variable's shape, asked for in the graph, would be read with the whole of it.
    sums = tf.reshape(sums, tf.concat([tf.shape(slots)[:-1], tf.shape(sums)[-1:]], axis=0))
    return tf.ensure_shape(sums, [*slots.shape[:-1], values.shape[-1]])


def _sums(values, slots, weights, for_training):
    if for_training and is_compiling_with_xla():
        return weighted_table_rows(tf.convert_to_tensor(values), slots, weights)
    # Eagerly, a loop over chunks takes longer than all that is in it.
    if for_training or tf.executing_eagerly():
        ids, positions = distinct_ids(slots)
        rows = tf.cast(tf.gather(values, ids), weights.dtype)
        return weighted_rows(rows, tf.ensure_shape(positions, slots.shape), weights)
    return sum_in_chunks(values, slots, weights)
