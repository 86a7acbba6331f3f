"""Product-key search from queries and keys, without a gradient of all scores."""

import tensorflow as tf

from lmn_tf.ops.compile import runs_sparse_products
from lmn_tf.ops.rows.sparse_product import SparseRows
from lmn_tf.ops.search.product_key_top_k import product_key_top_k
from lmn_tf.ops.search.slot_search import check_search, search_slots


def product_key_search(
    row_queries: tf.Tensor,
    column_queries: tf.Tensor,
    row_keys: tf.Tensor,
    column_keys: tf.Tensor,
    k: int,
    open_keys: int | tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds the `k` slots with the best matching keys of each query.

    The same as `product_key_top_k(row_queries @ row_keys^T, column_queries @
    column_keys^T, k)`, including ties, NaN and gradient, at a lower cost. Only `k`
    of `m` scores of a query have a gradient: here, the gradients of queries and
    keys are sparse products of `N * k` entries, and the `(N, m)` matrices of
    scores and of their gradients are never written.

    Args:
        row_queries: Float32 tensor of shape `(N, d)`.
        column_queries: Float32 tensor of shape `(N, d)`.
        row_keys: Float32 tensor of shape `(m, d)`.
        column_keys: Float32 tensor of shape `(m, d)`.
        k: Integer. Number of slots, from 1 to `m * m`.
        open_keys: Optional integer scalar tensor. Only the first `open_keys` row keys
            and column keys are searched: all other slots score minus infinity and
            have no gradient. Defaults to `None`: all keys are searched.

    Returns:
        Tuple `(scores, slots)`: float32 and int32 tensors of shape `(N, k)`, best
        first.

    Raises:
        ValueError: If the shapes of queries or of keys differ, `m` is unknown, or `k`
            is out of range.

    Example:

    >>> keys = tf.eye(3)
    >>> scores, slots = product_key_search([[2.0, 1.0, 0.0]], [[0.0, 0.0, 5.0]], keys, keys, k=2)
    >>> scores.numpy(), slots.numpy()
    (array([[7., 6.]], dtype=float32), array([[2, 5]], dtype=int32))

    Reference:
        - Lample et al., "Large Memory Layers with Product Keys", NeurIPS 2019;
          Lu et al., "Large Memory Network for Recommendation", WWW 2025, eqs. 7-9.
    """
    row_queries, column_queries, row_keys, column_keys = (
        tf.convert_to_tensor(tensor)
        for tensor in (row_queries, column_queries, row_keys, column_keys)
    )
    num_keys = check_search(("row_keys", row_keys, 0), ("column_keys", column_keys, 0), k)
    _check_queries(row_queries, column_queries, row_keys)
    limit = () if open_keys is None else (tf.cast(open_keys, tf.int32),)
    score = _score if open_keys is None else _score_open
    if not runs_sparse_products(row_queries.dtype):
        scores = score(row_queries, column_queries, row_keys, column_keys, *limit)
        return product_key_top_k(*scores, k)

    @tf.custom_gradient
    def search(row_queries, column_queries, row_keys, column_keys):
        queries, shared = (row_queries, column_queries), (row_keys, column_keys, *limit)
        scores, slots = search_slots(score, queries, shared, num_keys, k)

        def gradient(upstream, _):
            by_row = SparseRows(slots // num_keys, upstream, num_keys)
            by_column = SparseRows(slots % num_keys, upstream, num_keys)
            return (
                by_row.product(row_keys),
                by_column.product(column_keys),
                by_row.transposed_product(row_queries),
                by_column.transposed_product(column_queries),
            )

        return (scores, slots), gradient

    scores, slots = search(row_queries, column_queries, row_keys, column_keys)
    return tf.ensure_shape(scores, [None, k]), tf.ensure_shape(slots, [None, k])


def _check_queries(row_queries, column_queries, keys):
    for name, queries in (("row_queries", row_queries), ("column_queries", column_queries)):
        if not queries.shape.is_compatible_with([row_queries.shape[0], keys.shape[1]]):
            raise ValueError(
                f"`{name}` must be one for each query and as wide as the keys. Received: "
                f"row_queries.shape={row_queries.shape}, "
                f"column_queries.shape={column_queries.shape}, row_keys.shape={keys.shape}"
            )


def _score(row_queries, column_queries, row_keys, column_keys):
    return (
        tf.matmul(row_queries, row_keys, transpose_b=True),
        tf.matmul(column_queries, column_keys, transpose_b=True),
    )


def _score_open(row_queries, column_queries, row_keys, column_keys, open_keys):
    scores = _score(row_queries, column_queries, row_keys, column_keys)
    is_open = tf.range(row_keys.shape[0])[None, :] < open_keys
    # The scores, not the keys: a product with an infinite key has no gradient.
    return tuple(
        tf.where(is_open, axis_scores, tf.constant(-float("inf"), axis_scores.dtype))
        for axis_scores in scores
    )
