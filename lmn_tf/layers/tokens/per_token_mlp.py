"""A feed-forward layer with separate weights for each token."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.base import TOKENS, check_axes, check_positive_integer, stacked_glorot


@keras.saving.register_keras_serializable(package="lmn_tf")
class PerTokenMLP(keras.layers.Layer):
    """Two dense layers on each token, with separate weights for each token.

    Token `t` becomes `activation(x_t @ W1[t] + b1[t]) @ W2[t] + b2[t]` with a hidden width of
    `expansion` times that of the token. The layer has `2 * expansion * T * D ** 2` weights plus
    biases, and each token reads `1 / T` of them.

    Args:
        expansion: Integer. Hidden width as a multiple of the token's width. Defaults to `4`.
        activation: Any Keras activation. Defaults to `"gelu"`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Float tensor of shape `(batch, tokens, D)`; the number of tokens must be known.

    Returns:
        Float tensor of the same shape.

    Raises:
        ValueError: If `expansion` is not a positive integer.

    Example:

    >>> PerTokenMLP(expansion=2)(np.ones((2, 3, 6))).shape
    TensorShape([2, 3, 6])

    Reference:
        - Zhu et al., "RankMixer: Scaling Up Ranking Models in Industrial Recommenders", CIKM 2025,
          section 3.4.
    """

    def __init__(
        self, expansion: int = 4, activation: str | Callable = "gelu", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integer("expansion", expansion)
        self.expansion = expansion
        self.activation = keras.activations.get(activation)

    def build(self, inputs_shape: tuple[int | None, ...]) -> None:
        check_axes("inputs", inputs_shape, TOKENS)
        tokens, width = inputs_shape[1:]
        hidden = self.expansion * width
        self.kernels, self.biases = [], []
        for index, (fan_in, fan_out) in enumerate(((width, hidden), (hidden, width))):
            kernel = self.add_weight(
                shape=(tokens, fan_in, fan_out),
                initializer=stacked_glorot(fan_in, fan_out),
                name=f"kernel_{index}",
            )
            bias = self.add_weight(
                shape=(tokens, fan_out), initializer="zeros", name=f"bias_{index}"
            )
            self.kernels.append(kernel)
            self.biases.append(bias)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        hidden = tf.einsum("btd,tdk->btk", inputs, self.kernels[0]) + self.biases[0]  # (B, T, k)
        return tf.einsum("btk,tkd->btd", self.activation(hidden), self.kernels[1]) + self.biases[1]

    def compute_output_shape(self, inputs_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return tuple(inputs_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "expansion": self.expansion,
            "activation": keras.activations.serialize(self.activation),
        }
