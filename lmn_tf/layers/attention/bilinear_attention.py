"""Attention with bilinear scores."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.base import check_axes
from lmn_tf.layers.history_layer import mask_of
from lmn_tf.ops.sequence.masked import masked_softmax, zero_padding
from lmn_tf.ops.sequence.valid_positions import ValidPositions


@keras.saving.register_keras_serializable(package="lmn_tf")
class BilinearAttention(keras.layers.Layer):
    """Pools a history with weights `softmax_t(h_t W v)`.

    Padded positions get weight exactly 0, and an empty history gives exactly 0.
    The candidate is projected first, so that each position costs one inner product.

    Args:
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        history: Float tensor of shape `(batch, length, d)`.
        target: Float tensor of shape `(batch, dv)`.
        mask: Optional boolean tensor of shape `(batch, length)`, true where
            valid. Defaults to the Keras mask of `history`.

    Returns:
        Float tensor of shape `(batch, d)`.

    Example:

    >>> BilinearAttention()(np.ones((2, 5, 8)), np.ones((2, 4))).shape
    TensorShape([2, 8])

    Reference:
        - Zhou et al., "Deep Interest Evolution Network for Click-Through Rate
          Prediction", AAAI 2019, eq. 8.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(
        self, history_shape: tuple[int | None, ...], target_shape: tuple[int | None, ...]
    ) -> None:
        self.kernel = self.add_weight(
            shape=(history_shape[-1], target_shape[-1]),
            initializer="glorot_uniform",
            name="kernel",
        )

    def call(
        self, history: tf.Tensor, target: tf.Tensor, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        mask = mask_of(history, mask)
        weights = self.attention_weights(history, target, mask=mask)  # (batch, length)
        return tf.squeeze(tf.matmul(weights[:, None, :], zero_padding(history, mask)), axis=1)

    def attention_weights(
        self,
        history: tf.Tensor,
        target: tf.Tensor,
        mask: tf.Tensor | None = None,
        training: bool | None = None,
        windows: ValidPositions | None = None,
    ) -> tf.Tensor:
        """Weights of the behaviors, of shape `(batch, length)`; 0 at padding.

        With `windows` into a history of shape `(events, d)`, of shape `(pairs,)`.
        """
        key = tf.matmul(target, self.kernel, transpose_b=True)  # (batch, d)
        if windows is not None:
            scores = tf.reduce_sum(windows.pairs(history) * windows.repeat(key), axis=-1)
            return windows.row_softmax(scores)
        check_axes("history", history.shape)
        mask = mask_of(history, mask)
        history = zero_padding(history, mask)
        return masked_softmax(tf.squeeze(tf.matmul(history, key[..., None]), axis=-1), mask)

    def compute_mask(self, inputs: tf.Tensor, previous_mask: Any) -> Any:
        return None  # the output has no positions

    def compute_output_shape(
        self, history_shape: tuple[int | None, ...], target_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (history_shape[0], history_shape[-1])
