"""The encoder of SASRec."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.attention.self_attention_block import SelfAttentionBlock
from lmn_tf.layers.base import check_axes, check_positive_integer, check_rate
from lmn_tf.layers.history_layer import HistoryLayer, mask_of
from lmn_tf.ops.sequence.masked import take_positions, top_positions, zero_padding


@keras.saving.register_keras_serializable(package="lmn_tf")
class SelfAttentiveEncoder(HistoryLayer):
    """Encodes the newest events by self-attention, and returns the state of the last one.

    Computes `x = dropout(√d * history + position)`, a stack of causal
    `SelfAttentionBlock`s, and `LN` of the newest valid position. Positions are
    counted from the newest event, so they depend neither on truncation nor on the
    side of the padding. An empty history gives exactly 0. The last block computes
    the newest position only.

    Args:
        max_positions: Integer. Number of newest events to encode. Defaults to `50`.
        num_blocks: Integer. Number of blocks. Defaults to `2`.
        num_heads: Integer that divides the width of the history. Defaults to `1`.
        dropout: Float. Dropout rate of the embedded events and in the blocks.
            Defaults to `0.0`.
        pre_norm: Boolean. Form of the blocks; see `SelfAttentionBlock`. Defaults to
            `False`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        history: Float tensor of shape `(batch, length, d)`, from oldest to newest.
        mask: Optional boolean tensor of shape `(batch, length)`, true where
            valid. Defaults to the Keras mask of `history`.
        training: Boolean. Whether to drop units.

    Returns:
        Float tensor of shape `(batch, d)`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> SelfAttentiveEncoder(max_positions=3)(np.ones((2, 5, 8))).shape
    TensorShape([2, 8])

    Reference:
        - Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018,
          section 3.
    """

    def __init__(
        self,
        max_positions: int = 50,
        num_blocks: int = 2,
        num_heads: int = 1,
        dropout: float = 0.0,
        pre_norm: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integer("max_positions", max_positions)
        check_positive_integer("num_blocks", num_blocks)
        check_rate("dropout", dropout)
        self.max_positions = max_positions
        self.num_heads = num_heads
        self.dropout = dropout
        self.pre_norm = pre_norm
        self.blocks = [
            SelfAttentionBlock(
                num_heads,
                dropout=dropout,
                pre_norm=pre_norm,
                dtype=self.dtype_policy,
                name=f"block_{index}",
            )
            for index in range(num_blocks)
        ]
        self.drop = keras.layers.Dropout(dropout, dtype=self.dtype_policy)
        self.norm = keras.layers.LayerNormalization(
            epsilon=1e-8, dtype=self.dtype_policy, name="norm"
        )

    def build(self, history_shape: tuple[int | None, ...]) -> None:
        check_axes("history", history_shape)
        width = history_shape[-1]
        # Row 0 belongs to the newest event.
        self.positions = self.add_weight(
            (self.max_positions, width),
            initializer=keras.initializers.RandomNormal(stddev=0.05),
            name="positions",
        )
        for block in self.blocks:
            block.build((None, None, width))
        self.norm.build((None, width))

    def call(
        self, history: tf.Tensor, mask: tf.Tensor | None = None, training: bool | None = None
    ) -> tf.Tensor:
        mask = mask_of(history, mask)
        x, mask = self._newest(tf.convert_to_tensor(history), mask)  # (B, P, d), (B, P)
        x *= x.shape[-1] ** 0.5
        positions = tf.convert_to_tensor(self.positions)[: tf.shape(x)[1]]  # (P, d)
        x += tf.reverse(positions, [0])
        x = zero_padding(self.drop(x, training=training), mask)
        for block in self.blocks[:-1]:
            x = block(x, mask=mask, training=training)
        x = self.blocks[-1](x, mask=mask, last_only=True, training=training)[:, 0]  # (B, d)
        return zero_padding(self.norm(x), mask[:, -1])

    def _newest(self, history, mask):
        """The newest events and their mask, from oldest to newest, padded on the left."""
        scores = tf.zeros(tf.shape(history)[:2])  # of equal scores, the newest are best
        positions, valid = top_positions(scores, mask, self.max_positions)
        positions, valid = tf.reverse(positions, [1]), tf.reverse(valid, [1])
        return take_positions(zero_padding(history, mask), positions), valid

    def compute_output_shape(self, history_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (history_shape[0], history_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "max_positions": self.max_positions,
            "num_blocks": len(self.blocks),
            "num_heads": self.num_heads,
            "dropout": self.dropout,
            "pre_norm": self.pre_norm,
        }
