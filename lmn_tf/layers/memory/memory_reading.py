"""Result of a read of a product-key memory, and its balance loss."""

from typing import NamedTuple

import tensorflow as tf

from lmn_tf.distribute.collectives import sum_over_replicas
from lmn_tf.ops.search.key_balance import key_balance


class MemoryReading(NamedTuple):
    """Result of one read of the memory, for `N` inputs and `H` heads.

    Attributes:
        read_out: Float tensor of shape `(N, dv)`.
        slots: int32 tensor of shape `(N, H, top_k)`, best first.
        weights: float32 tensor of shape `(N, H, top_k)` that sums to 1.
        queries: float32 tensor of shape `(N, 2, H, key_dim)`: row, then column.
    """

    read_out: tf.Tensor
    slots: tf.Tensor
    weights: tf.Tensor
    queries: tf.Tensor


def balance_of(
    reading: MemoryReading,
    keys: tuple[tf.Tensor, tf.Tensor],
    valid: tf.Tensor | None,
    temperature: float,
    open_keys: int | tf.Tensor | None = None,
) -> tf.Tensor:
    """Computes the key-balance loss of a read, averaged over both axes.

    Args:
        reading: A `MemoryReading`.
        keys: Pair of the row keys and the column keys, `(H, m, key_dim)` each.
        valid: Boolean tensor of shape `(N,)`, or `None` if every input counts.
        temperature: Float that divides the scores.
        open_keys: Integer scalar tensor. Number of keys of each axis that count, or `None` if all
            do. Defaults to `None`.

    Returns:
        Float32 scalar. On several replicas, the part of each; the parts add up to the loss.
    """
    num_keys = keys[0].shape[1]
    ids = reading.slots // num_keys, reading.slots % num_keys
    losses = []
    for queries, axis_keys, hits in zip(
        tf.unstack(reading.queries, axis=1), keys, ids, strict=True
    ):
        scores = tf.einsum("nhd,hmd->nhm", queries, axis_keys)  # (N, H, m)
        share = 1.0
        if open_keys is not None:
            scores = tf.where(tf.range(num_keys) < open_keys, scores, scores.dtype.min)
            share = tf.cast(open_keys, tf.float32) / num_keys
        loss = key_balance(scores, hits, valid, temperature, total=sum_over_replicas)
        losses.append(share * loss)
    return tf.add_n(losses) / len(losses)


def scores_at(ids: tf.Tensor, queries: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
    """Scores of selected keys: `(N, H, k)` ids, `(N, H, d)` queries, `(H, m, d)` keys."""
    scores = tf.einsum("nhd,hmd->nhm", queries, keys)  # (N, H, m)
    return tf.gather(scores, ids, batch_dims=2)
