"""Probabilities that ids are in a batch, estimated from a stream of batches."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.distribute.collectives import gather_over_replicas
from lmn_tf.layers.base import check_positive_integer


@keras.saving.register_keras_serializable(package="lmn_tf")
class SamplingProbability(keras.layers.Layer):
    """Estimates the probability that an id is in a batch, from the steps between its batches.

    For each id, the layer keeps the mean number of steps from one batch that holds it to the next:
    `gap = (1 - rate) * gap + rate * (step - last)`. Its probability is `1 / gap`. Ids may be new or
    change in popularity, since nothing is counted in advance.

    Where the paper is silent, we chose: the first batches of an id are averaged, with the rate
    `1 / batches` as long as it is larger; an id that was never in a batch has the probability
    `1 / (step + 1)`; and there is a row for each id, so no two ids share one.

    All replicas see the batch of all of them. Workers on parameter servers count their own batches
    in common, and the last of two that write the same id at a time wins.

    Args:
        num_ids: Integer. Number of ids.
        rate: Float above 0 and at most 1. Share of the newest gap in the mean. Defaults to `0.01`.
        **kwargs: Base layer arguments, such as `name`.

    Call arguments:
        ids: Integer tensor of shape `(n,)`, from 0 to `num_ids - 1`.
        training: Boolean. Whether the ids are those of the next batch; a frozen layer never learns.

    Returns:
        Float32 tensor of shape `(n,)`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> layer = SamplingProbability(10)
    >>> for ids in ([3, 4], [3], [3, 5, 5], [3, 4]):
    ...     probabilities = layer(np.array(ids), training=True)
    >>> probabilities.numpy().tolist()
    [1.0, 0.5]

    Reference:
        - Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
          Recommendations", RecSys 2019, algorithm 2.
    """

    def __init__(self, num_ids: int, rate: float = 0.01, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_positive_integer("num_ids", num_ids)
        if not 0 < rate <= 1:
            raise ValueError(f"`rate` must be above 0 and at most 1. Received: rate={rate}")
        self.num_ids = num_ids
        self.rate = rate

    def build(self, ids_shape: tuple[int | None, ...] | None = None) -> None:
        # Not float32, in which steps stop being counted at 16 million.
        same = {"dtype": "float64", "initializer": "zeros", "trainable": False, "autocast": False}
        same["aggregation"] = "only_first_replica"
        self.step = self.add_weight(shape=(), name="step", **same)
        # Of each id: in how many batches it was, the step of the newest, and the mean gap.
        self.batches = self.add_weight(shape=(self.num_ids, 3), name="batches", **same)

    def call(self, ids: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        if training and self.trainable:
            self._learn(gather_over_replicas(tf.cast(ids, tf.int32))[0])
        count, _, gap = tf.unstack(tf.gather(self.batches.value, ids), axis=-1)
        step = tf.convert_to_tensor(self.step)
        return tf.cast(1.0 / tf.where(count > 0, gap, step + 1.0), tf.float32)

    def _learn(self, ids):
        self.step.assign_add(1.0)
        step = tf.convert_to_tensor(self.step)
        count, last, gap = tf.unstack(tf.gather(self.batches.value, ids), axis=-1)
        count += 1.0
        rate = tf.maximum(tf.constant(self.rate, count.dtype), 1.0 / count)
        rows = tf.stack(
            [count, tf.fill(tf.shape(count), step), gap + rate * (step - last - gap)], 1
        )
        # An id that is in the batch twice writes the same row twice.
        self.batches.value.scatter_update(tf.IndexedSlices(rows, ids))

    def compute_output_shape(self, ids_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return ids_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_ids": self.num_ids, "rate": self.rate}
