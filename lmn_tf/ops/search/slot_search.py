"""Search of the product-key ops: candidates, and the best of them."""

import functools
import numbers
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from lmn_tf.ops.compile import compiles_for_cpu, compiles_for_gpu, is_compiled_for_cpu
from lmn_tf.ops.rows.row_chunks import map_row_chunks
from lmn_tf.ops.search.counting import counted_top_k, filtered_top_k, from_sortable, to_sortable

MAX_KEYS = 46340  # the largest axis whose square fits into an int32 slot id
_CHUNK = 512  # rows searched at a time, whose scores fit the cache of a core
_GPU_CHUNK = 8192
_MENDED = 64  # maximum number of rows left by counting that are searched again separately


def search_slots(
    score: Callable,
    per_row: tuple[tf.Tensor, ...],
    shared: tuple[tf.Tensor, ...],
    num_keys: int,
    k: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds the `k` slots of the highest sums of a row score and a column score.

    Long rows are searched in chunks by a function compiled by XLA, scores included,
    so that scores never exist for all rows at once: on CPUs by counting, on GPUs by
    XLA's select-k kernels if they are enabled. If XLA compiles the caller for a CPU, all
    rows are searched by counting together. All other rows, and those left by counting,
    are searched by `tf.math.top_k`.

    Args:
        score: Function of `(*per_row, *shared)` that returns row scores and
            column scores, each float32 or float64 `(N, num_keys)`; it must be
            the same object for the same formula.
        per_row: Tuple of tensors `(N, ...)`.
        shared: Tuple of tensors.
        num_keys: Integer.
        k: Integer.

    Returns:
        Tuple `(scores, slots)` of shapes `(N, k)`, best first.
    """
    if per_row[0].dtype == tf.float64:
        return _top_k_float64(*_candidates(*score(*per_row, *shared), k), k)
    is_counted = is_filtered(num_keys, k)
    if is_counted and is_compiled_for_cpu():
        return _counted(*score(*per_row, *shared), k)
    if is_counted and compiles_for_cpu():
        keys = _counted_in_chunks(score, k)(per_row, shared)
    elif compiles_for_gpu():
        keys = _selected_in_chunks(score, k)(per_row, shared)
    else:
        keys = _pack(*_candidates(*score(*per_row, *shared), k))
    return _best_packed(keys, k)


def is_filtered(num_keys: int, k: int) -> bool:
    """Returns whether rows are searched by counting, in a third to three quarters of the time.

    For shorter rows, compilation takes longer than it saves.

    Args:
        num_keys: Integer. Number of keys per axis.
        k: Integer. Number of slots.
    """
    return 48 <= num_keys < 32768 and 2 <= k <= 128 and 2 * k <= num_keys


def rank_pairs(k: int, num_keys: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of (row rank, column rank) that can hold one of the `k` best sums.

    Args:
        k: Integer. Number of slots searched for.
        num_keys: Integer. Number of keys per axis.

    Returns:
        Two int32 arrays of equal length: row ranks and column ranks.
    """
    ranks = [
        (row, column)
        for row in range(min(k, num_keys))
        for column in range(min(k // (row + 1), num_keys))
    ]
    # Likely pairs first, so that the search rejects most others by one comparison.
    ranks.sort(key=lambda pair: (pair[0] + 1) * (pair[1] + 1))
    row_ranks, column_ranks = np.array(ranks, "int32").T
    return row_ranks, column_ranks


def check_search(
    rows: tuple[str, tf.Tensor, int], columns: tuple[str, tf.Tensor, int], k: int
) -> int:
    """Validates the arguments of a search and returns the number of keys per axis.

    Args:
        rows: Tuple of the name of an argument, its tensor, and the axis of the keys.
        columns: The same for the columns.
        k: Integer. Number of slots.
    """
    (row_name, row_tensor, axis), (column_name, column_tensor, _) = rows, columns
    received = (
        f"Received: {row_name}.shape={row_tensor.shape}, {column_name}.shape={column_tensor.shape}"
    )
    if 0 in (row_tensor.shape.rank, column_tensor.shape.rank):
        raise ValueError(f"`{row_name}` and `{column_name}` must have an axis of keys. {received}")
    num_keys = row_tensor.shape[axis]
    if num_keys is None or num_keys != column_tensor.shape[axis]:
        raise ValueError(
            f"`{row_name}` and `{column_name}` must be equally many, and known: axis {axis}. "
            f"{received}"
        )
    if not row_tensor.shape.is_compatible_with(column_tensor.shape):
        raise ValueError(f"`{row_name}` and `{column_name}` must have one shape. {received}")
    if num_keys > MAX_KEYS:
        raise ValueError(
            f"`{row_name}` must have at most {MAX_KEYS} keys an axis, so that slots fit int32. "
            f"{received}"
        )
    if not isinstance(k, numbers.Integral) or not 1 <= k <= num_keys * num_keys:
        raise ValueError(
            "`k` must be an integer from 1 to the number of slots, "
            f"{num_keys * num_keys}. Received: k={k}"
        )
    return num_keys


@functools.cache
def _counted_in_chunks(score, k):
    """Returns the function that finds candidates in chunks of rows, as packed `(N, pairs)`."""

    @tf.function(jit_compile=True, autograph=False)
    def chunk_keys(*tensors):
        pairs, is_left = _counted_candidates(*score(*tensors), k)
        return _pack(*pairs), is_left

    def in_one(per_row, shared):
        return _pack(*_candidates(*score(*per_row, *shared), k))

    def in_chunks(per_row, shared):
        keys, is_left = map_row_chunks(
            lambda *chunk: chunk_keys(*chunk, *shared), per_row, _CHUNK, (tf.int64, tf.bool)
        )
        left = tf.where(is_left)  # (num_left, 1)

        def mended():
            rest = in_one([tf.gather(tensor, left[:, 0]) for tensor in per_row], shared)
            return tf.tensor_scatter_nd_update(keys, left, rest)

        return tf.cond(tf.size(left) > 0, mended, lambda: keys)

    @tf.function(reduce_retracing=True, autograph=False)
    def all_keys(per_row, shared):
        return tf.cond(
            # A chunk takes as long as half of its rows separately.
            tf.shape(per_row[0])[0] >= _CHUNK // 2,
            lambda: in_chunks(per_row, shared),
            lambda: in_one(per_row, shared),
        )

    return all_keys


@functools.cache
def _selected_in_chunks(score, k):
    """Same as `_counted_in_chunks` for GPUs, for which XLA has kernels of top-k."""

    @tf.function(jit_compile=True, autograph=False)
    def chunk_keys(*tensors):
        return (_pack(*_candidates(*score(*tensors), k)),)

    @tf.function(reduce_retracing=True, autograph=False)
    def all_keys(per_row, shared):
        return map_row_chunks(
            lambda *chunk: chunk_keys(*chunk, *shared), per_row, _GPU_CHUNK, (tf.int64,)
        )[0]

    return all_keys


def _counted(row_scores, column_scores, k):
    """Best `(N, k)` scores and slots inside XLA, where integer sorts take twice as long."""
    (sums, slots), is_left = _counted_candidates(row_scores, column_scores, k)
    keys, slots = counted_top_k(to_sortable(sums), slots, k)
    best = from_sortable(keys), slots

    def sorted_again(*scores):
        return _best_packed(_pack(*_candidates(*scores, k)), k)

    def few():
        _, rows = tf.math.top_k(tf.cast(is_left, tf.float32), limit)
        again = sorted_again(tf.gather(row_scores, rows), tf.gather(column_scores, rows))
        return tuple(
            tf.tensor_scatter_nd_update(all_rows, rows[:, None], some)
            for all_rows, some in zip(best, again, strict=True)
        )

    # XLA needs static shapes: a fixed number of the remaining rows, or all rows.
    limit = tf.minimum(_MENDED, tf.shape(row_scores)[0])
    num_left = tf.reduce_sum(tf.cast(is_left, tf.int32))
    return tf.cond(
        num_left > limit,
        lambda: sorted_again(row_scores, column_scores),
        lambda: tf.cond(num_left > 0, few, lambda: best),
    )


def _counted_candidates(row_scores, column_scores, k):
    """Same as `_candidates`, by counting, and which rows need an exact search."""
    best_rows, row_ids, is_left = filtered_top_k(row_scores, k)
    best_columns, column_ids, is_also_left = filtered_top_k(column_scores, k)
    best = from_sortable(best_rows), row_ids, from_sortable(best_columns), column_ids
    return _pair(best, row_scores.shape[-1], k), is_left | is_also_left  # (N, pairs), (N,)


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
    best_rows, row_ids, best_columns, column_ids = best  # each (N, min(k, num_keys))
    row_ranks, column_ranks = rank_pairs(k, num_keys)  # each (pairs,)
    sums = tf.gather(best_rows, row_ranks, axis=1) + tf.gather(best_columns, column_ranks, axis=1)
    slots = tf.gather(row_ids * num_keys, row_ranks, axis=1) + tf.gather(
        column_ids, column_ranks, axis=1
    )
    return _nan_last(sums), slots


def _pack(scores, slots):
    """One int64 that sorts by score, then by lowest slot."""
    low = tf.cast(tf.int32.max - slots, tf.int64)
    return tf.cast(to_sortable(scores), tf.int64) * 2**32 + low


def _best_packed(keys, k):
    keys = tf.math.top_k(keys, k)[0]  # (N, pairs) to (N, k)
    order = tf.cast(tf.bitwise.right_shift(keys, tf.constant(32, tf.int64)), tf.int32)
    low = tf.cast(tf.bitwise.bitwise_and(keys, tf.constant(2**32 - 1, tf.int64)), tf.int32)
    return from_sortable(order), tf.int32.max - low


def _top_k_float64(scores, slots, k):
    """Top-k by score, then by lowest slot: sorted by slot first, since ties select the first."""
    by_slot = tf.argsort(slots, axis=-1)
    slots = tf.gather(slots, by_slot, batch_dims=1)
    scores, positions = tf.math.top_k(tf.gather(scores, by_slot, batch_dims=1), k)
    return scores, tf.gather(slots, positions, batch_dims=1)
