"""Reads weighted sums of rows out of a table."""

import keras
import tensorflow as tf

from lmn_tf.ops.compile import is_compiling_with_xla, runs_sparse_products
from lmn_tf.ops.distinct_ids import distinct_ids
from lmn_tf.ops.row_chunks import map_row_chunks
from lmn_tf.ops.sparse_product import SparseRows

_CHUNK_ELEMENTS = 2**19  # of rows read for one chunk of queries: they stay in the cache of a core


@tf.custom_gradient
def weighted_sum(rows, weights):
    """Sums rows with weights: `(..., k, d), (..., k) → (..., d)`.

    Inside XLA it is a product and a `reduce_sum`, which XLA fuses with the
    gather before it (it does not fuse a matrix product). Outside, a batched
    matrix product needs no temporary and takes about a third of the time. The
    gradient is given in closed form: `weights * upstream` for the rows, dot
    products for the weights.

    Args:
        rows: Float tensor of shape `(..., k, d)`.
        weights: Float tensor of shape `(..., k)` and of the same dtype.

    Returns:
        Float tensor of shape `(..., d)`.
    """
    is_fused = is_compiling_with_xla()

    def gradient(upstream):
        rows_gradient = weights[..., None] * upstream[..., None, :]
        if is_fused:
            return rows_gradient, tf.reduce_sum(rows * upstream[..., None, :], axis=-1)
        return rows_gradient, tf.matmul(rows, upstream[..., None])[..., 0]

    if is_fused:
        return tf.reduce_sum(weights[..., None] * rows, axis=-2), gradient
    return tf.matmul(weights[..., None, :], rows)[..., 0, :], gradient


def weighted_gather(values, slots, weights, for_training=True):
    """Sums the rows of a table that are named by slots, each with its weight.

    `out = sum_k weights[..., k] * values[slots[..., k]]` (the Sparse-Gather of the
    MSN paper). The gradient reaches `values` as `tf.IndexedSlices` and `weights`
    as dot products. A table given as a variable is never copied: rows are
    gathered from it directly.

    On CPUs `(..., k, d)` is never written. To train, each row that is read is gathered
    once, however many queries read it, and the sums are products with a sparse
    matrix: memory grows with the distinct rows and with `(..., k)`, and the slices
    of the gradient have distinct indices. Otherwise queries are read a chunk at a
    time, in about half of the time and next to no memory. Elsewhere (on GPUs, inside
    XLA, for half precision) each hit is one slice.

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
    weights = tf.cast(weights, values.dtype)
    if not runs_sparse_products(values.dtype):
        return weighted_sum(tf.gather(values, slots), weights)
    rows = (tf.reshape(one, [-1, tf.shape(one)[-1]]) for one in (slots, weights))
    # Eagerly, a loop over chunks takes longer than all that is in it.
    is_distinct = for_training or tf.executing_eagerly()
    sums = (_sum_distinct_rows if is_distinct else _sum_in_chunks)(values, *rows)
    # A variable's shape, asked for in the graph, would be read with the whole of it.
    sums = tf.reshape(sums, tf.concat([tf.shape(slots)[:-1], tf.shape(sums)[-1:]], axis=0))
    return tf.ensure_shape(sums, [*slots.shape[:-1], values.shape[-1]])


def _sum_distinct_rows(values, slots, weights):
    ids, positions = distinct_ids(slots)
    positions = tf.ensure_shape(positions, slots.shape)
    return _weighted_rows(tf.gather(values, ids), positions, weights)


def _sum_in_chunks(values, slots, weights):
    def one_chunk(slots, weights):
        return tf.matmul(weights[:, None], tf.gather(values, slots))[:, 0]

    return _in_chunks(one_chunk, slots, weights, values.shape[-1])


@tf.custom_gradient
def _weighted_rows(rows, positions, weights):
    """Weighted sums: `(U, d)` rows, `(N, k)` positions and weights, to `(N, d)`."""
    matrix = SparseRows(positions, weights, tf.shape(rows)[0])

    def gradient(upstream):
        return matrix.transposed_product(upstream), None, _dot_products(rows, positions, upstream)

    return matrix.product(rows), gradient


@tf.function(reduce_retracing=True, autograph=False)
def _dot_products(rows, positions, upstream):
    """Dot products of rows with vectors: `(U, d)`, `(N, k)`, `(N, d)`, to `(N, k)`."""

    def one_chunk(positions, upstream):
        return tf.matmul(tf.gather(rows, positions), upstream[..., None])[..., 0]

    products = _in_chunks(one_chunk, positions, upstream, rows.shape[-1])
    return tf.ensure_shape(products, positions.shape)


def _in_chunks(function, slots, others, width):
    """Applies a function of `(N, k)` slots and of others to so few rows that theirs fit a cache."""
    size = (slots.shape[-1] or 1) * (width or 1)
    rows_at_a_time = min(max(1, _CHUNK_ELEMENTS // size), 4096)
    return tf.cond(
        tf.shape(slots)[0] > rows_at_a_time,
        lambda: map_row_chunks(
            lambda *chunk: (function(*chunk),), (slots, others), rows_at_a_time, (others.dtype,)
        )[0],
        lambda: function(slots, others),
    )
