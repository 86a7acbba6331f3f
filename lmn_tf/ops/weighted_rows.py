"""Weighted sums of rows, and their gradients, without a row for each hit."""

import functools

import tensorflow as tf

from lmn_tf.ops.compile import has_gpu, is_compiling_with_xla, runs_sparse_products
from lmn_tf.ops.distinct_ids import padded_distinct_ids
from lmn_tf.ops.row_chunks import fold_row_chunks, map_row_chunks
from lmn_tf.ops.sparse_product import SparseRows

_CHUNK_ELEMENTS = 2**19  # of rows read for one chunk of queries: they stay in the cache of a core
_LARGE_CHUNK_ELEMENTS = 2**24  # enough for a GPU or all cores, and to be worth a pass over all sums


def weighted_rows(rows, positions, weights):
    """Sums the rows at given positions, each with its weight, differentiably.

    On CPUs the sums and the gradient of `rows` are products with a sparse matrix;
    elsewhere both are computed for a chunk of queries at a time.

    Args:
        rows: Float tensor of shape `(U, d)`. Its gradient is as large as itself: it
            should hold what is read, and each row once.
        positions: Integer tensor of shape `(N, k)`.
        weights: Float tensor of shape `(N, k)` and of the dtype of `rows`.

    Returns:
        Float tensor of shape `(N, d)`.
    """
    way = _by_sparse_products if runs_sparse_products(rows.dtype) else _by_chunks
    return way(rows, positions, weights)


@tf.custom_gradient
def weighted_table_rows(table, slots, weights):
    """Sums rows of a table inside XLA, where no shape may depend on what is read.

    The gradient has room for as many rows as there are hits, or as the table has if
    those are fewer. What is left over names a row that was read, and adds nothing to
    it. Hits that are known to be no more than rows are the gradient as they are.

    Args:
        table: Float tensor of shape `(n, d)`.
        slots: Integer tensor of shape `(N, k)`.
        weights: Float tensor of shape `(N, k)`.

    Returns:
        Float tensor of shape `(N, d)` in the dtype of `weights`. The gradient of `table`
        is `tf.IndexedSlices`.
    """

    def gradient(upstream):
        num_hits, num_rows = slots.shape.num_elements(), table.shape[0]
        if None not in (num_hits, num_rows) and num_hits <= num_rows:
            ids, sums = tf.reshape(slots, [-1]), _hits(weights, upstream)
        else:
            ids, positions = padded_distinct_ids(slots, tf.shape(table)[0])
            size = tf.size(ids)  # none for an empty batch, and XLA has no sum of no segments
            sums = _spread_in_chunks(positions, weights, upstream, tf.maximum(size, 1))[:size]
        sums = tf.cast(sums, table.dtype)
        slices = tf.IndexedSlices(sums, ids, tf.shape(table))
        return slices, None, _dot_products(table, slots, upstream)

    return sum_in_chunks(table, slots, weights), gradient


def sum_in_chunks(values, slots, weights):
    """Sums rows of a table, or of a variable, a chunk of queries at a time.

    Without a gradient of its own: each chunk keeps its rows where one is asked for.

    Args:
        values: Float tensor or variable of shape `(n, d)`.
        slots: Integer tensor of shape `(N, k)`.
        weights: Float tensor of shape `(N, k)`.

    Returns:
        Float tensor of shape `(N, d)` in the dtype of `weights`.
    """
    return _sum_rows(values, slots, weights, _rows_at_a_time(slots, values))


@tf.custom_gradient
def _by_sparse_products(rows, positions, weights):
    matrix = SparseRows(positions, weights, tf.shape(rows)[0])

    def gradient(upstream):
        return matrix.transposed_product(upstream), None, _dot_products(rows, positions, upstream)

    return matrix.product(rows), gradient


@tf.custom_gradient
def _by_chunks(rows, positions, weights):
    def gradient(upstream):
        sums = _spread_in_chunks(positions, weights, upstream, tf.shape(rows)[0])
        return sums, None, _dot_products(rows, positions, upstream)

    at_a_time = _rows_at_a_time(positions, rows)
    return _as_graph(_sum_rows)(rows, positions, weights, at_a_time), gradient


