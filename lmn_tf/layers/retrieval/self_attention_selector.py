"""Scores of events by the self-attention they receive."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.base import check_axes, check_heads
from lmn_tf.layers.history_layer import HistoryLayer, mask_of
from lmn_tf.ops.sequence.masked import masked_mean, masked_softmax, zero_padding


@keras.saving.register_keras_serializable(package="lmn_tf")
class SelfAttentionSelector(HistoryLayer):
    """Scores each event of a history by the attention that other events pay to it.

    Each head computes `A = softmax(Q Kᵀ / √dh)` between all events, without biases. The
    score of event `j` is the mean of `A_ij` over the valid events `i`. The scores of a
    head are positive and sum to 1 over the valid events. Padding neither pays nor
    receives attention: it scores exactly 0, as do all positions of an empty history.

    The scores do not depend on the candidate, nor on the order of events unless their
    vectors encode it.

    Scoring events by the attention they receive is our choice; the paper does not say
    how self-attention selects them.

    Args:
        units: Integer. Total width of the heads. Defaults to `16`.
        num_heads: Integer that divides `units`. Defaults to `2`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        history: Float tensor of shape `(batch, length, d)`.
        mask: Optional boolean tensor of shape `(batch, length)`, true where
            valid. Defaults to the Keras mask of `history`.

    Returns:
        Float tensor of shape `(batch, length, num_heads)`.

    Raises:
        ValueError: If an argument is not a positive integer, or `num_heads` does not
            divide `units`.

    Complexity:
        `O(length ** 2 * units)` time and `O(length ** 2 * num_heads)` memory per row,
        and `2 * d * units` parameters.

    Example:

    >>> SelfAttentionSelector(units=4)(np.ones((1, 4, 8)))[0, :, 0].numpy().round(4)
    array([0.25, 0.25, 0.25, 0.25], dtype=float32)

    Reference:
        - "Iterative Memory Network for Long Sequential User Behavior Modeling in
          Recommender Systems", section 5.2 (names it, without equations); Vaswani et
          al., "Attention Is All You Need", NeurIPS 2017, section 3.2.
    """

    def __init__(self, units: int = 16, num_heads: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_heads(units, num_heads)
        self.units = units
        self.num_heads = num_heads

    def build(self, history_shape: tuple[int | None, ...]) -> None:
        check_axes("history", history_shape)
        self.query_kernel, self.key_kernel = (
            self.add_weight(
                (history_shape[-1], self.units), initializer="glorot_uniform", name=name
            )
            for name in ("query_kernel", "key_kernel")
        )

    def call(self, history: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        mask = mask_of(history, mask)
        history = zero_padding(tf.convert_to_tensor(history), mask)
        query, key = (
            self._by_head(tf.matmul(history, kernel))
            for kernel in (self.query_kernel, self.key_kernel)
        )
        scores = tf.matmul(query, key, transpose_b=True) * query.shape[-1] ** -0.5  # (B, H, L, L)
        row_mask = None if mask is None else mask[:, None, :]  # (B, 1, L)
        attention = masked_softmax(scores, None if mask is None else row_mask[..., None, :])
        return tf.transpose(masked_mean(attention, row_mask), [0, 2, 1])

    def _by_head(self, x):
        """From `(B, L, units)` to `(B, heads, L, dh)`."""
        shape = tf.shape(x)
        x = tf.reshape(x, [shape[0], shape[1], self.num_heads, self.units // self.num_heads])
        return tf.transpose(x, [0, 2, 1, 3])

    def compute_mask(self, inputs: tf.Tensor, previous_mask: Any) -> Any:
        return previous_mask

    def compute_output_shape(self, history_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*history_shape[:2], self.num_heads)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "num_heads": self.num_heads}
