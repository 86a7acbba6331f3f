"""Exact product-key search: the best slots of a grid of row and column scores."""

import tensorflow as tf

from lmn_tf.ops.search.slot_search import check_search, search_slots


def product_key_top_k(
    row_scores: tf.Tensor, column_scores: tf.Tensor, k: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds the `k` slots of highest score on a grid of row and column scores.

    Slot `row * m + column` scores `row_scores[row] + column_scores[column]`
    (the "two-axis activation" of the LMN paper). The grid is never built: the
    `k` best of all `m * m` sums lie among the sums of the `k` best rows and the
    `k` best columns, and of those only pairs of ranks with
    `(row_rank + 1) * (column_rank + 1) <= k` can be among the `k` best, since
    every pair of better or equal ranks scores at least as high.

    The scores are exactly those of scoring every slot. Equal scores are ordered
    by slot, lowest first, and the lowest slots are selected. There is one limit:
    if *different* pairs of scores have the same sum by rounding, or because one
    of them is infinite, the returned slots are still in this order, but other
    slots with this sum may be selected.

    NaN counts as minus infinity. Scores in float16 and bfloat16 are searched in
    float32. The gradient reaches only the selected scores.

    Args:
        row_scores: Float tensor of shape `(..., m)`.
        column_scores: Float tensor of shape `(..., m)`.
        k: Integer. Number of slots, from 1 to `m * m`.

    Returns:
        Tuple `(scores, slots)`: float (in the dtype of `row_scores`) and int32
        tensors of shape `(..., k)`, best first.

    Raises:
        ValueError: If the shapes differ, `m` is unknown, or `k` is out of range.

    Example:

    >>> scores, slots = product_key_top_k([[2.0, 0.0]], [[1.0, 0.0]], k=3)
    >>> scores.numpy(), slots.numpy()
    (array([[3., 2., 1.]], dtype=float32), array([[0, 1, 2]], dtype=int32))

    Reference:
        - Lample et al., "Large Memory Layers with Product Keys", NeurIPS 2019;
          Lu et al., "Large Memory Network for Recommendation", WWW 2025, eqs. 7-9.
    """
    row_scores = tf.convert_to_tensor(row_scores)
    column_scores = tf.cast(column_scores, row_scores.dtype)
    num_keys = check_search(("row_scores", row_scores, -1), ("column_scores", column_scores, -1), k)
    dtype = row_scores.dtype
    leading = row_scores.shape[:-1]
    output_shape = tf.concat([tf.shape(row_scores)[:-1], [k]], axis=0)

    @tf.custom_gradient
    def search(rows, columns):
        scores, slots = search_slots(_given, (rows, columns), (), num_keys, k)

        def gradient(upstream, _):
            return (
                _scatter(upstream, slots // num_keys, num_keys),
                _scatter(upstream, slots % num_keys, num_keys),
            )

        return (scores, slots), gradient

    wide = dtype if dtype == tf.float64 else tf.float32
    scores, slots = search(
        tf.reshape(tf.cast(row_scores, wide), [-1, num_keys]),
        tf.reshape(tf.cast(column_scores, wide), [-1, num_keys]),
    )
    scores = tf.ensure_shape(tf.reshape(scores, output_shape), [*leading, k])
    slots = tf.ensure_shape(tf.reshape(slots, output_shape), [*leading, k])
    return tf.cast(scores, dtype), slots


def _given(row_scores, column_scores):
    return row_scores, column_scores


def _scatter(values, positions, width):
    """Adds `(N, k)` values into zeros of shape `(N, width)` at the given positions."""
    count = tf.shape(positions, tf.int64)[0]
    offsets = tf.range(count)[:, None] * width
    flat = tf.math.unsorted_segment_sum(
        tf.reshape(values, [-1]),
        tf.reshape(offsets + tf.cast(positions, tf.int64), [-1]),
        count * width,
    )
    return tf.reshape(flat, [-1, width])
