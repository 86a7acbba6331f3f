"""Distinct ids, marked as such in the graph, and sums over duplicates."""

import tensorflow as tf

from lmn_tf.keras_internals import mark_operation
from lmn_tf.ops.compile import runs_sparse_products
from lmn_tf.ops.rows.sparse_product import SparseRows

_MARK = "_lmn_tf_distinct"


def distinct_ids(ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Lists each id once.

    Args:
        ids: Integer tensor.

    Returns:
        Tuple `(distinct, positions)`: the distinct ids in order of first
        appearance, of shape `(rows,)`, and int32 positions shaped like `ids`,
        with `distinct[positions] == ids`.

    Example:

    >>> distinct, positions = distinct_ids([[4, 2], [4, 4]])
    >>> distinct.numpy().tolist(), positions.numpy().tolist()
    ([4, 2], [[0, 1], [0, 0]])
    """
    ids = tf.convert_to_tensor(ids)
    distinct, positions = tf.unique(tf.reshape(ids, [-1]))
    distinct = tf.identity(distinct, name="distinct_ids")
    if not tf.executing_eagerly():
        mark_operation(distinct.op, _MARK)
    return distinct, tf.reshape(positions, tf.shape(ids))


def padded_distinct_ids(ids: tf.Tensor, limit: int | tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Lists each id once, in a tensor of static length for XLA.

    It marks every possible id, which takes time and memory for `limit` integers.

    Args:
        ids: Integer tensor.
        limit: Integer or scalar tensor. Ids are from zero to below it.

    Returns:
        Tuple `(distinct, positions)`: the distinct ids in ascending order, of shape
        `(min(size of ids, limit),)`, padded with the first of `ids`, and int32
        positions shaped like `ids`, with `distinct[positions] == ids`.

    Example:

    >>> distinct, positions = padded_distinct_ids([[4, 2], [4, 4]], limit=6)
    >>> distinct.numpy().tolist(), positions.numpy().tolist()
    ([2, 4, 4, 4], [[1, 0], [1, 1]])
    """
    ids = tf.convert_to_tensor(ids)
    flat = tf.reshape(ids, [-1])
    is_there = tf.scatter_nd(flat[:, None], tf.ones_like(flat, tf.int32), [limit]) > 0
    ranks = tf.cumsum(tf.cast(is_there, tf.int32)) - 1
    positions = tf.gather(ranks, flat)
    # A slice, since there may be no first id.
    padding = tf.repeat(flat[:1], tf.minimum(tf.size(flat), limit))
    distinct = tf.tensor_scatter_nd_update(padding, positions[:, None], flat)
    return distinct, tf.reshape(positions, tf.shape(ids))


def are_distinct(ids: tf.Tensor) -> bool:
    """Returns whether the graph marks a tensor as the result of `distinct_ids`.

    A gather by distinct ids has a gradient with distinct indices, for which
    duplicates need not be searched again.

    Args:
        ids: Integer tensor, such as the indices of `tf.IndexedSlices`.

    Returns:
        `True` if they are known to be distinct; otherwise `False`, and always `False`
        in eager execution, which has no graph.
    """
    if tf.executing_eagerly() or not hasattr(ids, "op"):
        return False
    operation = ids.op
    while operation.type in ("Identity", "Reshape"):
        if _is_marked(operation):
            return True
        operation = operation.inputs[0].op
    return False


def _is_marked(operation):
    try:
        return operation.get_attr(_MARK)
    except ValueError:
        return False


def merge_duplicates(indices: tf.Tensor, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Sums the values that share an index.

    The gradient of a gather has one entry for each read of a row. An optimizer
    that squares gradients must use `(sum g)**2`, not `sum g**2`, so duplicates
    are merged before the update.

    Args:
        indices: Integer tensor of shape `(hits,)`.
        values: Float tensor of shape `(hits, ...)`.

    Returns:
        Tuple `(unique_indices, summed_values)` of shapes `(rows,)` and
        `(rows, ...)`, in order of first appearance.

    Raises:
        ValueError: If there are not as many values as indices.

    Example:

    >>> rows, sums = merge_duplicates([4, 2, 4], [[1.0], [2.0], [3.0]])
    >>> rows.numpy().tolist(), sums.numpy().tolist()
    ([4, 2], [[4.0], [2.0]])
    """
    indices = tf.convert_to_tensor(indices)
    values = tf.convert_to_tensor(values)
    if not values.shape[:1].is_compatible_with(indices.shape):
        raise ValueError(
            "`values` must be as many as `indices`, which have one axis. "
            f"Received: values.shape={values.shape}, indices.shape={indices.shape}"
        )
    if are_distinct(indices):
        return indices, values
    unique, positions = distinct_ids(indices)
    num_rows = tf.size(unique)
    if values.shape.rank == 2 and runs_sparse_products(values.dtype):
        return unique, _summed(values, positions, num_rows)
    return unique, tf.math.unsorted_segment_sum(values, positions, num_rows)


@tf.custom_gradient
def _summed(values, positions, num_rows):
    # A segment sum adds on one core, and takes 5 to 8 times as long.
    ones = tf.ones_like(positions, values.dtype)
    hits = SparseRows(positions[:, None], ones[:, None], num_rows)
    return hits.transposed_product(values), lambda sums: (tf.gather(sums, positions), None, None)
