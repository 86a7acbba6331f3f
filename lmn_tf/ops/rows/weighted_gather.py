"""Weighted sums of the rows of a table, and their gradients."""

import functools

import keras
import tensorflow as tf

from lmn_tf.ops.compile import has_gpu, is_compiling_with_xla, runs_sparse_products
from lmn_tf.ops.rows.distinct_ids import distinct_ids, padded_distinct_ids
from lmn_tf.ops.rows.row_chunks import fold_row_chunks, map_row_chunks
from lmn_tf.ops.rows.sparse_product import SparseMatrix, SparseRows

_CHUNK_ELEMENTS = 2**19  # of rows read for one chunk of queries, which fit the cache of a core
_LARGE_CHUNK_ELEMENTS = 2**24  # enough for a GPU or all cores, and for a pass over all sums


def weighted_rows(rows: tf.Tensor, positions: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Weighted sums of the rows at given positions, differentiable.

    On CPUs the sums and the gradient of `rows` are products with a sparse matrix;
    elsewhere both are computed in chunks of queries.

    Args:
        rows: Float tensor of shape `(U, d)`. Its gradient has the same size, so it
            should consist of the rows that are read, each once.
        positions: Integer tensor of shape `(N, k)`.
        weights: Float tensor of shape `(N, k)` and of the dtype of `rows`.

    Returns:
        Float tensor of shape `(N, d)`.
    """
    gather = _by_sparse_products if runs_sparse_products(rows.dtype) else _by_chunks
    return gather(rows, positions, weights)


@tf.custom_gradient
def weighted_table_rows(table: tf.Tensor, slots: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Weighted sums of rows of a table inside XLA, which needs static shapes.

    The gradient has as many rows as there are hits, or as the table has if those
    are fewer. Unused rows of the gradient repeat the index of a row that was read,
    with zeros. If there are known to be no more hits than rows, each hit is one row of
    the gradient.

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
            size = tf.size(ids)  # 0 for an empty batch, and XLA has no sum of 0 segments
            sums = _spread_in_chunks(positions, weights, upstream, tf.maximum(size, 1))[:size]
        sums = tf.cast(sums, table.dtype)
        slices = tf.IndexedSlices(sums, ids, tf.shape(table))
        return slices, None, _dot_products(table, slots, upstream)

    return sum_in_chunks(table, slots, weights), gradient


def sum_in_chunks(
    values: tf.Tensor | tf.Variable, slots: tf.Tensor, weights: tf.Tensor
) -> tf.Tensor:
    """Weighted sums of rows of a table or variable, in chunks of queries.

    There is no custom gradient: a gradient tape would keep the rows of each chunk.

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
        rows = _gather(values, slots, weights.dtype)  # (chunk, k, d)
        if is_compiling_with_xla():  # XLA fuses a sum with its operands, but not a matrix product
            return tf.reduce_sum(weights[..., None] * rows, axis=1)
        return tf.matmul(weights[:, None], rows)[:, 0]

    return _in_chunks(one_chunk, slots, weights, at_a_time)


def _multiply_rows(rows, positions, upstream, at_a_time):
    def one_chunk(positions, upstream):
        read = _gather(rows, positions, upstream.dtype)  # (chunk, k, d)
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
    """Contribution of each hit to its row: `(N, k)`, `(N, d)`, to `(N * k, d)`."""
    hits = weights[..., None] * upstream[:, None]  # (N, k, d)
    return tf.reshape(hits, tf.stack([tf.size(weights), tf.shape(upstream)[1]]))


def _gather(values, slots, dtype):
    return tf.cast(tf.gather(values, slots), dtype)


def _in_chunks(function, slots, others, at_a_time):
    """Applies a function of `(N, k)` slots and another tensor in chunks that fit the cache."""
    return tf.cond(
        tf.shape(slots)[0] > at_a_time,
        lambda: map_row_chunks(
            lambda *chunk: (function(*chunk),), (slots, others), at_a_time, (others.dtype,)
        )[0],
        lambda: function(slots, others),
    )


def _rows_at_a_time(slots, rows, elements=None):
    if elements is None:
        # XLA processes one chunk on all cores, TensorFlow one chunk per core.
        is_large = has_gpu() or is_compiling_with_xla()
        elements = _LARGE_CHUNK_ELEMENTS if is_large else _CHUNK_ELEMENTS
    return max(1, elements // ((slots.shape[-1] or 1) * (rows.shape[-1] or 1)))


def _as_graph(function):
    """Wraps a function into a graph that is traced once; inside XLA, returns it unchanged."""
    return function if is_compiling_with_xla() else _graph_of(function)


@functools.cache
def _graph_of(function):
    return tf.function(function, reduce_retracing=True, autograph=False)


def weighted_segment_sum(
    rows: tf.Tensor,
    positions: tf.Tensor,
    weights: tf.Tensor,
    segments: tf.Tensor,
    num_segments: int | tf.Tensor,
) -> tf.Tensor:
    """Sums rows with weights: `out[segments[e]] += weights[e] * rows[positions[e]]` for each entry.

    Like `weighted_gather`, but with any number of rows per query. The gradient is dense and in
    closed form: weighted sums of the upstream gradient for `rows`, dot products for `weights`.

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


def weighted_gather(
    values: tf.Tensor | tf.Variable | keras.Variable,
    slots: tf.Tensor,
    weights: tf.Tensor,
    for_training: bool = True,
) -> tf.Tensor:
    """Weighted sums of the rows of a table at given slots.

    `out = sum_k weights[..., k] * values[slots[..., k]]` (the Sparse-Gather of the
    MSN paper). The gradient of `values` is `tf.IndexedSlices`; that of `weights` is
    computed by dot products. A table given as a variable is never copied: rows are
    gathered from it directly.

    The `(..., k, d)` tensor is never built as a whole. In training, each distinct row is
    gathered once for all queries that read it, and the slices of the gradient have
    distinct indices: memory grows with the distinct rows and with `(..., k)`. On CPUs the
    sums are products with a sparse matrix, elsewhere they are computed in chunks of
    queries. Inference always uses chunks, which take about half of the time and hardly
    any memory. Half precision is summed in float32.

    Inside XLA, which needs static shapes, the gradient has as many rows as the table. If
    there are known to be fewer hits, each hit is one slice, including duplicates.

    Args:
        values: Float tensor, `tf.Variable` or Keras variable of shape `(n, d)`.
        slots: Integer tensor of shape `(..., k)`.
        weights: Float tensor of shape `(..., k)`.
        for_training: Boolean. Whether a gradient will be needed. It is correct in both
            cases, but this choice minimizes time and memory. Defaults to `True`.

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
    slots_of_query = tf.reshape(slots, [-1, tf.shape(slots)[-1]])  # (N, k)
    weights = tf.reshape(tf.cast(weights, exact), tf.shape(slots_of_query))  # (N, k)
    slots_of_query = tf.ensure_shape(slots_of_query, [None, slots.shape[-1]])
    sums = tf.cast(_sums(values, slots_of_query, weights, for_training), values.dtype)  # (N, d)
    # `tf.shape` of a variable would read the whole variable.
    sums = tf.reshape(sums, tf.concat([tf.shape(slots)[:-1], tf.shape(sums)[-1:]], axis=0))
    return tf.ensure_shape(sums, [*slots.shape[:-1], values.shape[-1]])


def _sums(values, slots, weights, for_training):
    if for_training and is_compiling_with_xla():
        return weighted_table_rows(tf.convert_to_tensor(values), slots, weights)
    # In eager execution, a loop over chunks takes longer than its body.
    if for_training or tf.executing_eagerly():
        ids, positions = distinct_ids(slots)  # (U,), (N, k)
        rows = tf.cast(tf.gather(values, ids), weights.dtype)  # (U, d)
        return weighted_rows(rows, tf.ensure_shape(positions, slots.shape), weights)
    return sum_in_chunks(values, slots, weights)
