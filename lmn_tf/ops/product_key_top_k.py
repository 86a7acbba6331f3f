"""Exact product-key search: the best slots of a grid of row and column scores."""

import functools

import numpy as np
import tensorflow as tf

from lmn_tf.ops.compile import compiles_with_xla
from lmn_tf.ops.filtered_top_k import filtered_top_k
from lmn_tf.ops.row_chunks import map_row_chunks
from lmn_tf.ops.sortable import from_sortable, to_sortable

_MAX_KEYS = 46340  # the largest axis whose square still fits an int32 slot id
_CHUNK = 512  # rows searched at a time: their scores stay in the cache of a core


def product_key_top_k(row_scores, column_scores, k):
    """Finds the `k` slots of highest score on a grid of row and column scores.

    Slot `row * m + column` scores `row_scores[row] + column_scores[column]`
    (the "two-axis activation" of the LMN paper). The grid is never built: the
    `k` best of all `m * m` sums lie among the sums of the `k` best rows and the
    `k` best columns, and of those only pairs of ranks with
    `(row_rank + 1) * (column_rank + 1) <= k` can be among the `k` best, since
    every pair of better or equal ranks scores at least as high.

    The scores are exactly those of scoring every slot. Equal scores are ordered
    by slot, lowest first, and the lowest slots win the last places. One limit:
    where two *different* pairs of scores round to the same float32 sum, the
    order still holds among the slots that are returned, but the last place may
    go to another slot of that rounded score.

    NaN counts as minus infinity. Scores in float16 and bfloat16 are searched in
    float32. The gradient reaches the scores that were selected, and no other.

    Args:
        row_scores: Float tensor of shape `(..., m)`.
        column_scores: Float tensor of shape `(..., m)`.
        k: Integer. Number of slots, from 1 to `m * m`.

    Returns:
        Tuple `(scores, slots)`: float (in the dtype of `row_scores`) and int32
        tensors of shape `(..., k)`, best first.

    Raises:
        ValueError: If the axes differ or are unknown, or `k` is out of range.

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
    num_keys = _check(row_scores, column_scores, k)
    dtype = row_scores.dtype
    leading = row_scores.shape[:-1]
    output_shape = tf.concat([tf.shape(row_scores)[:-1], [k]], axis=0)

    @tf.custom_gradient
    def search(rows, columns):
        scores, slots = _search(rows, columns, k)

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


def rank_pairs(k, num_keys):
    """Pairs of (row rank, column rank) that can hold one of the `k` best sums.

    Args:
        k: Integer. Number of slots searched for.
        num_keys: Integer. Keys an axis.

    Returns:
        Two int32 arrays of equal length: row ranks and column ranks.
    """
    ranks = [
        (row, column)
        for row in range(min(k, num_keys))
        for column in range(min(k // (row + 1), num_keys))
    ]
    # Likely winners first: the search then turns most of the others away at one comparison.
    ranks.sort(key=lambda pair: (pair[0] + 1) * (pair[1] + 1))
    row_ranks, column_ranks = np.array(ranks, "int32").T
    return row_ranks, column_ranks


def _check(row_scores, column_scores, k):
    num_keys = row_scores.shape[-1]
    if num_keys is None or num_keys != column_scores.shape[-1]:
        raise ValueError(
            "`row_scores` and `column_scores` must have the same known last axis. Received: "
            f"row_scores.shape={row_scores.shape}, column_scores.shape={column_scores.shape}"
        )
    if num_keys > _MAX_KEYS:
        raise ValueError(
            f"`row_scores` must have at most {_MAX_KEYS} keys an axis, so that slots fit int32. "
            f"Received: row_scores.shape={row_scores.shape}"
        )
    if not 1 <= k <= num_keys * num_keys:
        raise ValueError(
            f"`k` must be from 1 to the number of slots, {num_keys * num_keys}. Received: k={k}"
        )
    return num_keys


def _search(row_scores, column_scores, k):
    """Best sums of `(N, m)` rows and columns, as `(N, k)` scores and slots."""
    if row_scores.dtype == tf.float64:
        return _top_k_float64(*_candidates(row_scores, column_scores, k), k)
    if is_filtered(row_scores.shape[-1], k) and compiles_with_xla():
        keys = _filtered_keys(row_scores.shape[-1], k)(row_scores, column_scores)
    else:
        keys = _keys(row_scores, column_scores, k)
    return _unpack(tf.math.top_k(keys, k)[0])


def is_filtered(num_keys, k):
    """Says whether counting beats the heap: on long rows and for a `k` that is not small or large.

    Args:
        num_keys: Integer. Keys an axis.
        k: Integer. Slots searched for.
    """
    return 128 <= num_keys < 32768 and 8 <= k <= 64 and num_keys >= 4 * k


@functools.cache
def _filtered_keys(num_keys, k):
    """Returns the function that finds candidates in chunks of rows compiled by XLA."""
    spec = tf.TensorSpec([_CHUNK, num_keys], tf.float32)

    @tf.function(jit_compile=True, input_signature=[spec, spec], autograph=False)
    def chunk_keys(row_scores, column_scores):
        best_rows, row_ids, is_left = filtered_top_k(row_scores, k)
        best_columns, column_ids, is_also_left = filtered_top_k(column_scores, k)
        best_rows, best_columns = from_sortable(best_rows), from_sortable(best_columns)
        best = best_rows, row_ids, best_columns, column_ids
        return _pack(*_pair(best, num_keys, k)), is_left | is_also_left

    @tf.function(input_signature=[tf.TensorSpec([None, num_keys], tf.float32)] * 2, autograph=False)
    def all_keys(row_scores, column_scores):
        scores = row_scores, column_scores
        keys, is_left = map_row_chunks(chunk_keys, scores, _CHUNK, (tf.int64, tf.bool))
        left = tf.where(is_left)

        def mended():
            rest = _keys(*(tf.gather(axis, left[:, 0]) for axis in scores), k)
            return tf.tensor_scatter_nd_update(keys, left, rest)

        return tf.cond(tf.size(left) > 0, mended, lambda: keys)

    return all_keys


def _keys(row_scores, column_scores, k):
    return _pack(*_candidates(row_scores, column_scores, k))


def _candidates(row_scores, column_scores, k):
    """Sums and slots of the pairs that can be among the best, as `(N, pairs)` tensors."""
    num_keys = row_scores.shape[-1]
    best = (
        *tf.math.top_k(_nan_last(row_scores), min(k, num_keys)),
        *tf.math.top_k(_nan_last(column_scores), min(k, num_keys)),
    )
    return _pair(best, num_keys, k)


def _nan_last(scores):
    return tf.where(tf.math.is_nan(scores), tf.constant(-float("inf"), scores.dtype), scores)


def _pair(best, num_keys, k):
    best_rows, row_ids, best_columns, column_ids = best
    row_ranks, column_ranks = rank_pairs(k, num_keys)
    sums = tf.gather(best_rows, row_ranks, axis=1) + tf.gather(best_columns, column_ranks, axis=1)
    slots = tf.gather(row_ids * num_keys, row_ranks, axis=1) + tf.gather(
        column_ids, column_ranks, axis=1
    )
    return _nan_last(sums), slots


def _pack(scores, slots):
    """One int64 that sorts by score, then by lowest slot."""
    low = tf.cast(tf.int32.max - slots, tf.int64)
    return tf.cast(to_sortable(scores), tf.int64) * 2**32 + low


def _unpack(keys):
    order = tf.cast(tf.bitwise.right_shift(keys, tf.constant(32, tf.int64)), tf.int32)
    low = tf.cast(tf.bitwise.bitwise_and(keys, tf.constant(2**32 - 1, tf.int64)), tf.int32)
    return from_sortable(order), tf.int32.max - low


def _top_k_float64(scores, slots, k):
    """Top-k by score, then by lowest slot: sorted by slot first, as ties go to the first."""
    by_slot = tf.argsort(slots, axis=-1)
    slots = tf.gather(slots, by_slot, batch_dims=1)
    scores, positions = tf.math.top_k(tf.gather(scores, by_slot, batch_dims=1), k)
    return scores, tf.gather(slots, positions, batch_dims=1)


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
