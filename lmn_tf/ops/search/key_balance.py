"""Balance loss of the keys of one axis."""

from collections.abc import Callable

import tensorflow as tf


def key_balance(
    scores: tf.Tensor,
    ids: tf.Tensor,
    mask: tf.Tensor | None = None,
    temperature: float = 1.0,
    total: Callable[[tf.Tensor], tf.Tensor] | None = None,
) -> tf.Tensor:
    """Key-balance loss of one axis of keys: `m * sum_j p_j f_j`, averaged over heads.

    `p_j` is the softmax probability of key `j` over all `m` keys of the axis, averaged over the
    queries, and `f_j` the share of hits of key `j`. The value is 1 for uniform use, and `m` if all
    queries hit the same key with certainty. 1 is not a strict lower bound: the value may be below
    if `p` and `f` differ. The gradient reaches the scores through `p` only.

    Queries whose mask is false do not count; without any query the loss is 0.

    Args:
        scores: Float tensor of shape `(N, H, m)`: scores of all keys.
        ids: Integer tensor of shape `(N, H, k)`: keys that were hit.
        mask: Optional boolean tensor of shape `(N,)`. Defaults to `None`: every query counts.
        temperature: Positive float that divides the scores. Defaults to `1.0`.
        total: Function that sums a tensor over the replicas that share a batch, or `None` if the
            queries are the whole batch. Defaults to `None`.

    Returns:
        Float32 scalar; with `total`, the share of these queries, and the shares sum to the loss.

    Example:

    >>> float(key_balance([[[0.0, 0.0]], [[0.0, 0.0]]], [[[0]], [[1]]]))
    1.0

    Reference:
        - Huang et al., "Ultra-Sparse Memory Network", ICLR 2025, as released; Fedus et al.,
          "Switch Transformers", JMLR 2022, eq. 4.
    """
    scores, ids = tf.cast(scores, tf.float32), tf.convert_to_tensor(ids)
    heads, num_keys, hits = scores.shape[1], scores.shape[2], ids.shape[2]
    probabilities = tf.nn.softmax(scores / temperature, axis=-1)
    counted = tf.ones([tf.shape(scores)[0]], tf.float32)
    if mask is not None:
        counted = tf.cast(mask, tf.float32)
        # Not a product: the scores of padding may be NaN.
        weighted = probabilities * counted[:, None, None]
        probabilities = tf.where(counted[:, None, None] > 0, weighted, 0.0)
    total = total or tf.identity
    count = tf.maximum(total(tf.reduce_sum(counted)), 1.0)
    segments = ids + num_keys * tf.range(heads, dtype=ids.dtype)[:, None]  # (N, H, k)
    weights = tf.broadcast_to(counted[:, None, None], tf.shape(ids))  # (N, H, k)
    hits_of_keys = total(
        tf.math.unsorted_segment_sum(
            tf.reshape(weights, [-1]), tf.reshape(segments, [-1]), heads * num_keys
        )
    )
    shares = tf.reshape(hits_of_keys, [heads, num_keys]) / (count * hits)
    means = tf.reduce_sum(probabilities, axis=0) / count  # (H, m)
    return num_keys * tf.reduce_mean(tf.reduce_sum(means * shares, axis=-1))
