"""Matches of event ids with the candidate's ids, weighted by rarity."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.distribute.uncast_variable import uncast_variable
from lmn_tf.layers.base import check_positive_integer
from lmn_tf.ops.sequence.masked import held_ids


@keras.saving.register_keras_serializable(package="lmn_tf")
class WeightedMatch(keras.layers.Layer):
    """Sums, for each event, the weights of the candidate's ids it contains; rare ids weigh more.

    The weight of an id is `ln(1 + (N - n + 0.5) / (n + 0.5))`, the inverse document
    frequency of search engines, where `n` of `N` events contain the id. It is positive
    even for ids that most events contain; the paper's formula is not (our choice).
    Counts are updated in training after each batch is weighted, and take one number per
    id of the vocabulary. An event in several histories counts each time. Before any
    training, all ids have the same weight.

    Padding and id 0 match nothing and are not counted. Replicas count their own batches,
    and a checkpoint stores the mean of their counts.

    Args:
        vocabulary_size: Integer. Number of ids, including 0.
        **kwargs: Base layer arguments, such as `name`.

    Call arguments:
        events: Integer tensor of shape `(batch, length)`, or `(batch, length, values)`
            where an event has a list of ids.
        candidate: Integer tensor of shape `(batch,)`, or `(batch, values)`.
        mask: Optional boolean tensor of shape `(batch, length)`, true where valid.
        training: Boolean. Whether to count the events; a frozen layer never does.

    Returns:
        Float32 tensor of shape `(batch, length)`, 0 where nothing matches.

    Raises:
        ValueError: If `vocabulary_size` is not a positive integer.

    Example:

    >>> WeightedMatch(9)(np.array([[3, 4, 3]]), np.array([3])).numpy().round(3)
    array([[0.693, 0.   , 0.693]], dtype=float32)

    Reference:
        - Qin et al., "User Behavior Retrieval for Click-Through Rate Prediction",
          SIGIR 2020, section 3.3.
    """

    def __init__(self, vocabulary_size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_positive_integer("vocabulary_size", vocabulary_size)
        self.vocabulary_size = vocabulary_size

    def build(
        self,
        events_shape: tuple[int | None, ...] | None = None,
        candidate_shape: tuple[int | None, ...] | None = None,
    ) -> None:
        counts = {"dtype": "float32", "aggregation": "mean"}
        self.counts = uncast_variable((self.vocabulary_size,), "counts", **counts)
        self.total = uncast_variable((), "total", **counts)

    def call(
        self,
        events: tf.Tensor,
        candidate: tf.Tensor,
        mask: tf.Tensor | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        events, candidate = tf.cast(events, tf.int32), tf.cast(candidate, tf.int32)
        if mask is None:
            mask = tf.ones(tf.shape(events)[:2], tf.bool)
        mask = tf.cast(mask, tf.bool)
        if candidate.shape.rank == 1:
            candidate = candidate[:, None]
        matches = tf.logical_and(held_ids(events, candidate), mask[..., None])  # (B, L, V)
        weights = self._weights(candidate)[:, None, :]  # (B, 1, V)
        if training and self.trainable:
            self._count(events, mask)
        return tf.reduce_sum(tf.where(matches, weights, 0.0), axis=-1)

    def _weights(self, ids):
        count, total = tf.gather(tf.convert_to_tensor(self.counts), ids), self.total
        without = tf.maximum(tf.convert_to_tensor(total) - count, 0.0)  # events without the id
        return tf.math.log1p((without + 0.5) / (count + 0.5))

    def _count(self, events, mask):
        if events.shape.rank == 3:
            ids = tf.where(mask[..., None], events, 0)
        else:
            ids = tf.where(mask, events, 0)
        ids = tf.reshape(tf.where(ids > 0, ids, -1), [-1])  # negative ids are not counted
        ones = tf.ones_like(ids, tf.float32)
        self.counts.assign_add(tf.math.unsorted_segment_sum(ones, ids, self.vocabulary_size))
        self.total.assign_add(tf.reduce_sum(tf.cast(mask, tf.float32)))

    def compute_mask(self, inputs: tf.Tensor, previous_mask: Any) -> Any:
        return None

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "vocabulary_size": self.vocabulary_size}
