"""Feature tokens from a concatenated vector."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.base import check_positive_integer, stacked_glorot


@keras.saving.register_keras_serializable(package="lmn_tf")
class FeatureTokens(keras.layers.Layer):
    """Splits a vector of features into slices of equal width, and maps each to a token.

    Token `t` is `x[t * w:(t + 1) * w] @ kernel[t] + bias[t]` with `w = ceil(width / num_tokens)`;
    the last slice is padded with zeros. The order of concatenation determines which features share
    a token.

    Args:
        num_tokens: Integer. Number of tokens. Defaults to `8`.
        token_dim: Integer. Width of a token. Defaults to `64`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Float tensor of shape `(batch, width)`.

    Returns:
        Float tensor of shape `(batch, num_tokens, token_dim)`.

    Raises:
        ValueError: If an argument is not a positive integer.

    Example:

    >>> FeatureTokens(num_tokens=3, token_dim=6)(np.ones((2, 10))).shape
    TensorShape([2, 3, 6])

    Reference:
        - Zhu et al., "RankMixer: Scaling Up Ranking Models in Industrial Recommenders", CIKM 2025,
          section 3.2.
    """

    def __init__(self, num_tokens: int = 8, token_dim: int = 64, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_positive_integer("num_tokens", num_tokens)
        check_positive_integer("token_dim", token_dim)
        self.num_tokens = num_tokens
        self.token_dim = token_dim

    def build(self, inputs_shape: tuple[int | None, ...]) -> None:
        self._slice = -(-inputs_shape[-1] // self.num_tokens)
        self.kernel = self.add_weight(
            shape=(self.num_tokens, self._slice, self.token_dim),
            initializer=stacked_glorot(self._slice, self.token_dim),
            name="kernel",
        )
        self.bias = self.add_weight(
            shape=(self.num_tokens, self.token_dim), initializer="zeros", name="bias"
        )

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        padding = self.num_tokens * self._slice - inputs.shape[-1]
        padded = tf.pad(inputs, [[0, 0], [0, padding]])
        slices = tf.reshape(padded, [-1, self.num_tokens, self._slice])  # (batch, tokens, slice)
        return tf.einsum("btw,twd->btd", slices, self.kernel) + self.bias

    def compute_output_shape(self, inputs_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (inputs_shape[0], self.num_tokens, self.token_dim)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_tokens": self.num_tokens,
            "token_dim": self.token_dim,
        }
