"""The token-mixing block of RankMixer."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.tokens.feed_forward_block import FeedForwardBlock
from lmn_tf.layers.tokens.token_mixing import TokenMixing


@keras.saving.register_keras_serializable(package="lmn_tf")
class RankMixerBlock(FeedForwardBlock):
    """Mixes slices between tokens, then transforms each token separately.

    Computes `S = LN(TokenMixing(X) + X)` and `LN(S + feed_forward(S) + memory(S))`. With
    `PerTokenMLP` and no memory it is the block of RankMixer; with a memory, the reconstructed block
    of MSN. Normalization follows the sums and is over the width of a token only.

    Args:
        feed_forward: Keras layer that keeps the shape, such as `PerTokenMLP` or
            `SparseMixtureOfExperts`, or `None`. Defaults to `None`.
        memory: `SparseMemory`, or `None`. Defaults to `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Float tensor of shape `(batch, tokens, D)`; the number of tokens divides `D`.
        user: Float tensor of shape `(batch, du)`, for a memory with user-aware queries.
        training: Boolean. Whether the branches add losses and use statistics of the batch.

    Returns:
        Float tensor of the same shape.

    Raises:
        ValueError: If neither branch is given, or the number of tokens does not divide `D`.

    Example:

    >>> from lmn_tf.layers import PerTokenMLP
    >>> RankMixerBlock(PerTokenMLP())(np.ones((2, 4, 8))).shape
    TensorShape([2, 4, 8])

    Reference:
        - Zhu et al., "RankMixer: Scaling Up Ranking Models in Industrial Recommenders", CIKM 2025,
          section 3; Wu et al., "MSN: A Memory-based Sparse Activation Scaling Framework for
          Large-scale Industrial Recommendation", 2026 (the memory's position is a reconstruction).
    """

    def __init__(self, feed_forward: Any = None, memory: Any = None, **kwargs: Any) -> None:
        super().__init__(feed_forward, memory, **kwargs)
        self.mixing = TokenMixing(name="mixing", dtype=self.dtype_policy)

    def build(
        self, inputs_shape: tuple[int | None, ...], user_shape: tuple[int | None, ...] | None = None
    ) -> None:
        self.mixing.build(inputs_shape)
        self.mixing_norm = self._layer_norm("mixing_norm", inputs_shape)
        super().build(inputs_shape, user_shape)

    def call(
        self, inputs: tf.Tensor, user: tf.Tensor | None = None, training: bool | None = None
    ) -> tf.Tensor:
        mixed = self.mixing_norm(self.mixing(inputs) + inputs)
        return super().call(mixed, user=user, training=training)
