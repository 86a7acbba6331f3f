"""Multi-head attention of the candidate over retrieved events."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.base import check_axes, check_heads
from lmn_tf.layers.history_layer import HistoryLayer, mask_of
from lmn_tf.ops.sequence.masked import masked_softmax, zero_padding


@keras.saving.register_keras_serializable(package="lmn_tf")
class MultiHeadTargetAttention(HistoryLayer):
    """Pools a history by multi-head scaled dot-product attention of the candidate.

    Computes `concat_i(softmax_j(Wk_i z_j · Wq_i v / √dh) @ (Wv_i z_j)) Wo`, with
    `dh = units / num_heads` and no biases. Padded positions get weight exactly 0,
    and an empty history gives exactly 0.

    There is one query per row, so events are never projected: the same scores are
    `z_j · (Wk_iᵀ Wq_i v)`, and `Wv_i` is applied after the weighted sum.

    In the paper, heads pool the events themselves. Projecting the values, as usual
    in multi-head attention, is our choice.

    Args:
        units: Integer. Total width of the heads, and width of the output. Defaults
            to `64`.
        num_heads: Integer that divides `units`. Defaults to `2`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        history: Float tensor of shape `(batch, length, d)`.
        target: Float tensor of shape `(batch, dt)`.
        mask: Optional boolean tensor of shape `(batch, length)`, true where
            valid. Defaults to the Keras mask of `history`.

    Returns:
        Float tensor of shape `(batch, units)`.

    Raises:
        ValueError: If an argument is not a positive integer, or `num_heads` does
            not divide `units`.

    Example:

    >>> MultiHeadTargetAttention(6, 2)(np.ones((2, 5, 8)), np.ones((2, 8))).shape
    TensorShape([2, 6])

    Reference:
        - Pi et al., "Search-based User Interest Modeling with Lifelong Sequential
          Behavior Data for Click-Through Rate Prediction", CIKM 2020, section 3.3.
    """

    def __init__(self, units: int = 64, num_heads: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_heads(units, num_heads)
        self.units = units
        self.num_heads = num_heads

    def build(
        self, history_shape: tuple[int | None, ...], target_shape: tuple[int | None, ...]
    ) -> None:
        check_axes("history", history_shape)
        self.query_kernel = self._kernel(target_shape[-1], "query_kernel")
        self.key_kernel = self._kernel(history_shape[-1], "key_kernel")
        self.value_kernel = self._kernel(history_shape[-1], "value_kernel")
        self.output_kernel = self._kernel(self.units, "output_kernel")

    def _kernel(self, width, name):
        return self.add_weight((width, self.units), initializer="glorot_uniform", name=name)

    def call(
        self, history: tf.Tensor, target: tf.Tensor, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        mask = mask_of(history, mask)
        history = zero_padding(tf.convert_to_tensor(history), mask)
        query = tf.matmul(tf.cast(target, history.dtype), self.query_kernel)
        query = tf.reshape(query, [-1, self.num_heads, self.units // self.num_heads])  # (B, H, e)
        query *= (self.units // self.num_heads) ** -0.5
        query = tf.einsum("bhe,dhe->bhd", query, self._by_head(self.key_kernel))  # (B, H, d)
        scores = tf.matmul(query, history, transpose_b=True)  # (B, H, L)
        weights = masked_softmax(scores, None if mask is None else mask[:, None, :])
        pooled = tf.matmul(weights, history)  # (B, H, d)
        heads = tf.einsum("bhd,dhe->bhe", pooled, self._by_head(self.value_kernel))
        return tf.matmul(tf.reshape(heads, [-1, self.units]), self.output_kernel)

    def _by_head(self, kernel):
        return tf.reshape(kernel, [-1, self.num_heads, self.units // self.num_heads])

    def compute_output_shape(
        self, history_shape: tuple[int | None, ...], target_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (history_shape[0], self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "num_heads": self.num_heads}
