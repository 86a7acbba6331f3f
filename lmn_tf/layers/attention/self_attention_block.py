"""The self-attention block of SASRec."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.base import check_axes, check_positive_integer, check_rate
from lmn_tf.layers.history_layer import HistoryLayer, mask_of
from lmn_tf.ops.sequence.masked import masked_softmax, zero_padding


@keras.saving.register_keras_serializable(package="lmn_tf")
class SelfAttentionBlock(HistoryLayer):
    """Self-attention between events, followed by a feed-forward network.

    As in the code released with the paper, `n = LN(x)`, `y = n + MHA(n, x, x)` and
    `z = LN(y)`, `out = z + FFN(z)`: only queries are normalized, and the residual
    is the normalized input. With `pre_norm`, the block of current transformers:
    `y = x + MHA(LN(x))`, `out = y + FFN(LN(y))`. `MHA` is
    `softmax(Q Kᵀ / √dh) V` in heads of width `dh = d / num_heads` without output
    projection, and `FFN` is `W₂ relu(W₁ z)`. Both are as wide as the history.

    Each event attends to all events or, if `causal`, to itself and earlier ones.
    Padding is not attended to, and its output is exactly 0.

    Args:
        num_heads: Integer that divides the width of the history. Defaults to `1`.
        dropout: Float. Dropout rate of the attention weights and of both layers of
            the FFN. Defaults to `0.0`.
        causal: Boolean. Whether events attend to no later ones. Defaults to `True`.
        pre_norm: Boolean. Whether to use the second form. Defaults to `False`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        history: Float tensor of shape `(batch, length, d)`, from oldest to newest.
        mask: Optional boolean tensor of shape `(batch, length)`, true where
            valid. Defaults to the Keras mask of `history`.
        last_only: Boolean. Whether to compute the last position only, at
            `1 / length` of the cost. Defaults to `False`.
        training: Boolean. Whether to drop units.

    Returns:
        Float tensor of shape `(batch, length, d)`; with `last_only`,
        `(batch, 1, d)`.

    Raises:
        ValueError: If an argument is out of its range, or `num_heads` does not
            divide the width.

    Example:

    >>> SelfAttentionBlock(num_heads=2)(np.ones((2, 5, 8))).shape
    TensorShape([2, 5, 8])

    Reference:
        - Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018,
          section 3.2.
    """

    def __init__(
        self,
        num_heads: int = 1,
        dropout: float = 0.0,
        causal: bool = True,
        pre_norm: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integer("num_heads", num_heads)
        check_rate("dropout", dropout)
        self.num_heads = num_heads
        self.dropout = dropout
        self.causal = causal
        self.pre_norm = pre_norm

    def build(self, history_shape: tuple[int | None, ...]) -> None:
        check_axes("history", history_shape)
        width = history_shape[-1]
        if width % self.num_heads:
            raise ValueError(
                "`num_heads` must divide the width of the history. "
                f"Received: num_heads={self.num_heads}, width={width}"
            )
        shape = (None, None, width)
        self.attention_norm = self._norm("attention_norm", shape)
        self.ffn_norm = self._norm("ffn_norm", shape)
        self.query = self._dense("query", shape)
        self.key = self._dense("key", shape)
        self.value = self._dense("value", shape)
        self.hidden = self._dense("hidden", shape, activation="relu")
        self.output_layer = self._dense("output", shape)
        self.drop = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy)

    def _norm(self, name, shape):
        norm = keras.layers.LayerNormalization(epsilon=1e-8, dtype=self.dtype_policy, name=name)
        norm.build(shape)
        return norm

    def _dense(self, name, shape, activation=None):
        dense = keras.layers.Dense(shape[-1], activation, dtype=self.dtype_policy, name=name)
        dense.build(shape)
        return dense

    def call(
        self,
        history: tf.Tensor,
        mask: tf.Tensor | None = None,
        last_only: bool = False,
        training: bool | None = None,
    ) -> tf.Tensor:
        mask = mask_of(history, mask)
        x = zero_padding(tf.convert_to_tensor(history), mask)
        query = x[:, -1:] if last_only else x  # (B, queries, d)
        n = self.attention_norm(query)
        if self.pre_norm:
            keys = n if not last_only else self.attention_norm(x)  # (B, L, d)
            y = query + self._attend(n, keys, mask, last_only, training)
            out = y + self._transform(self.ffn_norm(y), training)
        else:
            y = n + self._attend(n, x, mask, last_only, training)
            z = self.ffn_norm(y)
            out = z + self._transform(z, training)
        if mask is not None:
            mask = mask[:, -1:] if last_only else mask
        return zero_padding(out, mask)

    def _attend(self, queries, keys, mask, last_only, training):
        query, key, value = self.query(queries), self.key(keys), self.value(keys)
        query, key, value = (self._split(part) for part in (query, key, value))
        width = query.shape[-1]
        scores = tf.matmul(query, key, transpose_b=True) * width**-0.5  # (B, heads, queries, L)
        weights = masked_softmax(scores, self._attention_mask(mask, tf.shape(key)[2], last_only))
        read = tf.matmul(self.drop(weights, training=training), value)  # (B, heads, queries, dh)
        read = tf.transpose(read, [0, 2, 1, 3])  # (B, queries, heads, dh)
        return tf.reshape(read, tf.shape(queries))

    def _split(self, x):
        """From `(B, L, d)` to `(B, heads, L, dh)`."""
        shape = tf.shape(x)
        width = x.shape[-1] // self.num_heads
        x = tf.reshape(x, [shape[0], shape[1], self.num_heads, width])
        return tf.transpose(x, [0, 2, 1, 3])

    def _attention_mask(self, mask, length, last_only):
        """Keys that each query attends to, broadcastable to `(B, heads, queries, L)`."""
        valid = None if mask is None else tf.cast(mask, tf.bool)[:, None, None, :]  # (B, 1, 1, L)
        if not self.causal or last_only:
            return valid
        steps = tf.range(length)
        causal = (steps[None, :] <= steps[:, None])[None, None]  # (1, 1, L, L)
        return causal if valid is None else tf.logical_and(valid, causal)

    def _transform(self, x, training):
        hidden = self.drop(self.hidden(x), training=training)
        return self.drop(self.output_layer(hidden), training=training)

    def compute_mask(self, inputs: tf.Tensor, previous_mask: Any) -> Any:
        return previous_mask

    def compute_output_shape(self, history_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return tuple(history_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "dropout": self.dropout,
            "causal": self.causal,
            "pre_norm": self.pre_norm,
        }
