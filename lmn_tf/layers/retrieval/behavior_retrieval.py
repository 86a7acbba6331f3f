"""Retrieval and pooling of the events that match the candidate."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.base import check_axes, check_positive_integer
from lmn_tf.layers.history_layer import HistoryLayer, mask_of
from lmn_tf.ops.sequence.masked import masked_softmax, take_positions, top_positions, zero_padding


@keras.saving.register_keras_serializable(package="lmn_tf")
class BehaviorRetrieval(HistoryLayer):
    """Pools the events of a row that best match the selected fields.

    The score of event `j` is `s_j = sum_f keep_f * matches_jf`. Of the events with a
    score above 0, the `top_k` best are retrieved; among equal scores the newest are.
    They are summed with weights `softmax_j((W v) · e_j)`. Padding is never retrieved,
    nor are events of other rows. Without retrieved events the output is exactly 0.

    The selection of events has no gradient. To pass a gradient to `keep`,
    `ln s_j - stop_gradient(ln s_j)` is added to the logits of the attention: its value
    is 0, and its gradient is that of attention proportional to the score (our choice).

    Args:
        top_k: Integer. Number of events to retrieve. Defaults to `20`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        history: Float tensor of shape `(batch, length, d)`, from oldest to newest.
        target: Float tensor of shape `(batch, dt)`.
        matches: Non-negative float tensor of shape `(batch, length, fields)`: how well
            each event matches each field.
        keep: Float tensor of shape `(batch, fields)`: 1 for selected fields, 0 for
            others.
        mask: Optional boolean tensor of shape `(batch, length)`, true where
            valid. Defaults to the Keras mask of `history`.

    Returns:
        Float tensor of shape `(batch, d)`.

    Raises:
        ValueError: If `top_k` is not a positive integer.

    Example:

    >>> layer = BehaviorRetrieval(top_k=2)
    >>> layer(np.ones((2, 5, 8)), np.ones((2, 8)), np.ones((2, 5, 3)), np.ones((2, 3))).shape
    TensorShape([2, 8])

    Reference:
        - Qin et al., "User Behavior Retrieval for Click-Through Rate Prediction",
          SIGIR 2020, sections 3.3 and 3.4.
    """

    def __init__(self, top_k: int = 20, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_positive_integer("top_k", top_k)
        self.top_k = top_k

    def build(
        self,
        history_shape: tuple[int | None, ...],
        target_shape: tuple[int | None, ...],
        matches_shape: tuple[int | None, ...] | None = None,
        keep_shape: tuple[int | None, ...] | None = None,
    ) -> None:
        check_axes("history", history_shape)
        self.kernel = self.add_weight(
            (target_shape[-1], history_shape[-1]), initializer="glorot_uniform", name="kernel"
        )

    def call(
        self,
        history: tf.Tensor,
        target: tf.Tensor,
        matches: tf.Tensor,
        keep: tf.Tensor,
        mask: tf.Tensor | None = None,
    ) -> tf.Tensor:
        mask = mask_of(history, mask)
        history = tf.convert_to_tensor(history)
        scores = self._scores(matches, keep, mask)  # (B, L)
        positions, is_match = top_positions(scores, scores > 0, self.top_k)  # (B, K) each
        retrieved = zero_padding(take_positions(history, positions), is_match)  # (B, K, d)
        query = tf.matmul(tf.cast(target, history.dtype), self.kernel)  # (B, d)
        logits = tf.cast(tf.matmul(retrieved, query[..., None])[..., 0], tf.float32)  # (B, K)
        scores = tf.where(is_match, take_positions(scores, positions), 1.0)
        logits += tf.math.log(scores) - tf.stop_gradient(tf.math.log(scores))
        weights = tf.cast(masked_softmax(logits, is_match), history.dtype)
        return tf.matmul(weights[:, None, :], retrieved)[:, 0]

    def _scores(self, matches, keep, mask):
        matches = zero_padding(tf.cast(matches, tf.float32), mask)
        return tf.matmul(matches, tf.cast(keep, tf.float32)[..., None])[..., 0]

    def compute_output_shape(
        self,
        history_shape: tuple[int | None, ...],
        target_shape: tuple[int | None, ...],
        matches_shape: tuple[int | None, ...],
        keep_shape: tuple[int | None, ...],
    ) -> tuple[int | None, ...]:
        return (history_shape[0], history_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "top_k": self.top_k}