def _dot_products(rows, positions, upstream):
    """Dot products of rows with vectors: `(U, d)`, `(N, k)`, `(N, d)`, to `(N, k)`."""
    at_a_time = _rows_at_a_time(positions, rows)
    products = _as_graph(_multiply_rows)(rows, positions, upstream, at_a_time)
    return tf.ensure_shape(products, positions.shape)


def _spread_in_chunks(positions, weights, upstream, num_rows):
    """Adds weighted vectors to rows: `(N, k)`, `(N, k)` and `(N, d)`, to `(U, d)`."""
    at_a_time = _rows_at_a_time(positions, upstream, _LARGE_CHUNK_ELEMENTS)
    sums = _as_graph(_spread)(positions, weights, upstream, num_rows, at_a_time)
    return tf.ensure_shape(sums, [None, upstream.shape[1]])


def _sum_rows(values, slots, weights, at_a_time):
    def one_chunk(slots, weights):
        rows = _gather(values, slots, weights.dtype)
        if is_compiling_with_xla():  # it fuses a sum with what it sums, a matrix product not
            return tf.reduce_sum(weights[..., None] * rows, axis=1)
        return tf.matmul(weights[:, None], rows)[:, 0]

    return _in_chunks(one_chunk, slots, weights, at_a_time)


def _multiply_rows(rows, positions, upstream, at_a_time):
    def one_chunk(positions, upstream):
        read = _gather(rows, positions, upstream.dtype)
        if is_compiling_with_xla():
            return tf.reduce_sum(read * upstream[:, None], axis=-1)
        return tf.matmul(read, upstream[..., None])[..., 0]

    return _in_chunks(one_chunk, positions, upstream, at_a_time)


def _spread(positions, weights, upstream, num_rows, at_a_time):
    def add(sums, is_new, positions, weights, upstream):
        hits = _hits(tf.where(is_new[:, None], weights, tf.zeros_like(weights)), upstream)
        added = tf.math.unsorted_segment_sum(hits, tf.reshape(positions, [-1]), num_rows)
        return tf.ensure_shape(sums + added, sums.shape)

    none = tf.zeros(tf.stack([num_rows, tf.shape(upstream)[1]]), upstream.dtype)
    return fold_row_chunks(add, none, (positions, weights, upstream), at_a_time)


def _hits(weights, upstream):
    """What each hit adds to its row: `(N, k)`, `(N, d)`, to `(N * k, d)`."""
    hits = weights[..., None] * upstream[:, None]
    return tf.reshape(hits, tf.stack([tf.size(weights), tf.shape(upstream)[1]]))


def _gather(values, slots, dtype):
    return tf.cast(tf.gather(values, slots), dtype)


def _in_chunks(function, slots, others, at_a_time):
    """Applies a function of `(N, k)` slots and of others to so few rows that theirs fit a cache."""
    return tf.cond(
        tf.shape(slots)[0] > at_a_time,
        lambda: map_row_chunks(
            lambda *chunk: (function(*chunk),), (slots, others), at_a_time, (others.dtype,)
        )[0],
        lambda: function(slots, others),
    )


def _rows_at_a_time(slots, rows, elements=None):
    if elements is None:
        # XLA works on one chunk with all cores, TensorFlow on a chunk a core.
        is_large = has_gpu() or is_compiling_with_xla()
        elements = _LARGE_CHUNK_ELEMENTS if is_large else _CHUNK_ELEMENTS
    return max(1, elements // ((slots.shape[-1] or 1) * (rows.shape[-1] or 1)))


def _as_graph(function):
    """A graph that is traced once; inside XLA, for which other graphs are made, none of its own."""
    return function if is_compiling_with_xla() else _graph_of(function)


@functools.cache
def _graph_of(function):
    return tf.function(function, reduce_retracing=True, autograph=False)
