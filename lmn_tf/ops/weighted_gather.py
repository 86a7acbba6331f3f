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


def weighted_gather(values, slots, weights):
    """Sums the rows of a table that are named by slots, each with its weight.

    `out = sum_k weights[..., k] * values[slots[..., k]]` (the Sparse-Gather of the
    MSN paper). The gradient reaches `values` as `tf.IndexedSlices` and `weights`
    as dot products. A table given as a variable is never copied: rows are
    gathered from it directly.

    On CPUs each row that is read is gathered once, however many queries read it,
    and the sums are products with a sparse matrix, so that `(..., k, d)` is never
    written: memory grows with the distinct rows and with `(..., k)`, and the slices
    of the gradient have distinct indices. Elsewhere (on GPUs, inside XLA, for half
    precision) each hit is one slice.

    Args:
        values: Float tensor, `tf.Variable` or Keras variable of shape `(n, d)`.
        slots: Integer tensor of shape `(..., k)`.
        weights: Float tensor of shape `(..., k)`.

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
    if runs_sparse_products(values.dtype):
        return _sum_distinct_rows(values, slots, tf.cast(weights, values.dtype))
    rows = tf.gather(values, slots)
    return weighted_sum(rows, tf.cast(weights, rows.dtype))


def _sum_distinct_rows(values, slots, weights):
    hits, width = slots.shape[-1], values.shape[-1]
    leading = tf.shape(slots)[:-1]
    ids, positions = distinct_ids(tf.reshape(slots, [-1, tf.shape(slots)[-1]]))
    weights = tf.reshape(weights, tf.shape(positions))
    positions = tf.ensure_shape(positions, [None, hits])
    sums = _weighted_rows(tf.gather(values, ids), positions, tf.ensure_shape(weights, [None, hits]))
    sums = tf.reshape(sums, tf.concat([leading, [tf.shape(values)[-1]]], axis=0))
    return tf.ensure_shape(sums, [*slots.shape[:-1], width])


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
        return (tf.matmul(tf.gather(rows, positions), upstream[..., None])[..., 0],)

    hits, width = positions.shape[-1] or 1, rows.shape[-1] or 1
    rows_at_a_time = min(max(1, _CHUNK_ELEMENTS // (hits * width)), 4096)
    products = tf.cond(
        tf.size(positions) > 0,  # without rows there is none to fill a chunk up with
        lambda: map_row_chunks(one_chunk, (positions, upstream), rows_at_a_time, (rows.dtype,))[0],
        lambda: tf.zeros(tf.shape(positions), rows.dtype),
    )
    return tf.ensure_shape(products, positions.shape)
